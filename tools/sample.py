"""Draws samples from the generator of a run; no data set is needed.

Usage:

    python tools/sample.py runs/demo
    python tools/sample.py runs/demo --count=100 --seed=3 --out=samples.png
    python tools/sample.py runs/conditional --label=7        # of one class
"""

import argparse
import sys
from pathlib import Path

from gantf import plots
from gantf.sampler import Sampler


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("--count", type=int, default=64, help="how many samples")
    parser.add_argument("--seed", type=int, help="the same seed, the same samples")
    parser.add_argument("--label", type=int, help="class; by default all in turn")
    parser.add_argument("--out", type=Path, help="picture; by default RUN/drawn.png")
    options = parser.parse_args()
    try:
        sampler = Sampler.of_run(options.run)
        samples = sampler.generate(options.count, options.label, options.seed)
    except ValueError as error:
        sys.exit(str(error))
    images = samples.ndim == 4
    draw = plots.grid(plots.to_uint8(samples)) if images else plots.scatter(samples)
    print(plots.save_png(options.out or options.run / "drawn.png", draw))


if __name__ == "__main__":
    main()
