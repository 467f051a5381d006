"""Losses that draw: random kernels, swapped labels, noise on scores.

They are those of the code of Wang et al. (2019), with its numbers. What they remember
between steps is in `state`; "average" there is that of L_G, which starts at 0 and moves
by a hundredth of the way at each update of the discriminator.

A random kernel is exp(-beta |a - b|^2) whose beta makes its mean between real and fake
scores an omega, drawn anew in every step. The mean falls and is convex in beta, so that
Newton's method from

    beta = -log(omega) / mean |r_i - f_j|^2

comes nearer from below in each of its 3 steps. The mean ends at omega or a little above
it (.05 becomes .09 where scores have one number). For gradients beta is a constant:
they are those of an MMD whose kernel happens to have a good width. (If they passed,
k_rf would have none.) R is the MMD^2 of this kernel; N(x) is MMD^2 of the scores x and
a normal law, see `gantf.discrepancies.normal_mmd2`, with a beta of its own that makes
the mean of E k(x_i, n) the same omega.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from gantf import kernels, mmd
from gantf.criteria import Drawn, FixedDraws, as_float, number, pair
from gantf.discrepancies import (
    MMD,
    WANG_SIGMAS,
    bounded_loss,
    distance_bounds,
    normal_means,
    normal_mmd2,
    positive,
    repulsive_weights,
)

_NEWTON_STEPS = 3
_AVERAGE_RATE = 0.01
_SWAP_RATE, _MOST_SWAPS = 0.01, 0.5
_NOISE_RATE, _MOST_NOISE = 0.001, 1.7183  # e - 1, of a standard deviation of 1
_TINY = 1e-30  # keeps a beta of coinciding scores finite


class MixedMMD(Drawn, MMD):
    """MMD whose discriminator sees some real and fake scores swapped.

    L_G = k_rr + k_ff - 2 k_rf,    L_D = -L_G of scores r_i, f_i that are swapped with
    probability p each. The better the generator, the fewer: after every step

        p <- p + .01 (average of L_G - threshold), held in [0, .5].

    "mmd_g_mix" has the kernel of "mmd_g", "sgm" the single rbf:1.

    Args:
      threshold: the L_G above which p grows.
      kernel, estimator: as for "mmd_g".
    """

    state = {"average": 0.0, "swaps": 0.0}

    def __init__(
        self,
        threshold: float = 1.0,
        kernel: str = WANG_SIGMAS,
        estimator: str = "ustat",
    ):
        super().__init__(kernel, estimator)
        self.threshold = number("threshold", threshold)

    def step(self, real, fake, state, draws):
        generator = MMD.generator(self, real, fake)
        mixed = swapped(real, fake, state["swaps"], draws)
        discriminator = -MMD.generator(self, *mixed)
        return generator, discriminator, _swaps(state, generator, self.threshold)


class _RandomKernel(Drawn):
    """A loss with a random kernel; see the module."""

    def __init__(
        self, omegas: tuple[float, float] = (0.05, 0.85), estimator: str = "ustat"
    ):
        rule = "(low, high), 0 < low <= high < 1"
        self.omegas = pair("omegas", omegas, rule, lambda a, b: 0 < a <= b < 1)
        self.means = mmd.means(estimator)

    def witness(self, points, real, fake):
        """That of the kernel of a first step, with fixed draws."""
        points, real, fake = as_float(points), as_float(real), as_float(fake)
        beta = self.beta(real, fake, self.omega(FixedDraws()))
        k_pr, k_pf = (
            ops.exp(-beta * kernels.squared_distances(points, sample))
            for sample in (real, fake)
        )
        return ops.mean(k_pr, axis=1) - ops.mean(k_pf, axis=1)

    def omega(self, draws: Any) -> Any:
        """The omega of a step."""
        low, high = self.omegas
        return low + (high - low) * draws.uniform("omega", ())

    def beta(self, real: Any, fake: Any, omega: Any) -> Any:
        """The beta that gives the kernel its mean omega, nearly; no gradient passes."""
        return _beta_of_pairs(real, fake, self.means[1], omega)

    def mmd2(self, real: Any, fake: Any, beta: Any) -> Any:
        """R, the MMD^2 of the kernel of beta."""
        within, across = self.means
        k_rr, k_ff, k_rf = (
            ops.exp(-beta * kernels.squared_distances(a, b))
            for a, b in ((real, real), (fake, fake), (real, fake))
        )
        return within(k_rr) + within(k_ff) - 2.0 * across(k_rf)


class RandomMMD(_RandomKernel):
    """MMD of a random kernel whose mean over all pairs is omega.

    L_G = R,    L_D = -R; beta is decided by all pairs of the real and fake scores taken
    as one sample.

    Args:
      omegas: the bounds of omega, which is drawn between them.
      estimator: as for "mmd_g", but one that takes all pairs or all i != j.
    """

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        loss = self.mmd2(real, fake, self.beta(real, fake, self.omega(draws)))
        return loss, -loss, {}

    def beta(self, real, fake, omega):
        pool = ops.concatenate([real, fake], axis=0)
        return _beta_of_pairs(pool, pool, mmd.mean_off_diagonal, omega)


class Random(_RandomKernel):
    """MMD of a random kernel, whose discriminator draws reals to a normal law.

    L_G = R,    L_D = N(r) - R,

    R and N being those of omega; see the module.

    Args:
      spread: the mean squared distance of two draws of the normal law.
      omegas: the bounds of omega, which is drawn between them.
      estimator: as for "mmd_g", but one that takes all pairs or all i != j.
    """

    def __init__(
        self,
        spread: float = 1.0,
        omegas: tuple[float, float] = (0.05, 0.85),
        estimator: str = "ustat",
    ):
        super().__init__(omegas, estimator)
        self.spread = positive("spread", spread)

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        omega = self.omega(draws)
        loss = self.mmd2(real, fake, self.beta(real, fake, omega))
        return loss, self.to_normal(real, omega) - loss, {}

    def to_normal(self, scores: Any, omega: Any, mean: float = 0.0) -> Any:
        """N, the MMD^2 of scores and the normal law around `mean`."""
        away = ops.mean(ops.sum(ops.square(scores - mean), axis=-1))
        beta = _beta(
            lambda b: normal_means(scores, b, self.spread, mean),
            away + 0.5 * self.spread,
            omega,
        )
        return normal_mmd2(scores, beta, self.spread, self.means[0], mean)


class Symmetric(Random):
    """As "rand_g", but reals and fakes are drawn to two normal laws.

    L_G = R,    L_D = (N(r; .5) + N(f; -.5)) / 2 - R, the means of all d numbers being
    .5 and -.5. Its authors say that it does not work.

    Args:
      spread, omegas, estimator: as for "rand_g".
    """

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        omega = self.omega(draws)
        loss = self.mmd2(real, fake, self.beta(real, fake, omega))
        sides = self.to_normal(real, omega, 0.5), self.to_normal(fake, omega, -0.5)
        return loss, 0.5 * (sides[0] + sides[1]) - loss, {}


class _Watching(Random):
    """A loss with a random kernel that watches whether L_G is above a threshold."""

    def __init__(
        self,
        threshold: float = 0.2,
        spread: float = 1.0,
        omegas: tuple[float, float] = (0.05, 0.85),
        estimator: str = "ustat",
    ):
        super().__init__(spread, omegas, estimator)
        self.threshold = number("threshold", threshold)


class Mixed(_Watching):
    """As "rand_g", but R in L_D is that of scores of which some are swapped.

    L_G = R,    L_D = N(r) - R_mixed; how many are swapped as for "mmd_g_mix". The beta
    of R_mixed is that of the swapped scores, for the same omega.

    Args:
      threshold: the L_G above which more are swapped.
      spread, omegas, estimator: as for "rand_g".
    """

    state = MixedMMD.state

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        omega = self.omega(draws)
        generator = self.mmd2(real, fake, self.beta(real, fake, omega))
        mixed = swapped(real, fake, state["swaps"], draws)
        discriminator = self.to_normal(real, omega) - self.mmd2(
            *mixed, self.beta(*mixed, omega)
        )
        return generator, discriminator, _swaps(state, generator, self.threshold)


class SymmetricMixed(Mixed):
    """As "rand_g_mix", but fakes are drawn to the normal law too, by the generator.

    L_G = R + N(f),    L_D = N(r) - R_mixed - N(f).

    Args:
      threshold, spread, omegas, estimator: as for "rand_g_mix".
    """

    def step(self, real, fake, state, draws):
        generator, discriminator, _ = super().step(real, fake, state, draws)
        to_normal = self.to_normal(as_float(fake), self.omega(draws))
        generator, discriminator = generator + to_normal, discriminator - to_normal
        return generator, discriminator, _swaps(state, generator, self.threshold)


class RandomBounded(_RandomKernel):
    """The repulsive loss with a random kernel that is bounded, as in "rmb".

    L_G = R,    L_D = w0 k_rf - k_ff - w1 k_rr of squared distances that are held as for
    "rmb", at bounds that are numbers over beta.

    By default L_D is attractive, as in "mgb". The reference's code has k_rr and k_rf in
    each other's place, by a slip as it seems: rep_weights=(-1, -2), which is one of the
    repulsive losses too.

    Args:
      rep_weights: as for "rep".
      bounds: (low, high), over beta, of the squared distance; for rbf:1, whose beta is
        1/2, those of "rmb".
      betas: what beta is held between, in both losses.
      omegas, estimator: as for "rand_g".
    """

    def __init__(
        self,
        rep_weights: tuple[float, float] = (2.0, 1.0),
        bounds: tuple[float, float] = (0.125, 2.0),
        betas: tuple[float, float] = (0.125, 2.0),
        omegas: tuple[float, float] = (0.05, 0.85),
        estimator: str = "ustat",
    ):
        super().__init__(omegas, estimator)
        self.weights = repulsive_weights(rep_weights)
        self.bounds = distance_bounds(bounds)
        rule = "(low, high), 0 < low <= high"
        self.betas = pair("betas", betas, rule, lambda low, high: 0 < low <= high)

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        beta = self.beta(real, fake, self.omega(draws))
        discriminator = bounded_loss(
            real,
            fake,
            lambda d2: ops.exp(-beta * d2),
            self.weights,
            tuple(bound / beta for bound in self.bounds),
            self.means,
        )
        return self.mmd2(real, fake, beta), discriminator, {}

    def beta(self, real, fake, omega):
        return ops.clip(super().beta(real, fake, omega), *self.betas)


class InstanceNoise(_Watching):
    """As "rand_g", on scores with noise, N(0, log(1 + s)^2) on each number.

    Both losses see the same noise. The better the generator, the less: after every step

        s <- s + .001 (average of L_G - threshold), held in [0, e - 1].

    Args:
      threshold: the L_G above which s grows.
      spread, omegas, estimator: as for "rand_g".
    """

    state = {"average": 0.0, "noise": 0.0}

    def step(self, real, fake, state, draws):
        real, fake = as_float(real), as_float(fake)
        n, m = ops.shape(real)[0], ops.shape(fake)[0]
        scale = ops.log1p(ops.cast(state["noise"], "float32"))
        noise = scale * draws.normal("jitter", (n + m, real.shape[-1]))
        generator, discriminator, _ = super().step(
            real + noise[:n], fake + noise[n:], state, draws
        )
        average = _average(state, generator)
        change = _NOISE_RATE * (average - self.threshold)
        level = ops.clip(state["noise"] + change, 0.0, _MOST_NOISE)
        return generator, discriminator, {"average": average, "noise": level}


def swapped(real: Any, fake: Any, probability: Any, draws: Any) -> tuple[Any, Any]:
    """The scores, those of one index swapped with a probability.

    Of batches of two sizes the last rows of the longer one stay.
    """
    real, fake = as_float(real), as_float(fake)
    n, m = ops.shape(real)[0], ops.shape(fake)[0]
    r, f = real[:m], fake[:n]
    swaps = draws.uniform("swaps", (ops.shape(r)[0], 1)) < probability
    return (
        ops.concatenate([ops.where(swaps, f, r), real[m:]], axis=0),
        ops.concatenate([ops.where(swaps, r, f), fake[n:]], axis=0),
    )


def _average(state: Mapping[str, Any], loss: Any) -> Any:
    change = _AVERAGE_RATE * (ops.stop_gradient(loss) - state["average"])
    return state["average"] + change


def _swaps(state: Mapping[str, Any], loss: Any, threshold: float) -> dict[str, Any]:
    """What losses that swap remember then."""
    average = _average(state, loss)
    swaps = state["swaps"] + _SWAP_RATE * (average - threshold)
    return {"average": average, "swaps": ops.clip(swaps, 0.0, _MOST_SWAPS)}


def _beta(means: Callable[[Any], tuple[Any, Any]], start: Any, omega: Any) -> Any:
    """Newton's steps to the beta whose kernel has the mean omega; no gradient passes.

    Args:
      means: beta -> (mean of the kernel, mean of -dk / dbeta).
      start: the mean squared distance.
      omega: in (0, 1).
    """
    beta = -ops.log(omega) / ops.maximum(start, _TINY)
    for _ in range(_NEWTON_STEPS):
        k, slope = means(beta)
        beta = beta + (k - omega) / ops.maximum(slope, _TINY)
    return ops.stop_gradient(beta)


def _beta_of_pairs(x: Any, y: Any, mean: Callable, omega: Any) -> Any:
    d2 = kernels.squared_distances(x, y)

    def means(beta):
        k = ops.exp(-beta * d2)
        return mean(k), mean(k * d2)

    return _beta(means, mean(d2), omega)
