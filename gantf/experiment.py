"""A run: settings -> folder -> training -> evaluation; it resumes where it stopped.

runs/NAME/
  settings.json       the settings, resolved, with versions and commit
  logs/               TensorBoard
  metrics.csv         the same curves as a table
  curves.png          losses and figures, at the end
  samples/            step_000500.png, ...: always the same latents
  checkpoints/        the last two, whole, and that of the best step
  generator.keras     the generator that `generate` uses
  scores.json         the last figures, with their protocol
  best.keras          the generator of the evaluation with the best figure
  best.json           which that was
  skipped.txt         bad images that were left out, if there were; of many workers
                      those that the chief has met
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import (
    architecture,
    cost,
    datasets,
    features,
    losses,
    replicas,
    schedule,
    shapes,
    streams,
)
from gantf import settings as settings_
from gantf.builder import build_decoder, build_pair, precision
from gantf.claim import RunError, claim, in_words
from gantf.gan import GAN
from gantf.readers import ReadError
from gantf.settings import Settings, make_decay, make_rollback
from gantf.training import Training


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run left.

    Attributes:
      folder: of the run.
      step: how many updates the generator has had.
      scores: the last figures, by name.
    """

    folder: Path
    step: int
    scores: dict[str, float]


def run(settings: Mapping[str, Any]) -> RunResult:
    """Trains as the settings say, or goes on with the run in their folder.

    Args:
      settings: see `gantf.settings.Settings`; what is left out has its default.

    Raises:
      ValueError: settings that cannot be; before anything is written.
      RunError: a folder that belongs to another run, or what stopped the training.
    """
    # Before anything else of TensorFlow, which checks of settings may use.
    strategy = replicas.get_strategy(settings.get("strategy", Settings.strategy))
    resolved = settings_.resolve(settings)
    if resolved.deterministic:
        tf.config.experimental.enable_op_determinism()
    source = open_source(resolved)
    _check_share(resolved, strategy)
    with _in_words(resolved.folder), precision(resolved.precision):
        _check_workers(resolved, source, strategy)
        with strategy.scope():
            gan = make_gan(resolved)
            network = features.get(resolved.features, resolved.feature_weights)
        with _place(resolved, source, strategy) as folder:
            _say(_opening(resolved, source, gan, strategy))
            decay = make_decay(resolved.lr_decay)
            rollback = make_rollback(resolved.on_nan)
            training = Training(gan, resolved, source, network, folder, decay, rollback)
            scores = training.run()
    return RunResult(resolved.folder, gan.step, scores)


def open_source(settings: Settings) -> Any:
    """The training images of a run.

    Raises:
      ValueError: no such set, or one that does not fit the architecture.
    """
    sample = architecture.read_sample(settings.architecture["sample"])
    channels = sample[-1] if len(sample) == 3 else None
    source = datasets.find(
        settings.data,
        settings.split,
        settings.size,
        channels,
        prepare=settings.prepare,
        on_error=settings.on_error,
        label=settings.label,
    )
    if source.shape != sample:
        raise ValueError(
            f"{settings.data} has samples of {shapes.show(source.shape)}, and the "
            f"architecture makes {shapes.show(sample)}; choose another of the two"
        )
    _check_labels(settings, source)
    if settings.batch_size > source.n:
        raise ValueError(
            f"a batch of {settings.batch_size} is larger than the set: {source.name} "
            f"has {source.n} images; give --batch_size={source.n} or less"
        )
    if settings.same_class:
        streams.check_classes(source, settings.batch_size)
    return source


def _check_labels(settings: Settings, source: Any) -> None:
    """Refuses data whose labels are not those that the architecture asks for."""
    nets = architecture.read(settings.architecture)
    asked = [layer.labels for layer in (*nets.generator, *nets.discriminator)]
    if not any(asked):
        return
    if source.labels is None:
        raise ValueError(
            f"{source.name} has no labels, and the architecture asks for them (by "
            f"{next(filter(None, asked))[0]}); give a set with labels, as a folder for "
            "each class, or an architecture without"
        )
    largest = int(source.labels.max())
    if largest >= nets.classes:
        raise ValueError(
            f"{source.name} has labels from 0 to {largest}, and the architecture "
            f"{nets.classes} classes; give its 'classes' as {largest + 1}"
        )


def make_gan(settings: Settings) -> GAN:
    """The nets of a run, compiled; call it in the strategy's scope."""
    keras.utils.set_random_seed(settings.seed)
    generator, discriminator = build_pair(settings.architecture)
    coded = any(name == "autoencoder" for name, _ in settings.penalties)
    gan = GAN(
        generator,
        discriminator,
        loss=losses.get(settings.loss, **settings.loss_parameters),
        penalties=settings.penalties,
        latent=settings.architecture["latent"],
        update=settings.update,
        critic_steps=settings.critic_steps,
        classes=settings.architecture["classes"],
        ema=settings.ema,
        seed=settings.seed,
        scaling=settings.scaling,
        clip=settings.clip,
        gradient_clip=settings.gradient_clip,
        augment=settings.augment,
        decoder=build_decoder(settings.architecture) if coded else None,
    )
    make = _OPTIMIZERS[settings.optimizer]
    rates = settings.generator_lr, settings.discriminator_lr
    gan.compile(*(make(rate, settings) for rate in rates))
    return gan


_OPTIMIZERS = {
    "adam": lambda rate, s: keras.optimizers.Adam(rate, s.beta_1, s.beta_2),
    # With PyTorch's decay and epsilon, which the codes of WGAN and of MMD GAN have:
    # 1e-8 beside the root there, under it here, where 1e-8 would all but stop a
    # generator whose critic is clipped, with gradients near 1e-7.
    "rmsprop": lambda rate, s: keras.optimizers.RMSprop(rate, 0.99, epsilon=1e-16),
    "sgd": lambda rate, s: keras.optimizers.SGD(rate),
}


def describe(settings: Settings) -> str:
    """The settings, both nets as tables and the cost of a step."""
    nets = architecture.read(settings.architecture)
    penalties = [name for name, _ in settings.penalties]
    scaling = settings.scaling if settings.scaling == "none" else settings.scaling[0]
    steps = schedule.read(settings.critic_steps).usual
    macs = cost.step(nets, settings.update, steps, penalties, scaling)
    macs *= settings.batch_size
    shown = settings.to_dict() | {"architecture": nets.reference}
    lines = [f"{key:17} {value}" for key, value in shown.items()]
    coded = "autoencoder" in penalties
    for name, net in nets.nets.items():
        idle = name == "decoder" and not coded
        unused = ", not trained: only the penalty autoencoder uses it" if idle else ""
        lines += ["", name + unused, shapes.table(*net, nets.classes)]
    lines += ["", f"a step: about {macs / 1e9:.1f} G multiply-adds"]
    if left := [*cost.left(penalties, scaling)]:
        lines[-1] += f", less those of {' and '.join(left)}"
    return "\n".join(lines)


@contextlib.contextmanager
def _place(settings: Settings, source, strategy) -> Iterator[Path]:
    """Where this worker writes: the chief the run's folder, others what goes away."""
    if replicas.worker(strategy)[0] == 0:
        with claim(settings, source.prepared.words) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="gantf-") as folder:
            yield Path(folder)


def _opening(settings: Settings, source, gan: GAN, strategy) -> str:
    """What a run is about to do, for who watches it."""
    weights = [
        sum(int(np.prod(v.shape)) for v in net.trainable_variables)
        for net in (gan.generator, gan.discriminator)
    ]
    count = strategy.num_replicas_in_sync
    return "\n".join(
        [
            f"data   {source.name}: {source.n:,} samples as "
            f"{shapes.show(source.shape)}{_how(source)}",
            f"nets   generator {weights[0]:,}, discriminator {weights[1]:,} parameters",
            f"loss   {settings.loss}, {settings.update}, score of {settings.score}",
            f"run    {settings.folder}, {settings.steps} steps of "
            f"{settings.batch_size} on {count} device{'s' * (count > 1)} in "
            f"{settings.precision}",
            *(f"       {line}" for line in replicas.devices(strategy)),
        ]
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _how(source) -> str:
    """How images came to their size, and how many were left out."""
    how = f", {source.prepared.words}" if source.prepared.words else ""
    bad = len(source.faults.lines)
    return how + (f"; {bad:,} bad images left out" if bad else "")


def _check_share(settings: Settings, strategy) -> None:
    count = strategy.num_replicas_in_sync
    if settings.batch_size % count:
        raise RunError(
            f"a batch of {settings.batch_size} cannot be shared out equally to "
            f"{count} devices; give a multiple of {count}"
        )


def _check_workers(settings: Settings, source, strategy) -> None:
    """Refuses workers that were started with other settings or data than the chief."""
    said = json.dumps([settings.to_dict(), source.n], sort_keys=True).encode()
    digest = np.frombuffer(hashlib.sha256(said).digest(), np.uint8)
    first, *others = replicas.exchange(digest, strategy)
    other = [i for i, found in enumerate(others, 1) if not np.array_equal(found, first)]
    if other:
        raise RunError(
            f"worker {other[0]} has other settings or data than worker 0; start all "
            "workers with the same command"
        )


@contextlib.contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Turns what may stop a training into a RunError of one line."""
    try:
        with in_words(folder):
            yield
    except (tf.errors.OpError, ReadError) as error:
        words = streams.explain(error) or replicas.explain(error)
        if words is None:
            raise
        raise RunError(words) from error
