"""Random changes of images, from given draws: those that `gantf.augment` is made of.

Images are (n, h, w, c) in float32, [-1, 1]; nothing is cut to that range afterwards.
Gradients pass to the images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from gantf.batch import per_sample

# ---- one by one: DiffAugment, Zhao et al. (2020), with the numbers of their code


def brightness(images: Any, u: Any) -> Any:
    """The images x + b, b ~ U(-.5, .5) one an image; from u (n, 1) in [0, 1)."""
    return images + per_sample(u - 0.5, images)


def saturation(images: Any, u: Any) -> Any:
    """The images m + s (x - m), m the mean over channels, s ~ U(0, 2); u as before."""
    mean = tf.reduce_mean(images, axis=3, keepdims=True)
    return mean + per_sample(2.0 * u, images) * (images - mean)


def contrast(images: Any, u: Any) -> Any:
    """The images m + c (x - m), m the mean of each, c ~ U(.5, 1.5); u as before."""
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + per_sample(u + 0.5, images) * (images - mean)


def translation(images: Any, u: Any) -> Any:
    """Images moved by whole pixels, up to 1/8 of each side, with zeros behind them.

    The eighth is rounded, as in the authors' later code; the first took whole eighths.

    Args:
      images: (n, h, w, c).
      u: (n, 2), for down and right, in [0, 1).
    """
    for axis in (1, 2):
        size = images.shape[axis]
        most = int(size / 8 + 0.5)
        move = tf.cast(tf.floor(u[:, axis - 1] * (2 * most + 1)), tf.int32) - most
        source = tf.range(size) - move[:, None]
        inside = _along(axis, (source >= 0) & (source < size))
        source = tf.clip_by_value(source, 0, size - 1)
        images = tf.gather(images, source, axis=axis, batch_dims=1)
        images = tf.where(inside, images, 0.0)
    return images


def cutout(images: Any, u: Any) -> Any:
    """Images with zeros in a rectangle of half of each side, its centre anywhere.

    Half of an odd side is rounded up, as in the authors' later code.

    Args:
      images: (n, h, w, c).
      u: (n, 2), for the row and the column of the centre, in [0, 1).
    """
    cut = True
    for axis in (1, 2):
        size = images.shape[axis]
        side = int(size / 2 + 0.5)
        centre = tf.floor(u[:, axis - 1] * (size + 1 - side % 2))
        first = tf.cast(centre, tf.int32) - side // 2
        past = tf.range(size) - first[:, None]
        cut = cut & _along(axis, (past >= 0) & (past < side))
    return tf.where(cut, 0.0, images)


def _along(axis: int, rows: Any) -> Any:
    """(n, size) as (n, size, 1, 1) or (n, 1, size, 1)."""
    return rows[:, :, None, None] if axis == 1 else rows[:, None, :, None]


# ---- as one map of places and one of colors: ADA, Karras et al. (2020), appendix B


class Change(NamedTuple):
    """A change of an image: what it belongs to, and how its numbers are drawn."""

    group: str
    normal: bool  # from N(0, 1), or from U[0, 1)
    law: Callable[[Any], Any]  # draws -> numbers
    none: float  # the number of no change
    chance: Callable[[Any], Any] = lambda p: p


def _sign(u):
    return 1.0 - 2.0 * tf.floor(2.0 * u)


def _angle(u):
    return math.pi * (2.0 * u - 1.0)


def _factor(spread: float) -> Callable[[Any], Any]:
    """Log-normal: powers of 2 with a standard deviation."""
    return lambda z: tf.pow(2.0, spread * z)


def _of_two(p):
    return 1.0 - tf.sqrt(1.0 - p)  # so that one of two happens with probability p


# In the order that they are done in: Karras et al. (2020), appendix B, and their code.
CHANGES: dict[str, Change] = {
    "flip": Change("blit", False, _sign, 1.0),
    "quarters": Change("blit", False, lambda u: tf.floor(4.0 * u), 0.0),
    "shift": Change("blit", False, lambda u: (2.0 * u - 1.0) / 8.0, 0.0),
    "scale": Change("geometry", True, _factor(0.2), 1.0),
    "turn": Change("geometry", False, _angle, 0.0, _of_two),
    "stretch": Change("geometry", True, _factor(0.2), 1.0),
    "second_turn": Change("geometry", False, _angle, 0.0, _of_two),
    "offset": Change("geometry", True, lambda z: z / 8.0, 0.0),
    "brightness": Change("color", True, lambda z: 0.2 * z, 0.0),
    "contrast": Change("color", True, _factor(0.5), 1.0),
    "luma": Change("color", False, _sign, 1.0),
    "hue": Change("color", False, _angle, 0.0),
    "saturation": Change("color", True, _factor(1.0), 1.0),
}


def drawn(
    p: Any, groups: Iterable[str], uniform: Any, normal: Any
) -> dict[str, tuple[Any, Any]]:
    """The numbers of all changes of n images; those of no change where none is made.

    Args:
      p: the probability of each.
      groups: those that may be made.
      uniform: (n, changes, 3): whether, and two numbers.
      normal: (n, changes, 2).

    Returns:
      By change two (n,), for right and down; changes of one number have the first.
    """
    numbers = {}
    for i, (name, change) in enumerate(CHANGES.items()):
        made = uniform[:, i, :1] < change.chance(p if change.group in groups else 0.0)
        given = change.law(normal[:, i] if change.normal else uniform[:, i, 1:])
        numbers[name] = tuple(tf.unstack(tf.where(made, given, change.none), axis=1))
    return numbers


def sources(numbers: Mapping[str, tuple[Any, Any]], h: int, w: int) -> Any:
    """Where in images the pixels of the changed ones come from.

    The changes are maps (x, y, 1), in pixels right of and below the image's middle; of
    their product this is the inverse.

    Args:
      numbers: of all changes, see `drawn`.
      h, w: of the images.

    Returns:
      (n, 3, 3).
    """
    flip, quarters, scale, turn, stretch, second_turn = (
        numbers[name][0]
        for name in ("flip", "quarters", "scale", "turn", "stretch", "second_turn")
    )
    shift = [tf.round(part * side) for part, side in zip(numbers["shift"], (w, h))]
    offset = [part * side for part, side in zip(numbers["offset"], (w, h))]
    quarter = tf.cast(quarters, tf.int32)
    inverses = (
        _linear(flip, 0.0, 0.0, 1.0),
        _rotation(*(tf.gather(row, quarter) for row in _QUARTERS)),
        _move(*shift),
        _linear(1.0 / scale, 0.0, 0.0, 1.0 / scale),
        _rotation(tf.cos(turn), tf.sin(turn)),
        _linear(1.0 / stretch, 0.0, 0.0, stretch),
        _rotation(tf.cos(second_turn), tf.sin(second_turn)),
        _move(*offset),
    )
    return functools.reduce(_product, inverses)


_QUARTERS = (1.0, 0.0, -1.0, 0.0), (0.0, 1.0, 0.0, -1.0)  # cosine and sine, exactly


def _linear(xx: Any, xy: Any, yx: Any, yy: Any, x: Any = 0.0, y: Any = 0.0) -> Any:
    """[[xx xy x] [yx yy y] [0 0 1]] of n images, (n, 3, 3)."""
    entries = xx, xy, x, yx, yy, y, 0.0, 0.0, 1.0
    n = next(tf.shape(entry) for entry in entries if tf.is_tensor(entry))
    entries = [tf.broadcast_to(entry, n) for entry in entries]
    return tf.reshape(tf.stack(entries, axis=1), (-1, 3, 3))


def _rotation(cos: Any, sin: Any) -> Any:
    """The inverse of a turn to the left, as it looks where y goes down."""
    return _linear(cos, -sin, sin, cos)


def _move(x: Any, y: Any) -> Any:
    """The inverse of a move to the right and down."""
    return _linear(tf.ones_like(x), 0.0, 0.0, 1.0, -x, -y)


def _product(a: Any, b: Any) -> Any:
    """Products of matrices, (n, 3, 3), in full float32 on every device."""
    return tf.reduce_sum(a[:, :, :, None] * b[:, None, :, :], axis=2)


def resample(images: Any, matrices: Any) -> Any:
    """Images whose pixel at q has the value that the image has at M q, bilinear.

    q = (x, y, 1) is in pixels right of and below the image's middle. Outside are mirror
    images, as if a mirror stood on the middle of the outermost pixels.

    Args:
      images: (n, h, w, c), float32.
      matrices: M, (n, 3, 3); the last row is 0, 0, 1.
    """
    h, w, c = images.shape[1:]
    x = tf.range(w, dtype=tf.float32)[None, None, :] - (w - 1) / 2
    y = tf.range(h, dtype=tf.float32)[None, :, None] - (h - 1) / 2
    m = matrices[:, :, :, None, None]
    columns, rows = (
        _neighbours(m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2], size)
        for i, size in enumerate((w, h))
    )
    flat = tf.reshape(images, (-1, h * w, c))
    return tf.add_n(
        [
            (row_share * column_share)[..., None]
            * tf.gather(flat, row * w + column, axis=1, batch_dims=1)
            for row, row_share in rows
            for column, column_share in columns
        ]
    )


def _neighbours(at: Any, size: int) -> list[tuple[Any, Any]]:
    """The two pixels around a place and their shares, from its distance to the middle.

    Beyond the first and the last one they are mirrored.
    """
    at = at + (size - 1) / 2
    first = tf.floor(at)
    part = at - first
    period = max(2 * (size - 1), 1)
    found = []
    for step, weight in ((0, 1.0 - part), (1, part)):
        index = tf.math.floormod(tf.cast(first, tf.int32) + step, period)
        found.append((tf.minimum(index, period - index), weight))
    return found


def recolor(images: Any, numbers: Mapping[str, tuple[Any, Any]]) -> Any:
    """Images with the changes of color, as one affine map of the colors.

    With the grey axis v = (1, 1, 1) / sqrt 3 the changes are, in turn: x + b, c x, the
    reflection x - 2 v v'x, a turn by h around v, and v v'x + s (x - v v'x). With
    g = c or, reflected, -c their product is

        g (v v'x + b) + c s (cos h (x - v v'x) + sin h v times x).

    Images of one channel are grey: g (x + b).

    Args:
      images: (n, h, w, 1 or 3), float32.
      numbers: of all changes, see `drawn`.
    """
    b, c, luma, h, s = (
        per_sample(numbers[name][0], images)
        for name in ("brightness", "contrast", "luma", "hue", "saturation")
    )
    grey, even, odd = luma * c, c * s * tf.cos(h), c * s * tf.sin(h)
    mean = tf.reduce_mean(images, axis=3, keepdims=True)
    cross = (tf.roll(images, 1, axis=3) - tf.roll(images, -1, axis=3)) / math.sqrt(3.0)
    return even * images + odd * cross + (grey - even) * mean + grey * b
