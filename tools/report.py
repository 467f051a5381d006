"""Makes one page of a run: its figures, curves and pictures, and how to read them.

Usage:

    python tools/report.py runs/demo
    python tools/report.py runs/demo --out=demo.html

The page is one file that any browser shows; nothing is downloaded. Beside it the run
gets curves.png and samples.gif. The run may still be going on.
"""

import argparse
import sys
from pathlib import Path

from gantf import report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--out", type=Path, help="page; by default RUN/report.html")
    options = parser.parse_args()
    try:
        print(report.write(options.run, options.out))
    except (ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
