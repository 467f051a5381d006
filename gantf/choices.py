"""Choosing from a table by name, with messages that help who misspelt it."""

from __future__ import annotations

import difflib
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def show(value: Any, how: Callable[[Any], str] = repr) -> str:
    """A value as a message prints it; its type where Python refuses to print it.

    Python prints no whole number of more than 4300 digits.
    """
    try:
        return how(value)
    except Exception:
        return f"<{type(value).__name__}>"


def hint(word: Any, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all.

    >>> hint("lrelo", ["relu", "lrelu"])
    "; did you mean 'lrelu'?"
    """
    known = list(known)
    text = show(word, str)
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """The value of a parameter that counts something.

    Raises:
      ValueError: "every is a whole number from 1, not 0.5".
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} is a whole number from {least}, not {show(value)}")
    return int(value)


def choose(what: str, name: Any, table: Mapping[str, Any]) -> Any:
    """The row of that name.

    Raises:
      ValueError: "unknown loss 'repp'; did you mean 'rep'?".
    """
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"unknown {what} {show(name)}{hint(name, table)}")
    return table[name]


def arguments(
    what: str, kind: Callable, given: Mapping[str, Any], own: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """All arguments of `kind`: the given ones over `own` ones over its defaults.

    Raises:
      ValueError: a given one that it does not take.
    """
    taken = {
        key: parameter.default
        for key, parameter in inspect.signature(kind).parameters.items()
    }
    for key in given:
        if key not in taken:
            known = f"it takes {', '.join(taken)}" if taken else "it takes none"
            raise ValueError(f"{what} has no parameter {key!r}; {known}")
    return {**taken, **own, **given}


def check_made(what: str, given: Mapping[str, Any]) -> None:
    """Refuses parameters for what is made already.

    Raises:
      ValueError: there are some.
    """
    if given:
        raise ValueError(
            f"parameters go with the name of a {what}, not with one that is made: "
            f"{', '.join(given)}"
        )


def make(
    what: str, name: str, table: Mapping[str, Callable], given: Mapping[str, Any]
) -> Any:
    """The object that a table's class of that name makes of its parameters.

    It gets a `name` and `parameters`, its defaults included.

    Raises:
      ValueError: an unknown name or parameter, with the nearest known one.
    """
    kind = choose(what, name, table)
    taken = arguments(f"{what} {name!r}", kind, given)
    made = kind(**taken)
    made.name, made.parameters = name, taken
    return made
