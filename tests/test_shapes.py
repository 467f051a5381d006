"""Shapes, parameters and multiply-adds without building; tests by hand."""

import numpy as np
import pytest
import references
from hypothesis import given
from hypothesis import strategies as st

from gantf import shapes
from gantf.spec import SpecError, parse


@pytest.mark.parametrize(
    "net, shape, result, params, macs",
    [
        # dense: (in + bias) out
        ("dense-5", (6,), (5,), 35, 30),
        ("dense-5-nobias", (6,), (5,), 30, 30),
        ("dense-5-bn", (6,), (5,), 30 + 10, 30),
        ("dense-2x3x4-bn", (5,), (2, 3, 4), 5 * 24 + 8, 120),
        # conv: k^2 in out + out, at every pixel of the output
        ("conv3-4", (5, 6, 3), (5, 6, 4), 9 * 3 * 4 + 4, 30 * 108),
        ("conv3-4-s2", (5, 6, 3), (3, 3, 4), 112, 9 * 108),
        ("conv4-4-s2-p1", (5, 6, 3), (2, 3, 4), 16 * 12 + 4, 6 * 192),
        ("conv3-4-p0", (5, 6, 3), (3, 4, 4), 112, 12 * 108),
        ("conv3-4-d2-p0", (5, 6, 3), (1, 2, 4), 112, 2 * 108),
        ("conv7-4-s3", (2, 2, 1), (1, 1, 4), 49 * 4 + 4, 196),
        ("conv3-4-sn-gain", (5, 6, 3), (5, 6, 4), 113, 30 * 108),
        ("conv3-4-gn2-crelu", (5, 6, 3), (5, 6, 8), 112 + 8, 30 * 108),
        # tconv: at every pixel of the input; n s, or (n - 1) s + k - 2 p
        ("tconv4-4-s2", (3, 4, 3), (6, 8, 4), 16 * 12 + 4, 12 * 192),
        ("tconv4-4-s2-p1", (3, 4, 3), (6, 8, 4), 196, 12 * 192),
        ("tconv4-4-s2-p0", (3, 4, 3), (8, 10, 4), 196, 12 * 192),
        ("tconv4-4-s1-p0", (1, 1, 3), (4, 4, 4), 196, 192),
        ("tconv2-4-s3-p0", (2, 2, 3), (5, 5, 4), 52, 4 * 48),
        ("up3", (2, 3, 2), (6, 9, 2), 0, 0),
        ("upb2 upc2", (2, 3, 2), (8, 12, 2), 0, 0),
        ("ps2", (2, 3, 8), (4, 6, 2), 0, 0),
        ("sd2", (4, 6, 2), (2, 3, 8), 0, 0),
        ("avg2 max2", (5, 7, 2), (1, 1, 2), 0, 0),
        ("gsum", (4, 6, 2), (2,), 0, 0),
        ("gmean", (4, 6, 2), (2,), 0, 0),
        ("flatten", (4, 6, 2), (48,), 0, 0),
        ("reshape-3x2x2", (12,), (3, 2, 2), 0, 0),
        ("drop0.5 relu pn", (4, 6, 2), (4, 6, 2), 0, 0),
        ("bn ln in gn2", (4, 6, 2), (4, 6, 2), 16, 0),
        ("crelu", (5,), (10,), 0, 0),
        ("2*conv3-4 gsum dense-1", (5, 6, 3), (1,), 112 + 148 + 5, 30 * 252 + 4),
    ],
)
def test_numbers_by_hand(net, shape, result, params, macs):
    assert shapes.out_shape(net, shape) == result
    assert shapes.params(net, shape) == params
    assert shapes.macs(net, shape) == macs


@pytest.mark.parametrize(
    "net, shape, result, params, macs",
    [
        # depthwise: k^2 m for each channel, at every pixel of the output
        ("dconv3", (5, 6, 3), (5, 6, 3), 9 * 3 + 3, 30 * 27),
        ("dconv3-m4-nobias", (5, 6, 3), (5, 6, 12), 9 * 3 * 4, 30 * 108),
        ("dconv3-s2-m2", (5, 6, 3), (3, 3, 6), 9 * 6 + 6, 9 * 54),
        ("dconv5-d2-in-crelu", (5, 6, 3), (5, 6, 6), 25 * 3 + 2 * 3, 30 * 75),
        ("dconv3-m2-sn-gain-gn3", (5, 6, 3), (5, 6, 6), 54 + 6 + 1 + 12, 30 * 54),
        # separable: depthwise, then in * out
        ("sconv3-8", (5, 6, 3), (5, 6, 8), 9 * 3 + 3 * 8 + 8, 30 * (27 + 24)),
        ("sconv3-8-s2-gn2", (5, 6, 3), (3, 3, 8), 51 + 8 + 16, 9 * 51),
        ("sconv5-4-d2-nobias-crelu", (5, 6, 3), (5, 6, 8), 75 + 12, 30 * 87),
        ("sconv3-8-sn-gain", (5, 6, 3), (5, 6, 8), 51 + 8 + 1, 30 * 51),
        # groups: each output from 1/g of the inputs
        ("conv3-8-g2", (5, 6, 4), (5, 6, 8), 9 * 2 * 8 + 8, 30 * 144),
        ("conv3-4-g4-s2", (5, 6, 4), (3, 3, 4), 9 * 1 * 4 + 4, 9 * 36),
        # blocks: two kernels k^2 c h + k^2 h n, a shortcut c n where one is needed
        ("res3-8-relu", (4, 6, 8), (4, 6, 8), 2 * (576 + 8), 24 * 2 * 576),
        ("res3-8-sc", (4, 6, 8), (4, 6, 8), 2 * 584 + 64 + 8, 24 * (2 * 576 + 64)),
        (
            "res3-8-relu",
            (4, 6, 5),
            (4, 6, 8),
            9 * 5 * 8 + 8 + 9 * 8 * 8 + 8 + 5 * 8 + 8,
            24 * (360 + 576 + 40),
        ),
        (
            "res3-8-up2",  # the shortcut's kernel before it grows
            (4, 6, 5),
            (8, 12, 8),
            368 + 584 + 48,
            96 * (360 + 576) + 24 * 40,
        ),
        (
            "res3-8-up3",
            (2, 1, 8),
            (6, 3, 8),
            584 + 584 + 72,
            18 * 2 * 576 + 2 * 64,
        ),
        (
            "res3-8-down2",  # and after it has shrunk
            (4, 6, 5),
            (2, 3, 8),
            368 + 584 + 48,
            24 * (360 + 576) + 6 * 40,
        ),
        ("res3-8-down2", (5, 7, 5), (2, 3, 8), 1000, 35 * 936 + 6 * 40),
        (
            "res3-8-h3",
            (4, 6, 5),
            (4, 6, 8),
            9 * 5 * 3 + 3 + 9 * 3 * 8 + 8 + 48,
            24 * (135 + 216 + 40),
        ),
        (
            "res3-8-crelu",  # twice the channels before each kernel
            (4, 6, 5),
            (4, 6, 8),
            9 * 10 * 8 + 8 + 9 * 16 * 8 + 8 + 48,
            24 * (720 + 1152 + 40),
        ),
        (
            "res3-8-h3-crelu",
            (4, 6, 8),
            (4, 6, 8),
            9 * 16 * 3 + 3 + 9 * 6 * 8 + 8,
            24 * (432 + 432),
        ),
        # blocks: biases
        ("res3-8-h3-nobias", (4, 6, 5), (4, 6, 8), 135 + 216 + 40, 24 * 391),
        ("res3-8-h3-lastbias", (4, 6, 5), (4, 6, 8), 391 + 8 + 8, 24 * 391),
        ("res3-8-h3-scbias", (4, 6, 5), (4, 6, 8), 391 + 8, 24 * 391),
        ("res3-8-lastbias", (4, 6, 8), (4, 6, 8), 2 * 576 + 8, 24 * 1152),
        ("res3-8-scbias", (4, 6, 8), (4, 6, 8), 2 * 576, 24 * 1152),
        # blocks: norms of the input and of what is between; they drop no bias
        ("res3-8-h3-bn", (4, 6, 5), (4, 6, 8), 391 + 19 + 2 * 5 + 2 * 3, 24 * 391),
        ("res3-8-h3-in", (4, 6, 5), (4, 6, 8), 391 + 19 + 2 * 5 + 2 * 3, 24 * 391),
        ("res3-8-h3-ln", (4, 6, 5), (4, 6, 8), 391 + 19 + 2 * 5 + 2 * 3, 24 * 391),
        ("res3-8-h3-gn1", (4, 6, 5), (4, 6, 8), 391 + 19 + 2 * 5 + 2 * 3, 24 * 391),
        ("res3-8-h3-pn", (4, 6, 5), (4, 6, 8), 391 + 19, 24 * 391),
        ("res3-8-bn-crelu", (4, 6, 5), (4, 6, 8), 720 + 1152 + 64 + 26, 24 * 1912),
        # blocks: a gain for each kernel
        ("res3-8-sn-gain", (4, 6, 8), (4, 6, 8), 1168 + 2, 24 * 1152),
        ("res3-8-sc-snm-gain", (4, 6, 8), (4, 6, 8), 1168 + 72 + 3, 24 * 1216),
        ("res3-8-down2-sn-gain", (4, 6, 8), (2, 3, 8), 1243, 24 * 1152 + 6 * 64),
        # the first block: a norm only in the middle, always a shortcut
        (
            "stem3-8-relu",
            (4, 6, 3),
            (4, 6, 8),
            9 * 3 * 8 + 8 + 584 + 3 * 8 + 8,
            24 * (216 + 576 + 24),
        ),
        ("stem3-8", (4, 6, 8), (4, 6, 8), 584 + 584 + 72, 24 * (1152 + 64)),
        ("stem3-8-down2", (4, 6, 3), (2, 3, 8), 840, 24 * 792 + 6 * 24),
        (
            "stem3-8-h4-bn-crelu",
            (4, 6, 3),
            (4, 6, 8),
            9 * 3 * 4 + 4 + 2 * 4 + 9 * 8 * 8 + 8 + 32,
            24 * (108 + 576 + 24),
        ),
        ("stem3-8-nobias-sn-gain", (4, 6, 3), (4, 6, 8), 816 + 3, 24 * 816),
        ("stem3-8-lastbias", (4, 6, 3), (4, 6, 8), 816 + 16, 24 * 816),
        ("stem3-8-scbias", (4, 6, 3), (4, 6, 8), 816 + 8, 24 * 816),
        # attention: kernels c c/n for queries and keys, c c/2 for values and c/2 c
        # back, no biases; a gate; pixels * keys * (c/n + c/2) for the two products
        (
            "attn8",
            (4, 6, 16),
            (4, 6, 16),
            2 * 16 * 2 + 2 * 16 * 8 + 1,
            24 * (2 * 32 + 2 * 128) + 24 * 24 * (2 + 8),
        ),
        (
            "attn8-v4",  # values of a quarter of the channels
            (4, 6, 16),
            (4, 6, 16),
            2 * 16 * 2 + 2 * 16 * 4 + 1,
            24 * (2 * 32 + 2 * 64) + 24 * 24 * (2 + 4),
        ),
        (
            "attn8-v1",  # values of all channels, and no kernel back
            (4, 6, 16),
            (4, 6, 16),
            2 * 16 * 2 + 16 * 16 + 1,
            24 * (2 * 32 + 256) + 24 * 24 * (2 + 16),
        ),
        ("attn8-pool", (4, 6, 16), (4, 6, 16), 321, 24 * 320 + 24 * 6 * 10),
        ("attn8-pool", (5, 7, 16), (5, 7, 16), 321, 35 * 320 + 35 * 6 * 10),
        ("attn8-dist", (4, 6, 16), (4, 6, 16), 321, 24 * 320 + 576 * 10),
        ("attn4", (1, 1, 8), (1, 1, 8), 2 * 16 + 64 + 1, 96 + (2 + 4)),
        ("attn8-sn-gain", (4, 6, 16), (4, 6, 16), 321 + 4, 24 * 320 + 576 * 10),
        ("attn8-v1-snm-gain", (4, 6, 16), (4, 6, 16), 321 + 3, 24 * 320 + 576 * 18),
        # no numbers of their own
        ("noise0.1", (4, 6, 2), (4, 6, 2), 0, 0),
        ("noise0.1", (5,), (5,), 0, 0),
        ("mbstd4", (4, 6, 2), (4, 6, 3), 0, 0),
        ("mbstd4 dense-1", (5,), (1,), 6 + 1, 6),
    ],
)
def test_numbers_by_hand_of_blocks_and_attention(net, shape, result, params, macs):
    assert shapes.out_shape(net, shape) == result
    assert shapes.params(net, shape) == params
    assert shapes.macs(net, shape) == macs
    assert shapes.params(net, shape, classes=10) == params


@pytest.mark.parametrize(
    "net, shape, common, each, macs",
    [
        # a scale for each output, a kernel for each class
        ("dense-5-ck", (6,), 35, 5, 30),
        ("dense-2x3x4-ck", (5,), 5 * 24 + 24, 24, 120),
        ("conv3-4-ck", (5, 6, 3), 9 * 3 * 4 + 4, 4, 30 * 108),
        ("conv3-8-g2-ck-nobias", (5, 6, 4), 144, 8, 30 * 144),
        ("tconv4-4-s2-ck", (3, 4, 3), 16 * 12 + 4, 4, 12 * 192),
        ("dense-5-cd", (6,), 35, 6 * 5, 30),
        ("dense-2x3x4-cd-nobias", (5,), 120, 120, 120),
        ("dense-5-sn-gain-cd", (6,), 36, 30, 30),
        # biases: alone, and beside the common one, which a norm drops
        ("dense-5-cb", (6,), 30, 5, 30),
        ("dense-2x3x4-cb", (5,), 120, 24, 120),
        ("conv3-4-bcb", (5, 6, 3), 108 + 4, 4, 30 * 108),
        ("conv3-4-bcb-bn", (5, 6, 3), 108 + 8, 4, 30 * 108),
        ("tconv4-4-s2-cb", (3, 4, 3), 192, 4, 12 * 192),
        ("dconv3-m2-cb", (5, 6, 3), 54, 6, 30 * 54),
        ("dconv3-m2-bcb", (5, 6, 3), 54 + 6, 6, 30 * 54),
        ("sconv3-8-cb", (5, 6, 3), 51, 8, 30 * 51),
        ("sconv3-8-bcb", (5, 6, 3), 51 + 8, 8, 30 * 51),
        ("conv3-4-ck-cb", (5, 6, 3), 108, 4 + 4, 30 * 108),
        # an embedding as wide as the input for each output
        ("dense-1-proj", (6,), 7, 6, 6),
        ("dense-5-nobias-proj", (6,), 30, 30, 30),
        ("dense-5-sn-gain-proj", (6,), 35 + 2, 30, 30),
        ("dense-1-bcb-proj", (6,), 7, 6 + 1, 6),
        # norms: 2 for each channel; they drop the bias, but in blocks
        ("cbn", (4, 6, 2), 0, 4, 0),
        ("cbn", (5,), 0, 10, 0),
        ("dense-2x3x4-cbn", (5,), 120, 8, 120),
        ("conv3-4-cbn-crelu", (5, 6, 3), 108, 8, 30 * 108),
        ("dconv3-m2-cbn", (5, 6, 3), 54, 12, 30 * 54),
        ("res3-8-h3-cbn", (4, 6, 5), 391 + 19, 2 * 5 + 2 * 3, 24 * 391),
        ("stem3-8-h4-cbn", (4, 6, 3), 108 + 288 + 24 + 20, 2 * 4, 24 * 420),
    ],
)
def test_numbers_by_hand_with_labels(net, shape, common, each, macs):
    """`common` parameters and `each` more for every class."""
    for classes in (1, 2, 10):
        assert shapes.params(net, shape, classes) == common + classes * each
        assert shapes.macs(net, shape, classes) == macs


def blocks(word, *widths):
    return " ".join(word.format(n, h=n // 2) for n in widths)


SN_BLOCKS = (
    "stem3-128-down2-sn-relu res3-128-down2-sn-relu 2*res3-128-sn-relu relu gsum "
)


@pytest.mark.parametrize(
    "net, shape, classes, params",
    [
        # Miyato et al. (2018) and Miyato & Koyama (2018), ResNets for CIFAR-10
        (
            "dense-4x4x256 3*res3-256-up2-bn-relu bn relu conv3-3-tanh",
            (128,),
            0,
            4_276_739,
        ),
        (SN_BLOCKS + "dense-1-sn-nobias", (32, 32, 3), 0, 1_053_824),
        (
            "dense-4x4x256 3*res3-256-up2-cbn-relu bn relu conv3-3-tanh",
            (128,),
            10,
            4_304_387,
        ),
        (SN_BLOCKS + "dense-1-sn-nobias-proj", (32, 32, 3), 10, 1_055_104),
        # Arbel et al. (2018), their code, 64 x 64; each gain of its own is one more
        (
            "dense-4x4x1024 "
            + blocks("res3-{}-up2-lastbias-bn-relu", 512, 256, 128, 64)
            + " bn relu conv3-3-sigmoid",
            (128,),
            0,
            12_219_715,
        ),
        (
            "conv3-64-lrelu "
            + blocks("res3-{}-h{h}-down2-lastbias-relu", 128, 256, 512, 1024)
            + " relu gsum dense-1",
            (64, 64, 3),
            0,
            10_103_297,
        ),
        (
            "conv3-64-sn-gain-lrelu "
            + blocks("res3-{}-h{h}-down2-sn-gain-lastbias-relu", 128, 256, 512, 1024)
            + " relu gsum dense-1-sn-gain",
            (64, 64, 3),
            0,
            10_103_297 + 1 + 4 * 3 + 1,
        ),
        # Binkowski et al. (2018), g-resnet5 for CelebA at 160 x 160
        (
            "dense-5x5x1024 "
            + blocks("res3-{}-up2-lastbias-bn-relu", 512, 256, 128, 64)
            + " bn relu tconv5-3-s2-sigmoid",
            (100,),
            0,
            12_694_851,
        ),
    ],
)
def test_published_totals(net, shape, classes, params):
    assert shapes.params(net, shape, classes) == params


SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(
    SIDES, st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2)
)
def test_conv_shapes_are_those_of_a_convolution(sides, k, stride, dilation, padding):
    """Against the brute-force convolution of references.py."""
    if stride > 1:
        dilation = 1
    x, kernel = np.zeros((1, *sides, 1)), np.zeros((k, k, 1, 1))
    reach = (k - 1) * dilation + 1
    same = [references.same_pads(n, k, stride, dilation) for n in sides]
    for words, pads in [("", same), (f"-p{padding}", [(padding, padding)] * 2)]:
        text = f"conv{k}-1-s{stride}-d{dilation}{words}"
        if any(n + sum(pad) < reach for n, pad in zip(sides, pads)):
            with pytest.raises(SpecError, match="leaves nothing of a map"):
                shapes.out_shape(text, (*sides, 1))
        else:
            y = references.conv(x, kernel, pads, (stride,) * 2, (dilation,) * 2)
            assert shapes.out_shape(text, (*sides, 1)) == y.shape[1:]


def test_rows_walk_through_the_net():
    rows = shapes.rows("conv3-4-s2 gsum", (5, 6, 3))
    assert [str(row.layer) for row in rows] == ["conv3-4-s2", "gsum"]
    assert [row.shape for row in rows] == [(3, 3, 4), (4,)]
    assert [row.params for row in rows] == [112, 0]


def test_the_table_by_hand():
    assert shapes.table("conv3-64-s2-relu gsum dense-1", (28, 28, 1)) == (
        "layer               output  parameters  multiply-adds\n"
        "                   28x28x1\n"
        "conv3-64-s2-relu  14x14x64         640        112,896\n"
        "gsum                    64           0              0\n"
        "dense-1                  1          65             64\n"
        "total                              705        112,960"
    )


def test_lists_and_layers_are_nets_too():
    assert shapes.params(parse("dense-2"), (3,)) == 8
    assert shapes.params([{"kind": "dense", "out": 2}], [3]) == 8


UNFIT = [  # (net, input, marks, message)
    (
        "dense-3",
        (4, 4, 3),
        "^^^^^^^",
        ("dense needs a flat input, not 4x4x3; put flatten, gsum or gmean before it"),
    ),
    (
        "conv3-8 dense-3",
        (4, 4, 3),
        "        ^^^^^^^",
        ("dense needs a flat input, not 4x4x8; put flatten, gsum or gmean before it"),
    ),
    ("conv3-8", (5,), "^^^^^^^", "conv needs a map HxWxC, not 5"),
    ("conv5-8-p0", (4, 4, 3), "^^^^^^^^^^", "conv5-8-p0 leaves nothing of a map 4x4x3"),
    (
        "tconv2-8-p3",
        (3, 3, 2),
        "^^^^^^^^^^^",
        "tconv2-8-p3 leaves nothing of a map 3x3x2",
    ),
    ("avg5", (4, 4, 1), "^^^^", "avg5 leaves nothing of a map 4x4x1"),
    ("ps2", (4, 4, 6), "^^^", "ps2 needs channels that 4 divides, not 6"),
    ("sd2", (5, 4, 3), "^^^", "sd2 needs sides that 2 divides, not 5x4"),
    ("gsum", (5,), "^^^^", "gsum needs a map HxWxC, not 5"),
    ("reshape-2x2x2", (9,), "^^^^^^^^^^^^^", "cannot fold 9 into 2x2x2"),
    (
        "conv3-6-gn",
        (4, 4, 3),
        "^^^^^^^^^^",
        "gn of 32 groups does not divide 6 channels",
    ),
    (
        "conv3-6-gn4",
        (4, 4, 3),
        "^^^^^^^^^^^",
        "gn of 4 groups does not divide 6 channels",
    ),
    ("gn3", (8,), "^^^", "gn of 3 groups does not divide 8 channels"),
    ("dense-8-in", (4,), "^^^^^^^^^^", "in needs a map HxWxC, not 8"),
    ("in", (4,), "^^", "in needs a map HxWxC, not 4"),
    ("up2", (4,), "^^^", "up needs a map HxWxC, not 4"),
    ("cbn", (4, 4, 3), "^^^", "cbn needs labels: give classes, as in 'classes': 10"),
    (
        "conv3-8-cbn",
        (4, 4, 3),
        "^^^^^^^^^^^",
        "cbn needs labels: give classes, as in 'classes': 10",
    ),
    (
        "res3-8-cbn-relu",
        (4, 4, 3),
        "^^^^^^^^^^^^^^^",
        "cbn needs labels: give classes, as in 'classes': 10",
    ),
    (
        "stem3-8-cbn",
        (4, 4, 3),
        "^^^^^^^^^^^",
        "cbn needs labels: give classes, as in 'classes': 10",
    ),
    (
        "dense-1-proj",
        (5,),
        "^^^^^^^^^^^^",
        "proj needs labels: give classes, as in 'classes': 10",
    ),
    (
        "conv3-8-ck",
        (4, 4, 3),
        "^^^^^^^^^^",
        "ck needs labels: give classes, as in 'classes': 10",
    ),
    (
        "tconv3-8-ck",
        (4, 4, 3),
        "^^^^^^^^^^^",
        "ck needs labels: give classes, as in 'classes': 10",
    ),
    (
        "dense-8-cd",
        (5,),
        "^^^^^^^^^^",
        "cd needs labels: give classes, as in 'classes': 10",
    ),
    (
        "dconv3-cb",
        (4, 4, 3),
        "^^^^^^^^^",
        "cb needs labels: give classes, as in 'classes': 10",
    ),
    (
        "sconv3-8-bcb",
        (4, 4, 3),
        "^^^^^^^^^^^^",
        "bcb needs labels: give classes, as in 'classes': 10",
    ),
    (
        "dense-1-ck-cb-proj",
        (5,),
        "^^^^^^^^^^^^^^^^^^",
        "proj needs labels: give classes, as in 'classes': 10",
    ),
    ("conv3-8-g2", (4, 4, 3), "^^^^^^^^^^", "g2 does not divide 3 input channels"),
    ("conv3-9-g2", (4, 4, 4), "^^^^^^^^^^", "g2 does not divide 9 output channels"),
    ("attn8", (4, 4, 12), "^^^^^", "attn8 needs channels that 8 divides, not 12"),
    (
        "attn2-v8",
        (4, 4, 12),
        "^^^^^^^^",
        "attn2-v8 needs channels that 8 divides, not 12",
    ),
    ("attn2-pool", (1, 4, 4), "^^^^^^^^^^", "attn2-pool leaves nothing of a map 1x4x4"),
    ("attn2-pool", (1, 1, 4), "^^^^^^^^^^", "attn2-pool leaves nothing of a map 1x1x4"),
    ("attn2", (4,), "^^^^^", "attn needs a map HxWxC, not 4"),
    ("dconv3", (4,), "^^^^^^", "dconv needs a map HxWxC, not 4"),
    ("sconv3-8", (4,), "^^^^^^^^", "sconv needs a map HxWxC, not 4"),
    ("res3-8", (4,), "^^^^^^", "res needs a map HxWxC, not 4"),
    ("stem3-8", (4,), "^^^^^^^", "stem needs a map HxWxC, not 4"),
    (
        "res3-8-down4",
        (4, 2, 8),
        "^^^^^^^^^^^^",
        "res3-8-down4 leaves nothing of a map 4x2x8",
    ),
    (
        "stem3-8-down2",
        (1, 2, 8),
        "^^^^^^^^^^^^^",
        "stem3-8-down2 leaves nothing of a map 1x2x8",
    ),
    (
        "res3-8-gn4",
        (4, 4, 6),
        "^^^^^^^^^^",
        "gn of 4 groups does not divide 6 channels",
    ),
    (
        "res3-8-h6-gn4",
        (4, 4, 8),
        "^^^^^^^^^^^^^",
        "gn of 4 groups does not divide 6 channels",
    ),
    (
        "stem3-8-gn3",
        (4, 4, 3),
        "^^^^^^^^^^^",
        "gn of 3 groups does not divide 8 channels",
    ),
    (
        "gsum dense-8-cbn dense-1",
        (4, 4, 3),
        "     ^^^^^^^^^^^",
        "cbn needs labels: give classes, as in 'classes': 10",
    ),
]


@pytest.mark.parametrize("net, shape, marks, message", UNFIT)
def test_what_does_not_fit_is_refused_in_words(net, shape, marks, message):
    with pytest.raises(SpecError) as caught:
        shapes.rows(net, shape)
    assert str(caught.value) == f"{message}\n    {net}\n    {marks}"


def test_the_mark_stands_in_a_text_of_several_lines():
    text = (
        "# a critic\nconv3-8-s2-lrelu  # 16x16\n"
        "\t2*conv3-8-s2-lrelu\n\tdense-1  # no flatten"
    )
    with pytest.raises(SpecError) as caught:
        shapes.rows(text, (32, 32, 3))
    assert str(caught.value) == (
        "dense needs a flat input, not 4x4x8; put flatten, gsum or gmean before it\n"
        "    \tdense-1  # no flatten\n"
        "    \t^^^^^^^"
    )


def test_a_layer_out_of_a_dict_is_marked_whole():
    with pytest.raises(SpecError) as caught:
        shapes.rows([{"kind": "dense", "out": 2}], (2, 2, 1))
    assert str(caught.value) == (
        "dense needs a flat input, not 2x2x1; put flatten, gsum or gmean before it\n"
        "    {'kind': 'dense', 'out': 2}\n"
        "    ^^^^^^^^^^^^^^^^^^^^^^^^^^^"
    )


@pytest.mark.parametrize("classes", [-1, "3", 2.5, True])
def test_error_classes_that_are_none(classes):
    with pytest.raises(ValueError) as caught:
        shapes.rows("cbn", (3,), classes)
    assert str(caught.value) == f"classes is a whole number from 0, not {classes!r}"
