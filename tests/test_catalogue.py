"""Sets of TensorFlow Datasets: made by builders of this file, without a network."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core import reader

from gantf.readers import Options, ReadError, catalogue, tfdsfiles
from gantf.readers.catalogue import open_tfds
from gantf.records import RecordFile

COLOUR = tfds.features.Image(shape=(2, 3, 3))
PETS = tfds.features.ClassLabel(names=["cat", "dog"])


class Tiles(tfds.core.GeneratorBasedBuilder):
    """700 images, of which number i is full of i, i // 3 and i // 7."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES = {"image": COLOUR, "label": tfds.features.ClassLabel(num_classes=700)}
    SPLITS = {"train": range(700)}
    MORE = {}

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return tfds.core.DatasetInfo(builder=self, features=features, **self.MORE)

    def _split_generators(self, dl_manager):
        return {s: self._generate_examples(those) for s, those in self.SPLITS.items()}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, self.example(number)

    def example(self, number):
        return {"image": tile(number), "label": number}


def tile(number):
    values = np.array([number % 256, number // 3, number // 7], np.uint8)
    return np.broadcast_to(values, (2, 3, 3))


class FewTiles(Tiles):
    SPLITS = {"train": range(60)}


class OrderedTiles(Tiles):
    MORE = {"disable_shuffling": True}


class Pets(Tiles):
    """Splits of several kinds; those that are not labelled say -1."""

    FEATURES = {"image": COLOUR, "label": PETS}
    SPLITS = {"test": range(3), "train": range(3, 8), "rest": range(8, 12)}

    def example(self, number):
        return {"image": tile(number), "label": -1 if number >= 8 else number % 2}


class ValidatedPets(Pets):
    SPLITS = {"test": range(2), "validation": range(2, 4), "train": range(4, 8)}


class Unlabelled(FewTiles):
    """The image under a name of its own, and no label."""

    FEATURES = {"picture": COLOUR}

    def example(self, number):
        return {"picture": tile(number)}


class Faces(Tiles):
    """Attributes: bit k of the number is number k of them."""

    WORDS = "Male", "Smiling", "Young"
    FEATURES = {
        "image": COLOUR,
        "species": PETS,
        "size": tfds.features.ClassLabel(names=["small", "large"]),
        "attributes": dict.fromkeys(WORDS, np.bool_),
    }
    MORE = {"supervised_keys": ("image", "species")}
    SPLITS = {"train": range(8)}

    def example(self, number):
        bits = {word: bool(number >> k & 1) for k, word in enumerate(self.WORDS)}
        size = "large" if number > 3 else "small"
        return {
            "image": tile(number),
            "species": number % 2,
            "size": size,
            "attributes": bits,
        }


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "tfds"


def prepare(name, home, shards=1, **options):
    """A builder that has prepared its set, and the files of records."""
    builder = tfds.builder(name, data_dir=str(home), **options)
    config = tfds.download.DownloadConfig(num_shards=shards)
    builder.download_and_prepare(download_config=config)
    return builder, sorted(Path(builder.data_path).glob(f"{name}-*record*"))


def message(name, **options):
    with pytest.raises(ReadError) as error:
        source = open_tfds(name, Options(**options))
        source.read(np.arange(source.n))
    assert "\n" not in str(error.value)
    return str(error.value)


def everything(source):
    return source.read(np.arange(source.n))


def values(source):
    """The numbers that images of up to 255 are full of."""
    images = everything(source)
    numbers = images[:, 0, 0, 0].tolist()
    np.testing.assert_array_equal(images, [tile(number) for number in numbers])
    return numbers


# Images and their order, as TFDS has them


@pytest.mark.parametrize("name", ["tiles", "ordered_tiles"])
def test_images_come_in_the_order_of_as_dataset(home, name):
    builder, files = prepare(name, home, 20)
    assert len(files) == 20  # more than TFDS reads at a time
    theirs = list(tfds.as_numpy(builder.as_dataset("train", shuffle_files=False)))
    source = open_tfds(name, Options())
    assert (source.name, source.split, source.n) == (f"tfds:{name}", "train", 700)
    assert source.labels.tolist() == [example["label"] for example in theirs]
    np.testing.assert_array_equal(everything(source), [e["image"] for e in theirs])
    ordered = source.labels.tolist() == list(range(700))
    assert ordered == (name == "ordered_tiles")
    assert source.suffixes == (".png",)
    assert source.shape == (2, 3, 3)


def test_images_of_array_records_come_in_the_order_of_as_data_source(home):
    builder, files = prepare("tiles", home, 20, file_format="array_record")
    assert len(files) == 20
    theirs = list(builder.as_data_source("train"))
    source = open_tfds("tiles", Options())
    assert source.labels.tolist() == [example["label"] for example in theirs]
    np.testing.assert_array_equal(everything(source), [e["image"] for e in theirs])


@pytest.mark.parametrize(
    "lengths",
    [
        [5],
        [16, 32, 48],
        [1] * 40,
        [0, 17, 0, 16, 33] * 8,
        [64, *range(40)],
        np.random.default_rng(0).integers(0, 50, 70).tolist(),
    ],
)
def test_interleaved_is_the_order_of_tf_data(lengths):
    starts = np.cumsum([0, *lengths[:-1]])
    files = tf.data.Dataset.from_tensor_slices((starts, np.array(lengths)))
    theirs = files.interleave(
        lambda start, n: tf.data.Dataset.range(start, start + n),
        tfdsfiles.CYCLE,
        tfdsfiles.BLOCK,
        num_parallel_calls=2,
        deterministic=True,
    )
    ours = tfdsfiles._interleaved(lengths, tfdsfiles.CYCLE)
    assert ours.tolist() == list(theirs.as_numpy_iterator())


def test_how_tfds_reads_files():
    config = tfds.ReadConfig()
    assert config.interleave_block_length == tfdsfiles.BLOCK
    default = reader._get_default_interleave_cycle_length
    assert default(disable_shuffling=False) == tfdsfiles.CYCLE
    assert default(disable_shuffling=True) == 1


def smooth(channels):
    """Waves of colour, 20 x 24, as JPEG likes them."""
    y, x, c = np.mgrid[:20, :24, :channels]
    return (127 + 90 * np.sin(x / 3 + c) + 30 * np.cos(y / 2)).astype(np.uint8)


def encoded(form, mode="RGB", **options):
    image = Image.fromarray(smooth(len(mode)).squeeze(), mode)
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


TURNED = Image.Exif()
TURNED[274] = 6  # held upright, it stood on its side
ENCODED = [
    encoded("PNG"),
    encoded("PNG", "RGBA"),
    encoded("PNG", "LA"),
    encoded("PNG", "L"),
    encoded("PNG", exif=TURNED),
    encoded("BMP"),
    encoded("JPEG", quality=95),
    encoded("JPEG", quality=60, exif=TURNED),
    encoded("JPEG", "L"),
]


class Encodings(Tiles):
    """Image files of many kinds, as they were."""

    FEATURES = {
        "image": tfds.features.Image(shape=(20, 24, 3)),
        "label": tfds.features.ClassLabel(num_classes=20),
    }
    SPLITS = {"train": range(len(ENCODED))}

    def example(self, number):
        return {"image": io.BytesIO(ENCODED[number]), "label": number}


def test_pixels_are_those_of_as_dataset(home):
    builder, _ = prepare("encodings", home)
    source = open_tfds("encodings", Options())
    lossy = []
    for image, example in zip(everything(source), builder.as_dataset("train")):
        data = ENCODED[example["label"]]
        if data.startswith(b"\xff\xd8"):
            exact = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
            np.testing.assert_array_equal(image, exact)
            lossy.append(np.abs(image - example["image"].numpy().astype(int)).mean())
        else:
            np.testing.assert_array_equal(image, example["image"])
    assert len(lossy) == 3
    # The fast inverse DCT: 1 level in photographs, somewhat more in steep waves.
    assert 0 < max(lossy) < 3


class AnySize(Tiles):
    """Grey images, of which number i is i + 3 pixels wide."""

    FEATURES = {"image": tfds.features.Image(shape=(None, None, 1))}
    SPLITS = {"train": range(5)}

    def example(self, number):
        return {"image": np.full((4, 3 + number, 1), number, np.uint8)}


def test_images_of_any_size(home):
    source = open_tfds("any_size", Options(size=2))
    assert source.shape == (2, 2, 1)
    assert sorted(everything(source)[:, 0, 0, 0].tolist()) == [0, 1, 2, 3, 4]
    assert open_tfds("any_size", Options(size=2, channels=3)).shape == (2, 2, 3)
    assert message("any_size") == (
        "tfds:any_size: a set of this kind is not looked through for the sizes of its"
        " images; give size=, the pixels a side that they shall have"
    )


def test_images_are_read_one_by_one(home, monkeypatch):
    prepare("few_tiles", home, 3)
    read, count = RecordFile.read, []
    counted = lambda *arguments: count.append(1) or read(*arguments)  # noqa: E731
    monkeypatch.setattr(RecordFile, "read", counted)
    source = open_tfds("few_tiles", Options())
    assert len(count) == 61  # each for its label, and the first for its suffix
    count.clear()
    source.read([5, 50])
    assert len(count) == 2
    # What was listed is kept.
    again = open_tfds("few_tiles", Options())
    assert len(count) == 3
    assert again.labels.tolist() == source.labels.tolist()
    np.testing.assert_array_equal(everything(again), everything(source))
    # A torn list is made again.
    (kept,) = (Path(os.environ["GANTF_CACHE"]) / "tfds").iterdir()
    kept.write_bytes(kept.read_bytes()[:-100])
    assert open_tfds("few_tiles", Options()).labels.tolist() == source.labels.tolist()


@pytest.mark.parametrize("form", ["tfrecord", "array_record"])
def test_threads(home, form):
    prepare("few_tiles", home, 3, file_format=form)
    source = open_tfds("few_tiles", Options())
    whole, numbers = everything(source), np.random.default_rng(0).integers(0, 60, 200)
    with ThreadPoolExecutor(8) as pool:
        for number, image in zip(
            numbers, pool.map(lambda i: source.read([i]), numbers)
        ):
            np.testing.assert_array_equal(image[0], whole[number])


# Splits and labels


def test_splits(home):
    source = open_tfds("pets", Options())
    assert sorted(zip(values(source), source.labels.tolist())) == [
        (3, 1), (4, 0), (5, 1), (6, 0), (7, 1)
    ]  # fmt: skip
    assert source.classes == ("cat", "dog")
    both = open_tfds("pets", Options(split="all"))
    assert values(both)[:5] == values(source)
    assert sorted(values(both)[5:]) == [0, 1, 2]
    assert (both.labels == np.array(values(both)) % 2).all()
    assert message("pets", split="valid") == (
        'tfds:pets: it has only "train", "test", no "valid"'
    )
    told = open_tfds("validated_pets", Options(split="valid"))
    assert sorted(values(told)) == [2, 3]
    # In the order of train, valid, test, whatever that of the set is.
    everyone = values(open_tfds("validated_pets", Options(split="all")))
    assert [set(everyone[:4]), set(everyone[4:6]), set(everyone[6:])] == [
        {4, 5, 6, 7}, {2, 3}, {0, 1}
    ]  # fmt: skip


def test_splits_of_other_names(home):
    others = {"train": "rest", "valid": "train"}
    rest = open_tfds("pets", Options(), others)
    assert (sorted(values(rest)), rest.labels, rest.classes) == (
        [8, 9, 10, 11],
        None,
        (),
    )
    valid = open_tfds("pets", Options(split="valid"), others)
    assert sorted(values(valid)) == [3, 4, 5, 6, 7]
    assert valid.classes == ("cat", "dog")
    # Where some are not labelled, none is.
    both = open_tfds("pets", Options(split="all"), others)
    assert (sorted(values(both)), both.labels) == ([*range(12)], None)


def test_the_image_may_be_called_otherwise(home):
    source = open_tfds("unlabelled", Options(size=1, channels=1))
    assert (source.shape, source.labels, source.classes) == ((1, 1, 1), None, ())
    images = everything(open_tfds("unlabelled", Options()))
    assert sorted(map(bytes, images)) == sorted(bytes(tile(i)) for i in range(60))


class Masked(Tiles):
    MASK = tfds.features.Image(shape=(2, 3, 1))
    FEATURES = {"after": MASK, "image": COLOUR, "mask": MASK}
    SPLITS = {"train": range(4)}

    def example(self, number):
        mask = np.zeros((2, 3, 1), np.uint8)
        return {"after": mask, "image": tile(number), "mask": mask}


def test_of_several_images_image_is_meant(home):
    assert sorted(values(open_tfds("masked", Options()))) == [0, 1, 2, 3]


def test_labels_that_are_asked_for(home):
    source = open_tfds("faces", Options())  # what TFDS has classifiers learn
    assert source.labels.tolist() == [value % 2 for value in values(source)]
    assert source.classes == ("cat", "dog")
    source = open_tfds("faces", Options(label="size"))
    assert source.labels.tolist() == [value // 4 for value in values(source)]
    assert source.classes == ("small", "large")
    source = open_tfds("faces", Options(label="Smiling"))
    assert source.labels.tolist() == [value >> 1 & 1 for value in values(source)]
    assert source.classes == ("not Smiling", "Smiling")
    # The last attribute counts 1, the one before 2.
    source = open_tfds("faces", Options(label="Male+Young"))
    expected = [2 * (value & 1) + (value >> 2) for value in values(source)]
    assert source.labels.tolist() == expected
    assert source.classes == (
        "not Male, not Young", "not Male, Young", "Male, not Young", "Male, Young"
    )  # fmt: skip


LABELS = {
    "Smilin": "no label 'Smilin'; did you mean 'Smiling'?",
    "Male+Old": "no label 'Old'; known: species, size, Male, Smiling, Young",
    "Male+Male": "a label has up to 8 attributes, each of them once, not 'Male+Male'",
}


@pytest.mark.parametrize("label, words", LABELS.items())
def test_error_label(home, label, words):
    assert message("faces", label=label) == f"tfds:faces: {words}"


def test_error_label_of_a_set_without(home):
    assert message("unlabelled", label="x") == "tfds:unlabelled: no label 'x'"


# Refusals


class Ghosts(Tiles):
    FEATURES = {"image": tfds.features.Image(shape=(2, 2, 4))}
    SPLITS = {"train": range(1)}

    def example(self, number):
        dtype = self.info.features["image"].np_dtype
        return {"image": np.zeros(self.info.features["image"].shape, dtype)}


class Deep(Ghosts):
    FEATURES = {"image": tfds.features.Image(shape=(2, 2, 1), dtype=np.uint16)}


class Depths(Ghosts):
    FEATURES = {"image": tfds.features.Image(shape=(2, 2, 1), dtype=np.float32)}


class Words(Ghosts):
    FEATURES = {"text": np.int64, "label": PETS}

    def example(self, number):
        return {"text": 1, "label": 0}


class Films(Ghosts):
    FEATURES = {"video": tfds.features.Video(shape=(None, 2, 2, 3))}

    def example(self, number):
        return {"video": np.zeros((2, 2, 2, 3), np.uint8)}


class Pairs(Ghosts):
    FEATURES = {"low": COLOUR, "high": COLOUR}

    def example(self, number):
        return {"low": tile(0), "high": tile(1)}


class Parts(Tiles):
    SPLITS = {"one": range(1), "two": range(1)}


class Ill(Ghosts):
    def _download_and_prepare(self, *_, **__):
        raise ConnectionError("no route\n to host")


REFUSALS = {
    "ghosts": "images are uint8 of (h, w, 1) or (h, w, 3), not uint8 of (2, 2, 4)",
    "deep": "images are uint8 of (h, w, 1) or (h, w, 3), not uint16 of (2, 2, 1)",
    "depths": "images are uint8 of (h, w, 1) or (h, w, 3), not float32 of (2, 2, 1)",
    "words": "it has no images, only text, label",
    "films": "it has no images, only video",
    "pairs": "it has several images, low, high, and none of them is called image;"
    " export what is meant to a folder and give that",
    "parts": "it has no train, valid or test, only one, two; export what is meant to a"
    " folder and give that",
    "ill": "no route to host",
    "tilse": "Dataset tilse not found. Did you mean: tilse -> tiles ?",
}


@pytest.mark.parametrize("name, words", REFUSALS.items())
def test_error_sets(home, name, words):
    assert message(name) == f"tfds:{name}: {words}"


def test_error_format(home):
    builder, _ = prepare("pets", home)
    about = Path(builder.data_path) / "dataset_info.json"
    told = json.loads(about.read_text()) | {"fileFormat": "riegeli"}
    about.write_text(json.dumps(told))
    assert message("pets") == (
        "tfds:pets: TFDS has prepared it as riegeli, which cannot be read image by"
        " image here; prepare it as tfrecord or array_record"
    )


# Files that are not what they were


def tear(path):
    path.write_bytes(path.read_bytes()[:-5])


def shorten(path):
    """Takes the last record away."""
    *_, (start, _, _) = tfdsfiles.scan(path)
    path.write_bytes(path.read_bytes()[:start])


def flip(path):
    """Changes a bit of the second record."""
    data = bytearray(path.read_bytes())
    _, (start, _, _), *_ = tfdsfiles.scan(path)
    data[start + 40] ^= 1
    path.write_bytes(data)


AGAIN = "copy or make the file again"
# what happens to the second file, of 20 records -> (what is said, images left of 60)
HARMS = {
    tear: (f"it ends within record 19; {AGAIN}", 59),
    shorten: (f"it has 19 records, and TFDS wrote 20; {AGAIN}", 59),
    flip: (f"record 1 has changed (its CRC differs); {AGAIN}", 59),
    Path.unlink: ("No such file or directory", 40),
    lambda path: path.write_bytes(b""): (
        f"it has 0 records, and TFDS wrote 20; {AGAIN}",
        40,
    ),
    lambda path: path.write_bytes(b"text" * 9): (
        f"not a TFRecord file, whatever its name says; {AGAIN}",
        40,
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_error_files(home, harm, capsys):
    words, left = HARMS[harm]
    _, files = prepare("few_tiles", home, 3)
    source = open_tfds("few_tiles", Options())
    before = dict(zip(source.labels.tolist(), everything(source)))
    harm(files[1])
    told = (
        message("few_tiles")
        .replace(": record", " record")
        .replace(" record", ": record")
    )
    assert message("few_tiles").startswith(f"tfds:few_tiles: {files[1]}: ")
    assert message("few_tiles") == f"tfds:few_tiles: {files[1]}: {words}", told
    capsys.readouterr()
    for _ in range(2):  # what is bad is not kept in the cache
        source = open_tfds("few_tiles", Options(on_error="skip"))
        assert source.n == len(set(source.labels.tolist())) == left
        assert source.faults.lines == [f"tfds:few_tiles: {files[1]}: {words}"]
        assert "gantf: skipped: tfds:few_tiles: " in capsys.readouterr().err
    for label, image in zip(source.labels.tolist(), everything(source)):
        np.testing.assert_array_equal(image, before[label])


def test_error_array_records(home):
    _, files = prepare("unlabelled", home, 2, file_format="array_record")
    data = bytearray(files[0].read_bytes())
    data[data.index(b"IHDR")] ^= 1  # of the first PNG
    files[0].write_bytes(data)
    told = message("unlabelled")
    assert told == f"tfds:unlabelled: {files[0]}: record 0 has changed; {AGAIN}"
    source = open_tfds("unlabelled", Options(on_error="skip"))
    assert everything(source).shape == (60, 2, 3, 3)
    assert source.faults.lines == [told]
    files[0].write_bytes(data[:1000])
    assert message("unlabelled") == (
        f"tfds:unlabelled: {files[0]}: it has 0 records, and TFDS wrote 30; {AGAIN}"
    )


class Torn(Tiles):
    """Number 0 is no image, number 1 one of 16 bits, and number 2 half a PNG."""

    FEATURES = {
        "image": COLOUR,
        "label": tfds.features.ClassLabel(num_classes=9),
        "kind": tfds.features.ClassLabel(num_classes=1),
    }
    SPLITS = {"train": range(9)}

    def example(self, number):
        data = io.BytesIO()
        if number == 1:
            Image.fromarray(np.full((2, 3), 999, np.uint16)).save(data, "PNG")
        elif number:
            Image.fromarray(np.ascontiguousarray(tile(number))).save(data, "PNG")
        half = data.getvalue()[: 45 if number == 2 else None]
        return {"image": io.BytesIO(half or b"none"), "label": number, "kind": 0}


def test_error_images(home, capsys):
    _, (file,) = prepare("torn", home)
    labels = open_tfds("torn", Options(on_error="skip")).labels.tolist()
    none = "no whole image of PNG, JPEG, WEBP, BMP; delete the folder of its file, and"
    none += " TFDS prepares the set anew"
    words = {0: none, 1: "images have 8 bits a channel, not mode I;16", 2: none}
    lines = {
        number: f"tfds:torn: {file}: record {labels.index(number)}: {said}"
        for number, said in words.items()
    }
    assert message("torn") in lines.values()
    source = open_tfds("torn", Options(on_error="skip", label="kind"))
    images = everything(source)
    assert set(source.faults.lines) == set(lines.values())
    for label, image in zip(labels, images):
        if label > 2:
            np.testing.assert_array_equal(image, tile(label))


class AllTorn(Torn):
    def example(self, number):
        return {"image": io.BytesIO(b"none"), "label": 0, "kind": 0}


def test_error_no_image_is_whole(home):
    told = message("all_torn", on_error="skip")
    assert told.startswith("tfds:all_torn: ")
    assert told.endswith(" (and so are all of the first 8)")


def test_error_no_label_in_a_record(home, monkeypatch):
    _, (file,) = prepare("unlabelled", home)
    label = catalogue._Label(("label",), ("a",))
    monkeypatch.setattr(catalogue, "_label", lambda *_: label)
    assert message("unlabelled") == (
        f"tfds:unlabelled: {file}: record 0: it has no label; delete the folder of its"
        " file, and TFDS prepares the set anew"
    )
