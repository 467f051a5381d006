"""Spectral normalisation: layers whose kernel is W C / sigma(W) in the forward pass.

Miyato, Kataoka, Koyama, Yoshida: Spectral Normalization for Generative Adversarial
Networks, ICLR 2018 (algorithm 1, the kernel as a matrix).
Wang, Sun, Halgamuge: Improving MMD-GAN Training with Repulsive Loss Function, ICLR
2019 (appendix: power iteration on the convolution, the gain C).
Arbel, Sutherland, Binkowski, Gretton: On gradient regularizers for MMD GANs,
NeurIPS 2018 (section 3.3: a trained gain).
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops

from gantf.layers.convolution import (
    CroppedConv2DTranspose,
    PaddedConv2D,
    conv_pair,
    same_pads,
)

_register = keras.saving.register_keras_serializable(package="gantf")
_updates = contextvars.ContextVar("spectral_updates", default=True)


@contextlib.contextmanager
def spectral_updates(enabled: bool) -> Iterator[None]:
    """Whether calls with `training=True` make a power iteration.

    A GAN calls its discriminator on real samples and then, with updates off, on
    generated ones, so that both see the same sigma:

        real_score = discriminator(real, training=True)
        with spectral_updates(False):
            fake_score = discriminator(fake, training=True)

    It holds in the thread that enters it, and a tf.function keeps what held when it
    was traced: enter it in the step itself, not around `strategy.run`.
    """
    token = _updates.set(enabled)
    try:
        yield
    finally:
        _updates.reset(token)


class _Map(NamedTuple):
    """A kernel as a linear map: the shapes it goes between, and how.

    Attributes:
      source, target: shapes without batch.
      bind: kernel -> (forward, adjoint), functions of batches of one.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    bind: Callable[[Any], tuple[Callable, Callable]]


@_register
class SpectralNormalization(keras.layers.Wrapper):
    """Normalises the kernel of a layer by its spectral norm: W C / sigma(W).

    sigma is the norm of the layer's linear map, found by power iteration: with a
    unit vector v on the smaller side of the map A,

        v <- A* A v / |A* A v|,    sigma = |A v|.

    The trained kernel W is never written to. Gradients flow through sigma with v
    as a constant. An iteration is made only when training, unless
    `spectral_updates(False)` holds; the kernel is normalised always. v and sigma
    are float32 under every dtype policy, and v is the same on all replicas.
    A kernel of zeros stays zero.

    Args:
      layer: a Dense, Conv2D or Conv2DTranspose layer or a subclass that keeps its
        meaning; with method="matrix" any layer that has a `kernel`.
      method: "conv" takes the layer as the operator that it is, with its stride,
        padding, dilation and the size of its input, which must be known. "matrix"
        takes the kernel reshaped to (all else, outputs), as Miyato et al. do.
        The two agree for dense layers; for a 3x3 convolution the operator's norm
        is larger (about 1.5 times for random kernels).
      gain: the factor C.
      trainable_gain: whether C is a trained weight, which starts at `gain`.
      iterations: power iterations a call.

    Raises:
      ValueError: a layer that the method does not know, or an unknown map size.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        method: str = "conv",
        gain: float = 1.0,
        trainable_gain: bool = False,
        iterations: int = 1,
        **kwargs,
    ):
        if method not in _METHODS:
            known = " or ".join(repr(name) for name in _METHODS)
            raise ValueError(f"method is {known}, not {method!r}")
        if type(iterations) is not int or iterations < 1:
            raise ValueError(f"iterations is a whole number from 1, not {iterations!r}")
        if not gain > 0:
            raise ValueError(f"gain is a number above 0, not {gain!r}")
        # The wrapper itself casts nothing, so that it reads its kernel in full.
        super().__init__(layer, autocast=False, **kwargs)
        self.method = method
        self.gain = gain
        self.trainable_gain = trainable_gain
        self.iterations = iterations

    @property
    def kernel(self):
        """The trained kernel W, not normalised."""
        return self.layer.kernel

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        self._map = _METHODS[self.method](self.layer, tuple(input_shape[1:]))
        smaller = min(self._map.source, self._map.target, key=math.prod)
        self.vector = self.add_weight(
            name="vector",
            shape=(1, *smaller),
            initializer=_unit_vector,
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        if self.trainable_gain:
            self.trained_gain = self.add_weight(
                name="gain",
                shape=(),
                initializer=keras.initializers.Constant(self.gain),
                dtype="float32",
                autocast=False,
            )
        self.built = True

    def call(self, inputs, training=False):
        kernel = ops.cast(self.kernel, "float32")
        if training and _updates.get():
            self.vector.assign(self._iterate(kernel))
        values = {id(v): v for v in self.layer.variables}
        del values[id(self.kernel)]
        state = [(v, v.value) for v in values.values()]
        state.append((self.kernel, kernel * self._factor(kernel)))
        with keras.StatelessScope(state, collect_losses=True) as scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:  # of an activity regularizer
            self.add_loss(loss)
        return outputs

    def sigma(self):
        """The current estimate of the spectral norm of W: a float32 scalar."""
        return self._sigma(ops.cast(self.kernel, "float32"))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "method": self.method,
            "gain": self.gain,
            "trainable_gain": self.trainable_gain,
            "iterations": self.iterations,
        }

    def _applied(self, kernel):
        """The map from the smaller side and the map back."""
        forward, adjoint = self._map.bind(kernel)
        if math.prod(self._map.source) <= math.prod(self._map.target):
            return forward, adjoint
        return adjoint, forward

    def _iterate(self, kernel):
        there, back = self._applied(ops.stop_gradient(kernel))
        v = self.vector.value
        for _ in range(self.iterations):
            moved = back(_unit(there(v)))
            known = ops.logical_and(_norm(moved) > 0, ops.isfinite(_norm(moved)))
            v = ops.where(known, _unit(moved), v)
        return v

    def _sigma(self, kernel):
        there, _ = self._applied(kernel)
        return _norm(there(ops.stop_gradient(self.vector.value)))

    def _factor(self, kernel):
        gain = self.trained_gain.value if self.trainable_gain else self.gain
        sigma = self._sigma(kernel)
        return ops.where(sigma > 0, gain / ops.where(sigma > 0, sigma, 1.0), 0.0)


def _norm(x):
    """The Euclidean norm, without overflow, and with gradient 0 at 0."""
    largest = ops.stop_gradient(ops.max(ops.abs(x)))
    known = largest > 0
    scaled = x / ops.where(known, largest, 1.0)
    # The inner where keeps the root's gradient finite.
    root = ops.sqrt(ops.where(known, ops.sum(ops.square(scaled)), 1.0))
    return ops.where(known, largest * root, 0.0)


def _unit(x):
    """The vector at length 1; a vector of zeros stays one."""
    x = x / ops.maximum(ops.max(ops.abs(x)), 1e-37)
    return x / ops.maximum(_norm(x), 1e-37)


def _unit_vector(shape, dtype):
    vector = keras.random.normal(shape, dtype=dtype)
    return vector / ops.sqrt(ops.sum(ops.square(vector)))


def _dense_map(layer, shape):
    # A dense layer works on the last axis, whatever stands before it.
    kernel_shape = tuple(layer.kernel.shape)
    return _matrix(kernel_shape[:1], kernel_shape[1:], lambda kernel: kernel)


def _conv_map(layer, shape):
    sides = _known_sides(layer, shape)
    pads = _pads(layer, sides)
    target = layer.compute_output_shape((1, *shape))[1:]

    def bind(kernel):
        return conv_pair(kernel, sides, pads, layer.strides, layer.dilation_rate)

    return _Map(shape, tuple(target), bind)


def _transposed_map(layer, shape):
    """The adjoint of the convolution that goes from its output to its input."""
    _known_sides(layer, shape)
    if layer.output_padding is not None:
        raise ValueError("method='conv' knows no output_padding; use method='matrix'")
    target = tuple(layer.compute_output_shape((1, *shape))[1:])
    pads = _pads(layer, target[:2])

    def bind(kernel):
        sides, dilation = target[:2], layer.dilation_rate
        forward, adjoint = conv_pair(kernel, sides, pads, layer.strides, dilation)
        return adjoint, forward

    return _Map(shape, target, bind)


_OPERATORS = {  # the first that fits; a subclass before its base
    keras.layers.Dense: _dense_map,
    keras.layers.Conv2D: _conv_map,
    keras.layers.Conv2DTranspose: _transposed_map,
}


def _operator_map(layer, shape):
    """The layer as the linear operator that it is."""
    find = next((_OPERATORS[c] for c in _OPERATORS if isinstance(layer, c)), None)
    if find is None:
        known = ", ".join(c.__name__ for c in _OPERATORS)
        raise ValueError(
            f"method='conv' knows {known}, not {type(layer).__name__}; "
            "method='matrix' takes other layers with a dense or convolution kernel"
        )
    if getattr(layer, "groups", 1) != 1:
        raise ValueError("method='conv' knows no groups; use method='matrix'")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(
            "gantf's images are (n, h, w, c): use data_format='channels_last'"
        )
    return find(layer, shape)


_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def _matrix_map(layer, shape):
    """The kernel as the matrix (all else, outputs)."""
    if not hasattr(layer, "kernel"):
        raise ValueError(
            f"method='matrix' takes a layer with a kernel, not {type(layer).__name__}"
        )
    kernel_shape = tuple(layer.kernel.shape)
    if isinstance(layer, _DEPTHWISE):
        raise ValueError(f"{type(layer).__name__} has no kernel that is one matrix")
    # A transposed convolution's kernel is (kh, kw, outputs, inputs).
    out = -2 if isinstance(layer, _TRANSPOSED) else -1
    outputs = kernel_shape[out]

    def flat(kernel):
        return ops.reshape(ops.moveaxis(kernel, out, -1), (-1, outputs))

    return _matrix((math.prod(kernel_shape) // outputs,), (outputs,), flat)


_METHODS = {"conv": _operator_map, "matrix": _matrix_map}


def _matrix(source, target, flat):
    def bind(kernel):
        matrix = flat(kernel)
        return (
            lambda x: ops.matmul(x, matrix),
            lambda y: ops.matmul(y, ops.transpose(matrix)),
        )

    return _Map(source, target, bind)


def _known_sides(layer, shape):
    if None in shape:
        raise ValueError(
            f"method='conv' of {layer.name} needs the size of its input, not "
            f"{shape}: give Input((height, width, channels)), or use method='matrix'"
        )
    return shape[:2]


def _pads(layer, sides):
    """The zeros around the larger map of a convolution, for either direction."""
    if isinstance(layer, PaddedConv2D | CroppedConv2DTranspose):
        return [(layer.pixels, layer.pixels)] * 2
    if layer.padding == "valid":
        return [(0, 0)] * 2
    shape = zip(sides, layer.kernel_size, layer.strides, layer.dilation_rate)
    return [same_pads(*numbers) for numbers in shape]


class _Spelled(SpectralNormalization):
    """A normalised layer under one name; the arguments are those of both."""

    def __init__(
        self,
        *args,
        method: str = "conv",
        gain: float = 1.0,
        trainable_gain: bool = False,
        iterations: int = 1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **kwargs,
    ):
        layer = self.KIND(*args, dtype=dtype, trainable=trainable, **kwargs)
        own = dict(name=name, dtype=dtype, trainable=trainable)
        super().__init__(layer, method, gain, trainable_gain, iterations, **own)

    def get_config(self):
        config = super().get_config()
        del config["layer"]
        inner = self.layer.get_config()
        return {**inner, **config}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@_register
class SNDense(_Spelled):
    """`keras.layers.Dense` with its kernel normalised: see `SpectralNormalization`.

    Takes all arguments of `keras.layers.Dense`, and method, gain, trainable_gain
    and iterations.
    """

    KIND = keras.layers.Dense


@_register
class SNConv2D(_Spelled):
    """`keras.layers.Conv2D` with its kernel normalised: see `SpectralNormalization`.

    Takes all arguments of `keras.layers.Conv2D`, and method, gain, trainable_gain
    and iterations.

    >>> net = keras.Sequential([keras.Input((8, 8, 3)), SNConv2D(16, 3)])
    >>> net.output_shape
    (None, 6, 6, 16)
    """

    KIND = keras.layers.Conv2D


@_register
class SNConv2DTranspose(_Spelled):
    """`keras.layers.Conv2DTranspose` with its kernel normalised.

    Takes all arguments of `keras.layers.Conv2DTranspose`, and method, gain,
    trainable_gain and iterations; see `SpectralNormalization`.
    """

    KIND = keras.layers.Conv2DTranspose
