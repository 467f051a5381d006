"""Multiply-adds of a step of training, counted from the words of the nets.

A pass of a net is forward, back to its input, or to its weights; each has the
multiply-adds of the net, but that the first layer is not gone back through where
nobody asks for the slope at its input. Counted are products of kernels and of
attention: not norms, activations, spectral norms, kernels of the loss, optimizers.
"""

from __future__ import annotations

from collections.abc import Iterable

from gantf import shapes
from gantf.architecture import Architecture

# Gradient penalties: forward, back to the samples, and of that the gradient: forward
# again and to the weights.
_SLOPES = 4
PENALTIES: dict[str, int] = {  # passes on one sample of the batch
    "gp": _SLOPES,
    "witness_gp": _SLOPES,
    "cramer_gp": _SLOPES,
    "dragan": _SLOPES,
    "r1": _SLOPES,
    "r2": _SLOPES,
}

# Scalings with d scores need their Jacobian, here that of the real samples: forward,
# back from each score; and for the discriminator the gradient of that, forward again
# and to the weights.
SCALINGS = ("smmd", "smmd_exact", "swgan", "slope")


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
    slopes = scaling in SCALINGS
    more = d * sum(PENALTIES.get(name, 0) for name in penalties)
    more += d * (1 + 3 * scores) * slopes
    if update == "simultaneous":
        return 3 * g - first_g + 7 * d - 2 * first_d + more
    critic = g + 6 * d - 2 * first_d + more
    # Its loss is scaled too.
    generator = 3 * g - first_g + 3 * d + d * (1 + scores) * slopes
    return int(critic_steps * critic + generator)


def left(penalties: Iterable[str], scaling: str) -> list[str]:
    """The penalties and the scaling that `step` leaves out."""
    known = (*PENALTIES, *SCALINGS, "none")
    return [name for name in (*penalties, scaling) if name not in known]


def _passes(nets: Architecture, name: str) -> tuple[int, int]:
    """The multiply-adds of a net and of its first kernel, on one sample."""
    counts = [row.macs for row in shapes.rows(*nets.nets[name], nets.classes)]
    return sum(counts), next(filter(None, counts), 0)
