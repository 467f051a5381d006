"""Work for several processes, and for Apache Beam.

Processes are started anew (spawn) rather than forked, since a fork of a program with
threads may hang. They end with the program that started them, however it ends.
"""

import io
import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from gantf.images import ReadError

_POLL = 0.2  # seconds between two looks at how far the work is


class WorkError(ValueError):
    """Work that cannot be done; the message says what to do."""


class _Stopped(Exception):
    """Somebody else's work has failed, or is not wanted any more."""


def cores() -> int:
    """The cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    work: Callable[[Any, Callable[[], None]], None],
    jobs: Sequence[Any],
    processes: int,
    progress: Callable[[int], object],
) -> None:
    """Does jobs in some order; the first that fails ends all.

    Args:
      work: a function of a module, called with a job and a function that it calls
        before each piece of it; what that raises must end the work.
      jobs: what can be pickled.
      processes: how many; one is this program itself.
      progress: told now and then how many more pieces were begun.
    """
    if processes <= 1:
        for job in jobs:
            work(job, lambda: progress(1))
        return
    context = multiprocessing.get_context("spawn")
    begun, stop = context.Value("q", 0), context.Event()
    told = 0
    with ProcessPoolExecutor(processes, context, _start, (begun, stop)) as pool:
        # Ctrl-C reaches all processes; others inherit that it is blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        waiting = {pool.submit(_work, work, job) for job in jobs}
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            while waiting:
                done, waiting = wait(waiting, _POLL, FIRST_COMPLETED)
                now = begun.value
                progress(now - told)
                told = now
                for one in done:
                    one.result()
        except BrokenProcessPool:
            raise WorkError(
                "a process was killed, perhaps for want of memory; the same command"
                " goes on where it stopped, perhaps with fewer --workers"
            ) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _start(begun, stop):
    """What a process does first."""
    global _each
    sys.stderr = io.StringIO()  # what readers say of a set has been said before
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def _each():
        if stop.is_set():
            raise _Stopped
        with begun.get_lock():
            begun.value += 1


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(work, job):
    work(job, _each)


def run_beam(
    work: Callable[[Any], None], jobs: Sequence[Any], runner: str, flags: Sequence[str]
) -> None:
    """Does jobs as a pipeline of Apache Beam, on the machines of its runner.

    Args:
      work: a function of a module.
      jobs: what can be pickled.
      runner: as "DirectRunner".
      flags: of the pipeline.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise WorkError(
            "a runner wants Apache Beam, which is not installed here: pip install"
            ' "gantf[beam]"; or leave --runner out'
        ) from None
    try:
        options = PipelineOptions([f"--runner={runner}", *flags])
        with beam.Pipeline(options=options) as pipeline:
            _ = pipeline | beam.Create(jobs) | beam.Reshuffle() | beam.Map(work)
    except Exception as error:  # a runner wraps those of its machines in its own
        words = f"{type(error).__name__}: {error}"
        if found := re.search(r"\bReadError: (.*)", words):
            raise ReadError(found[1].partition(" [while running")[0]) from None
        raise WorkError(f"Apache Beam: {words.partition(chr(10))[0]}") from error
