"""Layers as linear operators: what spectral normalisation takes the norm of.

`METHODS` has the two ways to see a kernel, each a function (layer, shape of its input
without batch) -> `Map`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from gantf.layers.conditional import ConditionalDense, ConditionalKernel
from gantf.layers.convolution import (
    CroppedConv2DTranspose,
    Operator,
    PaddedConv2D,
    conv_pair,
    depthwise_pair,
    grouped_pair,
    same_pads,
)


def _scaled(factor, kernel):
    return (kernel * factor,)


@dataclasses.dataclass(frozen=True)  # a tuple's weights Keras would take for its own
class Map:
    """Weights as a linear map: the shapes it goes between, and how.

    Attributes:
      source, target: shapes without batch.
      weights: the variables that the map is made of.
      bind: their values -> (forward, adjoint), functions of batches of any size, or
        of one row for each class.
      scaled: (factor, their values) -> values whose map is factor times as large.
      classes: how many maps these are; None for one. The factor is (classes,) then.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    weights: tuple[Any, ...]
    bind: Callable[..., tuple[Operator, Operator]]
    scaled: Callable[..., tuple] = _scaled
    classes: int | None = None


_OWN = {
    keras.layers.Embedding: lambda layer: layer.embeddings,
    keras.layers.SeparableConv2D: lambda layer: (
        layer.depthwise_kernel,
        layer.pointwise_kernel,
    ),
}


def kernel_of(layer: keras.layers.Layer) -> Any:
    """The trained kernel of a layer, or all of them as a tuple."""
    find = _of_kind(_OWN, layer)
    return find(layer) if find else layer.kernel


def _of_kind(table, layer):
    """What a table has for the first kind that fits; a subclass before its base."""
    return next((table[kind] for kind in table if isinstance(layer, kind)), None)


# ---- one matrix


def _matrix(source, target, kernel, flat):
    def bind(kernel):
        matrix = flat(kernel)
        return (
            lambda x: ops.matmul(x, matrix),
            lambda y: ops.matmul(y, ops.transpose(matrix)),
        )

    return Map(source, target, (kernel,), bind)


def _dense_map(layer, shape):
    # A dense layer works on the last axis, whatever stands before it.
    kernel = kernel_of(layer)
    inputs, outputs = kernel.shape
    return _matrix((inputs,), (outputs,), kernel, lambda kernel: kernel)


# ---- convolutions


def _conv_map(layer, shape):
    _check_image(layer, shape)
    geometry = _geometry(layer, shape[:2])
    target = tuple(layer.compute_output_shape((1, *shape))[1:])

    def bind(kernel):
        if layer.groups == 1:
            return conv_pair(kernel, *geometry)
        return grouped_pair(kernel, layer.groups, *geometry)

    return Map(shape, target, (layer.kernel,), bind)


def _transposed_map(layer, shape):
    """The adjoint of the convolution that goes from its output to its input."""
    _check_image(layer, shape)
    if layer.output_padding is not None:
        raise ValueError("method='conv' knows no output_padding; use method='matrix'")
    target = tuple(layer.compute_output_shape((1, *shape))[1:])
    geometry = _geometry(layer, target[:2])

    def bind(kernel):
        forward, adjoint = conv_pair(kernel, *geometry)
        return adjoint, forward

    return Map(shape, target, (layer.kernel,), bind)


def _depthwise_map(layer, shape):
    _check_image(layer, shape)
    geometry = _geometry(layer, shape[:2])
    target = tuple(layer.compute_output_shape((1, *shape))[1:])
    return Map(
        shape, target, (layer.kernel,), lambda kernel: depthwise_pair(kernel, *geometry)
    )


def _separable_map(layer, shape):
    """Pointwise after depthwise convolution; the factor is on the pointwise kernel."""
    _check_image(layer, shape)
    geometry = _geometry(layer, shape[:2])
    target = tuple(layer.compute_output_shape((1, *shape))[1:])

    def bind(depthwise, pointwise):
        forward, adjoint = depthwise_pair(depthwise, *geometry)
        mixed = pointwise[0, 0]  # (c multiplier, outputs)
        return (
            lambda x: ops.matmul(forward(x), mixed),
            lambda y: adjoint(ops.matmul(y, ops.transpose(mixed))),
        )

    def scaled(factor, depthwise, pointwise):
        return depthwise, pointwise * factor

    return Map(shape, target, kernel_of(layer), bind, scaled)


def _check_image(layer, shape):
    if layer.data_format != "channels_last":
        raise ValueError(
            "gantf's images are (n, h, w, c): use data_format='channels_last'"
        )
    if None in shape:
        raise ValueError(
            f"method='conv' of {layer.name} needs the size of its input, not "
            f"{shape}: give Input((height, width, channels)), or use method='matrix'"
        )


def _geometry(layer, sides):
    """What a pair of operators needs beside the kernel; sides of the larger map."""
    return sides, _pads(layer, sides), layer.strides, layer.dilation_rate


def _pads(layer, sides):
    """The zeros around the larger map of a convolution, for either direction."""
    if isinstance(layer, PaddedConv2D | CroppedConv2DTranspose):
        return [(layer.pixels, layer.pixels)] * 2
    if layer.padding == "valid":
        return [(0, 0)] * 2
    shape = zip(sides, layer.kernel_size, layer.strides, layer.dilation_rate)
    return [same_pads(*numbers) for numbers in shape]


# ---- kernels with classes


def _scaled_map(layer, shape, find):
    """W diag(1 + s) for each class; `find` gives the map of W."""
    one = find(layer.layer, shape)

    def bind(kernel, scale):
        forward, adjoint = one.bind(kernel)
        gains = _beside(1 + scale, len(one.target) + 1)
        return lambda x: forward(x) * gains, lambda y: adjoint(y * gains)

    def scaled(factor, kernel, scale):
        # What the classes have in common is on the kernel: 1 + scale keeps its digits.
        common = ops.stop_gradient(ops.max(ops.abs(factor)))
        common = ops.where(common > 0, common, 1.0)
        return kernel * common, (1 + scale) * _beside(factor / common, 2) - 1

    weights = (*one.weights, layer.scale)
    return Map(one.source, one.target, weights, bind, scaled, layer.classes)


def _class_dense_map(layer, shape):
    """W + W_y for each class, which stands in W_y when it is scaled."""
    inputs, outputs = layer.kernel.shape

    def bind(kernel, class_kernel):
        kernels = kernel + class_kernel
        return (
            lambda x: ops.einsum("kio,ki->ko", kernels, x),
            lambda y: ops.einsum("kio,ko->ki", kernels, y),
        )

    def scaled(factor, kernel, class_kernel):
        kernels = (kernel + class_kernel) * _beside(factor, 3)
        return ops.zeros_like(kernel), kernels

    weights = layer.kernel, layer.class_kernel
    return Map((inputs,), (outputs,), weights, bind, scaled, layer.classes)


def _beside(rows, rank):
    """(k,) or (k, c) as it goes with one row of a batch for each class."""
    k, *channels = rows.shape
    return ops.reshape(rows, (k, *[1] * (rank - 1 - len(channels)), *channels))


# ---- the two methods


def operator_map(layer: keras.layers.Layer, shape: tuple[int, ...]) -> Map:
    """The layer as the linear operator that it is."""
    find = _of_kind(_OPERATORS, layer)
    if find is None:
        known = ", ".join(kind.__name__ for kind in _OPERATORS)
        raise ValueError(
            f"method='conv' knows {known}, not {type(layer).__name__}; "
            "method='matrix' takes other layers with a dense or convolution kernel"
        )
    return find(layer, shape)


def matrix_map(layer: keras.layers.Layer, shape: tuple[int, ...]) -> Map:
    """The kernel as the matrix (all else, outputs)."""
    find = _of_kind(_MATRICES, layer)
    if find is not None:
        return find(layer, shape)
    if isinstance(layer, _MANY):
        raise ValueError(f"{type(layer).__name__} has no kernel that is one matrix")
    if not hasattr(layer, "kernel"):
        raise ValueError(
            f"method='matrix' takes a layer with a kernel, not {type(layer).__name__}"
        )
    kernel_shape = tuple(layer.kernel.shape)
    # A transposed convolution's kernel is (kh, kw, outputs, inputs).
    out = -2 if isinstance(layer, _TRANSPOSED) else -1
    outputs = kernel_shape[out]

    def flat(kernel):
        return ops.reshape(ops.moveaxis(kernel, out, -1), (-1, outputs))

    rows = math.prod(kernel_shape) // outputs
    return _matrix((rows,), (outputs,), layer.kernel, flat)


_OPERATORS = {
    keras.layers.Dense: _dense_map,
    keras.layers.Embedding: _dense_map,
    keras.layers.Conv2D: _conv_map,
    keras.layers.Conv2DTranspose: _transposed_map,
    keras.layers.DepthwiseConv2D: _depthwise_map,
    keras.layers.SeparableConv2D: _separable_map,
    ConditionalKernel: lambda layer, shape: _scaled_map(layer, shape, operator_map),
    ConditionalDense: _class_dense_map,
}
_MATRICES = {
    keras.layers.Embedding: _dense_map,
    ConditionalKernel: lambda layer, shape: _scaled_map(layer, shape, matrix_map),
    ConditionalDense: _class_dense_map,
}
_MANY = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
METHODS = {"conv": operator_map, "matrix": matrix_map}
