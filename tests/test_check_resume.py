"""Tests of tools/check_resume.py: runs that are killed end as one that is not."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_killed_runs_end_as_one_that_is_not(tmp_path):
    command = [sys.executable, "tools/check_resume.py", "--kills=6", "--steps=24"]
    done = subprocess.run(
        [*command, f"--folder={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert [line[:8] for line in lines if line.startswith("kill ")] == [
        f"kill {i:2}:" for i in range(1, 7)
    ]
    assert lines[-1].startswith("6 kills, ") and " 0 differ; " in lines[-1]


def test_what_differs_is_named(tool, tmp_path, capsys):
    check_resume = tool("check_resume")
    for name, value in (("whole", 1.0), ("killed-1", np.nextafter(1.0, 2))):
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "samples").mkdir()
        (folder / "samples" / "step_000002.png").write_bytes(name[:1].encode())
        (folder / "metrics.csv").write_text(
            f"step,k_ff,images_per_second\n2,0.5,{value}\n"
        )
        with h5py.File(folder / "checkpoints/step_00000002.weights.h5", "w") as file:
            file["net/vars/0"] = np.full(3, value)
        np.savez(folder / "checkpoints/step_00000002.decay.npz", about="{}")
    whole, other = (tmp_path / name for name in ("whole", "killed-1"))
    assert check_resume.compare(whole, whole)
    assert not check_resume.compare(whole, other)
    assert capsys.readouterr().out.splitlines()[1] == (
        "killed-1: 4 arrays, rows and pictures, differ: net/vars/0, step_000002.png"
    )
