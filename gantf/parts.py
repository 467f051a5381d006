"""What each word is made of: Keras layers on a tensor, by the tables at the end.

Initial weights follow the reference system, by the activation behind a kernel:
He normal for relu, the same over 1 + 0.1^2 for leaky relu, Glorot uniform for the
rest (Wang et al. 2019, their code; 16 times Glorot's variance before a sigmoid).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from gantf import layers, shapes, words
from gantf.spec import Layer

BN_MOMENTUM, BN_EPSILON = 0.99, 1e-3  # of the reference, and Keras' defaults
GROUP_EPSILON = 1e-5  # Wu & He (2018); Ba et al. (2016) name no number


class Site(NamedTuple):
    """Where a layer of a net is built.

    Attributes:
      layer: the layer in words.
      name: of its Keras layer, or how the names of its Keras layers begin.
      labels: the checked labels, or None.
      classes: how many.
    """

    layer: Layer
    name: str
    labels: Any
    classes: int

    def with_labels(self, x: Any) -> list:
        return [x, self.labels]


Step = Callable[[Site, Any], Any]  # what a word makes of x at its place


def apply(site: Site, x: Any) -> Any:
    """What one layer of a net makes of x."""
    if words.is_alone(site.layer.kind):
        return AFTER[site.layer.kind](site, x)
    x = KERNELS[site.layer.kind](site, x)
    return x if site.layer.kind in words.BLOCKS else _after(site, x, site.name)


def _after(site: Site, x: Any, name: str) -> Any:
    """The layer's norm, then its activation."""
    for word in filter(None, (site.layer.norm, site.layer.act)):
        x = AFTER[word](site._replace(name=f"{name}_{word}"), x)
    return x


def _dense(site: Site, x: Any) -> Any:
    layer = site.layer
    units = math.prod(layer.out) if isinstance(layer.out, tuple) else layer.out
    by_class = layer.class_kernel == "sum"
    kind = layers.ConditionalDense if by_class else keras.layers.Dense
    y = _kernel(site, x, kind, units)
    if layer.project:
        y = keras.layers.Add(name=f"{site.name}_proj")([y, _projection(site, x, units)])
    if isinstance(layer.out, tuple):
        y = keras.layers.Reshape(layer.out, name=f"{site.name}_fold")(y)
    return y


def _projection(site: Site, x: Any, units: int) -> Any:
    """<e_k, x> for each output k, e an embedding of the label (n, features units)."""
    features = x.shape[-1]
    table = keras.layers.Embedding(
        site.classes,
        features * units,
        embeddings_initializer="glorot_uniform",
        name=f"{site.name}_embedding",
    )
    e = _normalised(site.layer, table)(site.labels)
    e = keras.layers.Reshape((features, units), name=f"{site.name}_rows")(e)
    return keras.layers.Dot(axes=(1, 1), name=f"{site.name}_dot")([x, e])


def _conv(site: Site, x: Any) -> Any:
    layer = site.layer
    own = {"strides": layer.stride, "dilation_rate": layer.dilation}
    own |= {"groups": layer.kernel_groups}
    if layer.padding is None:
        kind, padding = keras.layers.Conv2D, {"padding": "same"}
    else:
        kind, padding = layers.PaddedConv2D, {"pixels": layer.padding}
    return _kernel(site, x, kind, layer.out, layer.size, **own, **padding)


def _tconv(site: Site, x: Any) -> Any:
    layer = site.layer
    if layer.padding is None:
        kind, padding = keras.layers.Conv2DTranspose, {"padding": "same"}
    else:
        kind, padding = layers.CroppedConv2DTranspose, {"pixels": layer.padding}
    own = {"strides": layer.stride, **padding}
    return _kernel(site, x, kind, layer.out, layer.size, **own)


def _depthwise(site: Site, x: Any) -> Any:
    layer = site.layer
    own = {"strides": layer.stride, "dilation_rate": layer.dilation, "padding": "same"}
    own |= {"depth_multiplier": layer.multiplier}
    own |= {"depthwise_initializer": _depthwise_initializer(x, layer)}
    return _kernel(site, x, keras.layers.DepthwiseConv2D, layer.size, **own)


def _separable(site: Site, x: Any) -> Any:
    layer = site.layer
    own = {"strides": layer.stride, "dilation_rate": layer.dilation, "padding": "same"}
    own |= {"depthwise_initializer": _depthwise_initializer(x)}
    own |= {"pointwise_initializer": _initializer(layer.act)}
    kind = keras.layers.SeparableConv2D
    return _kernel(site, x, kind, layer.out, layer.size, **own)


def _block(site: Site, x: Any) -> Any:
    """A residual block; a first one has no norm and activation in front.

    Mean and nearest pixel commute with the shortcut's 1x1 kernel, which so runs
    where the map is smaller: behind the mean, before the pixels are repeated.
    """
    layer, name, y = site.layer, site.name, x
    hidden, biases = layer.hidden or layer.out, layer.block_biases

    def conv(x, part, width, size, **own):
        return _part(site, x, part, width, size, padding="same", **own)

    if layer.kind == "res":
        y = _after(site, y, f"{name}_0")
    y = _resized(y, keras.layers.UpSampling2D, layer.up, f"{name}_up")
    y = conv(y, "conv_0", hidden, layer.size, use_bias=biases[0])
    y = _after(site, y, f"{name}_1")
    y = conv(y, "conv_1", layer.out, layer.size, use_bias=biases[1])
    y = _resized(y, keras.layers.AveragePooling2D, layer.down, f"{name}_down")
    if shapes.shortcut(layer, x.shape[-1]):
        linear = {"use_bias": biases[2], "kernel_initializer": _initializer(None)}
        x = _resized(x, keras.layers.AveragePooling2D, layer.down, f"{name}_sc_down")
        x = conv(x, "sc", layer.out, 1, **linear)
        x = _resized(x, keras.layers.UpSampling2D, layer.up, f"{name}_sc_up")
    return keras.layers.Add(name=name)([x, y])


def _attention(site: Site, x: Any) -> Any:
    """Adds gate attention(x) to x: Zhang et al. (2019), equations 1 to 3.

    As in their code the kernels have no biases.
    """
    layer, name, c = site.layer, site.name, x.shape[-1]

    def conv(x, part, width):
        return _part(site, x, part, width, 1, use_bias=False)

    query = conv(x, "query", c // layer.size)
    key = conv(x, "key", c // layer.size)
    value = conv(x, "value", c // layer.values)
    if layer.pool:
        key = keras.layers.MaxPooling2D(name=f"{name}_key_pool")(key)
        value = keras.layers.MaxPooling2D(name=f"{name}_value_pool")(value)
    y = layers.Attention2D(layer.logits, name=f"{name}_map")([query, key, value])
    y = conv(y, "out", c) if layer.values > 1 else y
    return keras.layers.Add(name=name)([x, layers.Gate(name=f"{name}_gate")(y)])


def _resized(x: Any, kind: type, factor: int, name: str) -> Any:
    return x if factor == 1 else kind(factor, name=name)(x)


def _part(site: Site, x: Any, part: str, *args: Any, **own: Any) -> Any:
    """A convolution inside a block, normalised as the block's kernels are."""
    own = {"kernel_initializer": _initializer(site.layer.act)} | own
    made = keras.layers.Conv2D(*args, name=f"{site.name}_{part}", **own)
    return _normalised(site.layer, made)(x)


def _kernel(site: Site, x: Any, kind: type, *args: Any, **own: Any) -> Any:
    """What the Keras layer makes of x, with all that the words put on its kernel."""
    layer, name = site.layer, site.name
    if "depthwise_initializer" not in own:
        own["kernel_initializer"] = _initializer(layer.act)
    bias = {"use_bias": layer.has_bias}
    if layer.class_kernel == "scale":
        made = kind(*args, use_bias=False, name=f"{name}_kernel", **own)
        made = layers.ConditionalKernel(made, site.classes, name=name, **bias)
    elif layer.class_kernel == "sum":
        made = kind(*args, site.classes, name=name, **bias, **own)
    else:
        made = kind(*args, name=name, **bias, **own)
    inputs = x if layer.class_kernel is None else site.with_labels(x)
    y = _normalised(layer, made)(inputs)
    if layer.has_class_bias:
        made = layers.ConditionalBias(site.classes, name=f"{name}_bias")
        y = made(site.with_labels(y))
    return y


def _normalised(layer: Layer, made: keras.layers.Layer) -> keras.layers.Layer:
    """The Keras layer, or the same in spectral normalisation under its name."""
    if layer.weight is None:
        return made
    name, made.name = made.name, f"{made.name}_kernel"
    method = {"sn": "conv", "snm": "matrix"}[layer.weight]
    own = {"gain": layer.gain, "trainable_gain": layer.trainable_gain}
    return layers.SpectralNormalization(made, method, name=name, **own)


_VARIANCES = {  # before which activation: (variance, of which fan, law)
    "relu": (2.0, "fan_in", "truncated_normal"),
    "lrelu": (2.0 / 1.01, "fan_in", "truncated_normal"),
    "sigmoid": (16.0, "fan_avg", "uniform"),
}
_GLOROT = (1.0, "fan_avg", "uniform")


def _initializer(act: str | None) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(*_VARIANCES.get(act, _GLOROT))


def _depthwise_initializer(
    x: Any, layer: Layer | None = None
) -> keras.initializers.Initializer:
    """The same for a depthwise kernel, each output of which sees one channel.

    Keras counts all channels into the fan.
    """
    channels, multiplier = x.shape[-1], layer.multiplier if layer else 1
    variance, fan, law = _VARIANCES.get(layer and layer.act, _GLOROT)
    share = {
        "fan_in": channels,
        "fan_avg": (channels + multiplier) / (1 + multiplier),
    }[fan]
    return keras.initializers.VarianceScaling(variance * share, fan, law)


def plain(make: Callable[[Layer, str], keras.layers.Layer]) -> Step:
    """What the one Keras layer that `make` gives for (layer, name) makes of x."""
    return lambda site, x: make(site.layer, site.name)(x)


def _sized(kind: type, **own: Any) -> Step:
    return plain(lambda layer, name: kind(layer.size, name=name, **own))


def _unsized(kind: type) -> Step:
    return plain(lambda layer, name: kind(name=name))


KERNELS: dict[str, Step] = {
    "dense": _dense,
    "conv": _conv,
    "tconv": _tconv,
    "dconv": _depthwise,
    "sconv": _separable,
    "res": _block,
    "stem": _block,
    "attn": _attention,
    "up": _sized(keras.layers.UpSampling2D, interpolation="nearest"),
    "upb": _sized(keras.layers.UpSampling2D, interpolation="bilinear"),
    "upc": _sized(keras.layers.UpSampling2D, interpolation="bicubic"),
    "ps": _sized(layers.DepthToSpace),
    "sd": _sized(layers.SpaceToDepth),
    "avg": _sized(keras.layers.AveragePooling2D),
    "max": _sized(keras.layers.MaxPooling2D),
    "gsum": _unsized(layers.GlobalSumPooling2D),
    "gmean": _unsized(keras.layers.GlobalAveragePooling2D),
    "flatten": _unsized(keras.layers.Flatten),
    "reshape": plain(lambda layer, name: keras.layers.Reshape(layer.out, name=name)),
    "drop": _sized(layers.Dropout),
    "noise": _sized(layers.GaussianNoise),
    "mbstd": _sized(layers.MinibatchStandardDeviation),
}


def _batch_norm(layer: Layer, name: str) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(name=name, **_batch_norm_options())


def _conditional_batch_norm(site: Site, x: Any) -> Any:
    made = layers.ConditionalBatchNormalization(
        site.classes, name=site.name, **_batch_norm_options()
    )
    return made(site.with_labels(x))


def _batch_norm_options() -> dict[str, Any]:
    # Over all replicas, so that one device and many give the same numbers; Keras
    # synchronises on the TensorFlow backend only.
    return {
        "momentum": BN_MOMENTUM,
        "epsilon": BN_EPSILON,
        "synchronized": keras.backend.backend() == "tensorflow",
    }


def _group_norm(groups: Callable[[Layer], int]) -> Step:
    return plain(
        lambda layer, name: keras.layers.GroupNormalization(
            groups(layer), epsilon=GROUP_EPSILON, name=name
        )
    )


def _activation(word: str) -> Step:
    return plain(lambda layer, name: keras.layers.Activation(word, name=name))


AFTER: dict[str, Step] = {
    "bn": plain(_batch_norm),
    "cbn": _conditional_batch_norm,
    "ln": _group_norm(lambda layer: 1),
    "in": _group_norm(lambda layer: -1),
    "gn": _group_norm(lambda layer: layer.groups),
    "pn": _unsized(layers.PixelNormalization),
    "lrelu": plain(lambda layer, name: keras.layers.LeakyReLU(layer.slope, name=name)),
    "crelu": _unsized(layers.ConcatenatedReLU),
    **{
        word: _activation(word)
        for word in "relu elu selu gelu silu softplus softsign sigmoid tanh".split()
    },
}
