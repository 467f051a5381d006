"""A run: settings -> folder -> training -> evaluation; it resumes where it stopped.

runs/NAME/
  settings.json       the settings, resolved, with versions and commit
  logs/               TensorBoard
  metrics.csv         the same curves as a table
  curves.png          losses and figures, at the end
  samples/            step_000500.png, ...: always the same latents
  checkpoints/        the last two, whole
  generator.keras     the generator that `generate` uses
  scores.json         the last figures, with their protocol
  best.keras          the generator of the evaluation with the best figure
  best.json           which that was
  skipped.txt         bad images that were left out, if there were
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gantf
from gantf import (
    architecture,
    callbacks,
    checkpoints,
    datasets,
    features,
    losses,
    monitors,
    pictures,
    plots,
    samples,
    schedule,
    shapes,
    streams,
)
from gantf import settings as settings_
from gantf.builder import build_decoder, build_pair, precision
from gantf.decay import ThreeSampleDecay
from gantf.evaluate import Evaluator, column, feature_cache, is_spread
from gantf.files import is_unfinished, sweep, write_json
from gantf.gan import GAN
from gantf.readers import ReadError, kept
from gantf.replicas import get_strategy
from gantf.settings import Settings, make_decay

_GRID = 64  # samples in a picture
_POINTS = 2000
_SHOWN = 256  # real samples in TensorBoard's projector, and generated ones
_LOSSES = ("generator_loss", "discriminator_loss")


class RunError(Exception):
    """What stopped a run, in words for who started it."""


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
    resolved = settings_.resolve(settings)
    source = open_source(resolved)
    with precision(resolved.precision):
        strategy = get_strategy(resolved.strategy)
        _check_share(resolved, strategy.num_replicas_in_sync)
        with strategy.scope():
            gan = make_gan(resolved)
            network = features.get(resolved.features, resolved.feature_weights)
        decay = make_decay(resolved.lr_decay)
        folder = _claim(resolved, source)
        _say(_opening(resolved, source, gan, strategy))
        step = _restore(gan, folder, decay)
        with _in_words(folder):
            scores = _train(gan, resolved, source, network, decay, folder, step)
    return RunResult(folder, gan.step, scores)


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
    # The generator goes forward and back (3); the discriminator so for real (3) and
    # for fake samples (3), and once more back to the generator.
    costs = {name: shapes.macs(*net, nets.classes) for name, net in nets.nets.items()}
    g, d = costs["generator"], costs["discriminator"]
    if settings.update == "simultaneous":
        cost = 3 * g + 7 * d
    else:
        critic_steps = schedule.read(settings.critic_steps).usual
        cost = critic_steps * (g + 6 * d) + 3 * g + 3 * d
    cost *= settings.batch_size
    shown = settings.to_dict() | {"architecture": nets.reference}
    lines = [f"{key:17} {value}" for key, value in shown.items()]
    coded = any(name == "autoencoder" for name, _ in settings.penalties)
    for name, net in nets.nets.items():
        idle = name == "decoder" and not coded
        unused = ", not trained: only the penalty autoencoder uses it" if idle else ""
        lines += ["", name + unused, shapes.table(*net, nets.classes)]
    lines += ["", f"a step: about {cost / 1e9:.1f} G multiply-adds"]
    left = ["penalties"] * bool(settings.penalties)
    left += ["scaling"] * (settings.scaling != "none")
    if left:
        lines[-1] += f", less those of its {' and '.join(left)}"
    return "\n".join(lines)


def _train(
    gan: GAN,
    settings: Settings,
    source,
    network: features.Features,
    decay: ThreeSampleDecay | None,
    folder: Path,
    step: int,
) -> dict[str, float]:
    """From `step` to the end; the last figures."""
    real = samples.of_source(source, settings.evaluate_samples)
    evaluator = Evaluator(real, network, settings.metrics, feature_cache())
    records = callbacks.Records(folder, step)
    count, draw = _picture(source)
    feed = kept(source, settings.cache_gb * 1e9)
    every, looked_at = settings.evaluate_every, min(_GRID, settings.batch_size)
    evaluation = callbacks.Evaluate(records, evaluator, real.n, decay=decay)
    beside = [
        callbacks.Progress(),
        callbacks.FiniteGuard(),
        callbacks.Skipped(folder, source.faults),
        callbacks.Monitor(records, settings.batch_size, settings.log_every),
        monitors.Saturation(settings.batch_size, settings.log_every),
        monitors.Slopes(records, _some(source, looked_at, settings), every),
        monitors.Spectra(records, every),
        monitors.Embedding(folder, _some(source, _SHOWN, settings), source.classes),
        callbacks.SampleGrid(records, folder, draw, count, settings.seed),
        evaluation,
        checkpoints.Best(records, column(settings.best, network.name)),
        checkpoints.Checkpoint(folder, decay=decay),
    ]
    for first, last, steps in _segments(step, settings.steps, every):
        stream = streams.stream(
            feed,
            settings.batch_size,
            seed=settings.seed,
            start=gan.critic_steps.batches(gan.step),
            same_class=settings.same_class,
            flip=settings.flip,
        )
        gan.fit(
            stream,
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=steps,
            callbacks=beside,
        )
    if not evaluation.figures:  # a run that was finished already
        evaluation = callbacks.Evaluate(records, evaluator, real.n)
        evaluation.set_model(gan)
        evaluation.evaluate()
    curves = pictures.history(
        {name: records.column(name) for name in _LOSSES},
        {n: records.column(n) for n in evaluation.figures if not is_spread(n)},
    )
    plots.save_png(folder / "curves.png", curves)
    return evaluation.figures


def _some(source, count: int, settings: Settings) -> Mapping[str, np.ndarray]:
    """Real samples that a monitor looks at, always the same."""
    stream = streams.stream(source, min(count, source.n), seed=settings.seed)
    return next(stream.take(1).as_numpy_iterator())


def _segments(step: int, steps: int, every: int) -> Iterator[tuple[int, int, int]]:
    """(initial epoch, epochs, steps an epoch) of the calls of fit; at least none.

    An epoch ends at each multiple of `every`, and at the last step.
    """
    while step < steps:
        first = step // every
        whole = (steps - step) // every if step % every == 0 else 0
        length = every if whole else min((first + 1) * every, steps) - step
        yield first, first + max(whole, 1), length
        step += length * max(whole, 1)


def _picture(source) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """How many samples a picture has, and how it is drawn."""
    if len(source.shape) == 3:
        return _GRID, lambda samples: plots.grid(plots.to_uint8(samples))
    real = source.read(np.arange(min(source.n, _POINTS)))
    draw = {1: plots.histogram, 2: plots.scatter}[source.shape[0]]
    return _POINTS, lambda samples: draw(samples, real)


def _claim(settings: Settings, source) -> Path:
    """Takes the folder for this run, or refuses; writes settings.json."""
    folder = settings.folder
    path = folder / "settings.json"
    here = {"versions": _versions(), "commit": _commit()}
    about = {"settings": settings.to_dict(), "prepared": source.prepared.words, **here}
    try:
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder} is a file; give another --workdir")
        if path.exists():
            stored = _read_about(path)
            _check_same(settings, stored["settings"])
            about = stored | {"settings": about["settings"]}
            about["resumed"] = [*about.get("resumed", []), here]
        elif not all(map(is_unfinished, folder.glob("*"))):
            raise RunError(
                f"{folder} is no run's folder and not empty; give another --workdir"
            )
        sweep(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, about)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def _check_same(settings: Settings, stored: Mapping[str, Any]) -> None:
    """Refuses a folder whose run has other settings than these."""
    if not settings.resume:
        raise RunError(
            f"{settings.folder} holds a run already, which --noresume would write "
            "over; give another --workdir, or delete it"
        )
    with contextlib.suppress(ValueError):  # a run of before a setting was there
        stored = settings_.resolve(stored).to_dict()
    differences = settings.differences(stored)
    if differences:
        raise RunError(
            f"{settings.folder} holds a run with other settings "
            f"({'; '.join(differences)}); give another --workdir, or those settings "
            "to go on with it"
        )


def _versions() -> dict[str, str]:
    return {
        "gantf": gantf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _restore(gan: GAN, folder: Path, decay: ThreeSampleDecay | None) -> int:
    """Loads the newest checkpoint; the step that it was made at, or 0."""
    found = checkpoints.of_run(folder)
    if not found:
        return 0
    try:
        gan.load_weights(found[-1])
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{found[-1]} cannot be read ({_one_line(error)}); delete it to go on from "
            f"{found[-2].name if len(found) > 1 else 'the start'}"
        ) from error
    if decay is not None:
        state = checkpoints.decay_state(found[-1])
        try:
            decay.load(state)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{state} cannot be read ({_one_line(error)}); delete it and "
                f"{found[-1].name}, to go on from before"
            ) from error
    _say(f"{folder}: goes on from step {gan.step}")
    return gan.step


def _opening(settings: Settings, source, gan: GAN, strategy) -> str:
    """What a run is about to do, for who watches it."""
    weights = [
        sum(int(np.prod(v.shape)) for v in net.trainable_variables)
        for net in (gan.generator, gan.discriminator)
    ]
    replicas = strategy.num_replicas_in_sync
    return (
        f"data   {source.name}: {source.n:,} samples as {shapes.show(source.shape)}"
        f"{_how(source)}\n"
        f"nets   generator {weights[0]:,}, discriminator {weights[1]:,} parameters\n"
        f"loss   {settings.loss}, {settings.update}, score of {settings.score}\n"
        f"run    {settings.folder}, {settings.steps} steps of {settings.batch_size} "
        f"on {replicas} device{'s' * (replicas > 1)} in {settings.precision}"
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _how(source) -> str:
    """How images came to their size, and how many were left out."""
    how = f", {source.prepared.words}" if source.prepared.words else ""
    bad = len(source.faults.lines)
    return how + (f"; {bad:,} bad images left out" if bad else "")


def _check_share(settings: Settings, replicas: int) -> None:
    if settings.batch_size % replicas:
        raise RunError(
            f"a batch of {settings.batch_size} cannot be shared out equally to "
            f"{replicas} devices; give a multiple of {replicas}"
        )


@contextlib.contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Turns what may stop a training into a RunError of one line."""
    try:
        yield
    except callbacks.NotFinite as error:
        found = checkpoints.of_run(folder)
        kept = f"{found[-1]} is from before" if found else "there is no checkpoint yet"
        raise RunError(
            f"{error}; {kept}. Try lower learning rates or the bounded loss rmb"
        ) from error
    except (tf.errors.OpError, ReadError) as error:
        words = streams.explain(error)
        if words is None:
            raise
        raise RunError(words) from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise RunError(
            f"no space left for {folder}; free some and start again: the run goes on "
            "from its last checkpoint"
        ) from error


def _commit() -> str | None:
    """The commit of the checkout that gantf runs from, if it is one."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None


def _read_about(path: Path) -> dict[str, Any]:
    """The settings.json of a run."""
    try:
        about = json.loads(path.read_text("utf-8"))
    except ValueError:
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
        raise RunError(
            f"{path} is torn; delete {path.parent}, or give another --workdir"
        )
    return about


def _one_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
