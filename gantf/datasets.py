"""Sets by name, and the streams of batches that training and evaluation read.

`find` gives a `Source` (images by number, see readers), `load` and `stream` batches:
dicts of "image", float32 in [-1, 1], and "label", int32, -1 where there is none.

Nothing is downloaded unless asked for by `tfds:NAME`, and no set ever stands in for
another: a known set that is not on this machine raises `NotHere`, which says what to
do about it.
"""

import dataclasses
import itertools
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gantf import toy
from gantf.choices import hint
from gantf.readers import (
    SPLITS,
    ReadError,
    Source,
    array_source,
    check_options,
    check_split,
    data_file,
    open_place,
    prepare_all,
)

EMBEDDED = "fashion_mnist.npz"
POINTS = 5000  # in a split of a toy set
LARGEST = 8e9  # bytes of a TFDS split that may be held in memory
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class Known(NamedTuple):
    """A set of images that people call by name.

    Args:
      title: one line for people.
      tfds: its name in TensorFlow Datasets, or None.
      splits: TFDS' names of what is called "train" and "test" here.
      how: what `--data=FOLDER` stands for.
    """

    title: str
    tfds: str | None = None
    splits: tuple[str, str] = ("train", "test")
    how: str = ""


IDX_FILES = "a folder with its four idx files"
SETS = {
    "embedded": Known("Fashion-MNIST, 5,000 + 1,000 images that come with gantf"),
    "fashion_mnist": Known(
        "Fashion-MNIST",
        "fashion_mnist",
        how=f"{IDX_FILES} (Debian's dataset-fashion-mnist has them)",
    ),
    "mnist": Known("MNIST", "mnist", how=IDX_FILES),
    "cifar10": Known(
        "CIFAR-10", "cifar10", how="a folder or zip with train/CLASS/ and test/CLASS/"
    ),
    "stl10": Known(
        "STL-10",
        "stl10",
        ("unlabelled", "test"),  # GANs train on its 100,000 unlabelled images
        how="a folder or zip with its unlabelled images",
    ),
    "celeba": Known(
        "CelebA",
        "celeb_a",
        how="a folder or zip with its images (img_align_celeba)",
    ),
    "lsun": Known(
        "LSUN bedrooms",
        "lsun/bedroom",
        ("train", "validation"),
        how="a folder or zip with its images, exported from the LMDB file",
    ),
    "ring": Known("8 Gaussians on a circle, points in the plane"),
    "six": Known("six points in the plane"),
    "curve": Known("a noisy arc, points in the plane"),
    "mixture": Known("two Gaussians on the line"),
}


class NotHere(ReadError):
    """A known set that is not on this machine; the message tells how to get it."""


def names() -> list[str]:
    """The names that `find` and `load` know."""
    return list(SETS)


def find(
    name_or_path: str | os.PathLike,
    split: str = "train",
    size: int | None = None,
    channels: int | None = None,
    folder: str | os.PathLike = "data",
) -> Source:
    """The source behind a name or a path; see `readers.open_place` for the options.

    Args:
      name_or_path: a name of `names()`, `tfds:NAME` (downloads if need be), or a
          path.
      split: "train" or "test".
      size: None or pixels a side.
      channels: None, 1 or 3.
      folder: where prepared sets are looked for, as NAME/, NAME.zip or NAME.npz.

    Raises:
      NotHere: the set is known, but not on this machine.
      ReadError: what is there cannot be read.
    """
    check_options(split, size, channels)
    name = os.fspath(name_or_path)
    if name.startswith("tfds:"):
        return _tfds(name.removeprefix("tfds:"), split, size, channels)
    if name in toy.SETS:
        return _points(name, split, size, channels)
    if name == "embedded":
        source = open_place(data_file(EMBEDDED), split, size, channels)
        return dataclasses.replace(source, name=name, classes=CLOTHES)
    if name in SETS:
        return _known(name, split, size, channels, Path(folder))
    if not Path(name).expanduser().exists():
        near = hint(name, SETS)
        others = "" if near.endswith("?") else "; sets of TFDS are tfds:NAME"
        raise ReadError(f"{name}: no such file, folder or set{near}{others}")
    return open_place(name, split, size, channels)


def _points(name, split, size, channels):
    points = toy.sample(name, POINTS, seed=SPLITS.index(split))
    shape = points.shape[1:]
    if size is not None or channels is not None:
        place = {1: "on the line", 2: "in the plane"}[shape[0]]
        raise ReadError(
            f"{name}: points {place} have neither size nor channels; they go "
            f"with an architecture whose sample is {shape[0]}"
        )
    return Source(name, split, POINTS, shape, points.__getitem__)


def _known(name, split, size, channels, folder):
    files = [f"{name}{suffix}" for suffix in ("", ".zip", ".npz")]
    # In a checkout, data/fashion_mnist.npz is the embedded part, not the set.
    places = [folder / file for file in files if file != EMBEDDED]
    for place in places:
        if place.exists():
            return open_place(place, split, size, channels)
    known, home = SETS[name], os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    if any((Path(home).expanduser() / known.tfds).glob("*/dataset_info.json")):
        return _tfds(known.tfds, split, size, channels)
    cures = {
        "FOLDER": known.how,
        f"tfds:{known.tfds}": "let TFDS download and prepare it",
        "embedded": "the embedded Fashion-MNIST images, to try the script",
    }
    width = max(map(len, cures))
    lines = [f"  --data={what:{width}}   {words}" for what, words in cures.items()]
    looked = ", ".join(map(str, places))
    raise NotHere(
        f"{known.title} is not here: looked in {looked} and in TFDS' folder {home}."
        " What would work:\n" + "\n".join(lines)
    )


# TensorFlow Datasets


def _tfds(name, split, size, channels):
    """A whole split in memory, downloaded and prepared where it is not there yet."""
    import tensorflow_datasets as tfds  # half a second that other sets need not wait

    # TFDS reads its environment variable only once, when it is imported.
    folder, called = os.environ.get("TFDS_DATA_DIR"), f"tfds:{name}"
    try:
        builder = tfds.builder(name, data_dir=folder)
        builder.download_and_prepare()
    except Exception as error:  # whatever a builder of other people's may raise
        raise ReadError(f"{called}: {_one_line(error)}") from error
    known = [known.splits for known in SETS.values() if known.tfds == name]
    theirs = dict(zip(SPLITS, known[0] if known else SPLITS))
    has = [one for one in SPLITS if theirs[one] in builder.info.splits]
    check_split(called, split, has)
    features = builder.info.features
    if "image" not in features:
        keys = ", ".join(sorted(features))
        raise ReadError(f'{called}: images are under "image"; it has only {keys}')
    n = builder.info.splits[theirs[split]].num_examples
    config = tfds.ReadConfig(try_autocache=False)
    examples = builder.as_dataset(theirs[split], read_config=config)
    shape = _shape(called, n, features["image"], examples, size, channels)
    kind, labels = dict(features.items()).get("label"), []

    def images():
        for example in tfds.as_numpy(examples):
            labels.append(example.get("label"))
            yield example["image"]

    array = prepare_all(called, images(), n, size, shape[2])
    # Where a split is not labelled, TFDS writes -1 (STL-10).
    if not isinstance(kind, tfds.features.ClassLabel) or min(labels) < 0:
        return array_source(called, split, array)
    source = array_source(called, split, array, np.array(labels))
    return dataclasses.replace(source, classes=tuple(kind.names))


def _shape(called, n, feature, examples, size, channels):
    """(h, w, c) of the prepared images of a TFDS split; refuses what does not fit."""
    dtype, shape = np.dtype(feature.np_dtype), feature.shape
    if dtype != np.uint8 or shape[2] not in (1, 3):
        raise ReadError(
            f"{called}: images are uint8 with 1 or 3 channels, not {dtype} with"
            f" {shape[2]}"
        )
    if size is None and None in shape:
        shape = next(iter(examples))["image"].shape
    shape = (size or shape[0], size or shape[1], channels or shape[2])
    if (need := n * math.prod(shape)) > LARGEST:
        raise ReadError(
            f"{called}: {n:,} images need {need / 1e9:.0f} GB, and at most"
            f" {LARGEST / 1e9:.0f} GB are read into memory; give a smaller size, or"
            " export them to a folder and give that"
        )
    return shape


def _one_line(error):
    """TFDS' own words, without its list of all sets."""
    words, _, rest = str(error).partition("\nAvailable datasets:")
    if close := re.search(r"Did you mean.*", rest):
        words = f"{words} {close[0]}"
    return " ".join(words.split()) or type(error).__name__


# Batches


def load(
    name_or_path: str | os.PathLike,
    split: str = "train",
    size: int | None = None,
    channels: int | None = None,
    batch: int = 64,
    seed: int = 0,
) -> tf.data.Dataset:
    """One split in batches of {"image": (batch, h, w, c), "label": (batch,)}.

    "train": each iteration is one epoch of whole batches; the k-th one is epoch k of
    `stream` with the same seed, less what does not fill a batch. "test": in order,
    the last batch may be smaller.

    Args:
      name_or_path: see `find`, as split, size and channels.
      split: "train" or "test".
      size: None or pixels a side.
      channels: None, 1 or 3.
      batch: images a batch, over all devices.
      seed: of the order of "train".

    Returns:
      "image" is float32, byte / 127.5 - 1 (points of a toy set as they are, (batch,
      2 or 1)); "label" is int32, -1 where there are none.
    """
    source = find(name_or_path, split, size, channels)
    if split == "test":
        _check_whole("batch", batch, 1)
        return _read(tf.data.Dataset.range(source.n).batch(batch), source, None)
    _check_stream(source, batch, seed)
    steps, epochs = source.n // batch, itertools.count()

    def positions(epoch):  # of one epoch, a batch an element
        first = epoch * source.n + tf.range(steps, dtype=tf.int64) * batch
        starts = tf.data.Dataset.from_tensor_slices(first)
        return starts.map(lambda start: start + tf.range(batch, dtype=tf.int64))

    # A function of Python: each new iteration gets the next number.
    epoch = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(lambda: np.int64(next(epochs)), [], tf.int64)
    )
    batches = epoch.flat_map(positions).map(lambda p: _shuffled(p, source.n, seed))
    return _read(
        batches.apply(tf.data.experimental.assert_cardinality(steps)), source, batch
    )


def stream(
    source: Source, batch: int, seed: int = 0, start: int = 0
) -> tf.data.Dataset:
    """The endless training stream, from batch number `start` on; elements as `load`'s.

    Image i of batch s is number p = s * batch + i of the stream, that is number p % n
    of epoch p // n. Each epoch has its own order, in which every image comes once;
    batches run across the border of epochs. Any start costs the same.

    Args:
      source: see `find`.
      batch: images a batch, over all devices.
      seed: of the orders.
      start: the first batch, counted from 0: the step at which a run resumes.
    """
    _check_stream(source, batch, seed)
    _check_whole("start", start, 0)
    steps = tf.data.Dataset.counter(start)
    span = tf.range(batch, dtype=tf.int64)
    batches = steps.map(lambda step: _shuffled(step * batch + span, source.n, seed))
    return _read(batches, source, batch)


def explain(error: BaseException) -> str | None:
    """The words of the `ReadError` behind an error of TensorFlow, or None.

    TensorFlow wraps what a reader raises in a page of its own; a script prints this.
    """
    if isinstance(error, ReadError):
        return str(error)
    if isinstance(error, tf.errors.OpError):
        found = re.search(r"\bReadError: (.*)", str(error))
        return found and found[1]
    return None


def _shuffled(positions, n, seed):
    """Numbers of the images at a batch of positions of the stream: int64 (k,) -> (k,).

    This is the op under `tf.random.experimental.index_shuffle`, which in TF 2.21 fails
    on one seed an index and is fixed to four rounds of its cipher: these leave the
    orders of successive epochs of 60,000 images correlated by .9; 24 leave nothing.
    The op sees only some low bits of its key, so seed and epoch are hashed into it.
    """
    epoch = positions // n
    first = epoch[0]  # and no batch, being no larger than the set, sees a third one
    keys = [
        tf.random.stateless_uniform(
            (3,), (seed, first + i), None, None, tf.int64, alg="philox"
        )
        for i in range(2)
    ]
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % n,
        seed=tf.gather(keys, epoch - first),
        max_index=tf.constant(n - 1, tf.int64),
        rounds=24,
    )


def _read(numbers, source, batch):
    """Batches of numbers -> batches of {"image", "label"}."""
    labels = np.full(source.n, -1, np.int32) if source.labels is None else source.labels
    points = len(source.shape) == 1

    def look_up(chosen):
        return source.read(chosen), labels[chosen]

    def element(chosen):
        types = (tf.float32 if points else tf.uint8, tf.int32)
        image, label = tf.numpy_function(look_up, [chosen], types, stateful=False)
        image = image if points else tf.cast(image, tf.float32) / 127.5 - 1
        image.set_shape((batch, *source.shape))
        label.set_shape((batch,))
        return {"image": image, "label": label}

    options = tf.data.Options()
    options.deterministic = True
    # The batches are the same however many workers there are; each takes its share.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    batches = numbers.map(element, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def _check_stream(source, batch, seed):
    _check_whole("batch", batch, 1)
    _check_whole("seed", seed, 0)
    if batch > source.n:
        raise ReadError(
            f"a batch of {batch} is larger than the set: {source.name} {source.split}"
            f" has {source.n} images; give batch={source.n} or less"
        )


def _check_whole(what, value, least):
    if type(value) is not int or value < least:
        raise ReadError(f"{what} is a whole number from {least}, not {value!r}")
