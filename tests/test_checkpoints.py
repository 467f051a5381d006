"""Tests of checkpoints.py: what is kept of a run, and which step is the best."""

import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.callbacks import LambdaCallback
from test_callbacks import Scripted, walk
from test_gan import batches, make, make_conditional

from gantf import callbacks, checkpoints
from gantf.batch import Memory
from gantf.decay import ThreeSampleDecay


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


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with checkpoints of steps 2 and 4, and a decay's state beside each."""
    folder, gan = tmp_path_factory.mktemp("run"), make()
    decay = ThreeSampleDecay()
    checkpoint = checkpoints.Checkpoint(folder, decay=decay)
    checkpoint.set_model(gan)
    for step in (2, 4):
        gan.generator_optimizer.iterations.assign(step)
        decay.follow(step, np.eye(8), np.eye(8) * step)
        checkpoint.rollbacks = step - 2
        checkpoint.save(evaluated=step == 4)
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def turn(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "not as it was written": [
        ("weights.h5", cut),
        ("weights.h5", turn),
        ("decay.npz", turn),
    ],
    "cannot be read (No such file or directory)": [
        ("decay.npz", Path.unlink),
    ],
    "torn": [
        ("json", lambda path: path.write_text('{"sha256": ')),
        ("json", lambda path: path.write_text("[]")),
        ("json", lambda path: path.write_text("[" * 100_000)),
    ],
}


@pytest.mark.parametrize(
    "said, ending, damage",
    [(said, *damage) for said, some in DAMAGES.items() for damage in some],
)
def test_a_torn_checkpoint_leads_to_the_one_before(said, ending, damage, two, tmp_path):
    folder = shutil.copytree(two, tmp_path / "run")
    path = folder / "checkpoints" / f"step_00000004.{ending}"
    damage(path)
    left = sorted(p.name for p in folder.glob("checkpoints/step_00000004*"))
    gan, decay = make(), ThreeSampleDecay()
    fault = f"{path} {'is ' * (said != DAMAGED)}{said}"
    assert checkpoints.restore(gan, folder, decay)[:4] == (2, False, 0, (fault,))
    assert gan.step == 2 and len(decay.state.memories) == 1
    torn = sorted(p.name for p in folder.glob("checkpoints/*.torn"))
    assert torn == [f"{name}.torn" for name in left]
    assert checkpoints.restore(gan, folder, decay)[:4] == (2, False, 0, ())


DAMAGED = list(DAMAGES)[1]


def test_a_whole_checkpoint_says_what_it_knows(two):
    assert checkpoints.restore(make(), two) == (4, True, 2, (), "step_00000004")


def test_one_without_a_record_is_taken_as_it_is(two, tmp_path):
    folder = shutil.copytree(two, tmp_path / "run")  # as version 0.5.0 wrote them
    for path in folder.glob("checkpoints/*.json"):
        path.unlink()
    assert checkpoints.restore(make(), folder)[:4] == (4, True, 0, ())
    path = folder / "checkpoints" / "step_00000004.weights.h5"
    cut(path)
    assert f"{path} cannot be read (" in checkpoints.restore(make(), folder).faults[0]


def test_one_without_its_weights_is_none(two, tmp_path):
    folder = shutil.copytree(two, tmp_path / "run")  # killed before they were in place
    (folder / "checkpoints" / "step_00000004.weights.h5").unlink()
    assert checkpoints.restore(make(), folder)[:4] == (2, False, 0, ())
    (folder / "checkpoints" / "step_00000002.weights.h5").unlink()
    assert checkpoints.restore(make(), folder) is None


def test_one_that_is_saved_again_is_not_written_over(tmp_path, monkeypatch):
    checkpoint = checkpoints.Checkpoint(tmp_path)
    checkpoint.set_model(make())
    checkpoint.save(evaluated=False)
    replace = os.replace

    def killed(source, target):
        if str(target).endswith(".weights.h5"):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", killed)
        checkpoint.save(evaluated=True)
    assert checkpoints.restore(make(), tmp_path)[:4] == (0, False, 0, ())
    checkpoint.save(evaluated=True)
    assert checkpoints.restore(make(), tmp_path)[:4] == (0, True, 0, ())


def test_error_none_is_whole(two, tmp_path):
    folder = shutil.copytree(two, tmp_path / "run")
    names = [folder / "checkpoints" / f"step_0000000{i}.weights.h5" for i in (4, 2)]
    for path in names:
        cut(path)
    with pytest.raises(checkpoints.Torn) as caught:
        checkpoints.restore(make(), folder)
    assert str(caught.value) == (
        f"{names[0]} is not as it was written; {names[1]} is not as it was written; no "
        f"checkpoint is whole: delete {folder / 'checkpoints'} to begin again, or give "
        "another --workdir"
    )
    assert not list(folder.glob("checkpoints/*.torn"))


def test_error_of_other_nets(two):
    gan = make_conditional()
    with pytest.raises(checkpoints.Torn, match="no checkpoint is whole"):
        checkpoints.restore(gan, two)


def test_weights_that_are_bad_are_not_saved(tmp_path):
    gan = make()
    checkpoint = checkpoints.Checkpoint(tmp_path)
    checkpoint.set_model(gan)
    weight = gan.average.variables[0]
    weight.assign(weight * np.nan)
    with pytest.raises(callbacks.NotFinite) as caught:
        checkpoint.save(evaluated=True)
    assert str(caught.value) == f"step 0: {weight.path} is NaN or infinite"
    assert not list(tmp_path.iterdir())


def test_numbers_of_the_memory_are_kept_by_name(tmp_path):
    before = Memory({"loss": {"mean": 1.0}, "gp": {"weight": 2.0, "step": 3.0}})
    before.save_own_variables(store := {})
    assert sorted(store) == ["gp_step", "gp_weight", "loss_mean"]
    after = Memory({"gp": {"first": 9.0, "step": 0.0}, "loss": {"mean": 0.0}})
    after.load_own_variables(store)
    assert after.read("gp") == {"first": 9.0, "step": 3.0}
    assert after.read("loss") == {"mean": 1.0}
    # As version 0.5.0 kept them.
    after.load_own_variables({"0": 4.0, "1": 5.0, "2": 6.0})
    assert after.read("gp") == {"first": 4.0, "step": 5.0}


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
