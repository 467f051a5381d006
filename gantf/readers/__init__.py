"""Images on disk: a place becomes a `Source`, which gives any of its images by number.

Each module reads what its first line says; `FOLDERS` and `FILES` are the list of all.
Every refusal is a `ReadError` of one line: which file, what is wrong, what to do.
"""

import os
from pathlib import Path

from gantf.images import ReadError
from gantf.readers import (
    archives,
    arrays,
    batches,
    celeba,
    files,
    imagenet,
    lsun,
    shards,
    tfrecords,
)
from gantf.readers.source import Options, Source, data_file, kept

__all__ = ["Options", "ReadError", "Source", "data_file", "kept", "open_place"]

# What a folder is, and how it is opened; the first that knows it takes it.
FOLDERS = (
    (arrays.is_idx, arrays.open_idx),
    (arrays.is_sprites, arrays.open_sprites),
    (batches.is_cifar, batches.open_cifar),
    (batches.is_stl10, batches.open_stl10),
    (celeba.is_celeba, celeba.open_celeba),
    (imagenet.is_tars, imagenet.open_tars),
    (imagenet.is_kaggle, imagenet.open_kaggle),
    (lsun.is_lmdb, lsun.open_lmdb),
    (lsun.is_export, lsun.open_export),
    (shards.is_shards, shards.open_shards),
    (tfrecords.is_tfrecords, tfrecords.open_tfrecords),
    (lambda path: True, files.open_folder),
)
# What a file is by its whole name, and how it is opened.
NAMED = (
    (batches.is_archive, batches.open_archive),
    (celeba.is_celeba, celeba.open_celeba),
    (lsun.is_zip, lsun.refuse_zip),
    (tfrecords.is_tfrecords, tfrecords.open_tfrecords),
)
# The end of a file's name, and how it is opened.
FILES = {
    ".zip": files.open_zip,
    ".tar": files.open_tar,
    ".npz": arrays.open_npz,
    ".npy": arrays.open_npz,
}


def open_place(place: str | os.PathLike, options: Options | None = None) -> Source:
    """The images of a folder or file.

    Args:
      place: its path.
      options: what is asked of it.

    Raises:
      ReadError: see the module.
    """
    options = options or Options()
    try:
        path = Path(place).expanduser()
        opened = _reader(path)
        labelled = (celeba.open_celeba, shards.open_shards)
        if options.label is not None and opened not in labelled:
            raise ReadError(
                f"{place}: label {options.label!r} is one of several things that labels"
                " may be, as the attributes of CelebA, and it has no such; leave it out"
            )
        return opened(path, options)
    except OSError as error:
        raise ReadError(f"{place}: {error.strerror or error}") from None
    except RuntimeError as error:  # no such user
        raise ReadError(f"{place}: {error}") from None


def _reader(path):
    """What opens a place."""
    if not path.exists():
        raise ReadError(
            f"{path}: no such file or folder; give a folder or zip of images, a"
            " folder of idx files, or an .npz or .npy file"
        )
    if not (path.is_dir() or path.is_file()):
        raise ReadError(f"{path}: a pipe or device, neither a file nor a folder")
    if path.is_dir():
        return next(opened for is_it, opened in FOLDERS if is_it(path))
    named = [opened for is_it, opened in NAMED if is_it(path)]
    suffix = path.suffix.lower()
    if suffix in archives.PACKED and not named:
        archives.refuse_packed(path, archives.PACKED[suffix])
    if suffix not in FILES and not named:
        raise ReadError(f"{path}: a file of images ends in {', '.join(FILES)}")
    return (named or [FILES.get(suffix)])[0]
