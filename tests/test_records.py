"""Tests of records.py: TFRecord files and Examples, beside TensorFlow's own."""

import gzip
import os
import zlib

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gantf import records
from gantf.readers import ReadError

DATA = [b"one", b"", b"three" * 4]


@pytest.fixture
def path(tmp_path):
    """A file of three records, written by TensorFlow."""
    path = tmp_path / "a.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in DATA:
            writer.write(data)
    return path


def read_all(path):
    file = records.RecordFile(path)
    return [file.read(*place, i) for i, place in enumerate(records.scan(path))]


def message(function, *arguments):
    with pytest.raises(ReadError) as error:
        function(*arguments)
    return str(error.value)


# The CRCs of 32 bytes are those of RFC 3720, B.4; the first one masked by hand:
# 8a9136aa turned right by 15 bits is 6d551522, and + a282ead8 = 1 0fd7fffa.
CRCS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
]


@pytest.mark.parametrize("data, crc", CRCS)
def test_crcs_are_masked(data, crc):
    turned = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert records.masked_crc(data) == (turned + 0xA282EAD8) % 2**32
    assert records.masked_crc(bytes(32)) == 0x0FD7FFFA


def test_files_of_tensorflow_are_read(path):
    assert read_all(path) == DATA
    places = list(records.scan(path))
    # 8 + 4 bytes before the data and 4 behind
    assert [place[:2] for place in places] == [(0, 3), (19, 0), (35, 20)]
    assert records.RecordFile(path).read(*places[2], 2) == DATA[2]


def test_tensorflow_reads_our_files(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(map(records.framed, DATA)))
    found = tf.data.TFRecordDataset(str(path))
    assert [data.numpy() for data in found] == DATA


def test_an_empty_file_has_no_records(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.touch()
    assert list(records.scan(path)) == []


def test_every_torn_file_is_found_out(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length in (0, 19, 35):
            assert read_all(path) == DATA[: [0, 19, 35].index(length)]
            continue
        number = sum(length > end for end in (19, 35))
        told = f"{path}: it ends within record {number}; copy or make the file again"
        assert message(read_all, path) == told


def test_every_bit_that_changes_is_found_out(path):
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert message(read_all, path).startswith(f"{path}: ")


def test_a_record_that_changes_later_is_found_out(path):
    places, file = list(records.scan(path)), records.RecordFile(path)
    told = (
        f"{path}: record 7 has changed (its CRC differs); copy or make the file again"
    )
    for place, change in ((12, b"x"), (15, b"x")):
        content = path.read_bytes()
        with path.open("r+b") as changed:
            changed.seek(place)
            changed.write(change)
        assert message(file.read, *places[0], 7) == told
        path.write_bytes(content)
    assert file.read(*places[0], 7) == b"one"
    # Another whole record in its place is another one all the same.
    path.write_bytes(records.framed(b"two") + content[19:])
    assert message(file.read, *places[0], 7) == told
    os.truncate(path, 40)
    assert message(file.read, *places[2], 7) == told


NO_RECORDS = [
    (b"\x89PNG\r\n\x1a\n" * 4, "not a TFRecord file, whatever its name says; {again}"),
    (gzip.compress(bytes(99), mtime=0), "{packed}"),
    (zlib.compress(bytes(99)), "{packed}"),
    (records.framed(b"a") + bytes(20), "the length of record 1 has changed (its CRC"
     " differs); {again}"),
]  # fmt: skip


@pytest.mark.parametrize("content, words", NO_RECORDS)
def test_error_other_files(tmp_path, content, words):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    packed = "a compressed TFRecord file cannot be read at any record; unpack it"
    words = words.format(again="copy or make the file again", packed=packed)
    assert message(read_all, path) == f"{path}: {words}"


def test_error_no_file(tmp_path):
    path = tmp_path / "a.tfrecord"
    told = message(records.RecordFile, path)
    assert told == f"{path}: No such file or directory; copy or make the file again"


def test_few_of_many_files_are_open(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_OPEN", 2)
    paths = [tmp_path / f"{i}.tfrecord" for i in range(9)]
    for i, path in enumerate(paths):
        path.write_bytes(records.framed(bytes([i])))
    before = len(os.listdir("/proc/self/fd"))
    opened = records.opener(paths)
    for i, path in enumerate(paths):
        assert opened(i).read(*next(records.scan(path)), 0) == bytes([i])
    assert len(os.listdir("/proc/self/fd")) == before + 2
    assert opened(8) is opened(8)


# Examples


def test_examples_are_those_of_tensorflow():
    ours = records.example({"image": b"\0\xff", "shape": [2, 1, -1], "é": [2**62]})
    theirs = tf.train.Example.FromString(ours).features.feature
    assert set(theirs) == {"image", "shape", "é"}
    assert list(theirs["image"].bytes_list.value) == [b"\0\xff"]
    assert list(theirs["shape"].int64_list.value) == [2, 1, -1]
    assert list(theirs["é"].int64_list.value) == [2**62]
    parsed = tf.io.parse_single_example(
        ours, {"image": tf.io.FixedLenFeature((), tf.string)}
    )
    assert parsed["image"].numpy() == b"\0\xff"


def test_examples_of_tensorflow_are_read():
    made = tf.train.Example()
    made.features.feature["b"].bytes_list.value.extend([b"x", b""])
    made.features.feature["f"].float_list.value.extend([0.5, -2])
    made.features.feature["i"].int64_list.value.append(-7)
    _ = made.features.feature["none"]
    data = made.SerializeToString()
    expected = {"b": [b"x", b""], "f": [0.5, -2.0], "i": [-7], "none": []}
    assert records.features(data) == expected
    assert records.features(data, ["i", "z"]) == {"i": [-7]}
    assert records.features(b"") == {}


def test_the_same_values_are_the_same_bytes():
    values = {f"{i}": [i] for i in range(30)}
    turned = dict(reversed(values.items()))
    assert records.example(values) == records.example(turned)


def test_error_no_example():
    assert message(records.features, b"\xff") == "it holds no tf.train.Example"


@given(st.binary(max_size=80), st.integers(0, 79), st.binary(max_size=3))
def test_fuzz_examples(noise, place, patch):
    whole = records.example({"image": b"abc", "label": [3], "shape": [1, 1, 3]})
    for data in (noise, whole[:place], whole[:place] + patch + whole[place:]):
        try:
            found = records.features(data)
        except ReadError as error:
            assert str(error) == "it holds no tf.train.Example"
        else:
            assert all(isinstance(values, list) for values in found.values())


def test_no_tensorflow_comes_along(in_process):
    code = "import json, sys, gantf.shards; print(json.dumps(sorted(sys.modules)))"
    assert not {"tensorflow", "keras", "tensorflow_datasets"} & set(in_process(code))
