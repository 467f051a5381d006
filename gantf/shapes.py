"""Shapes, parameters and multiply-adds of nets, without building them.

Shapes leave the batch out: (height, width, channels) of a map, (features,) of a
vector. Nothing here imports TensorFlow or Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gantf import spec
from gantf.spec import Layer

Shape = tuple[int, ...]


class Row(NamedTuple):
    """One layer of a net on its input.

    Attributes:
      layer: the layer.
      shape: what it makes of its input.
      params: its trainable numbers.
      macs: its multiply-adds on one sample: those of its kernel, nothing else.
    """

    layer: Layer
    shape: Shape
    params: int
    macs: int


def rows(net: Any, shape: Shape, classes: int = 0) -> list[Row]:
    """Walks through the net: a `Row` for each layer.

    Args:
      net: anything that `gantf.spec.parse` reads.
      shape: the input, without batch.
      classes: how many classes labels come from; 0 without labels.

    Raises:
      SpecError: a layer that does not fit its input, marked where it stands.
      ValueError: a shape that is none.
    """
    found = []
    if not all(type(side) is int and side > 0 for side in shape):
        raise ValueError(f"a shape is whole numbers from 1, not {tuple(shape)}")
    shape = tuple(shape)
    for layer in spec.parse(net):
        row = _row(layer, shape)
        found.append(row)
        shape = row.shape
    return found


def out_shape(net: Any, shape: Shape, classes: int = 0) -> Shape:
    """What the net makes of an input of `shape`; arguments as for `rows`."""
    return rows(net, shape, classes)[-1].shape


def params(net: Any, shape: Shape, classes: int = 0) -> int:
    """The trainable numbers of the net; arguments as for `rows`."""
    return sum(row.params for row in rows(net, shape, classes))


def macs(net: Any, shape: Shape, classes: int = 0) -> int:
    """The multiply-adds of the net on one sample; arguments as for `rows`."""
    return sum(row.macs for row in rows(net, shape, classes))


def table(net: Any, shape: Shape, classes: int = 0) -> str:
    """The net as a table: words, output shape, parameters, multiply-adds."""
    found = rows(net, shape, classes)
    lines = [("layer", "output", "parameters", "multiply-adds")]
    lines.append(("", show(tuple(shape)), "", ""))
    for row in found:
        numbers = f"{row.params:,}", f"{row.macs:,}"
        lines.append((str(row.layer), show(row.shape), *numbers))
    totals = sum(row.params for row in found), sum(row.macs for row in found)
    lines.append(("total", "", *(f"{n:,}" for n in totals)))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join([words.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip()
        for words, *cells in lines
    )


def show(shape: Iterable[int]) -> str:
    """A shape as it is written in a spec: 32x32x3."""
    return "x".join(map(str, shape))


def _row(layer: Layer, shape: Shape) -> Row:
    """The kernel's row by the table, then what norm and activation add to it."""
    result, kernel, macs_ = _KERNELS[layer.kind](layer, shape)
    norm = layer.kind if layer.kind in _NORM_PARAMS else layer.norm
    act = layer.kind if layer.kind == "crelu" else layer.act
    if norm == "gn" and result[-1] % layer.groups:
        layer.fail(f"gn of {layer.groups} groups does not divide {result[-1]} channels")
    if norm == "in" and len(result) == 1:  # nothing is left of a vector
        layer.fail(f"in needs a map HxWxC, not {show(result)}")
    numbers = kernel + _NORM_PARAMS.get(norm, 0) * result[-1]
    numbers += layer.trainable_gain
    if act == "crelu":
        result = (*result[:-1], 2 * result[-1])
    return Row(layer, result, numbers, macs_)


_NORM_PARAMS = {"bn": 2, "ln": 2, "in": 2, "gn": 2, "pn": 0}  # a channel
Kernel = tuple[Shape, int, int]  # shape, parameters, multiply-adds


def _map(layer: Layer, shape: Shape) -> Shape:
    if len(shape) != 3:
        layer.fail(f"{layer.kind} needs a map HxWxC, not {show(shape)}")
    return shape


def _dense(layer: Layer, shape: Shape) -> Kernel:
    if len(shape) != 1:
        layer.fail(
            f"dense needs a flat input, not {show(shape)}; "
            "put flatten, gsum or gmean before it"
        )
    result = layer.out if isinstance(layer.out, tuple) else (layer.out,)
    units = math.prod(result)
    return result, (shape[0] + layer.has_bias) * units, shape[0] * units


def _conv(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)
    reach = (layer.size - 1) * layer.dilation + 1

    def side(n: int) -> int:
        if layer.padding is None:
            return -(-n // layer.stride)
        return (n + 2 * layer.padding - reach) // layer.stride + 1

    weights = layer.size**2 * c * layer.out
    result = _some(layer, shape, (side(h), side(w), layer.out))
    return result, weights + layer.has_bias * layer.out, math.prod(result[:2]) * weights


def _tconv(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)

    def side(n: int) -> int:
        if layer.padding is None:
            return n * layer.stride
        return (n - 1) * layer.stride - 2 * layer.padding + layer.size

    weights = layer.size**2 * c * layer.out
    result = _some(layer, shape, (side(h), side(w), layer.out))
    return result, weights + layer.has_bias * layer.out, h * w * weights


def _some(layer: Layer, shape: Shape, result: Shape) -> Shape:
    if min(result) < 1:
        layer.fail(f"{layer} leaves nothing of a map {show(shape)}")
    return result


def _larger(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)
    return (h * layer.size, w * layer.size, c), 0, 0


def _pool(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)
    sides = h // layer.size, w // layer.size, c
    return _some(layer, shape, sides), 0, 0


def _depth_to_space(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)
    n = layer.size
    if c % n**2:
        layer.fail(f"ps{n} needs channels that {n**2} divides, not {c}")
    return (h * n, w * n, c // n**2), 0, 0


def _space_to_depth(layer: Layer, shape: Shape) -> Kernel:
    h, w, c = _map(layer, shape)
    n = layer.size
    if h % n or w % n:
        layer.fail(f"sd{n} needs sides that {n} divides, not {show(shape[:2])}")
    return (h // n, w // n, c * n**2), 0, 0


def _global(layer: Layer, shape: Shape) -> Kernel:
    return _map(layer, shape)[-1:], 0, 0


def _flatten(layer: Layer, shape: Shape) -> Kernel:
    return (math.prod(shape),), 0, 0


def _reshape(layer: Layer, shape: Shape) -> Kernel:
    if math.prod(layer.out) != math.prod(shape):
        layer.fail(f"cannot fold {show(shape)} into {show(layer.out)}")
    return layer.out, 0, 0


def _same(layer: Layer, shape: Shape) -> Kernel:
    return shape, 0, 0


_KERNELS: dict[str, Callable[[Layer, Shape], Kernel]] = {
    "dense": _dense,
    "conv": _conv,
    "tconv": _tconv,
    "up": _larger,
    "upb": _larger,
    "upc": _larger,
    "ps": _depth_to_space,
    "sd": _space_to_depth,
    "avg": _pool,
    "max": _pool,
    "gsum": _global,
    "gmean": _global,
    "flatten": _flatten,
    "reshape": _reshape,
    "drop": _same,
    **{name: _same for name in spec.WORDS if name in spec.KINDS},
}
