"""Layers that know the class of each sample: norms, biases and kernels.

Inputs are `[x, labels]`, labels of shape (n,) and from 0 to classes - 1, which
`gantf.layers.Labels` sees to. What a class has stands in a row of a table.

Dumoulin, Shlens, Kudlur: A Learned Representation For Artistic Style, ICLR 2017.
Miyato, Koyama: cGANs with Projection Discriminator, ICLR 2018 (the same for classes).
Wang, Sun, Halgamuge: Improving MMD-GAN Training with Repulsive Loss Function, ICLR
2019 (their code has the kernels of a class: dck, cck, tcck and dcd).
"""

import keras
from keras import ops

_register = keras.saving.register_keras_serializable(package="gantf")


def _one_hot(labels, classes):
    return ops.one_hot(labels, classes, dtype="float32")


def _rows(table, labels, rank):
    """The row of each sample's class, for maps of one rank: (n, 1, 1, c) for images.

    A product in float32: gathered rows would have sparse gradients, and on a GPU sums
    in no fixed order.
    """
    hot = _one_hot(labels, table.shape[0])
    rows = ops.matmul(hot, ops.cast(table, "float32"))  # (n, k) @ (k, c) = (n, c)
    return ops.reshape(rows, (-1, *[1] * (rank - 2), table.shape[-1]))


@_register
class ConditionalBatchNormalization(keras.layers.BatchNormalization):
    """Batch norm whose gain and shift are those of the sample's class.

    gamma[y] (x - mean) / sqrt(variance + epsilon) + beta[y]: Dumoulin et al. (2017),
    equation 5, with the statistics of the whole batch; [x, labels] -> shape of x.

    Args:
      classes: rows of the tables gamma (ones) and beta (zeros), (classes, c).
      momentum, epsilon, synchronized: as for `keras.layers.BatchNormalization`.
      **kwargs: passed on to it; `axis`, `center` and `scale` are not taken.
    """

    def __init__(
        self,
        classes: int,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(
            axis=-1,
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            synchronized=synchronized,
            **kwargs,
        )
        self.classes = classes

    def build(self, input_shape):
        shape, _ = input_shape
        super().build(shape)
        self.input_spec = None  # it would be that of one input
        for name in ("gamma", "beta"):
            table = self.add_weight(
                name=name,
                shape=(self.classes, shape[-1]),
                initializer=getattr(self, f"{name}_initializer"),
                regularizer=getattr(self, f"{name}_regularizer"),
                constraint=getattr(self, f"{name}_constraint"),
                autocast=False,
            )
            setattr(self, name, table)

    def call(self, inputs, training=None):
        x, labels = inputs
        gamma, beta = (_rows(t, labels, len(x.shape)) for t in (self.gamma, self.beta))
        x = ops.cast(super().call(x, training=training), "float32")
        return ops.cast(gamma * x + beta, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        config = super().get_config()
        del config["axis"], config["center"], config["scale"]
        return {**config, "classes": self.classes}


@_register
class ConditionalBias(keras.layers.Layer):
    """x + bias[y]: [x, labels] -> shape of x.

    Args:
      classes: rows of the table bias, (classes, c), which starts with zeros.
    """

    def __init__(self, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape):
        shape, _ = input_shape
        self.bias = self.add_weight(
            name="bias",
            shape=(self.classes, shape[-1]),
            initializer="zeros",
            autocast=False,
        )

    def call(self, inputs):
        x, labels = inputs
        return x + ops.cast(_rows(self.bias, labels, len(x.shape)), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@_register
class ConditionalKernel(keras.layers.Wrapper):
    """A layer whose outputs each class scales: (1 + scale[y]) layer(x) + bias.

    Its kernel is that of all classes with the columns of each output scaled. What the
    repulsive MMD-GAN's code calls dck, cck and tcck; [x, labels] -> shape of layer(x).

    Args:
      layer: a Dense, Conv2D or Conv2DTranspose layer or a subclass, without bias and
        activation.
      classes: rows of the table scale, (classes, outputs), which starts with zeros.
      use_bias: whether there is a bias, (outputs,), the same for all classes.

    Raises:
      ValueError: another layer.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        classes: int,
        use_bias: bool = True,
        **kwargs,
    ):
        if not isinstance(layer, _KERNELS):
            known = ", ".join(kind.__name__ for kind in _KERNELS)
            raise ValueError(
                f"ConditionalKernel takes a layer of {known}, "
                f"not {type(layer).__name__}"
            )
        if layer.use_bias:
            raise ValueError(
                "ConditionalKernel takes a layer with use_bias=False, not one with a "
                "bias: its own use_bias gives one"
            )
        if layer.activation is not keras.activations.linear:
            name = keras.activations.serialize(layer.activation)
            raise ValueError(
                f"ConditionalKernel takes a layer without activation, not {name}"
            )
        super().__init__(layer, **kwargs)
        self.classes = classes
        self.use_bias = use_bias

    @property
    def kernel(self):
        """The trained kernel that all classes share."""
        return self.layer.kernel

    def build(self, input_shape):
        shape, _ = input_shape
        super().build(shape)
        outputs = self.layer.compute_output_shape(tuple(shape))[-1]
        self.scale = self.add_weight(
            name="scale",
            shape=(self.classes, outputs),
            initializer="zeros",
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(outputs,), initializer="zeros"
            )

    def call(self, inputs):
        x, labels = inputs
        y = self.layer(x)
        y *= ops.cast(1 + _rows(self.scale, labels, len(y.shape)), y.dtype)
        return y if self.bias is None else y + ops.cast(self.bias, y.dtype)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(tuple(input_shape[0]))

    def get_config(self):
        own = {"classes": self.classes, "use_bias": self.use_bias}
        return {**super().get_config(), **own}


_KERNELS = keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv2DTranspose


@_register
class ConditionalDense(keras.layers.Layer):
    """A dense layer with a kernel of each class beside the common one.

    x (kernel + class_kernel[y]) + bias: [(n, inputs), (n,)] -> (n, units). What the
    repulsive MMD-GAN's code calls dcd. It costs what a dense layer with classes times
    as many units costs.

    Args:
      units: outputs.
      classes: how many class_kernel has, (classes, inputs, units); they start with
        zeros.
      use_bias: whether there is a bias, (units,).
      kernel_initializer: of the common kernel, (inputs, units).
    """

    def __init__(
        self,
        units: int,
        classes: int,
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.classes = classes
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        (*_, inputs), _ = input_shape
        self.kernel = self.add_weight(
            name="kernel",
            shape=(inputs, self.units),
            initializer=self.kernel_initializer,
        )
        self.class_kernel = self.add_weight(
            name="class_kernel",
            shape=(self.classes, inputs, self.units),
            initializer="zeros",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer="zeros"
            )

    def call(self, inputs):
        x, labels = inputs
        # Every sample under every class is cheaper than a kernel for every sample:
        # (n, inputs) @ (k, inputs, units) = (k, n, units)
        y = ops.matmul(x, self.kernel + self.class_kernel)
        chosen = ops.transpose(_one_hot(labels, self.classes))
        y = ops.sum(y * ops.cast(chosen, y.dtype)[..., None], axis=0)
        return y if self.bias is None else y + self.bias

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "classes": self.classes,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
