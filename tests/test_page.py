"""Tests of page.py: HTML that is whole, escaped and alone."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from gantf import page, plots

BAD = "<script>alert('1 & \"2\"')</script>"
SAFE = "&lt;script&gt;alert(&#x27;1 &amp; &quot;2&quot;&#x27;)&lt;/script&gt;"


@pytest.mark.parametrize(
    "made",
    [
        page.document(BAD, []),
        page.heading(BAD, BAD),
        page.section(BAD, BAD, []),
        page.paragraph(BAD),
        page.missing(BAD),
        page.table([(BAD, BAD)], (BAD, BAD)),
        page.details(BAD, []),
        page.verbatim(BAD),
        page.picture(plots.to_png(np.zeros((2, 2, 1), np.uint8)), BAD),
    ],
)
def test_text_is_escaped_wherever_it_comes_in(made):
    assert SAFE in made and "<script" not in made


def test_parts_are_html_and_stand_in_order():
    parts = [page.paragraph("one"), page.paragraph("two")]
    for made in (
        page.document("", parts),
        page.section("", "", parts),
        page.row(parts),
        page.details("", parts),
    ):
        assert re.search("<p>one</p>.*<p>two</p>", made, re.S)


def test_numbers_of_tables_stand_at_the_right():
    made = page.table([("a", -0.0123456, "b", 12345), ("c", None, "d", 1)], "wxyz")
    assert made.splitlines() == [
        "<table>",
        '<tr><th>w</th><th class="number">x</th><th>y</th>'
        '<th class="number">z</th></tr>',
        '<tr><th>a</th><td class="number">−0.01235</td><td>b</td>'
        '<td class="number">12,345</td></tr>',
        '<tr><th>c</th><td class="number"></td><td>d</td>'
        '<td class="number">1</td></tr>',
        "</table>",
    ]
    assert page.table([("a", "b")]).count("<tr>") == 1  # no head


@pytest.mark.parametrize(
    "width, most, crisp, times",
    [(10, 29, True, 2), (10, 100, True, 3), (10, 5, True, 1), (10, 100, False, 1)],
)
def test_small_pictures_are_enlarged_by_whole_numbers(width, most, crisp, times):
    data = plots.to_png(np.full((4, width, 3), 9, np.uint8))
    made = page.picture(data, "nine", most, crisp)
    assert f'width="{times * width}" height="{times * 4}" alt="nine"' in made
    assert ('class="crisp"' in made) == crisp
    kind, text = re.search(r'src="data:image/(\w+);base64,([^"]*)"', made).groups()
    assert kind == "png" and base64.b64decode(text) == data


def test_films_are_gifs(tmp_path):
    frames = [np.full((4, 4, 3), level, np.uint8) for level in (0, 255)]
    data = plots.save_gif(tmp_path / "film.gif", frames).read_bytes()
    made = page.picture(data, "film")
    text = re.search(r"data:image/gif;base64,([^\"]*)", made)[1]
    assert Image.open(io.BytesIO(base64.b64decode(text))).n_frames == 2


def test_a_page_is_alone():
    made = page.document("title", [page.paragraph("words")])
    assert made.startswith("<!DOCTYPE html>") and "<title>title</title>" in made
    assert not re.search(r"<script|<link|@import|url\(|https?:", made)
