"""`CriticSteps`: how many updates the critic has before each one of the generator.

`read` takes a whole number, "5", or "5,more=100,first=25,every=500".
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gantf.choices import hint, show

_OPTIONS = ("more", "first", "every")


@dataclasses.dataclass(frozen=True)
class CriticSteps:
    """`usual` critic steps, and `more` at the first and at every so many steps.

    At the generator's step t it is `more` where t < first or, with an `every` above
    0, t is a multiple of it; else `usual`. With 0 the critic stays as it is, and
    the generator's update has a batch of its own.

    >>> steps = CriticSteps(5, more=100, first=25, every=500)   # Li et al. (2017)
    >>> [steps.at(step) for step in (24, 25, 499, 500)]
    [100, 5, 5, 100]
    >>> CriticSteps(0, more=1, every=500).at(1)    # features move every 500 steps
    0
    """

    usual: int = 1
    more: int = 0
    first: int = 0
    every: int = 0

    @property
    def varies(self) -> bool:
        """Whether it is not always the same number."""
        return self.more != self.usual and bool(self.first or self.every)

    @property
    def most(self) -> int:
        """The largest number of critic steps before one of the generator."""
        return max(self.usual, self.more) if self.varies else self.usual

    @property
    def least(self) -> int:
        """The smallest number of critic steps before one of the generator."""
        return min(self.usual, self.more) if self.varies else self.usual

    def at(self, step: int) -> int:
        """The critic steps before the generator's update number `step`, from 0."""
        return self.more if self.varies and self.special(step) else self.usual

    def special(self, step: Any) -> Any:
        """Whether `more` is meant for the update number `step`, or a tensor of it."""
        early = step < self.first
        return early | (step % self.every == 0) if self.every else early

    def batches(self, step: int) -> int:
        """How many batches the updates before number `step` have used."""
        if not self.varies:
            return max(1, self.usual) * step
        first = min(self.first, step)
        special = first
        if self.every:  # multiples of `every` from first on, below step
            special += max(0, -(-step // self.every) - -(-first // self.every))
        return max(1, self.more) * special + max(1, self.usual) * (step - special)

    def __str__(self) -> str:
        options = [(name, getattr(self, name)) for name in _OPTIONS]
        shown = [f"{name}={value}" for name, value in options if value and self.varies]
        if self.varies and not self.more:
            shown.insert(0, "more=0")
        return ",".join([str(self.usual), *shown])


def read(steps: Any) -> CriticSteps:
    """The schedule of a whole number or of a text.

    >>> str(read("5,more=100,first=25,every=500"))
    '5,more=100,first=25,every=500'

    Raises:
      ValueError: what is neither.
    """
    if isinstance(steps, CriticSteps):
        return steps
    usual, *options = show(steps, str).split(",")
    if isinstance(steps, bool) or not usual.strip().isdecimal():
        raise ValueError(
            "critic_steps is a whole number from 0, or a schedule like "
            f"'5,more=100,first=25,every=500', not {show(steps)}"
        )
    found = {}
    for option in options:
        name, _, value = option.strip().partition("=")
        if name not in _OPTIONS:
            raise ValueError(
                f"unknown option {name!r} of critic_steps{hint(name, _OPTIONS)}"
            )
        if name in found or not value.isdecimal():
            raise ValueError(
                f"{name} of critic_steps is one whole number from 0, not as in "
                f"{show(steps)}"
            )
        found[name] = int(value)
    when = found.get("first") or found.get("every")
    if found and not ("more" in found and when):
        raise ValueError(
            "critic_steps has 'more' together with 'first' or 'every', not as in "
            f"{show(steps)}"
        )
    return CriticSteps(int(usual), **found)
