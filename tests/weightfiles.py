"""Files of weights, written instruction by instruction as PyTorch writes them."""

import io
import struct
import zipfile
from collections import namedtuple

# Things to pickle: a name, what it gives of arguments, and what is stored elsewhere.
Name = namedtuple("Name", "module name")
Call = namedtuple("Call", "function arguments")
Stored = namedtuple("Stored", "key")
Raw = namedtuple("Raw", "instructions")

ORDERED = Name("collections", "OrderedDict")
REBUILD = Name("torch._utils", "_rebuild_tensor_v2")


def encoded(value, protocol=2):
    """The instructions for a value."""

    def parts(values):
        return b"".join(encoded(value, protocol) for value in values)

    match value:
        case Raw():
            return value.instructions
        case Name() if protocol == 2:
            return b"c%s\n%s\n" % (value.module.encode(), value.name.encode())
        case Name():
            return parts(value) + b"\x93"
        case Call():
            return parts(value) + b"R"
        case Stored():
            return encoded(value.key, protocol) + b"Q"
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            size = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + parts(value) + b"t"
        case list():
            return b"](" + parts(value) + b"e"
        case dict():
            return b"}(" + parts(x for pair in value.items() for x in pair) + b"u"


def pickled(value, protocol=2):
    return b"\x80" + bytes([protocol]) + encoded(value, protocol) + b"."


def tensor(kind, key, count, offset, shape, strides):
    storage = ("storage", Name("torch", f"{kind}Storage"), key, "cpu", count)
    hooks = Call(ORDERED, ())
    return Call(REBUILD, (Stored(storage), offset, shape, strides, False, hooks))


def zip_bytes(value, storages, protocol=2, order=b"little", **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("model/data.pkl", pickled(value, protocol))
        archive.writestr("model/byteorder", order)
        for key, data in storages.items():
            archive.writestr(f"model/data/{key}", data)
    return buffer.getvalue()


def legacy_bytes(value, storages, protocol=2, widths=None):
    """The older format; numbers have 4 bytes if `widths` does not tell otherwise."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, value]
    parts = [pickled(each, protocol) for each in [*head, list(storages)]]
    for key, data in storages.items():
        parts += [struct.pack("<q", len(data) // (widths or {}).get(key, 4)), data]
    return b"".join(parts)
