"""What happens beside the steps of a run: figures, pictures, evaluations, the guard.

All are Keras callbacks of `gantf.GAN.fit`; steps are counted by the generator's
optimizer, so that a resumed run goes on counting. They write into one run folder:
logs/ (TensorBoard), metrics.csv, scores.json and samples/.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import plots, samples
from gantf.decay import ThreeSampleDecay
from gantf.evaluate import Evaluator
from gantf.files import whole, write_json
from gantf.readers.source import Faults
from gantf.replicas import worker

TAGS = {  # figure -> TensorBoard tag; others are those of evaluations
    "generator_loss": "loss/generator",
    "discriminator_loss": "loss/discriminator",
    "generator_gradient": "gradient/generator",
    "discriminator_gradient": "gradient/discriminator",
    "generator_weights": "weights/generator",
    "discriminator_weights": "weights/discriminator",
    "k_rr": "kernel/real_real",
    "k_ff": "kernel/fake_fake",
    "k_rf": "kernel/real_fake",
    "images_per_second": "speed/images_per_second",
}


_TERMS = 6  # that a message names


class NotFinite(ArithmeticError):
    """A loss, penalty, gradient, weight or monitor that is NaN or infinite.

    Attributes:
      step: after how many steps.
      terms: the names that are not finite.
    """

    def __init__(self, step: int, terms: list[str]):
        shown = ", ".join(terms[:_TERMS])
        more = f" and {len(terms) - _TERMS} more" if len(terms) > _TERMS else ""
        is_are = "is" if len(terms) == 1 else "are"
        super().__init__(f"step {step}: {shown}{more} {is_are} NaN or infinite")
        self.step, self.terms = step, terms


class Records:
    """The figures of a run, in TensorBoard and in metrics.csv.

    Args:
      folder: of the run.
      step: the step that the run goes on from; later rows of an interrupted run
        are dropped, since they come again.

    Attributes:
      folder: as given.
    """

    def __init__(self, folder: Path, step: int = 0):
        self.folder = folder
        self.writer = tf.summary.create_file_writer(str(folder / "logs"))
        self._path = folder / "metrics.csv"
        self._rows: list[dict[str, Any]] = []
        if self._path.exists():
            with self._path.open(newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if _is_whole(row)]
            self.go_back(step)

    def go_back(self, step: int) -> None:
        """Drops the rows after a step, since they come again."""
        self._rows = [row for row in self._rows if int(row["step"]) <= step]
        self._rewrite()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds to the row of this step, and a point to each figure's curve."""
        with self.writer.as_default(step=step):
            for name, value in figures.items():
                tag = name if "/" in name else f"evaluation/{name}"
                tf.summary.scalar(TAGS.get(name, tag), value)
        self.writer.flush()
        known = self._rows[0].keys() if self._rows else ()
        row = {"step": step, **{k: f"{v:.8g}" for k, v in figures.items()}}
        if self._rows and int(self._rows[-1]["step"]) == step:
            self._rows[-1] |= row
            self._rewrite()
            return
        self._rows.append(row)
        if set(row) <= set(known):
            with self._path.open("a", newline="") as file:
                csv.DictWriter(file, known).writerow(row)
        else:
            self._rewrite()

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Adds a picture (h, w, c) to TensorBoard."""
        with self.writer.as_default(step=step):
            tf.summary.image(name, picture[None])
        self.writer.flush()

    def histograms(self, step: int, found: Mapping[str, np.ndarray]) -> None:
        """Adds the distributions of numbers to TensorBoard, by name."""
        with self.writer.as_default(step=step):
            for name, values in found.items():
                tf.summary.histogram(name, values)
        self.writer.flush()

    def column(self, name: str) -> list[tuple[int, float]]:
        """The (step, value) pairs of a figure so far."""
        return [(int(r["step"]), float(r[name])) for r in self._rows if r.get(name)]

    def _rewrite(self) -> None:
        """Writes the whole file anew, with a column for each figure."""
        columns = list(dict.fromkeys(key for row in self._rows for key in row))
        full = [{key: row.get(key, "") for key in columns} for row in self._rows]
        self._rows = full
        with (
            whole(self._path) as unfinished,
            unfinished.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(full)


def _is_whole(row: Mapping[str, str | None]) -> bool:
    """Whether a row of metrics.csv is no torn one: its step, and all its cells."""
    return (row.get("step") or "").isdigit() and None not in row.values()


class Progress(keras.callbacks.ProgbarLogger):
    """Keras' progress bar with the two losses only, so that it keeps to one line."""

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, self._losses(logs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, self._losses(logs))

    @staticmethod
    def _losses(logs: Mapping[str, float] | None) -> dict[str, float]:
        shown = {"D": "discriminator_loss", "G": "generator_loss"}
        return {short: logs[name] for short, name in shown.items() if name in logs}


class Skipped(keras.callbacks.Callback):
    """Keeps the list of bad images that were left out, in skipped.txt.

    Args:
      folder: of the run.
      faults: of the data, see `gantf.readers.source.Faults`.
    """

    def __init__(self, folder: Path, faults: Faults):
        super().__init__()
        self._path, self._faults = folder / "skipped.txt", faults
        self._seen = 0
        self._listed: dict[str, None] = {}  # those of before a run was resumed too
        if self._path.exists():
            self._listed = dict.fromkeys(self._path.read_text("utf-8").splitlines())

    def on_train_begin(self, logs=None):
        self._list()

    def on_train_batch_end(self, batch, logs=None):
        self._list()

    def _list(self):
        if len(self._faults.lines) == self._seen:
            return
        self._seen = len(self._faults.lines)
        listed = self._listed | dict.fromkeys(list(self._faults.lines))
        if len(listed) > len(self._listed):
            with whole(self._path) as unfinished:
                unfinished.write_text("".join(f"{line}\n" for line in listed), "utf-8")
            self._listed = listed


class FiniteGuard(keras.callbacks.Callback):
    """Stops a run with `NotFinite` at the first figure that is NaN or infinite.

    Among the figures of a step are the norms of the weights.
    """

    def on_train_batch_end(self, batch, logs=None):
        terms = [
            name for name, v in (logs or {}).items() if not math.isfinite(float(v))
        ]
        if terms:
            # What they come from first; and which weights, if nothing else is bad.
            terms.sort(key=lambda name: name.endswith(("_gradient", "_weights")))
            if all(name.endswith("_weights") for name in terms):
                terms = not_finite(self.model)
            raise NotFinite(self.model.step, terms)

    def on_epoch_end(self, epoch, logs=None):
        """Before an evaluation and a checkpoint: batch statistics and averages too."""
        if bad := not_finite(self.model):
            raise NotFinite(self.model.step, bad)


def not_finite(gan: keras.Model) -> list[str]:
    """The paths of all numbers of a GAN and its optimizers that have a bad one."""
    return [
        variable.path
        for part in (gan, gan.generator_optimizer, gan.discriminator_optimizer)
        for variable in part.variables
        if keras.backend.is_float_dtype(variable.dtype)
        and not tf.reduce_all(tf.math.is_finite(variable.value))
    ]


class Monitor(keras.callbacks.Callback):
    """Every `every` steps: losses, kernel means, gradient norms, sigmas, speed.

    Args:
      records: where they go.
      images: samples in a step, for images a second.
      every: steps between two records.
    """

    def __init__(self, records: Records, images: int, every: int = 50):
        super().__init__()
        self.records, self.images, self.every = records, images, every

    def on_train_begin(self, logs=None):
        self._sigmas = tf.function(self.model.sigmas)
        self._seconds, self._steps = 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        # Steps only: evaluations and pictures do not count as training time. The
        # first step of a run traces the graph.
        first, self._traced = not getattr(self, "_traced", False), True
        if not first:
            self._seconds += time.perf_counter() - self._start
            self._steps += 1
        step = self.model.step
        if step % self.every:
            return
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if self._steps:
            figures["images_per_second"] = self._steps * self.images / self._seconds
            self._seconds, self._steps = 0.0, 0
        for name, sigma in self._sigmas().items():
            figures[f"sigma/{name}"] = float(sigma)
        self.records.write(step, figures)


class SampleGrid(keras.callbacks.Callback):
    """A picture of the same latents at the end of every epoch.

    samples/step_000500.png, and "samples" in TensorBoard.

    Args:
      records: TensorBoard's writer.
      folder: of the run.
      draw: samples in [-1, 1] -> picture, uint8 (h, w, c).
      count: how many samples.
      seed: of the latents.
    """

    def __init__(
        self,
        records: Records,
        folder: Path,
        draw: Callable[[np.ndarray], np.ndarray],
        count: int = 64,
        seed: int = 0,
    ):
        super().__init__()
        self.records, self.folder, self.draw = records, folder, draw
        self.count, self.seed = count, seed

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        sampler, labels = self.model.sampler, None
        if sampler.takes_labels:  # as many of each class, side by side
            labels = np.sort(np.arange(self.count) % sampler.classes)
        samples = self.model.generate(self.count, labels, seed=self.seed)
        picture = self.draw(samples)
        plots.save_png(self.folder / "samples" / f"step_{step:06d}.png", picture)
        self.records.picture(step, "samples", picture)


class Evaluate(keras.callbacks.Callback):
    """Figures against real samples, every `every` steps or at the end of every epoch.

    They go to the table and the curves, and with their whole protocol to scores.json.

    Args:
      records: where they go.
      evaluator: what compares, see `gantf.evaluate`.
      n: how many samples are drawn.
      every: steps between two evaluations; None for the ends of epochs.
      seed: of the latents, the same at every evaluation.
      decay: lowers the learning rates where samples get no better; or None. See
        `gantf.decay`.
      poll: called now and then while samples are drawn; it may raise.

    Attributes:
      figures: the last ones, by name.
    """

    def __init__(
        self,
        records: Records,
        evaluator: Evaluator,
        n: int,
        every: int | None = None,
        seed: int = 1,
        decay: ThreeSampleDecay | None = None,
        poll: Callable[[], None] = lambda: None,
    ):
        super().__init__()
        self.records, self.evaluator, self.n = records, evaluator, n
        self.every, self.seed, self.decay, self.poll = every, seed, decay, poll
        self.figures: dict[str, float] = {}
        self._told: set[str] = set()  # notes, each once

    def on_train_begin(self, logs=None):
        if self.decay is not None:
            self.decay.check(self._optimizers())

    def on_train_batch_end(self, batch, logs=None):
        if self.every and self.model.step % self.every == 0:
            self.evaluate()

    def on_epoch_end(self, epoch, logs=None):
        if not self.every:
            self.evaluate()

    def evaluate(self) -> None:
        """Evaluates the generator that `generate` draws from, as it is now."""
        gan, step = self.model, self.model.step
        folder = str(self.records.folder)
        fake = self.evaluator.look(
            samples.of_sampler(gan.sampler, self.n, self.seed, folder),
            say=lambda done: self.poll(),
        )
        found = {"step": step, **self.evaluator.compare(fake)}
        self.figures = found["figures"]
        found["protocol"]["generated"]["ema"] = gan.ema
        shown = "  ".join(f"{name} {value:.4g}" for name, value in self.figures.items())
        self._say(f"step {step}: {shown}")
        for note in found["notes"]:
            if note not in self._told:
                self._say(f"note: {note}")
        self._told |= set(found["notes"])
        written = dict(self.figures)
        if self.decay is not None:
            written |= self._follow(step, fake.features)
        self.records.write(step, written)
        write_json(self.records.folder / "scores.json", found)

    def _follow(self, step: int, features: np.ndarray) -> dict[str, float]:
        """Lets the learning rates follow; what of it goes to the curves."""
        decision = self.decay.follow(step, self.evaluator.real.features, features)
        if decision.name == "lowered":
            self.decay.apply(self._optimizers())
        self._say(f"step {step}: {decision}")
        generator, discriminator = self._optimizers()
        found = {
            "learning_rate/generator": float(generator.learning_rate.numpy()),
            "learning_rate/discriminator": float(discriminator.learning_rate.numpy()),
        }
        if decision.p_value is not None:
            found["learning_rate/p_value"] = decision.p_value
        return found

    def _say(self, text: str) -> None:
        """Prints a line, of many workers on the chief."""
        if worker(self.model.distribute_strategy)[0] == 0:
            print(text, flush=True)

    def _optimizers(self) -> tuple[keras.optimizers.Optimizer, ...]:
        return self.model.generator_optimizer, self.model.discriminator_optimizer
