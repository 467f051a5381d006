"""Tests of experiment.py: a whole run, resuming, refusals; on real small images."""

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_callbacks import read_csv, read_events
from test_settings import SMALL

from gantf import (
    callbacks,
    checkpoints,
    datasets,
    evaluate,
    experiment,
    features,
    pictures,
    samples,
)
from gantf.replicas import STRATEGIES, get_strategy
from gantf.sampler import Sampler

SETTINGS = {
    "architecture": SMALL,
    "data": "embedded",
    "batch_size": 16,
    "steps": 6,
    "evaluate_every": 3,
    "evaluate_samples": 100,
    "log_every": 1,
}


def run(folder, **settings):
    return experiment.run({**SETTINGS, "workdir": str(folder), **settings})


def last_weights(folder):
    """All arrays of the newest checkpoint, by their path in the file."""
    found = {}
    with h5py.File(checkpoints.of_run(folder)[-1]) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def assert_same(one, other):
    assert one.keys() == other.keys() and len(one) > 20
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return run(folder)


def test_a_run_leaves_everything(whole):
    folder = whole.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.json",
        "best.keras",
        "checkpoints",
        "curves.png",
        "generator.keras",
        "logs",
        "metrics.csv",
        "samples",
        "scores.json",
        "settings.json",
    ]
    assert whole.step == 6
    assert sorted(p.name for p in (folder / "samples").iterdir()) == [
        "step_000003.png",
        "step_000006.png",
    ]
    rows = read_csv(folder)
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(rows[-1].values())  # evaluation and monitors beside the losses
    tags = read_events(folder)
    assert {
        "slope/fake",
        "spectrum/discriminator/01_conv/condition",
        "loss/generator",
        "kernel/real_fake",
        "samples",
        "evaluation/kid_pixels",
    } <= set(tags)


def test_settings_are_written_whole(whole):
    about = json.loads((whole.folder / "settings.json").read_text())
    stored = about["settings"]
    assert stored["architecture"]["generator"] == SMALL["generator"]
    assert stored["loss_parameters"] == {
        "rep_weights": [0.0, -1.0],
        "kernel": "rbf:1",
        "estimator": "ustat",
    }
    assert about["versions"]["keras"] == keras.__version__
    assert set(about) == {"settings", "prepared", "versions", "commit"}


def test_scores_carry_their_protocol(whole):
    found = json.loads((whole.folder / "scores.json").read_text())
    assert found["step"] == 6
    assert found["figures"] == whole.scores
    assert set(found["figures"]) == {"kid_pixels", "fd_pixels"}
    real, generated = (found["protocol"][side] for side in ("real", "generated"))
    assert real["n"] == generated["n"] == 100
    assert (real["data"], real["split"], real["of"]) == ("embedded", "train", 5000)
    assert generated["ema"] == 0.999


def test_the_last_figures_are_those_of_the_saved_generator(whole):
    source = datasets.find("embedded", size=8, channels=1)
    real = samples.of_source(source, 100)
    evaluator = evaluate.Evaluator(real, features.get("pixels"))
    fake = evaluator.look(samples.open_samples(whole.folder, 100))
    assert evaluator.figures(fake) == pytest.approx(whole.scores, rel=1e-4)


def test_the_best_generator_is_that_of_the_lower_kid(whole):
    best = json.loads((whole.folder / "best.json").read_text())
    kids = {int(r["step"]): r["kid_pixels"] for r in read_csv(whole.folder)}
    values = {step: float(kid) for step, kid in kids.items() if kid}
    assert list(values) == [3, 6] and best["figure"] == "kid_pixels"
    assert best["step"] == min(values, key=values.get)
    generator = Sampler.of_run(whole.folder / "best.keras").generate(2, seed=0)
    last = Sampler.of_run(whole.folder).generate(2, seed=0)
    assert (generator == last).all() == (best["step"] == 6)


def test_losses_and_figures_are_drawn_at_the_end(whole):
    rows = read_csv(whole.folder)
    names = "generator_loss", "discriminator_loss", "kid_pixels", "fd_pixels"
    points = {n: [(int(r["step"]), float(r[n])) for r in rows if r[n]] for n in names}
    assert [len(pairs) for pairs in points.values()] == [6, 6, 2, 2]
    losses = {name: points.pop(name) for name in names[:2]}
    picture = np.asarray(Image.open(whole.folder / "curves.png"))
    np.testing.assert_array_equal(picture, pictures.history(losses, points))


def test_rmsprop_is_that_of_the_codes_of_wgan_for_small_gradients():
    optimizer = experiment._OPTIMIZERS["rmsprop"](0.5, None)
    weight = keras.Variable([0.0])
    optimizer.apply([keras.ops.array([1e-6])], [weight])
    # PyTorch: .5 g / (sqrt(.01 g^2) + 1e-8) = 4.5; 5 without an epsilon. With Keras'
    # own place for it, g / sqrt(.01 g^2 + 1e-8) would make .005.
    assert -5 < float(weight[0]) < -4.5


def test_an_interrupted_run_ends_with_the_weights_of_a_whole_one(whole, tmp_path):
    folder = tmp_path / "broken"
    killed = []

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            killed.append(1)
            if len(killed) == 5:
                raise KeyboardInterrupt

    original = callbacks.FiniteGuard
    callbacks.FiniteGuard = Kill
    try:
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    finally:
        callbacks.FiniteGuard = original
    assert [p.name for p in checkpoints.of_run(folder)] == ["step_00000003.weights.h5"]
    assert run(folder).scores == pytest.approx(whole.scores)
    assert_same(last_weights(folder), last_weights(whole.folder))
    rows = [
        {k: v for k, v in row.items() if "second" not in k} for row in read_csv(folder)
    ]
    expected = [
        {k: v for k, v in row.items() if "second" not in k}
        for row in read_csv(whole.folder)
    ]
    assert rows == expected


def test_a_run_whose_rates_fall_resumes_with_its_memory(tmp_path):
    settings = {
        "evaluate_every": 1,
        "steps": 5,
        "metrics": "kid",
        "best": "kid",
        "lr_decay": ["three_sample", {"memory": 2, "patience": 1, "p": 1e-9}],
    }
    whole = run(tmp_path / "whole", **settings)
    run(tmp_path / "parts", **settings | {"steps": 3})
    parts = run(tmp_path / "parts", **settings)
    assert_same(last_weights(whole.folder), last_weights(parts.folder))
    rates = [
        {name: row[name] for name in row if name.startswith("learning_rate")}
        for folder in (whole.folder, parts.folder)
        for row in read_csv(folder)
    ]
    assert rates[:5] == rates[5:]
    # Two are remembered, the third fails; one is left, so the fifth fails again.
    column = [float(rate["learning_rate/generator"]) for rate in rates[:5]]
    assert column == pytest.approx([2e-4, 2e-4, 1e-4, 1e-4, 5e-5])
    assert set(whole.scores) == {"kid_pixels"}


def test_more_steps_go_on_from_the_end(whole, tmp_path):
    folder = tmp_path / "longer"
    run(folder, steps=4)  # an evaluation at 3 and one at the end
    assert run(folder, steps=6).step == 6
    assert_same(last_weights(folder), last_weights(whole.folder))


def test_a_finished_run_started_again_stays_as_it_is(whole):
    before = last_weights(whole.folder)
    again = run(whole.folder)
    assert again.step == 6 and again.scores == whole.scores
    assert_same(before, last_weights(whole.folder))


def test_another_seed_gives_another_run(whole, tmp_path):
    other = run(tmp_path / "other", seed=1)
    assert other.scores != whole.scores


def test_points_and_every_kind_of_loss(tmp_path):
    points = {
        "latent": "uniform-4",
        "sample": "2",
        "generator": "dense-16-relu dense-2",
        "discriminator": "dense-16-sn-lrelu dense-4-sn",
    }
    for loss in ("rmb", "mmd_t", "wasserstein"):
        result = run(
            tmp_path / loss, architecture=points, data="ring", loss=loss, steps=2
        )
        assert set(result.scores) == {"kid_points", "fd_points"}
        assert (tmp_path / loss / "samples" / "step_000002.png").exists()


def test_bfloat16_runs_and_leaves_the_policy_alone(tmp_path):
    assert run(tmp_path / "half", precision="mixed_bfloat16", steps=2).step == 2
    assert keras.config.dtype_policy().name == "float32"


def test_mirrored_run_equals_one_device(in_process, tmp_path):
    found = [
        in_process(_MIRRORED, strategy, str(tmp_path / strategy))
        for strategy in ("one", "mirrored")
    ]
    assert found[0]["replicas"] == 1 and found[1]["replicas"] == 2
    for name, value in found[0]["figures"].items():
        assert found[1]["figures"][name] == pytest.approx(value, rel=2e-3, abs=2e-3)


_MIRRORED = """
import json, sys
import tensorflow as tf
if sys.argv[1] == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from gantf import experiment
from gantf.replicas import get_strategy
from test_experiment import SETTINGS
replicas = get_strategy(sys.argv[1]).num_replicas_in_sync
result = experiment.run(
    {**SETTINGS, "strategy": sys.argv[1], "workdir": sys.argv[2], "steps": 3})
from test_callbacks import read_csv
from pathlib import Path
row = [r for r in read_csv(Path(sys.argv[2])) if r["generator_loss"]][-1]
figures = {k: float(v) for k, v in row.items() if v and "second" not in k}
print(json.dumps({"replicas": replicas, "figures": figures | result.scores}))
"""


def test_two_mirrored_runs_of_a_process_differ_in_batch(in_process, tmp_path):
    assert in_process(_MIRRORED_TWICE, str(tmp_path)) == [[8, 2], [16, 2]]


_MIRRORED_TWICE = """
import json, sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from test_experiment import run
done = []
for batch in (8, 16):
    folder = Path(sys.argv[1], str(batch))
    own = {"strategy": "mirrored", "evaluate_every": 2, "steps": 2}
    done.append([batch, run(folder, batch_size=batch, **own).step])
print(json.dumps(done))
"""


@pytest.mark.parametrize("gpus, replicas", [(0, 1), (1, 1), (3, 3)])
def test_auto_takes_all_gpus_or_the_one_device(monkeypatch, gpus, replicas):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"] * gpus)
    mirrored = type("Mirrored", (), {"num_replicas_in_sync": gpus})
    monkeypatch.setitem(STRATEGIES, "mirrored", mirrored)
    assert get_strategy("auto").num_replicas_in_sync == replicas


def refused(folder, error=experiment.RunError, **settings):
    with pytest.raises(error) as caught:
        run(folder, **settings)
    return str(caught.value)


def test_error_batch_larger_than_the_set_writes_nothing(tmp_path):
    assert refused(tmp_path / "new", ValueError, batch_size=6000) == (
        "a batch of 6000 is larger than the set: embedded has 5000 images; give "
        "--batch_size=5000 or less"
    )
    assert not (tmp_path / "new").exists()


def test_error_settings_that_no_gan_has_leave_no_folder(tmp_path):
    for wrong in ({"critic_steps": 3}, {"ema": 1.5}, {"evaluate_samples": 1}):
        refused(tmp_path / "new", ValueError, **wrong)
    assert not (tmp_path / "new").exists()


def test_a_damaged_folder_is_mended_or_told(tmp_path):
    folder = tmp_path / "run"
    first = run(folder, steps=3)
    table = folder / "metrics.csv"
    table.write_text(table.read_text() + "5,0.1")  # torn
    assert run(folder, steps=3).scores == first.scores
    table.unlink()
    assert run(folder, steps=3).scores == pytest.approx(first.scores)
    about = json.loads((folder / "settings.json").read_text())
    assert len(about["resumed"]) == 2 and set(about["resumed"][0]) == {
        "versions",
        "commit",
    }
    (folder / "settings.json").write_text("{}")
    assert refused(folder) == (
        f"{folder / 'settings.json'} is torn; delete {folder}, or give another "
        "--workdir"
    )


def test_error_data_of_another_shape(tmp_path):
    assert refused(tmp_path / "new", ValueError, data="ring") == (
        "ring: points in the plane have neither size nor channels; they go with an "
        "architecture whose sample is 2"
    )
    points = {
        **SMALL,
        "sample": "2",
        "generator": "dense-2",
        "discriminator": "dense-4",
    }
    assert refused(tmp_path / "new", ValueError, architecture=points) == (
        "embedded has samples of 28x28x1, and the architecture makes 2; choose another "
        "of the two"
    )


def test_error_image_torn_in_the_middle(tmp_path):
    # Its end is whole, so that only decoding finds the fault.
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.RandomState(0)
    for i in range(40):
        noise = rng.randint(0, 256, (40, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"{i:02d}.png")
    data = bytearray((folder / "07.png").read_bytes())
    data[1000:1100] = bytes(100)
    (folder / "07.png").write_bytes(data)
    message = refused(tmp_path / "run", ValueError, data=str(folder))
    assert "07.png" in message and "\n" not in message
    assert not (tmp_path / "run").exists()


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes of images of many sizes, one of them torn."""
    rng = np.random.RandomState(0)
    for i in range(40):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = rng.randint(0, 256, (20 + i % 7, 20 + i % 5, 3)).astype(np.uint8)
        Image.fromarray(image).save(path)
    path.write_bytes(path.read_bytes()[:300])
    return tmp_path / "photos"


def test_photographs_are_cut_mirrored_skipped_and_resumed(photos, tmp_path):
    settings = {
        "data": str(photos),
        "prepare": "short-10 random-8",
        "flip": True,
        "same_class": True,
        "on_error": "skip",
        "loss": "hinge",
        "update": "alternating",
        "critic_steps": 2,
    }
    whole = run(tmp_path / "whole", **settings)
    run(tmp_path / "parts", **settings, steps=4)
    parts = run(tmp_path / "parts", **settings)
    assert_same(last_weights(whole.folder), last_weights(parts.folder))
    torn = f"{photos}/b/39.jpg: a torn image file; copy or download it again, or delete"
    assert (whole.folder / "skipped.txt").read_text() == f"{torn} it\n"
    about = json.loads((whole.folder / "settings.json").read_text())
    assert about["prepared"] == "short-10-lanczos random-8"
    protocol = json.loads((whole.folder / "scores.json").read_text())["protocol"]
    assert protocol["real"]["prepared"] == "short-10-lanczos random-8"
    assert protocol["real"]["skipped"] == 1 and protocol["real"]["of"] == 39
    other = run(tmp_path / "other", **{**settings, "flip": False})
    one, two = last_weights(whole.folder), last_weights(other.folder)
    assert any((one[name] != two[name]).any() for name in one)


def test_error_batches_of_one_class_that_cannot_be(photos, tmp_path):
    settings = {"data": str(photos), "on_error": "skip", "same_class": True}
    message = refused(tmp_path / "run", ValueError, **settings, batch_size=20)
    assert message == (
        f"{photos}: a batch of one class has 20 images, and class b 19 of them; give a"
        " smaller batch"
    )
    assert not (tmp_path / "run").exists()


def test_error_full_disk(tmp_path, monkeypatch):
    folder = tmp_path / "full"

    def save(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", save)
    assert refused(folder) == (
        f"no space left for {folder}; free some and start again: the run goes on from "
        "its last checkpoint"
    )


def test_describe_shows_settings_tables_and_cost():
    from gantf import settings

    shown = experiment.describe(settings.resolve(SETTINGS))
    assert "generator_lr      0.0002" in shown
    assert "tconv4-1-s2-tanh" in shown and "multiply-adds" in shown
    # 2,560 each, G: 4*128 + 4*4*8*16*1, D: 4*4*16*8 + 128*4. Three and seven passes,
    # less those back through the first kernels.
    macs = 16 * (10 * 2560 - 4 * 128 - 2 * 4 * 4 * 16 * 8)
    assert shown.splitlines()[-1] == f"a step: about {macs / 1e9:.1f} G multiply-adds"


def test_a_seed_decides_the_first_weights():
    from gantf import settings

    def first(seed):
        tf.keras.backend.clear_session()
        resolved = settings.resolve({**SETTINGS, "seed": seed})
        return experiment.make_gan(resolved).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(first(0), first(0)))
    assert not all(np.array_equal(a, b) for a, b in zip(first(0), first(1)))


# ---- labels from the data to the samples

CONDITIONAL = {
    "latent": "normal-8",
    "sample": "28x28x1",
    "classes": 10,
    "generator": "dense-7x7x8 2*res3-8-up2-cbn-relu relu conv3-1-tanh",
    "discriminator": "2*conv4-8-s2-sn-lrelu gsum dense-4-sn-proj",
}


def test_a_conditional_run_resumes_scores_and_draws_each_class(tmp_path):
    whole = run(tmp_path / "whole", architecture=CONDITIONAL)
    assert whole.step == 6
    run(tmp_path / "parts", architecture=CONDITIONAL, steps=3)
    parts = run(tmp_path / "parts", architecture=CONDITIONAL)
    assert_same(last_weights(whole.folder), last_weights(parts.folder))
    protocol = json.loads((whole.folder / "scores.json").read_text())["protocol"]
    assert protocol["generated"]["labels"] == "all classes in turn"
    sampler = Sampler.of_run(whole.folder)
    assert sampler.takes_labels and sampler.classes == 10
    latents = sampler.latents(4, seed=0)
    labels = tf.constant([7, 7, 7, 7])
    np.testing.assert_allclose(
        sampler.generate(4, labels=7, seed=0),
        np.clip(sampler.net([latents, labels]), -1, 1),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "labels, message",
    [
        (
            None,
            "{} has no labels, and the architecture asks for them (by cbn); give a set "
            "with labels, as a folder for each class, or an architecture without",
        ),
        (
            np.arange(40) % 11,
            "{} has labels from 0 to 10, and the architecture 10 classes; give its "
            "'classes' as 11",
        ),
    ],
)
def test_error_data_without_the_labels_asked_for(labels, message, tmp_path):
    given = {} if labels is None else {"labels": labels}
    path = tmp_path / "set.npz"
    np.savez(path, images=np.zeros((40, 28, 28, 1), np.uint8), **given)
    with pytest.raises(ValueError) as caught:
        run(tmp_path / "run", data=str(path), architecture=CONDITIONAL)
    assert str(caught.value) == message.format(path)
    assert not (tmp_path / "run").exists()
