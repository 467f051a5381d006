"""Tests of readers/shards.py: prepared sets, whole and spoilt."""

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gantf import datasets, shards
from gantf.files import sha256
from gantf.readers import Options, ReadError, open_place

AGAIN = "copy it again, or prepare the set again"


def write(folder, images, labels=None, name="set", **options):
    """A prepared set of images, which are in the test split too, the last one first.

    Three images make a shard.
    """
    place = folder / f"{name}.npz"
    arrays = {"x_train": images, "x_test": images[::-1]}
    if labels is not None:
        arrays |= {"y_train": labels, "y_test": labels[::-1]}
    np.savez(place, **arrays)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shards, "AROUND", 10**6 // 3 - images[0].size)
        asked = Options(**options)
        shards.prepare("some", place, folder / name, asked, shard_mb=1, processes=1)
    return folder / name


def noise(n=12, shape=(8, 6, 3), seed=0):
    return np.random.RandomState(seed).randint(0, 256, (n, *shape)).astype(np.uint8)


IMAGES, LABELS = noise(), np.arange(12) % 3


@pytest.fixture
def place(tmp_path):
    return write(tmp_path, IMAGES, LABELS)


@pytest.fixture
def shard(place):
    """The second of four shards of train: images 3, 4 and 5."""
    return place / "train-00001-of-00004.tfrecord"


def message(path, numbers=(), **options):
    """The refusal to open a place, or to read some of its images."""
    with pytest.raises(ReadError) as caught:
        open_place(path, Options(**options)).read(numbers)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


# Whole sets


def test_images_come_in_any_order(place):
    source = open_place(place, Options())
    assert (source.n, source.shape, source.split) == (12, (8, 6, 3), "train")
    order = np.array([11, 0, 5, 5, 3, 2])
    np.testing.assert_array_equal(source.read(order), IMAGES[order])
    np.testing.assert_array_equal(source.read([7]), IMAGES[[7]])
    np.testing.assert_array_equal(source.one(4), IMAGES[4])
    assert source.read([]).shape == (0, 8, 6, 3)
    assert source.labels.dtype == np.int32
    assert source.labels.tolist() == LABELS.tolist()


def test_splits(place):
    test = open_place(place, Options(split="test"))
    np.testing.assert_array_equal(test.read(range(12)), IMAGES[::-1])
    assert test.labels.tolist() == LABELS[::-1].tolist()
    every = open_place(place, Options(split="all"))
    np.testing.assert_array_equal(every.read([11, 12]), IMAGES[[11, 11]])
    assert every.labels.tolist() == [*LABELS, *LABELS[::-1]]
    assert message(place, split="valid") == (
        f'{place}: it has only "train", "test", no "valid"'
    )


def test_what_the_index_knows_comes_along(tmp_path):
    shards.prepare("embedded", "embedded", tmp_path / "set", split="test")
    source = open_place(tmp_path / "set", Options(split="test"))
    asked = datasets.find("embedded", "test")
    np.testing.assert_array_equal(source.labels, asked.labels)
    assert source.classes == asked.classes and len(source.classes) == 10
    numbers = np.arange(0, 1000, 7)
    np.testing.assert_array_equal(source.read(numbers), asked.read(numbers))
    (tmp_path / "photos").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "photos" / "a.JPG")
    shards.prepare("some", tmp_path / "photos", tmp_path / "jpeg", processes=1)
    assert open_place(tmp_path / "jpeg", Options()).suffixes == (".jpg",)


def test_what_was_prepared_may_be_asked_for(tmp_path):
    images = noise(shape=(12, 10, 3))
    place = write(tmp_path, images, prepare="celeba", size=8)
    words = "fit-9x11-lanczos crop-8"
    for asked in (
        {},
        {"size": 8},
        {"prepare": words},
        {"size": 8, "prepare": "celeba"},
    ):
        source = open_place(place, Options(**asked, channels=3))
        assert source.prepared.words == words
        assert (source.shape, source.labels) == ((8, 8, 3), None)
    expected = open_place(tmp_path / "set.npz", Options(prepare="celeba", size=8))
    np.testing.assert_array_equal(source.read([3]), expected.read([3]))
    assert source.about == {"prepared_from": str(tmp_path / "set.npz")}


def test_grey_is_repeated(tmp_path):
    place = write(tmp_path, noise(shape=(4, 4)))
    grey = open_place(place, Options()).read([0, 5])
    colour = open_place(place, Options(channels=3))
    assert (colour.shape, grey.shape) == ((4, 4, 3), (2, 4, 4, 1))
    np.testing.assert_array_equal(colour.read([0, 5]), np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(colour.one(5), colour.read([5])[0])


def test_training_reads_it(place):
    found = next(iter(datasets.load(place, batch=12, seed=1)))
    bytes_ = np.round((found["image"].numpy() + 1) * 127.5).astype(np.uint8)
    order = [(image == IMAGES).all((1, 2, 3)).argmax() for image in bytes_]
    assert sorted(order) == list(range(12))
    assert found["label"].numpy().tolist() == LABELS[order].tolist()


def test_a_set_may_be_prepared_from_another(place, tmp_path):
    again = tmp_path / "again"
    shards.prepare("some", place, again, Options(split="train"), processes=1)
    source = open_place(again, Options())
    np.testing.assert_array_equal(source.read(range(12)), IMAGES)


# What cannot be asked for

ASKED = [
    (
        {"size": 64},
        "its images are 6 x 8 (width x height), not 64 x 64; leave size out, or prepare"
        " the set again",
    ),
    (
        {"prepare": "crop-4"},
        "prepared as 'as they were', not as 'crop-4'; leave prepare out, or prepare the"
        " set again",
    ),
    (
        {"channels": 1},
        "prepared in colour, not in 1 channel; leave channels out, or prepare the set"
        " again",
    ),
    (
        {"label": "Smiling"},
        "prepared with its own labels, not with 'Smiling'; leave label out, or prepare"
        " the set again",
    ),
]


@pytest.mark.parametrize("options, words", ASKED)
def test_error_asked(place, options, words):
    assert message(place, **options) == f"{place}: {words}"


def test_labels_of_several_are_those_that_were_prepared(place):
    path = place / "index.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "label": "Smiling"}))
    assert open_place(place, Options(label="Smiling")).labels.tolist() == [*LABELS]
    assert message(place, label="Male") == (
        f"{place}: prepared with label 'Smiling', not with 'Male'; leave label out, or"
        " prepare the set again"
    )


# Spoilt sets


def test_error_not_finished(place):
    os.rename(place / "index.json", place / "plan.json")
    assert message(place) == (
        f"{place}: its preparation was not finished; the same command of"
        " tools/prepare_data.py goes on with it"
    )


def test_error_missing_and_torn(place, shard):
    content = shard.read_bytes()
    shard.unlink()
    assert message(place) == f"{shard}: No such file or directory; {AGAIN}"
    shard.write_bytes(content[:-1])
    size = len(content)
    assert (
        message(place) == f"{shard}: it has {size - 1:,} bytes, not {size:,}; {AGAIN}"
    )


def test_error_a_shard_of_another_set(place, shard, tmp_path):
    shutil.copy(place / "train-00002-of-00004.tfrecord", shard)
    assert message(place) == f"{shard}: a shard of another set; {AGAIN}"
    other = write(tmp_path, noise(seed=1), LABELS, "other")
    shutil.copy(other / shard.name, shard)
    assert message(place) == f"{shard}: a shard of another set; {AGAIN}"


def test_error_arrays(place):
    path = place / "index.npz"
    told = f"{path}: not the one that index.json means; {AGAIN}"
    with np.load(path) as arrays:
        arrays = dict(arrays)
    flip(path, 200)
    assert message(place) == told
    np.savez(path, **(arrays | {"labels": arrays["labels"] + 1}))
    assert message(place) == told
    path.unlink()
    assert message(place) == f"{path}: No such file or directory; {AGAIN}"
    # Whole files of other arrays, which the index means.
    about = json.loads((place / "index.json").read_text())
    for change in (
        {"starts": arrays["starts"][:-1]},
        {"starts": arrays["starts"] + 1},
        {"starts": -arrays["starts"]},
        {"starts": arrays["starts"][::-1]},
        {"crcs": arrays["crcs"].astype(float)},
        {"labels": np.array([None] * 24)},
    ):
        np.savez(path, **(arrays | change))
        about["index"]["sha256"] = sha256(path)
        (place / "index.json").write_text(json.dumps(about))
        assert message(place) == told


CHANGES = {
    "format": lambda about: about.pop("format"),
    "shape": lambda about: about.update(shape=[8, 6]),
    "large": lambda about: about.update(shape=[80000, 60000, 3]),
    "negative": lambda about: about.update(shape=[-8, -6, 3]),
    "channels": lambda about: about.update(shape=[8, 9, 2]),
    "float": lambda about: about.update(shape=[8.0, 6, 3]),
    "words": lambda about: about.update(prepare="crop-9"),
    "no words": lambda about: about.update(prepare="crop"),
    "classes": lambda about: about.update(classes="abc"),
    "class": lambda about: about.update(classes=[1, 2, 3]),
    "labels": lambda about: about["splits"]["train"].update(labels=1),
    "split": lambda about: about["splits"].pop("test"),
    "count": lambda about: about["shards"][0].update(n=-1),
    "many": lambda about: about["shards"][0].update(n=10**9),
    "path": lambda about: about["shards"][0].update(file="../set.npz"),
    "twice": lambda about: about["shards"].append(about["shards"][0]),
    "none": lambda about: about["shards"].clear(),
    "hash": lambda about: about["index"].pop("sha256"),
    "source": lambda about: about.update(source=None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_error_index(place, change):
    path = place / "index.json"
    about = json.loads(path.read_text())
    CHANGES[change](about)
    path.write_text(json.dumps(about))
    told = f"{path}: no whole index of a prepared set; {AGAIN}"
    assert message(place) == told


def test_error_index_of_another_gantf(place):
    path = place / "index.json"
    path.write_text('{"format": "gantf shards 2"}')
    assert message(place) == (
        f"{path}: written as 'gantf shards 2', and this gantf reads 'gantf shards 1';"
        " prepare the set again"
    )
    for shard in place.glob("*.tfrecord"):
        shard.unlink()
    assert message(place).startswith(f"{path}: written as 'gantf shards 2'")


def test_a_record_that_has_changed(place, shard, capsys):
    size = shard.stat().st_size
    flip(shard, size // 2)  # in the middle one of three
    path, words = (
        f"{shard}: record 1 has changed (its CRC differs)",
        "make the file again",
    )
    assert message(place, [2, 4]) == f"{path}; copy or {words}"
    source = open_place(place, Options())
    np.testing.assert_array_equal(source.read([3, 5]), IMAGES[[3, 5]])
    source = open_place(place, Options(on_error="skip"))
    # Image 4 is of class 1, and the next one of it is 7.
    np.testing.assert_array_equal(source.read([3, 4, 5]), IMAGES[[3, 7, 5]])
    assert source.faults.lines == [f"{path}; copy or {words}"]
    assert capsys.readouterr().err == f"gantf: skipped: {path}; copy or {words}\n"
    with pytest.raises(ReadError):
        source.one(4)


def test_every_record_is_checked(place):
    source = open_place(place, Options(split="all"))
    for path in place.glob("*.tfrecord"):
        size = path.stat().st_size
        for record in range(3):
            flip(path, size // 3 * record + 100)
    for number in range(24):
        with pytest.raises(ReadError):
            source.read([number])


# Noise


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A set to spoil, and what is in its files."""
    place = write(tmp_path_factory.mktemp("fuzz"), IMAGES[:4], LABELS[:4])
    return place, {path: path.read_bytes() for path in place.iterdir()}


def check(place, on_error):
    """A set opens and reads, or is refused in one line."""
    try:
        source = open_place(place, Options(on_error=on_error))
        images = source.read(np.arange(source.n))
    except ReadError as error:
        assert "\n" not in str(error) and str(error).startswith(str(place))
    else:
        assert images.shape == (4, 8, 6, 3)


@given(st.data())
def test_fuzz_files(spoilt, data):
    place, contents = spoilt
    path = data.draw(st.sampled_from(sorted(contents)))
    content = bytearray(contents[path])
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    content = content[: data.draw(st.integers(0, len(content)))]
    try:
        path.write_bytes(content)
        check(place, data.draw(st.sampled_from(["refuse", "skip"])))
    finally:
        path.write_bytes(contents[path])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.data())
def test_fuzz_index(spoilt, data):
    place, contents = spoilt
    path = place / "index.json"
    about = value = json.loads(contents[path])
    while isinstance(value, dict | list) and value:
        inner, keys = (
            value,
            range(len(value)) if isinstance(value, list) else list(value),
        )
        key = data.draw(st.sampled_from(keys))
        value = inner[key]
        if data.draw(st.booleans()):
            break
    inner[key] = data.draw(JSON)
    try:
        path.write_text(json.dumps(about))
        check(place, "refuse")
    finally:
        path.write_bytes(contents[path])
