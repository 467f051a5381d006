import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gantf import datasets, readers, streams, toy
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
    assert flat(data.repeat(3)) == flat(streams.stream(source, 5, 7).take(12))


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
    assert message(streams.stream, datasets.find(place), **options) == words


def test_error_batch_and_start(place):
    told = message(datasets.load, "embedded", "test", batch=-3)
    assert told == "batch is a whole number from 1, not -3"
    told = message(streams.stream, datasets.find(place), 4, start=-1)
    assert told == "start is a whole number from 0, not -1"


# stream


@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_every_image_comes_once_an_epoch(place, batch):
    stream = streams.stream(datasets.find(place), batch, seed=3)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert stream.element_spec["image"].shape == (batch, 4, 6, 1)
    found = flat(stream.take(-(-4 * N // batch)))[: 4 * N]
    epochs = [found[i * N : (i + 1) * N] for i in range(4)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 4


@pytest.mark.parametrize("start", [1, 2, 3, 50])
def test_a_stream_resumes_anywhere(place, start):
    source = datasets.find(place)
    resumed = streams.stream(source, 7, seed=3, start=start).take(9)
    assert flat(resumed) == flat(streams.stream(source, 7, seed=3).skip(start).take(9))


def test_a_late_start_keeps_the_order_of_batches(place):
    source, late = datasets.find(place), 10**15
    one = flat(streams.stream(source, 5, start=late).take(8))
    two = flat(streams.stream(source, 5, start=late + 4).take(4))
    assert one[N:] == two
    assert sorted(one[:N]) == sorted(two) == list(range(N))


@pytest.mark.parametrize("seeds", [(0, 2**16), (0, 2**32), (5, 5 + 2**40)])
def test_seeds_differ_in_all_their_bits(place, seeds):
    source = datasets.find(place)
    one, two = (flat(streams.stream(source, N, seed).take(1)) for seed in seeds)
    assert one != two


@pytest.mark.parametrize("n", [1, 2, 3, 5000, 60_000])
def test_orders_of_epochs_are_unlike_each_other(n):
    positions = tf.range(n, dtype=tf.int64)
    epochs = [streams._shuffled(positions + n * e, n, 0).numpy() for e in range(12)]
    assert (np.sort(epochs, 1) == np.arange(n)).all()
    if n < 1000:
        return
    each = np.corrcoef([np.arange(n), *epochs, *(np.roll(e, 1) for e in epochs)])
    # 300 correlations of std 1/sqrt(n), six of them allowed: false alarm in 2e6.
    assert abs(each - np.eye(len(each))).max() < 6 / np.sqrt(n)


# Batches of one class


def classed(place, counts):
    """A set whose image number i has the label that `counts` says, in a mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.RandomState(0).permutation(labels)
    values = np.arange(len(labels), dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (len(labels), 2, 2))
    np.savez(place / "classed.npz", images=images, labels=labels)
    return datasets.find(place / "classed.npz"), labels


def values_of(batches):
    """(steps, batch) numbers of images, and their labels."""
    pairs = [(b["image"][:, 0, 0, 0].numpy(), b["label"].numpy()) for b in batches]
    images, labels = map(np.array, zip(*pairs))
    return np.round((images + 1) * 127.5).astype(int), labels


def test_batches_of_one_class(tmp_path):
    # 10 // 4 + 8 // 4 + 0 + 5 // 4 = 5 batches an epoch.
    source, known = classed(tmp_path, [10, 8, 0, 5])
    stream = streams.stream(source, 4, seed=3, same_class=True)
    images, labels = values_of(stream.take(40))
    assert (labels == labels[:, :1]).all() and (known[images] == labels).all()
    epochs = labels[:, 0].reshape(8, 5)
    assert (np.sort(epochs, 1) == [0, 0, 1, 1, 3]).all()
    assert len(set(map(tuple, epochs))) > 4
    # Of class 0 an epoch shows 8 of 10 images, of class 3 4 of 5: what is left over
    # comes in the next one, so that 5 epochs show all of them equally often.
    times = np.bincount(images[:25].ravel(), minlength=23)
    assert [set(times[known == label]) for label in (0, 1, 3)] == [{4}, {5}, {4}]
    assert all(len(set(batch)) == 4 for batch in images[labels[:, 0] == 1])
    assert len(set(map(tuple, images))) == 40


def test_batches_of_one_class_resume_and_are_those_of_load(tmp_path):
    source, _ = classed(tmp_path, [10, 8, 0, 5])
    whole, _ = values_of(streams.stream(source, 4, 3, same_class=True).take(15))
    late, _ = values_of(streams.stream(source, 4, 3, 7, same_class=True).take(8))
    np.testing.assert_array_equal(late, whole[7:])
    data = datasets.load(source.name, batch=4, seed=3, same_class=True)
    assert len(data) == 5
    np.testing.assert_array_equal(values_of(data.repeat(3))[0], whole)
    other, _ = values_of(streams.stream(source, 4, 4, same_class=True).take(15))
    assert (other != whole).any()


def test_error_batches_of_one_class(tmp_path, place):
    source, _ = classed(tmp_path, [10, 3])
    told = message(streams.stream, source, 4, same_class=True)
    assert told == (
        f"{source.name}: a batch of one class has 4 images, and class 1 3 of them; give"
        " a smaller batch"
    )
    np.save(tmp_path / "a.npy", np.zeros((4, 2, 2), np.uint8))
    told = message(datasets.load, tmp_path / "a.npy", batch=2, same_class=True)
    assert told == (
        f"{tmp_path}/a.npy: same_class wants labels, and it has none; give a set with"
        " labels, as a folder for each class"
    )
    told = message(datasets.load, "embedded", "test", flip=True)
    assert told == "same_class and flip are for training, not for 'test'"


# Workers


@pytest.fixture
def drawn(tmp_path):
    """60 images with two labels, of which a random place is cut."""
    images = np.random.RandomState(0).randint(0, 256, (60, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60) % 2)
    return datasets.find(tmp_path / "a.npz", size=6, prepare="random-6")


@pytest.mark.parametrize("same_class", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_have_the_shares_of_each_batch_in_order(drawn, workers, same_class):
    ways = {"seed": 3, "start": 4, "same_class": same_class, "flip": True}
    whole = streams.stream(drawn, 12, **ways)
    shares = [
        streams.stream(drawn, 12, **ways, worker=worker, workers=workers)
        for worker in range(workers)
    ]
    for batch, *parts in zip(whole.take(9), *shares):
        for key, expected in batch.items():
            found = [part[key] for part in parts]
            assert [len(part) for part in found] == [12 // workers] * workers
            np.testing.assert_array_equal(np.concatenate(found), expected)
    for share in shares:
        assert share.element_spec["image"].shape == (12 // workers, 6, 6, 1)
        assert share.cardinality() == tf.data.INFINITE_CARDINALITY


def test_a_worker_reads_its_share_only(place):
    source, read = datasets.find(place), []

    def noted(numbers, *places):
        read.append(numbers.tolist())
        return source.read(numbers, *places)

    watched = dataclasses.replace(source, read=noted)
    share = streams.stream(watched, 10, seed=1, worker=1, workers=2)
    given = flat(share.take(2))  # an epoch of two batches
    assert set(map(len, read)) == {5}
    assert all(given[i : i + 5] in read for i in (0, 5))
    other = flat(streams.stream(source, 10, seed=1, worker=0, workers=2).take(2))
    assert sorted(given + other) == list(range(N))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"workers": 0}, "workers is a whole number from 1, not 0"),
        ({"worker": -1}, "worker is a whole number from 0, not -1"),
        ({"worker": 1}, "worker is a number below 1, not 1"),
        (
            {"workers": 3},
            "a batch of 4 cannot be shared out equally to 3 workers; give a multiple"
            " of 3",
        ),
    ],
)
def test_error_workers(place, options, words):
    assert message(streams.stream, datasets.find(place), 4, **options) == words


# What is drawn for each image


@pytest.fixture
def ramps(tmp_path):
    """200 times the image whose pixel in row i and column j is 10 i + j."""
    across = np.tile(np.arange(8, dtype=np.uint8), (8, 1))
    image = 10 * across.T + across
    np.save(tmp_path / "ramps.npy", np.tile(image, (200, 1, 1)))
    return tmp_path / "ramps.npy"


def bytes_of(stream, count):
    images = [batch["image"].numpy() for batch in stream.take(count)]
    return np.round((np.concatenate(images)[..., 0] + 1) * 127.5).astype(int)


def test_half_of_the_images_are_mirrored(ramps):
    source = datasets.find(ramps)
    stream = streams.stream(source, 50, seed=1, flip=True)
    seen = bytes_of(stream, 40)
    plain = source.read(np.array([0]))[0, ..., 0]
    turned = (seen == plain[:, ::-1]).all((1, 2))
    assert ((seen == plain).all((1, 2)) ^ turned).all()
    # Binomial (2000, 1/2) has std 22.4; six of them: false alarm in 1e9.
    assert abs(turned.sum() - 1000) < 134
    late = bytes_of(streams.stream(source, 50, seed=1, start=17, flip=True), 3)
    np.testing.assert_array_equal(late, seen[17 * 50 : 20 * 50])
    other = bytes_of(streams.stream(source, 50, seed=2, flip=True), 2)
    assert (other != seen[:100]).any()
    # The source itself is as it was.
    assert (source.read(np.arange(200))[..., 0] == plain).all()


def test_a_random_place_is_drawn_for_each_image(ramps):
    source = datasets.find(ramps, size=6, prepare="random-6")
    seen = bytes_of(streams.stream(source, 50, seed=1), 36)
    places = seen[:, 0, 0]
    plain = 10 * np.arange(8)[:, None] + np.arange(8)
    for image, place in zip(seen[:100], places):
        top, left = divmod(place, 10)
        np.testing.assert_array_equal(image, plain[top : top + 6, left : left + 6])
    values, counts = np.unique(places, return_counts=True)
    assert values.tolist() == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    # 1800 draws of 9 places: 200 each with std 13.3; six of them.
    assert abs(counts - 200).max() < 80
    late = bytes_of(streams.stream(source, 50, seed=1, start=4), 1)
    np.testing.assert_array_equal(late, seen[200:250])
    # Figures see the middle.
    assert (source.read(np.arange(3))[:, 0, 0, 0] == 11).all()


@pytest.mark.parametrize("same_class", [False, True])
def test_load_draws_as_stream_does(tmp_path, same_class):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 2)
    ways = {"same_class": same_class, "flip": True}
    data = datasets.load(
        tmp_path / "a.npz", size=6, prepare="random-6", batch=5, seed=3, **ways
    )
    assert data.element_spec["image"].shape == (5, 6, 6, 1)
    source = datasets.find(tmp_path / "a.npz", size=6, prepare="random-6")
    expected = bytes_of(streams.stream(source, 5, 3, **ways), 12)
    np.testing.assert_array_equal(bytes_of(data.repeat(3), 12), expected)


def test_images_that_are_ready_are_not_kept_twice(place):
    source = datasets.find(place)
    assert readers.kept(source, 1e9) is source
    assert readers.kept(datasets.find(place, size=2), 1e9) is not source


def test_prepared_images_are_kept_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        image = rng.integers(0, 256, (9, 9, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    source = datasets.find(tmp_path, size=4)
    plain = source.read(np.arange(6))
    kept = readers.kept(source, 4 * 48)  # room for four of the six
    for numbers in ([0, 5], [5, 1, 0], np.arange(6), [3, 3]):
        np.testing.assert_array_equal(kept.read(np.array(numbers)), plain[numbers])
    for name in tmp_path.glob("*.png"):
        name.unlink()
    np.testing.assert_array_equal(kept.read(np.arange(4)), plain[:4])
    assert "5.png" in message(kept.read, np.array([1, 5]))
    assert readers.kept(source, 0) is source


def test_a_bad_image_is_replaced_by_the_next_of_its_class(tmp_path, capsys):
    for name, value in (("a/1", 10), ("b/2", 20), ("a/3", 30), ("b/4", 40)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image = np.full((4, 4), value, np.uint8)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    source = datasets.find(tmp_path, on_error="skip")
    (tmp_path / "b/4.png").write_bytes(b"text")
    (tmp_path / "a/1.png").unlink()
    images = source.read(np.arange(4))[:, 0, 0, 0]  # a/1 a/3 b/2 b/4
    assert images.tolist() == [30, 30, 20, 20]
    assert sorted(source.faults.lines) == [
        f"{tmp_path}/a/1.png: No such file or directory",
        f"{tmp_path}/b/4.png: no PNG, JPEG, WEBP or BMP image, whatever its name says;"
        " replace or delete it",
    ]
    source.read(np.arange(4))
    assert len(source.faults.lines) == 2
    assert capsys.readouterr().err.count("gantf: skipped: ") == 2


def test_error_a_disk_that_is_gone(tmp_path, capsys):
    for i in range(120):
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / f"{i:03}.png")
    source = datasets.find(tmp_path, on_error="skip")
    for path in tmp_path.glob("*.png"):
        path.unlink()
    told = message(source.read, np.array([7]))
    assert told == f"{tmp_path}: 100 images in a row cannot be read any more"
    assert len(source.faults.lines) == 100
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 11 and shown[10] == (
        f"gantf: {tmp_path}: more bad images are skipped"
    )


def test_a_bad_file_is_told_with_its_own_words(tmp_path):
    for name in "ab":
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    stream = streams.stream(datasets.find(tmp_path), 2)
    (tmp_path / "b.png").write_bytes(b"text")
    with pytest.raises(tf.errors.OpError) as error:
        next(iter(stream))
    assert streams.explain(error.value) == (
        f"{tmp_path}/b.png: no PNG, JPEG, WEBP or BMP image, whatever its name says;"
        " replace or delete it"
    )


def test_explain():
    assert streams.explain(ReadError("a.png: torn")) == "a.png: torn"
    assert streams.explain(tf.errors.DataLossError(None, None, "disk")) is None
    assert streams.explain(ValueError("ReadError: no")) is None


MIRRORED = """
import sys
import numpy as np
import tensorflow as tf
from gantf import datasets, streams

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
makers = {
    "stream": lambda: streams.stream(datasets.find(sys.argv[1]), 8).take(6),
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
