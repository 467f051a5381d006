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
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from gantf.layers.operators import METHODS, kernel_of

_register = keras.saving.register_keras_serializable(package="gantf")
_updates = contextvars.ContextVar("spectral_updates", default=True)
_shared = contextvars.ContextVar("shared_kernels", default=None)


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
    with _set(_updates, enabled):
        yield


@contextlib.contextmanager
def shared_kernels() -> Iterator[None]:
    """Lets all calls of a layer use the kernel that the first one has normalised.

    Or the last one that made a power iteration. So sigma and its gradient are computed
    once a step, however often the step calls the discriminator:

        with shared_kernels(), tf.GradientTape() as tape:
            ...  # all calls of one update

    Weights must not change inside, nor a tape begin after a layer's first call: its
    gradient of the kernel would be None. That call must not be inside a tf.function,
    tf.while_loop or tf.cond that is entered here. It holds as `spectral_updates` does.
    """
    with _set(_shared, {}):
        yield


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar, value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


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

    A `ConditionalKernel` or `ConditionalDense` is a map A_y for each class: v has a
    row and sigma an entry for each, and an iteration costs what a batch of one sample
    of each class costs.

    Args:
      layer: a Dense, Conv2D (groups too), Conv2DTranspose, DepthwiseConv2D,
        SeparableConv2D, Embedding, ConditionalKernel or ConditionalDense layer, or a
        subclass that keeps its meaning; with method="matrix" any layer that has one
        kernel which is a matrix.
      method: "conv" takes the layer as the operator that it is, with its stride,
        padding, dilation, groups and the size of its input, which must be known.
        "matrix" takes the kernel reshaped to (all else, outputs), as Miyato et al. do.
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
        if method not in METHODS:
            known = " or ".join(repr(name) for name in METHODS)
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
        """The trained kernel W, not normalised.

        A pair, (depthwise, pointwise), of a separable convolution.
        """
        return kernel_of(self.layer)

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        conditional = isinstance(input_shape[0], list | tuple)  # beside the labels'
        shape = input_shape[0] if conditional else input_shape
        self._map = METHODS[self.method](self.layer, tuple(shape[1:]))
        smaller = min(self._map.source, self._map.target, key=math.prod)
        self.vector = self.add_weight(
            name="vector",
            shape=(self._map.classes or 1, *smaller),
            initializer=_unit_vectors,
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
        scaled = self._scaled(update=training and _updates.get())
        state = {id(v): (v, v.value) for v in self.layer.variables}
        state |= {id(v): (v, value) for v, value in zip(self._map.weights, scaled)}
        state = list(state.values())
        with keras.StatelessScope(state, collect_losses=True) as scope:
            outputs = self.layer(inputs)
        for loss in scope.losses:  # of an activity regularizer
            self.add_loss(loss)
        return outputs

    def sigma(self):
        """The current estimate of the spectral norm of W, float32.

        A scalar; (classes,) of a layer that has a kernel for each class.
        """
        return self._sigma(self._values())

    def iterate(self, times: int = 1) -> None:
        """Does power iterations now, as each step of a training does."""
        for _ in range(times):
            self.vector.assign(self._iterate(self._values()))

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

    def _scaled(self, update):
        """The values of the map's weights, normalised; `shared_kernels` keeps them."""
        shared = _shared.get()
        if shared is not None and not update and id(self) in shared:
            return shared[id(self)]
        values = self._values()
        if update:
            self.vector.assign(self._iterate(values))
        scaled = self._map.scaled(self._factor(values), *values)
        if shared is not None:
            shared[id(self)] = scaled
        return scaled

    def _values(self):
        return [ops.cast(weight, "float32") for weight in self._map.weights]

    def _applied(self, values):
        """The map from the smaller side and the map back."""
        forward, adjoint = self._map.bind(*values)
        if math.prod(self._map.source) <= math.prod(self._map.target):
            return forward, adjoint
        return adjoint, forward

    def _iterate(self, values):
        there, back = self._applied([ops.stop_gradient(value) for value in values])
        v = self.vector.value
        for _ in range(self.iterations):
            moved = _unit(back(_unit(there(v))))
            # Rows of zeros, and with numbers that are not finite, have no length.
            v = ops.where(_sum(ops.square(moved)) > 0.5, moved, v)
        return v

    def _sigma(self, values):
        there, _ = self._applied(values)
        norms = _norm(there(ops.stop_gradient(self.vector.value)))
        return ops.reshape(norms, (self._map.classes,) if self._map.classes else ())

    def _factor(self, values):
        gain = self.trained_gain.value if self.trainable_gain else self.gain
        sigma = self._sigma(values)
        return ops.where(sigma > 0, gain / ops.where(sigma > 0, sigma, 1.0), 0.0)


def _sum(x):
    """Over each row of a batch; what is left has as many axes."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape))), keepdims=True)


def _largest(x):
    return ops.max(ops.abs(x), axis=tuple(range(1, len(x.shape))), keepdims=True)


def _norm(x):
    """Each row's Euclidean norm, without overflow, and with gradient 0 at 0."""
    largest = ops.stop_gradient(_largest(x))
    known = largest > 0
    scaled = x / ops.where(known, largest, 1.0)
    # The inner where keeps the root's gradient finite.
    root = ops.sqrt(ops.where(known, _sum(ops.square(scaled)), 1.0))
    return ops.where(known, largest * root, 0.0)


def _unit(x):
    """Each row at length 1; a row of zeros stays one."""
    x = x / ops.maximum(_largest(x), 1e-37)
    return x / ops.sqrt(ops.maximum(_sum(ops.square(x)), 1e-30))


def _unit_vectors(shape, dtype):
    vectors = keras.random.normal(shape, dtype=dtype)
    return vectors / ops.sqrt(_sum(ops.square(vectors)))


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


@_register
class SNDepthwiseConv2D(_Spelled):
    """`keras.layers.DepthwiseConv2D` with its kernel normalised.

    Takes all arguments of `keras.layers.DepthwiseConv2D`, and gain, trainable_gain
    and iterations; see `SpectralNormalization`. Its kernel is no one matrix.
    """

    KIND = keras.layers.DepthwiseConv2D


@_register
class SNSeparableConv2D(_Spelled):
    """`keras.layers.SeparableConv2D` normalised as the one map that it is.

    C / sigma stands at the pointwise kernel. Takes all arguments of
    `keras.layers.SeparableConv2D`, and gain, trainable_gain and iterations; see
    `SpectralNormalization`. Its kernels are no one matrix.
    """

    KIND = keras.layers.SeparableConv2D


@_register
class SNEmbedding(_Spelled):
    """`keras.layers.Embedding` with its matrix (input_dim, output_dim) normalised.

    Takes all arguments of `keras.layers.Embedding`, and method, gain, trainable_gain
    and iterations; see `SpectralNormalization`.
    """

    KIND = keras.layers.Embedding
