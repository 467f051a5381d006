"""Tests of files.py: what is written whole, what is left of what was not."""

import contextlib
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gantf import files


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.weights.h5"
    with files.whole(path) as unfinished:
        assert unfinished.name.endswith(".weights.h5") and unfinished.parent == tmp_path
        unfinished.write_text("first")
    with pytest.raises(RuntimeError), files.whole(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["a.weights.h5"]


def test_writers_do_not_meet(tmp_path):
    def write(i):
        with files.whole(tmp_path / f"{i}.txt") as unfinished:
            unfinished.write_text(str(i) * 1000)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {p.stem: p.read_text() for p in tmp_path.iterdir()}
    assert found == {str(i): str(i) * 1000 for i in range(8)}


def test_what_a_killed_program_left_is_swept(tmp_path):
    (tmp_path / "in").mkdir()
    killed = f"unfinished-{'0f' * 16}"
    for path in (tmp_path / f"{killed}.json", tmp_path / "in" / f"{killed}.weights.h5"):
        path.write_text("half")
        assert files.is_unfinished(path)
    for name in ("kept.json", "unfinished-novel.tex", f"{killed}0.json"):
        (tmp_path / name).write_text("mine")
    files.sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "in",
        "kept.json",
        f"{killed}0.json",
        "unfinished-novel.tex",
    ]
    files.sweep(tmp_path / "none")  # nothing to do


def test_hash_and_json(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": [1, 2]})
    assert json.loads(path.read_text()) == {"a": [1, 2]}
    path.write_text("abc")
    # FIPS 180-2, appendix B.1
    assert files.sha256(path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_cache_is_where_one_says(monkeypatch, tmp_path):
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path))
    assert files.cache_folder() == tmp_path
    monkeypatch.delenv("GANTF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "gantf"


def test_arrays_in_the_cache_are_found_or_made_again(tmp_path):
    path = tmp_path / "inner" / "a.npz"
    assert files.cached_arrays(path) is None
    assert files.cache_arrays(path, {"x": np.arange(3)}) is None
    assert files.cached_arrays(path)["x"].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-9])
    assert files.cached_arrays(path) is None
    error = files.cache_arrays(path / "b.npz", {"x": np.arange(3)})
    assert error.strerror == "File exists"


def test_a_lock_is_held_by_one_process_and_goes_with_it(tmp_path, in_process):
    lock = tmp_path / ".lock"
    with files.locked(lock):
        holder = lock.read_text().strip()
        assert holder.startswith(f"process {os.getpid()} on ")
        assert in_process(_LOCK, str(lock)) == f"in use: {holder}"
        with pytest.raises(files.InUse), files.locked(lock):
            pass
    assert not lock.exists()
    assert in_process(_LOCK, str(lock)) == "held"
    # Killed, it leaves the file, but no lock.
    assert in_process(_LOCK, str(lock), HARD="1") == "held"
    assert lock.exists()
    with files.locked(lock):
        assert holder in lock.read_text()
    assert not lock.exists()


_LOCK = """
import json, os, sys
from pathlib import Path
from gantf import files
try:
    with files.locked(Path(sys.argv[1])):
        print(json.dumps("held"), flush=True)
        if os.environ.get("HARD"):
            os._exit(0)
except files.InUse as error:
    print(json.dumps(f"in use: {error}"))
"""


def test_one_of_many_at_once_has_the_lock(tmp_path):
    lock, inside, most, tries = tmp_path / ".lock", [], [], []

    def hold():
        while len(tries) < 2000:
            tries.append(1)
            with contextlib.suppress(files.InUse), files.locked(lock):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(hold) for _ in range(8)]:
            done.result()
    assert set(most) == {1} and len(most) > 10


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    lock = tmp_path / ".lock"
    with pytest.warns(UserWarning) as caught, files.locked(lock):
        pass
    assert str(caught[0].message) == (
        f"{lock}: no locks there (Function not implemented); start one process only"
    )
    assert not lock.exists()
