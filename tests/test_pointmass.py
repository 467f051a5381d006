"""Two point masses: distances against searches and algebra, fields against games."""

import math
import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize

from gantf.theory import distances, pointmass

THETAS = [0.05, 0.7, -1.0, 3.0]
PSIS = [0.3, 1.0, -2.5]
LAMBDAS = [0.2, 1.0, 5.0]
PAIRS = pytest.mark.parametrize("theta", THETAS)
ALL_LAMBDAS = pytest.mark.parametrize("lambda_", LAMBDAS)


def k(x, y, psi):
    return math.exp(-((psi * (x - y)) ** 2) / 2)


def search(value, low=1e-3, high=1e3):
    """The maximum over psi by a fine grid and a bounded search near its best point."""
    grid = np.geomspace(low, high, 4001)
    best = int(np.argmax([float(value(psi)) for psi in grid]))
    found = optimize.minimize_scalar(
        lambda psi: -float(value(psi)),
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, 4000)]),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return -found.fun, found.x


@PAIRS
@pytest.mark.parametrize("psi", PSIS)
def test_mmd_is_that_of_the_kernel(theta, psi):
    truth = k(0, 0, psi) + k(theta, theta, psi) - 2 * k(0, theta, psi)
    assert distances.mmd2(theta, psi) == pytest.approx(truth, rel=1e-12)
    assert distances.bounded_mmd2(theta, 2.5) == distances.mmd2(theta, 2.5)
    # |psi| = 1: what a bound of 1 and spectral normalisation leave
    assert distances.bounded_mmd2(theta) == pytest.approx(
        max(2 - 2 * k(0, theta, c) for c in np.linspace(-1, 1, 101)), rel=1e-12
    )


def test_the_supremum_of_mmd_jumps_at_0():
    assert distances.sup_mmd2([0.0, 1e-9, -3.0]).tolist() == [0, 2, 2]
    for theta in (1e-6, 0.1, 10):  # 1 - exp(-32) rounds to less than 1e-13 below 1
        assert distances.mmd2(theta, 8 / theta) == pytest.approx(2, abs=1e-13)


def test_arrays_go_through_the_closed_forms():
    theta, psi = np.array([[0.0], [1.0], [-2.0]]), np.array([0.5, 1.0])
    for value in (
        distances.mmd2,
        distances.smmd2,
        distances.coded_smmd2,
        distances.dirac_gcmmd2,
        distances.wgan_gp,
        distances.mmd_gp,
    ):
        found = value(theta, psi)
        assert found.shape == (3, 2)
        assert found[2, 1] == pytest.approx(float(value(-2.0, 1.0)), rel=1e-14)
    assert distances.best_smmd2(theta)[0].shape == (3, 1)
    assert distances.best_wgan_gp(theta)[1].shape == (3, 1)


# ---- the scaled MMD


@ALL_LAMBDAS
@pytest.mark.parametrize("psi", PSIS)
def test_the_scale_is_the_norm_of_the_constraint(lambda_, psi):
    """Against d/dx d/dy k(x, y) at y = x by differences, h^2 psi^4 wide."""
    h = 1e-3
    mixed = (2 * k(0, 0, psi) - k(h, -h, psi) - k(-h, h, psi)) / (4 * h * h)
    truth = distances.mmd2(0.7, psi) / (lambda_ + 1 + mixed)
    assert distances.smmd2(0.7, psi, lambda_) == pytest.approx(truth, rel=1e-4)


@PAIRS
@pytest.mark.parametrize("lambda_", [-0.9, *LAMBDAS])
def test_best_smmd_is_what_a_search_finds(theta, lambda_):
    value, psi = distances.best_smmd2(theta, lambda_)
    found, place = search(partial(distances.smmd2, theta, lambda_=lambda_))
    assert value == pytest.approx(found, rel=1e-12)
    assert psi == pytest.approx(place, rel=1e-6)  # a flat top: the root of 1e-12
    assert distances.smmd2(theta, psi, lambda_) == pytest.approx(
        float(value), rel=1e-12
    )


def test_best_smmd_has_its_known_number():
    # a search over psi, made apart from this code
    value, psi = distances.best_smmd2(1.0)
    assert value == pytest.approx(0.317844432899373, abs=1e-15)
    assert psi == pytest.approx(1.5141, abs=5e-5)


def test_best_smmd_far_away_and_at_0():
    value, psi = distances.best_smmd2(np.array([0.0, 60.0]))
    assert value[0] == 0 and psi[0] == np.inf
    assert value[1] == pytest.approx(search(partial(distances.smmd2, 60.0))[0], 1e-12)
    # s ~ theta^2: the whole witness fits, at the price of 1 + lambda
    assert distances.best_smmd2(1e6, 3.0)[0] == pytest.approx(2 / 4, rel=1e-9)


def test_smmd_goes_like_theta():
    theta = np.array([1e-2, 1e-4, 1e-6])
    value, psi = distances.best_smmd2(theta, 3.0)
    # s = 1 + sqrt(c) theta to first order
    np.testing.assert_allclose(np.sqrt(value) / theta, 1 - theta, rtol=1e-3)
    np.testing.assert_allclose(psi**2 * theta, 2 * 2, rtol=2e-2)


@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_the_scale_of_the_code(weight):
    assert distances.coded_smmd2(0.7, 1.3, weight) == pytest.approx(
        distances.mmd2(0.7, 1.3) / (1 + weight * 1.3**2), rel=1e-13
    )
    value, psi = distances.best_coded_smmd2(0.7, weight)
    found, place = search(lambda c: distances.mmd2(0.7, c) / (1 + weight * c * c))
    assert value == pytest.approx(found, rel=1e-12)
    assert psi == pytest.approx(place, rel=1e-6)


# ---- the gradient-constrained MMD


def brute_gcmmd2(theta, psi, nodes, weights, lambda_):
    """b' N^+ b over f = sum of a_i k(c_i, .) + b_i d k(c_i, .), b' f = f(0) - f(theta).

    N is the constraint's form on these functions, whose span holds the best f by the
    representer theorem: centres are 0, theta and the nodes.
    """
    c = np.unique([0.0, theta, *nodes])
    d = np.subtract.outer
    q = psi**2

    def basis(x):  # values at x of k(c, x) and d/dc k(c, x), and their slopes in x
        gap = d(x, c)
        e = np.exp(-q * gap**2 / 2)
        return np.hstack([e, q * gap * e]), np.hstack(
            [-q * gap * e, q * (1 - q * gap**2) * e]
        )

    values, slopes = basis(np.asarray(nodes, float))
    at_c, slopes_at_c = basis(c)
    gram = np.vstack([at_c, q * 0 + slopes_at_c])  # <k(c), .> and <dk(c), .>
    form = values.T @ np.diag(weights) @ values + slopes.T @ np.diag(weights) @ slopes
    form += lambda_ * gram
    b = basis(np.array([0.0]))[0][0] - basis(np.array([theta]))[0][0]
    return b @ np.linalg.lstsq(form, b, rcond=1e-14)[0]


NODES = {
    "one": ([0.4], [1.0]),
    "some": ([-1.0, 0.0, 0.3, 2.0], [0.1, 0.4, 0.3, 0.2]),
    "heavy": ([-0.5, 1.5], [3.0, 0.0]),  # not a probability; one weight 0
}


@pytest.mark.parametrize("mu", NODES)
@pytest.mark.parametrize("psi", [0.6, 1.0, 2.5])
@ALL_LAMBDAS
def test_gcmmd_is_the_best_f(mu, psi, lambda_):
    for theta in (0.7, -2.0):
        found = distances.gcmmd2(theta, psi, *NODES[mu], lambda_)
        truth = brute_gcmmd2(theta, psi, *NODES[mu], lambda_)
        assert found == pytest.approx(truth, rel=1e-8)
        # no constraint: MMD^2 / lambda; the constraint takes some away
        assert 0 < found < distances.mmd2(theta, psi) / lambda_


@PAIRS
@pytest.mark.parametrize("psi", PSIS)
@ALL_LAMBDAS
def test_gcmmd_with_mu_at_0_has_its_closed_form(theta, psi, lambda_):
    found = distances.dirac_gcmmd2(theta, psi, lambda_)
    truth = distances.gcmmd2(theta, psi, [0.0], [1.0], lambda_)
    assert found == pytest.approx(truth, rel=1e-10)


def test_gcmmd_with_mu_at_0_has_its_known_number():
    # a solver of the representer theorem's system, apart from this code
    assert distances.dirac_gcmmd2(0.7, 1.0) == pytest.approx(
        0.26088879809074, abs=1e-14
    )


@ALL_LAMBDAS
def test_gcmmd_with_mu_at_0_still_jumps(lambda_):
    for theta in (1e-3, 0.1, 2.0):
        sup = distances.sup_dirac_gcmmd2(theta, lambda_)
        values = distances.dirac_gcmmd2(theta, np.geomspace(1e-3, 1e9, 500), lambda_)
        assert values.max() == pytest.approx(float(sup), rel=1e-6)
        assert (values <= sup * (1 + 1e-12)).all()
    assert distances.sup_dirac_gcmmd2(0.0, lambda_) == 0
    assert float(distances.sup_dirac_gcmmd2(1.0)) == 1.5  # (1 + 2) / (1 (1 + 1))


def ritz_gcmmd2(theta, psi, lambda_, spread):
    """For mu = N(0, spread^2), over f = sum of a_i k(c_i, .) on many centres.

    The constraint's form on them is Gaussian integrals; no nodes of mu are used. With
    more centres it grows to the truth.
    """
    ends = min(theta, 0) - 4 / psi - 8, max(theta, 0) + 4 / psi + 8
    c = np.arange(*ends, 0.55 / psi)
    q, t = psi**2, spread**-2.0
    gap, middle = np.subtract.outer(c, c), np.add.outer(c, c) / 2
    gram = np.exp(-q * gap**2 / 2)
    # k(c_i, x) k(c_j, x) = exp(-q gap^2 / 4) exp(-q (x - middle)^2), times the density
    mean, variance = 2 * q * middle / (2 * q + t), 1 / (2 * q + t)
    size = np.exp(-q * gap**2 / 4 - q * middle**2 * t / (2 * q + t))
    size *= math.sqrt(t * variance)
    # E (x - c_i)(x - c_j) under N(mean, variance)
    product = variance + (mean - c[:, None]) * (mean - c[None])
    form = size * (1 + q**2 * product) + lambda_ * gram
    b = np.exp(-q * c**2 / 2) - np.exp(-q * (c - theta) ** 2 / 2)
    return b @ np.linalg.lstsq(form, b, rcond=1e-13)[0]


@pytest.mark.parametrize("theta", [0.05, 0.7, -3.0])
@pytest.mark.parametrize("psi", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(("lambda_", "spread"), [(1.0, 10.0), (0.05, 1.0), (5.0, 3.0)])
def test_gcmmd_with_a_normal_mu(theta, psi, lambda_, spread):
    found = distances.normal_gcmmd2(theta, psi, lambda_, spread)
    truth = ritz_gcmmd2(theta, psi, lambda_, spread)
    assert found == pytest.approx(truth, rel=1e-5)  # the centres' end


@pytest.mark.parametrize(
    ("psi", "tolerance"),  # (width of f / spread)^2, and the integral's 1e-8
    [(1.0, 2e-4), (30.0, 1e-7), (1300.0, 1e-7)],
)
def test_gcmmd_where_mu_is_flat(psi, tolerance):
    """Where mu's density is p everywhere, waves are apart from each other:

    1/pi int over w > 0 of 2 (1 - cos w theta) / (p (1 + w^2) + lambda / K(w)), with
    K(w) = sqrt(2 pi) / psi exp(-w^2 / (2 psi^2)) the kernel's transform.
    """
    theta, spread = 1 / psi, 300.0
    density = 1 / (math.sqrt(2 * math.pi) * spread)
    wave = np.linspace(0, 14 * psi, 400_001)
    below = density * (1 + wave**2)
    below += psi / math.sqrt(2 * math.pi) * np.exp((wave / psi) ** 2 / 2)
    truth = integrate.trapezoid(2 * (1 - np.cos(wave * theta)) / below, wave) / math.pi
    found = distances.normal_gcmmd2(theta, psi, 1.0, spread)
    assert found == pytest.approx(truth, rel=tolerance)


def test_the_nodes_weigh_as_the_density():
    nodes, weights = distances.normal_nodes(0.5, 0.2, 1.0, 2.0)
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert weights @ nodes**2 == pytest.approx(4, abs=1e-4)  # the lattice ends at 8 sds
    twice = distances.normal_nodes(100.0, 5.0)[0]  # two places far from each other
    assert not ((twice > 10) & (twice < 90)).any()
    assert (abs(twice) < 1).any() and (abs(twice - 100) < 1).any()
    assert distances.normal_gcmmd2(1.0, 0.0) == 0


@pytest.mark.parametrize("seed", range(5))
def test_smmd_is_at_most_gcmmd(seed):
    """For the same mu and lambda: its function meets the constraint."""
    random = np.random.default_rng(seed)
    nodes, weights = random.normal(size=9), random.dirichlet(np.ones(9))
    for theta, psi, lambda_ in random.uniform(0.1, 3, (20, 3)):
        scaled = distances.smmd2(theta, psi, lambda_)
        assert scaled <= distances.gcmmd2(theta, psi, nodes, weights, lambda_)
        assert scaled <= distances.normal_gcmmd2(theta, psi, lambda_, 2.0)
        assert scaled <= distances.dirac_gcmmd2(theta, psi, lambda_)


@pytest.mark.parametrize("theta", [0.1, 1.0, -3.0])
def test_best_gcmmd_is_what_a_search_finds(theta):
    value, psi = distances.best_normal_gcmmd2(theta)
    grid = np.geomspace(0.3, 80, 60)
    others = [distances.normal_gcmmd2(theta, other) for other in grid]
    assert max(others) <= value == distances.normal_gcmmd2(theta, psi)
    assert max(others) == pytest.approx(value, rel=1e-2)
    assert value >= distances.best_smmd2(theta)[0]


def test_a_spread_mu_makes_gcmmd_continuous():
    """At most theta / p for the density p around 0, and near it: like sqrt(theta)."""
    density = 1 / (math.sqrt(2 * math.pi) * 10)
    shares = [
        distances.best_normal_gcmmd2(theta)[0] / (theta / density)
        for theta in (0.1, 0.03, 0.01)
    ]
    assert shares == sorted(shares) and shares[0] > 0.3 and 0.65 < shares[-1] < 1


# ---- gradient penalties


@PAIRS
@ALL_LAMBDAS
def test_best_wgan_gp_is_what_a_search_finds(theta, lambda_):
    value, psi = distances.best_wgan_gp(theta, lambda_)
    sign = -math.copysign(1, theta)
    found, place = search(lambda c: distances.wgan_gp(theta, sign * c, lambda_))
    assert value == pytest.approx(found, rel=1e-10)
    assert psi == pytest.approx(sign * place, rel=1e-6)
    assert found >= search(lambda c: distances.wgan_gp(theta, -sign * c, lambda_))[0]
    assert value == pytest.approx(abs(theta) + theta**2 / (4 * lambda_), rel=1e-12)


def test_wgan_gp_by_hand():
    # f(x) = -3 x: f(0) - f(2) = 6, and the slope is 2 too steep
    assert distances.wgan_gp(2.0, -3.0, 0.5) == 6 - 0.5 * 4
    assert distances.best_wgan_gp(0.0) == (0, 1)


@PAIRS
@pytest.mark.parametrize("psi", [*PSIS, 1e-3, 12.0])
def test_mmd_gp_is_its_integral(theta, psi):
    def slope(x):
        return (-x * k(x, 0, psi) + (x - theta) * k(x, theta, psi)) * psi**2

    penalty = integrate.quad(
        lambda u: (abs(slope(u * theta)) - 1) ** 2, 0, 1, epsabs=1e-11, limit=200
    )[0]
    truth = 2 - 2 * k(0, theta, psi) - 0.7 * penalty
    assert distances.mmd_gp(theta, psi, 0.7) == pytest.approx(
        truth, rel=1e-10, abs=1e-10
    )
    assert distances.mmd_gp(0.0, psi, 0.7) == -0.7


@pytest.mark.parametrize("theta", [0.01, 1.0, -1.35, 4.0])
@ALL_LAMBDAS
def test_best_mmd_gp_is_what_a_search_finds(theta, lambda_):
    value, psi = distances.best_mmd_gp(theta, lambda_)
    found, place = search(partial(distances.mmd_gp, theta, lambda_=lambda_), 1e-2, 1e2)
    assert value == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert psi == pytest.approx(place, rel=1e-4)


def test_best_mmd_gp_has_its_known_number():
    # quadrature and a search, apart from this code
    value, psi = distances.best_mmd_gp(1.0)
    assert value == pytest.approx(1.13998830704, abs=1e-11)
    assert psi**2 == pytest.approx(2.21802, abs=1e-5)


def test_a_penalty_keeps_neither_psi_nor_the_slope_bounded():
    for theta in (1e-2, 1e-3, 1e-4):
        psi = distances.best_mmd_gp(theta, 0.5)[1]
        # t theta^2 - lambda (t theta - 1)^2 + lambda t^2 theta^3 (t theta - 1) / 2, the
        # aim at t = psi^2 ~ 1 / theta to first order, has its maximum there
        assert psi**2 == pytest.approx(1 / theta + 1 + 1 / 4, abs=0.01)
        assert distances.mmd2(theta, psi) == pytest.approx(theta, rel=2 * theta)


def test_the_best_psi_of_mmd_gp_jumps():
    below, above = (distances.best_mmd_gp(theta)[1] for theta in (1.26, 1.29))
    assert below < 1.5 and above > 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: distances.gcmmd2(1, 1, [0], [1], 0.0),
            "a weight, spread or lambda is above 0, not 0.0",
        ),
        (
            lambda: distances.smmd2(1, 1, -1.0),
            "a weight, spread or lambda is above -1, not -1.0",
        ),
        (
            lambda: distances.normal_gcmmd2(1, 1, 1.0, -2.0),
            "a weight, spread or lambda is above 0, not -2.0",
        ),
        (
            lambda: distances.best_coded_smmd2(1.0, float("nan")),
            "a weight, spread or lambda is above 0, not nan",
        ),
        (
            lambda: distances.best_mmd_gp(0.0),
            "where theta is 0, all psi are alike: theta is not 0",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == message


# ---- vector fields: (generator's loss, critic's aim) at (theta, psi), lambda 1

SPREAD = partial(distances.normal_gcmmd2, lambda_=1.0, spread=10.0)
GAMES = {
    "gan": [lambda t, p: -math.log1p(math.exp(p * t))] * 2,
    "ns_gan": [
        lambda t, p: math.log1p(math.exp(-p * t)),
        lambda t, p: -math.log1p(math.exp(p * t)),
    ],
    "wgan": [lambda t, p: -p * t] * 2,
    "wgan_gp": [lambda t, p: -p * t, distances.wgan_gp],
    "mmd": [distances.mmd2] * 2,
    "mmd_gp": [distances.mmd2, distances.mmd_gp],
    "smmd": [distances.smmd2] * 2,
    "gcmmd": [SPREAD] * 2,
}
FIELDS = pytest.mark.parametrize("name", GAMES)


def test_every_field_has_its_game():
    assert list(GAMES) == list(pointmass.FIELDS)


@FIELDS
@pytest.mark.parametrize("at", [(1.0, 1.0), (-0.6, 2.1), (1.7, -0.4), (-1.2, -1.3)])
def test_fields_are_the_slopes_of_their_games(name, at):
    """By differences of order 4: h^4 and 1e-16 / h; nodes of mu change with h: 1e-7."""
    loss, aim = GAMES[name]
    assert pointmass.FIELDS[name](*at) == pytest.approx(
        slopes(loss, aim, *at), abs=1e-6
    )


@pytest.mark.parametrize("name", ["wgan_gp", "mmd_gp", "smmd", "gcmmd"])
def test_fields_know_lambda(name):
    loss, aim = GAMES[name]
    aim = partial(aim, lambda_=0.4)
    if "gp" not in name:
        loss = partial(loss, lambda_=0.4)
    found = pointmass.FIELDS[name](-0.6, 2.1, lambda_=0.4)
    assert found == pytest.approx(slopes(loss, aim, -0.6, 2.1), abs=1e-6)


def slopes(loss, aim, theta, psi, h=0.01):
    steps, weights = h * np.array([-2, -1, 1, 2]), np.array([1, -8, 8, -1]) / (12 * h)
    right = -sum(w * loss(theta + s, psi) for s, w in zip(steps, weights))
    up = sum(w * aim(theta, psi + s) for s, w in zip(steps, weights))
    return right, up


@FIELDS
def test_fields_of_mirrored_games_are_mirrored(name):
    """x -> -x flips theta and psi; MMDs do not know psi's sign."""
    field = pointmass.FIELDS[name]
    right, up = field(0.8, 1.1)
    assert field(-0.8, -1.1) == pytest.approx((-right, -up), abs=1e-9)
    if "mmd" in name:
        assert right < 0  # theta goes to 0, whatever psi is
        assert field(0.8, -1.1) == pytest.approx((right, -up), abs=1e-9)
        assert field(0.0, 1.1) == pytest.approx((0, 0), abs=1e-9)
        assert field(0.8, 0.0) == pytest.approx((0, 0), abs=1e-9)
    else:
        assert up < 0 < right  # a critic that grows with x drives theta up
    assert field(0.0, 0.0) == pytest.approx((0, 0), abs=1e-9)


@FIELDS
def test_fields_take_grids(name):
    grid = np.meshgrid([-1.0, 0.5, 2.0], [0.3, 1.0])
    right, up = pointmass.FIELDS[name](*grid)
    assert right.shape == up.shape == (2, 3)
    at = pointmass.FIELDS[name](2.0, 1.0)
    assert (right[1, 2], up[1, 2]) == pytest.approx(at, abs=1e-12)


def follow(name, theta, psi, time=30.0, **parameters):
    field = partial(pointmass.FIELDS[name], **parameters)
    return pointmass.trajectory(field, theta, psi, time)


def test_wgan_circles_with_period_2_pi():
    path = follow("wgan", 1.0, 1.0, 8 * math.pi)
    times = np.linspace(0, 8 * math.pi, 601)
    truth = math.sqrt(2) * np.stack(
        [np.sin(times + math.pi / 4), np.cos(times + math.pi / 4)], 1
    )
    np.testing.assert_allclose(path, truth, atol=1e-4)  # 1e-7 a step, 300 steps


@pytest.mark.parametrize("name", ["gan", "mmd"])
def test_radii_that_stay(name):
    path = follow(name, 1.0, 1.0)
    np.testing.assert_allclose(np.hypot(*path.T), math.sqrt(2), rtol=1e-5)


def test_the_minimax_gan_never_arrives():
    path = follow("gan", 1.0, 1.0)
    assert abs(path[-200:, 0]).max() > 1.4  # a turn takes about 4 pi, 250 points


def test_the_non_saturating_gan_arrives_slowly():
    """(r^2)' = -2 p tanh(p / 2) is about -p^2, on average -r^4 / 8 on a turn."""
    path = follow("ns_gan", 1.0, 1.0, 2000.0)
    radius2 = (path**2).sum(1)
    assert (np.diff(radius2) < 1e-9).all()
    assert radius2[-1] * 2000 == pytest.approx(8, rel=0.03)


@pytest.mark.parametrize("lambda_", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("start", [(1.0, 1.0), (0.1, 0.1), (3.0, -1.0)])
def test_wgan_gp_ends_on_a_cycle(lambda_, start):
    path = follow("wgan_gp", *start, 120.0, lambda_=lambda_)
    half_turn = math.pi * lambda_ / math.sqrt(1 - lambda_**2)
    turn = 2 * lambda_ / math.tanh(half_turn / 2)
    assert abs(path[-200:, 0]).max() == pytest.approx(turn, rel=2e-3)
    assert abs(path[-200:, 0]).min() < 0.2 * turn  # past 0, not at it


@pytest.mark.parametrize("lambda_", [1.0, 2.0])
def test_wgan_gp_with_much_penalty_creeps_past_the_data(lambda_):
    path = follow("wgan_gp", -0.5, 0.5, 120.0, lambda_=lambda_)
    assert path[-1] == pytest.approx([2 * lambda_, 0], abs=1e-3)


@pytest.mark.parametrize("name", ["mmd", "mmd_gp", "smmd", "gcmmd"])
def test_mmds_arrive(name):
    path = follow(name, 1.0, 1.0, 15.0)
    assert abs(path[-1, 0]) < 1e-4
    assert (np.diff(abs(path[:, 0])) < 1e-7).all()  # with no turn
    assert 1 < path[-1, 1] < 2


@pytest.mark.parametrize(
    ("name", "time", "arrives"),
    [("mmd", 30, 0), ("mmd_gp", 30, 0), ("smmd", 30, 1), ("gcmmd", 15, 1)],
)
def test_only_smmd_and_gcmmd_arrive_soon_with_a_critic_too_sharp(name, time, arrives):
    """exp(-psi^2 theta^2 / 2) = 1e-5: the kernel hardly reaches from theta to 0."""
    end = follow(name, 2.0, 2.4, time)[-1, 0]
    assert end < 1e-2 if arrives else end > 1.9


# ---- the run


def test_a_run_draws_and_gives_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(pointmass, "_NEAR", 0.05)  # cheaper nodes
    figures = pointmass.run(
        tmp_path,
        regularisation=2.0,
        spread=4.0,
        penalty=0.5,
        theta=[1.0],
        psi=[1.0],
        time=3.0,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "distances.png",
        "fields.png",
    ]
    at_1 = {name: value for name, value in figures.items() if name.endswith("_at_1")}
    psi = distances.best_mmd_gp(1.0, 2.0)[1]
    assert at_1 == pytest.approx(
        {
            "mmd2_at_1": 2,
            "dirac_gcmmd2_at_1": 5 / 6,  # (1 + 2 lambda) / (lambda (1 + lambda))
            "normal_gcmmd2_at_1": distances.best_normal_gcmmd2(1.0, 2.0, 4.0)[0],
            "mmd_gp2_at_1": 2 - 2 * math.exp(-(psi**2) / 2),
            "sn_mmd2_at_1": 2 - 2 * math.exp(-1 / 2),
            "smmd2_at_1": distances.best_smmd2(1.0, 2.0)[0],
        },
        rel=1e-6,
    )
    assert figures["mmd2_at_0.05"] == 2 and figures["smmd2_at_0.05"] < 0.0025
    parameters = {name: {} for name in pointmass.FIELDS}
    parameters |= {"wgan_gp": {"lambda_": 0.5}, "mmd_gp": {"lambda_": 0.5}}
    parameters |= {"smmd": {"lambda_": 2.0}, "gcmmd": {"lambda_": 2.0, "spread": 4.0}}
    ends = {
        f"{name}_from_1_1": abs(follow(name, 1.0, 1.0, 3.0, **given)[-1, 0])
        for name, given in parameters.items()
    }
    assert dict(list(figures.items())[12:]) == pytest.approx(ends, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta": [1.0]}, "theta and psi go in pairs, not 1 of one and 2"),
        ({"penalty": 0.0}, "penalty and time are above 0, not 0 and 30"),
        ({"time": -1.0}, "penalty and time are above 0, not 0.3 and -1"),
        ({"spread": 0.0}, "a weight, spread or lambda is above 0, not 0.0"),
    ],
)
def test_a_run_refuses(tmp_path, settings, message):
    with pytest.raises(ValueError) as caught:
        pointmass.run(tmp_path, **settings)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_the_script_gives_what_run_takes():
    path = Path(__file__).parents[1] / "my_tests" / "test_dirac.py"
    settings = runpy.run_path(str(path))["SETTINGS"]
    assert len(settings["theta"]) == len(settings["psi"])
    with pytest.raises(ValueError, match="pairs"):
        pointmass.run(Path("."), **settings | {"theta": []})
