"""Places that tests open: what they give, how they are refused, how damaged."""

import io

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from gantf import readers
from gantf.readers import Options, ReadError


def open_place(place, split="train", **options):
    return readers.open_place(place, Options(split=split, **options))


def everything(source):
    """All images of a source."""
    return source.read(np.arange(source.n))


def message(*arguments, **options):
    """The one line that a place is refused with."""
    with pytest.raises(ReadError) as error:
        open_place(*arguments, **options)
    assert str(error.value).isprintable()
    return str(error.value)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image, kind="PNG", **options):
    """The bytes of an array as an image file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def damages(data):
    """The data cut short, or with a few bits turned: a strategy of hypothesis."""
    bits = st.lists(st.integers(0, 8 * len(data) - 1), min_size=1, max_size=4)
    return st.one_of(
        st.integers(0, len(data) - 1).map(lambda size: data[:size]),
        bits.map(lambda some: _turned(data, some)),
    )


def _turned(data, bits):
    array = np.frombuffer(data, np.uint8).copy()
    for bit in bits:
        array[bit // 8] ^= 1 << bit % 8
    return array.tobytes()


def read_or_refused(place, **options):
    """Reads all of a place that is damaged: it works, or there is one line why not."""
    try:
        everything(open_place(place, **options))
    except ReadError as error:
        assert str(error).isprintable()
        assert str(error).startswith(str(place))
