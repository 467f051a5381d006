"""What tools/benchmark.py times: pairs of nets, parts of their step, a run's step."""

import dataclasses
import functools
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

import architectures
import gantf
from gantf import (
    architecture,
    callbacks,
    cost,
    datasets,
    experiment,
    monitors,
    replicas,
    schedule,
    settings,
    spec,
    streams,
)
from gantf.batch import Draws
from gantf.inputs import all_layers, run
from gantf.layers import SpectralNormalization, shared_kernels, spectral_updates

LOG_EVERY = 50  # steps; of a run by default


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed: settings of a run, and on how many replicas."""

    architecture: str
    loss: str = "rep"
    update: str | None = None
    precision: str = "float32"
    batch: int = 64
    width: float = 1.0
    score: int | None = None
    replicas: int = 1

    def settings(self) -> settings.Settings:
        nets = widened(architectures.get(self.architecture), self.width)
        return settings.resolve(
            {
                "architecture": nets,
                "loss": self.loss,
                "update": self.update,
                "precision": self.precision,
                "batch_size": self.batch,
                "score": self.score,
            }
        )


def widened(nets: dict[str, Any], factor: float) -> dict[str, Any]:
    """An architecture with so many times the channels, but for its outputs'."""
    if factor == 1:
        return nets
    wider = dict(nets)
    for name in ("generator", "discriminator"):
        *layers, last = spec.parse(nets[name])
        layers = [_wider(layer, factor) for layer in layers]
        wider[name] = spec.unparse([*layers, last])
    return wider


def _wider(layer: spec.Layer, factor: float) -> spec.Layer:
    out = layer.out
    if isinstance(out, tuple):
        out = (*out[:-1], round(out[-1] * factor))
    elif out is not None:
        out = round(out * factor)
    return dataclasses.replace(layer, out=out)


class Pair:
    """A compiled pair of nets, and its step as `fit` runs it."""

    def __init__(self, case: Case):
        self.case, self.settings = case, case.settings()
        start = time.perf_counter()
        with gantf.builder.precision(self.settings.precision):
            strategy = strategy_of(case.replicas)
            with strategy.scope():
                self.gan = experiment.make_gan(self.settings)
        shape = architecture.read_sample(self.settings.architecture["sample"])
        real = {"image": tf.random.uniform((case.batch, *shape), -1, 1)}
        classes = self.settings.architecture["classes"]
        if classes:
            real["label"] = tf.range(case.batch) % classes
        self.real = real
        data = tf.data.Dataset.from_tensors(real).repeat()
        data = data if case.replicas == 1 else replicas.deal(strategy, data)
        self._train, self._data = self.gan.make_train_function(), iter(data)
        built = time.perf_counter() - start
        self.step()
        self.compile_s = time.perf_counter() - start - built

    def step(self) -> None:
        """One step, until its numbers are there."""
        for value in self._train(self._data).values():
            value.numpy()

    @property
    def critic_steps(self) -> int:
        """Updates of the discriminator in a step."""
        return schedule.read(self.settings.critic_steps).usual

    def macs(self) -> int:
        """The multiply-adds of a step."""
        of = self.settings
        nets = architecture.read(of.architecture)
        penalties = [name for name, _ in of.penalties]
        scaling = of.scaling if of.scaling == "none" else of.scaling[0]
        one = cost.step(nets, of.update, self.critic_steps, penalties, scaling)
        return one * self.case.batch


@functools.cache
def strategy_of(count: int) -> tf.distribute.Strategy:
    """One device, or several of this machine.

    One for all cases: collectives of a second one would take the keys of the first.
    """
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if count == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(names[:count])


def peak(case: Case) -> int:
    """The bytes that a new process or its GPU needs for a pair and its steps."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
        return alone.submit(_peak, case).result()


def _peak(case):
    gpu = tf.config.list_physical_devices("GPU")
    before = 0 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    divide(case.replicas)
    Pair(case).step()
    if gpu:
        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


def divide(count: int) -> None:
    """Makes so many devices of the CPU, where there is no GPU."""
    if count > 1 and not tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )


# ---- parts of a step


def parts(pair: Pair) -> dict[str, Callable[[], Any]]:
    """Functions that do a part of the step each."""
    gan, batch = pair.gan, pair.case.batch
    if pair.case.replicas > 1:
        raise SystemExit("--parts is for one replica")
    real, labels = pair.real["image"], pair.real.get("label")
    latents = tf.random.normal((batch, gan.latent.size))
    nets = gan.generator, gan.discriminator
    optimizers_ = gan.generator_optimizer, gan.discriminator_optimizer
    weights = [[v.value for v in net.trainable_variables] for net in nets]
    zeros = [[tf.zeros_like(weight) for weight in of] for of in weights]
    fake = run(gan.generator, latents, labels)
    scores = [tf.random.normal((batch, gan.discriminator.output_shape[1])) * 0.1] * 2
    normalised = [layer for net in nets for layer in all_layers(net)]
    normalised = [x for x in normalised if isinstance(x, SpectralNormalization)]

    def made():
        return run(gan.generator, latents, labels, True)

    def scored(fake=fake):
        with shared_kernels(), spectral_updates(False):
            return [run(gan.discriminator, x, labels, True) for x in (real, fake)]

    def both_ways():
        with tf.GradientTape(persistent=True) as tape:
            real_sum, fake_sum = map(tf.reduce_sum, scored(made()))
            targets = fake_sum, real_sum - fake_sum
        return [tape.gradient(*both) for both in zip(targets, weights)]

    def spectral_norm():
        found = []
        for layer in normalised:
            layer.iterate()
            with tf.GradientTape() as tape:
                sigma = tf.reduce_sum(layer.sigma())
            found.append(tape.gradient(sigma, layer.kernel.value))
        return found

    def loss():
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(scores)
            both = gan.criterion.step(*scores, gan.memory.read("loss"), Draws())[:2]
        return [tape.gradient(one, scores) for one in both]

    def optimizers():
        for optimizer, gradients, net in zip(optimizers_, zeros, nets):
            optimizer.apply(gradients, net.trainable_variables)
        return [optimizer.iterations.value for optimizer in optimizers_]

    named = {
        "generator forward": made,
        "discriminator forward": scored,
        "both ways": both_ways,
        "spectral norm": spectral_norm,
        "loss": loss,
        "optimizers": optimizers,
    }
    found = {name: until_done(tf.function(part)) for name, part in named.items()}
    source = datasets.find("embedded", size=real.shape[1], channels=real.shape[3])
    feed = iter(streams.stream(source, batch))
    return {**found, "input": until_done(lambda: next(feed))}


def until_done(function: Callable[[], Any]) -> Callable[[], None]:
    """The function, until its numbers are there."""

    def call():
        for value in tf.nest.flatten(function()):
            tf.convert_to_tensor(value).numpy()

    return call


def timed(function: Callable[[], None], repeats: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


class Clock(keras.callbacks.Callback):
    """The seconds of the last epoch, all callbacks before this one included."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def fit_ratio(pair: Pair, folder: Path, count: int) -> float:
    """The time of a step in a run over that of a bare step.

    A run's step has the stream of the embedded images and what a run does at each step
    and each LOG_EVERY: it looks for NaN, writes to TensorBoard and metrics.csv.
    """
    shape, batch = pair.real["image"].shape, pair.case.batch
    source = datasets.find("embedded", size=shape[1], channels=shape[3])
    clock = Clock()
    beside = [
        clock,
        callbacks.FiniteGuard(),
        callbacks.Monitor(callbacks.Records(folder), batch, LOG_EVERY),
        monitors.Saturation(batch, LOG_EVERY),
    ]

    def epochs():
        feed = streams.stream(source, batch)
        own = {"steps_per_epoch": LOG_EVERY, "callbacks": beside, "verbose": 0}
        pair.gan.fit(feed, epochs=2, **own)  # the first one traces
        return clock.seconds

    def bare():
        return timed(pair.step, LOG_EVERY) * LOG_EVERY

    return statistics.median(epochs() / bare() for _ in range(count))
