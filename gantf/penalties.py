"""Penalties on a discriminator, added to its loss: `get("gp", weight=10)`.

They differentiate the discriminator with TensorFlow's tape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gantf.choices import arguments, choose


class Penalty:
    """A penalty; `get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
    """

    name: str
    parameters: dict[str, Any]

    def __call__(
        self, score: Callable[[Any], Any], real: Any, fake: Any, uniform: Any
    ) -> Any:
        """The penalty, weight included, as the mean over the batch: a scalar.

        Args:
          score: samples -> scores.
          real, fake: samples, (n, ...).
          uniform: (n,) draws from U[0, 1].
        """
        raise NotImplementedError


class _GradientPenalty(Penalty):
    """weight E (|grad_x D(x)| - target)^2 at x between real and fake samples.

    x = u real + (1 - u) fake with one u ~ U[0, 1] a sample; Gulrajani et al. (2017),
    equation 3 (weight 10, target 1). A score of several numbers is summed first.

    Args:
      weight: of the penalty.
      target: the norm that the gradient is drawn to.
    """

    def __init__(self, weight: float = 10.0, target: float = 1.0):
        self.weight, self.target = float(weight), float(target)

    def __call__(self, score, real, fake, uniform):
        real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
        u = tf.reshape(uniform, [-1] + [1] * (len(real.shape) - 1))
        between = tf.stop_gradient(u * real + (1.0 - u) * fake)
        with tf.GradientTape() as tape:
            tape.watch(between)
            total = tf.reduce_sum(tf.cast(score(between), tf.float32))
        slope = tf.cast(tape.gradient(total, between), tf.float32)
        square = tf.reduce_sum(tf.square(slope), axis=range(1, len(slope.shape)))
        # The root of 0 has no slope; 1e-12 moves a norm by 1e-6 at most.
        norm = tf.sqrt(square + 1e-12)
        return self.weight * tf.reduce_mean(tf.square(norm - self.target))


_PENALTIES = {"gp": _GradientPenalty}


def names() -> list[str]:
    """The names of all penalties."""
    return list(_PENALTIES)


def get(name: str | Penalty, **parameters) -> Penalty:
    """The penalty of that name.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one.
    """
    if isinstance(name, Penalty):
        return name
    kind = choose("penalty", name, _PENALTIES)
    taken = arguments(f"penalty {name!r}", kind, parameters)
    penalty = kind(**taken)
    penalty.name, penalty.parameters = name, taken
    return penalty
