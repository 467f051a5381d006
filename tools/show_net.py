"""Prints architectures: their names, or one as tables.

Usage:

    python tools/show_net.py                    # all names
    python tools/show_net.py "dcgan*"           # those that match
    python tools/show_net.py dcgan-sn-32        # both nets
    python tools/show_net.py "conv3-64-sn-lrelu gsum dense-1" 32x32x3
    python tools/show_net.py words              # the language
"""

import argparse
import sys

import architectures
from gantf import architecture, shapes, words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", nargs="?", default="*", help="name, pattern or words")
    parser.add_argument("input", nargs="?", help="shape that words start from")
    options = parser.parse_args()
    try:
        print(show(options.net, options.input))
    except ValueError as error:
        sys.exit(str(error))


def show(net: str, shape: str | None = None) -> str:
    """The table of words on an input, of an architecture, or a list of names."""
    if net == "words":
        return words.vocabulary()
    if shape:
        return shapes.table(net, architecture.read_sample(shape))
    if "*" in net or "?" in net:
        found = architectures.names(net)
        if not found:
            raise ValueError(f"no architecture matches {net!r}")
        return "\n".join(
            f"{name:16} {architectures.get(name)['reference']}" for name in found
        )
    if " " in net:
        raise ValueError("words need the shape they start from, as in 32x32x3")
    read = architecture.read(architectures.get(net))
    return "\n".join(
        [
            f"{net}: {read.reference}",
            "",
            f"generator, from {read.latent}",
            shapes.table(read.generator, (read.latent.size,), read.classes),
            "",
            "discriminator",
            shapes.table(read.discriminator, read.sample, read.classes),
        ]
    )


if __name__ == "__main__":
    main()
