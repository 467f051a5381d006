"""`Loss` and `Drawn`, what all losses are; and the losses of scores of one number.

A score is (n, d): real scores r = D(x) of n real samples, fake scores f = D(G(z)) of
m generated ones; n and m may differ. Losses are computed in float32 and minimised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops, random

from gantf.kernels import Kernel


class Loss:
    """A pair of losses; `gantf.losses.get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
      source: where the loss comes from.
      score_dim: the width of the score that it needs, or None for any.
      kernel: of the losses of one kernel.
      state: the numbers that it remembers between steps, and their first values.
      penalties: those that the loss is meant to be used with: (name, parameters).
      scaling: the scaling that it is meant to be used with: (name, parameters).
      clip: the bound of the discriminator's weights that it is meant for.
      update, critic_steps: the update that it is meant for; see `gantf.GAN`.
    """

    name: str
    parameters: dict[str, Any]
    source: str
    score_dim: int | None = 1
    kernel: Kernel | None = None
    state: Mapping[str, float] = {}
    penalties: tuple[tuple[str, dict[str, Any]], ...] = ()
    scaling: tuple[str, dict[str, Any]] | None = None
    clip: float | None = None
    update: str = "simultaneous"
    critic_steps: int | str = 1

    def generator(self, real: Any, fake: Any) -> Any:
        """The generator's loss, a scalar."""
        raise NotImplementedError

    def discriminator(self, real: Any, fake: Any) -> Any:
        """The discriminator's loss, a scalar."""
        raise NotImplementedError

    def step(
        self, real: Any, fake: Any, state: Mapping[str, Any], draws: Any
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Both losses of a step, and what the loss remembers then.

        Args:
          real, fake: scores of the whole batch, (n, d) and (m, d).
          state: what it remembers of the steps before; `state` at first.
          draws: `uniform(stream, shape)` from U[0, 1) and `normal(stream, shape)` from
            N(0, 1), for the whole batch; streams are "omega", "swaps" and "jitter", and
            one asked for twice gives the same numbers.

        Returns:
          The generator's loss, the discriminator's, and the numbers to remember.
        """
        return self.generator(real, fake), self.discriminator(real, fake), {}

    def witness(self, points: Any, real: Any, fake: Any) -> Any:
        """The function whose mean over reals less that over fakes D makes large.

        Args:
          points: scores of other samples, (p, d).
          real, fake: scores.

        Returns:
          Its values at the points, (p,); of a score of one number, the number.
        """
        return as_float(points)[:, 0]

    def monitors(self, real: Any, fake: Any) -> dict[str, Any]:
        """Scalars worth watching beside the losses."""
        return {}

    def check_score(self, width: int) -> None:
        """Refuses a score of a width that does not fit.

        Raises:
          ValueError: with what to do.
        """
        if self.score_dim is not None and width != self.score_dim:
            raise ValueError(
                f"loss {self.name!r} needs a score of width {self.score_dim}, but the "
                f"discriminator gives {width}; build it with "
                f"build_pair(architecture, score={self.score_dim})"
            )


class Logistic(Loss):
    """The logistic loss of Goodfellow et al. (2014), non-saturating.

    L_D = mean softplus(-r) + mean softplus(f),    L_G = mean softplus(-f).

    It is the cross-entropy of sigmoid(D) with labels 1 and 0. "dragan" is it with the
    penalty of Kodali et al. (2017).
    """

    def generator(self, real, fake):
        return ops.mean(ops.softplus(-as_float(fake)))

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(-as_float(real))) + ops.mean(
            ops.softplus(as_float(fake))
        )


class Hinge(Loss):
    """The hinge loss of Lim & Ye (2017); Miyato et al. (2018), equation 16.

    L_D = mean relu(1 - r) + mean relu(1 + f),    L_G = -mean f.
    """

    def generator(self, real, fake):
        return -ops.mean(as_float(fake))

    def discriminator(self, real, fake):
        return ops.mean(ops.relu(1.0 - as_float(real))) + ops.mean(
            ops.relu(1.0 + as_float(fake))
        )


class LeastSquares(Loss):
    """The least squares loss of Mao et al. (2017), equation 2.

    L_D = mean (r - b)^2 / 2 + mean (f - a)^2 / 2,    L_G = mean (f - c)^2 / 2.

    Args:
      a, b, c: what the discriminator is to say of fakes and of reals, and what the
        generator wants it to say; 0, 1, 1 are the paper's 0-1 coding, and -1, 1, 0
        make it Pearson's chi-square divergence.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0):
        self.a, self.b, self.c = (number(*item) for item in zip("abc", (a, b, c)))

    def generator(self, real, fake):
        return 0.5 * ops.mean(ops.square(as_float(fake) - self.c))

    def discriminator(self, real, fake):
        real, fake = as_float(real) - self.b, as_float(fake) - self.a
        return 0.5 * ops.mean(ops.square(real)) + 0.5 * ops.mean(ops.square(fake))


class Wasserstein(Loss):
    """The Wasserstein loss of Arjovsky et al. (2017).

    L_G = mean r - mean f,    L_D = -L_G.

    What bounds the discriminator's slope tells the names apart: "wgan" clips its
    weights (Arjovsky et al. 2017; with RMSprop at 5e-5), "wasserstein" has the penalty
    "gp" (Gulrajani et al. 2017), "sobolev" that of Mroueh et al. (2018), and "swgan" is
    scaled (Arbel et al. 2018). Codes leave mean r out of L_G, where it has no gradient.
    """

    def generator(self, real, fake):
        return ops.mean(as_float(real)) - ops.mean(as_float(fake))

    def discriminator(self, real, fake):
        return -self.generator(real, fake)


class FixedDraws:
    """Random numbers that are the same at every call, for losses called alone."""

    _SEEDS = {"omega": 0, "swaps": 1, "jitter": 2}

    def uniform(self, stream: str, shape: Any) -> Any:
        """Numbers from U[0, 1)."""
        return random.uniform(shape, dtype="float32", seed=self._SEEDS[stream])

    def normal(self, stream: str, shape: Any) -> Any:
        """Numbers from N(0, 1)."""
        return random.normal(shape, dtype="float32", seed=self._SEEDS[stream])


class Drawn(Loss):
    """A loss of which `step` says all.

    `generator` and `discriminator` are those of a first step, with fixed draws.
    """

    score_dim = None

    def generator(self, real, fake):
        return self._first(real, fake)[0]

    def discriminator(self, real, fake):
        return self._first(real, fake)[1]

    def step(self, real, fake, state, draws):
        raise NotImplementedError

    def _first(self, real, fake):
        return self.step(real, fake, self.state, FixedDraws())


def as_float(score: Any) -> Any:
    """The score in float32."""
    return ops.cast(score, "float32")


def number(
    name: str,
    value: Any,
    rule: str = "a number",
    fits: Callable[[float], bool] = lambda value: True,
) -> float:
    """The value of a parameter.

    Raises:
      ValueError: "threshold is a number, not 'x'".
    """
    if not (_is_number(value) and fits(value)):
        raise ValueError(f"{name} is {rule}, not {value!r}")
    return float(value)


def pair(
    name: str, value: Any, rule: str, fits: Callable[[float, float], bool]
) -> tuple[float, float]:
    """The value of a parameter of two numbers.

    Raises:
      ValueError: "bounds are (low, high), 0 <= low < high, not 4".
    """
    whole = isinstance(value, tuple | list) and len(value) == 2
    if not (whole and all(map(_is_number, value)) and fits(*value)):
        raise ValueError(f"{name} are {rule}, not {value}")
    return float(value[0]), float(value[1])


def _is_number(value: Any) -> bool:
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return whole and math.isfinite(value)
