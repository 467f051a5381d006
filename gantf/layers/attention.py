"""Attention between the pixels of maps.

Zhang, Goodfellow, Metaxas, Odena: Self-Attention Generative Adversarial Networks,
ICML 2019.
Wang, Sun, Halgamuge: Improving MMD-GAN Training with Repulsive Loss Function, ICLR
2019 (their code has the logits from distances).
"""

import keras
from keras import ops

_register = keras.saving.register_keras_serializable(package="gantf")


def _dot(queries, keys):
    return ops.einsum("nqc,nkc->nqk", queries, keys)


def _distance(queries, keys):
    # Without |q|^2, which is the same for all keys: no softmax sees it.
    squares = ops.sum(ops.square(keys), axis=-1)[:, None, :]
    return (2 * _dot(queries, keys) - squares) / keys.shape[-1]


_LOGITS = {"dot": _dot, "distance": _distance}


@_register
class Attention2D(keras.layers.Layer):
    """For each pixel of the queries, a mean of the values of all pixels.

    Its weights are the softmax over the keys of the logits, <q, k> (Zhang et al.
    2019, equation 1, where they are not scaled) or -|q - k|^2 / c (Wang et al. 2019).
    Logits and softmax are float32.

    [(n, h, w, c), (n, h', w', c), (n, h', w', d)] -> (n, h, w, d)

    Args:
      logits: "dot" or "distance".

    Raises:
      ValueError: other logits.
    """

    def __init__(self, logits: str = "dot", **kwargs):
        if logits not in _LOGITS:
            known = " or ".join(repr(name) for name in _LOGITS)
            raise ValueError(f"logits is {known}, not {logits!r}")
        super().__init__(**kwargs)
        self.logits = logits

    def call(self, inputs):
        queries, keys, values = (_pixels(x) for x in inputs)
        full = (ops.cast(x, "float32") for x in (queries, keys))
        weights = ops.softmax(_LOGITS[self.logits](*full), axis=-1)
        y = ops.einsum("nqk,nkd->nqd", ops.cast(weights, values.dtype), values)
        return ops.reshape(y, (*ops.shape(inputs[0])[:3], inputs[2].shape[-1]))

    def compute_output_shape(self, input_shape):
        queries, _, values = input_shape
        return (*queries[:3], values[-1])

    def get_config(self):
        return {**super().get_config(), "logits": self.logits}


def _pixels(x):
    """(n, h, w, c) -> (n, h w, c)."""
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


@_register
class Gate(keras.layers.Layer):
    """gate x, the gate a trained number that starts at 0.

    Zhang et al. (2019), equation 3: the net begins without what is behind the gate.
    """

    def build(self, input_shape):
        self.gate = self.add_weight(
            name="gate", shape=(), initializer="zeros", dtype="float32", autocast=False
        )

    def call(self, inputs):
        return inputs * ops.cast(self.gate, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
