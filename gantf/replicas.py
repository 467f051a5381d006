"""Strategies by name, shares of a batch on replicas, what would make these differ."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import cluster
from gantf.choices import choose
from gantf.inputs import all_layers, samples
from gantf.layers import MinibatchStandardDeviation

_GROUP = 1 << 20  # of exchanges; those of strategies are counted from 1
_GONE = re.compile(  # how TensorFlow names a worker that does not answer
    r"(?:unhealthy[^/]*|remote target )/job:(\w+)(?:/replica:\d+)?/task:(\d+)"
)
_PIECE = 1 << 20  # whole numbers exchanged at once: more take ten times longer
_joined: tf.distribute.Strategy | None = None  # with others; a process does it once


def get_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of that name, made before TensorFlow does anything else.

    - "auto": all GPUs, or the one device there is.
    - "one": the first device.
    - "mirrored": all devices of this machine.
    - "multiworker": those of several machines; see `gantf.cluster`.
    - "tpu": the TPU of this machine, or the one of TPU_NAME.

    Raises:
      ValueError: an unknown name; workers or a TPU that are not there.
    """
    return choose("strategy", name, STRATEGIES)()


def _auto() -> tf.distribute.Strategy:
    if count := cluster.several():
        raise ValueError(
            f"TF_CONFIG names {count} workers: give --strategy=multiworker"
        )
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return STRATEGIES["mirrored" if several else "one"]()


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    """One for all runs of this process.

    Collectives of a second one would take the keys of the first, with other shapes.
    """
    return tf.distribute.MirroredStrategy()


def _multiworker() -> tf.distribute.Strategy:
    global _joined
    if _joined is None:
        found = cluster.find()
        cluster.check_port(found)
        if found.others:
            print(
                f"worker {found.index} of {len(found.addresses)}, at "
                f"{found.addresses[found.index]}: waits for {', '.join(found.others)}",
                flush=True,
            )
        with _interruptible():
            _joined = tf.distribute.MultiWorkerMirroredStrategy()
    return _joined


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lets Ctrl-C end the process, which Python would only do after a long wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tpu() -> tf.distribute.Strategy:
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver
    try:
        found = resolver.connect(os.environ.get("TPU_NAME", "local"))
    except Exception as error:  # of many kinds, from libraries of clouds
        words = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"there is no TPU here ({words})") from error
    return tf.distribute.TPUStrategy(found)


STRATEGIES = {
    "auto": _auto,
    "one": tf.distribute.get_strategy,
    "mirrored": _mirrored,
    "multiworker": _multiworker,
    "tpu": _tpu,
}


def worker(strategy: tf.distribute.Strategy | None = None) -> tuple[int, int]:
    """Which worker this process is, from 0, the chief, and how many there are.

    Args:
      strategy: by default that of the scope, or the one of several workers that this
        process has made.
    """
    found = _cluster(strategy)
    return (found.index, len(found.addresses)) if found else (0, 1)


def exchange(value: Any, strategy: tf.distribute.Strategy | None = None) -> list:
    """The arrays that all workers give, in the order of workers.

    All workers call it, as often as one another; it waits for them. Arrays are of one
    dtype and rank, of numbers; their first axes may differ.
    """
    index, count = worker(strategy)
    array = np.asarray(value)
    if count == 1:
        return [array]
    shapes = [()] * count
    if array.ndim:
        shapes = list(map(tuple, _all_workers(np.array(array.shape), index, count)))
    sizes = [math.prod(shape) * array.itemsize for shape in shapes]
    # As whole numbers of 8 bytes, which collectives of all devices take as they are.
    raw = np.zeros(-(-max(sizes) // 8), np.int64)
    raw.view(np.uint8)[: array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
    pieces = [
        _all_workers(raw[first : first + _PIECE], index, count)
        for first in range(0, len(raw), _PIECE)
    ]
    rows = np.hstack([np.zeros((count, 0), np.int64), *pieces])
    return [
        np.frombuffer(row.tobytes()[:size], array.dtype).reshape(shape)
        for row, size, shape in zip(rows, sizes, shapes)
    ]


def _all_workers(row: np.ndarray, index: int, count: int) -> np.ndarray:
    """The rows of all workers in their order: int64 (n,) -> (count, n).

    One gather over workers, on their CPUs, however many devices they have.
    """
    with tf.device("CPU:0"):
        found = tf.raw_ops.CollectiveGatherV2(
            input=tf.constant(np.concatenate([[index], row])[None], tf.int64),
            group_size=count,
            group_key=_GROUP,
            instance_key=1 + len(row),  # TensorFlow keeps something for each
            ordering_token=[],
        ).numpy()
    return found[np.argsort(found[:, 0]), 1:]


def devices(strategy: tf.distribute.Strategy) -> list[str]:
    """Lines for people: this worker's devices, and the other workers' addresses."""
    if strategy.num_replicas_in_sync > 1:
        names = strategy.extended.worker_devices
    else:
        kinds = map(tf.config.list_logical_devices, ("GPU", "CPU"))
        names = [next(filter(None, kinds))[0].name]
    lines = [_device(name) for name in names]
    found = _cluster(strategy)
    if found is None:
        return lines
    here = f"worker {found.index} of {len(found.addresses)}: "
    return [here + line for line in lines] + [
        f"worker {i} of {len(found.addresses)}: at {address}"
        for i, address in enumerate(found.addresses)
        if i != found.index
    ]


def _device(name: str) -> str:
    """What is known of one of this worker's devices: "GPU:0 NVIDIA H100"."""
    spec = tf.DeviceSpec.from_string(name)
    short = f"{spec.device_type or 'CPU'}:{spec.device_index or 0}"
    physical = tf.config.list_physical_devices(spec.device_type or "CPU")
    if len(physical) <= (spec.device_index or 0):
        return short
    details = tf.config.experimental.get_device_details(
        physical[spec.device_index or 0]
    )
    return f"{short} {details['device_name']}" if "device_name" in details else short


def _resolver(strategy: tf.distribute.Strategy | None) -> Any:
    """What knows the workers of a strategy of several; None of others."""
    if strategy is None:
        scoped = tf.distribute.has_strategy()
        strategy = tf.distribute.get_strategy() if scoped else _joined
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return strategy.cluster_resolver
    return None


def _cluster(strategy: tf.distribute.Strategy | None) -> cluster.Cluster | None:
    """The workers of a strategy of several; None of others."""
    resolver = _resolver(strategy)
    jobs = resolver.cluster_spec().as_dict() if resolver else {}
    task = {"type": resolver.task_type, "index": resolver.task_id} if jobs else {}
    return cluster.of_jobs(jobs, task) if jobs else None


def explain(error: BaseException) -> str | None:
    """What an error means if it is that another worker is gone, or None.

    TensorFlow finds out within some 10 seconds, and ends what waits for that worker.
    """
    found = _cluster(None)
    gone = isinstance(error, tf.errors.UnavailableError)
    if found is None or not (gone or "Collective ops is aborted" in str(error)):
        return None
    who = "another worker"
    if named := _GONE.search(str(error)):
        address = _resolver(None).cluster_spec().task_address(named[1], int(named[2]))
        who = f"worker {found.addresses.index(address)} ({address})"
    return (
        f"{who} is gone: killed, ended by an error of its own, or cut off; start all "
        "workers again: the run goes on from its last checkpoint"
    )


def distribute(
    strategy: tf.distribute.Strategy, make: Callable[[int, int], tf.data.Dataset]
) -> Any:
    """Batches for all replicas, of which each worker makes its share only: for `fit`.

    Args:
      strategy: what trains.
      make: (worker, workers) -> the dataset of that worker's share of each global
        batch, in the order of workers: all elements of one size.

    Raises:
      ValueError: shares that the worker's replicas cannot share out equally.
    """
    index, workers = worker(strategy)
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return make(index, workers)
    here = replicas // workers

    def shares(context):
        dataset = make(index, workers)
        _check_share(dataset, replicas, here, 1)
        if here == 1:
            return dataset
        return dataset.map(lambda *x: _each(x, lambda r: _rows(r, here))).unbatch()

    return strategy.distribute_datasets_from_function(shares)


def deal(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Any:
    """The same from global batches, which every worker reads, to take its share."""

    def make(worker, workers):
        def cut(*x):
            return _each(x, lambda rows: _rows(rows, workers)[worker])

        return dataset.map(cut) if workers > 1 else dataset

    return distribute(strategy, make)


def endless(
    dataset: tf.data.Dataset, steps: int | None
) -> tuple[int | None, tf.data.Dataset]:
    """The steps of an epoch, and the dataset, repeated if its length is known.

    Of an endless one no worker asks all others, at each step, whether they have a
    batch left; and of another Keras counts the shares of replicas as steps.
    """
    batches = int(dataset.cardinality())
    if batches < 0:
        return steps, dataset
    return steps or batches, dataset.repeat()


def _each(element: tuple, change: Callable) -> Any:
    """An element of a dataset, as its map gives it, with all its arrays changed."""
    return tf.nest.map_structure(change, element if len(element) > 1 else element[0])


def _rows(rows: tf.Tensor, parts: int) -> tf.Tensor:
    """(n, ...) -> (parts, n / parts, ...)."""
    return tf.reshape(rows, [parts, rows.shape[0] // parts, *rows.shape[1:]])


def spread(strategy: tf.distribute.Strategy, call: Callable, size: int) -> Callable:
    """What calls a net with any number of rows, on all replicas of this worker.

    It waits for no other worker: each may call it as often as it likes.

    Args:
      strategy: under which the net was made.
      call: tensors (n, ...), one or a structure of them -> such tensors, row by row.
      size: rows at once on each replica: bounds its memory.

    Returns:
      The same from and to arrays.
    """
    here = strategy.num_replicas_in_sync // worker(strategy)[1]
    run = tf.function(
        lambda shares: strategy.run(call, (shares,)), reduce_retracing=True
    )

    def at_once(rows):
        n = len(tf.nest.flatten(rows)[0])
        each = -(-n // here)

        def share(context):
            first = context.replica_id_in_sync_group % here * each
            # No replica may be left without a row: some go through twice.
            chosen = np.minimum(np.arange(first, first + each), n - 1)
            return tf.nest.map_structure(lambda x: tf.constant(x[chosen]), rows)

        def joined(values):
            return np.concatenate(strategy.experimental_local_results(values))[:n]

        shares = strategy.experimental_distribute_values_from_function(share)
        return tf.nest.map_structure(joined, run(shares))

    def spread_out(rows):
        rows = tf.nest.map_structure(np.asarray, rows)
        n, most = len(tf.nest.flatten(rows)[0]), here * size

        def some(first):
            return tf.nest.map_structure(lambda x: x[first : first + most], rows)

        parts = [at_once(some(first)) for first in range(0, n, most)]
        return tf.nest.map_structure(lambda *found: np.concatenate(found), *parts)

    return spread_out


def gather(rows: Any) -> Any:
    """The rows of the whole batch, from each replica's share; gradients pass."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return rows
    whole = context.all_gather(rows, axis=0)
    # all_gather loses the shape in a tf.function.
    return tf.ensure_shape(whole, (None, *rows.shape[1:]))


def share(rows: Any) -> Any:
    """The rows of a whole batch that are this replica's."""
    context = tf.distribute.get_replica_context()
    n = tf.shape(rows)[0] // context.num_replicas_in_sync
    first = tf.cast(context.replica_id_in_sync_group, n.dtype) * n
    return rows[first : first + n]


def whole_size(rows: Any) -> Any:
    """How many rows the whole batch has, of which these are the share."""
    context = tf.distribute.get_replica_context()
    return tf.shape(rows)[0] * context.num_replicas_in_sync


def check_data(nets: list[keras.Model], data: Any, replicas: int) -> None:
    """Refuses nets and data that several replicas treat otherwise than one device.

    Raises:
      ValueError: layers that draw, or batches that cannot be shared out equally.
    """
    layers = [layer for net in nets for layer in all_layers(net)]
    drawn = keras.layers.Dropout, keras.layers.GaussianNoise
    if any(isinstance(layer, drawn) for layer in layers):
        raise ValueError(
            "drop and noise draw the same for all devices: train on one device"
        )
    deviations = MinibatchStandardDeviation
    group = math.lcm(*(x.group for x in layers if isinstance(x, deviations)))
    if isinstance(data, tf.data.Dataset):
        _check_share(data, replicas, replicas, group)
    elif not isinstance(data, tf.distribute.DistributedDataset):
        raise ValueError("on several devices fit takes a tf.data.Dataset")
    elif (_share_size(data) or 0) % group:
        raise _uneven(replicas, replicas * group)


def check_slopes(discriminator: keras.Model, scaling: Any) -> None:
    """Refuses slopes of each sample by itself through batch norm over all devices.

    Args:
      discriminator: samples -> scores (n, d).
      scaling: a `gantf.scaling.Scaling`, or None.

    Raises:
      ValueError: a scaling by the Jacobians of several scores, and batch norm.
    """
    norm = keras.layers.BatchNormalization
    normed = [x.name for x in all_layers(discriminator) if isinstance(x, norm)]
    if scaling and normed and discriminator.output_shape[-1] > 1:
        raise ValueError(
            f"scaling {scaling.name!r} takes the slopes of each sample by itself, "
            "which batch norm over several devices cannot give: leave bn out of the "
            f"discriminator ({normed[0]}), or train on one device"
        )


def check_clipping(*optimizers: keras.optimizers.Optimizer) -> None:
    """Refuses optimizers that clip: on replicas each would clip its own part."""
    for optimizer in optimizers:
        for option in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, option, None) is not None:
                raise ValueError(
                    f"{option} is not exact on several devices; leave it out"
                )


def _check_share(
    dataset: tf.data.Dataset, replicas: int, parts: int, group: int
) -> None:
    """Refuses batches that do not fall into equal parts of whole groups."""
    batch = samples(dataset.element_spec)[0].shape[:1].as_list()
    if batch in ([], [None]) or batch[0] % (parts * group):
        raise _uneven(replicas, parts * group)


def _share_size(data: tf.distribute.DistributedDataset) -> int | None:
    """The samples of a replica's share, if that is known: images come before labels."""
    return tf.nest.flatten(data.element_spec, expand_composites=True)[0].shape[0]


def _uneven(replicas: int, size: int) -> ValueError:
    return ValueError(
        f"on {replicas} devices all batches are of one size that {size} divides: use "
        "batch(n, drop_remainder=True)"
    )
