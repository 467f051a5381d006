"""The door for class labels: what comes through is a class."""

import keras
from keras import ops

_register = keras.saving.register_keras_serializable(package="gantf")


@_register
class Labels(keras.layers.Layer):
    """Labels as they came, int32, if all are whole numbers from 0 to classes - 1.

    A one-hot row of a label that is no class is zero: without this layer a net would
    take it in silence. Labels whose values are known are refused with a ValueError,
    those of a TensorFlow graph with a `tf.errors.InvalidArgumentError` when it runs.
    Where another backend traces, and where XLA compiles, they are not checked.

    Args:
      classes: how many there are.

    Raises:
      ValueError: a label that is no class.
    """

    def __init__(self, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def call(self, inputs):
        rule = f"labels are whole numbers from 0 to {self.classes - 1}, not"
        labels = ops.cast(inputs, "int32")
        wrong = ops.logical_or(labels < 0, labels >= self.classes)
        wrong = ops.logical_or(wrong, ops.cast(labels, inputs.dtype) != inputs)
        try:
            known = ops.convert_to_numpy(wrong)
        except (NotImplementedError, TypeError):  # traced by TensorFlow, by JAX
            return _checked(labels, inputs, wrong, rule)
        if known.any():
            error = ValueError(f"{rule} {ops.convert_to_numpy(inputs)[known][0]}")
            # Keras would wrap the message in a page about the arguments.
            error._keras_call_info_injected = True
            raise error
        return labels

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, "int32")

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def _checked(labels, inputs, wrong, rule):
    """The labels, which a graph of TensorFlow has only after it has checked them."""
    if keras.backend.backend() != "tensorflow":
        return labels
    import tensorflow as tf

    first = tf.boolean_mask(inputs, wrong)[:1]  # a number: XLA knows no strings
    check = tf.debugging.Assert(~tf.reduce_any(wrong), [rule, first])
    with tf.control_dependencies([check]):
        return tf.identity(labels)
