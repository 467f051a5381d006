"""The bias of FID and the unbiased KID, between laws whose distances are known.

FID from samples is biased, and differently for every model: of two models the worse
one may have the lower mean. KID is unbiased for every number of samples. Binkowski,
Sutherland, Arbel, Gretton: Demystifying MMD GANs, ICLR 2018, section 4 and appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr

from gantf import metrics

_NODES = 40  # of Gauss and Legendre: covariances to 1e-12
_MOST_RUNS = 2000
_CHUNK = 2000  # rows whose products are held at once


def expected_fid(sd: float, size: int) -> float:
    """The mean FID of `size` draws of N(0, sd^2) to N(0, 1), which is known.

        sd^2 / m + sd^2 - 2 sd c + 1,
        c = sqrt(2 / (m - 1)) Gamma(m / 2) / Gamma((m - 1) / 2)

    for FID = (mean of the draws)^2 + (their standard deviation - 1)^2, and c sd the
    mean of that standard deviation. The true value is (sd - 1)^2. With m draws the
    model sd = 1 - 1 / m has a lower mean than the right model.
    """
    ratio = math.exp(gammaln(size / 2) - gammaln((size - 1) / 2))
    c = math.sqrt(2 / (size - 1)) * ratio
    return sd**2 / size + sd**2 - 2 * sd * c + 1


class Rectified(NamedTuple):
    """The law of max(x, 0), x ~ N(mean, cov): mean (d,), cov (d, d)."""

    mean: np.ndarray
    cov: np.ndarray

    def draw(self, size: int, random: np.random.Generator) -> np.ndarray:
        """Independent draws, (size, d)."""
        noise = random.normal(size=(size, len(self.mean)))
        return np.maximum(self.mean + noise @ np.linalg.cholesky(self.cov).T, 0.0)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Its mean (d,) and covariance (d, d), by quadrature.

        With a = mean / sd, the correlation r = sin t and Price's theorem (the second
        derivative in r is the density at (-a_i, -a_j)), the covariance is sd_i sd_j
        times

            r Phi(a_i) Phi(a_j) + int_0^t (r - sin u) exp(-(a_i^2 + a_j^2
            - 2 a_i a_j sin u) / (2 cos^2 u)) du / (2 pi)
        """
        sd = np.sqrt(np.diag(self.cov))
        a = self.mean / sd
        below = ndtr(a)
        mean = sd * (a * below + np.exp(-(a**2) / 2) / math.sqrt(2 * math.pi))
        r = np.clip(self.cov / np.outer(sd, sd), -1.0, 1.0)
        t, total = np.arcsin(r), r * np.outer(below, below)
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        for node, weight in zip((nodes + 1) / 2, weights / 2):
            sin, cos = np.sin(node * t), np.cos(node * t)
            power = (a[:, None] ** 2 + a**2 - 2 * np.outer(a, a) * sin) / (2 * cos**2)
            total += weight * t * (r - sin) * np.exp(-power) / (2 * math.pi)
        return mean, np.outer(sd, sd) * total


def laws(
    dimension: int, random: np.random.Generator
) -> tuple[Rectified, dict[str, Rectified]]:
    """A target and two models that FID orders wrongly for few samples.

        target        relu(N(1, I))
        "shifted"     relu(N(0, I))
        "correlated"  relu(N(1, .8 S + .2 I)),    S = (4 / d) C C'

    C is a (d, d) matrix of draws from N(0, 1). Binkowski et al. (2018), appendix D,
    with d = 2048, where the FIDs are 1123.04 and about 1114.
    """
    eye, one = np.eye(dimension), np.ones(dimension)
    c = random.normal(size=(dimension, dimension))
    return Rectified(one, eye), {
        "shifted": Rectified(0 * one, eye),
        "correlated": Rectified(one, 3.2 / dimension * c @ c.T + 0.2 * eye),
    }


def true_fid(law: Rectified, target: Rectified) -> float:
    """The FID of the laws themselves: that of points with exactly their moments."""
    return metrics.frechet_distance(
        *(points_of(*each.moments()) for each in (law, target))
    )


def points_of(mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """Points (2d, d) with this mean (d,) and covariance (d, d), over n - 1."""
    values, vectors = np.linalg.eigh(cov)
    arms = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    arms *= math.sqrt((2 * len(mean) - 1) / 2)
    return np.concatenate([mean + arms, mean - arms])


def true_kids(
    models: dict[str, Rectified],
    target: Rectified,
    rows: int,
    random: np.random.Generator,
) -> dict[str, float]:
    """The KIDs of the laws themselves, by their raw moments M_p = E x^(p times).

        3 / d |M_1 - M_1'|^2 + 3 / d^2 |M_2 - M_2'|^2 + 1 / d^3 |M_3 - M_3'|^2

    as (a . b / d + 1)^3 is a sum of powers of a . b. The first two are exact, the
    third is the product of two differences of means over `rows` draws each: with 40000
    of them and 64 dimensions, KIDs have an error of about .5 %.
    """
    d = len(target.mean)
    thirds = [_third(target.draw(rows, random)) for _ in range(2)]
    ours, kids = target.moments(), {}
    for name, law in models.items():
        (m, s), (n, t) = law.moments(), ours
        second = np.sum((s + np.outer(m, m) - t - np.outer(n, n)) ** 2)
        one, two = (_third(law.draw(rows, random)) - third for third in thirds)
        kids[name] = float(
            3 / d * np.sum((m - n) ** 2) + 3 / d**2 * second + np.sum(one * two) / d**3
        )
    return kids


def _third(x: np.ndarray) -> np.ndarray:
    """The mean of x_i x_j x_k over rows (n, d): (d^2, d)."""
    total = 0.0
    # float32 halves the time; what it rounds is far below the draws' own error.
    for part in np.array_split(x.astype(np.float32), -(-len(x) // _CHUNK)):
        pairs = (part[:, :, None] * part[:, None, :]).reshape(len(part), -1)
        total = total + pairs.T @ part
    return np.asarray(total, np.float64) / len(x)


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """KID of all rows at once."""
    return metrics.kid(x, y, subsets=1, subset_size=len(x))[0]


def spread(
    score: Callable[[np.ndarray, np.ndarray], float],
    law: Rectified,
    target: Rectified,
    sizes: list[int],
    rows: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A score of fresh samples of both laws, again and again.

    Args:
      score: of two samples.
      law, target: where they come from.
      sizes: how large each sample is.
      rows: to be drawn per size; they make rows / size runs, from 2 to 2000.
      random: the generator.

    Returns:
      Of each size the mean, the standard deviation of one score and the standard
      error of the mean.
    """
    means, sds, errors = [], [], []
    for size in sizes:
        runs = min(max(rows // size, 2), _MOST_RUNS)
        found = [
            score(law.draw(size, random), target.draw(size, random))
            for _ in range(runs)
        ]
        means.append(np.mean(found))
        sds.append(np.std(found, ddof=1))
        errors.append(sds[-1] / math.sqrt(runs))
    return np.array(means), np.array(sds), np.array(errors)
