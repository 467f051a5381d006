"""Weights that PyTorch or NumPy pickled, read without running what the file says.

Files have dicts of arrays of numbers, and nothing else: what asks for more is refused
by name. Whatever lengths one claims, to read it takes no more memory than a few times
its size.

    torch.save, from 1.6    a zip: NAME/data.pkl; the numbers of a storage in
                            NAME/data/KEY; which byte comes first in NAME/byteorder
    torch.save, before      five pickles: a magic number, a version, the machine, the
                            object, the keys of its storages; then for each key how
                            many numbers (int64), and the numbers
    pickle.dump             of NumPy arrays, protocols 2 to 5

as in `torch.serialization`, `torch._utils` and `numpy.ndarray.__reduce_ex__`.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gantf.networks.unpickler import (
    MOST_STEPS,
    Built,
    Refused,
    asked,
    checked,
    table,
    unpickle,
)

# What unpickling and NumPy raise on bytes that are no whole pickle of arrays.
TORN = (EOFError, LookupError, OverflowError, TypeError, ValueError, struct.error)
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # of PyTorch's older files
MOST_DIMENSIONS = 32


def load_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict that `torch.save` wrote, in either format.

    They are read-only, and share memory where they are views of one storage. bfloat16
    becomes float32, as NumPy has none.

    Raises:
      ValueError: a file that is not whole, or that has or asks for anything else.
    """
    with _told(path):
        data = Path(path).read_bytes()
        is_zip = data.startswith(b"PK\3\4")
        tensors, read = (_open_zip if is_zip else _open_legacy)(data)
        storages: dict[_Storage, np.ndarray] = {}
        return _each(tensors, lambda tensor: _view(tensor, storages, read))


def load_arrays(path: str | Path) -> dict[str, np.ndarray | list[np.ndarray]]:
    """The NumPy arrays of a pickled dict: by each name one, or a list of them.

    Raises:
      ValueError: a file that is not whole, or that has or asks for anything else.
    """
    with _told(path):
        return _each(unpickle(io.BytesIO(Path(path).read_bytes()), _NUMPY), _arrays)


def load_dict(data: bytes) -> dict[str, Any]:
    """A pickled dict by strings, of NumPy arrays and of what else stands in it.

    Raises:
      Refused: it asks for anything else.
      others of `TORN`: it is not whole.
    """
    found = checked(unpickle(io.BytesIO(data), _NUMPY), dict)
    return {
        name: checked(value.array, np.ndarray) if isinstance(value, _Array) else value
        for name, value in found.items()
    }


@contextlib.contextmanager
def _told(path: str | Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (*TORN, RuntimeError, zipfile.BadZipFile):  # Runtime: of encrypted files
        raise ValueError(
            f"{path}: not a file of weights, or a torn one; get it again"
        ) from None


def _each(found: Any, made: Callable[[Any], Any]) -> dict[str, Any]:
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise Refused(f"a file of weights has a dict of arrays, not a {kind}")
    lists = [value for value in found.values() if isinstance(value, list)]
    if sum(map(len, lists)) > MOST_STEPS:  # one list may have many names
        raise asked("the same again and again")
    arrays = {}
    for name, value in found.items():
        try:
            arrays[name] = made(value)
        except Refused as error:
            raise Refused(f"{name[:80]!r}: {error}") from None
    return arrays


# NumPy


def _numbers(data: Any, code: str, order: str) -> np.ndarray:
    """Those of a dtype in bytes of an order, read-only: (n,)."""
    dtype = np.dtype(code)
    numbers = np.frombuffer(data, dtype.newbyteorder(order)).astype(dtype, copy=False)
    numbers.flags.writeable = False
    return numbers


class _Dtype(Built):
    """A dtype of one number: its code, as "f4", and which byte comes first."""

    CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

    def __init__(self, code: Any, *flags: Any):
        if checked(code, str) not in self.CODES:
            raise asked(f"dtype {code[:80]!r}")
        self.code, self.order = code, "="

    def build(self, version: Any, order: Any, *fields: Any) -> None:
        self.order = order


class _Array(Built):
    """An array, or what will be one when a pickle has built it."""

    def __init__(self, *ignored: Any):
        self.array: np.ndarray | None = None

    def build(self, version: Any, shape: Any, dtype: Any, fortran: Any, data: Any):
        # Python 2 had strings for bytes.
        data = data.encode("latin-1") if isinstance(data, str) else data
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        numbers = _numbers(data, checked(dtype, _Dtype).code, dtype.order)
        self.array = numbers.reshape(shape, order=order)
        return self


_NUMPY: dict[str, Any] = {
    "__builtin__.bytes": lambda: b"",
    "_codecs.encode": lambda text, code: checked(text, str).encode("latin-1"),
    "collections.OrderedDict": table,
    "numpy.dtype": _Dtype,
    "numpy.ndarray": None,  # what _reconstruct is told to make
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.numeric._frombuffer": lambda *data: _Array().fill(*data),
    "numpy._core.numeric._frombuffer": lambda *data: _Array().fill(*data),
}


def _arrays(value: Any) -> np.ndarray | list[np.ndarray]:
    if isinstance(value, list):
        return [_array(each) for each in value]
    return _array(value)


def _array(value: Any) -> np.ndarray:
    if not isinstance(value, _Array):
        kind = type(value).__name__
        raise Refused(f"weights are an array or a list of arrays, not a {kind}")
    return checked(value.array, np.ndarray)


# PyTorch


class _Storage(NamedTuple):
    code: str
    key: str
    count: int

    @property
    def raw(self) -> str:
        """The dtype in the file."""
        return "u2" if self.code == "bfloat16" else self.code

    def numbers(self, data: bytes, order: str) -> np.ndarray:
        """Those in the bytes of the storage, (count,)."""
        numbers = _numbers(data, self.raw, order)
        if len(numbers) != self.count:
            raise ValueError
        if self.code == "bfloat16":  # the first half of a float32
            return _numbers(numbers.astype("u4") << 16, "f4", "=")
        return numbers


class _Tensor(NamedTuple):
    """A view of a storage, offset and strides in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _storage(tag: Any, code: Any, key: Any, device: Any, count: Any, view: Any = None):
    """That of a persistent id; only PyTorch before 0.4 wrote views of storages."""
    if tag != "storage" or code not in _CODES.values() or view is not None:
        raise ValueError
    return _Storage(code, checked(key, str), *_sizes(count))


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *flags: Any):
    _sizes(offset, *checked(shape, tuple), *checked(strides, tuple))
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError
    return _Tensor(checked(storage, _Storage), offset, shape, strides)


def _sizes(*sizes: Any) -> tuple[int, ...]:
    if not all(0 <= checked(size, int) < 2**63 for size in sizes):
        raise ValueError
    return sizes


_CODES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
_TORCH: dict[str, Any] = {
    "collections.OrderedDict": table,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *flags: tensor,
    **{f"torch.{name}Storage": code for name, code in _CODES.items()},
}


def _open_zip(data: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    """The object of the newer format, and what reads its storages."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = archive.infolist()
    # PyTorch compresses nothing: there is no more to read than the file is long.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError
    if sum(member.file_size for member in members) > len(data):
        raise ValueError
    names = archive.namelist()
    tops = [name.removesuffix("data.pkl") for name in names if _is_object(name)]
    if len(tops) != 1:
        raise Refused("a zip by torch.save has one NAME/data.pkl, this one has not")
    top = tops[0]
    has_order = f"{top}byteorder" in names
    order = archive.read(f"{top}byteorder") if has_order else b"little"
    order = {b"little": "<", b"big": ">"}[order]
    found = unpickle(io.BytesIO(archive.read(f"{top}data.pkl")), _TORCH, _storage)

    def read(storage):
        return storage.numbers(archive.read(f"{top}data/{storage.key}"), order)

    return found, read


def _is_object(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


def _open_legacy(data: bytes) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    """The object of the older format, and what reads its storages."""
    file = io.BytesIO(data)
    if (unpickle(file, {}), unpickle(file, {})) != (MAGIC, VERSION):
        raise ValueError
    unpickle(file, {})  # the machine; every one writes little-endian numbers
    storages: dict[str, _Storage] = {}

    def stored(*key):
        storage = _storage(*key)
        return storages.setdefault(storage.key, storage)

    found = unpickle(file, _TORCH, stored)
    parts = {}
    for key in checked(unpickle(file, {}), list):
        (count,) = struct.unpack("<q", file.read(8))
        parts[key] = file.read(count * np.dtype(storages[key].raw).itemsize)
    return found, lambda storage: storage.numbers(parts[storage.key], "<")


def _view(
    tensor: Any,
    storages: dict[_Storage, np.ndarray],
    read: Callable[[_Storage], np.ndarray],
) -> np.ndarray:
    """A tensor's array; the first one of a storage has it read into `storages`."""
    if not isinstance(tensor, _Tensor):
        kind = type(tensor).__name__
        raise Refused(
            f"a state dict has tensors alone, not a {kind}; save what"
            " model.state_dict() gives"
        )
    storage, offset, shape, strides = tensor
    if storage not in storages:
        storages[storage] = read(storage)
    numbers = storages[storage]
    if 0 in shape:
        return numbers[:0].reshape(shape)
    # NumPy's own check overflows where strides are long.
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if last >= storage.count or math.prod(shape) > storage.count:
        raise Refused(
            "a tensor lies within its storage and is no larger, not so in this one of"
            f" {storage.count} numbers"
        )
    width = numbers.itemsize
    steps = [width * step for step in strides]
    return np.ndarray(shape, numbers.dtype, numbers, width * offset, steps)
