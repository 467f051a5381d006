"""An architecture in words: a generator and a discriminator that fit each other.

    {
        "reference": "Wang et al. (2019), ...",
        "latent": "normal-128",
        "sample": "32x32x3",
        "classes": 0,
        "generator": "dense-4x4x512 ...",
        "discriminator": "conv3-64-sn-lrelu ...",
    }

A third net may stand beside them, a "decoder" that makes samples of scores, as the
autoencoder of Li et al. (2017) does.

Nothing here imports TensorFlow or Keras.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gantf import shapes, spec
from gantf.choices import hint, show
from gantf.spec import Net, SpecError

LATENTS = ("normal", "uniform")


class Latent(NamedTuple):
    """Where latents come from: "normal" is N(0, I), "uniform" is U[-1, 1]."""

    law: str
    size: int

    def __str__(self) -> str:
        return f"{self.law}-{self.size}"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A checked architecture; see `read`.

    Attributes:
      reference: the paper and table, or whose net it is.
      latent: the law and the size of latents.
      sample: the shape of a sample: (height, width, channels), or (2,).
      classes: how many classes labels come from; 0 without labels.
      generator, discriminator: the nets.
      decoder: the net from scores back to samples, if there is one.
    """

    reference: str
    latent: Latent
    sample: tuple[int, ...]
    classes: int
    generator: Net
    discriminator: Net
    decoder: Net | None = None

    @property
    def score(self) -> int:
        """The width of the discriminator's score."""
        shape = shapes.out_shape(self.discriminator, self.sample, self.classes)
        return shape[0]

    @property
    def nets(self) -> dict[str, tuple[Net, shapes.Shape]]:
        """Each net by its name, with the shape that it starts from."""
        found = {
            "generator": (self.generator, (self.latent.size,)),
            "discriminator": (self.discriminator, self.sample),
        }
        if self.decoder:
            found["decoder"] = (self.decoder, (self.score,))
        return found

    def with_score(self, score: int | None) -> Architecture:
        """The architecture with this score width; None leaves it as it is.

        Raises:
          SpecError: no width of the discriminator's last layer makes this score, or
            the decoder does not start from it.
        """
        if score is None or (type(score) is int and score == self.score):
            return self
        width = score
        for _ in range(2):  # where that layer ends in k pixels, its width is score / k
            net = spec.with_score(self.discriminator, width)
            found = dataclasses.replace(self, discriminator=net)
            if found.score == score:
                return _fitting(found)
            width = score * width // found.score or 1
        last = next(layer for layer in reversed(self.discriminator) if layer.out)
        last.fail(
            f"no width of {last} makes a score of {score}, but {self.score}; a loss "
            "that takes any score does"
        )

    def to_dict(self) -> dict[str, Any]:
        """The dict form, its nets in their canonical strings."""
        return {
            "reference": self.reference,
            "latent": str(self.latent),
            "sample": shapes.show(self.sample),
            "classes": self.classes,
        } | {name: spec.unparse(net) for name, (net, _) in self.nets.items()}


def read(architecture: Mapping[str, Any] | Architecture) -> Architecture:
    """Reads and checks an architecture dict.

    `reference`, `classes` and `decoder` may be left out. The generator must make
    samples of the shape `sample` from latents, the discriminator a flat score from
    samples, the decoder samples from scores.

    Raises:
      SpecError: with the part at fault marked.
    """
    if isinstance(architecture, Architecture):
        return architecture
    if not isinstance(architecture, Mapping):
        text = show(architecture)
        message = f"an architecture is a dict, not {type(architecture).__name__}"
        raise SpecError(message, text, (0, len(text)))
    _check_keys(architecture)
    latent = read_latent(architecture["latent"])
    sample = read_sample(architecture["sample"])
    classes = architecture.get("classes", 0)
    if type(classes) is not int or classes < 0:
        shown = show(classes)
        _fail_entry(f"classes is a whole number from 0, not {shown}", architecture)
    reference = _text(architecture.get("reference", ""), "reference")
    nets = {
        name: spec.parse(architecture[name])
        for name in ("generator", "discriminator", "decoder")
        if name in architecture
    }
    return _fitting(Architecture(reference, latent, sample, classes, **nets))


def _fitting(checked: Architecture) -> Architecture:
    """The architecture, if its nets fit each other."""

    def made(name: str, shape: shapes.Shape) -> shapes.Shape:
        try:
            return shapes.out_shape(getattr(checked, name), shape, checked.classes)
        except SpecError as error:  # say which net it is
            message = f"{name}: {error.message}"
            raise SpecError(message, error.source, error.span) from None

    def check_sample(name: str, shape: shapes.Shape) -> None:
        result = made(name, shape)
        if result != checked.sample:
            getattr(checked, name)[-1].fail(
                f"the {name} makes {shapes.show(result)}, not the sample "
                f"{shapes.show(checked.sample)}"
            )

    check_sample("generator", (checked.latent.size,))
    score = made("discriminator", checked.sample)
    if len(score) != 1:
        checked.discriminator[-1].fail(
            f"the discriminator ends with {shapes.show(score)}, not with a flat score"
        )
    if checked.decoder:
        check_sample("decoder", score)
    return checked


def read_latent(text: str) -> Latent:
    """Reads "normal-128" or "uniform-100".

    >>> read_latent("normal-128")
    Latent(law='normal', size=128)
    """
    match = re.fullmatch(r"([a-z]+)-([0-9]{1,9})", _text(text, "latent"))
    if not match:
        message = "latent is a law and a size, as in normal-128"
        raise SpecError(message, text, (0, len(text)))
    law, size = match[1], int(match[2])
    if law not in LATENTS:
        message = f"unknown law of latents {law!r}{hint(law, LATENTS)}"
        raise SpecError(message, text, match.span(1))
    if not size:
        raise SpecError("a latent has at least one number", text, match.span(2))
    return Latent(law, size)


def read_sample(text: str) -> tuple[int, ...]:
    """Reads "32x32x3", or "2" for points of the plane.

    >>> read_sample("32x32x3")
    (32, 32, 3)
    """
    match = re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}x[0-9]{1,9})?", _text(text, "sample"))
    if not match or 0 in map(int, text.split("x")):
        message = "sample is a shape HxWxC, as in 32x32x3, or one number"
        raise SpecError(message, text, (0, len(text)))
    return tuple(map(int, text.split("x")))


_KEYS = [field.name for field in dataclasses.fields(Architecture)]


def _check_keys(architecture: Mapping[str, Any]) -> None:
    names = [key if isinstance(key, str) else show(key) for key in architecture]
    text = ", ".join(names)
    start = 0
    for key, name in zip(architecture, names):
        if key not in _KEYS:
            message = f"an architecture has no {show(key)}{hint(key, _KEYS)}"
            raise SpecError(message, text, (start, start + len(name)))
        start += len(name) + 2
    for key in _KEYS:
        if key not in names and key not in ("reference", "classes", "decoder"):
            message = f"an architecture needs its {key}"
            raise SpecError(message, text, (0, len(text)))


def _text(value: Any, key: str) -> str:
    if isinstance(value, str):
        return value
    _fail_entry(f"{key} is a string, not {show(value)}", {key: value})


def _fail_entry(message: str, architecture: Mapping[str, Any]) -> None:
    key = message.partition(" ")[0]
    text, spans = spec.show_dict({key: architecture[key]})
    raise SpecError(message, text, spans[key])
