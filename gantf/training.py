"""The training of a run, from its last checkpoint to the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from gantf import callbacks, checkpoints, monitors, pictures, plots, samples, streams
from gantf.claim import RunError
from gantf.decay import ThreeSampleDecay
from gantf.evaluate import Evaluator, column, feature_cache, is_spread
from gantf.features import Features
from gantf.gan import GAN
from gantf.readers import kept
from gantf.replicas import distribute, exchange, worker
from gantf.rollback import Rollback
from gantf.settings import Settings
from gantf.signals import Stop, Stopped

_GRID = 64  # samples in a picture
_POINTS = 2000
_SHOWN = 256  # real samples in TensorBoard's projector, and generated ones
_AGAIN = "the same command goes on from"
_LOSSES = ("generator_loss", "discriminator_loss")


class Training:
    """Trains a GAN, evaluates it, keeps it; `run` does it all.

    An epoch of Keras' `fit` ends where an evaluation is due; what happens then, and at
    steps, are callbacks. Of many workers all train and evaluate; the others write what
    an evaluation writes to a folder that goes away, and have no other callbacks.

    Args:
      gan: compiled, in the scope of its strategy.
      settings: resolved.
      source: the data, see `gantf.datasets.find`.
      network: the features that samples are compared in.
      folder: where this worker writes; the chief that of the run.
      decay: of the learning rates; or None.
      rollback: what to do where numbers go bad; None stops.
    """

    def __init__(
        self,
        gan: GAN,
        settings: Settings,
        source,
        network: Features,
        folder: Path,
        decay: ThreeSampleDecay | None = None,
        rollback: Rollback | None = None,
    ):
        self.gan, self.settings, self.source = gan, settings, source
        self.network, self.folder = network, folder
        self.decay, self.rollback = decay, rollback
        self.strategy = gan.distribute_strategy
        self.worker, _ = worker(self.strategy)

    def run(self) -> dict[str, float]:
        """From the last checkpoint, or the start, to the end; the last figures.

        Raises:
          RunError: what stopped it, in words.
          Stopped: a signal did; the state is saved, unless it is not finite.
        """
        restored = self._restore()
        real = samples.of_source(self.source, self.settings.evaluate_samples)
        evaluator = Evaluator(
            real, self.network, self.settings.metrics, feature_cache()
        )
        records = callbacks.Records(self.folder, restored.step)
        stop = Stop()
        stop.set_model(self.gan)
        checkpoint = checkpoints.Checkpoint(self.folder, decay=self.decay)
        checkpoint.set_model(self.gan)
        checkpoint.rollbacks, checkpoint.saved = restored.rollbacks, restored.step
        evaluation = callbacks.Evaluate(
            records, evaluator, real.n, decay=self.decay, poll=stop.poll
        )
        at_steps = self._at_steps(records, stop)
        at_ends = self._at_ends(records, evaluation, checkpoint)
        feed = kept(self.source, self.settings.cache_gb * 1e9)
        if self.rollback and not restored.name and not self.worker:
            checkpoint.save(evaluated=True)  # there is nothing yet to evaluate
        with stop.listening():
            while True:
                try:
                    if not restored.evaluated:
                        self._end_epoch(at_ends)
                    self._fit(feed, [*at_steps, *at_ends])
                    break
                except callbacks.NotFinite as error:
                    restored = self._go_back(error, checkpoint)
                    records.go_back(restored.step)
                except Stopped as stopped:
                    self._keep(stopped, checkpoint)
                    raise
        if not evaluation.figures:  # a run that was finished already
            evaluation.decay = None  # has followed it already
            evaluation.set_model(self.gan)
            evaluation.evaluate()
        if self.worker == 0:
            self._draw(records, evaluation)
        return evaluation.figures

    def _at_steps(self, records, stop) -> list[keras.callbacks.Callback]:
        """What looks at each step, or at some."""
        guard, settings = callbacks.FiniteGuard(), self.settings
        if self.worker:
            return [guard, stop]
        every = settings.evaluate_every
        looked_at = self._some(min(_GRID, settings.batch_size))
        return [
            callbacks.Progress(),
            guard,
            callbacks.Monitor(records, settings.batch_size, settings.log_every),
            monitors.Saturation(settings.batch_size, settings.log_every),
            monitors.Slopes(records, looked_at, every),
            monitors.Spectra(records, every),
            stop,  # when all that belongs to the step is done
        ]

    def _at_ends(self, records, evaluation, checkpoint):
        """What is done where an evaluation is due."""
        if self.worker:
            return [evaluation]
        count, draw = _picture(self.source)
        best = column(self.settings.best, self.network.name)
        shown = self._some(_SHOWN)
        return [
            callbacks.Skipped(self.folder, self.source.faults),
            monitors.Embedding(self.folder, shown, self.source.classes),
            callbacks.SampleGrid(records, self.folder, draw, count, self.settings.seed),
            evaluation,
            checkpoints.Best(records, best),
            checkpoint,
        ]

    def _fit(self, feed, beside) -> None:
        """All steps that are left."""
        gan, settings = self.gan, self.settings
        segments = _segments(gan.step, settings.steps, settings.evaluate_every)
        for first, last, steps in segments:
            start = gan.critic_steps.batches(gan.step)

            def stream(worker, workers, start=start):
                return streams.stream(
                    feed,
                    settings.batch_size,
                    seed=settings.seed,
                    start=start,
                    same_class=settings.same_class,
                    flip=settings.flip,
                    worker=worker,
                    workers=workers,
                )

            gan.fit(
                distribute(self.strategy, stream),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=steps,
                callbacks=beside,
                verbose=0 if self.worker else "auto",
            )

    def _end_epoch(self, at_ends) -> None:
        """What was still to do at the step of a checkpoint, if it was the last one."""
        step, settings = self.gan.step, self.settings
        if step % settings.evaluate_every and step != settings.steps:
            return
        for callback in at_ends:
            callback.set_model(self.gan)
            callback.on_epoch_end(step // settings.evaluate_every)

    def _restore(self) -> checkpoints.Restored:
        """Loads the newest whole checkpoint, on all workers that of the chief."""
        folder, found = self.settings.folder, None
        try:
            if self.worker == 0:
                found = checkpoints.restore(self.gan, folder, self.decay)
            chosen = np.frombuffer((found.name if found else "").encode(), np.uint8)
            name = exchange(chosen, self.strategy)[0].tobytes().decode()
            if self.worker and name:
                found = checkpoints.restore_one(self.gan, folder, name, self.decay)
        except checkpoints.Torn as error:
            seen = ""
            if self.worker:
                seen = f"; give a --workdir that worker {self.worker} sees as the chief"
            raise RunError(f"{error}{seen}") from error
        self._check_same_weights()
        found = found or checkpoints.Restored()
        for fault in found.faults:
            self._say(f"{fault}; its files now end in .torn")
        if found.step:
            self._say(f"{folder}: goes on from step {found.step}")
        return found

    def _check_same_weights(self) -> None:
        """Refuses workers that have read other checkpoints than the chief."""
        weights = [np.ravel(weight) for weight in self.gan.get_weights()]
        digest = hashlib.sha256(np.concatenate(weights).tobytes()).digest()
        found = exchange(np.frombuffer(digest, np.uint8), self.strategy)
        others = [i for i, d in enumerate(found) if not np.array_equal(d, found[0])]
        if others:
            raise RunError(
                f"worker {others[0]} has other checkpoints in {self.settings.folder} "
                "than worker 0: give a --workdir that all workers see"
            )

    def _go_back(self, error, checkpoint) -> checkpoints.Restored:
        """To the last checkpoint, with lower rates; or ends the run."""
        done = checkpoint.rollbacks
        if self.rollback is None or done >= self.rollback.tries:
            found = checkpoints.of_run(self.settings.folder)
            kept = f"{found[-1]} is from before" if found else "there is no checkpoint"
            tried = f" after {done} rollbacks" if done else ""
            cures = "lower learning rates or the bounded loss rmb"
            cures += "" if self.rollback else ", or --on_nan=rollback"
            raise RunError(f"{error}{tried}; {kept}. Try {cures}") from error
        restored = self._restore()
        optimizers = self.gan.generator_optimizer, self.gan.discriminator_optimizer
        for _ in range(done + 1 - restored.rollbacks):
            rates = self.rollback.lower(optimizers)
        checkpoint.rollbacks, checkpoint.saved = done + 1, restored.step
        shown = " and ".join(f"{rate:.3g}" for rate in rates)
        self._say(
            f"\n{error}: on from step {restored.step} with learning rates {shown} "
            f"(time {done + 1} of {self.rollback.tries})"
        )
        return restored

    def _keep(self, stopped: Stopped, checkpoint) -> None:
        """Saves the state of a run that was asked to stop."""
        step, name = self.gan.step, stopped.signal.name
        if self.worker == 0 and step != checkpoint.saved:
            try:
                checkpoint.save(evaluated=False)
            except callbacks.NotFinite as error:
                self._say(
                    f"\n{name}: {error}, and not saved: {_AGAIN} the last checkpoint"
                )
                return
        self._say(
            f"\n{name}: stopped after step {step}, which is saved: {_AGAIN} there"
        )

    def _some(self, count: int) -> Mapping[str, np.ndarray]:
        """Real samples that a monitor looks at, always the same."""
        n, seed = min(count, self.source.n), self.settings.seed
        stream = streams.stream(self.source, n, seed=seed)
        return next(stream.take(1).as_numpy_iterator())

    def _draw(self, records, evaluation) -> None:
        """The curves of the run, as a picture."""
        curves = pictures.history(
            {name: records.column(name) for name in _LOSSES},
            {n: records.column(n) for n in evaluation.figures if not is_spread(n)},
        )
        plots.save_png(self.folder / "curves.png", curves)

    def _say(self, text: str) -> None:
        if self.worker == 0:
            print(text, flush=True)


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
