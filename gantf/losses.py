"""Losses of generator and discriminator from scores, by name: `get("rep")`.

A score is (n, d): real scores r = D(x) of n real samples, fake scores f = D(G(z)) of
m generated ones; n and m may differ. Losses are computed in float32 and minimised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from gantf import kernels, mmd
from gantf.choices import arguments, choose

LI_SIGMAS = "rbf:1,1.4142135623730951,2,2.8284271247461903,4"  # sigma^2 = 1 2 4 8 16
BINKOWSKI_ALPHAS = "rq:.2,.5,1,2,5"


class Loss:
    """A pair of losses; `get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
      score_dim: the width of the score that it needs, or None for any.
      penalties: the penalties that the loss is meant to be used with, by name.
      update, critic_steps: the update that it is meant for; see `gantf.GAN`.
    """

    name: str
    parameters: dict[str, Any]
    score_dim: int | None = 1
    penalties: tuple[str, ...] = ()
    update: str = "simultaneous"
    critic_steps: int = 1

    def generator(self, real: Any, fake: Any) -> Any:
        """The generator's loss, a scalar."""
        raise NotImplementedError

    def discriminator(self, real: Any, fake: Any) -> Any:
        """The discriminator's loss, a scalar."""
        raise NotImplementedError

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


class _Logistic(Loss):
    """The logistic loss of Goodfellow et al. (2014), non-saturating.

    L_D = mean softplus(-r) + mean softplus(f),    L_G = mean softplus(-f).
    """

    def generator(self, real, fake):
        return ops.mean(ops.softplus(-_float(fake)))

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(-_float(real))) + ops.mean(
            ops.softplus(_float(fake))
        )


class _Hinge(Loss):
    """The hinge loss of Lim & Ye (2017); Miyato et al. (2018), equation 16.

    L_D = mean relu(1 - r) + mean relu(1 + f),    L_G = -mean f.
    """

    def generator(self, real, fake):
        return -ops.mean(_float(fake))

    def discriminator(self, real, fake):
        return ops.mean(ops.relu(1.0 - _float(real))) + ops.mean(
            ops.relu(1.0 + _float(fake))
        )


class _Wasserstein(Loss):
    """The Wasserstein loss of Arjovsky et al. (2017).

    L_G = mean r - mean f,    L_D = -L_G; the penalty "gp" keeps the discriminator
    near 1-Lipschitz (Gulrajani et al. 2017).
    """

    penalties = ("gp",)
    update, critic_steps = "alternating", 5

    def generator(self, real, fake):
        return ops.mean(_float(real)) - ops.mean(_float(fake))

    def discriminator(self, real, fake):
        return -self.generator(real, fake)


class _MMD(Loss):
    """The MMD loss of Li et al. (2017) on a kernel.

    L_G = k(r,r) + k(f,f) - 2 k(r,f),    L_D = -L_G, where k(a,b) is the mean of the
    kernel over pairs. "mmd_g" sums Gaussian kernels (Li et al. 2017), "mmd_t"
    rational quadratic ones (Binkowski et al. 2018), each with its paper's widths.

    Args:
      kernel: a kernel or its name.
      estimator: which pairs count, as in `gantf.mmd.mmd2`; "ustat" is the reference
        system's: pairs i != j only, also between real and fake.
    """

    score_dim = None

    def __init__(self, kernel: str = LI_SIGMAS, estimator: str = "ustat"):
        self.kernel = kernels.get(kernel)
        self.within, self.across = mmd.means(estimator)

    def generator(self, real, fake):
        k = self.monitors(real, fake)
        return k["k_rr"] + k["k_ff"] - 2.0 * k["k_rf"]

    def discriminator(self, real, fake):
        return -self.generator(real, fake)

    def monitors(self, real, fake):
        real, fake = _float(real), _float(fake)
        return {
            "k_rr": self.within(self.kernel(real, real)),
            "k_ff": self.within(self.kernel(fake, fake)),
            "k_rf": self.across(self.kernel(real, fake)),
        }


class _Repulsive(_MMD):
    """The repulsive loss of Wang et al. (2019), equations 4 and 5.

    L_G = k(r,r) + k(f,f) - 2 k(r,f),
    L_D = w0 k(r,f) - k(f,f) - w1 k(r,r), by default k(r,r) - k(f,f).

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
        self.w0, self.w1 = _weights(rep_weights)

    def discriminator(self, real, fake):
        k = self.monitors(real, fake)
        return self.w0 * k["k_rf"] - k["k_ff"] - self.w1 * k["k_rr"]


class _Bounded(_Repulsive):
    """The repulsive loss with bounded kernels of Wang et al. (2019), equation 6.

    As "rep", but in L_D the squared distances d2 are held: max(d2, low) between
    fakes; between reals min(d2, high) where w1 <= 0, else max(d2, low); between real
    and fake min(d2, high) where w0 > 0. L_G keeps the kernel as it is. The reference
    code has the last condition the wrong way round, by a slip.

    Args:
      bounds: (low, high) of the squared distance; the paper's are 0.25 and 4.
      rep_weights, kernel, estimator: as for "rep"; the kernel must be a function of
        the distance.
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
        if not (_pair(bounds) and 0 <= bounds[0] < bounds[1]):
            raise ValueError(f"bounds are (low, high), 0 <= low < high, not {bounds}")
        self.low, self.high = map(float, bounds)

    def discriminator(self, real, fake):
        real, fake = _float(real), _float(fake)
        k, d2 = self.kernel.of_squares, kernels.squared_distances
        ff = self.within(k(ops.maximum(d2(fake, fake), self.low)))
        rr = d2(real, real)
        rr = ops.minimum(rr, self.high) if self.w1 <= 0 else ops.maximum(rr, self.low)
        loss = -ff - self.w1 * self.within(k(rr))
        if self.w0:
            rf = d2(real, fake)
            rf = ops.minimum(rf, self.high) if self.w0 > 0 else rf
            loss = loss + self.w0 * self.across(k(rf))
        return loss


_LOSSES: dict[str, tuple[Callable[..., Loss], dict[str, Any]]] = {
    "rep": (_Repulsive, {}),
    "rmb": (_Bounded, {}),
    "mgb": (_Bounded, {"rep_weights": (2.0, 1.0)}),
    "mmd_g": (_MMD, {}),
    "mmd_t": (_MMD, {"kernel": BINKOWSKI_ALPHAS}),
    "logistic": (_Logistic, {}),
    "hinge": (_Hinge, {}),
    "wasserstein": (_Wasserstein, {}),
}


def names() -> list[str]:
    """The names of all losses."""
    return list(_LOSSES)


def get(name: str, **parameters) -> Loss:
    """The loss of that name.

    Args:
      name: one of `names()`.
      **parameters: of the loss, see its class.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one.

    >>> get("rmb", bounds=(0.25, 4)).score_dim is None
    True
    """
    if isinstance(name, Loss):
        return name
    kind, own = choose("loss", name, _LOSSES)
    taken = arguments(f"loss {name!r}", kind, parameters, own)
    loss = kind(**taken)
    loss.name = name
    loss.parameters = {
        key: str(value) if isinstance(value, kernels.Kernel) else value
        for key, value in taken.items()
    }
    return loss


def _float(score: Any) -> Any:
    return ops.cast(score, "float32")


def _pair(value: Any) -> bool:
    whole = isinstance(value, tuple | list) and len(value) == 2
    return whole and all(isinstance(number, int | float) for number in value)


def _weights(weights: tuple[float, float]) -> tuple[float, float]:
    if not (_pair(weights) and abs(weights[0] - weights[1] - 1.0) <= 1e-6):
        raise ValueError(f"rep_weights are (w0, w1) with w0 - w1 = 1, not {weights}")
    return float(weights[0]), float(weights[1])
