"""Losses on a kernel of scores: MMD, the repulsive loss, Cramer's, and their kin.

k_rr, k_ff and k_rf are the means of a kernel over pairs of real scores, of fake ones,
and of both; which pairs count is the `estimator`, see `gantf.mmd`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from gantf import kernels, mmd
from gantf.choices import choose
from gantf.criteria import Loss, as_float, number, pair

WANG_SIGMAS = "rbf:1,1.4142135623730951,2,2.8284271247461903,4"  # sigma^2 = 1 2 4 8 16
LI_SIGMAS = "rbf:1,2,4,8,16"
BINKOWSKI_ALPHAS = "rq:.2,.5,1,2,5"


class MMD(Loss):
    """The MMD loss of Li et al. (2017) and Binkowski et al. (2018) on a kernel.

    L_G = k_rr + k_ff - 2 k_rf,    L_D = -L_G.

    The names differ in kernel, estimator and in what keeps the discriminator smooth:

    - "mmd_g" sums the five Gaussian kernels, sigma^2 = 1, 2, 4, 8, 16, and "mmd_t" the
      rational quadratic ones of the code of Wang et al. (2019). With kernel="distance"
      they are the energy distance, which that code calls cramer.
    - "mmd" is Binkowski et al.'s MMD-GAN-GP with the L2 penalty and the kernel rq*,
      rational quadratic with alpha = .2, .5, 1, 2, 5 and the dot product. Their code
      has "rq:.1,1,10+dot", and its estimator is "constant_diagonal": with it the
      figures that are published of rq* were made.
    - "smmd" is scaled and "gcmmd" gradient-constrained (Arbel et al. 2018). SN-SMMD is
      "smmd" with a discriminator whose layers have the words snm and gain.

    Args:
      kernel: a kernel or its name.
      estimator: which pairs count; "ustat", the default of "mmd_g" and "mmd_t", is that
        of Wang et al.'s code: pairs i != j only, also between real and fake.
    """

    score_dim = None

    def __init__(self, kernel: str = WANG_SIGMAS, estimator: str = "ustat"):
        self.kernel = kernels.get(kernel)
        choose("estimator", estimator, mmd.ESTIMATORS)
        self.estimator = estimator

    def generator(self, real, fake):
        k_rr, k_ff, k_rf = self.terms(real, fake)
        return k_rr + k_ff - 2.0 * k_rf

    def discriminator(self, real, fake):
        return -self.generator(real, fake)

    def witness(self, points, real, fake):
        samples = as_float(points), as_float(real), as_float(fake)
        return mmd.witness(*samples, self.kernel)

    def monitors(self, real, fake):
        return dict(zip(("k_rr", "k_ff", "k_rf"), self.terms(real, fake)))

    def terms(self, real: Any, fake: Any) -> tuple[Any, Any, Any]:
        """k_rr, k_ff and k_rf."""
        return mmd.terms(as_float(real), as_float(fake), self.kernel, self.estimator)


class Repulsive(MMD):
    """The repulsive loss of Wang et al. (2019), equations 4 and 5.

    L_G = k_rr + k_ff - 2 k_rf,
    L_D = w0 k_rf - k_ff - w1 k_rr, by default k_rr - k_ff.

    "rep_gp" has the penalty on the witness function with weight .1, the value of the
    authors' table; see "rep_ds" for the other one.

    Args:
      rep_weights: (w0, w1) with w0 - w1 = 1; (0, -1) is the paper's repulsive loss,
        (2, 1) the attractive one, -L_G.
      kernel, estimator: as for "mmd_g".
    """

    def __init__(
        self,
        rep_weights: tuple[float, float] = (0.0, -1.0),
        kernel: str = "rbf:1",
        estimator: str = "ustat",
    ):
        super().__init__(kernel, estimator)
        self.w0, self.w1 = repulsive_weights(rep_weights)

    def discriminator(self, real, fake):
        k_rr, k_ff, k_rf = self.terms(real, fake)
        return self.w0 * k_rf - k_ff - self.w1 * k_rr


class ShiftedRepulsive(Repulsive):
    """The repulsive loss that is meant to be scaled by the discriminator's slope.

    L_G as for "rep",    L_D = w0 k_rf - k_ff - w1 k_rr - 1,

    which the scaling "slope" multiplies by 1 / (.1 E |dD/dx|^2 + 1), in L_D alone: the
    "rep_ds" of Wang et al.'s code. L_D is below 0, so that less slope makes it less.

    Args:
      rep_weights, kernel, estimator: as for "rep".
    """

    def discriminator(self, real, fake):
        return super().discriminator(real, fake) - 1.0


class Bounded(Repulsive):
    """The repulsive loss with bounded kernels of Wang et al. (2019), equation 6.

    As "rep", but in L_D the squared distances d2 are held: max(d2, low) between
    fakes; between reals min(d2, high) where w1 <= 0, else max(d2, low); between real
    and fake min(d2, high) where w0 > 0. L_G keeps the kernel as it is. The reference
    code has the last condition the wrong way round, by a slip. "rmb_gp" and "rmb_ds"
    are as "rep_gp" and "rep_ds", but the latter shifts nothing.

    Args:
      bounds: (low, high) of the squared distance; the paper's are 0.25 and 4.
      rep_weights, kernel: as for "rep"; the kernel must be a function of the distance.
      estimator: as for "rep", but one that takes all pairs or all i != j.
    """

    def __init__(
        self,
        rep_weights: tuple[float, float] = (0.0, -1.0),
        bounds: tuple[float, float] = (0.25, 4.0),
        kernel: str = "rbf:1",
        estimator: str = "ustat",
    ):
        super().__init__(rep_weights, kernel, estimator)
        self.kernel.of_squares(ops.zeros((1, 1)))  # refuses other kernels now
        self.means = mmd.means(estimator)
        self.bounds = distance_bounds(bounds)

    def discriminator(self, real, fake):
        weights, k = (self.w0, self.w1), self.kernel.of_squares
        return bounded_loss(real, fake, k, weights, self.bounds, self.means)


class Root(MMD):
    """The loss of Li et al. (2017): the root of MMD^2, and a term on the means.

    L_G = sqrt(relu(k_rr + k_ff - 2 k_rf)) + rank_weight R,    L_D = -L_G,
    R = -mean over the d numbers of relu(mean f - mean r).

    The root has no gradient at 0. Numbers are those of the authors' code: the sigmas 1,
    2, 4, 8, 16 and not their squares, the biased estimate, both weights. Its
    discriminator is the encoder of an autoencoder, so the penalty "autoencoder" with
    weight 8 belongs to it; the encoder's weights alone are clipped.

    Args:
      rank_weight: the weight of R.
      kernel, estimator: as for "mmd_g".
    """

    def __init__(
        self,
        rank_weight: float = 16.0,
        kernel: str = LI_SIGMAS,
        estimator: str = "biased",
    ):
        super().__init__(kernel, estimator)
        self.rank_weight = number(
            "rank_weight", rank_weight, "a number from 0", lambda value: value >= 0
        )

    def generator(self, real, fake):
        return kernels.root(super().generator(real, fake)) + self.rank_weight * _rank(
            real, fake
        )

    def monitors(self, real, fake):
        return {**super().monitors(real, fake), "rank": _rank(real, fake)}


class Cramer(Loss):
    """The loss of the Cramer GAN, Bellemare et al. (2017).

    Fakes f' are independent of f: the fake batch with its rows moved on by one, so
    that f'_i = f_(i-1) and f'_0 is the last row. With c(u, f') = |u - f'| - |u|,

        L_G = mean (|r - f| + |r - f'| - |f - f'|),    L_D = mean (c(f, f') - c(r, f')).

    The paper and the code of Binkowski et al. (2018) draw two batches of fakes instead;
    all means are the same. Of batches of two sizes the first rows of the longer one are
    taken. Norms have gradient 0 at 0, where that code adds 1e-5 under each root. Scores
    had 256 numbers there.
    """

    score_dim = None

    def generator(self, real, fake):
        r, f, other = _triples(real, fake)
        norms = kernels.norms
        return ops.mean(norms(r - f) + norms(r - other) - norms(f - other))

    def discriminator(self, real, fake):
        r, f, other = _triples(real, fake)
        return ops.mean(_critic(f, other) - _critic(r, other))

    def witness(self, points, real, fake):
        """mean_j |t - f_j| - |t|."""
        points, fake = as_float(points), as_float(fake)
        distances = kernels.root(kernels.squared_distances(points, fake))
        return ops.mean(distances, axis=1) - kernels.norms(points)


class Surrogate(Cramer):
    """The other loss of the Cramer GAN in the code of Binkowski et al. (2018).

    With f' and c as for "cramer", which has another L_G and in L_D c(r, f'),

        L_G = mean (c(r, f) - c(f, f')),    L_D = -L_G.
    """

    def generator(self, real, fake):
        r, f, other = _triples(real, fake)
        return ops.mean(_critic(r, f) - _critic(f, other))

    def discriminator(self, real, fake):
        return -self.generator(real, fake)


class ToNormal(MMD):
    """MMD whose discriminator also draws real scores to a normal law.

    L_G = k_rr + k_ff - 2 k_rf,    L_D = N(r) - L_G,

    N(r) being MMD^2 of the real scores and N(0, spread / (2 d) I), see `normal_mmd2`.
    The code of Wang et al. (2019) has N for a fixed kernel, but no name leads there;
    that it is put together as in "rand_g" is our choice.

    Args:
      spread: the mean squared distance of two draws of the normal law.
      kernel: as for "mmd_g", but a sum of Gaussian kernels.
      estimator: as for "mmd_g", but one that takes all pairs or all i != j.
    """

    def __init__(
        self,
        spread: float = 1.0,
        kernel: str = WANG_SIGMAS,
        estimator: str = "ustat",
    ):
        super().__init__(kernel, estimator)
        self.spread = positive("spread", spread)
        self.within, _ = mmd.means(estimator)
        self.betas = [
            (term.weight, 0.5 / sigma**2)
            for term in self.kernel.terms
            for sigma in _sigmas(self.kernel, term)
        ]

    def discriminator(self, real, fake):
        return self.to_normal(real) - self.generator(real, fake)

    def to_normal(self, scores: Any) -> Any:
        """MMD^2 of scores and the normal law."""
        return sum(
            weight * normal_mmd2(scores, beta, self.spread, self.within)
            for weight, beta in self.betas
        )


def normal_mmd2(
    scores: Any, beta: Any, spread: float, within: Callable, mean: float = 0.0
) -> Any:
    """MMD^2 of scores and n ~ N(mean 1, s^2 I), s^2 = spread / (2 d), for a Gaussian.

    The kernel is exp(-beta |a - b|^2). With c = 1 + 2 beta s^2,

        E k(x, n) = c^(-d/2) exp(-beta |x - mean 1|^2 / c),
        E k(n, n') = (1 + 4 beta s^2)^(-d/2).

    Args:
      scores: (n, d).
      beta: of the kernel, 1 / (2 sigma^2).
      spread: the mean squared distance of n and n'.
      within: the mean of a matrix of k(x_i, x_j).
      mean: of each of the d numbers.
    """
    scores = as_float(scores)
    d2 = kernels.squared_distances(scores, scores)
    k_xn, _ = normal_means(scores, beta, spread, mean)
    width = scores.shape[-1]
    k_nn = ops.exp(-0.5 * width * ops.log1p(2.0 * beta * spread / width))
    return within(ops.exp(-beta * d2)) + k_nn - 2.0 * k_xn


def normal_means(
    scores: Any, beta: Any, spread: float, mean: float = 0.0
) -> tuple[Any, Any]:
    """The means over x of E k(x, n), see `normal_mmd2`, and of -dE k(x, n) / dbeta."""
    width = scores.shape[-1]
    squares = ops.sum(ops.square(scores - mean), axis=-1)
    c = 1.0 + beta * spread / width
    k = ops.exp(-0.5 * width * ops.log(c) - beta * squares / c)
    slope = k * (0.5 * spread + squares / c) / c
    return ops.mean(k), ops.mean(slope)


def bounded_loss(
    real: Any,
    fake: Any,
    kernel: Callable,
    weights: tuple[float, float],
    bounds: tuple[Any, Any],
    means: tuple[Callable, Callable],
) -> Any:
    """L_D of `Bounded`, with a kernel of squared distances."""
    real, fake = as_float(real), as_float(fake)
    (w0, w1), (low, high), (within, across) = weights, bounds, means
    d2 = kernels.squared_distances
    rr = d2(real, real)
    rr = ops.minimum(rr, high) if w1 <= 0 else ops.maximum(rr, low)
    ff = ops.maximum(d2(fake, fake), low)
    loss = -within(kernel(ff)) - w1 * within(kernel(rr))
    if w0:
        rf = d2(real, fake)
        rf = ops.minimum(rf, high) if w0 > 0 else rf
        loss = loss + w0 * across(kernel(rf))
    return loss


def repulsive_weights(value: Any) -> tuple[float, float]:
    """The parameter (w0, w1) of repulsive losses."""
    return pair(
        "rep_weights",
        value,
        "(w0, w1) with w0 - w1 = 1",
        lambda w0, w1: abs(w0 - w1 - 1.0) <= 1e-6,
    )


def distance_bounds(value: Any) -> tuple[float, float]:
    """The parameter (low, high) of bounded kernels."""
    rule = "(low, high), 0 <= low < high"
    return pair("bounds", value, rule, lambda low, high: 0 <= low < high)


def positive(name: str, value: Any) -> float:
    """A parameter that is above 0."""
    return number(name, value, "a number above 0", lambda value: value > 0)


def _sigmas(kernel, term):
    """The sigmas of a Gaussian term."""
    factor = term.factors[0]
    if len(term.factors) > 1 or factor.name != "rbf" or factor.map:
        raise ValueError(
            f"kernel {kernel} has no closed form with a normal law; sums of rbf have"
        )
    return factor.values


def _rank(real, fake):
    """R of Li et al.: 0 where each mean of fakes is below that of reals."""
    gaps = ops.mean(as_float(fake), axis=0) - ops.mean(as_float(real), axis=0)
    return -ops.mean(ops.relu(gaps))


def _critic(u, other):
    return kernels.norms(u - other) - kernels.norms(u)


def _triples(real, fake):
    """Rows (r_i, f_i, f_(i-1))."""
    real, fake = as_float(real), as_float(fake)
    if fake.shape[0] == 1:
        raise ValueError("pairs of fakes need two rows at least, not one")
    other = ops.roll(fake, 1, axis=0)
    n, m = ops.shape(real)[0], ops.shape(fake)[0]
    return real[:m], fake[:n], other[:n]
