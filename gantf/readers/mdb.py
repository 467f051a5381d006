"""LMDB databases, read page by page: values by number, in the order of their keys.

A data.mdb is a tree of pages, as LMDB's mdb.c writes it (data version 1). Bytes of a
field are in brackets; all numbers are little-endian:

    page    number (8), (2), flags (2), end of pointers (2), (2), then pointers (2 each)
            to nodes in it
    node    low half (4) and high part (2, flags in a leaf) of a number, length of the
            key (2), key, value. The number is a page in a branch, in a leaf the size
            of the value, which may lie on pages of its own: flag 1, and the value here
            is their first page (8)
    meta    pages 0 and 1: behind a header as any page's, magic (4), version (4), (16),
            tree of free pages, tree of values, last page (8), transaction (8). The
            last transaction counts
    tree    size of a page (4), (4), pages of three kinds (24), entries (8), root (8)

LMDB's own library maps the file and trusts it: a torn one ends the process. Here
whatever a page says is checked, and a file that is not whole is a `ReadError`.
"""

import os
import struct
from array import array
from pathlib import Path

import numpy as np

from gantf.images import ReadError
from gantf.readers.archives import check_size

MAGIC, VERSION = 0xBEEFC0DE, 1
PAGE_SIZES = [2**i for i in range(9, 17)]
_HEADER = 16
_PAGE = struct.Struct("<Q2xHH2x")
_NODE = struct.Struct("<IHH")
_META = struct.Struct("<II16xI44x32xQQ8xQ")
_BRANCH, _LEAF, _BIG = 1, 2, 1
_TORN = "a torn LMDB; copy or download it again"


class Database:
    """The values of an LMDB. Any number of threads may read.

    Args:
      path: its data.mdb.
      nodes: what `find_nodes` found, where it is known.

    Raises:
      ReadError: it is none, or not whole; messages do not name it, see
        `gantf.images.told`.
    """

    def __init__(self, path: Path, nodes: np.ndarray | None = None):
        self._file = open(path, "rb")  # noqa: SIM115 - as long as this is used
        self._end = os.fstat(self._file.fileno()).st_size
        first = self._meta(0)
        self._page_size = first[2]
        if self._page_size not in PAGE_SIZES:
            raise ReadError(_TORN)
        metas = [first, self._meta(self._page_size)]
        *_, self.entries, self._root, _ = max(metas, key=lambda meta: meta[-1])
        self.nodes = self.find_nodes() if nodes is None else nodes

    def __len__(self):
        return len(self.nodes)

    def find_nodes(self) -> np.ndarray:
        """Where in the file the node of each value lies, int64 (n,)."""
        found, seen, todo = array("q"), set(), [self._root] if self.entries else []
        while todo:
            number = todo.pop()
            page = self._page(number)
            _, flags, end = _PAGE.unpack_from(page)
            if number in seen or flags not in (_BRANCH, _LEAF):
                raise ReadError(_TORN)
            if not _HEADER < end <= len(page):
                raise ReadError(_TORN)
            seen.add(number)
            pointers = struct.unpack_from(f"<{(end - _HEADER) // 2}H", page, _HEADER)
            if flags == _BRANCH:
                todo += [_child(page, pointer) for pointer in reversed(pointers)]
                continue
            for pointer in pointers:
                self._value(page, pointer)
                found.append(number * len(page) + pointer)
        if len(found) != self.entries:
            raise ReadError(_TORN)
        return np.array(found, np.int64)

    def key(self, number: int) -> bytes:
        """The key of a value."""
        page, pointer = self._node(number)
        return self._value(page, pointer)[0]

    def read(self, number: int) -> bytes:
        """A value."""
        _, start, size = self._value(*self._node(number))
        check_size(size)
        return self._at(start, size)

    def _node(self, number):
        page, pointer = divmod(int(self.nodes[number]), self._page_size)
        return self._page(page), pointer

    def _value(self, page, pointer):
        """(key, where in the file the value starts, its size) of a node in a leaf."""
        size, flags, length = _node(page, pointer)
        start = pointer + _NODE.size + length
        key = page[start - length : start]
        if flags not in (0, _BIG):
            raise ReadError("an LMDB of several databases, or of many values a key")
        if start + (8 if flags else size) > len(page):
            raise ReadError(_TORN)
        if flags:
            first = int.from_bytes(page[start : start + 8], "little")
            start = first * len(page) + _HEADER
        else:
            start += int.from_bytes(page[:8], "little") * len(page)
        if start + size > self._end:
            raise ReadError(_TORN)
        return key, start, size

    def _page(self, number):
        page = self._at(number * self._page_size, self._page_size)
        if _PAGE.unpack_from(page)[0] != number:
            raise ReadError(_TORN)
        return page

    def _meta(self, offset):
        meta = _META.unpack(self._at(offset + _HEADER, _META.size))
        if meta[:2] != (MAGIC, VERSION):
            raise ReadError(
                f"a data.mdb of LMDB has the magic {MAGIC:x} and version {VERSION} of"
                f" its data, not {meta[0]:x} and {meta[1]}; copy or download it again"
            )
        return meta

    def _at(self, offset, size):
        if offset + size > self._end:
            raise ReadError(_TORN)
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:  # it has become shorter
            raise ReadError(_TORN)
        return data


def _node(page, pointer):
    """(size of a value, flags, length of the key)."""
    if pointer + _NODE.size > len(page):
        raise ReadError(_TORN)
    return _NODE.unpack_from(page, pointer)


def _child(page, pointer):
    """The page below a node in a branch."""
    low, high, _ = _node(page, pointer)
    return low + (high << 32)
