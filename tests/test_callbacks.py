"""Tests of callbacks.py: curves and table, the guard, pictures, evaluations."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_gan import batches, images, make

from gantf import callbacks, checkpoints, evaluate, plots
from gantf.decay import ThreeSampleDecay


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
            "weights/generator",
            "weights/discriminator",
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
    assert str(caught.value) == (
        "step 3: discriminator_loss, generator_loss, k_rf, k_rr, "
        "discriminator_gradient, discriminator_weights and 2 more are NaN or infinite"
    )


def test_guard_names_the_weights_where_all_else_is_finite():
    gan = make(loss="hinge")  # whose scores are cut off
    weight = gan.discriminator.trainable_variables[-1]
    guard = callbacks.FiniteGuard()
    guard.set_model(gan)
    weight.assign(weight * np.inf)
    logs = {"discriminator_loss": 1.0, "discriminator_weights": np.inf}
    with pytest.raises(callbacks.NotFinite) as caught:
        guard.on_train_batch_end(0, logs)
    assert str(caught.value) == f"step 0: {weight.path} is NaN or infinite"


def test_guard_looks_at_all_numbers_at_the_end_of_an_epoch():
    gan = make()
    last = gan.discriminator_optimizer.variables[-1]
    last.assign(last * 0 + np.inf)
    average = next(v for v in gan.average.variables if v.name == "moving_mean")
    average.assign(average * np.nan)
    guard = callbacks.FiniteGuard()
    guard.set_model(gan)
    with pytest.raises(callbacks.NotFinite) as caught:
        guard.on_epoch_end(0)
    assert caught.value.terms == [average.path, last.path]


def test_penalties_and_weights_are_shown():
    gan = make(penalties=["gp"])
    logs = gan.fit(batches(), verbose=0).history
    before = float(tf.linalg.global_norm(gan.discriminator.trainable_variables))
    assert logs["discriminator_weights"][-1] == pytest.approx(before, rel=1e-6)
    assert logs["penalty/gp"][-1] > 0


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


# ---- evaluations, and the decay that follows them


class Scripted:
    """An evaluator whose figures are given beforehand, and no others."""

    def __init__(self, *values):
        self.values = list(values)
        self.real = evaluate.Seen({}, 20, features=np.eye(20, 4))

    def look(self, fake, say=lambda done: None):
        return evaluate.Seen(fake.about, fake.n, features=np.eye(20, 4) * 2)

    def compare(self, fake):
        return {
            "figures": {"kid_net": self.values.pop(0)},
            "notes": ["as told"],
            "protocol": {"features": "net", "generated": dict(fake.about)},
        }


def walk(gan, *beside, epochs=3):
    """Calls callbacks as epochs of two steps would that train nothing."""
    for callback in beside:
        callback.set_model(gan)
        callback.on_train_begin()
    for step in range(1, 2 * epochs + 1):
        gan.generator_optimizer.iterations.assign(step)
        for callback in beside:
            callback.on_train_batch_end(0, {})
        for callback in beside:
            if step % 2 == 0:
                callback.on_epoch_end(0, {})


def test_evaluations_go_to_table_curves_and_scores(tmp_path):
    records = callbacks.Records(tmp_path)
    walk(make(), callbacks.Evaluate(records, Scripted(3.0, 2.0, 1.0), n=5))
    assert records.column("kid_net") == [(2, 3.0), (4, 2.0), (6, 1.0)]
    assert read_events(tmp_path)["evaluation/kid_net"][-1] == (6, 1.0)
    found = json.loads((tmp_path / "scores.json").read_text())
    assert (found["step"], found["figures"]) == (6, {"kid_net": 1.0})
    assert found["notes"] == ["as told"]
    generated = found["protocol"]["generated"]
    assert (generated["n"], generated["seed"], generated["ema"]) == (5, 1, 0.999)


def test_evaluations_every_so_many_steps(tmp_path):
    records = callbacks.Records(tmp_path)
    evaluation = callbacks.Evaluate(records, Scripted(3.0, 2.0), n=5, every=3)
    walk(make(), evaluation)
    assert records.column("kid_net") == [(3, 3.0), (6, 2.0)]


def test_learning_rates_follow_the_three_sample_test(tmp_path, capsys):
    records, gan = callbacks.Records(tmp_path), make()
    decay = ThreeSampleDecay(memory=2, patience=1)
    evaluation = callbacks.Evaluate(records, Scripted(*range(4)), n=5, decay=decay)
    rates = [float(o.learning_rate) for o in evaluation_optimizers(gan)]
    # The samples never change: two evaluations are remembered, then one fails.
    walk(gan, evaluation, checkpoints.Checkpoint(tmp_path, decay=decay), epochs=4)
    halved = [float(o.learning_rate) for o in evaluation_optimizers(gan)]
    assert halved == pytest.approx([rate / 2 for rate in rates])
    column = records.column("learning_rate/generator")
    assert [step for step, _ in column] == [2, 4, 6, 8]
    assert [r for _, r in column] == pytest.approx([rates[0]] * 2 + [rates[0] / 2] * 2)
    assert len(records.column("learning_rate/p_value")) == 1
    assert "step 6: three-sample test against step 2: p 0.5" in capsys.readouterr().out
    # Its state lies beside the last two checkpoints, and goes on from there.
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == [
        f"step_0000000{step}.{ending}"
        for step in (6, 8)
        for ending in ("decay.npz", "json", "weights.h5")
    ]
    again = ThreeSampleDecay(memory=2, patience=1)
    assert checkpoints.restore(make(), tmp_path, again).step == 8
    assert again.state.failures == decay.state.failures
    assert [m.step for m in again.state.memories] == [
        m.step for m in decay.state.memories
    ]


def evaluation_optimizers(gan):
    return gan.generator_optimizer, gan.discriminator_optimizer


def test_error_a_schedule_cannot_be_lowered(tmp_path):
    gan = make()
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    gan.compile(keras.optimizers.Adam(schedule), keras.optimizers.Adam(1e-3))
    evaluation = callbacks.Evaluate(
        callbacks.Records(tmp_path), Scripted(1.0), n=5, decay=ThreeSampleDecay()
    )
    with pytest.raises(ValueError, match="has a schedule for its learning rate"):
        walk(gan, evaluation)
