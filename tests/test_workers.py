"""Tests of workers.py: jobs in processes and in pipelines.

Processes import this file: no more of it than they need.
"""

import os
import sys
import time
import types
from pathlib import Path

import pytest

from gantf import workers
from gantf.readers import ReadError


def touch(job, each=lambda: None):
    """Three pieces of work, and a file that says so."""
    for _ in range(3):
        each()
    Path(job).write_text(str(os.getpid()))


def fail(job, each):
    """The first job fails; others go on until they are stopped."""
    if job.endswith("0"):
        raise ReadError("the first one fails")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        each()
        time.sleep(0.01)
    Path(job).touch()


def die(job, each):
    os.kill(os.getpid(), 9)


@pytest.fixture
def jobs(tmp_path):
    return [str(tmp_path / f"{i}") for i in range(5)]


@pytest.mark.parametrize("processes", [1, 2])
def test_all_jobs_are_done(jobs, processes):
    told = []
    workers.run(touch, jobs, processes, told.append)
    pids = {int(Path(job).read_text()) for job in jobs}
    assert (pids == {os.getpid()}) == (processes == 1)
    assert sum(told) == 15
    workers.run(touch, [], processes, told.append)


def test_the_first_that_fails_ends_all(jobs):
    start = time.monotonic()
    with pytest.raises(ReadError) as error:
        workers.run(fail, jobs, 2, lambda more: None)
    assert str(error.value) == "the first one fails"
    assert time.monotonic() - start < 30
    assert not any(Path(job).exists() for job in jobs)


def test_error_killed_processes(jobs):
    with pytest.raises(workers.WorkError) as error:
        workers.run(die, jobs, 2, lambda more: None)
    assert str(error.value) == (
        "a process was killed, perhaps for want of memory; the same command goes on"
        " where it stopped, perhaps with fewer --workers"
    )


def test_error_no_beam(monkeypatch, jobs):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(workers.WorkError) as error:
        workers.run_beam(touch, jobs, "DirectRunner", [])
    assert str(error.value) == (
        "a runner wants Apache Beam, which is not installed here: pip install"
        ' "gantf[beam]"; or leave --runner out'
    )


# As apache-beam 2.77 raises them: of its DirectRunner, and of a machine elsewhere.
BEAM = [
    (
        ReadError("a/1.png: torn [while running 'Map(write_shard)-ptransform-42']"),
        ReadError,
        "a/1.png: torn",
    ),
    (
        RuntimeError("Traceback (most recent call last):\n  x\ngantf.images.ReadError: "
                     "a/1.png: torn [while running 'Map(write_shard)']\n\n"),
        ReadError,
        "a/1.png: torn",
    ),
    (
        ValueError("Unexpected pipeline runner: No.\nSee"),
        workers.WorkError,
        "Apache Beam: ValueError: Unexpected pipeline runner: No.",
    ),
]  # fmt: skip


@pytest.mark.parametrize("raised, kind, words", BEAM)
def test_error_of_beam(monkeypatch, jobs, raised, kind, words):
    def options(flags):
        assert flags == ["--runner=Some", "--x=1"]
        raise raised

    beam = types.ModuleType("apache_beam")
    parts = types.ModuleType("apache_beam.options.pipeline_options")
    parts.PipelineOptions = options
    for name, module in (
        ("apache_beam", beam),
        ("apache_beam.options", types.ModuleType("apache_beam.options")),
        ("apache_beam.options.pipeline_options", parts),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(kind) as error:
        workers.run_beam(touch, jobs, "Some", ["--x=1"])
    assert (type(error.value), str(error.value)) == (kind, words)
