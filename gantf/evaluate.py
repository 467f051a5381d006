"""The protocol around the metrics: which samples, which features, how many.

Every figure is named after its features and comes with its whole protocol. What a
network says of images is kept by the hash of their pixels: an evaluation that was
interrupted goes on where it stopped, and one of more images starts from there.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

import gantf
from gantf import kernels, metrics, replicas
from gantf.choices import choose, show
from gantf.features import Features
from gantf.files import (
    cache_arrays,
    cache_folder,
    cached_arrays,
    read_arrays,
    whole,
)
from gantf.metrics import Moments
from gantf.samples import Samples

DEFAULT = ("kid", "fd")
_CHUNK = 250  # images that are read, looked up and computed at once
_SUBSETS, _SUBSET_SIZE, _SEED = 100, 1000, 2020  # torch-fidelity's rule for KID
_BLOCK = 1024  # TF-GAN's
_HIGHER = ("is", "precision", "recall", "density", "coverage")
SPREADS = ("std", "error")  # how sure a figure is: a deviation, a standard error
_NUMBERS = "0123456789."  # what a kernel's next scale starts with
_OF_IMAGES = ("ms_ssim", "swd")  # figures without a feature network


class Seen(NamedTuple):
    """What a network said of samples, and what figures need beside it.

    Attributes:
      about: the samples' part of the protocol.
      n: how many; None if a statistics file does not say.
      lossy: whether they are JPEG files.
      moments: mean and covariance of the features, or None, as all that follow.
      features: (n, d).
      logits: (n, classes).
      images: uint8 (n, h, w, c).
    """

    about: dict[str, Any]
    n: int | None
    lossy: bool = False
    moments: Moments | None = None
    features: np.ndarray | None = None
    logits: np.ndarray | None = None
    images: np.ndarray | None = None


class Metric(NamedTuple):
    """A row of the table of metrics.

    Attributes:
      real, fake: the parts of `Seen` that it takes of both sides.
      figures: the names of what it gives, at least.
      compute: real and generated `Seen` -> as many numbers, or a dict of them.
      rule: what the protocol says of it.
    """

    real: str | None
    fake: str
    figures: tuple[str, ...]
    compute: Callable[[Seen, Seen], Any]
    rule: str


def _subset_size(real: Seen, fake: Seen) -> int:
    return min(_SUBSET_SIZE, len(real.features), len(fake.features))


def _kid(real: Seen, fake: Seen) -> tuple[float, float]:
    size = _subset_size(real, fake)
    mean, std = metrics.kid(real.features, fake.features, _SUBSETS, size, _SEED)
    whole_sets = size == len(real.features) == len(fake.features)
    return mean, math.nan if whole_sets else std  # all subsets are the same


_CUBIC = "unbiased MMD^2 with the kernel (a.b/d + 1)^3"
METRICS: dict[str, Metric] = {
    "kid": Metric(
        "features",
        "features",
        ("kid", "kid_std"),
        _kid,
        f"{_CUBIC}, {_SUBSETS} subsets of {{size}}, seed {_SEED}; std over subsets",
    ),
    "kid_blocks": Metric(
        "features",
        "features",
        ("kid_blocks", "kid_blocks_error"),
        lambda x, y: metrics.kid_blocks(x.features, y.features, _BLOCK),
        f"{_CUBIC}, disjoint blocks of at most {_BLOCK}; standard error of their mean",
    ),
    "fd": Metric(
        "moments",
        "moments",
        ("fd",),
        lambda x, y: (metrics.frechet_distance(x.moments, y.moments),),
        "Frechet distance of Gaussians, covariances over n - 1, float64, eigenvalues",
    ),
    "is": Metric(
        None,
        "logits",
        ("is", "is_std"),
        lambda x, y: metrics.inception_score(y.logits),
        "of the generated samples, 10 splits of rows as they come, population std",
    ),
    "pr": Metric(
        "features",
        "features",
        ("precision", "recall"),
        lambda x, y: metrics.precision_recall(x.features, y.features),
        "k = 3 nearest neighbours",
    ),
    "dc": Metric(
        "features",
        "features",
        ("density", "coverage"),
        lambda x, y: metrics.density_coverage(x.features, y.features),
        "k = 5 nearest neighbours",
    ),
    "ms_ssim": Metric(
        None,
        "images",
        ("ms_ssim",),
        lambda x, y: (metrics.ms_ssim(y.images),),
        "mean over at most 1000 disjoint pairs of generated samples, seed 2020, five "
        "scales or as many as leave 11 pixels; lower is more diverse",
    ),
    "swd": Metric(
        "images",
        "images",
        ("swd_mean",),
        lambda x, y: {
            f"swd_{level}": distance
            for level, distance in metrics.sliced_wasserstein(
                x.images, y.images
            ).items()
        },
        "sliced Wasserstein distance of 7x7 patches by levels (sides) of the Laplacian "
        "pyramid, 128 an image, 512 directions, seed 2020; papers print it times 1000",
    ),
}


def metric(name: str) -> Metric:
    """The row of a metric by its name, as "kid", or "mmd:rbf:1" with any kernel.

    Raises:
      ValueError: no such metric or kernel.
    """
    kind, _, kernel = show(name, str).partition(":")
    if kind != "mmd" or not kernel:
        return choose("metric", name, {**METRICS, "mmd:KERNEL": None})
    kernels.get(kernel)
    return Metric(
        "features",
        "features",
        (name,),
        lambda x, y: (metrics.mmd(x.features, y.features, kernel),),
        f"unbiased MMD^2 with the kernel {kernel}",
    )


def read_names(text: str) -> list[str]:
    """The names in a list, as "kid, fd" or "kid,mmd:rbf:2,5,fd".

    Raises:
      ValueError: see `metric`.
    """
    names: list[str] = []
    for word in text.split(","):
        word = word.strip()
        if names and names[-1].startswith("mmd:") and word[:1] and word[0] in _NUMBERS:
            names[-1] += f",{word}"  # a kernel's scales have commas too
        else:
            names.append(word)
    for name in names:
        metric(name)
    return names


def column(figure: str, features: str) -> str:
    """What a figure is called with these features.

    >>> column("kid_std", "pixels"), column("fd", "inception")
    ('kid_pixels_std', 'fid')
    """
    if figure.startswith(_OF_IMAGES):
        return figure
    if features == "inception":
        return "fid" if figure == "fd" else figure
    if is_spread(figure):
        name, spread = figure.rsplit("_", 1)
        return f"{name}_{features}_{spread}"
    return f"{figure}_{features}"


def is_spread(figure: str) -> bool:
    """Whether a figure or column says how sure another one is."""
    return figure.rpartition("_")[2] in SPREADS


def higher_is_better(column: str) -> bool:
    """Whether a column's larger values are the better ones.

    >>> higher_is_better("is_efflite0"), higher_is_better("kid_efflite0")
    (True, False)
    """
    return column.partition("_")[0] in _HIGHER


def feature_cache() -> Path:
    """The folder where features are kept."""
    return cache_folder() / "features"


def look(
    samples: Samples,
    features: Features,
    needs: Iterable[str],
    cache: Path | None = None,
    say: Callable[[int], None] = lambda done: None,
) -> Seen:
    """Runs samples through a network, chunk by chunk.

    Several workers share the chunks out and exchange what they found: all call it, and
    all get the same.

    Args:
      samples: what to look at.
      features: the network.
      needs: parts of `Seen`: "moments", "features", "logits", "images".
      cache: a folder where what is found is kept, and looked for, if the network has
        weights with a hash: a function of one's own may be another the next time.
      say: called with the number of samples that are done, by any of the workers.

    Raises:
      ValueError: logits of a network that has none; or what the samples or the network
        refuse.
    """
    needs = set(needs)
    cache = _usable(cache) if "sha256" in features.about else None
    said = gantf.__version__ + json.dumps(features.identity, sort_keys=True)
    network = hashlib.sha256(said.encode())
    prefix, files = network.hexdigest()[:16], []
    kept = needs - {"moments"}
    if cache is None and "moments" in needs:
        kept |= {"features"}
    index, workers = replicas.worker()
    if workers > 1 and "moments" in needs:
        kept |= {"features"}  # the cache may not be the one of the other workers
    parts: dict[str, list] = {part: [] for part in {*kept, "digests"}}
    starts = range(0, samples.n, _CHUNK)
    # A worker without a chunk looks at the first, to know of what shape they are.
    for start in starts[index::workers] or starts[:1]:
        chunk = samples.read(start, min(start + _CHUNK, samples.n))
        pixels = hashlib.sha256(f"{chunk.dtype} {chunk.shape}".encode())
        pixels.update(np.ascontiguousarray(chunk))
        files.append(_file(cache, f"{prefix}-{pixels.hexdigest()}"))
        found = {}
        if needs - {"images"}:
            found = _kept(files[-1], functools.partial(features, chunk))
        if "logits" in needs and "logits" not in found:
            raise ValueError(
                f"{features.name} is no classifier: it has no logits for metric is"
            )
        found["images"] = chunk
        found["digests"] = np.frombuffer(pixels.digest(), np.uint8)[None]
        for part, those in parts.items():
            those.append(found[part])
        say(start + len(chunk))
    if workers > 1:
        for part in sorted(parts):
            rows = 1 if part == "digests" else _CHUNK
            parts[part] = _exchanged(parts[part], rows, len(starts))
    content = hashlib.sha256(np.concatenate(parts.pop("digests")))
    moments = None
    if "moments" in needs:
        rows = parts.get("features") or (
            read_arrays(file)["features"] for file in files
        )
        stored_at = _file(cache, f"{prefix}-{content.hexdigest()}")
        stored = _kept(stored_at, functools.partial(_moments, rows))
        moments = Moments.of(stored["mu"], stored["sigma"], samples.n)
    arrays = {part: np.concatenate(those) for part, those in parts.items()}
    about = samples.about | {"content": content.hexdigest()}
    return Seen(about, samples.n, samples.lossy, moments, **arrays)


def _exchanged(chunks: list[np.ndarray], rows: int, total: int) -> list[np.ndarray]:
    """The chunks of all workers in their order, from those of this one.

    Args:
      chunks: this worker's; chunk i of all is that of worker i % workers.
      rows: of a chunk; the last of all may have fewer.
      total: how many chunks there are.
    """
    found = [
        iter(np.split(array, range(rows, len(array), rows)))
        for array in replicas.exchange(np.concatenate(chunks))
    ]
    return [next(found[i % len(found)]) for i in range(total)]


def _moments(batches: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    moments = Moments()
    for rows in batches:
        moments.update(rows)
    return {"mu": moments.mean, "sigma": moments.cov}


def _usable(cache: Path | None) -> Path | None:
    """The cache's folder, if it is one that can be written to."""
    if cache is None:
        return None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with whole(cache / "try") as unfinished:
            unfinished.touch()
        (cache / "try").unlink(missing_ok=True)
        return cache
    except OSError as error:
        warnings.warn(f"the cache {cache} takes nothing: {error.strerror}")
        return None


def _file(cache: Path | None, key: str) -> Path | None:
    """Where the cache keeps what has this key."""
    return cache and cache / key[-2:] / f"{key}.npz"


def _kept(path: Path | None, compute: Callable[[], dict]) -> dict[str, np.ndarray]:
    """What `compute` gives, from the cache's file if it is there."""
    if path is None:
        return compute()
    if found := cached_arrays(path):
        return found
    found = compute()
    if error := cache_arrays(path, found):
        warnings.warn(f"the cache {path.parent.parent} takes nothing: {error.strerror}")
    return found


def check(side: str, seen: Seen, metrics: Iterable[str]) -> None:
    """Refuses a file of statistics where a metric needs more.

    Args:
      side: "real" or "fake".
      seen: what is known of that side.
      metrics: names of metrics.
    """
    for name in metrics:
        part = getattr(metric(name), side)
        if part and getattr(seen, part) is None:
            raise ValueError(
                f"metric {name} needs the {part} of the {side} samples, which a file "
                "of statistics does not have; take metric fd, or the images"
            )


class Evaluator:
    """Compares generated samples with real ones, which are looked at once.

    Args:
      real: samples, or what `look` gave of them, or `Seen` of a statistics file.
      features: the network that samples are compared in.
      metrics: names of metrics, see `metric`.
      cache, say: of the real samples, see `look`.

    Attributes:
      real: what the network said of the real samples.

    Raises:
      ValueError: an unknown metric; real samples without what a metric needs.
    """

    def __init__(
        self,
        real: Samples | Seen,
        features: Features,
        metrics: Iterable[str] = DEFAULT,
        cache: Path | None = None,
        say: Callable[[int], None] = lambda done: None,
    ):
        self.features = features
        self._metrics = {name: metric(name) for name in metrics}
        if isinstance(real, Samples):
            if "is" in self._metrics:  # told before a training, not in it
                look(dataclasses.replace(real, n=1), features, {"logits"})
            needs = {row.real for row in self._metrics.values()} - {None}
            real = look(real, features, needs, cache, say)
        check("real", real, self._metrics)
        self.real = real

    def look(self, fake: Samples, cache: Path | None = None, say=lambda done: None):
        """What the network says of generated samples; see the function `look`."""
        needs = {row.fake for row in self._metrics.values()}
        return look(fake, self.features, needs, cache, say)

    def compare(self, fake: Seen) -> dict[str, Any]:
        """What scores.json has: "figures", "notes" on them and their "protocol"."""
        figures = self.figures(fake)
        return {
            "figures": figures,
            "notes": self.notes(fake, figures),
            "protocol": self.protocol(fake),
        }

    def figures(self, fake: Seen) -> dict[str, float]:
        """The figures of generated samples, by the names of their columns.

        The spread of a figure is left out where all subsets are the same, or one
        block is all there is.
        """
        check("fake", fake, self._metrics)
        found = {}
        for row in self._metrics.values():
            values = row.compute(self.real, fake)
            if not isinstance(values, dict):
                values = dict(zip(row.figures, values))
            found |= {column(k, self.features.name): v for k, v in values.items()}
        unknown = [k for k, v in found.items() if is_spread(k) and math.isnan(v)]
        return {key: value for key, value in found.items() if key not in unknown}

    def protocol(self, fake: Seen) -> dict[str, Any]:
        """What was compared with what, and how; for JSON."""
        size = 0 if "kid" not in self._metrics else _subset_size(self.real, fake)
        return {
            **self.features.about,
            "real": self.real.about,
            "generated": fake.about,
            **{key: row.rule.format(size=size) for key, row in self._metrics.items()},
            "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
            "versions": {
                "gantf": gantf.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
                "numpy": np.__version__,
            },
        }

    def notes(self, fake: Seen, figures: dict[str, float]) -> list[str]:
        """What one should know who reads these figures; sentences."""
        notes = [
            f"the {side} samples are JPEG files, whose artefacts count too"
            for side, seen in (("real", self.real), ("generated", fake))
            if seen.lossy
        ]
        size = _subset_size(self.real, fake) if "kid" in self._metrics else _SUBSET_SIZE
        if size < _SUBSET_SIZE:
            notes.append(
                f"kid: subsets of {size}, not {_SUBSET_SIZE}: there are {self.real.n} "
                f"and {fake.n} samples; the std of subsets that overlap says little"
            )
        if "fd" in self._metrics:
            d = len(self.real.moments.mean)
            few = [seen.n for seen in (self.real, fake) if (seen.n or d + 1) <= d]
            if few:
                notes.append(
                    f"fd: {min(few)} samples in {d} dimensions: the distance is biased "
                    "up; compare it at equal numbers only, or take kid"
                )
        shapes = [seen.about.get("shape") for seen in (self.real, fake)]
        if None not in shapes and shapes[0] != shapes[1]:
            notes.append(
                f"the real samples are {shapes[0]}, the generated ones {shapes[1]}: "
                "resolution is compared too"
            )
        if {"pr", "dc"} & set(self._metrics) and self.real.n != fake.n:
            notes.append(
                f"pr and dc depend on the numbers, {self.real.n} and {fake.n}: compare "
                "them at equal ones"
            )
        for seen in (self.real, fake):
            if "statistics" in seen.about and "network" not in seen.about:
                notes.append(
                    f"{seen.about['statistics']} does not say which network its "
                    "statistics are of"
                )
        for name, value in figures.items():
            unbiased = name.startswith(("kid", "mmd")) and not is_spread(name)
            if unbiased and value < 0:
                notes.append(
                    f"{name} is below 0: the estimate is unbiased, so between samples "
                    "of one law half of its values are"
                )
        return notes
