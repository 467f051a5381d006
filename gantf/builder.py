"""Words -> Keras models: `build` makes one net, `build_pair` an architecture's two."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from gantf import layers, parts, shapes, words
from gantf.architecture import Architecture, read
from gantf.spec import Layer


def build(
    net: Any, shape: tuple[int, ...], classes: int = 0, name: str | None = None
) -> keras.Model:
    """The Keras model of a net.

    Args:
      net: anything that `gantf.spec.parse` reads.
      shape: the input, without batch.
      classes: how many classes labels come from; 0 without labels.
      name: of the model; its layers are named by place and kind, "01_conv".

    Returns:
      A model of x, or of [x, labels] where a word of the net asks for labels: whole
      numbers (n,) from 0 to classes - 1.

    Raises:
      SpecError: a net that cannot be read, or that does not fit its input.

    >>> build("conv3-64-s2-relu gsum dense-1", (28, 28, 1)).output_shape
    (None, 1)
    """
    rows = shapes.rows(net, shape, classes)
    return _model(rows, shape, classes, name, len(rows))


@contextlib.contextmanager
def precision(policy: Any) -> Iterator[None]:
    """Layers made inside have this dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_pair(
    architecture: Mapping[str, Any] | Architecture, score: int | None = None
) -> tuple[keras.Model, keras.Model]:
    """The generator and the discriminator of an architecture.

    Whatever the dtype policy, their last kernels are in float32, so that images and
    scores leave the nets in full precision.

    Args:
      architecture: a dict as in `gantf.architecture`.
      score: the width of the discriminator's score, where it is to differ from
        the architecture's own; a loss tells its `score_dim`.

    Raises:
      SpecError: an architecture that cannot be read or does not fit.
    """
    checked = read(architecture).with_score(score)
    return _net(checked, "generator"), _net(checked, "discriminator")


def build_decoder(
    architecture: Mapping[str, Any] | Architecture, score: int | None = None
) -> keras.Model:
    """The decoder of an architecture that has one: scores -> samples.

    Args:
      architecture, score: as for `build_pair`.

    Raises:
      SpecError: an architecture that cannot be read or does not fit.
      ValueError: an architecture without a decoder.
    """
    checked = read(architecture).with_score(score)
    if "decoder" not in checked.nets:
        raise ValueError("the architecture has no 'decoder', a net of samples by score")
    return _net(checked, "decoder")


def add_word(
    name: str,
    row: words.Kind | words.Word,
    make: Callable[[Layer, str], keras.layers.Layer],
) -> None:
    """Adds a word to the language: a row of the tables, and what it is made of.

    >>> def blur(layer, name):
    ...     return keras.layers.AveragePooling2D(layer.size, 1, "same", name=name)
    >>> add_word("blur", words.Kind("mean of N x N pixels", size="whole"), blur)
    >>> build("conv3-8-relu blur3", (16, 16, 3)).output_shape
    (None, 16, 16, 8)

    Args:
      name: small letters.
      row: a `Kind` of layer, or a `Word` whose field is "norm" or "act".
      make: (layer, name) -> the Keras layer of that name; the numbers of the word
        stand in the layer's fields. Its output shape and parameters are those of
        the Keras layer; its multiply-adds are not counted.

    Raises:
      ValueError: a name that is no word or is taken, or another kind of option.
    """
    words.add(name, row)

    def measure(layer: Layer, shape: tuple[int, ...], classes: int) -> shapes.Kernel:
        try:
            made = make(layer, name)
            result = made(keras.Input(shape)).shape[1:]
        except Exception as error:  # whatever the function or Keras says
            reason = str(error).partition("\n")[0]
            layer.fail(f"{name} does not take {shapes.show(shape)}: {reason}")
        count = sum(math.prod(w.shape) for w in made.trainable_weights)
        return tuple(result), count, 0

    if isinstance(row, words.Kind):
        shapes.KERNELS[name], parts.KERNELS[name] = measure, parts.plain(make)
    else:
        shapes.AFTER[name], parts.AFTER[name] = measure, parts.plain(make)


def _net(checked: Architecture, name: str) -> keras.Model:
    """A net of an architecture, its last kernel in float32."""
    net, shape = checked.nets[name]
    rows = shapes.rows(net, shape, checked.classes)
    kernels = [
        i
        for i, row in enumerate(rows)
        if row.params and not words.is_alone(row.layer.kind)
    ]
    last = max(kernels, default=len(rows))
    return _model(rows, shape, checked.classes, name, last)


def _model(
    rows: list[shapes.Row],
    shape: tuple[int, ...],
    classes: int,
    name: str | None,
    full_from: int,
) -> keras.Model:
    """The model of these rows; from number `full_from` on they are in float32."""
    inputs = keras.Input(tuple(shape))
    x, labels = inputs, None
    if any(row.layer.labels for row in rows):
        given = keras.Input((), dtype="int32", name="labels")
        labels = layers.Labels(classes, name="checked_labels")(given)
        inputs = [inputs, given]
    for i, row in enumerate(rows):
        policy = keras.config.dtype_policy() if i < full_from else "float32"
        with precision(policy):
            name_ = f"{i + 1:02d}_{row.layer.kind}"
            x = parts.apply(parts.Site(row.layer, name_, labels, classes), x)
    return keras.Model(inputs, x, name=name)
