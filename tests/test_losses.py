"""Losses against golden values and float64 NumPy, near and far."""

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
import zoo
from references import bounded, mmd_loss, repulsive
from test_kernels import TRUTHS

from gantf import kernels, losses

SQRT8 = 8**0.5
SIGMAS = (1, 2**0.5, 2, SQRT8, 4)  # sigma^2 = 1, 2, 4, 8, 16
ALPHAS = (0.2, 0.5, 1, 2, 5)  # Binkowski et al. (2018)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rbf(x, y):
    return references.rbf(x, y, 1)


def rbfs(x, y):
    return sum(references.rbf(x, y, s) for s in SIGMAS)


def rqs(x, y):
    return sum(references.rq(x, y, a) for a in ALPHAS)


def half(d2):
    return np.exp(-d2 / 2)


# The list of losses with, for each, (real, fake) -> (generator's, discriminator's).
FORMULAS = [
    lambda r, f: repulsive(r, f, rbf),
    lambda r, f: repulsive(r, f, rbf, (2, 1)),
    lambda r, f: repulsive(
        r, f, lambda x, y: references.rq(x, y, 1), (-1, -2), "unbiased"
    ),
    lambda r, f: bounded(r, f, half),
    None,  # in test_bounds_of_other_estimators
    lambda r, f: bounded(r, f, half, (2, 1)),
    lambda r, f: mmd_loss(r, f, rbfs),
    lambda r, f: mmd_loss(r, f, lambda x, y: rbf(x, y) + references.dot(x, y)),
    lambda r, f: mmd_loss(r, f, rqs),
    lambda r, f: mmd_loss(r, f, references.distance, "unbiased"),
    references.logistic,
    references.hinge,
    references.wasserstein,
]
CASES = [
    (name, parameters, formula)
    for (name, parameters), formula in zip(zoo.LOSSES, FORMULAS, strict=True)
    if formula
]
IDS = [f"{name} {parameters}" for name, parameters in zoo.LOSSES]
ALL = pytest.mark.parametrize("name, parameters", zoo.LOSSES, ids=IDS)


def pair(loss, real, fake):
    return float(loss.generator(real, fake)), float(loss.discriminator(real, fake))


def test_the_list_is_whole():
    assert {name for name, _ in zoo.LOSSES} == set(losses.names())


# ---- values

# Wang et al.'s reference code, values by brute force (their README's x is real here).
FAKE = np.array([[0, 0], [1, 0], [0, 2]], "float32")
REAL = np.array([[1, 1], [2, 1], [-1, 0]], "float32")
FAKE_1 = np.array([[-0.5], [0.3], [2.0]], "float32")
REAL_1 = np.array([[1.5], [-0.2], [0.7]], "float32")


@pytest.mark.parametrize(
    "name, parameters, real, fake, generator, discriminator",
    [
        ("rep", {}, REAL, FAKE, -0.1203805, -0.0428658),
        ("rep", {"rep_weights": (2, 1)}, REAL, FAKE, -0.1203805, 0.1203805),
        ("mmd_g", {}, REAL, FAKE, -0.6443053, 0.6443053),
        ("logistic", {}, REAL_1, FAKE_1, 0.5517867, 1.6193661),
        ("hinge", {}, REAL_1, FAKE_1, -0.6, 2.1),
        ("wasserstein", {}, REAL_1, FAKE_1, 0.0666667, -0.0666667),
    ],
)
def test_golden_values(name, parameters, real, fake, generator, discriminator):
    found = pair(losses.get(name, **parameters), real, fake)
    assert found == pytest.approx((generator, discriminator), abs=2e-7)


def test_golden_means_of_the_kernel():
    found = losses.get("rep").monitors(REAL, FAKE)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"k_ff": 0.2746503, "k_rf": 0.3134077, "k_rr": 0.2317845}, abs=2e-7
    )


FORMULATED = pytest.mark.parametrize(
    "name, parameters, formula", CASES, ids=[f"{case[0]} {case[1]}" for case in CASES]
)


@FORMULATED
@pytest.mark.parametrize("n, m", [(6, 6), (6, 9), (5, 3)])
def test_losses_are_their_formulas(name, parameters, formula, n, m):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 4
    real, fake = draw(n, width), 0.7 * draw(m, width, seed=1) + 0.3
    truth = formula(real.astype(float), fake.astype(float))
    assert pair(loss, real, fake) == pytest.approx(truth, rel=1e-5, abs=1e-6)  # float32


def test_bounds_of_other_estimators():
    """Two reals 1 apart, two fakes 3 apart; bounds 0.5 and 2; means of all pairs."""
    loss = losses.get("rmb", bounds=(0.5, 2.0), estimator="biased")
    real, fake = np.array([[0.0], [1.0]]), np.array([[0.0], [3.0]])
    k_rr = (half(0) * 2 + half(1) * 2) / 4
    k_ff = (half(0.5) * 2 + half(9) * 2) / 4
    assert float(loss.discriminator(real, fake)) == pytest.approx(k_rr - k_ff)


@ALL
def test_the_order_of_rows_means_nothing(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 4
    real, fake = draw(7, width), draw(7, width, seed=1)
    order = np.random.default_rng(2).permutation(7)  # joint: pairs i = j are left out
    found = pair(loss, real[order], fake[order])
    assert found == pytest.approx(pair(loss, real, fake), rel=1e-5, abs=1e-6)


@ALL
def test_losses_have_finite_gradients_where_scores_coincide(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 3
    scores = np.repeat(draw(3, width), 2, axis=0)
    scores[:2] = 0
    for side in (loss.generator, loss.discriminator):
        real, fake = tf.Variable(scores), tf.Variable(scores)
        with tf.GradientTape() as tape:
            value = side(real, fake)
        for slope in tape.gradient(value, [real, fake]):
            assert slope is None or np.isfinite(slope).all()
        assert np.isfinite(value)


MMDS = [case for case in CASES if case[0] in ("rep", "rmb", "mgb", "mmd_g", "mmd_t")]
RADIAL = [
    case
    for case in MMDS
    if "dot" not in str(case[1]) and "distance" not in str(case[1])
]


@pytest.mark.parametrize("name, parameters, formula", RADIAL)
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_scores_far_from_the_origin_lose_nothing(name, parameters, formula, shift):
    """Against float64 of the same numbers; a Gram matrix would be off by 10."""
    real, fake = draw(8, 4) + np.float32(shift), draw(8, 4, seed=1) + np.float32(shift)
    truth = formula(real.astype(float), fake.astype(float))
    found = pair(losses.get(name, **parameters), real, fake)
    assert found == pytest.approx(truth, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("name, parameters, formula", RADIAL)
def test_clusters_far_apart(name, parameters, formula):
    side = np.array([[1e4], [-1e4]] * 4, "float32")
    real, fake = draw(8, 4) + side, draw(8, 4, seed=1) + side
    truth = formula(real.astype(float), fake.astype(float))
    found = pair(losses.get(name, **parameters), real, fake)
    assert found == pytest.approx(truth, rel=1e-5, abs=2e-6)


@ALL
def test_losses_are_float32_whatever_comes(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 4
    scores = draw(6, width), draw(6, width, seed=1)
    for dtype in ("bfloat16", "float16", "float64"):
        real, fake = (tf.cast(score, dtype) for score in scores)
        for value in (loss.generator(real, fake), loss.discriminator(real, fake)):
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
        exact = (np.asarray(tf.cast(score, "float32")) for score in (real, fake))
        assert pair(loss, real, fake) == pair(loss, *exact)
    for value in loss.monitors(*scores).values():
        assert keras.backend.standardize_dtype(value.dtype) == "float32"


@FORMULATED
def test_gradients_agree_with_finite_differences(name, parameters, formula):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 2
    real, fake = draw(4, width), draw(4, width, seed=1)
    for index, side in enumerate((loss.generator, loss.discriminator)):
        moved = tf.Variable(fake)
        with tf.GradientTape() as tape:
            value = side(real, moved)
        truth = references.numerical_gradient(
            lambda f, i=index: formula(real.astype(float), f)[i], fake
        )
        np.testing.assert_allclose(tape.gradient(value, moved), truth, atol=2e-5)


# ---- what the losses say of themselves


def test_the_attractive_weights_give_minus_the_generators_loss():
    real, fake = draw(6, 3), draw(6, 3, seed=1)
    loss = losses.get("rep", rep_weights=(2, 1))
    generator, discriminator = pair(loss, real, fake)
    assert discriminator == pytest.approx(-generator, abs=1e-6)


@pytest.mark.parametrize("weights", [(0, -1), (2, 1), (1, 0), (-1, -2)])
def test_bounds_that_hold_nothing_change_nothing(weights):
    # squared distances between 0.25 and 4, all of them
    real = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], "float32")
    fake = real + 0.4
    one = losses.get("rmb", rep_weights=weights)
    other = losses.get("rep", rep_weights=weights)
    assert pair(one, real, fake) == pytest.approx(pair(other, real, fake), abs=1e-6)


@pytest.mark.parametrize(
    "distance, held", [(0.1, 0.25), (0.5, 0.25), (0.6, 0.36), (2.0, 4.0), (9.0, 81.0)]
)
def test_fakes_repel_each_other_only_above_the_low_bound(distance, held):
    """The kernel between fakes is that of max(d^2, 0.25): no slope below."""
    real = np.array([[0.0], [0.0]], "float32")
    fake = tf.Variable([[0.0], [distance]])
    with tf.GradientTape() as tape:
        loss = losses.get("rmb").discriminator(real, fake)
    assert float(loss) == pytest.approx(1 - half(held), abs=1e-6)
    slope = np.abs(tape.gradient(loss, fake)).max()
    assert (slope == 0) == (distance < 0.5)


@pytest.mark.parametrize(
    "distance, held", [(0.1, 0.01), (1.9, 3.61), (2.0, 4.0), (2.1, 4.0), (9.0, 4.0)]
)
def test_reals_attract_each_other_only_below_the_high_bound(distance, held):
    """The kernel between reals is that of min(d^2, 4): no slope above."""
    fake = np.array([[0.0], [0.0]], "float32")
    real = tf.Variable([[0.0], [distance]])
    with tf.GradientTape() as tape:
        loss = losses.get("rmb").discriminator(real, fake)
    assert float(loss) == pytest.approx(half(held) - half(0.25), abs=1e-6)
    slope = np.abs(tape.gradient(loss, real)).max()
    assert (slope == 0) == (distance > 2)


def test_the_generator_sees_no_bounds():
    real, fake = draw(5, 3), 9 * draw(5, 3, seed=1)
    for name in ("rmb", "mgb"):
        found = losses.get(name).generator(real, fake)
        assert float(found) == float(losses.get("rep").generator(real, fake))


def test_kernels_reach_the_losses():
    real, fake = draw(5, 3), draw(5, 3, seed=1)
    for name in zoo.KERNELS:
        found = losses.get("rep", kernel=name).generator(real, fake)
        truth, _ = repulsive(real, fake, TRUTHS[name])
        assert float(found) == pytest.approx(truth, rel=1e-4, abs=1e-5)


def test_losses_say_which_score_and_penalty_they_want():
    widths = {name: losses.get(name).score_dim for name in losses.names()}
    one = ("logistic", "hinge", "wasserstein")
    assert widths == {name: 1 if name in one else None for name in losses.names()}
    wanted = {name: losses.get(name).penalties for name in losses.names()}
    assert {name for name in wanted if wanted[name]} == {"wasserstein"}
    assert wanted["wasserstein"] == ("gp",)


def test_losses_know_their_names_and_parameters():
    loss = losses.get("mgb", bounds=(0.5, 2))
    assert loss.name == "mgb"
    assert loss.parameters == {
        "rep_weights": (2.0, 1.0),
        "bounds": (0.5, 2),
        "kernel": "rbf:1",
        "estimator": "ustat",
    }
    assert losses.get(loss) is loss
    again = losses.get(loss.name, **loss.parameters)
    assert again.parameters == loss.parameters


def test_a_score_that_does_not_fit_is_refused_in_words():
    losses.get("rep").check_score(16)
    losses.get("hinge").check_score(1)
    with pytest.raises(ValueError) as caught:
        losses.get("hinge").check_score(16)
    assert str(caught.value) == (
        "loss 'hinge' needs a score of width 1, but the discriminator gives 16; build "
        "it with build_pair(architecture, score=1)"
    )


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("repp", {}, "unknown loss 'repp'; did you mean 'rep'?"),
        (
            "gan",
            {},
            "unknown loss 'gan'; known: rep, rmb, mgb, mmd_g, mmd_t, logistic, hinge, "
            "wasserstein",
        ),
        (
            "rep",
            {"sigma": 1},
            "loss 'rep' has no parameter 'sigma'; it takes rep_weights, kernel, "
            "estimator",
        ),
        ("hinge", {"x": 1}, "loss 'hinge' has no parameter 'x'; it takes none"),
        (
            "rep",
            {"rep_weights": (1, 1)},
            "rep_weights are (w0, w1) with w0 - w1 = 1, not (1, 1)",
        ),
        (
            "rep",
            {"rep_weights": 2},
            "rep_weights are (w0, w1) with w0 - w1 = 1, not 2",
        ),
        (
            "rep",
            {"rep_weights": (float("nan"), 1)},
            "rep_weights are (w0, w1) with w0 - w1 = 1, not (nan, 1)",
        ),
        (
            "rmb",
            {"bounds": (4, 0.25)},
            "bounds are (low, high), 0 <= low < high, not (4, 0.25)",
        ),
        ("rmb", {"bounds": 4}, "bounds are (low, high), 0 <= low < high, not 4"),
        (
            "rmb",
            {"bounds": ("a", "b")},
            "bounds are (low, high), 0 <= low < high, not ('a', 'b')",
        ),
        (
            "rmb",
            {"kernel": "dot"},
            "kernel dot is no function of the distance, for its dot; such are rbf, rq, "
            "laplace",
        ),
        ("rep", {"kernel": "rfb"}, "unknown kernel 'rfb'; did you mean 'rbf'?"),
        (
            "mmd_g",
            {"estimator": "v"},
            "unknown estimator 'v'; known: unbiased, biased, ustat",
        ),
    ],
)
def test_other_losses_are_refused_in_words(name, parameters, message):
    with pytest.raises(ValueError) as caught:
        losses.get(name, **parameters)
    assert str(caught.value) == message


def test_a_kernel_object_is_stored_by_its_name():
    loss = losses.get("rep", kernel=kernels.get("rbf:1,2"))
    assert loss.parameters["kernel"] == "rbf:1,2"


def test_bounds_hold_between_real_and_fake_only_where_they_repel():
    # One real and one fake pair far apart: d2 = 100 between them, 0 within.
    real, fake = np.zeros((2, 1)), np.full((2, 1), 10.0)
    k, low, high = (lambda d2: np.exp(-d2 / 2)), 0.25, 4.0
    attract = losses.get("rmb", rep_weights=(2, 1)).discriminator(real, fake)
    assert float(attract) == pytest.approx(2 * k(high) - k(low) - k(low), rel=1e-5)
    repel = losses.get("rmb", rep_weights=(-1, -2)).discriminator(real, fake)
    assert float(repel) == pytest.approx(-k(100.0) - k(low) + 2 * k(0.0), rel=1e-5)
