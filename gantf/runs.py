"""What a run left in its folder, read as far as it goes.

A run may have been stopped at any moment: what is missing or torn reads as nothing.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gantf import datasets, experiment
from gantf import settings as settings_
from gantf.callbacks import TAGS
from gantf.evaluate import SPREADS, is_spread
from gantf.sampler import Sampler

FAKE, REAL = 500, 2500  # samples that are drawn and read, at most
_OF_STEPS = {"step", *TAGS}  # columns of metrics.csv that are no evaluations' figures


class NotHere(ValueError):
    """The data of a run is not on this machine."""


class Run:
    """A run's folder; each part is loaded when it is asked for, and once.

    Args:
      folder: of the run.

    Attributes:
      folder: as given.
      about: settings.json.
      stored: the settings in it, as they were written.

    Raises:
      ValueError: a folder of no run.
    """

    def __init__(self, folder: Path):
        self.folder, self.about = folder, read_json(folder / "settings.json")
        self.stored = as_dict(self.about.get("settings"))
        if not self.stored:
            raise ValueError(f"{folder} is no folder of a run")

    @functools.cached_property
    def rows(self) -> list[dict[str, str]]:
        """The whole rows of metrics.csv."""
        try:
            text = (self.folder / "metrics.csv").read_text("utf-8", "replace")
        except OSError:
            return []
        lines = text.rpartition("\n")[0].splitlines()  # a torn line has no end
        rows = [r for r in csv.DictReader(lines) if None not in (*r, *r.values())]
        return [row for row in rows if row.get("step", "").isdigit()]

    def column(self, name: str) -> list[tuple[int, float]]:
        """The (step, value) pairs of a column of metrics.csv."""
        pairs = [(int(row["step"]), as_number(row.get(name))) for row in self.rows]
        return [(step, value) for step, value in pairs if value is not None]

    @functools.cached_property
    def scores(self) -> dict[str, Any]:
        """scores.json."""
        return read_json(self.folder / "scores.json")

    @functools.cached_property
    def figures(self) -> dict[str, str | None]:
        """The figures of evaluations, each with the column of its spread, or None."""
        columns = [name for name in (self.rows or [{}])[0] if self.column(name)]
        columns += as_dict(self.scores.get("figures"))
        names = {n for n in columns if "/" not in n and n not in _OF_STEPS}
        spreads = {n: [s for s in SPREADS if f"{n}_{s}" in names] for n in names}
        return {
            name: f"{name}_{spreads[name][0]}" if spreads[name] else None
            for name in dict.fromkeys(columns)
            if name in names and not is_spread(name)
        }

    def latest(self, name: str | None) -> float | None:
        """The last value of a figure: that of scores.json, or of the table."""
        scores = as_dict(self.scores.get("figures"))
        if name in scores:
            return as_number(scores[name])
        return self.column(name)[-1][1] if name and self.column(name) else None

    def best(self, name: str, higher: bool) -> tuple[int | None, float | None]:
        """The first step with the best value of a figure, and that value.

        Args:
          name: of the figure.
          higher: whether more is better.
        """
        pairs = [pair for pair in self.column(name) if math.isfinite(pair[1])]
        choose = max if higher else min
        return choose(pairs, key=lambda pair: pair[1], default=(None, None))

    @functools.cached_property
    def pictures(self) -> dict[int, Path]:
        """The pictures of the same latents by their step, in order."""
        paths = (self.folder / "samples").glob("step_*.png")
        found = {re.fullmatch(r"step_(\d+)", path.stem): path for path in paths}
        return {s: p for s, p in sorted((int(m[1]), p) for m, p in found.items() if m)}

    @property
    def step(self) -> int:
        """The last step that is known of."""
        return max(
            [*(int(row["step"]) for row in self.rows), *self.pictures], default=0
        )

    @property
    def of_images(self) -> bool:
        """Whether samples are images, as far as settings.json says."""
        sample = as_dict(self.stored.get("architecture")).get("sample")
        return "x" in str(sample)

    @functools.cached_property
    def settings(self) -> settings_.Settings:
        """The settings, resolved."""
        return settings_.resolve(self.stored)

    @functools.cached_property
    def sampler(self) -> Sampler:
        """The generator."""
        return Sampler.of_run(self.folder)

    @functools.cached_property
    def fake(self) -> tuple[np.ndarray, np.ndarray | None]:
        """`FAKE` generated samples in [-1, 1]; their labels, all classes in turn."""
        classes = self.settings.architecture["classes"]
        labels = np.arange(FAKE, dtype=np.int32) % classes if classes else None
        asked = labels if self.sampler.takes_labels else None
        return self.sampler.generate(FAKE, asked, seed=0), labels

    @functools.cached_property
    def real(self) -> tuple[np.ndarray, np.ndarray | None]:
        """`REAL` training samples, or all if there are fewer, and their labels.

        They are uint8 images or float points, in a random order.

        Raises:
          NotHere: the data is not on this machine.
        """
        data = self.settings.data
        missing = NotHere(f"{data} is not on this machine")
        if not _is_here(data):
            raise missing
        try:
            source = experiment.open_source(self.settings)
        except datasets.NotHere:
            raise missing from None
        order = np.random.RandomState(0).permutation(source.n)[:REAL]
        labels = None if source.labels is None else source.labels[order]
        return source.read(order), labels


def read_json(path: Path) -> dict[str, Any]:
    """The dict of a JSON file, or an empty one."""
    try:
        return as_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, RecursionError):
        return {}


def as_dict(value: Any) -> dict[str, Any]:
    """A dict as it is, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_number(value: Any) -> float | None:
    """A number, also in a text; else None."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def flat(value: Any, *keys: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What dicts in dicts hold, as ((outer key, inner key, ..), text)."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, *keys, key)
    else:
        value = "none" if value is None else value
        yield keys, value if isinstance(value, str) else json.dumps(value)


def _is_here(data: str) -> bool:
    """Whether a place is on this machine, or a set of TFDS; known sets may be."""
    kind, _, name = data.partition(":")
    if kind == "tfds":  # which would be downloaded
        home = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
        place = Path(home).expanduser() / name.partition(":")[0]
        return any(place.glob("**/dataset_info.json"))
    return data in datasets.names() or Path(data).expanduser().exists()
