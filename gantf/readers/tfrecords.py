"""TFRecord files of others: Examples of images, encoded or as raw bytes.

    key                 what is under it
    "image"             PNG, JPEG, WEBP; or raw (h, w, c), with "shape"
    "image/encoded"     PNG, JPEG, WEBP
    "image_raw"         raw (h, w, c), with "height" and "width"
    "data"              raw (c, h, w), with "shape" (StyleGAN)
    "x"                 raw (c, h, w)

Raw images without a shape are squares. The label is the one whole number under "label",
"image/class/label" or "y", as it stands there. The name of a file in a folder tells its
split, as set-train.tfrecord-00000-of-00010. All records of a file are read when it is
opened first.
"""

import contextlib
import itertools
import math
import os
import re
from pathlib import Path

import numpy as np
from PIL import Image

from gantf.images import ReadError, told
from gantf.readers.files import encoded_source
from gantf.readers.large import listed
from gantf.readers.source import (
    CALLED,
    Faults,
    Options,
    Source,
    chosen_splits,
    image_source,
)
from gantf.records import RecordFile, features, opener, scan

# Where images are, and the order of the axes of raw ones.
IMAGES = {
    "image": "hwc",
    "image/encoded": "hwc",
    "image_raw": "hwc",
    "data": "chw",
    "x": "chw",
}
LABELS = ("label", "image/class/label", "y")
_KEYS = (*IMAGES, *LABELS, "shape", "height", "width")
_FILE = re.compile(r".+\.tfrecords?(-\d+-of-\d+)?")
_PART = re.compile(r"-(\d+)-of-(\d+)")
_LEVEL = re.compile(r"-r\d\d\.tfrecords?")
_ENCODED = {".png": rb"\x89PNG", ".jpg": rb"\xff\xd8\xff", ".webp": rb"RIFF.{4}WEBP"}
_KINDS = ("", *_ENCODED)  # "" is raw
# What is known of a record: its number in its file, and its label or -1; the shape
# (h, w, c) only of raw images.
_RECORD = np.dtype(
    [("number", "<i8"), ("start", "<i8"), ("length", "<i8"), ("crc", "<u4")]
    + [("kind", "<i8"), ("shape", "<i8", 3), ("label", "<i8")]
)
_MOST = 2**31  # labels are int32
_LARGE = 2**26  # bytes of a file that take a while; what was found is kept


def is_tfrecords(path: Path) -> bool:
    """Whether a folder has TFRecord files, or a file is one, by their names."""
    if path.is_file():
        return bool(_FILE.fullmatch(path.name))
    names = filter(_FILE.fullmatch, os.listdir(path))
    return any((path / name).is_file() for name in names)


def open_tfrecords(path: Path, options: Options) -> Source:
    """A folder of TFRecord files, or one of them."""
    files = _files(path, options.split) if path.is_dir() else [path]
    prefixes = [f"{file.name}/" if path.is_dir() else "" for file in files]
    lists, bad = [], {}
    for file, prefix in zip(files, prefixes):
        found = _listed(file)
        lists.append(found["records"])
        for number, words in zip(found["bad"].tolist(), found["words"].tolist()):
            bad[f"{prefix}{number}"] = words
    records, opened = np.concatenate(lists), opener(files)
    if not len(records) and not bad:
        raise ReadError(f"{path}: no records in it")
    of = np.repeat(np.arange(len(files)), list(map(len, lists)))  # the file of each
    names = [
        f"{prefixes[file]}{number}{_KINDS[kind]}"
        for file, number, kind in zip(of, records["number"], records["kind"])
    ]

    def content(i):
        number, *place = records[i].tolist()[:4]
        with _unnamed(files[of[i]]):
            return features(opened(of[i]).read(*place, number), _KEYS)

    def raw(i):
        with told(path, names[i]):
            return Image.fromarray(_pixels(content(i)))

    labels = _labels(path, records["label"], names)
    kinds = set(records["kind"].tolist())
    if 0 not in kinds:
        at = {name: i for i, name in enumerate(names)}
        return encoded_source(
            str(path), options, names, lambda name: _image(content(at[name]))[1],
            _fingerprint(files), labels, strays=bad,
        )  # fmt: skip
    if len(kinds) > 1:
        one, other = (names[records["kind"].tolist().index(kind)] for kind in kinds)
        raise ReadError(f"{path}: {one} is raw, {other} is encoded; split them apart")
    faults = Faults(str(path), options.on_error)
    for name, words in bad.items():
        faults.meet(ReadError(f"{path}/{name}: {words}"))
    return image_source(
        *(str(path), options, len(records), raw, records["shape"][:, 1::-1].tolist()),
        *(int(records["shape"][:, 2].max()), labels, names.__getitem__, faults),
    )


def _labels(path, labels, names):
    """Labels of all records or none."""
    none = labels < 0
    if none.any() and not none.all():
        one, other = names[int(np.argmin(none))], names[int(np.argmax(none))]
        raise ReadError(f"{path}: {one} has a label, {other} has none")
    return None if none.all() else labels


def _files(path, split):
    """Those files of a folder that hold a split, in order."""
    found = (file for file in path.iterdir() if _FILE.fullmatch(file.name))
    files = sorted(filter(Path.is_file, found))
    _check_parts(path, files)
    levels = [file.name for file in files if _LEVEL.search(file.name)]
    if len(levels) > 1:
        raise ReadError(
            f"{path}: it has the same images in {len(levels)} sizes; give one of its"
            f" files, as {path / levels[-1]}"
        )
    splits = {file: _split(file.name) for file in files}
    known = {split for split in splits.values() if split}
    for file, one in splits.items():
        if known and not one:
            raise ReadError(
                f"{file}: the names of other files tell their split, this one does not;"
                " rename it or move it away"
            )
    chosen = chosen_splits(path, split, known or ["train"])
    return [
        file for one in chosen for file in files if (splits[file] or "train") == one
    ]


def _split(name):
    words = re.split(r"[-_.]", name.lower())
    return next((CALLED[word] for word in words if word in CALLED), None)


def _check_parts(path, files):
    """Refuses a file in parts, as x.tfrecord-00000-of-00010, that lacks some."""
    parts = {}
    for file in files:
        if match := _PART.search(file.name):
            whole = int(match[2]), _PART.sub("-{:05d}-of-{:05d}", file.name)
            parts.setdefault(whole, set()).add(int(match[1]))
    for (count, name), numbers in parts.items():
        if missing := sorted(set(range(count)) - numbers):
            first = name.format(missing[0], count)
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ReadError(f"{path}: {first} is missing{more}; copy it there")


# Records


def _listed(file):
    """The records of a file, and the numbers and words of bad ones."""
    if file.stat().st_size < _LARGE:
        return _list(file)
    return listed(file, lambda: _list(file))


def _list(file):
    records, bad, opened = [], {}, RecordFile(file)
    places = scan(file)
    for number in itertools.count():
        try:
            with _unnamed(file):
                place = next(places)
                found = features(opened.read(*place, number), _KEYS)
            records.append((number, *place, *_kind(found), _label(found)))
        except ReadError as error:  # of a head, it is the last one: `scan` has ended
            bad[number] = str(error)
        except StopIteration:
            break
    return {
        "records": np.array(records, _RECORD),
        "bad": np.array(list(bad), np.int64),
        "words": np.array(list(bad.values()), str),
    }


@contextlib.contextmanager
def _unnamed(file):
    """Takes the name of a file off its errors: a source names its images itself."""
    try:
        yield
    except ReadError as error:
        raise ReadError(str(error).removeprefix(f"{file}: ")) from None


def _kind(found):
    """The place in _KINDS of an image, and its shape if it is raw."""
    key, image = _image(found)
    shape = _shape(found, key, len(image))
    if shape and ("shape" in found or "height" in found):
        return 0, shape
    for kind, magic in enumerate(_ENCODED.values(), 1):
        if re.match(magic, image, re.DOTALL):
            return kind, (0, 0, 0)
    if shape:
        return 0, shape
    raise ReadError(
        f"{len(image):,} bytes under {key!r} are no PNG, JPEG or WEBP, and no raw image"
        ' of 1 or 3 channels: a square, or of a "shape"'
    )


def _image(found):
    """(key, bytes) of an image."""
    for key in IMAGES:
        values = found.get(key, [])
        if len(values) == 1 and isinstance(values[0], bytes):
            return key, values[0]
    raise ReadError(f"no image in it; images are under {', '.join(IMAGES)}")


def _shape(found, key, size):
    """(h, w, c) of raw bytes, or None where they are not of that shape."""
    shape = found.get("shape") or [*found.get("height", []), *found.get("width", [])]
    shape = [side for side in shape if type(side) is int]
    if len(shape) == 3 and IMAGES[key] == "chw":
        shape = [*shape[1:], shape[0]]
    for channels in (3, 1):
        side = math.isqrt(size // channels)
        h, w, c = (
            [*shape, channels][:3] if len(shape) in (2, 3) else (side, side, channels)
        )
        if c in (1, 3) and h > 0 and w > 0 and h * w * c == size:
            return h, w, c
    return None


def _pixels(found):
    """The array of a raw image, (h, w) or (h, w, 3)."""
    key, image = _image(found)
    shape = _shape(found, key, len(image))
    array = np.frombuffer(image, np.uint8)
    if IMAGES[key] == "chw":
        height, width, channels = shape
        array = array.reshape(channels, height, width).transpose(1, 2, 0)
    array = array.reshape(shape)
    return array[..., 0] if shape[2] == 1 else array


def _label(found):
    """The label of a record, or -1."""
    for key in LABELS:
        values = found.get(key, [])
        if len(values) == 1 and type(values[0]) is int:
            if values[0] >= _MOST:
                raise ReadError(f"label {values[0]} is of no class that there can be")
            return values[0]
    return -1


def _fingerprint(files):
    """Another one where a file has changed."""
    stats = [(file.name, file.stat()) for file in files]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
