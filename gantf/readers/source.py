"""`Source`: images of one split by number, and what all readers share.

A reader says how many images there are and how to open one of them; `image_source`
makes the rest of it: sizes, preparation, what happens to bad ones, many at once.
"""

import math
import numbers
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantf import preparation
from gantf.images import ReadError, upright
from gantf.preparation import MIDDLE, Preparation

SPLITS = ("train", "valid", "test", "all")
# What people call them: folders of a set, and splits of TFDS.
CALLED = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}
ON_ERROR = ("refuse", "skip")
PATIENCE, AGAIN = 2.0, 60.0  # seconds until a long pass is told, and told again
AT_ONCE = 1024  # items of one that wait for a thread
_TOLD = 10  # bad images that are named on the screen; the others are counted
_TRIES = 100  # images in a row that may be bad


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked of a place.

    Args:
      split: "train", "valid", "test", or "all" of what there is.
      size: pixels a side; None for the images' own, or what `prepare` says.
      channels: 1 for luminance, 3 for RGB (grey is repeated); None for 3 if any image
        is in colour, else 1.
      prepare: how images come to their size, see `gantf.preparation`; None resizes
        the short side and takes the middle.
      on_error: "refuse" stops at a bad image; "skip" leaves it out, and says so.
      label: what labels are, of a set that has several: attributes of CelebA, as
        "Smiling" or "Male+Smiling".

    Raises:
      ReadError: what no place can have.
    """

    split: str = "train"
    size: int | None = None
    channels: int | None = None
    prepare: str | None = None
    on_error: str = "refuse"
    label: str | None = None

    def __post_init__(self):
        if self.split not in SPLITS:
            *most, last = (f'"{split}"' for split in SPLITS)
            words = f"{', '.join(most)} or {last}"
            raise ReadError(f"split is {words}, not {self.split!r}")
        whole = isinstance(self.size, numbers.Integral) and self.size is not True
        if self.size is not None and not (whole and self.size >= 1):
            raise ReadError(f"size is None or a whole number from 1, not {self.size!r}")
        if self.channels not in (None, 1, 3):
            raise ReadError(f"channels is None, 1 or 3, not {self.channels!r}")
        if self.on_error not in ON_ERROR:
            raise ReadError(f'on_error is "refuse" or "skip", not {self.on_error!r}')
        _ = self.preparation

    @property
    def preparation(self) -> Preparation:
        """The preparation, read."""
        return preparation.read(self.prepare, self.size)


class NoSplit(ReadError):
    """A split that a set does not have."""


class Faults:
    """Bad images of a place: the first is refused, or all are skipped and listed.

    Attributes:
      lines: what was skipped, a line each.
    """

    def __init__(self, place: object, on_error: str = "refuse"):
        self.place, self.on_error = place, on_error
        self.lines: list[str] = []
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def meet(self, error: ReadError) -> None:
        """Raises the error, or keeps it and says on the screen what is skipped."""
        if self.on_error == "refuse":
            raise error
        with self._lock:
            if str(error) in self._known:
                return
            self._known.add(str(error))
            self.lines.append(str(error))
            if len(self.lines) <= _TOLD:
                print(f"gantf: skipped: {error}", file=sys.stderr, flush=True)
            elif len(self.lines) == _TOLD + 1:
                words = f"gantf: {self.place}: more bad images are skipped"
                print(words, file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class Source:
    """Images (or points) of one split, by number.

    Args:
      name: what people call it: a set's name or its place.
      split: one of `SPLITS`.
      n: how many images.
      shape: (h, w, c) of every image; (2,) for points.
      read: whole numbers (k,) in 0..n-1 -> uint8 (k, h, w, c); float32 (k, 2) in
        [-1, 1] for points. Where `prepared.random`, a second argument (k, 2) in
        [0, 1) says where to cut, (across, down); None is the middle. Any number of
        threads may call it.
      labels: int32 (n,), or None.
      classes: names of the labels 0, 1, …, or () where nobody gave them names.
      suffixes: of its image files, as .png; () for arrays.
      prepared: how images came to their size.
      faults: what was skipped, or will be.
      about: what else the protocol of a figure says of it.
      ready: whether images are read as they are: to keep them in memory gains nothing.
      one: number -> that image, uint8 (h, w, c), or a `ReadError`, where `read` may
        give another one in its place; None where it never does.
    """

    name: str
    split: str
    n: int
    shape: tuple[int, ...]
    read: Callable[..., np.ndarray]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    prepared: Preparation = Preparation()
    faults: Faults = field(default_factory=lambda: Faults(""))
    about: dict = field(default_factory=dict)
    ready: bool = False
    one: Callable[[int], np.ndarray] | None = None

    def __len__(self):
        return self.n


def image_source(
    name: str,
    options: Options,
    n: int,
    image: Callable[[int], Image.Image],
    sizes: Sequence[tuple[int, int]] | tuple[int, int],
    channels: int,
    labels: np.ndarray | None = None,
    called: Callable[[int], str] = "image {}".format,
    faults: Faults | None = None,
    **others,
) -> Source:
    """A source of images that are opened one by one.

    Args:
      name: what people call it.
      options: what is asked for.
      n: how many images.
      image: number -> the image, in any mode of `gantf.images`, or a `ReadError`;
        any number of threads may call it.
      sizes: (w, h) of each image, or one for all.
      channels: 3 if any image is in colour, else 1.
      labels: whole numbers (n,) from 0, or None.
      called: what messages call an image.
      faults: those that were met already.
      others: fields of `Source`.
    """
    prepared = options.preparation
    faults = faults or Faults(name, options.on_error)
    if not n:
        raise ReadError(f"{name}: no images in {options.split}")
    one = isinstance(sizes[0], int)
    native = sizes if one else sizes[0]
    if prepared.size is None and not one and len(set(map(tuple, sizes))) > 1:
        other = next(i for i, size in enumerate(sizes) if tuple(size) != tuple(native))
        refuse_sizes(name, called(0), native, called(other), sizes[other])
    channels = options.channels or channels
    shape = (*(prepared.size or native[::-1]), channels)
    if labels is not None:
        labels = check_labels(name, labels, n)
    # Where no size is known, what is prepared stands for it.
    known = not one or tuple(native[::-1]) != prepared.size
    if known and faults.on_error == "refuse":  # before the first step, not at it
        size, which = native, called(0)
        if not one:
            least = min(range(n), key=lambda i: min(sizes[i]))
            size, which = sizes[least], called(least)
        try:
            prepared(Image.new("L", tuple(size)))
        except ReadError as error:
            raise ReadError(f"{name}: {which}: {error}") from None

    def one_image(number, place):
        try:
            picture = prepared(upright(image(number), channels), place)
        except ReadError as error:
            words = str(error)
            if not words.startswith(str(name)):
                words = f"{name}: {called(number)}: {words}"
            raise ReadError(words) from None
        array = np.asarray(picture).reshape(picture.height, picture.width, channels)
        if array.shape != shape:
            refuse_sizes(name, "the set", native, called(number), picture.size)
        return array

    def whole(number, place):
        """The image, or where it is skipped the next one of its class."""
        tried = 0
        for other in range(number, number + n):
            other %= n
            if labels is None or labels[other] == labels[number]:
                try:
                    return one_image(other, place)
                except ReadError as error:
                    faults.meet(error)
                    tried += 1
                if tried == _TRIES:
                    break
        raise ReadError(f"{name}: {tried} images in a row cannot be read any more")

    def read(chosen, places=None):
        out = np.empty((len(chosen), *shape), np.uint8)

        def fill(row):
            place = MIDDLE if places is None else places[row]
            out[row] = whole(int(chosen[row]), place)

        for _ in threads().map(fill, range(len(chosen))):
            pass
        return out

    return Source(
        str(name), options.split, n, shape, read, labels, prepared=prepared,
        faults=faults, one=lambda number: one_image(number, MIDDLE), **others,
    )  # fmt: skip


@cache
def _threads(process):
    return ThreadPoolExecutor(os.cpu_count(), "gantf-read")


def threads() -> ThreadPoolExecutor:
    """The threads that read images, one a core: Pillow decodes without the lock."""
    return _threads(os.getpid())  # those of a process are gone in its forks


def in_threads(
    look: Callable[[Any], Any],
    items: Sequence[Any],
    tell: Callable[[int, int], None],
) -> Iterator[Any]:
    """What `look` gives of each item, in order.

    Args:
      look: any number of threads call it.
      items: of any number; few of them wait for a thread at a time.
      tell: called with how many are done, and about how many seconds are left, if that
        takes longer than `PATIENCE`, and then every `AGAIN`.
    """
    start = time.monotonic()
    due = start + PATIENCE
    for first in range(0, len(items), AT_ONCE):
        found = threads().map(look, items[first : first + AT_ONCE])
        for done, one in enumerate(found, first + 1):
            yield one
            if (now := time.monotonic()) > due:
                due = now + AGAIN
                tell(done, math.ceil((now - start) * (len(items) / done - 1)))


def kept(source: Source, most: float) -> Source:
    """The source with images kept in memory once they are prepared.

    Args:
      source: one whose images are prepared, and the same each time; others are given
        back as they are.
      most: bytes; images that do not find room in them are prepared each time.
    """
    room = int(most // np.prod(source.shape, dtype=np.int64))
    if source.ready or source.prepared.random or not room or len(source.shape) == 1:
        return source
    rows = min(room, source.n)
    images = np.empty((rows, *source.shape), np.uint8)  # memory is taken when filled
    here = np.zeros(rows, bool)

    def read(chosen, places=None):
        chosen = np.asarray(chosen)
        out = np.empty((len(chosen), *source.shape), np.uint8)
        known = chosen < rows
        known[known] = here[chosen[known]]
        out[known] = images[chosen[known]]
        if not known.all():
            out[~known] = fresh = source.read(chosen[~known])
            fits = chosen[~known] < rows
            images[chosen[~known][fits]] = fresh[fits]
            here[chosen[~known][fits]] = True
        return out

    return replace(source, read=read)


def data_file(name: str) -> Path:
    """The path of a file that comes with gantf, installed or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data", package.parent / "data"):
        if (folder / name).exists():
            return folder / name
    raise ReadError(f"{name}: this copy of gantf came without it; install gantf again")


def check_split(name: object, split: str, has: Iterable[str]) -> None:
    """Refuses a split that a set does not have; "all" any set has."""
    has = list(has)
    if split != "all" and split not in has:
        words = ", ".join(f'"{one}"' for one in has)
        raise NoSplit(f'{name}: it has only {words}, no "{split}"')


def chosen_splits(name: object, split: str, has: Iterable[str]) -> list[str]:
    """The splits of a set that are meant, in the order of `SPLITS`."""
    has = [one for one in SPLITS if one in set(has)]
    check_split(name, split, has)
    return has if split == "all" else [split]


def check_labels(name: object, labels: np.ndarray, n: int) -> np.ndarray:
    """Labels as int32 (n,); refuses others than whole numbers from 0."""
    labels = np.asarray(labels)
    if labels.shape == (n, 1):
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        shape = " x ".join(map(str, labels.shape))
        raise ReadError(
            f"{name}: labels are {n} whole numbers, one an image, not {shape} of type"
            f" {labels.dtype}"
        )
    if labels.min() < 0:
        raise ReadError(f"{name}: labels are counted from 0, not from {labels.min()}")
    return labels.astype(np.int32)


def refuse_sizes(name, first, size, other, other_size):
    """Refuses images of many sizes, (w, h), where none was asked for."""
    words = [f"{w} x {h}" for w, h in (size, other_size)]
    raise ReadError(
        f"{name}: images differ in size: {first} is {words[0]}, {other} is {words[1]}"
        " (width x height); give size= to make them equal"
    )
