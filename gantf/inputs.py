"""What goes into the nets of a GAN: samples, and labels where they ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras


def samples(data: Any) -> tuple[Any, Any]:
    """Samples and labels of an element of a dataset, or their specs; None without."""
    if isinstance(data, Mapping):
        data = data["image"], data.get("label")
    elif isinstance(data, tuple | list):
        data = data[0], data[1] if len(data) > 1 else None
    else:
        data = data, None
    if not data[0].dtype.is_floating:
        raise ValueError(f"samples are floats in [-1, 1], not {data[0].dtype.name}")
    return data


def run(net: keras.Model, x: Any, labels: Any, training: bool = True) -> Any:
    """What the net makes of x, with the labels if it asks for them."""
    check_labels(net, labels)
    return net(x if len(net.inputs) == 1 else [x, labels], training=training)


def check_labels(net: keras.Model, labels: Any) -> None:
    """Refuses data without labels, or with others, where the net asks for them."""
    if len(net.inputs) == 1:
        return
    if labels is None:
        raise ValueError(
            f"the {net.name} asks for labels, and the data has none: give dicts of "
            "'image' and 'label'"
        )
    if not labels.dtype.is_integer or len(labels.shape) != 1:
        raise ValueError(
            "labels are whole numbers, one for each sample, not "
            f"{labels.dtype.name} {labels.shape}"
        )


def all_layers(net: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a net, those of nets inside it too."""
    for layer in net.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
