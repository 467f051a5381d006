"""What a run does where its numbers go bad: stop, or go back and go on more slowly."""

from __future__ import annotations

from collections.abc import Iterable

import keras

from gantf.choices import whole_number
from gantf.criteria import number


class Rollback:
    """Back to the last checkpoint with all learning rates times `factor`.

    The data and the latents of the steps that are done again are the same; only the
    rates are not. They stay lowered, and with them the number of times it was done,
    which checkpoints keep.

    Args:
      factor: above 0 and below 1.
      tries: how often in a run, from 1; then it stops.

    Attributes:
      parameters: all of these, by name.

    Raises:
      ValueError: parameters that are not as above.
    """

    def __init__(self, factor: float = 0.5, tries: int = 3):
        between = "a number above 0 and below 1"
        self.factor = number("factor", factor, between, lambda value: 0 < value < 1)
        self.tries = whole_number("tries", tries)
        self.parameters = dict(vars(self))

    def lower(self, optimizers: Iterable[keras.optimizers.Optimizer]) -> list[float]:
        """Lowers the learning rates; gives the new ones."""
        lowered = []
        for optimizer in optimizers:
            lowered.append(float(optimizer.learning_rate.numpy()) * self.factor)
            optimizer.learning_rate = lowered[-1]
        return lowered
