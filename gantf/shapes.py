"""Shapes, parameters and multiply-adds of nets, without building them.

Shapes leave the batch out: (height, width, channels) of a map, (features,) of a
vector. Nothing here imports TensorFlow or Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gantf import spec, words
from gantf.spec import Layer

Shape = tuple[int, ...]


class Row(NamedTuple):
    """One layer of a net on its input.

    Attributes:
      layer: the layer.
      shape: what it makes of its input.
      params: its trainable numbers.
      macs: its multiply-adds on one sample: those of its kernels and of the two
        products of an attention, nothing else.
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
      ValueError: a shape that is none, or classes that are none.
    """
    found = []
    if not all(type(side) is int and side > 0 for side in shape):
        raise ValueError(f"a shape is whole numbers from 1, not {tuple(shape)}")
    if type(classes) is not int or classes < 0:
        raise ValueError(f"classes is a whole number from 0, not {classes!r}")
    shape = tuple(shape)
    for layer in spec.parse(net):
        row = _row(layer, shape, classes)
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


def _row(layer: Layer, shape: Shape, classes: int) -> Row:
    """The kernel's row by the table, then what norm and activation add to it."""
    for word in layer.labels[: not classes]:
        layer.fail(f"{word} needs labels: give classes, as in 'classes': 10")
    if words.is_alone(layer.kind):
        return Row(layer, *AFTER[layer.kind](layer, shape, classes))
    result, numbers, macs_ = KERNELS[layer.kind](layer, shape, classes)
    if layer.kind not in words.BLOCKS:
        result, more = _after(layer, result, classes)
        numbers += more
    return Row(layer, result, numbers, macs_)


Kernel = tuple[Shape, int, int]  # shape, parameters, multiply-adds


def _after(layer: Layer, shape: Shape, classes: int) -> tuple[Shape, int]:
    """What the layer's norm and activation make of a shape, and their parameters."""
    numbers = 0
    for word in filter(None, (layer.norm, layer.act)):
        shape, more, _ = AFTER[word](layer, shape, classes)
        numbers += more
    return shape, numbers


def _norm(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return shape, 2 * shape[-1], 0


def _conditional_norm(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return shape, 2 * classes * shape[-1], 0


def _group_norm(layer: Layer, shape: Shape, classes: int) -> Kernel:
    if shape[-1] % layer.groups:
        layer.fail(f"gn of {layer.groups} groups does not divide {shape[-1]} channels")
    return _norm(layer, shape, classes)


def _instance_norm(layer: Layer, shape: Shape, classes: int) -> Kernel:
    if len(shape) == 1:  # nothing is left of a vector
        layer.fail(f"in needs a map HxWxC, not {show(shape)}")
    return _norm(layer, shape, classes)


def _same(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return shape, 0, 0


def _twice(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return (*shape[:-1], 2 * shape[-1]), 0, 0


def _outputs(layer: Layer, units: int, classes: int) -> int:
    """The parameters beside the kernel, whose outputs are `units` wide."""
    tables = layer.has_class_bias + (layer.class_kernel == "scale")
    return (layer.has_bias + tables * classes) * units + layer.trainable_gain


def _map(layer: Layer, shape: Shape) -> Shape:
    if len(shape) != 3:
        layer.fail(f"{layer.kind} needs a map HxWxC, not {show(shape)}")
    return shape


def _dense(layer: Layer, shape: Shape, classes: int) -> Kernel:
    if len(shape) != 1:
        layer.fail(
            f"dense needs a flat input, not {show(shape)}; "
            "put flatten, gsum or gmean before it"
        )
    result = layer.out if isinstance(layer.out, tuple) else (layer.out,)
    units = math.prod(result)
    weights = shape[0] * units
    numbers = weights + _outputs(layer, units, classes)
    numbers += (layer.class_kernel == "sum") * classes * weights
    if layer.project:  # an embedding, normalised as the kernel is
        numbers += classes * weights + layer.trainable_gain
    return result, numbers, weights


def _conv(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    for n, what in (c, "input"), (layer.out, "output"):
        if n % layer.kernel_groups:
            layer.fail(f"g{layer.kernel_groups} does not divide {n} {what} channels")
    reach = (layer.size - 1) * layer.dilation + 1

    def side(n: int) -> int:
        if layer.padding is None:
            return -(-n // layer.stride)
        return (n + 2 * layer.padding - reach) // layer.stride + 1

    weights = layer.size**2 * c // layer.kernel_groups * layer.out
    result = _some(layer, shape, (side(h), side(w), layer.out))
    numbers = weights + _outputs(layer, layer.out, classes)
    return result, numbers, math.prod(result[:2]) * weights


def _tconv(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)

    def side(n: int) -> int:
        if layer.padding is None:
            return n * layer.stride
        return (n - 1) * layer.stride - 2 * layer.padding + layer.size

    weights = layer.size**2 * c * layer.out
    result = _some(layer, shape, (side(h), side(w), layer.out))
    return result, weights + _outputs(layer, layer.out, classes), h * w * weights


def _depthwise(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    h, w = -(-h // layer.stride), -(-w // layer.stride)
    weights = layer.size**2 * c * layer.multiplier
    out = c * layer.multiplier
    return (h, w, out), weights + _outputs(layer, out, classes), h * w * weights


def _separable(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    h, w = -(-h // layer.stride), -(-w // layer.stride)
    weights = layer.size**2 * c + c * layer.out
    numbers = weights + _outputs(layer, layer.out, classes)
    return (h, w, layer.out), numbers, h * w * weights


def _block(layer: Layer, shape: Shape, classes: int) -> Kernel:
    """Either residual block; a first one has no norm and activation in front."""
    h, w, c = _map(layer, shape)
    hidden = layer.hidden or layer.out
    sides = [n * layer.up // layer.down for n in (h, w)]
    result = _some(layer, shape, (*sides, layer.out))
    before, numbers = shape, 0
    if layer.kind == "res":
        before, numbers = _after(layer, shape, classes)
    between, more = _after(layer, (h, w, hidden), classes)
    weights = layer.size**2 * (before[-1] * hidden + between[-1] * layer.out)
    macs_ = weights * h * w * layer.up**2
    numbers += weights + more
    one, two, three = layer.block_biases
    numbers += one * hidden + two * layer.out + 2 * layer.trainable_gain
    if shortcut(layer, c):
        numbers += (c + three) * layer.out + layer.trainable_gain
        # where the map is smaller: before it grows, after it has shrunk
        macs_ += c * layer.out * min(h * w, math.prod(sides))
    return result, numbers, macs_


def shortcut(layer: Layer, channels: int) -> bool:
    """Whether a block of so many input channels has a kernel on its shortcut.

    The rule of Miyato et al.'s code: where the identity does not fit, and wherever
    the block resizes; a first block always has one.
    """
    resizes = layer.up > 1 or layer.down > 1
    fits = channels == layer.out
    return layer.kind == "stem" or layer.sc or resizes or not fits


def _attention(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    widths = [layer.size, layer.size, layer.values]
    for n in widths:
        if c % n:
            layer.fail(f"{layer} needs channels that {n} divides, not {c}")
    if layer.pool:
        _some(layer, shape, (h // 2, w // 2, c))
    keys = (h // 2) * (w // 2) if layer.pool else h * w
    kernels = [(c, c // n) for n in widths]
    kernels += [(c // layer.values, c)] if layer.values > 1 else []
    weights = sum(a * b for a, b in kernels)
    gate = 1
    numbers = weights + gate + layer.trainable_gain * len(kernels)
    products = h * w * keys * (c // widths[0] + c // widths[2])
    return shape, numbers, h * w * weights + products


def _some(layer: Layer, shape: Shape, result: Shape) -> Shape:
    if min(result) < 1:
        layer.fail(f"{layer} leaves nothing of a map {show(shape)}")
    return result


def _larger(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    return (h * layer.size, w * layer.size, c), 0, 0


def _pool(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    sides = h // layer.size, w // layer.size, c
    return _some(layer, shape, sides), 0, 0


def _depth_to_space(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    n = layer.size
    if c % n**2:
        layer.fail(f"ps{n} needs channels that {n**2} divides, not {c}")
    return (h * n, w * n, c // n**2), 0, 0


def _space_to_depth(layer: Layer, shape: Shape, classes: int) -> Kernel:
    h, w, c = _map(layer, shape)
    n = layer.size
    if h % n or w % n:
        layer.fail(f"sd{n} needs sides that {n} divides, not {show(shape[:2])}")
    return (h // n, w // n, c * n**2), 0, 0


def _global(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return _map(layer, shape)[-1:], 0, 0


def _flatten(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return (math.prod(shape),), 0, 0


def _reshape(layer: Layer, shape: Shape, classes: int) -> Kernel:
    if math.prod(layer.out) != math.prod(shape):
        layer.fail(f"cannot fold {show(shape)} into {show(layer.out)}")
    return layer.out, 0, 0


def _deviation(layer: Layer, shape: Shape, classes: int) -> Kernel:
    return (*shape[:-1], shape[-1] + 1), 0, 0


# kind -> what it makes of its input; see also `gantf.builder.add_word`
KERNELS: dict[str, Callable[[Layer, Shape, int], Kernel]] = {
    "dense": _dense,
    "conv": _conv,
    "tconv": _tconv,
    "dconv": _depthwise,
    "sconv": _separable,
    "res": _block,
    "stem": _block,
    "attn": _attention,
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
    "noise": _same,
    "mbstd": _deviation,
}

# norm or activation -> what it makes of its input
AFTER: dict[str, Callable[[Layer, Shape, int], Kernel]] = {
    **{word: _same for word in words.KINDS if words.is_alone(word)},
    "bn": _norm,
    "cbn": _conditional_norm,
    "ln": _norm,
    "in": _instance_norm,
    "gn": _group_norm,
    "crelu": _twice,
}
