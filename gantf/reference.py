"""Reads the layer dicts of the repulsive MMD-GAN's own code (richardwth/MMD-GAN).

A layer there is a dict of the keys in `_KEYS`; `spec.from_reference` turns a list
of them into a net. What the language cannot express is refused by name, and so is
what the original drops in silence: misspelt keys, a kernel of a dense layer, ...

Where the two differ: maps are (height, width, channels) here and (channels,
height, width) there, so `out_reshape: [512, 4, 4]` is `4x4x512`. A dense layer
without a norm whose output is folded into a map is one word, `dense-4x4x512`.
`w_nm: 's'` is the spectral norm of the operator, the original's default; without
`act_k` its gain is 1 (the original multiplies by False, that is by 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from gantf import spec
from gantf.choices import hint, show
from gantf.spec import Net, SpecError

_KEYS = (
    "name op type out bias act act_nm act_k w_nm w_p kernel strides dilation padding "
    "scale in_reshape out_reshape aux"
).split()
_OPS = {"i": None, "d": "dense", "c": "conv", "tc": "tconv", "avg": "avg", "max": "max"}
_ALLOWED = {  # op -> the keys that it takes beside name, type, aux and w_p
    "i": "op act act_nm in_reshape out_reshape",
    "d": "op out bias act act_nm act_k w_nm in_reshape out_reshape",
    "c": "op out bias act act_nm act_k w_nm kernel strides dilation padding scale "
    "in_reshape out_reshape",
    "tc": "op out bias act act_nm act_k w_nm kernel strides padding in_reshape "
    "out_reshape",
    "avg": "op out bias act act_nm kernel strides in_reshape out_reshape",
    "max": "op out bias act act_nm kernel strides in_reshape out_reshape",
}
_ACTS = "relu crelu elu lrelu selu softplus softsign sigmoid tanh".split()
_UP = {"unpool": "up", "bil": "upb", "bic": "upc", "ps": "ps"}
_DOWN = {"avg": "avg", "max": "max", "ps": "sd"}


def read(layers: Iterable[Mapping[str, Any]]) -> Net:
    """The net that the dicts describe; see the module for what differs.

    Raises:
      SpecError: with the entry at fault marked.
    """
    if isinstance(layers, str | Mapping) or not isinstance(layers, Iterable):
        text = show(layers)
        message = "a net of the reference is a list of layer dicts"
        raise SpecError(message, text, (0, len(text)))
    words = [word for item in layers for word in _Reader(item).words()]
    return spec.parse(words)


class _Reader:
    """One layer dict: checks its entries and turns them into layers."""

    def __init__(self, item: Mapping[str, Any]):
        if not isinstance(item, Mapping):
            text = show(item)
            message = f"a layer of the reference is a dict, not {text}"
            raise SpecError(message, text, (0, len(text)))
        self.item = item
        self.source, self.spans = spec.show_dict(item)

    def fail(self, message: str, key: str) -> NoReturn:
        span = self.spans.get(key, (0, len(self.source)))
        raise SpecError(message, self.source, span)

    def words(self) -> list[dict[str, Any]]:
        """The layer as dicts of the language, in running order."""
        self.check_keys()
        op = self.choose("op", _OPS, "c")
        allowed = _ALLOWED[op].split() + ["name", "type", "aux", "w_p"]
        for key in self.item:
            if key not in allowed:
                self.fail(f"op {op!r} takes no {key}", key)
        up, down = self.scale()
        kernel = self.kernel(op)
        before = self.reshape("in_reshape")
        after = self.reshape("out_reshape")
        if (
            op == "d"
            and after
            and after[0]["kind"] == "reshape"
            and "norm" not in kernel[0]
        ):
            kernel[0]["out"] = after.pop()["out"]
        return [*before, *up, *kernel, *down, *after]

    def check_keys(self) -> None:
        for key in self.item:
            if key not in _KEYS:
                near = hint(key, _KEYS)
                self.fail(f"the reference has no key {show(key)}{near}", key)
        for key in ("w_p", "aux"):
            if self.item.get(key) is not None:
                self.fail(f"{key} has no effect in the reference; leave it out", key)
        if self.item.get("type", "default") != "default":
            self.fail(f"type {show(self.item['type'])} cannot be expressed", "type")

    def choose(self, key: str, known: Iterable[str], default: Any) -> Any:
        value = self.item.get(key, default)
        if value is default:
            return default
        if not isinstance(value, str) or value not in known:
            near = hint(value, known)
            self.fail(f"{key} {show(value)} cannot be expressed{near}", key)
        return value

    def whole(self, key: str, default: int | None) -> int:
        value = self.item.get(key, default)
        if type(value) is not int or not 1 <= value < 10**9:
            self.fail(f"{key} is a whole number from 1, not {show(value)}", key)
        return value

    def kernel(self, op: str) -> list[dict[str, Any]]:
        """The kernel with what follows it, or what follows alone."""
        after = self.after()
        if op == "i":
            return [{"kind": value} for value in after.values()]
        if op in ("avg", "max"):
            return self.pool(op, after)
        layer = {"kind": _OPS[op], "out": self.whole("out", None), **after}
        if op != "d":
            layer["size"] = self.whole("kernel", 3)
            layer["stride"] = self.whole("strides", 1)
            layer |= self.padding(op)
        if op == "c" and self.item.get("dilation", 1) != 1:
            layer["dilation"] = self.whole("dilation", 1)
        bias = self.item.get("bias", "b")
        if bias not in ("b", "bias", None, False):
            self.fail(f"bias {show(bias)} cannot be expressed", "bias")
        if bias in (None, False) and after.get("norm") != "bn":
            layer["bias"] = False
        return [layer | self.weight()]

    def pool(self, op: str, after: dict[str, str]) -> list[dict[str, Any]]:
        if self.item.get("bias", "b") not in (None, False):
            message = f"op {op!r} adds a bias in the reference; give 'bias': False"
            self.fail(message, "bias" if "bias" in self.item else "op")
        size = self.whole("kernel", 3)
        if self.whole("strides", 1) != size:
            self.fail(f"op {op!r} needs strides equal to its kernel {size}", "strides")
        return [{"kind": op, "size": size}, *({"kind": v} for v in after.values())]

    def after(self) -> dict[str, str]:
        found = {}
        norm = self.item.get("act_nm")
        if norm is not None:
            if norm not in ("bn", "BN"):
                self.fail(f"act_nm {show(norm)} cannot be expressed", "act_nm")
            found["norm"] = "bn"
        act = self.item.get("act", "linear")
        if act != "linear":
            found["act"] = self.choose("act", _ACTS, "linear")
        return found

    def weight(self) -> dict[str, Any]:
        norm, gain = self.item.get("w_nm"), self.item.get("act_k", False)
        if norm not in (None, "s"):
            self.fail(f"w_nm {show(norm)} cannot be expressed", "w_nm")
        if gain is False:
            return {"weight": "sn"} if norm else {}
        if type(gain) not in (int, float) or not 1e-9 <= gain < 1e9:
            self.fail(
                f"act_k is a number C above 0, or False, not {show(gain)}", "act_k"
            )
        if norm is None:
            self.fail("act_k means nothing without 'w_nm': 's'", "act_k")
        return {"weight": "sn", "gain": gain}

    def padding(self, op: str) -> dict[str, int]:
        padding = self.choose("padding", ("SAME", "VALID"), "SAME")
        if padding == "SAME":
            return {}
        if op == "tc":
            self.fail("padding 'VALID' of op 'tc' cannot be expressed", "padding")
        return {"padding": 0}

    def scale(self) -> tuple[list, list]:
        """The resizing layers before and after the kernel."""
        scale = self.item.get("scale")
        if scale is None:
            return [], []
        pair = isinstance(scale, list | tuple) and len(scale) == 2
        if not pair or type(scale[1]) is not int or abs(scale[1]) < 2:
            self.fail("scale is [method, factor], as in ['unpool', 2]", "scale")
        method, factor = scale
        table = _UP if factor > 0 else _DOWN
        known = isinstance(method, str) and method in table
        if not known or (method == "unpool" and factor != 2):
            self.fail(f"scale {show(list(scale))} cannot be expressed", "scale")
        layer = {"kind": table[method], "size": abs(factor)}
        return ([layer], []) if factor > 0 else ([], [layer])

    def reshape(self, key: str) -> list[dict[str, Any]]:
        shape = self.item.get(key)
        if shape is None:
            return []
        whole = isinstance(shape, list | tuple) and all(
            type(n) is int and 0 < n < 10**9 for n in shape
        )
        if not whole or len(shape) not in (1, 3):
            self.fail(f"{key} is [n] or [channels, height, width]", key)
        out = self.item.get("out")
        if (
            key == "out_reshape"
            and self.item.get("op") == "d"
            and math.prod(shape) != out
        ):
            self.fail(f"out_reshape {list(shape)} does not hold {out} numbers", key)
        if len(shape) == 1:
            return [{"kind": "flatten"}]
        channels, height, width = shape
        return [{"kind": "reshape", "out": (height, width, channels)}]
