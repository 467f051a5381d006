"""The zoo: generic checks over the one list of all architectures."""

import math

import pytest
import zoo

import architectures
from gantf import architecture, shapes, spec

ALL = pytest.mark.parametrize("name", zoo.ARCHITECTURES)


def test_the_list_is_whole():
    assert architectures.names() == list(zoo.ARCHITECTURES)


@ALL
def test_presets_are_canonical_and_say_where_they_are_from(name):
    preset = architectures.get(name)
    assert architecture.read(preset).to_dict() == preset
    assert all(type(value) in (str, int) for value in preset.values())
    assert preset["reference"].startswith(("Wang et al. (2019), ", "gantf: "))


@ALL
def test_presets_have_the_parameters_of_their_tables(name):
    count, by_score = zoo.ARCHITECTURES[name]
    checked = architecture.read(architectures.get(name))
    assert checked.score == 16
    latent = (checked.latent.size,)
    assert shapes.out_shape(checked.generator, latent) == checked.sample
    assert shapes.params(checked.generator, latent) == count
    for score, wanted in by_score.items():
        net = checked.with_score(score).discriminator
        assert shapes.params(net, checked.sample) == wanted
        assert shapes.out_shape(net, checked.sample) == (score,)


@pytest.mark.parametrize(
    "name, layers, total",
    [
        ("dcgan-sn-32", 8, 64),
        ("dcgan-sn-48", 8, 64),
        ("dcgan-sn-64", 10, 64),
        ("dcgan-sn-28", 6, 1),
    ],
)
def test_gains_multiply_to_their_total(name, layers, total):
    # Wang et al. (2019), their scripts: C = 64^(1/8) and 64^(1/10)
    net = spec.parse(architectures.get(name)["discriminator"])
    gains = [layer.gain for layer in net if layer.weight]
    assert gains == [total ** (1 / layers)] * layers
    assert math.prod(gains) == pytest.approx(total)
    assert net == spec.with_gain(net, total)
    assert all(layer.weight == "sn" for layer in net if layer.kind != "flatten")
    assert not any(
        layer.weight for layer in spec.parse(architectures.get(name)["generator"])
    )


def test_names_are_found_by_pattern():
    assert architectures.names("*-2d") == ["mlp-2d"]
    assert architectures.names("none*") == []


def test_what_is_given_is_a_copy():
    architectures.get("mlp-2d")["sample"] = "3"
    assert architectures.get("mlp-2d")["sample"] == "2"


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "dcgan-sn-3",
            "unknown architecture 'dcgan-sn-3'; did you mean 'dcgan-sn-32'?",
        ),
        (
            "",
            "unknown architecture ''; known: dcgan-sn-32, dcgan-sn-48, dcgan-sn-64, "
            "dcgan-sn-28, mlp-2d",
        ),
    ],
)
def test_unknown_names_are_refused_in_words(name, message):
    with pytest.raises(ValueError) as caught:
        architectures.get(name)
    assert str(caught.value) == message
