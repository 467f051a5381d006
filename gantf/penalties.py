"""Penalties on a discriminator, added to its loss: `get("gp", weight=10)`.

They differentiate the discriminator with TensorFlow's tape. Samples are constants:
gradients flow to the weights of the discriminator, by the scores of the batch too, and
to those of a decoder.

>>> import gantf, tensorflow as tf
>>> critic = gantf.build("dense-1", (2,))
>>> points = tf.zeros((4, 2))
>>> get("gp")(gantf.batch.Batch.of(critic, points, points)).shape
TensorShape([])
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from gantf.batch import Batch, per_sample
from gantf.choices import check_made, choose, make, show
from gantf.jacobian import row_squares
from gantf.layers import spectral_updates
from gantf.replicas import gather, share

# name -> the axes that a norm of slopes of that rank is taken over
NORMS: dict[str, Callable[[int], list[int]]] = {
    "sample": lambda rank: list(range(1, rank)),
    "axis1": lambda rank: [1],
    "channels": lambda rank: [rank - 1],
}

# The root of 0 has no slope; this moves a norm by 1e-6 at most. The code of
# Binkowski et al. (2018) adds 1e-5, which moves it by .003 at most.
_FLOOR = 1e-12

_NEEDS = {  # of a batch, by some penalties
    "loss": "one of gantf.losses that has a witness",
    "discriminator": "a keras.Model made of layers",
    "decoder": "a net from scores to samples",
    "run": "a function (net, samples) -> outputs",
}


class Penalty:
    """A penalty; `get` makes them by name.

    Attributes:
      name: the name it was made by.
      parameters: what it was made with, defaults included.
      state: the numbers that it remembers between steps, and their first values.
    """

    name: str
    parameters: dict[str, Any]
    state: Mapping[str, float] = {}

    def __call__(self, batch: Batch) -> Any:
        """The penalty, weight included: a scalar.

        It is that of this replica's share of the samples; the mean over replicas is
        that of the whole batch.
        """
        raise NotImplementedError

    def step(self, batch: Batch, state: Mapping[str, Any]) -> tuple[Any, dict]:
        """The penalty with what it remembers, and what it remembers then."""
        return self(batch), {}

    def need(self, batch: Batch, what: str) -> Any:
        """What the batch has of that name.

        Raises:
          ValueError: it has none.
        """
        found = getattr(batch, what)
        if found is None:
            raise ValueError(f"penalty {self.name!r} needs a {what}: {_NEEDS[what]}")
        return found


def slopes(critic: Callable[[Any], Any], points: Any) -> Any:
    """The gradient of the sum of critic(x) over its numbers, at each point x.

    Args:
      critic: points (n, ...) -> (n,) or (n, d) numbers.
      points: (n, ...), taken as constants.

    Returns:
      (n, ...) in float32; gradients pass to what the critic is made of.
    """
    points = tf.stop_gradient(tf.cast(points, tf.float32))
    with tf.GradientTape() as tape:
        tape.watch(points)
        total = tf.reduce_sum(tf.cast(critic(points), tf.float32))
    return tf.cast(tape.gradient(total, points), tf.float32)


class _GradientPenalty(Penalty):
    """weight E (|grad_x D(x)| - target)^2 at x between real and fake samples.

    x = u real + (1 - u) fake with one u ~ U[0, 1] a sample; Gulrajani et al. (2017),
    equation 3 (weight 10, target 1). A score of several numbers is summed first.

    Args:
      weight: of the penalty.
      target: the norm that the gradient is drawn to.
      norm: "sample" is the norm over all numbers of a sample. Two codes take another
        by a slip, and the mean over all else: "axis1" is that over the first axis of
        samples (h, w, c), as in the code of Binkowski et al. (2018), so that a target
        of 1 means a norm of sqrt(w c) a sample; "channels" is that of each pixel, as
        in the code of Arbel et al. (2018), sqrt(h w) a sample. For points (d,) all
        are the same.
    """

    def __init__(self, weight: float = 10.0, target: float = 1.0, norm: str = "sample"):
        self.weight, self.target = _number("weight", weight), _number("target", target)
        self.axes = choose("norm", norm, NORMS)

    def points(self, batch: Batch) -> Any:
        """Where the critic is differentiated, (n, ...)."""
        return batch.between()

    def critic(self, batch: Batch) -> Callable[[Any], Any]:
        """What is differentiated there."""
        return batch.score

    def __call__(self, batch):
        slope = slopes(self.critic(batch), self.points(batch))
        norm = _length(slope, self.axes(len(slope.shape)))
        return self.weight * tf.reduce_mean(tf.square(norm - self.target))


class _WitnessPenalty(_GradientPenalty):
    """weight E (|grad_x w(x)| - target)^2 of the witness w of an MMD, x as for "gp".

    w(x) = mean_j k(D(x), D(real_j)) - mean_j k(D(x), D(fake_j)), the kernel that of
    the loss: `loss.witness`. The weights are trained through all three scores.
    Binkowski et al. (2018), and their code (weight 1). The code of Wang et al. (2019)
    divides by 2 sigma here where its loss has 2 sigma^2; this does not. The images of
    Binkowski et al. are in [0, 1], where slopes are twice as steep: the same there is
    weight 4 and target .5 here.

    Args:
      weight, target, norm: as for "gp".
    """

    def __init__(self, weight: float = 1.0, target: float = 1.0, norm: str = "sample"):
        super().__init__(weight, target, norm)

    def critic(self, batch):
        loss = self.need(batch, "loss")
        return lambda x: loss.witness(
            batch.score(x), batch.real_scores, batch.fake_scores
        )


class _CramerPenalty(_GradientPenalty):
    """weight E (|grad_x f(x)| - target)^2 of the Cramer GAN's critic, x as for "gp".

    f(x_i) = |D(x_i) - D(fake_j)| - |D(x_i)|, j = i - 1 (the last for the first), so
    that x_i and fake_j are independent. Bellemare et al. (2017), algorithm 1, which
    has a second generated batch for fake_j.

    Args:
      weight, target, norm: as for "gp".
    """

    def critic(self, batch):
        other = share(tf.roll(batch.fake_scores, 1, axis=0))

        def critic(x):
            score = batch.score(x)
            return _length(score - other, [1]) - _length(score, [1])

        return critic


class _LocalPenalty(_GradientPenalty):
    """weight E (|grad_x D(x)| - target)^2 around the real samples: DRAGAN.

    x = real + u scale std e with one u ~ U[0, 1] a sample and an e ~ U[0, 1] for each
    of its numbers; std is that of all numbers of the real batch. Kodali et al. (2017),
    their code (weight 10, target 1, scale .5); the paper has N(0, c) noise instead.

    Args:
      weight, target, norm: as for "gp".
      scale: of the noise, in standard deviations.
    """

    def __init__(
        self,
        weight: float = 10.0,
        target: float = 1.0,
        norm: str = "sample",
        scale: float = 0.5,
    ):
        super().__init__(weight, target, norm)
        self.scale = _number("scale", scale)

    def points(self, batch):
        real = tf.cast(batch.real, tf.float32)
        centred = real - _whole_mean(real)
        std = tf.sqrt(_whole_mean(tf.square(centred)))
        u = per_sample(batch.uniform("mixing"), real)
        return real + u * self.scale * std * batch.uniform("noise", *real.shape[1:])


class _RealPenalty(Penalty):
    """weight / 2 E |grad_x D(x)|^2 at real samples: R1.

    Mescheder et al. (2018), equation 9 (weight 10); their code leaves the half out. A
    score of several numbers is summed first.

    Args:
      weight: of the penalty.
    """

    def __init__(self, weight: float = 10.0):
        self.weight = _number("weight", weight)

    def points(self, batch: Batch) -> Any:
        """Where the discriminator is differentiated, (n, ...)."""
        return batch.real

    def __call__(self, batch):
        squares = _squares(batch.score, self.points(batch))
        return 0.5 * self.weight * tf.reduce_mean(squares)


class _FakePenalty(_RealPenalty):
    """weight / 2 E |grad_x D(x)|^2 at fake samples: R2.

    Mescheder et al. (2018), equation 10 (weight 10); as for "r1".

    Args:
      weight: of the penalty.
    """

    def points(self, batch):
        return batch.fake


class _SobolevPenalty(Penalty):
    """L c + weight / 2 c^2 with c = (E |grad D(real)|^2 + E |grad D(fake)|^2) / 2 - 1.

    The augmented Lagrangian of c = 0: after each step of the discriminator L, which
    starts at 0, becomes L + weight c, so that it grows while slopes are too large. The
    means E are those of the whole batch. Mroueh et al. (2018), algorithm 1, with the
    signs of a loss that is minimised; a score of several numbers is summed first.

    Args:
      weight: rho, of the square and of the steps of L; 2e-8 in the authors' code. A
        larger one holds the slopes sooner.
    """

    state = {"multiplier": 0.0}

    def __init__(self, weight: float = 2e-8):
        self.weight = _number("weight", weight)

    def __call__(self, batch):
        return self.step(batch, self.state)[0]

    def step(self, batch, state):
        real, fake = (_squares(batch.score, x) for x in (batch.real, batch.fake))
        c = 0.5 * (_whole_mean(real) + _whole_mean(fake)) - 1.0
        multiplier = tf.stop_gradient(state["multiplier"])
        penalty = multiplier * c + 0.5 * self.weight * tf.square(c)
        return penalty, {"multiplier": multiplier + self.weight * tf.stop_gradient(c)}


class _FeaturePenalty(Penalty):
    """weight times the sum over levels h, on real and fake, of E mean_units h(x)^2.

    The levels are the score and what goes into each kernel of the discriminator: all
    that kernels are given but the samples, each tensor once. In a plain net these are
    the activations h0, h1, ... of the code of Binkowski et al. (2018), which Arbel et
    al. (2018) call MMDGAN-GP-L2 (weight 1). A net in a net counts as one kernel.

    Args:
      weight: of the penalty.
    """

    def __init__(self, weight: float = 1.0):
        self.weight = _number("weight", weight)
        self._levels = weakref.WeakKeyDictionary()  # net -> its levels, a net

    def __call__(self, batch):
        net, run = self.need(batch, "discriminator"), self.need(batch, "run")
        if net not in self._levels:
            self._levels[net] = _levels(net)
        with spectral_updates(False):
            found = [
                level
                for x in (batch.real, batch.fake)
                for level in run(self._levels[net], tf.stop_gradient(x))
            ]
        squares = (tf.square(tf.cast(level, tf.float32)) for level in found)
        return self.weight * tf.add_n([tf.reduce_mean(square) for square in squares])


class _KernelPenalty(Penalty):
    """conv times the sum of squares of all convolutions' kernels, plus dense times
    that of all other kernels; without normalisation of kernels, and without biases.

    The weight decay of the Sobolev GAN in the code of Arbel et al. (2018), which
    takes the biases too, and the last layer alone for dense.

    Args:
      conv: the weight of kernels of four axes.
      dense: the weight of all others.
    """

    def __init__(self, conv: float = 1e-6, dense: float = 1e-3):
        self.conv, self.dense = _number("conv", conv), _number("dense", dense)

    def __call__(self, batch):
        total = tf.zeros(())
        for kernel in _kernels(self.need(batch, "discriminator")):
            weight = self.conv if len(kernel.shape) == 4 else self.dense
            square = tf.square(tf.cast(kernel.value, tf.float32))
            total += weight * tf.reduce_sum(square)
        return total


class _Autoencoder(Penalty):
    """weight (E |A(D(real)) - real|^2 + E |A(D(fake)) - fake|^2), A the decoder.

    |.|^2 is the mean over the numbers of a sample; it keeps scores injective, and
    trains the decoder too. Li et al. (2017), and their code (weight 8).

    Args:
      weight: of the penalty.
    """

    def __init__(self, weight: float = 8.0):
        self.weight = _number("weight", weight)

    def __call__(self, batch):
        decoder = self.need(batch, "decoder")
        real = decoder(share(batch.real_scores), training=True)
        with spectral_updates(False):
            fake = decoder(share(batch.fake_scores), training=True)
        pairs = (real, batch.real), (fake, batch.fake)
        return self.weight * tf.add_n([_difference(*pair) for pair in pairs])


_PENALTIES: dict[str, type[Penalty]] = {
    "gp": _GradientPenalty,
    "witness_gp": _WitnessPenalty,
    "cramer_gp": _CramerPenalty,
    "dragan": _LocalPenalty,
    "r1": _RealPenalty,
    "r2": _FakePenalty,
    "sobolev": _SobolevPenalty,
    "feature_l2": _FeaturePenalty,
    "kernel_l2": _KernelPenalty,
    "autoencoder": _Autoencoder,
}


def names() -> list[str]:
    """The names of all penalties."""
    return list(_PENALTIES)


def get(name: str | Penalty, /, **parameters) -> Penalty:
    """The penalty of that name.

    Args:
      name: one of `names()`.
      **parameters: of the penalty, see its class.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one, or a value
        that is none.
    """
    if isinstance(name, Penalty):
        check_made("penalty", parameters)
        return name
    return make("penalty", name, _PENALTIES, parameters)


def _number(key: str, value: Any) -> float:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not (known and 0 <= value < math.inf):
        raise ValueError(
            f"{key} of a penalty is a finite number from 0, not {show(value)}"
        )
    return float(value)


def _length(rows: Any, axes: list[int]) -> Any:
    """The norm over these axes, with a slope at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(rows), axis=axes) + _FLOOR)


def _squares(critic: Callable[[Any], Any], points: Any) -> Any:
    """|grad critic|^2 of each point, (n,)."""
    return row_squares(slopes(critic, points))


def _whole_mean(rows: Any) -> Any:
    """The mean of all numbers of the whole batch, from the rows of this share."""
    means = tf.reduce_mean(tf.reshape(rows, (tf.shape(rows)[0], -1)), axis=1)
    return tf.reduce_mean(gather(means))


def _difference(made: Any, samples: Any) -> Any:
    """The mean square of made - samples."""
    samples = tf.stop_gradient(tf.cast(samples, tf.float32))
    return tf.reduce_mean(tf.square(tf.cast(made, tf.float32) - samples))


def _kernels(layer: Any) -> list[keras.Variable]:
    return [w for w in getattr(layer, "weights", ()) if "kernel" in w.name]


def _levels(net: keras.Model) -> keras.Model:
    """The net of what the kernels are given, as in "feature_l2", and of the score."""
    # Of a Sequential too; Keras has no public way to what a net calls on what.
    calls = keras.Model(net.inputs, net.outputs)._nodes_by_depth
    made, levels = set(), {}
    for call in (call for depth in sorted(calls)[::-1] for call in calls[depth]):
        given = {id(x): x for x in call.input_tensors if id(x) in made}
        kernels = _kernels(call.operation)
        if kernels:
            levels |= given
        if kernels or given:
            made |= {id(x) for x in call.output_tensors}
    inputs = net.inputs if len(net.inputs) > 1 else net.inputs[0]
    return keras.Model(inputs, [*levels.values(), *net.outputs])
