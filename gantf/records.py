"""TFRecord files and the `tf.train.Example` in them, without TensorFlow.

A file is records in a row, each (little-endian)

    length of the data      8 bytes
    masked CRC of these     4 bytes
    data
    masked CRC of the data  4 bytes

where CRC is CRC-32C and masked(c) = (c rotated right by 15 bits) + 0xa282ead8 mod 2^32
(tensorflow/core/lib/io/record_writer.h). Importing TensorFlow takes seconds, which each
process that prepares images would wait for; this takes none.
"""

import functools
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from gantf.images import ReadError

HEAD, FOOT = struct.Struct("<QI"), struct.Struct("<I")
FRAME = HEAD.size + FOOT.size  # bytes of a record that are not its data
_OPEN = 256  # files of a set that are open at a time
_GZIP, _ZLIB = b"\x1f\x8b", b"\x78"
_TORN = "copy or make the file again"


def masked_crc(data: bytes) -> int:
    """The masked CRC-32C of some bytes."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc(foot):
    return FOOT.unpack(foot)[0] if len(foot) == FOOT.size else None


def framed(data: bytes) -> bytes:
    """A record: what a file gets for some data."""
    length = len(data).to_bytes(8, "little")
    head = length + FOOT.pack(masked_crc(length))
    return b"".join((head, data, FOOT.pack(masked_crc(data))))


def scan(path: Path) -> Iterator[tuple[int, int, int]]:
    """Where the records of a file are, from their heads; their data are not looked at.

    Yields:
      (start, length, crc): where a record starts, how long its data are, and their
      masked CRC as it stands in the file.

    Raises:
      ReadError: the file is no TFRecord file from here on, or its end is missing.
    """
    size = path.stat().st_size
    if not size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as m:
        start = number = 0
        while start < size:
            head = m[start : start + HEAD.size]
            if len(head) < HEAD.size:
                raise ReadError(f"{path}: it ends within record {number}; {_TORN}")
            length, crc = HEAD.unpack(head)
            if crc != masked_crc(head[:8]):
                raise ReadError(f"{path}: {_no_record(number, head)}")
            if length > size - start - FRAME:
                raise ReadError(f"{path}: it ends within record {number}; {_TORN}")
            end = start + FRAME + length
            yield start, length, _crc(m[end - FOOT.size : end])
            start, number = end, number + 1


def _no_record(number, head):
    if number:
        return f"the length of record {number} has changed (its CRC differs); {_TORN}"
    if head.startswith((_GZIP, _ZLIB)):
        return "a compressed TFRecord file cannot be read at any record; unpack it"
    return f"not a TFRecord file, whatever its name says; {_TORN}"


class RecordFile:
    """An open TFRecord file; any number of threads may read it.

    Args:
      path: of the file.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ReadError(f"{path}: {error.strerror}; {_TORN}") from None

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def read(self, start: int, length: int, crc: int, called: object) -> bytes:
        """The data of a record.

        Args:
          start, length, crc: as `scan` gave them.
          called: what a message calls it, as its number.

        Raises:
          ReadError: the bits of it have changed.
        """
        try:
            framed = os.pread(self._file, length + FRAME, start)
        except OSError as error:
            words = f"{self.path}: record {called}: {error.strerror}"
            raise ReadError(words) from None
        data, foot = framed[HEAD.size : -FOOT.size], framed[-FOOT.size :]
        if len(data) != length or not masked_crc(data) == crc == _crc(foot):
            raise ReadError(
                f"{self.path}: record {called} has changed (its CRC differs); {_TORN}"
            )
        return data


def opener(paths: Sequence[Path]) -> Callable[[int], RecordFile]:
    """Number of a file -> it, open; of many files those that were read last are."""

    @functools.lru_cache(_OPEN)
    def opened(number):
        return RecordFile(paths[number])

    return opened


def _messages():
    """The message type Example of tensorflow/core/example, in a pool of its own.

    Example{1: Features}, Features{1: map of str -> Feature}, Feature{one of
    1: BytesList, 2: FloatList, 3: Int64List}; each list{1: repeated value}.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="gantf/example.proto", package="gantf", syntax="proto3"
    )

    def add(inside, name, *fields):
        made = inside.add(name=name)
        for number, (called, kind, label) in enumerate(fields, 1):
            one = made.field.add(name=called, number=number, label=label)
            if isinstance(kind, str):
                one.type, one.type_name = field.TYPE_MESSAGE, f".gantf.{kind}"
            else:
                one.type = kind
        return made

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    messages = file.message_type
    add(messages, "BytesList", ("value", field.TYPE_BYTES, many))
    add(messages, "FloatList", ("value", field.TYPE_FLOAT, many))
    add(messages, "Int64List", ("value", field.TYPE_INT64, many))
    kinds = ("bytes", "float", "int64")
    lists = [(f"{kind}_list", f"{kind.capitalize()}List", one) for kind in kinds]
    feature = add(messages, "Feature", *lists)
    feature.oneof_decl.add(name="kind")
    for kind in feature.field:
        kind.oneof_index = 0
    features = add(messages, "Features", ("feature", "Features.FeatureEntry", many))
    entries = ("key", field.TYPE_STRING, one), ("value", "Feature", one)
    add(features.nested_type, "FeatureEntry", *entries).options.map_entry = True
    add(messages, "Example", ("features", "Features", one))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("gantf.Example"))


_Example = _messages()


def example(values: Mapping[str, bytes | Sequence[int]]) -> bytes:
    """An Example of bytes and of lists of whole numbers, the same bytes each time."""
    made = _Example()
    for key, value in values.items():
        feature = made.features.feature[key]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        else:
            feature.int64_list.value.extend(value)
    return made.SerializeToString(deterministic=True)


def features(
    data: bytes, keys: Iterable[str] | None = None
) -> dict[str, list[bytes] | list[int] | list[float]]:
    """What an Example holds, a list for each key.

    Args:
      data: of a record.
      keys: which are wanted, of those that are there; None for all.

    Raises:
      ReadError: it is no Example.
    """
    try:
        found = _Example.FromString(data).features.feature
    except message.DecodeError:
        raise ReadError("it holds no tf.train.Example") from None
    wanted = found if keys is None else [key for key in keys if key in found]
    return {key: _values(found[key]) for key in wanted}


def _values(feature):
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []
