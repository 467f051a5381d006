"""The words of the language: the tables that say what each means and takes.

`KINDS` has a row for each kind of layer, `WORDS` one for each option behind a
kernel. The parser, the printer, the dict form, the messages, the tests and README's
list of words all read them. Nothing here imports TensorFlow or Keras.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gantf.choices import choose, show


class Word(NamedTuple):
    """An option word sets `field` to `value`, or else to its own number."""

    help: str
    field: str
    value: Any = None
    number: str | None = None  # where `value` is set: the field of a number


class Kind(NamedTuple):
    """A layer kind: its glued number, its output, the option words it takes."""

    help: str
    size: str = ""  # a key of RULES, or "" for no number
    out: str = ""  # a key of RULES, or "" for no output
    words: str = ""


WORDS = {  # in the order in which they are printed
    "s": Word("stride", "stride"),
    "d": Word("dilation", "dilation"),
    "p": Word("pixels of padding on each side; without it: same", "padding"),
    "g": Word("groups of channels that the kernel keeps apart", "kernel_groups"),
    "m": Word("channels that a depthwise kernel makes of each", "multiplier"),
    "h": Word("channels between the two kernels of a block", "hidden"),
    "up": Word("larger by a factor inside the block: nearest pixel", "up"),
    "down": Word("smaller by a factor at the end of the block: mean", "down"),
    "sc": Word("a kernel on the shortcut where it could be the identity", "sc", True),
    "v": Word("values of 1/N of the channels (2), a kernel back; v1: none", "values"),
    "pool": Word("keys and values at half the sides: max pooling", "pool", True),
    "dist": Word("logits by distance, not by dot product", "logits", "distance"),
    "sn": Word(
        "spectral norm of the operator; the number: its gain", "weight", "sn", "gain"
    ),
    "snm": Word(
        "spectral norm of the kernel as a matrix; the number: its gain",
        "weight",
        "snm",
        "gain",
    ),
    "gain": Word("the gain of sn or snm is trained", "trainable_gain", True),
    "ck": Word(
        "kernel times 1 + s, an s for each class and output", "class_kernel", "scale"
    ),
    "cd": Word("kernel plus a kernel of the class", "class_kernel", "sum"),
    "nobias": Word("no bias", "bias", False),
    "lastbias": Word("block: no bias on the first kernel", "bias", "last"),
    "scbias": Word("block: a bias on the shortcut only", "bias", "shortcut"),
    "cb": Word("a bias of the class instead of the common one", "bias", "class"),
    "bcb": Word("a bias of the class beside the common one", "bias", "both"),
    "proj": Word(
        "adds <e, x> to each output, e an embedding of the class", "project", True
    ),
    "bn": Word("batch norm; drops the bias, but in blocks", "norm", "bn"),
    "cbn": Word(
        "batch norm, gain and shift of the class; drops the bias", "norm", "cbn"
    ),
    "ln": Word("layer norm over height, width and channels", "norm", "ln"),
    "in": Word("instance norm; drops the bias, but in blocks", "norm", "in"),
    "gn": Word("group norm; the number: groups (32)", "norm", "gn", "groups"),
    "pn": Word("pixel norm: every pixel by its root mean square", "norm", "pn"),
    "relu": Word("max(x, 0)", "act", "relu"),
    "lrelu": Word("leaky relu; the number: slope (0.1)", "act", "lrelu", "slope"),
    "elu": Word("exponential linear unit", "act", "elu"),
    "selu": Word("scaled exponential linear unit", "act", "selu"),
    "gelu": Word("Gaussian error linear unit, exact", "act", "gelu"),
    "silu": Word("x sigmoid(x)", "act", "silu"),
    "crelu": Word("relu(x) beside relu(-x): twice the channels", "act", "crelu"),
    "softplus": Word("log(1 + exp(x))", "act", "softplus"),
    "softsign": Word("x / (1 + |x|)", "act", "softsign"),
    "sigmoid": Word("1 / (1 + exp(-x))", "act", "sigmoid"),
    "tanh": Word("hyperbolic tangent", "act", "tanh"),
}

_KERNEL = "sn snm gain ck nobias cb bcb"
_BLOCK = "sn snm gain nobias lastbias scbias"
_AFTER = " ".join(name for name, word in WORDS.items() if word.field in ("norm", "act"))

KINDS = {
    "dense": Kind(
        "dense layer; an output HxWxC folds it into a map, before its norm",
        out="whole or shape",
        words=f"{_KERNEL} cd proj {_AFTER}",
    ),
    "conv": Kind("convolution", "whole", "whole", f"s d p g {_KERNEL} {_AFTER}"),
    "tconv": Kind(
        "transposed convolution", "whole", "whole", f"s p {_KERNEL} {_AFTER}"
    ),
    "dconv": Kind(
        "depthwise convolution: each channel by itself",
        "whole",
        words=f"s d m sn gain nobias cb bcb {_AFTER}",
    ),
    "sconv": Kind(
        "separable convolution: depthwise, then 1x1",
        "whole",
        "whole",
        f"s d sn gain nobias cb bcb {_AFTER}",
    ),
    "res": Kind(
        "residual block: norm, act, kernel, norm, act, kernel; plus a shortcut",
        "whole",
        "whole",
        f"h up down sc {_BLOCK} {_AFTER}",
    ),
    "stem": Kind(
        "first residual block: kernel, norm, act, kernel; plus a shortcut",
        "whole",
        "whole",
        f"h down {_BLOCK} {_AFTER}",
    ),
    "attn": Kind(
        "self-attention; queries and keys of 1/N of the channels",
        "whole",
        words="v pool dist sn snm gain",
    ),
    "up": Kind("larger by a factor: nearest pixel", "whole"),
    "upb": Kind("larger by a factor: bilinear", "whole"),
    "upc": Kind("larger by a factor: bicubic", "whole"),
    "ps": Kind("depth to space (pixel shuffle) by a factor", "whole"),
    "sd": Kind("space to depth by a factor", "whole"),
    "avg": Kind("average pooling, window and stride", "whole"),
    "max": Kind("max pooling, window and stride", "whole"),
    "gsum": Kind("sum over height and width"),
    "gmean": Kind("mean over height and width"),
    "flatten": Kind("map to vector"),
    "reshape": Kind("vector or map to a map", out="shape"),
    "drop": Kind("dropout at a rate", "rate"),
    "noise": Kind("Gaussian noise of a standard deviation, in training", "rate"),
    "mbstd": Kind("one more channel: the deviation within N samples", "whole"),
    **{name: Kind(WORDS[name].help) for name in _AFTER.split()},
}

BLOCKS = ("res", "stem")  # kinds whose norm and activation are inside

# What may stand in a field: in words, and as a test.
LIMIT = 10**9  # numbers are below this; counts of repeats below 1001
RULES = {
    "whole": (
        "a whole number from 1",
        lambda v: type(v) is int and 1 <= v < LIMIT,
    ),
    "from 0": (
        "a whole number from 0",
        lambda v: type(v) is int and 0 <= v < LIMIT,
    ),
    "shape": (
        "a shape like 4x4x512",
        lambda v: (
            type(v) is tuple
            and len(v) == 3
            and all(type(n) is int and 1 <= n < LIMIT for n in v)
        ),
    ),
    "above 0": (
        "a number from 1e-9 to below 1e9",
        lambda v: type(v) in (int, float) and 1e-9 <= v < LIMIT,
    ),
    "rate": (
        "a number above 0 and below 1",
        lambda v: type(v) is float and 1e-9 <= v < 1,
    ),
}
RULES["whole or shape"] = (
    "a whole number from 1 or a shape like 4x4x512",
    lambda v: RULES["whole"][1](v) or RULES["shape"][1](v),
)
APART = [  # fields of which one at most is not at its default
    ("stride", "dilation", "a stride or a dilation above 1"),
    ("up", "down", "up or down"),
    ("up", "sc", "up or sc"),
    ("down", "sc", "down or sc"),
]
NUMBERS = {  # the rule of each field that a word's number sets
    "stride": "whole",
    "dilation": "whole",
    "padding": "from 0",
    "kernel_groups": "whole",
    "multiplier": "whole",
    "hidden": "whole",
    "up": "whole",
    "down": "whole",
    "values": "whole",
    "gain": "above 0",
    "groups": "whole",
    "slope": "above 0",
}


def is_alone(kind: str) -> bool:
    """Whether the kind is a norm or an activation that stands as a layer."""
    return kind in WORDS and WORDS[kind].field in ("norm", "act")


_LABELLED = ("ck", "cd", "cb", "bcb", "proj")  # options that labels go into


def add(name: str, row: Kind | Word) -> None:
    """Adds a word to the tables: a layer kind, or a norm or activation.

    `gantf.builder.add_word` also says of what Keras layers it is made.

    Raises:
      ValueError: a name that is no word or is taken, another kind of option, or a
        row of rules, options or numbers that there are not.
    """
    if not isinstance(name, str) or not re.fullmatch("[a-z]+", name):
        raise ValueError(f"a word is small letters a to z, not {show(name)}")
    if name in KINDS or name in WORDS:
        raise ValueError(f"the word {name!r} is taken: {(KINDS | WORDS)[name].help}")
    if isinstance(row, Kind):
        for rule in filter(None, (row.size, row.out)):
            choose("rule", rule, RULES)
        for word in row.words.split():
            choose("option", word, WORDS)
            if word in _LABELLED:
                raise ValueError(
                    f"an added kind takes no {word!r}: it is made without labels"
                )
        KINDS[name] = row
        return
    if not isinstance(row, Word):
        raise ValueError(f"a row is a Kind or a Word, not {show(row)}")
    if row.field not in ("norm", "act"):
        raise ValueError(f"an added option is a norm or an act, not {show(row.field)}")
    if row.value != name:
        raise ValueError(f"the value of {name!r} is {name!r}, not {show(row.value)}")
    if row.number:
        choose("number", row.number, dict.fromkeys(("groups", "slope")))
    acts = [word for word, entry in WORDS.items() if entry.field == "act"]
    acts = {word: WORDS.pop(word) for word in acts if row.field == "norm"}
    WORDS[name] = row
    WORDS.update(acts)  # a norm is printed before them
    for kind, entry in KINDS.items():
        if "relu" in entry.words.split():
            KINDS[kind] = entry._replace(words=f"{entry.words} {name}")
    KINDS[name] = Kind(row.help)


def vocabulary() -> str:
    """All words of the language with what they mean, a line each."""
    numbers = {"whole": "N", "shape": "HxWxC", "rate": "R", "whole or shape": "N|HxWxC"}
    lines = ["kinds"]
    for name, kind in KINDS.items():
        if is_alone(name):
            continue
        out = f"-{numbers[kind.out]}" if kind.out else ""
        lines.append(f"  {name + numbers.get(kind.size, '') + out:17}{kind.help}")
    lines.append("behind a kernel; norms and activations also as layers of their own")
    for name, word in WORDS.items():
        number = (
            "N" if word.value is None else f"[{word.number}]" if word.number else ""
        )
        lines.append(f"  {name + number:17}{word.help}")
    return "\n".join(lines)
