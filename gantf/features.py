"""Feature networks: uint8 images -> vectors in which samples are compared.

A figure is always named after its features: `kid_mnistnet`, `fd_pixels`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gantf.builder import build, precision
from gantf.choices import choose
from gantf.readers import data_file

MNISTNET = (
    "conv5-16-relu max2 conv5-32-relu max2 flatten drop0.3 dense-128-relu dense-10"
)
_BATCH = 250


class Features:
    """A feature network; call it with images.

    Attributes:
      name: what figures are named after.
      about: what the protocol of a figure says of it, its weights' SHA-256 included.
    """

    def __init__(self, name: str, about: dict[str, Any], compute: Callable):
        self.name, self.about, self._compute = name, about, compute

    def __call__(self, images: Any) -> dict[str, np.ndarray]:
        """Features (n, d), and logits (n, classes) where the net is a classifier.

        Args:
          images: uint8, (n, h, w, 1 or 3); float points (n, d) for "points".
        """
        images = np.asarray(images)
        parts = [
            self._compute(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)
        ]
        return {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def names() -> list[str]:
    """The names of all feature networks."""
    return list(_FEATURES)


def get(name: str, path: str | Path | None = None) -> Features:
    """The feature network of that name.

    - "mnistnet": the classifier of `train_mnistnet`, 128 features. Images are made
      grey (luminance) and resized to 28x28 (bilinear, antialiased).
    - "pixels": the images themselves at 8x8, in [-1, 1].
    - "points": rows of numbers as they are.

    Args:
      name: one of `names()`.
      path: of a weights file to use instead of the shipped one ("mnistnet").

    Raises:
      ValueError: an unknown name, or images that the network does not take.
    """
    return choose("feature network", name, _FEATURES)(path)


def train_mnistnet(folder: str | Path, epochs: int = 15, seed: int = 2020) -> float:
    """Trains the classifier of "mnistnet" on the embedded Fashion-MNIST images.

    Adam(1e-3), batches of 64, 5,000 images; under a minute on two cores.

    Args:
      folder: where mnistnet.weights.h5 and mnistnet.json go.
      epochs, seed: of the training.

    Returns:
      Its accuracy on the 1,000 embedded test images.
    """
    keras.utils.set_random_seed(seed)
    with np.load(data_file("fashion_mnist.npz")) as data:
        train, test = (
            (_grey28(data[f"x_{split}"][..., None]), data[f"y_{split}"])
            for split in ("train", "test")
        )
    net = _mnistnet()
    net.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    net.fit(*train, batch_size=64, epochs=epochs, verbose=2)
    accuracy = float(net.evaluate(*test, batch_size=_BATCH, verbose=0)[1])
    weights = Path(folder) / "mnistnet.weights.h5"
    bare = _mnistnet()  # without the optimizer, which would treble the file
    bare.set_weights(net.get_weights())
    bare.save_weights(weights)
    about = {
        "net": MNISTNET,
        "trained_on": "5,000 embedded Fashion-MNIST images",
        "test_accuracy": round(accuracy, 4),
        "sha256": _sha256(weights),
    }
    (Path(folder) / "mnistnet.json").write_text(json.dumps(about, indent=2) + "\n")
    return accuracy


def _load_mnistnet(path: str | Path | None) -> Features:
    weights = Path(path) if path else data_file("mnistnet.weights.h5")
    net = _mnistnet()
    net.load_weights(weights)
    both = keras.Model(net.input, [net.layers[-2].output, net.output])

    def compute(images):
        features, logits = both(_grey28(images), training=False)
        return {"features": np.asarray(features), "logits": np.asarray(logits)}

    about = {"features": "mnistnet", "sha256": _sha256(weights), "resize": "28x28 grey"}
    return Features("mnistnet", about, compute)


def _load_pixels(path: None) -> Features:
    def compute(images):
        x = ops.cast(_images(images), "float32") / 127.5 - 1.0
        x = ops.image.resize(x, (8, 8), antialias=True)
        return {"features": np.asarray(x).reshape(len(images), -1)}

    return Features("pixels", {"features": "pixels", "resize": "8x8"}, compute)


def _load_points(path: None) -> Features:
    def compute(points):
        if points.ndim != 2:
            raise ValueError(f"points are (n, d), not {points.shape}")
        return {"features": points.astype(np.float32)}

    return Features("points", {"features": "points", "resize": None}, compute)


_FEATURES = {
    "mnistnet": _load_mnistnet,
    "pixels": _load_pixels,
    "points": _load_points,
}


def _mnistnet() -> keras.Model:
    """The classifier, in float32 whatever the run's own precision is."""
    with precision("float32"):
        return build(MNISTNET, (28, 28, 1), name="mnistnet")


def _images(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images are uint8 (n, h, w, 1 or 3), not {images.dtype} {images.shape}"
        )
    return images


def _grey28(images: np.ndarray) -> Any:
    """Images as the classifier takes them: grey, 28x28, in [-1, 1]."""
    x = ops.cast(_images(images), "float32")
    if x.shape[-1] == 3:
        x = ops.sum(x * np.float32([0.299, 0.587, 0.114]), axis=-1, keepdims=True)
    if x.shape[1:3] != (28, 28):
        x = ops.image.resize(x, (28, 28), antialias=True)
    return x / 127.5 - 1.0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
