"""The zoo: generic checks over the one list of all architectures."""

import math

import pytest
import zoo

import architectures
from gantf import architecture, shapes, spec

ALL = pytest.mark.parametrize("name", zoo.ARCHITECTURES)
SOURCES = (  # how references begin
    "Wang et al. (2019), ",
    "gantf: ",
    "Binkowski et al. (2018), ",
    "Arbel et al. (2018), ",
    "Li et al. (2017), ",
    "RL-Practicals, ",
    "Oh-My-GAN, ",
    "Benaziza et al. (2024), ",
    "Miyato et al. (2018), ",
    "Miyato & Koyama (2018), ",
    "Zhang et al. (2019), ",
    "frhrdr/MMD-GAN, ",
)


def test_the_list_is_whole():
    assert architectures.names() == list(zoo.ARCHITECTURES)
    decoders = [n for n in architectures.names() if "decoder" in architectures.get(n)]
    assert decoders == list(zoo.DECODERS)


def test_families_stand_in_order():
    families = [name.split("-")[0] for name in architectures.names()]
    assert list(dict.fromkeys(families)) == (
        "dcgan mlp binkowski arbel li tme omg benaziza sn sagan fork".split()
    )


@ALL
def test_presets_are_canonical_and_say_where_they_are_from(name):
    preset = architectures.get(name)
    assert architecture.read(preset).to_dict() == preset
    assert all(type(value) in (str, int) for value in preset.values())
    assert preset["reference"].startswith(SOURCES)


@ALL
def test_presets_have_the_parameters_of_their_tables(name):
    count, by_score = zoo.ARCHITECTURES[name]
    checked = architecture.read(architectures.get(name))
    assert checked.score == next(iter(by_score))
    latent = (checked.latent.size,)
    assert shapes.out_shape(checked.generator, latent, checked.classes) == (
        checked.sample
    )
    assert shapes.params(checked.generator, latent, checked.classes) == count
    for score, wanted in by_score.items():
        net, shape = checked.with_score(score).nets["discriminator"]
        assert shapes.params(net, shape, checked.classes) == wanted
        assert shapes.out_shape(net, shape, checked.classes) == (score,)


@pytest.mark.parametrize("name, count", zoo.DECODERS.items())
def test_decoders_have_the_parameters_of_their_tables(name, count):
    checked = architecture.read(architectures.get(name))
    net, score = checked.nets["decoder"]
    assert score == (checked.latent.size,)  # what the encoder makes, G starts from
    assert net == checked.generator
    assert shapes.params(net, score) == count
    assert checked.with_score(1).decoder == net


@pytest.mark.parametrize(
    "name, net, words, other, count",
    [
        # Arbel et al. (2018), their code without trained gains
        ("arbel-sn-dcgan-32", "discriminator", "-gain", "", 5_860_865),
        ("arbel-sn-resnet-64", "discriminator", "-gain", "", 10_103_297),
        # by Miyato & Koyama's projection alone, 1000 * 1024 more
        ("arbel-sn-resnet-64-cond", "discriminator", "-gain", "", 11_127_297),
        # RL-Practicals: what else "more than 12 million" may be
        ("tme-dcgan-64", "generator", "1024-bn", "1024", 12_672_768),
        ("tme-dcgan-64", "generator", "1024-bn", "1024-nobias", 12_656_384),
    ],
)
def test_variants_have_the_parameters_of_their_sources(name, net, words, other, count):
    preset = architectures.get(name)
    assert words in preset[net]
    checked = architecture.read(preset | {net: preset[net].replace(words, other)})
    assert shapes.params(*checked.nets[net], checked.classes) == count


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


WEIGHTS = ("dense", "conv", "tconv", "res", "stem", "attn")


@pytest.mark.parametrize("family", ["arbel-sn*", "sn-resnet*", "sagan*", "fork*"])
def test_every_kernel_of_these_discriminators_is_normalised(family):
    for name in architectures.names(family):
        preset = architectures.get(name)
        found = spec.parse(preset["discriminator"])
        weights = {layer.weight for layer in found if layer.kind in WEIGHTS}
        assert weights == {"sn" if family == "fork*" else "snm"}, name
        trained = [layer.trainable_gain for layer in found if layer.kind in WEIGHTS]
        assert all(trained) == any(trained) == family.startswith("arbel"), name
        generator = {layer.weight for layer in spec.parse(preset["generator"])}
        assert ("snm" in generator) == (family == "sagan*"), name


@ALL
def test_images_end_in_tanh_and_scores_in_logits(name):
    checked = architecture.read(architectures.get(name))
    ends = [checked.generator, *filter(None, [checked.decoder])]
    if name not in ("mlp-1d", "mlp-2d"):
        assert all(net[-1].act == "tanh" for net in ends)
    acts = {layer.act or layer.kind for layer in checked.discriminator}
    assert not acts & {"sigmoid", "tanh", "softplus"}


@pytest.mark.parametrize("name", ["sn-resnet-32", "sn-resnet-64", "sn-resnet-128"])
def test_labels_change_batch_norms_and_the_score_alone(name):
    plain, cond = architectures.get(name), architectures.get(f"{name}-cond")
    generator = cond["generator"].replace("-cbn", "-bn")
    assert generator == plain["generator"]
    assert cond["discriminator"] == plain["discriminator"] + "-proj"
    assert (plain["classes"], cond["classes"] > 0) == (0, True)


@pytest.mark.parametrize("name, channels", [("sagan-128", 256), ("sagan-64", 128)])
def test_attention_stands_on_the_map_of_32(name, channels):
    # Zhang et al. (2019), their non_local.py: queries c/8, pooled keys c/8 and values
    # c/2, a kernel back; products at 32 * 32 places with 16 * 16
    checked = architecture.read(architectures.get(name))
    half = {"generator": channels, "discriminator": channels // 2}
    for net, c in half.items():
        rows = shapes.rows(*checked.nets[net], checked.classes)
        (row,) = [row for row in rows if row.layer.kind == "attn"]
        kernels, products = c * c // 8 * 2 + c * c // 2 * 2, c // 8 + c // 2
        assert row.shape == (32, 32, c)
        assert row.macs == 1024 * kernels + 1024 * 256 * products


def test_names_are_found_by_pattern():
    assert architectures.names("*-2d") == ["mlp-2d"]
    assert architectures.names("sagan*") == ["sagan-128", "sagan-64"]
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
        ("sagan", "unknown architecture 'sagan'; did you mean 'sagan-64'?"),
        ("", "unknown architecture ''; tools/show_net.py lists all"),
        (5, "unknown architecture 5; tools/show_net.py lists all"),
    ],
)
def test_unknown_names_are_refused_in_words(name, message):
    with pytest.raises(ValueError) as caught:
        architectures.get(name)
    assert str(caught.value) == message


# ---- tools/show_net.py


@pytest.fixture(scope="module")
def show_net(tool):
    return tool("show_net")


def test_show_net_has_the_sizes_of_all_on_a_line_each(show_net):
    lines = show_net.sizes("*").splitlines()
    assert [line.split()[0] for line in lines[2:]] == architectures.names()
    for line, (count, by_score) in zip(lines[2:], zoo.ARCHITECTURES.values()):
        assert f" {count:,} " in line
        assert f" {next(iter(by_score.values())):,} " in line
    narrow = [line for line in lines[2:] if line.split()[0] not in zoo.DECODERS]
    assert max(map(len, narrow)) <= 120


def test_show_net_lines_up_names_and_numbers(show_net):
    # kernels by hand: 16 * 128 + 128 * 128 + 128 * 2, 2 * 128 + 128 * 128 + 128 * 16
    assert show_net.sizes("mlp-2d") == (
        "                       generator                 discriminator\n"
        "architecture  source  parameters  multiply-adds     parameters  "
        "multiply-adds\n"
        "mlp-2d        gantf       18,946         18,688         18,960         18,688"
    )


def test_show_net_shows_decoders_and_labels(show_net):
    shown = show_net.show("li-mnist-32")
    assert "\ngenerator, from normal-10\n" in shown
    assert "\n\ndecoder\nlayer" in shown
    assert (shown.count("698,240"), shown.count("698,112")) == (2, 1)
    shown = show_net.show("sn-resnet-32-cond")
    assert shown.startswith(
        "sn-resnet-32-cond: Miyato & Koyama (2018), their code, CIFAR-10\n"
        "labels of 10 classes\n\n"
    )
    assert "4,304,387" in shown and "1,055,104" in shown
    assert "labels" not in show_net.show("sn-resnet-32")


def test_show_net_lists_what_matches(show_net):
    assert (
        show_net.show("mlp-2*") == f"mlp-2d  {architectures.get('mlp-2d')['reference']}"
    )
    assert len(show_net.show("*").splitlines()) == len(zoo.ARCHITECTURES)
    for say in show_net.show, show_net.sizes:
        with pytest.raises(ValueError, match=r"^no architecture matches 'none\*'$"):
            say("none*")


def test_show_net_counts_words_with_labels(show_net):
    # 2 * 10 classes * 8 and 10 * 8 beside what every class shares
    said = show_net.show("cbn gsum dense-1-nobias-proj", "4x4x8", 10)
    assert said.splitlines()[-1].split() == ["total", "248", "8"]
