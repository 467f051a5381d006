"""The zoo: architectures as data, dicts of words, one module a family.

`names("dcgan*")` lists them, `get(name)` gives one as a dict.
"""

import difflib
import fnmatch

from architectures import (
    arbel,
    binkowski,
    dcgan_sn,
    fork,
    li,
    mmd_dcgan,
    oh_my_gan,
    points,
    sagan,
    sn_resnet,
    tme,
)

_FAMILIES = (
    dcgan_sn,
    points,
    binkowski,
    arbel,
    li,
    tme,
    oh_my_gan,
    mmd_dcgan,
    sn_resnet,
    sagan,
    fork,
)
_ZOO = {
    name: preset
    for family in _FAMILIES
    for name, preset in family.ARCHITECTURES.items()
}


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
        near = f"did you mean {close[0]!r}?" if close else "tools/show_net.py lists all"
        raise ValueError(f"unknown architecture {name!r}; {near}")
    return dict(_ZOO[name])
