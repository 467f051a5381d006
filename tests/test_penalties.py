"""Penalties against the gradients of critics known in closed form."""

import numpy as np
import pytest
import references
import tensorflow as tf

from gantf import penalties


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def linear(*w):
    return lambda x: tf.linalg.matvec(x, tf.constant(w, tf.float32))[:, None]


@pytest.mark.parametrize(
    "w, weight, target, value",
    [  # weight (|w| - target)^2
        ((3.0, 4.0), 10, 1, 160),
        ((0.6, 0.8), 10, 1, 0),
        ((3.0, 4.0), 0.1, 0, 2.5),
        ((0.0, 1.0), 2, 3, 8),
    ],
)
def test_a_linear_critic(w, weight, target, value):
    penalty = penalties.get("gp", weight=weight, target=target)
    real, fake, uniform = draw(5, 2), draw(5, 2, seed=1), np.random.rand(5)
    found = penalty(linear(*w), real, fake, uniform.astype("float32"))
    assert found.shape == ()
    assert float(found) == pytest.approx(value, abs=1e-5)


def test_the_mean_is_over_samples_and_the_sum_over_all_else():
    """D(x) = sum x^2 / 2 on maps: the slope is x itself, at u real + (1 - u) fake."""
    real, fake = draw(4, 3, 2, 1), draw(4, 3, 2, 1, seed=1)
    u = np.array([0, 1, 0.25, 0.5], "float32")
    between = u[:, None, None, None] * real + (1 - u)[:, None, None, None] * fake
    norms = np.sqrt((between.astype(float) ** 2).sum((1, 2, 3)))
    truth = 10 * np.mean((norms - 1) ** 2)
    found = penalties.get("gp")(
        lambda x: tf.reduce_sum(x**2, (1, 2, 3))[:, None] / 2, real, fake, u
    )
    assert float(found) == pytest.approx(truth, rel=1e-5)


def test_several_numbers_of_a_score_are_summed():
    w = np.array([[1.0, 2.0], [2.0, 2.0]], "float32")  # summed: (3, 4)
    found = penalties.get("gp")(
        lambda x: x @ w, draw(3, 2), draw(3, 2, seed=1), draw(3)
    )
    assert float(found) == pytest.approx(10 * 16, rel=1e-6)


def test_a_slope_of_0_has_a_finite_gradient():
    w = tf.Variable([0.0, 0.0])
    with tf.GradientTape() as tape:
        found = penalties.get("gp")(
            lambda x: tf.linalg.matvec(x, w)[:, None], draw(4, 2), draw(4, 2), draw(4)
        )
    assert float(found) == pytest.approx(10, rel=1e-5)  # (1e-6 - 1)^2
    assert np.isfinite(tape.gradient(found, w)).all()


def test_the_gradient_reaches_the_critic():
    """Twice differentiated: d/dw weight (|w| - 1)^2 = 2 weight (|w| - 1) w / |w|."""
    w = tf.Variable([3.0, 4.0])
    with tf.GradientTape() as tape:
        found = penalties.get("gp")(
            lambda x: tf.linalg.matvec(x, w)[:, None], draw(4, 2), draw(4, 2), draw(4)
        )
    slope = tape.gradient(found, w)
    np.testing.assert_allclose(slope, [48, 64], rtol=1e-5)
    truth = references.numerical_gradient(
        lambda w: 10 * (np.linalg.norm(w) - 1) ** 2, [3, 4]
    )
    np.testing.assert_allclose(slope, truth, rtol=1e-5)


def test_the_samples_are_constants():
    """The penalty moves the critic, not the generator."""
    fake = tf.Variable(draw(3, 2))
    with tf.GradientTape() as tape:
        found = penalties.get("gp")(
            lambda x: tf.reduce_sum(x**3, 1, keepdims=True), draw(3, 2), fake, draw(3)
        )
    assert tape.gradient(found, fake) is None


def test_half_precision_scores_are_summed_in_float32():
    real, fake = (tf.cast(draw(4, 2, seed=s), tf.bfloat16) for s in (0, 1))
    found = penalties.get("gp")(
        lambda x: tf.cast(x, tf.bfloat16) @ tf.constant([[3.0], [4.0]], tf.bfloat16),
        real,
        fake,
        tf.fill([4], 0.5),
    )
    assert found.dtype == tf.float32
    assert float(found) == pytest.approx(160, rel=1e-2)  # bfloat16: 8 bits


def test_names_and_parameters():
    assert penalties.names() == ["gp"]
    penalty = penalties.get("gp", weight=5)
    assert (penalty.name, penalty.parameters) == ("gp", {"weight": 5, "target": 1.0})
    assert penalties.get(penalty) is penalty
    # Gulrajani et al. (2017), equation 3
    assert penalties.get("gp").parameters == {"weight": 10.0, "target": 1.0}


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("pg", {}, "unknown penalty 'pg'; known: gp"),
        ("gpp", {}, "unknown penalty 'gpp'; did you mean 'gp'?"),
        (
            "gp",
            {"wait": 1},
            "penalty 'gp' has no parameter 'wait'; it takes weight, target",
        ),
    ],
)
def test_other_penalties_are_refused_in_words(name, parameters, message):
    with pytest.raises(ValueError) as caught:
        penalties.get(name, **parameters)
    assert str(caught.value) == message
