"""Sets of a million images in a few files: listed once, looked at when asked for."""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gantf.files import cache_arrays, cache_folder, cached_arrays
from gantf.images import ReadError, load, told
from gantf.readers.source import Faults, Options, Source, image_source

FIRST = 8  # images that are looked at when a set is opened
_FORM = 1  # of the lists that are kept; another number makes them anew


def listed(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict:
    """What `make` lists of a file, kept in the cache for as long as it is the same.

    Args:
      path: the file.
      make: what gives arrays, each under its name.
    """
    status = path.stat()
    words = f"{_FORM} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    name = hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    kept = cache_folder() / "lists" / f"{name}.npz"
    if found := cached_arrays(kept):
        return found
    words = f"{path}: listing what is in it; that is kept for the next time"
    print(f"gantf: {words}", file=sys.stderr, flush=True)
    found = make()
    if error := cache_arrays(kept, found):
        print(f"gantf: {kept}: {error.strerror}", file=sys.stderr, flush=True)
    return found


def check_sized(name: object, options: Options) -> None:
    """Refuses to read without a size what is not looked through for sizes."""
    if options.preparation.size is None:
        raise ReadError(
            f"{name}: a set of this kind is not looked through for the sizes of its"
            " images; give size=, the pixels a side that they shall have"
        )


def large_source(
    name: str,
    options: Options,
    n: int,
    data: Callable[[int], bytes],
    called: Callable[[int], str],
    labels: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
) -> Source:
    """A source of image files of which only the first few are looked at.

    Args:
      name: what people call it.
      options: what is asked for, a size among it; see `check_sized`.
      n: how many images.
      data: number -> the bytes of an image file, or a `ReadError` that does not name
        it; any number of threads may call it.
      called: what messages call an image.
      labels: whole numbers (n,) from 0, or None.
      classes: names of the labels.
    """

    def image(number):
        with told(name, called(number)):
            return load(io.BytesIO(data(number)))

    faults, bad = Faults(name, options.on_error), []
    for number in range(min(n, FIRST)):
        try:
            image(number)
        except ReadError as error:
            faults.meet(error)
            bad.append(error)
    if bad and len(bad) == min(n, FIRST):
        raise ReadError(f"{bad[0]} (and so are all of the first {len(bad)})")
    size = options.preparation.size[::-1]
    return image_source(
        *(name, options, n, image, size, 3, labels, called, faults), classes=classes
    )
