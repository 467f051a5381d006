"""Prints the losses by name: kernel, score, what each is used with, source and test.

Usage:

    python tools/show_losses.py                # all
    python tools/show_losses.py rep rmb        # some

The last column names the test that holds a loss to its formula; pytest takes it.
"""

import sys

from gantf import losses

TEST = "tests/test_losses.py::test_values_agree_with_formulas"
HEAD = ["loss", "kernel", "score", "used with", "update", "source", "test"]


def main(argv: list[str]) -> None:
    try:
        print(table(argv or losses.names()))
    except ValueError as error:
        sys.exit(str(error))


def table(names: list[str]) -> str:
    """The losses in columns."""
    rows = [HEAD, *map(row, names)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, cells, widths)) for cells in rows]
    return "\n".join(map(str.rstrip, lines))


def row(name: str) -> list[str]:
    loss = losses.get(name)
    used = [spelled(*penalty) for penalty in loss.penalties]
    if loss.scaling:
        used.append(spelled(*loss.scaling))
    if loss.clip:
        used.append(f"clip {loss.clip:g}")
    steps = f" {loss.critic_steps}" if loss.update == "alternating" else ""
    return [
        loss.name,
        str(loss.kernel or "-"),
        str(loss.score_dim or "any"),
        " ".join(used) or "-",
        loss.update + steps,
        loss.source,
        f"{TEST}[{loss.name}]",
    ]


def spelled(name: str, parameters: dict) -> str:
    """A penalty or scaling as the flags of a script take it."""
    return ":".join([name, *(f"{value:g}" for value in parameters.values())])


if __name__ == "__main__":
    main(sys.argv[1:])
