import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from gantf import images
from gantf.images import ReadError

NOISE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def encoded(image, kind="PNG", **options):
    """An array or Pillow image as the bytes of a file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def load(content):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be one line too many
        return images.load(io.BytesIO(content))


def pixels(content):
    return np.asarray(load(content))


def message(content):
    with pytest.raises(ReadError) as error:
        load(content)
    return str(error.value)


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(width, height, *chunks, depth=8, colour=2):
    """A PNG that ends after its header and these chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks])


def data(height, stride):
    return chunk(b"IDAT", zlib.compress((b"\0" + bytes(stride)) * height))


# What is read


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
@pytest.mark.parametrize("width", [16, 53, 160])  # "16" is in strides of 53 x 24 bits
def test_pixels_come_as_they_are(kind, width):
    image = np.random.default_rng(1).integers(0, 256, (5, width, 3), np.uint8)
    np.testing.assert_array_equal(pixels(encoded(image, kind)), image)
    np.testing.assert_array_equal(pixels(encoded(image[..., 0], kind)), image[..., 0])
    assert images.look_at(io.BytesIO(encoded(image, kind))) == (width, 5, 3)
    assert images.look_at(io.BytesIO(encoded(image[..., 0], kind))) == (width, 5, 1)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_kinds(kind):
    grey = np.full((9, 7, 3), 90, np.uint8)
    assert abs(pixels(encoded(grey, kind)).astype(int) - 90).max() <= 1


def test_kinds_are_known_by_their_content():
    assert images.FORMATS == ("PNG", "JPEG", "WEBP", "BMP")
    for kind in images.FORMATS:
        assert load(encoded(NOISE, kind)).size == (20, 12)


# EXIF 2.3, 4.6.4: where row 0 and column 0 of the file are in the picture.
TURNS = {
    1: lambda x: x,  # top, left
    2: lambda x: x[:, ::-1],  # top, right
    3: lambda x: x[::-1, ::-1],  # bottom, right
    4: lambda x: x[::-1],  # bottom, left
    5: lambda x: x.T,  # left, top
    6: lambda x: x.T[:, ::-1],  # right, top
    7: lambda x: x.T[::-1, ::-1],  # right, bottom
    8: lambda x: x.T[::-1],  # left, bottom
    9: lambda x: x,  # none
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(np.stack([NOISE[..., 0]] * 3, 2), kind, exif=exif, lossless=True)
    image = load(content)
    truth = TURNS[orientation](NOISE[..., 0])
    np.testing.assert_array_equal(np.asarray(image)[..., 0], truth)
    # Once turned, it stays.
    again = np.asarray(images.upright(image, 1))
    np.testing.assert_array_equal(again, truth)


def test_upright_leaves_what_it_is_given():
    exif = Image.Exif()
    exif[0x0112] = 6
    given = Image.open(io.BytesIO(encoded(NOISE, exif=exif)))
    assert images.upright(given, 3).size == (12, 20)
    assert (given.size, given.getexif()[0x0112]) == ((20, 12), 6)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0",  # orientation, torn
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0" + bytes(range(60)),
        b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0",  # text
        b"\xff" * 40,
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_is_no_pixel(kind, exif):
    image = images.load(
        io.BytesIO(encoded(np.zeros((6, 9, 3), np.uint8), kind, exif=exif))
    )
    assert sorted(image.size) == [6, 9]
    assert not np.asarray(image).any()


_WARNINGS = """
import io, json, warnings
from PIL import Image
from gantf import images
warned, file = [], io.BytesIO()
warnings.showwarning = lambda *words: warned.append(str(words))
torn = b"Exif\\0\\0II*\\0\\10\\0\\0\\0\\1\\0\\22\\1\\3\\0"
Image.new("L", (5, 5)).save(file, "PNG", exif=torn)
images.load(file)
print(json.dumps(len(warned)))
"""


def test_broken_exif_is_not_warned_of(in_process):
    assert in_process(_WARNINGS) == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_broken_profile_is_no_pixel(kind):
    black = np.zeros((6, 9, 3), np.uint8)
    assert not pixels(encoded(black, kind, icc_profile=b"no profile")).any()
    torn = png(
        4, 4, chunk(b"iCCP", b"name\0\0no zlib"), data(4, 12), chunk(b"IEND", b"")
    )
    assert pixels(torn).shape == (4, 4, 3)


def test_cmyk_is_not_inverted():
    # As Adobe writes them: 255 is no ink. (1 - c) (1 - k), .. of ink c, m, y, k.
    inks = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 102, 51], [0, 0, 0, 255]])
    colours = [[0, 255, 255], [255, 0, 255], [204, 204, 122], [0, 0, 0]]
    for ink, colour in zip(inks, colours):
        image = Image.new("CMYK", (16, 16), tuple(map(int, ink)))
        content = encoded(image, "JPEG", quality=100)
        assert b"Adobe" in content
        assert abs(pixels(content)[8, 8].astype(int) - colour).max() <= 2


def test_ycck_is_not_inverted():
    # Bytes (0, 255, 255, 255) of the file, said to be Y, Cb, Cr, K by Adobe's marker.
    # JFIF (ITU-T T.871): red is Y + 1.402 (Cr - 128) = 178, green below 0, blue 225;
    # Adobe's inks are 255 less that, and what is written is 255 less the ink.
    content = encoded(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    at = content.index(b"Adobe") + 11
    assert content[at] == 0
    content = content[:at] + b"\2" + content[at + 1 :]
    assert abs(pixels(content)[8, 8].astype(int) - [77, 255, 30]).max() <= 1


def test_the_first_picture_of_a_jpeg_of_several():
    pictures = [Image.new("RGB", (9, 8), colour) for colour in ("red", "blue")]
    content = encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:])
    assert abs(pixels(content).astype(int) - [255, 0, 0]).max() <= 2


# What is refused

TORN = "a torn image file; copy or download it again, or delete it"
FOREIGN = (
    "no PNG, JPEG, WEBP or BMP image, whatever its name says; replace or delete it"
)
ALPHA = "images are grey or RGB, this one has transparency (mode {}); flatten it, e.g."
ALPHA += ' by Pillow\'s convert("RGB")'
DEEP = "images have 8 bits a channel, this one has {}; convert it"
MANY = "images have at most 67,108,864 pixels, this one {}; make it smaller"
SIDES = "images have sides from 2 pixels, the longer at most 32 times the shorter, this"
SIDES += " one {}; cut or delete it"
STILL = "images stand still, this one has {} frames; save one of them, or delete it"


def frames(kind, count):
    first, *others = (Image.new("RGB", (8, 8), (9 * i, 0, 0)) for i in range(count))
    return encoded(first, kind, save_all=True, append_images=others)


BAD = {
    "nothing": (b"", "an empty file; copy or download it again, or delete it"),
    "text": (b"no image", FOREIGN),
    "a byte": (b"\x89", FOREIGN),
    "GIF": (encoded(NOISE, "GIF"), FOREIGN),
    "TIFF": (encoded(NOISE, "TIFF"), FOREIGN),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt ", FOREIGN),
    "RGBA": (encoded(Image.new("RGBA", (4, 4))), ALPHA.format("RGBA")),
    "LA": (encoded(Image.new("LA", (4, 4))), ALPHA.format("LA")),
    "tRNS": (encoded(NOISE, transparency=(1, 2, 3)), ALPHA.format("RGB")),
    "16 bits": (encoded(np.zeros((4, 4), np.uint16)), DEEP.format("mode I;16")),
    "48 bits": (
        png(4, 4, data(4, 24), chunk(b"IEND", b""), depth=16),
        DEEP.format("16-bit RGB"),
    ),
    "moving PNG": (frames("PNG", 2), STILL.format(2)),
    "moving WEBP": (frames("WEBP", 3), STILL.format(3)),
    # Their pixels are missing: the size is told first.
    "huge": (png(8193, 8192, data(1, 1)), MANY.format("8193 x 8192")),
    "Pillow would warn": (png(10000, 10000, data(1, 1)), MANY.format("10000 x 10000")),
    "Pillow would refuse": (
        png(65000, 65000, data(1, 1)),
        MANY.format("65000 x 65000"),
    ),
    "huge WEBP": (
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2,
        MANY.format("more"),
    ),
    "a pixel": (encoded(NOISE[:1, :1]), SIDES.format("1 x 1")),
    "a line": (encoded(NOISE[:, :1]), SIDES.format("1 x 12")),
    "too long": (encoded(np.zeros((2, 65), np.uint8)), SIDES.format("65 x 2")),
    "no palette": (png(4, 4, data(4, 4), chunk(b"IEND", b""), colour=3), TORN),
}


@pytest.mark.parametrize("name", BAD)
def test_error_bad_image(name):
    content, words = BAD[name]
    assert message(content) == words


def test_as_large_and_long_as_may_be():
    assert message(png(8192, 8192, data(1, 1))) == TORN  # and not too large
    assert pixels(encoded(np.zeros((2, 64), np.uint8))).shape == (2, 64)
    assert pixels(encoded(np.zeros((64, 2), np.uint8))).shape == (64, 2)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_error_torn(kind):
    content = encoded(NOISE, kind)
    for size in (13, 40, len(content) // 2, len(content) * 3 // 4):
        assert message(content[:size]) == TORN


def test_a_strange_end_is_fine():
    for kind in images.FORMATS:
        assert load(encoded(NOISE, kind) + b"more").size == (20, 12)


# How it is told


def test_a_name_stays_in_its_line():
    with pytest.raises(ReadError) as error, images.told("set", "a\nb\udcff.png"):
        raise ReadError("too small")
    assert str(error.value) == r"set/a\nb\udcff.png: too small"
    with pytest.raises(ReadError) as error, images.told("set", "größe 1.png"):
        raise ReadError("too small")
    assert str(error.value) == "set/größe 1.png: too small"


@pytest.mark.parametrize(
    "error, words",
    [
        (
            FileNotFoundError(2, "No such file or directory"),
            "No such file or directory",
        ),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError("image file is truncated"), TORN),
        (ValueError("anything"), TORN),
        (EOFError(), TORN),
    ],
)
def test_what_goes_wrong_outside(error, words):
    with pytest.raises(ReadError) as found, images.told("set", "a.png"):
        raise error
    assert str(found.value) == f"set/a.png: {words}"


def test_no_memory_is_no_fault_of_the_file(monkeypatch):
    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(images, "upright", full)
    with pytest.raises(MemoryError):
        load(encoded(NOISE))
