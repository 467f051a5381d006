"""ImageNet (ILSVRC 2012) in the files that it is given out in.

    ILSVRC2012_img_train.tar        1000 tars, n01440764.tar …, of the JPEGs of a class
    ILSVRC2012_img_val.tar          50,000 JPEGs, ILSVRC2012_val_00000001.JPEG …
    ILSVRC2012_devkit_t12.tar.gz    or unpacked: data/meta.mat names the classes, and
                                    data/ILSVRC2012_validation_ground_truth.txt says
                                    which of them the k-th image of val is of

or in those of Kaggle:

    ILSVRC/Data/CLS-LOC/            train/n01440764/*.JPEG …, val/*.JPEG, test/*.JPEG
    LOC_val_solution.csv            the classes of val

A place is the folder that has some of these. Tars are read where they are. Classes are
WordNet ids in their order; val has labels if there is what says them. No image is
looked at before it is asked for.
"""

import csv
import functools
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gantf.images import SUFFIXES, ReadError, told
from gantf.readers.archives import check_size, open_tar_members
from gantf.readers.large import check_sized, large_source, listed
from gantf.readers.packed import read_packed
from gantf.readers.source import Options, Source, chosen_splits

TARS = {"train": "ILSVRC2012_img_train.tar", "valid": "ILSVRC2012_img_val.tar"}
DEVKIT = "ILSVRC2012_devkit_t12"
META, TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"
FOLDERS = {"train": "train", "valid": "val", "test": "test"}
IMAGES, SOLUTION = "ILSVRC/Data/CLS-LOC", "LOC_val_solution.csv"
LARGEST = 2**26  # bytes of the devkit, which has less than 10 MB
LONGEST = 100  # letters of a name
_CLASS = re.compile(r"n\d{8}")
_VAL = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_AGAIN = "download it again"


class _Part(NamedTuple):
    """Images of a split.

    Args:
      names: of its files, bytes (n,).
      read: number -> the bytes of a file.
      classes: a WordNet id for each, bytes (n,); None where nothing says them.
    """

    names: np.ndarray
    read: Callable[[int], bytes]
    classes: np.ndarray | None


def is_tars(path: Path) -> bool:
    """Whether a folder has one of the large tars."""
    return any((path / tar).is_file() for tar in TARS.values())


def open_tars(path: Path, options: Options) -> Source:
    """The tars of train and val."""
    check_sized(path, options)
    has = [split for split, tar in TARS.items() if (path / tar).is_file()]
    chosen = chosen_splits(path, options.split, has)
    ids, truth = _devkit(path)
    parts = []
    for split in chosen:
        tar = path / TARS[split]
        make = {"train": _list_train, "valid": _list_val}[split]
        lists = listed(tar, lambda tar=tar, make=make: make(tar))
        names = lists["names"]
        classes = names.astype("S9") if split == "train" else _true(path, names, truth)
        parts.append(_Part(names, _reader(tar, lists), classes))
    return _source(path, options, parts, ids)


def _list_train(path):
    """Where the images in the tars in a tar lie."""
    outer, names, spans = open_tar_members(path), [], []
    for name in sorted(outer.names):
        if not _CLASS.fullmatch(name.removesuffix(".tar")):
            raise ReadError(
                f"{path}: it has tars of classes alone, as n01440764.tar, and {name} is"
                f" none; {_AGAIN}"
            )
        inner = open_tar_members(path, *outer.span(name))
        _check_members(path, inner)
        names += [f"{name.removesuffix('.tar')}/{one}" for one in inner.names]
        spans += map(inner.span, inner.names)
    _check_members(path, outer)
    return _lists(path, names, spans)


def _list_val(path):
    """Where the images in a tar lie."""
    members = open_tar_members(path)
    _check_members(path, members)
    return _lists(path, members.names, [members.span(name) for name in members.names])


def _check_members(path, members):
    for name, wrong in members.bad.items():
        raise ReadError(f"{path}/{name}: {wrong}")


def _lists(path, names, spans):
    if any(len(name) > LONGEST for name in names):
        raise ReadError(f"{path}: names have at most {LONGEST} letters; {_AGAIN}")
    spans = np.array(spans, np.int64).reshape(-1, 2)
    names = np.array([os.fsencode(name) for name in names], "S")
    order = np.argsort(names)
    return {"names": names[order], "spans": spans[order]}


def _reader(path, lists):
    file = open(path, "rb")  # noqa: SIM115 - as long as the images are read
    spans = lists["spans"]

    def read(number):
        start, size = spans[number].tolist()
        check_size(size)
        return os.pread(file.fileno(), size, start)

    return read


def _devkit(path):
    """WordNet ids of the classes, and that of each image of val; or None for both."""
    import scipy.io  # most of a second, that other sets need not wait

    folder, packed = path / DEVKIT / "data", path / f"{DEVKIT}.tar.gz"
    if (folder / META).is_file() and (folder / TRUTH).is_file():
        packed, files = folder, {name: _bytes(folder / name) for name in (META, TRUTH)}
    elif packed.is_file():
        files = read_packed(packed, LARGEST)
    else:
        return None, None
    for name in (META, TRUTH):
        if name not in files:
            raise ReadError(f"{packed}: {name} is not in it; {_AGAIN}")
    try:
        table = scipy.io.loadmat(io.BytesIO(files[META]), squeeze_me=True)["synsets"]
        ids = {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in np.atleast_1d(table)
            if row["num_children"] == 0  # others are sets of classes
        }
        truth = [ids[int(number)] for number in files[TRUTH].split()]
        if not all(map(_CLASS.fullmatch, ids.values())):
            raise ValueError
    except Exception:  # SciPy has no list of what torn files raise
        raise ReadError(f"{packed}: a torn {META} or {TRUTH}; {_AGAIN}") from None
    return sorted(ids.values()), truth


def _bytes(path):
    if path.stat().st_size > LARGEST:
        raise ReadError(f"{path}: it is larger than {LARGEST:,} bytes; {_AGAIN}")
    return path.read_bytes()


def _true(path, names, truth):
    """The classes of images of val."""
    if truth is None:
        return None
    found = []
    for name in map(os.fsdecode, names):
        match = _VAL.fullmatch(name)
        if not match or not 1 <= int(match[1]) <= len(truth):
            raise ReadError(
                f"{path / TARS['valid']}: it has ILSVRC2012_val_00000001.JPEG to"
                f" {len(truth):08d}, one a line of {TRUTH}, and {name} is none of them"
            )
        found.append(truth[int(match[1]) - 1])
    return np.array(found, "S9")


def _source(path, options, parts, ids):
    """The parts in a row; `ids` are the classes, None for those that are there."""
    ends = np.cumsum([len(part.names) for part in parts])

    def place(number):
        which = int(np.searchsorted(ends, number, "right"))
        return parts[which], number - int(ends[which])  # from the end of the part

    def data(number):
        part, inner = place(number)
        return part.read(inner)

    def called(number):
        part, inner = place(number)
        return os.fsdecode(part.names[inner])

    labels = None
    if all(part.classes is not None for part in parts):
        every = np.concatenate([part.classes for part in parts])
        ids = np.unique(every) if ids is None else np.array(ids, "S")
        labels = np.searchsorted(ids, every)
        wrong = ids[np.minimum(labels, len(ids) - 1)] != every
        if wrong.any():
            first = int(wrong.argmax())
            raise ReadError(
                f"{path}: {called(first)} is of class {os.fsdecode(every[first])},"
                f" which is none of the {len(ids)} here; move it away"
            )
    classes = () if labels is None else tuple(map(os.fsdecode, ids))
    return large_source(
        *(str(path), options, int(ends[-1]), data, called, labels, classes)
    )


# Kaggle's folders


def is_kaggle(path: Path) -> bool:
    """Whether a folder is what Kaggle's archive has in it."""
    return (path / IMAGES / "train").is_dir()


def open_kaggle(path: Path, options: Options) -> Source:
    """Folders of train by class, and flat ones of val and test."""
    check_sized(path, options)
    has = [one for one, name in FOLDERS.items() if (path / IMAGES / name).is_dir()]
    parts, solution = [], path / SOLUTION
    for split in chosen_splits(path, options.split, has):
        names, classes = _names(path / IMAGES, FOLDERS[split]), None
        if split == "train":
            classes = np.array([name.split(b"/")[1] for name in names.tolist()])
        elif split == "valid" and solution.is_file():
            classes = _solved(solution, names)
        read = functools.partial(_read_file, path / IMAGES, names)
        parts.append(_Part(names, read, classes))
    ids = [name.split("/")[1] for name in _folders(path / IMAGES, "train")]
    return _source(path, options, parts, ids)


def _names(root, inner):
    """Names of the images in a folder and in the folders of classes in it."""
    found = []
    for folder in [inner, *_folders(root, inner)]:
        with told(root, folder):
            names = [name for name in os.listdir(root / folder) if _is_image(name)]
        found += [os.fsencode(f"{folder}/{name}") for name in sorted(names)]
    return np.array(found, "S")


def _folders(root, inner):
    with told(root, inner), os.scandir(root / inner) as entries:
        return sorted(f"{inner}/{entry.name}" for entry in entries if entry.is_dir())


def _is_image(name):
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _read_file(root, names, number):
    path = root / os.fsdecode(names[number])
    check_size(path.stat().st_size)
    return path.read_bytes()


def _solved(path, names):
    """The classes of images of val, by Kaggle's table: ImageId,PredictionString."""
    try:
        with path.open(encoding="ascii", newline="") as file:
            table = {name: words.split()[0] for name, words in csv.reader(file)}
        inner = [Path(os.fsdecode(name)).stem for name in names]
        return np.array([table[name] for name in inner], "S9")
    except (OSError, ValueError, LookupError, csv.Error):
        raise ReadError(
            f"{path}: not a table of ImageId,PredictionString with all images of val;"
            f" {_AGAIN}"
        ) from None
