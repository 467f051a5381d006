"""The files of TensorBoard's projector, which shows points as a cloud of pictures.

    projector_config.pbtxt      names the others
    projector/points.tsv        a line for each point
    projector/samples.tsv       what each is: its kind, and its class
    projector/samples.png       their images, row after row; none of points of the plane

Each is written whole or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gantf import plots
from gantf.files import whole

_NAME = "samples"  # of the cloud, in the projector's menu
_SHEET = 8192  # pixels of a side of a sheet of images that the projector takes, at most
_LEAST = 3  # numbers of a point that it takes


def write(
    logs: Path,
    points: np.ndarray,
    samples: np.ndarray,
    kinds: Sequence[str],
    classes: Sequence[str] | None = None,
) -> None:
    """Writes a cloud over that of before.

    Args:
      logs: a folder that TensorBoard looks at.
      points: (n, d); zeros stand for what d lacks to 3.
      samples: what the points are of: images (n, h, w, c) in [-1, 1], shown with them;
        or rows of numbers (n, k).
      kinds: what each one is.
      classes: what the class of each one is called.
    """
    folder = logs / "projector"
    folder.mkdir(parents=True, exist_ok=True)
    lacks = max(_LEAST - points.shape[1], 0)
    with whole(folder / "points.tsv") as unfinished:
        np.savetxt(unfinished, np.pad(points, ((0, 0), (0, lacks))), "%.6g", "\t")
    lines = list(kinds)
    if classes is not None:  # a heading, which a single column must not have
        lines = ["kind\tclass"]
        lines += [f"{kind}\t{' '.join(c.split())}" for kind, c in zip(kinds, classes)]
    with whole(folder / "samples.tsv") as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", "utf-8")
    config = _CONFIG
    if samples.ndim == 4:
        columns = math.ceil(math.sqrt(len(samples)))
        step = -(-max(samples.shape[1:3]) * columns // _SHEET)
        small = plots.to_uint8(samples[:, ::step, ::step])
        plots.save_png(folder / "samples.png", plots.grid(small, columns, gap=0))
        config += _SPRITE.format(width=small.shape[2], height=small.shape[1])
    with whole(logs / "projector_config.pbtxt") as unfinished:  # last
        unfinished.write_text(f"embeddings {{\n{config}}}\n")


_CONFIG = f"""\
  tensor_name: "{_NAME}"
  tensor_path: "projector/points.tsv"
  metadata_path: "projector/samples.tsv"
"""
_SPRITE = """\
  sprite {{
    image_path: "projector/samples.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
"""
