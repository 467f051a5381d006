"""Tests of training.py: runs that are stopped, killed, damaged, or go bad."""

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from test_callbacks import read_csv
from test_experiment import assert_same, last_weights

from gantf import callbacks, checkpoints, experiment, penalties, training
from gantf.signals import Stopped

SETTINGS = {
    "architecture": {
        "latent": "normal-4",
        "sample": "2",
        "generator": "dense-8-bn-relu dense-2",
        "discriminator": "dense-8-sn-lrelu dense-4-sn",
    },
    "data": "ring",
    "batch_size": 16,
    "steps": 6,
    "evaluate_every": 2,
    "evaluate_samples": 50,
    "log_every": 1,
    "loss": "rmb",
    "penalties": [["sobolev", {}]],
    "lr_decay": ["three_sample", {"memory": 2, "patience": 1, "p": 1e-9}],
    "metrics": "kid",
}


def run(folder, **settings):
    return experiment.run({**SETTINGS, "workdir": str(folder), **settings})


def refused(folder, **settings):
    with pytest.raises(experiment.RunError) as caught:
        run(folder, **settings)
    return str(caught.value)


def rows(folder):
    """metrics.csv without how fast it was."""
    return [
        {name: value for name, value in row.items() if "second" not in name}
        for row in read_csv(folder)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to; its learning rates fall at step 6."""
    return run(tmp_path_factory.mktemp("runs") / "whole").folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The same after 4 steps."""
    return run(tmp_path_factory.mktemp("runs") / "begun", steps=4).folder


@pytest.fixture
def half(begun, tmp_path):
    """A copy of that."""
    return shutil.copytree(begun, tmp_path / "half")


def assert_ends_like(folder, whole):
    """What is left of a run, gone on with, is what it would have been."""
    assert run(folder).step == 6
    assert_same(last_weights(folder), last_weights(whole))
    assert rows(folder) == rows(whole)
    names = [sorted(p.name for p in f.glob("samples/*")) for f in (folder, whole)]
    assert names[0] == names[1]


def test_segments_end_at_each_evaluation_and_at_the_last_step():
    def steps(*numbers):
        return list(training._segments(*numbers))

    assert steps(0, 6, 3) == [(0, 2, 3)]
    assert steps(0, 7, 3) == [(0, 2, 3), (2, 3, 1)]
    assert steps(4, 12, 3) == [(1, 2, 2), (2, 4, 3)]
    assert steps(6, 6, 3) == []
    assert steps(0, 2, 3) == [(0, 1, 2)]


# ---- asked to stop


def ask(monkeypatch, place, method, times, number=signal.SIGTERM):
    """Sends this process a signal when a method is called for the times-th time."""
    original, calls = getattr(place, method), []

    def called(*arguments, **options):
        calls.append(1)
        if len(calls) == times:
            os.kill(os.getpid(), number)
            time.sleep(0.05)  # it comes when Python runs its next line
        return original(*arguments, **options)

    monkeypatch.setattr(place, method, called)


@pytest.mark.parametrize(
    "place, method, times, step",
    [
        (callbacks.Progress, "on_train_batch_begin", 3, 3),  # in the middle
        (callbacks.Progress, "on_train_batch_begin", 4, 4),  # before an evaluation
        (callbacks.Evaluate, "evaluate", 2, 4),  # in it
        (checkpoints.Checkpoint, "on_epoch_end", 2, 5),  # after it
    ],
)
def test_a_stopped_run_is_saved_and_goes_on(
    place, method, times, step, whole, tmp_path, monkeypatch, capfd
):
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patched, pytest.raises(Stopped) as caught:
        ask(patched, place, method, times)
        run(folder)
    assert caught.value.signal == signal.SIGTERM
    assert (
        f"\nSIGTERM: stopped after step {step}, which is saved: the same command goes "
        "on from there\n"
    ) in capfd.readouterr().out
    saved = checkpoints.of_run(folder)[-1]
    assert saved.name == f"step_0000000{step}.weights.h5"
    assert_ends_like(folder, whole)


def test_a_run_that_is_killed_while_it_is_saved_goes_on(whole, half):
    # The record is of other files than those that are there: killed between the two.
    record = half / "checkpoints" / "step_00000004.json"
    about = json.loads(record.read_text())
    about["sha256"]["step_00000004.decay.npz"] = "0" * 64
    record.write_text(json.dumps(about))
    assert_ends_like(half, whole)


# ---- damaged


def test_a_torn_checkpoint_leads_to_the_one_before(whole, half, capsys):
    path = half / "checkpoints" / "step_00000004.weights.h5"
    path.write_bytes(path.read_bytes()[:2000])
    assert_ends_like(half, whole)
    said = capsys.readouterr().out
    assert f"{path} is not as it was written; its files now end in .torn\n" in said
    assert f"{half}: goes on from step 2\n" in said


def test_error_no_checkpoint_is_whole(half):
    found = checkpoints.of_run(half)
    for path in found:
        path.write_bytes(b"")
    assert refused(half) == (
        f"{found[1]} is not as it was written; {found[0]} is not as it was written; no "
        f"checkpoint is whole: delete {half / 'checkpoints'} to begin again, or give "
        "another --workdir"
    )
    assert checkpoints.of_run(half) == found


@pytest.fixture
def old(tmp_path):
    """A run that version 0.5.0 made, its first four steps of six."""
    shutil.copytree(Path(__file__).with_name("run_0_5_0"), tmp_path / "old")
    (tmp_path / "old" / "whole.csv").rename(tmp_path / "whole.csv")
    return tmp_path / "old"


# Its settings, of which none had on_nan and the like.
OLD = {"lr_decay": "three_sample"}


def test_an_old_run_goes_on(old, capsys):
    run(old, **OLD)
    assert f"{old}: goes on from step 4\n" in capsys.readouterr().out
    (old / "metrics.csv").rename(old.parent / "metrics.csv")
    # What version 0.5.0 itself wrote; another machine may round otherwise.
    for found, expected in zip(read_csv(old.parent), rows_of(old.parent / "whole.csv")):
        for name, value in expected.items():
            if value and "second" not in name:
                close = pytest.approx(float(value), rel=1e-3, abs=1e-6)
                assert float(found[name]) == close, name


def rows_of(path):
    shutil.copy(path, path.with_name("metrics.csv"))
    return read_csv(path.parent)


def test_an_old_run_goes_on_with_a_number_that_was_not_there(old, monkeypatch):
    kind = type(penalties.get("sobolev"))
    monkeypatch.setattr(kind, "state", {"multiplier": 0.0, "patience": 7.0})
    step = kind.step

    def remembering(self, batch, memory):
        value, found = step(self, batch, memory)
        return value, {**found, "patience": memory["patience"] + 1}

    monkeypatch.setattr(kind, "step", remembering)
    run(old, **OLD)
    last = read_csv(old)[-1]
    assert float(last["sobolev/patience"]) == 9  # 7 before step 5
    assert float(last["sobolev/multiplier"]) == pytest.approx(-3.567738e-08, rel=1e-3)


def test_a_clock_that_jumps_changes_nothing(whole, tmp_path, monkeypatch):
    jumps = iter(1e9 + 86400.0 * (-1) ** i * i for i in range(10**9))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    run(tmp_path / "run", steps=4)
    assert_ends_like(tmp_path / "run", whole)
    speeds = [
        float(row["images_per_second"] or 1) for row in read_csv(tmp_path / "run")
    ]
    assert min(speeds) > 0


# ---- full disks


@pytest.mark.parametrize(
    "file", ["metrics.csv", "samples", "generator.keras", "step_00000002.decay.npz"]
)
def test_error_no_space_in_a_run(file, whole, tmp_path, monkeypatch):
    folder = tmp_path / "full"
    replace = os.replace

    def full(source, target):
        if file in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert refused(folder) == (
            f"no space left for {folder}; free some and start again: the run goes on "
            "from its last checkpoint"
        )
    assert_ends_like(folder, whole)


# ---- numbers that go bad


def bad_above(rate, monkeypatch, from_step=3):
    """GANs whose k_ff is infinite from a step on, at rates of D above this one."""
    make = experiment.make_gan

    def made(settings):
        gan = make(settings)
        step = gan.train_step

        def broken(data):
            logs = step(data)
            optimizer = gan.discriminator_optimizer
            late = optimizer.iterations.value >= from_step
            bad = tf.logical_and(late, optimizer.learning_rate.value > rate)
            return {**logs, "k_ff": logs["k_ff"] / tf.where(bad, 0.0, 1.0)}

        gan.train_step = broken
        return gan

    monkeypatch.setattr(experiment, "make_gan", made)


def test_error_nan_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    bad_above(0, monkeypatch)
    folder = tmp_path / "nan"
    message = refused(folder)
    assert message == (
        "step 3: k_ff is NaN or infinite; "
        f"{folder / 'checkpoints' / 'step_00000002.weights.h5'} is from before. Try "
        "lower learning rates or the bounded loss rmb, or --on_nan=rollback"
    )
    assert [path.name for path in checkpoints.of_run(folder)] == [
        "step_00000002.weights.h5"
    ]


def rates(folder):
    """The learning rates in the last checkpoint."""
    gan = experiment.make_gan(
        experiment.settings_.resolve({**SETTINGS, "workdir": str(folder)})
    )
    checkpoints.restore(gan, folder)
    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    return [float(optimizer.learning_rate) for optimizer in optimizers]


@pytest.mark.parametrize("from_step", [1, 3])
def test_a_run_goes_back_with_lower_rates(tmp_path, monkeypatch, capsys, from_step):
    settings = {"lr_decay": "none", "on_nan": ["rollback", {"factor": 0.6}]}
    with monkeypatch.context() as patched:
        bad_above(1e-4, patched, from_step)
        run(tmp_path / "run", **settings)
    back = from_step - 1
    assert (
        f"step {from_step}: k_ff is NaN or infinite: on from step {back} with learning "
        "rates 7.2e-05 and 7.2e-05 (time 2 of 3)\n"
    ) in capsys.readouterr().out
    assert rates(tmp_path / "run") == pytest.approx([7.2e-5, 7.2e-5])
    found = rows(tmp_path / "run")
    assert [row["step"] for row in found] == list("123456")
    assert all(np.isfinite(float(row["k_ff"])) for row in found)
    record = tmp_path / "run" / "checkpoints" / "step_00000006.json"
    assert json.loads(record.read_text())["rollbacks"] == 2


def test_error_too_many_rollbacks(tmp_path, monkeypatch):
    bad_above(0, monkeypatch)
    message = refused(tmp_path / "run", on_nan=["rollback", {"tries": 2}])
    assert message.startswith("step 3: k_ff is NaN or infinite after 2 rollbacks; ")
    assert message.endswith("Try lower learning rates or the bounded loss rmb")


def test_a_run_that_went_back_counts_on_when_it_is_resumed(tmp_path, monkeypatch):
    settings = {"lr_decay": "none", "on_nan": ["rollback", {"tries": 1}]}
    with monkeypatch.context() as patched:
        bad_above(1e-4, patched)
        run(tmp_path / "run", steps=4, **settings)
    bad_above(0, monkeypatch, from_step=5)
    assert "infinite after 1 rollbacks" in refused(tmp_path / "run", **settings)


@pytest.mark.parametrize("given", ["stop", ["rollback", {"tries": 1}]])
def test_a_run_with_fewer_tries_than_it_had_stops(given, half, monkeypatch):
    record = half / "checkpoints" / "step_00000004.json"
    about = json.loads(record.read_text())
    record.write_text(json.dumps(about | {"rollbacks": 2}))
    bad_above(0, monkeypatch, from_step=5)
    assert "infinite after 2 rollbacks; " in refused(half, on_nan=given)


def test_a_finished_run_started_again_keeps_its_rates(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "again")
    run(folder)
    assert_same(last_weights(folder), last_weights(whole))
    assert rows(folder) == rows(whole)


def test_weights_that_are_bad_are_not_saved(tmp_path, monkeypatch):
    """An average that is no number shows in no loss."""
    average = experiment.GAN._average

    def broken(self):
        average(self)
        weight = self.average.variables[0]
        late = self.discriminator_optimizer.iterations.value >= 3
        weight.assign(weight.value / tf.where(late, 0.0, 1.0))

    monkeypatch.setattr(experiment.GAN, "_average", broken)
    message = refused(tmp_path / "run")
    assert message.startswith("step 4: ") and "kernel is NaN or infinite; " in message
    assert len(checkpoints.of_run(tmp_path / "run")) == 1
