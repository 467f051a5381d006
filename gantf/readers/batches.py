"""CIFAR-10, CIFAR-100 and STL-10 in the files that they are given out in.

    cifar-10-batches-py     data_batch_1 … 5, test_batch: pickles, of which nothing is
                            run (see `gantf.networks.unpickler`)
    cifar-100-python        train, test: the same
    cifar-10-batches-bin    data_batch_1.bin … 5, test_batch.bin: for each image a byte
                            for its label and 3072 for its planes
    cifar-100-binary        train.bin, test.bin: two bytes for labels, coarse and fine
    stl10_binary            {unlabeled,train,test}_X.bin: 27,648 bytes an image, column
                            by column of each plane; {train,test}_y.bin: labels from 1

A place is one of these folders, or the folder that it lies in, or the .tar.gz of
CIFAR. Labels of CIFAR-100 are the 100 fine ones. The images of STL-10 stay in their
files until they are asked for; "train" is those without labels, on which GANs are
trained, and "valid" what the set itself calls train.
"""

import contextlib
import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gantf.images import ReadError
from gantf.networks import pickles
from gantf.networks.unpickler import Refused
from gantf.readers.arrays import array_source
from gantf.readers.packed import read_packed
from gantf.readers.source import Options, Source, chosen_splits, image_source

LARGEST = 2**28  # bytes of a file or archive of CIFAR, which has 186 MB in all
PIXELS, PLANES = 32 * 32, 3 * 32 * 32
STL_SIDE, STL_PLANES, STL_CLASSES = 96, 3 * 96 * 96, 10
ARCHIVE = re.compile(r"(cifar-100?-(python|binary)|stl10_binary)\.tar\.gz")
# split -> images and their labels; without the first file, the second is "train"
STL = {
    "train": ("unlabeled_X.bin", None),
    "valid": ("train_X.bin", "train_y.bin"),
    "test": ("test_X.bin", "test_y.bin"),
}


class Form(NamedTuple):
    """How CIFAR is written.

    Args:
      files: of each split.
      read: (bytes of a file, labels) -> planes, uint8 (n, 3072), and labels (n,).
      labels: the key of the labels in a pickle; the bytes that an image has for them,
        of which the last is meant.
      names: the file with the names of the classes.
      named: bytes of that file -> the names.
    """

    files: dict[str, list[str]]
    read: Callable[[bytes, str | int], tuple[np.ndarray, np.ndarray]]
    labels: str | int
    names: str
    named: Callable[[bytes], list[str]]

    def has(self, names) -> list[str]:
        """The splits of which some file is among these names."""
        return [one for one, files in self.files.items() if set(files) & set(names)]


def _pickled(data, labels):
    found = pickles.load_dict(data)
    return np.asarray(found["data"]), np.array(found[labels])


def _records(data, labels):
    width = labels + PLANES
    _check_whole(len(data), width)
    rows = np.frombuffer(data, np.uint8).reshape(-1, width)
    return rows[:, labels:], rows[:, labels - 1]


def _check_whole(size, width):
    if not size or size % width:
        raise ReadError(
            f"it has {size:,} bytes, and an image takes {width:,}: they are no whole"
            " number of images; download it again"
        )


def _key(key):
    return lambda data: pickles.load_dict(data)[key]


def _lines(data):
    return data.decode("ascii").split()


def _files(train, test, end=""):
    return {"train": [f"{name}{end}" for name in train], "test": [f"{test}{end}"]}


BATCHES = [f"data_batch_{i}" for i in range(1, 6)], "test_batch"
# folder -> what is in it
FORMS = {
    "cifar-10-batches-py": Form(
        _files(*BATCHES), _pickled, "labels", "batches.meta", _key("label_names")
    ),
    "cifar-10-batches-bin": Form(
        _files(*BATCHES, ".bin"), _records, 1, "batches.meta.txt", _lines
    ),
    "cifar-100-python": Form(
        _files(["train"], "test"),
        *(_pickled, "fine_labels", "meta", _key("fine_label_names")),
    ),
    "cifar-100-binary": Form(
        _files(["train"], "test", ".bin"), _records, 2, "fine_label_names.txt", _lines
    ),
}


def is_cifar(path: Path) -> bool:
    """Whether a folder has batches of CIFAR, or a folder of them."""
    return bool(_forms(path))


def open_cifar(path: Path, options: Options) -> Source:
    """CIFAR-10 or CIFAR-100 in a folder of batches."""
    forms = _forms(path)
    if len(forms) > 1:
        words = " and ".join(folder.name for folder, _, _ in forms)
        raise ReadError(f"{path}: it has {words}; give one of them")
    folder, names, form = forms[0]
    read = {name: functools.partial(_bytes, folder / name) for name in names}
    return _batches(folder, form, read, options)


def _forms(path):
    """(folder, its files, form) of all that a folder is, or has in it."""
    found = []
    for inner, form in FORMS.items():
        every = [*itertools.chain(*form.files.values()), form.names]
        for folder in (path, path / inner):
            names = [name for name in every if (folder / name).is_file()]
            if form.has(names):
                found.append((folder, names, form))
    return found


def _bytes(path):
    if (size := path.stat().st_size) > LARGEST:
        raise ReadError(f"it has {size:,} bytes, and CIFAR has less than {LARGEST:,}")
    return path.read_bytes()


def is_archive(path: Path) -> bool:
    """Whether a file is called as the archives of CIFAR and STL-10 are."""
    return bool(ARCHIVE.fullmatch(path.name))


def open_archive(path: Path, options: Options) -> Source:
    """CIFAR-10 or CIFAR-100 in the archive that it is downloaded as."""
    if path.name.startswith("stl10"):
        raise ReadError(
            f"{path}: STL-10 is read where it lies, and from a compressed archive that"
            f" takes minutes an image; unpack it: tar -xzf {path.name}"
        )
    read = {
        name: lambda data=data: data
        for name, data in read_packed(path, LARGEST).items()
    }
    for form in FORMS.values():
        if form.has(read):
            return _batches(path, form, read, options)
    raise ReadError(f"{path}: it has no batches of CIFAR in it; download it again")


def _batches(place, form, read, options):
    """A source of the files that `read` has: name -> what gives its bytes."""
    parts = []
    for split in chosen_splits(place, options.split, form.has(read)):
        for name in form.files[split]:
            if name not in read:
                raise ReadError(f"{place}: {name} is not in it; download it again")
            with _told(f"{place}/{name}"):
                planes, labels = form.read(read[name](), form.labels)
                if planes.shape != (len(labels), PLANES):
                    raise ValueError
                parts.append((planes, labels))
    classes = ()
    if form.names in read:
        with _told(f"{place}/{form.names}"):
            classes = _names(form.named(read[form.names]()))
    images = np.concatenate([planes for planes, _ in parts])
    images = images.reshape(-1, 3, PIXELS).transpose(0, 2, 1).reshape(-1, 32, 32, 3)
    labels = np.concatenate([labels for _, labels in parts])
    source = array_source(str(place), options, images, labels, classes)
    if classes and source.labels.max() >= len(classes):
        raise ReadError(
            f"{place}: {form.names} names {len(classes)} classes, and a label is"
            f" {source.labels.max()}; download it again"
        )
    return source


def _names(names):
    if not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError
    return tuple(names)


@contextlib.contextmanager
def _told(file):
    """Any failure to read a file of a set becomes a ReadError that starts with it."""
    try:
        yield
    except (ReadError, Refused) as error:
        raise ReadError(f"{file}: {error}") from None
    except OSError as error:
        raise ReadError(f"{file}: {error.strerror}") from None
    except pickles.TORN:
        raise ReadError(f"{file}: a torn or foreign file; download it again") from None


# STL-10


def is_stl10(path: Path) -> bool:
    """Whether a folder has the binary files of STL-10, or a folder of them."""
    return _stl_folder(path) is not None


def _stl_folder(path):
    folders = (path, path / "stl10_binary")
    names = [images for images, _ in STL.values()]
    return next((f for f in folders if any((f / n).is_file() for n in names)), None)


def open_stl10(path: Path, options: Options) -> Source:
    """STL-10 in its binary files."""
    folder, splits = _stl_folder(path), dict(STL)
    if not (folder / STL["train"][0]).exists():
        splits["train"] = splits.pop("valid")
    has = [one for one, files in splits.items() if (folder / files[0]).exists()]
    chosen = chosen_splits(folder, options.split, has)
    parts = [_stl_part(folder, *splits[one]) for one in chosen]
    ends = np.cumsum([len(images) for images, _ in parts])
    labels, classes, names = None, (), folder / "class_names.txt"
    if all(labels is not None for _, labels in parts):
        labels = np.concatenate([labels for _, labels in parts])
        if names.exists():
            with _told(names):
                classes = _names(_lines(_bytes(names)))

    def image(number):
        part = int(np.searchsorted(ends, number, "right"))
        planes = parts[part][0][number - ends[part]]  # from the end of this part
        return Image.fromarray(np.ascontiguousarray(planes.transpose(2, 1, 0)))

    return image_source(
        *(str(folder), options, int(ends[-1]), image, (STL_SIDE, STL_SIDE), 3, labels),
        classes=classes,
    )


def _stl_part(folder, images, labels):
    """Images of a file, (n, channel, column, row), and labels from 0 or None."""
    with _told(folder / images):
        size, numbers = (folder / images).stat().st_size, None
        _check_whole(size, STL_PLANES)
        mapped = np.memmap(folder / images, np.uint8, "r")
    if labels and (folder / labels).exists():
        with _told(folder / labels):
            count, n = (folder / labels).stat().st_size, size // STL_PLANES
            if count != n:
                raise ReadError(
                    f"it has {count:,} labels for {n:,} images in {images}; download"
                    " both again"
                )
            numbers = np.fromfile(folder / labels, np.uint8)
            if numbers.min() < 1 or numbers.max() > STL_CLASSES:
                raise ReadError(
                    f"labels are 1 to {STL_CLASSES}, not {numbers.min()} to"
                    f" {numbers.max()}; download it again"
                )
            numbers -= 1
    return mapped.reshape(-1, 3, STL_SIDE, STL_SIDE), numbers
