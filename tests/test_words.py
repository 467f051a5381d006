"""The tables of words: whole, listed, and open to words of the user."""

import re

import pytest
import zoo

from gantf import words
from gantf.spec import DEFAULTS
from gantf.words import APART, KINDS, NUMBERS, RULES, WORDS


def test_every_row_of_the_tables_is_used():
    options = {word for kind in KINDS.values() for word in kind.words.split()}
    assert options == set(WORDS)
    assert {WORDS[word].field for word in WORDS} <= set(DEFAULTS)
    assert set(zoo.PLAIN) == set(KINDS)
    assert all(entry.help for entry in [*KINDS.values(), *WORDS.values()])


def test_every_field_of_a_layer_has_a_word():
    set_by_words = {word.field for word in WORDS.values()}
    set_by_words |= {word.number for word in WORDS.values() if word.number}
    assert set_by_words | {"kind", "size", "out"} == set(DEFAULTS)


def test_every_number_has_its_rule():
    numbers = {word.field for word in WORDS.values() if word.value is None}
    numbers |= {word.number for word in WORDS.values() if word.number}
    assert numbers == set(NUMBERS)
    assert set(NUMBERS.values()) <= set(RULES)
    assert {f for one, other, _ in APART for f in (one, other)} <= set(DEFAULTS)
    for kind in KINDS.values():
        assert {kind.size, kind.out} <= {*RULES, ""}


def test_norms_and_activations_stand_alone():
    alone = {name for name in KINDS if words.is_alone(name)}
    assert alone == {n for n, w in WORDS.items() if w.field in ("norm", "act")}
    assert {*KINDS} & {*WORDS} - alone == {"up"}  # a layer, and a word of blocks
    assert not words.is_alone("up") and not words.is_alone("conv")


NUMBER = r"(N|R|N-N|-N\|HxWxC|-HxWxC|\[[a-z]+\])?"


@pytest.mark.parametrize("table", [KINDS, WORDS], ids=["kinds", "words"])
def test_the_vocabulary_has_a_line_for_every_word(table):
    said = words.vocabulary().split("\n")
    for name, entry in table.items():
        line = re.compile(f"  {name}{NUMBER} +{re.escape(entry.help)}")
        assert len([text for text in said if line.fullmatch(text)]) == 1, name
    assert len(said) == 2 + len(
        [n for n in KINDS if n not in WORDS or n == "up"]
    ) + len(WORDS)


def test_the_vocabulary_by_hand():
    said = words.vocabulary().split("\n")
    assert said[0] == "kinds"
    for line in (
        "  dense-N|HxWxC    dense layer; an output HxWxC folds it into a map, "
        "before its norm",
        "  convN-N          convolution",
        "  dconvN           depthwise convolution: each channel by itself",
        "  upN              larger by a factor: nearest pixel",
        "  upN              larger by a factor inside the block: nearest pixel",
        "  noiseR           Gaussian noise of a standard deviation, in training",
        "  gsum             sum over height and width",
        "  hN               channels between the two kernels of a block",
        "  sn[gain]         spectral norm of the operator; the number: its gain",
        "  cbn              batch norm, gain and shift of the class; drops the bias",
        "  lrelu[slope]     leaky relu; the number: slope (0.1)",
    ):
        assert line in said


def test_words_are_added(in_process):
    """In a Python of its own: the tables are one for all."""
    got = in_process(ADDED)
    assert got["printed"] == got["texts"]
    assert got["same"]
    assert got["sorted"] == "conv3-8-rms-celu"
    assert got["said"] == [
        "conv takes no option 'mishh'; did you mean 'mish'?",
        "slope of conv means nothing without lrelu or celu",
        "blur needs its size, as in blur3",
        "blur takes no option 'relu'; it is a layer of its own",
        "'mish' takes no number",
        "attn takes no option 'mish'; it is a layer of its own",
    ]
    assert got["listed"] == [
        "  octaveN-N        octave convolution",
        "  blurN            mean of N x N pixels",
        "  frn[groups]      filter response norm; the number: groups",
        "  rms              root mean square norm",
        "  mish             x tanh(softplus(x))",
        "  celu[slope]      a smooth elu; the number: slope",
    ]


ADDED = """
import json
from gantf.spec import SpecError, parse, unparse
from gantf.words import Kind, Word, add, vocabulary

add("octave", Kind("octave convolution", "whole", "whole", "s sn snm nobias bn relu"))
add("mish", Word("x tanh(softplus(x))", "act", "mish"))
add("blur", Kind("mean of N x N pixels", "whole"))
add("frn", Word("filter response norm; the number: groups", "norm", "frn", "groups"))
add("rms", Word("root mean square norm", "norm", "rms"))
add("celu", Word("a smooth elu; the number: slope", "act", "celu", "slope"))
texts = [
    "conv3-8-mish",
    "dconv3-mish",
    "dense-4x4x8-sn-rms-mish",
    "res3-8-up2-frn8-celu0.2",
    "octave3-8-s2-snm-nobias-bn-mish",
    "mish rms celu0.3 celu frn8 frn blur3",
]
nets = [parse(text) for text in texts]
said = []
slope = {"kind": "conv", "size": 3, "out": 4, "slope": 0.2}
wrongs = "conv3-8-mishh", slope, "blur", "blur3-relu", "conv3-8-mish2", "attn8-mish"
for wrong in wrongs:
    try:
        parse(wrong)
    except SpecError as error:
        said.append(error.message)
helps = "mean of N", "octave", "filter", "root mean square norm", "tanh(s", "smooth"
print(json.dumps({
    "texts": texts,
    "printed": [unparse(net) for net in nets],
    "same": all(parse([layer.to_dict() for layer in net]) == net for net in nets),
    "sorted": unparse(parse("conv3-8-celu-rms")),
    "said": said,
    "listed": [
        line for line in vocabulary().split("\\n") if any(h in line for h in helps)
    ],
}))
"""

PLAIN = words.Kind("a layer")


@pytest.mark.parametrize(
    "name, row, message",
    [
        ("relu", PLAIN, "the word 'relu' is taken: max(x, 0)"),
        ("conv", PLAIN, "the word 'conv' is taken: convolution"),
        (
            "sc",
            PLAIN,
            (
                "the word 'sc' is taken: a kernel on the shortcut where it could be "
                "the identity"
            ),
        ),
        ("mish2", PLAIN, "a word is small letters a to z, not 'mish2'"),
        ("Mish", PLAIN, "a word is small letters a to z, not 'Mish'"),
        ("mish\n", PLAIN, "a word is small letters a to z, not 'mish\\n'"),
        ("", PLAIN, "a word is small letters a to z, not ''"),
        (3, PLAIN, "a word is small letters a to z, not 3"),
        (
            "blur",
            words.Kind("a layer", size="hole"),
            "unknown rule 'hole'; did you mean 'whole'?",
        ),
        (
            "blur",
            words.Kind("a layer", out="shapes"),
            "unknown rule 'shapes'; did you mean 'shape'?",
        ),
        (
            "blur",
            words.Kind("a layer", words="sn relo"),
            "unknown option 'relo'; did you mean 'relu'?",
        ),
        (
            "blur",
            words.Kind("a layer", words="sn proj"),
            "an added kind takes no 'proj': it is made without labels",
        ),
        ("blur", "a layer", "a row is a Kind or a Word, not 'a layer'"),
        (
            "mish",
            words.Word("mish", "act", "mish", "stride"),
            "unknown number 'stride'; known: groups, slope",
        ),
        (
            "wn",
            words.Word("weight norm", "weight", "wn"),
            "an added option is a norm or an act, not 'weight'",
        ),
        (
            "mish",
            words.Word("mish", "act"),
            "the value of 'mish' is 'mish', not None",
        ),
        (
            "mish",
            words.Word("mish", "act", "relu"),
            "the value of 'mish' is 'mish', not 'relu'",
        ),
        (
            "mish",
            words.Word("mish", "act", "mish", "slop"),
            "unknown number 'slop'; did you mean 'slope'?",
        ),
    ],
)
def test_words_that_cannot_be_added_leave_the_tables(name, row, message):
    before = dict(KINDS), list(WORDS.items())
    with pytest.raises(ValueError) as caught:
        words.add(name, row)
    assert str(caught.value) == message
    assert before == (dict(KINDS), list(WORDS.items()))
