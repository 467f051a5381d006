"""A training step in PyTorch that does what gantf's does, to be timed beside it.

Usage:

    python tools/torch_step.py                       # dcgan-sn-32: are they equal?
    python tools/torch_step.py sn-resnet-32 --loss=hinge --batch=4

It gives a `gantf.GAN` and a `Step` the same weights, samples and latents and prints how
far the losses and gradients of one step in float32 are apart. Of gradients that is the
largest |a - b| / |b| of a variable. A |b| below 1e-3, of gradients below 1e-3 of the
largest, counts as that large, since some are 0 but for roundings.

Where an activation is 0 but for a rounding, relu may have one slope here and another
there, which moves gradients by some 1e-3. So the first column is of the nets with tanh
for relu and lrelu, and the second of the nets as they are. The exit status is 1 where
the first is above 1e-3 or the second above 3e-2.

A `Step` keeps no running average and no logs, and its nets are of the words that
tools/torch_nets.py knows.
PyTorch is not among what gantf needs: pip install torch.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import torch
import torch.nn.functional as F
import torch_nets
from torch import Tensor, nn

import architectures
import gantf
from gantf import losses
from gantf.architecture import read
from gantf.batch import Draws
from gantf.choices import choose, whole_number
from gantf.sampler import draw_latents

LARGEST, LARGEST_WITH_RELU, NEGLIGIBLE = 1e-3, 3e-2, 1e-3
RATE = 0.01
NETS = ("generator", "discriminator")
UPDATES = ("simultaneous", "alternating", "customary")
PRECISIONS = {"float32": False, "mixed_bfloat16": True}


# ---- losses


class Loss(NamedTuple):
    """A pair of losses of scores (n, d), in float32.

    Attributes:
      terms: (real, fake) -> what both losses are functions of.
      generator, discriminator: functions of the terms.
      real: whether the generator's gradient depends on real scores.
      score: the width of the score; None for any.
      penalty: the weight of the gradient penalty.
    """

    terms: Callable[..., tuple]
    generator: Callable[..., Tensor]
    discriminator: Callable[..., Tensor]
    real: bool = False
    score: int | None = 1
    penalty: float = 0.0


def _rbf(*sigmas: float) -> Callable[..., tuple]:
    """Means of a sum of Gaussian kernels over pairs i != j: k_rr, k_ff, k_rf."""

    def mean(x, y):
        squares = (x[:, None] - y).square().sum(-1)
        kernel = sum(torch.exp(squares * (-0.5 / sigma**2)) for sigma in sigmas)
        n = len(x)
        return (kernel * (1 - torch.eye(n))).sum() / (n * n - n)

    return lambda real, fake: (mean(real, real), mean(fake, fake), mean(real, fake))


def _scores(real, fake):
    return real, fake


def _mmd(k_rr, k_ff, k_rf):
    return k_rr + k_ff - 2 * k_rf


LOSSES = {
    "rep": Loss(_rbf(1), _mmd, lambda k_rr, k_ff, _: k_rr - k_ff, True, None),
    "mmd_g": Loss(
        _rbf(1, 2**0.5, 2, 2**1.5, 4), _mmd, lambda *k: -_mmd(*k), True, None
    ),
    "hinge": Loss(
        _scores,
        lambda real, fake: -fake.mean(),
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    ),
    "logistic": Loss(
        _scores,
        lambda real, fake: F.softplus(-fake).mean(),
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    ),
    "wasserstein": Loss(
        _scores,
        lambda real, fake: (0 if real is None else real.mean()) - fake.mean(),
        lambda real, fake: fake.mean() - real.mean(),
        penalty=10.0,
    ),
}


# ---- the step


class Step:
    """A generator and a discriminator with their optimizers; a call is one step.

    - "simultaneous": one batch, one pass, both gradients from that pass.
    - "alternating": `critic_steps` updates of the discriminator, then one of the
      generator; fresh latents each. The discriminator is frozen meanwhile.
    - "customary": the same as most training loops have it. No net is frozen, so the
      generator's loss goes back to the weights of the discriminator too, and what
      that adds to their gradient is thrown away before they are updated again.

    Args:
      architecture: a dict as in `architectures`.
      loss: one of `LOSSES`, with the penalty that belongs to it.
      update: one of `UPDATES`.
      precision: one of `PRECISIONS`; "mixed_bfloat16" is torch.autocast.
      critic_steps: of an update that is not simultaneous.

    Raises:
      ValueError: something that is not known here.
    """

    def __init__(
        self,
        architecture: Any,
        loss: str = "rep",
        update: str = "simultaneous",
        precision: str = "float32",
        critic_steps: int = 1,
    ):
        self.loss = choose("loss", loss, LOSSES)
        steps = [self._simultaneous, self._alternating, self._alternating]
        self._step = choose("update", update, dict(zip(UPDATES, steps)))
        self._frozen = update != "customary"
        self.mixed = choose("precision", precision, PRECISIONS)
        self.critic_steps = whole_number("critic_steps", critic_steps)
        if update == "simultaneous" and critic_steps != 1:
            raise ValueError(
                f"a simultaneous update has one critic step, not {critic_steps}; "
                "use update='alternating'"
            )
        checked = read(architecture).with_score(self.loss.score)
        self.latent = checked.latent
        self.generator, self.discriminator = nets = [
            torch_nets.Model(*checked.nets[name], checked.classes, self.mixed)
            for name in NETS
        ]
        self._optimizers = {net: self.optimizer(net) for net in nets}

    def batch(self, samples: Any) -> Tensor:
        """Samples (n, h, w, c) or (n, d) as a step takes them: (n, c, h, w)."""
        samples = torch.as_tensor(samples, dtype=torch.float32)
        if samples.ndim == 2:
            return samples.contiguous()
        samples = samples.permute(0, 3, 1, 2)
        return samples.contiguous(memory_format=torch.channels_last)

    def __call__(self, *reals: Tensor) -> tuple[float, float]:
        """One step; the generator's loss and the discriminator's.

        Args:
          *reals: from `batch`; one for each update of the discriminator.
        """
        if len(reals) != self.critic_steps:
            raise ValueError(
                f"a step takes {self.critic_steps} batches, not {len(reals)}"
            )
        return tuple(loss.item() for loss in self._step(*reals))

    def load(self, gan: gantf.GAN) -> None:
        """Takes the weights and states of a GAN's nets."""
        with torch.no_grad():
            for tensor, variable, order in self.shared(gan):
                tensor.copy_(torch.tensor(variable.numpy()).permute(order))

    def shared(self, gan: gantf.GAN) -> Iterator[tuple]:
        """Each tensor, the GAN's variable, and the order of its axes in the tensor."""
        for name in NETS:
            yield from torch_nets.shared(getattr(self, name), getattr(gan, name))

    def latents(self, turn: int, n: int) -> Tensor:
        """Those of an update, (n, size); turn 0 is the first one of a step."""
        shape = n, self.latent.size
        if self.latent.law == "normal":
            return torch.randn(shape)
        return torch.empty(shape).uniform_(-1, 1)

    def mixing(self, turn: int, n: int) -> Tensor:
        """The shares of real samples in those of the penalty, (n,)."""
        return torch.rand(n)

    def optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """What trains a net."""
        rate, *betas = 2e-4, 0.5, 0.999
        return torch.optim.Adam(net.parameters(), rate, betas, eps=1e-7, fused=True)

    def _simultaneous(self, real):
        self.generator.normalise(iterate=True)
        self.discriminator.normalise(iterate=True)
        with self._autocast():
            fake = self.generator(self.latents(0, len(real)))
            scores = self.discriminator(real), self.discriminator(fake)
        terms = self.loss.terms(*scores)
        losses = self.loss.generator(*terms), self.loss.discriminator(*terms)
        total = losses[1] + self._penalty(0, real, fake.detach())
        self._backward(self.discriminator, total, retain_graph=True)
        self._backward(self.generator, losses[0])
        for optimizer in self._optimizers.values():
            optimizer.step()
        return losses

    def _alternating(self, *reals):
        for turn, real in enumerate(reals):
            loss = self._critic_step(turn, real)
        return self._generator_step(len(reals), reals[-1]), loss

    def _critic_step(self, turn, real):
        with torch.no_grad():
            self.generator.normalise(iterate=False)
            with self._autocast():
                fake = self.generator(self.latents(turn, len(real)))
        self.discriminator.normalise(iterate=True)
        with self._autocast():
            scores = self.discriminator(real), self.discriminator(fake)
        loss = self.loss.discriminator(*self.loss.terms(*scores))
        total = loss + self._penalty(turn, real, fake)
        self._backward(self.discriminator, total)
        self._optimizers[self.discriminator].step()
        return loss

    def _generator_step(self, turn, real):
        self.discriminator.requires_grad_(not self._frozen)
        self.generator.normalise(iterate=True)
        self.discriminator.normalise(iterate=False)
        with self._autocast():
            fake = self.discriminator(self.generator(self.latents(turn, len(real))))
            score = self.discriminator(real) if self.loss.real else None
        loss = self.loss.generator(*self.loss.terms(score, fake))
        if self._frozen:
            self._backward(self.generator, loss)
        else:
            self._optimizers[self.generator].zero_grad(set_to_none=True)
            loss.backward()
        self._optimizers[self.generator].step()
        self.discriminator.requires_grad_(True)
        return loss

    def _penalty(self, turn, real, fake):
        """The weight times E (|grad_x D(x)| - 1)^2 at x between real and fake."""
        if not self.loss.penalty:
            return 0.0
        u = self.mixing(turn, len(real)).view(-1, *[1] * (real.ndim - 1))
        points = torch.lerp(fake, real, u).requires_grad_()
        with self._autocast():
            score = self.discriminator(points)
        (slopes,) = torch.autograd.grad(score.sum(), points, create_graph=True)
        norms = (slopes.flatten(1).square().sum(1) + 1e-12).sqrt()
        return self.loss.penalty * (norms - 1).square().mean()

    def _backward(self, net, loss, **own):
        """The gradient with respect to this net's weights, and no other work.

        `backward` lays gradients out as the weights; `torch.autograd.grad` does not,
        and the fused Adam would take their numbers in the wrong order.
        """
        self._optimizers[net].zero_grad(set_to_none=True)
        loss.backward(inputs=list(net.parameters()), **own)

    def _autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.mixed)


# ---- are they equal?


class Same(Step):
    """A step with the random numbers of the first step of a GAN of seed 0, and SGD."""

    def latents(self, turn, n):
        key = Draws(index=turn).key("latents")
        return torch.tensor(draw_latents(self.latent, n, key).numpy())

    def mixing(self, turn, n):
        return torch.tensor(Draws(index=turn).uniform("mixing", (n,)).numpy())

    def optimizer(self, net):
        return torch.optim.SGD(net.parameters(), RATE)


class Kept(keras.optimizers.SGD):
    """SGD that keeps the gradients of its last step, by the id of the variable."""

    def apply(self, grads, trainable_variables=None):
        self.kept = {id(v): g.numpy() for g, v in zip(grads, trainable_variables)}
        super().apply(grads, trainable_variables)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("architecture", nargs="?", default="dcgan-sn-32")
    parser.add_argument("--loss", default="rep", choices=LOSSES)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    chosen, equal = architectures.get(options.architecture), True
    for update in UPDATES:
        rest = options.loss, update, options.batch
        smooth, found = compare(_smooth(chosen), *rest), compare(chosen, *rest)
        for what in found:
            print(f"{update:13} {what:23} {smooth[what]:9.1e} {found[what]:9.1e}")
            near = found[what] <= LARGEST_WITH_RELU and smooth[what] <= LARGEST
            equal = equal and near
    return int(not equal)


def _smooth(chosen: dict) -> dict:
    """The architecture with tanh for relu and lrelu."""
    made = {net: re.sub(r"\bl?relu[0-9.]*", "tanh", chosen[net]) for net in NETS}
    return {**chosen, **made}


def compare(chosen: Any, loss: str, update: str, n: int) -> dict[str, float]:
    """The relative differences of one step of gantf and of PyTorch, by name."""
    keras.utils.set_random_seed(0)
    step = Same(chosen, loss, update)
    pair = gantf.build_pair(chosen, losses.get(loss).score_dim)
    checked, there = read(chosen), "alternating" if update == "customary" else update
    gan = gantf.GAN(*pair, loss, latent=checked.latent, update=there, ema=0.0)
    gan.compile(Kept(RATE), Kept(RATE), run_eagerly=True)
    step.load(gan)
    real = np.random.default_rng(0).uniform(-1, 1, (n, *checked.sample))
    made = dict(zip(("generator_loss", "discriminator_loss"), step(step.batch(real))))
    real = keras.ops.convert_to_tensor(real, "float32")
    if update == "simultaneous":
        logs = gan.train_step(real)
    else:
        logs = gan.critic_step(real, 0)
        logs = gan.generator_step(real) | logs
        if not LOSSES[loss].real:
            del made["generator_loss"]  # it may leave out what real scores add
    pairs = {name: (made[name], float(logs[name])) for name in made}
    found = {
        name: abs(a - b) / max(abs(b), NEGLIGIBLE) for name, (a, b) in pairs.items()
    }
    shared = {id(v): (tensor, order) for tensor, v, order in step.shared(gan)}
    for net in NETS:
        if update == "customary" and net == "discriminator":
            continue  # the generator's update has added to that gradient
        kept = getattr(gan, f"{net}_optimizer").kept
        pairs = [
            (shared[key][0].grad.numpy(), gradient.transpose(shared[key][1]))
            for key, gradient in kept.items()
        ]
        found[f"{net} gradient"] = _difference(pairs)
    return found


def _difference(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """The largest |a - b| / |b| of pairs; see the head of this file."""
    norms = [np.linalg.norm(b) for _, b in pairs]
    least = NEGLIGIBLE * max(norms)
    apart = [np.linalg.norm(a - b) for a, b in pairs]
    return max(d / max(norm, least) for d, norm in zip(apart, norms))


if __name__ == "__main__":
    sys.exit(main())
