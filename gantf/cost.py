"""Multiply-adds of a step of training, counted from the words of the nets.

A pass of a net is forward, back to its input, or to its weights; each has the
multiply-adds of the net, but that the first layer is not gone back through where
nobody asks for the slope at its input. Counted are products of kernels and of
attention: not norms, activations, spectral norms, kernels of the loss, optimizers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gantf import shapes
from gantf.architecture import Architecture
from gantf.words import WORDS

# Penalties on slopes, and whether they curve the score themselves, see `_slopes`.
PENALTIES: dict[str, bool] = {
    "gp": False,
    "witness_gp": True,
    "cramer_gp": True,
    "dragan": False,
    "r1": False,
    "r2": False,
}

# Scalings by the slopes of each score at the real samples, as the penalties.
SCALINGS: dict[str, bool] = {
    "smmd": False,
    "smmd_exact": True,
    "swgan": True,
    "slope": False,
}

# What curves a score: slopes change, not only from one region to another.
_STRAIGHT = {"relu", "lrelu", "crelu"}
_CURVED = {"attn", "mbstd"} | {
    name for name, word in WORDS.items() if word.field in ("norm", "act")
} - _STRAIGHT


def step(
    nets: Architecture,
    update: str,
    critic_steps: float = 1,
    penalties: Iterable[str] = (),
    scaling: str = "none",
) -> int:
    """The multiply-adds of a step, for one sample of its batch.

    With G and D those of the nets, g and c those of their first kernels:

        simultaneous   3 G - g + 7 D - 2 c
        alternating    steps (G + 6 D - 2 c) + 3 G - g + 3 D

    and what penalties and scaling add at each update of the discriminator. The
    generator's part of an alternating step scores the real samples once more, as
    losses that compare samples need.

    Args:
      nets: an architecture, as `gantf.architecture.read` gives it.
      update, critic_steps: as for `gantf.GAN`.
      penalties, scaling: names; those without an entry in the tables add nothing.
    """
    (g, first_g), (d, first_d) = (
        _passes(nets, name) for name in ("generator", "discriminator")
    )
    scores = shapes.out_shape(*nets.nets["discriminator"], nets.classes)[-1]
    slopes = _slopes(nets, d, first_d)
    more = sum(slopes(1, PENALTIES[name]) for name in penalties if name in PENALTIES)
    scaled = scaling in SCALINGS
    if scaled:
        more += slopes(scores, SCALINGS[scaling])
    if update == "simultaneous":
        return 3 * g - first_g + 7 * d - 2 * first_d + more
    critic = g + 6 * d - 2 * first_d + more
    # Its loss is scaled too.
    generator = 3 * g - first_g + 3 * d + d * (1 + scores) * scaled
    return int(critic_steps * critic + generator)


def _slopes(nets: Architecture, d: int, first: int) -> Callable[[int, bool], int]:
    """What slopes of so many scores, and the gradient of these slopes, cost.

    Forward and back to the samples from each score; and the gradient of that, forward
    again and to the weights. Where what is differentiated is curved, by the net or by
    the penalty, also back through the first pass, to its weights and inputs.
    """
    layers, _ = nets.nets["discriminator"]
    net = any({layer.kind, layer.norm, layer.act} & _CURVED for layer in layers)

    def passes(scores, curved):
        return d * (1 + 3 * scores) + (2 * d - first) * (net or curved)

    return passes


def left(penalties: Iterable[str], scaling: str) -> list[str]:
    """The penalties and the scaling that `step` leaves out."""
    known = (*PENALTIES, *SCALINGS, "none")
    return [name for name in (*penalties, scaling) if name not in known]


def _passes(nets: Architecture, name: str) -> tuple[int, int]:
    """The multiply-adds of a net and of its first kernel, on one sample."""
    counts = [row.macs for row in shapes.rows(*nets.nets[name], nets.classes)]
    return sum(counts), next(filter(None, counts), 0)
