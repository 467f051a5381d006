"""Losses against golden values and float64 NumPy, near and far."""

import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import references
import tensorflow as tf
import zoo
from references import bounded, mmd_loss, repulsive
from scipy import stats
from test_kernels import TRUTHS

from gantf import batch, criteria, kernels, losses, mixing, penalties, scaling, schedule

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


# What a step of a loss that draws or remembers is given in all that follows: omega is
# .05 + .8 * .4 by default, and rows 0, 3 and 4 are swapped.
OMEGA, SWAPS, NOISE = 0.37, (0.2, 0.5, 0.9, 0.1, 0.3, 0.7, 0.6, 0.8, 0.55), 0.25
SWAPPING = "mmd_g_mix", "sgm", "rand_g_mix", "sym_rg_mix"
STATES = {name: {"average": 0.3, "swaps": 0.4} for name in SWAPPING}
STATES["instance_noise"] = {"average": 0.3, "noise": NOISE}


class Given:
    """Those draws, and normal ones of a seed, in float32."""

    def uniform(self, stream, shape):
        if stream == "omega":
            assert tuple(shape) == ()
            return tf.constant(0.4)
        assert stream == "swaps"
        return tf.constant(SWAPS)[: shape[0], None]

    def normal(self, stream, shape):
        assert stream == "jitter"
        return tf.constant(draw(20, shape[1], seed=5))[: shape[0]]


def mixed(real, fake):
    return references.swapped(real, fake, np.array(SWAPS) < 0.4)


def noisy(real, fake):
    noise = np.log(1 + NOISE) * draw(len(real) + len(fake), real.shape[1], seed=5)
    return real + noise[: len(real)], fake + noise[len(real) :]


def plain(formula):
    return lambda r, f, at: formula(r, f)


def attractive(formula):
    return plain(lambda r, f: (formula(r, f), -formula(r, f)))


def mix(kernel):
    return plain(
        lambda r, f: (mmd_loss(r, f, kernel)[0], mmd_loss(*mixed(r, f), kernel)[1])
    )


def constant_diagonal(x, y):
    """mmd2 with 3 + the dot product, of which 3 alone is taken for a diagonal."""
    truth = references.mmd2(x, y, rq_stars, "unbiased")
    more = [np.sum(a**2) / len(a) / (len(a) - 1) for a in (x, y)]
    return truth + sum(more)


def rq_stars(x, y):
    return sum(references.rq(x, y, a) for a in (0.1, 1, 10)) + references.dot(x, y)


def to_normal(r, f):
    loss = mmd_loss(r, f, rbfs)[0]
    away = sum(references.normal_mmd2(r, 0.5 / s**2) for s in SIGMAS)
    return loss, away - loss


def to_wide_normal(r, f):
    """rbf:1 twice, all pairs, and a normal law of spread 2."""
    loss = 2 * references.mmd2(r, f, rbf, "biased")
    away = references.normal_mmd2(r, 0.5, spread=2)
    # Its mean over i != j becomes one over all.
    away += mean_of_all(rbf(r, r)) - references.mean_off_diagonal(rbf(r, r))
    return loss, 2 * away - loss


def mean_of_all(matrix):
    return references.mean(matrix)


def random_mmd(r, f, at):
    pool = np.concatenate(at)
    beta = references.beta_of_pairs(pool, pool, OMEGA)
    return mmd_loss(r, f, references.gaussian(beta))


def rand_g(r, f, at, omega=OMEGA, spread=1.0):
    loss = references.random_mmd2(r, f, omega, at)
    return loss, references.random_normal(r, omega, at[0], spread) - loss


def rand_g_mix(r, f, at):
    loss, _ = rand_g(r, f, at)
    on_mixed = references.random_mmd2(*mixed(r, f), OMEGA, mixed(*at))
    return loss, references.random_normal(r, OMEGA, at[0]) - on_mixed


def sym_rg(r, f, at):
    loss, _ = rand_g(r, f, at)
    sides = [
        references.random_normal(x, OMEGA, y, center=c)
        for x, y, c in ((r, at[0], 0.5), (f, at[1], -0.5))
    ]
    return loss, sum(sides) / 2 - loss


def sym_rg_mix(r, f, at):
    generator, discriminator = rand_g_mix(r, f, at)
    more = references.random_normal(f, OMEGA, at[1])
    return generator + more, discriminator - more


def rgb(r, f, at, weights=(2, 1), betas=(0.125, 2)):
    beta = np.clip(references.beta_of_pairs(*at, OMEGA), *betas)
    bounds = 0.125 / beta, 2 / beta
    return bounded(r, f, lambda d2: np.exp(-beta * d2), weights, *bounds)


def instance_noise(r, f, at):
    return rand_g(*noisy(r, f), noisy(*at))


# The list of losses with, for each, (real, fake, at) -> (generator's, discriminator's);
# random kernels have the width that is right for the scores `at`.
FORMULAS = [
    plain(lambda r, f: repulsive(r, f, rbf)),
    plain(lambda r, f: repulsive(r, f, rbf, (2, 1))),
    plain(
        lambda r, f: repulsive(
            r, f, lambda x, y: references.rq(x, y, 1), (-1, -2), "unbiased"
        )
    ),
    plain(lambda r, f: bounded(r, f, half)),
    None,  # in test_bounds_of_other_estimators
    plain(lambda r, f: bounded(r, f, half, (2, 1))),
    plain(lambda r, f: mmd_loss(r, f, rbfs)),
    plain(lambda r, f: mmd_loss(r, f, lambda x, y: rbf(x, y) + references.dot(x, y))),
    plain(lambda r, f: mmd_loss(r, f, rqs)),
    plain(lambda r, f: mmd_loss(r, f, references.distance, "unbiased")),
    plain(references.logistic),
    plain(references.hinge),
    *[plain(references.wasserstein)] * 4,
    plain(references.logistic),
    plain(references.least_squares),
    plain(lambda r, f: references.least_squares(r, f, -1, 1, 0)),
    plain(lambda r, f: repulsive(r, f, rbf)),
    plain(lambda r, f: np.subtract(repulsive(r, f, rbf), (0, 1))),
    plain(
        lambda r, f: np.subtract(
            repulsive(r, f, lambda x, y: references.rq(x, y, 1), (2, 1)), (0, 1)
        )
    ),
    plain(lambda r, f: bounded(r, f, half)),
    plain(lambda r, f: bounded(r, f, half)),
    plain(
        lambda r, f: mmd_loss(
            r, f, lambda x, y: rqs(x, y) + references.dot(x, y), "unbiased"
        )
    ),
    attractive(constant_diagonal),
    plain(lambda r, f: mmd_loss(r, f, rbf, "unbiased")),
    plain(lambda r, f: mmd_loss(r, f, rbf, "biased")),
    plain(
        lambda r, f: references.rooted(
            r, f, lambda x, y: sum(references.rbf(x, y, s) for s in (1, 2, 4, 8, 16))
        )
    ),
    plain(
        lambda r, f: references.rooted(
            r, f, lambda x, y: references.rbf(x, y, 2), weight=0.5
        )
    ),
    plain(references.cramer),
    plain(references.surrogate),
    plain(to_normal),
    plain(to_wide_normal),
    mix(rbfs),
    mix(rbf),
    random_mmd,
    rand_g,
    lambda r, f, at: rand_g(r, f, at, 0.5, 3),
    rand_g_mix,
    rgb,
    lambda r, f, at: rgb(r, f, at, (-1, -2), (0.7, 0.8)),
    sym_rg,
    sym_rg_mix,
    instance_noise,
]
FIRST = {name: i for i, (name, _) in reversed([*enumerate(zoo.LOSSES)])}
IDS = [
    name if FIRST[name] == i else f"{name} {parameters}"
    for i, (name, parameters) in enumerate(zoo.LOSSES)
]
CASES = [
    (name, parameters, formula)
    for (name, parameters), formula in zip(zoo.LOSSES, FORMULAS, strict=True)
    if formula
]
CASE_IDS = [name for name, formula in zip(IDS, FORMULAS) if formula]
FORMULATED = pytest.mark.parametrize("name, parameters, formula", CASES, ids=CASE_IDS)


def what(name, parameters):
    """The class and all parameters: names that differ in their use alone are one."""
    loss = losses.get(name, **parameters)
    return type(loss), str(loss.parameters)


LOSSES = {what(*case): i for i, case in reversed([*enumerate(zoo.LOSSES)])}
LOSSES = {IDS[i]: zoo.LOSSES[i] for i in sorted(LOSSES.values())}
ALL = pytest.mark.parametrize("name, parameters", LOSSES.values(), ids=LOSSES)
CLASSES = {what(*case)[0]: id_ for id_, case in reversed(LOSSES.items())}
CLASSES = {id_: LOSSES[id_] for id_ in CLASSES.values()}
SMOOTH = {id_: case for id_, case in zip(CASE_IDS, CASES) if id_ in LOSSES}


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


def both(name, parameters, real, fake):
    """The losses of a step from its state with its draws."""
    loss = losses.get(name, **parameters)
    state = STATES.get(name, {})
    assert set(state) == set(loss.state)
    return loss.step(real, fake, state, Given())[:2]


def step(name, parameters, real, fake):
    return tuple(map(float, both(name, parameters, real, fake)))


@FORMULATED
def test_values_agree_with_formulas(name, parameters, formula):
    width = losses.get(name).score_dim or 4
    for n, m in [(6, 6), (6, 9), (5, 3)]:
        real, fake = draw(n, width), 0.7 * draw(m, width, seed=1) + 0.3
        exact = real.astype(float), fake.astype(float)
        truth = formula(*exact, exact)
        found = step(name, parameters, real, fake)
        assert found == pytest.approx(truth, rel=1e-5, abs=2e-6), (n, m)  # float32


def test_bounds_of_other_estimators():
    """Two reals 1 apart, two fakes 3 apart; bounds 0.5 and 2; means of all pairs."""
    loss = losses.get("rmb", bounds=(0.5, 2.0), estimator="biased")
    real, fake = np.array([[0.0], [1.0]]), np.array([[0.0], [3.0]])
    k_rr = (half(0) * 2 + half(1) * 2) / 4
    k_ff = (half(0.5) * 2 + half(9) * 2) / 4
    assert float(loss.discriminator(real, fake)) == pytest.approx(k_rr - k_ff)


@ALL
def test_losses_called_alone_are_those_of_a_first_step_in_any_order(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 4
    real, fake = draw(7, width), draw(7, width, seed=1)
    *found, state = loss.step(real, fake, loss.state, criteria.FixedDraws())
    assert pair(loss, real, fake) == tuple(map(float, found))
    assert set(state) == set(loss.state)
    order = np.random.default_rng(2).permutation(7)  # joint: pairs i = j are left out
    if "cramer" in name:  # whose pairs are neighbours
        order = np.roll(np.arange(7), 3)
    # at a first step nothing is swapped, nor is there noise
    again = pair(loss, real[order], fake[order])
    assert again == pytest.approx([float(x) for x in found], rel=1e-5, abs=1e-6)


HARD = {
    "twins": lambda real, fake: (np.repeat(real[:3], 2, axis=0),) * 2,
    "a row of zeros": lambda real, fake: (real * (np.arange(6) > 2)[:, None],) * 2,
    "far": lambda real, fake: (1e3 * real, 1e3 * fake),
    "far apart": lambda real, fake: (real + 1e3, fake - 1e3),
    "near": lambda real, fake: (1e-20 * real, 1e-20 * fake),
    "one point": lambda real, fake: (real * 0 + 1, fake * 0 + 1),
    "zeros": lambda real, fake: (real * 0, fake * 0),
    "two points": lambda real, fake: (real * 0, fake * 0 + 1e3),
    "a point and others": lambda real, fake: (real, fake * 0),
    "half a point": lambda real, fake: (np.repeat(real[:2], 3, axis=0), real),
}


@pytest.mark.parametrize("name, parameters", CLASSES.values(), ids=CLASSES)
def test_losses_and_gradients_are_finite_in_graphs(name, parameters):
    """In graphs, which take half a second each, that know no size of batches."""
    width = losses.get(name).score_dim or 3
    spec = tf.TensorSpec((None, width))

    @tf.function(input_signature=[spec, spec], autograph=False)
    def run(real, fake):
        with tf.GradientTape() as tape:
            tape.watch([real, fake])
            values = both(name, parameters, real, fake)
            total = values[0] + 2.0 * values[1]  # finite if both are
        slopes = tape.gradient(total, [real, fake], unconnected_gradients="zero")
        return values, slopes

    for where, make in HARD.items():
        scores = make(draw(6, width), draw(6, width, seed=1))
        values, slopes = run(*(score.astype("float32") for score in scores))
        for number in (*values, *slopes):
            assert np.isfinite(number).all(), where
    for n, m in ((4, 6), (6, 5)):
        real, fake = draw(n, width), draw(m, width, seed=1)
        values, _ = run(real, fake)
        truth = step(name, parameters, real, fake)
        assert tuple(map(float, values)) == pytest.approx(truth, rel=1e-5, abs=1e-6)


def is_radial(name, parameters):
    """Functions of distances with room for 1e-6: not those of the origin."""
    kernel = losses.get(name, **parameters).kernel
    if kernel is None or name in ("li", "mmd_g_xn"):
        return False
    return not {"dot", "distance"} & {f.name for t in kernel.terms for f in t.factors}


RADIAL = [case for case in SMOOTH.values() if is_radial(*case[:2])]


@pytest.mark.parametrize("name, parameters, formula", RADIAL)
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_scores_far_from_the_origin_lose_nothing(name, parameters, formula, shift):
    """Against float64 of the same numbers; a Gram matrix would be off by 10."""
    real, fake = draw(8, 4) + np.float32(shift), draw(8, 4, seed=1) + np.float32(shift)
    truth = formula(real.astype(float), fake.astype(float), None)
    found = step(name, parameters, real, fake)
    assert found == pytest.approx(truth, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("name, parameters, formula", RADIAL)
def test_clusters_far_apart(name, parameters, formula):
    side = np.array([[1e4], [-1e4]] * 4, "float32")
    real, fake = draw(8, 4) + side, draw(8, 4, seed=1) + side
    truth = formula(real.astype(float), fake.astype(float), None)
    found = step(name, parameters, real, fake)
    assert found == pytest.approx(truth, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("name, parameters", CLASSES.values(), ids=CLASSES)
def test_losses_are_float32_whatever_comes(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 4
    scores = draw(6, width), draw(6, width, seed=1)
    for dtype in ("bfloat16", "float64"):
        real, fake = (tf.cast(score, dtype) for score in scores)
        found = both(name, parameters, real, fake)
        exact = (tf.cast(score, "float32") for score in (real, fake))
        assert [float(x) for x in found] == [*step(name, parameters, *exact)]
        points = loss.witness(real, real, fake)
        for value in (*found, points, *loss.monitors(real, fake).values()):
            assert keras.backend.standardize_dtype(value.dtype) == "float32"


@pytest.mark.parametrize("name, parameters, formula", SMOOTH.values(), ids=SMOOTH)
def test_gradients_agree_with_finite_differences(name, parameters, formula):
    """Of the formulas in float64; random kernels keep their widths meanwhile."""
    width = losses.get(name).score_dim or 2
    scores = [draw(4, width), draw(5, width, seed=1)]
    moved = [tf.Variable(score) for score in scores]
    with tf.GradientTape(persistent=True) as tape:
        values = both(name, parameters, *moved)
    exact = [score.astype(float) for score in scores]
    for index, side in itertools.product((0, 1), (0, 1)):

        def value(x, index=index, side=side):
            return formula(*(exact[:side] + [x] + exact[side + 1 :]), exact)[index]

        found = tape.gradient(values[index], moved[side])
        found = np.zeros((1, 1)) if found is None else found
        truth = references.numerical_gradient(value, exact[side])
        np.testing.assert_allclose(found + 0 * truth, truth, rtol=1e-4, atol=2e-5)


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


STEPS = "5,more=100,first=25,every=500", "5,more=10,first=20,every=500"  # Li, Arbel
USAGE = {  # of those that want more than a simultaneous update
    "rep_gp": {"penalties": (("witness_gp", {"weight": 0.1}),)},
    "rmb_gp": {"penalties": (("witness_gp", {"weight": 0.1}),)},
    "rep_ds": {"scaling": ("slope", {})},
    "rmb_ds": {"scaling": ("slope", {})},
    "mmd": {
        "penalties": (("witness_gp", {"weight": 1.0}), ("feature_l2", {"weight": 1.0})),
        "critic_steps": 5,
    },
    "li": {
        "penalties": (("autoencoder", {"weight": 8.0}),),
        "clip": 0.01,
        "critic_steps": STEPS[0],
    },
    "cramer": {"penalties": (("cramer_gp", {"weight": 10.0}),), "critic_steps": 5},
    "reddit_cramer": {
        "penalties": (("cramer_gp", {"weight": 10.0}),),
        "critic_steps": 5,
    },
    "smmd": {"scaling": ("smmd", {}), "critic_steps": STEPS[1]},
    "gcmmd": {"scaling": ("gcmmd", {}), "critic_steps": STEPS[1]},
    "swgan": {"scaling": ("swgan", {}), "critic_steps": STEPS[1]},
    "sobolev": {
        "penalties": (("sobolev", {}), ("kernel_l2", {})),
        "critic_steps": STEPS[1],
    },
    "wgan": {"clip": 0.01, "critic_steps": 5},
    "wasserstein": {"penalties": (("gp", {"weight": 10.0}),), "critic_steps": 5},
    "dragan": {"penalties": (("dragan", {}),)},
}


@pytest.mark.parametrize("name", losses.names())
def test_losses_say_what_they_are_meant_to_be_used_with(name):
    loss = losses.get(name)
    one = "logistic dragan hinge lsgan wasserstein wgan swgan sobolev".split()
    assert loss.score_dim == (1 if name in one else None)
    wanted = {"penalties": (), "scaling": None, "clip": None, "critic_steps": 1}
    wanted |= USAGE.get(name, {})
    wanted["update"] = "simultaneous" if wanted["critic_steps"] == 1 else "alternating"
    assert {key: getattr(loss, key) for key in wanted} == wanted
    assert loss.source
    # All of it exists, and a run's settings can hold it.
    assert json.loads(json.dumps(loss.parameters)).keys() == loss.parameters.keys()
    again = losses.get(name, **json.loads(json.dumps(loss.parameters)))
    assert again.name == name
    for penalty, parameters in loss.penalties:
        assert penalties.get(penalty, **parameters).name == penalty
    if loss.scaling:
        assert scaling.get(loss.scaling[0], **loss.scaling[1]).name == loss.scaling[0]
    assert str(schedule.read(loss.critic_steps)) == str(loss.critic_steps)


@pytest.mark.parametrize(
    "alias, name",
    [
        ("fixed_g", "mmd_g"),
        ("fixed_t", "mmd_t"),
        ("rep_mmd_g", "rep"),
        ("rep_b", "rmb"),
        ("rep_mmd_b", "rmb"),
        ("fixed_g_mix", "mmd_g_mix"),
        ("mixture_g_xn", "mmd_g_xn"),
        ("sym_rand_g", "sym_rg"),
        ("ins_noise", "instance_noise"),
        ("sobolev_gan", "sobolev"),
        ("wgan_gp", "wasserstein"),
        ("gan", "logistic"),
    ],
)
def test_other_names_give_the_loss_under_its_own(alias, name):
    loss = losses.get(alias)
    assert alias not in losses.names()
    assert (loss.name, type(loss)) == (name, type(losses.get(name)))
    assert loss.parameters == losses.get(name).parameters


def test_the_kernel_of_a_loss_is_there_for_penalties_and_scalings():
    found = {name: losses.get(name).kernel for name in losses.names()}
    one = "rep_gp rep_ds rmb_gp rmb_ds smmd gcmmd sgm rep rmb mgb".split()
    assert {name for name, k in found.items() if str(k) == "rbf:1"} == set(one)
    assert str(found["mmd"]) == "rq:0.2,0.5,1,2,5+dot"
    assert str(found["li"]) == "rbf:1,2,4,8,16"


# ---- the witness


@ALL
def test_the_witness_is_what_the_discriminator_makes_large(name, parameters):
    loss = losses.get(name, **parameters)
    width = loss.score_dim or 3
    points, real, fake = draw(5, width), draw(4, width, seed=1), draw(6, width, seed=2)
    found = loss.witness(points, real, fake)
    assert found.shape == (5,)
    if loss.score_dim == 1:
        truth = points[:, 0]
    elif "cramer" in name:
        truth = [
            np.mean([references.length(t - f) for f in fake]) - references.length(t)
            for t in points
        ]
    else:
        kernel = loss.kernel  # which has tests of its own
        if kernel is None:  # a random one
            fixed = loss.omega(criteria.FixedDraws())
            kernel = references.gaussian(float(loss.beta(real, fake, fixed)))
        real, fake = (np.asarray(kernel(points, sample)) for sample in (real, fake))
        truth = real.mean(1) - fake.mean(1)
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-6)


def test_cramers_discriminator_makes_its_witness_large():
    """The mean of L_D over all orders of four fakes is mean w(f) - mean w(r), where
    w(f_i) is over the other three fakes, not over all four as the witness has it."""
    loss = losses.get("cramer")
    real, fake = draw(4, 3), draw(4, 3, seed=1)
    orders = itertools.permutations(range(4))
    found = np.mean([loss.discriminator(real, fake[[*order]]) for order in orders])
    w_real, w_fake = (np.mean(loss.witness(x, real, fake)) for x in (real, fake))
    size = np.linalg.norm(fake, axis=1).mean()
    w_fake = (w_fake + size) * 4 / 3 - size
    assert found == pytest.approx(w_fake - w_real, rel=1e-5)


def test_cramers_pairs_are_independent():
    """Over all orders of the rows L_G is twice the mean distance of r and f, less that
    of different fakes: the energy distance but for its part without f."""
    real, fake = draw(3, 2), draw(3, 2, seed=1)
    orders = [[*order] for order in itertools.permutations(range(3))]
    for name in ("cramer", "reddit_cramer"):
        loss = losses.get(name)
        found = np.mean(
            [loss.generator(real[a], fake[b]) for a in orders for b in orders]
        )
        across = np.sqrt(references.squared_distances(real, fake)).mean()
        within = references.mean_off_diagonal(
            np.sqrt(references.squared_distances(fake, fake))
        )
        sizes = (
            np.linalg.norm(fake, axis=1).mean() - np.linalg.norm(real, axis=1).mean()
        )
        truth = {
            "cramer": 2 * across - within,
            "reddit_cramer": across - within + sizes,
        }
        assert found == pytest.approx(truth[name], rel=1e-5)


def test_a_fake_alone_has_no_partner():
    with pytest.raises(ValueError) as caught:
        losses.get("cramer").generator(draw(3, 2), draw(1, 2))
    assert str(caught.value) == "pairs of fakes need two rows at least, not one"


# ---- losses that draw and remember


def close(found, truth):
    assert {key: float(value) for key, value in found.items()} == pytest.approx(
        truth, rel=1e-5, abs=1e-9
    )


@pytest.mark.parametrize("name", SWAPPING)
@pytest.mark.parametrize("threshold", [-50.0, 0.25, 50.0])
def test_how_often_scores_are_swapped_follows_the_generators_loss(name, threshold):
    """By hand: a hundredth of the way, and a hundredth of the distance from there."""
    loss = losses.get(name, threshold=threshold)
    real, fake = draw(6, 3), draw(6, 3, seed=1) + 1
    state = {"average": 0.3, "swaps": 0.2}
    value, _, found = loss.step(real, fake, state, Given())
    average = 0.99 * 0.3 + 0.01 * float(value)
    swaps = {-50.0: 0.5, 0.25: 0.2 + 0.01 * (average - 0.25), 50.0: 0.0}[threshold]
    close(found, {"average": average, "swaps": swaps})


@pytest.mark.parametrize("threshold", [-1e4, 0.25, 1e4])
def test_how_much_noise_scores_have_follows_the_generators_loss(threshold):
    loss = losses.get("instance_noise", threshold=threshold)
    real, fake = draw(6, 3), draw(6, 3, seed=1) + 1
    state = {"average": 0.3, "noise": 0.2}
    value, _, found = loss.step(real, fake, state, Given())
    average = 0.99 * 0.3 + 0.01 * float(value)
    noise = {-1e4: 1.7183, 0.25: 0.2 + 0.001 * (average - 0.25), 1e4: 0.0}[threshold]
    close(found, {"average": average, "noise": noise})
    assert np.log1p(1.7183) == pytest.approx(1, abs=1e-5)


def test_what_is_remembered_moves_no_weight():
    fake = tf.Variable(draw(6, 3))
    for name in ("mmd_g_mix", "rand_g_mix", "instance_noise"):
        with tf.GradientTape() as tape:
            *_, state = losses.get(name).step(
                draw(6, 3, seed=1), fake, STATES[name], Given()
            )
            total = sum(state.values())
        assert tape.gradient(total, fake) is None


def test_thresholds_and_first_states():
    found = {name: losses.get(name) for name in losses.names()}
    thresholds = {
        name: loss.parameters["threshold"]
        for name, loss in found.items()
        if "threshold" in loss.parameters
    }
    assert thresholds == {
        "mmd_g_mix": 1.0,
        "sgm": 0.2,
        "rand_g_mix": 0.2,
        "sym_rg_mix": 0.2,
        "instance_noise": 0.2,
    }
    for name, loss in found.items():
        assert set(loss.state) == set(STATES.get(name, {}))
        assert not any(loss.state.values())


def test_scores_are_swapped_with_their_probability():
    """2000 pairs: a share is off by more than 5 of its standard deviations once in
    1.7 million."""
    real, fake = np.arange(2000.0)[:, None], 5000 + np.arange(2000.0)[:, None]
    for index, p in enumerate((0.1, 0.5)):
        draws = batch.Draws(seed=3, index=index)
        one, two = map(np.ravel, mixing.swapped(real, fake, p, draws))
        moved = one >= 5000
        assert abs(moved.mean() - p) < 5 * np.sqrt(p * (1 - p) / 2000)
        assert (two[moved] == np.arange(2000)[moved]).all()  # both, in their places
        assert (one[moved] == 5000 + np.arange(2000)[moved]).all()
    found = mixing.swapped(real, fake, 0.0, batch.Draws())
    np.testing.assert_array_equal(found, (real, fake))


def test_omegas_are_uniform_between_their_bounds():
    """Kolmogorov-Smirnov at a false-alarm rate of 1 in 10,000; the seed is fixed."""
    loss = losses.get("rand_g")
    omegas = [float(loss.omega(batch.Draws(seed=1, index=i))) for i in range(300)]
    assert stats.kstest(omegas, stats.uniform(0.05, 0.8).cdf).pvalue > 1e-4
    fixed = losses.get("rand_g", omegas=(0.3, 0.3))
    assert float(fixed.omega(batch.Draws())) == pytest.approx(0.3)


def test_fixed_draws_are_fixed():
    for draws in (criteria.FixedDraws(), batch.Draws()):
        values = np.asarray(draws.uniform("swaps", (500, 1)))
        assert (values == np.asarray(draws.uniform("swaps", (500, 1)))).all()
        # Kolmogorov-Smirnov as above
        assert stats.kstest(values.ravel(), "uniform").pvalue > 1e-4
        values = np.asarray(draws.normal("jitter", (500, 1)))
        assert stats.kstest(values.ravel(), "norm").pvalue > 1e-4
        assert float(draws.uniform("omega", ())) != float(draws.uniform("swaps", ()))


@pytest.mark.parametrize("width", [1, 16])
@pytest.mark.parametrize("omega", [0.05, 0.5, 0.85])
def test_random_kernels_have_the_mean_that_was_drawn(width, omega):
    """Three steps of Newton end above it, by .045 at most for these scores."""
    real, fake = 3 * draw(32, width), 2 * draw(32, width, seed=1) + 1
    loss = losses.get("rand_g", omegas=(omega, omega))
    beta = float(loss.beta(real, fake, tf.constant(omega)))
    k = references.gaussian(beta)
    found = references.mean_off_diagonal(k(real, fake))
    assert omega - 1e-5 < found < omega + 0.045
    pooled = losses.get("rand_mmd_g", omegas=(omega, omega))
    beta = float(pooled.beta(real, fake, tf.constant(omega)))
    pool = np.concatenate([real, fake])
    found = references.mean_off_diagonal(references.gaussian(beta)(pool, pool))
    assert omega - 1e-5 < found < omega + 0.045


@pytest.mark.parametrize("name", ["rand_g", "rand_mmd_g"])
@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_random_kernels_know_no_unit(name, scale):
    real, fake = draw(6, 3), draw(6, 3, seed=1) + 1
    loss = losses.get(name)
    found = float(loss.generator(np.float32(scale) * real, np.float32(scale) * fake))
    assert found == pytest.approx(float(loss.generator(real, fake)), rel=1e-4)


@pytest.mark.parametrize("width, center", [(1, 0.0), (16, -0.5)])
def test_scores_with_the_normal_law_have_no_distance_to_it(width, center):
    """The mean of 30 unbiased estimates is within 5 standard errors of 0."""
    rng, spread = np.random.default_rng(7), 1.5
    loss = losses.get("rand_g", spread=spread, estimator="unbiased")
    found = [
        float(loss.to_normal(tf.constant(x, tf.float32), tf.constant(0.4), center))
        for x in rng.normal(center, np.sqrt(spread / 2 / width), (30, 32, width))
    ]
    assert abs(np.mean(found)) < 5 * np.std(found) / np.sqrt(30)


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
            "xyz",
            {},
            f"unknown loss 'xyz'; known: {', '.join(losses.names())}",
        ),
        (None, {}, f"unknown loss None; known: {', '.join(losses.names())}"),
        (["rep"], {}, "unknown loss ['rep']; did you mean 'rep'?"),
        ("wgan_gp", {"x": 1}, "loss 'wasserstein' has no parameter 'x'; it takes none"),
        (
            "mmd_g_mix",
            {"threshold": "1"},
            "threshold is a number, not '1'",
        ),
        ("sgm", {"threshold": float("inf")}, "threshold is a number, not inf"),
        ("li", {"rank_weight": -1}, "rank_weight is a number from 0, not -1"),
        ("lsgan", {"b": True}, "b is a number, not True"),
        ("rand_g", {"spread": 0}, "spread is a number above 0, not 0"),
        (
            "rand_g",
            {"omegas": (0.0, 0.5)},
            "omegas are (low, high), 0 < low <= high < 1, not (0.0, 0.5)",
        ),
        (
            "rand_mmd_g",
            {"omegas": 0.5},
            "omegas are (low, high), 0 < low <= high < 1, not 0.5",
        ),
        (
            "rgb",
            {"betas": (1, 0.5)},
            "betas are (low, high), 0 < low <= high, not (1, 0.5)",
        ),
        (
            "mmd_g_xn",
            {"kernel": "rbf:1+rq:1"},
            "kernel rbf:1+rq:1 has no closed form with a normal law; sums of rbf have",
        ),
        (
            "mmd_g_xn",
            {"kernel": "tanh>rbf:1"},
            "kernel tanh>rbf:1 has no closed form with a normal law; sums of rbf have",
        ),
        (
            "mmd_g_xn",
            {"kernel": "rbf:1*rbf:2"},
            "kernel rbf:1*rbf:2 has no closed form with a normal law; sums of rbf have",
        ),
        (
            "rmb",
            {"estimator": "linear"},
            "unknown estimator 'linear'; known: unbiased, biased, ustat",
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
            "unknown estimator 'v'; known: unbiased, biased, ustat, constant_diagonal, "
            "linear, successive",
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


# ---- tools/show_losses.py


@pytest.fixture(scope="module")
def show_losses(tool):
    return tool("show_losses")


def test_the_table_names_for_every_loss_a_test_that_is_there(show_losses):
    head, *lines = show_losses.table(losses.names()).splitlines()
    assert head.split()[:3] == ["loss", "kernel", "score"]
    assert [line.split()[0] for line in lines] == losses.names()
    tests = [line.split()[-1] for line in lines]
    own = f"tests/{Path(__file__).name}::{test_values_agree_with_formulas.__name__}"
    assert tests == [f"{own}[{name}]" for name in losses.names()]
    assert set(losses.names()) <= set(CASE_IDS)


def test_the_table_says_what_a_loss_is_used_with(show_losses):
    assert show_losses.row("li")[:6] == [
        "li",
        "rbf:1,2,4,8,16",
        "any",
        "autoencoder:8 clip 0.01",
        "alternating 5,more=100,first=25,every=500",
        "Li et al. (2017)",
    ]
    assert show_losses.row("swgan")[1:5] == [
        "-",
        "1",
        "swgan",
        "alternating 5,more=10,first=20,every=500",
    ]
