"""Reads the layer dicts of the repulsive MMD-GAN's own code (richardwth/MMD-GAN).

A layer there is a dict of the keys in `_KEYS`; `spec.from_reference` turns a list
of them into a net. What the language cannot express is refused by name, and so is
what the original drops in silence: misspelt keys, a kernel of a dense layer, ...

Where the two differ: maps are (height, width, channels) here and (channels,
height, width) there, so `out_reshape: [512, 4, 4]` is `4x4x512`. A dense layer
without a norm whose output is folded into a map is one word, `dense-4x4x512`.
`w_nm: 's'` is the spectral norm of the operator, the original's default; without
`act_k` its gain is 1 (the original multiplies by False, that is by 0). It reaches
the embedding of type 'project' too, which the original leaves as it is. Op 'tcck' was
never finished there; here it is what its documents say. Op 'sum' is `gsum` where its
`out_reshape` shows that one pixel is left. Pooling there pads a side that its factor
does not divide; here the rest of it is left out.

A norm drops the common bias there, cbn every bias. In a block, `bias: None` and so
a norm leave the shortcut's bias where it is, which is `scbias`. The shortcut of type
'res' always has a kernel: `sc` where a scale does not say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from gantf import spec
from gantf.choices import hint, show
from gantf.spec import Net, SpecError


class _Op(NamedTuple):
    """The layer kind of an op, the keys that it takes, the fields that it sets."""

    kind: str
    keys: str
    fields: Mapping[str, str] = {}


_KEYS = (
    "name op type out bias act act_nm act_k w_nm w_p kernel strides dilation padding "
    "scale in_reshape out_reshape aux"
).split()
_ANY = "name type aux w_p op act act_nm in_reshape out_reshape"
_DENSE = f"{_ANY} out bias act_k w_nm"
_TCONV = f"{_DENSE} kernel strides padding"
_CONV = f"{_TCONV} dilation scale"
_POOL = f"{_ANY} out bias kernel strides"
_OPS = {
    "i": _Op("", _ANY),
    "d": _Op("dense", _DENSE),
    "dck": _Op("dense", _DENSE, {"class_kernel": "scale"}),
    "dcd": _Op("dense", _DENSE, {"class_kernel": "sum"}),
    "c": _Op("conv", _CONV),
    "cck": _Op("conv", _CONV, {"class_kernel": "scale"}),
    "tc": _Op("tconv", _TCONV),
    "tcck": _Op("tconv", _TCONV, {"class_kernel": "scale"}),
    "sc": _Op("sconv", _CONV),
    "avg": _Op("avg", _POOL),
    "max": _Op("max", _POOL),
    "sum": _Op("gsum", f"{_POOL} padding"),
}
_BLOCKS = {"res": "res", "res_i": "res", "res_v1": "stem"}  # type -> kind
_TYPES = ("default", "c_bias", "project", *_BLOCKS)  # c_bias is as default
_NONLOCAL = ("nl", "nl_dist", "nl_pool", "nl_pool_dist")
_ACTS = "relu crelu elu lrelu selu softplus softsign sigmoid tanh".split()
_NORMS = {"bn": "bn", "BN": "bn", "cbn": "cbn", "CBN": "cbn"}
_BIASES = {"b": True, "bias": True, "cb": "class", "c_bias": "class", "bcb": "both"}
_UP = {"unpool": "up", "bil": "upb", "bic": "upc", "ps": "ps"}
_DOWN = {"avg": "avg", "max": "max", "ps": "sd"}


def _is_whole(value: Any) -> bool:
    return type(value) is int and 1 <= value < 10**9


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

    def fail(self, message: str, *keys: str) -> NoReturn:
        """Marks the first of these entries that is there, or else the dict."""
        found = [self.spans[key] for key in keys if key in self.spans]
        span = found[0] if found else (0, len(self.source))
        raise SpecError(message, self.source, span)

    def words(self) -> list[dict[str, Any]]:
        """The layer as dicts of the language, in running order."""
        self.check_keys()
        layout = self.choose("type", _TYPES, "default")
        op = self.choose("op", _OPS, "c")
        for key in self.item:
            if key not in _OPS[op].keys.split():
                self.fail(f"op {op!r} takes no {key}", key)
        before = self.reshape("in_reshape", op)
        after = self.reshape("out_reshape", op)
        if layout in _BLOCKS:
            return [*before, self.block(layout, op), *after]
        if layout == "project":
            return [*before, self.project(op), *after]
        up, down = self.scale()
        kernel = self.kernel(op)
        if op == "sum":  # a vector already
            after = []
        fold = [layer["out"] for layer in after if layer["kind"] == "reshape"]
        if fold and _OPS[op].kind == "dense" and "norm" not in kernel[0]:
            kernel[0]["out"], after = fold[0], []
        return [*before, *up, *kernel, *down, *after]

    def check_keys(self) -> None:
        for key in self.item:
            if key not in _KEYS:
                near = hint(key, _KEYS)
                self.fail(f"the reference has no key {show(key)}{near}", key)
        for key in ("w_p", "aux"):
            if self.item.get(key) is not None:
                self.fail(f"{key} has no effect in the reference; leave it out", key)
        if (layout := self.item.get("type")) in _NONLOCAL:
            message = "puts a batch norm without a gain before its gate"
            self.fail(f"type {layout!r} {message}; attn is the word here", "type")

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
        if not _is_whole(value):
            self.fail(f"{key} is a whole number from 1, not {show(value)}", key)
        return value

    def kernel(self, op: str) -> list[dict[str, Any]]:
        """The kernel with what follows it, or what follows alone."""
        after = self.after()
        if op == "i":
            return [{"kind": value} for value in after.values()]
        if op in ("avg", "max", "sum"):
            pool = self.global_sum() if op == "sum" else self.pool(op)
            return [pool, *({"kind": value} for value in after.values())]
        kind, _, fields = _OPS[op]
        layer = {"kind": kind, "out": self.whole("out", None), **fields, **after}
        if kind != "dense":
            layer["size"] = self.whole("kernel", 3)
            layer["stride"] = self.whole("strides", 1)
            layer |= self.padding(op)
        if self.item.get("dilation", 1) != 1:
            layer["dilation"] = self.whole("dilation", 1)
        bias = self.bias()
        if bias or "norm" not in after:
            layer["bias"] = bias or False
        return [layer | self.weight(op)]

    def project(self, op: str) -> dict[str, Any]:
        """A dense layer of one output, and <e, x> beside it."""
        if _OPS[op].kind != "dense":
            self.fail("type 'project' is a dense layer: give 'op': 'd'", "op", "type")
        if self.whole("out", None) != 1:
            message = f"type 'project' has 'out': 1, not {self.item['out']}"
            self.fail(message, "out")
        for key, value in ("act", "linear"), ("act_nm", None):
            if self.item.get(key, value) != value:
                message = f"type 'project' adds its projection behind {key}"
                self.fail(f"{message}; leave it out", key)
        return self.kernel(op)[0] | {"project": True}

    def block(self, layout: str, op: str) -> dict[str, Any]:
        """A residual block, whose kernels share what is not a list."""
        if op != "c":
            self.fail(f"op {op!r} of type {layout!r} cannot be expressed", "op")
        form = "[k, k]" if layout == "res_i" else "[k, k, 1]"
        size, second, *shortcut = self.each("kernel", 3, layout)
        if type(self.item.get("kernel", 3)) is int and shortcut not in ([], [1]):
            self.fail(
                f"kernel of type {layout!r} is {form}: one number is the shortcut's "
                f"too in the reference; give [{size}, {size}, 1]",
                "kernel",
                "type",
            )
        if size != second or shortcut not in ([], [1]):
            self.refuse("kernel", layout, form)
        hidden, *outs = self.each("out", None, layout)
        if len({*outs}) > 1:
            self.refuse("out", layout, "n or [h, n, n]")
        for key in ("strides", "dilation"):
            if {*self.each(key, 1, layout)} != {1}:
                self.refuse(key, layout, "1")
        if self.choose("padding", ("SAME", "VALID"), "SAME") != "SAME":
            self.refuse("padding", layout, "'SAME'")
        layer = {"kind": _BLOCKS[layout], "size": size, "out": outs[0]}
        layer |= {"hidden": hidden} if hidden != outs[0] else {}
        layer |= self.block_scale(layout) | self.block_bias(layout)
        return layer | self.after() | self.weight(op)

    def refuse(self, key: str, layout: str, rule: str) -> NoReturn:
        value = self.item[key]
        shown = show(list(value) if isinstance(value, tuple) else value)
        self.fail(f"{key} of type {layout!r} is {rule}, not {shown}", key)

    def each(self, key: str, default: int | None, layout: str) -> list[int]:
        """The entry for the kernels of a block; 'res_i' has none on the shortcut."""
        count = 2 if layout == "res_i" else 3
        value = self.item.get(key, default)
        if not isinstance(value, list | tuple):
            return [self.whole(key, default)] * count
        if len(value) not in (count, 3):
            message = f"{key} of type {layout!r} is one number, or a list of {count}"
            self.fail(message, key)
        for n in value:
            if not _is_whole(n):
                self.fail(
                    f"{key} is whole numbers from 1, not {show(list(value))}", key
                )
        return list(value[:count])

    def block_scale(self, layout: str) -> dict[str, Any]:
        if self.item.get("scale") is None:
            return {"sc": True} if layout == "res" else {}
        up, down = self.scale()
        method, factor = (up + down)[0].values()
        if method == "up" and layout == "res":
            return {"up": factor}
        if method == "avg" and layout != "res_i":
            return {"down": factor}
        shown = show(list(self.item["scale"]))
        self.fail(f"scale {shown} of type {layout!r} cannot be expressed", "scale")

    def block_bias(self, layout: str) -> dict[str, Any]:
        bias = self.bias()
        if isinstance(bias, str):
            shown = show(self.item["bias"])
            self.fail(f"bias {shown} of type {layout!r} cannot be expressed", "bias")
        if bias is None and layout != "res_i":
            return {"bias": "shortcut"}
        return {"bias": bool(bias)}

    def bias(self) -> bool | str | None:
        """The bias as `Layer.bias`; None where it is off but for shortcuts."""
        value = self.item.get("bias", "b")
        if isinstance(value, str) and value in _BIASES:
            value = _BIASES[value]
        elif value is not None and value is not False:
            self.fail(f"bias {show(value)} cannot be expressed", "bias")
        norm = self.after().get("norm")
        return None if norm == "cbn" or (norm and value is True) else value

    def pool(self, op: str) -> dict[str, Any]:
        self.check_pool_bias(op)
        size = self.whole("kernel", 3)
        if self.whole("strides", 1) != size:
            self.fail(f"op {op!r} needs strides equal to its kernel {size}", "strides")
        return {"kind": op, "size": size}

    def global_sum(self) -> dict[str, Any]:
        """`gsum`: one pixel is left, or `out` numbers would not be all."""
        self.check_pool_bias("sum")
        self.whole("kernel", 3)
        moved = self.whole("strides", 1) != 1
        shape = self.item.get("out_reshape") or ()
        whole = self.item.get("padding") == "VALID" and not moved
        if not whole or list(shape) != [self.whole("out", None)]:
            message = "needs VALID padding, strides of 1 and 'out_reshape': [out]"
            self.fail(f"op 'sum' {message}", "op")
        return {"kind": "gsum"}

    def check_pool_bias(self, op: str) -> None:
        if self.bias():
            message = f"op {op!r} adds a bias in the reference; give 'bias': False"
            self.fail(message, "bias", "op")

    def after(self) -> dict[str, str]:
        found = {}
        norm = self.item.get("act_nm")
        if norm is not None:
            if not isinstance(norm, str) or norm not in _NORMS:
                self.fail(f"act_nm {show(norm)} cannot be expressed", "act_nm")
            found["norm"] = _NORMS[norm]
        act = self.item.get("act", "linear")
        if act != "linear":
            found["act"] = self.choose("act", _ACTS, "linear")
        return found

    def weight(self, op: str) -> dict[str, Any]:
        norm, gain = self.item.get("w_nm"), self.item.get("act_k", False)
        if norm not in (None, "s"):
            self.fail(f"w_nm {show(norm)} cannot be expressed", "w_nm")
        if norm and op == "sc":
            self.fail("w_nm 's' of op 'sc' raises in the reference", "w_nm")
        if gain is False:
            return {"weight": "sn"} if norm else {}
        number = isinstance(gain, int | float) and not isinstance(gain, bool)
        if not number or not 1e-9 <= gain < 1e9:  # one of NumPy is a float too
            self.fail(
                f"act_k is a number C above 0, or False, not {show(gain)}", "act_k"
            )
        if norm is None:
            self.fail("act_k means nothing without 'w_nm': 's'", "act_k")
        return {"weight": "sn", "gain": float(gain)}

    def padding(self, op: str) -> dict[str, int]:
        padding = self.choose("padding", ("SAME", "VALID"), "SAME")
        if padding == "SAME":
            return {}
        if _OPS[op].kind != "conv":
            self.fail(f"padding 'VALID' of op {op!r} cannot be expressed", "padding")
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

    def reshape(self, key: str, op: str) -> list[dict[str, Any]]:
        shape = self.item.get(key)
        if shape is None:
            return []
        whole = isinstance(shape, list | tuple) and all(map(_is_whole, shape))
        if not whole or len(shape) not in (1, 3):
            self.fail(f"{key} is [n] or [channels, height, width]", key)
        out = self.item.get("out")
        dense = key == "out_reshape" and _OPS[op].kind == "dense"
        if dense and math.prod(shape) != out:
            message = f"{key} {list(shape)} does not hold {show(out)} numbers"
            self.fail(message, key)
        if len(shape) == 1:
            return [{"kind": "flatten"}]
        channels, height, width = shape
        return [{"kind": "reshape", "out": (height, width, channels)}]
