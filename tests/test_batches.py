"""Tests of batches.py and packed.py, on small files byte by byte of the official form.

What Python 2 pickled is written here by hand; that it is what it was is seen by the
MD5 of two files of the sets themselves.
"""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from places import damages, everything, message, noise, open_place, read_or_refused

from gantf.readers import batches, packed

TEN = "airplane automobile bird cat deer dog frog horse ship truck".split()
HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket
rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
""".split()
TWENTY = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables
household_electrical_devices household_furniture insects large_carnivores
large_man-made_outdoor_things large_natural_outdoor_scenes
large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles
small_mammals trees vehicles_1 vehicles_2
""".split()


class Python2:
    """What cPickle of Python 2 wrote with protocol 2."""

    def __init__(self, value):
        self.count = 0
        self.data = b"\x80\x02" + self.of(value) + b"."

    def put(self):
        self.count += 1
        return b"q" + bytes([self.count])

    def of(self, value):
        if isinstance(value, dict):
            start = b"}" + self.put() + b"("
            pairs = (self.of(key) + self.of(some) for key, some in value.items())
            return start + b"".join(pairs) + b"u"
        if isinstance(value, list):
            return b"]" + self.put() + b"(" + b"".join(map(self.of, value)) + b"e"
        if isinstance(value, int):
            if value < 256:
                return b"K" + bytes([value])
            return b"M" + value.to_bytes(2, "little")
        if isinstance(value, np.ndarray):
            return self.array(value)
        value = value.encode() if isinstance(value, str) else value
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value + self.put()
        return b"T" + len(value).to_bytes(4, "little") + value + self.put()

    def array(self, value):
        n, width = map(self.of, value.shape)
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put()
        made += b"cnumpy\nndarray\n" + self.put() + b"K\0\x85" + self.put()
        made += self.of("b") + b"\x87" + self.put() + b"R" + self.put()
        state = b"(K\1" + n + width + b"\x86" + self.put()
        state += b"cnumpy\ndtype\n" + self.put() + self.of("u1") + b"K\0K\1\x87"
        state += self.put() + b"R" + self.put() + b"(K\3" + self.of("|") + b"NNN"
        state += b"J\xff\xff\xff\xff" * 2 + b"K\0t" + self.put() + b"b\x89"
        return made + state + self.of(value.tobytes()) + b"t" + self.put() + b"b"


META10 = Python2(
    {"num_cases_per_batch": 10000, "label_names": TEN, "num_vis": 3072}
).data
META100 = Python2({"fine_label_names": HUNDRED, "coarse_label_names": TWENTY}).data


def test_python_2_wrote_like_this():
    # of batches.meta and meta, as torchvision.datasets.cifar checks them
    assert hashlib.md5(META10).hexdigest() == "5ff9c542aee3614f3951f8cda6e48888"
    assert hashlib.md5(META100).hexdigest() == "7973b15100ade9c7d40fb424638fde48"


N = {"train": 15, "test": 2}
IMAGES = {split: noise(n, 32, 32, 3, seed=n) for split, n in N.items()}
LABELS = {
    split: {
        "labels": noise(n, seed=1) % 10,
        "fine_labels": noise(n, seed=2) % 100,
        "coarse_labels": noise(n, seed=3) % 20,
    }
    for split, n in N.items()
}


def planes(images):
    """A row of 3072 for each image: all red, all green, all blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), 3072)


def pickled(name, images, **labels):
    names = [f"leptodactylus_pentadactylus_s_{i:06d}.png" for i in range(len(images))]
    return Python2(
        {
            "batch_label": f"training batch {name} of 5",
            **{key: numbers.tolist() for key, numbers in labels.items()},
            "data": planes(images),
            "filenames": names,
        }
    ).data


def records(images, *labels):
    return np.column_stack([*labels, planes(images)]).astype(np.uint8).tobytes()


def five(write):
    """CIFAR-10's batches of three, and the one of its test."""
    for i in range(6):
        split, part = (
            ("test", slice(2)) if i == 5 else ("train", slice(3 * i, 3 * i + 3))
        )
        name = "test_batch" if i == 5 else f"data_batch_{i + 1}"
        yield name, write(i, IMAGES[split][part], LABELS[split]["labels"][part])


def two(write, *keys):
    """CIFAR-100's."""
    for split, images in IMAGES.items():
        yield split, write(images, {key: LABELS[split][key] for key in keys})


def cifar():
    """{folder: {file: bytes}} of the four forms."""
    binary = two(
        lambda images, labels: records(images, *labels.values()),
        *("coarse_labels", "fine_labels"),
    )
    return {
        "cifar-10-batches-py": {
            **dict(five(lambda i, images, labels: pickled(i, images, labels=labels))),
            "batches.meta": META10,
            "readme.html": b"<meta>",
        },
        "cifar-10-batches-bin": {
            **{
                f"{name}.bin": data
                for name, data in five(
                    lambda i, images, labels: records(images, labels)
                )
            },
            "batches.meta.txt": "\n".join([*TEN, "", ""]).encode(),
        },
        "cifar-100-python": {
            **dict(
                two(
                    lambda images, labels: pickled(1, images, **labels),
                    *("coarse_labels", "fine_labels"),
                )
            ),
            "meta": META100,
            "file.txt~": b"",
        },
        "cifar-100-binary": {
            **{f"{name}.bin": data for name, data in binary},
            "fine_label_names.txt": "\n".join(HUNDRED).encode(),
            "coarse_label_names.txt": "\n".join(TWENTY).encode(),
        },
    }


CIFAR = cifar()
FORMS = pytest.mark.parametrize("form", CIFAR)
ARCHIVES = {
    "cifar-10-batches-py": "cifar-10-python.tar.gz",
    "cifar-10-batches-bin": "cifar-10-binary.tar.gz",
    "cifar-100-python": "cifar-100-python.tar.gz",
    "cifar-100-binary": "cifar-100-binary.tar.gz",
}


def unpack(folder, form, files=None):
    """A folder of one form, in a folder."""
    (folder / form).mkdir()
    for name, data in (files or CIFAR[form]).items():
        (folder / form / name).write_bytes(data)
    return folder / form


def pack(folder, form, files=None):
    """A form in the archive that it is given out as."""
    path = folder / ARCHIVES[form]
    with tarfile.open(path, "w:gz") as archive:
        top = tarfile.TarInfo(form)
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        for name, data in (files or CIFAR[form]).items():
            member = tarfile.TarInfo(f"{form}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def around(folder, form):
    unpack(folder, form)
    return folder


@FORMS
@pytest.mark.parametrize("place", [unpack, around, pack])
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_cifar(tmp_path, form, place, split):
    source = open_place(place(tmp_path, form), split)
    splits = ["train", "test"] if split == "all" else [split]
    key = "fine_labels" if "100" in form else "labels"
    assert source.classes == tuple(HUNDRED if "100" in form else TEN)
    assert (source.n, source.shape) == (sum(N[one] for one in splits), (32, 32, 3))
    expected = np.concatenate([IMAGES[one] for one in splits])
    np.testing.assert_array_equal(everything(source), expected)
    expected = np.concatenate([LABELS[one][key] for one in splits])
    np.testing.assert_array_equal(source.labels, expected)


def test_a_pixel_by_hand(tmp_path):
    # The last byte of the red plane is the last pixel of the last row.
    data = bytes([7]) + bytes(1023) + b"\xc8" + bytes(2048)
    unpack(tmp_path, "cifar-10-batches-bin", {"test_batch.bin": data})
    source = open_place(tmp_path, "test")
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[31, 31, 0] = 200
    np.testing.assert_array_equal(everything(source)[0], expected)
    assert source.labels.tolist() == [7] and source.classes == ()


def test_cifar_in_grey_and_smaller(tmp_path):
    source = open_place(unpack(tmp_path, "cifar-100-binary"), size=16, channels=1)
    assert everything(source).shape == (15, 16, 16, 1)


@FORMS
def test_error_splits(tmp_path, form):
    place = unpack(tmp_path, form)
    expected = f'{place}: it has only "train", "test", no "valid"'
    assert message(place, "valid") == expected


def test_error_a_batch_that_is_not_there(tmp_path):
    place = unpack(tmp_path, "cifar-10-batches-py")
    (place / "data_batch_3").unlink()
    assert message(place) == f"{place}: data_batch_3 is not in it; download it again"
    assert open_place(place, "test").n == 2


def test_error_two_sets(tmp_path):
    unpack(tmp_path, "cifar-10-batches-py")
    unpack(tmp_path, "cifar-100-python")
    assert message(tmp_path) == (
        f"{tmp_path}: it has cifar-10-batches-py and cifar-100-python; give one of them"
    )


TORN = "a torn or foreign file; download it again"


def test_error_torn_batches(tmp_path):
    place = unpack(tmp_path, "cifar-10-batches-py")
    batch = place / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:5000])
    assert message(place) == f"{batch}: {TORN}"
    place = unpack(tmp_path, "cifar-100-binary")
    batch = place / "train.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert message(place) == (
        f"{batch}: it has 46,109 bytes, and an image takes 3,074: they are no whole"
        " number of images; download it again"
    )
    batch.write_bytes(b"")
    assert "it has 0 bytes" in message(place)


@pytest.mark.parametrize(
    "found",
    [
        {"data": np.zeros((2, 3072), np.uint8)},
        {"labels": [1, 2]},
        {"data": np.zeros((2, 3072), np.uint8), "labels": [1]},
        {"data": np.zeros((2, 3071), np.uint8), "labels": [1, 2]},
        {"data": "ab", "labels": [1, 2]},
        [1, 2],
    ],
)
def test_error_pickles_of_something_else(tmp_path, found):
    place = unpack(tmp_path, "cifar-10-batches-py", {"test_batch": Python2(found).data})
    assert message(place, "test") == f"{place}/test_batch: {TORN}"


def test_error_labels_without_a_name(tmp_path):
    data = records(noise(1, 32, 32, 3), [10])
    files = {"test_batch.bin": data, "batches.meta.txt": "\n".join(TEN).encode()}
    place = unpack(tmp_path, "cifar-10-batches-bin", files)
    assert message(place, "test") == (
        f"{place}: batches.meta.txt names 10 classes, and a label is 10; download it"
        " again"
    )
    files["batches.meta.txt"] = b"\xff"
    (place / "batches.meta.txt").write_bytes(b"\xff")
    assert message(place, "test") == f"{place}/batches.meta.txt: {TORN}"


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_error_pickles_that_ask_for_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"data": Evil(), "labels": [1]}, protocol=2)
    assert pickle.loads(data) and os.path.isdir("evil")  # it would have worked
    os.rmdir("evil")
    place = unpack(tmp_path, "cifar-10-batches-py", {"test_batch": data})
    assert message(place, "test") == (
        f"{place}/test_batch: a file of arrays asks for arrays of numbers alone, not"
        " for 'posix.mkdir'; do not trust it"
    )
    assert not os.path.exists("evil")


def test_error_archives(tmp_path, monkeypatch):
    path = pack(tmp_path, "cifar-10-batches-py", {"readme.html": b"<p>"})
    expected = f"{path}: it has no batches of CIFAR in it; download it again"
    assert message(path) == expected
    path.write_bytes(path.read_bytes()[:-20])
    assert message(path) == f"{path}: a torn .tar.gz; download it again"
    path = pack(tmp_path, "cifar-100-binary")
    monkeypatch.setattr(batches, "LARGEST", 20000)
    assert message(path) == (
        f"{path}: it is larger than 20,000 bytes, unpacked; it cannot be what its name"
        " says: download it again"
    )
    place = unpack(tmp_path, "cifar-100-binary")
    assert message(place) == (
        f"{place}/train.bin: it has 46,110 bytes, and CIFAR has less than 20,000"
    )


def test_a_packed_archive_takes_no_more_memory_than_it_may(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(30):
            file.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(packed.ReadError, match=r"larger than 1,000 bytes"):
        packed.read_packed(path, 1000)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_error_a_link_in_an_archive_is_not_followed(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    expected = f"{path}: it has no batches of CIFAR in it; download it again"
    assert message(path, "test") == expected


# STL-10

STL = {
    "unlabeled": noise(3, 96, 96, 3, seed=4),
    "train": noise(2, 96, 96, 3, seed=5),
    "test": noise(4, 96, 96, 3, seed=6),
}
STL_LABELS = {"train": [1, 10], "test": [3, 3, 2, 9]}
ANIMALS = "airplane bird car cat deer dog horse monkey ship truck".split()


def stl(folder, *without):
    """The files of stl10_binary: images are planes of columns."""
    folder = folder / "stl10_binary"
    folder.mkdir(exist_ok=True)
    files = {f"{one}_X.bin": x.transpose(0, 3, 2, 1) for one, x in STL.items()}
    files |= {f"{one}_y.bin": np.uint8(y) for one, y in STL_LABELS.items()}
    for name, array in files.items():
        if name not in without:
            (folder / name).write_bytes(array.tobytes())
    if "class_names.txt" not in without:
        (folder / "class_names.txt").write_text("\n".join(ANIMALS) + "\n")
    (folder / "fold_indices.txt").write_text("0 1 \n")
    return folder


@pytest.mark.parametrize(
    "split, parts, labels",
    [
        ("train", ["unlabeled"], None),
        ("valid", ["train"], [0, 9]),
        ("test", ["test"], [2, 2, 1, 8]),
        ("all", ["unlabeled", "train", "test"], None),
    ],
)
def test_stl10(tmp_path, split, parts, labels):
    stl(tmp_path)
    source = open_place(tmp_path, split)
    expected = np.concatenate([STL[part] for part in parts])
    np.testing.assert_array_equal(everything(source), expected)
    np.testing.assert_array_equal(source.read([len(expected) - 1])[0], expected[-1])
    if labels is None:
        assert source.labels is None and source.classes == ()
    else:
        assert source.labels.tolist() == labels
        assert source.classes == tuple(ANIMALS)


def test_stl10_without_what_has_no_labels(tmp_path):
    place = stl(tmp_path, "unlabeled_X.bin", "class_names.txt")
    source = open_place(place)
    np.testing.assert_array_equal(everything(source), STL["train"])
    assert source.labels.tolist() == [0, 9] and source.classes == ()
    assert open_place(place, "all").labels.tolist() == [0, 9, 2, 2, 1, 8]
    expected = f'{place}: it has only "train", "test", no "valid"'
    assert message(place, "valid") == expected


def test_stl10_without_labels(tmp_path):
    place = stl(tmp_path, "test_y.bin")
    assert open_place(place, "test").labels is None


def test_stl10_is_not_read_before_it_is_asked_for(tmp_path):
    place = stl(tmp_path)
    source = open_place(place)
    x = STL["unlabeled"].transpose(0, 3, 2, 1).copy()
    x[1] = 7
    (place / "unlabeled_X.bin").write_bytes(x.tobytes())
    assert (source.read([1]) == 7).all()


def test_error_stl10(tmp_path):
    place = stl(tmp_path)
    path = place / "unlabeled_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert message(place) == (
        f"{path}: it has 82,943 bytes, and an image takes 27,648: they are no whole"
        " number of images; download it again"
    )
    (place / "train_X.bin").write_bytes(bytes(27648))
    assert message(place, "valid") == (
        f"{place}/train_y.bin: it has 2 labels for 1 images in train_X.bin; download"
        " both again"
    )
    for first, last in [(0, 10), (1, 11)]:
        (place / "test_y.bin").write_bytes(bytes([3, last, first, 3]))
        assert message(place, "test") == (
            f"{place}/test_y.bin: labels are 1 to 10, not {first} to {last}; download"
            " it again"
        )


def test_error_stl10_in_its_archive(tmp_path):
    path = tmp_path / "stl10_binary.tar.gz"
    path.write_bytes(b"\x1f\x8b")
    assert message(path) == (
        f"{path}: STL-10 is read where it lies, and from a compressed archive that"
        " takes minutes an image; unpack it: tar -xzf stl10_binary.tar.gz"
    )


# Damage

SMALL = pickled(1, IMAGES["test"][:1], labels=LABELS["test"]["labels"][:1])


@settings(max_examples=80)
@given(damages(SMALL[:300] + SMALL[-300:]) | damages(SMALL) | damages(META10))
def test_damaged_pickles(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp() / "cifar-10-batches-py"
    place.mkdir(exist_ok=True)
    (place / "test_batch").write_bytes(data)
    read_or_refused(place, split="test")
    (place / "test_batch").write_bytes(SMALL)
    (place / "batches.meta").write_bytes(data)
    read_or_refused(place, split="test")


@settings(max_examples=50)
@given(damages(records(IMAGES["test"], *LABELS["test"].values())[:6148]))
def test_damaged_records(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp() / "cifar-100-binary"
    place.mkdir(exist_ok=True)
    (place / "test.bin").write_bytes(data)
    read_or_refused(place, split="test")


@settings(max_examples=40)
@given(damages(np.uint8(STL_LABELS["test"]).tobytes() + bytes(27648)))
def test_damaged_stl10(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp() / "stl10_binary"
    place.mkdir(exist_ok=True)
    (place / "test_y.bin").write_bytes(data[:4])
    (place / "test_X.bin").write_bytes(STL["test"].tobytes()[: 4 * len(data)])
    (place / "class_names.txt").write_bytes(data[-10:])
    read_or_refused(place, split="test")


def test_damaged_archives(tmp_path):
    path = pack(tmp_path, "cifar-10-batches-bin", {"test_batch.bin": SMALL[:3073]})
    whole = path.read_bytes()

    @settings(max_examples=100)
    @given(damages(whole) | damages(whole[:600]))
    def check(data):
        path.write_bytes(data)
        read_or_refused(path, split="test")

    check()
