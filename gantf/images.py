"""One image file: what may be in it, and what keeps it from being read.

Images are grey or RGB of 8 bits; those with an alpha channel or more bits are refused
rather than guessed at, and so are files that are torn, moving pictures, and sizes that
would take the memory of many.
"""

import contextlib
import io
import os
import re
import warnings

from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# What a file starts with, and what reads it. `Image.open` would do the same, but warns
# of many pixels before anybody can ask for their number.
_KINDS = {
    "PNG": (rb"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    "JPEG": (rb"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    "WEBP": (rb"RIFF.{4}WEBP", WebPImagePlugin.WebPImageFile),
    "BMP": (rb"BM", BmpImagePlugin.BmpImageFile),
}
FORMATS = tuple(_KINDS)
MODES = {"1": 1, "L": 1, "P": 3, "RGB": 3, "CMYK": 3, "YCbCr": 3}  # mode -> channels

MOST_PIXELS = 2**26  # 8192 x 8192: 200 MB of RGB
LEAST_SIDE = 2  # pixels
LONGEST = 32  # the longer side, in shorter sides: resizing keeps their ratio

# Orientation in EXIF 2.3 -> what turns the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# A torn EXIF block is no reason to refuse an image, nor to warn of each tag in it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


class ReadError(ValueError):
    """A place or file that cannot be read as images; the message says what to do."""


def upright(image: Image.Image, channels: int) -> Image.Image:
    """A Pillow image as EXIF says that it was held, in 1 or 3 channels."""
    turn, mode = None, {1: "L", 3: "RGB"}[channels]
    with contextlib.suppress(Exception):  # of a broken EXIF block: it is no pixel
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    if image.mode != mode:
        image = image.convert(mode)
    if turn is not None:
        image = image.transpose(turn)
        image.info.clear()  # it is upright now
    return image


def load(file: io.BufferedIOBase) -> Image.Image:
    """The image of an open file: decoded, upright, and in mode L or RGB.

    Raises:
      ReadError: it is none, or not of a kind that is read; the message does not name
        the file, see `told`.
    """
    try:
        image = _opened(file)
        for check in _CHECKS:
            check(image)
        image.load()
        return upright(image, MODES[image.mode])
    except (ReadError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise ReadError(_MANY.format("more")) from None
    except Exception:  # Pillow has no list of what torn files raise
        raise ReadError(_TORN) from None


def look_at(file: io.BufferedIOBase) -> tuple[int, int, int]:
    """(w, h, channels) of an open file, see `load`."""
    image = load(file)
    return *image.size, len(image.getbands())


_TORN = "a torn image file; copy or download it again, or delete it"
_MANY = f"images have at most {MOST_PIXELS:,} pixels, this one {{}}; make it smaller"


def _opened(file):
    """An image whose header is read, and no pixel yet."""
    if not file.seek(0, os.SEEK_END):
        raise ReadError("an empty file; copy or download it again, or delete it")
    file.seek(0)
    start = file.read(12)
    file.seek(0)
    for magic, kind in _KINDS.values():
        if re.match(magic, start, re.DOTALL):
            return kind(file)
    raise ReadError(
        "no PNG, JPEG, WEBP or BMP image, whatever its name says; replace or delete it"
    )


def _check_size(image):
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ReadError(_MANY.format(f"{width} x {height}"))
    if min(image.size) < LEAST_SIDE or max(image.size) > LONGEST * min(image.size):
        raise ReadError(
            f"images have sides from {LEAST_SIDE} pixels, the longer at most {LONGEST}"
            f" times the shorter, this one {width} x {height}; cut or delete it"
        )


def _check_still(image):
    if image.format in ("PNG", "WEBP") and image.is_animated:
        raise ReadError(
            f"images stand still, this one has {image.n_frames} frames; save one of"
            " them, or delete it"
        )


def _check_opaque(image):
    if image.has_transparency_data:
        raise ReadError(
            f"images are grey or RGB, this one has transparency (mode {image.mode});"
            ' flatten it, e.g. by Pillow\'s convert("RGB")'
        )


def _check_depth(image):
    # Pillow reads a PNG of 16-bit colour as 8 bits without a word; the tile tells.
    deep = image.format == "PNG" and "16" in image.tile[0].args
    if image.mode not in MODES or deep:
        mode = "16-bit RGB" if deep and image.mode in MODES else f"mode {image.mode}"
        raise ReadError(
            f"images have 8 bits a channel, this one has {mode}; convert it"
        )


_CHECKS = (_check_size, _check_still, _check_opaque, _check_depth)


@contextlib.contextmanager
def told(path, name):
    """Any failure to read this file becomes a ReadError that starts with its name."""
    if not name.isprintable():  # a line of one file stays one line
        name = ascii(name)[1:-1]
    try:
        yield
    except ReadError as error:
        raise ReadError(f"{path}/{name}: {error}") from None
    except OSError as error:
        raise ReadError(f"{path}/{name}: {error.strerror or _TORN}") from None
    except (SyntaxError, ValueError, EOFError):
        raise ReadError(f"{path}/{name}: {_TORN}") from None
