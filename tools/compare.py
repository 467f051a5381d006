"""Draws one figure of several runs as curves, and their running means over them.

Usage:

    python tools/compare.py runs/a runs/b                  # generator_loss
    python tools/compare.py runs/a runs/b --column=kid_pixels --window=1
    python tools/compare.py runs/a runs/b --column=-discriminator_loss

The columns are those of the runs' metrics.csv; one after a "-" is drawn with its sign
turned, as the Wasserstein estimate of WGANs, -discriminator_loss.
"""

import argparse
import csv
import sys
from pathlib import Path

from gantf import plots
from gantf.choices import choose


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("--column", default="generator_loss", help="of metrics.csv")
    parser.add_argument("--window", type=int, default=100, help="points in a mean")
    parser.add_argument(
        "--out", type=Path, default=Path("compared.png"), help="picture"
    )
    options = parser.parse_args()
    try:
        # Folders may have the same name, so that curves have the path's.
        points = {str(run): column(run, options.column) for run in options.runs}
        picture = plots.curves(points, options.window, ("step", options.column))
    except ValueError as error:
        sys.exit(str(error))
    print(plots.save_png(options.out, picture))


def column(run: Path, name: str) -> list[tuple[int, float]]:
    """The (step, value) pairs of a column of a run."""
    path = run / "metrics.csv"
    if not path.is_file():
        raise ValueError(f"{run} is no folder of a run with a metrics.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    name, sign = (name[1:], -1.0) if name.startswith("-") else (name, 1.0)
    choose(f"column of {path}", name, rows[0] if rows else {})
    return [(int(row["step"]), sign * float(row[name])) for row in rows if row[name]]


if __name__ == "__main__":
    main()
