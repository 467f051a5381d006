"""Batches of a source: the streams that training and evaluation read.

Elements are dicts of "image", float32 in [-1, 1] (points as they are), and "label",
int32, -1 where there is none. What stands where in a stream is arithmetic of the seed
and of the position: nothing is shuffled in a buffer, so any start costs the same.
"""

import itertools
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gantf.readers import ReadError, Source


def stream(
    source: Source,
    batch: int,
    seed: int = 0,
    start: int = 0,
    same_class: bool = False,
    flip: bool = False,
    worker: int = 0,
    workers: int = 1,
) -> tf.data.Dataset:
    """The endless training stream, from batch number `start` on.

    Image i of batch s is number p = s * batch + i of the stream, that is number p % n
    of epoch p // n. Each epoch has its own order, in which every image comes once;
    batches run across the border of epochs. Any start costs the same.

    Args:
      source: see `gantf.datasets.find`.
      batch: images a batch, over all devices.
      seed: of the orders, and of what is drawn for each image.
      start: the first batch, counted from 0: the step at which a run resumes.
      same_class: whether all images of a batch are of one class. An epoch is then
        n_c // batch batches of each class of n_c images, in an order of its own;
        what is left over of a class comes in its next epoch.
      flip: whether half of the images, drawn each time, are mirrored left to right.
      worker: which of the `workers` this is, from 0. Of each batch it reads and gives
        its share only, the worker-th of as many equal parts.
      workers: over how many machines the batches are shared out.
    """
    _check_stream(source, batch, seed)
    _check_whole("start", start, 0)
    _check_workers(worker, workers, batch)
    order = (_by_class if same_class else _all)(source, batch, seed)
    span = tf.range(batch, dtype=tf.int64)
    positions = tf.data.Dataset.counter(start).map(lambda step: step * batch + span)
    batches = _drawn(positions, order, source, batch, seed, flip)
    share = batch // workers
    if workers > 1:
        part = slice(worker * share, (worker + 1) * share)
        batches = batches.map(
            lambda *chosen: tf.nest.map_structure(lambda rows: rows[part], chosen)
        )
    return _read(batches, source, share)


def epochs(
    source: Source,
    batch: int,
    seed: int = 0,
    same_class: bool = False,
    flip: bool = False,
) -> tf.data.Dataset:
    """Each iteration is the next epoch of `stream`, less what does not fill a batch.

    Args: see `stream`.
    """
    _check_stream(source, batch, seed)
    order = (_by_class if same_class else _all)(source, batch, seed)
    steps, counted = order.length // batch, itertools.count()

    def positions(epoch):  # of one epoch, a batch an element
        first = epoch * order.length + tf.range(steps, dtype=tf.int64) * batch
        starts = tf.data.Dataset.from_tensor_slices(first)
        return starts.map(lambda start: start + tf.range(batch, dtype=tf.int64))

    # A function of Python: each new iteration gets the next number.
    epoch = tf.data.Dataset.range(1).map(
        lambda _: tf.numpy_function(lambda: np.int64(next(counted)), [], tf.int64)
    )
    batches = _drawn(epoch.flat_map(positions), order, source, batch, seed, flip)
    return _read(
        batches.apply(tf.data.experimental.assert_cardinality(steps)), source, batch
    )


def in_order(source: Source, batch: int) -> tf.data.Dataset:
    """All images once, in their own order; the last batch may be smaller."""
    _check_whole("batch", batch, 1)
    batches = tf.data.Dataset.range(source.n).batch(batch)
    return _read(batches.map(lambda numbers: (numbers, ())), source, None)


def check_classes(source: Source, batch: int) -> np.ndarray:
    """How many images each class has, where batches can be of one class each.

    Raises:
      ReadError: no labels, or a class that is smaller than a batch.
    """
    if source.labels is None:
        raise ReadError(
            f"{source.name}: same_class wants labels, and it has none; give a set with"
            " labels, as a folder for each class"
        )
    counts = np.bincount(source.labels)
    for label, count in enumerate(counts):
        if 0 < count < batch:
            called = source.classes[label] if source.classes else label
            raise ReadError(
                f"{source.name}: a batch of one class has {batch} images, and class"
                f" {called} {count} of them; give a smaller batch"
            )
    return counts


def explain(error: BaseException) -> str | None:
    """The words of the `ReadError` behind an error of TensorFlow, or None.

    TensorFlow wraps what a reader raises in a page of its own; a script prints this.
    """
    if isinstance(error, ReadError):
        return str(error)
    if isinstance(error, tf.errors.OpError):
        found = re.search(r"\bReadError: (.*)", str(error))
        return found and found[1]
    return None


class _Order(NamedTuple):
    """Which image stands where in the stream.

    Args:
      length: positions of an epoch.
      numbers: the positions of a batch, int64 (k,) -> numbers of images, int64 (k,).
    """

    length: int
    numbers: Callable[[tf.Tensor], tf.Tensor]


def _all(source, batch, seed):
    """All images in one order."""
    return _Order(source.n, lambda positions: _shuffled(positions, source.n, seed))


def _by_class(source, batch, seed):
    """Batches of one class each."""
    counts = check_classes(source, batch)
    batches = counts // batch
    ends, starts = np.cumsum(batches), np.cumsum(counts) - counts
    members = np.argsort(source.labels, kind="stable")

    def numbers(positions):
        step = positions[:1] // batch
        slot = _shuffled(step, int(ends[-1]), seed)[0]
        label = tf.searchsorted(tf.constant(ends), slot[None], "right")[0]
        in_epoch = tf.gather(batches, label)
        turn = slot - tf.gather(ends, label) + in_epoch  # of the class, in this epoch
        first = (step[0] // int(ends[-1]) * in_epoch + turn) * batch
        key = tf.random.stateless_uniform(
            (), (seed, -1 - label), None, None, tf.int64, alg="philox"
        )
        span = tf.range(batch, dtype=tf.int64)
        found = _shuffled(first + span, tf.gather(counts, label), key)
        return tf.gather(members, tf.gather(starts, label) + found)

    return _Order(int(ends[-1]) * batch, numbers)


def _shuffled(positions, n, seed):
    """Where the positions of a stream of n things lie: int64 (k,) -> (k,), k <= n.

    This is the op under `tf.random.experimental.index_shuffle`, which in TF 2.21 fails
    on one seed an index and is fixed to four rounds of its cipher: these leave the
    orders of successive epochs of 60,000 images correlated by .9; 24 leave nothing.
    The op sees only some low bits of its key, so seed and epoch are hashed into it.
    """
    n = tf.cast(n, tf.int64)
    epoch = positions // n
    first = epoch[0]  # and no batch, being no larger than the set, sees a third one
    keys = [
        tf.random.stateless_uniform(
            (3,), (seed, first + i), None, None, tf.int64, alg="philox"
        )
        for i in range(2)
    ]
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % n,
        seed=tf.gather(keys, epoch - first),
        max_index=n - 1,
        rounds=24,
    )


def _drawn(positions, order, source, batch, seed, flip):
    """Batches of positions -> batches of (numbers, draws).

    Draws are uniform in [0, 1): where to cut, across and down, and whether to mirror;
    () where neither is asked for.
    """

    def draw(span):
        numbers = order.numbers(span)
        if not (source.prepared.random or flip):
            return numbers, ()
        # Seeds of orders have no such second half: a stream is shorter than 2 ** 62.
        key = (seed, -(2**62) + span[0])
        return numbers, tf.random.stateless_uniform(
            (batch, 2 + flip), key, alg="philox"
        )

    return positions.map(draw)


def _read(batches, source, batch):
    """Batches of (numbers, draws) -> batches of {"image", "label"}."""
    labels = np.full(source.n, -1, np.int32) if source.labels is None else source.labels
    points = len(source.shape) == 1

    def look_up(chosen, *draws):
        places = draws[0][:, :2] if draws and source.prepared.random else None
        images = (
            source.read(chosen, places) if places is not None else source.read(chosen)
        )
        if draws and draws[0].shape[1] == 3:
            images = images.copy()
            turned = draws[0][:, 2] < 0.5
            images[turned] = images[turned, :, ::-1]
        return images, labels[chosen]

    def element(chosen, draws):
        types = (tf.float32 if points else tf.uint8, tf.int32)
        inputs = [chosen] if isinstance(draws, tuple) else [chosen, draws]
        image, label = tf.numpy_function(look_up, inputs, types, stateful=False)
        image = image if points else tf.cast(image, tf.float32) / 127.5 - 1
        image.set_shape((batch, *source.shape))
        label.set_shape((batch,))
        return {"image": image, "label": label}

    options = tf.data.Options()
    options.deterministic = True
    # The batches are the same however many workers there are; each takes its share.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    read = batches.map(element, num_parallel_calls=tf.data.AUTOTUNE)
    return read.prefetch(tf.data.AUTOTUNE).with_options(options)


def _check_stream(source, batch, seed):
    _check_whole("batch", batch, 1)
    _check_whole("seed", seed, 0)
    if batch > source.n:
        raise ReadError(
            f"a batch of {batch} is larger than the set: {source.name} {source.split}"
            f" has {source.n} images; give batch={source.n} or less"
        )


def _check_workers(worker, workers, batch):
    _check_whole("workers", workers, 1)
    _check_whole("worker", worker, 0)
    if worker >= workers:
        raise ReadError(f"worker is a number below {workers}, not {worker}")
    if batch % workers:
        raise ReadError(
            f"a batch of {batch} cannot be shared out equally to {workers} workers;"
            f" give a multiple of {workers}"
        )


def _check_whole(what, value, least):
    if type(value) is not int or value < least:
        raise ReadError(f"{what} is a whole number from {least}, not {value!r}")
