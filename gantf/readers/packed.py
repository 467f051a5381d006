"""Small archives that are packed as a whole, .tar.gz: read into memory."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path

from gantf.images import ReadError

# What gzip and tarfile raise on bytes that are none of theirs.
_TORN = (OSError, EOFError, ValueError, OverflowError, zlib.error, tarfile.TarError)


def read_packed(path: Path, largest: int) -> dict[str, bytes]:
    """The plain files of a .tar.gz, by their names without folders.

    Args:
      path: the archive.
      largest: bytes that it may have, unpacked.

    Raises:
      ReadError: it is torn, or larger.
    """
    try:
        with gzip.open(path) as file:
            data = file.read(largest + 1)
        if len(data) <= largest:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                members = [member for member in archive if member.isfile()]
    except _TORN:
        raise ReadError(f"{path}: a torn .tar.gz; download it again") from None
    if len(data) > largest:
        raise ReadError(
            f"{path}: it is larger than {largest:,} bytes, unpacked; it cannot be what"
            " its name says: download it again"
        )
    return {
        member.name.rpartition("/")[2]: data[start : start + member.size]
        for member in members
        for start in [member.offset_data]
    }
