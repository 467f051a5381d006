"""Nets of gantf's words in PyTorch: the same functions, and weights to share.

`Model` makes a net of layers as an architecture has them. Its tensors are (n, c, h, w)
with channels last in memory, where gantf's are (n, h, w, c). `shared` says which
variable of the Keras net, which gantf builds of the same words, each weight is.

A kernel behind "sn" or "snm" has the vector of its power iteration, as in gantf, but
`Model.normalise` makes it once for all passes of a step.

Words of the conditional nets, of attention and some more are not known here.
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

import keras
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantf import parts, shapes, words
from gantf.inputs import all_layers
from gantf.layers import SpectralNormalization
from gantf.layers.convolution import same_pads
from gantf.spec import Layer, Net

Shape = tuple[int, ...]  # (h, w, c) or (c,), as in gantf


# ---- kernels


class Geometry(NamedTuple):
    """A convolution of maps of one size; its transpose goes back to them."""

    sides: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]
    stride: int

    def forward(self, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        (top, bottom), (left, right) = self.pads
        pads = top, left
        if (bottom, right) != pads:
            x, pads = F.pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, kernel, bias, self.stride, pads)

    def adjoint(self, y: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        (top, _), (left, _) = self.pads
        made = [
            (n - 1) * self.stride + kernel.shape[-1] - 2 * cut
            for n, cut in zip(y.shape[2:], (top, left))
        ]
        more = [max(side - n, 0) for side, n in zip(self.sides, made)]
        x = F.conv_transpose2d(y, kernel, bias, self.stride, (top, left), more)
        height, width = self.sides
        return x[:, :, :height, :width] if x.shape[2:] != self.sides else x


class Operator(NamedTuple):
    """A kernel as a linear map: functions (x, kernel) between shapes without batch."""

    source: Shape
    target: Shape
    forward: Callable[[Tensor, Tensor], Tensor]
    adjoint: Callable[[Tensor, Tensor], Tensor]

    def from_smaller(self) -> "Operator":
        if np.prod(self.source) <= np.prod(self.target):
            return self
        return Operator(self.target, self.source, self.adjoint, self.forward)


class Kernel(nn.Module):
    """A linear map; its kernel is W, or W gain / |A v| where words normalise it.

    `normalise` makes the kernel once for all passes of a step.
    """

    dtype = torch.float32  # of the normalised kernel; autocast casts the others

    def __init__(self, name: str, layer: Layer, shape: Shape, width: int, bias: bool):
        super().__init__()
        self.keras_name, self.method, self.gain = name, layer.weight, layer.gain
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        if self.method:
            operators = {"sn": self.operator, "snm": self.matrix}
            self.map = operators[self.method]().from_smaller()
            self.register_buffer("vector", _unit(torch.randn(1, *self.map.source)))

    def normalise(self, iterate: bool) -> None:
        """Makes the normalised kernel, after a power iteration if `iterate`."""
        if self.method is None:
            return
        if iterate:
            with torch.no_grad():
                there = _unit(self.map.forward(self.vector, self.weight))
                self.vector = _unit(self.map.adjoint(there, self.weight))
        sigma = torch.linalg.vector_norm(self.map.forward(self.vector, self.weight))
        self.normalised = (self.weight * (self.gain / sigma)).to(self.dtype)

    @property
    def kernel(self) -> Tensor:
        return self.normalised if self.method else self.weight


class Dense(Kernel):
    def __init__(self, name: str, layer: Layer, inputs: int, outputs: int):
        self.sides = inputs, outputs
        super().__init__(name, layer, (outputs, inputs), outputs, layer.has_bias)

    def operator(self) -> Operator:
        inputs, outputs = self.sides
        return Operator((inputs,), (outputs,), F.linear, torch.matmul)

    matrix = operator

    def forward(self, x):
        return F.linear(x, self.kernel, self.bias)


class Conv(Kernel):
    """A convolution, or a transposed one, of maps of one size."""

    transposed = False

    def __init__(
        self,
        name: str,
        layer: Layer,
        source: Shape,
        target: Shape,
        size: int,
        bias: bool,
    ):
        self.source, self.target = source, target
        large, small = (target, source) if self.transposed else (source, target)
        pads = ((layer.padding,) * 2,) * 2
        if layer.padding is None:
            pads = tuple(same_pads(side, size, layer.stride, 1) for side in large[:2])
        self.geometry = Geometry(large[:2], pads, layer.stride)
        shape = small[-1], large[-1], size, size
        super().__init__(name, layer, shape, target[-1], bias)

    def operator(self) -> Operator:
        (*sides, inputs), (*made, outputs) = self.source, self.target
        return Operator((inputs, *sides), (outputs, *made), *self.directions())

    def matrix(self) -> Operator:
        """Of W as (outputs, height width inputs)."""

        def flat(kernel):
            kernel = kernel.transpose(0, 1) if self.transposed else kernel
            return kernel.permute(0, 2, 3, 1).flatten(1)

        outputs, rows = flat(self.weight).shape
        return Operator(
            (rows,),
            (outputs,),
            lambda x, kernel: F.linear(x, flat(kernel)),
            lambda y, kernel: y @ flat(kernel),
        )

    def directions(self) -> tuple[Callable, Callable]:
        return self.geometry.forward, self.geometry.adjoint

    def forward(self, x):
        return self.directions()[0](x, self.kernel, self.bias)


class TransposedConv(Conv):
    transposed = True

    def directions(self):
        return self.geometry.adjoint, self.geometry.forward


def _unit(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x).clamp_min(1e-37)


# ---- words


class Site(NamedTuple):
    """A layer of a net, the name of its Keras layer, its input and output shape."""

    layer: Layer
    name: str
    source: Shape
    target: Shape


class Block(nn.Module):
    """A residual block, as that of `gantf.parts`."""

    def __init__(self, site: Site):
        super().__init__()
        layer, (height, width, channels) = site.layer, site.source
        hidden, biases = layer.hidden or layer.out, layer.block_biases
        up = [nn.Upsample(scale_factor=layer.up)] if layer.up > 1 else []
        down = [nn.AvgPool2d(layer.down)] if layer.down > 1 else []

        def conv(part, inputs, outputs, size, bias, up=1, down=1):
            sides = height * up // down, width * up // down
            ends = (*sides, inputs), (*sides, outputs)
            return Conv(f"{site.name}_{part}", layer, *ends, size, bias)

        def after(number, channels, inplace):
            name = f"{site.name}_{number}"
            return _after(layer, name, (height, width, channels), inplace)

        first = layer.kind == "res"  # a norm and an activation ahead of all
        way = [
            *(after(0, channels, layer.norm is not None) if first else ()),
            *up,
            conv("conv_0", channels, hidden, layer.size, biases[0], layer.up),
            *after(1, hidden, True),
            conv("conv_1", hidden, layer.out, layer.size, biases[1], layer.up),
            *down,
        ]
        shortcut = []
        if shapes.shortcut(layer, channels):
            sc = conv("sc", channels, layer.out, 1, biases[2], down=layer.down)
            shortcut = [*down, sc, *up]
        self.way, self.shortcut = nn.Sequential(*way), nn.Sequential(*shortcut)

    def forward(self, x):
        return self.shortcut(x) + self.way(x)


class Lambda(nn.Module):
    """A function of a tensor, without weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _dense(site: Site) -> list[nn.Module]:
    units = int(np.prod(site.layer.out))
    dense = Dense(site.name, site.layer, site.source[0], units)
    return [dense, *(_fold(site) if isinstance(site.layer.out, tuple) else ())]


def _fold(site: Site) -> list[nn.Module]:
    """To a map (n, c, h, w) that has channels last in memory, as Keras folds."""
    return [Lambda(lambda x: _flat(x).view(-1, *site.layer.out).permute(0, 3, 1, 2))]


def _flat(x: Tensor) -> Tensor:
    return x if x.ndim == 2 else x.permute(0, 2, 3, 1).flatten(1)


def _conv(kind: type[Conv]) -> Callable[[Site], list[nn.Module]]:
    def made(site):
        layer, ends = site.layer, (site.source, site.target)
        return [kind(site.name, layer, *ends, layer.size, layer.has_bias)]

    return made


def _batch_norm(shape: Shape) -> nn.Module:
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[-1], parts.BN_EPSILON, 1 - parts.BN_MOMENTUM)


def _layer_norm(shape: Shape) -> nn.Module:
    return nn.GroupNorm(1, shape[-1], parts.GROUP_EPSILON)


KINDS: dict[str, Callable[[Site], list[nn.Module]]] = {
    "dense": _dense,
    "conv": _conv(Conv),
    "tconv": _conv(TransposedConv),
    "res": lambda site: [Block(site)],
    "stem": lambda site: [Block(site)],
    "up": lambda site: [nn.Upsample(scale_factor=site.layer.size)],
    "max": lambda site: [nn.MaxPool2d(site.layer.size)],
    "gsum": lambda site: [Lambda(lambda x: x.sum((2, 3)))],
    "flatten": lambda site: [Lambda(_flat)],
    "reshape": _fold,
}
NORMS: dict[str, Callable[[Shape], nn.Module]] = {
    "bn": _batch_norm,
    "ln": _layer_norm,
}
ACTS: dict[str, Callable[[Layer, bool], nn.Module]] = {
    "relu": lambda layer, inplace: nn.ReLU(inplace),
    "lrelu": lambda layer, inplace: nn.LeakyReLU(layer.slope, inplace),
    "tanh": lambda layer, inplace: nn.Tanh(),
}
OPTIONS = "s p h down sn snm nobias lastbias".split()  # and up
KNOWN = [*KINDS, *NORMS, *ACTS, *OPTIONS]


def _after(layer: Layer, name: str, shape: Shape, inplace: bool) -> list[nn.Module]:
    """The layer's norm, then its activation."""
    found = []
    if layer.norm:
        found.append(NORMS[layer.norm](shape))
        found[0].keras_name = f"{name}_{layer.norm}"
    return found + ([ACTS[layer.act](layer, inplace)] if layer.act else [])


def _modules(site: Site, inplace: bool) -> list[nn.Module]:
    """What a layer is made of.

    Raises:
      ValueError: a word that is not known here.
    """
    layer, name = site.layer, site.name
    for word in re.findall("(?:^|-)([a-z]+)", str(layer)):
        if word not in KNOWN:
            raise ValueError(
                f"torch_step knows no word {word!r}; it knows {', '.join(KNOWN)}"
            )
    if layer.kind in ACTS:
        return [ACTS[layer.kind](layer, inplace)]
    if layer.kind in NORMS:
        made = NORMS[layer.kind](site.source)
        made.keras_name = name
        return [made]
    made = KINDS[layer.kind](site)
    in_block = layer.kind in words.BLOCKS
    return made if in_block else made + _after(layer, name, site.target, True)


class Model(nn.Module):
    """A net of an architecture; as in gantf its last kernel is in float32."""

    def __init__(self, net: Net, shape: Shape, classes: int, mixed: bool):
        super().__init__()
        rows, sites = shapes.rows(net, shape, classes), []
        for i, row in enumerate(rows):
            name = f"{i + 1:02d}_{row.layer.kind}"
            sites.append(Site(row.layer, name, shape, row.shape))
            shape = row.shape
        # The first layer must not write into the samples.
        made = [_modules(site, inplace=i > 0) for i, site in enumerate(sites)]
        kernels = [
            i
            for i, row in enumerate(rows)
            if row.params and not words.is_alone(row.layer.kind)
        ]
        head, tail = made[: kernels[-1]], made[kernels[-1] :]
        self.head, self.tail = (nn.Sequential(*chain(*m)) for m in (head, tail))
        if mixed:
            for kernel in _kernels(self.head):
                kernel.dtype = torch.bfloat16
        self.to(memory_format=torch.channels_last)

    def normalise(self, iterate: bool) -> None:
        """Makes the kernels of the passes that follow; once a step."""
        for kernel in _kernels(self):
            kernel.normalise(iterate)

    def forward(self, x):
        x = self.head(x)
        with torch.autocast("cpu", enabled=False):
            return self.tail(x.float())


def _kernels(net: nn.Module) -> list[Kernel]:
    return [module for module in net.modules() if isinstance(module, Kernel)]


# ---- weights shared with Keras layers


def shared(net: Model, keras_net: keras.Model) -> Iterator[tuple]:
    """(tensor, variable of the Keras net, order of its axes in the tensor) of all."""
    layers = {layer.name: layer for layer in all_layers(keras_net)}
    for module in net.modules():
        if isinstance(module, Kernel):
            yield from _shared_by_kernel(module, layers[module.keras_name])
        elif hasattr(module, "keras_name"):
            yield from _shared_by_norm(module, layers[module.keras_name])


_ORDERS = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of kernels and biases, by rank


def _shared_by_kernel(module: Kernel, layer: keras.layers.Layer) -> Iterator[tuple]:
    if isinstance(layer, SpectralNormalization):
        order = (0, 3, 1, 2) if module.vector.ndim == 4 else (0, 1)
        yield module.vector, layer.vector, order
        layer = layer.layer
    yield module.weight, layer.kernel, _ORDERS[module.weight.ndim]
    if module.bias is not None:
        yield module.bias, layer.bias, (0,)


def _shared_by_norm(module: nn.Module, layer: keras.layers.Layer) -> Iterator[tuple]:
    yield module.weight, layer.gamma, (0,)
    yield module.bias, layer.beta, (0,)
    if hasattr(module, "running_mean"):
        yield module.running_mean, layer.moving_mean, (0,)
        yield module.running_var, layer.moving_variance, (0,)
