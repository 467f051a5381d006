"""Nets of the reference system (richardwth/MMD-GAN), as its scripts write them."""

import math

import numpy as np
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


# The ResNet of SN-GAN as the reference's layers would write it; it has no script.
CORNER = {"kernel": [3, 3, 1], "act": "relu"}
RESNET_G = [
    {"op": "d", "out": 256 * 4 * 4, "out_reshape": [256, 4, 4]},
    *3
    * [{"type": "res", "out": 256, "scale": ["unpool", 2], "act_nm": "bn", **CORNER}],
    {"op": "i", "act": "relu", "act_nm": "bn"},
    {"out": 3, "act": "tanh"},
]
RESNET_D = [
    {"type": "res_v1", "out": 128, "scale": ["avg", -2], "w_nm": "s", **CORNER},
    {"type": "res", "out": 128, "scale": ["avg", -2], "w_nm": "s", **CORNER},
    *2 * [{"type": "res_i", "out": 128, "act": "relu", "w_nm": "s"}],
    {"op": "i", "act": "relu"},
    {
        "op": "sum",
        "out": 128,
        "kernel": 8,
        "padding": "VALID",
        "bias": False,
        "out_reshape": [128],
    },
]
SCORE = {"op": "d", "out": 1, "w_nm": "s"}


@pytest.mark.parametrize(
    "layers, text",
    [
        (
            RESNET_G,
            "dense-4x4x256 3*res3-256-up2-scbias-bn-relu bn relu conv3-3-tanh",
        ),
        (
            [{**layer, "act_nm": "cbn"} for layer in RESNET_G[1:4]],
            "3*res3-256-up2-scbias-cbn-relu",
        ),
        (
            [*RESNET_D, SCORE],
            "stem3-128-down2-sn-relu res3-128-down2-sn-relu 2*res3-128-sn-relu "
            "relu gsum dense-1-sn",
        ),
        (
            [*RESNET_D[3:], {"type": "project", "bias": False, **SCORE}],
            "res3-128-sn-relu relu gsum dense-1-sn-nobias-proj",
        ),
        # 48 x 48: an end block whose channels differ
        (
            [{"type": "res", "out": [512, 1024, 1024], "w_nm": "s", **CORNER}],
            "res3-1024-h512-sc-sn-relu",
        ),
    ],
)
def test_resnets_in_both_forms(layers, text):
    assert unparse(from_reference(layers)) == text
    assert from_reference(layers) == spec.parse(text)


def fork(generator, discriminator):
    """MNIST in the fork frhrdr/MMD-GAN: the dicts, by their widths."""
    first, second, third = generator
    gain = {"act_k": 64**0.125, "w_nm": "s"}
    norm = {"act": "lrelu", **gain}
    sizes = [(3, 1), (4, 2), (3, 1), (4, 2)]
    *others, last = discriminator
    return {
        "generator": [
            {
                "name": "l1",
                "out": first * 7 * 7,
                "op": "d",
                "act": "linear",
                "act_nm": None,
                "out_reshape": [first, 7, 7],
            },
            up("l2_up", second),
            up("l3_up", third),
            {"name": "l4_t28", "out": 1, "act": "tanh"},
        ],
        "discriminator": [
            *(
                {"out": out, **norm, "kernel": kernel, "strides": strides}
                for out, (kernel, strides) in zip(others, sizes)
            ),
            {"out": last, "op": "c", **norm, "out_reshape": [7 * 7 * last]},
            {"name": "l6_s", "out": 2, "op": "d", "bias": "b", **gain},
        ],
    }


@pytest.mark.parametrize("net", ["generator", "discriminator"])
@pytest.mark.parametrize(
    "preset, dicts",
    [
        ("fork-28-default", fork([64, 32, 16], [16, 32, 32, 64, 64])),
        ("fork-28-lean", fork([16, 16, 8], [8, 16, 16, 32, 32])),
        ("fork-28-small", fork([8, 8, 8], [4, 8, 8, 16, 16])),
        ("fork-28-tiny", fork([4, 4, 4], [4, 4, 4, 8, 8])),
    ],
    ids=["default", "lean", "small", "tiny"],
)
def test_the_presets_are_the_nets_of_the_fork(preset, dicts, net):
    assert from_reference(dicts[net]) == spec.parse(architectures.get(preset)[net])


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
        ({"op": "avg", "kernel": 2, "strides": 2, "act_nm": "bn"}, "avg2 bn"),
        ({"out": 8, "w_nm": "s", "act_k": np.float64(1.5)}, "conv3-8-sn1.5"),
        # separable, and kernels of the class
        ({"op": "sc", "out": 8}, "sconv3-8"),
        (
            {"op": "sc", "out": 8, "kernel": 5, "strides": 2, "scale": ["bil", 2]},
            "upb2 sconv5-8-s2",
        ),
        ({"op": "sc", "out": 8, "dilation": 2, "bias": False}, "sconv3-8-d2-nobias"),
        ({"op": "dcd", "out": 8, "w_nm": "s"}, "dense-8-sn-cd"),
        ({"op": "dck", "out": 8, "bias": None}, "dense-8-ck-nobias"),
        ({"op": "dck", "out": 24, "out_reshape": [2, 4, 3]}, "dense-4x3x2-ck"),
        (
            {"op": "cck", "out": 8, "padding": "VALID", "scale": ["avg", -2]},
            "conv3-8-p0-ck avg2",
        ),
        ({"op": "tcck", "out": 8, "kernel": 4, "strides": 2}, "tconv4-8-s2-ck"),
        # biases and norms of the class
        ({"out": 8, "bias": "cb"}, "conv3-8-cb"),
        ({"out": 8, "bias": "c_bias"}, "conv3-8-cb"),
        ({"op": "d", "out": 8, "bias": "bcb"}, "dense-8-bcb"),
        ({"out": 8, "bias": "cb", "act_nm": "bn"}, "conv3-8-cb-bn"),
        ({"out": 8, "bias": "bcb", "act_nm": "BN"}, "conv3-8-bcb-bn"),
        ({"out": 8, "act_nm": "cbn"}, "conv3-8-cbn"),
        ({"out": 8, "act_nm": "CBN", "bias": "cb"}, "conv3-8-cbn"),
        ({"out": 8, "act_nm": "cbn", "bias": "bcb"}, "conv3-8-cbn"),
        ({"out": 8, "act_nm": "cbn", "bias": False}, "conv3-8-cbn"),
        ({"op": "i", "act_nm": "cbn"}, "cbn"),
        # types without blocks
        ({"type": "c_bias", "out": 8}, "conv3-8"),
        ({"type": "c_bias", "out": 8, "bias": "cb"}, "conv3-8-cb"),
        ({"type": "project", "op": "d", "out": 1}, "dense-1-proj"),
        (
            {"type": "project", "op": "d", "out": 1, "w_nm": "s", "act_k": 2},
            "dense-1-sn2-proj",
        ),
        (
            {"type": "project", "op": "d", "out": 1, "bias": "cb", "in_reshape": [8]},
            "flatten dense-1-cb-proj",
        ),
        ({"type": "project", "op": "dcd", "out": 1}, "dense-1-cd-proj"),
        (
            {
                "op": "sum",
                "out": 8,
                "kernel": 4,
                "padding": "VALID",
                "bias": None,
                "act": "relu",
                "out_reshape": (8,),
            },
            "gsum relu",
        ),
        # blocks: the shortcut
        ({"type": "res", "out": 8, "kernel": [3, 3, 1]}, "res3-8-sc"),
        ({"type": "res", "out": 8, "kernel": 1}, "res1-8-sc"),
        ({"type": "res_i", "out": 8}, "res3-8"),
        ({"type": "res_i", "out": 8, "kernel": [5, 5]}, "res5-8"),
        ({"type": "res_i", "out": [4, 8], "kernel": [5, 5, 1]}, "res5-8-h4"),
        ({"type": "res_i", "out": [4, 8, 1], "kernel": [5, 5, 3]}, "res5-8-h4"),
        ({"type": "res_v1", "out": 8, "kernel": [3, 3, 1]}, "stem3-8"),
        (
            {"type": "res", "out": 8, "kernel": (3, 3, 1), "scale": ("unpool", 2)},
            "res3-8-up2",
        ),
        (
            {"type": "res", "out": 8, "kernel": [3, 3, 1], "scale": ["avg", -3]},
            "res3-8-down3",
        ),
        (
            {"type": "res_v1", "out": 8, "kernel": [3, 3, 1], "scale": ["avg", -2]},
            "stem3-8-down2",
        ),
        # blocks: widths, ones in each list, what goes to all kernels
        ({"type": "res", "out": [4, 8, 8], "kernel": [3, 3, 1]}, "res3-8-h4-sc"),
        ({"type": "res", "out": [8, 8, 8], "kernel": [3, 3, 1]}, "res3-8-sc"),
        (
            {
                "type": "res",
                "op": "c",
                "out": 8,
                "kernel": [3, 3, 1],
                "strides": [1, 1, 1],
                "dilation": 1,
                "padding": "SAME",
                "act": "crelu",
                "w_nm": "s",
                "act_k": 1.5,
            },
            "res3-8-sc-sn1.5-crelu",
        ),
        (
            {"type": "res_i", "out": 8, "in_reshape": [8, 4, 4], "out_reshape": [128]},
            "reshape-4x4x8 res3-8 flatten",
        ),
        # blocks: None and norms leave the shortcut its bias, False does not
        (
            {"type": "res", "out": 8, "kernel": 1, "bias": None},
            "res1-8-sc-scbias",
        ),
        ({"type": "res", "out": 8, "kernel": 1, "bias": False}, "res1-8-sc-nobias"),
        ({"type": "res", "out": 8, "kernel": 1, "act_nm": "bn"}, "res1-8-sc-scbias-bn"),
        (
            {"type": "res", "out": 8, "kernel": 1, "act_nm": "BN", "bias": False},
            "res1-8-sc-nobias-bn",
        ),
        (
            {"type": "res", "out": 8, "kernel": 1, "act_nm": "cbn", "bias": False},
            "res1-8-sc-scbias-cbn",
        ),
        (
            {"type": "res", "out": 8, "kernel": 1, "act_nm": "cbn", "bias": "cb"},
            "res1-8-sc-scbias-cbn",
        ),
        ({"type": "res_v1", "out": 8, "kernel": 1, "bias": None}, "stem1-8-scbias"),
        ({"type": "res_i", "out": 8, "bias": None}, "res3-8-nobias"),
        ({"type": "res_i", "out": 8, "act_nm": "bn"}, "res3-8-nobias-bn"),
        ({"type": "res_i", "out": 8, "act_nm": "CBN"}, "res3-8-nobias-cbn"),
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
        {"op": "cd", "out": 3},
        " ^^^^^^^^^^",
        "op 'cd' cannot be expressed; did you mean 'dcd'?",
    ),
    (
        {"type": "rez", "out": 3},
        " ^^^^^^^^^^^^^",
        "type 'rez' cannot be expressed; did you mean 'res'?",
    ),
    (
        {"type": "gru", "out": 3},
        " ^^^^^^^^^^^^^",
        (
            "type 'gru' cannot be expressed; known: default, c_bias, project, res, "
            "res_i, res_v1"
        ),
    ),
    (
        {"type": "nl", "out": 3},
        " ^^^^^^^^^^^^",
        (
            "type 'nl' puts a batch norm without a gain before its gate; "
            "attn is the word here"
        ),
    ),
    (
        {"type": "nl_dist", "out": 3},
        " ^^^^^^^^^^^^^^^^^",
        (
            "type 'nl_dist' puts a batch norm without a gain before its gate; "
            "attn is the word here"
        ),
    ),
    (
        {"type": "nl_pool", "out": 3},
        " ^^^^^^^^^^^^^^^^^",
        (
            "type 'nl_pool' puts a batch norm without a gain before its gate; "
            "attn is the word here"
        ),
    ),
    (
        {"out": [1, 1, 8], "type": "nl_pool_dist"},
        "                   ^^^^^^^^^^^^^^^^^^^^^^",
        (
            "type 'nl_pool_dist' puts a batch norm without a gain before its gate; "
            "attn is the word here"
        ),
    ),
    (
        {"out": 3, "bias": "cbn"},
        "           ^^^^^^^^^^^^^",
        "bias 'cbn' cannot be expressed",
    ),
    ({"out": 3, "bias": 0}, "           ^^^^^^^^^", "bias 0 cannot be expressed"),
    (
        {"out": 3, "act_nm": ["bn"]},
        "           ^^^^^^^^^^^^^^^^",
        "act_nm ['bn'] cannot be expressed",
    ),
    (
        {"op": "sc", "out": 3, "w_nm": "s"},
        "                       ^^^^^^^^^^^",
        "w_nm 's' of op 'sc' raises in the reference",
    ),
    (
        {"op": "sc", "out": 3, "padding": "VALID"},
        "                       ^^^^^^^^^^^^^^^^^^",
        "padding 'VALID' of op 'sc' cannot be expressed",
    ),
    (
        {"op": "tcck", "out": 3, "padding": "VALID"},
        "                         ^^^^^^^^^^^^^^^^^^",
        "padding 'VALID' of op 'tcck' cannot be expressed",
    ),
    (
        {"op": "tcck", "out": 3, "scale": ["ps", 2]},
        "                         ^^^^^^^^^^^^^^^^^^",
        "op 'tcck' takes no scale",
    ),
    (
        {"op": "dcd", "out": 3, "kernel": 3},
        "                        ^^^^^^^^^^^",
        "op 'dcd' takes no kernel",
    ),
    (
        {"op": "dck", "out": 3, "strides": 2},
        "                        ^^^^^^^^^^^^",
        "op 'dck' takes no strides",
    ),
    (
        {"op": "dck", "out": 10, "out_reshape": [2, 2, 2]},
        "                         ^^^^^^^^^^^^^^^^^^^^^^^^",
        "out_reshape [2, 2, 2] does not hold 10 numbers",
    ),
    (
        {"op": "max", "kernel": 2, "strides": 2, "bias": "cb"},
        "                                         ^^^^^^^^^^^^",
        "op 'max' adds a bias in the reference; give 'bias': False",
    ),
    (
        {"op": "sum", "out": 8, "padding": "VALID", "out_reshape": [8]},
        " ^^^^^^^^^^^",
        "op 'sum' adds a bias in the reference; give 'bias': False",
    ),
    (
        {"op": "sum", "out": 8, "bias": False, "out_reshape": [8]},
        " ^^^^^^^^^^^",
        "op 'sum' needs VALID padding, strides of 1 and 'out_reshape': [out]",
    ),
    (
        {"op": "sum", "out": 8, "bias": False, "padding": "VALID"},
        " ^^^^^^^^^^^",
        "op 'sum' needs VALID padding, strides of 1 and 'out_reshape': [out]",
    ),
    (
        {"op": "sum", "out": 8, "bias": False, "padding": "VALID", "out_reshape": [32]},
        " ^^^^^^^^^^^",
        "op 'sum' needs VALID padding, strides of 1 and 'out_reshape': [out]",
    ),
    (
        {
            "op": "sum",
            "out": 8,
            "bias": False,
            "padding": "VALID",
            "out_reshape": [8],
            "strides": 2,
        },
        " ^^^^^^^^^^^",
        "op 'sum' needs VALID padding, strides of 1 and 'out_reshape': [out]",
    ),
    (
        {"op": "sum", "padding": "VALID", "bias": False, "out_reshape": [8]},
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "out is a whole number from 1, not None",
    ),
    (
        {"type": "project", "out": 1},
        " ^^^^^^^^^^^^^^^^^",
        "type 'project' is a dense layer: give 'op': 'd'",
    ),
    (
        {"type": "project", "op": "c", "out": 1},
        "                    ^^^^^^^^^",
        "type 'project' is a dense layer: give 'op': 'd'",
    ),
    (
        {"type": "project", "op": "d", "out": 16},
        "                               ^^^^^^^^^",
        "type 'project' has 'out': 1, not 16",
    ),
    (
        {"type": "project", "op": "d", "out": 1, "act": "tanh"},
        "                                         ^^^^^^^^^^^^^",
        "type 'project' adds its projection behind act; leave it out",
    ),
    (
        {"type": "project", "op": "d", "out": 1, "act_nm": "bn"},
        "                                         ^^^^^^^^^^^^^^",
        "type 'project' adds its projection behind act_nm; leave it out",
    ),
    (
        {"type": "res", "op": "tc", "out": 3},
        "                ^^^^^^^^^^",
        "op 'tc' of type 'res' cannot be expressed",
    ),
    (
        {"type": "res_i", "op": "d", "out": 3},
        "                  ^^^^^^^^^",
        "op 'd' of type 'res_i' cannot be expressed",
    ),
    (
        {"type": "res_v1", "op": "cck", "out": 3},
        "                   ^^^^^^^^^^^",
        "op 'cck' of type 'res_v1' cannot be expressed",
    ),
    (
        {"type": "res", "out": 3},
        " ^^^^^^^^^^^^^",
        (
            "kernel of type 'res' is [k, k, 1]: "
            "one number is the shortcut's too in the reference; give [3, 3, 1]"
        ),
    ),
    (
        {"type": "res_v1", "out": 3, "kernel": 5},
        "                             ^^^^^^^^^^^",
        (
            "kernel of type 'res_v1' is [k, k, 1]: "
            "one number is the shortcut's too in the reference; give [5, 5, 1]"
        ),
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 3]},
        "                          ^^^^^^^^^^^^^^^^^^^",
        "kernel of type 'res' is [k, k, 1], not [3, 3, 3]",
    ),
    (
        {"type": "res", "out": 3, "kernel": (3, 1, 1)},
        "                          ^^^^^^^^^^^^^^^^^^^",
        "kernel of type 'res' is [k, k, 1], not [3, 1, 1]",
    ),
    (
        {"type": "res_i", "out": 3, "kernel": [3, 1]},
        "                            ^^^^^^^^^^^^^^^^",
        "kernel of type 'res_i' is [k, k], not [3, 1]",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3]},
        "                          ^^^^^^^^^^^^^^^^",
        "kernel of type 'res' is one number, or a list of 3",
    ),
    (
        {"type": "res_i", "out": 3, "kernel": [3]},
        "                            ^^^^^^^^^^^^^",
        "kernel of type 'res_i' is one number, or a list of 2",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 0]},
        "                          ^^^^^^^^^^^^^^^^^^^",
        "kernel is whole numbers from 1, not [3, 3, 0]",
    ),
    (
        {"type": "res", "out": 3, "kernel": 0},
        "                          ^^^^^^^^^^^",
        "kernel is a whole number from 1, not 0",
    ),
    (
        {"type": "res", "kernel": [3, 3, 1]},
        "^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "out is a whole number from 1, not None",
    ),
    (
        {"type": "res", "out": [4, 8, 4], "kernel": [3, 3, 1]},
        "                ^^^^^^^^^^^^^^^^",
        "out of type 'res' is n or [h, n, n], not [4, 8, 4]",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "strides": 2},
        "                                               ^^^^^^^^^^^^",
        "strides of type 'res' is 1, not 2",
    ),
    (
        {"type": "res_i", "out": 3, "strides": [2, 1]},
        "                            ^^^^^^^^^^^^^^^^^",
        "strides of type 'res_i' is 1, not [2, 1]",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "dilation": 2},
        "                                               ^^^^^^^^^^^^^",
        "dilation of type 'res' is 1, not 2",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "padding": "VALID"},
        "                                               ^^^^^^^^^^^^^^^^^^",
        "padding of type 'res' is 'SAME', not 'VALID'",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "scale": ["bil", 2]},
        "                                               ^^^^^^^^^^^^^^^^^^^",
        "scale ['bil', 2] of type 'res' cannot be expressed",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "scale": ("max", -2)},
        "                                               ^^^^^^^^^^^^^^^^^^^^",
        "scale ['max', -2] of type 'res' cannot be expressed",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "scale": ["unpool", 3]},
        "                                               ^^^^^^^^^^^^^^^^^^^^^^",
        "scale ['unpool', 3] cannot be expressed",
    ),
    (
        {"type": "res_v1", "out": 3, "kernel": [3, 3, 1], "scale": ["unpool", 2]},
        "                                                  ^^^^^^^^^^^^^^^^^^^^^^",
        "scale ['unpool', 2] of type 'res_v1' cannot be expressed",
    ),
    (
        {"type": "res_i", "out": 3, "scale": ["avg", -2]},
        "                            ^^^^^^^^^^^^^^^^^^^^",
        "scale ['avg', -2] of type 'res_i' cannot be expressed",
    ),
    (
        {"type": "res_i", "out": 3, "scale": ["unpool", 2]},
        "                            ^^^^^^^^^^^^^^^^^^^^^^",
        "scale ['unpool', 2] of type 'res_i' cannot be expressed",
    ),
    (
        {"type": "res", "out": 3, "kernel": [3, 3, 1], "bias": "cb"},
        "                                               ^^^^^^^^^^^^",
        "bias 'cb' of type 'res' cannot be expressed",
    ),
    (
        {"type": "res_i", "out": 3, "bias": "bcb", "act_nm": "bn"},
        "                            ^^^^^^^^^^^^^",
        "bias 'bcb' of type 'res_i' cannot be expressed",
    ),
    (
        {"type": "res_i", "out": 3, "krenel": 3},
        "                            ^^^^^^^^^^^",
        "the reference has no key 'krenel'; did you mean 'kernel'?",
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
VALUES = ANYTHING | st.sampled_from(
    "d dck dcd c cck tc tcck sc i avg max sum bn cbn s SAME VALID b cb bcb res res_i "
    "res_v1 project c_bias nl".split()
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=2))
@example([{"op": "d", "out": 10**5000}])
@example([{"out": 3, "w_nm": "s", "act_k": 10**5000}])
@example([{"op": "d", "out": 3, "out_reshape": [10**5000]}])
@example([{"out": 3, "scale": [10**5000, 2]}])
@example([{"out": 3, "scale": ["ps", 10**5000]}])
@example([{"out": 3, "in_reshape": [1, 1, 10**10]}])
@example([{"type": "res", "out": 3, "kernel": [10**5000, 1, 1]}])
@example([{"type": "res", "out": 3, "kernel": 10**5000}])
@example([{"type": "project", "op": "d", "out": 10**5000}])
@example([{"op": "dck", "out": 10**5000, "out_reshape": [1, 1, 1]}])
def test_any_layers_are_read_or_refused(layers):
    try:
        from_reference(layers)
    except SpecError as error:
        check_mark(error)
