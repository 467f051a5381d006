"""What a prepared set is begun with, and what must be the same to go on with it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from gantf import __version__
from gantf.files import TORN, is_unfinished, sweep, write_json
from gantf.readers import Options, Source
from gantf.readers.shards import FORMAT, INDEX, PLAN

OTHER = "give another --out, or delete that folder"


class ShardError(ValueError):
    """A set that cannot be prepared; the message says what to do."""


def plan(
    name: str,
    place: str,
    sources: Mapping[str, Source],
    options: Options,
    shard_mb: int,
) -> dict[str, Any]:
    """All that decides what is in a prepared set, but for the images' own bytes.

    Args:
      name: of the set.
      place: what people call its source.
      sources: split -> its images.
      options: what was asked of the source.
      shard_mb: the most that a shard has.
    """
    first = next(iter(sources.values()))
    splits = {
        split: {"n": source.n, "labels": _labels_hash(source.labels)}
        for split, source in sources.items()
    }
    return {
        "format": FORMAT,
        "set": name,
        "shape": list(first.shape),
        "prepare": first.prepared.words,
        "label": options.label,
        "on_error": options.on_error,
        "shard_mb": shard_mb,
        "classes": list(next(filter(None, (s.classes for s in sources.values())), ())),
        "suffixes": sorted({end for one in sources.values() for end in one.suffixes}),
        "source": {"place": place, "splits": splits, **_files(Path(first.name))},
        "versions": {
            "gantf": __version__,
            "pillow": PIL.__version__,
            "numpy": np.__version__,
        },
    }


def _labels_hash(labels):
    return None if labels is None else hashlib.sha256(labels.tobytes()).hexdigest()


def _files(path):
    """How many files are in a place, their bytes, a hash of all names and sizes."""
    paths = [path] if path.is_file() else []
    for folder, _, names in os.walk(path):
        paths += [Path(folder, name) for name in names]
    rows = []
    for file in paths:
        with contextlib.suppress(OSError):  # a link to nowhere
            rows.append((file.relative_to(path.parent).as_posix(), file.stat().st_size))
    text = "".join(f"{name}\0{size}\0" for name, size in sorted(rows))
    return {
        "files": len(rows),
        "bytes": sum(size for _, size in rows),
        "names_and_sizes": hashlib.sha256(os.fsencode(text)).hexdigest(),
    }


def begin(folder: Path, plan: Mapping[str, Any]) -> bool:
    """Takes a folder: a new one, or one that was begun with the same plan.

    Returns:
      Whether it is finished.

    Raises:
      ShardError: it was begun otherwise, or has other files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (INDEX, PLAN):
        if (folder / name).exists():
            _check(folder, name, plan)
            sweep(folder)
            return name == INDEX
    if other := [path.name for path in folder.iterdir() if not is_unfinished(path)]:
        raise ShardError(f"{folder}: {min(other)} is in it; {OTHER}")
    sweep(folder)
    write_json(folder / PLAN, plan)
    return False


def _check(folder, name, plan):
    try:
        was = json.loads((folder / name).read_bytes())
        was = dict(_leaves({key: was.get(key) for key in plan}))
    except (*TORN, AttributeError):
        raise ShardError(f"{folder / name}: no whole file; {OTHER}") from None
    now = dict(_leaves(plan))
    changed = [
        f"{key} {_shown(was.get(key))}, now {_shown(now.get(key))}"
        for key in {**now, **was}
        if was.get(key) != now.get(key)
    ]
    if changed:
        raise ShardError(f"{folder}: begun otherwise: {'; '.join(changed)}; {OTHER}")


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What is in dicts of dicts, as ("source.splits.train.n", 20)."""
    if not isinstance(value, Mapping):
        yield key, value
        return
    for inner, one in value.items():
        yield from _leaves(one, f"{key}.{inner}" if key else inner)


def _shown(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
