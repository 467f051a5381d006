"""Files that are written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and moves what is there in its place.

    The other path has the same endings, since some writers choose by them.
    """
    unfinished = path.with_name("unfinished" + "".join(path.suffixes))
    yield unfinished
    os.replace(unfinished, path)
