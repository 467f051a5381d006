"""Files of Keras models and of weights, looked through before they are loaded.

    .keras          a zip of config.json, metadata.json and model.weights.h5, as they
                    are: Keras compresses nothing
    .weights.h5     groups of arrays of numbers in HDF5

A config names classes and functions, which Keras finds and calls, and an HDF5 file may
have links to other files in it. Keras itself refuses most of what is harmful; here all
is refused that no network needs, and what claims to be larger than it is.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import keras

WEIGHTS = "model.weights.h5"
MEMBERS = ("config.json", "metadata.json", WEIGHTS)
# What configs name beside classes: numbers, and how tensors go from layer to layer.
_VALUES = ("__keras_tensor__", "__slice__", "__ellipsis__", "__tensor__")
_KINDS = "initializers regularizers constraints layers losses metrics optimizers"
_MODULES = {"keras", "builtins", *(f"keras.{kind}" for kind in _KINDS.split())}
_MODULES |= {"keras.activations", "keras.optimizers.schedules"}
_INNER = ("keras.src.models.", "keras.src.ops.")  # functional nets, and x + y in them
# Their configs have code in them, or the names of other files.
_FOREIGN = {
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization"),
}


_NUMBERS = {
    "bool",
    *(f"{kind}{n}" for kind in ("int", "uint") for n in (8, 16, 32, 64)),
}
_NUMBERS |= {"float16", "float32", "float64", "bfloat16"}
_NO_MODEL = "its config.json is that of no model; save the model again"


class _Refused(ValueError):
    """What a file has in it; it is told with the file's name."""


def load(path: str | Path) -> keras.Model:
    """The network in a .keras file, for inference: without optimizer and losses.

    Its layers are Keras' own, gantf's, and those that the program has registered.

    Raises:
      ValueError: a file that is not there or torn, one that has or asks for what no
        network needs, or one that Keras cannot load.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        config, weights = _parts(path)
        _check_arrays(weights)
        _check_config(config)
        _check_size(config, len(weights))
        return keras.models.load_model(path, compile=False)
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # what Keras meets in a config has no bounds
        raise ValueError(
            f"{path}: Keras cannot load it: {_reason(error)}; save it again"
        ) from None


def load_weights(net: keras.Model, path: str | Path) -> None:
    """Gives a network the weights in a .weights.h5.

    Raises:
      ValueError: a file that `check_arrays` refuses, or one of another network.
    """
    check_arrays(path)
    try:
        net.load_weights(path)
    except Exception as error:  # as above
        raise ValueError(
            f"{path} has no weights of {net.name}: {_reason(error)}"
        ) from None


def check_arrays(path: str | Path) -> None:
    """Looks through the names and shapes in a .weights.h5, not through its numbers.

    Raises:
      ValueError: a file that is not there or torn, or in which something else lies than
        arrays of numbers, as long as they say.
    """
    path = Path(path)
    if not path.name.endswith(".weights.h5"):
        raise ValueError(
            f"{path}: a file of weights ends in .weights.h5; save it as one"
        )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        _check_arrays(path)
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None


def _parts(path: Path) -> tuple[Any, bytes]:
    """The config and the bytes of the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            other = [name for name in names if name not in MEMBERS]
            if other or sorted(names) != sorted(MEMBERS):
                found = repr(other[0][:80]) if other else ", ".join(sorted(names))
                raise _Refused(
                    f"a .keras file has {', '.join(MEMBERS)} in it, each once, not"
                    f" {found}; do not trust it"
                )
            packed = any(m.compress_type != zipfile.ZIP_STORED for m in members)
            if packed or sum(m.file_size for m in members) > path.stat().st_size:
                raise _Refused(
                    "a .keras file is not compressed, and no larger inside than"
                    " outside; save the model again"
                )
            config = json.loads(archive.read(MEMBERS[0]))
            return config, archive.read(WEIGHTS)
    except _Refused:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile):
        # RuntimeError: of secret zips, and of JSON that is nested without end
        raise _Refused("a torn .keras file, or none; save the model again") from None


# HDF5


def _check_arrays(source: Path | bytes) -> None:
    inside = isinstance(source, bytes)
    size = len(source) if inside else source.stat().st_size
    links: list[tuple[str, Any]] = []
    try:
        with h5py.File(io.BytesIO(source) if inside else source, "r") as file:
            file.visititems_links(lambda *found: links.append(found))
            claimed = sum(_bytes(file, name, link) for name, link in links)
    except _Refused:
        raise
    except Exception:  # h5py raises whatever its parts do, on bytes that are damaged
        message = "a torn file of weights, or none; save or copy it again"
        raise _Refused(message) from None
    if claimed > size:
        raise _Refused(
            f"its arrays claim {claimed:,} bytes, and the file of weights has"
            f" {size:,}; do not trust it"
        )


def _bytes(file: h5py.File, name: str, link: Any) -> int:
    """How many an array is said to have; none for a group."""
    if not isinstance(link, h5py.HardLink):
        raise _outside(name, "leads elsewhere")
    item = file[name]
    if isinstance(item, h5py.Group):
        return 0
    if not isinstance(item, h5py.Dataset):
        raise _outside(name, "is none")
    if item.external or item.is_virtual:
        raise _outside(name, "lies in other files")
    # Numbers, and bfloat16, of which HDF5 knows two bytes alone.
    if item.dtype.kind not in "biuf" and item.dtype != "V2":
        raise _outside(name, f"is of {item.dtype}")
    return item.nbytes


def _outside(name: str, what: str) -> _Refused:
    return _Refused(
        f"a file of weights has arrays of numbers in it, and {name[-80:]!r} {what}; do"
        " not trust it"
    )


# Configs


def _check_config(config: Any) -> None:
    """Every class and function that a config names is one that networks are made of."""
    if not isinstance(config, dict):
        raise _Refused(_NO_MODEL)
    for one in _named({**config, "compile_config": None}):
        name, module = one["class_name"], one.get("module")
        registered = one.get("registered_name")
        if name == "function":
            name = registered = one.get("config")
        if name in _VALUES or _is_array(one) or _is_registered(registered):
            continue
        known = str(module) in _MODULES or str(module).startswith(_INNER)
        if not (known and str(name).isidentifier() and name not in _FOREIGN):
            asked = f"{module}.{name}"[:80]
            raise _Refused(
                f"it asks for {asked!r}, which is no part of a network that gantf"
                " knows; import what registers it before, or do not trust it"
            )


def _is_array(one: dict) -> bool:
    """Whether it is an array of numbers; NumPy has larger items of other kinds."""
    inside = one["config"] if one["class_name"] == "__numpy__" else None
    return isinstance(inside, dict) and str(inside.get("dtype")) in _NUMBERS


def _is_registered(name: Any) -> bool:
    """Whether it is a class or function of this program's own."""
    return isinstance(name, str) and name in keras.saving.get_custom_objects()


def _named(value: Any) -> Iterator[dict]:
    """All that names a class, at any depth."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _uncompiled(config: Any) -> Any:
    """The config without the optimizers and losses of it and of nets in it."""
    if isinstance(config, list):
        return [_uncompiled(value) for value in config]
    if isinstance(config, dict):
        return {k: _uncompiled(v) for k, v in config.items() if k != "compile_config"}
    return config


def _check_size(config: Any, size: int) -> None:
    """Refuses layers with more weights than the file has, before they take memory."""
    # Keras remembers what it has not yet made by threads: this one ends.
    with ThreadPoolExecutor(1) as pool:
        count = pool.submit(_count, _uncompiled(config)).result()
    if count > size:
        raise _Refused(
            f"its layers have {count:,} weights, and it has {size:,} bytes of them; do"
            " not trust it"
        )


def _count(config: Any) -> int:
    """How many numbers the weights of a config's layers have, without making them."""
    with keras.StatelessScope(initialize_variables=False):
        net = keras.saving.deserialize_keras_object(config, safe_mode=True)
        if not isinstance(net, keras.Model):
            raise _Refused(_NO_MODEL)
        return sum(math.prod(variable.shape) for variable in net.variables)


def _reason(error: Exception) -> str:
    """The line of an error of Keras' that says what was wrong."""
    text = str(error).rpartition("Exception encountered: ")[2]
    return (text.splitlines() or [type(error).__name__])[0][:200].rstrip(".")
