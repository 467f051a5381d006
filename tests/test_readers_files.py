import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from places import message, open_place

from gantf import readers
from gantf.readers import Options, ReadError, files


def shade(value):
    """A PNG of 4 x 3 pixels of one grey."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), value).save(buffer, "PNG")
    return buffer.getvalue()


def shades(source):
    return source.read(np.arange(source.n))[:, 0, 0, 0].tolist()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shade(content) if isinstance(content, int) else content)


def folder(path, contents):
    """A folder of {name: a shade or bytes}."""
    path.mkdir(exist_ok=True)
    for name, content in contents.items():
        write(path / name, content)
    return path


def as_tar(path, contents, top=""):
    with tarfile.open(path / "set.tar", "w") as archive:
        for name, content in contents.items():
            content = shade(content) if isinstance(content, int) else content
            member = tarfile.TarInfo(top + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path / "set.tar"


def as_zip(path, contents, top=""):
    with zipfile.ZipFile(path / "set.zip", "w") as archive:
        for name, content in contents.items():
            content = shade(content) if isinstance(content, int) else content
            archive.writestr(top + name, content)
    return path / "set.zip"


def as_tar_of_here(path, contents):
    return as_tar(path, contents, "./")


def as_tar_with_a_top_folder(path, contents):
    return as_tar(path, contents, "./set/")


PLACES = [folder, as_zip, as_tar, as_tar_of_here, as_tar_with_a_top_folder]
places = pytest.mark.parametrize("make", PLACES)
TORN = "a torn image file; copy or download it again, or delete it"
EMPTY = "an empty file; copy or download it again, or delete it"
NOWHERE = "a link to nowhere; mend or delete it"
TWICE = "a link to a folder that is read already; delete it"


# What is in a place


@places
def test_flat(tmp_path, make):
    source = open_place(make(tmp_path, {"b.png": 1, "a.PNG": 0, "c.png": 2}))
    assert (source.n, source.shape, source.suffixes) == (3, (3, 4, 1), (".png",))
    assert (source.labels, source.classes) == (None, ())
    assert shades(source) == [0, 1, 2]


SPLITS = {
    "train/dog/1.png": 0,
    "train/ape/1.png": 1,
    "val/dog/1.png": 2,
    "testing/cow/1.png": 3,
}


@places
def test_splits_beside_each_other(tmp_path, make):
    place = make(tmp_path, SPLITS)
    for split, values, labels in [
        ("train", [1, 0], [0, 2]),
        ("valid", [2], [2]),
        ("test", [3], [1]),
        ("all", [1, 0, 2, 3], [0, 2, 2, 1]),
    ]:
        source = open_place(place, split)
        assert shades(source) == values
        assert source.labels.tolist() == labels
        assert source.classes == ("ape", "cow", "dog")


@pytest.mark.parametrize("called", ["valid", "val", "validation", "Val"])
def test_what_people_call_splits(tmp_path, called):
    place = folder(tmp_path, {"Training/a.png": 0, f"{called}/b.png": 1})
    assert shades(open_place(place)) == [0]
    assert shades(open_place(place, "valid")) == [1]
    assert shades(open_place(place, "all")) == [0, 1]
    assert message(place, "test") == (
        f'{place}: it has only "train", "valid", no "test"'
    )


@pytest.mark.parametrize("make", [as_zip, as_tar])
def test_a_split_is_no_top_folder(tmp_path, make):
    place = make(tmp_path, {"cat/1.png": 0, "dog/1.png": 1}, "val/")
    source = open_place(place, "valid")
    assert source.classes == ("cat", "dog")
    assert message(place) == f'{place}: it has only "valid", no "train"'


def test_a_split_without_classes_beside_one_with(tmp_path):
    place = folder(tmp_path, {"train/a/1.png": 0, "train/b/1.png": 1, "test/1.png": 2})
    assert open_place(place).labels.tolist() == [0, 1]
    assert open_place(place, "test").labels is None
    assert message(place, "all") == (
        f"{place}: images are all in folders, one a class, or none is; test/1.png is"
        " not, train/a/1.png is: move one of them away"
    )


@places
def test_error_images_beside_splits(tmp_path, make):
    place = make(tmp_path, {"train/a.png": 0, "other/b.png": 1})
    assert message(place) == (
        f"{place}: with train/ in it, all images are in folders of splits, as train/,"
        " valid/ and test/; other/b.png is not: move it away"
    )


@pytest.mark.parametrize("make", [folder, as_tar, as_zip])
def test_images_of_other_kinds_are_told(tmp_path, make, capsys):
    (tmp_path / "set").mkdir()
    place = make(tmp_path / "set", {"a.png": 1, "b.GIF": b"", "cat/c.tiff": b""})
    kinds = "images are PNG, JPEG, WEBP or BMP, not {}; convert or rename it"
    lines = [
        f"{place}/b.GIF: {kinds.format('gif')}",
        f"{place}/cat/c.tiff: {kinds.format('tiff')}",
    ]
    assert message(place) == f"{lines[0]} (and 1 more bad files)"
    source = readers.open_place(place, Options(on_error="skip"))
    assert (source.n, source.faults.lines) == (1, lines)
    assert "no images" not in capsys.readouterr().err


@places
def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path, make, capsys):
    hidden = {".a.png": b"", ".git/b.png": b"", "__MACOSX/c.png": b"", ".d/e/f.png": 1}
    place = make(tmp_path, {"a.png": 0, **hidden})
    assert open_place(place).n == 1
    assert capsys.readouterr().err == ""
    place = make(tmp_path, {"a.png": 0, "b.txt": b"", "c/d.mp4": b"", **hidden})
    assert open_place(place).n == 1
    told = f"gantf: {place}: 2 files in it are no images\n"
    assert capsys.readouterr().err == told


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff\n.png")
    place = folder(tmp_path, {"a.png": 0, name: 1})
    assert shades(open_place(place)) == [0, 1]
    write(place / name, b"")
    assert message(place) == rf"{place}/\udcff\n.png: {EMPTY}"


# Links


def test_links_are_followed(tmp_path):
    folder(tmp_path / "elsewhere", {"1.png": 1, "deep/2.png": 2})
    write(tmp_path / "one.png", 0)
    place = folder(tmp_path / "set", {"b/3.png": 3})
    (place / "a").symlink_to("../elsewhere")
    (place / "b" / "0.png").symlink_to("../../one.png")
    source = open_place(place)
    assert (shades(source), source.labels.tolist()) == ([1, 2, 0, 3], [0, 0, 1, 1])


@pytest.mark.parametrize("target", [".", "..", "../cat", "again"])
def test_links_in_circles(tmp_path, target, capsys):
    place = folder(tmp_path / "set", {"cat/1.png": 1, "dog/2.png": 2})
    (place / "cat" / "again").symlink_to(target)
    words = TWICE
    if target == "again":
        words = NOWHERE
    line = f"{place}/cat/again: {words}"
    assert message(place) == line
    source = open_place(place, on_error="skip")
    assert (shades(source), source.faults.lines) == ([1, 2], [line])
    assert capsys.readouterr().err == f"gantf: skipped: {line}\n"


def test_a_folder_comes_before_links_to_it(tmp_path):
    place = folder(tmp_path / "set", {"dog/2.png": 2, "cow/1.png": 1})
    (place / "ape").symlink_to("dog")
    source = open_place(place, on_error="skip")
    assert (shades(source), source.classes) == ([1, 2], ("cow", "dog"))
    assert source.faults.lines == [f"{place}/ape: {TWICE}"]


def test_links_to_nowhere(tmp_path):
    place = folder(tmp_path, {"b.png": 1})
    for name in ("a.png", "c.txt", "folder"):
        (place / name).symlink_to("nowhere")
    lines = [f"{place}/{name}: {NOWHERE}" for name in ("c.txt", "folder", "a.png")]
    assert message(place) == f"{lines[0]} (and 2 more bad files)"
    source = open_place(place, on_error="skip")
    assert (shades(source), source.faults.lines) == ([1], lines)


def test_a_pipe_is_not_waited_for(tmp_path):
    place = folder(tmp_path, {"a.png": 0, "b.png": 1})
    os.mkfifo(place / "c.png")
    words = "a pipe or device, no plain file; delete it"
    assert message(place) == f"{place}/c.png: {words}"
    source = open_place(place, on_error="skip")
    assert (shades(source), source.faults.lines) == (
        [0, 1],
        [f"{place}/c.png: {words}"],
    )
    (place / "b.png").unlink()
    os.mkfifo(place / "b.png")
    assert shades(source) == [0, 0]
    assert source.faults.lines[1:] == [f"{place}/b.png: {words}"]


# Archives


def test_bad_members_are_told_by_their_names(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("train/a.png", "test/b.png", "../out.png", "train/c.png"):
            content = shade(7)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name in ("train/link.png", "test/link.png", "link", ".hidden"):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "train/a.png"
            archive.addfile(member)
    place = tmp_path / "a.tar"
    out = "its name leads out of the archive; make that again with another name"
    link = "a link or device, no plain file; make the archive again with the file"
    assert message(place) == f"{place}/../out.png: {out} (and 2 more bad files)"
    for split, n in (("train", 2), ("test", 1)):
        source = open_place(place, split, on_error="skip")
        assert source.n == n
        assert source.faults.lines == [
            f"{place}/../out.png: {out}",
            f"{place}/link: {link}",
            f"{place}/{split}/link.png: {link}",
        ]


@pytest.mark.parametrize(
    "name, tool",
    [("a.tar.gz", "gunzip"), ("a.tgz", "gunzip"), ("a.tar.bz2", "bunzip2")]
    + [("a.tar.xz", "unxz")],
)
def test_error_packed(tmp_path, name, tool):
    write(tmp_path / name, b"")
    assert message(tmp_path / name) == (
        f"{tmp_path}/{name}: files of a packed tar cannot be read in any order; unpack"
        f" it to a tar by {tool} {name}"
    )


# Bad images


@places
def test_bad_images_are_refused_or_skipped(tmp_path, make, capsys):
    contents = {
        "a/1.png": b"",
        "a/2.png": 2,
        "b/1.png": 3,
        "b/2.png": shade(4)[:50],
        "c/1.png": b"",
    }
    place = make(tmp_path, contents)
    lines = [
        f"{place}/a/1.png: {EMPTY}",
        f"{place}/b/2.png: {TORN}",
        f"{place}/c/1.png: {EMPTY}",
    ]
    assert message(place) == f"{lines[0]} (and 2 more bad files)"
    source = open_place(place, on_error="skip")
    assert (shades(source), source.faults.lines) == ([2, 3], lines)
    assert (source.labels.tolist(), source.classes) == ([0, 1], ("a", "b", "c"))
    told = "".join(f"gantf: skipped: {line}\n" for line in lines)
    assert capsys.readouterr().err == told


def test_where_nothing_is_left(tmp_path):
    place = folder(tmp_path, {"a.png": b"", "b.png": b""})
    words = f"{place}/a.png: {EMPTY} (and 1 more bad files)"
    assert message(place, on_error="skip") == words
    place = folder(tmp_path / "one", {"a.png": b""})
    assert message(place, on_error="skip") == f"{place}/a.png: {EMPTY}"


@pytest.mark.parametrize("change", [os.unlink, lambda path: os.truncate(path, 50)])
def test_what_goes_bad_later(tmp_path, change):
    place = folder(tmp_path, {"a/1.png": 1, "a/2.png": 2, "b/3.png": 3})
    refusing, skipping = open_place(place), open_place(place, on_error="skip")
    change(place / "a" / "2.png")
    wrong = "No such file or directory" if change == os.unlink else TORN
    with pytest.raises(ReadError) as error:
        refusing.read(np.arange(3))
    assert str(error.value) == f"{place}/a/2.png: {wrong}"
    assert shades(skipping) == [1, 1, 3]
    assert skipping.faults.lines == [str(error.value)]


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    place = folder(tmp_path, {"a.png": 1})
    with (place / "b.png").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    assert message(place) == (
        f"{place}/b.png: a file of images has at most 268,435,456 bytes, this one"
        " 1,099,511,627,776; make it smaller, or delete it"
    )


# The first look


@pytest.fixture
def looks(tmp_path, monkeypatch):
    """How many images were looked at, one an element; the cache is empty."""
    seen, look_at = [], files.look_at

    def look(file):
        seen.append(1)
        return look_at(file)

    monkeypatch.setattr(files, "look_at", look)
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "cache"))
    return seen


def taken(looks):
    count = len(looks)
    looks.clear()
    return count


COLOUR = io.BytesIO()
Image.new("RGB", (4, 3), "red").save(COLOUR, "PNG")
MIXED = {"a.png": 1, "b.png": 2, "c.png": COLOUR.getvalue()}


@pytest.mark.parametrize("make", [folder, as_zip, as_tar])
def test_a_place_is_looked_at_once(tmp_path, looks, make):
    place = make(folder(tmp_path / "set", {}), MIXED)
    first = open_place(place)
    assert taken(looks) == 3
    again = open_place(place)
    assert taken(looks) == 0
    assert first.shape == again.shape == (3, 4, 3)
    np.testing.assert_array_equal(first.read(np.arange(3)), again.read(np.arange(3)))


@pytest.mark.parametrize("make", [folder, as_zip, as_tar])
def test_a_place_that_changed_is_looked_at_again(tmp_path, looks, make):
    place = make(folder(tmp_path / "set", {}), MIXED)
    open_place(place)
    taken(looks)
    changed = place / "b.png" if make is folder else place
    os.utime(changed, ns=(0, 10**18))
    open_place(place)
    assert taken(looks) == 3
    make(tmp_path / "set", {**MIXED, "d.png": 4})
    open_place(place)
    assert taken(looks) == 4


def test_other_files_and_places_do_not_matter(tmp_path, looks):
    place = folder(tmp_path / "set", MIXED)
    open_place(place)
    taken(looks)
    write(place / "list.txt", b"")
    place.rename(tmp_path / "moved")
    assert open_place(tmp_path / "moved").n == 3
    assert taken(looks) == 0


def test_bad_images_are_looked_at_each_time(tmp_path, looks):
    place = folder(tmp_path / "set", {**MIXED, "d.png": b""})
    for count in (4, 1, 1):
        assert message(place) == f"{place}/d.png: {EMPTY}"
        assert taken(looks) == count
    assert open_place(place, on_error="skip").n == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:40] + b"\xff" + content[41:],
        lambda content: bytes(len(content)),
        None,  # a folder in its place
    ],
)
def test_a_torn_cache_loses_nothing(tmp_path, looks, damage):
    place = folder(tmp_path / "set", MIXED)
    open_place(place)
    taken(looks)
    (cache,) = (tmp_path / "cache" / "looks").iterdir()
    content = cache.read_bytes()
    cache.unlink()
    if damage:
        cache.write_bytes(damage(content))
    else:
        cache.mkdir()
    assert open_place(place).shape == (3, 4, 3)
    assert taken(looks) == 3
    assert open_place(place).shape == (3, 4, 3)
    assert taken(looks) == (0 if damage else 3)


def test_a_cache_that_cannot_be_written_loses_nothing(tmp_path, looks):
    (tmp_path / "cache").write_bytes(b"a file where a folder should be")
    place = folder(tmp_path / "set", MIXED)
    for _ in range(2):
        assert open_place(place).shape == (3, 4, 3)
        assert taken(looks) == 3


def test_an_interrupted_look_goes_on(tmp_path, looks, monkeypatch):
    monkeypatch.setattr("gantf.readers.source.AT_ONCE", 10)
    place = folder(tmp_path / "set", {f"{i:02}.png": i for i in range(50)})
    counting = files.look_at

    def interrupted(file):
        if len(looks) >= 30:
            raise KeyboardInterrupt
        return counting(file)

    with monkeypatch.context() as patch:
        patch.setattr(files, "look_at", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_place(place)
    done = taken(looks)
    assert 30 <= done <= 30 + os.cpu_count()
    assert shades(open_place(place)) == list(range(50))
    # Those that were in the threads' hands may be looked at again.
    assert 50 - done <= taken(looks) <= 50 - done + os.cpu_count()


def test_a_long_look_is_told_and_kept(tmp_path, looks, monkeypatch, capsys):
    place = folder(tmp_path / "set", {f"{i}.png": i for i in range(4)})
    clock = iter([0.0, 1.0, 3.0, 33.5, 68.1])  # at the start, and after each image
    monkeypatch.setattr("gantf.readers.source.time.monotonic", clock.__next__)
    kept = []
    monkeypatch.setattr(files, "_save_heads", lambda *_: kept.append(1))
    open_place(place)
    words = f"gantf: looked at {{}} of 4 images in {place}, about {{}} s more\n"
    assert capsys.readouterr().err == words.format(2, 3) + words.format(4, 0)
    assert len(kept) == 3


def test_sizes_are_those_of_upright_images(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (9, 5)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("L", (5, 9)).save(tmp_path / "b.jpg")
    assert open_place(tmp_path).shape == (9, 5, 1)
    Image.new("L", (9, 5)).save(tmp_path / "c.jpg")
    assert message(tmp_path) == (
        f"{tmp_path}: images differ in size: a.jpg is 5 x 9, c.jpg is 9 x 5 (width x"
        " height); give size= to make them equal"
    )
