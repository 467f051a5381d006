"""Tests of callbacks.py: curves and table, the guard, pictures, checkpoints."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from test_gan import batches, images, make

from gantf import callbacks, plots


def read_csv(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def read_events(folder):
    """TensorBoard's events: {tag: [(step, number, numbers or shape of a picture)]}."""
    found = {}
    for path in sorted((folder / "logs").glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                tensor = tf.make_ndarray(value.tensor)
                shown = tensor[2] if tensor.dtype == object else tensor.tolist()
                if isinstance(shown, bytes):
                    shown = tf.io.decode_png(shown).shape
                found.setdefault(value.tag, []).append((event.step, shown))
    return found


def test_records_are_a_table_and_curves(tmp_path):
    records = callbacks.Records(tmp_path)
    records.write(5, {"generator_loss": 0.5, "k_rr": 0.25})
    records.write(10, {"generator_loss": 1.5, "kid_pixels": -0.125})
    assert read_csv(tmp_path) == [
        {"step": "5", "generator_loss": "0.5", "k_rr": "0.25", "kid_pixels": ""},
        {"step": "10", "generator_loss": "1.5", "k_rr": "", "kid_pixels": "-0.125"},
    ]
    assert read_events(tmp_path) == {
        "loss/generator": [(5, 0.5), (10, 1.5)],
        "kernel/real_real": [(5, 0.25)],
        "evaluation/kid_pixels": [(10, -0.125)],
    }
    assert records.column("generator_loss") == [(5, 0.5), (10, 1.5)]
    assert records.column("kid_pixels") == [(10, -0.125)]


def test_a_resumed_table_drops_what_comes_again(tmp_path):
    first = callbacks.Records(tmp_path)
    for step in (5, 10, 15):
        first.write(step, {"a": float(step)})
    again = callbacks.Records(tmp_path, step=10)
    again.write(15, {"a": 1.0})
    again.write(20, {"a": 2.0})
    assert [(row["step"], row["a"]) for row in read_csv(tmp_path)] == [
        ("5", "5"),
        ("10", "10"),
        ("15", "1"),
        ("20", "2"),
    ]


def test_monitor_records_losses_kernels_gradients_sigmas_and_speed(tmp_path):
    gan = make()
    monitor = callbacks.Monitor(callbacks.Records(tmp_path), images=16, every=2)
    gan.fit(batches(96, 16), epochs=1, callbacks=[monitor], verbose=0)
    found = read_events(tmp_path)
    assert {tag: [step for step, _ in points] for tag, points in found.items()} == {
        tag: [2, 4, 6]
        for tag in [
            "loss/generator",
            "loss/discriminator",
            "gradient/generator",
            "gradient/discriminator",
            "kernel/real_real",
            "kernel/fake_fake",
            "kernel/real_fake",
            "speed/images_per_second",
            "sigma/discriminator/01_conv",
            "sigma/discriminator/02_conv",
            "sigma/discriminator/04_dense",
        ]
    }
    last = gan.sigmas()["discriminator/01_conv"]
    assert found["sigma/discriminator/01_conv"][-1][1] == pytest.approx(float(last))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_guard_names_step_and_terms(bad):
    gan = make()
    data = np.where(np.arange(64)[:, None, None, None] < 32, images(64), bad)
    stream = tf.data.Dataset.from_tensor_slices(data.astype("float32")).batch(16)
    with pytest.raises(callbacks.NotFinite) as caught:
        gan.fit(stream, callbacks=[callbacks.FiniteGuard()], verbose=0)
    assert caught.value.step == 3
    assert "discriminator_loss" in caught.value.terms
    assert str(caught.value).startswith("step 3: ")
    assert str(caught.value).endswith(" are NaN or infinite")


def test_sample_grids_show_the_same_latents_every_epoch(tmp_path):
    gan = make(generator_rate=0.0)
    records = callbacks.Records(tmp_path)
    gan.average.set_weights(gan.generator.get_weights())

    def draw(samples):
        return plots.grid(plots.to_uint8(samples))

    grids = callbacks.SampleGrid(records, tmp_path, draw, count=9)
    gan.fit(batches(), epochs=2, callbacks=[grids], verbose=0)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["step_000004.png", "step_000008.png"]
    # 3 x 3 images of 8 pixels with gaps of 2.
    assert [shape for _, shape in read_events(tmp_path)["samples"]] == [(32, 32, 1)] * 2


def test_checkpoints_keep_the_last_two_and_restore_all(tmp_path):
    gan = make()
    gan.fit(batches(), epochs=3, callbacks=[callbacks.Checkpoint(tmp_path)], verbose=0)
    found = callbacks.checkpoints(tmp_path)
    assert [path.name for path in found] == [
        "step_00000008.weights.h5",
        "step_00000012.weights.h5",
    ]
    again = make()
    again.load_weights(found[-1])
    assert again.step == 12
    for a, b in zip(gan.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(a, b)
