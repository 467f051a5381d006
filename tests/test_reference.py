"""Nets of the reference system (richardwth/MMD-GAN), as its scripts write them."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_spec import ANYTHING, check_mark

import architectures
from gantf import spec
from gantf.spec import SpecError, from_reference, unparse

# The nets of the four scripts my_test_{cifar,stl,celebA,lsun}.py at f98823d, typed
# from their tables of layers; maps are channels first there.


def up(name, out):
    return {
        "name": name,
        "op": "tc",
        "out": out,
        "act": "relu",
        "act_nm": "bn",
        "kernel": 4,
        "strides": 2,
    }


def critic(name, out, gain, down, **other):
    size = {"kernel": 4, "strides": 2} if down else {"kernel": 3, "strides": 1}
    norm = {"act": "lrelu", "act_k": gain, "w_nm": "s"}
    return {"name": name, "out": out, **norm, **size, **other}


C8, C10 = math.pow(64.0, 1 / 8.0), math.pow(64.0, 1 / 10.0)
IMAGE = {"out": 3, "act": "tanh"}
CIFAR = {
    "generator": [
        {"name": "l1", "out": 512 * 4 * 4, "op": "d", "out_reshape": [512, 4, 4]},
        up("l2_up", 256),
        up("l3_up", 128),
        up("l4_up", 64),
        {"name": "l5_t32", **IMAGE},
    ],
    "discriminator": [
        critic("l1_f32", 64, C8, False),
        critic("l2_ds", 128, C8, True),
        critic("l3", 128, C8, False),
        critic("l4_ds", 256, C8, True),
        critic("l5", 256, C8, False),
        critic("l6_ds", 512, C8, True),
        critic("l7", 512, C8, False, out_reshape=[512 * 4 * 4]),
        {"name": "l8_s", "op": "d", "out": 16, "act_k": C8, "w_nm": "s"},
    ],
}
STL = {
    "generator": [
        {
            "name": "l1",
            "op": "d",
            "out": 512 * 6 * 6,
            "act": "relu",
            "act_nm": "bn",
            "out_reshape": [512, 6, 6],
        },
        *CIFAR["generator"][1:],
    ],
    "discriminator": [
        *CIFAR["discriminator"][:6],
        critic("l7", 512, C8, False, out_reshape=[512 * 6 * 6]),
        CIFAR["discriminator"][7],
    ],
}
CELEBA = {
    "generator": [
        {"name": "l1", "out": 1024 * 4 * 4, "op": "d", "out_reshape": [1024, 4, 4]},
        up("l2_up", 512),
        up("l3_up", 256),
        up("l4_up", 128),
        up("l5_up", 64),
        {"name": "l6_t64", **IMAGE},
    ],
    "discriminator": [
        critic("l1_f64", 64, C10, False),
        critic("l2_ds", 128, C10, True),
        critic("l3", 128, C10, False),
        critic("l4_ds", 256, C10, True),
        critic("l5", 256, C10, False),
        critic("l6_ds", 512, C10, True),
        critic("l7", 512, C10, False),
        critic("l8_ds", 1024, C10, True),
        critic("l9", 1024, C10, False, out_reshape=[1024 * 4 * 4]),
        {"name": "l10_s", "op": "d", "out": 16, "act_k": C10, "w_nm": "s"},
    ],
}
LSUN = CELEBA  # the two scripts have the same nets


@pytest.mark.parametrize("net", ["generator", "discriminator"])
@pytest.mark.parametrize(
    "script, preset",
    [
        (CIFAR, "dcgan-sn-32"),
        (STL, "dcgan-sn-48"),
        (CELEBA, "dcgan-sn-64"),
        (LSUN, "dcgan-sn-64"),
    ],
    ids=["cifar", "stl", "celeba", "lsun"],
)
def test_the_presets_are_the_nets_of_the_scripts(script, preset, net):
    assert from_reference(script[net]) == spec.parse(architectures.get(preset)[net])


@pytest.mark.parametrize(
    "layer, text",
    [
        # keys left out have the reference's defaults: a 3x3 convolution, linear
        ({"out": 8}, "conv3-8"),
        ({"name": "a", "type": "default", "op": "c", "out": 8, "kernel": 5}, "conv5-8"),
        ({"out": 8, "act": "linear", "act_k": False, "w_nm": None}, "conv3-8"),
        ({"out": 8, "act": "lrelu"}, "conv3-8-lrelu"),
        ({"out": 8, "act": "crelu"}, "conv3-8-crelu"),
        ({"out": 8, "act_nm": "BN", "bias": None}, "conv3-8-bn"),
        ({"out": 8, "bias": None}, "conv3-8-nobias"),
        ({"out": 8, "bias": False}, "conv3-8-nobias"),
        ({"out": 8, "bias": "bias"}, "conv3-8"),
        ({"out": 8, "w_nm": "s"}, "conv3-8-sn"),
        ({"out": 8, "w_nm": "s", "act_k": 2}, "conv3-8-sn2"),
        ({"out": 8, "strides": 2, "padding": "VALID"}, "conv3-8-s2-p0"),
        ({"out": 8, "dilation": 2}, "conv3-8-d2"),
        ({"op": "tc", "out": 8, "kernel": 4, "strides": 2}, "tconv4-8-s2"),
        ({"op": "d", "out": 8, "act": "elu"}, "dense-8-elu"),
        ({"op": "d", "out": 8, "in_reshape": [32]}, "flatten dense-8"),
        ({"op": "d", "out": 24, "out_reshape": [2, 4, 3]}, "dense-4x3x2"),
        (
            {"op": "d", "out": 24, "act_nm": "bn", "out_reshape": (2, 4, 3)},
            "dense-24-bn reshape-4x3x2",
        ),
        # up before the kernel, down behind the activation
        ({"out": 8, "act": "relu", "scale": ["unpool", 2]}, "up2 conv3-8-relu"),
        ({"out": 8, "scale": ["bil", 2]}, "upb2 conv3-8"),
        ({"out": 8, "scale": ["bic", 3]}, "upc3 conv3-8"),
        ({"out": 8, "scale": ["ps", 2]}, "ps2 conv3-8"),
        ({"out": 8, "act": "relu", "scale": ["avg", -2]}, "conv3-8-relu avg2"),
        ({"out": 8, "scale": ["max", -2]}, "conv3-8 max2"),
        ({"out": 8, "scale": ("ps", -2)}, "conv3-8 sd2"),
        ({"op": "i", "act_nm": "bn", "act": "relu"}, "bn relu"),
        (
            {"op": "max", "out": 8, "kernel": 2, "strides": 2, "bias": False},
            "max2",
        ),
        (
            {"op": "avg", "kernel": 3, "strides": 3, "bias": None, "act": "relu"},
            "avg3 relu",
        ),
    ],
)
def test_a_layer_by_hand(layer, text):
    assert unparse(from_reference([layer])) == text


REFUSED = [
    (
        {"op": "d", "out": 3, "krenel": 3},
        "                      ^^^^^^^^^^^",
        "the reference has no key 'krenel'; did you mean 'kernel'?",
    ),
    (
        {"op": "d", "out": 3, "kernel": 3},
        "                      ^^^^^^^^^^^",
        "op 'd' takes no kernel",
    ),
    (
        {"op": "sc", "out": 3},
        " ^^^^^^^^^^",
        "op 'sc' cannot be expressed; did you mean 'c'?",
    ),
    ({"type": "res", "out": 3}, " ^^^^^^^^^^^^^", "type 'res' cannot be expressed"),
    (
        {"out": 3, "bias": "cb"},
        "           ^^^^^^^^^^^^",
        "bias 'cb' cannot be expressed",
    ),
    (
        {"out": 3, "act": "gelu"},
        "           ^^^^^^^^^^^^^",
        "act 'gelu' cannot be expressed; did you mean 'elu'?",
    ),
    (
        {"out": 3, "act_nm": "lrn"},
        "           ^^^^^^^^^^^^^^^",
        "act_nm 'lrn' cannot be expressed",
    ),
    ({"out": 3, "w_nm": "h"}, "           ^^^^^^^^^^^", "w_nm 'h' cannot be expressed"),
    (
        {"out": 3, "w_p": 1},
        "           ^^^^^^^^",
        "w_p has no effect in the reference; leave it out",
    ),
    (
        {"out": 3, "aux": 1},
        "           ^^^^^^^^",
        "aux has no effect in the reference; leave it out",
    ),
    (
        {"out": 3, "act_k": 2.0},
        "           ^^^^^^^^^^^^",
        "act_k means nothing without 'w_nm': 's'",
    ),
    (
        {"out": 3, "w_nm": "s", "act_k": True},
        "                        ^^^^^^^^^^^^^",
        "act_k is a number C above 0, or False, not True",
    ),
    (
        {"out": 3, "w_nm": "s", "act_k": 0},
        "                        ^^^^^^^^^^",
        "act_k is a number C above 0, or False, not 0",
    ),
    (
        {"out": 3, "padding": "valid"},
        "           ^^^^^^^^^^^^^^^^^^",
        "padding 'valid' cannot be expressed; known: SAME, VALID",
    ),
    (
        {"op": "tc", "out": 3, "padding": "VALID"},
        "                       ^^^^^^^^^^^^^^^^^^",
        "padding 'VALID' of op 'tc' cannot be expressed",
    ),
    (
        {"op": "tc", "out": 3, "scale": ["ps", 2]},
        "                       ^^^^^^^^^^^^^^^^^^",
        "op 'tc' takes no scale",
    ),
    (
        {"op": "tc", "out": 3, "dilation": 2},
        "                       ^^^^^^^^^^^^^",
        "op 'tc' takes no dilation",
    ),
    (
        {"out": 3, "scale": 2},
        "           ^^^^^^^^^^",
        "scale is [method, factor], as in ['unpool', 2]",
    ),
    (
        {"out": 3, "scale": ["unpool", 4]},
        "           ^^^^^^^^^^^^^^^^^^^^^^",
        "scale ['unpool', 4] cannot be expressed",
    ),
    (
        {"out": 3, "scale": ["max", 2]},
        "           ^^^^^^^^^^^^^^^^^^^",
        "scale ['max', 2] cannot be expressed",
    ),
    (
        {"out": 3, "scale": ["bil", -2]},
        "           ^^^^^^^^^^^^^^^^^^^^",
        "scale ['bil', -2] cannot be expressed",
    ),
    (
        {"op": "avg", "out": 3, "kernel": 2, "strides": 2},
        " ^^^^^^^^^^^",
        "op 'avg' adds a bias in the reference; give 'bias': False",
    ),
    (
        {"op": "avg", "kernel": 2, "bias": False},
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "op 'avg' needs strides equal to its kernel 2",
    ),
    (
        {"out": 3, "out_reshape": [3, 4]},
        "           ^^^^^^^^^^^^^^^^^^^^^",
        "out_reshape is [n] or [channels, height, width]",
    ),
    (
        {"op": "d", "out": 10, "out_reshape": [512, 4, 4]},
        "                       ^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "out_reshape [512, 4, 4] does not hold 10 numbers",
    ),
    ({"op": "i", "out": 3}, "            ^^^^^^^^", "op 'i' takes no out"),
    (
        {"out": [3, 3, 1]},
        " ^^^^^^^^^^^^^^^^",
        "out is a whole number from 1, not [3, 3, 1]",
    ),
    (
        {"out": 3, "kernel": [3, 3]},
        "           ^^^^^^^^^^^^^^^^",
        "kernel is a whole number from 1, not [3, 3]",
    ),
    (
        {"out": 3, "strides": 2, "dilation": 2},
        "                                                   ^^^^^^^^^^^^^",
        "conv takes a stride or a dilation above 1, not both",
    ),
    (
        {"out": 3, "type": "project"},
        "           ^^^^^^^^^^^^^^^^^",
        "type 'project' cannot be expressed",
    ),
    (3, "^", "a layer of the reference is a dict, not 3"),
    (
        {"op": "d", "out": 3, "out_reshape": [-3]},
        "                      ^^^^^^^^^^^^^^^^^^^",
        "out_reshape is [n] or [channels, height, width]",
    ),
    (
        {"out": 3, "strides": 0},
        "           ^^^^^^^^^^^^",
        "strides is a whole number from 1, not 0",
    ),
]


@pytest.mark.parametrize("layer, marks, message", REFUSED)
def test_layers_are_refused_by_name(layer, marks, message):
    with pytest.raises(SpecError) as caught:
        from_reference([layer])
    line = str(caught.value).split("\n")[1].strip()
    assert str(caught.value) == f"{message}\n    {line}\n    {marks}"
    if "dilation" not in message:  # that one is refused as a layer of the language
        assert line == repr(layer)


@pytest.mark.parametrize(
    "layers, line", [("ab", "'ab'"), ({"op": "d"}, "{'op': 'd'}"), (3, "3")]
)
def test_other_things_are_refused_in_words(layers, line):
    with pytest.raises(SpecError) as caught:
        from_reference(layers)
    assert str(caught.value) == (
        f"a net of the reference is a list of layer dicts\n"
        f"    {line}\n"
        f"    {'^' * len(line)}"
    )


def test_a_net_of_nothing_is_refused():
    with pytest.raises(SpecError) as caught:
        from_reference([{"name": "nothing", "op": "i"}])
    assert str(caught.value) == "expected a layer\n    []\n    ^^"


NAMES = (
    "name op type out bias act act_nm act_k w_nm w_p kernel strides dilation padding "
    "scale in_reshape out_reshape aux"
).split()
KEYS = st.sampled_from(NAMES) | st.text(max_size=4) | st.integers()
VALUES = ANYTHING | st.sampled_from(["d", "c", "tc", "i", "avg", "bn", "s", "SAME"])


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=2))
@example([{"op": "d", "out": 10**5000}])
@example([{"out": 3, "w_nm": "s", "act_k": 10**5000}])
@example([{"op": "d", "out": 3, "out_reshape": [10**5000]}])
@example([{"out": 3, "scale": [10**5000, 2]}])
@example([{"out": 3, "scale": ["ps", 10**5000]}])
@example([{"out": 3, "in_reshape": [1, 1, 10**10]}])
def test_any_layers_are_read_or_refused(layers):
    try:
        from_reference(layers)
    except SpecError as error:
        check_mark(error)
