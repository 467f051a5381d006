"""Tests of claim.py: whose a run's folder is, and what keeps it from being taken."""

import contextlib
import errno
import json
import os

import pytest
import tensorflow as tf
from test_settings import SMALL

from gantf import settings
from gantf.claim import RunError, claim, in_words
from gantf.files import locked


def taken(folder, **given):
    """Takes a folder and leaves it again; what its settings.json says."""
    resolved = settings.resolve(
        {"architecture": SMALL, "workdir": str(folder), **given}
    )
    with claim(resolved, "crop-8") as found:
        assert found == folder
        return json.loads((folder / "settings.json").read_text())


def refused(folder, **given):
    with pytest.raises(RunError) as caught:
        taken(folder, **given)
    return str(caught.value)


def test_settings_and_versions_are_written(tmp_path):
    about = taken(tmp_path / "runs" / "new", seed=3)
    assert set(about) == {"settings", "prepared", "versions", "commit"}
    assert about["settings"]["seed"] == 3 and about["prepared"] == "crop-8"
    again = taken(tmp_path / "runs" / "new", seed=3, steps=7)
    assert again["settings"]["steps"] == 7
    assert [set(found) for found in again["resumed"]] == [{"versions", "commit"}]
    assert [path.name for path in (tmp_path / "runs" / "new").iterdir()] == [
        "settings.json"
    ]


def test_what_a_killed_run_left_unfinished_is_no_obstacle(tmp_path):
    (tmp_path / f"unfinished-{'0f' * 16}.json").write_text("{")
    (tmp_path / ".lock").write_text("process 1 on a machine that has lost its power")
    taken(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_error_a_folder_in_use(tmp_path):
    taken(tmp_path)
    going = tmp_path / f"unfinished-{'0f' * 16}.json"
    going.write_text("{")
    with locked(tmp_path / ".lock"):
        holder = (tmp_path / ".lock").read_text().strip()
        assert holder.startswith(f"process {os.getpid()} on ")
        assert refused(tmp_path) == (
            f"{tmp_path} is in use: {holder} trains there; wait for it, or give "
            "another --workdir"
        )
    assert going.exists()  # the other process may be writing it
    taken(tmp_path)


def test_error_a_folder_of_other_settings(tmp_path):
    taken(tmp_path)
    before = (tmp_path / "settings.json").read_bytes()
    going = tmp_path / f"unfinished-{'0f' * 16}.json"
    going.write_text("{")
    words = "dense-4x4x8-relu tconv4-1-s2-tanh"
    nets = {**SMALL, "generator": words}
    assert refused(tmp_path, seed=1, architecture=nets) == (
        f"{tmp_path} holds a run with other settings (- its own, + given):\n"
        f"- architecture.generator {SMALL['generator']}\n"
        f"+ architecture.generator {words}\n"
        "- seed 0\n"
        "+ seed 1\n"
        "give another --workdir, or its own settings to go on with it"
    )
    assert refused(tmp_path, resume=False) == (
        f"{tmp_path} holds a run already, which --noresume would write over; give "
        "another --workdir, or delete it"
    )
    assert (tmp_path / "settings.json").read_bytes() == before
    assert going.exists() and not (tmp_path / ".lock").exists()


def test_a_run_of_before_a_setting_was_there_goes_on(tmp_path):
    about = taken(tmp_path)
    for name in ("on_nan", "deterministic", "augment"):
        del about["settings"][name]
    (tmp_path / "settings.json").write_text(json.dumps(about))
    assert taken(tmp_path)["settings"]["augment"] == "none"
    (tmp_path / "settings.json").write_text(json.dumps(about))
    assert "- augment none\n+ augment ['ada', {" in refused(tmp_path, augment="ada")


def test_error_a_run_of_a_later_version(tmp_path):
    about = taken(tmp_path)
    about["settings"]["momentum"] = 0.5
    (tmp_path / "settings.json").write_text(json.dumps(about))
    assert "\n- momentum 0.5\n+ momentum None\n" in refused(tmp_path)


def test_error_a_folder_of_something_else(tmp_path):
    (tmp_path / "unfinished-novel.tex").write_text("mine")
    assert refused(tmp_path) == (
        f"{tmp_path} is no run's folder and not empty; give another --workdir"
    )
    path = tmp_path / "unfinished-novel.tex"
    assert refused(path) == f"{path} is a file; give another --workdir"
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished-novel.tex"]


@pytest.mark.parametrize("text", ["{}", "{", "[" * 100_000, '{"settings": 1}'])
def test_error_torn_settings(tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    assert refused(tmp_path) == (
        f"{tmp_path / 'settings.json'} is torn; delete {tmp_path}, or give another "
        "--workdir"
    )


def test_error_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", tmp_path / "file" / "a" / "b"):
        assert refused(folder) == f"{folder} cannot be written: Not a directory"


@contextlib.contextmanager
def nobody():
    """Rights as others have them: root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_error_read_only_folders(tmp_path):
    for path in [tmp_path, *tmp_path.parents][:3]:
        path.chmod(0o755)
    (tmp_path / "old").mkdir()
    taken(tmp_path / "old")
    for path in (tmp_path / "old", tmp_path):
        path.chmod(0o555)
    try:
        with nobody():
            for name in ("old", "new"):
                assert refused(tmp_path / name) == (
                    f"{tmp_path / name} cannot be written: Permission denied"
                )
    finally:
        for path in (tmp_path, tmp_path / "old"):
            path.chmod(0o755)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        # What TensorBoard's writer raised on a full tmpfs.
        tf.errors.ResourceExhaustedError(
            None, None, "logs/events.v2; No space left on device\n\tFailed to flush"
        ),
    ],
)
def test_error_no_space(tmp_path, error):
    with pytest.raises(RunError) as caught, in_words(tmp_path):
        raise error
    assert str(caught.value) == (
        f"no space left for {tmp_path}; free some and start again: the run goes on "
        "from its last checkpoint"
    )


def test_error_no_memory_is_left_alone(tmp_path):
    out_of_memory = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
    with pytest.raises(tf.errors.ResourceExhaustedError), in_words(tmp_path):
        raise out_of_memory


def test_error_of_other_files_is_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError), in_words(tmp_path / "run"):
        (tmp_path / "data").read_bytes()
