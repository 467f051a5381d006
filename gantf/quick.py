"""Other arithmetic for some layers and for Adam: the same numbers in less time.

`quicken` changes how the layers of a net compute, not what, and not what is saved;
`quicken_optimizer` an optimizer.

- Relu and leaky relu take the signs that their gradient needs from their output, so
  that TensorFlow can compute convolution, bias and leaky relu in one. And they say
  that these signs have no slope: the gradient of a gradient, of penalties and
  Jacobians, then spares a pass back that carries zeros only.
- On CPUs the weight gradient of a convolution with a large kernel on a small map,

      dW[i, j] = sum over samples and pixels p of x[stride p + (i, j)] dy[p]^T,

  is a matrix product for each place (i, j) of the kernel. oneDNN blocks such kernels
  badly: 3x3, 1024 -> 1024 channels on 4x4 maps, batch 64, takes it 240 ms; products
  take 105 (float32) or 55 ms (bfloat16).
- On CPUs power iterations, passes of one sample, go back through a large kernel, and
  sigma to its weights, by one product. oneDNN brings the kernel into another order
  first, which takes longer than the pass.
- On CPUs, and on one device, batch norm of maps in training is one operation in the
  precision of its input. Its second derivative is exact too, which that of Keras'
  own, not synchronised, is not: it takes the mean in the variance for a constant.
- On one device Adam changes a variable in one operation, not in twelve.

Gradients of any order are right, in reverse and in forward mode; batch norm's up to
the second. A net that is exported as a SavedModel has first gradients only where it
has such products.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gantf.inputs import all_layers
from gantf.layers.convolution import same_pads
from gantf.layers.spectral import SpectralNormalization

# From how many numbers in a kernel on products are faster, by pixels of the smaller
# map. Measured on 2 cores (AVX-512, bfloat16 products in hardware), batches 16 to 256.
_LARGE: dict[tf.DType, Callable[[int], int]] = {
    tf.float32: lambda pixels: 2**22,
    tf.bfloat16: lambda pixels: 2**13 * pixels,
}
_LARGE_ALONE = 2**19  # where the passes are of one sample


def quicken(net: keras.Model) -> None:
    """Lets the layers of a net compute in the ways of this module.

    Convolutions with groups, dilation or channels first, on maps of unknown size, and
    layers whose class or who themselves have a way of their own stay as they are.
    """
    seen = {device.device_type for device in tf.config.list_physical_devices()}
    changes = _ANYWHERE | (_ON_CPU if seen == {"CPU"} else {})
    for layer in _inner_layers(net):
        for kind, change in changes.items():
            if isinstance(layer, kind):
                change(layer)


def quicken_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets Adam, without amsgrad, compute in the way of this module."""
    ours = keras.optimizers.Adam.update_step
    if _is_own(optimizer, keras.optimizers.Adam, "update_step") or optimizer.amsgrad:
        return

    def update_step(gradient, variable, learning_rate):
        if _has_replicas() or isinstance(gradient, tf.IndexedSlices):
            return ours(optimizer, gradient, variable, learning_rate)
        kind = variable.dtype
        now = keras.ops.cast(optimizer.iterations + 1, kind)
        index = optimizer._get_variable_index(variable)
        moments = optimizer._momentums[index], optimizer._velocities[index]
        m, v = (moment.value for moment in moments)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.constant(optimizer.beta_1, kind) ** now,
            beta2_power=tf.constant(optimizer.beta_2, kind) ** now,
            lr=tf.cast(learning_rate, kind),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=tf.cast(gradient, kind),
        )

    optimizer.update_step = update_step


def _has_replicas() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1


def _inner_layers(net: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers, and those that they wrap."""
    for layer in all_layers(net):
        while layer is not None:
            yield layer
            layer = getattr(layer, "layer", None)


def _change_convolution(layer: keras.layers.Conv2D) -> None:
    if _is_own(layer, keras.layers.Conv2D, "convolution_op") or not _has_form(layer):
        return
    usual = functools.partial(keras.layers.Conv2D.convolution_op, layer)

    def convolve(x, kernel):
        form, kernel = _form(layer, x.shape[1:3]), tf.convert_to_tensor(kernel)
        return (form.forward if form.is_large(kernel) else usual)(x, kernel)

    layer.convolution_op = convolve


def _change_transposed(layer: keras.layers.Conv2DTranspose) -> None:
    if _is_own(layer, keras.layers.Conv2DTranspose) or not _has_form(layer):
        return
    usual = functools.partial(keras.layers.Conv2DTranspose.call, layer)

    def call(inputs):  # Keras gives it by this name too
        form = _form(layer, layer.compute_output_shape(inputs.shape)[1:3])
        kernel = tf.convert_to_tensor(layer.kernel)  # of the layer's precision
        if not form.is_large(kernel):
            return usual(inputs)
        y = form.adjoint(inputs, kernel)
        y = tf.nn.bias_add(y, layer.bias) if layer.use_bias else y
        return layer.activation(y)

    layer.call = call


def _change_spectral(layer: SpectralNormalization) -> None:
    inner = layer.layer
    known = type(inner) in (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    if layer.method != "conv" or not known or not _has_form(inner):
        return
    if math.prod(inner.kernel.shape) < _LARGE_ALONE:
        return
    straight = type(inner) is keras.layers.Conv2D
    larger = layer._map.source if straight else layer._map.target
    form = _form(inner, larger[:2])

    def bind(kernel):
        ways = form.forward, form.adjoint
        there, back = (functools.partial(way, kernel=kernel) for way in ways)
        return (there, back) if straight else (back, there)

    layer._map = dataclasses.replace(layer._map, bind=bind)


def _change_leaky_relu(layer: keras.layers.LeakyReLU) -> None:
    if not _is_own(layer, keras.layers.LeakyReLU):
        layer.call = lambda inputs: _rectified(inputs, layer.negative_slope)


def _change_relu(layer: keras.layers.Activation) -> None:
    own = _is_own(layer, keras.layers.Activation)
    if own or layer.activation is not keras.activations.relu:
        return
    usual = functools.partial(keras.layers.Activation.call, layer)

    def call(inputs):
        still = layer.activation is keras.activations.relu
        return _rectified(inputs, 0.0) if still else usual(inputs)

    layer.call = call


def _rectified(x: Any, slope: float) -> Any:
    """x, and slope x where it is below 0; its slopes are constant but for a jump."""

    @tf.custom_gradient
    def rectify(x):
        y = tf.nn.leaky_relu(x, slope) if slope else tf.nn.relu(x)
        signs = tf.stop_gradient(y)

        def gradient(dy):
            return tf.raw_ops.LeakyReluGrad(gradients=dy, features=signs, alpha=slope)

        return y, gradient

    return rectify(x)


def _change_batch_norm(layer: keras.layers.BatchNormalization) -> None:
    own = _is_own(layer, keras.layers.BatchNormalization)
    if own or layer.renorm or not (layer.center and layer.scale):
        return
    usual = functools.partial(keras.layers.BatchNormalization.call, layer)

    def call(inputs, training=None, mask=None):
        fused = training and layer.trainable and mask is None and _is_map(layer, inputs)
        if not fused or _has_replicas():
            return usual(inputs, training=training, mask=mask)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(layer.gamma, tf.float32),
            offset=tf.cast(layer.beta, tf.float32),
            mean=[],
            variance=[],
            epsilon=layer.epsilon,
        )
        n = tf.size(inputs, tf.int64) // tf.size(layer.gamma, tf.int64)
        n = tf.cast(n, tf.float32)
        biased = variance * (n - 1) / n  # as Keras has it
        for moving, now in (layer.moving_mean, mean), (layer.moving_variance, biased):
            before = tf.cast(moving, tf.float32)
            moving.assign(before * layer.momentum + now * (1 - layer.momentum))
        return y

    layer.call = call


def _is_map(layer: keras.layers.BatchNormalization, inputs: Any) -> bool:
    narrow = inputs.dtype in (tf.float32, tf.bfloat16)
    narrow = narrow and inputs.dtype == layer.compute_dtype
    return narrow and len(inputs.shape) == 4 and layer.axis in (-1, 3)


_ANYWHERE = {
    keras.layers.LeakyReLU: _change_leaky_relu,
    keras.layers.Activation: _change_relu,
}
_ON_CPU = {
    keras.layers.BatchNormalization: _change_batch_norm,
    keras.layers.Conv2D: _change_convolution,
    keras.layers.Conv2DTranspose: _change_transposed,
    SpectralNormalization: _change_spectral,
}


def _is_own(layer: Any, kind: type, method: str = "call") -> bool:
    """Whether a layer or an optimizer has another method than its kind."""
    return method in vars(layer) or getattr(type(layer), method) is not getattr(
        kind, method
    )


def _has_form(layer: keras.layers.Conv2D | keras.layers.Conv2DTranspose) -> bool:
    if isinstance(layer, keras.layers.Conv2DTranspose):
        plain = layer.padding == "same" and not layer.output_padding
    else:
        plain = layer.groups == 1
    return (
        plain
        and layer.data_format == "channels_last"
        and layer.strides[0] == layer.strides[1]
        and layer.dilation_rate in (1, (1, 1))
    )


def _form(layer: Any, sides: Iterable[int | None]) -> _Form:
    padding = layer.padding.upper()
    return _Form(tuple(sides), layer.kernel_size, layer.strides[0], padding)


class _Form(NamedTuple):
    """<A(x, W), y>, linear in the larger maps x, the kernel W and the smaller maps y.

    Its derivatives are `forward` A(x, W), its `adjoint` in x and its `weights`, and
    the derivatives of these are the same three again.
    """

    sides: tuple[int, int]  # of the larger maps
    size: tuple[int, int]  # of the kernel
    stride: int
    padding: str

    def is_large(self, kernel: Any) -> bool:
        """Whether products are faster than the library's weight gradient."""
        if None in self.sides or tf.as_dtype(kernel.dtype) not in _LARGE:
            return False
        pixels = math.prod(self._smaller())
        return math.prod(kernel.shape) >= _LARGE[tf.as_dtype(kernel.dtype)](pixels)

    def forward(self, x: Any, kernel: Any) -> Any:
        """The convolution (n, h, w, c_in) -> (n, h', w', c_out)."""

        @tf.custom_gradient
        def convolve(x, kernel):
            y = tf.nn.conv2d(x, kernel, self.stride, self.padding)
            return y, lambda dy: (self.adjoint(dy, kernel), self.weights(x, dy))

        return convolve(*_here(x, kernel))

    def adjoint(self, y: Any, kernel: Any) -> Any:
        """The transposed convolution (n, h', w', c_out) -> (n, h, w, c_in)."""

        @tf.custom_gradient
        def transpose(y, kernel):
            if y.shape[0] == 1:
                x = self._folded(y, kernel)
            else:
                shape = (tf.shape(y)[0], *self.sides, kernel.shape[2])
                x = tf.nn.conv2d_transpose(y, kernel, shape, self.stride, self.padding)
            return x, lambda dx: (self.forward(dx, kernel), self.weights(dx, y))

        return transpose(*_here(y, kernel))

    def weights(self, x: Any, y: Any) -> Any:
        """The weight gradient (kh, kw, c_in, c_out) of maps x and gradients y."""

        @tf.custom_gradient
        def products(x, y):
            dw = (self._outer if x.shape[0] == 1 else self._products)(x, y)
            return dw, lambda dw: (self.adjoint(y, dw), self.forward(x, dw))

        return products(*_here(x, y))

    def _products(self, x: Any, y: Any) -> Any:
        """A product for each place of the kernel.

        Blocks of stride x stride pixels become channels, and the kernel one of blocks
        at stride 1, for slices of every second pixel are slow.
        """
        (kh, kw), s, c_in, c_out = self.size, self.stride, x.shape[3], y.shape[3]
        (rows, columns), (h, w) = self._blocks(), y.shape[1:3]
        x = _framed(x, self._frame())
        if s > 1:
            x = tf.nn.space_to_depth(x, s)
        y = tf.reshape(y, (-1, c_out))
        places = itertools.product(range(rows), range(columns))
        read = [x[:, i : i + h, j : j + w] for i, j in places]
        read = [tf.reshape(part, (-1, s * s * c_in)) for part in read]
        dw = tf.stack([tf.matmul(part, y, transpose_a=True) for part in read])
        dw = tf.reshape(dw, (rows, columns, s, s, c_in, c_out))
        dw = tf.reshape(
            tf.transpose(dw, (0, 2, 1, 3, 4, 5)), (rows * s, columns * s, c_in, c_out)
        )
        return dw[:kh, :kw]

    def _outer(self, x: Any, y: Any) -> Any:
        """Of one sample: one product."""
        x = _framed(x, self._frame())
        sizes, strides = (1, *self.size, 1), (1, self.stride, self.stride, 1)
        read = tf.image.extract_patches(x, sizes, strides, (1, 1, 1, 1), "VALID")
        dw = tf.matmul(
            tf.reshape(read, (-1, read.shape[3])),
            tf.reshape(y, (-1, y.shape[3])),
            transpose_a=True,
        )
        return tf.reshape(dw, (*self.size, x.shape[3], y.shape[3]))

    def _folded(self, y: Any, kernel: Any) -> Any:
        """The adjoint of one sample: one product, and its sums at each pixel.

        These go the way of `_products` back.
        """
        (kh, kw), s, c = self.size, self.stride, kernel.shape[2]
        (rows, columns), (h, w) = self._blocks(), y.shape[1:3]
        flat, y = (tf.reshape(t, (-1, t.shape[-1])) for t in (kernel, y))
        x = tf.reshape(tf.matmul(flat, y, transpose_b=True), (kh, kw, c, h, w))
        x = tf.pad(x, [(0, rows * s - kh), (0, columns * s - kw), *[(0, 0)] * 3])
        x = tf.reshape(x, (rows, s, columns, s, c, h, w))
        x = tf.transpose(x, (0, 2, 5, 6, 1, 3, 4))
        x = tf.reshape(x, (rows, columns, 1, h, w, s * s * c))
        x = tf.add_n(
            [
                _framed(x[i, j], [(i, rows - 1 - i), (j, columns - 1 - j)])
                for i, j in itertools.product(range(rows), range(columns))
            ]
        )
        x = tf.nn.depth_to_space(x, s) if s > 1 else x
        return _framed(x, [(-before, -after) for before, after in self._frame()])

    def _smaller(self) -> list[int]:
        """The sides of the smaller maps."""
        if self.padding == "SAME":
            return [-(-side // self.stride) for side in self.sides]
        both = zip(self.sides, self.size)
        return [(side - size) // self.stride + 1 for side, size in both]

    def _blocks(self) -> list[int]:
        """The sides of the kernel, in blocks of stride x stride pixels."""
        return [-(-size // self.stride) for size in self.size]

    def _frame(self) -> list[tuple[int, int]]:
        """Of each side the zeros before and behind the larger maps.

        With them whole blocks are read; where pixels are left over they are negative.
        """
        found = []
        shape = zip(self.sides, self.size, self._smaller(), self._blocks())
        for side, size, out, blocks in shape:
            same = self.padding == "SAME"
            before = same_pads(side, size, self.stride, 1)[0] if same else 0
            read = (out - 1 + blocks) * self.stride
            found.append((before, read - side - before))
        return found


def _here(*tensors: Any) -> list[Any]:
    """Tensors of this graph: of the gradient's where the net's own is another one.

    tf.custom_gradient records them as they are.
    """
    return [tf.identity(tensor) for tensor in tensors]


def _framed(x: Any, frame: list[tuple[int, int]]) -> Any:
    """Maps with zeros before and behind each side, or with fewer pixels there."""
    (top, bottom), (left, right) = less = [
        (max(-before, 0), max(-after, 0)) for before, after in frame
    ]
    more = [(max(before, 0), max(after, 0)) for before, after in frame]
    if any(map(any, less)):
        h, w = x.shape[1:3]
        x = x[:, top : h - bottom, left : w - right]
    return tf.pad(x, [(0, 0), *more, (0, 0)]) if any(map(any, more)) else x
