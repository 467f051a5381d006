"""Tests of shards.py and plans.py: what is written, again and again, and by whom."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gantf import shards
from gantf.files import sha256
from gantf.plans import ShardError
from gantf.readers import Options, ReadError, open_place

N = {"train": 24, "test": 6}
# Of 200 x 200 x 3 bytes and at most 144 around them, 8 go into 10^6: 3 shards of 24.
SIZE, IN_SHARDS = 200, [8, 8, 8, 6]
RUNNERS = {"1": {"processes": 1}, "2": {"processes": 2}, "3": {"processes": 3}}
if importlib.util.find_spec("apache_beam"):
    RUNNERS["beam"] = {"runner": "DirectRunner"}


@pytest.fixture
def photos(tmp_path):
    """Two splits of two classes, noise of 30 x 40 pixels."""
    noise = np.random.RandomState(0).randint(0, 256, (30, 40, 30, 3)).astype(np.uint8)
    for i, image in enumerate(noise):
        split, number = ("train", i) if i < 24 else ("test", i - 24)
        folder = tmp_path / "photos" / split / ("cat" if number % 2 else "ant")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return tmp_path / "photos"


def prepare(place, folder, size=SIZE, split="all", shard_mb=1, **options):
    ours = ("processes", "runner", "pipeline")
    running = {"processes": 1} | {k: options.pop(k) for k in ours if k in options}
    asked = Options(size=size, **options)
    return shards.prepare("some", place, folder, asked, split, shard_mb, **running)


def hashes(folder):
    return {path.name: sha256(path) for path in folder.iterdir()}


def message(*arguments, error=ShardError, **options):
    with pytest.raises(error) as caught:
        prepare(*arguments, **options)
    assert isinstance(caught.value, error)
    return str(caught.value)


# What is written


def test_tensorflow_reads_what_is_written(photos, tmp_path):
    about = prepare(photos, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == about
    assert [shard["n"] for shard in about["shards"]] == IN_SHARDS
    shape = tf.io.FixedLenFeature((3,), tf.int64)
    one = tf.io.FixedLenFeature((), tf.string), tf.io.FixedLenFeature((), tf.int64)
    keys = {"image": one[0], "shape": shape, "label": one[1]}
    for split, n in N.items():
        names = sorted(map(str, (tmp_path / "out").glob(f"{split}-*.tfrecord")))
        found = [
            tf.io.parse_single_example(data, keys)
            for data in tf.data.TFRecordDataset(names)
        ]
        source = open_place(photos, Options(split=split, size=SIZE))
        images = [tf.io.decode_raw(one["image"], tf.uint8) for one in found]
        images = np.reshape(images, (n, SIZE, SIZE, 3))
        np.testing.assert_array_equal(images, source.read(np.arange(n)))
        assert [one["label"].numpy() for one in found] == source.labels.tolist()
        assert all(one["shape"].numpy().tolist() == [200, 200, 3] for one in found)


def test_the_index_says_what_the_set_is(photos, tmp_path):
    about = prepare(photos, tmp_path / "out")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [
        "index.json",
        "index.npz",
        "test-00000-of-00001.tfrecord",
        *(f"train-0000{i}-of-00003.tfrecord" for i in range(3)),
    ]
    for shard in about["shards"]:
        path = tmp_path / "out" / shard["file"]
        assert (shard["bytes"], shard["sha256"]) == (path.stat().st_size, sha256(path))
        assert shard["bytes"] <= 10**6
    keys = ("set", "shape", "prepare", "classes", "suffixes", "on_error")
    assert [about[key] for key in keys] == [
        *("some", [200, 200, 3], "short-200-lanczos crop-200"),
        *(["ant", "cat"], [".png"], "refuse"),
    ]
    source = about["source"]
    pngs = list(photos.rglob("*.png"))
    assert (source["place"], source["files"]) == (str(photos), 30)
    assert source["bytes"] == sum(path.stat().st_size for path in pngs)
    assert {split: one["n"] for split, one in about["splits"].items()} == N
    assert set(about["versions"]) == {"gantf", "pillow", "numpy"}
    assert shards.check(tmp_path / "out") == about


def test_the_hash_of_pixels_is_of_them_alone(photos, tmp_path):
    few = prepare(photos, tmp_path / "few", shard_mb=2)
    many = prepare(photos, tmp_path / "many", shard_mb=1)
    assert len(few["shards"]) < len(many["shards"])
    assert few["splits"] == many["splits"]
    pixels = few["splits"]["test"]["pixels"]
    with Image.open(photos / "test" / "ant" / "00.png") as image:
        Image.fromarray(255 - np.asarray(image)).save(image.filename)
    other = prepare(photos, tmp_path / "other")
    assert other["splits"]["train"] == few["splits"]["train"]
    assert other["splits"]["test"]["pixels"] != pixels


def test_shards_are_of_a_size(photos, tmp_path):
    # Of 180 x 180 x 3 + 144 bytes, 10 go into 10^6; 24 images are 3 times 8.
    about = prepare(photos, tmp_path / "out", size=180)
    assert [shard["n"] for shard in about["shards"]] == [8, 8, 8, 6]


def test_a_shard_has_one_image_at_least(photos, tmp_path):
    about = prepare(photos, tmp_path / "out", size=700, split="test")
    assert [shard["n"] for shard in about["shards"]] == [1] * 6


def test_sets_without_labels_and_of_grey(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(60, dtype=np.uint8).reshape(5, 3, 4))
    about = prepare(tmp_path / "a.npy", tmp_path / "out", size=None)
    assert (about["shape"], about["prepare"]) == ([3, 4, 1], "")
    assert about["splits"]["train"]["labels"] is False
    data = next(
        iter(tf.data.TFRecordDataset(str(next((tmp_path / "out").glob("*rd")))))
    )
    found = tf.train.Example.FromString(data.numpy()).features.feature
    assert sorted(found) == ["image", "shape"]
    assert found["image"].bytes_list.value[0] == bytes(range(12))


@pytest.fixture
def spoilt(photos):
    """One image is torn; one is too small to be cut, which only cutting tells."""
    torn = photos / "train" / "cat" / "05.png"
    torn.write_bytes(torn.read_bytes()[:500])
    Image.new("RGB", (25, 40)).save(photos / "train" / "ant" / "10.png")
    return photos


SMALL = "it is 25 x 40 (width x height), too small to cut 30 x 30 out of it; short-N"
TORN = "a torn image file; copy or download it again, or delete it"


def test_who_writes_does_not_change_a_byte(spoilt, tmp_path, capfd):
    found = {}
    for name, running in RUNNERS.items():
        out = tmp_path / name
        shards.prepare(
            "some", spoilt, out, Options(prepare="crop-30", on_error="skip"), "all", 1,
            **running,
        )  # fmt: skip
        found[name] = hashes(out)
        assert found[name] == found["1"]
        told = capfd.readouterr().err
        assert told.count("skipped: ") == 2 and "Traceback" not in told
    about = json.loads((tmp_path / "1" / "index.json").read_text())
    skipped = about["splits"]["train"]["skipped"]
    assert skipped == [f"train/cat/05.png: {TORN}", f"train/ant/10.png: {SMALL} before"
                       " makes it larger"]  # fmt: skip
    assert about["splits"]["train"]["n"] == about["shards"][0]["n"] == 22
    with np.load(tmp_path / "1" / "index.npz") as arrays:
        assert arrays["labels"].tolist() == [0] * 11 + [1] * 11 + [0] * 3 + [1] * 3


def test_error_bad_images(spoilt, tmp_path):
    asked = {"size": None, "prepare": "crop-30", "error": ReadError}
    told = message(spoilt, tmp_path / "out", **asked)
    assert told == f"{spoilt}/train/cat/05.png: {TORN}"
    (spoilt / "train" / "cat" / "05.png").unlink()
    told = message(spoilt, tmp_path / "out", **asked, processes=2)
    assert told.startswith(f"{spoilt}: train/ant/10.png: {SMALL}")
    for path in (spoilt / "test").rglob("*.png"):
        Image.new("RGB", (25, 40)).save(path)
    told = message(
        spoilt, tmp_path / "all", size=None, prepare="crop-30", on_error="skip"
    )
    assert told == f"{tmp_path}/all: no image of test can be read"


# Going on


def done(folder):
    """Finished shards, each as its inode and time of writing."""
    found = (path.with_suffix(".tfrecord") for path in folder.glob("t*.json"))
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


# A program that prepares 24 shards of an image each, slowly.
SLOW = {"size": None, "prepare": "short-1000 crop-600", "split": "train"}
PROGRAM = """
import signal, sys
from gantf import shards
from gantf.readers import Options
# Where a shell has started the tests by &, it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
place, folder, prepare, split = sys.argv[1:]
try:
    shards.prepare("some", place, folder, Options(prepare=prepare), split, 1, 2)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("how, code", [("SIGKILL", -9), ("SIGINT", 130)])
def test_a_stopped_program_goes_on(photos, tmp_path, how, code):
    out = tmp_path / "out"
    words = [str(photos), str(out), SLOW["prepare"], SLOW["split"]]
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(done(out)) < 2:
        assert program.poll() is None
        time.sleep(0.005)
    if how == "SIGKILL":
        program.kill()
    else:
        os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C does
    told = program.communicate()[1]  # which its processes write to as long as they live
    assert program.returncode == code and "Traceback" not in told
    kept = done(out)
    assert 2 <= len(kept) < 24 and not (out / "index.json").exists()
    unfinished = out / f"unfinished-{'0' * 32}.tfrecord"
    unfinished.touch()
    prepare(photos, out, **SLOW)
    for path, (inode, written) in kept.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (inode, written)
    prepare(photos, tmp_path / "whole", **SLOW)
    assert hashes(out) == hashes(tmp_path / "whole")


def test_a_finished_set_is_left_as_it_is(photos, tmp_path):
    about = prepare(photos, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert prepare(photos, tmp_path / "out") == about
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}


def test_a_full_disk_breaks_nothing(photos, tmp_path, in_process):
    code = """
import json, resource, sys
from gantf import shards
from gantf.readers import Options
most = 990_000  # three shards of 8 are smaller, one of 9 is not
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    shards.prepare("some", *sys.argv[1:], Options(size=200), "all", 2, processes=1)
except shards.ShardError as error:
    print(json.dumps(str(error)))
"""
    out = tmp_path / "out"
    told = in_process(code, str(photos), str(out))
    words = "when that is mended, the same command goes on where it stopped"
    assert told == f"{out}: File too large; {words}"
    assert [path.name for path in out.iterdir()] == ["plan.json"]
    prepare(photos, out, shard_mb=2)
    prepare(photos, tmp_path / "whole", shard_mb=2)
    assert hashes(out) == hashes(tmp_path / "whole")


@pytest.fixture
def interrupted(monkeypatch):
    """Prepares one shard of a set, and is interrupted then."""
    run = shards.workers.run

    def some(work, jobs, *others):
        run(work, jobs[:1], *others)
        raise KeyboardInterrupt

    def prepare_some(place, folder, **options):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(shards.workers, "run", some)
            prepare(place, folder, **options)
        assert len(done(folder)) == 1
        return folder

    return prepare_some


@pytest.fixture
def begun(photos, tmp_path, interrupted):
    return interrupted(photos, tmp_path / "out")


CHANGED = [
    ({"size": 100}, 'shape [200, 200, 3], now [100, 100, 3]; prepare "short-200-lanczos'
     ' crop-200", now "short-100-lanczos crop-100"'),
    ({"shard_mb": 2}, "shard_mb 1, now 2"),
    ({"on_error": "skip"}, 'on_error "refuse", now "skip"'),
]  # fmt: skip


@pytest.mark.parametrize("options, words", CHANGED)
def test_error_other_settings(photos, begun, options, words):
    told = message(photos, begun, **options)
    other = "give another --out, or delete that folder"
    assert told == f"{begun}: begun otherwise: {words}; {other}"
    prepare(photos, begun)  # nothing is lost
    assert message(photos, begun, **options) == told


def test_error_other_splits(photos, begun, tmp_path):
    told = message(photos, begun, split="train")
    assert "source.splits.test.n 6, now null" in told
    prepare(photos, tmp_path / "test", split="test")
    told = message(photos, tmp_path / "test")
    assert "source.splits.train.n null, now 24" in told


def test_error_another_source(photos, begun):
    image = photos / "train" / "ant" / "00.png"
    other = image.with_name("0.png")
    image.rename(other)
    assert "begun otherwise: source.names_and_sizes" in message(photos, begun)
    other.rename(image)
    other.write_bytes(image.read_bytes())
    assert "begun otherwise: source.splits.train.n 24, now 25; " in message(
        photos, begun
    )
    other.unlink()
    prepare(photos, begun)


def test_error_other_pixels(tmp_path, interrupted):
    # Of the same name and size: only the images tell.
    place = tmp_path / "a.npy"
    np.save(place, np.zeros((9, 200, 200, 3), np.uint8))
    out = interrupted(place, tmp_path / "out")
    np.save(place, np.ones((9, 200, 200, 3), np.uint8))
    assert message(place, out) == (
        f"{out}/train-00000-of-00002.tfrecord: image 0 was another one when this was"
        " written; give another --out, or delete that folder"
    )


@pytest.mark.parametrize("what", ["shard", "record", "torn record", "gone"])
def test_what_is_not_as_it_was_finished_is_written_again(photos, begun, what, tmp_path):
    (shard,) = done(begun)
    record = shard.with_suffix(".json")
    if what == "shard":
        os.truncate(shard, shard.stat().st_size // 2)
    elif what == "torn record":
        record.write_text('{"n":')
    else:
        {"record": record, "gone": shard}[what].unlink()
    prepare(photos, begun)
    prepare(photos, tmp_path / "whole")
    assert hashes(begun) == hashes(tmp_path / "whole")


# Refusals


def test_error_folders(photos, tmp_path):
    other = "give another --out, or delete that folder"
    told = message(photos, photos.parent)
    assert told == f"{tmp_path}: photos is in it; {other}"
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "plan.json").write_text("[1]")
    told = message(photos, tmp_path / "torn")
    assert told == f"{tmp_path}/torn/plan.json: no whole file; {other}"
    told = message(photos, photos / "out")
    assert told == f"{photos}/out is in {photos}, its source; give another --out"
    assert not (photos / "out").exists()
    (tmp_path / "file").touch()
    told = message(photos, tmp_path / "file")
    assert told.startswith(f"{tmp_path}/file: File exists; ")


def test_error_what_cannot_be_prepared(photos, tmp_path):
    out = tmp_path / "out"
    told = message(photos, out, prepare="lsun-random")
    assert told == (
        "prepare 'short-200-lanczos random-200' cuts somewhere else each time that an"
        " image is read, and a prepared set has one cut; take crop-N in place of"
        " random-N, or train on the images themselves"
    )
    told = message("ring", out, size=None)
    assert told == "ring: points are drawn anew; only images are prepared"
    told = message(photos, out, split="valid", error=ReadError)
    assert told == f'{photos}: it has only "train", "test", no "valid"'
    told = message(tmp_path / "none", out, error=ReadError)
    assert told.startswith(f"{tmp_path}/none: no such file")
    told = message(photos, out, shard_mb=0, error=ValueError)
    assert told == "shard_mb is a whole number from 1, not 0"
    assert not out.exists()


def test_a_split_without_labels_goes_with_any_classes(tmp_path):
    for name, value in (("train/1", 1), ("valid/a/2", 2), ("test/b/3", 3)):
        path = tmp_path / "set" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    about = prepare(tmp_path / "set", tmp_path / "out", size=None, processes=1)
    assert about["classes"] == ["a", "b"]
    found = {
        split: open_place(tmp_path / "out", Options(split=split))
        for split in ("train", "valid", "test", "all")
    }
    assert found["train"].labels is None and found["all"].labels is None
    assert found["valid"].labels.tolist() == [0] and found["test"].classes[1] == "b"
    assert found["all"].read([0, 1, 2])[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_error_splits_that_differ(tmp_path):
    images = {"x_train": np.zeros((3, 4, 4), np.uint8)}
    np.savez(tmp_path / "a.npz", **images, x_test=np.zeros((2, 5, 4), np.uint8))
    told = message(tmp_path / "a.npz", tmp_path / "out", size=None)
    assert told == (
        f"{tmp_path}/a.npz: images of test are 5 x 4 x 1 in 0 classes, those of train"
        " 4 x 4 x 1 in 0; give --size and --channels, or prepare one --split"
    )


def test_error_check(photos, tmp_path):
    out = tmp_path / "out"
    prepare(photos, out)
    path = out / "train-00001-of-00003.tfrecord"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReadError) as error:
        shards.check(out)
    assert str(error.value) == (
        f"{path}: bytes of it have changed (its SHA-256 differs); copy it again, or"
        " prepare the set again"
    )
    with pytest.raises(ReadError) as error:
        shards.check(photos)
    assert str(error.value) == f"{photos}: no prepared set: it has no index.json"
