"""Pictures as uint8 arrays (h, w, c): grids of samples, scatters; and PNG files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantf.files import whole

_GAP, _SHADE = 2, 255  # between the images of a grid: pixels, grey level


def to_uint8(images: Any) -> np.ndarray:
    """Images in [-1, 1] as bytes: floor((x + 1) 127.5 + 0.5), cut to 0..255.

    The inverse of bytes / 127.5 - 1, rounding half up. No image is stretched.
    """
    levels = np.floor((np.asarray(images, np.float32) + 1.0) * 127.5 + 0.5)
    return np.clip(levels, 0, 255).astype(np.uint8)


def grid(images: Any, columns: int | None = None) -> np.ndarray:
    """Images side by side, row after row.

    Args:
      images: uint8, (n, h, w, c).
      columns: of the grid; by default as many as make it about square.
    """
    images = np.asarray(images)
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    size = rows * (h + _GAP) + _GAP, columns * (w + _GAP) + _GAP
    sheet = np.full((*size, c), _SHADE, np.uint8)
    for i, image in enumerate(images):
        top = _GAP + i // columns * (h + _GAP)
        left = _GAP + i % columns * (w + _GAP)
        sheet[top : top + h, left : left + w] = image
    return sheet


def scatter(points: Any, real: Any = None) -> np.ndarray:
    """Points of the plane in [-1, 1]^2: generated ones, over real ones if given.

    Args:
      points, real: (n, 2) and (m, 2).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if real is not None:
        axes.scatter(*np.asarray(real).T, s=4, c="0.7", label="real", linewidths=0)
    axes.scatter(*np.asarray(points).T, s=4, c="tab:blue", label="generated")
    axes.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    axes.legend(loc="upper right", markerscale=3)
    figure.tight_layout()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_png(path: Path | str, picture: np.ndarray) -> Path:
    """Writes a picture (h, w, 1 or 3) whole or not at all; gives its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = picture[..., 0] if picture.shape[-1] == 1 else picture
    with whole(path) as unfinished:
        Image.fromarray(flat).save(unfinished, format="PNG")
    return path
