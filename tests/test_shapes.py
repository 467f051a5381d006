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
