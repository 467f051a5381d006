"""The bias of gradients and of critics that are learned from samples.

A minibatch's gradient of the unbiased MMD^2 is unbiased for every fixed critic, ReLUs
included. A critic that was learned from samples is another matter: the distance that
it shows is biased, and so is its gradient, whether it is scored with the samples it
learned from (up) or with others (down). Binkowski, Sutherland, Arbel, Gretton:
Demystifying MMD GANs, ICLR 2018, section 3.

The learned critic here. P = N(D, 1), Q = N(0, 1), critics f(x) = psi x, |psi| <= 1: the
distance is |D|, and n samples of each law have a difference of means d ~ N(D, 2 / n),
from which one learns psi = sign(d).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.special import erf
from scipy.stats import binom

from gantf import kernels, mmd

# ---- a critic that is learned


def plug_in(shift: Any, size: int) -> Any:
    """The mean distance that the critic shows on the samples it learned from, E |d|.

    sqrt(4 / (pi n)) exp(-D^2 n / 4) + D erf(D sqrt(n) / 2), above |D|.

    Args:
      shift: D, a number or an array.
      size: n, samples of each law.
    """
    return 2.0 * _bump(shift, size) / size + split_sample(shift, size)


def plug_in_slope(shift: Any, size: int) -> Any:
    """Its derivative in D, erf(D sqrt(n) / 2): the mean psi, between -1 and 1.

    It is also the mean gradient of a generator that takes the learned critic for a
    fixed one, whichever samples it is scored with. The true one is the sign of D.
    """
    return erf(shift * math.sqrt(size) / 2.0)


def split_sample(shift: Any, size: int) -> Any:
    """The mean distance that it shows on other samples, E sign(d) D.

    D (2 Phi(D sqrt(n / 2)) - 1) = D erf(D sqrt(n) / 2), below |D|.
    """
    return shift * plug_in_slope(shift, size)


def split_sample_slope(shift: Any, size: int) -> Any:
    """Its derivative, erf(D sqrt(n) / 2) + D sqrt(n / pi) exp(-D^2 n / 4).

    No minibatch has this gradient in its mean: psi jumps where d changes its sign.
    """
    return plug_in_slope(shift, size) + shift * _bump(shift, size)


def _bump(shift, size):
    return math.sqrt(size / math.pi) * np.exp(-(np.asarray(shift) ** 2) * size / 4.0)


# ---- no estimate of a distance is unbiased
#
# Bickel & Lehmann, Unbiased estimation in convex families, 1969: along a mixture
# (1 - a) P_0 + a P_1 the mean of whatever is computed from n samples is a polynomial
# of degree n in a. Here P_0 and P_1 are points at -1 and 1, and Q is one at 0: with
# critics psi x, |psi| <= 1, the distance is |2a - 1|, which is no polynomial, while
# its square, the MMD^2 of the kernel a b, is one of degree 2.


def mixture_plug_in(weight: Any, size: int) -> np.ndarray:
    """The mean of |2 k / n - 1|, k of n samples at 1: |2a - 1|'s Bernstein polynomial.

    Args:
      weight: a in [0, 1], a number or an array.
      size: n, samples of the mixture.
    """
    k = np.arange(size + 1)
    chances = binom.pmf(k, size, np.asarray(weight)[..., None])
    return chances @ np.abs(2.0 * k / size - 1.0)


def least_bias(size: int) -> float:
    """The worst bias over all a of the estimate from n samples where it is least.

    The least error of polynomials of degree n to |x| on [-1, 1], about .28 / n
    (Bernstein, 1914): a linear program for an even sum of Chebyshev's, on a grid.
    """
    x = np.sin(np.linspace(0.0, math.pi / 2.0, 50 * size + 1))
    powers = np.polynomial.chebyshev.chebvander(x, size)[:, ::2]
    slack = -np.ones((len(x), 1))
    best = linprog(
        np.append(np.zeros(powers.shape[1]), 1.0),
        np.block([[powers, slack], [-powers, slack]]),
        np.concatenate([x, -x]),
        bounds=(None, None),
    )
    return float(best.fun)


# ---- gradients through a fixed critic


class Discrete(NamedTuple):
    """A law on a few points: atoms (a, d), masses (a,)."""

    atoms: np.ndarray
    masses: np.ndarray

    def minibatches(self, size: int) -> Iterator[tuple[np.ndarray, float]]:
        """The rows of every minibatch, up to their order, with its probability."""
        every = range(len(self.masses))
        for rows in map(list, itertools.combinations_with_replacement(every, size)):
            counts = np.bincount(rows, minlength=len(self.masses))
            orders = math.factorial(size) / math.prod(map(math.factorial, counts))
            yield np.array(rows), float(orders * np.prod(self.masses**counts))


REAL = Discrete(
    np.array([[0.0, 0.3], [1.2, -0.5], [-0.7, 0.9]]), np.array([3, 5, 2]) / 10
)
MODEL = Discrete(
    np.array([[0.5, 1.1], [-1.3, 0.2], [0.8, -0.6]]), np.array([5, 1, 4]) / 10
)


def relu_critic(random: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A net 2-8-2 with a ReLU between, of normal weights and biases."""
    w_1, b_1, w_2 = (random.normal(size=size) for size in [(2, 8), 8, (8, 2)])
    return lambda x: np.maximum(x @ w_1 + b_1, 0.0) @ w_2 / math.sqrt(8)


class Gradients(NamedTuple):
    """d/dtheta at theta = 1 of MMD^2 between x and theta y, for minibatches.

    Attributes:
      true: of the laws' own MMD^2.
      mean, sd: of the minibatches' gradients, over all minibatches.
    """

    true: float
    mean: float
    sd: float


def gradients(
    real: Discrete,
    model: Discrete,
    critic: Callable[[np.ndarray], np.ndarray],
    kernel: str | kernels.Kernel,
    size: int,
    estimator: str,
) -> Gradients:
    """The gradients of all minibatches of `size` rows of each law, exactly.

    An estimate is linear in the kernel's values, so that its gradient is the same
    estimate from their derivatives, which are central differences here: to 1e-9 where
    no ReLU has its kink within 1e-5.

    Args:
      real, model: the laws of x and y.
      critic: (n, d) -> (n, features), fixed.
      kernel: on the features.
      size: m, from 2.
      estimator: of MMD^2, "unbiased" or "biased".

    Raises:
      ValueError: an estimate that depends on the order of rows.
    """
    k, (within, across) = kernels.get(kernel), mmd.means(estimator)
    if across is not mmd.mean:
        raise ValueError(f"estimator is 'unbiased' or 'biased' here, not {estimator!r}")
    x, step = critic(real.atoms), 1e-5
    pairs = []
    for theta in (1.0 + step, 1.0 - step):
        y = critic(theta * model.atoms)
        pairs.append([np.asarray(k(y, y)), np.asarray(k(x, y))])
    k_yy, k_xy = ((up - down) / (2.0 * step) for up, down in zip(*pairs))
    p, q = real.masses, model.masses
    rows, chances_x = zip(*real.minibatches(size))
    # The mean over pairs of a minibatch is that over atoms, by its shares of them.
    shares = np.array([np.bincount(row, minlength=len(p)) for row in rows]) / size
    values, chances = [], []
    for row, chance in model.minibatches(size):
        own = float(within(k_yy[np.ix_(row, row)]))
        values.append(own - 2.0 * shares @ k_xy[:, row].mean(axis=1))
        chances.append(chance * np.array(chances_x))
    values, chances = np.array(values), np.array(chances)
    mean = np.sum(chances * values)
    sd = math.sqrt(np.sum(chances * (values - mean) ** 2))
    return Gradients(float(q @ k_yy @ q - 2.0 * p @ k_xy @ q), float(mean), sd)
