"""Tests of preparation.py: words, and images against Pillow and TensorFlow by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from places import noise

from gantf import preparation
from gantf.preparation import PRESETS, Preparation, read
from gantf.readers import ReadError

SIDES = st.integers(1, 90)


def prepared(words, image, size=None, place=preparation.MIDDLE):
    """An array, prepared."""
    return np.asarray(read(words, size)(Image.fromarray(image), place))


def pillow(image, width, height, filter=Image.Resampling.LANCZOS):
    return np.asarray(Image.fromarray(image).resize((width, height), filter))


def rounded(x):
    return np.floor(np.asarray(x) + 0.5).astype(np.uint8)


# Words


@pytest.mark.parametrize(
    "given, size, words",
    [
        (None, None, ""),
        (None, 64, "short-64-lanczos crop-64"),
        ("square", 32, "short-32-lanczos crop-32"),
        ("celeba", 64, "fit-72x88-lanczos crop-64"),
        ("celeba", 128, "fit-144x176-lanczos crop-128"),
        ("celeba-160", 64, "box-178 random-160 fit-64x64-tf1"),
        ("lsun-random", 64, "short-64-lanczos random-64"),
        ("fit", 48, "fit-48x48-lanczos"),
        ("imagenet-256", 64, "box-256 fit-64x64-tf1"),
        ("crop-64", None, "crop-64"),
        (" short-064   crop-64 ", 64, "short-64-lanczos crop-64"),
        ("short-70-area random-64", 64, "short-70-area random-64"),
        ("fit-30x20-nearest", None, "fit-30x20-nearest"),
    ],
)
def test_words_in_their_canonical_form(given, size, words):
    found = read(given, size)
    assert found == Preparation(words)
    assert (
        read(words or None, None)
        == found
        == read(words or None, size and found.size[0])
    )


@pytest.mark.parametrize(
    "words, size, random",
    [
        (None, None, False),
        ("crop-8", (8, 8), False),
        ("fit-30x20", (20, 30), False),
        ("random-9 fit-4x6-tf1", (6, 4), True),
        ("box-178 random-160", (160, 160), True),
    ],
)
def test_what_comes_out(words, size, random):
    found = read(words, None)
    assert (found.size, found.random) == (size, random)
    if size:
        assert prepared(words, noise(200, 180, 3)).shape == (*size, 3)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [1, 2, 17, 64, 160])
def test_presets_give_images_of_their_size(name, size):
    assert prepared(name, noise(218, 178, 3), size).shape == (size, size, 3)
    assert prepared(name, noise(300, 400), size).shape == (size, size)


ERRORS = {
    ("sqare", 8): "prepare has no word 'sqare'; did you mean 'square'?",
    ("crp-8", None): "prepare has no word 'crp-8'; did you mean 'crop-N'?",
    ("fit-8*8", None): "prepare has no word 'fit-8*8'; did you mean 'fit'?",
    ("crop-" + "9" * 5000, None): "prepare has no word 'crop-"
    + "9" * 5000
    + "'; known: "
    "square, celeba, celeba-160, lsun-random, fit, imagenet-256, short-N, fit-WxH, "
    "crop-N, random-N, box-N",
    ("fit-8", None): "fit is written fit-WxH, with pixels from 1 to 8192, not 'fit-8'",
    ("crop-8x8", None): (
        "crop is written crop-N, with pixels from 1 to 8192, not 'crop-8x8'"
    ),
    ("box-0", None): "box is written box-N, with pixels from 1 to 8192, not 'box-0'",
    ("short-8193 crop-8", 8): (
        "short is written short-N, with pixels from 1 to 8192, not 'short-8193'"
    ),
    ("crop-8-area", None): "crop takes no filter, so not 'crop-8-area'",
    ("fit-8x8-lancsoz", None): (
        "fit has no filter 'lancsoz'; did you mean 'lanczos'?; filters are lanczos,"
        " bicubic, bilinear, area, nearest, tf1"
    ),
    ("short-8", None): (
        "prepare 'short-8' leaves images of many sizes; end it with crop-N or fit-WxH"
    ),
    (
        " ",
        None,
    ): "prepare ' ' leaves images of many sizes; end it with crop-N or fit-WxH",
    ("celeba", None): "prepare 'celeba' goes with a size; give that too",
    ("fit-72x88", 64): (
        "prepare 'fit-72x88' makes images of 72 x 88 (width x height), and 64 x 64 are"
        " asked for; change one of them"
    ),
}


@pytest.mark.parametrize("given, size", ERRORS, ids=lambda given: str(given)[:20])
def test_error_words(given, size):
    with pytest.raises(ReadError) as error:
        read(given, size)
    assert str(error.value) == ERRORS[given, size]


@settings(max_examples=200)
@given(
    st.text(max_size=12)
    | st.from_regex(preparation._WORD, fullmatch=True)
    | st.lists(st.sampled_from([*PRESETS, "crop-4", "fit-4x4", "box-9"])).map(" ".join),
    st.none() | st.integers(1, 20),
)
def test_any_words_are_read_or_refused(words, size):
    try:
        found = read(words, size)
    except ReadError as error:
        assert str(error)
    else:
        assert read(found.words, size) == found
        assert size is None or found.size == (size, size)


# Images


@given(SIDES, SIDES, SIDES, SIDES)
def test_fit_is_the_plain_call_of_pillow(h, w, width, height):
    image = noise(h, w, 3)
    found = prepared(f"fit-{width}x{height}", image)
    np.testing.assert_array_equal(found, pillow(image, width, height))


@pytest.mark.parametrize(
    "name, filter",
    {
        "lanczos": Image.Resampling.LANCZOS,
        "bicubic": Image.Resampling.BICUBIC,
        "bilinear": Image.Resampling.BILINEAR,
        "area": Image.Resampling.BOX,
        "nearest": Image.Resampling.NEAREST,
    }.items(),
)
def test_filters(name, filter):
    image = noise(40, 30)
    found = prepared(f"fit-12x17-{name}", image)
    np.testing.assert_array_equal(found, pillow(image, 12, 17, filter))


def test_area_by_hand():
    image = np.uint8([[0, 10, 20, 30], [100, 110, 120, 130]])
    assert prepared("fit-2x1-area", image).tolist() == [[55, 75]]


@pytest.mark.parametrize(
    "h, w, sizes",
    [
        (20, 40, (16, 8)),
        (41, 20, (8, 16)),
        (42, 20, (8, 17)),
        (4, 5, (10, 8)),
        (8, 9, (9, 8)),
    ],
)
def test_the_short_side(h, w, sizes):
    # 41 * 8 / 20 = 16.4, 42 * 8 / 20 = 16.8, 5 * 8 / 4 = 10
    image = noise(h, w, 3)
    width, height = sizes
    left, top = (width - 8) // 2, (height - 8) // 2
    expected = pillow(image, width, height)[top : top + 8, left : left + 8]
    np.testing.assert_array_equal(prepared("short-8 crop-8", image), expected)
    np.testing.assert_array_equal(prepared(None, image, 8), expected)


def test_crops_by_hand():
    row = np.uint8([range(7)])
    image = np.repeat(row, 5, 0)
    assert prepared("crop-4", image)[0].tolist() == [1, 2, 3, 4]
    assert prepared("box-3", image).tolist() == [[2, 3, 4]] * 3
    # one row is left over below, two columns are black on each side of 7
    found = prepared("box-11", image)
    assert found[3].tolist() == [0, 0, *range(7), 0, 0]
    assert found.any(1).tolist() == [False] * 3 + [True] * 5 + [False] * 3


@given(SIDES, SIDES, SIDES)
def test_box_is_the_one_of_tensorflow(h, w, side):
    image = noise(h, w, 3)
    expected = tf.image.resize_with_crop_or_pad(image, side, side)
    np.testing.assert_array_equal(prepared(f"box-{side}", image), expected)


def test_error_too_small_to_cut():
    with pytest.raises(ReadError) as error:
        prepared("crop-9", noise(8, 10))
    assert str(error.value) == (
        "it is 10 x 8 (width x height), too small to cut 9 x 9 out of it; short-N"
        " before makes it larger"
    )


def test_random_places():
    image = np.arange(20, dtype=np.uint8).reshape(4, 5)
    # rooms of 3 across and 2 down: 4 and 3 places, each as likely
    for place, corner in [
        ((0.0, 0.0), 0),
        ((0.2499, 0.33), 0),
        ((0.25, 0.34), 6),
        ((0.99999994, 0.99999994), 13),  # the largest float32 below 1
        (preparation.MIDDLE, 6),
    ]:
        found = prepared("random-2", image, place=np.float32(place))
        assert found.tolist() == image[corner // 5 :, corner % 5 :][:2, :2].tolist()
    np.testing.assert_array_equal(
        prepared("random-2", image), prepared("crop-2", image)
    )
    # where to cut is for random-N alone
    moved = prepared("crop-2", image, place=(0.99, 0.99))
    np.testing.assert_array_equal(moved, prepared("crop-2", image))


@settings(max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([(), (3,)]))
def test_tf1_is_the_op_of_tensorflow(h, w, height, width, channels):
    image = noise(h, w, *channels)
    batch = image.reshape(1, h, w, -1).astype(np.float32)
    expected = tf.compat.v1.image.resize_bilinear(batch, [height, width])[0]
    found = preparation.tf1_bilinear(image, height, width)
    np.testing.assert_array_equal(found, rounded(expected).reshape(found.shape))
    assert found.shape == (height, width, *channels)


def test_tf1_by_hand():
    # at 0, 1.5 and 3 of 0 100 200 40, and twice as many: the last one is repeated
    image = np.uint8([[0, 100, 200, 40, 0, 2]])
    assert preparation.tf1_bilinear(image, 1, 4).tolist() == [[0, 150, 40, 1]]
    image = np.uint8([[10, 20]])
    assert preparation.tf1_bilinear(image, 1, 4).tolist() == [[10, 15, 20, 20]]


def test_celeba_by_hand():
    # 178 x 218 to 72 x 88 by Lanczos, then columns 4..67 and rows 12..75
    face = noise(218, 178, 3)
    expected = pillow(face, 72, 88)[12:76, 4:68]
    np.testing.assert_array_equal(prepared("celeba", face, 64), expected)


@pytest.mark.parametrize("size", [64, 160])
def test_celeba_160_by_tensorflow(size):
    face = noise(218, 178, 3)
    square = tf.image.resize_with_crop_or_pad(face, 178, 178).numpy()
    np.testing.assert_array_equal(square, face[20:198])
    for place, (left, top) in {
        preparation.MIDDLE: (9, 9),
        (0.0, 0.999): (0, 18),
        (0.5001, 0.1): (9, 1),  # 19 places each way
    }.items():
        cut = square[top : top + 160, left : left + 160]
        resized = tf.compat.v1.image.resize_bilinear(
            cut[None].astype(np.float32), [size, size]
        )
        found = prepared("celeba-160", face, size, place)
        np.testing.assert_array_equal(found, rounded(resized[0]))


def test_imagenet_256_by_tensorflow():
    image = noise(280, 200, 3)
    square = tf.image.resize_with_crop_or_pad(image, 256, 256)
    resized = tf.compat.v1.image.resize_bilinear(
        tf.cast(square[None], tf.float32), [64, 64]
    )
    np.testing.assert_array_equal(
        prepared("imagenet-256", image, 64), rounded(resized[0])
    )
