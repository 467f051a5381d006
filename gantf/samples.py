"""Samples that are compared: what a place holds, read chunk by chunk, and said of it.

    place                                  samples
    set's name, tfds:NAME, folder, zip,    real ones, see `gantf.datasets.find`
    .npz or .npy of images
    folder of a run, or RUN/best.keras     drawn from its generator
    .npz with mu and sigma                 none: `open_statistics`

The generated ones are bytes, as real ones are: what a figure sees is what a PNG holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gantf import datasets, plots, shapes
from gantf.choices import whole_number
from gantf.files import TORN, sha256, whole
from gantf.metrics import Moments
from gantf.readers import ReadError, Source
from gantf.readers.source import threads
from gantf.sampler import Sampler, generator_file

CHOICE_SEED = 2020  # of which images of a set are taken
ORDER = f"RandomState({CHOICE_SEED}).permutation"
QUANTISATION = "floor((x + 1) 127.5 + 0.5), cut to 0..255"


@dataclass(frozen=True, eq=False)
class Samples:
    """Images or points, read by their positions.

    Attributes:
      name: what people call them.
      n: how many.
      read: start, stop -> uint8 (k, h, w, c), or float32 points (k, d).
      about: what the protocol of a figure says of them.
      lossy: whether they are JPEG files.
    """

    name: str
    n: int
    read: Callable[[int, int], np.ndarray]
    about: dict[str, Any]
    lossy: bool = False


def of_source(source: Source, n: int | None = None) -> Samples:
    """Images of a set: the first n of RandomState(2020).permutation, in that order.

    Splits and blocks of some figures are of samples in a row, which must be no
    sorted ones, as those of folders of classes are.

    Args:
      source: the set.
      n: how many, from 1; all where there are fewer, or for None.
    """
    n = source.n if n is None else min(whole_number("n", n), source.n)
    order = np.random.RandomState(CHOICE_SEED).permutation(source.n)
    chosen = _whole_ones(source, order, n)
    n = len(chosen)
    about = {"data": source.name, "split": source.split, "n": n, "of": source.n}
    about |= {"order": ORDER, "shape": shapes.show(source.shape)}
    about["prepared"] = source.prepared.words or "as they are"
    about |= source.about
    if source.faults.lines:
        about["skipped"] = len(source.faults.lines)
    return Samples(
        source.name,
        n,
        lambda start, stop: source.read(chosen[start:stop]),
        about,
        bool({".jpg", ".jpeg"} & set(source.suffixes)),
    )


def _whole_ones(source, order, n):
    """The first n images of an order, without those that are skipped.

    A stream gives another image in the place of a bad one; figures count none twice.
    """
    if source.one is None or source.faults.on_error == "refuse":
        return order[:n]

    def is_whole(number):
        try:
            source.one(int(number))
        except ReadError as error:
            source.faults.meet(error)
            return False
        return True

    found, start = [], 0
    while len(found) < n and start < len(order):
        some = order[start : start + n - len(found)]
        found += [i for i, good in zip(some, threads().map(is_whole, some)) if good]
        start += len(some)
    return np.array(found, int)


def of_sampler(sampler: Sampler, n: int, seed: int = 1, name: str = "") -> Samples:
    """Samples of a generator, as bytes; of all classes in turn if it takes labels.

    The i-th one is the same whatever n is and in what chunks they are read.
    """
    latents = sampler.latents(n, seed)
    labels = np.arange(n) % max(sampler.classes, 1)

    def read(start, stop):
        given = labels[start:stop] if sampler.takes_labels else None
        return as_bytes(sampler.decode(latents[start:stop], given))

    about = {"generator": name, "n": n, "seed": seed, "latent": str(sampler.latent)}
    about |= {"batch_norm": "moving averages", "quantisation": QUANTISATION}
    about["shape"] = shapes.show(sampler.net.output_shape[1:])
    if sampler.takes_labels:
        about["labels"] = "all classes in turn"
    return Samples(name, n, read, about)


def of_array(images: Any, name: str = "array") -> Samples:
    """Images, bytes or floats in [-1, 1], (n, h, w, c), or points (n, d)."""
    images = as_bytes(np.asarray(images))
    return Samples(
        name,
        len(images),
        lambda start, stop: images[start:stop],
        {"data": name, "n": len(images), "shape": shapes.show(images.shape[1:])},
    )


def as_bytes(samples: np.ndarray) -> np.ndarray:
    """Float images in [-1, 1] as bytes, see `plots.to_uint8`; others as they are."""
    images = samples.ndim == 4 and samples.dtype.kind == "f"
    return plots.to_uint8(samples) if images else samples


def open_samples(
    place: str | Path,
    n: int | None = None,
    split: str = "train",
    size: int | None = None,
    seed: int = 1,
    **options,
) -> Samples:
    """The samples of a place; see the module.

    Args:
      place: one of those.
      n: how many; None takes all of a set.
      split: of a set.
      size: of its images, see `gantf.datasets.find`.
      seed: of the latents of a run.
      options: of a set, as prepare and on_error; see `gantf.readers.Options`.

    Raises:
      ValueError: a place that cannot be read, or a run without n.
    """
    net = generator_file(place)
    if not net.with_name("settings.json").exists():
        return of_source(datasets.find(place, split, size, **options), n)
    if n is None:
        raise ValueError(f"{place} is a run: say how many samples to draw, as --n=5000")
    samples = of_sampler(Sampler.of_run(net), n, seed, str(place))
    samples.about.update(sha256=sha256(net), ema=_about(net)["settings"].get("ema"))
    return samples


def _about(net: Path) -> dict[str, Any]:
    """The settings.json of the run that a generator's file is of."""
    return json.loads(net.with_name("settings.json").read_text("utf-8"))


def run_preparation(place: str | Path) -> tuple[int | None, str | None]:
    """The side of the images of a run, and how its training images came to it.

    None of other places, and of points.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        about = _about(generator_file(place))
        return about["settings"]["size"], about.get("prepared") or None
    return None, None


def is_statistics(place: str | Path) -> bool:
    """Whether a place is a file of statistics: an .npz with mu and sigma."""
    path = Path(place).expanduser()
    if path.suffix != ".npz" or not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            return {"mu", "sigma"} <= set(file.files)
    except (OSError, *TORN):
        return False


def open_statistics(path: str | Path) -> tuple[Moments, dict[str, Any]]:
    """Mean and covariance of features, in the layout of pytorch-fid and clean-fid.

    Returns:
      The moments, and what is known of them: all that `write_statistics` said, or only
      the file's name for one of another program.

    Raises:
      ReadError: a torn file, or one whose arrays do not fit each other.
    """
    path = Path(path).expanduser()
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, cov = (np.asarray(file[k], np.float64) for k in ("mu", "sigma"))
            said = json.loads(str(file["about"])) if "about" in file else {}
        if not isinstance(said.get("network", {}), dict):
            raise ValueError("network in about is no dict")
        moments = Moments.of(mean, cov, said.get("n"))
        values = np.linalg.eigvalsh(cov)
        if values[0] < -1e-6 * abs(values[-1]):
            raise ValueError("sigma has negative eigenvalues, a covariance has none")
    except (OSError, AttributeError, *TORN) as error:
        raise ReadError(f"{path}: no file of statistics ({error})") from None
    return moments, {"statistics": path.name, "statistics_sha256": sha256(path), **said}


def write_statistics(path: str | Path, moments: Moments, about: dict) -> Path:
    """Writes mu and sigma as pytorch-fid does, and beside them what they are of.

    Args:
      path: ends in .npz.
      moments: of the features.
      about: of the samples and of the network, for JSON.
    """
    path = Path(path).expanduser()
    if path.suffix != ".npz":
        raise ValueError(f"a file of statistics ends in .npz, not {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    said = json.dumps(about | {"n": moments.n})
    with whole(path) as unfinished:
        np.savez(unfinished, mu=moments.mean, sigma=moments.cov, about=said)
    return path
