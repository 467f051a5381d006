"""Drawing samples from a generator, of a GAN in training or of a run's folder."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import models
from gantf.architecture import Latent, read_latent
from gantf.layers import Labels
from gantf.replicas import spread

_CALL = 256  # samples a call of the net, on each device: bounds its memory


def generator_file(place: str | Path) -> Path:
    """The file of a run's generator: the place itself, or generator.keras in it."""
    path = Path(place).expanduser()
    return path if path.suffix == ".keras" else path / "generator.keras"


def draw_latents(latent: Latent, n: Any, key: Any) -> tf.Tensor:
    """The latents (n, size) of a law, decided by `key`, two int64 numbers."""
    shape = (n, latent.size)
    if latent.law == "normal":
        return tf.random.stateless_normal(shape, key)
    return tf.random.stateless_uniform(shape, key, -1.0, 1.0)


class Sampler:
    """A generator and the law of its latents.

    >>> Sampler.of_run("runs/demo").generate(64, seed=1)     # doctest: +SKIP

    Args:
      net: latents, or [latents, labels] -> samples in [-1, 1].
      latent: the law.
      classes: how many classes the labels come from; 0 without labels.

    Attributes:
      takes_labels: whether the generator asks for labels.
    """

    def __init__(self, net: keras.Model, latent: Latent, classes: int = 0):
        self.net, self.latent, self.classes = net, latent, classes
        self.takes_labels = len(net.inputs) > 1
        self._call = spread(
            net.distribute_strategy,
            lambda inputs: tf.cast(net(inputs, training=False), tf.float32),
            _CALL,
        )

    @classmethod
    def of_run(cls, place: str | Path) -> Sampler:
        """The generator that a run left in its folder.

        Args:
          place: the folder, for its generator.keras, or a file in it, as
            RUN/best.keras.

        Raises:
          ValueError: a folder without one, or one that `models.load` refuses.
        """
        path = generator_file(place)
        folder = path.parent
        try:
            text = (folder / "settings.json").read_text("utf-8")
            architecture = json.loads(text)["settings"]["architecture"]
            latent, classes = architecture["latent"], architecture.get("classes", 0)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{folder} is no folder of a run") from None
        if not path.exists():
            raise ValueError(
                f"{folder} has no {path.name}: its run has made no checkpoint yet"
            )
        return cls(models.load(path), read_latent(latent), classes)

    def generate(
        self, n: int, labels: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Draws n samples: float32 in [-1, 1], (n, height, width, channels).

        Args:
          n: how many.
          labels: for a generator that takes labels: one for each sample, or one
            for all; None takes all classes in turn, so that each is as frequent.
          seed: the same seed gives the same samples; None gives others each time.

        Raises:
          ValueError: a number or labels that cannot be.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is a whole number from 1, not {n!r}")
        return self.decode(self.latents(n, seed), labels)

    def latents(self, n: int, seed: int | None = None) -> tf.Tensor:
        """The n latents that `generate` uses for this seed: (n, size)."""
        seed = secrets.randbits(31) if seed is None else seed
        return draw_latents(self.latent, n, tf.constant([seed, 0], tf.int64))

    def decode(self, latents: Any, labels: Any = None) -> np.ndarray:
        """The samples of these latents, in inference mode; `labels` as above."""
        inputs = [tf.convert_to_tensor(latents)]
        if self.takes_labels or labels is not None:
            inputs.append(self._labels(labels, len(latents)))
        samples = self._call(inputs if self.takes_labels else inputs[0])
        return np.clip(samples, -1.0, 1.0)

    def _labels(self, labels: Any, n: int) -> tf.Tensor:
        """The labels of n samples, checked: int32 (n,)."""
        if not self.takes_labels:
            raise ValueError("this generator takes no labels")
        if labels is None:
            return tf.range(n) % self.classes
        labels = np.asarray(labels)
        if labels.dtype.kind not in "iu" or labels.shape not in [(), (n,)]:
            raise ValueError(
                f"labels are a whole number, or one for each of the {n} samples, not "
                f"{labels.dtype} {labels.shape}"
            )
        return Labels(self.classes)(tf.constant(np.broadcast_to(labels, n)))
