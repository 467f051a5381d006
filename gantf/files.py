"""Files that are written whole or not at all, locks, hashes, and the cache's folder."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import socket
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

# What NumPy and zipfile raise on bytes that are no whole .npz file.
TORN = (EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
_UNFINISHED = re.compile(r"unfinished-[0-9a-f]{32}(\..*)?")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves what is there in its place.

    The other path has the same endings, since some writers choose by them, and a name
    that no other writer has. It does not stay where writing fails; what a killed
    program leaves, `sweep` takes away.
    """
    name = f"unfinished-{uuid.uuid4().hex}{''.join(path.suffixes)}"
    unfinished = path.with_name(name)
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a path is one that `whole` gave to write to."""
    return bool(_UNFINISHED.fullmatch(path.name))


def sweep(folder: Path) -> None:
    """Takes away what programs left unfinished in a folder that none writes to."""
    for path in filter(is_unfinished, folder.glob("**/unfinished-*")):
        path.unlink(missing_ok=True)


class InUse(Exception):
    """A lock that another process holds; `str` of it says which one."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock: a file that one process at a time has, and that goes with it.

    The system gives the lock back where its holder dies, however that comes.

    On a file system that knows no locks it warns, and holds none.

    Raises:
      InUse: another process has it.
      OSError: the file cannot be made.
    """
    with _lock(path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            if os.fstat(file.fileno()).st_nlink:
                path.unlink(missing_ok=True)


def _lock(path: Path) -> TextIO:
    """The file of a lock, open and locked."""
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking its last holder may have taken it away.
            if os.fstat(file.fileno()).st_nlink:
                return file
            file.close()
        except BlockingIOError:
            with file:
                file.seek(0)
                raise InUse(file.read().strip() or "another process") from None
        except OSError as error:
            warnings.warn(
                f"{path}: no locks there ({error.strerror}); start one process only"
            )
            return file


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all."""
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz.

    Raises:
      OSError, or one of `TORN`.
    """
    with np.load(path, allow_pickle=False) as file:
        found = dict(file)
    if not found:
        raise ValueError(f"{path} is torn")
    return found


def cached_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an .npz in the cache; None where it is not there, or torn."""
    try:
        return read_arrays(path)
    except (OSError, *TORN):
        return None


def cache_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> OSError | None:
    """Keeps arrays in the cache, or gives what is in the way.

    A full disk is no reason to lose what was computed: that is for the caller to say.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished:
            np.savez(unfinished, **arrays)
    except OSError as error:
        return error
    return None


def cache_folder() -> Path:
    """Where converted weights, features and statistics are kept, to be used again.

    GANTF_CACHE if it is set, else gantf/ in XDG_CACHE_HOME or in ~/.cache. All in it
    can be made again: it may be deleted at any time.
    """
    if own := os.environ.get("GANTF_CACHE"):
        return Path(own).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "gantf"
