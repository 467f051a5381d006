"""Tests of checkpoints.py: what is kept of a run, and which step is the best."""

import json

import keras
import numpy as np
import pytest
from keras.callbacks import LambdaCallback
from test_callbacks import Scripted, walk
from test_gan import batches, make

from gantf import callbacks, checkpoints


def test_checkpoints_keep_the_last_two_and_restore_all(tmp_path):
    gan = make()
    gan.fit(
        batches(), epochs=3, callbacks=[checkpoints.Checkpoint(tmp_path)], verbose=0
    )
    found = checkpoints.of_run(tmp_path)
    assert [path.name for path in found] == [
        "step_00000008.weights.h5",
        "step_00000012.weights.h5",
    ]
    again = make()
    again.load_weights(found[-1])
    assert again.step == 12
    for a, b in zip(gan.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_the_best_step_is_kept(tmp_path):
    records = callbacks.Records(tmp_path)
    values = [3.0, 1.0, float("nan"), 2.0]
    kept, gan = {}, make()
    weight = gan.generator.trainable_variables[0]

    def look(epoch, logs):
        kept[gan.step] = json.loads((tmp_path / "best.json").read_text())["step"]
        weight.assign_add(weight * 0 + 1.0)  # as training would

    first = weight.numpy()
    evaluation = callbacks.Evaluate(records, Scripted(*values), n=5)
    best = checkpoints.Best(records, "kid_net")
    walk(gan, evaluation, best, LambdaCallback(on_epoch_end=look), epochs=4)
    assert kept == {2: 2, 4: 4, 6: 4, 8: 4}
    found = json.loads((tmp_path / "best.json").read_text())
    assert found == {"step": 4, "figure": "kid_net", "value": 1.0}
    assert checkpoints.of_run(tmp_path) == []  # the best is not among the last
    again = make()
    again.load_weights(tmp_path / "checkpoints" / "best.weights.h5")
    found = again.generator.trainable_variables[0].numpy()
    np.testing.assert_allclose(found, first + 1, rtol=1e-6)  # of step 4
    best = keras.models.load_model(tmp_path / "best.keras")
    for a, b in zip(best.get_weights(), again.sampler.net.get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("figure, kept", [("kid_net", 4), ("is_net", 6)])
def test_the_best_figure_is_the_lowest_or_the_highest(figure, kept, tmp_path):
    records = callbacks.Records(tmp_path)
    best = checkpoints.Best(records, figure)
    values = {2: 5.0, 4: 1.0, 6: 9.0}
    write = LambdaCallback(
        on_epoch_end=lambda epoch, logs: records.write(
            gan.step, {figure: values[gan.step]}
        )
    )
    walk(gan := make(), write, best)
    assert json.loads((tmp_path / "best.json").read_text())["step"] == kept


def test_a_lost_table_does_not_make_a_worse_step_the_best(tmp_path):
    gan = make()
    for step, value in ((2, 1.0), (4, 2.0)):
        (tmp_path / "metrics.csv").unlink(missing_ok=True)
        records = callbacks.Records(tmp_path)
        best = checkpoints.Best(records, "kid_net")
        best.set_model(gan)
        gan.generator_optimizer.iterations.assign(step)
        records.write(step, {"kid_net": value})
        best.on_epoch_end(0)
    assert json.loads((tmp_path / "best.json").read_text())["step"] == 2
