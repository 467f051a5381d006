"""Prepares a set of images once, so that training reads it fast from a few files.

Usage:

    python tools/prepare_data.py celeba --source=img_align_celeba.zip --size=64
    python tools/prepare_data.py photos --source=photos/ --prepare="short-72 crop-64"
    python tools/prepare_data.py lsun --source=bedroom_train_lmdb --size=64 --workers=16
    python tools/prepare_data.py cifar10 --runner=DirectRunner -- --direct_num_workers=4
    python tools/prepare_data.py --check=data/celeba-64     # every byte of it

This writes data/celeba-64/ with shards of TFRecords and their index; scripts take it as
--data=data/celeba-64. A command that was stopped goes on where it was.
"""

import argparse
import re
import sys
from pathlib import Path

# Processes that write shards import this file too, and no TensorFlow with it.
from gantf import shards
from gantf.readers.source import ON_ERROR, SPLITS, Options


def main() -> None:
    arguments, pipeline = _split(sys.argv[1:])
    options = _parser().parse_args(arguments)
    try:
        if options.check:
            about, folder = shards.check(options.check), options.check
        else:
            about, folder = _prepare(options, pipeline)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print(_table(about))
    print(f"all files of {folder} are whole" if options.check else f"--data={folder}")


def _split(arguments):
    """The tool's own arguments, and those behind -- for Beam's pipeline."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _prepare(options, pipeline):
    from gantf import datasets

    name, known = options.set, datasets.SETS.get(options.set)
    if name is None or not re.fullmatch(r"\w[\w:/-]*(\.[\w:/-]+)*", name):
        raise ValueError(f"SET is a name of letters and digits, as celeba, not {name}")
    prepare = options.prepare
    if prepare is None and options.size is not None and known:
        prepare = known.prepare
    asked = Options(
        size=options.size,
        channels=options.channels,
        prepare=prepare,
        on_error=options.on_error,
        label=options.label,
    )
    if pipeline and options.runner is None:
        raise ValueError(f"{' '.join(pipeline)} is for a pipeline; give --runner too")
    folder = options.out
    if folder is None:
        size = f"-{options.size}" if options.size else ""
        folder = Path("data", f"{re.sub(r'[:/]', '_', name)}{size}")
    about = shards.prepare(
        name,
        options.source or name,
        folder,
        asked,
        split=options.split,
        shard_mb=options.shard_mb,
        processes=options.workers,
        runner=options.runner,
        pipeline=pipeline,
    )
    return about, folder


def _table(about) -> str:
    """A line for each split."""
    height, width, channels = about["shape"]
    lines = []
    for split, found in about["splits"].items():
        sizes = [s["bytes"] for s in about["shards"] if s["split"] == split]
        lines.append(
            f"{split:5} {found['n']:,} images, {width} x {height} x {channels}, in"
            f" {len(sizes)} shards of {sum(sizes) / 1e6:,.1f} MB"
        )
        if found["skipped"]:
            lines[-1] += f"; {len(found['skipped'])} bad ones left out"
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("set", metavar="SET", nargs="?", help="its name; a known one has its --prepare")
    add("--source", help="folder, zip, … of its images; by default what SET stands for")
    add("--split", default="all", choices=SPLITS, help="by default all that there are")
    add("--size", type=int, help="side of the images; by default their own")
    add("--prepare", help="how they come to it, as celeba or 'short-64 crop-64'")
    add("--channels", type=int, help="1 or 3")
    add("--label", help="what labels are, of a set that has several")
    add("--on_error", default="refuse", choices=ON_ERROR, help="of bad images")
    add("--out", type=Path, help="folder; by default data/SET-SIZE")
    add("--shard_mb", type=int, default=128, help="the most that a shard has, 10^6 B")
    add("--workers", type=int, help="processes; by default one a core")
    add("--runner", help="of Apache Beam, as DirectRunner; its flags go behind --")
    add("--check", metavar="FOLDER", type=Path, help="look at every byte of a set")
    return parser


if __name__ == "__main__":
    main()
