import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from gantf import datasets, readers, toy
from gantf.readers import ReadError


def message(function, *arguments, **options):
    with pytest.raises(ReadError) as error:
        function(*arguments, **options)
    return str(error.value)


# find


def test_names():
    assert datasets.names() == [
        *("embedded", "fashion_mnist", "mnist", "cifar10", "stl10", "celeba", "lsun"),
        "imagenet",
        *toy.SETS,
    ]


def test_embedded():
    source = datasets.find("embedded", "test")
    assert (source.name, source.split, source.n) == ("embedded", "test", 1000)
    assert source.shape == (28, 28, 1)
    assert source.classes[source.labels[0]] in datasets.CLOTHES
    assert np.bincount(source.labels).tolist() == [100] * 10
    assert len(datasets.CLOTHES) == 10


def test_a_prepared_place_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    image = np.zeros((2, 2), np.uint8)
    np.savez("data/celeba.npz", images=[image])
    assert datasets.find("celeba").name == "data/celeba.npz"
    Image.fromarray(image).save("a.png")
    with zipfile.ZipFile("data/celeba.zip", "w") as archive:
        archive.write("a.png")
    assert datasets.find("celeba").name == "data/celeba.zip"
    (tmp_path / "data" / "celeba").mkdir()
    Image.fromarray(image).save("data/celeba/a.png")
    assert datasets.find("celeba", size=1).shape == (1, 1, 1)
    assert datasets.find("celeba").name == "data/celeba"
    assert datasets.find("celeba", folder=tmp_path / "data").n == 1
    (tmp_path / "data" / "celeba-2").mkdir()  # as tools/prepare_data.py calls it
    Image.fromarray(image).save("data/celeba-2/a.png")
    assert datasets.find("celeba", size=2).name == "data/celeba-2"
    assert datasets.find("celeba", size=1).name == "data/celeba"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "tfds")


CURES = {
    "celeba": """\
        CelebA is not here: looked in data/celeba, data/celeba.zip, data/celeba.npz and\
 in TFDS' folder tfds. What would work:
          --data=FOLDER         a folder with img_align_celeba, or that folder or zip
          --data=tfds:celeb_a   let TFDS download and prepare it
          --data=embedded       the embedded Fashion-MNIST images, to try the script""",
    # data/fashion_mnist.npz is the embedded part of it in a checkout.
    "fashion_mnist": """\
        Fashion-MNIST is not here: looked in data/fashion_mnist, data/fashion_mnist.zip\
 and in TFDS' folder tfds. What would work:
          --data=FOLDER               a folder with its four idx files (Debian's\
 dataset-fashion-mnist has them)
          --data=tfds:fashion_mnist   let TFDS download and prepare it
          --data=embedded             the embedded Fashion-MNIST images, to try the\
 script""",
}


@pytest.mark.parametrize("name", CURES)
def test_error_not_here(nowhere, tmp_path, name):
    (tmp_path / "data").mkdir()
    np.savez("data/fashion_mnist.npz", images=np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(datasets.NotHere) as error:
        datasets.find(name)
    assert str(error.value) == textwrap.dedent(CURES[name])


@pytest.mark.parametrize("name", [k for k, s in datasets.SETS.items() if s.tfds])
def test_error_not_here_names_the_cures(nowhere, name):
    told = message(datasets.find, name).splitlines()
    known = datasets.SETS[name]
    assert told[0].startswith(f"{known.title} is not here: looked in data/{name}, ")
    assert known.how and told[1].endswith(known.how)
    assert told[2].startswith(f"  --data=tfds:{known.tfds} ")
    assert told[3].startswith("  --data=embedded ")


def test_error_unknown_name():
    told = message(datasets.find, "CelebA")
    assert told == "CelebA: no such file, folder or set; did you mean 'celeba'?"
    told = message(datasets.find, "faces/2024")
    known = ", ".join(datasets.names())
    assert told == (
        f"faces/2024: no such file, folder or set; known: {known}; sets of TFDS are "
        "tfds:NAME"
    )


def test_error_options():
    told = message(datasets.load, "embedded", prepair="celeba")
    assert told == "unknown option 'prepair' of data; did you mean 'prepare'?"
    assert message(datasets.find, "") == "data is the name of a set or a path, not ''"


def test_error_points_have_no_size():
    told = message(datasets.load, "six", size=32)
    assert told == (
        "six: points in the plane have neither size nor channels; they go with an "
        "architecture whose sample is 2"
    )


# TensorFlow Datasets


class TinyImages(tfds.core.GeneratorBasedBuilder):
    """Images of one value, labelled in "train", not labelled in "rest"."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(6, 4, 3)),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0),
            "rest": self._generate_examples(-9),
        }

    def _generate_examples(self, shift):
        for i in range(5):
            image = np.full((6, 4, 3), 40 * i, np.uint8)
            yield i, {"image": image, "label": -1 if shift else i % 2}


def by_value(source):
    """Images come in TFDS' own order: value -> label."""
    images = source.read(np.arange(source.n))
    assert (images == images[:, :1, :1, :1]).all()
    labels = [None] * source.n if source.labels is None else source.labels.tolist()
    return dict(zip(images[:, 0, 0, 0].tolist(), labels))


def test_a_known_set_is_found_where_tfds_has_it(nowhere, monkeypatch):
    assert datasets.find("tfds:tiny_images").classes == ("cat", "dog")
    known = datasets.Known("Tiny", "tiny_images", {"test": "rest"}, "a folder")
    monkeypatch.setitem(datasets.SETS, "tiny", known)
    train = by_value(datasets.find("tiny"))
    assert train == {0: 0, 40: 1, 80: 0, 120: 1, 160: 0}
    rest = datasets.find("tiny", "test")  # its own name of the split
    assert by_value(rest) == dict.fromkeys((0, 40, 80, 120, 160))
    assert rest.classes == ()


def test_a_known_set_is_not_downloaded(nowhere, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda *a, **k: pytest.fail("asked TFDS"))
    with pytest.raises(datasets.NotHere):
        datasets.find("mnist")


def test_readers_need_no_tensorflow():
    code = "import sys, gantf.readers, gantf.toy; print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "False\n"
    assert readers.ReadError is ReadError
