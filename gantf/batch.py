"""`Batch`: what the losses' parts see of one step, on one device or many.

Every replica has its share of the real and of the generated samples. Scores are
gathered, and draws are made for the whole batch from (seed, step) and shared out, so
that losses, penalties and scalings mean the same on one device and on many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from gantf.layers import spectral_updates
from gantf.replicas import share, whole_size

# Streams of random numbers: those of two names are independent.
_STREAMS = (
    "latents",
    "mixing",
    "noise",
    "omega",
    "swaps",
    "jitter",
    "augment",
    "augment_normal",
)


class Draws:
    """Random numbers for a whole batch, decided by a seed and the number of the step.

    Args:
      seed: of the run.
      index: a whole number that is never used twice, the same on all replicas.
    """

    def __init__(self, seed: int = 0, index: Any = 0):
        self.seed, self.index = seed, tf.cast(index, tf.int64)

    def key(self, stream: str) -> tf.Tensor:
        """The two numbers that decide a stream of this step."""
        number = self.seed + (_STREAMS.index(stream) << 32)
        return tf.stack([tf.constant(number, tf.int64), self.index])

    def uniform(self, stream: str, shape: Any) -> tf.Tensor:
        """Numbers from U[0, 1)."""
        return tf.random.stateless_uniform(shape, self.key(stream))

    def normal(self, stream: str, shape: Any) -> tf.Tensor:
        """Numbers from N(0, 1)."""
        return tf.random.stateless_normal(shape, self.key(stream))


@dataclasses.dataclass(frozen=True)
class Batch:
    """One step's samples and scores, as penalties and scalings take them.

    Attributes:
      score: samples (n, ...) of this share -> their scores (n, d), float32, with the
        labels of the share and the spectral norms of the step.
      real, fake: the samples of this share, (n, ...), augmented where they are.
      real_scores, fake_scores: the scores of the whole batch, (N, d), float32.
      loss: the `gantf.losses` loss.
      draws: the random numbers of the step, for the whole batch.
      discriminator, decoder: the nets; a decoder maps scores to samples.
      run: (net, samples) -> what a net of the discriminator's inputs makes of them.
    """

    score: Callable[[Any], Any]
    real: Any
    fake: Any
    real_scores: Any
    fake_scores: Any
    loss: Any = None
    draws: Draws = dataclasses.field(default_factory=Draws)
    discriminator: keras.Model | None = None
    decoder: keras.Model | None = None
    run: Callable[[keras.Model, Any], Any] | None = None

    @classmethod
    def of(cls, score: Callable[[Any], Any], real: Any, fake: Any, **others) -> Batch:
        """A batch of one device from a function or model samples -> scores.

        >>> import gantf
        >>> critic = gantf.build("flatten dense-1", (4, 4, 1))
        >>> images = tf.zeros((2, 4, 4, 1))
        >>> penalty = gantf.penalties.get("gp", weight=10)
        >>> penalty(Batch.of(critic, images, images)).shape
        TensorShape([])
        """

        def scores(x):
            with spectral_updates(False):
                return tf.cast(score(x), tf.float32)

        if isinstance(score, keras.Model):
            others.setdefault("discriminator", score)
            others.setdefault("run", lambda net, x: net(x))
        return cls(scores, real, fake, scores(real), scores(fake), **others)

    def uniform(self, stream: str, *shape: int) -> tf.Tensor:
        """Draws from U[0, 1) for the samples of this share: (n, *shape)."""
        rows = (whole_size(self.real), *shape)
        return share(self.draws.uniform(stream, rows))

    def between(self) -> tf.Tensor:
        """Samples u real + (1 - u) fake, one u ~ U[0, 1] each: float32, (n, ...)."""
        real, fake = tf.cast(self.real, tf.float32), tf.cast(self.fake, tf.float32)
        u = per_sample(self.uniform("mixing"), real)
        return u * real + (1.0 - u) * fake


def per_sample(numbers: Any, samples: Any) -> Any:
    """One number a sample, (n,), in the rank of the samples."""
    return tf.reshape(numbers, [-1] + [1] * (len(samples.shape) - 1))


class Memory(keras.layers.Layer):
    """What losses and penalties remember between steps: numbers that are saved.

    Args:
      parts: of each owner, its numbers by name and their first values.
    """

    def __init__(self, parts: Mapping[str, Mapping[str, float]]):
        super().__init__(name="memory")
        self._numbers = {
            owner: {
                name: self.add_weight(
                    shape=(),
                    initializer=keras.initializers.Constant(value),
                    dtype="float32",
                    trainable=False,
                    aggregation="only_first_replica",
                    name=f"{owner}_{name}",
                )
                for name, value in numbers.items()
            }
            for owner, numbers in parts.items()
        }
        self.built = True

    def save_own_variables(self, store):
        for number in self.variables:
            store[number.name] = number.numpy()

    def load_own_variables(self, store):
        """Takes the numbers that are there; one that is not keeps its first value.

        So a checkpoint loads that was made before a loss or penalty had a number. Those
        of versions before 0.6.0 have places for names.
        """
        for place, number in enumerate(self.variables):
            name = number.name if number.name in store else str(place)
            if name in store:
                number.assign(store[name])

    def read(self, owner: str) -> dict[str, Any]:
        """The numbers of an owner, by name."""
        return {name: number.value for name, number in self._numbers[owner].items()}

    def write(self, owner: str, numbers: Mapping[str, Any]) -> None:
        """Keeps an owner's numbers for the next step."""
        for name, value in numbers.items():
            self._numbers[owner][name].assign(value)

    def monitors(self) -> dict[str, Any]:
        """All numbers, as "owner/name"."""
        return {
            f"{owner}/{name}": number.value
            for owner, numbers in self._numbers.items()
            for name, number in numbers.items()
        }
