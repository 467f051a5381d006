"""Images on disk: a place becomes a `Source`, which gives any of its images by number.

    place                     what is read
    folder with idx files     MNIST's train-images-idx3-ubyte[.gz], t10k-images-…, …
    .npz, .npy                uint8 arrays x_train, y_train, x_test, …, or images, …
    folder or zip of images   flat, or one folder a class; train/ and test/ are splits

Arrays are prepared once and stay in memory. Image files are looked at when the source
is opened, so that a bad one is told before the first step, and decoded when asked for.
Every refusal is a `ReadError` of one line: which file, what is wrong, what to do.
"""

import gzip
import io
import math
import os
import re
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from PIL import Image

from gantf.images import FORMATS, SUFFIXES, ReadError, look_at, prepare, told

SPLITS = ("train", "test")
IDX = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
IMAGE_KEYS, LABEL_KEYS = ("images", "x", "arr_0"), ("labels", "y", "arr_1")


@dataclass(frozen=True, eq=False)
class Source:
    """Images (or points) of one split, by number.

    Args:
      name: what people call it: a set's name or its place.
      split: "train" or "test".
      n: how many images.
      shape: (h, w, c) of every image; (2,) for points.
      read: whole numbers (k,) in 0..n-1 -> uint8 (k, h, w, c); float32 (k, 2) in
          [-1, 1] for points. Any number of threads may call it.
      labels: int32 (n,), or None.
      classes: names of the labels 0, 1, …, or () where nobody gave them names.
      suffixes: of its image files, as .png; () for arrays.
    """

    name: str
    split: str
    n: int
    shape: tuple[int, ...]
    read: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    def __len__(self):
        return self.n


def data_file(name: str) -> Path:
    """The path of a file that comes with gantf, installed or in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / name).exists():
            return folder / name
    raise ReadError(f"{name}: this copy of gantf came without it; install gantf again")


def open_place(
    place: str | os.PathLike,
    split: str = "train",
    size: int | None = None,
    channels: int | None = None,
) -> Source:
    """The images of a folder or file.

    Args:
      place: a folder of idx files or of images; a .zip, .npz or .npy file.
      split: "train" or "test".
      size: the short side is resized to this many pixels (Lanczos) and the centre
          square cut out; None keeps the native size, one for all images.
      channels: 1 for luminance, 3 for RGB (grey is repeated); None for 3 if any
          image is in colour, else 1.

    Raises:
      ReadError: see the module.
    """
    check_options(split, size, channels)
    path = Path(place).expanduser()
    if not path.exists():
        raise ReadError(
            f"{place}: no such file or folder; give a folder or zip of images, a"
            " folder of idx files, or an .npz or .npy file"
        )
    if path.is_dir():
        reader = _open_idx if any(map(IDX.fullmatch, os.listdir(path))) else _open_files
    elif (suffix := path.suffix.lower()) in READERS:
        reader = READERS[suffix]
    else:
        raise ReadError(f"{place}: a file of images ends in {', '.join(READERS)}")
    return reader(path, split, size, channels)


def check_options(split: str, size: int | None, channels: int | None) -> None:
    """Refuses a split, size or channels that no source can have."""
    if split not in SPLITS:
        raise ReadError(f'split is "train" or "test", not {split!r}')
    if size is not None and (type(size) is not int or size < 1):
        raise ReadError(f"size is None or a whole number from 1, not {size!r}")
    if channels not in (None, 1, 3):
        raise ReadError(f"channels is None, 1 or 3, not {channels!r}")


def check_split(name: object, split: str, has: Iterable[str]) -> None:
    """Refuses a split that a set does not have."""
    if split not in has:
        has = ", ".join(f'"{one}"' for one in has)
        raise ReadError(f'{name}: it has only {has}, no "{split}"')


# Arrays


def array_source(name, split, images, labels=None, size=None, channels=None) -> Source:
    """A source in memory.

    Args:
      name: what people call it; messages start with it.
      split: "train" or "test".
      images: uint8 (n, h, w), (n, h, w, 1) or (n, h, w, 3).
      labels: whole numbers (n,) from 0, or None.
      size: see `open_place`.
      channels: see `open_place`.
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
    if labels is not None:
        labels = _check_labels(name, labels, len(images))
    native = images.shape[1:]
    channels = channels or native[2]
    if native != (size or native[0], size or native[1], channels):
        images = prepare_all(name, images, len(images), size, channels)
    return Source(
        name, split, len(images), images.shape[1:], images.__getitem__, labels
    )


def prepare_all(name, arrays, n, size, channels) -> np.ndarray:
    """uint8 arrays (h, w, 1 or 3), n of them in a row -> one array (n, h, w, c)."""
    out = None
    for i, array in enumerate(arrays):
        flat = array[..., 0] if array.shape[2] == 1 else array
        image = prepare(Image.fromarray(flat), size, channels)
        if out is None:
            out = np.empty((n, *image.shape), np.uint8)
        if image.shape != out.shape[1:]:
            _refuse_sizes(name, "image 0", out.shape[1:], f"image {i}", image.shape)
        out[i] = image
    return out


def _refuse_sizes(name, first, shape, other, other_shape):
    sizes = [f"{shape[1]} x {shape[0]}" for shape in (shape, other_shape)]
    raise ReadError(
        f"{name}: images differ in size: {first} is {sizes[0]}, {other} is {sizes[1]}"
        " (width x height); give size= to make them equal"
    )


def _check_labels(name, labels, n):
    """int32 (n,)."""
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


def _open_npz(path, split, size, channels):
    arrays = _load(path, lambda: np.load(path, allow_pickle=False))
    if isinstance(arrays, np.ndarray):
        arrays = {"arr_0": arrays}
    has = [one for one in SPLITS if f"x_{one}" in arrays]
    image_keys = [f"x_{split}"] if has else [k for k in IMAGE_KEYS if k in arrays]
    label_keys = [f"y_{split}"] if has else LABEL_KEYS
    if not image_keys:
        raise ReadError(
            f"{path}: images are under x_train, x_test, {', '.join(IMAGE_KEYS)}; it has"
            f" only {', '.join(arrays)}"
        )
    check_split(path, split, has or ["train"])
    images = _load(path, lambda: arrays[image_keys[0]])
    label_key = next((key for key in label_keys if key in arrays), None)
    labels = _load(path, lambda: arrays[label_key]) if label_key else None
    return array_source(str(path), split, images, labels, size, channels)


def _load(path, read):
    try:
        return read()
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
        raise ReadError(
            f"{path}: not a whole NumPy file of plain arrays; write it again with"
            " np.savez(file, images=images, labels=labels)"
        ) from None


def _open_idx(path, split, size, channels):
    files = {}
    for file in sorted(path.iterdir(), reverse=True):  # a raw file wins over its .gz
        if match := IDX.fullmatch(file.name):
            part, what, _ = match.groups()
            files[{"train": "train", "t10k": "test"}[part], what] = file
    has = [one for one in SPLITS if (one, "images") in files]
    if not has:
        raise ReadError(f"{path}: it has idx files of labels, but none of images")
    check_split(path, split, has)
    images = read_idx(files[split, "images"], 3)
    labels = files.get((split, "labels"))
    labels = None if labels is None else read_idx(labels, 1)
    return array_source(str(path), split, images, labels, size, channels)


def read_idx(path: Path, dims: int) -> np.ndarray:
    """The uint8 array of an idx file (LeCun's MNIST page): images 3, labels 1 dims."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read()
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


# Image files


def _open_files(path, split, size, channels):
    names = []
    for folder, _, files in os.walk(path, followlinks=True):
        inner = Path(folder).relative_to(path).as_posix()
        names += files if inner == "." else [f"{inner}/{file}" for file in files]
    return _file_source(
        path, names, lambda n: open(path / n, "rb"), split, size, channels
    )


def _open_zip(path, split, size, channels):
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile):
        raise ReadError(
            f"{path}: not a zip file, or a torn one; make or download it again"
        ) from None
    lock = threading.Lock()  # ZipFile counts its readers without one
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    tops = {name.partition("/")[0] for name in _images(names)}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    if top[:-1] in SPLITS or top[:-1].lower().endswith(SUFFIXES):
        top = ""

    def opened(name):
        with lock:
            return io.BytesIO(archive.read(top + name))

    names = [name.removeprefix(top) for name in names]
    return _file_source(path, names, opened, split, size, channels)


READERS = {".zip": _open_zip, ".npz": _open_npz, ".npy": _open_npz}


def _file_source(path, names, opened, split, size, channels):
    """A source of files: `opened(name)` gives the open binary file."""
    names, labels, classes = _layout(path, _images(names), split)
    heads = _look_at_all(path, names, opened)  # (w, h, c) each
    if size is None and len({head[:2] for head in heads}) > 1:
        other = next(i for i, head in enumerate(heads) if head[:2] != heads[0][:2])
        shapes = [(heads[i][1], heads[i][0]) for i in (0, other)]
        _refuse_sizes(path, names[0], shapes[0], names[other], shapes[1])
    channels = channels or max(head[2] for head in heads)
    shape = (size or heads[0][1], size or heads[0][0], channels)

    def read(indices):
        out = np.empty((len(indices), *shape), np.uint8)
        for row, i in zip(out, indices):
            with told(path, names[i]), opened(names[i]) as file:
                image = prepare(Image.open(file, formats=FORMATS), size, channels)
            if image.shape != shape:
                _refuse_sizes(path, "the set", shape, names[i], image.shape)
            row[:] = image
        return out

    suffixes = tuple(sorted({os.path.splitext(name)[1].lower() for name in names}))
    return Source(str(path), split, len(names), shape, read, labels, classes, suffixes)


def _images(names):
    """Those names that are images and not hidden, in order."""

    def shown(name):
        return not any(p.startswith(".") or p == "__MACOSX" for p in name.split("/"))

    return sorted(n for n in names if n.lower().endswith(SUFFIXES) and shown(n))


def _layout(path, names, split):
    """Names of one split, their labels (or None) and the names of the classes."""
    if not names:
        raise ReadError(f"{path}: no images in it; they end in {', '.join(SUFFIXES)}")
    inner = {name: name.split("/") for name in names}
    tops = {parts[0] for parts in inner.values() if len(parts) > 1}
    has = [one for one in SPLITS if one in tops]
    if has:
        for name, parts in inner.items():
            if len(parts) == 1 or parts[0] not in SPLITS:
                raise ReadError(
                    f"{path}: with {has[0]}/ in it, all images are in train/ or test/;"
                    f" {name} is not: move it away"
                )
        inner = {name: parts[1:] for name, parts in inner.items()}
    check_split(path, split, has or ["train"])
    flat = [name for name in names if len(inner[name]) == 1]
    if flat and len(flat) < len(names):
        other = next(name for name in names if len(inner[name]) > 1)
        raise ReadError(
            f"{path}: images are all in folders, one a class, or none is; {flat[0]} is"
            f" not, {other} is: move one of them away"
        )
    chosen = [name for name in names if name.startswith(f"{split}/") or not has]
    if flat:
        return chosen, None, ()
    classes = tuple(sorted({parts[0] for parts in inner.values()}))  # of both splits
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[inner[name][0]] for name in chosen], np.int32)
    return chosen, labels, classes


def _look_at_all(path, names, opened, patience=2.0):
    """(w, h, channels) of every file; raises the first ReadError, and counts them."""

    def look(name):
        try:
            with told(path, name), opened(name) as file:
                return look_at(file)
        except ReadError as error:
            return error

    heads, start, quiet = [], time.monotonic(), True
    with ThreadPool(8) as pool:
        for head in pool.imap(look, names, chunksize=16):
            heads.append(head)
            if quiet and (spent := time.monotonic() - start) > patience:
                quiet = False
                whole = math.ceil(spent * len(names) / len(heads))
                say = f"looking at {len(names):,} images in {path}, about {whole} s"
                print(f"gantf: {say}", file=sys.stderr, flush=True)
    if bad := [head for head in heads if isinstance(head, ReadError)]:
        more = f" (and {len(bad) - 1} more bad files)" if len(bad) > 1 else ""
        raise ReadError(f"{bad[0]}{more}")
    return heads
