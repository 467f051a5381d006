import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from gantf import datasets, readers, toy
from gantf.readers import ReadError

N = 20


@pytest.fixture
def place(tmp_path):
    """20 images; number i has the label i // 2, and all its bytes are 10 i."""
    values = np.arange(N, dtype=np.uint8)
    images = np.tile(10 * values[:, None, None], (1, 4, 6))
    np.savez(tmp_path / "set.npz", images=images, labels=values // 2)
    return tmp_path / "set.npz"


def numbers(batch):
    """Which images of `place` a batch holds; their labels are looked at as well."""
    image = np.round((batch["image"].numpy() + 1) * 127.5)
    found = image[:, 0, 0, 0] / 10
    assert (image == image[:, :1, :1]).all()
    assert (batch["label"].numpy() == found // 2).all()
    return found.astype(int).tolist()


def flat(batches):
    return [i for batch in batches for i in numbers(batch)]


def message(function, *arguments, **options):
    with pytest.raises(ReadError) as error:
        function(*arguments, **options)
    return str(error.value)


# load


def test_test_split_is_whole_and_in_order(tmp_path):
    images = np.array([[[0, 51]], [[102, 255]], [[1, 2]]], np.uint8)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=[4, 5, 6])
    data = datasets.load(tmp_path / "a.npz", "test", batch=2)
    first, second = list(data)
    # byte / 127.5 - 1
    expected = [[[[-1], [-0.6]]], [[[-0.2], [1]]]]
    np.testing.assert_allclose(first["image"], expected, atol=1e-6)
    assert first["label"].numpy().tolist() == [4, 5]
    assert second["label"].numpy().tolist() == [6]
    assert data.element_spec == {
        "image": tf.TensorSpec((None, 1, 2, 1), tf.float32),
        "label": tf.TensorSpec((None,), tf.int32),
    }


def test_an_iteration_is_one_epoch_of_whole_batches(place):
    data = datasets.load(place, batch=6, seed=1)
    assert data.element_spec == {
        "image": tf.TensorSpec((6, 4, 6, 1), tf.float32),
        "label": tf.TensorSpec((6,), tf.int32),
    }
    assert len(data) == 3
    first, second = flat(data), flat(data)
    assert len(first) == len(set(first)) == 18
    assert first != second
    again = datasets.load(place, batch=6, seed=1)
    assert (flat(again), flat(again)) == (first, second)
    assert flat(datasets.load(place, batch=6, seed=2)) != first


def test_iterations_are_the_epochs_of_stream(place):
    data = datasets.load(place, batch=5, seed=7)
    source = datasets.find(place)
    assert flat(data.repeat(3)) == flat(datasets.stream(source, 5, 7).take(12))


def test_every_worker_sees_the_same_batches(place):
    off = tf.data.experimental.AutoShardPolicy.OFF
    for data in (datasets.load(place, batch=4), datasets.load("ring", "test")):
        options = data.options()
        assert options.experimental_distribute.auto_shard_policy == off
        assert options.deterministic


def test_size_and_channels_reach_the_batches(place):
    data = datasets.load(place, size=8, channels=3, batch=4)
    assert data.element_spec["image"].shape == (4, 8, 8, 3)
    assert len(set(flat(data))) == 20


def test_no_labels_are_minus_one(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 2, 2), np.uint8))
    labels = [batch["label"] for batch in datasets.load(tmp_path / "a.npy", batch=2)]
    np.testing.assert_array_equal(labels, [[-1, -1]] * 2)


def test_points_come_as_they_are():
    data = datasets.load("ring", batch=100)
    assert data.element_spec["image"] == tf.TensorSpec((100, 2), tf.float32)
    points = np.concatenate([batch["image"] for batch in data])
    expected = toy.sample("ring", 5000)
    np.testing.assert_array_equal(np.sort(points, 0), np.sort(expected, 0))
    test = next(iter(datasets.load("ring", "test", batch=5000)))
    np.testing.assert_array_equal(test["image"], toy.sample("ring", 5000, seed=1))


BAD_BATCHES = [
    ({"batch": 0}, "batch is a whole number from 1, not 0"),
    ({"batch": 2.5}, "batch is a whole number from 1, not 2.5"),
    ({"batch": True}, "batch is a whole number from 1, not True"),
    ({"batch": 4, "seed": -1}, "seed is a whole number from 0, not -1"),
    (
        {"batch": 21},
        "a batch of 21 is larger than the set: {place} train has 20 images; give"
        " batch=20 or less",
    ),
]


@pytest.mark.parametrize("options, words", BAD_BATCHES)
def test_error_batch(place, options, words):
    words = words.format(place=place)
    assert message(datasets.load, place, **options) == words
    assert message(datasets.stream, datasets.find(place), **options) == words


def test_error_batch_and_start(place):
    told = message(datasets.load, "embedded", "test", batch=-3)
    assert told == "batch is a whole number from 1, not -3"
    told = message(datasets.stream, datasets.find(place), 4, start=-1)
    assert told == "start is a whole number from 0, not -1"


# stream


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_every_image_comes_once_an_epoch(place, batch):
    stream = datasets.stream(datasets.find(place), batch, seed=3)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert stream.element_spec["image"].shape == (batch, 4, 6, 1)
    found = flat(stream.take(-(-4 * N // batch)))[: 4 * N]
    epochs = [found[i * N : (i + 1) * N] for i in range(4)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4


@pytest.mark.parametrize("start", [1, 2, 3, 50])
def test_a_stream_resumes_anywhere(place, start):
    source = datasets.find(place)
    resumed = datasets.stream(source, 7, seed=3, start=start).take(9)
    assert flat(resumed) == flat(datasets.stream(source, 7, seed=3).skip(start).take(9))


def test_a_late_start_keeps_the_order_of_batches(place):
    source, late = datasets.find(place), 10**15
    one = flat(datasets.stream(source, 5, start=late).take(8))
    two = flat(datasets.stream(source, 5, start=late + 4).take(4))
    assert one[N:] == two
    assert sorted(one[:N]) == sorted(two) == list(range(N))


@pytest.mark.parametrize("seeds", [(0, 2**16), (0, 2**32), (5, 5 + 2**40)])
def test_seeds_differ_in_all_their_bits(place, seeds):
    source = datasets.find(place)
    one, two = (flat(datasets.stream(source, N, seed).take(1)) for seed in seeds)
    assert one != two


@pytest.mark.parametrize("n", [1, 2, 3, 5000, 60_000])
def test_orders_of_epochs_are_unlike_each_other(n):
    positions = tf.range(n, dtype=tf.int64)
    epochs = [datasets._shuffled(positions + n * e, n, 0).numpy() for e in range(12)]
    assert (np.sort(epochs, 1) == np.arange(n)).all()
    if n < 1000:
        return
    each = np.corrcoef([np.arange(n), *epochs, *(np.roll(e, 1) for e in epochs)])
    # 300 correlations of std 1/sqrt(n), six of them allowed: false alarm in 2e6.
    assert abs(each - np.eye(len(each))).max() < 6 / np.sqrt(n)


def test_a_bad_file_is_told_with_its_own_words(tmp_path):
    for name in "ab":
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    stream = datasets.stream(datasets.find(tmp_path), 2)
    (tmp_path / "b.png").write_bytes(b"text")
    with pytest.raises(tf.errors.OpError) as error:
        next(iter(stream))
    assert datasets.explain(error.value) == (
        f"{tmp_path}/b.png: no PNG, JPEG, WEBP or BMP image, whatever its name says;"
        " replace or delete it"
    )


def test_explain():
    assert datasets.explain(ReadError("a.png: torn")) == "a.png: torn"
    assert datasets.explain(tf.errors.DataLossError(None, None, "disk")) is None
    assert datasets.explain(ValueError("ReadError: no")) is None


MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
from gantf import datasets

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
makers = {
    "stream": lambda: datasets.stream(datasets.find(sys.argv[1]), 8).take(6),
    "load": lambda: datasets.load(sys.argv[1], batch=8),
}
for name, make in makers.items():
    shared = strategy.experimental_distribute_dataset(make())
    for one, parts in zip(make(), shared, strict=True):
        parts = strategy.experimental_local_results(parts["image"])
        assert [part.shape for part in parts] == [(4, 4, 6, 1)] * 2
        np.testing.assert_array_equal(np.concatenate(parts), one["image"])
    print(name)
"""


def test_two_devices_share_the_batches_of_one(place):
    command = [sys.executable, "-c", MIRRORED, str(place)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout == "stream\nload\n", run.stderr


# find


def test_names():
    assert datasets.names() == [
        *("embedded", "fashion_mnist", "mnist", "cifar10", "stl10", "celeba", "lsun"),
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


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "tfds")


CURES = {
    "celeba": """\
        CelebA is not here: looked in data/celeba, data/celeba.zip, data/celeba.npz and\
 in TFDS' folder tfds. What would work:
          --data=FOLDER         a folder or zip with its images (img_align_celeba)
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
    SHAPE = (6, 4, 3)
    KEY = "image"

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                self.KEY: tfds.features.Image(shape=self.SHAPE),
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
        shape = [side or 4 for side in self.SHAPE]
        for i in range(5):
            image = np.full(shape, 40 * i, np.uint8)
            yield i, {self.KEY: image, "label": -1 if shift else i % 2}


class TinyPictures(TinyImages):
    KEY = "picture"


class TinyGhosts(TinyImages):
    SHAPE = (None, None, 4)


class TinyAnySize(TinyImages):
    SHAPE = (None, None, 1)


def by_value(source):
    """Images come in TFDS' own order: value -> label."""
    images = source.read(np.arange(source.n))
    assert (images == images[:, :1, :1, :1]).all()
    labels = [None] * source.n if source.labels is None else source.labels.tolist()
    return dict(zip(images[:, 0, 0, 0].tolist(), labels))


def test_tfds(nowhere, monkeypatch):
    source = datasets.find("tfds:tiny_images")
    assert (source.name, source.shape) == ("tfds:tiny_images", (6, 4, 3))
    assert source.classes == ("cat", "dog")
    assert by_value(source) == {0: 0, 40: 1, 80: 0, 120: 1, 160: 0}
    small = datasets.find("tfds:tiny_images", size=3, channels=1)
    assert small.shape == (3, 3, 1)
    assert by_value(small) == by_value(source)
    told = message(datasets.find, "tfds:tiny_images", "test")
    assert told == 'tfds:tiny_images: it has only "train", no "test"'

    # A known set is found where TFDS has it, with its own names of the splits.
    known = datasets.Known("Tiny", "tiny_images", ("train", "rest"), "a folder")
    monkeypatch.setitem(datasets.SETS, "tiny", known)
    rest = datasets.find("tiny", "test")
    assert by_value(rest) == dict.fromkeys((0, 40, 80, 120, 160))
    assert rest.classes == ()


def test_tfds_images_of_any_size(nowhere):
    assert datasets.find("tfds:tiny_any_size").shape == (4, 4, 1)
    assert datasets.find("tfds:tiny_any_size", size=2).shape == (2, 2, 1)


def test_a_known_set_is_not_downloaded(nowhere, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda *a, **k: pytest.fail("asked TFDS"))
    with pytest.raises(datasets.NotHere):
        datasets.find("mnist")


def test_error_tfds_unknown(nowhere):
    assert message(datasets.find, "tfds:cifar11") == (
        "tfds:cifar11: Dataset cifar11 not found. Did you mean: cifar11 -> cifar10_1 ?"
    )


def test_error_tfds_download(nowhere, monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route\n to host")

    monkeypatch.setattr(TinyPictures, "_download_and_prepare", fail)
    told = message(datasets.find, "tfds:tiny_pictures")
    assert told == "tfds:tiny_pictures: no route to host"


TFDS_REFUSALS = {
    "tiny_pictures": 'images are under "image"; it has only label, picture',
    "tiny_ghosts": "images are uint8 with 1 or 3 channels, not uint8 with 4",
}


@pytest.mark.parametrize("name, words", TFDS_REFUSALS.items())
def test_error_tfds_images(nowhere, name, words):
    assert message(datasets.find, f"tfds:{name}") == f"tfds:{name}: {words}"


def test_error_tfds_too_large(nowhere, monkeypatch):
    told = message(datasets.find, "tfds:tiny_images", size=30_000)
    assert told == (
        "tfds:tiny_images: 5 images need 14 GB, and at most 8 GB are read into memory;"
        " give a smaller size, or export them to a folder and give that"
    )


def test_readers_need_no_tensorflow():
    code = "import sys, gantf.readers, gantf.toy; print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "False\n"
    assert readers.ReadError is ReadError
