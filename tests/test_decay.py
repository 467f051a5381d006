"""The learning rate that follows KID: its decisions, its tests, its state on disk."""

import inspect
import json
import math
from statistics import NormalDist

import keras
import numpy as np
import pytest
import references

from gantf import decay, mmd
from gantf.decay import Memory, State, ThreeSampleDecay


def draw(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, shape)


REAL = draw(6, 2)


def message(function, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        function(*arguments, **options)
    return str(caught.value)


def scripted(monkeypatch, one, script, start=0):
    """Decisions on evaluations 0, 1, 2, .., whose tests have these p-values."""
    values = iter([p for p in script if p is not None])
    monkeypatch.setattr(mmd, "compare", lambda *_: (-1.5, next(values)))
    return [
        one.follow(step, REAL, draw(6, 2, seed=step))
        for step in range(start, start + len(script))
    ]


def told(decision):
    return decision.name, decision.against, decision.failures, decision.remembered


# ---- decisions


def test_the_defaults_are_those_of_binkowski():
    """Ten evaluations, three chances, p < .1, rates halved and above 1e-6."""
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(ThreeSampleDecay).parameters.items()
    }
    assert found == {
        "memory": 10,
        "patience": 3,
        "p": 0.1,
        "factor": 0.5,
        "floor": 1e-6,
        "variance_floor": 1e-5,
        "variance": "unbiased",
        "kernel": "poly:3",
        "samples": 2048,
    }


def test_decisions_by_hand(monkeypatch):
    """Ten evaluations without a test; the oldest is forgotten for a better one only;
    three failures in a row lower, of which the last is remembered with the two before;
    tests come back after seven more."""
    decisions = scripted(
        monkeypatch,
        ThreeSampleDecay(),
        [None] * 10 + [0.05, 0.3, 0.11, 0.1, 0.2, 0.2, 1.0] + [None] * 7 + [0.0, 0.5],
    )
    assert [told(one) for one in decisions] == [
        *(("remembered", None, 0, n) for n in range(1, 11)),
        ("better", 0, 0, 10),  # remembered are 1..10
        ("no better", 1, 1, 10),
        ("no better", 1, 2, 10),
        ("better", 1, 0, 10),  # 2..10, 13
        ("no better", 2, 1, 10),
        ("no better", 2, 2, 10),
        ("lowered", 2, 3, 3),  # 10, 13, 16
        *(("remembered", None, 0, n) for n in range(4, 11)),
        ("better", 10, 0, 10),
        ("no better", 13, 1, 10),
    ]
    for decision in decisions:
        tested = decision.against is not None
        assert (decision.statistic, decision.p_value is not None) == (
            -1.5 if tested else None,
            tested,
        )
    assert [one.step for one in decisions] == list(range(26))
    assert {type(one.p_value) for one in decisions} == {float, type(None)}


def test_decide_changes_nothing():
    one, new = ThreeSampleDecay(memory=2, patience=2), Memory(30, None)
    before = State((Memory(10, None), Memory(20, None)), 1, "hash")
    for p_value, truth in [
        (0.1, ("better", State((Memory(20, None), new), 0, "hash"))),
        (0.11, ("lowered", State((Memory(20, None), new), 0, "hash"))),
    ]:
        assert one.decide(before, new, p_value) == truth
    first = before._replace(failures=0)
    assert one.decide(first, new, 0.11) == ("no better", before)
    few = State((Memory(10, None),), 0, "hash")
    assert one.decide(few, new, None) == (
        "remembered",
        State((*few[0], new), 0, "hash"),
    )
    assert one.state == State()


@pytest.mark.parametrize(
    "memory, patience, held",
    [(1, 1, [1]), (2, 2, [1, 3]), (4, 1, [4]), (4, 3, [2, 3, 6]), (4, 4, [1, 2, 3, 7])],
)
def test_the_last_evaluations_are_held_after_a_lowering(
    monkeypatch, memory, patience, held
):
    """Of those that were remembered, and the one that lowered; there is a test again
    as soon as the memory is full."""
    one = ThreeSampleDecay(memory, patience)
    decisions = scripted(monkeypatch, one, [None] * memory + [0.9] * patience)
    assert decisions[-1].name == "lowered"
    assert [m.step for m in one.state.memories] == held
    rest = [None] * (memory - patience) + [0.9]
    decisions = scripted(monkeypatch, one, rest, memory + patience)
    assert [d.against for d in decisions] == [None] * (memory - patience) + held[:1]


def test_lines_for_the_log(monkeypatch):
    script = [None, None, 0.34, 4e-9, 0.5, 1.0]
    decisions = scripted(monkeypatch, ThreeSampleDecay(2, 2), script)
    assert list(map(str, decisions)) == [
        "three-sample test: none yet, 1 of 2 evaluations",
        "three-sample test: none yet, 2 of 2 evaluations",
        "three-sample test against step 0: p 0.34, no better (1 of 2)",
        "three-sample test against step 0: p 4e-09, better",
        "three-sample test against step 1: p 0.5, no better (1 of 2)",
        "three-sample test against step 1: p 1, no better (2 of 2); learning rates are "
        "lowered",
    ]


def test_the_list_of_decisions_is_whole():
    for name in decay.DECISIONS:
        assert f"\n    {name} " in decay.__doc__


# ---- tests


@pytest.mark.parametrize("floor", [1e-12, 3.0])
def test_follow_tests_in_float64_on_the_first_features(floor):
    """Of float32 features whose kernel is near 1e6, where float32 has 7 digits; the
    formulas in references.py are NumPy's."""
    real, far, near = (
        draw(rows, 3, seed=seed, shift=17).astype("float32") + np.float32(shift)
        for rows, seed, shift in [(9, 0, 0), (7, 1, 0.5), (6, 2, 0.1)]
    )
    one = ThreeSampleDecay(memory=1, patience=1, samples=5, variance_floor=floor)
    one.follow(0, real, far)
    decision = one.follow(1, real, near)
    x, z, y = (rows[:5].astype("float64") for rows in (real, far, near))

    def kernel(a, b):
        return (a @ b.T / 3 + 1) ** 3

    nu = references.three_sample_variance(x, y, z, kernel)
    gain = np.subtract(
        *(references.mmd2(x, rows, kernel, "unbiased") for rows in (y, z))
    )
    truth = gain / math.sqrt(max(nu, floor))
    assert decision.statistic == pytest.approx(truth, rel=1e-7)
    assert decision.p_value == pytest.approx(NormalDist().cdf(truth), rel=1e-7)


def test_parameters_reach_the_test():
    samples = draw(8, 2), draw(8, 2, seed=1) + 1, draw(8, 2, seed=2)
    one = ThreeSampleDecay(
        1, 1, variance="plug-in", kernel="rbf:2", variance_floor=1e-9
    )
    one.follow(0, samples[0], samples[2])
    decision = one.follow(1, *samples[:2])
    truth = mmd.three_sample_test(*samples, "rbf:2", 1e-9, "plug-in")
    found = decision.statistic, decision.p_value
    assert found == pytest.approx([float(n) for n in truth], rel=1e-10)


def test_only_sums_are_kept():
    one = ThreeSampleDecay()
    one.follow(0, draw(40, 9), draw(50, 9, seed=1))
    (step, sums), _, _ = one.state.memories[0], *one.state[1:]
    assert step == 0
    assert {type(part) for part in sums} == {np.ndarray}
    assert sum(part.size for part in sums) == 3 * 40 + 2
    assert {part.dtype for part in sums} == {np.dtype("float64")}


def test_a_step_that_was_better_is_seen():
    """Rows of 5 numbers off by 1, then by .5, m = 200: T is -7.6, give or take 1."""
    one, real = ThreeSampleDecay(memory=1, patience=1), draw(200, 5)
    one.follow(0, real, draw(200, 5, seed=1, shift=1))
    decision = one.follow(2000, real, draw(200, 5, seed=2, shift=0.5))
    assert (decision.name, decision.against) == ("better", 0)
    assert -12.6 < decision.statistic < -2.6


def test_a_training_that_gets_better_is_left_alone():
    """Means off by 2, 1.6, 1.28, .., each against the one three before, 500 rows: T is
    -12 at first and -5.2, give or take 1, at last. One that is above -1.28 is a false
    alarm in about 10^4 seeds.
    """
    one, real = ThreeSampleDecay(memory=3), draw(500, 2)
    decisions = [
        one.follow(step, real, draw(500, 2, seed=step + 1, shift=2 * 0.8**step))
        for step in range(9)
    ]
    assert [d.name for d in decisions] == ["remembered"] * 3 + ["better"] * 6


def lowerings(random, evaluations, memory, patience, p):
    """How often rates are lowered where T = (a - b) / sqrt(2), a and b ~ N(0, 1)."""
    held, failures, count = [], 0, 0
    for new in random.normal(size=evaluations):
        if len(held) < memory:
            held.append(new)
        elif NormalDist().cdf((new - held[0]) / math.sqrt(2)) <= p:
            held, failures = held[1:] + [new], 0
        else:
            failures += 1
            if failures == patience:
                held, failures, count = (held + [new])[-patience:], 0, count + 1
    return count


def test_a_training_that_stands_still_is_slowed_down():
    """All fakes of one law that is not that of the real rows: of 150 evaluations as
    many lower as in such a game with normal numbers, give or take 5 sd (a false alarm
    in about 10^6 seeds); T's sd is not quite 1 for 60 rows."""
    one, real, random = (
        ThreeSampleDecay(memory=5),
        draw(60, 2),
        np.random.default_rng(7),
    )
    names = [
        one.follow(step, real, random.normal(0.5, 1, (60, 2))).name
        for step in range(150)
    ]
    games = [lowerings(random, 150, 5, 3, 0.1) for _ in range(400)]
    assert abs(names.count("lowered") - np.mean(games)) < 5 * np.std(games)
    assert np.mean(games) > 7 * np.std(games)


# ---- learning rates


def rates(optimizers):
    return [float(optimizer.learning_rate.numpy()) for optimizer in optimizers]


def test_rates_are_lowered_to_the_floor_and_never_raised():
    one = ThreeSampleDecay(factor=0.25)
    optimizers = [
        keras.optimizers.Adam(2**-10),
        keras.optimizers.SGD(2e-6),
        keras.optimizers.RMSprop(3e-7),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.5)),
    ]
    one.apply(optimizers)
    found = rates(optimizers)
    assert (found[0], found[3]) == (2**-12, 0.125)
    assert found[1:3] == pytest.approx([1e-6, 3e-7], rel=1e-6)  # float32
    one.apply(iter(optimizers))
    assert rates(optimizers)[1:3] == found[1:3]
    assert rates(optimizers)[0] == 2**-14


def test_error_a_schedule_cannot_be_lowered():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    optimizers = [keras.optimizers.SGD(0.5), keras.optimizers.Adam(schedule, name="g")]
    for function in (ThreeSampleDecay.check, ThreeSampleDecay().apply):
        assert message(function, optimizers) == (
            "optimizer 'g' has a schedule for its learning rate, which cannot be "
            "lowered; give it a number, or do without the decay"
        )
    assert rates(optimizers[:1]) == [0.5]
    ThreeSampleDecay.check(optimizers[:1])


# ---- the state on disk

SMALL = {"memory": 3, "patience": 2, "samples": 8}


def run(one, steps):
    """Fakes that get better, and from step 5 on do not."""
    real = draw(8, 2)
    return [
        one.follow(step, real, draw(8, 2, seed=step + 1, shift=max(0, 5 - step)))
        for step in steps
    ]


@pytest.mark.parametrize("stop", [0, 2, 6, 8, 9], ids=str)
def test_a_run_that_is_cut_goes_on_to_the_last_bit(tmp_path, stop):
    whole, cut = ThreeSampleDecay(**SMALL), ThreeSampleDecay(**SMALL)
    truth = run(whole, range(14))
    assert {d.name for d in truth} == set(decay.DECISIONS)
    found = run(cut, range(stop))
    cut.save(tmp_path / "decay.npz")
    resumed = ThreeSampleDecay(**SMALL)
    resumed.load(tmp_path / "decay.npz")
    assert found + run(resumed, range(stop, 14)) == truth
    assert [m.step for m in resumed.state.memories] == [
        m.step for m in whole.state.memories
    ]


def test_a_state_is_one_file_of_any_name(tmp_path):
    one = ThreeSampleDecay(**SMALL)
    run(one, range(2))
    for name in ("decay", "decay.npz", "decay"):
        one.save(str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decay", "decay.npz"]
    other = ThreeSampleDecay(**SMALL)
    other.load(str(tmp_path / "decay"))
    assert other.state.memories[1].step == 1


def test_parameters_are_plain_and_make_the_same_decay():
    one = ThreeSampleDecay(5, 2, 0.2, 0.8, 0, 1e-8, "plug-in", "poly:3 + .5*rbf:1", 100)
    parameters = json.loads(json.dumps(one.parameters))
    assert parameters == {
        "memory": 5,
        "patience": 2,
        "p": 0.2,
        "factor": 0.8,
        "floor": 0.0,
        "variance_floor": 1e-8,
        "variance": "plug-in",
        "kernel": "poly:3+0.5*rbf:1",
        "samples": 100,
    }
    assert ThreeSampleDecay(**parameters).parameters == one.parameters
    assert list(parameters) == list(inspect.signature(ThreeSampleDecay).parameters)


# ---- refusals


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"memory": 0}, "memory is a whole number from 1, not 0"),
        ({"memory": 2.0}, "memory is a whole number from 1, not 2.0"),
        ({"memory": True}, "memory is a whole number from 1, not True"),
        ({"patience": 0}, "patience is a whole number from 1, not 0"),
        (
            {"memory": 4, "patience": 5},
            "patience is at most memory, 4, not 5: so many evaluations are remembered "
            "after a lowering",
        ),
        ({"p": 0}, "p is a number above 0 and below 1, not 0"),
        ({"p": 1}, "p is a number above 0 and below 1, not 1"),
        ({"factor": 0.0}, "factor is a number above 0 and below 1, not 0.0"),
        ({"factor": 1.0}, "factor is a number above 0 and below 1, not 1.0"),
        ({"floor": -1e-9}, "floor is a number from 0, not -1e-09"),
        ({"floor": math.inf}, "floor is a number from 0, not inf"),
        ({"variance_floor": 0}, "variance_floor is a number above 0, not 0"),
        ({"variance_floor": "1"}, "variance_floor is a number above 0, not '1'"),
        (
            {"variance": "ustat"},
            "unknown variance of a three-sample test 'ustat'; known: unbiased, plug-in",
        ),
        ({"kernel": "poly3"}, "unknown kernel 'poly3'; did you mean 'poly'?"),
        ({"samples": 3}, "samples is a whole number from 4, not 3"),
    ],
)
def test_error_parameters(parameters, words):
    assert message(ThreeSampleDecay, **parameters) == words


def test_error_other_real_features():
    one = ThreeSampleDecay(**SMALL)
    real, fake = draw(8, 2), draw(9, 2, seed=1)
    one.follow(2000, real, fake)
    state, other = one.state, real.copy()
    other[7, 1] += 0.1
    words = (
        "three-sample tests take the same real features each time: those at step 4000 "
        "are not those at step 2000"
    )
    assert message(one.follow, 4000, other, fake) == words
    assert message(one.follow, 4000, real, fake[:7]) == (
        "three-sample tests take the same number of features each time: 8 at step "
        "2000, 7 at step 4000"
    )
    assert one.state is state
    # Another machine's rounding makes no other features of them, and rows after the
    # first 8 are not looked at.
    one.follow(4000, real * (1 + 1e-6), fake)
    one.follow(4000, np.concatenate([real, fake]), fake)


def test_error_features_that_are_none():
    one, bad = ThreeSampleDecay(), draw(5, 2)
    assert message(one.follow, 0, draw(5, 2), draw(5, 3)) == (
        "a kernel compares rows (n, d) and (m, d), not (5, 2) and (5, 3)"
    )
    assert message(one.follow, 0, draw(5, 2), draw(3, 2)) == (
        "a variance of MMD^2 wants samples from 4 rows, not 3, 3"
    )
    for value in (math.nan, math.inf, 1e200):
        bad[2, 1] = value
        assert message(one.follow, 7, draw(5, 2), bad) == (
            "kernel poly:3 of the features at step 7 is not finite: there are NaN, "
            "infinite or huge numbers among them"
        )
    assert one.state == State()


def test_error_a_state_of_other_parameters(tmp_path):
    path = tmp_path / "decay.npz"
    ThreeSampleDecay(memory=8, factor=0.8).save(path)
    assert message(ThreeSampleDecay().load, path) == (
        f"{path}: saved with memory 8, factor 0.8, not memory 10, factor 0.5; go on "
        "with the same parameters, or without this file"
    )


def test_error_a_state_of_another_set(tmp_path):
    path = tmp_path / "decay.npz"
    one, other, unused = (ThreeSampleDecay(**SMALL) for _ in range(3))
    one.follow(10, draw(8, 2), draw(8, 2))
    one.save(path)
    other.follow(20, draw(8, 2, seed=1), draw(8, 2))
    state = other.state
    assert message(other.load, path) == (
        f"{path}: saved with other real features than those at step 20; go on with the "
        "same, or without this file"
    )
    assert other.state is state
    one.load(path)
    # And where nothing was followed yet, it is the next evaluation that is refused.
    unused.load(path)
    assert message(unused.follow, 20, draw(8, 2, seed=1), draw(8, 2)) == (
        "three-sample tests take the same real features each time: those at step 20 "
        "are not those at step 10"
    )


def test_error_files_that_are_no_state(tmp_path):
    path, one = tmp_path / "decay.npz", ThreeSampleDecay(**SMALL)
    run(one, range(2))
    one.save(path)
    state, good = one.state, path.read_bytes()
    words = f"{path}: not a whole file of ThreeSampleDecay.save; go on without it"

    def refused():
        assert message(one.load, path) == words
        assert one.state is state

    for size in (0, 1, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        refused()
    packed = bytearray(good)
    packed[good.index(b"PK\1\2") + 10] = 8  # as if its first array were compressed
    renamed = good.replace(b"rows_1", b"rows_7")
    for content in (b"step,kid\n0,1\n", renamed, bytes(packed)):
        path.write_bytes(content)
        refused()
    for arrays in (
        {"images": np.zeros(3)},
        {"about": json.dumps([1])},
        {"about": "steps"},
        {"about": np.array([{}], object)},  # a pickle
    ):
        np.savez(path, **arrays)
        refused()
    np.save(tmp_path / "rows.npy", np.zeros(3))
    (tmp_path / "rows.npy").replace(path)
    refused()
    for error, name in [(FileNotFoundError, "none"), (IsADirectoryError, ".")]:
        with pytest.raises(error):
            one.load(tmp_path / name)


def test_a_flipped_byte_is_refused_or_means_nothing(tmp_path):
    """Arrays have checksums in the file; some bytes of its directory say nothing."""
    path, one = tmp_path / "decay.npz", ThreeSampleDecay(**SMALL)
    run(one, range(2))
    one.save(path)
    good, state = path.read_bytes(), one.state
    refused = 0
    for place in range(0, len(good), 37):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        other = ThreeSampleDecay(**SMALL)
        try:
            other.load(path)
        except ValueError:
            refused += 1
            assert other.state == State()
        else:
            assert repr(other.state) == repr(state)
    assert refused > 50
