"""Losses of generator and discriminator from scores, by name: `get("rep")`.

The table says of each name which loss it is, with which parameters, and what it is
meant to be used with: penalties, a scaling, clipped weights, the update. Formulas are
in `gantf.criteria`, for scores of one number, `gantf.discrepancies`, for scores of any
width, and `gantf.mixing`, for losses that draw random numbers.

Of the code of Wang et al. (2019) no name leads to a kernel whose scale is trained, to
z-scored distances, and to "test", whose losses are 0: the first needs a weight that
belongs to no net, of the second its kernels are not told, the third trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gantf import criteria, discrepancies, kernels, mixing
from gantf.choices import arguments, check_made, choose
from gantf.criteria import Loss
from gantf.discrepancies import BINKOWSKI_ALPHAS

__all__ = ["Loss", "get", "names"]


class _Usage(NamedTuple):
    """What a loss is meant to be used with; see `Loss`."""

    penalties: tuple[tuple[str, dict[str, Any]], ...] = ()
    scaling: tuple[str, dict[str, Any]] | None = None
    clip: float | None = None
    update: str = "simultaneous"
    critic_steps: int | str = 1


class _Row(NamedTuple):
    """A loss: its class, its own parameters, its use, its source."""

    kind: Callable[..., Loss]
    parameters: dict[str, Any]
    usage: _Usage
    source: str


def _penalised(name: str, weight: float) -> tuple[tuple[str, dict[str, Any]], ...]:
    return ((name, {"weight": weight}),)


_ONE = _Usage()
_FIVE = _Usage(update="alternating", critic_steps=5)
# More critic steps at first and now and then, as in the codes of the two papers.
_LI = _FIVE._replace(critic_steps="5,more=100,first=25,every=500")
_ARBEL = _FIVE._replace(critic_steps="5,more=10,first=20,every=500")
_WITNESS = _ONE._replace(penalties=_penalised("witness_gp", 0.1))
_SLOPE = _ONE._replace(scaling=("slope", {}))

_WANG = "Wang et al. (2019), equation"
_CODE = "code of Wang et al. (2019)"
_RBF = {"kernel": "rbf:1"}

_LOSSES: dict[str, _Row] = {
    "rep": _Row(discrepancies.Repulsive, {}, _ONE, f"{_WANG}s 4 and 5"),
    "rep_gp": _Row(discrepancies.Repulsive, {}, _WITNESS, _CODE),
    "rep_ds": _Row(discrepancies.ShiftedRepulsive, {}, _SLOPE, _CODE),
    "rmb": _Row(discrepancies.Bounded, {}, _ONE, f"{_WANG} 6"),
    "rmb_gp": _Row(discrepancies.Bounded, {}, _WITNESS, _CODE),
    "rmb_ds": _Row(discrepancies.Bounded, {}, _SLOPE, _CODE),
    "mgb": _Row(discrepancies.Bounded, {"rep_weights": (2.0, 1.0)}, _ONE, _CODE),
    "mmd_g": _Row(discrepancies.MMD, {}, _ONE, f"Li et al. (2017); {_CODE}"),
    "mmd_t": _Row(
        discrepancies.MMD,
        {"kernel": BINKOWSKI_ALPHAS},
        _ONE,
        f"Binkowski et al. (2018); {_CODE}",
    ),
    "mmd_g_xn": _Row(discrepancies.ToNormal, {}, _ONE, _CODE),
    "mmd_g_mix": _Row(mixing.MixedMMD, {}, _ONE, _CODE),
    "sgm": _Row(mixing.MixedMMD, {**_RBF, "threshold": 0.2}, _ONE, _CODE),
    "rand_mmd_g": _Row(mixing.RandomMMD, {}, _ONE, _CODE),
    "rand_g": _Row(mixing.Random, {}, _ONE, _CODE),
    "rand_g_mix": _Row(mixing.Mixed, {}, _ONE, _CODE),
    "rgb": _Row(mixing.RandomBounded, {}, _ONE, _CODE),
    "sym_rg": _Row(mixing.Symmetric, {}, _ONE, _CODE),
    "sym_rg_mix": _Row(mixing.SymmetricMixed, {}, _ONE, _CODE),
    "instance_noise": _Row(mixing.InstanceNoise, {}, _ONE, _CODE),
    "mmd": _Row(
        discrepancies.MMD,
        {"kernel": f"{BINKOWSKI_ALPHAS}+dot", "estimator": "unbiased"},
        _FIVE._replace(
            penalties=_penalised("witness_gp", 1.0) + _penalised("feature_l2", 1.0)
        ),
        "Binkowski et al. (2018)",
    ),
    "li": _Row(
        discrepancies.Root,
        {},
        _LI._replace(clip=0.01, penalties=_penalised("autoencoder", 8.0)),
        "Li et al. (2017)",
    ),
    "cramer": _Row(
        discrepancies.Cramer,
        {},
        _FIVE._replace(penalties=_penalised("cramer_gp", 10.0)),
        "Bellemare et al. (2017)",
    ),
    "reddit_cramer": _Row(
        discrepancies.Surrogate,
        {},
        _FIVE._replace(penalties=_penalised("cramer_gp", 10.0)),
        "code of Binkowski et al. (2018)",
    ),
    "smmd": _Row(
        discrepancies.MMD,
        {**_RBF, "estimator": "unbiased"},
        _ARBEL._replace(scaling=("smmd", {})),
        "Arbel et al. (2018)",
    ),
    "gcmmd": _Row(
        discrepancies.MMD,
        {**_RBF, "estimator": "biased"},
        _ARBEL._replace(scaling=("gcmmd", {})),
        "Arbel et al. (2018)",
    ),
    "swgan": _Row(
        criteria.Wasserstein,
        {},
        _ARBEL._replace(scaling=("swgan", {})),
        "Arbel et al. (2018)",
    ),
    "sobolev": _Row(
        criteria.Wasserstein,
        {},
        _ARBEL._replace(penalties=(("sobolev", {}), ("kernel_l2", {}))),
        "Mroueh et al. (2018)",
    ),
    "wgan": _Row(
        criteria.Wasserstein,
        {},
        _FIVE._replace(clip=0.01),
        "Arjovsky et al. (2017)",
    ),
    "wasserstein": _Row(
        criteria.Wasserstein,
        {},
        _FIVE._replace(penalties=_penalised("gp", 10.0)),
        "Gulrajani et al. (2017)",
    ),
    "logistic": _Row(criteria.Logistic, {}, _ONE, "Goodfellow et al. (2014)"),
    "dragan": _Row(
        criteria.Logistic,
        {},
        _ONE._replace(penalties=(("dragan", {}),)),
        "Kodali et al. (2017)",
    ),
    "hinge": _Row(
        criteria.Hinge,
        {},
        _ONE,
        "Lim & Ye (2017); Miyato et al. (2018), equation 16",
    ),
    "lsgan": _Row(criteria.LeastSquares, {}, _ONE, "Mao et al. (2017), equation 2"),
}
_ALIASES = {  # what codes and papers also call them
    "rep_mmd_g": "rep",
    "rep_b": "rmb",
    "rep_mmd_b": "rmb",
    "fixed_g": "mmd_g",
    "fixed_t": "mmd_t",
    "fixed_g_mix": "mmd_g_mix",
    "mixture_g_xn": "mmd_g_xn",
    "sym_rand_g": "sym_rg",
    "ins_noise": "instance_noise",
    "sobolev_gan": "sobolev",
    "wgan_gp": "wasserstein",
    "gan": "logistic",
}


def names() -> list[str]:
    """The names of all losses."""
    return list(_LOSSES)


def get(name: str | Loss, /, **parameters) -> Loss:
    """The loss of that name.

    Args:
      name: one of `names()`, or what the reference's code calls it, as "fixed_g".
      **parameters: of the loss, see its class.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one.

    >>> get("rmb", bounds=(0.25, 4)).score_dim is None
    True
    >>> get("wgan_gp").name, get("wgan_gp").penalties
    ('wasserstein', (('gp', {'weight': 10.0}),))
    """
    if isinstance(name, Loss):
        check_made("loss", parameters)
        return name
    name = _ALIASES.get(name, name) if isinstance(name, str) else name
    row = choose("loss", name, _LOSSES)
    taken = arguments(f"loss {name!r}", row.kind, parameters, row.parameters)
    loss = row.kind(**taken)
    loss.name, loss.source = name, row.source
    loss.parameters = {
        key: str(value) if isinstance(value, kernels.Kernel) else value
        for key, value in taken.items()
    }
    for key, value in row.usage._asdict().items():
        setattr(loss, key, value)
    return loss
