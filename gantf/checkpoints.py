"""The state of a run on disk: its last steps, and its best one.

    checkpoints/step_00000500.weights.h5   both nets, the running average, both
                                           optimizers, the spectral vectors
    checkpoints/step_00000500.decay.npz    the state of the decay, if there is one
    checkpoints/best.weights.h5            the same of the best step
    generator.keras, best.keras            the generators that samples are drawn from

Each is written whole or not at all.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from pathlib import Path

import keras

from gantf.callbacks import Records
from gantf.decay import ThreeSampleDecay
from gantf.evaluate import higher_is_better
from gantf.files import whole, write_json


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
        except (OSError, ValueError, KeyError, TypeError):
            return []


class Checkpoint(keras.callbacks.Callback):
    """The whole state of a run at the end of every epoch; the last two are kept.

    checkpoints/step_00000500.weights.h5 holds both nets, the running average, both
    optimizers and the spectral vectors; generator.keras is the generator alone, the
    one that samples are drawn from. Each is written whole or not at all.

    Args:
      folder: of the run.
      keep: how many.
      decay: its state goes beside, as step_00000500.decay.npz; or None.
    """

    def __init__(
        self, folder: Path, keep: int = 2, decay: ThreeSampleDecay | None = None
    ):
        super().__init__()
        self.folder, self.keep, self.decay = folder, keep, decay

    def on_epoch_end(self, epoch, logs=None):
        name = f"step_{self.model.step:08d}"
        if self.decay is not None:  # first: a checkpoint without its state is none
            (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            self.decay.save(decay_state(self.folder / "checkpoints" / name))
        save_state(self.model, self.folder / "generator.keras", name)
        for old in of_run(self.folder)[: -self.keep]:
            old.unlink()
            decay_state(old).unlink(missing_ok=True)


def save_state(gan: keras.Model, generator: Path, name: str) -> None:
    """Writes the generator that samples are drawn from, and the whole state.

    Args:
      gan: a `gantf.GAN`.
      generator: a path in the run's folder.
      name: of the state, in checkpoints/ beside it.
    """
    folder = generator.parent / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, _bytes(gan))
    with whole(generator) as unfinished:
        gan.sampler.net.save(unfinished, overwrite=True)
    with whole(folder / f"{name}.weights.h5") as unfinished:
        gan.save_weights(unfinished, overwrite=True)


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
    """The checkpoints of a run folder, oldest first."""
    return sorted((folder / "checkpoints").glob("step_*.weights.h5"))


def decay_state(checkpoint: Path) -> Path:
    """The file of the decay's state that belongs to a checkpoint."""
    return checkpoint.with_name(f"{checkpoint.name.partition('.')[0]}.decay.npz")
