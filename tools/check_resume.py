"""Kills a training at random instants and resumes it, until its end is that of another.

Usage:

    python tools/check_resume.py --kills=20 --seed=0

A small run on the embedded images (batch norm, spectral norm, running average,
learning rates that follow the three-sample test) is trained once from start to end.
Then another is started with the same settings and killed by SIGKILL at a random instant
in a step, in a checkpoint or in an evaluation, in turn; started again, and killed
again. When all kills are done it is left to its end, and compared with the first, bit
by bit: all weights, both optimizers, the spectral vectors, the state of the learning
rates, the figures in metrics.csv and the pictures. Both are on one CPU, with the
setting "deterministic". The exit status is 1 where anything differs.

A run that comes to its end before all kills are done is compared, and a new one begun.
"""

import argparse
import contextlib
import csv
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PHASES = {"step": "a step", "checkpoint": "a checkpoint", "evaluation": "an evaluation"}
SETTINGS = {
    "architecture": {
        "latent": "normal-16",
        "sample": "28x28x1",
        "generator": "dense-7x7x32-bn-relu tconv4-16-s2-bn-relu tconv4-1-s2-tanh",
        "discriminator": "conv4-16-s2-sn-lrelu conv4-32-s2-sn-lrelu gsum dense-16-sn",
    },
    "data": "embedded",
    "batch_size": 32,
    "evaluate_samples": 500,
    "log_every": 1,
    "metrics": "kid",
    "features": "pixels",
    "lr_decay": ["three_sample", {"memory": 2, "patience": 1, "p": 0.01}],
    "flip": True,
    "deterministic": True,
    "strategy": "one",
}
LIMIT = 600  # seconds that a process may take
_MARK = "@"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--kills", type=int, default=20)
    add("--steps", type=int, default=120, help="of the run")
    add("--every", type=int, default=6, help="steps between evaluations")
    add("--seed", type=int, default=0, help="of the instants")
    add("--folder", help="where the runs are left; by default they are not")
    add("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train(options.child, options.steps, options.every)
        return
    with contextlib.ExitStack() as stack:
        folder = options.folder or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="resume-")
        )
        sys.exit(check(Path(folder), options))


def train(folder: str, steps: int, every: int) -> None:
    """The run, which says where it is: a line as "@step 12" where each phase begins."""
    from gantf import callbacks, checkpoints, experiment

    def say(phase, owner, method):
        original = getattr(owner, method)

        def called(self, *arguments, **options):
            step = self.model.step
            os.write(1, f"\n{_MARK}{phase} {step}\n".encode())
            found = original(self, *arguments, **options)
            os.write(1, f"\n{_MARK}end {step}\n".encode())
            return found

        setattr(owner, method, called)

    say("checkpoint", checkpoints.Checkpoint, "save")
    say("evaluation", callbacks.Evaluate, "evaluate")
    begin, end = (f"on_train_batch_{when}" for when in ("begin", "end"))

    class Steps(callbacks.Progress):
        def __init__(self):
            super().__init__()
            setattr(self, begin, lambda batch, logs=None: self.say("step"))
            setattr(self, end, lambda batch, logs=None: self.say("end"))

        def say(self, phase):
            os.write(1, f"\n{_MARK}{phase} {self.model.step}\n".encode())

    callbacks.Progress = Steps
    run = {"workdir": folder, "steps": steps, "evaluate_every": every}
    experiment.run({**SETTINGS, **run})


def check(folder: Path, options: argparse.Namespace) -> int:
    """Trains the whole run, and those that are killed; how many of these differ."""
    instants, start = random.Random(options.seed), time.monotonic()
    whole, wrong, number = folder / "whole", 0, 1
    lengths = watch(whole, options)
    shown = ", ".join(f"{PHASES[p]} {lengths[p]:.3f} s" for p in PHASES)
    print(f"whole run: {time.monotonic() - start:.0f} s; medians {shown}", flush=True)
    killed = folder / f"killed-{number}"
    for kill in range(options.kills):
        phase = list(PHASES)[kill % len(PHASES)]
        while True:
            times, delay = instants.randint(1, 3), instants.random() * lengths[phase]
            begun = time.monotonic()
            said = watch(killed, options, (phase, times, delay))
            if said:
                seconds = time.monotonic() - begun
                print(f"kill {kill + 1:2}: {said} ({seconds:.0f} s)", flush=True)
                break
            wrong += not compare(whole, killed)
            number += 1
            killed = folder / f"killed-{number}"
    watch(killed, options)
    wrong += not compare(whole, killed)
    seconds = time.monotonic() - start
    print(
        f"{options.kills} kills, {number} runs, {wrong} differ; {seconds:.0f} s in all"
    )
    return min(wrong, 1)


def watch(folder: Path, options, kill: tuple[str, int, float] | None = None):
    """Trains in a process of its own, and kills it if that is told.

    Args:
      folder: of the run.
      options: of the command line.
      kill: (phase, which one of the process, seconds after its begin).

    Returns:
      Where it was killed, in words, or None if it ended first; without `kill` the
      median time that each phase took.
    """
    command = [sys.executable, __file__, f"--child={folder}"]
    command += [f"--steps={options.steps}", f"--every={options.every}"]
    counts, times = dict.fromkeys(PHASES, 0), {phase: [] for phase in PHASES}
    now, begun, went_on = None, 0.0, "the start"
    with process(command) as child:
        for line in child.stdout:
            if "goes on from" in line:
                went_on = line.split("goes on from ")[1].strip()
            if not line.startswith(_MARK):
                continue
            phase, step = line[1:].split()
            if phase == "end":
                times[now].append(time.monotonic() - begun)
                continue
            now, begun = phase, time.monotonic()
            counts[phase] += 1
            if kill and (phase, counts[phase]) == kill[:2]:
                time.sleep(kill[2])
                child.send_signal(signal.SIGKILL)
                child.wait()
                where = f"{kill[2]:.3f} s into {PHASES[phase]:13} at step {step:>3}"
                return f"{where}, gone on from {went_on}"
        if child.wait() != 0:
            raise SystemExit(f"the run in {folder} failed")
    return None if kill else {p: statistics.median(t) for p, t in times.items()}


@contextlib.contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen]:
    """A child whose lines can be read; it does not outlive this."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGALRM, lambda *_: child.kill())
    signal.alarm(LIMIT)
    try:
        yield child
    finally:
        signal.alarm(0)
        child.kill()
        child.wait()
        child.stdout.close()


def compare(whole: Path, other: Path) -> bool:
    """Whether two runs have ended the same; prints what differs."""
    ends = [dict(parts(folder)) for folder in (whole, other)]
    names = sorted(ends[0].keys() | ends[1].keys())
    differ = [n for n in names if ends[0].get(n) != ends[1].get(n)]
    verdict = f"differ: {', '.join(differ)}" if differ else "all the same"
    print(
        f"{other.name}: {len(names)} arrays, rows and pictures, {verdict}", flush=True
    )
    return not differ


def parts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of all that a run ends with, but for how fast it was."""
    import h5py
    import numpy as np

    last = sorted((folder / "checkpoints").glob("step_*.weights.h5"))[-1]
    with h5py.File(last) as file:
        found = []
        file.visititems(lambda name, item: found.append((name, item)))
        for name, item in found:
            if isinstance(item, h5py.Dataset):
                yield name, item[()].tobytes()
    decay = last.name.replace(".weights.h5", ".decay.npz")
    with np.load(last.with_name(decay), allow_pickle=False) as arrays:
        for name in arrays.files:
            yield f"decay {name}", arrays[name].tobytes()
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            figures = {k: v for k, v in row.items() if k != "images_per_second"}
            yield f"row {row['step']}", repr(figures).encode()
    for path in (folder / "samples").iterdir():
        yield path.name, path.read_bytes()


if __name__ == "__main__":
    main()
