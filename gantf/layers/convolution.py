"""Convolutions with padding in pixels, and convolutions as linear operators.

The operators are what spectral normalisation iterates with: `conv_pair` gives a
convolution and its exact adjoint, <A x, y> = <x, A* y>, for every stride, padding,
dilation and size of the map; `grouped_pair` and `depthwise_pair` give those of
convolutions that keep channels apart, at no more than their own cost.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

_register = keras.saving.register_keras_serializable(package="gantf")
Operator = Callable[[Any], Any]


@_register
class PaddedConv2D(keras.layers.Conv2D):
    """A Conv2D on a map with `pixels` zeros on each side, as PyTorch pads.

    Args:
      filters, kernel_size: as for `keras.layers.Conv2D`.
      pixels: zeros on each side; 0 is Keras' "valid".
      **kwargs: passed on to `keras.layers.Conv2D`; `padding` is not taken.
    """

    def __init__(self, filters, kernel_size, pixels: int, **kwargs):
        super().__init__(filters, kernel_size, padding="valid", **kwargs)
        self.pixels = pixels

    def call(self, inputs):
        side = (self.pixels, self.pixels)
        return super().call(ops.pad(inputs, [(0, 0), side, side, (0, 0)]))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        sides = (s if s is None else s + 2 * self.pixels for s in (h, w))
        return super().compute_output_shape((n, *sides, c))

    def get_config(self):
        config = super().get_config()
        del config["padding"]
        return {**config, "pixels": self.pixels}


@_register
class CroppedConv2DTranspose(keras.layers.Conv2DTranspose):
    """A Conv2DTranspose whose output loses `pixels` on each side.

    This is PyTorch's ConvTranspose2d(padding=pixels): a side of n becomes
    (n - 1) stride + kernel - 2 pixels.

    Args:
      filters, kernel_size: as for `keras.layers.Conv2DTranspose`.
      pixels: what is cut from each side; 0 is Keras' "valid" where the kernel is
        at least as large as the stride.
      **kwargs: passed on to `keras.layers.Conv2DTranspose`; `padding` is not taken.
    """

    def __init__(self, filters, kernel_size, pixels: int, **kwargs):
        super().__init__(filters, kernel_size, padding="valid", **kwargs)
        self.pixels = pixels

    def call(self, inputs):
        _, h, w, _ = self.compute_output_shape(inputs.shape)
        p = self.pixels
        return super().call(inputs)[:, p : p + h, p : p + w, :]

    def compute_output_shape(self, input_shape):
        n, h, w, _ = input_shape
        sides = (
            (side - 1) * stride + kernel - 2 * self.pixels
            for side, stride, kernel in zip((h, w), self.strides, self.kernel_size)
        )
        return (n, *sides, self.filters)

    def get_config(self):
        config = super().get_config()
        del config["padding"]
        return {**config, "pixels": self.pixels}


def same_pads(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The zeros before and after a side of `size` that "same" padding adds."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def conv_pair(
    kernel: Any,
    sides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> tuple[Operator, Operator]:
    """A convolution on maps of one size, and its exact adjoint.

    With the padding spelled out every convolution is a valid one. The adjoint is
    the valid transposed convolution, with zeros for the rows that the stride left
    unread, and with the padding cut off.

    Args:
      kernel: (kh, kw, c_in, c_out).
      sides: height and width of the input.
      pads: zeros before and after each side.
      strides, dilations: a number for each side.

    Returns:
      forward: (n, h, w, c_in) -> (n, h', w', c_out), and its adjoint.
    """
    full, padded, cut = _framed(sides, pads)
    strides, dilations = tuple(strides), tuple(dilations)

    def forward(x):
        x = padded(x)
        return ops.conv(x, kernel, strides, "valid", dilation_rate=dilations)

    def adjoint(y):
        x = ops.conv_transpose(y, kernel, strides, "valid", dilation_rate=dilations)
        unread = [(0, max(f - n, 0)) for f, n in zip(full, x.shape[1:3])]
        return cut(ops.pad(x, [(0, 0), *unread, (0, 0)]))

    return forward, adjoint


def _framed(sides, pads):
    """The sides of a map with its padding; what puts the padding on; what cuts it off.

    The last two are adjoint to each other.
    """
    full = [side + sum(pad) for side, pad in zip(sides, pads)]
    (top, bottom), (left, right) = pads

    def padded(x):
        return ops.pad(x, [(0, 0), *pads, (0, 0)])

    def cut(x):
        return x[:, top : full[0] - bottom, left : full[1] - right, :]

    return full, padded, cut


def grouped_pair(
    kernel: Any,
    groups: int,
    sides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> tuple[Operator, Operator]:
    """As `conv_pair`, for kernels (kh, kw, c_in / groups, c_out)."""
    kernels = ops.split(kernel, groups, axis=-1)
    pairs = [conv_pair(one, sides, pads, strides, dilations) for one in kernels]
    forwards, adjoints = zip(*pairs)
    return _side_by_side(forwards), _side_by_side(adjoints)


def _side_by_side(operators):
    """Each operator on its share of the channels."""

    def together(x):
        parts = ops.split(x, len(operators), axis=-1)
        return ops.concatenate([f(part) for f, part in zip(operators, parts)], axis=-1)

    return together


def depthwise_pair(
    kernel: Any,
    sides: Sequence[int],
    pads: Sequence[tuple[int, int]],
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> tuple[Operator, Operator]:
    """As `conv_pair`, for depthwise kernels (kh, kw, c, multiplier).

    The adjoint is a depthwise convolution too, with the kernel turned round, of the
    map with zeros where the stride left pixels out, and then a sum over the multiplier.

    Returns:
      forward: (n, h, w, c) -> (n, h', w', c multiplier), and its adjoint.
    """
    kh, kw, channels, multiplier = kernel.shape
    full, padded, cut = _framed(sides, pads)
    strides, dilations = tuple(strides), tuple(dilations)
    reach = [(k - 1) * d + 1 for k, d in zip((kh, kw), dilations)]

    def forward(x):
        x = padded(x)
        return ops.depthwise_conv(x, kernel, strides, "valid", dilation_rate=dilations)

    def adjoint(y):
        turned = ops.reshape(ops.flip(kernel, (0, 1)), (kh, kw, -1, 1))
        y = _spread(y, strides)
        around = [(r - 1, f - n) for r, f, n in zip(reach, full, y.shape[1:3])]
        y = ops.pad(y, [(0, 0), *around, (0, 0)])
        x = ops.depthwise_conv(y, turned, 1, "valid", dilation_rate=dilations)
        x = ops.reshape(x, (-1, *full, channels, multiplier))
        return cut(ops.sum(x, axis=-1))

    return forward, adjoint


def _spread(y, strides):
    """A map with stride - 1 zeros between its pixels."""
    (down, across), (h, w, c) = strides, y.shape[1:]
    zeros = [(0, 0), (0, 0), (0, down - 1), (0, 0), (0, across - 1), (0, 0)]
    y = ops.pad(ops.reshape(y, (-1, h, 1, w, 1, c)), zeros)
    y = ops.reshape(y, (-1, h * down, w * across, c))
    return y[:, : (h - 1) * down + 1, : (w - 1) * across + 1, :]
