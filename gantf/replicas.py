"""Strategies by name, shares of a batch on replicas, what would make these differ."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from gantf.choices import choose
from gantf.inputs import all_layers, samples
from gantf.layers import MinibatchStandardDeviation


def get_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of that name: "auto" takes all GPUs, or the one device there is.

    Raises:
      ValueError: an unknown name.
    """
    return choose("strategy", name, STRATEGIES)()


def _all_gpus() -> tf.distribute.Strategy:
    several = len(tf.config.list_logical_devices("GPU")) > 1
    return STRATEGIES["mirrored" if several else "one"]()


STRATEGIES = {
    "auto": _all_gpus,
    "one": tf.distribute.get_strategy,
    "mirrored": lambda: tf.distribute.MirroredStrategy(),
}


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
    if isinstance(data, tf.data.Dataset):
        deviations = MinibatchStandardDeviation
        groups = [layer.group for layer in layers if isinstance(layer, deviations)]
        _check_share(data, replicas, math.lcm(*groups))
    elif not isinstance(data, tf.distribute.DistributedDataset):
        raise ValueError("on several devices fit takes a tf.data.Dataset")


def check_clipping(*optimizers: keras.optimizers.Optimizer) -> None:
    """Refuses optimizers that clip: on replicas each would clip its own part."""
    for optimizer in optimizers:
        for option in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, option, None) is not None:
                raise ValueError(
                    f"{option} is not exact on several devices; leave it out"
                )


def _check_share(dataset: tf.data.Dataset, replicas: int, group: int) -> None:
    """Refuses batches that do not fall into equal shares of whole groups."""
    batch = samples(dataset.element_spec)[0].shape[:1].as_list()
    share = replicas * group
    if batch in ([], [None]) or batch[0] % share:
        raise ValueError(
            f"on {replicas} devices all batches are of one size that {share} "
            "divides: use batch(n, drop_remainder=True)"
        )
