"""The FID network: Inception-v3 of 2015-12-05, features and logits of images.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception architecture for
computer vision, 2016, in the form in which Google froze it: the graph that Salimans et
al. (2016) took the Inception score of, and Heusel et al. (2017) the Frechet distance.
Other files of the "same" net give other figures: this one has

    resize     TF1's bilinear to 299 x 299, see `resize_tf1`
    scale      (x - 128) / 128 of levels 0..255
    pools      means leave the padding out of the count; the last block has a maximum
    features   the mean over the last 8 x 8 map: 2048
    logits     1008 classes, without the bias, as in the code of Salimans et al.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import keras
from keras import ops

from gantf import files, models
from gantf.builder import precision
from gantf.networks import frozen
from gantf.networks.frozen import Weight

SIZE = 299
CLASSES = 1008
EPSILON = 1e-3  # of the batch norms, as in the frozen graph
# Their weights in the frozen graph and in state dicts, in Keras' order.
NORM = [
    ("gamma", "weight"),
    ("beta", "bias"),
    ("moving_mean", "running_mean"),
    ("moving_variance", "running_var"),
]
VARIABLE = "GANTF_INCEPTION"

# The net as a table. A row is a branch: its steps, one after the other. A step is
#
#   HxW-F   F filters of H x W, their batch norm and relu
#   avg     the mean, or "max" the maximum, of 3 x 3
#
# with stride 1 and a map that keeps its size; "/S" says stride S and no padding.
# Steps with "|" between them stand side by side. A block is all its rows side by side.
STEM = {
    "Conv2d_1a_3x3": "3x3-32/2",
    "Conv2d_2a_3x3": "3x3-32/1",
    "Conv2d_2b_3x3": "3x3-64",
    "pool": "max/2",
    "Conv2d_3b_1x1": "1x1-80",
    "Conv2d_4a_3x3": "3x3-192/1",
    "pool_1": "max/2",
}


def _a(pooled: int) -> dict[str, str]:
    return {
        "branch1x1": "1x1-64",
        "branch5x5": "1x1-48 5x5-64",
        "branch3x3dbl": "1x1-64 3x3-96 3x3-96",
        "branch_pool": f"avg 1x1-{pooled}",
    }


_B = {
    "branch3x3": "3x3-384/2",
    "branch3x3dbl": "1x1-64 3x3-96 3x3-96/2",
    "branch_pool": "max/2",
}


def _c(n: int) -> dict[str, str]:
    return {
        "branch1x1": "1x1-192",
        "branch7x7": f"1x1-{n} 1x7-{n} 7x1-192",
        "branch7x7dbl": f"1x1-{n} 7x1-{n} 1x7-{n} 7x1-{n} 1x7-192",
        "branch_pool": "avg 1x1-192",
    }


_D = {
    "branch3x3": "1x1-192 3x3-320/2",
    "branch7x7x3": "1x1-192 1x7-192 7x1-192 3x3-192/2",
    "branch_pool": "max/2",
}


def _e(pool: str) -> dict[str, str]:
    return {
        "branch1x1": "1x1-320",
        "branch3x3": "1x1-384 1x3-384|3x1-384",
        "branch3x3dbl": "1x1-448 3x3-384 1x3-384|3x1-384",
        "branch_pool": f"{pool} 1x1-192",
    }


# "mixed", "mixed_1", .. "mixed_10" of the frozen graph, under their names in torch
MIXED = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": _B,
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": _D,
    "Mixed_7b": _e("avg"),
    "Mixed_7c": _e("max"),
}
_STEP = re.compile(r"(?:(avg|max)|(\d)x(\d)-(\d+))(?:/(\d))?")
_POOLS = {"avg": keras.layers.AveragePooling2D, "max": keras.layers.MaxPooling2D}

HOW_TO_GET_IT = f"""\
the FID network wants its weights, which gantf neither brings nor downloads; get one of
  inception-2015-12-05.tgz
    from http://download.tensorflow.org/models/image/imagenet/
  pt_inception-2015-12-05-6726825d.pth
    from the releases of https://github.com/mseitzer/pytorch-fid
and give its path: load(path), --feature_weights=FILE of a run, --weights=FILE of
tools/evaluate.py, or {VARIABLE}=FILE in the environment"""


def load(path: str | Path | None = None) -> tuple[keras.Model, dict[str, str]]:
    """The FID network with the weights of a file, and what figures say of it.

    The weights are kept in `gantf.files.cache_folder()` under the file's hash, and
    read from there the next time.

    Args:
      path: inception-2015-12-05.tgz, the classify_image_graph_def.pb in it, or the
        .pth file of pytorch-fid or torch-fidelity; None takes the path in the
        environment variable GANTF_INCEPTION.

    Returns:
      The model, in float32: images (n, h, w, 3) of any size, levels 0..255 -> a dict of
      "features" (n, 2048) and "logits" (n, 1008), these without bias.
      The words: "net", "weights", "sha256", "resize", "logits".

    Raises:
      ValueError: no file, or one that has not the weights of this network.
    """
    path = path or os.environ.get(VARIABLE)
    if not path:
        raise ValueError(HOW_TO_GET_IT)
    path = Path(path).expanduser()
    digest = frozen.check(path)
    net, weights = build()
    cached = files.cache_folder() / f"inception-{digest[:16]}.weights.h5"
    if not _restored(net, cached):
        arrays = frozen.read(path, list(weights))
        for variable, array in zip(weights.values(), arrays):
            variable.assign(array)
        cached.parent.mkdir(parents=True, exist_ok=True)
        with files.whole(cached) as unfinished:
            net.save_weights(unfinished)
    about = {
        "net": "Inception, 2015-12-05",
        "weights": path.name,
        "sha256": digest,
        "resize": f"TF1 bilinear to {SIZE}",
        "logits": "without bias",
    }
    return net, about


def _restored(net: keras.Model, cached: Path) -> bool:
    """Whether the weights could be read from the cache."""
    try:
        models.load_weights(net, cached)
    except ValueError:  # no file, or not a whole one
        return False
    return True


def build() -> tuple[keras.Model, dict[Weight, keras.Variable]]:
    """The network without weights, in float32 whatever the run's own precision is.

    Returns:
      The model, as of `load`, and its variables by what files call them.
    """
    with precision("float32"):
        images = keras.Input((None, None, 3), dtype="float32")
        x = Scaled(name="scaled")(images)
        table = _Table()
        for name, row in STEM.items():
            x = table.row(x, row, "", name)
        for name, rows in MIXED.items():
            x = table.block(x, rows, name)
        features = keras.layers.GlobalAveragePooling2D(name="pool_3")(x)
        head = keras.layers.Dense(
            CLASSES, use_bias=False, kernel_initializer="zeros", name="softmax"
        )
        net = keras.Model(images, {"features": features, "logits": head(features)})
        table.note(head, "softmax/", "fc.", [("weights", "weight")])
    net.trainable = False
    return net, table.weights


class _Table:
    """Makes layers of the table's words, and notes what files call their weights.

    Attributes:
      weights: the variables of the layers made so far, by what files call them.
    """

    def __init__(self):
        self.weights: dict[Weight, keras.Variable] = {}
        self._taken = Counter()

    def block(self, x, rows: dict[str, str], state: str):
        scope = self._scope("mixed")
        return _join(
            [self.row(x, row, scope, f"{state}.{name}") for name, row in rows.items()]
        )

    def row(self, x, row: str, scope: str, state: str):
        """What the steps make of x.

        Args:
          row: of the table.
          scope: its block in the frozen graph, with a slash.
          state: its name in state dicts; steps of a longer row get a number, too.
        """
        places = row.split()
        if len(places) > 1:
            scope = self._scope(scope + "tower")
        numbered = len(places) > 1 and places[0] not in _POOLS
        for i, place in enumerate(places, 1):
            words = place.split("|")
            ends = "ab" if len(words) > 1 else [""]
            inner = self._scope(scope + "mixed") if len(words) > 1 else scope
            names = [f"{state}_{i}{end}" if numbered else state for end in ends]
            x = _join([self._step(x, w, inner, name) for w, name in zip(words, names)])
        return x

    def _step(self, x, word: str, scope: str, state: str):
        pool, h, w, filters, stride = _STEP.fullmatch(word).groups()
        place = {"padding": "valid" if stride else "same", "strides": int(stride or 1)}
        if pool:
            return _POOLS[pool](3, **place)(x)
        graph = self._scope(scope + "conv")
        name = graph.replace("/", ".")
        conv = keras.layers.Conv2D(
            int(filters),
            (int(h), int(w)),
            use_bias=False,
            kernel_initializer="zeros",
            name=name + "conv2d",
            **place,
        )
        norm = keras.layers.BatchNormalization(epsilon=EPSILON, name=name + "batchnorm")
        x = keras.layers.ReLU()(norm(conv(x)))
        self.note(conv, graph, f"{state}.conv.", [("conv2d_params", "weight")])
        self.note(norm, f"{graph}batchnorm/", f"{state}.bn.", NORM)
        return x

    def note(self, layer, graph: str, state: str, names: list[tuple[str, str]]) -> None:
        """Notes a layer's weights: what they are called, after `graph` and `state`."""
        for variable, (in_graph, in_state) in zip(layer.weights, names):
            weight = Weight(graph + in_graph, state + in_state, tuple(variable.shape))
            self.weights[weight] = variable

    def _scope(self, name: str) -> str:
        """The name with a slash and, if it is taken, TF1's number."""
        self._taken[name] += 1
        number = self._taken[name] - 1
        return f"{name}_{number}/" if number else f"{name}/"


def _join(maps: list[Any]) -> Any:
    return ops.concatenate(maps, axis=-1) if len(maps) > 1 else maps[0]


class Scaled(keras.layers.Layer):
    """Levels 0..255 of any size -> numbers in [-1, 1] of SIZE x SIZE."""

    def call(self, images):
        return (resize_tf1(images, (SIZE, SIZE)) - 128.0) * 0.0078125


def resize_tf1(images: Any, size: tuple[int, int]) -> Any:
    """Images resized as TF1 did it by default: bilinear, without antialiasing.

    Row i of the result is at i h / size[0] of the images and not, as is usual today, at
    (i + 1/2) h / size[0] - 1/2; columns likewise. On a CPU it equals
    tf.compat.v1.image.resize_bilinear bit for bit; where products and sums are fused,
    as by XLA and on GPUs, some last bits differ, of both.

    >>> column = [[[[10.0]], [[20.0]]]]
    >>> [float(row) for row in resize_tf1(column, (4, 1))[0, :, 0, 0]]
    [10.0, 15.0, 20.0, 20.0]

    Args:
      images: (n, h, w, c) of float32.
      size: the new h and w.
    """
    return _lerp(_lerp(images, 2, size[1]), 1, size[0])


def _lerp(images: Any, axis: int, size: int) -> Any:
    images = ops.convert_to_tensor(images, "float32")
    n = ops.shape(images)[axis]
    # Not in float32, where graphs multiply by 1 / size: that is no quotient of it.
    scale = ops.cast(ops.cast(n, "float64") / size, "float32")
    at = ops.arange(size, dtype="float32") * scale
    share = at - ops.floor(at)
    before = ops.cast(at, "int32")
    after = ops.minimum(before + 1, n - 1)
    start = ops.take(images, before, axis)
    share = ops.reshape(share, [-1 if i == axis else 1 for i in range(4)])
    return start + (ops.take(images, after, axis) - start) * share
