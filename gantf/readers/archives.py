"""Zip and tar files: what is in them, by name, and its bytes, from any thread.

Nothing is unpacked to disk, no link is followed, and no member takes more memory than
`LARGEST`. The list of members is read once; their bytes are read where they lie.
"""

import contextlib
import hashlib
import os
import stat
import struct
import tarfile
import weakref
import zipfile
import zlib
from array import array
from pathlib import Path

import numpy as np

from gantf.images import ReadError

LARGEST = 2**28  # bytes of a file that is read whole, packed and unpacked
# Tars that are packed as a whole, and what unpacks them.
PACKED = {
    ".gz": "gunzip",
    ".tgz": "gunzip",
    ".bz2": "bunzip2",
    ".tbz2": "bunzip2",
    ".xz": "unxz",
    ".txz": "unxz",
    ".zst": "unzstd",
}
_MAGIC = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz"}
_BLOCK = 512
_LONGEST = 2**16  # bytes of a header with long names
_TORN = "a torn file; make or download the archive again"
_OUTSIDE = "its name leads out of the archive; make that again with another name"
_TWICE = "it is in the archive more than once; make that again with one of them"
_NO_FILE = "a link or device, no plain file; make the archive again with the file"
_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, *_PAX, tarfile.XGLTYPE)


class Members:
    """The plain files of an archive. Any number of threads may read.

    Attributes:
      names: theirs, in the order of the archive, as "train/cat/1.png": without "." and
        empty parts.
      bad: name -> what is wrong with a member that cannot be read whatever it holds:
        links, devices, names that lead out of the archive or stand there twice.
      fingerprint: of the archive and of where what lies in it.
    """

    def __init__(self, file, found: "_Found"):
        self._descriptor = os.dup(file.fileno())  # open as long as this is used
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self.names, self.bad = found.names, found.bad
        self._rows = np.array(found.rows).reshape(-1, found.width)
        self._row = {name: row for row, name in enumerate(self.names)}
        status = os.fstat(file.fileno())
        digest = hashlib.sha256(self._rows.tobytes())
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        digest.update("\0".join([*self.names, *self.bad]).encode(errors="replace"))
        self.fingerprint = digest.hexdigest()

    def span(self, name: str) -> tuple[int, int]:
        """Where a member lies in a tar: (offset, size) in bytes."""
        offset, size, *_ = self._numbers(name)
        return offset, size

    def size(self, name: str) -> int:
        """Bytes of a member, unpacked."""
        return self.span(name)[1]

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
          ReadError: it is one of `bad`, larger than `LARGEST`, or torn; the message
            names neither it nor the archive, see `gantf.images.told`.
        """
        offset, size = self.span(name)
        check_size(size)
        return self._at(offset, size)

    def _numbers(self, name):
        if name in self.bad:
            raise ReadError(self.bad[name])
        return self._rows[self._row[name]].tolist()

    def _at(self, offset, size):
        data = os.pread(self._descriptor, size, offset)
        if len(data) < size:
            raise ReadError(_TORN)
        return data


class _ZipMembers(Members):
    """Rows are (offset of the header, size, packed size, method, CRC-32)."""

    def read(self, name):
        offset, size, packed, method, check = self._numbers(name)
        check_size(max(size, packed))
        header = self._at(offset, 30)
        if header[:4] != b"PK\3\4":
            raise ReadError(_TORN)
        data = self._at(offset + 30 + sum(struct.unpack("<HH", header[26:])), packed)
        if method == zipfile.ZIP_DEFLATED:
            try:
                # No more than was promised, and a byte to see that there is more.
                data = zlib.decompressobj(-15).decompress(data, size + 1)
            except zlib.error:
                raise ReadError(_TORN) from None
        elif method != zipfile.ZIP_STORED:
            raise ReadError(
                f"zip files are stored or deflated, this one is packed by method"
                f" {method}; make the archive again"
            )
        if len(data) != size or zlib.crc32(data) != check:
            raise ReadError(_TORN)
        return data


def check_size(size: int) -> None:
    """Refuses a file that is too large to be read whole."""
    if size > LARGEST:
        raise ReadError(
            f"a file of images has at most {LARGEST:,} bytes, this one {size:,}; make"
            " it smaller, or delete it"
        )


class _Found:
    """Members as they are found, with `width` numbers each."""

    def __init__(self, width):
        self.width, self.names, self.bad = width, [], {}
        self.rows = array("q")
        self._seen = set()

    def add(self, name, row, wrong=None):
        """A member, or what is wrong with it."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or ".." in parts or name.startswith("/"):
            self.bad[name] = _OUTSIDE
            return
        name = "/".join(parts)
        if name in self._seen:
            wrong = _TWICE
        self._seen.add(name)
        if wrong:
            self.bad[name] = wrong
        else:
            self.names.append(name)
            self.rows.extend(row)

    def done(self):
        """Takes out the first of those that came twice."""
        del self._seen
        if twice := {name for name in self.names if name in self.bad}:
            keep = [name not in twice for name in self.names]
            rows = np.array(self.rows).reshape(-1, self.width)[keep]
            self.names = [name for name in self.names if name not in twice]
            self.rows = array("q", rows.ravel().tolist())
        return self


@contextlib.contextmanager
def _opened(path):
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise ReadError(f"{path}: {error.strerror}") from None


def open_zip_members(path: Path) -> Members:
    """The plain files of a zip.

    Raises:
      ReadError: it is no whole zip, or encrypted.
    """
    with _opened(path) as file:
        try:
            infos = zipfile.ZipFile(file).infolist()
            _check_directory(file, infos)
        except (OSError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile):
            raise ReadError(
                f"{path}: not a zip file, or a torn one; make or download it again"
            ) from None
        found = _Found(5)
        for info in infos:
            if info.filename.endswith("/") and not info.file_size:
                continue  # a folder
            if info.flag_bits & 1:
                raise ReadError(
                    f"{path}: it is encrypted; unpack it with its password, and give"
                    " the folder"
                )
            row = info.header_offset, info.file_size, info.compress_size
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            wrong = None if stat.S_IFMT(mode) in (0, stat.S_IFREG) else _NO_FILE
            found.add(info.filename, (*row, info.compress_type, info.CRC), wrong)
        return _ZipMembers(file, found.done())


def _check_directory(file, infos):
    """Refuses a zip's directory that zipfile takes, with entries lost in damage."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 22 - 2**16))  # where the end record lies: 22 and a comment
    end = file.read()
    (count,) = struct.unpack_from("<H", end, end.rfind(b"PK\5\6") + 10)
    # 65535 is said where another record says it.
    if count not in (len(infos) % 2**16, 2**16 - 1):
        raise zipfile.BadZipFile
    for info in infos:
        inside = 0 <= info.header_offset < size
        if not inside or max(info.file_size, info.compress_size) >= 2**63:
            raise zipfile.BadZipFile


def open_tar_members(path: Path, start: int = 0, size: int | None = None) -> Members:
    """The plain files of a tar, which may lie inside another file.

    Args:
      path: the file.
      start: where in it the tar starts, in bytes.
      size: bytes of the tar; None for all that follow.

    Raises:
      ReadError: it is no whole tar.
    """
    with _opened(path) as file:

        def pread(offset, n):
            return os.pread(file.fileno(), n, offset)

        end = os.fstat(file.fileno()).st_size if size is None else start + size
        found = _Found(2)
        try:
            _scan(pread, start, end, found)
        except (OSError, ValueError, tarfile.HeaderError) as error:
            for magic, unpack in _MAGIC.items():
                if pread(start, 8).startswith(magic):
                    refuse_packed(path, unpack)
            words = error if isinstance(error, ReadError) else "not a tar, or torn"
            raise ReadError(f"{path}: {words}; make or download it again") from None
        return Members(file, found.done())


def refuse_packed(path: Path, unpack: str) -> None:
    """Refuses a tar that is packed as a whole."""
    raise ReadError(
        f"{path}: files of a packed tar cannot be read in any order; unpack it to a tar"
        f" by {unpack} {path.name}"
    )


def _scan(pread, offset, end, found):
    """Finds the members of a tar between two places of a file."""
    long, records = None, {}
    while True:
        block = pread(offset, _BLOCK) if offset + _BLOCK <= end else b""
        if block == bytes(_BLOCK):
            break
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        data = offset + _BLOCK
        extends = info.type in _EXTENSIONS  # what the next header says
        size = info.size if extends else int(records.get(b"size", info.size))
        if not (extends or info.isreg() or info.type not in tarfile.SUPPORTED_TYPES):
            size = 0  # folders and links say a size, and have no data
        offset = data + -(-size // _BLOCK) * _BLOCK
        if not data <= data + size <= end:
            raise ReadError("a torn tar")
        if extends:
            if size > _LONGEST:
                raise ReadError("a tar with a name that is too long")
            if info.type == _LONG_NAME:
                long = pread(data, size)
            elif info.type in _PAX:
                records = _pax(pread(data, size))
            continue
        if info.type == tarfile.GNUTYPE_SPARSE or any(
            key.startswith(b"GNU.sparse") for key in records
        ):
            raise ReadError("a tar of sparse files")
        if not info.isdir():
            name = records.get(b"path", long)
            if name is None:
                name = info.name
            else:
                name = name.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            found.add(name, (data, size), None if info.isreg() else _NO_FILE)
        long, records = None, {}
    # Writers fill up the last record, of 10 KiB and more, with zeros.
    if pread(offset, min(end - offset, 2**20)).strip(b"\0"):
        raise ReadError("a tar that goes on behind its end, as several in a row do")


def _pax(data):
    """{keyword: value} of records "LENGTH KEYWORD=VALUE", a line each (POSIX, pax)."""
    found, start = {}, 0
    while start < len(data):
        space = data.index(b" ", start)
        end = start + int(data[start:space])
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise ValueError
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        found[key] = value
        start = end
    return found
