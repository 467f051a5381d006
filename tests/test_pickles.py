"""Tests of pickles.py and unpickler.py: what is read, and that nothing else is done."""

import io
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weightfiles import (
    ORDERED,
    REBUILD,
    Call,
    Name,
    Raw,
    Stored,
    encoded,
    legacy_bytes,
    pickled,
    tensor,
    zip_bytes,
)

from gantf.networks import unpickler
from gantf.networks.pickles import load_arrays, load_torch

FORMATS = {"zip": zip_bytes, "legacy": legacy_bytes}


@pytest.fixture
def read(tmp_path):
    """Reads bytes as a file; message() is what a refusal says after its name."""

    def read(data, load=load_torch):
        path = tmp_path / "file"
        path.write_bytes(data)
        return load(path)

    def message(data, load=load_torch):
        with pytest.raises(ValueError) as caught:
            read(data, load)
        assert type(caught.value) is ValueError
        text = str(caught.value)
        assert "\n" not in text
        return text.removeprefix(f"{tmp_path / 'file'}: ")

    read.message = message
    return read


TORN = "not a file of weights, or a torn one; get it again"
ASKED = "a file of arrays asks for arrays of numbers alone, not for {}; do not trust it"


# Tensors

COUNT = np.arange(24, dtype="<f4")
VIEWS = {
    "whole": tensor("Float", "7", 24, 0, (2, 3, 4), (12, 4, 1)),
    "part": tensor("Float", "7", 24, 12, (3, 2), (4, 2)),
    "turned": tensor("Float", "7", 24, 0, (4, 6), (1, 4)),
    "one": tensor("Float", "7", 24, 23, (), ()),
    "none": tensor("Float", "7", 24, 0, (0, 5), (5, 1)),
    "empty": tensor("Float", "7", 24, 0, (30, 0), (1, 1)),
}


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_views_of_one_storage(read, made, protocol):
    found = read(made(VIEWS, {"7": COUNT.tobytes()}, protocol))
    expected = {
        "whole": np.arange(24).reshape(2, 3, 4),
        "part": [[12, 14], [16, 18], [20, 22]],
        "turned": np.arange(24).reshape(6, 4).T,
        "one": 23,
        "none": np.zeros((0, 5)),
        "empty": np.zeros((30, 0)),
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, strict=False)
        assert found[name].shape == np.shape(array)
        assert not found[name].flags.writeable
    assert np.shares_memory(found["whole"], found["part"])


KINDS = {
    "Float": ("f4", [1.5, -2.0]),
    "Double": ("f8", [1.5, -2.0]),
    "Half": ("f2", [1.5, -2.0]),
    "Long": ("i8", [-1, 2**40]),
    "Int": ("i4", [-1, 2**30]),
    "Short": ("i2", [-1, 2**14]),
    "Char": ("i1", [-1, 100]),
    "Byte": ("u1", [1, 255]),
    "Bool": ("?", [True, False]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["little", "big"])
def test_kinds_of_numbers(read, kind, order):
    code, numbers = KINDS[kind]
    data = np.array(numbers, {"little": "<", "big": ">"}[order] + code).tobytes()
    state = {"x": tensor(kind, "0", 2, 0, (2,), (1,))}
    found = read(zip_bytes(state, {"0": data}, order=order.encode()))["x"]
    assert found.dtype == np.dtype(code)
    assert found.tolist() == numbers


def test_bfloat16_becomes_float32(read):
    # 1 sign, 8 exponent, 7 mantissa bits: 1.5 is 3FC0, -2 C000, 2^-130 0008.
    data = bytes.fromhex("C03F 00C0 0800")
    state = {"x": tensor("BFloat16", "0", 3, 0, (3,), (1,))}
    found = read(zip_bytes(state, {"0": data}))["x"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -2.0, 2.0**-130]


def test_older_files_are_little_endian_wherever_they_were_written(read):
    data = struct.pack("<q", 1) + struct.pack("<f", 2.5)
    state = {"x": tensor("Float", "0", 1, 0, (1,), (1,))}
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}, state, ["0"]]
    assert read(b"".join(map(pickled, head)) + data)["x"].tolist() == [2.5]


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
def test_what_state_dicts_have_beside_tensors(read, made):
    """Parameters, an OrderedDict and its attributes; one of pairs is Python 2's."""
    inner = tensor("Float", "0", 1, 0, (1,), (1,))
    hooks = Call(ORDERED, ())
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (inner, True, hooks))
    filled = b"(" + encoded("p") + encoded(parameter) + b"u"
    state = encoded({"_metadata": {"": {"version": 1}}})
    modern = Raw(encoded(hooks) + filled + state + b"b")
    for value in (modern, Call(ORDERED, ([["p", parameter]],))):
        found = read(made(value, {"0": struct.pack("<f", 3.0)}))
        assert {name: array.tolist() for name, array in found.items()} == {"p": [3.0]}


def test_a_zip_may_tell_no_order_and_have_other_members(read):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.b/version", "3")
        state = {"x": tensor("Float", "0", 1, 0, (1,), (1,))}
        archive.writestr("a.b/data.pkl", pickled(state))
        archive.writestr("a.b/data/0", struct.pack("<f", 3.0))
    assert read(buffer.getvalue())["x"].tolist() == [3.0]


# Arrays

ARRAYS = {
    "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "strided": np.arange(24, dtype=np.int16).reshape(4, 6)[::2, ::3],
    "swapped": np.arange(3, dtype=">f4"),
    "number": np.array(2.5),
    "bits": np.array([True, False]),
    "none": np.zeros((0, 3), np.uint8),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("numpy", ["numpy._core", "numpy.core"])
def test_arrays(read, protocol, numpy):
    data = pickle.dumps({**ARRAYS, "both": list(ARRAYS.values())}, protocol)
    if numpy == "numpy.core":  # of NumPy 1
        for end in (b".multiarray", b".numeric"):
            old, new = b"numpy._core" + end, b"numpy.core" + end
            if protocol >= 4:  # a string with its length, not a line
                old, new = bytes([len(old)]) + old, bytes([len(new)]) + new
            data = data.replace(old, new)
    found = read(data, load_arrays)
    for array, expected in zip(found.pop("both"), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
    assert list(found) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].shape == expected.shape
        assert found[name].dtype == expected.dtype.newbyteorder("=")
        assert not found[name].flags.writeable


MULTIARRAY = "numpy.core.multiarray"
EMPTY = Call(Name(MULTIARRAY, "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b"))


def array_state(shape, dtype, data, fortran=False):
    """An array of this state, which an instruction of its own gives it."""
    state = (1, shape, Call(Name("numpy", "dtype"), (dtype, 0, 1)), fortran, data)
    return Raw(encoded(EMPTY) + encoded(state) + b"b")


def test_arrays_of_python_2_have_strings_for_bytes(read):
    data = Raw(b"U\x08" + struct.pack("<2f", 1.0, -2.0))
    found = read(pickled({"x": array_state((2,), "f4", data)}), load_arrays)
    assert found["x"].tolist() == [1.0, -2.0]


# Refusals


def harmful(path):
    """Name -> what would make a file there, if it were done."""
    path = str(path)
    method = Call(Name("builtins", "getattr"), (Name("numpy", "ndarray"), "tofile"))
    return {
        "os.system": Call(Name("os", "system"), (f"touch {path}",)),
        "builtins.eval": Call(Name("builtins", "eval"), (f"open({path!r}, 'w')",)),
        "builtins.getattr": Call(method, (path,)),
        "pathlib.Path.touch": Call(Name("pathlib", "Path.touch"), (path,)),
        "torch.serialization.load": Call(Name("torch.serialization", "load"), (path,)),
    }


@pytest.mark.parametrize("load", [load_torch, load_arrays])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", harmful(""))
def test_other_names_are_refused(read, tmp_path, load, protocol, name):
    value = {"x": harmful(tmp_path / "made")[name]}
    files = [pickled(value, protocol)]
    if load is load_torch:
        files += [zip_bytes(value, {}, protocol), legacy_bytes(value, {}, protocol)]
    for data in files:
        assert read.message(data, load) == ASKED.format(repr(name))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "instructions, name",
    [
        (b"(ios\nsystem\n", "INST"),
        (b"(U\x04fileo", "OBJ"),
        (b"))\x81", "NEWOBJ"),
        (b")}\x92", "NEWOBJ_EX"),
        (b"\x82\x01", "EXT1"),
        (b"\x83\x01\x00", "EXT2"),
        (b"\x84\x01\x00\x00\x00", "EXT4"),
        (b"Pos.system\n", "PERSID"),
        (b"\x97", "NEXT_BUFFER"),
    ],
)
def test_other_instructions_are_refused(read, instructions, name):
    said = ASKED.format(f"instruction {name}")
    assert read.message(pickled(Raw(instructions)), load_arrays) == said


def test_arrays_are_of_numbers_and_in_the_file(read):
    for dtype in ("O8", "V4", "U9", "M8[s]"):
        data = pickled({"x": array_state((1,), dtype, b"\0" * 8)})
        assert read.message(data, load_arrays) == ASKED.format(f"dtype '{dtype}'")
    objects = pickle.dumps({"x": np.array([object], object)})
    assert read.message(objects, load_arrays) == ASKED.format("dtype 'O8'")
    away = pickled(Stored(("storage", "x")))
    assert read.message(away, load_arrays) == ASKED.format("what is stored elsewhere")


FLOAT = Name("torch", "FloatStorage")
UNMADE = [
    Call("text", ()),
    Call(FLOAT, (4,)),
    Call(Stored(("storage", FLOAT, "0", "cpu", 1)), ()),
    Call(REBUILD, []),
    Raw(encoded(REBUILD) + encoded((None, {"__defaults__": (1,)})) + b"b"),
    Raw(encoded(FLOAT) + encoded({"__setstate__": REBUILD}) + b"b"),
    Stored(("module", FLOAT, "0", "cpu", 1)),
    Stored(("storage", REBUILD, "0", "cpu", 1)),
    Stored(("storage", FLOAT, "0", "cpu", 1, ("1", 0, 1))),
    tensor("Float", "0", 1, 0, (1,) * 33, (1,) * 33),
    tensor("Float", "0", 1, 0, (1, 1), (1,)),
    tensor("Float", "0", 1, -1, (1,), (1,)),
    tensor("Float", "0", 1, 0, (-1,), (1,)),
    tensor("Float", "0", 1, 0, (1,), (-1,)),
    tensor("Float", "0", 1, 0, ("1",), (1,)),
    tensor("Float", "0", 2**60, 0, (2**60,), (1,)),
    tensor("Float", "0", 2**70, 0, (2**70,), (1,)),
    tensor("Float", "0", 1, 0, (2**63,), (0,)),
    tensor("Float", "0", 2, 0, (2,), (1,)),
    tensor("Float", "0", 0, 0, (0,), (1,)),
    Raw(encoded(()) + encoded(1) + b"a"),  # no list
    Raw(encoded([]) + encoded("k") + encoded(1) + b"s"),  # no dict
    Raw(encoded({}) + encoded("k") + b"(" + encoded("k") + b"u"),  # no pairs
    tensor("Float", "../0", 1, 0, (1,), (1,)),
]


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("value", UNMADE, ids=range(len(UNMADE)))
def test_what_does_not_fit_is_no_file_of_weights(read, made, value):
    good = tensor("Float", "0", 1, 0, (1,), (1,))
    data = made({"x": value, "y": good}, {"0": struct.pack("<f", 1.0)})
    assert read.message(data) == TORN
    assert unpickler.asked.__defaults__ is None


@pytest.mark.parametrize("made", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(
    "offset, shape, strides",
    [
        (12, (1,), (1,)),
        (0, (3, 4), (4, 2)),
        (1, (3, 4), (4, 1)),
        (0, (5,), (2**61,)),  # 4 steps of 2^63 bytes are 0 where they overflow
        (0, (13,), (0,)),  # no larger than its storage
        (0, (10**6, 10**6), (0, 0)),
    ],
)
def test_tensors_lie_in_their_storage(read, made, offset, shape, strides):
    value = {"conv.weight": tensor("Float", "0", 12, offset, shape, strides)}
    assert read.message(made(value, {"0": bytes(48)})) == (
        "'conv.weight': a tensor lies within its storage and is no larger, not so in"
        " this one of 12 numbers"
    )


@pytest.mark.parametrize(
    "value, message",
    [
        ([1], "a file of weights has a dict of arrays, not a list"),
        (
            {"state_dict": {}, "epoch": 3},
            "'state_dict': a state dict has tensors alone, not a dict; save what"
            " model.state_dict() gives",
        ),
    ],
)
def test_what_is_no_state_dict(read, value, message):
    for made in FORMATS.values():
        assert read.message(made(value, {})) == message


def test_what_is_no_dict_of_arrays(read):
    assert read.message(pickled(3), load_arrays) == (
        "a file of weights has a dict of arrays, not a int"
    )
    for value in (3, [array_state((0,), "f4", b""), 3]):
        assert read.message(pickled({"a\nb": value}), load_arrays) == (
            "'a\\nb': weights are an array or a list of arrays, not a int"
        )
    assert read.message(pickled({"x": EMPTY}), load_arrays) == TORN
    assert read.message(pickled({1: EMPTY}), load_arrays) == TORN


@pytest.mark.parametrize(
    "names", [["data.pkl", "a/b/data.pkl"], ["a/data.pkl", "b/data.pkl"]]
)
def test_zips_of_other_kinds(read, names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, pickled({}))
    assert read.message(buffer.getvalue()) == (
        "a zip by torch.save has one NAME/data.pkl, this one has not"
    )


def test_older_files_of_other_kinds(read):
    whole = legacy_bytes({}, {})
    assert read(whole) == {}
    assert read.message(pickled(7) + whole[whole.index(b".") + 1 :]) == TORN
    assert read.message(whole.replace(encoded(1001), encoded(1002))) == TORN


def test_files_that_are_not_there(tmp_path):
    for load in (load_torch, load_arrays):
        with pytest.raises(ValueError) as caught:
            load(tmp_path / "none")
        assert str(caught.value) == f"{tmp_path / 'none'}: No such file or directory"
        with pytest.raises(ValueError) as caught:
            load(tmp_path)
        assert str(caught.value) == f"{tmp_path}: Is a directory"


# Torn files

STATE = {
    "a": tensor("Float", "0", 6, 0, (2, 3), (3, 1)),
    "b": tensor("Float", "1", 2, 0, (2,), (1,)),
}
STORAGES = {"0": np.arange(6, dtype="<f4").tobytes(), "1": bytes(8)}
WHOLE = {
    "zip": (zip_bytes(STATE, STORAGES), load_torch),
    "legacy": (legacy_bytes(STATE, STORAGES), load_torch),
    "numpy": (pickle.dumps({"a": np.arange(6.0), "b": [np.ones(2)]}, 4), load_arrays),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_beginning_of_a_file_is_torn(read, kind):
    data, load = WHOLE[kind]
    assert list(read(data, load)) == ["a", "b"]
    for length in [*range(0, len(data), 5), len(data) - 1]:
        assert read.message(data[:length], load) == TORN


@pytest.mark.parametrize("kind", WHOLE)
def test_altered_files_give_arrays_or_are_refused(tmp_path_factory, kind):
    whole, load = WHOLE[kind]
    path = tmp_path_factory.mktemp("altered") / "file"

    @settings(max_examples=150)
    @given(
        st.dictionaries(
            st.integers(0, len(whole) - 1), st.integers(0, 255), min_size=1, max_size=4
        )
    )
    def check(bytes_):
        data = bytearray(whole)
        for place, byte in bytes_.items():
            data[place] = byte
        path.write_bytes(data)
        try:
            found = load(path)
        except ValueError as error:
            assert type(error) is ValueError
            assert str(error).startswith(f"{path}: ")
        else:
            for value in found.values():
                for array in value if isinstance(value, list) else [value]:
                    assert array.nbytes <= len(data)
                    array.tobytes()  # every number can be read

    check()


# What would take all memory, or for ever

HUGE = (2**62).to_bytes(8, "little")
LIST = "a file of weights has a dict of arrays, not a list"
AGAIN = ASKED.format("the same again and again")
FIRST = b"h\x00"  # what was remembered first
# Tuples of two of the tuple before: 60 of them, number 60 the last.
NESTED = b")\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(60))
PAIRS = encoded([["k", None]] * 2000) + b"\x94"
TEXT = encoded("x" * 4000) + b"\x94"
BYTES = encoded(b"x" * 4000) + b"\x94"
ARRAY = encoded(array_state((1,), "f4", bytes(4))) + b"\x94"
ENCODE = encoded(Call(Name("_codecs", "encode"), (Raw(FIRST), "latin1")))
BOMBS = {
    "bytes": (b"\x8e" + HUGE, TORN),
    "text": (b"\x8d" + HUGE, TORN),
    "buffer": (b"\x96" + HUGE, TORN),
    "number": (b"\x8b\xff\xff\xff\x7f\x01", TORN),
    "zeros": (encoded(Call(Name("__builtin__", "bytes"), (10**8,))), TORN),
    "frame": (b"\x95" + HUGE + b"]", LIST),
    "memory": (b"]r\xff\xff\xff\xff", LIST),
    "hash": (NESTED + b"}h\x3cNs", TORN),
    "name": (NESTED + b"h\x3ch\x3c\x93", TORN),
    "pairs": (PAIRS + encoded(Call(ORDERED, (Raw(FIRST),))) * 500, AGAIN),
    "codes": (TEXT + ENCODE * 100, AGAIN),
    "data": (BYTES + encoded(array_state((1000,), "f4", Raw(FIRST))) * 100, AGAIN),
    "lists": (
        ARRAY
        + encoded([Raw(FIRST)] * 1000)
        + b"\x94"
        + encoded({str(i): Raw(b"h\x01") for i in range(1001)}),
        AGAIN,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_take_little_memory_and_time(read, name):
    instructions, message = BOMBS[name]
    data = pickled(Raw(instructions))
    tracemalloc.start()
    try:
        assert read.message(data, load_arrays) == message
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_steps_are_counted(read, monkeypatch):
    monkeypatch.setattr(unpickler, "MOST_STEPS", 8)
    assert read(pickled(Raw(b"}" * 6)), load_arrays) == {}  # PROTO, 6, STOP
    said = read.message(pickled(Raw(b"}" * 7)), load_arrays)
    assert said == ASKED.format("more than 8 steps")


def test_numbers_are_as_many_as_they_say(read):
    state = {"x": tensor("Float", "0", 2**62, 0, (1,), (1,))}
    data = legacy_bytes(state, {"0": bytes(4)})
    assert read.message(data) == TORN
    end = struct.pack("<q", 1) + bytes(4)
    assert data.endswith(end)
    for count in (2**62, -1):
        lie = data.removesuffix(end) + struct.pack("<q", count) + bytes(4)
        assert read.message(lie) == TORN


def test_zips_are_not_compressed(read):
    numbers = np.random.default_rng(0).bytes(4000)  # of which compression makes more
    state = {"x": tensor("Float", "0", 1000, 0, (1000,), (1,))}
    assert len(read(zip_bytes(state, {"0": numbers}))["x"]) == 1000
    options = {"compression": zipfile.ZIP_DEFLATED}
    assert read.message(zip_bytes(state, {"0": numbers}, **options)) == TORN


def test_zips_have_no_more_in_them_than_they_are_long(read):
    """The data of member 0 are member 1, its head included: both would be read."""

    def fields(name, data):
        return (20, 0, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name), 0)

    def head(name, data):
        return struct.pack("<4s5H3I2H", b"PK\3\4", *fields(name, data)) + name

    def entry(name, data, place):
        more = (0, 0, 0, 0, place)
        return (
            struct.pack("<4sH5H3I5H2I", b"PK\1\2", 20, *fields(name, data), *more)
            + name
        )

    one = bytes(4000)
    zero = head(b"m/data/1", one) + one
    count = len(zero)
    state = {
        str(i): tensor("Byte", str(i), n, 0, (n,), (1,))
        for i, n in enumerate([count, 4000])
    }
    first = pickled(state)
    start = head(b"m/data.pkl", first) + first
    data = start + head(b"m/data/0", zero) + zero
    entries = entry(b"m/data.pkl", first, 0) + entry(b"m/data/0", zero, len(start))
    entries += entry(b"m/data/1", one, len(data) - count)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(entries), len(data), 0)
    assert zipfile.ZipFile(io.BytesIO(data + entries + end)).read("m/data/1") == one
    assert read.message(data + entries + end) == TORN


def test_secret_zips_are_refused(read):
    data = bytearray(zip_bytes(STATE, STORAGES))
    entry = data.index(b"PK\1\2")
    data[entry + 8] |= 1  # the flag of encrypted members
    assert read.message(bytes(data)) == TORN
