"""Architecture dicts: what is read, what fits, what is refused."""

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_spec import ANYTHING, check_mark

from gantf import architecture
from gantf.architecture import Latent, read
from gantf.spec import SpecError, unparse

GOOD = {
    "latent": "normal-8",
    "sample": "2",
    "generator": "dense-2",
    "discriminator": "dense-1",
}
IMAGES = {
    "reference": "a test",
    "latent": "uniform-16",
    "sample": "8x6x1",
    "classes": 3,
    "generator": "dense-8x6x2-relu conv3-1-s1-tanh  # same",
    "discriminator": "conv3-4-sn1 gsum dense-5",
}


def test_an_architecture_by_hand():
    checked = read(IMAGES)
    assert checked.reference == "a test"
    assert checked.latent == Latent("uniform", 16)
    assert (checked.sample, checked.classes, checked.score) == ((8, 6, 1), 3, 5)
    assert unparse(checked.discriminator) == "conv3-4-sn gsum dense-5"


def test_the_dict_is_canonical_and_read_again():
    again = read(IMAGES).to_dict()
    assert again == IMAGES | {
        "generator": "dense-8x6x2-relu conv3-1-tanh",
        "discriminator": "conv3-4-sn gsum dense-5",
    }
    assert read(again) == read(IMAGES)
    assert read(read(IMAGES)) == read(IMAGES)


def test_reference_and_classes_may_be_left_out():
    assert (read(GOOD).reference, read(GOOD).classes) == ("", 0)
    assert read(GOOD).to_dict() == GOOD | {"reference": "", "classes": 0}


def test_with_score():
    wide = read(IMAGES).with_score(16)
    assert wide.score == 16
    assert unparse(wide.discriminator) == "conv3-4-sn gsum dense-16"
    assert read(IMAGES).with_score(None) == read(IMAGES)
    assert dataclasses.replace(wide, discriminator=read(IMAGES).discriminator) == (
        read(IMAGES)
    )


def test_with_score_counts_the_pixels_of_a_last_map():
    # three outputs at 4x3 pixels
    wide = read(IMAGES | {"discriminator": "conv3-3-s2 flatten"})
    assert wide.score == 36
    assert unparse(wide.with_score(12).discriminator) == "conv3-1-s2 flatten"
    assert wide.with_score(36) == wide
    with pytest.raises(SpecError) as caught:
        wide.with_score(1)
    assert str(caught.value) == (
        "no width of conv3-3-s2 makes a score of 1, but 36; a loss that takes any "
        "score does\n"
        "    conv3-3-s2 flatten\n"
        "    ^^^^^^^^^^"
    )


def test_with_score_of_no_width_at_all():
    flat = read(IMAGES | {"discriminator": "flatten"})
    assert flat.with_score(48) == flat
    for score in (16, True, 48.0):
        with pytest.raises(SpecError, match="gives the score its width"):
            flat.with_score(score)


DECODED = IMAGES | {"decoder": "dense-8x6x1-tanh  # back"}


def test_a_decoder_makes_samples_of_scores():
    checked = read(DECODED)
    assert unparse(checked.decoder) == "dense-8x6x1-tanh"
    assert checked.to_dict() == read(IMAGES).to_dict() | {"decoder": "dense-8x6x1-tanh"}
    assert read(checked.to_dict()) == checked
    assert read(IMAGES).decoder is None
    assert "decoder" not in read(IMAGES).to_dict()


def test_a_decoder_starts_from_the_new_score():
    wide = read(DECODED).with_score(16)
    assert (wide.score, wide.decoder) == (16, read(DECODED).decoder)
    fixed = read(DECODED | {"decoder": "reshape-1x1x5 flatten dense-8x6x1"})
    with pytest.raises(SpecError) as caught:
        fixed.with_score(16)
    assert str(caught.value) == (
        "decoder: cannot fold 16 into 1x1x5\n"
        "    reshape-1x1x5 flatten dense-8x6x1\n"
        "    ^^^^^^^^^^^^^"
    )


def test_nets_say_what_they_start_from():
    checked = read(DECODED)
    assert checked.nets == {
        "generator": (checked.generator, (16,)),
        "discriminator": (checked.discriminator, (8, 6, 1)),
        "decoder": (checked.decoder, (5,)),
    }
    assert list(read(IMAGES).nets) == ["generator", "discriminator"]


LABELS = IMAGES | {
    "generator": "dense-8x6x2-cbn-relu res3-4-cbn-relu conv3-1-bcb-tanh",
    "discriminator": "conv3-4-ck-lrelu gsum dense-2-cd dense-1-proj",
}


def test_nets_with_labels_are_read_with_their_classes():
    checked = read(LABELS)
    assert (checked.classes, checked.score) == (3, 1)
    assert read(checked.to_dict()) == checked
    assert checked.with_score(7).score == 7


def test_sizes_are_canonical():
    assert architecture.read_sample("032x08x3") == (32, 8, 3)
    assert str(architecture.read_latent("normal-0128")) == "normal-128"


REFUSED = [  # (architecture, line, marks, message)
    (
        {**GOOD, "latent": "norml-8"},
        "norml-8",
        "^^^^^",
        "unknown law of latents 'norml'; did you mean 'normal'?",
    ),
    (
        {**GOOD, "latent": "normal-0"},
        "normal-0",
        "       ^",
        "a latent has at least one number",
    ),
    (
        {**GOOD, "latent": "normal"},
        "normal",
        "^^^^^^",
        "latent is a law and a size, as in normal-128",
    ),
    (
        {**GOOD, "latent": 8},
        "{'latent': 8}",
        " ^^^^^^^^^^^",
        "latent is a string, not 8",
    ),
    (
        {**GOOD, "sample": "0"},
        "0",
        "^",
        "sample is a shape HxWxC, as in 32x32x3, or one number",
    ),
    (
        {**GOOD, "sample": "00"},
        "00",
        "^^",
        "sample is a shape HxWxC, as in 32x32x3, or one number",
    ),
    (
        {**GOOD, "sample": "2x2"},
        "2x2",
        "^^^",
        "sample is a shape HxWxC, as in 32x32x3, or one number",
    ),
    (
        {**GOOD, "sample": (2,)},
        "{'sample': (2,)}",
        " ^^^^^^^^^^^^^^",
        "sample is a string, not (2,)",
    ),
    (
        {**GOOD, "classes": -1},
        "{'classes': -1}",
        " ^^^^^^^^^^^^^",
        "classes is a whole number from 0, not -1",
    ),
    (
        {**GOOD, "classes": True},
        "{'classes': True}",
        " ^^^^^^^^^^^^^^^",
        "classes is a whole number from 0, not True",
    ),
    (
        {**GOOD, "reference": 3},
        "{'reference': 3}",
        " ^^^^^^^^^^^^^^",
        "reference is a string, not 3",
    ),
    (
        {**GOOD, "generator": "dense-3"},
        "dense-3",
        "^^^^^^^",
        "the generator makes 3, not the sample 2",
    ),
    (
        {**GOOD, "generator": "dense-3 dnse-2"},
        "dense-3 dnse-2",
        "        ^^^^",
        "unknown layer kind 'dnse'; did you mean 'dense'?",
    ),
    (
        {**GOOD, "generator": None},
        "None",
        "^^^^",
        "a net is a string, or a list of strings and dicts, not None",
    ),
    (
        {**GOOD, "discriminator": "dense-2x2x1"},
        "dense-2x2x1",
        "^^^^^^^^^^^",
        "the discriminator ends with 2x2x1, not with a flat score",
    ),
    (
        {**GOOD, "discriminator": "dense-4 conv3-1"},
        "dense-4 conv3-1",
        "        ^^^^^^^",
        "discriminator: conv needs a map HxWxC, not 4",
    ),
    (
        {**GOOD, "generator": "dense-4 gsum dense-2"},
        "dense-4 gsum dense-2",
        "        ^^^^",
        "generator: gsum needs a map HxWxC, not 4",
    ),
    (
        {**GOOD, "decoder": "dense-3"},
        "dense-3",
        "^^^^^^^",
        "the decoder makes 3, not the sample 2",
    ),
    (
        {**GOOD, "decoder": "relu conv3-2"},
        "relu conv3-2",
        "     ^^^^^^^",
        "decoder: conv needs a map HxWxC, not 1",
    ),
    (
        {**GOOD, "decoder": None},
        "None",
        "^^^^",
        "a net is a string, or a list of strings and dicts, not None",
    ),
    (
        {**GOOD, "generator": "dense-4-cbn dense-2"},
        "dense-4-cbn dense-2",
        "^^^^^^^^^^^",
        "generator: cbn needs labels: give classes, as in 'classes': 10",
    ),
    (
        {**GOOD, "discriminator": "dense-4 dense-1-proj"},
        "dense-4 dense-1-proj",
        "        ^^^^^^^^^^^^",
        "discriminator: proj needs labels: give classes, as in 'classes': 10",
    ),
    (
        {**GOOD, "decoder": "dense-2-cd"},
        "dense-2-cd",
        "^^^^^^^^^^",
        "decoder: cd needs labels: give classes, as in 'classes': 10",
    ),
    (
        {**GOOD, "gen": "dense-2"},
        "latent, sample, generator, discriminator, gen",
        "                                          ^^^",
        (
            "an architecture has no 'gen'; known: reference, latent, sample, "
            "classes, generator, discriminator, decoder"
        ),
    ),
    (
        {**GOOD, "late": "x"},
        "latent, sample, generator, discriminator, late",
        "                                          ^^^^",
        "an architecture has no 'late'; did you mean 'latent'?",
    ),
    (
        {**GOOD, 5: 6},
        "latent, sample, generator, discriminator, 5",
        "                                          ^",
        (
            "an architecture has no 5; known: reference, latent, sample, "
            "classes, generator, discriminator, decoder"
        ),
    ),
    (
        {**GOOD, "": 6},
        "latent, sample, generator, discriminator, ",
        "                                          ^",
        (
            "an architecture has no ''; known: reference, latent, sample, "
            "classes, generator, discriminator, decoder"
        ),
    ),
    ({"latent": "normal-8"}, "latent", "^^^^^^", "an architecture needs its sample"),
    ({}, "", "^", "an architecture needs its latent"),
    ([1], "[1]", "^^^", "an architecture is a dict, not list"),
    ("dcgan", "'dcgan'", "^^^^^^^", "an architecture is a dict, not str"),
]


@pytest.mark.parametrize("given_, line, marks, message", REFUSED)
def test_architectures_are_refused_in_words(given_, line, marks, message):
    with pytest.raises(SpecError) as caught:
        read(given_)
    assert str(caught.value) == f"{message}\n    {line}\n    {marks}"


def test_the_mark_stands_in_a_net_of_several_lines():
    net = "conv3-4\n  gsum  # 4\n  conv3-1"
    with pytest.raises(SpecError) as caught:
        read(IMAGES | {"discriminator": net})
    assert str(caught.value) == (
        "discriminator: conv needs a map HxWxC, not 4\n      conv3-1\n      ^^^^^^^"
    )
    assert caught.value.source == net


KEYS = st.sampled_from([*DECODED]) | st.text(max_size=8) | st.integers() | st.none()


@given(st.dictionaries(KEYS, ANYTHING, max_size=4), st.booleans())
@example({"classes": 10**5000}, True)
@example({10**5000: 1}, True)
@example({"reference": 10**5000}, True)
@example({"latent": "normal-" + "9" * 5000}, True)
@example({"sample": "9" * 5000}, True)
@example({"sample": "٣"}, True)
def test_any_dict_is_read_or_refused(other, whole):
    try:
        read((GOOD if whole else {}) | other)
    except SpecError as error:
        check_mark(error)


@given(ANYTHING)
@example([10**5000])
def test_anything_is_read_or_refused(thing):
    try:
        read(thing)
    except SpecError as error:
        check_mark(error)
