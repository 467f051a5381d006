"""Prints architectures: their names, or one as tables.

Usage:

    python tools/show_net.py                    # all names
    python tools/show_net.py "dcgan*"           # those that match
    python tools/show_net.py dcgan-sn-32        # its nets
    python tools/show_net.py --all              # the sizes of all, a line each
    python tools/show_net.py "conv3-64-sn-lrelu gsum dense-1" 32x32x3
    python tools/show_net.py "res3-8-cbn gsum dense-1-proj" 4x4x8 --classes=10
    python tools/show_net.py words              # the language
"""

import argparse
import itertools
import re
import sys

import architectures
from gantf import architecture, shapes, words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", nargs="?", default="*", help="name, pattern or words")
    parser.add_argument("input", nargs="?", help="shape that words start from")
    parser.add_argument("--classes", type=int, default=0, help="of words with labels")
    parser.add_argument("--all", action="store_true", help="sizes of those that match")
    options = parser.parse_args()
    try:
        if options.all:
            print(sizes(options.net))
        else:
            print(show(options.net, options.input, options.classes))
    except ValueError as error:
        sys.exit(str(error))


def show(net: str, shape: str | None = None, classes: int = 0) -> str:
    """The table of words on an input, of an architecture, or a list of names."""
    if net == "words":
        return words.vocabulary()
    if shape:
        return shapes.table(net, architecture.read_sample(shape), classes)
    if "*" in net or "?" in net:
        found = matching(net)
        width = max(map(len, found))
        return "\n".join(
            f"{name:{width}}  {architectures.get(name)['reference']}" for name in found
        )
    if " " in net:
        raise ValueError("words need the shape they start from, as in 32x32x3")
    read = architecture.read(architectures.get(net))
    lines = [f"{net}: {read.reference}"]
    if read.classes:
        lines.append(f"labels of {read.classes} classes")
    for name, (layers, start) in read.nets.items():
        source = f", from {read.latent}" if name == "generator" else ""
        lines += ["", name + source, shapes.table(layers, start, read.classes)]
    return "\n".join(lines)


def sizes(pattern: str) -> str:
    """Parameters and multiply-adds of the nets of all that match, a line each."""
    read = {
        name: architecture.read(architectures.get(name)) for name in matching(pattern)
    }
    nets = list(dict.fromkeys(net for found in read.values() for net in found.nets))
    rows = [
        ["", "", *(cell for net in nets for cell in (net, ""))],
        ["architecture", "source", *["parameters", "multiply-adds"] * len(nets)],
    ]
    for name, found in read.items():
        rows.append([name, re.split("[,:]", found.reference)[0]])
        for net, start in found.nets.values():
            layers = shapes.rows(net, start, found.classes)
            rows[-1].append(f"{sum(layer.params for layer in layers):,}")
            rows[-1].append(f"{sum(layer.macs for layer in layers):,}")
    return "\n".join(map(str.rstrip, aligned(rows)))


def aligned(rows: list[list[str]]) -> list[str]:
    """The rows in columns: names to the left, numbers to the right."""
    columns = itertools.zip_longest(*rows, fillvalue="")
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]


def matching(pattern: str) -> list[str]:
    """The names that match; at least one."""
    found = architectures.names(pattern)
    if not found:
        raise ValueError(f"no architecture matches {pattern!r}")
    return found


if __name__ == "__main__":
    main()
