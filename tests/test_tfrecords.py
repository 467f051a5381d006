"""Tests of readers/tfrecords.py: TFRecord files as TensorFlow writes them."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gantf.readers import Options, ReadError, open_place, tfrecords

IMAGES = np.random.RandomState(0).randint(0, 256, (6, 8, 10, 3)).astype(np.uint8)
SQUARES = IMAGES[:, :8, :8]


def example(values):
    """An Example as TensorFlow makes it."""
    made = tf.train.Example()
    for key, value in values.items():
        feature = made.features.feature[key]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.extend(value)
    return made.SerializeToString()


def write(path, examples):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for one in examples:
            writer.write(one if isinstance(one, bytes) else example(one))
    return path


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, lossless=True)
    return file.getvalue()


def planes(image):
    return image.transpose(2, 0, 1).tobytes()


def message(path, **options):
    with pytest.raises(ReadError) as caught:
        open_place(path, Options(**options)).read([0])
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Who writes what, and the images that are read then.
FORMS = {
    "png": (IMAGES, lambda x: {"image": encoded(x)}),
    "webp": (IMAGES, lambda x: {"image/encoded": encoded(x, "WEBP"), "height": [8]}),
    "raw": (IMAGES, lambda x: {"image": x.tobytes(), "shape": [8, 10, 3]}),
    "height": (
        IMAGES,
        lambda x: {"image_raw": x.tobytes(), "height": [8], "width": [10], "d": [3]},
    ),
    "square": (SQUARES, lambda x: {"image_raw": x.tobytes()}),
    "stylegan": (IMAGES, lambda x: {"data": planes(x), "shape": [3, 8, 10]}),
    "chw": (SQUARES, lambda x: {"x": planes(x)}),
    "no sides": (SQUARES, lambda x: {"x": planes(x), "height": b"8", "width": 0.5}),
    "grey": (SQUARES[..., :1], lambda x: {"x": x.tobytes()}),
    "grey hw": (IMAGES[..., :1], lambda x: {"image": x.tobytes(), "shape": [8, 10]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_are_read(tmp_path, form):
    images, values = FORMS[form]
    path = write(tmp_path / "some.tfrecords", map(values, images))
    source = open_place(path, Options())
    order = [5, 0, 3, 3]
    np.testing.assert_array_equal(source.read(order), images[order])
    np.testing.assert_array_equal(source.one(2), images[2])
    assert (source.name, source.labels, source.n) == (str(path), None, 6)


def test_jpegs_are_known_for_what_they_are(tmp_path):
    jpegs = [{"image": encoded(x, "JPEG"), "label": [0]} for x in IMAGES]
    source = open_place(write(tmp_path / "a.tfrecord", jpegs), Options())
    assert source.suffixes == (".jpg",)
    with Image.open(io.BytesIO(jpegs[1]["image"])) as image:
        np.testing.assert_array_equal(source.one(1), np.asarray(image))


def test_a_raw_image_may_look_like_a_file(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[0, 0], image[0, 1, 0] = (0xFF, 0xD8, 0xFF), 0xE0
    path = write(
        tmp_path / "a.tfrecord", [{"image": image.tobytes(), "shape": [8, 8, 3]}]
    )
    np.testing.assert_array_equal(open_place(path, Options()).one(0), image)


def test_images_are_prepared(tmp_path):
    for name in ("raw", "png"):
        path = write(tmp_path / f"{name}.tfrecord", map(FORMS[name][1], IMAGES))
        source = open_place(path, Options(prepare="crop-6", channels=1))
        grey = Image.fromarray(IMAGES[4][1:7, 2:8]).convert("L")
        np.testing.assert_array_equal(source.one(4)[..., 0], np.asarray(grey))


LABELS = [
    ({"label": [3]}, 3),
    ({"image/class/label": [4]}, 4),
    ({"y": [5]}, 5),
    ({"label": [-1]}, None),
    ({"label": 0.5}, None),
    ({"label": b"cat"}, None),
    ({"label": [1, 0]}, None),
    ({"labels": [1]}, None),
]


@pytest.mark.parametrize("values, expected", LABELS)
def test_labels(tmp_path, values, expected):
    rows = [{"image": encoded(image), **values} for image in IMAGES]
    labels = open_place(write(tmp_path / "a.tfrecord", rows), Options()).labels
    assert (labels if expected is None else labels.tolist()) == (
        expected and [expected] * 6
    )


# Folders


def test_names_tell_splits_and_parts(tmp_path):
    rows = [{"image": encoded(image), "label": [i]} for i, image in enumerate(IMAGES)]
    names = ("set-train.tfrecord-00000-of-00002", "set-train.tfrecord-00001-of-00002")
    for name, some in zip(names, (rows[:2], rows[2:5])):
        write(tmp_path / name, some)
    write(tmp_path / "set-Validation.tfrecord-00000-of-00001", rows[5:])
    (tmp_path / "dataset_info.json").write_text("{}")
    found = {
        split: open_place(tmp_path, Options(split=split)).labels.tolist()
        for split in ("train", "valid", "all")
    }
    assert found == {"train": [0, 1, 2, 3, 4], "valid": [5], "all": [0, 1, 2, 3, 4, 5]}
    assert message(tmp_path, split="test").endswith('only "train", "valid", no "test"')
    alone = open_place(tmp_path / names[1], Options())
    np.testing.assert_array_equal(alone.read([0, 2]), IMAGES[[2, 4]])
    write(tmp_path / "more.tfrecord", rows)
    assert message(tmp_path) == (
        f"{tmp_path}/more.tfrecord: the names of other files tell their split, this one"
        " does not; rename it or move it away"
    )
    (tmp_path / "more.tfrecord").unlink()
    (tmp_path / names[0]).unlink()
    assert message(tmp_path) == f"{tmp_path}: {names[0]} is missing; copy it there"


def test_missing_parts_are_counted(tmp_path):
    write(tmp_path / "a-00003-of-00005.tfrecord", [{"x": bytes(12)}])
    told = (
        f"{tmp_path}: a-00000-of-00005.tfrecord is missing (and 3 more); copy it there"
    )
    assert message(tmp_path) == told


def test_error_the_same_images_in_sizes(tmp_path):
    for level in (2, 3):
        rows = [{"data": bytes(3 * 4**level), "shape": [3, 2**level, 2**level]}] * 2
        write(tmp_path / f"faces-r{level:02d}.tfrecords", rows)
    assert message(tmp_path) == (
        f"{tmp_path}: it has the same images in 2 sizes; give one of its files, as"
        f" {tmp_path}/faces-r03.tfrecords"
    )
    source = open_place(tmp_path / "faces-r02.tfrecords", Options())
    assert (source.n, source.shape) == (2, (4, 4, 3))


def test_large_files_are_read_through_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tfrecords, "_LARGE", 0)
    rows = [FORMS["raw"][1](image) for image in IMAGES]
    path = write(tmp_path / "a.tfrecord", [*rows, b"\xff"])
    found = open_place(path, Options(on_error="skip"))
    assert "listing" in capsys.readouterr().err
    monkeypatch.setattr(tfrecords, "_list", None)
    again = open_place(path, Options(on_error="skip"))
    np.testing.assert_array_equal(again.read(range(6)), IMAGES)
    assert again.faults.lines == found.faults.lines and len(found.faults.lines) == 1


# Bad files

GOOD = {"raw": {"x": bytes(12)}, "png": {"image": encoded(IMAGES[0])}}
NO_IMAGE = (
    "{} bytes under 'x' are no PNG, JPEG or WEBP, and no raw image of 1 or 3 channels:"
    ' a square, or of a "shape"'
)
LABEL = "label 2147483648 is of no class that there can be"
KEYS = "image, image/encoded, image_raw, data, x"
BAD = [
    (b"\xff", "it holds no tf.train.Example"),
    ({"y": [1]}, f"no image in it; images are under {KEYS}"),
    ({"x": bytes(7)}, NO_IMAGE.format(7)),
    ({"x": bytes(12), "shape": [3, 3, 3]}, NO_IMAGE.format(12)),
    ({"x": bytes(12), "shape": [3, -2, -2]}, NO_IMAGE.format(12)),
    ({"image": encoded(IMAGES[0]), "label": [2**31]}, LABEL),
    ({"x": bytes(3), "label": [2**31]}, LABEL),
]


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("bad, words", BAD)
def test_error_bad_records(tmp_path, good, bad, words):
    path = write(tmp_path / "a.tfrecord", [GOOD[good], bad, GOOD[good]])
    assert message(path) == f"{path}/1: {words}"
    source = open_place(path, Options(on_error="skip"))
    assert (source.n, source.faults.lines) == (2, [f"{path}/1: {words}"])
    path = write(tmp_path / "b.tfrecord", [bad])
    assert message(path, on_error="skip").startswith(f"{path}")


@pytest.mark.parametrize("good", GOOD)
def test_error_torn_files(tmp_path, good):
    path = write(tmp_path / "a.tfrecord", [GOOD[good]] * 3)
    os.truncate(path, path.stat().st_size - 5)
    told = f"{path}/2: it ends within record 2; copy or make the file again"
    assert message(path) == told
    source = open_place(path, Options(on_error="skip"))
    assert (source.n, source.faults.lines) == (2, [told])


def test_error_records_that_change_later(tmp_path):
    for name in GOOD:
        path = write(tmp_path / f"{name}.tfrecord", [GOOD[name]] * 3)
        source = open_place(path, Options(on_error="skip"))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        source.read([0, 1, 2])
        (line,) = source.faults.lines
        end = {"raw": "", "png": ".png"}[name]
        words = "record 1 has changed (its CRC differs); copy or make the file again"
        assert line == f"{path}/1{end}: {words}"


def test_error_mixed_records(tmp_path):
    path = write(tmp_path / "a.tfrecord", GOOD.values())
    assert message(path) == f"{path}: 0 is raw, 1.png is encoded; split them apart"
    rows = [{**GOOD["raw"], "label": [1]}, GOOD["raw"]]
    path = write(tmp_path / "b.tfrecord", rows)
    assert message(path) == f"{path}: 0 has a label, 1 has none"
    path = write(tmp_path / "c.tfrecord", [{"x": bytes(12)}, {"x": bytes(27)}])
    assert "images differ in size: 0 is 2 x 2, 1 is 3 x 3" in message(path)
    path = write(tmp_path / "d.tfrecord", [])
    assert message(path) == f"{path}: no records in it"
    (tmp_path / "e.tfrecord").write_bytes(b"\x89PNG" * 9)
    told = message(tmp_path / "e.tfrecord")
    assert told == (
        f"{tmp_path}/e.tfrecord/0: not a TFRecord file, whatever its name says; copy or"
        " make the file again"
    )


@given(st.data())
def test_fuzz(tmp_path_factory, data):
    values = data.draw(
        st.dictionaries(
            st.sampled_from([*tfrecords.IMAGES, *tfrecords.LABELS, "shape", "height"]),
            st.binary(max_size=30)
            | st.floats(width=32)
            | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
        )
    )
    path = tmp_path_factory.getbasetemp() / "fuzz.tfrecord"
    write(path, [values, GOOD["raw"]])
    content = bytearray(path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=2)):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        source = open_place(
            path, Options(on_error=data.draw(st.sampled_from(["refuse", "skip"])))
        )
        source.read(np.arange(source.n))
    except ReadError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path))
