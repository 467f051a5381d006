"""What shows early that a discriminator goes wrong: its spectra, slopes, kernel.

Keras callbacks of `gantf.GAN.fit`, as those of `gantf.callbacks`. They read a GAN and
change nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gantf import mmd, pictures, projector
from gantf.callbacks import Records
from gantf.choices import whole_number
from gantf.inputs import check_labels, run, samples
from gantf.jacobian import row_squares
from gantf.penalties import slopes

_CALL = 64  # samples a call of a net: bounds its memory
_COORDINATES = 32  # of a point in the projector, at most
# Of the largest singular value; what is below is the rounding of float32 weights.
_SMALLEST = 1e-7


class _Monitor(keras.callbacks.Callback):
    """Looks at a GAN every `every` steps.

    Args:
      every: steps between two looks.
    """

    def __init__(self, every: int):
        super().__init__()
        self.every = whole_number("every", every)

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step % self.every == 0:
            self.look(self.model.step, logs or {})

    def look(self, step: int, logs: Mapping[str, float]) -> None:
        """What is done after these steps, with the figures of the last one."""
        raise NotImplementedError


class Spectra(_Monitor):
    """The singular values of the discriminator's kernels, as rank collapse shows in.

    Of the singular values s_1 >= s_2 >= .. of `spectra`, for each kernel,

        spectrum/NET/LAYER/condition       s_1 / s_min, 10^7 at most
        spectrum/NET/LAYER/stable_rank     sum s_i^2 / s_1^2, from 1 to their number

    in the table and in TensorBoard, and s_i / s_1 there as a histogram. A kernel that
    has lost rank has a condition of 10^7, as what is less than 10^-7 s_1 is no more
    than rounding of float32; a kernel of zeros has that too, and the stable rank 0.
    Kernels that are not finite are left out.

    Arbel et al. (2018) watch the condition number; Sanyal et al. (2020) have the stable
    rank. The discriminator of dcgan-sn-32, 6.1 million weights, takes .15 s of one CPU
    core, the last two of its convolutions most of it.

    Args:
      records: where they go.
      every: steps between two looks.
    """

    def __init__(self, records: Records, every: int = 500):
        super().__init__(every)
        self.records = records

    def look(self, step, logs):
        figures, shares = {}, {}
        for name, values in spectra(self.model.discriminator).items():
            share = values / (values[0] or 1.0)
            figures[f"spectrum/{name}/condition"] = 1.0 / max(share[-1], _SMALLEST)
            figures[f"spectrum/{name}/stable_rank"] = np.sum(np.square(share))
            shares[f"spectrum/{name}/singular_values"] = share
        self.records.write(step, figures)
        self.records.histograms(step, shares)


def spectra(net: keras.Model) -> dict[str, np.ndarray]:
    """The singular values of each finite kernel of a net, largest first, in float64.

    A kernel is a matrix with a row for each output channel: [c_out, kh kw c_in] of a
    convolution, also of a transposed one (Miyato et al. 2018). In groups, or depthwise,
    it is the matrix whose blocks are those of the groups. A separable convolution has
    two kernels. Kernels are as they are trained, not as spectral normalisation scales
    them; with a kernel for each class, it is the one that all classes share.

    Values are the roots of the eigenvalues of W W^T or W^T W, whichever is smaller,
    which is several times faster than a decomposition of W. So those from 10^-6 s_1 on
    have 3 digits at least, and those below 10^-8 s_1 none.

    Returns:
      By "net/layer", with the names of nets in nets between, and the kernel's behind
      where a layer has two.
    """
    kernels = {name: np.asarray(k, "float64") for name, k in _kernels(net, net.name)}
    return {
        name: _singular_values(kernel)
        for name, kernel in kernels.items()
        if np.all(np.isfinite(kernel))
    }


def _kernels(layer: keras.layers.Layer, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The kernels of a layer and of those in it, as blocks (groups, rows, columns)."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _kernels(inner, f"{name}/{inner.name}")
    elif isinstance(layer, keras.layers.Wrapper):
        yield from _kernels(layer.layer, name)
    else:
        parts = next(parts for kind, parts in _KINDS if isinstance(layer, kind))
        for part, blocks in parts.items():
            kernel = getattr(layer, part, None)
            if isinstance(kernel, keras.Variable):
                whole = f"{name}/{part}" if len(parts) > 1 else name
                yield whole, blocks(layer, keras.ops.convert_to_numpy(kernel))


def _outputs_last(layer, kernel):
    """(.., c_in, c_out), where each of several groups has its own outputs."""
    groups = getattr(layer, "groups", 1)
    outputs = kernel.shape[-1] // groups
    return kernel.reshape(-1, groups, outputs).swapaxes(0, 1)


def _inputs_last(layer, kernel):
    """(.., c_out, c_in), of transposed convolutions."""
    return kernel.swapaxes(-1, -2).reshape(1, -1, kernel.shape[-2])


def _depthwise(layer, kernel):
    """(.., c, multiplier): each channel is a group."""
    return kernel.reshape(-1, *kernel.shape[-2:]).swapaxes(0, 1)


# kind -> its kernels by attribute, each with how its blocks are taken from it
_KINDS = (
    (keras.layers.Embedding, {"embeddings": _outputs_last}),
    (
        keras.layers.SeparableConv1D | keras.layers.SeparableConv2D,
        {"depthwise_kernel": _depthwise, "pointwise_kernel": _outputs_last},
    ),
    (
        keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D,
        {"kernel": _depthwise},
    ),
    (
        keras.layers.Conv1DTranspose
        | keras.layers.Conv2DTranspose
        | keras.layers.Conv3DTranspose,
        {"kernel": _inputs_last},
    ),
    (keras.layers.Layer, {"kernel": _outputs_last}),
)


def _singular_values(blocks: np.ndarray) -> np.ndarray:
    """Of the matrix that has these blocks (groups, rows, columns), largest first."""
    turned = blocks.swapaxes(-1, -2)
    wide = blocks.shape[-2] < blocks.shape[-1]
    squares = np.linalg.eigvalsh(blocks @ turned if wide else turned @ blocks)
    # Rounding puts eigenvalues that are 0 below it.
    return np.sort(np.sqrt(np.maximum(squares, 0.0)), axis=None)[::-1]


class Slopes(_Monitor):
    """How steep the discriminator is: norms of its gradient by the sample.

    |grad_x s(x)|, s being the sum of the score's numbers, as in the penalty "gp"; the
    norm of a whole Jacobian would cost a pass for each number, and s may be flat where
    single numbers are not. Over the real samples and as many generated ones,

        slope/real, slope/fake            means
        slope/real_max, slope/fake_max    largest

    in the table and in TensorBoard. The generated samples are what the generator makes
    now of latents that stay the same, with the labels of the real ones. Both nets are
    in inference mode: their states do not move, and batch norm takes its averages.

    Args:
      records: where they go.
      real: samples (n, ...) in [-1, 1] or a dict of them, "image", and "label", as an
        element of the data of `fit`; a batch is enough.
      every: steps between two looks.
      seed: of the latents.

    Raises:
      ValueError: samples that are no floats. At the start of `fit`: samples without
        labels, or with others, where a net asks for them.
    """

    def __init__(self, records: Records, real: Any, every: int = 500, seed: int = 0):
        super().__init__(every)
        self.records, self.seed = records, seed
        self.real, self.labels = samples(tf.nest.map_structure(tf.constant, real))
        self._norms = tf.function(_norms)

    def on_train_begin(self, logs=None):
        for net in (self.model.generator, self.model.discriminator):
            check_labels(net, self.labels)

    def look(self, step, logs):
        gan, labels = self.model, self.labels
        latents = gan.sampler.latents(len(self.real), self.seed)
        given = gan.generator, gan.discriminator, self.real, latents, labels
        figures = {}
        for name, norms in self._norms(*given).items():
            figures[f"slope/{name}"] = float(tf.reduce_mean(norms))
            figures[f"slope/{name}_max"] = float(tf.reduce_max(norms))
        self.records.write(step, figures)


def _norms(generator, discriminator, real, latents, labels) -> dict[str, tf.Tensor]:
    """The norm at each sample, (n,), of real samples and of those of the latents."""
    fake = run(generator, latents, labels, training=False)

    def score(x):
        return run(discriminator, x, labels, training=False)

    return {
        name: tf.sqrt(row_squares(slopes(score, x)))
        for name, x in {"real": real, "fake": fake}.items()
    }


class Embedding(keras.callbacks.Callback):
    """Scores of real and generated samples for TensorBoard's projector, every epoch.

    The projector shows them as a cloud of small pictures, by PCA, t-SNE or UMAP: there
    one sees what the discriminator tells apart, and which samples it takes for one
    another. The files are those of the last epoch, see `gantf.projector`.

    A score of 1 or 2 numbers, in which there is little to see, is replaced by what the
    last layer with weights makes it from. What is wider than 32 numbers is turned to
    its first 32 principal coordinates, which keeps the files small.

    The generated samples are those of `Slopes`: of latents that stay the same, with
    the labels of the real ones; both nets are in inference mode.

    Args:
      folder: of the run.
      real: samples (n, ...) in [-1, 1] or a dict of them, "image", and "label", as an
        element of the data of `fit`.
      classes: names of the labels 0, 1, ..; without them their numbers are shown.
      count: how many real samples are shown, and how many generated ones.
      seed: of the latents.

    Raises:
      ValueError: as for `Slopes`.
    """

    def __init__(
        self,
        folder: Path,
        real: Any,
        classes: Sequence[str] = (),
        count: int = 256,
        seed: int = 0,
    ):
        super().__init__()
        self.folder, self.classes, self.seed = folder, classes, seed
        self.count = whole_number("count", count)
        first = tf.nest.map_structure(lambda x: tf.constant(x)[:count], real)
        self.real, self.labels = samples(first)

    def on_train_begin(self, logs=None):
        for net in (self.model.generator, self.model.discriminator):
            check_labels(net, self.labels)

    def on_epoch_end(self, epoch, logs=None):
        gan, labels = self.model, self.labels
        latents = gan.sampler.latents(len(self.real), self.seed)
        fake = run(gan.generator, latents, labels, training=False)
        both = [np.array(tf.cast(x, tf.float32)) for x in (self.real, fake)]
        net = _telling(gan.discriminator)
        points = np.concatenate([scores(net, x, labels) for x in both])
        if points.shape[1] > _COORDINATES:
            points, _ = pictures.principal(points, _COORDINATES)
        projector.write(
            Path(self.folder) / "logs",
            points,
            np.concatenate(both),
            np.repeat(["real", "generated"], len(self.real)),
            self._classes(),
        )

    def _classes(self) -> list[str] | None:
        """What the class of each sample is called, real ones first."""
        if self.labels is None or np.min(self.labels) < 0:
            return None
        names = dict(enumerate(self.classes))
        return 2 * [str(names.get(i, i)) for i in np.array(self.labels).tolist()]


def scores(net: keras.Model, x: Any, labels: Any = None) -> np.ndarray:
    """What a net makes of samples in inference mode: float32 (n, d), maps as rows.

    Args:
      net: samples, or [samples, labels] -> scores.
      x: samples, (n, ...).
      labels: int32 (n,), where the net asks for them.
    """
    parts = []
    for i in range(0, len(x), _CALL):
        own = None if labels is None else tf.constant(labels[i : i + _CALL])
        made = run(net, tf.constant(x[i : i + _CALL]), own, training=False)
        parts.append(np.array(tf.cast(made, tf.float32)).reshape(len(made), -1))
    return np.concatenate(parts)


def _telling(discriminator: keras.Model) -> keras.Model:
    """The net to its score, or to what it makes a score of 1 or 2 numbers from."""
    if discriminator.output_shape[-1] > 2:
        return discriminator
    for layer in reversed(discriminator.layers):
        made_from = tf.nest.flatten(layer.input)[:1] if layer.weights else []
        if made_from and math.prod(made_from[0].shape[1:]) > 2:
            return keras.Model(discriminator.inputs, made_from[0])
    return discriminator


class Saturation(_Monitor):
    """Says in a line that the loss's kernel has become too narrow or too wide.

    It looks at the means k_rr, k_ff and k_rf of the step, over pairs i != j: those of
    the estimator "biased" have the diagonal taken out, (m k_rr - k(0)) / (m - 1). If
    `gantf.mmd.saturation` calls all of them far, or all near, at `looks` looks in a
    row, the line is printed. It comes again only after a look that found otherwise.

    Losses without a kernel, or with one that is no function of the distance, are not
    looked at.

    Args:
      batch: samples in a step, m.
      every: steps between two looks.
      looks: how many in a row.
    """

    def __init__(self, batch: int, every: int = 50, looks: int = 3):
        super().__init__(every)
        self.batch = whole_number("batch", batch, 2)
        self.looks = whole_number("looks", looks)
        self._found, self._since, self._count = None, 0, 0

    def look(self, step, logs):
        at_0 = _at_0(self.model.criterion.kernel)
        if at_0 is None:
            return
        means = [float(logs[name]) for name in ("k_rr", "k_ff", "k_rf")]
        if self.model.criterion.estimator == "biased":
            m = self.batch
            means[:2] = [(m * k - at_0) / (m - 1) for k in means[:2]]
        found = mmd.saturation(*means, at_0)
        if found != self._found:
            self._found, self._since, self._count = found, step, 0
        self._count += 1
        if found and self._count == self.looks:
            # Below the line of the progress bar, which stays open.
            start = "\n" if self.params.get("verbose") in ("auto", 1) else ""
            words = self._words([k / at_0 for k in means])
            print(f"{start}step {step}: since step {self._since} {words}", flush=True)

    def _words(self, shares: list[float]) -> str:
        """What was found, from the means as shares of k(0), and what to do."""
        kernel, estimator = self.model.criterion.kernel, self.model.criterion.estimator
        what, cure = _FOUND[self._found]
        rr, ff, rf = (f"{share:.3g}" for share in shares)
        words = (
            f"kernel {kernel} is too {what} of k(0) (real {rr}, fake {ff}, real and "
            f"fake {rf}), and hardly a gradient is left"
        )
        if self._found == "far" and estimator == "biased":
            floor = mmd.floor(kernel, self.batch, self.batch)
            words += f"; the biased MMD^2 rests at its floor, {floor:.4g}"
        return f"{words}. Try {cure}"


# what was found -> what it means, and what to do
_FOUND = {
    "far": (
        f"narrow for the scores: its means are below {mmd.FAR:g}",
        "wider kernels, the bounded loss rmb, a lower learning rate of the "
        "discriminator, or a smaller gain of its sn",
    ),
    "near": (
        f"wide for the scores: its means are above {mmd.NEAR:g}",
        "narrower kernels, or a larger gain of the discriminator's sn",
    ),
}


def _at_0(kernel: Any) -> float | None:
    """k(0) of a kernel that is a function of the distance; else None."""
    try:
        return kernel and float(kernel.of_squares(0.0))
    except ValueError:
        return None
