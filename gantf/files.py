"""Files that are written whole or not at all, their hashes, and the cache's folder."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves what is there in its place.

    The other path has the same endings, since some writers choose by them, and is this
    process's own.
    """
    unfinished = path.with_name(f"unfinished-{os.getpid()}{''.join(path.suffixes)}")
    yield unfinished
    os.replace(unfinished, path)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all."""
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where converted weights, features and statistics are kept, to be used again.

    GANTF_CACHE if it is set, else gantf/ in XDG_CACHE_HOME or in ~/.cache. All in it
    can be made again: it may be deleted at any time.
    """
    if own := os.environ.get("GANTF_CACHE"):
        return Path(own).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "gantf"
