"""Augmentation of all that the discriminator sees, real or generated: `get("ada")`.

Real and generated images go through random changes of one law before they are scored,
in the updates of both nets; gradients pass through them to the generator. Samples that
are drawn or evaluated are not changed. Images are (n, h, w, c) in [-1, 1] and are not
clipped afterwards; they are computed in float32 and come back in their own dtype.

    diffaugment   every image, with a policy: Zhao et al. (2020)
    ada           each change with probability p, which is fixed or follows how certain
                  the discriminator is of real images: Karras et al. (2020)

>>> import tensorflow as tf
>>> augment = get("diffaugment", policy="translation")
>>> real = fake = tf.ones((2, 8, 8, 3))
>>> [images.shape[1] for images in augment.pair(real, fake, Draws(), {})]
[8, 8]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from gantf.batch import Draws
from gantf.changes import (
    CHANGES,
    brightness,
    contrast,
    cutout,
    drawn,
    recolor,
    resample,
    saturation,
    sources,
    translation,
)
from gantf.choices import check_made, choose, make, show, whole_number
from gantf.criteria import Hinge, LeastSquares, Logistic, Loss
from gantf.replicas import share, whole_size


class Augmentation:
    """A random change of images; `get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
      state: the numbers that it remembers between steps, and their first values.
      uniforms, normals: shapes of the draws that an image takes, from U[0, 1) and from
        N(0, 1).
    """

    name: str
    parameters: dict[str, Any]
    state: Mapping[str, float] = {}
    uniforms: tuple[int, ...] = (0,)
    normals: tuple[int, ...] = (0,)

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuses samples of a shape that it does not take.

        Raises:
          ValueError: with what to do.
        """
        if len(shape) != 3:
            raise ValueError(
                f"augment {self.name!r} is for images, not for points of "
                f"{'x'.join(map(str, shape))} numbers; leave augment out"
            )

    def __call__(
        self, images: Any, uniform: Any, normal: Any, state: Mapping[str, Any]
    ) -> Any:
        """The changed images.

        Args:
          images: (n, h, w, c), float32.
          uniform, normal: draws, (n, *uniforms) and (n, *normals).
          state: what it remembers.
        """
        raise NotImplementedError

    def pair(
        self, real: Any, fake: Any, draws: Draws, state: Mapping[str, Any]
    ) -> tuple[Any, Any]:
        """Both shares of a batch, changed by draws of their own.

        Gradients pass to the generated one.
        """
        n = whole_size(real)
        uniform = share(draws.uniform("augment", (n, 2, *self.uniforms)))
        normal = share(draws.normal("augment_normal", (n, 2, *self.normals)))
        images = tf.concat([tf.cast(x, tf.float32) for x in (real, fake)], axis=0)
        uniform, normal = (
            tf.concat([numbers[:, 0], numbers[:, 1]], axis=0)
            for numbers in (uniform, normal)
        )
        changed = tf.split(self(images, uniform, normal, state), 2)
        # Of one tensor with generated ones, real images would be taken for such.
        changed[0] = tf.stop_gradient(changed[0])
        return tf.cast(changed[0], real.dtype), tf.cast(changed[1], fake.dtype)

    def adapt(
        self, state: Mapping[str, Any], loss: Loss, real: Any, fake: Any
    ) -> dict[str, Any]:
        """What it remembers after an update of the discriminator.

        Args:
          state: what it remembered.
          loss: of the scores.
          real, fake: the scores of the whole batch, (n, d).
        """
        return {}


# ---- DiffAugment

# word of a policy -> what it does, and how many draws each of these takes
_POLICY: dict[str, tuple[tuple[Callable[[Any, Any], Any], int], ...]] = {
    "color": ((brightness, 1), (saturation, 1), (contrast, 1)),
    "translation": ((translation, 2),),
    "cutout": ((cutout, 2),),
}


class _DiffAugment(Augmentation):
    """DiffAugment of Zhao et al. (2020), with the numbers and the order of their code.

    color is `brightness`, `saturation`, `contrast`, in this order.

    Args:
      policy: words of color, translation, cutout, with commas; they are done in turn.
    """

    def __init__(self, policy: str = "color,translation,cutout"):
        words = _words("diffaugment", policy, _POLICY)
        self._steps = [step for word in words for step in _POLICY[word]]
        self.uniforms = (sum(draws for _, draws in self._steps),)

    def __call__(self, images, uniform, normal, state):
        first = 0
        for change, draws in self._steps:
            images = change(images, uniform[:, first : first + draws])
            first += draws
        return images


# ---- ADA

_GROUPS = dict.fromkeys(change.group for change in CHANGES.values())


class _ADA(Augmentation):
    """Augmentation like that of Karras et al. (2020), appendix B, with their numbers.

    Each change of a group is made with probability p, by itself:

        blit       flip left to right, quarter turns, shift by whole pixels
        geometry   scale, turn, stretch, turn again, offset by parts of a pixel
        color      brightness, contrast, luma flip, hue, saturation

    blit and geometry are one affine map, see `resample`: bilinear, where the authors
    have wavelet filters, with mirrored edges. Those of color are one, see `recolor`.

    Without a fixed p it follows how certain the discriminator is that real images are
    real, r of `certainty`: after every few of its updates p moves by

        sign(r - target) (images since then) / ramp,    held in [0, most].

    It starts at 0. The target is the authors' for the logistic loss with R1; what is
    best for other losses is not known. Below .8 the generator does not learn to make
    augmented images, as they find.

    Args:
      p: a fixed probability; None adapts it.
      target: of r.
      ramp: in how many real images p goes from 0 to 1.
      every: how many updates of the discriminator r is the mean of.
      most: the largest p.
      policy: words of blit, geometry, color, with commas, in any order.
    """

    uniforms, normals = (len(CHANGES), 3), (len(CHANGES), 2)

    def __init__(
        self,
        p: float | None = None,
        target: float = 0.6,
        ramp: int = 500_000,
        every: int = 4,
        most: float = 1.0,
        policy: str = "blit,geometry,color",
    ):
        self.p = None if p is None else _fraction("p", p)
        self.target, self.most = _fraction("target", target), _fraction("most", most)
        self.ramp = whole_number("ramp of augment 'ada'", ramp)
        self.every = whole_number("every of augment 'ada'", every)
        self.groups = _words("ada", policy, _GROUPS)
        self.state = {"p": 0.0, "r": 0.0, "batches": 0.0} if p is None else {}

    def check(self, shape):
        super().check(shape)
        if shape[2] not in (1, 3):
            raise ValueError(
                f"augment 'ada' is for images of 1 or 3 channels, not of {shape[2]}; "
                "diffaugment takes any"
            )

    def __call__(self, images, uniform, normal, state):
        p = state["p"] if self.p is None else self.p
        numbers = drawn(p, self.groups, uniform, normal)
        if {"blit", "geometry"} & set(self.groups):
            images = resample(images, sources(numbers, *images.shape[1:3]))
        return recolor(images, numbers) if "color" in self.groups else images

    def adapt(self, state, loss, real, fake):
        if self.p is not None:
            return {}
        batches = state["batches"] + 1.0
        r = state["r"] + (certainty(loss, real, fake) - state["r"]) / batches
        full = batches >= self.every
        images = tf.cast(tf.shape(real)[0] * self.every, tf.float32)
        change = tf.where(full, tf.sign(r - self.target) * images / self.ramp, 0.0)
        p = tf.clip_by_value(state["p"] + change, 0.0, self.most)
        return {"p": p, "r": r, "batches": tf.where(full, 0.0, batches)}


# ---- how certain a discriminator is

# losses whose scores have a level between fake and real -> that level, and the sign of
# real ones
_LEVELS: dict[type[Loss], Callable[[Any], tuple[float, float]]] = {
    Logistic: lambda loss: (0.0, 1.0),
    Hinge: lambda loss: (0.0, 1.0),
    LeastSquares: lambda loss: (
        (loss.a + loss.b) / 2,
        math.copysign(1, loss.b - loss.a),
    ),
}


def certainty(loss: Loss, real: Any, fake: Any) -> Any:
    """How many real samples are taken for real, less how many for fake: -1 to 1.

    For logits it is E sign(r), the r_t of Karras et al. (2020), equation 1; for least
    squares the sign is that of r - (a + b) / 2. All other scores know no such level. Of
    these the witness w of the loss is taken, and sign(w(r) - t), t being halfway from
    its mean over fakes to its mean over reals: with a kernel this asks which of the two
    means of the kernel's features is nearer. (The sign of w(r) alone would tell nothing
    where the discriminator spreads reals and draws fakes together, as the repulsive
    loss has it.) w is that of one half of the scores, taken at the other half, and the
    other way round: a score is near itself whatever the discriminator knows.

    Args:
      loss: of the scores.
      real, fake: as many scores of both, (n, d).
    """
    if type(loss) in _LEVELS:
        level, sign = _LEVELS[type(loss)](loss)
        return sign * tf.reduce_mean(tf.sign(real[:, 0] - level))
    half = tf.shape(real)[0] // 2
    halves = (real[:half], fake[:half]), (real[half:], fake[half:])
    signs = []
    for points, others in (halves, halves[::-1]):
        at_real, at_fake = (loss.witness(side, *others) for side in points)
        middle = 0.5 * (tf.reduce_mean(at_real) + tf.reduce_mean(at_fake))
        signs.append(tf.sign(at_real - middle))
    return tf.reduce_mean(tf.concat(signs, axis=0))


# ---- names

_AUGMENTATIONS: dict[str, type[Augmentation]] = {
    "diffaugment": _DiffAugment,
    "ada": _ADA,
}


def names() -> list[str]:
    """The names of all augmentations."""
    return list(_AUGMENTATIONS)


def get(name: str | Augmentation, /, **parameters) -> Augmentation:
    """The augmentation of that name.

    Args:
      name: one of `names()`.
      **parameters: of the augmentation, see its class.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one, or a value
        that is none.
    """
    if isinstance(name, Augmentation):
        check_made("way to augment", parameters)
        return name
    return make("augmentation", name, _AUGMENTATIONS, parameters)


def _words(name: str, policy: Any, table: Mapping[str, Any]) -> list[str]:
    """The words of a policy, each one of the table and there once."""
    words = policy.split(",") if isinstance(policy, str) else [policy]
    for word in words:
        choose(f"word of a policy of {name}", word, table)
    if len(set(words)) < len(words):
        raise ValueError(f"a policy has each word once, not {policy!r}")
    return words


def _fraction(key: str, value: Any) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not (known and 0 <= value <= 1):
        raise ValueError(
            f"{key} of augment 'ada' is a number from 0 to 1, not {show(value)}"
        )
    return float(value)
