"""A page of HTML that needs nothing beside it: pictures are inside, no script runs.

All text is escaped where it comes in; what functions here give is HTML, and only that
may be passed on as `parts`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image

_STYLE = """
body { margin: 0 auto; max-width: 1130px; padding: 24px; color: #222;
  background: #fff; font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 30px; }
h2 { margin: 40px 0 4px; padding-top: 12px; border-top: 1px solid #ddd;
  font-size: 21px; }
p { margin: 0 0 12px; max-width: 800px; }
.how, figcaption, summary { color: #666; }
.missing { color: #a04000; }
.row { display: flex; flex-wrap: wrap; gap: 16px 32px; align-items: flex-start; }
.row > * { min-width: 0; }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
img.crisp { image-rendering: pixelated; }
table { border-collapse: collapse; margin-bottom: 12px; }
th, td { padding: 3px 16px 3px 0; border-bottom: 1px solid #eee; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; overflow-wrap: normal; }
td.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
th.number { text-align: right; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 12px; background: #f6f6f6; }
summary { cursor: pointer; margin-bottom: 8px; }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(title: str, words: str) -> str:
    """The title of the page, with a line under it."""
    return f'<h1>{_text(title)}</h1>\n<p class="how">{_text(words)}</p>'


def section(title: str, words: str, parts: Iterable[str]) -> str:
    """A part of the page; the words tell how to read it."""
    inner = "\n".join(parts)
    return f'<h2>{_text(title)}</h2>\n<p class="how">{_text(words)}</p>\n{inner}'


def paragraph(words: str) -> str:
    return f"<p>{_text(words)}</p>"


def missing(words: str) -> str:
    """A line that says what is not on the page, and why."""
    return f'<p class="missing">{_text(words)}</p>'


def row(parts: Iterable[str]) -> str:
    """Parts side by side where there is room, else one below the other."""
    boxes = "\n".join(f"<div>{part}</div>" for part in parts)
    return f'<div class="row">\n{boxes}\n</div>'


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = ()) -> str:
    """Rows of cells, the first one of each its name; numbers stand at the right."""
    rows = [[_cell(cell) for cell in cells] for cells in rows]
    lines = [
        "<tr><th>" + cells[0][0] + "</th>" + "".join(map(_td, cells[1:])) + "</tr>"
        for cells in rows
    ]
    if head:
        numeric = [all(row[i][1] for row in rows) for i in range(len(head))]
        marks = [' class="number"' if number else "" for number in numeric]
        titles = [f"<th{mark}>{_text(h)}</th>" for mark, h in zip(marks, head)]
        lines.insert(0, f"<tr>{''.join(titles)}</tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _cell(value: Any) -> tuple[str, bool]:
    """HTML of a cell, and whether it is a number: a float or whole number, or None."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "\N{MINUS SIGN}"), True
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", True
    if value is None:
        return "", True
    return _text(value), False


def _td(cell: tuple[str, bool]) -> str:
    text, number = cell
    return f'<td class="number">{text}</td>' if number else f"<td>{text}</td>"


def details(summary: str, parts: Iterable[str]) -> str:
    """Parts that are shown when one clicks on the summary."""
    inner = "\n".join(parts)
    return f"<details>\n<summary>{_text(summary)}</summary>\n{inner}\n</details>"


def verbatim(text: str) -> str:
    """Lines as they are."""
    return f"<pre>{_text(text)}</pre>"


def picture(data: bytes, words: str, most: int = 1130, crisp: bool = True) -> str:
    """A PNG or GIF file with words under it.

    Args:
      data: the bytes of the file.
      words: what it shows.
      most: a small picture is enlarged by 2 or 3 while it is no wider than this.
      crisp: whether its pixels stay squares, as those of small images should.
    """
    with Image.open(io.BytesIO(data)) as image:
        width, height, kind = image.width, image.height, image.format.lower()
    times = max(min(most // width, 3), 1) if crisp else 1
    mark = ' class="crisp"' if crisp else ""
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure><img{mark} width="{times * width}" height="{times * height}" '
        f'alt="{_text(words)}" src="{address}">'
        f"<figcaption>{_text(words)}</figcaption></figure>"
    )


def _text(value: Any) -> str:
    return html.escape(str(value))
