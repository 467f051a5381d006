"""Nothing that a file says is run: what sources may not call, and hostile pickles."""

import ast
import io
import itertools
import pickle
import pickletools
import sys
import tarfile
from pathlib import Path

import pytest
import tensorflow as tf

from gantf.networks import frozen, pickles, unpickler
from gantf.readers.batches import open_cifar
from gantf.readers.source import Options

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("gantf", "my_tests", "tools", "architectures")
    for path in (ROOT / folder).rglob("*.py")
)

# Modules that run what they read.
MODULES = "pickle cPickle _pickle marshal shelve dill cloudpickle joblib yaml".split()
# Functions that run a text, or write where an archive says, or into a name that
# somebody else may take before.
CALLS = {
    *("eval", "exec", "compile", "os.system", "os.popen", "shutil.unpack_archive"),
    *("tempfile.mktemp", "torch.load", "runpy.run_path", "runpy.run_module"),
    *("subprocess.getoutput", "subprocess.getstatusoutput"),
}
METHODS = {"extract", "extractall", "enable_unsafe_deserialization"}
# argument -> what it may be; others than constants may be anything
ARGUMENTS = {"shell": False, "safe_mode": True, "allow_pickle": False}
NEEDED = {"numpy.load": "allow_pickle"}
IMPORTS = {"__import__", "importlib.import_module"}
LOADERS = {"keras.models.load_model", "keras.saving.load_model"}
# Where what is refused elsewhere is right.
ALLOWED = {
    (
        "gantf/__init__.py",
        "importlib.import_module of no constant",
    ),  # of a table's name
    ("gantf/models.py", "keras.models.load_model"),  # of what was looked through
}


def faults(text):
    """(line, what is done there) of all in a source that is refused."""
    tree = ast.parse(text)
    names = {}  # what stands for what in this file, as np for numpy
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name] = alias.name
                yield from _module(node, alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _module(node, node.module or "")
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _call(node, names))
        elif isinstance(node, ast.Name | ast.Attribute):  # called elsewhere, or not
            name = _name(node, names)
            if name in CALLS | LOADERS or name.rpartition(".")[2] in METHODS:
                yield node.lineno, name


def _module(node, name):
    if name.partition(".")[0] in MODULES:
        yield node.lineno, f"import {name}"


def _name(node, names):
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest


def _call(node, names):
    name, given = _name(node.func, names), {k.arg: k.value for k in node.keywords}
    for argument, right in ARGUMENTS.items():
        value = given.get(argument)
        if value is not None and getattr(value, "value", None) is not right:
            yield f"{argument}={ast.unparse(value)}"
    if name in NEEDED and NEEDED[name] not in given:
        yield f"{name} without {NEEDED[name]}"
    if name in IMPORTS and not isinstance(node.args[0], ast.Constant):
        yield f"{name} of no constant"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sources_run_nothing_that_they_read(path):
    name = str(path.relative_to(ROOT))
    found = [
        f"{path}:{line}: {what}"
        for line, what in faults(path.read_text("utf-8"))
        if (name, what) not in ALLOWED
    ]
    assert not found, "\n".join(found)


def test_what_is_allowed_is_there():
    found = {
        (str(path.relative_to(ROOT)), what)
        for path in SOURCES
        for _, what in faults(path.read_text("utf-8"))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "text, what",
    [
        ("import pickle", "import pickle"),
        ("import os, joblib as j", "import joblib"),
        ("from yaml import safe_load", "import yaml"),
        ("from torch import load\nload(f)", "torch.load"),
        ("import torch\nread = torch.load", "torch.load"),
        ("map(eval, lines)", "eval"),
        ("exec(text)", "exec"),
        ("compile(text, '', 'eval')", "compile"),
        ("__import__(name)", "__import__ of no constant"),
        (
            "import importlib as i\ni.import_module(n)",
            "importlib.import_module of no constant",
        ),
        ("import os\nos.system('ls')", "os.system"),
        ("from os import system as s\ns('ls')", "os.system"),
        ("import subprocess\nsubprocess.run(x, shell=True)", "shell=True"),
        ("import subprocess\nsubprocess.run(x, shell=yes)", "shell=yes"),
        ("import numpy as np\nnp.load(f)", "numpy.load without allow_pickle"),
        ("import numpy\nnumpy.load(f, allow_pickle=True)", "allow_pickle=True"),
        ("import numpy\nnumpy.save(f, x, allow_pickle=not 0)", "allow_pickle=not 0"),
        ("import keras\nkeras.models.load_model(f)", "keras.models.load_model"),
        ("from keras.saving import load_model as l\nl(f)", "keras.saving.load_model"),
        ("load(f, safe_mode=False)", "safe_mode=False"),
        (
            "import keras\nkeras.config.enable_unsafe_deserialization()",
            "keras.config.enable_unsafe_deserialization",
        ),
        ("zip.extractall(folder)", "zip.extractall"),
        ("open_it(p).extract(m)", "open_it(p).extract"),
        ("import shutil\nshutil.unpack_archive(f)", "shutil.unpack_archive"),
        ("from tempfile import mktemp\nmktemp()", "tempfile.mktemp"),
    ],
)
def test_the_sources_test_sees(text, what):
    lines = text.count("\n") + 1
    assert set(faults(text)) == {(lines, what)}


def test_the_sources_test_lets_pass():
    text = """
import importlib, pickletools, re, subprocess
import numpy as np
re.compile(text), net.compile(adam), importlib.import_module("gantf"), evaluate()
np.load(f, allow_pickle=False), tar.extractfile(member), model.load_model(f)
subprocess.run([program], shell=False)
"""
    assert not list(faults(text))


# Pickles

# Instructions that make numbers, texts and containers, or move them about. Three more
# call (REDUCE), fill (BUILD) and fetch (BINPERSID) what their reader has of its own.
PLAIN = """
    PROTO FRAME STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINSTRING BINSTRING SHORT_BINBYTES
    BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE EMPTY_LIST EMPTY_DICT MARK TUPLE TUPLE1
    TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET
    LONG_BINGET
""".split()
OWN = ["GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "BINPERSID"]


def test_the_reader_knows_these_instructions_and_no_more():
    assert set(unpickler._STEPS) == {*PLAIN, *OWN}
    assert set(unpickler._STEPS) < {opcode.name for opcode in pickletools.opcodes}


class Made:
    """What pickles as a call, a state or a class that a hostile file would have."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce_ex__(self, protocol):
        return self.reduced


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that is not imported yet, and a list of all that it is made to do."""
    (tmp_path / "trap.py").write_text(
        "did = ['import']\n"
        "def run(*words): did.append('run')\n"
        "class Kind:\n"
        "    def __new__(cls, *words, **more): did.append('new'); return object()\n"
        "class State:\n"
        "    def __setstate__(self, state): did.append('state')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import trap

    yield trap
    sys.modules.pop("trap", None)


def hostile(trap, protocol):
    """Pickles that run something in Python's own reader, by name."""

    def dumped(*reduced):
        return pickle.dumps({"data": Made(*reduced), "labels": [0]}, protocol)

    by_hand = {  # behind "{", as the value of "data", and then as the whole
        "global": b"ctrap\nrun\n)R",
        "stack global": b"\x8c\x04trap\x8c\x03run\x93)R",
        "inst": b"(itrap\nrun\n",
        "obj": b"(ctrap\nrun\no",
        "newobj": b"ctrap\nKind\n)\x81",
        "newobj ex": b"ctrap\nKind\n)}\x92",
        "setstate": b"ctrap\nState\n)\x81}b",
        "memo": b"ctrap\nrun\nq\x000h\x00)R",
        "text memo": b"ctrap\nrun\np0\n0g0\n)R",
        "pair": b"\x8c\x04trap\x8c\x03run\x86q\x010h\x010\x8c\x04trap\x8c\x03run\x93)R",
        "popped": b"ctrap\nrun\n)R0N",
        "nested": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(\x8c\x04trap"
        b"tR\x8c\x03runtR)R",
    }
    return {
        "reduce": dumped(trap.run, ()),
        "reduce with a state": dumped(trap.State, (), {"a": 1}),
        "class": dumped(trap.Kind, ("a",)),
        "deep": pickle.dumps([[{"data": [Made(trap.run, ())]}]], protocol),
        **{name: b"\x80\x04" + code + b"." for name, code in by_hand.items()},
        **{
            f"{name} in a dict": b"\x80\x04}\x8c\x04data" + code + b"s."
            for name, code in by_hand.items()
        },
    }


def readers(tmp_path):
    """All that reads pickles, of their bytes."""

    def file(load):
        def read(data):
            (tmp_path / "given").write_bytes(data)
            return load(tmp_path / "given")

        return read

    def torch(data):  # of the older format, where the object is the fourth
        first = [pickles.MAGIC, pickles.VERSION, {}]
        return b"".join(pickle.dumps(value, 2) for value in first) + data

    def cifar(data):
        folder = tmp_path / "cifar-100-python"
        folder.mkdir(exist_ok=True)
        (folder / "train").write_bytes(data)
        return open_cifar(folder, Options())

    return {
        "arrays": file(pickles.load_arrays),
        "torch": lambda data: file(pickles.load_torch)(torch(data)),
        "dict": pickles.load_dict,
        "cifar": cifar,
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("reader", readers(None))
def test_hostile_pickles_run_nothing(tmp_path, trap, reader, protocol):
    read = readers(tmp_path)[reader]
    for name, data in hostile(trap, protocol).items():
        trap.did.clear()
        pickle.loads(data)
        assert trap.did, name  # it is hostile
        del sys.modules["trap"]
        with pytest.raises(ValueError) as caught:
            read(data)
        assert "\n" not in str(caught.value) and str(caught.value), name
        assert "trap" not in sys.modules, name
        sys.modules["trap"] = trap


@pytest.mark.parametrize("reader", readers(None))
def test_hostile_sizes_are_refused(tmp_path, reader):
    """Of numbers, texts, frames, memories: each says it has more than the file has."""
    read, most = readers(tmp_path)[reader], b"\xff" * 7 + b"\x7f"
    starts = [b"\x8e", b"\x8d", b"\x96", b"\x95"]  # with 8 bytes of size
    for start, cut in itertools.product(starts, (8, 7, 1)):
        with pytest.raises((ValueError, *pickles.TORN)):
            read(b"\x80\x05}" + start + most[:cut])
    for data in (
        b"\x8b\xff\xff\xff\x7f1",  # a number of 2 GB
        b"\x8a\xff1",
        b"T\xff\xff\xff\x7f1",
        b"B\xff\xff\xff\xff1",
        b"X\xff\xff\xff\xff1",
        b"I" + b"9" * 100_000 + b"\n",
        b"L" + b"9" * 100_000 + b"L\n",
        b"]\x94" + b"h\x00\x85" * 50_000,  # of all that stays, nothing is used
    ):
        with pytest.raises((ValueError, *pickles.TORN)):
            read(b"\x80\x05" + data + b".")


# Frozen graphs


def graph(shape):
    """One with an array of this shape, for all of which one number stands."""
    made = tf.compat.v1.GraphDef()
    tensor = made.node.add(name="x", op="Const").attr["value"].tensor
    tensor.dtype, tensor.float_val[:] = tf.float32.as_datatype_enum, [1.0]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return made.SerializeToString()


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2, -1), (100,)])
def test_graphs_of_more_than_they_have_take_no_memory(tmp_path, shape):
    (tmp_path / "net.pb").write_bytes(graph(shape))
    with pytest.raises(ValueError) as caught:
        frozen.read(tmp_path / "net.pb", [])
    assert str(caught.value) == (
        f"{tmp_path}/net.pb: a torn frozen graph; download it again"
    )


def test_large_members_of_archives_are_not_unpacked(tmp_path, monkeypatch):
    data = graph((2,))
    info = tarfile.TarInfo(frozen.MEMBER)
    info.size = len(data)
    with tarfile.open(tmp_path / "net.tgz", "w:gz") as archive:
        archive.addfile(info, io.BytesIO(data))
    assert frozen.read(tmp_path / "net.tgz", []) == []
    monkeypatch.setattr(frozen, "LARGEST", len(data) - 1)
    with pytest.raises(ValueError, match="an archive with the FID network"):
        frozen.read(tmp_path / "net.tgz", [])
