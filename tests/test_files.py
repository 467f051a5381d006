"""Tests of files.py: what is written whole, what is left of what was not."""

import json
import threading

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
