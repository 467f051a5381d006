"""How an image comes to its size, in words: "fit-72x88 crop-64".

Words are read from left to right; sizes are pixels, width x height.

    short-N      resized until its short side is N
    fit-WxH      resized to W x H, whatever its shape was
    crop-N       the N x N in its middle
    random-N     an N x N anywhere in it, another one each time; its middle in figures
    box-N        its middle on N x N; what it lacks is black

Behind a size stands the filter: lanczos (default), bicubic, bilinear, area, nearest,
which look at all the pixels that an output pixel covers; or tf1, the bilinear one of
TensorFlow 1 (`tf.image.resize_images`), which looks at four and is not centred.
`PRESETS` are the ways of papers, for any size.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from gantf.choices import hint
from gantf.images import ReadError

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
    "tf1": None,
}
_WORD = re.compile(r"(?P<kind>[a-z]+)-(?P<size>\d{1,9}(x\d{1,9})?)(-(?P<filter>\w+))?")
_LARGEST = 8192  # pixels a side

# The middle of the room that a crop leaves, as (across, down) in [0, 1).
MIDDLE = (0.5, 0.5)


def _short(image, size, filter, place):
    scale = Fraction(size[0], min(image.size))
    return _resize(image, tuple(round(side * scale) for side in image.size), filter)


def _fit(image, size, filter, place):
    return _resize(image, size, filter)


def _crop(image, size, filter, place):
    room = [side - new for side, new in zip(image.size, size)]
    if min(room) < 0:
        width, height = image.size
        raise ReadError(
            f"it is {width} x {height} (width x height), too small to cut"
            f" {size[0]} x {size[1]} out of it; short-N before makes it larger"
        )
    left, top = (r // 2 if p == 0.5 else int(p * (r + 1)) for r, p in zip(room, place))
    return image.crop((left, top, left + size[0], top + size[1]))


def _middle(image, size, filter, place):
    return _crop(image, size, filter, MIDDLE)


def _box(image, size, filter, place):
    # As tf.image.resize_with_crop_or_pad: what is odd is left over on the right.
    left, top = (
        (side - new) // 2 if side >= new else -((new - side) // 2)
        for side, new in zip(image.size, size)
    )
    return image.crop((left, top, left + size[0], top + size[1]))


def _resize(image, size, filter):
    if image.size == tuple(size):
        return image
    if filter == "tf1":
        return Image.fromarray(tf1_bilinear(np.asarray(image), size[1], size[0]))
    return image.resize(size, FILTERS[filter])


def tf1_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`tf.compat.v1.image.resize_bilinear` of uint8 (h, w) or (h, w, c), rounded.

    Pixel i of the output is the mean of the two pixels around i * in / out, weighted by
    distance: corners of pixels, not centres, and no antialiasing. Before it is rounded
    it is that of TensorFlow's op to the last bit: float32, rows before columns.
    """
    x = image.astype(np.float32)
    for axis, new in ((1, width), (0, height)):
        old = x.shape[axis]
        at = np.arange(new, dtype=np.float32) * (np.float32(old) / np.float32(new))
        part = (at % 1).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        low = at.astype(int)
        first = x.take(low, axis)
        x = first + (x.take(np.minimum(low + 1, old - 1), axis) - first) * part
    return np.floor(x + np.float32(0.5)).astype(np.uint8)


# word -> (function, sizes it takes, has a filter, its output has that size)
_KINDS: dict[str, tuple[Callable, int, bool, bool]] = {
    "short": (_short, 1, True, False),
    "fit": (_fit, 2, True, True),
    "crop": (_middle, 1, False, True),
    "random": (_crop, 1, False, True),
    "box": (_box, 1, False, True),
}


def _square(size):
    return f"short-{size} crop-{size}"


PRESETS: dict[str, tuple[str, Callable[[int], str]]] = {
    "square": ("short side to the size, the middle (the default)", _square),
    "celeba": (
        "Wang et al. (2019): 9/8 x 11/8 of the size, the middle",
        lambda s: f"fit-{round(9 * s / 8)}x{round(11 * s / 8)} crop-{s}",
    ),
    "celeba-160": (
        "Binkowski et al. (2018): 178 x 178, any 160 x 160 of it",
        lambda s: f"box-178 random-160 fit-{s}x{s}-tf1",
    ),
    "lsun-random": (
        "Binkowski et al. (2018): short side to the size, any square of it",
        lambda s: f"short-{s} random-{s}",
    ),
    "fit": ("Wang et al. (2019), STL-10: resized", lambda s: f"fit-{s}x{s}"),
    "imagenet-256": (
        "Arbel et al. (2018): the middle 256 x 256, resized",
        lambda s: f"box-256 fit-{s}x{s}-tf1",
    ),
}


@dataclass(frozen=True)
class Preparation:
    """What is done to each image, step by step.

    Args:
      words: in their canonical form; "" leaves images as they are.
    """

    words: str = ""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of what comes out; None for the image's own."""
        return self._steps[-1][1][::-1] if self.words else None

    @property
    def random(self) -> bool:
        """Whether something else comes out each time."""
        return any(kind == "random" for kind, _, _ in self._steps)

    @functools.cached_property
    def _steps(self):
        return [_step(word) for word in self.words.split()]

    def __call__(
        self, image: Image.Image, place: tuple[float, float] = MIDDLE
    ) -> Image.Image:
        """The image prepared; `place` is where random-N cuts, (across, down)."""
        for kind, size, filter in self._steps:
            image = _KINDS[kind][0](image, size, filter, place)
        return image


def read(given: str | None, size: int | None) -> Preparation:
    """The preparation that is asked for.

    Args:
      given: words, the name of a preset, or None for "square".
      size: pixels a side of what comes out; None for what the words say, and without
          words for images as they are.

    Raises:
      ReadError: a word that is none, or words that do not give images of that size.
    """
    if given is None and size is None:
        return Preparation()
    given = given or "square"
    if given in PRESETS:
        if size is None:
            raise ReadError(f"prepare {given!r} goes with a size; give that too")
        given = PRESETS[given][1](size)
    steps = [_step(word) for word in given.split()]
    if not steps or not _KINDS[steps[-1][0]][3]:
        raise ReadError(
            f"prepare {given!r} leaves images of many sizes; end it with crop-N or"
            " fit-WxH"
        )
    prepared = Preparation(" ".join(map(_written, steps)))
    if size is not None and prepared.size != (size, size):
        height, width = prepared.size
        raise ReadError(
            f"prepare {given!r} makes images of {width} x {height} (width x height),"
            f" and {size} x {size} are asked for; change one of them"
        )
    return prepared


def _step(word: str) -> tuple[str, tuple[int, ...], str | None]:
    """(kind, (width, height), filter) of a word."""
    match = _WORD.fullmatch(word)
    if not match or match["kind"] not in _KINDS:
        forms = [f"{kind}-{_form(kind)}" for kind in _KINDS]
        raise ReadError(f"prepare has no word {word!r}{hint(word, [*PRESETS, *forms])}")
    kind, filter = match["kind"], match["filter"]
    _, sizes, filtered, _ = _KINDS[kind]
    size = tuple(map(int, match["size"].split("x")))
    if len(size) != sizes or not all(1 <= side <= _LARGEST for side in size):
        raise ReadError(
            f"{kind} is written {kind}-{_form(kind)}, with pixels from 1 to {_LARGEST},"
            f" not {word!r}"
        )
    if filter is not None and not filtered:
        raise ReadError(f"{kind} takes no filter, so not {word!r}")
    if filter is not None and filter not in FILTERS:
        raise ReadError(
            f"{kind} has no filter {filter!r}{hint(filter, FILTERS)}; filters are"
            f" {', '.join(FILTERS)}"
        )
    size = size if sizes == 2 else size * 2
    return kind, size, (filter or "lanczos") if filtered else None


def _form(kind: str) -> str:
    """How its sizes are written."""
    return {1: "N", 2: "WxH"}[_KINDS[kind][1]]


def _written(step) -> str:
    kind, size, filter = step
    numbers = f"{size[0]}x{size[1]}" if _KINDS[kind][1] == 2 else f"{size[0]}"
    return "-".join([kind, numbers, *([filter] if filter else [])])
