"""Scalings of losses by the slope of the discriminator: `get("smmd")`.

With phi(x) the scores of a sample, J its Jacobian and E over a law mu of samples:

    smmd        both losses times 1 / (offset + coefficient E|J|^2)
    smmd_exact  both losses times 1 / (lambda + E k(x,x) + sum_i E d_i d'_i k(x,x))
    swgan       both losses times (offset + coefficient (E|J|^2 + E|phi|^2))^-1/2
    slope       L_D times 1 / (1 + weight E|J|^2), and L_G as it is
    gcmmd       MMD^2 made GCMMD^2, see `gantf.gcmmd`

|J| is the Frobenius norm, over all scores and all numbers of a sample, and the means
are over the whole batch. mu is the law of the real samples ("real"), of the generated
ones ("fake"), both by halves ("both"), or that of u real + (1 - u) fake with one
u ~ U[0, 1] a sample ("between"). The discriminator's gradient goes through the scaling;
so does the generator's, but where mu is "real" it is a constant for the generator.

Arbel, Sutherland, Binkowski, Gretton: On gradient regularizers for MMD GANs, NeurIPS
2018 (SMMD, SWGAN, GC-MMD). Wang, Sun, Halgamuge: Improving MMD-GAN Training with
Repulsive Loss Function, ICLR 2019 (slope, in their code).

>>> import gantf, tensorflow as tf
>>> critic = gantf.build("dense-4", (2,))
>>> points = tf.random.normal((8, 2))
>>> batch = Batch.of(critic, points, points + 1, loss=gantf.losses.get("mmd_g"))
>>> generator, discriminator = get("smmd", coefficient=1)(batch, 1.0, -1.0)
>>> bool(0 < generator < 1 and discriminator == -generator)
True
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from gantf import gcmmd
from gantf.batch import Batch
from gantf.choices import check_made, choose, make
from gantf.discrepancies import MMD
from gantf.jacobian import row_squares, scores_and_jacobian
from gantf.kernels import Kernel
from gantf.replicas import gather


class Scaling:
    """A scaling; `get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
    """

    name: str
    parameters: dict[str, Any]

    def check(self, loss: Any) -> None:
        """Refuses a loss that it does not go with.

        Raises:
          ValueError: with those that it goes with.
        """

    def __call__(
        self, batch: Batch, generator: Any, discriminator: Any
    ) -> tuple[Any, Any]:
        """The scaled losses of generator and discriminator, from the plain ones."""
        raise NotImplementedError


_MEASURES = {  # name -> the samples whose laws are mixed by equal parts
    "real": lambda batch: [batch.real],
    "fake": lambda batch: [batch.fake],
    "both": lambda batch: [batch.real, batch.fake],
    "between": lambda batch: [batch.between()],
}


def _means(batch: Batch, measure: str) -> tuple[Any, Any]:
    """E|phi|^2 and E|J|^2 over the whole batch."""
    parts = [
        [
            tf.reduce_mean(gather(row_squares(rows)))
            for rows in scores_and_jacobian(batch.score, samples)
        ]
        for samples in _MEASURES[measure](batch)
    ]
    squares, slopes = zip(*parts)
    return sum(squares) / len(parts), sum(slopes) / len(parts)


def _measure(name: str) -> str:
    choose("measure of a scaling", name, _MEASURES)
    return name


def _from_0(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} of a scaling is a number from 0, not {value!r}")
    return float(value)


def _above_0(name: str, value: float) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} of a scaling is a number above 0, not {value!r}")
    return float(value)


class _SMMD(Scaling):
    """Scaled MMD with the fixed numbers of the code of Arbel et al. (2018).

    L_G and L_D times 1 / (offset + coefficient E|J|^2); their figures have 1 and 10,
    where their theory has those of "smmd_exact". Their images are in [0, 1]: for the
    same of images in [-1, 1], whose slopes are half as steep, coefficient is 40.

    Args:
      coefficient: above 0.
      offset: from 0; with 0 a critic's factor cancels in front of a linear kernel.
      measure: mu: "real", "fake", "both" or "between".
    """

    def __init__(
        self, coefficient: float = 10.0, offset: float = 1.0, measure: str = "real"
    ):
        self.coefficient = _above_0("coefficient", coefficient)
        self.offset, self.measure = _from_0("offset", offset), _measure(measure)

    def __call__(self, batch, generator, discriminator):
        _, slopes = _means(batch, self.measure)
        scale = 1.0 / (self.offset + self.coefficient * slopes)
        return scale * generator, scale * discriminator


class _SWGAN(_SMMD):
    """Scaled WGAN: as "smmd", with values beside slopes, and the root.

    L_G and L_D times (offset + coefficient (E|J|^2 + E|phi|^2))^-1/2; Arbel et al.
    (2018), their SWGAN with the numbers of their code, whose images are in [0, 1].

    Args:
      coefficient, offset, measure: as for "smmd".
    """

    def __call__(self, batch, generator, discriminator):
        squares, slopes = _means(batch, self.measure)
        scale = tf.math.rsqrt(self.offset + self.coefficient * (slopes + squares))
        return scale * generator, scale * discriminator


class _Slope(Scaling):
    """The discriminator's loss over its slope, from the code of Wang et al. (2019).

    L_D times 1 / (1 + weight E|J|^2); meant for their "rep_ds" and "rmb_ds".

    Args:
      weight: above 0.
      measure: as for "smmd".
    """

    def __init__(self, weight: float = 0.1, measure: str = "real"):
        self.weight, self.measure = _above_0("weight", weight), _measure(measure)

    def __call__(self, batch, generator, discriminator):
        _, slopes = _means(batch, self.measure)
        return generator, discriminator / (1.0 + self.weight * slopes)


class _ExactSMMD(Scaling):
    """Scaled MMD of Arbel et al. (2018), for the kernel of the loss.

    L_G and L_D times 1 / (lambda + E k(x, x) + sum_i E d_i d'_i k(x, x)). For a kernel
    g(|phi(x) - phi(y)|^2) + c phi(x) . phi(y) the latter two are

        g(0) - 2 g'(0) E|J|^2 + c (E|phi|^2 + E|J|^2)

    with g(0) = 1 and -2 g'(0) = 1 / s^2 for rbf:s, both 1 for each rq:a.

    Args:
      lambda_: from 0.
      measure: as for "smmd".
    """

    def __init__(self, lambda_: float = 1.0, measure: str = "real"):
        self.lambda_, self.measure = _from_0("lambda_", lambda_), _measure(measure)

    def check(self, loss):
        _at_zero(_kernel(self, loss))

    def __call__(self, batch, generator, discriminator):
        constant, slope, c = _at_zero(_kernel(self, batch.loss))
        squares, slopes = _means(batch, self.measure)
        scale = 1.0 / (self.lambda_ + constant + c * squares + (slope + c) * slopes)
        return scale * generator, scale * discriminator


class _GCMMD(Scaling):
    """MMD^2 made the gradient-constrained one of Arbel et al. (2018).

    L_G -> (L_G - q) / lambda,    L_D -> -(L_G - q) / lambda

    with q of `gantf.gcmmd.correction` and mu the real samples. L_G is what the loss
    estimates MMD^2 by: only with the biased estimate it is GCMMD^2, never below 0.

    Args:
      lambda_: above 0.
      method, eta, rank: as for `gantf.gcmmd.correction`.
    """

    def __init__(
        self,
        lambda_: float = 1.0,
        method: str = "exact",
        eta: float = 1e-3,
        rank: int = 1000,
    ):
        self.lambda_ = _above_0("lambda_", lambda_)
        choose("method of GC-MMD", method, gcmmd.METHODS)
        if not 0 < eta < 1:
            raise ValueError(f"eta of GC-MMD is between 0 and 1, not {eta!r}")
        if type(rank) is not int or rank < 1:
            raise ValueError(f"rank of GC-MMD is a whole number from 1, not {rank!r}")
        self.method, self.eta, self.rank = method, eta, rank

    def check(self, loss):
        gcmmd.check_kernel(_kernel(self, loss))
        if type(loss) is not MMD:  # most that derive from it have another L_D
            raise ValueError(
                f"scaling {self.name!r} is for losses L_G = MMD^2 = -L_D, as 'gcmmd' "
                f"or 'mmd_g', not {loss.name!r}"
            )

    def __call__(self, batch, generator, discriminator):
        self.check(batch.loss)
        scores, slopes = scores_and_jacobian(batch.score, batch.real)
        slopes = tf.reshape(slopes, (-1, scores.shape[1], math.prod(slopes.shape[2:])))
        q = gcmmd.correction(
            batch.real_scores,
            batch.fake_scores,
            gather(scores),
            gather(slopes),
            batch.loss.kernel,
            self.lambda_,
            self.method,
            self.eta,
            self.rank,
        )
        scaled = (generator - tf.cast(q, tf.float32)) / self.lambda_
        return scaled, -scaled


def _kernel(scaling: Scaling, loss: Any) -> Kernel:
    """The kernel of a loss.

    Raises:
      ValueError: a loss without one.
    """
    kernel = getattr(loss, "kernel", None)
    if not isinstance(kernel, Kernel):
        name = getattr(loss, "name", None)
        raise ValueError(
            f"scaling {scaling.name!r} needs a loss with a kernel, as 'mmd_g', not "
            f"{name!r}"
        )
    return kernel


def _at_zero(kernel: Kernel) -> tuple[Any, Any, float]:
    """g(0), -2 g'(0) and c of a kernel g(|a - b|^2) + c a . b.

    Raises:
      ValueError: a kernel of another form, with the term that is.
    """
    constant, slope, c = 0.0, 0.0, 0.0
    for term in kernel.terms:
        names = [f"{factor.map}{factor.name}" for factor in term.factors]
        if names == ["dot"]:
            c += term.weight * sum(term.factors[0].values)
        elif set(names) <= set(gcmmd.SMOOTH):
            g, g1, _ = gcmmd.derivatives(Kernel((term,)), tf.zeros(()))
            constant, slope = constant + g, slope - 2.0 * g1
        else:
            raise ValueError(
                f"SMMD is known for kernels of {', '.join(gcmmd.SMOOTH)} and dot, "
                f"not for {term}"
            )
    return constant, slope, c


_SCALINGS: dict[str, type[Scaling]] = {
    "smmd": _SMMD,
    "smmd_exact": _ExactSMMD,
    "swgan": _SWGAN,
    "slope": _Slope,
    "gcmmd": _GCMMD,
}


def names() -> list[str]:
    """The names of all scalings."""
    return list(_SCALINGS)


def get(name: str | Scaling, /, **parameters) -> Scaling:
    """The scaling of that name.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one.
    """
    if isinstance(name, Scaling):
        check_made("scaling", parameters)
        return name
    return make("scaling", name, _SCALINGS, parameters)
