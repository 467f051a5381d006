"""`GAN`: a generator and a discriminator as one keras.Model, and how they train.

The losses are statistics of the whole batch. Under a `tf.distribute` strategy the
scores are gathered over replicas and every replica computes the loss of the whole
batch; see `gantf.batch`. So a run gives the same numbers on one device and on many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import augment, losses, penalties, scaling, schedule
from gantf.architecture import Latent, read_latent
from gantf.batch import Batch, Draws, Memory
from gantf.choices import choose, whole_number
from gantf.inputs import all_layers, check_labels, run, samples
from gantf.layers import (
    Labels,
    SpectralNormalization,
    shared_kernels,
    spectral_updates,
)
from gantf.quick import quicken, quicken_optimizer
from gantf.replicas import (
    check_clipping,
    check_data,
    check_slopes,
    deal,
    endless,
    gather,
    share,
    whole_size,
)
from gantf.sampler import Sampler, draw_latents

UPDATES = ("simultaneous", "alternating")
_SETTLED = 100  # power iterations that find the spectral norms of fixed features


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
      the last batch. It may be a schedule, "5,more=100,first=25,every=500"; with 0
      the discriminator stays as it is, fixed features: it is in inference mode, and
      its spectral norms are found at the start.

    A loss brings its penalties, scaling and clip; update and critic steps are those
    given here. `gantf.losses.get(name)` tells what it is meant for.

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
        loss; None takes the loss's own, () none.
      scaling: a name or a `gantf.scaling` scaling of both losses; None takes the
        loss's own, "none" none.
      clip: after each of its updates the discriminator's weights are held in
        [-clip, clip] (Arjovsky et al. 2017); None takes the loss's own, 0 none.
      gradient_clip: the largest norm of the gradient of each variable, in both nets
        (1 in the code of Binkowski et al. 2018); 0 for none.
      decoder: scores -> samples, for the penalty "autoencoder"; it is trained with
        the discriminator, and not clipped.
      augment: a name or a `gantf.augment` augmentation of all images that the
        discriminator scores in training, real or generated; penalties and scalings
        have the augmented ones, and a decoder is to make these again. None or "none"
        for none.
      latent: "normal-128", "uniform-100", ...; by default N(0, I) of the
        generator's input size.
      update, critic_steps: see above and `gantf.schedule`.
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
        penalties: Sequence[Any] | None = None,
        latent: str | Latent | None = None,
        update: str = "simultaneous",
        critic_steps: int | str | schedule.CriticSteps = 1,
        classes: int = 0,
        ema: float = 0.999,
        seed: int = 0,
        scaling: Any = None,
        clip: float | None = None,
        gradient_clip: float = 0.0,
        decoder: keras.Model | None = None,
        augment: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        choose("update", update, dict.fromkeys(UPDATES))
        seed = whole_number("seed", seed, 0)
        critic_steps = schedule.read(critic_steps)
        if update == "simultaneous" and critic_steps != schedule.CriticSteps(1):
            raise ValueError(
                f"a simultaneous update has one critic step, not {critic_steps}; "
                "use update='alternating'"
            )
        if not 0 <= ema < 1:
            raise ValueError(f"ema is a decay from 0 and below 1, not {ema!r}")
        classes = whole_number("classes", classes, 0)
        for net in (generator, discriminator):
            for layer in all_layers(net):
                if isinstance(layer, Labels) and layer.classes != classes:
                    raise ValueError(
                        f"the {net.name} asks for labels of {layer.classes} classes: "
                        f"give classes={layer.classes}, not {classes}"
                    )
        self.generator, self.discriminator = generator, discriminator
        if critic_steps.most and not discriminator.trainable_variables:
            raise ValueError(
                f"the {discriminator.name} has no weights to train: give "
                "update='alternating', critic_steps=0"
            )
        self.criterion = losses.get(loss)
        self.criterion.check_score(discriminator.output_shape[-1])
        own = self.criterion
        if isinstance(penalties, str):
            raise ValueError(f"penalties is a list, as ['gp'], not {penalties!r}")
        self.penalties = [
            _named(_PENALTY, given)
            for given in (own.penalties if penalties is None else penalties)
        ]
        names = [penalty.name for penalty in self.penalties]
        if len(set(names)) < len(names):
            raise ValueError(f"each penalty is given once, not {', '.join(names)}")
        scaling = own.scaling if scaling is None else scaling
        self.scaling = None if scaling in (None, "none") else _named(_SCALING, scaling)
        if self.scaling:
            self.scaling.check(self.criterion)
        self.clip = _bound("clip", own.clip or 0.0 if clip is None else clip)
        self.gradient_clip = _bound("gradient_clip", gradient_clip)
        _check_decoder(decoder, "autoencoder" in names, generator, discriminator)
        self.decoder = decoder
        for net in filter(None, (generator, discriminator, decoder)):
            quicken(net)
        self.augment = None if augment in (None, "none") else _named(_AUGMENT, augment)
        if self.augment:
            self.augment.check(generator.output_shape[1:])
        adapted = self.augment.state if self.augment else {}
        if adapted and not critic_steps.most:
            raise ValueError(
                f"augment {self.augment.name!r} adapts p at updates of the "
                "discriminator, and critic_steps=0 makes none: give p"
            )
        self.memory = Memory(
            {
                "loss": own.state,
                **{p.name: p.state for p in self.penalties},
                "augment": adapted,
            }
        )
        self.latent = _latent(latent, generator)
        self.update, self.critic_steps = update, critic_steps
        self._fixed = critic_steps.most == 0
        if self._fixed:
            for layer in all_layers(discriminator):
                if isinstance(layer, SpectralNormalization):
                    layer.iterate(_SETTLED)
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
            check_clipping(self.generator_optimizer, self.discriminator_optimizer)
        # Before fit: variables made inside a replica's step would be lost.
        self.generator_optimizer.build(self._trained("generator"))
        self.discriminator_optimizer.build(self._trained("discriminator"))
        quicken_optimizer(self.generator_optimizer)
        quicken_optimizer(self.discriminator_optimizer)

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
            for layer in all_layers(net)
            if isinstance(layer, SpectralNormalization)
        }

    def fit(self, x=None, *args, steps_per_epoch=None, **kwargs):
        """As `keras.Model.fit`.

        An alternating step takes `critic_steps` batches, so an epoch of a finite
        dataset is as many steps as the dataset has batches for.

        Under several replicas a tf.data.Dataset is of batches for all of them, the
        same in all workers; each takes its share. `gantf.replicas.distribute` is for
        workers that only read their shares.
        """
        if isinstance(x, tf.data.Dataset | tf.distribute.DistributedDataset):
            kwargs.setdefault("shuffle", False)  # Keras warns of its own default
        if isinstance(x, tf.data.Dataset):
            _, labels = samples(x.element_spec)
            for net in (self.generator, self.discriminator):
                check_labels(net, labels)
        replicas = self.distribute_strategy.num_replicas_in_sync
        if replicas > 1:
            check_data([self.generator, self.discriminator], x, replicas)
            check_slopes(self.discriminator, self.scaling)
        if self.critic_steps.most > 1 and steps_per_epoch is None:
            steps_per_epoch, x = self._epoch(x)
        if replicas > 1 and isinstance(x, tf.data.Dataset):
            steps_per_epoch, x = endless(x, steps_per_epoch)
            x = deal(self.distribute_strategy, x)
        return super().fit(x, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Nothing: all is built. Under a strategy Keras would take a batch for it."""

    def train_step(self, data):
        """A simultaneous step on one replica's share of the batch."""
        real, labels = samples(data)
        draws = self._draws(0)
        with shared_kernels(), tf.GradientTape(persistent=True) as tape:
            fake = self._fake(real, labels, draws)
            batch = self._batch(real, fake, labels, draws)
            generator_loss, loss, state = self._both_losses(batch)
            total, values, states = self._penalised(loss, batch)
        logs = {
            "generator_loss": generator_loss,
            "discriminator_loss": loss,
            **values,
            **self._apply("generator", tape, generator_loss),
            **self._apply("discriminator", tape, total),
            **self._monitors(batch),
        }
        self._remember({"loss": state, **states, **self._adapted(batch)})
        self._average()
        return logs

    def critic_step(self, data, turn):
        """The discriminator's part of an alternating step, number `turn` of it."""
        real, labels = samples(data)
        draws = self._draws(turn)
        with spectral_updates(False):  # of the generator: at its own step
            fake = self._fake(real, labels, draws)
        with shared_kernels(), tf.GradientTape() as tape:
            batch = self._batch(real, fake, labels, draws)
            _, loss, state = self._both_losses(batch)
            total, values, states = self._penalised(loss, batch)
        logs = {
            "discriminator_loss": loss,
            **values,
            **self._apply("discriminator", tape, total),
            **self._monitors(batch),
        }
        self._remember({"loss": state, **states, **self._adapted(batch)})
        return logs

    def generator_step(self, data):
        """The generator's part of an alternating step."""
        real, labels = samples(data)
        draws = self._draws(self.critic_steps.most)
        with shared_kernels(), tf.GradientTape() as tape:
            fake = self._fake(real, labels, draws)
            with spectral_updates(False):
                batch = self._batch(real, fake, labels, draws)
                generator_loss, loss, _ = self._both_losses(batch)
        logs = {
            "generator_loss": generator_loss,
            "discriminator_loss": loss,
            **self._apply("generator", tape, generator_loss),
            **self._monitors(batch),
        }
        self._average()
        return logs

    def make_train_function(self, force: bool = False):
        """The step that `fit` runs, under the strategy of the model's scope."""
        if self.train_function is not None and not force:
            return self.train_function
        strategy, steps = self.distribute_strategy, self.steps_per_execution

        def shared(step, *args):
            logs = strategy.run(step, args=args)
            # Over no axis: Keras' own reduction fails on scalars of many workers.
            return {k: strategy.reduce("MEAN", v, axis=None) for k, v in logs.items()}

        def simultaneous(iterator):
            return shared(self.train_step, next(iterator))

        def alternating(iterator):
            turns = self._turns()
            for turn in tf.range(tf.maximum(turns - 1, 0)):
                shared(self.critic_step, next(iterator), turn)
            data = next(iterator)
            if self.critic_steps.least > 0:
                logs = shared(self.critic_step, data, turns - 1)
                return shared(self.generator_step, data) | logs
            if turns > 0:
                shared(self.critic_step, data, turns - 1)
            return shared(self.generator_step, data)

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
            "critic_steps": str(self.critic_steps),
            "classes": self.classes,
            "ema": self.ema,
            "seed": self.seed,
            "scaling": [self.scaling.name, dict(self.scaling.parameters)]
            if self.scaling
            else "none",
            "clip": self.clip,
            "gradient_clip": self.gradient_clip,
            "decoder": self.decoder
            and keras.saving.serialize_keras_object(self.decoder),
            "augment": [self.augment.name, dict(self.augment.parameters)]
            if self.augment
            else "none",
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for net in ("generator", "discriminator", "decoder"):
            config[net] = config.get(net) and keras.saving.deserialize_keras_object(
                config[net], custom_objects
            )
        name, parameters = config["loss"]
        config["loss"] = losses.get(name, **parameters)
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

    def _epoch(self, x: Any) -> tuple[int, Any]:
        """The steps that a dataset has batches for, and it repeated."""
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
        steps = self.critic_steps
        fit = (n for n in range(1, batches + 1) if steps.batches(n + 1) > batches)
        return next(fit, 1), x.repeat()

    def _turns(self):
        """The critic steps before the generator's next update."""
        steps = self.critic_steps
        if not steps.varies:
            return steps.usual
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int32)
        return tf.where(steps.special(step), steps.more, steps.usual)

    def _draws(self, turn: Any) -> Draws:
        """The random numbers of this turn: the same on all replicas."""
        step = tf.cast(self.generator_optimizer.iterations.value, tf.int64)
        first = step * (self.critic_steps.most + 1)
        return Draws(self.seed, first + tf.cast(turn, tf.int64))

    def _fake(self, real, labels, draws: Draws):
        """As many generated samples as there are real ones, with their labels."""
        key = draws.key("latents")
        latents = share(draw_latents(self.latent, whole_size(real), key))
        return run(self.generator, latents, labels)

    def _batch(self, real, fake, labels, draws: Draws) -> Batch:
        """The scores of the whole batch, in float32, all from one sigma."""
        training = not self._fixed
        if self.augment:
            remembered = self.memory.read("augment")
            real, fake = self.augment.pair(real, fake, draws, remembered)
        scores = [run(self.discriminator, real, labels, training)]
        with spectral_updates(False):
            scores.append(run(self.discriminator, fake, labels, training))
        scores = [gather(tf.cast(score, tf.float32)) for score in scores]

        def call(net, x):
            given = labels
            if len(net.inputs) > 1:  # x may be copies of the batch, sample by sample
                given = tf.repeat(labels, tf.shape(x)[0] // tf.shape(labels)[0])
            with spectral_updates(False):
                return run(net, x, given, training)

        return Batch(
            lambda x: tf.cast(call(self.discriminator, x), tf.float32),
            real,
            fake,
            *scores,
            self.criterion,
            draws,
            self.discriminator,
            self.decoder,
            call,
        )

    def _both_losses(self, batch: Batch) -> tuple[Any, Any, dict]:
        """Both losses, scaled, and what the loss remembers then."""
        *pair, state = self.criterion.step(
            batch.real_scores, batch.fake_scores, self.memory.read("loss"), batch.draws
        )
        if self.scaling:
            pair = self.scaling(batch, *pair)
        return *pair, state

    def _penalised(self, loss, batch: Batch) -> tuple[Any, dict, dict]:
        """The discriminator's loss with its penalties, these, what they remember."""
        values, states = {}, {}
        for penalty in self.penalties:
            memory = self.memory.read(penalty.name)
            value, states[penalty.name] = penalty.step(batch, memory)
            values[f"penalty/{penalty.name}"] = value
            loss += value
        return loss, values, states

    def _adapted(self, batch: Batch) -> dict[str, dict]:
        """What the augmentation remembers then."""
        if not self.augment:
            return {}
        scores = batch.real_scores, batch.fake_scores
        remembered = self.memory.read("augment")
        return {"augment": self.augment.adapt(remembered, self.criterion, *scores)}

    def _remember(self, states: Mapping[str, dict]) -> None:
        for owner, state in states.items():
            self.memory.write(owner, state)

    def _monitors(self, batch: Batch) -> dict[str, Any]:
        shown = self.criterion.monitors(batch.real_scores, batch.fake_scores)
        return {**shown, **self.memory.monitors()}

    def _trained(self, net: str) -> list[keras.Variable]:
        """The variables that a net's optimizer trains."""
        variables = getattr(self, net).trainable_variables
        if net == "discriminator" and self.decoder is not None:
            variables = variables + self.decoder.trainable_variables
        return variables

    def _apply(self, net: str, tape, loss):
        """One update of a net; logs the norms of its gradient and of its weights."""
        variables = self._trained(net)
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
        if self.gradient_clip:
            bound = self.gradient_clip
            gradients = [tf.clip_by_norm(gradient, bound) for gradient in gradients]
        optimizer.apply([gradient / replicas for gradient in gradients], variables)
        if self.clip and net == "discriminator":
            for variable in self.discriminator.trainable_variables:
                held = tf.clip_by_value(variable.value, -self.clip, self.clip)
                variable.assign(held)
        weights = tf.linalg.global_norm([variable.value for variable in variables])
        return {f"{net}_gradient": norm, f"{net}_weights": weights}

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


def _latent(latent: str | Latent | None, generator: keras.Model) -> Latent:
    size = generator.inputs[0].shape[-1]
    if latent is None:
        return Latent("normal", size)
    latent = latent if isinstance(latent, Latent) else read_latent(latent)
    if latent.size != size:
        raise ValueError(f"the generator takes latents of {size} numbers, not {latent}")
    return latent


_PENALTY = penalties.Penalty, penalties.get
_SCALING = scaling.Scaling, scaling.get
_AUGMENT = augment.Augmentation, augment.get


def _named(kind: tuple[type, Callable], given: Any) -> Any:
    """A penalty and the like from itself, its name, or (name, parameters)."""
    type_, get = kind
    if isinstance(given, type_ | str):
        return get(given)
    try:
        name, parameters = given
    except (TypeError, ValueError):
        raise ValueError(
            f"{get.__module__[6:]} are names or (name, parameters), not {given!r}"
        ) from None
    return get(name, **parameters)


def _check_decoder(decoder, wanted: bool, generator, discriminator) -> None:
    """Refuses a decoder that is not used or not there, or that does not fit."""
    if decoder is None:
        if wanted:
            raise ValueError(
                "penalty 'autoencoder' needs a decoder: a net from scores to samples"
            )
        return
    if not wanted:
        raise ValueError(
            "a decoder is for the penalty 'autoencoder', which is not given"
        )
    shapes = [discriminator.output_shape[1:], generator.output_shape[1:]]
    found = [net_input.shape[1:] for net_input in decoder.inputs]
    if [*found, decoder.output_shape[1:]] != shapes:
        raise ValueError(
            f"the decoder maps scores {shapes[0]} to samples {shapes[1]}, not "
            f"{', '.join(map(str, found))} to {decoder.output_shape[1:]}"
        )


def _bound(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is a number above 0, or 0 for none, not {value!r}")
    return float(value)


def _optimizer(optimizer: Any) -> keras.optimizers.Optimizer:
    if optimizer is None:
        return keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999)
    return keras.optimizers.get(optimizer)
