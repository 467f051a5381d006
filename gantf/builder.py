"""Words -> Keras models: `build` makes one net, `build_pair` a whole architecture.

Initial weights follow the reference system, by the activation behind a kernel:
He normal for relu, the same over 1 + 0.1^2 for leaky relu, Glorot uniform for the
rest (Wang et al. 2019, their code; 16 times Glorot's variance before a sigmoid).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from gantf import layers, shapes, spec
from gantf.architecture import Architecture, read
from gantf.spec import Layer

BN_MOMENTUM, BN_EPSILON = 0.99, 1e-3  # of the reference, and Keras' defaults
GROUP_EPSILON = 1e-5  # Wu & He (2018); Ba et al. (2016) name no number


def build(
    net: Any, shape: tuple[int, ...], classes: int = 0, name: str | None = None
) -> keras.Model:
    """The Keras model of a net.

    Args:
      net: anything that `gantf.spec.parse` reads.
      shape: the input, without batch.
      classes: how many classes labels come from; 0 without labels.
      name: of the model; its layers are named by place and kind, "01_conv".

    Raises:
      SpecError: a net that cannot be read, or that does not fit its input.

    >>> build("conv3-64-s2-relu gsum dense-1", (28, 28, 1)).output_shape
    (None, 1)
    """
    rows = shapes.rows(net, shape, classes)
    return _model(rows, shape, name, len(rows))


@contextlib.contextmanager
def precision(policy: Any) -> Iterator[None]:
    """Layers made inside have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_pair(
    architecture: Mapping[str, Any] | Architecture, score: int | None = None
) -> tuple[keras.Model, keras.Model]:
    """The generator and the discriminator of an architecture.

    Whatever the dtype policy, their last kernels are in float32, so that images and
    scores leave the nets in full precision.

    Args:
      architecture: a dict as in `gantf.architecture`.
      score: the width of the discriminator's score, where it is to differ from
        the architecture's own; a loss tells its `score_dim`.

    Raises:
      SpecError: an architecture that cannot be read or does not fit.
    """
    checked = read(architecture).with_score(score)
    nets = {
        "generator": (checked.generator, (checked.latent.size,)),
        "discriminator": (checked.discriminator, checked.sample),
    }
    pair = []
    for name, (net, shape) in nets.items():
        rows = shapes.rows(net, shape, checked.classes)
        last = max((i for i, row in enumerate(rows) if row.macs), default=len(rows))
        pair.append(_model(rows, shape, name, last))
    return tuple(pair)


def _model(
    rows: list[shapes.Row], shape: tuple[int, ...], name: str | None, full_from: int
) -> keras.Model:
    """The model of these rows; from number `full_from` on they are in float32."""
    inputs = keras.Input(tuple(shape))
    x = inputs
    for i, row in enumerate(rows):
        policy = keras.config.dtype_policy() if i < full_from else "float32"
        with precision(policy):
            for layer in _keras_layers(
                row.layer, row.shape, f"{i + 1:02d}_{row.layer.kind}"
            ):
                x = layer(x)
    return keras.Model(inputs, x, name=name)


def _keras_layers(
    layer: Layer, result: tuple[int, ...], name: str
) -> list[keras.layers.Layer]:
    """What one layer of a net is made of, in running order."""
    if layer.kind in _AFTER:
        return [_AFTER[layer.kind](layer, name)]
    made = list(_KERNELS[layer.kind](layer, result, name))
    for word in filter(None, (layer.norm, layer.act)):
        made.append(_AFTER[word](layer, f"{name}_{word}"))
    return made


def _dense(layer: Layer, result: tuple[int, ...], name: str):
    units = math.prod(layer.out) if isinstance(layer.out, tuple) else layer.out
    yield _normalised(layer, keras.layers.Dense, name, units)
    if isinstance(layer.out, tuple):
        yield keras.layers.Reshape(layer.out, name=f"{name}_fold")


def _conv(layer: Layer, result: tuple[int, ...], name: str):
    own = {"strides": layer.stride, "dilation_rate": layer.dilation}
    if layer.padding is None:
        kind, padding = keras.layers.Conv2D, {"padding": "same"}
    else:
        kind, padding = layers.PaddedConv2D, {"pixels": layer.padding}
    yield _normalised(layer, kind, name, layer.out, layer.size, **own, **padding)


def _tconv(layer: Layer, result: tuple[int, ...], name: str):
    if layer.padding is None:
        kind, padding = keras.layers.Conv2DTranspose, {"padding": "same"}
    else:
        kind, padding = layers.CroppedConv2DTranspose, {"pixels": layer.padding}
    own = {"strides": layer.stride, **padding}
    yield _normalised(layer, kind, name, layer.out, layer.size, **own)


def _normalised(layer: Layer, kind: type, name: str, *args, **kwargs):
    """The Keras layer, or the same in spectral normalisation."""
    kwargs |= {"use_bias": layer.has_bias, "kernel_initializer": _initializer(layer)}
    if layer.weight is None:
        return kind(*args, name=name, **kwargs)
    own = {"gain": layer.gain, "trainable_gain": layer.trainable_gain}
    inner = kind(*args, name=f"{name}_kernel", **kwargs)
    method = {"sn": "conv", "snm": "matrix"}[layer.weight]
    return layers.SpectralNormalization(inner, method, name=name, **own)


def _initializer(layer: Layer) -> keras.initializers.Initializer:
    variance, mode, law = {
        "relu": (2.0, "fan_in", "truncated_normal"),
        "lrelu": (2.0 / 1.01, "fan_in", "truncated_normal"),
        "sigmoid": (16.0, "fan_avg", "uniform"),
    }.get(layer.act, (1.0, "fan_avg", "uniform"))
    return keras.initializers.VarianceScaling(variance, mode, law)


def _resize(method: str) -> Callable:
    def make(layer: Layer, result: tuple[int, ...], name: str):
        yield keras.layers.UpSampling2D(layer.size, interpolation=method, name=name)

    return make


def _sized(kind: type) -> Callable:
    def make(layer: Layer, result: tuple[int, ...], name: str):
        yield kind(layer.size, name=name)

    return make


def _unsized(kind: type) -> Callable:
    def make(layer: Layer, result: tuple[int, ...], name: str):
        yield kind(name=name)

    return make


def _reshape(layer: Layer, result: tuple[int, ...], name: str):
    yield keras.layers.Reshape(layer.out, name=name)


_KERNELS: dict[str, Callable] = {
    "dense": _dense,
    "conv": _conv,
    "tconv": _tconv,
    "up": _resize("nearest"),
    "upb": _resize("bilinear"),
    "upc": _resize("bicubic"),
    "ps": _sized(layers.DepthToSpace),
    "sd": _sized(layers.SpaceToDepth),
    "avg": _sized(keras.layers.AveragePooling2D),
    "max": _sized(keras.layers.MaxPooling2D),
    "gsum": _unsized(layers.GlobalSumPooling2D),
    "gmean": _unsized(keras.layers.GlobalAveragePooling2D),
    "flatten": _unsized(keras.layers.Flatten),
    "reshape": _reshape,
    "drop": _sized(layers.Dropout),
}


def _batch_norm(layer: Layer, name: str):
    # Over all replicas, so that one device and many give the same numbers; Keras
    # synchronises on the TensorFlow backend only.
    return keras.layers.BatchNormalization(
        momentum=BN_MOMENTUM,
        epsilon=BN_EPSILON,
        synchronized=keras.backend.backend() == "tensorflow",
        name=name,
    )


def _group_norm(groups: Callable[[Layer], int]) -> Callable:
    def make(layer: Layer, name: str):
        return keras.layers.GroupNormalization(
            groups(layer), epsilon=GROUP_EPSILON, name=name
        )

    return make


def _activation(layer: Layer, name: str):
    word = layer.kind if layer.kind in spec.WORDS else layer.act
    return keras.layers.Activation(word, name=name)


_AFTER: dict[str, Callable] = {
    "bn": _batch_norm,
    "ln": _group_norm(lambda layer: 1),
    "in": _group_norm(lambda layer: -1),
    "gn": _group_norm(lambda layer: layer.groups),
    "pn": lambda layer, name: layers.PixelNormalization(name=name),
    "lrelu": lambda layer, name: keras.layers.LeakyReLU(layer.slope, name=name),
    "crelu": lambda layer, name: layers.ConcatenatedReLU(name=name),
    **{
        word: _activation
        for word in "relu elu selu gelu silu softplus softsign sigmoid tanh".split()
    },
}
