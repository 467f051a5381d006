"""The files that the FID network's weights come in, read without a session and torch.

.pb     a frozen graph: TensorFlow's GraphDef, the weights in nodes of op Const
.tgz    an archive with classify_image_graph_def.pb in it, nothing else is read
.pth    a state dict of torch, as pytorch-fid and torch-fidelity have it
"""

from __future__ import annotations

import math
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from gantf import files
from gantf.networks.pickles import load_torch

MEMBER = "classify_image_graph_def.pb"
LARGEST = 2**28  # bytes of it in an archive; the right one has 95,673,916
# Of pytorch-fid's and torch-fidelity's file, which have it in their names.
STATE_SHA256 = "6726825d"
NET = "the FID network (Inception, 2015-12-05)"
RIGHT = (
    f"inception-2015-12-05.tgz or pt_inception-2015-12-05-{STATE_SHA256}.pth is right"
)
Arrays = dict[str, np.ndarray]


class Weight(NamedTuple):
    """A weight of the network: its names in files, and its shape.

    Attributes:
      graph: its name in the frozen graph.
      state: its name in state dicts of torch.
      shape: (h, w, in, out) of a convolution, (in, out) of a matrix, (n,).
    """

    graph: str
    state: str
    shape: tuple[int, ...]


def check(path: Path) -> str:
    """The SHA-256 of a file that may have the weights.

    Raises:
      ValueError: no such file, one of another kind, or one whose name tells its hash
        and tells another.
    """
    if path.suffix not in KINDS:
        kinds = ", ".join(KINDS)
        raise ValueError(f"{path}: a file with {NET} ends in {kinds}; {RIGHT}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    digest = files.sha256(path)
    if path.name.endswith(f"-{STATE_SHA256}.pth") and digest[:8] != STATE_SHA256:
        raise ValueError(
            f"{path}: by its name its SHA-256 starts with {STATE_SHA256}, not with"
            f" {digest[:8]}: it is torn or altered; download it again"
        )
    return digest


def read(path: Path, wanted: Sequence[Weight]) -> list[np.ndarray]:
    """The weights of a file that passed `check`, in the order asked for.

    Raises:
      ValueError: a torn file, or one that lacks a weight, has one in another shape, or
        has a convolution more.
    """
    kind = KINDS[path.suffix]
    arrays = kind.arrays(path)
    names = [getattr(weight, kind.names) for weight in wanted]
    missing = [name for name in names if name not in arrays]
    if missing:
        what = f"{NET} has {_first(missing)}, this file has not"
        raise ValueError(f"{path}: {what}; {RIGHT}")
    more = sorted(set(filter(kind.kernel.search, arrays)) - set(names))
    if more:
        what = f"{NET} has no {_first(more)}, this file has"
        raise ValueError(f"{path}: {what}; {RIGHT}")
    found = []
    for name, weight in zip(names, wanted):
        axes = kind.axes[len(weight.shape)]
        shape = tuple(weight.shape[axis] for axis in axes)
        if arrays[name].shape != shape:
            raise ValueError(
                f"{path}: {name} of {NET} is {_shown(shape)}, not"
                f" {_shown(arrays[name].shape)}; {RIGHT}"
            )
        found.append(arrays[name].transpose(np.argsort(axes)))
    return found


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _graph(path: Path) -> Arrays:
    return _constants(path, path.read_bytes())


def _archive(path: Path) -> Arrays:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and Path(member.name).name == MEMBER:
                    if member.size > LARGEST:
                        break
                    return _constants(path, archive.extractfile(member).read())
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        raise ValueError(f"{path}: a torn .tgz archive; download it again") from None
    raise ValueError(f"{path}: an archive with {NET} has {MEMBER} in it, not this one")


def _constants(path: Path, data: bytes) -> Arrays:
    """All constants of a frozen graph by name."""
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(data)
        tensors = {
            node.name: node.attr["value"].tensor
            for node in graph.node
            if node.op == "Const"
        }
        # One number may stand for an array of any size, which takes no bytes.
        if sum(map(_count, tensors.values())) > len(data):
            raise ValueError
        return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
    except (DecodeError, TypeError, ValueError):
        raise ValueError(f"{path}: a torn frozen graph; download it again") from None


def _count(tensor: Any) -> int:
    return math.prod(max(0, dim.size) for dim in tensor.tensor_shape.dim)


class _Kind(NamedTuple):
    """How weights stand in a kind of file.

    Attributes:
      arrays: reads all arrays of a file, by name.
      names: which names of `Weight` are its own.
      kernel: matches the names of convolutions' kernels.
      axes: by how many there are, which of Keras' axes are first, second, ..
    """

    arrays: Callable[[Path], Arrays]
    names: str
    kernel: re.Pattern
    axes: dict[int, tuple[int, ...]]


_GRAPH = _Kind(
    _graph,
    "graph",
    re.compile(r"(^|/)conv2d_params$"),
    {1: (0,), 2: (0, 1), 4: (0, 1, 2, 3)},
)
_STATE = _Kind(
    load_torch,
    "state",
    re.compile(r"\.conv\.weight$"),
    {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)},
)
KINDS = {".pb": _GRAPH, ".tgz": _GRAPH._replace(arrays=_archive), ".pth": _STATE}
