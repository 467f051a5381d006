"""The learning rate that follows KID: lowered when evaluations stop getting better.

Binkowski et al. (2018), section 4: each evaluation's fakes Y are compared with those of
an earlier one, Z, by the three-sample test of Bounliphone et al. (2016) on features,
with the same real ones X each time (`gantf.mmd.three_sample_test`):

    T = (MMD^2(X, Y) - MMD^2(X, Z)) / sqrt(max(nu, floor)),    p = Phi(T)

A small p says that the generator has become better since Z. Z is the oldest of the
evaluations that are remembered:

    remembered   fewer than `memory` are held: Y is remembered, and not tested
    better       p is at most `p`: the oldest is forgotten, Y is remembered
    no better    p is above: a failure; Z stays, and Y is not remembered
    lowered      that `patience` times in a row: learning rates times `factor`, and the
                 last `patience` evaluations are remembered, Y among them

so that after a lowering `memory` - `patience` evaluations pass without a test. Of an
evaluation there remain sums over its kernel matrices, 3 m + 2 numbers for m rows.

In their code memory, patience, p, factor and floor are 10, 3, .1, .5 and 1e-6, with an
evaluation of 2048 features every 2000 steps of the generator (500 for MNIST), and nu
is "plug-in"; the factor is .8 in that of Arbel et al. (2018). Two things to know:

- A variance floor of 1e-5 asks for a gain in KID of .00405 at p = .1, however many
  features there are, where sds of KID are around .001. A smaller one, as 1e-8, lets
  the data decide.
- Where both Y and Z have the law of X, nu is of second order and T is no standard
  normal: its sd is about 1.4, and p means little. But then there is nothing to gain.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from gantf import kernels, mmd
from gantf.choices import choose, whole_number
from gantf.criteria import number
from gantf.files import TORN, whole

# name of a decision -> its line for a log
DECISIONS = {
    "remembered": "three-sample test: none yet, {remembered} of {memory} evaluations",
    "better": "three-sample test against step {against}: p {p_value:.2g}, better",
    "no better": "three-sample test against step {against}: p {p_value:.2g}, no better "
    "({failures} of {patience})",
    "lowered": "three-sample test against step {against}: p {p_value:.2g}, no better "
    "({failures} of {patience}); learning rates are lowered",
}


@dataclasses.dataclass(frozen=True)
class Decision:
    """What an evaluation has led to; `str` of it is a line for a log.

    Attributes:
      name: one of `DECISIONS`.
      step: of the evaluation.
      against: the step that it was tested against; None where there was no test.
      statistic, p_value: of the test, or None.
      failures: how many tests in a row found nothing better, this one included.
      patience: how many of them lower the rates.
      remembered: how many evaluations are remembered now.
      memory: how many there are before tests begin.
    """

    name: str
    step: int
    against: int | None
    statistic: float | None
    p_value: float | None
    failures: int
    patience: int
    remembered: int
    memory: int

    def __str__(self) -> str:
        return DECISIONS[self.name].format(**dataclasses.asdict(self))


class Memory(NamedTuple):
    """An evaluation that is remembered: its step and the sums of its fakes."""

    step: int
    sums: mmd.Sums


class State(NamedTuple):
    """What a decay knows.

    Attributes:
      memories: evaluations, from the oldest.
      failures: in a row.
      real: the mean of each row of the real features, to know them again.
    """

    memories: tuple[Memory, ...] = ()
    failures: int = 0
    real: tuple[float, ...] = ()


class ThreeSampleDecay:
    """Follows the evaluations of a training and lowers learning rates.

    >>> decay = ThreeSampleDecay(memory=2, patience=1)
    >>> features = np.random.default_rng(0).normal(size=(3, 50, 4))
    >>> print(decay.follow(0, features[0], features[1]))
    three-sample test: none yet, 1 of 2 evaluations

    Args:
      memory: how many evaluations are remembered, the oldest being tested against.
      patience: how many failures in a row lower the learning rates; at most `memory`.
      p: the p-value up to which an evaluation is better.
      factor: what rates are multiplied by.
      floor: the learning rate below which none is lowered.
      variance_floor: the least variance in a test, in squared units of KID.
      variance: one of `mmd.THREE_SAMPLE_VARIANCES`.
      kernel: a kernel on the features, or its name; poly:3 is that of KID.
      samples: how many features of an evaluation are compared, the first ones, from 4.

    Attributes:
      parameters: all of these, by name; plain values.
      state: a `State`.

    Raises:
      ValueError: parameters that are not as above.
    """

    def __init__(
        self,
        memory: int = 10,
        patience: int = 3,
        p: float = 0.1,
        factor: float = 0.5,
        floor: float = 1e-6,
        variance_floor: float = 1e-5,
        variance: str = "unbiased",
        kernel: str | kernels.Kernel = "poly:3",
        samples: int = 2048,
    ):
        self.memory = whole_number("memory", memory, 1)
        self.patience = whole_number("patience", patience, 1)
        if self.patience > self.memory:
            raise ValueError(
                f"patience is at most memory, {memory}, not {patience}: so many "
                "evaluations are remembered after a lowering"
            )
        between = "a number above 0 and below 1"
        self.p = number("p", p, between, lambda value: 0 < value < 1)
        self.factor = number("factor", factor, between, lambda value: 0 < value < 1)
        self.floor = number("floor", floor, "a number from 0", lambda value: value >= 0)
        self.variance_floor = number(
            "variance_floor",
            variance_floor,
            "a number above 0",
            lambda value: value > 0,
        )
        choose("variance of a three-sample test", variance, mmd.THREE_SAMPLE_VARIANCES)
        self.variance = variance
        self.kernel = str(kernels.get(kernel))
        self.samples = whole_number("samples", samples, 4)
        self.parameters = dict(vars(self))
        self.state = State()

    def follow(self, step: int, real: Any, fake: Any) -> Decision:
        """Decides on an evaluation, and remembers it where that is due.

        Rates are not touched: `apply` does that where the decision is "lowered".

        Args:
          step: of the training, for lines of the log.
          real: features (n, d), in the same order each time.
          fake: features (n', d); as many are compared as both have, up to `samples`.

        Raises:
          ValueError: features that are no rows of one length, or fewer than 4; other
            real ones than before, or another number; a kernel that is not finite.
        """
        m = min(self.samples, len(real), len(fake))
        # In float64, where sums of 2048^2 cubes have digits to spare.
        real, fake = (np.asarray(rows[:m], np.float64) for rows in (real, fake))
        marks = tuple(real.reshape(m, -1).mean(axis=1).tolist())
        self._check_same(step, m, marks)
        sums = mmd.Sums(*map(np.asarray, mmd.sums(real, fake, self.kernel)))
        if not all(np.isfinite(part).all() for part in sums):
            raise ValueError(
                f"kernel {self.kernel} of the features at step {step} is not finite: "
                "there are NaN, infinite or huge numbers among them"
            )
        new, against, statistic, p_value = Memory(int(step), sums), None, None, None
        if len(self.state.memories) >= self.memory:
            against, oldest = self.state.memories[0]
            statistic, p_value = map(
                float, mmd.compare(sums, oldest, self.variance_floor, self.variance)
            )
        state = self.state._replace(real=marks)
        name, self.state = self.decide(state, new, p_value)
        return Decision(
            name,
            new.step,
            against,
            statistic,
            p_value,
            self.patience if name == "lowered" else self.state.failures,
            self.patience,
            len(self.state.memories),
            self.memory,
        )

    def decide(
        self, state: State, new: Memory, p_value: float | None
    ) -> tuple[str, State]:
        """The name of the decision, and the state after it; changes nothing.

        Args:
          state: the one before.
          new: the evaluation.
          p_value: of its test against the oldest; None where too few are remembered.
        """
        memories, failures = (*state.memories, new), state.failures + 1
        if p_value is None:
            return "remembered", state._replace(memories=memories)
        if p_value <= self.p:
            return "better", state._replace(memories=memories[1:], failures=0)
        if failures < self.patience:
            return "no better", state._replace(failures=failures)
        memories = memories[-self.patience :]
        return "lowered", state._replace(memories=memories, failures=0)

    @staticmethod
    def check(optimizers: Iterable[keras.optimizers.Optimizer]) -> None:
        """Refuses optimizers whose learning rate cannot be lowered.

        Raises:
          ValueError: one with a schedule.
        """
        for optimizer in optimizers:
            if not isinstance(optimizer.learning_rate, keras.Variable):
                raise ValueError(
                    f"optimizer {optimizer.name!r} has a schedule for its learning "
                    "rate, which cannot be lowered; give it a number, or do without "
                    "the decay"
                )

    def apply(self, optimizers: Iterable[keras.optimizers.Optimizer]) -> None:
        """Lowers learning rates: those above `floor` times `factor`, but not below it.

        Raises:
          ValueError: as `check`, and then all stay as they are.
        """
        optimizers = list(optimizers)
        self.check(optimizers)
        for optimizer in optimizers:
            rate = float(optimizer.learning_rate.numpy())
            if rate > self.floor:
                optimizer.learning_rate = max(rate * self.factor, self.floor)

    def save(self, path: str | Path) -> None:
        """Writes parameters and state to one .npz file, whole or not at all."""
        about = {
            "parameters": self.parameters,
            "steps": [memory.step for memory in self.state.memories],
            "failures": self.state.failures,
            "real": self.state.real,
        }
        arrays = {
            f"{field}_{i}": value
            for i, memory in enumerate(self.state.memories)
            for field, value in memory.sums._asdict().items()
        }
        with whole(Path(path)) as unfinished, unfinished.open("wb") as file:
            np.savez(file, about=json.dumps(about), **arrays)

    def load(self, path: str | Path) -> None:
        """Takes over the state of a file of `save`, to the last bit.

        Raises:
          ValueError: another or a torn file, one of other parameters, or of other real
            features than those that were followed; the state stays as it is.
          OSError: no file that can be read.
        """
        parameters, state = _read(path)
        other = [k for k, v in self.parameters.items() if parameters.get(k) != v]
        if other:
            raise ValueError(
                f"{path}: saved with {_shown(parameters, other)}, not "
                f"{_shown(self.parameters, other)}; go on with the same parameters, or "
                "without this file"
            )
        if self.state.real and state.real and not _same(self.state.real, state.real):
            raise ValueError(
                f"{path}: saved with other real features than those at step "
                f"{self.state.memories[-1].step}; go on with the same, or without this "
                "file"
            )
        self.state = state

    def _check_same(self, step: int, m: int, marks: tuple[float, ...]) -> None:
        if not self.state.memories:
            return
        before, sums = self.state.memories[-1]
        if m != len(sums.rows):
            raise ValueError(
                "three-sample tests take the same number of features each time: "
                f"{len(sums.rows)} at step {before}, {m} at step {step}"
            )
        if not _same(marks, self.state.real):
            raise ValueError(
                "three-sample tests take the same real features each time: those at "
                f"step {step} are not those at step {before}"
            )


def _same(marks: tuple[float, ...], others: tuple[float, ...]) -> bool:
    """Whether rows are the same, up to what another machine makes of their features."""
    if len(marks) != len(others):
        return False
    return np.allclose(marks, others, rtol=0, atol=1e-3 * np.abs(marks).max())


def _shown(parameters: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {parameters.get(name)}" for name in names)


def _read(path: str | Path) -> tuple[dict[str, Any], State]:
    """The parameters and the state of a file."""
    file = io.BytesIO(Path(path).read_bytes())
    try:
        with np.load(file, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            parameters, steps, failures, real = (
                about[key] for key in ("parameters", "steps", "failures", "real")
            )
            memories = tuple(
                Memory(step, mmd.Sums(*(data[f"{f}_{i}"] for f in mmd.Sums._fields)))
                for i, step in enumerate(steps)
            )
            return dict(parameters), State(memories, failures, tuple(real))
    except (TypeError, *TORN):
        raise ValueError(
            f"{path}: not a whole file of ThreeSampleDecay.save; go on without it"
        ) from None
