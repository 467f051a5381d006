"""Tests of compare_devices.py: one device, two, two workers: the same numbers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from gantf import augment, losses, penalties, scaling

# Batch norm of two kinds, spectral norm, averages, memory, labels, clips, a schedule,
# double gradients, both updates, both precisions; and two that must differ.
CHOSEN = [
    "all at once alternating float32",
    "loss rep simultaneous mixed_bfloat16",
    "net conditional simultaneous float32",
    "batch norm of each share rmb simultaneous float32",
]
LAYOUTS = ["mirrored", "workers"]


@pytest.fixture(scope="session")
def devices(tool):
    return tool("compare_devices")


@pytest.fixture(scope="session")
def rows(devices):
    """What comes out, by configuration and layout; fewer steps than the tool's 50."""
    chosen = [devices.case(name) for name in CHOSEN]
    found = devices.compare(chosen, LAYOUTS, steps=12, patience=200)
    return {(row.case.name, row.layout): row for row in found}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CHOSEN)
def test_several_devices_give_the_numbers_of_one(rows, name, layout):
    row = rows[name, layout]
    assert row.right, f"{row.verdict}: {row.differences} in units of {row.units}"
    must = "differs, as it must" if "each" in name else "agrees"
    assert row.verdict == must


def test_every_part_meets_every_update_and_precision(devices):
    cases = devices.cases()
    assert len({case.name for case in cases}) == len(cases)
    parts = {}
    for case in cases:
        parts.setdefault(case.title, []).append((case.update, case.precision))
    kinds = {}
    for name in losses.names():
        kind = kinds.setdefault(type(losses.get(name)), [])
        kind += parts.pop(f"loss {name}")
    for kind, modules in (
        ("penalty", penalties.names()),
        ("scaling", scaling.names()),
        ("augment", augment.names()),
    ):
        assert {f"{kind} {name}" for name in modules} <= set(parts)
    for met in [*parts.values(), *kinds.values()]:
        updates, precisions = map(set, zip(*met))
        assert updates == {"simultaneous", "alternating"}
        assert precisions == {"float32", "mixed_bfloat16"}


def test_differences_are_told_in_roundings(devices):
    def result(loss, weight):
        loss, weight = np.array([1.0, loss]), np.array(weight)
        return {"losses a": loss, "weights b": weight, "seconds": np.array(7.0)}

    case = devices.case(CHOSEN[0])
    one = [result(2.0, 4.0), result(2.5, 4.0), result(2.25, 4.5)]
    row = devices._row(case, "mirrored", one, [result(2.0, 4.0), result(4.0, 3.0)])
    assert row.differences == (2.0, 1.0)
    assert row.units == (0.5 + 2 * 2.0**-24, 0.5 + 4 * 2.0**-24)
    assert row.ratio == 2.0 / row.units[0] and row.verdict == "agrees"
    far = devices._row(case, "mirrored", one, [result(2.0, 40.0)])
    assert not far.right and far.verdict == "differs: WRONG"
    broken = devices.case(CHOSEN[-1])
    same = devices._row(broken, "mirrored", one, one)
    assert not same.right and same.verdict == "agrees: WRONG"
    lost = devices._row(case, "mirrored", one, [result(np.nan, 4.0)])
    assert lost.ratio == np.inf and not lost.right
    lost = devices._row(case, "mirrored", [result(np.nan, 4.0), one[0]], one)
    assert lost.verdict == "failed: one: numbers that are not finite"
    with pytest.raises(ValueError) as caught:
        devices._row(case, "mirrored", one, [{"losses a": np.zeros(2)}])
    assert str(caught.value) == "other names: ['seconds', 'weights b']"


@pytest.mark.parametrize("precision, bits", [("float32", 23), ("mixed_bfloat16", 9)])
def test_weights_are_moved_by_roundings(devices, precision, bits):
    shake = devices._Shake(0, precision)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(50)])
    shake.set_model(model)
    for move, expected in (
        (shake.on_train_begin, 2.0**-bits),
        (lambda: shake.on_train_batch_end(0), 2.0**-23),
    ):
        before = model.get_weights()[0].astype("float64")
        move()
        changes = model.get_weights()[0] / before - 1
        # The product is rounded once more, by up to 2^-24.
        np.testing.assert_allclose(np.abs(changes), expected, atol=2.0**-24)
        assert 50 < np.sum(changes > 0) < 100  # of 150: 4 standard deviations


def gone(pid):
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    except FileNotFoundError:
        return True


def wait_for(condition, seconds):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, f"not within {seconds} s"
        time.sleep(0.05)


def test_silent_processes_are_killed_and_named(devices, tmp_path):
    layout = devices.Layout("workers", CHOSEN, tmp_path, steps=1, patience=0.5)
    layout.start()
    pids = [process.pid for process in layout.processes]
    assert len(pids) == 2 and not any(map(gone, pids))
    with pytest.raises(RuntimeError) as caught:
        layout.results(CHOSEN[0])
    assert str(caught.value).startswith("process 0 silent for 0.5 s: ")
    assert all(map(gone, pids))
    assert layout.processes == [] and layout.names == CHOSEN[1:]


@pytest.mark.parametrize(
    "end",
    [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)],
    ids=lambda end: end.name,
)
def test_the_end_of_the_tool_is_the_end_of_its_processes(devices, end):
    command = [sys.executable, devices.__file__, "--only=ada", "--layouts=mirrored"]
    parent = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def children():
        # The fields after the name: state, parent, ...
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.setdefault(int(fields[1]), []).append(int(path.parent.name))
        return found.get(parent.pid, [])

    try:
        wait_for(lambda: len(children()) == 2, 60)
        pids = children()
        os.kill(parent.pid, end)
        parent.wait(20)
        wait_for(lambda: all(map(gone, pids)), 60)
    finally:
        parent.kill()
    expected = {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}
    assert parent.returncode == expected[end]
