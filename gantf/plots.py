"""Pictures as uint8 arrays (h, w, c): grids, scatters, figures; PNG and GIF files."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gantf.files import whole

if TYPE_CHECKING:  # matplotlib loads where a figure is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GAP, _SHADE = 2, 255  # between the images of a grid: pixels, grey level


def to_uint8(images: Any) -> np.ndarray:
    """Images in [-1, 1] as bytes: floor((x + 1) 127.5 + 0.5), cut to 0..255.

    The inverse of bytes / 127.5 - 1, rounding half up. No image is stretched.
    """
    levels = np.floor((np.asarray(images, np.float32) + 1.0) * 127.5 + 0.5)
    return np.clip(levels, 0, 255).astype(np.uint8)


def grid(images: Any, columns: int | None = None, gap: int = _GAP) -> np.ndarray:
    """Images side by side, row after row.

    Args:
      images: uint8, (n, h, w, c).
      columns: of the grid; by default as many as make it about square.
      gap: white pixels between images and around them.
    """
    images = np.asarray(images)
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    size = rows * (h + gap) + gap, columns * (w + gap) + gap
    sheet = np.full((*size, c), _SHADE, np.uint8)
    for i, image in enumerate(images):
        top = gap + i // columns * (h + gap)
        left = gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    return sheet


def scatter(points: Any, real: Any = None) -> np.ndarray:
    """Points of the plane in [-1, 1]^2: generated ones, over real ones if given.

    Args:
      points, real: (n, 2) and (m, 2).
    """
    figure = new_figure(5, 5)
    axes = figure.add_subplot()
    if real is not None:
        axes.scatter(*np.asarray(real).T, s=4, c="0.7", label="real", linewidths=0)
    axes.scatter(*np.asarray(points).T, s=4, c="tab:blue", label="generated")
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    axes.legend(loc="upper right", markerscale=3)
    return render(figure)


def histogram(points: Any, real: Any = None) -> np.ndarray:
    """Points of the line in [-1, 1], counted: generated ones, over real ones if given.

    Args:
      points, real: (n, 1) and (m, 1).
    """
    figure = new_figure(5, 5)
    axes = figure.add_subplot()
    shape = {"bins": np.linspace(-1.1, 1.1, 56), "density": True}
    if real is not None:
        axes.hist(np.ravel(real), color="0.8", label="real", **shape)
    style = {"histtype": "step", "color": "tab:blue", "lw": 1.5}
    axes.hist(np.ravel(points), label="generated", **style, **shape)
    axes.set(xlim=(-1.1, 1.1), ylabel="density")
    axes.legend(loc="upper right")
    return render(figure)


def curves(
    points: Mapping[str, Any],
    window: int = 100,
    labels: tuple[str, str] = ("step", "loss"),
) -> np.ndarray:
    """Curves: each as it is, thin, and its running mean over it, thick.

    Args:
      points: name of a curve -> its (x, y) pairs, (n, 2); a curve may have none.
      window: how many points the mean is over; see `running_mean`.
      labels: of the two axes.
    """
    figure = new_figure(7, 4)
    draw_curves(figure.add_subplot(), points, window, labels)
    return render(figure)


def draw_curves(
    axes: Axes, points: Mapping[str, Any], window: int, labels: tuple[str, str]
) -> None:
    """Draws what `curves` shows, with their names above, as one part of a figure."""
    for i, (name, pairs) in enumerate(points.items()):
        x, y = np.reshape(np.asarray(pairs, float), (-1, 2)).T
        axes.plot(x, y, f"C{i}", linewidth=0.5, alpha=0.4)
        axes.plot(x, running_mean(y, window), f"C{i}", linewidth=2, label=name)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False)  # above


def running_mean(values: Any, window: int = 100) -> np.ndarray:
    """At each point i, the mean of v_j over j = i - window + 1, .., i.

    The first ones are means of fewer points, so that a short curve has one too. Values
    that are not finite are left out; where none is left, the mean is NaN.

    Args:
      values: v, (n,).
      window: a whole number from 1.

    >>> running_mean([1, 2, 6, 4], 2).tolist()
    [1.0, 1.5, 4.0, 5.0]
    """
    if type(window) is not int or window < 1:
        raise ValueError(f"window is a whole number from 1, not {window!r}")
    values = np.asarray(values, float)
    finite = np.isfinite(values)

    def sums(numbers):  # with zeros before them, and the sum of those dropped
        padded = np.concatenate([np.zeros(window), numbers])
        return np.convolve(padded, np.ones(window), "valid")[1:]

    with np.errstate(invalid="ignore"):  # 0 / 0
        return sums(np.where(finite, values, 0.0)) / sums(finite)


def new_figure(width: float, height: float) -> Figure:
    """An empty matplotlib figure of so many inches, of 100 pixels each."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="tight")


def render(figure: Figure) -> np.ndarray:
    """A matplotlib figure as a picture, uint8 (h, w, 3); no window opens."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def to_png(picture: np.ndarray) -> bytes:
    """A picture (h, w, 1 or 3) as the bytes of a PNG file."""
    flat = picture[..., 0] if picture.shape[-1] == 1 else picture
    file = io.BytesIO()
    Image.fromarray(flat).save(file, format="PNG")
    return file.getvalue()


def save_png(path: Path | str, picture: np.ndarray) -> Path:
    """Writes a picture (h, w, 1 or 3) whole or not at all; gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_bytes(to_png(picture))
    return path


def save_gif(path: Path | str, pictures: Sequence[np.ndarray], fps: float = 10) -> Path:
    """Writes pictures (h, w, 3) of one size as an endless film; gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [Image.fromarray(picture) for picture in pictures]
    with whole(path) as unfinished:
        frames[0].save(
            unfinished,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=round(1000 / fps),
            loop=0,
        )
    return path
