"""Tests of tools/prepare_data.py: a command line in, a prepared set out."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantf import datasets, shards


@pytest.fixture
def call(tool, monkeypatch, tmp_path, capsys):
    """Runs the tool in a folder of its own; gives what it prints."""
    monkeypatch.chdir(tmp_path)
    images = np.random.RandomState(0).randint(0, 256, (9, 20, 16, 3)).astype(np.uint8)
    np.savez("some.npz", x_train=images, y_train=np.arange(9) % 3, x_test=images[:2])

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, arguments)])
        tool("prepare_data").main()
        return capsys.readouterr().out

    return run


def about(folder):
    return json.loads(Path(folder, "index.json").read_text())


def test_a_set_is_prepared_read_and_checked(call):
    one = "--workers=1"
    told = call("photos", "--source=some.npz", "--size=8", one)
    lines = [
        "train 9 images, 8 x 8 x 3, in 1 shards of 0.0 MB",
        "test  2 images, 8 x 8 x 3, in 1 shards of 0.0 MB",
    ]
    assert told.splitlines() == [*lines, "--data=data/photos-8"]
    source = datasets.find("data/photos-8", size=8)
    images = datasets.find("some.npz", size=8)
    numbers = np.arange(9)
    np.testing.assert_array_equal(source.read(numbers), images.read(numbers))
    assert call("photos", "--source=some.npz", "--size=8", one) == told
    told = call("--check=data/photos-8")
    assert told.splitlines() == [*lines, "all files of data/photos-8 are whole"]


def test_what_is_asked_for_reaches_the_set(call):
    words = ("--prepare=crop-12", "--channels=1", "--split=train", "--out=here")
    call("photos", "--source=some.npz", *words, "--shard_mb=3", "--workers=1")
    found = about("here")
    assert (found["set"], found["source"]["place"]) == ("photos", "some.npz")
    assert (found["prepare"], found["shape"]) == ("crop-12", [12, 12, 1])
    assert (list(found["splits"]), found["shard_mb"]) == (["train"], 3)


def test_known_sets_have_their_preparation(call):
    call("celeba", "--source=some.npz", "--size=8", "--workers=1")
    assert about("data/celeba-8")["prepare"] == "fit-9x11-lanczos crop-8"
    call("celeba", "--source=some.npz", "--size=8", "--prepare=fit", "--out=fit")
    assert about("fit")["prepare"] == "fit-8x8-lanczos"
    call("embedded", "--split=test", "--workers=1")
    found = about("data/embedded")
    assert (found["splits"]["test"]["n"], found["shape"]) == (1000, [28, 28, 1])
    assert found["classes"][0] == "T-shirt/top"


def test_bad_images_are_counted(call, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    images = datasets.find("some.npz").read(np.arange(3))
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    told = call("photos", "--source=photos/", "--on_error=skip", "--workers=1")
    assert told.splitlines()[0].endswith("; 1 bad ones left out")


REFUSED = [
    (["--size=8"], "SET is a name of letters and digits, as celeba, not None"),
    (["a b"], "SET is a name of letters and digits, as celeba, not a b"),
    (["a", "--source=none/"], "none/: no such file, folder or set; known: "),
    (["a", "--source=some.npz", "--size=0"], "size is None or a whole number from 1,"
     " not 0"),
    (["a", "--source=some.npz", "--", "--x=1"], "--x=1 is for a pipeline; give --runner"
     " too"),
    (["a", "--source=some.npz", "--workers=0"], "processes is a whole number from 1,"
     " not 0"),
    (["--check=."], ".: no prepared set: it has no index.json"),
]  # fmt: skip


@pytest.mark.parametrize("arguments, words", REFUSED)
def test_error(refused, arguments, words):
    assert refused(*arguments).startswith(words)


def test_error_no_beam(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    told = refused("a", "--source=some.npz", "--runner=DirectRunner")
    assert told.startswith("a runner wants Apache Beam, which is not installed here")


def test_an_interrupted_command_says_what_to_do(call, monkeypatch, capsys):
    def prepare(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "prepare", prepare)
    with pytest.raises(SystemExit) as caught:
        call("photos", "--source=some.npz")
    assert caught.value.code == 130
    told = capsys.readouterr().err
    assert told == "\nstopped; the same command goes on where it stopped\n"
