"""Small trainings whose end is known: slow, for `make test-all`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import gantf
from gantf import mmd

pytestmark = pytest.mark.slow


def train(architecture, data, steps, **settings):
    keras.utils.set_random_seed(0)
    gan = gantf.GAN(*gantf.build_pair(architecture), ema=0.9, **settings)
    adam = [keras.optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.9) for _ in range(2)]
    gan.compile(*adam, steps_per_execution=10)
    gan.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)
    return gan


def moons(n, seed):
    """Two half circles in each other, noise .08, in [-1, 1]^2."""
    random = np.random.default_rng(seed)
    angle = np.pi * random.random(n)
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    points = np.where(random.random((n, 1)) < 0.5, upper, lower)
    points += 0.08 * random.normal(size=(n, 2))
    return ((points - [0.5, 0.25]) / 2).astype("float32")


MOONS = {
    "latent": "normal-4",
    "sample": "2",
    "generator": "2*dense-64-relu dense-2",
    "discriminator": "2*dense-64-lrelu0.2 dense-8",
}


@pytest.mark.parametrize("loss", ["mmd", "smmd"])
def test_two_moons(loss):
    """The protocol of julesroyer's MMD GAN: 64 hidden, 4 latent, 8 features, batches
    of 256, 5 critic steps, rate 1e-3."""
    data = tf.data.Dataset.from_tensor_slices(moons(20_000, 0)).shuffle(20_000)
    data = data.batch(256, drop_remainder=True).repeat()
    gan = train(MOONS, data, 1000, loss=loss, update="alternating", critic_steps=5)
    real, other, fake = moons(2000, 1), moons(2000, 2), gan.generate(2000, seed=0)
    # Energy distances of 2,000 points to two other samples: of one law, about .001.
    near = float(mmd.mmd2(real, other, "distance"))
    start = float(mmd.mmd2(real, np.zeros_like(real), "distance", "biased"))
    found = float(mmd.mmd2(real, fake, "distance"))
    assert abs(near) < 0.002 and start > 0.3
    assert found < 0.02


SMALL_IMAGES = {
    "latent": "normal-16",
    "sample": "8x8x1",
    "generator": "dense-2x2x64-bn-relu tconv4-32-s2-bn-relu tconv4-1-s2-tanh",
    "discriminator": "conv4-32-s2-sn2-lrelu conv4-64-s2-sn2-lrelu flatten dense-8-sn2",
}


def test_images_of_8_pixels():
    data = gantf.datasets.load("embedded", size=8, channels=1, batch=64)
    gan = train(SMALL_IMAGES, data.repeat(), 1000, loss="rmb")
    real, other = (
        np.concatenate([b["image"] for b in data.take(16).as_numpy_iterator()])
        for data in (
            gantf.datasets.load("embedded", size=8, channels=1, batch=64, seed=seed)
            for seed in (1, 2)
        )
    )
    rows = [x.reshape(len(x), -1) for x in (real, other, gan.generate(1024, seed=0))]
    grey = np.full_like(rows[0], rows[0].mean())
    start = float(mmd.mmd2(rows[0], grey, "distance", "biased"))
    near, found = (float(mmd.mmd2(rows[0], row, "distance")) for row in rows[1:])
    assert abs(near) < 0.02 < 2 < start
    assert found < 0.15
