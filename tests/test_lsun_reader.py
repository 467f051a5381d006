"""Tests of lsun.py, mdb.py and large.py, on what LMDB's own library writes."""

import hashlib
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import (
    damages,
    encoded,
    everything,
    message,
    noise,
    open_place,
    read_or_refused,
)

from gantf import preparation
from gantf.readers import ReadError
from gantf.readers.large import listed
from gantf.readers.mdb import Database

PAGE = os.sysconf("SC_PAGE_SIZE")


def write(folder, values, remove=()):
    """An LMDB as LSUN has them, in two transactions."""
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=2**30) as database:
        with database.begin(write=True) as change:
            for key, value in values.items():
                change.put(key, value)
        with database.begin(write=True) as change:
            for key in remove:
                change.delete(key)
    return folder


def keys(n):
    """SHA-1 in letters, as LSUN's keys are."""
    return [hashlib.sha1(bytes([i])).hexdigest().encode() for i in range(n)]


def pictures(n, seed=0, kind="WEBP", **options):
    """{key: an image file} with sides that differ; the shorter is 20."""
    options = options or {"lossless": True}
    return {
        key: encoded(noise(20, 20 + i, 3, seed=seed + i), kind, **options)
        for i, key in enumerate(keys(n))
    }


def pixels(n, seed=0):
    """The middles of those, in the order of their keys."""
    order = sorted(range(n), key=keys(n).__getitem__)
    made = [noise(20, 20 + i, 3, seed=seed + i) for i in order]
    return np.stack([x[:, (x.shape[1] - 20) // 2 :][:, :20] for x in made])


# Databases


@settings(max_examples=30)
@given(
    st.dictionaries(st.binary(min_size=1, max_size=80), st.integers(0, 3 * PAGE)),
    st.randoms(use_true_random=False),
)
def test_values_are_those_of_lmdb(tmp_path_factory, sizes, random):
    values = {key: random.randbytes(size) for key, size in sizes.items()}
    gone = [key for key in values if random.random() < 0.3]
    folder = write(tmp_path_factory.mktemp("mdb"), values, gone)
    left = sorted(values.keys() - gone)
    database = Database(folder / "data.mdb")
    assert [database.key(i) for i in range(len(database))] == left
    assert [database.read(i) for i in range(len(database))] == [values[k] for k in left]


def test_a_tree_of_three_levels(tmp_path):
    values = {b"%040d" % (7919 * i % 10007): b"%d" % i for i in range(10000)}
    folder = write(tmp_path, values, [key for key in values if key.endswith(b"5")])
    with lmdb.open(str(folder), readonly=True) as database:
        assert database.stat()["depth"] == 3
        with database.begin() as view:
            expected = list(view.cursor())
    found = Database(folder / "data.mdb")
    assert [(found.key(i), found.read(i)) for i in range(len(found))] == expected


def test_error_databases(tmp_path):
    path = write(tmp_path / "a", pictures(3)) / "data.mdb"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 1])
    torn = "a torn LMDB; copy or download it again"
    assert message(path.parent, size=20) == f"{path}: {torn}"
    path.write_bytes(whole[:100])
    assert message(path.parent, size=20) == f"{path}: {torn}"
    path.write_bytes(whole.replace(b"\xde\xc0\xef\xbe\1\0", b"\xde\xc0\xef\xbe\2\0"))
    assert message(path.parent, size=20) == (
        f"{path}: a data.mdb of LMDB has the magic beefc0de and version 1 of its data,"
        " not beefc0de and 2; copy or download it again"
    )
    with lmdb.open(str(tmp_path / "b"), max_dbs=1) as database:
        database.open_db(b"inner")
    assert message(tmp_path / "b", size=20) == (
        f"{tmp_path}/b/data.mdb: an LMDB of several databases, or of many values a key"
    )
    empty = write(tmp_path / "c", {})
    assert message(empty, size=20) == f"{empty}: no images in train"


# where in the file, how far behind, bytes, what is set there; fields as in mdb.c
DAMAGES = {
    "pages of no size": ("first meta", 40, 4, 0),
    "pages of an odd size": ("first meta", 40, 4, 1000),
    "an entry more": ("meta", 120, 8, 501),
    "a root far away": ("meta", 128, 8, 2**62),
    "a root that is a meta page": ("meta", 128, 8, 0),
    "a page with another number": ("root", 0, 8, 1),
    "a page of another kind": ("root", 10, 2, 4),
    "a page without pointers": ("root", 12, 2, 16),
    "pointers behind the page": ("root", 12, 2, PAGE + 2),
    "a node behind the page": ("root", 16, 2, PAGE - 4),
    "a page that leads nowhere": ("branch", 2, 2, 1),
    "a key behind the page": ("small", 6, 2, PAGE),
    "a value behind the page": ("small", 0, 4, PAGE),
    "a value of a gigabyte": ("large", 0, 4, 2**30),
    "a value on a page far away": ("large", 9, 8, 2**40),
}


@pytest.fixture
def tree(tmp_path):
    """A data.mdb of 500 values, its bytes, and where in it what lies."""
    values = {b"%040d" % i: b"small" for i in range(500)}
    gone = [b"%040d" % 7]
    path = write(tmp_path, {**values, b"0": bytes(2 * PAGE)}, gone) / "data.mdb"
    data = bytearray(path.read_bytes())

    def number(start, size):
        return int.from_bytes(data[start : start + size], "little")

    meta = max((0, PAGE), key=lambda start: number(start + 144, 8))
    root = number(meta + 128, 8) * PAGE
    branch = root + number(root + 16, 2)
    leaf = number(branch, 4) * PAGE
    large, small = (leaf + number(leaf + at, 2) for at in (16, 18))
    assert data[large + 8 : large + 9] == b"0"
    assert data[small + 8 : small + 53] == b"%040dsmall" % 0
    return path, data, {
        "first meta": 0, "meta": meta, "root": root, "branch": branch,
        "large": large, "small": small,
    }  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_error_fields(tree, case):
    path, data, places = tree
    where, offset, width, value = DAMAGES[case]
    start = places[where] + offset
    data[start : start + width] = value.to_bytes(width, "little")
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"^a torn LMDB; copy or download it again$"):
        Database(path)


def test_error_a_page_that_leads_back(tree):
    path, data, places = tree
    start = places["branch"]
    data[start : start + 4] = (places["root"] // PAGE).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"^a torn LMDB"):
        Database(path)


# Sets


def test_one_database(tmp_path):
    source = open_place(write(tmp_path / "mine", pictures(12)), size=20)
    assert (source.n, source.shape, source.labels) == (12, (20, 20, 3), None)
    np.testing.assert_array_equal(everything(source), pixels(12))


def test_any_kind_of_image(tmp_path):
    grey = encoded(noise(20, 20), "PNG")
    place = write(tmp_path, {**pictures(2, kind="JPEG", quality=75), b"x": grey})
    found = everything(open_place(place, size=20))
    assert found.shape == (3, 20, 20, 3) and abs(found[:2] - pixels(2)).mean() > 0
    np.testing.assert_array_equal(found[2], np.stack([noise(20, 20)] * 3, 2))


def lsun(folder, *names):
    for i, name in enumerate(names):
        write(folder / name, pictures(3 + i, seed=100 * i))
    return folder


def test_splits(tmp_path):
    place = lsun(tmp_path, "bedroom_train_lmdb", "bedroom_val_lmdb")
    for split, parts in [
        ("train", [pixels(3)]),
        ("valid", [pixels(4, 100)]),
        ("all", [pixels(3), pixels(4, 100)]),
    ]:
        source = open_place(place, split, size=20)
        assert source.labels is None and source.classes == ()
        np.testing.assert_array_equal(everything(source), np.concatenate(parts))
    assert message(place, "test", size=20) == (
        f'{place}: it has only "train", "valid", no "test"'
    )


def test_the_name_of_a_database_tells_its_split(tmp_path):
    place = lsun(tmp_path, "bedroom_val_lmdb") / "bedroom_val_lmdb"
    assert open_place(place, "valid", size=20).n == 3
    expected = f'{place}: it has only "valid", no "train"'
    assert message(place, size=20) == expected


def test_categories_are_labels(tmp_path):
    names = "church_outdoor_train_lmdb", "bedroom_train_lmdb", "tower_val_lmdb"
    place = lsun(tmp_path, *names, "test_lmdb")
    source = open_place(place, size=20)
    assert source.classes == ("bedroom", "church_outdoor", "tower")
    assert source.labels.tolist() == [0] * 4 + [1] * 3
    expected = np.concatenate([pixels(4, 100), pixels(3)])
    np.testing.assert_array_equal(everything(source), expected)
    assert open_place(place, "valid", size=20).labels.tolist() == [2] * 5
    assert open_place(place, "test", size=20).labels is None


def test_error_without_a_size(tmp_path):
    place = write(tmp_path, pictures(2))
    assert message(place) == (
        f"{place}: a set of this kind is not looked through for the sizes of its"
        " images; give size=, the pixels a side that they shall have"
    )


def test_bad_values_are_told_by_their_keys(tmp_path, capsys):
    values = pictures(20)
    order = sorted(values)
    values |= {order[3]: b"no image", order[15]: values[order[15]][:50]}
    place = write(tmp_path / "bedroom_train_lmdb", values)
    kinds = "no PNG, JPEG, WEBP or BMP image, whatever its name says; replace or delete"
    assert message(place, size=20) == f"{place}/{order[3].decode()}: {kinds} it"
    source = open_place(place, size=20, on_error="skip")
    found = everything(source)
    expected = pixels(20)
    expected[[3, 15]] = expected[[4, 16]]  # the next one
    np.testing.assert_array_equal(found, expected)
    torn = "a torn image file; copy or download it again, or delete it"
    assert source.faults.lines == [
        f"{place}/{order[3].decode()}: {kinds} it",
        f"{place}/{order[15].decode()}: {torn}",
    ]
    assert capsys.readouterr().err.count("gantf: skipped: ") == 2
    place = write(tmp_path / "late_train_lmdb", {**values, order[3]: values[order[4]]})
    late = open_place(place, size=20)  # its first few are good
    with pytest.raises(ReadError) as error:
        late.read([15])
    assert str(error.value) == f"{place}/{order[15].decode()}: {torn}"


def test_error_no_image_at_all(tmp_path):
    place = write(tmp_path, {b"a\nb": b"1", b"\xff": b"2"})
    assert message(place, size=20, on_error="skip") == (
        f"{place}/610a62: no PNG, JPEG, WEBP or BMP image, whatever its name says;"
        " replace or delete it (and so are all of the first 2)"
    )


def test_threads_and_forks_read_the_same(tmp_path):
    source = open_place(write(tmp_path, pictures(16)), size=20)
    expected = pixels(16)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: everything(source), range(8)):
            np.testing.assert_array_equal(found, expected)
    reader, writer = multiprocessing.Pipe(duplex=False)
    if not (child := os.fork()):
        try:
            writer.send(everything(source).tobytes() == expected.tobytes())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert reader.recv()
    np.testing.assert_array_equal(everything(source), expected)


def test_prepared_as_lsun_is(tmp_path):
    source = open_place(write(tmp_path, pictures(3)), size=16, prepare="lsun-random")
    assert source.prepared == preparation.read("short-16 random-16", None)
    places = np.array([[0.99, 0.0]] * 3)
    assert (source.read([0, 1, 2], places) != source.read([0, 1, 2])).any()


def test_what_is_in_a_file_is_listed_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "cache"))
    place = write(tmp_path / "x", pictures(3))
    say = f"gantf: {place}/data.mdb: listing what is in it; that is kept for the next"
    for expected in (f"{say} time\n", ""):
        assert open_place(place, size=20).n == 3
        assert capsys.readouterr().err == expected
    time = os.stat(place / "data.mdb").st_mtime_ns
    write(place, pictures(4))  # another size
    os.utime(place / "data.mdb", ns=(time, time))
    assert open_place(place, size=20).n == 4
    assert capsys.readouterr().err == f"{say} time\n"
    os.utime(place / "data.mdb", ns=(time, time + 1))
    assert open_place(place, size=20).n == 4
    assert capsys.readouterr().err == f"{say} time\n"


def test_a_cache_that_is_torn_or_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "file"
    file.write_text("content")
    calls = []

    def make():
        calls.append(1)
        return {"x": np.arange(3)}

    listed(file, make)
    (kept,) = (tmp_path / "cache/lists").iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert listed(file, make)["x"].tolist() == [0, 1, 2] and len(calls) == 2
    assert listed(file, make)["x"].tolist() == [0, 1, 2] and len(calls) == 2
    (tmp_path / "blocked").write_text("no folder")
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "blocked"))
    assert listed(file, make)["x"].tolist() == [0, 1, 2]


def test_error_a_zip(tmp_path):
    path = tmp_path / "bedroom_train_lmdb.zip"
    path.write_bytes(b"PK")
    assert message(path, size=20) == (
        f"{path}: a database is read where it lies, so unpack it: unzip"
        " bedroom_train_lmdb.zip"
    )


def export(folder, values):
    """What LSUN's data.py export writes."""
    for key, value in values.items():
        name = key.decode()
        inner = folder.joinpath(*name[:6])
        inner.mkdir(parents=True)
        (inner / f"{name}.webp").write_bytes(value)
    return folder


def test_exported_images_have_no_labels(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    source = open_place(export(tmp_path, pictures(9)), size=20)
    assert source.labels is None and source.classes == ()
    np.testing.assert_array_equal(everything(source), pixels(9))
    assert message(tmp_path, "test") == f'{tmp_path}: it has only "train", no "test"'


def test_digits_are_classes_and_no_export(tmp_path):
    for digit in "07":
        (tmp_path / digit).mkdir()
        (tmp_path / digit / "1.png").write_bytes(encoded(noise(4, 4)))
    assert open_place(tmp_path).classes == ("0", "7")


# Damage


def test_damaged_databases(tmp_path):
    path = write(tmp_path, pictures(12)) / "data.mdb"
    whole = path.read_bytes()
    pages = len(whole) // PAGE
    # most of a page is pixels: its first bytes, and those of nodes, say where they are
    heads = st.integers(0, pages - 1).flatmap(
        lambda page: st.integers(0, 160).map(lambda byte: page * PAGE + byte)
    )

    def turned(places, bit):
        data = bytearray(whole)
        for place in places:
            data[place] ^= 1 << bit
        return bytes(data)

    some = st.lists(heads, min_size=1, max_size=3)

    @settings(max_examples=250)
    @given(damages(whole) | st.builds(turned, some, st.integers(0, 7)))
    def check(data):
        path.write_bytes(data)
        read_or_refused(tmp_path, size=20)

    check()
