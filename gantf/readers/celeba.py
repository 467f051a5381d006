"""CelebA: aligned faces, with their official splits and attributes.

A place is the folder or zip of the images, img_align_celeba or img_align_celeba_png, or
the folder around it; there, the images may be in Img/. Lists are taken from beside the
images, from beside Img/, or from Anno/ and Eval/ there:

    list_eval_partition    the split of each image; without it, all are "train"
    list_attr_celeba       40 attributes of each, 1 or -1; read for `label` alone

.txt as they are given out, or .csv as Kaggle has them. `label` "Male+Smiling" gives as
many labels as there are ways to be both: the last attribute counts 1, the one before 2,
and so on; classes are called "not Male, not Smiling" (0), "not Male, Smiling" (1), ….
"""

import itertools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gantf.choices import hint
from gantf.images import SUFFIXES, ReadError, told
from gantf.readers.archives import open_zip_members
from gantf.readers.files import encoded_source, list_archive, list_folder
from gantf.readers.source import Options, Source, chosen_splits

FOLDERS = ("img_align_celeba", "img_align_celeba_png")
IMAGES = (*FOLDERS, *(f"{name}.zip" for name in FOLDERS))
INNER = ("Img", "img")
PARTITION, ATTRIBUTES = "list_eval_partition", "list_attr_celeba"
SPLIT_OF = {"0": "train", "1": "valid", "2": "test"}
BITS = {"-1": "0", "1": "1"}
LARGEST = 2**27  # bytes of a list; that of the attributes has 27 MB
MOST_ATTRIBUTES = 8  # that a label is made of: 256 classes
_AGAIN = "download it again"


def is_celeba(path: Path) -> bool:
    """Whether a folder or zip has the images of CelebA, by its name or those in it."""
    return _images(path) is not None


def open_celeba(path: Path, options: Options) -> Source:
    """The images of a folder or zip, in the splits of their list if that is there."""
    path = _images(path)
    if path.is_dir():
        listing = list_folder(path)
    else:
        listing = list_archive(open_zip_members(path))
    strays, files = dict(listing.strays), {}
    for name in listing.names:
        if (key := _key(name)) in files:
            strays[name] = f"another one of {files[key]}; move one of them away"
        else:
            files[key] = name
    if partition := _find(path, PARTITION):
        rows = _table(partition, SPLIT_OF, lambda columns: [0])
        splits = {key: SPLIT_OF[row[0]] for key, row in rows.items()}
        _compare(files, splits, partition, strays)
    else:
        splits = dict.fromkeys(files, "train")
        say = f"gantf: {path}: no {PARTITION}.txt beside it, so all images are train"
        print(say, file=sys.stderr, flush=True)
    chosen = chosen_splits(path, options.split, splits.values() or ["train"])
    taken = [key for key in files if splits.get(key) in chosen]
    labels, classes = None, ()
    if options.label is not None:
        numbers, classes = _labels(path, options.label, files, strays)
        taken = [key for key in taken if key in numbers]
        labels = np.array([numbers[key] for key in taken], np.int32)
    names = [files[key] for key in taken]
    if not (names or strays):
        raise ReadError(f"{path}: no images in it; they end in {', '.join(SUFFIXES)}")
    return encoded_source(
        str(path), options, names, listing.read, listing.fingerprint, labels, classes,
        strays,
    )  # fmt: skip


def _images(path):
    """The folder or zip of images that a place is, or has in it; or None."""
    if path.resolve().name in IMAGES:
        return path
    places = itertools.product((path, *(path / inner for inner in INNER)), IMAGES)
    return next((f / name for f, name in places if (f / name).exists()), None)


def _find(path, name):
    """A list of the images at a path; or None."""
    folders = [path, *path.resolve().parents[:1]]
    if folders[-1].name in (*INNER, *FOLDERS):
        folders.append(folders[-1].parent)
    for folder, inner in itertools.product(folders, ("", "Anno", "Eval")):
        for suffix in (".txt", ".csv"):
            if (file := folder / inner / f"{name}{suffix}").is_file():
                return file
    return None


def _key(name):
    """What an image is listed by: lists say .jpg of images in PNG too."""
    return os.path.splitext(name.rpartition("/")[2])[0]


def _table(path, values, pick):
    """{key of an image: its values in some columns} of a list.

    Args:
      path: the list.
      values: what may stand in it.
      pick: names of all columns -> places of those that are meant.
    """
    with told(path.parent, path.name):
        if (size := path.stat().st_size) > LARGEST:
            raise ReadError(f"a list has at most {LARGEST:,} bytes, this one {size:,}")
        text = path.read_bytes().decode("ascii", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        comma = "," if path.suffix == ".csv" else None
        columns, lines, count = _header(lines, comma)
        places, found = pick(columns), {}
        for line in lines:
            name, *row = (word.strip() for word in line.split(comma))
            if len(row) != len(columns) or not values.keys() >= set(row):
                raise ReadError(
                    f"a line has a name and {len(columns)} of {', '.join(values)}, not"
                    f" so {line[:40]!r}; {_AGAIN}"
                )
            if _key(name) in found:
                raise ReadError(f"{name[:40]!r} is listed twice; {_AGAIN}")
            found[_key(name)] = [row[place] for place in places]
        if len(found) != count:
            raise ReadError(
                f"it promises {count:,} images, and lists {len(found):,}; {_AGAIN}"
            )
    return found


def _header(lines, comma):
    """(names of the columns, lines with images, how many those are said to be)."""
    if comma:
        columns = [word.strip() for word in "".join(lines[:1]).split(comma)[1:]]
        return columns, lines[1:], len(lines[1:])
    if len(lines) > 1 and re.fullmatch(r"\s*\d{1,9}\s*", lines[0]):
        return lines[1].split(), lines[2:], int(lines[0])
    return ["split"], lines, len(lines)  # of the partition


def _compare(files, listed, path, strays):
    """Adds to the strays images that are not listed, and listed ones not there."""
    if unlisted := sorted(files.keys() - listed.keys()):
        more = f" (nor {len(unlisted) - 1:,} more)" if len(unlisted) > 1 else ""
        words = f"{path.name} does not list it{more}; move away what is not of the set"
        strays[files[unlisted[0]]] = words
    if absent := sorted(listed.keys() - files.keys()):
        more = f" (and {len(absent) - 1:,} more)" if len(absent) > 1 else ""
        words = f"{path.name} lists it{more}, and it is not there; unpack the set again"
        strays[absent[0]] = words


def _labels(path, label, files, strays):
    """Labels by the keys of images, and the names of the classes."""
    table, words = _find(path, ATTRIBUTES), label.split("+")
    if table is None:
        raise ReadError(
            f"{path}: label {label!r} is of {ATTRIBUTES}.txt, which is not beside it;"
            " put it there"
        )
    check_attributes(path, words)

    def pick(columns):
        for word in words:
            if word not in columns:
                raise ReadError(f"it has no attribute {word!r}{hint(word, columns)}")
        return [columns.index(word) for word in words]

    rows = _table(table, BITS, pick)
    _compare(files, rows, table, strays)
    numbers = {key: int("".join(map(BITS.get, row)), 2) for key, row in rows.items()}
    return numbers, class_names(words)


def check_attributes(name: object, words: Sequence[str]) -> None:
    """Refuses attributes that make no label: too many, or one of them twice."""
    if len(words) > MOST_ATTRIBUTES or len(set(words)) < len(words):
        raise ReadError(
            f"{name}: a label has up to {MOST_ATTRIBUTES} attributes, each of them"
            f" once, not {'+'.join(words)!r}"
        )


def class_names(words: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes that attributes make, as "not Male, Smiling"."""
    ways = itertools.product(*((f"not {word}", word) for word in words))
    return tuple(map(", ".join, ways))
