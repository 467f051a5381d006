"""Tests of runs.py: what is missing or torn reads as nothing."""

import json

import numpy as np
import pytest

from gantf import runs
from gantf.runs import Run

ROWS = "step,generator_loss,learning_rate/generator,kid_x,kid_x_std,fd_x\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "settings.json").write_text('{"settings": {"name": "a"}}')
    return tmp_path


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"settings": 3}'])
def test_error_folder_of_no_run(tmp_path, text):
    if text is not None:
        (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError) as caught:
        Run(tmp_path)
    assert str(caught.value) == f"{tmp_path} is no folder of a run"


def test_a_run_of_nothing_has_nothing(folder):
    run = Run(folder)
    assert (run.rows, run.scores, run.figures, run.pictures) == ([], {}, {}, {})
    assert run.step == 0 and run.column("step") == [] and not run.of_images


@pytest.mark.parametrize("torn", ["30,1.5,0.1,1,1,1", "30,1.5\n", "x,1,1,1,1,1\n"])
def test_torn_rows_are_none(folder, torn):
    rows = "10,0.5,0.1,,,\n20,,,2,0.5,7\n"
    (folder / "metrics.csv").write_text(ROWS + rows + torn)
    run = Run(folder)
    assert run.column("generator_loss") == [(10, 0.5)]
    assert run.column("kid_x") == [(20, 2.0)] and run.column("other") == []
    assert run.step == 20


def test_rows_of_bytes_that_are_no_text(folder):
    (folder / "metrics.csv").write_bytes(b"step,a\n10,1\n20,\xff\n30,3\n")
    assert Run(folder).column("a") == [(10, 1.0), (30, 3.0)]


def test_figures_are_those_of_evaluations_with_their_spread(folder):
    (folder / "metrics.csv").write_text(ROWS)
    (folder / "scores.json").write_text('{"figures": {"is_x": 2.0, "fd_x": 1}}')
    run = Run(folder)
    assert run.figures == {"is_x": None, "fd_x": None}  # no row, no column
    (folder / "metrics.csv").write_text(ROWS + "10,1,1,1,1,1\n")
    assert Run(folder).figures == {"kid_x": "kid_x_std", "fd_x": None, "is_x": None}


@pytest.mark.parametrize("text", ["{", "[1]", '{"figures": []}'])
def test_torn_scores_have_no_figures(folder, text):
    (folder / "scores.json").write_text(text)
    assert Run(folder).figures == {}


def test_pictures_are_in_the_order_of_their_steps(folder):
    (folder / "samples").mkdir()
    for name in ("step_1000000", "step_000500", "step_x", "step_002000"):
        (folder / "samples" / f"{name}.png").touch()
    run = Run(folder)
    assert list(run.pictures) == [500, 2000, 1000000] and run.step == 1000000
    assert run.pictures[500].name == "step_000500.png"


def test_flat_names_what_dicts_hold():
    value = {"a": 1, "b": {"c": "x", "d": {"e": [1, None]}}, "f": None}
    assert list(runs.flat(value)) == [
        (("a",), "1"),
        (("b", "c"), "x"),
        (("b", "d", "e"), "[1, null]"),
        (("f",), "none"),
    ]


def test_sets_of_tfds_are_looked_for_and_never_fetched(folder, tmp_path, monkeypatch):
    run = Run(folder)
    run.settings = type("Settings", (), {"data": "tfds:lsun/bedroom:3.0.0"})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    opened = []
    monkeypatch.setattr(runs.experiment, "open_source", opened.append)
    with pytest.raises(runs.NotHere) as caught:
        _ = run.real
    assert str(caught.value) == "tfds:lsun/bedroom:3.0.0 is not on this machine"
    assert not opened
    place = tmp_path / "lsun" / "bedroom" / "3.0.0"
    place.mkdir(parents=True)
    (place / "dataset_info.json").write_text(json.dumps({}))
    with pytest.raises(AttributeError):  # of what the false opener gives
        _ = run.real
    assert opened == [run.settings]


def test_known_sets_that_are_not_here_are_said_in_a_line(folder, monkeypatch):
    def refuse(settings):
        raise runs.datasets.NotHere("CIFAR-10 is not here: what would work:\n  ...")

    run = Run(folder)
    run.settings = type("Settings", (), {"data": "cifar10"})
    monkeypatch.setattr(runs.experiment, "open_source", refuse)
    with pytest.raises(runs.NotHere) as caught:
        _ = run.real
    assert str(caught.value) == "cifar10 is not on this machine"


def test_real_samples_are_drawn_once_with_their_labels(folder, monkeypatch):
    numbers = np.arange(4000, dtype=np.float32)
    source = type(
        "Source", (), {"n": 4000, "read": numbers.__getitem__, "labels": 2 * numbers}
    )
    opened = []
    monkeypatch.setattr(
        runs.experiment, "open_source", lambda s: opened.append(s) or source
    )
    run = Run(folder)
    run.settings = type("Settings", (), {"data": str(folder)})
    (samples, labels), again = run.real, run.real
    assert samples is again[0] and len(opened) == 1
    assert len(set(samples.tolist())) == runs.REAL
    np.testing.assert_array_equal(labels, 2 * samples)
    # A random half has the mean of all, within 5 of its deviations: 2000 +- 5 * 14.
    assert abs(samples.mean() - 2000) < 70


def test_the_best_value_is_the_first_finite_one(folder):
    rows = "10,,,3,,\n20,,,1,,\n30,,,nan,,\n40,,,1,,\n50,,,inf,,2\n60,,,-inf,,\n"
    (folder / "metrics.csv").write_text(ROWS + rows)
    run = Run(folder)
    assert run.best("kid_x", higher=False) == (20, 1.0)
    assert run.best("kid_x", higher=True) == (10, 3.0)
    assert run.best("other", higher=True) == (None, None)


def test_the_latest_value_is_that_of_the_scores(folder):
    (folder / "metrics.csv").write_text(ROWS + "10,,,3,1,9\n20,,,4,,\n")
    (folder / "scores.json").write_text('{"figures": {"fd_x": 5, "is_x": "?"}}')
    run = Run(folder)
    names = "kid_x", "kid_x_std", "fd_x", "is_x", "other", None
    assert [run.latest(name) for name in names] == [4.0, 1.0, 5.0, None, None, None]
