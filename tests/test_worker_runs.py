"""Runs on two workers that are stopped or lose one, and go on with one or two."""

import signal

import numpy as np
import pytest
from test_experiment import last_weights
from test_training import rows, run

from gantf import checkpoints


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on one device that nothing happened to."""
    return run(tmp_path_factory.mktemp("runs") / "whole").folder


_RUN = """
import json, os, signal, sys
from gantf import callbacks, commandline, replicas

class Kill(callbacks.FiniteGuard):
    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.model.step == WHEN and replicas.worker()[0] == 1:
            os.kill(os.getpid(), signal.SIGKILL)

callbacks.FiniteGuard = Kill
with open(sys.argv[1] + "/run/settings.json") as file:
    settings = json.load(file)["settings"]
given = {"strategy": "multiworker", "steps": STEPS}
commandline.main({**settings, **given}, None, ["script.py"])
"""


def code(steps, kill=-1):
    return _RUN.replace("WHEN", str(kill)).replace("STEPS", str(steps))


def assert_close(folder, whole):
    """The numbers of a run on one device, up to the order of sums over replicas."""
    one, other = last_weights(whole), last_weights(folder)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(
            other[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name
        )
    for found, expected in zip(rows(folder), rows(whole), strict=True):
        assert found.keys() == expected.keys()
        for name in found:
            if found[name] or expected[name]:
                close = pytest.approx(float(expected[name]), rel=2e-2, abs=1e-3)
                assert float(found[name]) == close, name


def test_workers_that_are_asked_to_stop_do_so_together(workers, tmp_path, whole):
    folder = tmp_path / "run"
    run(folder, steps=2)  # on one device
    workers.start(code(10**6), 2)
    workers.says(0, "step 4: kid_points")
    workers.processes[1].send_signal(signal.SIGTERM)
    for index in range(2):
        workers.ends(index, 128 + signal.SIGTERM)
    said = "\n".join(workers.lines(0))
    assert f"{folder}: goes on from step 2" in said
    assert "on 2 devices in float32\n       worker 0 of 2: CPU:0" in said
    step = int(said.split("SIGTERM: stopped after step ")[1].split(",")[0])
    assert checkpoints.of_run(folder)[-1].name == f"step_{step:08d}.weights.h5"
    assert {p.name for p in folder.iterdir()} == {p.name for p in whole.iterdir()}
    assert "step 4: kid_points" not in "\n".join(workers.lines(1))


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(workers, tmp_path, whole):
    folder = tmp_path / "run"
    run(folder, steps=2)  # on one device
    workers.start(code(6, kill=5), 2)
    workers.ends(1, -signal.SIGKILL)
    workers.ends(0, 1, seconds=60)
    assert (
        f"worker 1 ({workers.addresses[1]}) is gone: killed, ended by an error of its "
        "own, or cut off; start all workers again: the run goes on from its last "
        "checkpoint"
    ) in "\n".join(workers.lines(0))  # behind the progress bar
    assert checkpoints.of_run(folder)[-1].name == "step_00000004.weights.h5"
    run(folder)  # and on one device again
    assert_close(folder, whole)
