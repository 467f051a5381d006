"""The zoo: architectures as data, dicts of words, one module a family.

`names("dcgan*")` lists them, `get(name)` gives one as a dict.
"""

import difflib
import fnmatch

from architectures import dcgan_sn, points

_ZOO = {**dcgan_sn.ARCHITECTURES, **points.ARCHITECTURES}


def names(pattern: str = "*") -> list[str]:
    """The names of all architectures that match the pattern, in order."""
    return fnmatch.filter(_ZOO, pattern)


def get(name: str) -> dict:
    """A copy of the architecture of that name.

    Raises:
      ValueError: an unknown name, with the nearest known one.
    """
    if name not in _ZOO:
        close = difflib.get_close_matches(str(name), _ZOO, n=1)
        near = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_ZOO)}"
        raise ValueError(f"unknown architecture {name!r}; {near}")
    return dict(_ZOO[name])
