"""A run's folder: taken for one process at a time, or refused; settings.json in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gantf
from gantf import settings as settings_
from gantf.files import InUse, is_unfinished, locked, sweep, write_json
from gantf.settings import Settings

_LOCK = ".lock"
_FULL = (
    "no space left for {}; free some and start again: the run goes on from its last "
    "checkpoint"
)


class RunError(Exception):
    """What stopped a run, in words for who started it."""


@contextlib.contextmanager
def claim(settings: Settings, prepared: str) -> Iterator[Path]:
    """Takes the folder of a run, new or begun, and writes its settings.json.

    Args:
      settings: of the run, resolved.
      prepared: how its images come to their size, see `gantf.preparation`.

    Raises:
      RunError: a folder that another process has, that holds a run of other settings
        or other things, or that cannot be written. It is then as it was.
    """
    folder = settings.folder
    with contextlib.ExitStack() as stack:
        with in_words(folder):
            new = not folder.exists()
            if not new:
                _check_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(locked(folder / _LOCK))
            except InUse as holder:
                raise RunError(
                    f"{folder} is in use: {holder} trains there; wait for it, or give "
                    "another --workdir"
                ) from None
            about = _about(settings, prepared)
            sweep(folder)
            write_json(folder / "settings.json", about)
        yield folder


def check_same(settings: Settings, stored: Mapping[str, Any]) -> None:
    """Refuses to go on with a run of other settings than these.

    Args:
      settings: resolved.
      stored: those of the run, as `Settings.to_dict` gave them; it may lack settings
        that were not there yet when it began: they have their defaults.

    Raises:
      RunError: that lists each setting that differs, the run's and the given.
    """
    with contextlib.suppress(ValueError):
        stored = settings_.resolve(stored).to_dict()
    differences = settings.differences(stored)
    if differences:
        lines = [f"- {key} {old}\n+ {key} {new}" for key, old, new in differences]
        raise RunError(
            f"{settings.folder} holds a run with other settings (- its own, + given):\n"
            + "\n".join(lines)
            + "\ngive another --workdir, or its own settings to go on with it"
        )


@contextlib.contextmanager
def in_words(folder: Path) -> Iterator[None]:
    """Turns what the system says of a run's folder into a RunError of one line."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:  # of TensorBoard's writer
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise RunError(_FULL.format(folder)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(_FULL.format(folder)) from error
        where = Path(error.filename or "/dev/null")
        if not (where.is_relative_to(folder) or folder.is_relative_to(where)):
            raise
        raise RunError(f"{folder} cannot be written: {error.strerror}") from error


def _check_folder(folder: Path) -> None:
    """Refuses what is no folder, or one of something else than a run."""
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; give another --workdir")
    if (folder / "settings.json").exists():
        return
    others = [path for path in folder.iterdir() if path.name != _LOCK]
    if not all(map(is_unfinished, others)):
        raise RunError(
            f"{folder} is no run's folder and not empty; give another --workdir"
        )


def _about(settings: Settings, prepared: str) -> dict[str, Any]:
    """What settings.json is to say; refuses a run that these settings do not fit."""
    here = {"versions": _versions(), "commit": _commit()}
    path, about = settings.folder / "settings.json", {"settings": settings.to_dict()}
    if not path.exists():
        return {**about, "prepared": prepared, **here}
    if not settings.resume:
        raise RunError(
            f"{settings.folder} holds a run already, which --noresume would write "
            "over; give another --workdir, or delete it"
        )
    stored = _stored(path)
    check_same(settings, stored["settings"])
    return stored | about | {"resumed": [*stored.get("resumed", []), here]}


def _stored(path: Path) -> dict[str, Any]:
    """The settings.json of a run."""
    try:
        about = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
        raise RunError(
            f"{path} is torn; delete {path.parent}, or give another --workdir"
        )
    return about


def _versions() -> dict[str, str]:
    return {
        "gantf": gantf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _commit() -> str | None:
    """The commit of the checkout that gantf runs from, if it is one."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None
