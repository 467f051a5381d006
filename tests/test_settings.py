"""Tests of settings.py: defaults, what decides what, messages."""

import json

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gantf import commandline, penalties, scaling, settings

SMALL = {
    "latent": "normal-4",
    "sample": "8x8x1",
    "generator": "dense-4x4x8-bn-relu tconv4-1-s2-tanh",
    "discriminator": "conv4-8-s2-sn-lrelu flatten dense-4-sn",
}


def test_the_loss_decides_score_penalties_and_update():
    resolved = settings.resolve({"architecture": SMALL, "loss": "wasserstein"})
    assert resolved.score == 1
    assert resolved.architecture["discriminator"].endswith("dense-1-sn")
    assert resolved.penalties == [["gp", penalties.get("gp").parameters]]
    assert (resolved.update, resolved.critic_steps) == ("alternating", 5)
    assert resolved.workdir == "runs/gan-wasserstein"


def test_the_architecture_decides_size_and_features():
    resolved = settings.resolve({"architecture": SMALL})
    assert (resolved.size, resolved.score, resolved.features) == (8, 4, "pixels")
    points = {
        **SMALL,
        "sample": "2",
        "generator": "dense-2",
        "discriminator": "dense-4",
    }
    assert settings.resolve({"architecture": points}).features == "points"


def test_what_is_given_stands():
    resolved = settings.resolve(
        {
            "architecture": SMALL,
            "loss": "wasserstein",
            "penalties": "none",
            "update": "simultaneous",
            "workdir": "elsewhere",
        }
    )
    assert resolved.penalties == [] and resolved.critic_steps == 1
    assert resolved.workdir == "elsewhere"
    weighted = settings.resolve({"architecture": SMALL, "penalties": "gp:0.5"})
    assert weighted.penalties == [["gp", penalties.get("gp", weight=0.5).parameters]]


def test_other_names_of_a_loss_are_the_same_run():
    resolved = settings.resolve({"architecture": SMALL, "loss": "rep_b"})
    assert (resolved.loss, resolved.workdir) == ("rmb", "runs/gan-rmb")


def test_scaling_clip_and_critic_steps_come_from_the_loss():
    smmd = settings.resolve({"architecture": SMALL, "loss": "smmd"})
    assert smmd.scaling == ["smmd", scaling.get("smmd").parameters]
    assert (smmd.clip, smmd.critic_steps) == (0.0, "5,more=10,first=20,every=500")
    plain = settings.resolve({"architecture": SMALL, "loss": "smmd", "scaling": "none"})
    assert plain.scaling == "none"
    other = settings.resolve({"architecture": SMALL, "scaling": "smmd:3"})
    assert other.scaling[1]["coefficient"] == 3
    slope = settings.resolve({"architecture": SMALL, "scaling": "slope:.5"})
    assert slope.scaling[1]["weight"] == 0.5
    wgan = settings.resolve({"architecture": SMALL, "loss": "wgan"})
    assert (wgan.clip, wgan.penalties, wgan.scaling) == (0.01, [], "none")
    free = settings.resolve({"architecture": SMALL, "loss": "wgan", "clip": 0})
    assert free.clip == 0


@pytest.mark.parametrize(
    "given", [{"loss": "li"}, {"loss": "smmd"}, {"penalties": "gp,feature_l2:2"}]
)
def test_what_losses_bring_is_resolved_once(given):
    small = {**SMALL, "decoder": "dense-8x8x1-tanh"}
    resolved = settings.resolve({"architecture": small, **given})
    again = settings.resolve(json.loads(json.dumps(resolved.to_dict())))
    assert again.to_dict() == resolved.to_dict()


def test_resolving_is_done_once_and_survives_json():
    given = {
        "architecture": SMALL,
        "loss": "rmb",
        "loss_parameters": {"bounds": [0.1, 3]},
    }
    resolved = settings.resolve(given)
    again = settings.resolve(json.loads(json.dumps(resolved.to_dict())))
    assert again.to_dict() == resolved.to_dict()
    assert again.differences(resolved.to_dict()) == []


def test_a_run_may_go_on_with_more_steps_only():
    resolved = settings.resolve({"architecture": SMALL, "steps": 5, "seed": 1})
    other = {**resolved.to_dict(), "steps": 9, "workdir": "x", "seed": 0, "loss": "rmb"}
    assert resolved.differences(other) == [("loss", "rmb", "rep"), ("seed", 0, 1)]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"stepz": 5}, "unknown setting 'stepz'; did you mean 'steps'?"),
        ({"steps": 0}, "steps is a whole number from 1, not 0"),
        ({"steps": True}, "steps is a whole number from 1, not True"),
        ({"seed": -1}, "seed is a whole number from 0, not -1"),
        ({"ema": 1.0}, "ema is a number from 0 and below 1, not 1.0"),
        ({"beta_1": 1.5}, "beta_1 is a number from 0 and below 1, not 1.5"),
        ({"batch_size": 1}, "batch_size is a whole number from 2, not 1"),
        (
            {"critic_steps": 3},
            "a simultaneous update has one critic step, not 3; give update "
            "alternating too",
        ),
        (
            {"features": "points"},
            "features 'points' do not fit samples of 8x8x1; leave features out",
        ),
        ({"generator_lr": float("nan")}, "generator_lr is a number from 0, not nan"),
        ({"resume": 1}, "resume is true or false, not 1"),
        ({"data": 5}, "data is a word, not 5"),
        ({"loss_parameters": 5}, "loss_parameters is a dict, not 5"),
        ({"loss": "repp"}, "unknown loss 'repp'; did you mean 'rep'?"),
        (
            {"precision": "bfloat16"},
            "unknown precision 'bfloat16'; did you mean 'mixed_bfloat16'?",
        ),
        ({"penalties": "gpp"}, "unknown penalty 'gpp'; did you mean 'gp'?"),
        (
            {"penalties": "gp:x"},
            "a penalty is a name and a number, as in gp:10, not 'gp:x'",
        ),
        (
            {"loss": "li"},
            "penalty 'autoencoder' wants an architecture with a 'decoder', as "
            "li-mnist-32 has; choose such a one, or other penalties",
        ),
        ({"penalties": "gp,gp:3"}, "each penalty is given once, not gp, gp"),
        ({"penalties": 5}, "penalties is a list, as ['gp'], not 5"),
        (
            {"penalties": [["gp"]]},
            "a penalty is a name or [name, parameters], not ['gp']",
        ),
        (
            {"loss": "hinge", "scaling": "gcmmd"},
            "scaling 'gcmmd' needs a loss with a kernel, as 'mmd_g', not 'hinge'",
        ),
        ({"scaling": "smd"}, "unknown scaling 'smd'; did you mean 'smmd'?"),
        (
            {"scaling": "smmd:x"},
            "a scaling is a name and a number, as in smmd:10, not 'smmd:x'",
        ),
        (
            {"critic_steps": "5,more=1"},
            "critic_steps has 'more' together with 'first' or 'every', not as in "
            "'5,more=1'",
        ),
        ({"optimizer": "adm"}, "unknown optimizer 'adm'; did you mean 'adam'?"),
        ({"clip": -1}, "clip is a number from 0, not -1"),
        (
            {"loss": "hinge", "score": 4},
            "loss 'hinge' needs a score of width 1, not 4; leave score out, or choose "
            "another loss",
        ),
        (
            {"size": 16},
            "size 16 does not fit the architecture, which makes images of 8; choose "
            "another architecture, or leave size out",
        ),
    ],
)
def test_error_messages(given, message):
    with pytest.raises(ValueError) as caught:
        settings.resolve({"architecture": SMALL, **given})
    assert str(caught.value) == message


# ---- what is measured, which step is the best, how learning rates fall


def test_kid_is_measured_and_its_best_step_kept():
    resolved = settings.resolve({"architecture": SMALL})
    assert (resolved.metrics, resolved.best) == (["kid", "fd"], "kid")
    assert resolved.lr_decay == "none" and settings.make_decay("none") is None


def test_metrics_are_a_list_and_the_best_is_one_of_their_figures():
    given = {"architecture": SMALL, "metrics": "fd, pr,mmd:rbf:1,2", "best": "recall"}
    resolved = settings.resolve(given)
    assert resolved.metrics == ["fd", "pr", "mmd:rbf:1,2"]
    assert resolved.best == "recall"
    swd = settings.resolve({"architecture": SMALL, "metrics": "swd"})
    assert swd.best == "swd_mean"
    assert settings.resolve(resolved.to_dict()) == resolved


def test_a_decay_is_named_with_its_parameters():
    given = {"architecture": SMALL, "lr_decay": "three_sample:4"}
    name, parameters = settings.resolve(given).lr_decay
    assert name == "three_sample" and parameters["memory"] == 4
    again = settings.resolve({"architecture": SMALL, "lr_decay": [name, parameters]})
    assert again.lr_decay == [name, parameters]
    assert settings.make_decay(again.lr_decay).parameters == parameters


def test_features_may_be_a_model_in_a_file():
    resolved = settings.resolve({"architecture": SMALL, "features": "mine/net.keras"})
    assert resolved.features == "mine/net.keras"


@pytest.mark.parametrize(
    "given, message",
    [
        ({"metrics": "kid,fdd"}, "unknown metric 'fdd'; did you mean 'fd'?"),
        ({"metrics": 3}, "metrics is a list, as ['kid', 'fd'], not 3"),
        ({"best": "kid_std"}, "unknown best figure 'kid_std'; did you mean 'kid'?"),
        (
            {"lr_decay": ["three_sample", {"patiense": 2}]},
            "learning rate decay 'three_sample' has no parameter 'patiense'; it takes "
            "memory, patience, p, factor, floor, variance_floor, variance, kernel, "
            "samples",
        ),
        (
            {"metrics": "fd", "lr_decay": "three_sample"},
            "lr_decay follows the features of metric kid, and metrics is fd; add kid",
        ),
        (
            {"lr_decay": "threesample"},
            "unknown learning rate decay 'threesample'; did you mean 'three_sample'?",
        ),
        (
            {"features": "mnistnett"},
            "unknown features 'mnistnett'; did you mean 'mnistnet'?",
        ),
    ],
)
def test_error_evaluation_that_cannot_be(given, message):
    with pytest.raises(ValueError) as caught:
        settings.resolve({"architecture": SMALL, **given})
    assert str(caught.value) == message


# What JSON can have: settings may come from a file that someone else made.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["gp", "ada:x", "%s", "{0.__class__}", "\ud800", "\0", "9" * 5000]
    )
    | st.builds(lambda: 10**5000),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
FIELDS = st.sampled_from([*settings.FIELDS]) | st.text(max_size=5)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def check_resolved_or_refused(given):
    try:
        settings.resolve(given)
    except ValueError as error:
        # Python's own words say nothing of the setting.
        assert not str(error).startswith("Exceeds the limit"), str(error)


@given(st.dictionaries(FIELDS, JSON, min_size=1, max_size=3))
@example({"seed": 10**5000})
@example({"name": 10**5000})
@example({"cache_gb": -(10**5000)})
@example({"penalties": [["gp", 3]]})
@example({"penalties": [["gp", {"weight": [1]}]]})
@example({"penalties": [["gp", {"name": "gp"}]]})
@example({"loss_parameters": {"name": "rep"}})
@example({"scaling": ["slope", {"weight": [1]}]})
@example({"augment": ["ada", {"target": None}]})
@example({"critic_steps": 10**5000})
@example({"metrics": [{"kid": 1}]})
@example({"lr_decay": ["three_sample", None]})
@hypothesis.settings(max_examples=200)
def test_any_settings_are_resolved_or_refused(other):
    check_resolved_or_refused({"architecture": SMALL} | other)


@pytest.mark.parametrize("name", settings.FIELDS)
def test_values_without_a_bottom_are_refused(name):
    """Python prints and compares none that is nested so deeply."""
    with pytest.raises(ValueError, match="<list>"):
        settings.resolve({"architecture": SMALL, name: nested(10_000)})


@given(JSON)
@hypothesis.settings(max_examples=50)
def test_any_architecture_is_resolved_or_refused(value):
    check_resolved_or_refused({"architecture": value})


def ended(path, capsys):
    """The words with which the command line ends; it may also run dry."""
    try:
        commandline.main({}, dict, ["x.py", f"--settings={path}", "--dry_run"])
    except SystemExit as error:
        assert error.code == 1
        return capsys.readouterr().err
    return None


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "[" * 100_000, '{"settings":' * 50_000, "\ufeff{}"),
        *(
            '{"settings": NaN}',
            '{"settings": 1e999}',
            '{"settings": ' + "9" * 5000 + "}",
        ),
    ],
)
def test_files_that_hold_no_settings(tmp_path, capsys, text):
    path = tmp_path / "settings.json"
    path.write_text(text, "utf-8")
    assert ended(path, capsys) == f"{path} is no settings.json of a run\n"


STORED = json.dumps({"settings": {"architecture": SMALL, "seed": 3, "loss": "hinge"}})


@given(st.data())
@hypothesis.settings(
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_damaged_settings_are_read_or_refused(tmp_path, capsys, data):
    text = bytearray(STORED, "utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = tmp_path / "settings.json"
    path.write_bytes(text)
    words = ended(path, capsys)
    assert words is None or words.strip()


@pytest.mark.parametrize("given", ["stop:1", ["stop", {}]])
def test_error_stop_with_a_number(given):
    with pytest.raises(ValueError) as caught:
        settings.resolve({"architecture": SMALL, "on_nan": given})
    assert str(caught.value) == "on_nan stop takes no number; leave it out"
