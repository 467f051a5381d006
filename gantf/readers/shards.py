"""Prepared sets: shards of raw images in TFRecord files, and the index of them.

A folder has `index.json`, which says what the set is and which shards it has, and
`index.npz`, where each record is:

    starts     int64 (n,)    of each record in its shard
    crcs       uint32 (n,)   masked CRC of its data
    labels     int32 (n,)    -1 where the split has none

in the order of the shards. A record is an Example of "image", bytes of (h, w, c),
"shape" and, where there is one, "label". `gantf.shards` writes them.
"""

import json
import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from gantf.files import TORN, sha256
from gantf.images import ReadError, told
from gantf.preparation import Preparation
from gantf.readers.source import SPLITS, Options, Source, chosen_splits, image_source
from gantf.records import FRAME, features, opener, scan

INDEX, ARRAYS, PLAN = "index.json", "index.npz", "plan.json"
FORMAT = "gantf shards 1"
SHARD = re.compile(rf"({'|'.join(SPLITS[:3])})-\d{{5}}-of-\d{{5}}\.tfrecord")
AGAIN = "copy it again, or prepare the set again"


@dataclass(frozen=True, eq=False)
class Index:
    """What a prepared set says of itself.

    Args:
      about: its index.json, checked.
      ends: of each shard, the number of the first record behind it, int64 (s,).
      starts, lengths, crcs, labels: of each record, (n,); see `gantf.records.scan`.
    """

    about: dict
    ends: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    crcs: np.ndarray
    labels: np.ndarray


def is_shards(path: Path) -> bool:
    """Whether a folder is a prepared set, or was to become one."""
    names = set(os.listdir(path))
    if not names & {INDEX, PLAN}:
        return False
    return any(map(SHARD.fullmatch, names)) or PLAN in names or _says_so(path)


def _says_so(path):
    try:
        with open(path / INDEX, "rb") as file:
            return FORMAT[:-1].encode() in file.read(200)
    except OSError:
        return False


def open_shards(path: Path, options: Options) -> Source:
    """A prepared set, as it was prepared."""
    index = read_index(path)
    about = index.about
    chosen = chosen_splits(path, options.split, about["splits"])
    _check_asked(path, about, options)
    # Where the records of the chosen splits are, among all of them.
    splits = [shard["split"] for shard in about["shards"]]
    counts = [shard["n"] for shard in about["shards"]]
    rows = np.flatnonzero(np.isin(np.repeat(splits, counts), chosen))
    labels = None
    if all(about["splits"][one]["labels"] for one in chosen):
        labels = index.labels[rows]
    pixels = _pixels(path, index)

    def image(number):
        array = pixels(rows[number])
        return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)

    height, width, channels = about["shape"]
    source = image_source(
        str(path),
        replace(options, size=None, prepare=None),
        len(rows),
        image,
        (width, height),
        channels,
        labels,
        classes=tuple(about["classes"]),
        suffixes=tuple(about["suffixes"]),
        about={"prepared_from": about["source"]["place"]},
    )

    def read(numbers, places=None):
        out = np.empty((len(numbers), *source.shape), np.uint8)
        for place, number in enumerate(numbers):
            try:
                out[place] = pixels(rows[number])
            except ReadError:  # refused there, or another one is given
                out[place] = source.read([number])[0]
        return out

    prepared = Preparation(about["prepare"])
    return replace(source, read=read, prepared=prepared, ready=True)


def _pixels(path, index):
    """Number of a record -> uint8 (h, w, c); any number of threads may call it."""
    shape = index.about["shape"]
    size = math.prod(shape)
    names = [shard["file"] for shard in index.about["shards"]]
    opened = opener([path / name for name in names])

    def pixels(row):
        number = int(np.searchsorted(index.ends, row, "right"))
        first = index.ends[number - 1] if number else 0
        place = index.starts[row], int(index.lengths[row]), index.crcs[row]
        data = opened(number).read(*place, row - first)
        with told(path, names[number]):
            image = features(data, ["image"]).get("image", [b""])[0]
            if len(image) != size:
                raise ReadError(f"record {row - first} has no such image; {AGAIN}")
        return np.frombuffer(image, np.uint8).reshape(shape)

    return pixels


def _check_asked(path, about, options):
    """Refuses what would be other images than those that were prepared."""
    height, width, channels = about["shape"]
    words, again = about["prepare"] or "as they were", "or prepare the set again"
    if options.size is not None and (height, width) != (options.size,) * 2:
        raise ReadError(
            f"{path}: its images are {width} x {height} (width x height), not"
            f" {options.size} x {options.size}; leave size out, {again}"
        )
    if options.prepare is not None and options.preparation.words != about["prepare"]:
        raise ReadError(
            f"{path}: prepared as {words!r}, not as {options.preparation.words!r};"
            f" leave prepare out, {again}"
        )
    if (options.channels or channels) < channels:
        raise ReadError(
            f"{path}: prepared in colour, not in 1 channel; leave channels out, {again}"
        )
    if options.label not in (None, about["label"]):
        had = f"label {about['label']!r}" if about["label"] else "its own labels"
        raise ReadError(
            f"{path}: prepared with {had}, not with {options.label!r}; leave label"
            f" out, {again}"
        )


# The index


def read_index(path: Path) -> Index:
    """The index of a prepared set, checked against itself and the sizes of its files.

    Raises:
      ReadError: something of the set is missing, torn, or of another set.
    """
    if not (path / INDEX).exists():
        raise ReadError(
            f"{path}: its preparation was not finished; the same command of"
            " tools/prepare_data.py goes on with it"
        )
    about = _read_about(path / INDEX)
    for shard in about["shards"]:
        _check_size(path / shard["file"], shard["bytes"])
    index = _read_arrays(path / ARRAYS, about)
    first = index.ends - [shard["n"] for shard in about["shards"]]
    for shard, row in zip(about["shards"], first):
        if shard["n"]:
            _check_first(path / shard["file"], index, row)
    return index


def _read_about(path):
    """An index.json whose values are what they are to be."""
    try:
        about = json.loads(path.read_bytes())
        written = str(about["format"])
        if written == FORMAT:
            _check_values(about)
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from None
    except (*TORN, TypeError, AttributeError, RecursionError):
        raise ReadError(f"{path}: no whole index of a prepared set; {AGAIN}") from None
    if written != FORMAT:
        raise ReadError(
            f"{path}: written as {written!r}, and this gantf reads {FORMAT!r}; prepare"
            " the set again"
        )
    return about


def _check_values(about):
    """Raises one of `TORN` or TypeError unless an index has what is read of it."""
    shards, splits = about["shards"], about["splits"]
    whole = [*about["shape"], *(s[key] for s in shards for key in ("n", "bytes"))]
    texts = [
        *(about["prepare"], about["label"] or ""),
        *(about["source"]["place"], about["index"]["sha256"]),
        *about["classes"],
        *about["suffixes"],
        *(shard["sha256"] for shard in shards),
    ]
    height, width, channels = about["shape"]
    pixels = height * width * channels
    fits = (
        all(type(one) is int and 0 <= one < 2**40 for one in whole)
        and all(type(one) is str for one in texts)
        and all(type(about[key]) is list for key in ("shape", "classes", "suffixes"))
        and all(type(splits[one]["labels"]) is bool for one in splits)
        and all(SHARD.fullmatch(s["file"])[1] == s["split"] for s in shards)
        and {shard["split"] for shard in shards} == set(splits)
        and len({shard["file"] for shard in shards}) == len(shards) > 0
        and Preparation(about["prepare"]).size in (None, (height, width))
        and channels in (1, 3)
        and pixels > 0
        # Nothing can be asked for that is larger than the files are.
        and all(s["n"] * (pixels + FRAME) <= s["bytes"] for s in shards)
    )
    if not fits:
        raise ValueError


def _check_size(path, size):
    """Refuses a file that is missing or has another size."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}; {AGAIN}") from None
    if found != size:
        raise ReadError(f"{path}: it has {found:,} bytes, not {size:,}; {AGAIN}")


def _read_arrays(path, about):
    """The index with its arrays, which fit each other and the shards."""
    starts, crcs, labels = _load_arrays(path, about["index"]["sha256"])
    counts = np.array([shard["n"] for shard in about["shards"]])
    sizes = np.array([shard["bytes"] for shard in about["shards"]])
    ends, some = counts.cumsum(), counts > 0
    kinds = [(array.dtype.str[1:], array.shape) for array in (starts, crcs, labels)]
    if kinds != [(kind, (ends[-1],)) for kind in ("i8", "u4", "i4")]:
        raise _other_arrays(path)
    # A record ends where the next one starts, or its shard ends.
    stops = np.append(starts[1:], 0)
    stops[ends[some] - 1] = sizes[some]
    lengths = stops - starts - FRAME
    short = lengths < math.prod(about["shape"])
    if starts[(ends - counts)[some]].any() or short.any():
        raise _other_arrays(path)
    return Index(about, ends, starts, lengths, crcs, labels)


def _load_arrays(path, hashed):
    try:
        if sha256(path) == hashed:
            with np.load(path, allow_pickle=False) as arrays:
                return [arrays[key] for key in ("starts", "crcs", "labels")]
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}; {AGAIN}") from None
    except TORN:
        raise _other_arrays(path) from None
    raise _other_arrays(path)


def _other_arrays(path):
    return ReadError(f"{path}: not the one that {INDEX} means; {AGAIN}")


def _check_first(path, index, row):
    """Refuses a shard of another set, as its first record tells."""
    if next(scan(path)) != (0, index.lengths[row], index.crcs[row]):
        raise ReadError(f"{path}: a shard of another set; {AGAIN}")
