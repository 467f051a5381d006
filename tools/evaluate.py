"""Compares two sets of images, one of them real, in figures that others can check.

Each of REAL and GENERATED is a folder or zip of images, an .npz or .npy, a run, the
name of a set, or a file of statistics (mu, sigma, as pytorch-fid writes it).

Usage:

    python tools/evaluate.py cifar10 runs/cifar10-rep --n=5000
    python tools/evaluate.py photos/ samples.zip --features=efflite0 --size=64
    python tools/evaluate.py cifar10 cifar10 --splits train test --metrics=kid,fd,is,pr
    python tools/evaluate.py cifar10 runs/cifar10-rep/best.keras --n=50000
        --features=inception --weights=inception-2015-12-05.tgz
    python tools/evaluate.py cifar10 --statistics=cifar10.npz       # mu, sigma of REAL

An evaluation that was interrupted goes on where it stopped: what a network says of
images is kept, by the hash of their pixels, in ~/.cache/gantf (or GANTF_CACHE).
"""

import argparse
import os
import sys
import time
from pathlib import Path

import keras

from gantf import evaluate, features, samples
from gantf.files import write_json
from gantf.readers.source import ON_ERROR
from gantf.replicas import STRATEGIES, get_strategy


def main() -> None:
    options = _parser().parse_args()
    start = time.perf_counter()
    try:
        with get_strategy(options.strategy).scope():
            network = features.get(options.features, options.weights)
        if options.generated is None:
            _write_statistics(options, network)
            return
        found = _compare(options, network)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    found["protocol"]["seconds"] = round(time.perf_counter() - start, 3)
    print(_table(found))
    write_json(options.out, found)
    print(f"{options.out} has the whole protocol")


def _compare(options, network) -> dict:
    """The figures and their protocol."""
    _check_writable(options.out)
    if options.statistics:
        raise ValueError("--statistics is for REAL alone; leave it or GENERATED out")
    places = {"real": options.real, "fake": options.generated}
    known = {
        side: _statistics(place, network)
        for side, place in places.items()
        if samples.is_statistics(place)
    }
    names = evaluate.read_names(options.metrics or ("fd" if known else "kid,fd"))
    for side, seen in known.items():
        evaluate.check(side, seen, names)
    size, ways = _prepared(options, places)
    for (side, place), split in zip(places.items(), options.splits):
        if side not in known:
            needs = {getattr(evaluate.metric(name), side) for name in names} - {None}
            way = ways[side]
            known[side] = _look(options, place, split, size, way, network, needs)
    real, fake = known["real"], known["fake"]
    return evaluate.Evaluator(real, network, names).compare(fake)


def _statistics(place, network) -> evaluate.Seen:
    """What a file of statistics holds, if it is of this network."""
    moments, about = samples.open_statistics(place)
    of = about.get("network", network.identity)  # others' files do not say
    if of != network.identity:
        raise ValueError(
            f"{place} has statistics of features {_shown(of)}, not "
            f"{_shown(network.identity)}"
        )
    return evaluate.Seen(about, moments.n, moments=moments)


def _prepared(options, places) -> tuple[int | None, dict[str, str | None]]:
    """The side of images, and how those of each place come to it.

    As asked, or as a run's training images did: these are what REAL is compared as.
    """
    runs = map(samples.run_preparation, places.values())
    size, way = next((of for of in runs if of[0]), (None, None))
    if options.size not in (None, size):
        size, way = options.size, None
    asked = [*options.prepare, None] if options.prepare else [way, None]
    return size, dict(zip(places, asked))


def _look(options, place, split, size, prepare, network, needs) -> evaluate.Seen:
    """What the network says of a place, with a progress bar."""
    opened = samples.open_samples(
        place,
        options.n,
        split,
        size,
        options.seed,
        prepare=prepare,
        on_error=options.on_error,
    )
    print(f"{place}: {opened.n:,} images")
    if opened.n < 2:
        raise ValueError(f"{place}: figures want 2 samples at least")
    bar = keras.utils.Progbar(opened.n, unit_name="image")
    cache = None if options.nocache else evaluate.feature_cache()
    return evaluate.look(opened, network, needs, cache, bar.update)


def _check_writable(out: Path) -> None:
    """Refuses a file that cannot be written, before anything is computed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise ValueError(f"{out} cannot be written; give another --out")


def _write_statistics(options, network) -> None:
    """Mean and covariance of REAL's features, for this program and others."""
    if not options.statistics:
        raise ValueError("give GENERATED too, or --statistics=FILE.npz to write REAL's")
    split, way = options.splits[0], (options.prepare or [None])[0]
    seen = _look(options, options.real, split, options.size, way, network, {"moments"})
    about = {"network": network.identity, **seen.about}
    print(samples.write_statistics(options.statistics, seen.moments, about))


def _shown(network: dict) -> str:
    """A network as a message names it: with its weights, which may be others."""
    return f"{network.get('features')} {network.get('sha256', '')[:8]}".strip()


def _table(found: dict) -> str:
    """The figures for people: each with its spread, and which way is better."""
    figures = found["figures"]
    lines = []
    for name, value in figures.items():
        if evaluate.is_spread(name):
            continue
        spread = [v for k, v in figures.items() if k in _spreads(name)]
        shown = f"{value:.6g}" + "".join(f" ± {v:.2g}" for v in spread)
        better = "higher" if evaluate.higher_is_better(name) else "lower"
        lines.append(f"{name:24} {shown:24} {better} is better")
    return "\n".join([*lines, *(f"note: {note}" for note in found["notes"])])


def _spreads(name: str) -> list[str]:
    return [f"{name}_{spread}" for spread in evaluate.SPREADS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("real", metavar="REAL", help="what is compared with")
    add("generated", metavar="GENERATED", nargs="?", help="what is compared")
    add("--n", type=int, help="images of each side; by default all of a set")
    known = ", ".join(features.names())
    add("--features", default="efflite0", help=f"{known}, or FILE.keras")
    add("--weights", help="file of the features' weights")
    rows = ", ".join(evaluate.METRICS)
    add("--metrics", help=f"a list of {rows}, mmd:KERNEL; by default kid,fd")
    add("--splits", nargs=2, default=["train", "train"], metavar=("REAL", "GENERATED"))
    add("--size", type=int, help="side of a set's images; by default that of the run's")
    ways = "how those of REAL come to it, as celeba or 'short-64 crop-64'; and others"
    add("--prepare", nargs="+", metavar=("REAL", "GENERATED"), help=ways)
    add("--on_error", default="refuse", choices=ON_ERROR, help="of bad images")
    add("--seed", type=int, default=1, help="of the latents of a run")
    add("--strategy", default="auto", help=", ".join(STRATEGIES))
    add("--nocache", action="store_true", help="keep nothing, look nothing up")
    add("--out", type=Path, default=Path("scores.json"), help="scores.json")
    add("--statistics", metavar="FILE.npz", help="write mu, sigma of REAL here")
    return parser


if __name__ == "__main__":
    main()
