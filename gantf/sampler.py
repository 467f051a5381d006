"""Drawing samples from a generator, of a GAN in training or of a run's folder."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf.architecture import Latent, read_latent

_CALL = 256  # samples a call of the net: bounds its memory


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
      net: latents -> samples in [-1, 1].
      latent: the law.
    """

    def __init__(self, net: keras.Model, latent: Latent):
        self.net, self.latent = net, latent
        self._call = tf.function(
            lambda latents: net(latents, training=False), reduce_retracing=True
        )

    @classmethod
    def of_run(cls, folder: str | Path) -> Sampler:
        """The generator that a run left in its folder.

        Raises:
          ValueError: a folder without one.
        """
        folder = Path(folder)
        try:
            text = (folder / "settings.json").read_text("utf-8")
            latent = json.loads(text)["settings"]["architecture"]["latent"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"{folder} is no folder of a run") from None
        path = folder / "generator.keras"
        if not path.exists():
            raise ValueError(
                f"{folder} has no generator.keras: its run has made no checkpoint yet"
            )
        return cls(keras.models.load_model(path), read_latent(latent))

    def generate(
        self, n: int, labels: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Draws n samples: float32 in [-1, 1], (n, height, width, channels).

        Args:
          n: how many.
          labels: of the samples, for generators that take labels.
          seed: the same seed gives the same samples; None gives others each time.

        Raises:
          ValueError: a number or labels that cannot be.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is a whole number from 1, not {n!r}")
        if labels is not None:
            raise ValueError("this generator takes no labels")
        return self.decode(self.latents(n, seed))

    def latents(self, n: int, seed: int | None = None) -> tf.Tensor:
        """The n latents that `generate` uses for this seed: (n, size)."""
        seed = secrets.randbits(31) if seed is None else seed
        return draw_latents(self.latent, n, tf.constant([seed, 0], tf.int64))

    def decode(self, latents: Any) -> np.ndarray:
        """The samples of these latents, in inference mode."""
        parts = [
            np.asarray(tf.cast(self._call(latents[i : i + _CALL]), tf.float32))
            for i in range(0, len(latents), _CALL)
        ]
        return np.clip(np.concatenate(parts), -1.0, 1.0)
