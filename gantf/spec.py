"""Networks in words: the small language in which gantf's networks are written.

A net is a row of layers separated by white space. A layer reads from left to
right in the order in which it runs: kernel, normalisation, activation.

    dense-4x4x512  tconv4-256-s2-bn-relu  conv3-3-tanh     # a tiny generator

Grammar (EBNF; white space and '#' comments stand only between items):

    net    = item , { item } ;
    item   = [ count , "*" ] , layer ;
    layer  = part , { "-" , part } ;           (* the first part is the kind *)
    part   = word , [ value ] | value ;        (* a bare value is the output *)
    value  = count , [ "." , count ] | count , { "x" , count } ;
    word   = letter , { letter } ;             (* a .. z *)
    count  = digit , { digit } ;               (* 0 .. 9, nine at most *)

What the words mean is in the two tables of `gantf.words`. Nothing here imports
TensorFlow or Keras.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NoReturn

from gantf.choices import hint, show
from gantf.words import APART, BLOCKS, KINDS, NUMBERS, RULES, WORDS, is_alone

Span = tuple[int, int]


class SpecError(ValueError):
    """A spec that cannot be read or built; its text marks the part at fault.

    Attributes:
      message: what is wrong, in one line.
      source: the whole text as it was given, or a dict as Python prints it.
      span: the half-open range of `source` that is at fault.
    """

    def __init__(self, message: str, source: str, span: Span):
        super().__init__(message, source, span)
        self.message, self.source, self.span = message, source, span

    def __str__(self) -> str:
        start, end = self.span
        first = self.source.rfind("\n", 0, start) + 1
        line = self.source[first:].partition("\n")[0]
        before = re.sub(r"[^\t]", " ", line[: start - first])
        mark = "^" * max(1, min(end, first + len(line)) - start)
        return f"{self.message}\n    {line}\n    {before}{mark}"


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer. Both written forms leave out the fields at their defaults.

    Attributes:
      kind: a key of `KINDS`.
      size: the number glued to the kind: kernel side, factor or rate.
      out: channels or units; (height, width, channels) where a dense layer is
        folded into a map, or where a reshape says so.
      stride, dilation: whole numbers.
      padding: None for "same", or the pixels of zeros on each side; those of a
        transposed convolution are cut from its output, as in PyTorch.
      kernel_groups: how many groups of channels the kernel keeps apart.
      multiplier: channels that a depthwise kernel makes of each.
      hidden: channels between the two kernels of a block; None: as many as `out`.
      up, down: the factor by which a block is larger or smaller than its input.
      sc: whether a block has a kernel on a shortcut that could be the identity.
      values: the values of an attention have 1/values of the channels and a kernel
        brings them back; 1: they have all channels, and there is no such kernel.
      pool: whether keys and values are pooled to half the height and width.
      logits: "dot" or "distance", of attention.
      weight: "sn" normalises the kernel as the operator that it is, "snm" as a
        matrix (Miyato et al. 2018); None leaves it as it is.
      gain: the factor C on the normalised kernel, or where it starts.
      trainable_gain: whether the gain is trained (Arbel et al. 2018).
      class_kernel: "scale" multiplies each output of the kernel by 1 + s, an s for
        each class and output; "sum" adds a kernel of the class.
      bias: whether the kernel has a bias, see `has_bias`; "class" and "both" have
        one for each class, alone or beside the common one; for blocks see
        `block_biases`.
      project: whether <e_k, x> is added to each output k, e an embedding of the
        class (Miyato & Koyama 2018).
      norm, groups, act, slope: what follows the kernel; `groups` are those of
        gn, `slope` is that of lrelu.
      source, span: the text where the layer stood and its place there, for
        messages; they are not compared.
    """

    kind: str
    size: float | None = None
    out: int | tuple[int, int, int] | None = None
    stride: int = 1
    dilation: int = 1
    padding: int | None = None
    kernel_groups: int = 1
    multiplier: int = 1
    hidden: int | None = None
    up: int = 1
    down: int = 1
    sc: bool = False
    values: int = 2
    pool: bool = False
    logits: str = "dot"
    weight: str | None = None
    gain: float = 1.0
    trainable_gain: bool = False
    class_kernel: str | None = None
    bias: bool | str = True
    project: bool = False
    norm: str | None = None
    groups: int = 32
    act: str | None = None
    slope: float = 0.1
    source: str = dataclasses.field(default="", compare=False, repr=False)
    span: Span = dataclasses.field(default=(0, 0), compare=False, repr=False)

    def __post_init__(self):
        if self.hidden == self.out:  # as without it: one spelling
            object.__setattr__(self, "hidden", None)

    def __str__(self) -> str:
        own = WORDS[self.kind].number if is_alone(self.kind) else "size"
        parts = [self.kind + self._number(own), _text(self.out)]
        for name, word in WORDS.items():
            value = getattr(self, word.field)
            if word.value is None and value != DEFAULTS[word.field]:
                parts.append(name + _text(value))
            elif word.value is not None and value == word.value:
                parts.append(name + self._number(word.number))
        return "-".join(filter(None, parts))

    def _number(self, field: str | None) -> str:
        """The number in `field` as it is printed: nothing at its default."""
        if field is None or getattr(self, field) == DEFAULTS[field]:
            return ""
        return _text(getattr(self, field))

    def to_dict(self) -> dict[str, Any]:
        """The dict form: `parse([layer.to_dict()]) == (layer,)`."""
        return {
            name: getattr(self, name)
            for name, default in DEFAULTS.items()
            if getattr(self, name) != default
        }

    @property
    def has_bias(self) -> bool:
        """Norms that take each channel's mean away make a bias idle: no bias."""
        return self.bias in (True, "both") and self.norm not in ("bn", "cbn", "in")

    @property
    def has_class_bias(self) -> bool:
        return self.bias in ("class", "both")

    @property
    def block_biases(self) -> tuple[bool, bool, bool]:
        """Whether the first, the second and the shortcut's kernel have a bias.

        Those of blocks stay before a norm, as in Miyato et al.'s code.
        """
        return {
            True: (True, True, True),
            False: (False, False, False),
            "last": (False, True, True),
            "shortcut": (False, False, True),
        }[self.bias]

    @property
    def labels(self) -> tuple[str, ...]:
        """The words of this layer that ask for labels."""
        own = self.kind, self.norm
        found = [("cbn", "cbn" in own), ("proj", self.project)]
        found += [("ck", self.class_kernel == "scale")]
        found += [("cd", self.class_kernel == "sum")]
        found += [("cb", self.bias == "class"), ("bcb", self.bias == "both")]
        return tuple(word for word, asks in found if asks)

    def fail(self, message: str) -> NoReturn:
        """Raises a SpecError that marks this layer where it was written."""
        if self.source:
            raise SpecError(message, self.source, self.span)
        raise SpecError(message, str(self), (0, len(str(self))))


DEFAULTS = {
    f.name: f.default
    for f in dataclasses.fields(Layer)
    if f.name not in ("source", "span")
}

Net = tuple[Layer, ...]


def parse(spec: str | Mapping[str, Any] | Iterable[Any]) -> Net:
    """Reads a net: a string, or a row of strings, dicts and Layers.

    >>> [layer.kind for layer in parse("2*conv3-64-relu gsum")]
    ['conv', 'conv', 'gsum']

    Raises:
      SpecError: for anything that is not such a net.
    """
    if isinstance(spec, str):
        return _parse_text(spec)
    if isinstance(spec, Mapping):
        return (_parse_dict(spec),)
    if not isinstance(spec, Iterable):
        text = show(spec)
        message = f"a net is a string, or a list of strings and dicts, not {text}"
        raise SpecError(message, text, (0, len(text)))
    net = []
    for item in spec:
        if isinstance(item, Layer):
            net.append(item)
        elif isinstance(item, str | Mapping):
            net.extend(parse(item))
        else:
            text = show(item)
            message = f"a layer is a string or a dict, not {text}"
            raise SpecError(message, text, (0, len(text)))
        _check_length(net)
    if not net:
        raise SpecError("expected a layer", "[]", (0, 2))
    return tuple(net)


def unparse(net: Iterable[Layer]) -> str:
    """Writes a net in its one canonical string: parse(unparse(net)) == net."""
    words = []
    for text, run in itertools.groupby(str(layer) for layer in parse(net)):
        count = len(list(run))
        while count:
            n = min(count, _REPEATS)
            words.append(text if n == 1 else f"{n}*{text}")
            count -= n
    return " ".join(words)


def with_score(net: Iterable[Layer], n: int) -> Net:
    """The net with `n` outputs: the last layer that has a width gets width n."""
    net = parse(net)
    last = next((i for i in reversed(range(len(net))) if net[i].out), None)
    if last is None or isinstance(net[last].out, tuple):
        text = unparse(net)
        message = "no dense or conv layer at the end gives the score its width"
        raise SpecError(message, text, (0, len(text)))
    if not RULES["whole"][1](n):
        net[last].fail(f"the score width is {RULES['whole'][0]}, not {show(n)}")
    layer, hidden = net[last], net[last].hidden
    if layer.kind in BLOCKS:  # what is between its kernels stays as wide
        hidden = hidden or layer.out
    layer = dataclasses.replace(layer, out=n, hidden=hidden)
    return (*net[:last], layer, *net[last + 1 :])


def with_gain(net: Iterable[Layer], total: float) -> Net:
    """The net whose L normalised kernels each have the gain C = total ** (1/L).

    Wang et al. (2019), appendix C.3, call the total K and try 16 to 256. A block has
    two kernels on the way through it; its shortcut has the same gain.
    """
    net = parse(net)
    count = sum(1 + (layer.kind in BLOCKS) for layer in net if layer.weight)
    if not count:
        text = unparse(net)
        raise SpecError("no layer has sn or snm to gain", text, (0, len(text)))
    if not RULES["above 0"][1](total):
        net[0].fail(f"the total gain is {RULES['above 0'][0]}, not {show(total)}")
    gain = float(total) ** (1 / count)
    return tuple(
        dataclasses.replace(layer, gain=gain) if layer.weight else layer
        for layer in net
    )


def from_reference(layers: Iterable[Mapping[str, Any]]) -> Net:
    """Reads the layer dicts of the repulsive MMD-GAN's own code.

    See `gantf.reference` for the keys and for what is refused.
    """
    from gantf import reference  # it builds on this module

    return reference.read(layers)


_REPEATS = 1000
_LAYERS = 10_000  # a short text could repeat them until memory ends
_ITEM = re.compile(r"(?:\s|#[^\n]*)*(?:(?P<count>[0-9]+)\*)?(?P<layer>[^\s#]*)")
_PART = re.compile(r"([a-z]*)([0-9]+(?:x[0-9]+)+|[0-9]+(?:\.[0-9]+)?)?(?=-|$)")


def _parse_text(source: str) -> Net:
    """Net = item , { item }."""
    layers: list[Layer] = []
    for match in _ITEM.finditer(source):
        count = match["count"]
        if count and (len(count) > 9 or not 1 <= int(count) <= _REPEATS):
            message = f"a layer stands 1 to {_REPEATS} times, not {count[:12]}"
            raise SpecError(message, source, match.span("count"))
        if count and not match["layer"]:
            message = f"expected a layer behind {count}*"
            raise SpecError(message, source, match.span("count"))
        if match["layer"]:
            layer = _parse_layer(source, *match.span("layer"))
            layers.extend([layer] * int(count or 1))
            _check_length(layers)
    if not layers:
        raise SpecError("expected a layer", source, (0, len(source)))
    return tuple(layers)


def _check_length(layers: list[Layer]) -> None:
    if len(layers) > _LAYERS:
        layers[-1].fail(f"a net has {_LAYERS} layers at most")


def _parse_layer(source: str, start: int, end: int) -> Layer:
    """Layer = part , { "-" , part }: the parts as fields, each with its span."""
    fields: dict[str, Any] = {}
    spans: dict[str, Span] = {}

    def put(field: str, value: Any, span: Span) -> None:
        if field in fields:
            first, again = source[slice(*spans[field])], source[slice(*span)]
            message = f"{field} is given twice: {first!r} and {again!r}"
            raise SpecError(message, source, span)
        fields[field], spans[field] = value, span

    for word, value, span in _parts(source, start, end):
        if not fields:
            if not word:
                raise SpecError("expected a layer kind", source, span)
            if word not in KINDS:
                message = f"unknown layer kind {word!r}{hint(word, KINDS)}"
                raise SpecError(message, source, span)
            put("kind", word, span)
            number = WORDS[word].number if is_alone(word) else "size"
        elif not word:
            put("out", value, span)
            continue
        elif word not in (known := KINDS[fields["kind"]].words.split()):
            message = f"{fields['kind']} takes no option {word!r}{_hint(word, known)}"
            raise SpecError(message, source, span)
        elif WORDS[word].value is None:
            if value is None:
                message = f"{word!r} needs a number, as in {word}2"
                raise SpecError(message, source, span)
            number = WORDS[word].field
        else:
            put(WORDS[word].field, WORDS[word].value, span)
            number = WORDS[word].number
        if value is not None:
            if number is None:
                raise SpecError(f"{word!r} takes no number", source, span)
            put(number, value, span)
    return make(fields, source, spans, (start, end))


def _parts(source: str, start: int, end: int) -> Iterator[tuple[str, Any, Span]]:
    """Yields (word, value, span) for each part between '-' signs."""
    while True:
        match = _PART.match(source, start, end)
        if not match or not match[0]:
            stop = source.find("-", start, end)
            stop = end if stop < 0 else stop
            bad = source[start:stop]
            message = (
                f"cannot read {bad!r}: a part is small letters, a number, or small "
                "letters and then a number"
                if bad
                else "expected a part here"
            )
            raise SpecError(message, source, (start, stop))
        yield match[1], _number(match[2], source, match.span(2)), match.span()
        if match.end() == end:
            return
        start = match.end() + 1


def _parse_dict(item: Mapping[str, Any]) -> Layer:
    source, spans = show_dict(item)
    fields = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in item.items()
    }
    return make(fields, source, spans, (0, len(source)))


def show_dict(item: Mapping[str, Any]) -> tuple[str, dict[str, Span]]:
    """The text of a dict as Python prints it, and where each entry stands."""
    parts, spans, at = [], {}, 1
    for key, value in item.items():
        parts.append(f"{show(key)}: {show(value)}")
        spans[key] = (at, at + len(parts[-1]))
        at += len(parts[-1]) + 2
    return "{" + ", ".join(parts) + "}", spans


def make(
    fields: dict[str, Any], source: str, spans: Mapping[str, Span], span: Span
) -> Layer:
    """Checks the fields of either form against the tables; builds the layer."""

    def fail(message: str, field: str = "") -> NoReturn:
        raise SpecError(message, source, spans.get(field, span))

    kind = fields.get("kind")
    if "kind" not in fields:
        fail("a layer needs its kind, as in {'kind': 'flatten'}")
    if not isinstance(kind, str) or kind not in KINDS:
        fail(f"unknown layer kind {show(kind)}{hint(kind, KINDS)}", "kind")
    rules = _rules(kind)
    for field, value in fields.items():
        if field not in rules:
            name = field if field in DEFAULTS else show(field)
            known = [other for other in rules if other != "kind"]
            fail(f"{kind} takes no {name}{hint(field, known)}", field)
        if not _fits(value, rules[field]) and not _same(value, DEFAULTS[field]):
            fail(f"{field} of {kind} is {_say(rules[field], value)}", field)
    for field in ("size", "out"):
        if field in rules and fields.get(field) is None:
            fail(f"{kind} needs its {field}, as in {_example(kind)}", "kind")
    for field, value in fields.items():
        owners = _owners(kind, field)
        if owners and value != DEFAULTS[field] and not _set_by(owners, fields):
            names = " or ".join(owners)
            fail(f"{field} of {kind} means nothing without {names}", field)
    for one, other, message in APART:
        if all(fields.get(f, DEFAULTS[f]) != DEFAULTS[f] for f in (one, other)):
            fail(f"{kind} takes {message}, not both", other)
    taken = fields.get("bias") in ("class", "both") or (
        fields.get("class_kernel") == "scale"
    )
    if fields.get("norm") == "in" and taken:
        fail("in takes away what cb, bcb and ck give: use bn, cbn or gn", "norm")
    if fields.get("project") and isinstance(fields.get("out"), tuple):
        fail("proj needs an output of one number, as in dense-1-proj", "project")
    floats = {f: float(v) for f, v in fields.items() if rules[f] == "above 0"}
    return Layer(**fields | floats, source=source, span=span)


def _rules(kind: str) -> dict[str, Any]:
    """Maps each field that the kind takes to what may stand in it."""
    entry = KINDS[kind]
    rules: dict[str, Any] = {"kind": [kind]}
    rules |= {"size": entry.size} if entry.size else {}
    rules |= {"out": entry.out} if entry.out else {}
    words = [kind] if is_alone(kind) else entry.words.split()
    for word in (WORDS[name] for name in words):
        if word.value is None:
            rules[word.field] = NUMBERS[word.field]
        elif not is_alone(kind):
            rules.setdefault(word.field, []).append(word.value)
        if word.number:
            rules[word.number] = NUMBERS[word.number]
    return rules


def _owners(kind: str, field: str) -> list[str]:
    """The words without which the field says nothing, if there are such."""
    if field == "trainable_gain":
        field = "gain"
    return [name for name in KINDS[kind].words.split() if WORDS[name].number == field]


def _set_by(owners: list[str], fields: Mapping[str, Any]) -> bool:
    return any(fields.get(WORDS[o].field) == WORDS[o].value for o in owners)


def _fits(value: Any, rule: Any) -> bool:
    if isinstance(rule, list):
        return any(_same(value, allowed) for allowed in rule)
    return bool(RULES[rule][1](value))


def _same(value: Any, other: Any) -> bool:
    """Equal and of one type: True is not 1 here."""
    return type(value) is type(other) and value == other


def _say(rule: Any, value: Any) -> str:
    """What the rule allows, and that the value is not it."""
    shown = show(value, _text if type(value) is tuple else repr)
    if not isinstance(rule, list):
        return f"{RULES[rule][0]}, not {shown}"
    near = hint(value, [word for word in rule if isinstance(word, str)])
    near = near if near.startswith("; did") else ""
    return f"{' or '.join(map(str, rule))}, not {shown}{near}"


def _example(kind: str) -> str:
    size = {"whole": "3", "rate": "0.5"}.get(KINDS[kind].size, "")
    out = {"": "", "shape": "-4x4x512"}.get(KINDS[kind].out, "-64")
    return f"{kind}{size}{out}"


def _hint(word: Any, known: Iterable[str]) -> str:
    """The hint, unless the word is a layer that stands in the wrong place."""
    said = hint(word, known)
    alone = word in KINDS and not said.startswith("; did")
    return "; it is a layer of its own" if alone else said


def _number(text: str | None, source: str, span: Span) -> Any:
    if text is None:
        return None
    whole = re.split(r"[x.]", text)
    if max(map(len, whole if "x" in text else whole[:1])) > 9 or len(text) > 60:
        raise SpecError("a number has nine digits at most", source, span)
    if "x" in text:
        return tuple(map(int, whole))
    return float(text) if "." in text else int(text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is tuple:
        return "x".join(map(str, value))
    if type(value) is float and math.isfinite(value):  # no exponents: '-' is taken
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return str(value)
