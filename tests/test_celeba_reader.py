"""Tests of celeba.py, on small folders and lists of the official form and Kaggle's."""

import zipfile

import numpy as np
import pytest
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

ATTRIBUTES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose
Black_Hair Blond_Hair Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses
Goatee Gray_Hair Heavy_Makeup High_Cheekbones Male Mouth_Slightly_Open Mustache
Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline Rosy_Cheeks
Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick
Wearing_Necklace Wearing_Necktie Young
""".split()
N = 8
SPLITS = [0, 0, 0, 0, 1, 1, 2, 2]
IMAGES = np.stack([noise(218, 178, 3, seed=i) for i in range(N)])
VALUES = np.random.default_rng(0).choice([-1, 1], (N, 40))
VALUES[:, [20, 31]] = np.array([[-1, -1, 1, 1] * 2, [-1, 1] * 4]).T  # Male, Smiling


def names(suffix=".jpg"):
    return [f"{i + 1:06d}{suffix}" for i in range(N)]


def partition_txt():
    return "".join(f"{name} {split}\n" for name, split in zip(names(), SPLITS))


def partition_csv():
    rows = [f"{name},{split}" for name, split in zip(names(), SPLITS)]
    return "\n".join(["image_id,partition", *rows]) + "\n"


def attributes_txt():
    rows = [
        f"{name} {' '.join(f'{value:2d}' for value in row)}"
        for name, row in zip(names(), VALUES)
    ]
    return "\n".join([f"{N}", " ".join(ATTRIBUTES) + " ", *rows]) + "\n"


def attributes_csv():
    rows = [f"{name},{','.join(map(str, row))}" for name, row in zip(names(), VALUES)]
    return "\n".join(["image_id," + ",".join(ATTRIBUTES), *rows]) + "\n"


FILES = dict(zip(names(), (encoded(image) for image in IMAGES)))  # PNG, so exact


def images(folder, files=FILES):
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def packed(path, files=FILES, top="img_align_celeba/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(top, b"")
        for name, data in files.items():
            archive.writestr(f"{top}{name}", data)


def lists(partition, attributes, suffix=".txt"):
    partition.mkdir(parents=True, exist_ok=True)
    attributes.mkdir(parents=True, exist_ok=True)
    texts = (
        {".txt": partition_txt, ".csv": partition_csv}[suffix],
        {".txt": attributes_txt, ".csv": attributes_csv}[suffix],
    )
    (partition / f"list_eval_partition{suffix}").write_text(texts[0]())
    (attributes / f"list_attr_celeba{suffix}").write_text(texts[1]())


def official(folder):
    packed(folder / "Img/img_align_celeba.zip")
    lists(folder / "Eval", folder / "Anno")
    return folder


def official_zip(folder):
    return official(folder) / "Img/img_align_celeba.zip"


def official_png(folder):
    images(
        folder / "Img/img_align_celeba_png", dict(zip(names(".png"), FILES.values()))
    )
    lists(folder / "Eval", folder / "Anno")
    return folder / "Img/img_align_celeba_png"


def beside(folder):
    images(folder / "img_align_celeba")
    lists(folder, folder)
    return folder


def beside_zip(folder):
    packed(folder / "img_align_celeba.zip")
    lists(folder, folder)
    return folder / "img_align_celeba.zip"


def inside(folder):
    images(folder / "img_align_celeba")
    lists(folder / "img_align_celeba", folder / "img_align_celeba")
    return folder / "img_align_celeba"


def kaggle(folder):
    images(folder / "img_align_celeba/img_align_celeba")
    lists(folder, folder, ".csv")
    return folder


def kaggle_inner(folder):
    return kaggle(folder) / "img_align_celeba/img_align_celeba"


LAYOUTS = [
    *(official, official_zip, official_png, beside, beside_zip, inside, kaggle),
    kaggle_inner,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    place = layout(tmp_path)
    for split, chosen in [
        ("train", range(4)),
        ("valid", [4, 5]),
        ("test", [6, 7]),
        ("all", range(8)),
    ]:
        source = open_place(place, split)
        assert (source.n, source.shape) == (len(chosen), (218, 178, 3))
        np.testing.assert_array_equal(everything(source), IMAGES[list(chosen)])
        assert source.labels is None and source.classes == ()
    source = open_place(place, "all", label="Male+Smiling")
    assert source.labels.tolist() == [0, 1, 2, 3] * 2
    assert source.classes == (
        *("not Male, not Smiling", "not Male, Smiling"),
        *("Male, not Smiling", "Male, Smiling"),
    )
    source = open_place(place, "test", label="Smiling")
    assert source.labels.tolist() == [0, 1]
    assert source.classes == ("not Smiling", "Smiling")


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_is_its_own_column(tmp_path_factory, name):
    place = tmp_path_factory.getbasetemp() / "attributes"
    if not place.exists():
        beside(place)
    expected = (VALUES[:, ATTRIBUTES.index(name)] > 0).astype(int)
    found = open_place(place, "all", label=name).labels
    np.testing.assert_array_equal(found, expected)


def test_images_alone_are_train(tmp_path):
    images(tmp_path / "img_align_celeba")
    for place in (tmp_path, tmp_path / "img_align_celeba"):
        np.testing.assert_array_equal(everything(open_place(place)), IMAGES)
    place = tmp_path / "img_align_celeba"
    assert message(place, "test") == f'{place}: it has only "train", no "test"'
    assert message(place, label="Smiling") == (
        f"{place}: label 'Smiling' is of list_attr_celeba.txt, which is not beside it;"
        " put it there"
    )


def test_attributes_without_a_partition(tmp_path):
    place = beside(tmp_path)
    (place / "list_eval_partition.txt").unlink()
    source = open_place(place, label="Smiling")
    assert source.labels.tolist() == [0, 1] * 4


def test_prepared_as_celeba_is(tmp_path):
    source = open_place(beside(tmp_path), size=64, prepare="celeba")
    assert source.prepared.words == "fit-72x88-lanczos crop-64"
    assert everything(source).shape == (4, 64, 64, 3)


def test_error_labels(tmp_path):
    place = beside(tmp_path)
    path = place / "list_attr_celeba.txt"
    assert message(place, label="Smilling") == (
        f"{path}: it has no attribute 'Smilling'; did you mean 'Smiling'?"
    )
    assert "it has no attribute ''; known: 5_o_Clock" in message(place, label="Male+")
    inner = place / "img_align_celeba"
    assert message(place, label="Male+Male") == (
        f"{inner}: a label has up to 8 attributes, each of them once, not 'Male+Male'"
    )
    nine = "+".join(ATTRIBUTES[:9])
    assert "a label has up to 8 attributes" in message(place, label=nine)
    assert len(open_place(place, label="+".join(ATTRIBUTES[:8])).classes) == 256


def test_error_an_image_that_is_not_listed(tmp_path, capsys):
    place = beside(tmp_path)
    (place / "img_align_celeba/000009.jpg").write_bytes(FILES["000001.jpg"])
    inner, path = place / "img_align_celeba", place / "list_eval_partition.txt"
    words = "list_eval_partition.txt does not list it; move away what is not of the set"
    assert message(place) == f"{inner}/000009.jpg: {words}"
    source = open_place(place, on_error="skip")
    assert source.n == 4
    assert source.faults.lines == [f"{inner}/000009.jpg: {words}"]
    assert "gantf: skipped: " in capsys.readouterr().err
    path.write_text("")
    assert message(place) == (
        f"{inner}/000001.jpg: list_eval_partition.txt does not list it (nor 8 more);"
        " move away what is not of the set"
    )


def test_error_a_listed_image_that_is_not_there(tmp_path):
    place = beside(tmp_path)
    inner = place / "img_align_celeba"
    (inner / "000003.jpg").unlink()
    words = (
        "list_eval_partition.txt lists it, and it is not there; unpack the set again"
    )
    assert message(place) == f"{inner}/000003: {words}"
    source = open_place(place, on_error="skip", label="Male+Smiling")
    np.testing.assert_array_equal(everything(source), IMAGES[[0, 1, 3]])
    assert source.labels.tolist() == [0, 1, 3]
    (inner / "000005.jpg").unlink()
    assert message(place) == (
        f"{inner}/000003: list_eval_partition.txt lists it (and 1 more), and it is not"
        " there; unpack the set again"
    )


def test_error_an_image_without_attributes(tmp_path):
    place = beside(tmp_path)
    path = place / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["7", *lines[1:3], *lines[4:]]))
    words = "list_attr_celeba.txt does not list it; move away what is not of the set"
    name = f"{place}/img_align_celeba/000002.jpg"
    assert message(place, label="Male") == f"{name}: {words}"
    assert open_place(place).n == 4
    source = open_place(place, label="Male+Smiling", on_error="skip")
    assert source.labels.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(everything(source), IMAGES[[0, 2, 3]])


def test_error_an_image_twice(tmp_path):
    place = beside(tmp_path)
    (place / "img_align_celeba/000002.png").write_bytes(FILES["000001.jpg"])
    assert message(place) == (
        f"{place}/img_align_celeba/000002.png: another one of 000002.jpg; move one of"
        " them away"
    )


def test_error_a_torn_image(tmp_path):
    files = {**FILES, "000002.jpg": FILES["000002.jpg"][:2000]}
    packed(tmp_path / "img_align_celeba.zip", files)
    lists(tmp_path, tmp_path)
    assert message(tmp_path) == (
        f"{tmp_path}/img_align_celeba.zip/000002.jpg: a torn image file; copy or"
        " download it again, or delete it"
    )
    assert open_place(tmp_path, on_error="skip", label="Smiling").labels.tolist() == [
        *(0, 0, 1)
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        ("000001.jpg 0\n000002.jpg 3\n", "a line has a name and 1 of 0, 1, 2, not so"),
        ("000001.jpg\n", "a line has a name and 1 of 0, 1, 2, not so '000001.jpg'"),
        ("000001.jpg 0 0\n", "a line has a name and 1 of 0, 1, 2, not so"),
        ("000001.jpg 0\n000001.png 1\n", "'000001.png' is listed twice; download it"),
        ("\xff\xfe 0 0", "a line has a name and 1 of 0, 1, 2, not so"),
    ],
)
def test_error_partitions(tmp_path, text, words):
    place = beside(tmp_path)
    (place / "list_eval_partition.txt").write_text(text)
    found = message(place)
    assert found.startswith(f"{place}/list_eval_partition.txt: {words}")
    assert found.endswith("; download it again")


def test_error_lists_that_are_cut(tmp_path):
    place = beside(tmp_path)
    path = place / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-2]))
    assert message(place, label="Male") == (
        f"{path}: it promises 8 images, and lists 6; download it again"
    )
    path.write_text("\n".join([*lines[:-1], lines[-1][:-2]]))
    assert message(place, label="Male") == (
        f"{path}: a line has a name and 40 of -1, 1, not so {lines[-1][:40]!r};"
        " download it again"
    )


def test_error_a_list_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("gantf.readers.celeba.LARGEST", 100)
    place = beside(tmp_path)
    assert message(place) == (
        f"{place}/list_eval_partition.txt: a list has at most 100 bytes, this one 104"
    )


def test_error_no_images(tmp_path):
    (tmp_path / "img_align_celeba").mkdir()
    assert message(tmp_path) == (
        f"{tmp_path}/img_align_celeba: no images in it; they end in .png, .jpg, .jpeg,"
        " .webp, .bmp"
    )


@pytest.mark.parametrize(
    "name, text, options",
    [
        ("list_eval_partition.txt", partition_txt(), {}),
        ("list_attr_celeba.txt", attributes_txt(), {"label": "Male"}),
        ("list_attr_celeba.csv", attributes_csv(), {"label": "Male"}),
    ],
)
def test_damaged_lists(tmp_path, name, text, options):
    images(tmp_path / "img_align_celeba", dict(list(FILES.items())[:2]))

    @settings(max_examples=60)
    @given(damages("".join(text.splitlines(True)[:4]).encode()))
    def check(data):
        (tmp_path / name).write_bytes(data)
        read_or_refused(tmp_path, on_error="skip", size=4, **options)

    check()
