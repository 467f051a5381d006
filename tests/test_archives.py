import gc
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from multiprocessing.pool import ThreadPool

import pytest

from gantf.images import ReadError
from gantf.readers import archives
from gantf.readers.archives import open_tar_members, open_zip_members

FILES = {
    "b.png": b"second",
    "a/1.png": bytes(range(256)) * 5,
    "a/empty.txt": b"",
    f"a/{'long' * 30}/é.png": b"x" * 512,
}
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
BLOCK = 512


def write_tar(path, members, format=tarfile.GNU_FORMAT):
    """A tar of (name, bytes), or (name, a type of members, which is one byte)."""
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                member.linkname = "b.png"
            if len(content) == 1:
                member.type, content = content, b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def contents(members):
    return {name: members.read(name) for name in members.names}


def message(function, *arguments):
    with pytest.raises(ReadError) as error:
        function(*arguments)
    return str(error.value)


# What is in them


@pytest.mark.parametrize("format", FORMATS)
def test_tar(tmp_path, format):
    path = write_tar(tmp_path / "a.tar", FILES.items(), format)
    members = open_tar_members(path)
    assert members.names == list(FILES)
    assert contents(members) == FILES
    assert not members.bad
    with tarfile.open(path) as truth:
        for one in truth:
            assert members.span(one.name) == (one.offset_data, one.size)
            assert members.size(one.name) == one.size


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip(tmp_path, method):
    path = write_zip(tmp_path / "a.zip", FILES.items(), method)
    members = open_zip_members(path)
    assert members.names == list(FILES)
    assert contents(members) == FILES
    assert [members.size(name) for name in FILES] == list(map(len, FILES.values()))
    # Programs that unpack themselves have a zip at their end.
    path.write_bytes(b"program" * 99 + path.read_bytes())
    assert contents(open_zip_members(path)) == FILES


def test_a_tar_in_a_tar(tmp_path):
    write_tar(tmp_path / "inner.tar", FILES.items())
    inner = (tmp_path / "inner.tar").read_bytes()
    path = write_tar(
        tmp_path / "outer.tar", [("0", b"zero"), ("1.tar", inner), ("2", b"two")]
    )
    outer = open_tar_members(path)
    members = open_tar_members(path, *outer.span("1.tar"))
    assert contents(members) == FILES
    start, size = outer.span("1.tar")
    # The bytes behind its end are not its own. A long name takes two blocks more, and
    # the end one.
    words = f"{path}: not a tar, or torn; make or download it again"
    used = sum(BLOCK * (1 + -(-len(content) // BLOCK)) for content in FILES.values())
    assert contents(open_tar_members(path, start, used + 3 * BLOCK)) == FILES
    assert message(open_tar_members, path, start, used + 2 * BLOCK) == words
    path.write_bytes(path.read_bytes()[: start + size])
    assert contents(open_tar_members(path, start)) == FILES


def test_names_have_neither_dots_nor_empty_parts(tmp_path):
    members = [("./", tarfile.DIRTYPE), ("./a//b/./c.png", b"cc"), (".//d.png", b"dd")]
    found = open_tar_members(write_tar(tmp_path / "a.tar", members))
    assert contents(found) == {"a/b/c.png": b"cc", "d.png": b"dd"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("a")
        archive.writestr("a/./b.png", b"bb")
    assert contents(open_zip_members(tmp_path / "a.zip")) == {"a/b.png": b"bb"}


def test_pax_sizes_win(tmp_path):
    """As of a file of 8 GiB and more, whose own header has no room for it."""
    path = write_tar(tmp_path / "a.tar", [("a.png", b"a" * 700), ("b.png", b"bb")])
    content = bytearray(path.read_bytes())
    content[124:136] = b"00000000000\0"
    header = tarfile.TarInfo.create_pax_header
    record = header(
        tarfile.TarInfo("a.png"),
        {**tarfile.TarInfo("a.png").get_info(), "size": 2**33, "name": "a.png"},
        "utf-8",
    )
    extra = record[: 2 * BLOCK].replace(b"8589934592", b"0000000700")
    assert b"size=0000000700" in extra
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 256 + sum(content[156:512]))
    path.write_bytes(extra + content)
    assert contents(open_tar_members(path)) == {"a.png": b"a" * 700, "b.png": b"bb"}


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_many_threads_may_read(tmp_path, kind):
    files = {f"{i}.png": os.urandom(1000 + i) for i in range(50)}
    if kind == "tar":
        members = open_tar_members(write_tar(tmp_path / "a.tar", files.items()))
    else:
        members = open_zip_members(write_zip(tmp_path / "a.zip", files.items()))
    with ThreadPool(8) as pool:
        names = list(files) * 20
        assert pool.map(members.read, names) == [files[name] for name in names]


def test_a_file_is_open_as_long_as_its_members_are_used(tmp_path):
    write_zip(tmp_path / "a.zip", FILES.items())
    write_tar(tmp_path / "a.tar", FILES.items())

    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = count()
    used = [open_zip_members(tmp_path / "a.zip"), open_tar_members(tmp_path / "a.tar")]
    assert count() == before + 2
    (tmp_path / "a.tar").unlink()
    assert used[1].read("b.png") == b"second"
    del used
    assert count() == before
    (tmp_path / "a.tar").write_bytes(b"torn" * 999)
    message(open_tar_members, tmp_path / "a.tar")
    assert count() == before


@pytest.mark.parametrize(
    "write, opened", [(write_tar, open_tar_members), (write_zip, open_zip_members)]
)
def test_fingerprint(tmp_path, write, opened):
    path = write(tmp_path / "a", FILES.items())
    os.utime(path, ns=(1, 10**18))
    first = opened(path).fingerprint
    assert opened(path).fingerprint == first
    os.utime(path, ns=(1, 10**18 + 1))
    assert opened(path).fingerprint != first
    # Other bytes of the same size, or another name, at the same time.
    for old, new in ((b"second", b"SECOND"), (b"b.png", b"c.png")):
        changed = write(
            tmp_path / "b",
            [
                (name.replace(old.decode(), new.decode()), content.replace(old, new))
                for name, content in FILES.items()
            ],
        )
        os.utime(changed, ns=(1, 10**18))
        same = write is write_tar and old == b"second"  # a tar knows no checksum
        assert (opened(changed).fingerprint == first) == same


# Bad members

OUTSIDE = "its name leads out of the archive; make that again with another name"
TWICE = "it is in the archive more than once; make that again with one of them"
NO_FILE = "a link or device, no plain file; make the archive again with the file"
TORN = "a torn file; make or download the archive again"


def test_bad_members_of_a_tar(tmp_path):
    members = [
        ("b.png", b"good"),
        ("../up.png", b"11"),
        ("/etc/absolute.png", b"22"),
        ("a/../../up.png", b"33"),
        ("link.png", tarfile.SYMTYPE),
        ("hard.png", tarfile.LNKTYPE),
        ("pipe.png", tarfile.FIFOTYPE),
        ("device.png", tarfile.CHRTYPE),
        ("twice.png", b"44"),
        ("./twice.png", b"55"),
        ("twice.png", b"66"),
    ]
    found = open_tar_members(write_tar(tmp_path / "a.tar", members))
    assert contents(found) == {"b.png": b"good"}
    assert found.bad == {
        **dict.fromkeys(["../up.png", "/etc/absolute.png", "a/../../up.png"], OUTSIDE),
        **dict.fromkeys(["link.png", "hard.png", "pipe.png", "device.png"], NO_FILE),
        "twice.png": TWICE,
    }
    for name, words in found.bad.items():
        assert message(found.read, name) == words


def test_links_have_no_bytes_whatever_their_headers_say(tmp_path):
    files = [("a.png", tarfile.LNKTYPE), ("b.png", b"bb")]
    path = write_tar(tmp_path / "a.tar", files)
    content = bytearray(path.read_bytes())
    content[124:136] = b"00000002000\0"  # as that of the file it is a link to
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 256 + sum(content[156:512]))
    path.write_bytes(content)
    assert contents(open_tar_members(path)) == {"b.png": b"bb"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_members_of_a_zip(tmp_path):
    link, device = zipfile.ZipInfo("link.png"), zipfile.ZipInfo("device.png")
    for info, mode in ((link, stat.S_IFLNK), (device, stat.S_IFBLK)):
        info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    members = [
        ("b.png", b"good"),
        ("../up.png", b"11"),
        ("/etc/absolute.png", b"22"),
        (link, b"b.png"),
        (device, b""),
        ("twice.png", b"44"),
        ("twice.png", b"55"),
        ("is/no/folder/", b"66"),
    ]
    found = open_zip_members(write_zip(tmp_path / "a.zip", members))
    assert contents(found) == {"b.png": b"good"}
    assert found.bad == {
        **dict.fromkeys(["../up.png", "/etc/absolute.png"], OUTSIDE),
        **dict.fromkeys(["link.png", "device.png", "is/no/folder"], NO_FILE),
        "twice.png": TWICE,
    }


def patched(path, old, new):
    """Writes `new` over `old`, which is there once."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def directory_sizes(size, packed):
    return struct.pack("<LL", packed, size)


def test_a_bomb_takes_no_memory(tmp_path):
    """64 MiB of zeros in 64 KiB, said to be 100 bytes."""
    path = write_zip(tmp_path / "a.zip", [("a.png", bytes(2**26))])
    content = path.read_bytes()
    packed = open_zip_members(path)._rows[0, 2]
    path.write_bytes(
        content.replace(directory_sizes(2**26, packed), directory_sizes(100, packed))
    )
    members = open_zip_members(path)
    assert members.size("a.png") == 100
    tracemalloc.start()
    try:
        assert message(members.read, "a.png") == TORN
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_large_member_takes_no_memory(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archives, "LARGEST", 1000)
    files = [("a.png", bytes(1000)), ("b.png", bytes(1001))]
    if kind == "tar":
        members = open_tar_members(write_tar(tmp_path / "a.tar", files))
    else:
        members = open_zip_members(write_zip(tmp_path / "a.zip", files))
    assert members.read("a.png") == bytes(1000)
    assert message(members.read, "b.png") == (
        "a file of images has at most 1,000 bytes, this one 1,001; make it smaller, or"
        " delete it"
    )


def test_damaged_members_of_a_zip(tmp_path):
    path = tmp_path / "a.zip"

    def refused(method, change):
        write_zip(path, [("a.png", b"some bytes" * 9)], method)
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)
        return message(open_zip_members(path).read, "a.png")

    def flip(place):
        def change(content):
            content[place] ^= 1

        return change

    def claim_more(content):
        content[content.index(b"PK\1\2") + 24] += 1

    data = 30 + len("a.png")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert refused(method, flip(data + 2)) == TORN
        assert refused(method, flip(1)) == TORN  # no header where it should be
        assert refused(method, claim_more) == TORN
    assert refused(zipfile.ZIP_BZIP2, lambda content: None) == (
        "zip files are stored or deflated, this one is packed by method 12; make the"
        " archive again"
    )


def test_a_file_that_became_shorter(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES.items())
    members = open_tar_members(path)
    os.truncate(path, BLOCK + 3)
    assert message(members.read, "b.png") == TORN


# Bad archives


def test_error_not_a_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES.items())
    content = path.read_bytes()
    words = f"{path}: not a zip file, or a torn one; make or download it again"
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert message(open_zip_members, path) == words
    # zipfile goes on where the directory starts before the file does, and takes an
    # entry whose comment has the others in it.
    start = content.index(b"PK\1\2")
    for place, new in ((start + 32, b"\xff\xff"), (len(content) - 6, b"\xff\xff")):
        path.write_bytes(content[:place] + new + content[place + len(new) :])
        zipfile.ZipFile(path).close()
        assert message(open_zip_members, path) == words


def test_error_encrypted(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.png", b"aa")])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    assert message(open_zip_members, path) == (
        f"{path}: it is encrypted; unpack it with its password, and give the folder"
    )


def test_error_torn_tar(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.png", bytes(700)), ("b.png", b"bb")])
    content = path.read_bytes()
    end = 5 * BLOCK  # two headers, 700 bytes in two blocks, one of b
    for size in (*range(0, end, 100), *range(0, end + 1, BLOCK), end + 1):
        path.write_bytes(content[:size])
        assert message(open_tar_members, path) in (
            f"{path}: not a tar, or torn; make or download it again",
            f"{path}: a torn tar; make or download it again",
        )
    path.write_bytes(content[: end + BLOCK])
    assert open_tar_members(path).names == ["a.png", "b.png"]


def test_a_flipped_bit_of_a_header_is_seen(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.png", bytes(700)), ("b.png", b"bb")])
    content = path.read_bytes()
    for place in (*range(0, BLOCK, 7), *range(3 * BLOCK, 4 * BLOCK, 7)):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        try:
            found = open_tar_members(path)
        except ReadError:
            continue
        # Spaces around the octal checksum mean nothing.
        assert 148 <= place % BLOCK < 156
        assert found.names == ["a.png", "b.png"]


def test_error_several_tars_in_a_row(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES.items())
    path.write_bytes(path.read_bytes() * 2)
    assert message(open_tar_members, path) == (
        f"{path}: a tar that goes on behind its end, as several in a row do; make or"
        " download it again"
    )


def test_error_sparse(tmp_path):
    path = tmp_path / "a.tar"
    again = "make or download it again"
    write_tar(path, [("a.png", tarfile.GNUTYPE_SPARSE)])
    assert message(open_tar_members, path) == f"{path}: a tar of sparse files; {again}"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        archive.addfile(member)
    assert message(open_tar_members, path) == f"{path}: a tar of sparse files; {again}"


def test_error_a_name_without_end(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("x/" * 40_000 + "a.png", b"aa")])
    assert message(open_tar_members, path) == (
        f"{path}: a tar with a name that is too long; make or download it again"
    )


@pytest.mark.parametrize("record", [b"0 path=x\n", b"99 path=x\n", b"x path=x\n", b"9"])
def test_error_pax_records(tmp_path, record):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("extension")
        member.type, member.size = tarfile.XHDTYPE, len(record)
        archive.addfile(member, io.BytesIO(record))
        archive.addfile(tarfile.TarInfo("a.png"))
    assert message(open_tar_members, path) == (
        f"{path}: not a tar, or torn; make or download it again"
    )


@pytest.mark.parametrize("size", [-BLOCK, 2**70])
def test_error_strange_sizes(tmp_path, size):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a.png"))
    content = bytearray(path.read_bytes())
    # GNU tar's base 256: 12 bytes, of which the first is 255 or 128.
    content[124:136] = bytes([255 if size < 0 else 128]) + size.to_bytes(
        11, "big", signed=True
    )
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 256 + sum(content[156:512]))
    path.write_bytes(content)
    assert message(open_tar_members, path) == (
        f"{path}: a torn tar; make or download it again"
    )


def test_error_a_zip_of_more_than_there_is(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.extra = struct.pack("<HHQ", 99, 8, 2**64 - 1)
        archive.writestr(info, b"aa")
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\1\2")
    content[start + 24 : start + 28] = b"\xff" * 4  # the size: see the extra field,
    extra = start + 46 + len("a.png")
    content[extra : extra + 2] = b"\1\0"  # now that of ZIP64
    path.write_bytes(content)
    assert zipfile.ZipFile(path).infolist()[0].file_size == 2**64 - 1
    assert message(open_zip_members, path) == (
        f"{path}: not a zip file, or a torn one; make or download it again"
    )


def test_error_packed(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES.items())
    path.write_bytes(gzip.compress(path.read_bytes()))
    words = f"{path}: files of a packed tar cannot be read in any order; unpack it to"
    assert message(open_tar_members, path) == f"{words} a tar by gunzip a.tar"


@pytest.mark.parametrize("opened", [open_tar_members, open_zip_members])
def test_error_missing(tmp_path, opened):
    assert message(opened, tmp_path / "a") == f"{tmp_path}/a: No such file or directory"
