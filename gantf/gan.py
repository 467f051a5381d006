"""`GAN`: a generator and a discriminator as one keras.Model, and how they train.

The losses are statistics of the whole batch. Under a `tf.distribute` strategy the
scores are gathered over replicas, every replica computes the loss of the whole
batch, and the latents of the whole batch are drawn from (seed, step) and shared
out; so a run gives the same numbers on one device and on many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import losses, penalties
from gantf.architecture import Latent, read_latent
from gantf.choices import choose
from gantf.layers import Labels, SpectralNormalization, spectral_updates
from gantf.layers import MinibatchStandardDeviation as _Deviation
from gantf.sampler import Sampler, draw_latents

UPDATES = ("simultaneous", "alternating")
_LATENTS, _MIXING = 0, 1  # streams of random numbers


@keras.saving.register_keras_serializable(package="gantf")
class GAN(keras.Model):
    """A generator and a discriminator that train each other.

    `compile` with two optimizers, then `fit` on batches of samples: tensors in
    [-1, 1], or dicts with such an "image". One step of `fit` is one update of the
    generator. Nets that ask for labels are given those of the batch, "label" of the
    dict; the generated samples have the labels of the real ones, so that both
    batches have the same share of each class.

    - update="simultaneous" (the repulsive MMD-GAN's): one batch, one forward pass,
      both gradients from that pass, both optimizers.
    - update="alternating": `critic_steps` updates of the discriminator, each on a
      fresh batch and fresh latents, then one of the generator on fresh latents and
      the last batch.

    Latents are drawn from (seed, step), so that a resumed run draws the same. The
    running average of the generator's weights, its batch statistics included,

        average <- average + (1 - d) (weights - average),  d = min(ema, (1+t)/(10+t)),

    is what `generate` uses: `sampler` holds it.

    Args:
      generator: latents (n, latent size), or [latents, labels] -> samples in
        [-1, 1].
      discriminator: samples, or [samples, labels] -> scores (n, d).
      loss: a name or a `gantf.losses` loss.
      penalties: names or `gantf.penalties` penalties, added to the discriminator's
        loss.
      latent: "normal-128", "uniform-100", ...; by default N(0, I) of the
        generator's input size.
      update, critic_steps: see above.
      classes: how many classes labels come from; 0 without labels.
      ema: the decay d of the running average; 0 keeps none.
      seed: of latents and of the penalties' draws.

    Raises:
      ValueError: nets, loss or latents that do not fit each other.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        loss: str | losses.Loss = "rep",
        penalties: Sequence[Any] = (),
        latent: str | Latent | None = None,
        update: str = "simultaneous",
        critic_steps: int = 1,
        classes: int = 0,
        ema: float = 0.999,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        choose("update", update, dict.fromkeys(UPDATES))
        _check_whole("critic_steps", critic_steps, 1)
        _check_whole("seed", seed, 0)
        if update == "simultaneous" and critic_steps != 1:
            raise ValueError(
                f"a simultaneous update has one critic step, not {critic_steps}; "
                "use update='alternating'"
            )
        if not 0 <= ema < 1:
            raise ValueError(f"ema is a decay from 0 and below 1, not {ema!r}")
        _check_whole("classes", classes, 0)
        for net in (generator, discriminator):
            for layer in _all_layers(net):
                if isinstance(layer, Labels) and layer.classes != classes:
                    raise ValueError(
                        f"the {net.name} asks for labels of {layer.classes} classes: "
                        f"give classes={layer.classes}, not {classes}"
                    )
        self.generator, self.discriminator = generator, discriminator
        self.criterion = losses.get(loss)
        self.criterion.check_score(discriminator.output_shape[-1])
        self.penalties = [_penalty(penalty) for penalty in penalties]
        self.latent = _latent(latent, generator)
        self.update, self.critic_steps = update, critic_steps
        self.classes, self.ema, self.seed = classes, float(ema), seed
        self.average = keras.models.clone_model(generator) if ema else None
        if ema:
            self.average.set_weights(generator.get_weights())
            self.average.trainable = False
        drawn = self.average if ema else generator
        self.sampler = Sampler(drawn, self.latent, classes)
        self.built = True  # the nets are: Keras need not trace a call

    def compile(
        self,
        generator_optimizer: Any = None,
        discriminator_optimizer: Any = None,
        steps_per_execution: int = 1,
        run_eagerly: bool = False,
    ) -> None:
        """Sets the two optimizers; by default Adam(2e-4, 0.5, 0.999) for both.

        Args:
          generator_optimizer, discriminator_optimizer: Keras optimizers or names.
          steps_per_execution: steps in one call of the compiled function.
          run_eagerly: whether steps run uncompiled, to look into them.
        """
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError(
                "mixed_float16 needs scaled losses; use mixed_bfloat16, which does not"
            )
        super().compile(
            optimizer=None,
            steps_per_execution=steps_per_execution,
            run_eagerly=run_eagerly,
        )
        self.generator_optimizer = _optimizer(generator_optimizer)
        self.discriminator_optimizer = _optimizer(discriminator_optimizer)
        if self.generator_optimizer is self.discriminator_optimizer:
            raise ValueError("each net needs an optimizer of its own, not the same one")
        if self.distribute_strategy.num_replicas_in_sync > 1:
            _check_clipping(self.generator_optimizer, self.discriminator_optimizer)
        # Before fit: variables made inside a replica's step would be lost.
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def call(self, inputs, training=False):
        return self.generator(inputs, training=training)

    @property
    def step(self) -> int:
        """How many updates the generator has had."""
        return int(self.generator_optimizer.iterations.numpy())

    def generate(
        self, n: int, labels: Any = None, seed: int | None = None
    ) -> np.ndarray:
        """Draws n samples in [-1, 1]; see `gantf.sampler.Sampler.generate`."""
        return self.sampler.generate(n, labels, seed)

    def sigmas(self) -> dict[str, tf.Tensor]:
        """The spectral norm estimate of every normalised kernel, by layer name.

        Of a kernel that differs by class, the largest.
        """
        return {
            f"{net.name}/{layer.name}": tf.reduce_max(layer.sigma())
            for net in (self.generator, self.discriminator)
            for layer in _all_layers(net)
            if isinstance(layer, SpectralNormalization)
        }

    def fit(self, x=None, *args, steps_per_epoch=None, **kwargs):
        """As `keras.Model.fit`.

        An alternating step takes `critic_steps` batches, so an epoch of a finite
        dataset is as many steps as the dataset has such groups.
        """
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras warns of its own default
            _, labels = _samples(x.element_spec)
            for net in (self.generator, self.discriminator):
                _check_labels(net, labels)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            self._check_replicas(x)
        if self.critic_steps > 1 and steps_per_epoch is None:
            if not isinstance(x, tf.data.Dataset):
                raise ValueError(
                    "with critic_steps above 1, fit takes a tf.data.Dataset, or "
                    "steps_per_epoch"
                )
            batches = int(x.cardinality())
            if batches < 0:
                raise ValueError(
                    "with critic_steps above 1 and a dataset of unknown or endless "
                    "length, give steps_per_epoch"
                )
            steps_per_epoch, x = max(1, batches // self.critic_steps), x.repeat()
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def train_step(self, data):
        """A simultaneous step on one replica's share of the batch."""
        real, labels = _samples(data)
        latents = self._share(_LATENTS, real, self._index(0))
        with tf.GradientTape(persistent=True) as tape:
            fake = _run(self.generator, latents, labels)
            scores = self._scores(real, fake, labels)
            generator_loss = self.criterion.generator(*scores)
            loss = self.criterion.discriminator(*scores)
            total = self._whole_loss(loss, real, fake, labels, self._index(0))
        logs = {
            "generator_loss": generator_loss,
            "discriminator_loss": loss,
            **self._apply("generator", tape, generator_loss),
            **self._apply("discriminator", tape, total),
            **self.criterion.monitors(*scores),
        }
        self._average()
        return logs

    def critic_step(self, data, turn):
        """The discriminator's part of an alternating step, number `turn` of it."""
        real, labels = _samples(data)
        latents = self._share(_LATENTS, real, self._index(turn))
        fake = _run(self.generator, latents, labels)
        with tf.GradientTape() as tape:
            scores = self._scores(real, fake, labels)
            loss = self.criterion.discriminator(*scores)
            total = self._whole_loss(loss, real, fake, labels, self._index(turn))
        return {
            "discriminator_loss": loss,
            **self._apply("discriminator", tape, total),
            **self.criterion.monitors(*scores),
        }

    def generator_step(self, data):
        """The generator's part of an alternating step."""
        real, labels = _samples(data)
        latents = self._share(_LATENTS, real, self._index(self.critic_steps))
        with tf.GradientTape() as tape, spectral_updates(False):
            fake = _run(self.generator, latents, labels)
            loss = self.criterion.generator(*self._scores(real, fake, labels))
        logs = {"generator_loss": loss, **self._apply("generator", tape, loss)}
        self._average()
        return logs

    def make_train_function(self, force: bool = False):
        """The step that `fit` runs, under the strategy of the model's scope."""
        if self.train_function is not None and not force:
            return self.train_function
        strategy, steps = self.distribute_strategy, self.steps_per_execution

        def run(step, *args):
            logs = strategy.run(step, args=args)
            # Over no axis: Keras' own reduction fails on scalars of many workers.
            return {k: strategy.reduce("MEAN", v, axis=None) for k, v in logs.items()}

        def simultaneous(iterator):
            return run(self.train_step, next(iterator))

        def alternating(iterator):
            logs = {}
            for turn in range(self.critic_steps):
                data = next(iterator)
                logs |= run(self.critic_step, data, turn)
            return logs | run(self.generator_step, data)

        one_step = simultaneous if self.update == "simultaneous" else alternating

        def many_steps(iterator):
            logs = one_step(iterator)
            for _ in tf.range(steps - 1):
                logs = one_step(iterator)
            return logs

        function = many_steps if steps > 1 else one_step
        self.train_function = function if self.run_eagerly else tf.function(function)
        return self.train_function

    def get_config(self):
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "loss": [self.criterion.name, dict(self.criterion.parameters)],
            "penalties": [[p.name, dict(p.parameters)] for p in self.penalties],
            "latent": str(self.latent),
            "update": self.update,
            "critic_steps": self.critic_steps,
            "classes": self.classes,
            "ema": self.ema,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for net in ("generator", "discriminator"):
            config[net] = keras.saving.deserialize_keras_object(
                config[net], custom_objects
            )
        name, parameters = config["loss"]
        config["loss"] = losses.get(name, **parameters)
        config["penalties"] = [penalties.get(n, **p) for n, p in config["penalties"]]
        return cls(**config)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {
            "generator_optimizer": keras.saving.serialize_keras_object(
                self.generator_optimizer
            ),
            "discriminator_optimizer": keras.saving.serialize_keras_object(
                self.discriminator_optimizer
            ),
            "steps_per_execution": self.steps_per_execution,
        }

    def compile_from_config(self, config):
        config = dict(config)
        for key in ("generator_optimizer", "discriminator_optimizer"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        self.compile(**config)

    def _check_replicas(self, x: Any) -> None:
        """Refuses what would make several replicas differ from one device."""
        nets = self.generator, self.discriminator
        layers = [layer for net in nets for layer in _all_layers(net)]
        drawn = keras.layers.Dropout, keras.layers.GaussianNoise
        if any(isinstance(layer, drawn) for layer in layers):
            raise ValueError(
                "drop and noise draw the same for all devices: train on one device"
            )
        if isinstance(x, tf.data.Dataset):
            groups = [la.group for la in layers if isinstance(la, _Deviation)]
            replicas = self.distribute_strategy.num_replicas_in_sync
            _check_share(x, replicas, math.lcm(*groups))
        elif not isinstance(x, tf.distribute.DistributedDataset):
            raise ValueError("on several devices fit takes a tf.data.Dataset")

    def _index(self, turn: int):
        """The number of this draw: the same on all replicas, never used twice."""
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int64)
        return step * (self.critic_steps + 1) + turn

    def _draw(self, stream: int, n, index):
        key = tf.stack([tf.constant(self.seed + (stream << 32), tf.int64), index])
        if stream == _MIXING:
            return tf.random.stateless_uniform((n,), key)
        return draw_latents(self.latent, n, key)

    def _share(self, stream: int, real, index):
        """The rows for this replica of a draw for the whole batch."""
        context = tf.distribute.get_replica_context()
        n = tf.shape(real)[0]
        draws = self._draw(stream, n * context.num_replicas_in_sync, index)
        first = tf.cast(context.replica_id_in_sync_group, n.dtype) * n
        return draws[first : first + n]

    def _scores(self, real, fake, labels):
        """Real and fake scores of the whole batch, in float32, from one sigma."""
        scores = [_run(self.discriminator, real, labels)]
        with spectral_updates(False):
            scores.append(_run(self.discriminator, fake, labels))
        context = tf.distribute.get_replica_context()
        scores = [tf.cast(score, tf.float32) for score in scores]
        if context.num_replicas_in_sync == 1:
            return scores
        return [context.all_gather(score, axis=0) for score in scores]

    def _whole_loss(self, loss, real, fake, labels, index):
        """The discriminator's loss with its penalties."""
        for penalty in self.penalties:
            mixing = self._share(_MIXING, real, index)
            with spectral_updates(False):
                loss += penalty(
                    lambda x: _run(self.discriminator, x, labels), real, fake, mixing
                )
        return loss

    def _apply(self, net: str, tape, loss):
        """One update of a net; logs the norm of the whole batch's gradient."""
        variables = getattr(self, net).trainable_variables
        optimizer = getattr(self, f"{net}_optimizer")
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        # Every replica has the loss of the whole batch, and optimizers sum the
        # gradients of the replicas.
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        idle = [v.path for v, g in zip(variables, gradients) if g is None]
        if idle:
            raise ValueError(f"the loss does not depend on {', '.join(idle)}")
        # Those of embeddings come as indexed slices.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if replicas > 1:
            gradients = context.all_reduce("SUM", gradients)
            gradients = [gradient / replicas for gradient in gradients]
        norm = tf.linalg.global_norm(gradients)
        optimizer.apply([gradient / replicas for gradient in gradients], variables)
        return {f"{net}_gradient": norm}

    def _average(self):
        if not self.ema:
            return
        step = tf.cast(self.generator_optimizer.iterations.value, tf.float32)
        rate = 1.0 - tf.minimum(self.ema, (1.0 + step) / (10.0 + step))
        for average, weight in zip(self.average.variables, self.generator.variables):
            # Spectral vectors and the like are states, of which no mean makes sense.
            state = not (weight.trainable or weight.name.startswith("moving_"))
            change = 0 if state else (1.0 - rate) * (average.value - weight.value)
            average.assign(weight.value + change)


def _samples(data: Any) -> tuple[Any, Any]:
    """Samples and labels of an element of a dataset, or their specs; None without."""
    if isinstance(data, Mapping):
        data = data["image"], data.get("label")
    elif isinstance(data, tuple | list):
        data = data[0], data[1] if len(data) > 1 else None
    else:
        data = data, None
    if not data[0].dtype.is_floating:
        raise ValueError(f"samples are floats in [-1, 1], not {data[0].dtype.name}")
    return data


def _run(net: keras.Model, x: Any, labels: Any) -> Any:
    """What the net makes of x in training, with the labels if it asks for them."""
    _check_labels(net, labels)
    return net(x if len(net.inputs) == 1 else [x, labels], training=True)


def _check_labels(net: keras.Model, labels: Any) -> None:
    """Refuses data without labels, or with others, where the net asks for them."""
    if len(net.inputs) == 1:
        return
    if labels is None:
        raise ValueError(
            f"the {net.name} asks for labels, and the data has none: give dicts of "
            "'image' and 'label'"
        )
    if not labels.dtype.is_integer or len(labels.shape) != 1:
        raise ValueError(
            "labels are whole numbers, one for each sample, not "
            f"{labels.dtype.name} {labels.shape}"
        )


def _all_layers(net: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a net, those of nets inside it too."""
    for layer in net.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)


def _check_clipping(*optimizers: keras.optimizers.Optimizer) -> None:
    """Refuses optimizers that clip: on replicas each would clip its own part."""
    for optimizer in optimizers:
        for option in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, option, None) is not None:
                raise ValueError(
                    f"{option} is not exact on several devices; leave it out"
                )


def _check_share(dataset: tf.data.Dataset, replicas: int, group: int) -> None:
    """Refuses batches that do not fall into equal shares of whole groups."""
    batch = _samples(dataset.element_spec)[0].shape[:1].as_list()
    share = replicas * group
    if batch in ([], [None]) or batch[0] % share:
        raise ValueError(
            f"on {replicas} devices all batches are of one size that {share} "
            "divides: use batch(n, drop_remainder=True)"
        )


def _latent(latent: str | Latent | None, generator: keras.Model) -> Latent:
    size = generator.inputs[0].shape[-1]
    if latent is None:
        return Latent("normal", size)
    latent = latent if isinstance(latent, Latent) else read_latent(latent)
    if latent.size != size:
        raise ValueError(f"the generator takes latents of {size} numbers, not {latent}")
    return latent


def _penalty(penalty: Any) -> penalties.Penalty:
    if isinstance(penalty, Iterable) and not isinstance(penalty, str):
        name, parameters = penalty
        return penalties.get(name, **parameters)
    return penalties.get(penalty)


def _optimizer(optimizer: Any) -> keras.optimizers.Optimizer:
    if optimizer is None:
        return keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999)
    return keras.optimizers.get(optimizer)


def _check_whole(name: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is a whole number from {least}, not {value!r}")
