"""Damaged files and archives: what is wrong is told in a line, and nothing is lost."""

import contextlib
import io
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gantf.readers import Options, ReadError, open_place


def encoded(kind, mode, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
WHOLE = [
    encoded("PNG", "RGB"),
    encoded("PNG", "P", exif=EXIF),
    encoded("PNG", "RGBA"),
    encoded("JPEG", "RGB", exif=EXIF, icc_profile=b"profile" * 9),
    encoded("JPEG", "CMYK"),
    encoded("JPEG", "L", progressive=True),
    encoded("WEBP", "RGB", exif=EXIF),
    encoded("WEBP", "RGB", lossless=True),
    encoded("BMP", "RGB"),
    encoded("BMP", "P"),
]
NAMES = ["a.png", "b.jpg", "c.webp"]

# Where and how bytes are damaged; most places are in the head, where it matters.
place = st.one_of(st.integers(0, 64), st.integers(0, 2**16))
damage = st.one_of(
    st.tuples(st.just("cut"), place, st.just(b"")),
    st.tuples(st.just("flip"), place, st.integers(0, 7).map(lambda i: bytes([1 << i]))),
    st.tuples(st.just("write"), place, st.binary(min_size=1, max_size=6)),
    st.tuples(st.just("insert"), place, st.binary(min_size=1, max_size=6)),
)
damages = st.lists(damage, max_size=3)


def damaged(content, damages):
    for kind, place, new in damages:
        place %= max(1, len(content))
        head, tail = content[:place], content[place:]
        if kind == "cut":
            content = head
        elif kind == "flip":
            content = head + bytes(a ^ b for a, b in zip(tail[:1], new)) + tail[1:]
        elif kind == "write":
            content = head + new + tail[len(new) :]
        else:
            content = head + new + tail
    return content


def as_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def as_tar(path, files):
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 0.5  # which takes a pax header
            archive.addfile(member, io.BytesIO(content))


def told_or_read(place):
    """Opens and reads a place; how many images were read, listed or called no images.

    None where the place is refused.
    """
    counts = {}
    for on_error in ("refuse", "skip"):
        screen = io.StringIO()
        try:
            with contextlib.redirect_stderr(screen):
                source = open_place(place, Options(size=8, on_error=on_error))
            images = source.read(np.arange(source.n))
        except ReadError as error:
            assert str(error).startswith(str(place))
            assert "\n" not in str(error)
            counts[on_error] = None
            continue
        assert images.shape[:3] == (source.n, 8, 8)
        others = [
            int(line.split()[-6])
            for line in screen.getvalue().splitlines()
            if line.endswith("files in it are no images")
        ]
        counts[on_error] = source.n + len(source.faults.lines) + sum(others)
        if on_error == "refuse":
            assert not source.faults.lines
    if counts["refuse"] is not None:
        assert counts["skip"] == counts["refuse"]
    return counts["skip"]


@pytest.fixture(scope="module")
def room():
    """A folder that examples fill and empty."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of torn EXIF blocks
@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(WHOLE), damages), min_size=3, max_size=3))
def test_damaged_images(room, files):
    folder = room / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, (content, damages) in zip(NAMES, files):
        (folder / name).write_bytes(damaged(content, damages))
    count = told_or_read(folder)
    assert count in (3, None)


@settings(max_examples=200)
@given(
    st.sampled_from([as_zip, as_tar]),
    st.lists(st.sampled_from(WHOLE), min_size=3, max_size=3),
    damages,
    st.booleans(),
)
def test_damaged_archives(room, pack, contents, damages, directory):
    path = room / {as_zip: "a.zip", as_tar: "a.tar"}[pack]
    pack(path, dict(zip(NAMES, contents)))
    content = path.read_bytes()
    start = content.find(b"PK\1\2") if directory and pack is as_zip else 0
    path.write_bytes(content[:start] + damaged(content[start:], damages))
    count = told_or_read(path)
    assert count is None or count >= 3


@settings(max_examples=60)
@given(st.sampled_from([".png", ".zip", ".tar", ".npy"]), st.binary(max_size=2000))
def test_any_bytes(room, suffix, content):
    folder = room / "any"
    folder.mkdir(exist_ok=True)
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    assert told_or_read(folder if suffix == ".png" else path) is None
    path.unlink()
