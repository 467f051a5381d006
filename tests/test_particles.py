"""Tests of theory/particles.py: forces against gradients, ways, films and pictures."""

import inspect
import math

import numpy as np
import pytest
import references
import tensorflow as tf
from PIL import Image

from gantf import losses
from gantf.theory import particles

SMALL = {
    "losses": ["rep", "mgb"],
    "particles": 3,
    "spread": 0.4,
    "gap": 1.5,
    "width": 1.0,
    "bounds": [0.25, 4.0],
    "rate": 0.02,
    "discriminator_steps": 4,
    "generator_steps": 6,
    "frames": 3,
    "seed": 0,
}
BOUNDS = (0.25, 4.0)
REPULSIVE = particles.discriminator((0.0, -1.0))
BOUNDED = particles.discriminator((0.0, -1.0), BOUNDS)


def draw(n, m, seed=218):
    """Samples of which some pairs are nearer than .5 and some farther apart than 2."""
    random = np.random.default_rng(seed)
    return random.normal(0, 0.9, (n, 2)), random.normal(0.5, 0.9, (m, 2))


def total(on):
    return on["rr"] + on["rf"], on["ff"] + on["fr"]


def off(kernel):
    return lambda x, y: references.mean_off_diagonal(kernel(x, y))


def test_the_samples_of_these_tests_meet_both_bounds():
    for n, m in [(6, 6), (5, 3)]:
        for x in draw(n, m):
            d2 = references.squared_distances(x, x)[np.triu_indices(len(x), 1)]
            assert d2.min() < BOUNDS[0] and d2.max() > BOUNDS[1]
        assert references.squared_distances(*draw(n, m)).max() > BOUNDS[1]


# ---- forces

WEIGHTS = [(2.0, 1.0), (0.0, -1.0), (0.5, -0.5), (-1.0, -2.0)]
CASES = [
    *((name, {}, *rest) for name, (_, *rest) in particles.LOSSES.items()),
    *(("rep", {"rep_weights": weights}, weights, False) for weights in WEIGHTS),
    *(("rmb", {"rep_weights": weights}, weights, True) for weights in WEIGHTS),
]


@pytest.mark.parametrize("width", [1.0, 0.6])
@pytest.mark.parametrize("sizes", [(6, 6), (5, 3)], ids=str)
@pytest.mark.parametrize("name, given, weights, bounded", CASES)
def test_forces_are_minus_the_gradients_of_the_losses(
    name, given, weights, bounded, sizes, width
):
    """float32 on their side: gradients up to .3, each a sum of up to 10 terms."""
    real, fake = draw(*sizes)
    given = {**given, "kernel": f"rbf:{width}"} | (
        {"bounds": BOUNDS} if bounded else {}
    )
    loss = losses.get(name, **given)
    players = {
        loss.discriminator: particles.discriminator(
            weights, BOUNDS if bounded else None
        ),
        loss.generator: particles.GENERATOR,
    }
    for function, ours in players.items():
        with tf.GradientTape() as tape:
            scores = [tf.Variable(sample, dtype="float32") for sample in (real, fake)]
            value = function(*scores)
        truth = [-np.asarray(gradient) for gradient in tape.gradient(value, scores)]
        found = total(particles.forces(real, fake, ours, width))
        np.testing.assert_allclose(found[1], truth[1], atol=1e-6)
        if ours.moves_real:
            np.testing.assert_allclose(found[0], truth[0], atol=1e-6)
        else:
            assert not found[0].any()


@pytest.mark.parametrize("sizes", [(6, 6), (5, 3)], ids=str)
def test_each_force_is_minus_the_gradient_of_its_mean(sizes):
    """Central differences of steps 1e-6 in float64: errors of 1e-10."""
    real, fake = draw(*sizes)
    mean = off(lambda x, y: references.rbf(x, y, 0.8))
    loss = particles.Loss(rr=0.7, ff=-1.3, rf=2.1)
    gradient = references.numerical_gradient
    truths = {
        "rr": -0.7 * gradient(lambda x: mean(x, x), real),
        "ff": 1.3 * gradient(lambda y: mean(y, y), fake),
        "rf": -2.1 * gradient(lambda x: mean(x, fake), real),
        "fr": -2.1 * gradient(lambda y: mean(real, y), fake),
    }
    found = particles.forces(real, fake, loss, 0.8)
    assert set(found) == set(truths)
    for part, truth in truths.items():
        np.testing.assert_allclose(found[part], truth, atol=1e-9)


@pytest.mark.parametrize("weights", [(2, 1), (0, -1), (0.5, -0.5)])
def test_bounded_forces_are_those_of_the_bounded_loss(weights):
    real, fake = draw(6, 6)

    def of_squares(d2):
        return np.exp(-d2 / (2 * 1.1**2))

    def value(x, y):
        return references.bounded(x, y, of_squares, weights, *BOUNDS)[1]

    loss = particles.discriminator(weights, BOUNDS)
    found = total(particles.forces(real, fake, loss, 1.1))
    truths = [
        -references.numerical_gradient(lambda x: value(x, fake), real),
        -references.numerical_gradient(lambda y: value(real, y), fake),
    ]
    for ours, truth in zip(found, truths):
        np.testing.assert_allclose(ours, truth, atol=1e-9)


def test_forces_by_hand():
    """Pairs at distance 1, width 1: k' is e^-.5; both orders are in a sample's mean,
    and pairs i = j are in none, so that of four cross pairs two count."""
    real, fake = np.array([[0.0, 0], [1, 0]]), np.array([[0.0, 3], [0, 4]])
    on = particles.forces(real, fake, REPULSIVE, 1.0)
    k = math.exp(-0.5)
    np.testing.assert_allclose(on["rr"], [[-k, 0], [k, 0]])  # apart
    np.testing.assert_allclose(on["ff"], [[0, k], [0, -k]])  # together
    assert not on["rf"].any() and not on["fr"].any()
    pulled = particles.forces(real, fake, particles.GENERATOR, 1.0)["fr"]
    # -2 k_rf: to (1, 0) at squared distance 10, and to (0, 0) at 16.
    np.testing.assert_allclose(
        pulled, [[math.exp(-5), -3 * math.exp(-5)], [0, -4 * math.exp(-8)]]
    )


@pytest.mark.parametrize(
    "distance, real_moves, fake_moves",
    [(0.4, True, False), (0.6, True, True), (1.9, True, True), (2.1, False, True)],
)
def test_bounds_stop_the_forces(distance, real_moves, fake_moves):
    pair = np.array([[0.0, 0], [distance, 0]])
    on = particles.forces(pair, pair + 50, BOUNDED, 1.0)
    assert on["rr"].any() == real_moves and on["ff"].any() == fake_moves


def test_a_loss_is_its_attraction_and_its_repulsion():
    real, fake = draw(6, 6)
    for weights in [(2.0, 1.0), (0.0, -1.0), (0.5, -0.5)]:
        loss = particles.discriminator(weights, BOUNDS)
        pull, push = loss.attraction(), loss.repulsion()
        parts = [particles.forces(real, fake, part, 1.0) for part in (pull, push, loss)]
        for name in parts[0]:
            np.testing.assert_allclose(parts[0][name] + parts[1][name], parts[2][name])
    attractive = particles.discriminator((2.0, 1.0))
    assert attractive.attraction() == particles.Loss(-1.0, -1.0, 0.0)
    assert attractive.repulsion() == particles.Loss(0.0, 0.0, 2.0)
    assert particles.GENERATOR.attraction() == particles.Loss(0, 0, -2, {}, False)


def test_the_order_and_the_place_of_particles_mean_nothing():
    real, fake = draw(5, 5)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    order = [3, 1, 0, 4, 2]
    for loss in (particles.discriminator((2.0, 1.0), BOUNDS), particles.GENERATOR):
        on = particles.forces(real, fake, loss, 1.0)
        moved = particles.forces(
            real[order] @ turn + 7, fake[order] @ turn + 7, loss, 1.0
        )
        for name, force in on.items():
            np.testing.assert_allclose(moved[name], force[order] @ turn, atol=1e-12)


# ---- ways


def test_summary_by_hand():
    """Squared distances 1, 4, 5 within the fakes, 1, 5, 10 within the reals."""
    real = np.array([[1.0, 1], [2, 1], [-1, 0]])
    fake = np.array([[0.0, 0], [1, 0], [0, 2]])
    found = particles.summary(real, fake, 1.0)
    assert found["k_ff"] == pytest.approx(sum(map(math.exp, (-0.5, -2, -2.5))) / 3)
    assert found["k_rr"] == pytest.approx(sum(map(math.exp, (-0.5, -2.5, -5))) / 3)
    assert found["distance_ff"] == pytest.approx((1 + 2 + math.sqrt(5)) / 3)
    # i != j: (0,1), (0,2), (1,0), (1,2), (2,0), (2,1)
    across = [1, 2, 5, 5, 1, 4]
    assert found["k_rf"] == pytest.approx(np.exp(-np.array(across) / 2).mean())
    assert found["distance_rf"] == pytest.approx(np.sqrt(across).mean())


def test_a_film_is_gradient_descent():
    """Two pairs far from each other: r' = 2 k r away, or together, of their distance,
    here by Euler's steps; then the generator's loss moves the fakes alone."""
    real, fake = np.array([[0.0, 0], [1, 0]]), np.array([[90.0, 0], [91, 0]])
    acts = (REPULSIVE, 3), (particles.GENERATOR, 2)
    shown = particles.film(real, fake, acts, width=0.8, rate=0.1)
    assert shown.real.shape == shown.fake.shape == (6, 2, 2)
    apart, together = [1.0], [1.0]
    for step in range(5):
        for way, sign in [(apart, 1 if step < 3 else 0), (together, [-1, 1][step > 2])]:
            k = math.exp(-(way[-1] ** 2) / (2 * 0.64))
            way.append(way[-1] + sign * 0.1 * 2 * k * way[-1] / 0.64)
    np.testing.assert_allclose(np.diff(shown.real[..., 0])[:, 0], apart)
    np.testing.assert_allclose(np.diff(shown.fake[..., 0])[:, 0], together)
    assert not shown.real[..., 1].any()


@pytest.mark.parametrize("weights", [(2.0, 1.0), (0.0, -1.0)])
@pytest.mark.parametrize("bounds", [None, BOUNDS])
def test_each_step_goes_down(weights, bounds):
    real, fake = particles.start(5, 0.4, 1.5, seed=1)
    loss = particles.discriminator(weights, bounds)
    shown = particles.film(real, fake, [(loss, 40), (particles.GENERATOR, 40)])

    def values(x, y):  # the distances are free between 0 and infinity
        low, high = bounds or (0, math.inf)
        return references.bounded(x, y, lambda d2: np.exp(-d2 / 2), weights, low, high)

    found = np.array([values(x, y) for x, y in zip(shown.real, shown.fake)])
    assert (np.diff(found[:41, 1]) < 0).all()
    assert (np.diff(found[40:, 0]) < 0).all()
    assert (shown.real[40:] == shown.real[40]).all()


def test_bounds_end_contraction_and_expansion():
    """Two pairs: they stop within one step, .02 * 2 k d, of .5 and of 2; without
    bounds the one ends in a point and the other never."""
    real, fake = np.array([[0.0, 0], [1, 0]]), np.array([[9.0, 0], [9, 0.9]])

    def ends(loss):
        shown = particles.film(real, fake, [(loss, 600)])
        return [np.linalg.norm(way[-1, 0] - way[-1, 1]) for way in shown[:2]]

    apart, together = ends(BOUNDED)
    assert 2 <= apart < 2 + 0.04 * 2 * math.exp(-2)
    assert 0.5 - 0.04 * 0.5 * math.exp(-0.125) < together <= 0.5
    apart, together = ends(REPULSIVE)
    assert apart > 2.8 and together < 1e-6


def test_what_the_losses_do_to_samples():
    """Wang et al. (2019), section 3: the attractive loss contracts the real scores,
    the repulsive one spreads them; both contract the fake ones, and the attractive
    one drives the samples out of each other's reach."""
    before = particles.summary(*particles.start(6, 0.4, 1.5, seed=0), 1.0)
    after = {}
    for name, (_, weights, bounded) in particles.LOSSES.items():
        loss = particles.discriminator(weights, BOUNDS if bounded else None)
        shown = particles.film(*particles.start(6, 0.4, 1.5, seed=0), [(loss, 450)])
        after[name] = particles.summary(shown.real[-1], shown.fake[-1], 1.0)
    for name, found in after.items():
        spreads = found["distance_rr"] > before["distance_rr"]
        assert spreads == (name in ("rep", "rmb"))
        assert found["distance_ff"] < before["distance_ff"]
        assert (found["k_rf"] < 0.5 * before["k_rf"]) == (name in ("mmd_g", "mgb"))
    for free, held in [("mmd_g", "mgb"), ("rep", "rmb")]:
        assert after[free]["distance_ff"] < 0.1 < after[held]["distance_ff"]


def test_the_start_is_drawn_around_two_centres():
    """2000 particles: means within .05 (7 sd), standard deviations within 7%."""
    real, fake = particles.start(2000, 0.3, 4.0, seed=5)
    for sample, centre in [(real, -2), (fake, 2)]:
        assert sample.shape == (2000, 2)
        np.testing.assert_allclose(sample.mean(0), [centre, 0], atol=0.05)
        np.testing.assert_allclose(sample.std(0), 0.3, rtol=0.07)
    again = particles.start(2000, 0.3, 4.0, seed=5)
    assert (real == again[0]).all() and (fake == again[1]).all()
    assert (real != particles.start(2000, 0.3, 4.0, seed=6)[0]).all()


# ---- pictures


def test_the_arrows_of_a_film_are_its_forces():
    real, fake = particles.start(4, 0.4, 1.5, seed=0)
    loss = particles.discriminator((2.0, 1.0))
    shown = particles.film(real, fake, [(loss, 3), (particles.GENERATOR, 2)], rate=0.5)
    for step, own in [(0, loss), (2, loss), (3, particles.GENERATOR)]:
        arrows = particles._arrows(shown, step)
        assert list(arrows) == ["attraction", "repulsion"]
        moved = np.concatenate(
            [way[step + 1] - way[step] for way in (shown.real, shown.fake)]
        )
        np.testing.assert_allclose(0.5 * sum(arrows.values()), moved, atol=1e-12)
        on = particles.forces(shown.real[step], shown.fake[step], own, 1.0)
        pulls = [on["rr"], on["ff" if own is loss else "fr"]]
        np.testing.assert_allclose(arrows["attraction"], np.concatenate(pulls))


def near(picture, color, within):
    """How many pixels of a part of a picture have about that colour."""
    rows, columns = within
    part = picture[rows, columns].astype(int)
    return (np.abs(part - color).max(axis=-1) < 30).sum()


def test_run_writes_films_and_one_picture(tmp_path):
    figures = particles.run(tmp_path, **SMALL)
    assert {p.name for p in tmp_path.iterdir()} == {
        "particles.png",
        "rep.gif",
        "mgb.gif",
    }
    film = Image.open(tmp_path / "rep.gif")
    assert film.size == (600, 420) and film.n_frames == 3
    first = np.asarray(film.convert("RGB"))
    plane = slice(70, 340), slice(40, 420)  # without the legend
    for color in ([31, 119, 180], [255, 127, 14], [227, 119, 194], [0, 0, 0]):
        assert near(first, color, plane) > 20  # blue, orange, pink, black
    film.seek(2)
    assert film.info["duration"] == 1100  # the end stays
    assert (np.asarray(film.convert("RGB")) != first).any()
    assert Image.open(tmp_path / "particles.png").size == (1000, 680)
    assert set(figures) == {
        f"{name}_{key}_{pair}_after_{player}"
        for name in ("rep", "mgb")
        for key in ("k", "distance")
        for pair in ("rr", "ff", "rf")
        for player in "dg"
    }
    assert all(type(value) is float for value in figures.values())


def test_runs_figures_are_those_of_the_films(tmp_path):
    """The bounds are those of the bounded loss alone; they hold some pairs here."""
    changed = {"frames": 2, "seed": 3, "width": 0.7, "bounds": [0.1, 0.5], "rate": 0.1}
    figures = particles.run(tmp_path, **SMALL | changed | {"losses": ["rep", "rmb"]})
    for name, bounds in [("rep", None), ("rmb", (0.1, 0.5))]:
        acts = (particles.discriminator((0, -1), bounds), 4), (particles.GENERATOR, 6)
        shown = particles.film(*particles.start(3, 0.4, 1.5, 3), acts, 0.7, 0.1)
        for player, step in [("d", 4), ("g", 10)]:
            truth = particles.summary(shown.real[step], shown.fake[step], 0.7)
            for key, value in truth.items():
                assert figures[f"{name}_{key}_after_{player}"] == value
    assert figures["rep_k_rr_after_d"] != figures["rmb_k_rr_after_d"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_particles_that_nothing_moves_are_drawn_too(tmp_path):
    changed = {"losses": ["rmb"], "frames": 2, "width": 1e-3, "gap": 9.0}
    particles.run(tmp_path, **SMALL | changed)
    assert Image.open(tmp_path / "rmb.gif").n_frames == 2


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"losses": ["repp"]},
            "unknown loss of particles 'repp'; did you mean 'rep'?",
        ),
        ({"losses": []}, "losses is names of losses, one at least, not []"),
        ({"particles": 1}, "particles is a whole number from 2, not 1"),
        ({"spread": 0.0}, "spread is a number above 0, not 0.0"),
        ({"gap": -1.0}, "gap is a number from 0, not -1.0"),
        ({"width": 0.0}, "width is a number above 0, not 0.0"),
        ({"rate": math.nan}, "rate is a number above 0, not nan"),
        (
            {"discriminator_steps": 0},
            "discriminator_steps is a whole number from 1, not 0",
        ),
        ({"generator_steps": -1}, "generator_steps is a whole number from 1, not -1"),
        ({"frames": 1}, "frames is a whole number from 2, not 1"),
        (
            {"bounds": [4.0, 0.25], "losses": ["rmb"]},
            "bounds are two numbers, 0 <= low < high, not [4.0, 0.25]",
        ),
        (
            {"bounds": [0.25], "losses": ["mgb"]},
            "bounds are two numbers, 0 <= low < high, not [0.25]",
        ),
    ],
    ids=str,
)
def test_error_settings_that_cannot_be(settings, message, tmp_path):
    with pytest.raises(ValueError) as caught:
        particles.run(tmp_path, **SMALL | settings)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_every_rule_is_of_a_setting():
    assert set(particles._RULES) < set(inspect.signature(particles.run).parameters)
