"""Layers without weights: norms, sums, shuffles, noise, statistics of a batch."""

import math

import keras
from keras import ops

_register = keras.saving.register_keras_serializable(package="gantf")


@_register
class PixelNormalization(keras.layers.Layer):
    """Each pixel's channels by their root mean square: x / sqrt(mean(x^2) + epsilon).

    Karras et al. (2018), section 4.2, with their epsilon of 1e-8. Computed in
    float32.

    Args:
      epsilon: keeps the root away from 0.
    """

    def __init__(self, epsilon: float = 1e-8, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, inputs):
        x = ops.cast(inputs, "float32")
        x *= ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@_register
class GlobalSumPooling2D(keras.layers.Layer):
    """The sum over height and width: (n, h, w, c) -> (n, c)."""

    def call(self, inputs):
        return ops.sum(inputs, axis=(1, 2))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@_register
class ConcatenatedReLU(keras.layers.Layer):
    """relu(x) beside relu(-x) on the last axis: twice the channels.

    Shang et al. (2016), equation 2.
    """

    def call(self, inputs):
        return ops.concatenate([ops.relu(inputs), ops.relu(-inputs)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])


class _Seeded:
    """A random layer of Keras that saves where its random numbers stand.

    A run that is saved and loaded draws what it would have drawn.
    """

    def save_own_variables(self, store):
        if hasattr(self, "seed_generator"):  # not where nothing is drawn
            store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        if "seed_state" in store:  # weights of before have none
            self.seed_generator.state.assign(store["seed_state"])


@_register
class Dropout(_Seeded, keras.layers.Dropout):
    """`keras.layers.Dropout` that goes on with its masks after loading."""


@_register
class GaussianNoise(_Seeded, keras.layers.GaussianNoise):
    """`keras.layers.GaussianNoise` that goes on with its noise after loading."""


@_register
class MinibatchStandardDeviation(keras.layers.Layer):
    """One more channel: how much the samples of a group differ.

    Karras et al. (2018), section 3: the standard deviation of each feature over the
    group, sqrt(variance + 1e-8), its mean over features and pixels, on every pixel of
    every sample of the group. The paper has one group, the batch; their code has
    groups, of samples that lie apart. Here they are neighbours, so that equal shares
    of a batch on several devices keep their groups. What a batch has beyond whole
    groups is a smaller one. Computed in float32.

    (n, h, w, c) -> (n, h, w, c + 1), or (n, c) -> (n, c + 1)

    Args:
      group: samples of a group.
    """

    def __init__(self, group: int = 4, **kwargs):
        if type(group) is not int or group < 1:
            raise ValueError(f"group is a whole number from 1, not {group!r}")
        super().__init__(**kwargs)
        self.group = group

    def call(self, inputs):
        n, *pixels, _ = ops.shape(inputs)
        deviation = ops.cast(self._deviation(inputs, n), inputs.dtype)
        deviation = ops.reshape(deviation, (n, *[1] * len(pixels), 1))
        channel = ops.broadcast_to(deviation, (n, *pixels, 1))
        return ops.concatenate([inputs, channel], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group": self.group}

    def _deviation(self, inputs, n):
        """The number of each sample's group: (n,)."""
        size = math.prod(inputs.shape[1:])
        groups = (n + self.group - 1) // self.group
        whole = groups * self.group
        # Zeros make the last group whole; `there` says who counts.
        x = ops.reshape(ops.cast(inputs, "float32"), (n, size))
        x = ops.concatenate([x, ops.zeros((whole - n, size))], axis=0)
        x = ops.reshape(x, (groups, self.group, size))
        there = ops.cast(ops.arange(whole) < n, "float32")
        there = ops.reshape(there, (groups, self.group, 1))
        count = ops.sum(there, axis=1, keepdims=True)
        mean = ops.sum(x, axis=1, keepdims=True) / count
        variance = ops.sum(ops.square(there * (x - mean)), axis=1) / count[:, 0]
        deviation = ops.mean(ops.sqrt(variance + 1e-8), axis=-1, keepdims=True)
        shared = ops.broadcast_to(deviation, (groups, self.group))
        return ops.reshape(shared, (whole,))[:n]


class _Shuffle(keras.layers.Layer):
    """What the two shuffles share: a whole factor.

    Args:
      factor: the side of the square of pixels that moves to or from the channels.
    """

    def __init__(self, factor: int, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@_register
class DepthToSpace(_Shuffle):
    """Channels to pixels: (n, h, w, f^2 c) -> (n, f h, f w, c).

    Channel (i f + j) c + k goes to row i, column j of its square, channel k, as
    TensorFlow's depth_to_space has it; PyTorch's pixel shuffle orders the channels
    otherwise.
    """

    def call(self, inputs):
        f, (h, w, c) = self.factor, inputs.shape[1:]
        x = ops.reshape(inputs, (-1, h, w, f, f, c // f**2))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, h * f, w * f, c // f**2))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return (n, h * self.factor, w * self.factor, c // self.factor**2)


@_register
class SpaceToDepth(_Shuffle):
    """Pixels to channels, the inverse of `DepthToSpace`."""

    def call(self, inputs):
        f, (h, w, c) = self.factor, inputs.shape[1:]
        x = ops.reshape(inputs, (-1, h // f, f, w // f, f, c))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, h // f, w // f, f * f * c))

    def compute_output_shape(self, input_shape):
        n, h, w, c = input_shape
        return (n, h // self.factor, w // self.factor, c * self.factor**2)
