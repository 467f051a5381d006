"""The state of a run on disk: its last steps, and its best one.

    checkpoints/step_00000500.weights.h5   both nets, the running average, both
                                           optimizers, the spectral vectors
    checkpoints/step_00000500.decay.npz    the state of the decay, if there is one
    checkpoints/step_00000500.json         the SHA-256 of both, and what else is known
    checkpoints/best.weights.h5, .json     the same of the best step
    generator.keras, best.keras            the generators that samples are drawn from

Each is written whole or not at all. A checkpoint whose files are not those that its
record names is none: the one before it is taken.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras

from gantf import callbacks, models
from gantf.callbacks import Records
from gantf.decay import ThreeSampleDecay
from gantf.evaluate import higher_is_better
from gantf.files import sha256, whole, write_json

_AGAIN = "b"  # ends the name of a step's second checkpoint, once it is evaluated
_ENDINGS = _WEIGHTS, _DECAY, _RECORD = ".weights.h5", ".decay.npz", ".json"


class Best(keras.callbacks.Callback):
    """Keeps the state of the epoch whose figure was the best so far.

    best.keras is the generator, checkpoints/best.weights.h5 the whole state, best.json
    says which step and which value. It stands behind `Evaluate` in the list.

    Args:
      records: where the figures of all evaluations are.
      figure: the name of one of them.
    """

    def __init__(self, records: Records, figure: str):
        super().__init__()
        self.records, self.figure = records, figure

    def on_epoch_end(self, epoch, logs=None):
        step, folder = self.model.step, self.records.folder
        values = dict(self.records.column(self.figure))
        value = values.pop(step, math.nan)
        sign = -1.0 if higher_is_better(self.figure) else 1.0
        earlier = [*values.values(), *self._kept(folder / "best.json", step)]
        if math.isfinite(value) and all(sign * value < sign * v for v in earlier):
            save_state(self.model, folder / "best.keras", "best")
            found = {"step": step, "figure": self.figure, "value": value}
            write_json(folder / "best.json", found)

    def _kept(self, path: Path, step: int) -> list[float]:
        """The value of what is kept, if it is of an earlier step: a list of 0 or 1."""
        try:
            found = json.loads(path.read_text("utf-8"))
            earlier = found["figure"] == self.figure and found["step"] < step
            return [float(found["value"])] if earlier else []
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []


class Checkpoint(keras.callbacks.Callback):
    """The whole state of a run at the end of every epoch; the last two are kept.

    generator.keras beside is the generator alone, the one that samples are drawn from.

    Args:
      folder: of the run.
      keep: how many.
      decay: its state is kept too; or None.

    Attributes:
      rollbacks: how often the run went back to a checkpoint; kept with the state.
      saved: the step of the last one.
    """

    def __init__(
        self, folder: Path, keep: int = 2, decay: ThreeSampleDecay | None = None
    ):
        super().__init__()
        self.folder, self.keep, self.decay = folder, keep, decay
        self.rollbacks = self.saved = 0

    def on_epoch_end(self, epoch, logs=None):
        self.save(evaluated=True)

    def save(self, evaluated: bool) -> None:
        """Writes a checkpoint of the state as it is now.

        Args:
          evaluated: whether the evaluation of this step is done, if there is one.

        Raises:
          NotFinite: weights that are NaN or infinite. Nothing is written then.
        """
        step = self.model.step
        record = {"step": step, "evaluated": evaluated, "rollbacks": self.rollbacks}
        name = f"step_{step:08d}"
        if (self.folder / "checkpoints" / f"{name}{_WEIGHTS}").exists():
            name += _AGAIN  # what is there stays until this is whole
        generator = self.folder / "generator.keras"
        save_state(self.model, generator, name, self.decay, record)
        self.saved = step
        for old in _names(self.folder)[: -self.keep]:
            for ending in _ENDINGS:  # without its weights it is none
                (self.folder / "checkpoints" / f"{old}{ending}").unlink(missing_ok=True)


class Restored(NamedTuple):
    """What a checkpoint says beside the state.

    Attributes:
      step: of its generator.
      evaluated, rollbacks: see `Checkpoint`.
      faults: a line on each newer checkpoint that was not whole.
      name: of its files; "" where there is none.
    """

    step: int = 0
    evaluated: bool = True
    rollbacks: int = 0
    faults: tuple[str, ...] = ()
    name: str = ""


class Torn(ValueError):
    """A checkpoint that is not as it was written, or none that is; `str` says it."""


def restore(
    gan: keras.Model, folder: Path, decay: ThreeSampleDecay | None = None
) -> Restored | None:
    """Loads the newest checkpoint of a run that is whole; None if there is none at all.

    Files of newer ones that are torn are kept, under names that end in .torn.

    Args:
      gan: a `gantf.GAN` as the run made it, compiled.
      folder: of the run.
      decay: gets its state back; or None.

    Raises:
      Torn: there are checkpoints, but none is whole, or the nets are others.
    """
    faults: dict[str, str] = {}
    for name in reversed(_names(folder)):
        try:
            found = restore_one(gan, folder, name, decay)
        except Torn as error:
            faults[name] = str(error)
            continue
        for torn in faults:
            for path in _files(folder, torn):
                path.rename(f"{path}.torn")
        return found._replace(faults=tuple(faults.values()))
    if faults:
        raise Torn(
            f"{'; '.join(faults.values())}; no checkpoint is whole: delete "
            f"{folder / 'checkpoints'} to begin again, or give another --workdir"
        )
    return None


def restore_one(
    gan: keras.Model, folder: Path, name: str, decay: ThreeSampleDecay | None = None
) -> Restored:
    """Loads one checkpoint, as "step_00000500"; see `restore`."""
    weights, state, record = (folder / "checkpoints" / f"{name}{e}" for e in _ENDINGS)
    step = int(name.removeprefix("step_").removesuffix(_AGAIN))
    found = Restored(step, name=name)
    if record.exists():  # there is none of a version before 0.6.0
        found = _read_record(record, found)
    try:
        models.check_arrays(weights)
        with warnings.catch_warnings():
            # Keras only warns of what it leaves as it was.
            warnings.simplefilter("error", UserWarning)
            gan.load_weights(weights)
        if decay is not None:
            decay.load(state)
    except (OSError, ValueError, KeyError, RuntimeError, UserWarning) as error:
        reason = _one_line(error).removeprefix(f"{weights}: ")
        raise Torn(f"{weights} cannot be read ({reason})") from error
    return found


def save_state(
    gan: keras.Model,
    generator: Path,
    name: str,
    decay: ThreeSampleDecay | None = None,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Writes the generator that samples are drawn from, and the whole state.

    Args:
      gan: a `gantf.GAN`.
      generator: a path in the run's folder.
      name: of the state, in checkpoints/ beside it.
      decay: whose state belongs to it; or None.
      record: what its record says, beside the hashes of its files.

    Raises:
      NotFinite: weights that are NaN or infinite. Nothing is written then.
    """
    if bad := callbacks.not_finite(gan):
        raise callbacks.NotFinite(gan.step, bad)
    folder = generator.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    _check_space(folder, _bytes(gan))
    with whole(generator) as unfinished:
        gan.sampler.net.save(unfinished, overwrite=True)
    with contextlib.ExitStack() as stack:
        hashes = {}

        def write(ending, save):
            path = folder / f"{name}{ending}"
            unfinished = stack.enter_context(whole(path))
            save(unfinished)
            hashes[path.name] = sha256(unfinished)

        write(_WEIGHTS, lambda path: gan.save_weights(path, overwrite=True))
        if decay is not None:
            write(_DECAY, decay.save)
        # Before its files are in place, the weights as the last: killed between, the
        # record does not fit what is there, or there is no checkpoint yet.
        about = {**(record or {}), "sha256": hashes}
        write_json(folder / f"{name}{_RECORD}", about)


def _read_record(path: Path, found: Restored) -> Restored:
    """What a record says, if the files it names are as they were."""
    try:
        about = json.loads(path.read_text("utf-8"))
        hashes = dict(about["sha256"])
        found = found._replace(
            evaluated=bool(about["evaluated"]), rollbacks=int(about["rollbacks"])
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise Torn(f"{path} is torn") from None
    for name, written in hashes.items():
        file = path.with_name(Path(name).name)
        try:
            changed = sha256(file) != written
        except OSError as error:
            raise Torn(f"{file} cannot be read ({error.strerror})") from None
        if changed:
            raise Torn(f"{file} is not as it was written")
    return found


def _bytes(gan: keras.Model) -> int:
    """About how much is written: all numbers, the generator's twice."""
    parts = gan, gan.generator_optimizer, gan.discriminator_optimizer
    held = sum(v.value.shape.num_elements() for p in parts for v in p.variables)
    return 4 * (held + gan.generator.count_params())


def _check_space(folder: Path, needed: int) -> None:
    """Fails before HDF5 does, which a full disk can make crash the program."""
    if shutil.disk_usage(folder).free < needed * 1.1 + 1e6:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def of_run(folder: Path) -> list[Path]:
    """The weights of a run's checkpoints, oldest first."""
    return sorted((folder / "checkpoints").glob(f"step_*{_WEIGHTS}"))


def _names(folder: Path) -> list[str]:
    """The checkpoints of a run, oldest first."""
    return [path.name.removesuffix(_WEIGHTS) for path in of_run(folder)]


def _files(folder: Path, name: str) -> list[Path]:
    """The files of a checkpoint that are there."""
    paths = (folder / "checkpoints" / f"{name}{ending}" for ending in _ENDINGS)
    return [path for path in paths if path.exists()]


def _one_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
