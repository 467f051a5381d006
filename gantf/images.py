"""One image file: what may be in it, and how it is brought to size.

Images are grey or RGB of 8 bits; those with an alpha channel or more bits are refused
rather than guessed at, and so are files that are torn.
"""

import contextlib
import os
import zipfile
import zlib

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MODES = {"1": 1, "L": 1, "P": 3, "RGB": 3, "CMYK": 3, "YCbCr": 3}  # mode -> channels

# What the last bytes of a whole file hold, and how many to look at: cameras and
# editors put a few more behind the end.
TAILS = {"JPEG": (4096, b"\xff\xd9"), "MPO": (4096, b"\xff\xd9"), "PNG": (64, b"IEND")}


class ReadError(ValueError):
    """A place or file that cannot be read as images; the message says what to do."""


def prepare(image: Image.Image, size: int | None, channels: int) -> np.ndarray:
    """A Pillow image upright, in 1 or 3 channels and at its size: uint8 (h, w, c)."""
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    image = image.convert({1: "L", 3: "RGB"}[channels])
    if size is not None:
        scale = size / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        # Pillow copies, without resampling, where the size is already right.
        image = image.resize((width, height), Image.Resampling.LANCZOS)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image).reshape(image.height, image.width, channels)


def _orientation(image):
    """1..8 as in EXIF; broken EXIF data do not make a picture unreadable."""
    with contextlib.suppress(SyntaxError, ValueError, KeyError, TypeError):
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def look_at(file):
    """(w, h, channels) of an open image file, decoded only if its end looks torn."""
    length = file.seek(0, os.SEEK_END)
    if not length:
        raise ReadError("an empty file; copy or download it again, or delete it")
    image = Image.open(file, formats=FORMATS)
    if image.has_transparency_data:
        raise ReadError(
            f"images are grey or RGB, this one has transparency (mode {image.mode});"
            ' flatten it, e.g. by Pillow\'s convert("RGB")'
        )
    # Pillow reads 16-bit colour as 8 bits without a word; the tile tells.
    deep = any("16" in str(tile[3]) for tile in image.tile)
    if image.mode not in MODES or deep:
        mode = "16-bit RGB" if deep and image.mode in MODES else f"mode {image.mode}"
        raise ReadError(
            f"images have 8 bits a channel, this one has {mode}; convert it"
        )
    # PNG may keep EXIF data behind its pixels: not worth a decoding here.
    turned = "exif" in image.info and _orientation(image) >= 5
    width, height = reversed(image.size) if turned else image.size
    if not _has_end(file, image.format, length):
        file.seek(0)
        Image.open(file, formats=FORMATS).load()
    return width, height, MODES[image.mode]


def _has_end(file, kind, length):
    """Whether the last bytes tell that a file is whole; those of a BMP tell nothing."""
    if kind not in TAILS:
        return kind == "WEBP"  # Pillow refuses a torn one when it opens it
    span, mark = TAILS[kind]
    file.seek(max(0, length - span))
    return mark in file.read()


@contextlib.contextmanager
def told(path, name):
    """Any failure to read this file becomes a ReadError that starts with its name."""
    try:
        yield
    except ReadError as error:
        raise ReadError(f"{path}/{name}: {error}") from None
    except UnidentifiedImageError:
        kinds = "no PNG, JPEG, WEBP or BMP image, whatever its name says"
        raise ReadError(f"{path}/{name}: {kinds}; replace or delete it") from None
    except (FileNotFoundError, PermissionError) as error:
        raise ReadError(f"{path}/{name}: {error.strerror}") from None
    except (Image.DecompressionBombError, RuntimeError) as error:
        raise ReadError(f"{path}/{name}: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ReadError(
            f"{path}/{name}: a torn image file; copy or download it again, or delete it"
        ) from None
