"""LSUN: databases of image files, `bedroom_train_lmdb`, and what people make of them.

A place is one such folder, or the folder around several: splits are told by their
names, and categories, where there is more than one, are the labels. No image is looked
at before it is asked for. Folders that the set's own `data.py export` wrote, six deep
by the first letters of a name, are read as images without labels.
"""

import contextlib
import os
import re
from pathlib import Path

import numpy as np

from gantf.images import ReadError, told
from gantf.readers.files import encoded_source, list_folder
from gantf.readers.large import check_sized, large_source, listed
from gantf.readers.mdb import Database
from gantf.readers.source import CALLED, Options, Source, check_split, chosen_splits

DATA = "data.mdb"
NAMED = re.compile(r"(?:(?P<category>.+)_)?(?P<split>train|val|test)_lmdb")
LETTERS = set("0123456789abcdef")


def is_lmdb(path: Path) -> bool:
    """Whether a folder is an LMDB, or has some that are called as those of LSUN."""
    return bool(_databases(path))


def open_lmdb(path: Path, options: Options) -> Source:
    """One LMDB, or the LMDBs in a folder."""
    check_sized(path, options)
    found = _databases(path)
    chosen = chosen_splits(path, options.split, [split for _, _, split in found])
    categories = sorted({category for _, category, _ in found if category})
    found = [one for split in chosen for one in found if one[2] == split]
    parts = [_opened(folder) for folder, _, _ in found]
    counts = [len(part) for part in parts]
    ends = np.cumsum(counts)

    def place(number):
        which = int(np.searchsorted(ends, number, "right"))
        return which, number - int(ends[which])  # from the end of its database

    def data(number):
        which, inner = place(number)
        return parts[which].read(inner)

    def called(number):
        which, inner = place(number)
        folder, key = found[which][0], _shown(parts[which], inner)
        return key if folder == path else f"{folder.name}/{key}"

    labels, classes = None, ()
    if len(categories) > 1 and all(category for _, category, _ in found):
        numbers = [categories.index(category) for _, category, _ in found]
        labels, classes = np.repeat(numbers, counts), tuple(categories)
    return large_source(str(path), options, sum(counts), data, called, labels, classes)


def _databases(path):
    """(folder, category or None, split) of a database, or of those in a folder."""
    if (path / DATA).is_file():
        folders = [path]
    else:
        inner = [folder for folder in sorted(path.glob("*_lmdb")) if _match(folder)]
        folders = [folder for folder in inner if (folder / DATA).is_file()]
    matches = [(folder, _match(folder)) for folder in folders]
    return [
        (folder, match["category"], CALLED[match["split"]])
        if match
        else (folder, None, "train")
        for folder, match in matches
    ]


def _match(folder):
    return NAMED.fullmatch(folder.resolve().name)


def _opened(folder):
    path = folder / DATA
    with told(folder, DATA):
        nodes = listed(path, lambda: {"nodes": Database(path).nodes})["nodes"]
        return Database(path, nodes)


def _shown(database, number):
    """The key of a value, as messages show it."""
    try:
        key = database.key(number)
    except ReadError:
        return f"value {number}"
    words = key.decode("latin-1")
    return words if words.isascii() and words.isprintable() else key.hex()


def is_zip(path: Path) -> bool:
    """Whether a file is called as the zips of LSUN are."""
    return path.name.endswith("_lmdb.zip")


def refuse_zip(path: Path, options: Options) -> Source:
    """Says what to do with a zip that has a database in it."""
    raise ReadError(
        f"{path}: a database is read where it lies, so unpack it: unzip {path.name}"
    )


def is_export(path: Path) -> bool:
    """Whether a folder has only folders of one letter, and these in them again."""
    inner = _letters(path)
    return bool(inner) and all(_letters(folder) for folder in inner)


def _letters(folder):
    """The folders in a folder, if each of them is one hexadecimal letter."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name not in LETTERS or not entry.is_dir():
                return []  # of a million images, the first one tells
            found.append(folder / entry.name)
    return found


def open_export(path: Path, options: Options) -> Source:
    """Images that LSUN's data.py exported."""
    check_split(path, options.split, ["train"])
    listing = list_folder(path)
    return encoded_source(
        *(str(path), options, listing.names, listing.read, listing.fingerprint),
        strays=listing.strays,
    )
