"""Tests of imagenet.py, on small archives and folders of the official form."""

import functools
import io
import os
import tarfile

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from places import (
    damages,
    encoded,
    everything,
    message,
    noise,
    open_place,
    read_or_refused,
)

# Numbers in the devkit are in another order than the ids; WHOLE is a set of classes.
IDS = ["n02119789", "n02100735", "n01440764"]
WHOLE = "n00001740"
SORTED = tuple(sorted(IDS))
TRUTH = [3, 1, 1, 2]  # the classes of val, by those numbers
TRAIN = {"n02119789": 3, "n01440764": 2, "n02100735": 1}  # images in tars, as they lie
DEVKIT = "ILSVRC2012_devkit_t12"


def picture(i, kind="PNG"):
    """A square of 20, so that its middle is the whole; PNG, so that it is exact."""
    return encoded(noise(20, 20, 3, seed=i), kind)


def tar(files, mode="w"):
    """The bytes of a tar, as GNU's program writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def train_files():
    """{class: {name: bytes}}"""
    numbers = iter(range(100))
    return {
        wnid: {f"{wnid}_{n - j}.JPEG": picture(next(numbers)) for j in range(n)}
        for wnid, n in TRAIN.items()
    }


def val_files():
    return {f"ILSVRC2012_val_{i + 1:08d}.JPEG": picture(50 + i) for i in (2, 0, 1, 3)}


TRAIN_PIXELS = np.stack(  # by class, and by name in it
    [noise(20, 20, 3, seed=i) for i in (4, 3, 5, 2, 1, 0)]
)
VAL_PIXELS = np.stack([noise(20, 20, 3, seed=50 + i) for i in range(4)])


@functools.cache
def meta(*synsets):
    """data/meta.mat, a struct in MATLAB's form 5."""
    synsets = synsets or (*IDS, WHOLE)
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    fields += ["wordnet_height", "num_train_images"]
    words = "kit fox, Vulpes macrotis", "small grey fox"
    leaf, above = (0.0, np.zeros((1, 0)), 0.0, 1300.0), (3.0, [1.0, 2.0, 3.0], 2.0, 0.0)
    rows = [
        (float(i), wnid, *words, *(above if wnid == WHOLE else leaf))
        for i, wnid in enumerate(synsets, 1)
    ]
    buffer = io.BytesIO()
    synsets = np.array(rows, dtype=[(name, object) for name in fields]).reshape(-1, 1)
    scipy.io.savemat(buffer, {"synsets": synsets}, do_compression=True)
    return buffer.getvalue()


def truth():
    return "".join(f"{number}\n" for number in TRUTH).encode()


def devkit_files():
    return {
        f"{DEVKIT}/readme.txt": b"words",
        f"{DEVKIT}/data/meta.mat": meta(),
        f"{DEVKIT}/data/ILSVRC2012_validation_ground_truth.txt": truth(),
    }


def official(folder, train=True, val=True, devkit=True):
    inner = {f"{wnid}.tar": tar(files) for wnid, files in train_files().items()}
    files = {
        "ILSVRC2012_img_train.tar": train and tar(inner),
        "ILSVRC2012_img_val.tar": val and tar(val_files()),
        f"{DEVKIT}.tar.gz": devkit and tar(devkit_files(), "w:gz"),
    }
    for name, data in files.items():
        if data:
            (folder / name).write_bytes(data)
    return folder


def unpacked_devkit(folder):
    official(folder, devkit=False)
    for name, data in devkit_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def kaggle(folder):
    root = folder / "ILSVRC/Data/CLS-LOC"
    for wnid, files in train_files().items():
        (root / "train" / wnid).mkdir(parents=True)
        for name, data in files.items():
            (root / "train" / wnid / name).write_bytes(data)
    for inner in ("val", "test"):
        (root / inner).mkdir()
    for name, data in val_files().items():
        (root / "val" / name).write_bytes(data)
    (root / "test/ILSVRC2012_test_00000001.JPEG").write_bytes(picture(99))
    rows = [
        f"ILSVRC2012_val_{i + 1:08d},{IDS[TRUTH[i] - 1]} 85 1 499 272 "
        for i in (1, 3, 0, 2)
    ]
    text = "\n".join(["ImageId,PredictionString", *rows]) + "\n"
    (folder / "LOC_val_solution.csv").write_text(text)
    return folder


@pytest.mark.parametrize("layout", [official, unpacked_devkit, kaggle])
def test_layouts(tmp_path, layout):
    place = layout(tmp_path)
    train, val = [0, 0, 1, 2, 2, 2], [0, 2, 2, 1]
    for split, pixels, labels in [
        ("train", TRAIN_PIXELS, train),
        ("valid", VAL_PIXELS, val),
        ("all", np.concatenate([TRAIN_PIXELS, VAL_PIXELS]), train + val),
    ]:
        if layout is kaggle and split == "all":
            pixels, labels = np.concatenate([pixels, [noise(20, 20, 3, seed=99)]]), None
        source = open_place(place, split, size=20)
        assert (source.n, source.shape) == (len(pixels), (20, 20, 3))
        np.testing.assert_array_equal(everything(source), pixels)
        assert (source.labels is None) == (labels is None)
        if labels:
            assert source.labels.tolist() == labels
            assert source.classes == SORTED


def test_test_of_kaggle_has_no_labels(tmp_path):
    source = open_place(kaggle(tmp_path), "test", size=20)
    assert (source.n, source.labels, source.classes) == (1, None, ())


def test_tars_without_a_devkit(tmp_path):
    place = official(tmp_path, devkit=False)
    source = open_place(place, size=20)
    assert source.classes == SORTED and source.labels.tolist() == [0, 0, 1, 2, 2, 2]
    source = open_place(place, "valid", size=20)
    np.testing.assert_array_equal(everything(source), VAL_PIXELS)
    assert source.labels is None and source.classes == ()


def test_kaggle_without_its_table(tmp_path):
    place = kaggle(tmp_path)
    (place / "LOC_val_solution.csv").unlink()
    assert open_place(place, "valid", size=20).labels is None
    assert open_place(place, size=20).classes == SORTED


def test_only_one_tar(tmp_path):
    place = official(tmp_path, train=False)
    assert open_place(place, "valid", size=20).labels.tolist() == [0, 2, 2, 1]
    assert message(place, size=20) == f'{place}: it has only "valid", no "train"'


def test_folders_of_classes_are_ordinary_ones(tmp_path):
    for split in ("train", "val"):
        for wnid, files in train_files().items():
            (tmp_path / split / wnid).mkdir(parents=True)
            for name, data in files.items():
                (tmp_path / split / wnid / name).write_bytes(data)
    for split in ("train", "valid"):
        source = open_place(tmp_path, split, size=20)
        np.testing.assert_array_equal(everything(source), TRAIN_PIXELS)
        assert source.classes == SORTED


def test_nothing_of_the_images_is_read_when_the_list_is_known(tmp_path, capsys):
    place = official(tmp_path)
    path = place / "ILSVRC2012_img_train.tar"
    first = open_place(place, size=20)
    assert f"gantf: {path}: listing what is in it" in capsys.readouterr().err
    status = os.stat(path)
    headers = path.read_bytes().replace(b"ustar", b"USTAR")  # no tar any more
    path.write_bytes(headers)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    np.testing.assert_array_equal(everything(open_place(place, size=20)), TRAIN_PIXELS)
    assert first.n == 6 and capsys.readouterr().err == ""
    os.utime(path, ns=(0, 0))
    assert message(place, size=20).startswith(f"{path}: ")


def test_error_without_a_size(tmp_path):
    for layout in (official, kaggle):
        place = tmp_path / layout.__name__
        place.mkdir()
        assert message(layout(place)) == (
            f"{place}: a set of this kind is not looked through for the sizes of its"
            " images; give size=, the pixels a side that they shall have"
        )


def test_bad_images_are_met_when_they_are_read(tmp_path):
    files = {f"n01440764_{i}.JPEG": picture(i) for i in range(12)}
    files["n01440764_9.JPEG"] = files["n01440764_9.JPEG"][:60]
    path = tmp_path / "ILSVRC2012_img_train.tar"
    path.write_bytes(tar({"n01440764.tar": tar(files)}))
    words = (
        f"{tmp_path}/n01440764/n01440764_9.JPEG: a torn image file; copy or download it"
        " again, or delete it"
    )
    source = open_place(tmp_path, size=20)
    with pytest.raises(ValueError) as error:
        everything(source)
    assert str(error.value) == words
    source = open_place(tmp_path, size=20, on_error="skip")
    np.testing.assert_array_equal(source.read([11]), source.read([0]))  # the next one
    assert source.faults.lines == [words]


@pytest.mark.parametrize("layout", [official, kaggle])
def test_error_a_file_that_is_too_large(tmp_path, layout, monkeypatch):
    monkeypatch.setattr("gantf.readers.archives.LARGEST", 100)
    assert ": a file of images has at most 100 bytes, this one 1," in message(
        layout(tmp_path), size=20
    )


def test_error_tars(tmp_path):
    place = official(tmp_path)
    path = place / "ILSVRC2012_img_train.tar"
    path.write_bytes(tar({"n01440764.tar": tar({}), "readme.txt": b"x"}))
    assert message(place, size=20) == (
        f"{path}: it has tars of classes alone, as n01440764.tar, and readme.txt is"
        " none; download it again"
    )
    path.write_bytes(tar({"n01440764.tar": b"x" * 512}))
    assert message(place, size=20).startswith(f"{path}: not a tar, or torn; ")
    path.write_bytes(tar({"n01440764.tar": tar({"a" * 101: b""})}))
    assert message(place, size=20) == (
        f"{path}: names have at most 100 letters; download it again"
    )
    path.write_bytes(tar({"n01440764.tar": tar({"../a.JPEG": b""})}))
    assert message(place, size=20).startswith(f"{path}/../a.JPEG: its name leads out")
    path.write_bytes(tar({}))
    assert message(place, size=20) == f"{place}: no images in train"


def test_error_a_class_that_the_devkit_lacks(tmp_path):
    place = official(tmp_path)
    inner = tar({"n99999999_1.JPEG": picture(0)})
    (place / "ILSVRC2012_img_train.tar").write_bytes(tar({"n99999999.tar": inner}))
    assert message(place, size=20) == (
        f"{place}: n99999999/n99999999_1.JPEG is of class n99999999, which is none of"
        " the 3 here; move it away"
    )


def test_error_val(tmp_path):
    place = official(tmp_path)
    path = place / "ILSVRC2012_img_val.tar"
    path.write_bytes(tar({"ILSVRC2012_val_00000005.JPEG": picture(0)}))
    assert message(place, "valid", size=20) == (
        f"{path}: it has ILSVRC2012_val_00000001.JPEG to 00000004, one a line of"
        " ILSVRC2012_validation_ground_truth.txt, and ILSVRC2012_val_00000005.JPEG is"
        " none of them"
    )


def test_error_devkits(tmp_path):
    place = official(tmp_path)
    path = place / f"{DEVKIT}.tar.gz"
    files = devkit_files()
    names = list(files)
    torn = (
        "a torn meta.mat or ILSVRC2012_validation_ground_truth.txt; download it again"
    )
    for name, data in [
        (names[1], meta()[:200]),
        (names[1], b""),
        (names[1], meta("n02119789", "fox", "n01440764")),
        (names[2], b"1\n4\n"),  # no class but a set of them
        (names[2], b"1\nx\n"),
    ]:
        path.write_bytes(tar({**files, name: data}, "w:gz"))
        assert message(place, size=20) == f"{path}: {torn}"
    path.write_bytes(tar({names[1]: meta()}, "w:gz"))
    assert message(place, size=20) == (
        f"{path}: ILSVRC2012_validation_ground_truth.txt is not in it; download it"
        " again"
    )


@pytest.mark.parametrize("text", ["", "ImageId,PredictionString\nx,n01440764\n", "a\n"])
def test_error_solutions(tmp_path, text):
    place = kaggle(tmp_path)
    (place / "LOC_val_solution.csv").write_text(text)
    assert message(place, "valid", size=20) == (
        f"{place}/LOC_val_solution.csv: not a table of ImageId,PredictionString with"
        " all images of val; download it again"
    )


# Damage


def test_damaged_tars(tmp_path):
    place = official(tmp_path)
    path = place / "ILSVRC2012_img_train.tar"
    whole = tar({"n01440764.tar": tar({"n01440764_1.JPEG": picture(0)})})

    @settings(max_examples=120)
    @given(damages(whole) | damages(whole[:1600]))  # where the headers are
    def check(data):
        path.write_bytes(data + whole[1600:] if len(data) == 1600 else data)
        read_or_refused(place, size=20)

    check()


def test_damaged_devkits(tmp_path):
    place = official(tmp_path)
    (place / f"{DEVKIT}.tar.gz").unlink()
    (place / DEVKIT / "data").mkdir(parents=True)
    for name, whole in [
        ("ILSVRC2012_validation_ground_truth.txt", truth()),
        ("meta.mat", meta()),
    ]:
        path = place / DEVKIT / "data" / name
        path.write_bytes(whole)
    other = path.with_name("ILSVRC2012_validation_ground_truth.txt")

    @settings(max_examples=100)
    @given(damages(meta()), damages(truth()))
    def check(data, lines):
        path.write_bytes(data)
        read_or_refused(place, size=20, split="valid")
        path.write_bytes(meta())
        other.write_bytes(lines)
        read_or_refused(place, size=20, split="valid")

    check()
