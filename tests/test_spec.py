"""The language: what it reads, what it prints, what it refuses and in which words."""

import dataclasses
import itertools
import json
import pickle
import subprocess
import sys

import pytest
import zoo
from hypothesis import example, given
from hypothesis import strategies as st

from gantf import spec
from gantf.spec import DEFAULTS, Layer, SpecError, parse, unparse
from gantf.words import APART, KINDS, NUMBERS, WORDS, is_alone

# ---- nets drawn from the tables

WHOLE = st.integers(1, 10**9 - 1)
FROM_0 = st.integers(0, 10**9 - 1)
ABOVE_0 = st.one_of(
    WHOLE,
    st.floats(1e-9, 1e9, exclude_max=True),
    st.sampled_from([1e-9, 0.1, 1.0, 2.0, 64 ** (1 / 8), 999999999.9999999]),
)
SHAPE = st.tuples(WHOLE, WHOLE, WHOLE)
VALUES = {
    "whole": WHOLE,
    "from 0": FROM_0,
    "above 0": ABOVE_0,
    "shape": SHAPE,
    "whole or shape": WHOLE | SHAPE,
    "rate": st.floats(1e-9, 1, exclude_max=True),
}


@st.composite
def layer_dicts(draw):
    """A layer in its dict form: a kind, and some of the words that it takes."""
    kind = draw(st.sampled_from(list(KINDS)))
    entry, fields = KINDS[kind], {"kind": kind}
    for field in ("size", "out"):
        if getattr(entry, field):
            fields[field] = draw(VALUES[getattr(entry, field)])
    number = WORDS[kind].number if is_alone(kind) else None
    if number and draw(st.booleans()):
        fields[number] = draw(VALUES[NUMBERS[number]])
    for name in draw(st.permutations(entry.words.split())):
        word = WORDS[name]
        if word.field in fields or not draw(st.booleans()):
            continue
        if word.field == "trainable_gain" and "weight" not in fields:
            continue
        own = word.value is None
        fields[word.field] = draw(VALUES[NUMBERS[word.field]]) if own else word.value
        if word.number and draw(st.booleans()):
            fields[word.number] = draw(VALUES[NUMBERS[word.number]])
    for one, other, _ in APART:
        if {one, other} <= set(fields):
            fields.pop(draw(st.sampled_from([one, other])))
    if isinstance(fields.get("out"), tuple):
        fields.pop("project", None)
    if fields.get("norm") == "in" and {"bias", "class_kernel"} & set(fields):
        fields.pop("norm"), fields.pop("groups", None)
    return fields


NETS = st.lists(layer_dicts(), min_size=1, max_size=5)


@given(NETS)
def test_nets_survive_printing(dicts):
    net = parse(dicts)
    assert parse(unparse(net)) == net


@given(NETS)
def test_the_printed_net_is_a_fixed_point(dicts):
    text = unparse(parse(dicts))
    assert unparse(parse(text)) == text


@given(NETS)
def test_nets_survive_dicts_and_json(dicts):
    net = parse(dicts)
    assert parse([layer.to_dict() for layer in net]) == net
    assert parse(json.loads(json.dumps([layer.to_dict() for layer in net]))) == net


@given(layer_dicts(), st.randoms(use_true_random=False))
def test_options_stand_in_any_order(fields, random):
    (layer,) = parse(fields)
    first, *rest = str(layer).split("-")
    random.shuffle(rest)
    assert parse("-".join([first, *rest])) == (layer,)


@given(layer_dicts(), st.integers(1, 1500), st.sampled_from([" ", "\n", "\t# relu\n"]))
def test_repeats_are_written_as_a_count(fields, count, gap):
    (layer,) = parse(fields)
    text = unparse([layer] * count)
    assert len(text.split()) == (1 if count <= 1000 else 2)
    assert parse(text.replace(" ", gap)) == (layer,) * count


@pytest.mark.parametrize("text, _", zoo.WORDS)
def test_words_are_canonical(text, _):
    assert unparse(parse(text)) == text


# Of two words at most one, and words that need another.
NOT_BOTH = {("s", "d"), ("up", "down"), ("up", "sc"), ("down", "sc")}
NOT_BOTH |= {("cb", "in"), ("bcb", "in"), ("ck", "in")}


def examples(kind):
    """A layer of the kind without options, and each of its words with a number."""
    entry = KINDS[kind]
    sizes = {"": "", "whole": "2", "rate": "0.5"}
    outs = {"": "", "whole": "-8", "shape": "-2x3x4", "whole or shape": "-8"}
    base = kind + sizes[entry.size] + outs[entry.out]
    return base, {
        name: name + ("3" if WORDS[name].value is None or WORDS[name].number else "")
        for name in entry.words.split()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_words_is_read_in_all_forms_or_refused(kind):
    base, written = examples(kind)
    for one, other in itertools.product(written, repeat=2):
        fields = {WORDS[one].field, WORDS[other].field}
        text = f"{base}-{written[one]}-{written[other]}"
        if len(fields) == 1:
            refused = True  # twice the same
        elif {(one, other), (other, one)} & NOT_BOTH:
            refused = True
        else:
            refused = "gain" in (one, other) and "weight" not in fields
        if refused:
            with pytest.raises(SpecError):
                parse(text)
            continue
        net = parse(text)
        assert parse(f"{base}-{written[other]}-{written[one]}") == net
        assert parse(unparse(net)) == parse([layer.to_dict() for layer in net]) == net
        named = {part.rstrip("3") for part in unparse(net).split("-")[1:]} - {"8"}
        assert named == {one, other}


# ---- what is read, by hand


def test_a_layer_by_hand():
    (layer,) = parse("conv3-64-s2-p1-snm1.5-gain-nobias-gn8-lrelu0.2")
    assert layer == Layer(
        kind="conv",
        size=3,
        out=64,
        stride=2,
        padding=1,
        weight="snm",
        gain=1.5,
        trainable_gain=True,
        bias=False,
        norm="gn",
        groups=8,
        act="lrelu",
        slope=0.2,
    )
    assert layer.to_dict() == {
        "kind": "conv",
        "size": 3,
        "out": 64,
        "stride": 2,
        "padding": 1,
        "weight": "snm",
        "gain": 1.5,
        "trainable_gain": True,
        "bias": False,
        "norm": "gn",
        "groups": 8,
        "act": "lrelu",
        "slope": 0.2,
    }


@pytest.mark.parametrize(
    "text, fields",
    [
        (
            "conv3-64-g4-ck-bcb-cbn-relu",
            {
                "kind": "conv",
                "size": 3,
                "out": 64,
                "kernel_groups": 4,
                "class_kernel": "scale",
                "bias": "both",
                "norm": "cbn",
                "act": "relu",
            },
        ),
        (
            "dense-1-sn2-cd-cb-proj",
            {
                "kind": "dense",
                "out": 1,
                "weight": "sn",
                "gain": 2.0,
                "class_kernel": "sum",
                "bias": "class",
                "project": True,
            },
        ),
        (
            "dconv3-s2-m4-sn-gain",
            {
                "kind": "dconv",
                "size": 3,
                "stride": 2,
                "multiplier": 4,
                "weight": "sn",
                "trainable_gain": True,
            },
        ),
        ("sconv3-8-d2", {"kind": "sconv", "size": 3, "out": 8, "dilation": 2}),
        (
            "res3-64-h32-up2-lastbias-gn8-lrelu0.2",
            {
                "kind": "res",
                "size": 3,
                "out": 64,
                "hidden": 32,
                "up": 2,
                "bias": "last",
                "norm": "gn",
                "groups": 8,
                "act": "lrelu",
                "slope": 0.2,
            },
        ),
        (
            "res3-64-sc-scbias",
            {"kind": "res", "size": 3, "out": 64, "sc": True, "bias": "shortcut"},
        ),
        (
            "stem3-64-h32-down2-snm-nobias",
            {
                "kind": "stem",
                "size": 3,
                "out": 64,
                "hidden": 32,
                "down": 2,
                "weight": "snm",
                "bias": False,
            },
        ),
        (
            "attn8-v4-pool-dist-sn",
            {
                "kind": "attn",
                "size": 8,
                "values": 4,
                "pool": True,
                "logits": "distance",
                "weight": "sn",
            },
        ),
        ("noise0.1", {"kind": "noise", "size": 0.1}),
        ("mbstd4", {"kind": "mbstd", "size": 4}),
        ("cbn", {"kind": "cbn"}),
    ],
)
def test_words_and_their_fields_by_hand(text, fields):
    (layer,) = parse(text)
    assert layer == Layer(**fields)
    assert layer.to_dict() == fields
    assert str(layer) == text


def test_defaults_are_left_out():
    text = "conv3-64-s1-d1-sn1-gn32-lrelu0.1 gn32 lrelu0.1"
    assert unparse(parse(text)) == "conv3-64-sn-gn-lrelu gn lrelu"
    assert parse("gn32")[0].to_dict() == {"kind": "gn"}
    text = "conv3-8-g1 dconv3-m1 res3-8-up1-down1 stem3-8-down1-sn1"
    assert unparse(parse(text)) == "conv3-8 dconv3 res3-8 stem3-8-sn"
    fields = {"kind": "attn", "size": 8, "values": 2, "logits": "dot", "pool": False}
    assert str(parse(fields)[0]) == "attn8"


def test_same_padding_is_not_padding_0():
    assert unparse(parse("conv3-4-p0 conv3-4")) == "conv3-4-p0 conv3-4"


def test_small_numbers_are_printed_without_exponents():
    (layer,) = parse({"kind": "lrelu", "slope": 1.5e-7})
    assert str(layer) == "lrelu0.00000015"


def test_comments_and_white_space_stand_between_layers():
    text = "# a net\n  2*conv3-8 # two\r\n\tgsum#end\u00a0\n dense-1"
    assert [str(layer) for layer in parse(text)] == [
        "conv3-8",
        "conv3-8",
        "gsum",
        "dense-1",
    ]


def test_lists_mix_the_forms():
    (relu,) = parse("relu")
    net = parse(["conv3-8 gsum", {"kind": "flatten"}, relu])
    assert unparse(net) == "conv3-8 gsum flatten relu"
    assert parse({"kind": "relu"}) == (relu,)


def test_the_source_of_a_layer_is_not_compared():
    assert parse("relu") == parse("  relu  # again") == parse({"kind": "relu"})
    assert parse("  relu")[0].span == (2, 6)
    assert len({*parse("relu tanh 2*relu")}) == 2


@pytest.mark.parametrize(
    "text, has_bias",
    [
        ("dense-4", True),
        ("dense-4-nobias", False),
        ("dense-4-bn", False),
        ("conv3-4-in", False),
        ("conv3-4-gn2", True),
        ("conv3-4-ln", True),
        ("conv3-4-pn", True),
        ("dense-4-cbn", False),
        ("dense-4-cb", False),
        ("dense-4-bcb", True),
        ("dense-4-bcb-bn", False),
        ("dconv3-in", False),
        ("sconv3-4-ln", True),
    ],
)
def test_norms_that_take_the_mean_away_drop_the_bias(text, has_bias):
    assert parse(text)[0].has_bias is has_bias


@pytest.mark.parametrize(
    "text, has_bias",
    [("dense-4", False), ("dense-4-cb", True), ("conv3-4-bcb-bn", True)],
)
def test_norms_leave_the_bias_of_the_class(text, has_bias):
    assert parse(text)[0].has_class_bias is has_bias


@pytest.mark.parametrize(
    "text, biases",
    [
        ("res3-4", (True, True, True)),
        ("res3-4-bn-relu", (True, True, True)),  # a norm drops none
        ("stem3-4-cbn", (True, True, True)),
        ("res3-4-nobias", (False, False, False)),
        ("res3-4-lastbias-in", (False, True, True)),
        ("stem3-4-scbias", (False, False, True)),
    ],
)
def test_the_biases_of_a_block(text, biases):
    assert parse(text)[0].block_biases == biases


@pytest.mark.parametrize(
    "text, labels",
    [
        ("conv3-4-bn-relu", ()),
        ("attn8-sn", ()),
        ("cbn", ("cbn",)),
        ("res3-4-cbn-relu", ("cbn",)),
        ("dense-1-proj", ("proj",)),
        ("conv3-4-ck", ("ck",)),
        ("dense-4-cd", ("cd",)),
        ("dconv3-cb", ("cb",)),
        ("sconv3-4-bcb", ("bcb",)),
        ("dense-1-ck-cb-proj-cbn", ("cbn", "proj", "ck", "cb")),
    ],
)
def test_the_words_that_ask_for_labels(text, labels):
    assert parse(text)[0].labels == labels


# ---- what is refused: whole messages

TEXTS = [  # (text, marks under it, message)
    ("", "^", "expected a layer"),
    ("# only a comment", "^^^^^^^^^^^^^^^^", "expected a layer"),
    ("64", "^^", "expected a layer kind"),
    (
        "Conv3-64",
        "^^^^^",
        (
            "cannot read 'Conv3': a part is small letters, a number, or small "
            "letters and then a number"
        ),
    ),
    (
        "conv3-64 cnv3-64",
        "         ^^^^",
        "unknown layer kind 'cnv'; did you mean 'conv'?",
    ),
    (
        "conv3-64-reluu",
        "         ^^^^^",
        "conv takes no option 'reluu'; did you mean 'relu'?",
    ),
    (
        "conv3-64-flatten",
        "         ^^^^^^^",
        "conv takes no option 'flatten'; it is a layer of its own",
    ),
    (
        "conv3-64-slope0.3",
        "         ^^^^^^^^",
        (
            "conv takes no option 'slope'; known: s, d, p, g, sn, snm, gain, "
            "ck, nobias, cb, bcb, bn, cbn, ln, in, gn, pn, relu, lrelu, elu, selu, "
            "gelu, silu, crelu, softplus, softsign, sigmoid, tanh"
        ),
    ),
    ("conv3--5", "      ^", "expected a part here"),
    ("conv3-64-", "         ^", "expected a part here"),
    ("-conv3", "^", "expected a part here"),
    ("conv3-64-s", "         ^", "'s' needs a number, as in s2"),
    ("conv3-64-relu3", "         ^^^^^", "'relu' takes no number"),
    ("relu3", "^^^^^", "'relu' takes no number"),
    ("gsum3", "^^^^^", "gsum takes no size"),
    ("flatten-3", "        ^", "flatten takes no out"),
    (
        "conv3-64-lrelu-relu",
        "               ^^^^",
        "act is given twice: 'lrelu' and 'relu'",
    ),
    ("conv3-64-s2-s2", "            ^^", "stride is given twice: 's2' and 's2'"),
    ("conv3-64-32", "         ^^", "out is given twice: '64' and '32'"),
    ("conv3-64-sn-snm", "            ^^^", "weight is given twice: 'sn' and 'snm'"),
    ("drop2", "^^^^^", "size of drop is a number above 0 and below 1, not 2"),
    ("drop", "^^^^", "drop needs its size, as in drop0.5"),
    (
        "drop0.5-relu",
        "        ^^^^",
        "drop takes no option 'relu'; it is a layer of its own",
    ),
    ("conv3", "^^^^^", "conv needs its out, as in conv3-64"),
    ("conv-64", "^^^^", "conv needs its size, as in conv3-64"),
    ("dense", "^^^^^", "dense needs its out, as in dense-64"),
    ("reshape-4", "        ^", "out of reshape is a shape like 4x4x512, not 4"),
    ("reshape", "^^^^^^^", "reshape needs its out, as in reshape-4x4x512"),
    (
        "dense-4x4",
        "      ^^^",
        "out of dense is a whole number from 1 or a shape like 4x4x512, not 4x4",
    ),
    ("conv3-4x4x3", "      ^^^^^", "out of conv is a whole number from 1, not 4x4x3"),
    ("conv3.5-4", "^^^^^^^", "size of conv is a whole number from 1, not 3.5"),
    ("conv0-4", "^^^^^", "size of conv is a whole number from 1, not 0"),
    ("conv3-0", "      ^", "out of conv is a whole number from 1, not 0"),
    ("conv3-64-s0", "         ^^", "stride of conv is a whole number from 1, not 0"),
    (
        "conv3-64-s1.5",
        "         ^^^^",
        "stride of conv is a whole number from 1, not 1.5",
    ),
    (
        "conv3-64-p1.5",
        "         ^^^^",
        "padding of conv is a whole number from 0, not 1.5",
    ),
    (
        "conv3-64-sn0",
        "         ^^^",
        "gain of conv is a number from 1e-9 to below 1e9, not 0",
    ),
    (
        "conv3-64-s2-d2",
        "            ^^",
        "conv takes a stride or a dilation above 1, not both",
    ),
    (
        "conv3-64-gain",
        "         ^^^^",
        "trainable_gain of conv means nothing without sn or snm",
    ),
    (
        "conv3-64-lrelu0",
        "         ^^^^^^",
        "slope of conv is a number from 1e-9 to below 1e9, not 0",
    ),
    ("conv3-64-gn0", "         ^^^", "groups of conv is a whole number from 1, not 0"),
    (
        "conv3-64-gn2x2",
        "         ^^^^^",
        "groups of conv is a whole number from 1, not 2x2",
    ),
    ("0*relu", "^", "a layer stands 1 to 1000 times, not 0"),
    ("1001*relu", "^^^^", "a layer stands 1 to 1000 times, not 1001"),
    ("9999999999*relu", "^^^^^^^^^^", "a layer stands 1 to 1000 times, not 9999999999"),
    ("3*", "^", "expected a layer behind 3*"),
    ("3* relu", "^", "expected a layer behind 3*"),
    (
        "3*3*relu",
        "  ^^^^^^",
        (
            "cannot read '3*relu': a part is small letters, a number, or small "
            "letters and then a number"
        ),
    ),
    ("conv1234567890-3", "    ^^^^^^^^^^", "a number has nine digits at most"),
    (
        "conv3-64,relu",
        "      ^^^^^^^",
        (
            "cannot read '64,relu': a part is small letters, a number, or "
            "small letters and then a number"
        ),
    ),
    (
        "conv3-64-relu(0.1)",
        "         ^^^^^^^^^",
        (
            "cannot read 'relu(0.1)': a part is small letters, a number, or "
            "small letters and then a number"
        ),
    ),
    (
        "tconv4-64-d2",
        "          ^^",
        (
            "tconv takes no option 'd'; known: s, p, sn, snm, gain, ck, nobias, "
            "cb, bcb, bn, cbn, ln, in, gn, pn, relu, lrelu, elu, selu, gelu, silu, "
            "crelu, softplus, softsign, sigmoid, tanh"
        ),
    ),
    (
        "reshape-1x1x0",
        "        ^^^^^",
        "out of reshape is a shape like 4x4x512, not 1x1x0",
    ),
    (
        "conv3-６",
        "      ^",
        (
            "cannot read '６': a part is small letters, a number, or small "
            "letters and then a number"
        ),
    ),
    ("res3-64-up2-down2", "            ^^^^^", "res takes up or down, not both"),
    ("res3-64-sc-up2", "        ^^", "res takes up or sc, not both"),
    ("res3-64-sc-down2", "        ^^", "res takes down or sc, not both"),
    (
        "dconv3-s2-d2",
        "          ^^",
        "dconv takes a stride or a dilation above 1, not both",
    ),
    (
        "dense-4x4x8-proj",
        "            ^^^^",
        "proj needs an output of one number, as in dense-1-proj",
    ),
    ("dense-8-ck-cd", "           ^^", "class_kernel is given twice: 'ck' and 'cd'"),
    ("conv3-8-cb-bcb", "           ^^^", "bias is given twice: 'cb' and 'bcb'"),
    (
        "res3-8-scbias-nobias",
        "              ^^^^^^",
        "bias is given twice: 'scbias' and 'nobias'",
    ),
    ("conv3-8-bn-cbn", "           ^^^", "norm is given twice: 'bn' and 'cbn'"),
    ("conv3-8-g", "        ^", "'g' needs a number, as in g2"),
    (
        "conv3-8-g0",
        "        ^^",
        "kernel_groups of conv is a whole number from 1, not 0",
    ),
    ("dconv3-m0", "       ^^", "multiplier of dconv is a whole number from 1, not 0"),
    ("res3-8-h1.5", "       ^^^^", "hidden of res is a whole number from 1, not 1.5"),
    ("res3-8-up0", "       ^^^", "up of res is a whole number from 1, not 0"),
    (
        "stem3-8-down1.5",
        "        ^^^^^^^",
        "down of stem is a whole number from 1, not 1.5",
    ),
    ("attn8-v0", "      ^^", "values of attn is a whole number from 1, not 0"),
    ("attn8-pool2", "      ^^^^^", "'pool' takes no number"),
    ("attn8-dist2", "      ^^^^^", "'dist' takes no number"),
    ("res3-8-sc1", "       ^^^", "'sc' takes no number"),
    ("conv3-8-cbn2", "        ^^^^", "'cbn' takes no number"),
    (
        "attn8-gain",
        "      ^^^^",
        "trainable_gain of attn means nothing without sn or snm",
    ),
    ("dconv3-gain", "       ^^^^", "trainable_gain of dconv means nothing without sn"),
    ("sconv3-8-snm", "         ^^^", "sconv takes no option 'snm'; did you mean 'sn'?"),
    (
        "stem3-8-up2",
        "        ^^^",
        "stem takes no option 'up'; it is a layer of its own",
    ),
    (
        "attn8-relu",
        "      ^^^^",
        "attn takes no option 'relu'; it is a layer of its own",
    ),
    (
        "dconv3-8",
        "       ^",
        (
            "dconv takes no out; known: size, stride, dilation, multiplier, "
            "weight, gain, trainable_gain, bias, norm, groups, act, slope"
        ),
    ),
    (
        "stem3-8-sc",
        "        ^^",
        (
            "stem takes no option 'sc'; known: h, down, sn, snm, gain, nobias, "
            "lastbias, scbias, bn, cbn, ln, in, gn, pn, relu, lrelu, elu, selu, "
            "gelu, silu, crelu, softplus, softsign, sigmoid, tanh"
        ),
    ),
    (
        "res3-8-ck",
        "       ^^",
        (
            "res takes no option 'ck'; known: h, up, down, sc, sn, snm, gain, "
            "nobias, lastbias, scbias, bn, cbn, ln, in, gn, pn, relu, lrelu, "
            "elu, selu, gelu, silu, crelu, softplus, softsign, sigmoid, tanh"
        ),
    ),
    ("sconv3", "^^^^^^", "sconv needs its out, as in sconv3-64"),
    ("stem-8", "^^^^", "stem needs its size, as in stem3-64"),
    ("attn", "^^^^", "attn needs its size, as in attn3"),
    ("noise", "^^^^^", "noise needs its size, as in noise0.5"),
    ("noise1", "^^^^^^", "size of noise is a number above 0 and below 1, not 1"),
    ("mbstd", "^^^^^", "mbstd needs its size, as in mbstd3"),
    ("mbstd0", "^^^^^^", "size of mbstd is a whole number from 1, not 0"),
]
DICTS = [  # (dict, marks under it as Python prints it, message)
    ({}, "^^", "a layer needs its kind, as in {'kind': 'flatten'}"),
    (
        {"knd": "conv"},
        "^^^^^^^^^^^^^^^",
        "a layer needs its kind, as in {'kind': 'flatten'}",
    ),
    (
        {"kind": "cnv", "size": 3},
        " ^^^^^^^^^^^^^",
        "unknown layer kind 'cnv'; did you mean 'conv'?",
    ),
    (
        {"kind": None},
        " ^^^^^^^^^^^^",
        (
            "unknown layer kind None; known: dense, conv, tconv, dconv, sconv, "
            "res, stem, attn, up, upb, upc, ps, sd, avg, max, gsum, gmean, flatten, "
            "reshape, drop, noise, mbstd, bn, cbn, ln, in, gn, pn, relu, lrelu, elu, "
            "selu, gelu, silu, crelu, softplus, softsign, sigmoid, tanh"
        ),
    ),
    (
        {"kind": ["conv"]},
        " ^^^^^^^^^^^^^^^^",
        "unknown layer kind ('conv',); did you mean 'conv'?",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "strid": 2},
        "                                      ^^^^^^^^^^",
        "conv takes no 'strid'; did you mean 'stride'?",
    ),
    (
        {"kind": "dense", "out": 4, "stride": 2},
        "                            ^^^^^^^^^^^",
        (
            "dense takes no stride; known: out, weight, gain, trainable_gain, "
            "class_kernel, bias, project, norm, groups, act, slope"
        ),
    ),
    (
        {"kind": "conv", 5: 6},
        "                 ^^^^",
        (
            "conv takes no 5; known: size, out, stride, dilation, "
            "padding, kernel_groups, weight, gain, trainable_gain, class_kernel, "
            "bias, norm, groups, act, slope"
        ),
    ),
    ({"kind": "gsum", "size": 3}, "                 ^^^^^^^^^", "gsum takes no size"),
    (
        {"kind": "conv", "size": True, "out": 4},
        "                 ^^^^^^^^^^^^",
        "size of conv is a whole number from 1, not True",
    ),
    (
        {"kind": "conv", "size": 3.0, "out": 4},
        "                 ^^^^^^^^^^^",
        "size of conv is a whole number from 1, not 3.0",
    ),
    (
        {"kind": "conv", "size": 3, "out": float("nan")},
        "                            ^^^^^^^^^^",
        "out of conv is a whole number from 1, not nan",
    ),
    (
        {"kind": "dense", "out": [4, 4]},
        "                  ^^^^^^^^^^^^^",
        "out of dense is a whole number from 1 or a shape like 4x4x512, not 4x4",
    ),
    (
        {"kind": "dense", "out": "4x4x3"},
        "                  ^^^^^^^^^^^^^^",
        ("out of dense is a whole number from 1 or a shape like 4x4x512, not '4x4x3'"),
    ),
    (
        {"kind": "conv", "size": 3},
        " ^^^^^^^^^^^^^^",
        "conv needs its out, as in conv3-64",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "norm": "bm"},
        "                                      ^^^^^^^^^^^^",
        "norm of conv is bn or cbn or ln or in or gn or pn, not 'bm'",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "act": 3},
        "                                      ^^^^^^^^",
        (
            "act of conv is relu or lrelu or elu or selu or gelu or silu or "
            "crelu or softplus or softsign or sigmoid or tanh, not 3"
        ),
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "bias": 0},
        "                                      ^^^^^^^^^",
        "bias of conv is False or class or both, not 0",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "slope": 0.2},
        "                                      ^^^^^^^^^^^^",
        "slope of conv means nothing without lrelu",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "act": "relu", "slope": 0.2},
        "                                                     ^^^^^^^^^^^^",
        "slope of conv means nothing without lrelu",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "gain": 2.0},
        "                                      ^^^^^^^^^^^",
        "gain of conv means nothing without sn or snm",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "weight": "sn", "gain": float("inf")},
        "                                                      ^^^^^^^^^^^",
        "gain of conv is a number from 1e-9 to below 1e9, not inf",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "norm": "bn", "groups": 8},
        "                                                    ^^^^^^^^^^^",
        "groups of conv means nothing without gn",
    ),
    (
        {"kind": "drop", "size": 1},
        "                 ^^^^^^^^^",
        "size of drop is a number above 0 and below 1, not 1",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "bias": "b"},
        "                                      ^^^^^^^^^^^",
        "bias of conv is False or class or both, not 'b'",
    ),
    (
        {"kind": "conv", "size": 10**5000, "out": 4},
        "                 ^^^^^^^^^^^^^",
        "size of conv is a whole number from 1, not <int>",
    ),
    (
        {"kind": "conv", "a\nb": 1},
        "                 ^^^^^^^^^",
        (
            "conv takes no 'a\\nb'; known: size, out, stride, dilation, "
            "padding, kernel_groups, weight, gain, trainable_gain, class_kernel, "
            "bias, norm, groups, act, slope"
        ),
    ),
    (
        {"kind": "relu", "act": "relu"},
        "                 ^^^^^^^^^^^^^",
        "relu takes no act",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "source": "x"},
        "                                      ^^^^^^^^^^^^^",
        (
            "conv takes no 'source'; known: size, out, stride, dilation, "
            "padding, kernel_groups, weight, gain, trainable_gain, class_kernel, "
            "bias, norm, groups, act, slope"
        ),
    ),
    (
        {"kind": "lrelu", "slope": 1e9},
        "                  ^^^^^^^^^^^^^^^^^^^^^",
        "slope of lrelu is a number from 1e-9 to below 1e9, not 1000000000.0",
    ),
    (
        {"kind": "attn", "size": 8, "logits": "dott"},
        "                            ^^^^^^^^^^^^^^^^",
        "logits of attn is distance, not 'dott'",
    ),
    (
        {"kind": "attn", "size": 8, "act": "relu"},
        "                            ^^^^^^^^^^^^^",
        (
            "attn takes no act; known: size, values, pool, logits, weight, "
            "gain, trainable_gain"
        ),
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "class_kernel": "sum"},
        "                                      ^^^^^^^^^^^^^^^^^^^^^",
        "class_kernel of conv is scale, not 'sum'",
    ),
    (
        {"kind": "conv", "size": 3, "out": 4, "multiplier": 2},
        "                                      ^^^^^^^^^^^^^^^",
        (
            "conv takes no multiplier; known: size, out, stride, dilation, "
            "padding, kernel_groups, weight, gain, trainable_gain, "
            "class_kernel, bias, norm, groups, act, slope"
        ),
    ),
    (
        {"kind": "res", "size": 3, "out": 8, "bias": "class"},
        "                                     ^^^^^^^^^^^^^^^",
        ("bias of res is False or last or shortcut, not 'class'; did you mean 'last'?"),
    ),
    (
        {"kind": "res", "size": 3, "out": 8, "up": 2, "down": 2},
        "                                              ^^^^^^^^^",
        "res takes up or down, not both",
    ),
    (
        {"kind": "res", "size": 3, "out": 8, "down": 2, "up": 2},
        "                                     ^^^^^^^^^",
        "res takes up or down, not both",
    ),
    (
        {"kind": "res", "size": 3, "out": 8, "sc": 1},
        "                                     ^^^^^^^",
        "sc of res is True, not 1",
    ),
    (
        {"kind": "res", "size": 3, "out": 8, "sc": True, "up": 2},
        "                                     ^^^^^^^^^^",
        "res takes up or sc, not both",
    ),
    (
        {"kind": "dense", "out": [4, 4, 8], "project": True},
        "                                    ^^^^^^^^^^^^^^^",
        "proj needs an output of one number, as in dense-1-proj",
    ),
    (
        {"kind": "dconv", "size": 3, "weight": "snm"},
        "                             ^^^^^^^^^^^^^^^",
        "weight of dconv is sn, not 'snm'; did you mean 'sn'?",
    ),
    (
        {"kind": "noise", "size": 0.0},
        "                  ^^^^^^^^^^^",
        "size of noise is a number above 0 and below 1, not 0.0",
    ),
]
OTHERS = [  # (net, what the message shows of it, marks, message)
    (
        None,
        "None",
        "^^^^",
        "a net is a string, or a list of strings and dicts, not None",
    ),
    (3, "3", "^", "a net is a string, or a list of strings and dicts, not 3"),
    (b"conv", "99", "^^", "a layer is a string or a dict, not 99"),
    ([], "[]", "^^", "expected a layer"),
    ([3], "3", "^", "a layer is a string or a dict, not 3"),
    ([["relu"]], "['relu']", "^^^^^^^^", "a layer is a string or a dict, not ['relu']"),
    (
        ["relu", "rely"],
        "rely",
        "^^^^",
        "unknown layer kind 'rely'; did you mean 'relu'?",
    ),
    (
        [{"kind": "relu"}, {"kind": "rely"}],
        "{'kind': 'rely'}",
        " ^^^^^^^^^^^^^^",
        "unknown layer kind 'rely'; did you mean 'relu'?",
    ),
    (["relu", ""], "", "^", "expected a layer"),
]


LINES = [  # (a text of several lines, the whole message)
    (
        "conv3-64-s2-lrelu\n  # the score:\n  dense-1-snn  # one number",
        "dense takes no option 'snn'; did you mean 'sn'?\n"
        "      dense-1-snn  # one number\n"
        "              ^^^",
    ),
    (
        "\tconv3-64\n\tflatten\tdense-0\n\ttanh",
        "out of dense is a whole number from 1 or a shape like 4x4x512, not 0\n"
        "    \tflatten\tdense-0\n"
        "    \t       \t      ^",
    ),
    ("relu\n3*\nrelu", "expected a layer behind 3*\n    3*\n    ^"),
    ("  \n ", "expected a layer\n      \n    ^^"),
    ("# none\n# here", "expected a layer\n    # none\n    ^^^^^^"),
]


def whole(message, line, marks):
    return f"{message}\n    {line}\n    {marks}"


@pytest.mark.parametrize("text, marks, message", TEXTS)
def test_texts_are_refused_in_words(text, marks, message):
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert str(caught.value) == whole(message, text, marks)
    assert caught.value.message == message
    assert caught.value.source == text


@pytest.mark.parametrize("item, marks, message", DICTS)
def test_dicts_are_refused_in_words(item, marks, message):
    with pytest.raises(SpecError) as caught:
        parse(item)
    huge = "{'kind': 'conv', 'size': <int>, 'out': 4}"
    line = huge if item.get("size", 0) == 10**5000 else repr(item)
    assert str(caught.value) == whole(message, line, marks)
    assert caught.value.source == line


@pytest.mark.parametrize("net, line, marks, message", OTHERS)
def test_other_things_are_refused_in_words(net, line, marks, message):
    with pytest.raises(SpecError) as caught:
        parse(net)
    assert str(caught.value) == whole(message, line, marks)


@pytest.mark.parametrize("text, message", LINES)
def test_the_mark_stands_under_its_line(text, message):
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert str(caught.value) == message
    assert caught.value.source == text


def test_errors_are_value_errors_and_survive_pickling():
    error = SpecError("no", "a b", (2, 3))
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ValueError)
    assert (str(again), again.span) == (str(error), (2, 3))


# ---- whatever comes: read, or refused with a mark


def check_read_or_refused(thing):
    try:
        net = parse(thing)
    except SpecError as error:
        check_mark(error)
    else:
        assert parse(unparse(net)) == net


def check_mark(error):
    """The mark lies inside the source, and the text draws it where it lies."""
    start, end = error.span
    assert 0 <= start <= end <= len(error.source)
    assert error.message and "\n" not in error.message
    before = error.source[:start].split("\n")
    line = (before[-1] + error.source[start:]).split("\n")[0]
    message, shown, marks = str(error).rsplit("\n", 2)
    assert (message, shown) == (error.message, "    " + line)
    blank = marks.rstrip("^")
    assert len(blank) == 4 + len(before[-1])
    assert [c == "\t" for c in blank[4:]] == [c == "\t" for c in before[-1]]
    assert set(blank) <= {" ", "\t"}
    marked = error.source[start:end].split("\n")[0]
    assert len(marks) - len(blank) == max(1, len(marked))


@given(st.text())
@example("9" * 5000)
@example("relu-" + "9" * 5000)
@example("9" * 5000 + "*relu")
@example("\ud800")
@example("conv3-64\r\n\x1cconv3-64-é")
@example("# " * 3000)
def test_any_text_is_read_or_refused(text):
    check_read_or_refused(text)


@given(st.text("conv3-64.x*# \n\tsnlrelu0", max_size=40))
def test_any_text_of_its_letters_is_read_or_refused(text):
    check_read_or_refused(text)


@given(NETS, st.data())
def test_any_slip_of_the_pen_is_read_or_refused(dicts, data):
    text = unparse(parse(dicts))
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 2))
    new = data.draw(st.text("conv3-64.x*# \n\tA", max_size=2))
    check_read_or_refused(text[:at] + new + text[at + gone :])


KEYS = st.sampled_from([*DEFAULTS, "source", "span"]) | st.one_of(
    st.text(max_size=5), st.integers(), st.none(), st.floats(), st.tuples(st.integers())
)
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=3),
        st.sampled_from([*KINDS, *WORDS]),
        st.sets(st.integers(), max_size=2),
        st.builds(lambda: 10**5000),
        st.builds(object),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner, inner)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=5))
@example({10**5000: 1, "kind": "conv"})
@example({"kind": 10**5000})
@example({"kind": "dense", "out": (1, 10**5000, 1)})
@example({"kind": "dense", "out": [[1], {}, 1]})
def test_any_dict_is_read_or_refused(item):
    check_read_or_refused(item)


@given(layer_dicts(), st.dictionaries(KEYS, ANYTHING, min_size=1, max_size=2))
def test_any_dict_with_other_entries_is_read_or_refused(item, other):
    check_read_or_refused(item | other)


@given(ANYTHING)
@example(10**5000)
@example([10**5000])
@example({1: 2}.items())
def test_anything_is_read_or_refused(thing):
    check_read_or_refused(thing)


@pytest.mark.parametrize(
    "net", ["1000*relu " * 50_000, ["1000*relu"] * 50_000, [{"kind": "relu"}] * 20_000]
)
def test_short_texts_are_no_nets_without_end(net):
    """Fifty million layers would take minutes, and gigabytes."""
    with pytest.raises(SpecError) as caught:
        parse(net)
    assert caught.value.message == "a net has 10000 layers at most"
    assert len(parse("1000*relu " * 10)) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        *("999999999*conv3-1", "2*2*conv3-1", "(2*conv3-1)*3", "((((", "[" * 9999),
        *(
            "conv%s-%n-1",
            "conv{0.__class__}",
            "__class__",
            "conv3-1\0",
            "conv3-\u202e1",
        ),
        *("conv3-1e308", "conv3-" + "9" * 5000, "dense-" + "9x" * 5000, "1x" * 10**5),
        *(
            "-" * 10**5,
            "relu-" * 10**5,
            "a" * 10**5,
            "2*" * 10**5,
            "conv3-٣",
            "\ufeffrelu",
        ),
    ],
)
def test_hostile_texts_are_refused(text):
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert "\n" not in caught.value.message


# ---- variants


def test_with_score_sets_the_last_width():
    net = parse("conv3-64 flatten dense-16-sn")
    assert unparse(spec.with_score(net, 1)) == "conv3-64 flatten dense-1-sn"
    assert (
        unparse(spec.with_score(parse("2*conv3-8 gsum"), 3)) == "conv3-8 conv3-3 gsum"
    )
    assert spec.with_score(net, 16) == net
    assert unparse(spec.with_score("dense-3", 2)) == "dense-2"


def test_with_score_knows_the_new_words():
    """Attention, depthwise layers and deviations have no width of their own."""
    critic = "stem3-8-down2-sn-relu attn8-sn mbstd4 relu gsum dense-1-sn-proj"
    assert unparse(spec.with_score(critic, 16)) == critic.replace("-1-", "-16-")
    net = spec.with_score("stem3-8-relu res3-8-relu attn4 dconv3-m2 gsum", 3)
    assert unparse(net) == "stem3-8-relu res3-3-h8-relu attn4 dconv3-m2 gsum"
    with pytest.raises(SpecError) as caught:
        spec.with_score("attn4 dconv3-m2 gsum", 3)
    assert str(caught.value) == (
        "no dense or conv layer at the end gives the score its width\n"
        "    attn4 dconv3-m2 gsum\n"
        "    ^^^^^^^^^^^^^^^^^^^^"
    )


def test_with_gain_multiplies_to_the_total():
    # Wang et al. (2019), their scripts: K = 64 over 8 layers, C = 64^(1/8) = 1.6818
    net = spec.with_gain(parse("7*conv3-8-sn-lrelu flatten dense-16-snm"), 64)
    gains = [layer.gain for layer in net if layer.weight]
    assert gains == [64 ** (1 / 8)] * 8
    assert gains[0] == pytest.approx(1.6818, abs=1e-4)
    assert unparse(spec.with_gain("dense-8 dense-1-sn", 2)) == "dense-8 dense-1-sn2"


def test_with_gain_counts_two_kernels_on_the_way_through_a_block():
    """All kernels of a block and of attention have the gain C, as act_k there."""
    net = spec.with_gain("stem3-8-sn-relu attn8-sn 2*res3-8-relu dense-1-snm-proj", 16)
    assert unparse(net) == (
        "stem3-8-sn2-relu attn8-sn2 2*res3-8-relu dense-1-snm2-proj"
    )


@pytest.mark.parametrize(
    "variant, text, argument, message",
    [
        (
            spec.with_score,
            "gsum relu",
            1,
            "no dense or conv layer at the end gives the score its width\n"
            "    gsum relu\n"
            "    ^^^^^^^^^",
        ),
        (
            spec.with_score,
            "dense-8 reshape-2x2x2",
            1,
            "no dense or conv layer at the end gives the score its width\n"
            "    dense-8 reshape-2x2x2\n"
            "    ^^^^^^^^^^^^^^^^^^^^^",
        ),
        (
            spec.with_score,
            "relu  dense-8-sn",
            0,
            "the score width is a whole number from 1, not 0\n"
            "    relu  dense-8-sn\n"
            "          ^^^^^^^^^^",
        ),
        (
            spec.with_score,
            "dense-8",
            True,
            "the score width is a whole number from 1, not True\n"
            "    dense-8\n"
            "    ^^^^^^^",
        ),
        (
            spec.with_gain,
            "dense-8",
            64,
            "no layer has sn or snm to gain\n    dense-8\n    ^^^^^^^",
        ),
        (
            spec.with_gain,
            "dense-8-sn",
            -4,
            "the total gain is a number from 1e-9 to below 1e9, not -4\n"
            "    dense-8-sn\n"
            "    ^^^^^^^^^^",
        ),
    ],
)
def test_variants_are_refused_in_words(variant, text, argument, message):
    with pytest.raises(SpecError) as caught:
        variant(parse(text), argument)
    assert str(caught.value) == message


def test_a_layer_without_a_source_marks_itself():
    with pytest.raises(SpecError) as caught:
        dataclasses.replace(parse("relu")[0], source="").fail("no")
    assert str(caught.value) == "no\n    relu\n    ^^^^"


# ---- what it costs to import

FRESH = """
import sys, time
start = time.perf_counter()
import gantf.architecture, gantf.shapes, gantf.spec
gantf.spec.from_reference([{"op": "d", "out": 3}])
took = time.perf_counter() - start
print(took, *sorted({"tensorflow", "keras", "numpy", "scipy"} & set(sys.modules)))
"""


def test_the_language_loads_neither_tensorflow_nor_keras():
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", FRESH], capture_output=True, text=True, check=True
        )
        took, *loaded = done.stdout.split()
        assert not loaded
        runs.append(float(took))
    assert min(runs) < 1  # 0.05 s on an idle machine: no flaky clock


def test_a_hidden_width_that_is_the_output_is_left_out():
    assert parse("res3-8-h8-relu") == parse("res3-8-relu")
    assert unparse(parse([{"kind": "stem", "size": 3, "out": 8, "hidden": 8}])) == (
        "stem3-8"
    )
    assert unparse(parse("res3-8-h4")) == "res3-8-h4"


def test_a_score_does_not_change_the_inside_of_a_block():
    cases = [("res3-8-relu gsum", 3), ("res3-8-h4 gsum", 4), ("stem3-8-h4 gsum", 1)]
    found = [unparse(spec.with_score(net, n)) for net, n in cases]
    assert found == ["res3-3-h8-relu gsum", "res3-4 gsum", "stem3-1-h4 gsum"]
    for (net, n), text in zip(cases, found):
        assert parse(text) == spec.with_score(net, n)


@pytest.mark.parametrize("word", ["cb", "bcb", "ck"])
def test_error_class_wise_words_before_instance_norm(word):
    with pytest.raises(SpecError) as caught:
        parse(f"conv3-8-{word}-in")
    assert caught.value.message == (
        "in takes away what cb, bcb and ck give: use bn, cbn or gn"
    )
