"""Kernels against float64 NumPy, at the origin and far from it."""

import math

import numpy as np
import pytest
import references
import tensorflow as tf
import zoo
from hypothesis import given
from hypothesis import strategies as st

from gantf import kernels

ALL = pytest.mark.parametrize("name", zoo.KERNELS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def sums(*pairs):
    return lambda x, y: sum(kernel(x, y, *p) for kernel, *p in pairs)


TRUTHS = {
    "rbf:1": sums((references.rbf, 1)),
    "rbf:.5,2": sums((references.rbf, 0.5), (references.rbf, 2)),
    "rq:1": sums((references.rq, 1)),
    "rq:.2,.5,1,2,5": sums(*((references.rq, a) for a in (0.2, 0.5, 1, 2, 5))),
    "laplace:2": sums((references.laplace, 2)),
    "distance": sums((references.distance,)),
    "dot": sums((references.dot,)),
    "poly:3": sums((references.poly, 3)),
    "rq:.1,1,10+dot:1": sums(
        *((references.rq, a) for a in (0.1, 1, 10)), (references.dot,)
    ),
    "rbf:2+distance+poly:2": sums(
        (references.rbf, 2), (references.distance,), (references.poly, 2)
    ),
    "poly:2,gamma=1,constant=2": sums((references.poly, 2, 1, 2)),
    "poly:3,constant=0": sums((references.poly, 3, None, 0)),
    "tanh>distance": sums((references.tanh(references.distance),)),
    "tanh>rq:.2,.5+tanh>dot": sums(
        *((references.tanh(references.rq), a) for a in (0.2, 0.5)),
        (references.tanh(references.dot),),
    ),
    "fourier:2,n=50,seed=3": sums((references.random_features, 2, 50, 3)),
    ".5*laplace:1": lambda x, y: 0.5 * references.laplace(x, y, 1),
    "rbf:1,2*dot": lambda x, y: (
        (references.rbf(x, y, 1) + references.rbf(x, y, 2)) * references.dot(x, y)
    ),
    ".1*dot+rq:1*tanh>poly:2+2*rbf:1*rbf:1": lambda x, y: (
        0.1 * references.dot(x, y)
        + references.rq(x, y, 1) * references.tanh(references.poly)(x, y, 2)
        + 2 * references.rbf(x, y, 1) ** 2
    ),
}


@ALL
def test_kernels_are_their_formulas(name):
    x, y = draw(4, 3), draw(5, 3, seed=1)
    found = kernels.get(name)(x, y)
    assert found.dtype == "float64"  # the precision of the rows
    np.testing.assert_allclose(found, TRUTHS[name](x, y), rtol=1e-12)


def test_the_list_is_whole():
    used = [kernels.get(name) for name in zoo.KERNELS]
    factors = [f for kernel in used for term in kernel.terms for f in term.factors]
    assert {factor.name for factor in factors} == set(kernels.names())
    assert {factor.map for factor in factors} == {"", "tanh"}
    assert set(TRUTHS) == set(zoo.KERNELS)


def test_values_by_hand():
    x, y = np.array([[3.0, 0.0]]), np.array([[0.0, 4.0], [3.0, 0.0]])
    by_hand = {
        "rbf:5": [math.exp(-0.5), 1],
        "rq:2": [(1 + 25 / 4) ** -2, 1],
        "laplace:5": [math.exp(-1), 1],
        "distance": [3 + 4 - 5, 6],
        "dot": [0, 9],
        "poly:2": [1, 5.5**2],
    }
    for name, values in by_hand.items():
        np.testing.assert_allclose(kernels.get(name)(x, y), [values], err_msg=name)


@ALL
def test_kernels_are_symmetric(name):
    x, y = draw(4, 3), draw(5, 3, seed=1)
    k = kernels.get(name)
    np.testing.assert_allclose(k(x, y), tf.transpose(k(y, x)), rtol=1e-12)


@ALL
def test_kernels_are_positive_semidefinite(name):
    values = np.linalg.eigvalsh(kernels.get(name)(draw(9, 2), draw(9, 2)))
    assert values.min() > -1e-9 * values.max()  # float64


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_at_coincident_points_are_finite(name, dtype):
    x = tf.constant(np.array([[0, 0], [0, 0], [1, 2], [1, 2], [-3, 1]], dtype))
    with tf.GradientTape() as tape:
        tape.watch(x)
        k = kernels.get(name)(x, x)
        total = tf.reduce_sum(k * tf.constant(draw(5, 5).astype(dtype)))
    assert np.isfinite(k).all()
    assert np.isfinite(tape.gradient(total, x)).all()


@ALL
def test_gradients_agree_with_finite_differences(name):
    x, y, w = draw(3, 2), draw(4, 2, seed=1), draw(3, 4, seed=2)
    moved = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(moved)
        total = tf.reduce_sum(kernels.get(name)(moved, tf.constant(y)) * w)
    truth = references.numerical_gradient(lambda x: np.sum(TRUTHS[name](x, y) * w), x)
    np.testing.assert_allclose(tape.gradient(total, moved), truth, atol=1e-7)


@pytest.mark.parametrize("name", ["rbf:1", "rq:.2,.5,1,2,5", "laplace:2"])
@pytest.mark.parametrize("shift", [1e4, -1e4, 1e6])
def test_rows_far_from_the_origin_lose_nothing(name, shift):
    """Float32 differences of near numbers are exact (Sterbenz): against float64."""
    x = (draw(6, 3) + shift).astype("float32")
    y = (draw(5, 3, seed=1) + shift).astype("float32")
    truth = TRUTHS[name](x.astype(float), y.astype(float))
    np.testing.assert_allclose(kernels.get(name)(x, y), truth, rtol=1e-5)


@pytest.mark.parametrize("name", ["rbf:1", "rq:1", "laplace:2"])
def test_clusters_far_apart(name):
    side = np.array([[1e4], [1e4], [-1e4], [-1e4]])
    x = (draw(4, 3) + side).astype("float32")
    truth = TRUTHS[name](x.astype(float), x.astype(float))
    np.testing.assert_allclose(kernels.get(name)(x, x), truth, rtol=1e-5, atol=1e-30)


def test_squared_distances_by_hand():
    x, y = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[1.0, 0.0]])
    np.testing.assert_array_equal(kernels.squared_distances(x, y), [[1], [4]])


@pytest.mark.parametrize("name", ["rbf:.5,2", "rq:1", "laplace:2", ".5*laplace:1"])
def test_radial_kernels_are_functions_of_squares(name):
    x, y = draw(4, 3), draw(5, 3, seed=1)
    k, d2 = kernels.get(name), references.squared_distances(x, y)
    np.testing.assert_allclose(k.of_squares(d2), TRUTHS[name](x, y), rtol=1e-12)


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_diagonal(name, dtype):
    x = draw(5, 3).astype(dtype)
    found = kernels.get(name).diagonal(x)
    assert found.dtype == dtype
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, np.diag(TRUTHS[name](x, x)), rtol=tolerance)


def test_the_diagonal_by_hand():
    x = [[3.0, 4.0], [0.0, 1.0]]
    by_hand = {
        "rbf:1,2": [2, 2],
        "distance": [10, 2],
        "dot:2": [50, 2],
        "poly:2": [13.5**2, 1.5**2],
        # Not constant, where the codes of Binkowski et al. (2018) take 3.
        "rq:.1,1,10+dot": [28, 4],
        ".5*laplace:1": [0.5, 0.5],
        "distance*dot": [250, 2],
        "tanh>dot": [np.sum(np.tanh([3, 4]) ** 2), np.tanh(1) ** 2],
        "fourier:1": [1, 1],
    }
    for name, values in by_hand.items():
        found = kernels.get(name).diagonal(x)
        np.testing.assert_allclose(found, values, rtol=1e-6, err_msg=name)


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_row_by_row(name, dtype):
    x, y = draw(5, 3).astype(dtype), draw(5, 3, seed=1).astype(dtype)
    found = kernels.get(name).pairwise(x, y)
    assert found.dtype == dtype
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(found, np.diag(TRUTHS[name](x, y)), rtol=tolerance)


@ALL
def test_gradients_row_by_row(name):
    x, y, w = draw(4, 2), draw(4, 2, seed=1), draw(4, seed=2)
    x[:2], y[1] = 0, 0  # a row at the origin, and one that is that of y
    moved = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(moved)
        total = tf.reduce_sum(kernels.get(name).pairwise(moved, y) * w)
    found = tape.gradient(total, moved)
    assert np.isfinite(found).all()
    truth = references.numerical_gradient(
        lambda x: np.sum(np.diag(TRUTHS[name](x, y)) * w), x
    )
    np.testing.assert_allclose(found[2:], truth[2:], atol=1e-7)


def test_rows_by_rows_far_from_the_origin_lose_nothing():
    x, y = ((draw(6, 3, seed=seed) + 1e4).astype("float32") for seed in (0, 1))
    truth = np.diag(references.rbf(x, y, 1))
    np.testing.assert_allclose(kernels.get("rbf:1").pairwise(x, y), truth, rtol=1e-5)


def test_error_row_by_row_of_two_sizes():
    for n, m in [(3, 4), (1, 2)]:
        with pytest.raises(ValueError) as caught:
            kernels.get("rbf:1").pairwise(np.zeros((n, 2)), np.zeros((m, 2)))
        assert str(caught.value) == (
            f"row by row, samples have one size, not {n} and {m}"
        )


# The codes of Binkowski et al. (2018), Arbel et al. (2018), Li et al. (2017): their
# name -> gantf's, and k(a, a) of a = (3, 4) and of 0.
TANH = math.hypot(math.tanh(3), math.tanh(4))
OF_CODES = {
    "rbf": ("rbf:1", 1, 1),
    "mix_rbf": ("rbf:2,5,10,20,40,80", 6, 6),
    "Li et al.": ("rbf:1,2,4,8,16", 5, 5),
    "mix_rq": ("rq:.1,1,10", 3, 3),
    "their paper": ("rq:.2,.5,1,2,5", 5, 5),
    "mix_rq_1dot": ("rq:.1,1,10+dot", 28, 3),
    "mix_rq_dot": ("rq:.1,1,10+.1*dot", 5.5, 3),
    "dot": ("dot", 25, 0),
    "distance": ("distance", 10, 0),
    "tanh_mix_rq": ("tanh>rq:.1,1,10", 3, 3),
    "tanh_distance": ("tanh>distance", 2 * TANH, 0),
    "Laplace": (".5*laplace:1", 0.5, 0.5),
    "KID": ("poly:3", 13.5**3, 1),
    "rf": ("fourier:1", 1, 1),
}


@pytest.mark.parametrize("theirs", OF_CODES)
def test_kernels_of_other_codes(theirs):
    """Named in the docstring, with the values that their formulas give."""
    name, *diagonal = OF_CODES[theirs]
    found = kernels.get(name).diagonal([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(found, diagonal, rtol=1e-6)
    assert theirs in kernels.__doc__ and name in kernels.__doc__


@pytest.mark.parametrize("weight", ["1", ".1", ".01", "10"])
def test_weights_of_dot_in_a_mixture(weight):
    a, b = np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[1.0, -1.0]])
    squares, dot = np.array([[2.0**2 + 5**2], [2.0]]), np.array([[-1.0], [0.0]])
    mixture = sum((1 + squares / (2 * alpha)) ** -alpha for alpha in (0.1, 1, 10))
    truth = mixture + float(weight) * dot
    k = kernels.get(f"rq:.1,1,10+{weight}*dot")
    np.testing.assert_allclose(k(a, b), truth, rtol=1e-12)
    np.testing.assert_allclose(k.diagonal(a), [3 + float(weight) * 25, 3], rtol=1e-12)


def test_the_diagonal_takes_rows():
    with pytest.raises(ValueError) as caught:
        kernels.get("rbf:1").diagonal(np.zeros(3))
    assert str(caught.value) == "a kernel compares rows (n, d) and (m, d), not (3,)"


# ---- random features


def test_random_features_tend_to_the_gaussian_kernel():
    """Each is a mean of n cosines of variance (1 - k^2)^2 / 2: 6 sd and 20 pairs make
    a false alarm in about 10^7 seeds."""
    x, y, n = draw(4, 3), draw(5, 3, seed=1), 20_000
    truth = references.rbf(x, y, 1.5)
    error = (1 - truth**2) / np.sqrt(2 * n)
    found = np.asarray(kernels.get(f"fourier:1.5,n={n}")(x, y))
    assert np.all(np.abs(found - truth) < 6 * error)


def test_the_seed_alone_draws_random_features():
    x, y = draw(4, 3), draw(5, 3, seed=1)
    one = np.asarray(kernels.get("fourier:1")(x, y))
    np.random.seed(7)
    np.testing.assert_array_equal(kernels.get("fourier:1,n=100,seed=0")(x, y), one)
    assert np.abs(kernels.get("fourier:1,seed=1")(x, y) - one).max() > 1e-3
    # Widths share their frequencies, times 1 / s.
    np.testing.assert_allclose(kernels.get("fourier:2")(2 * x, 2 * y), one, rtol=1e-12)


# ---- laws

ROWS = st.integers(1, 3).flatmap(
    lambda d: st.lists(
        st.lists(st.floats(-3, 3), min_size=d, max_size=d), min_size=2, max_size=6
    )
)


@given(ROWS, st.lists(st.sampled_from(zoo.KERNELS), min_size=1, max_size=3))
def test_sums_and_products_of_kernels_are_kernels(rows, names):
    """Symmetric and positive semidefinite (Schur), and made of the parts."""
    x = np.array(rows)
    parts = [TRUTHS[name](x, x) for name in names]
    matrix = np.asarray(kernels.get("+".join(names))(x, x))
    scale = np.abs(matrix).max()
    np.testing.assert_allclose(matrix, sum(parts), rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12, atol=1e-12 * scale)
    assert np.linalg.eigvalsh(matrix).min() >= -1e-9 * scale  # float64
    simple = [n for n in names if "+" not in n and not n.startswith(".")]
    if simple:
        matrix = np.asarray(kernels.get("*".join(simple))(x, x))
        truth = math.prod(TRUTHS[name](x, x) for name in simple)
        scale = np.abs(truth).max()
        np.testing.assert_allclose(matrix, truth, rtol=1e-9, atol=1e-9 * scale)
        assert np.linalg.eigvalsh(matrix).min() >= -1e-9 * scale


# ---- names


@ALL
def test_names_are_read_again(name):
    k = kernels.get(name)
    assert kernels.get(str(k)) == k
    assert kernels.get(k) is k
    assert hash(k) == hash(kernels.get(str(k)))


NUMBERS = st.floats(1e-30, 1e30) | st.integers(1, 99)


def terms(names, numbers):
    return st.builds(
        lambda name, numbers: f"{name}:{','.join(f'{n:.40f}' for n in numbers)}",
        st.sampled_from(names),
        st.lists(numbers, min_size=1, max_size=3),
    )


def with_option(factors, key, numbers):
    return st.builds(lambda text, n: f"{text},{key}={n:.40f}", factors, numbers)


POLYS = terms(["poly"], st.integers(1, 9))
FEATURES = terms(["fourier"], NUMBERS)
FACTORS = (
    st.sampled_from(["dot", "distance", "rq", "rbf", "poly:gamma=2", "fourier:n=9"])
    | terms(["rbf", "rq", "laplace", "dot"], NUMBERS)
    | POLYS
    | with_option(POLYS, "gamma", NUMBERS)
    | with_option(POLYS, "constant", NUMBERS | st.just(0))
    | FEATURES
    | with_option(FEATURES, "n", st.integers(1, 999))
    | with_option(FEATURES, "seed", st.integers(0, 2**32 - 1))
)
TERMS = st.builds(
    lambda weight, factors: " * ".join(weight + factors),
    st.just([]) | st.builds(lambda w: [f"{w:.40f}"], NUMBERS),
    st.lists(FACTORS | FACTORS.map("tanh>{}".format), min_size=1, max_size=3),
)


@given(st.lists(TERMS, min_size=1, max_size=3))
def test_any_kernel_is_printed_so_that_it_is_read_again(terms):
    k = kernels.get(" + ".join(terms))
    again = kernels.get(str(k))
    assert again == k
    assert str(again) == str(k)


KNOWN = "known: rbf, rq, laplace, dot, poly, distance, fourier"
WEIGHT = "a weight stands once and first, as in '.5*rbf:1', not as in {}"


def test_names_by_hand():
    assert str(kernels.get("rbf:1.0,2")) == "rbf:1,2"
    assert str(kernels.get(" rq:.5 + dot ")) == "rq:0.5+dot"
    assert str(kernels.get("rbf")) == "rbf:1"
    assert str(kernels.get("rq")) == "rq:0.2,0.5,1,2,5"  # Binkowski et al. (2018)
    assert str(kernels.get("poly")) == "poly:3"
    assert str(kernels.get("dot+dot")) == "dot:1,1"
    assert str(kernels.get("rq:.1,1,10+dot:1")) == "rq:0.1,1,10+dot"
    assert str(kernels.get("dot:2.5")) == "dot:2.5"
    assert str(kernels.get("rbf:1+dot+rbf:2")) == "rbf:1,2+dot"
    assert str(kernels.get("distance + distance")) == "distance+distance"
    assert str(kernels.get("tanh>rq:.2,.5")) == "tanh>rq:0.2,0.5"
    assert str(kernels.get("tanh>rbf:1+rbf:2+tanh>rbf:3")) == "tanh>rbf:1,3+rbf:2"
    assert str(kernels.get("poly:3,gamma=.5,constant=1")) == "poly:3,gamma=0.5"
    assert str(kernels.get("poly:constant=2,3")) == "poly:3,constant=2"
    assert str(kernels.get("poly:2+poly:3,gamma=1")) == "poly:2+poly:3,gamma=1"
    assert str(kernels.get("fourier")) == "fourier:1"
    assert str(kernels.get("fourier:seed=2,n=10")) == "fourier:1,n=10,seed=2"
    assert str(kernels.get(".5 * laplace:1.0")) == "0.5*laplace:1"
    assert str(kernels.get("1*dot*rbf")) == "dot*rbf:1"
    assert str(kernels.get("2*rbf:1+2*rbf:2+rbf:1")) == "2*rbf:1,2+rbf:1"
    assert str(kernels.get("rbf:1*dot+rbf:2*dot")) == "rbf:1*dot+rbf:2*dot"


@pytest.mark.parametrize(
    "name, message",
    [
        ("rbff:1", "unknown kernel 'rbff'; did you mean 'rbf'?"),
        (
            "xyz",
            "unknown kernel 'xyz'; " + KNOWN,
        ),
        (
            "rbf++dot",
            "unknown kernel ''; " + KNOWN,
        ),
        ("rbf:", "a kernel's numbers are above 0, not '' in 'rbf:'"),
        ("rbf:1,a", "a kernel's numbers are above 0, not 'a' in 'rbf:1,a'"),
        ("poly:2.5", "kernel poly takes whole numbers, not 2.5 in 'poly:2.5'"),
        ("rbf:0", "a kernel's numbers are above 0, not '0' in 'rbf:0'"),
        ("rq:-1", "a kernel's numbers are above 0, not '-1' in 'rq:-1'"),
        ("rq:inf", "a kernel's numbers are above 0, not 'inf' in 'rq:inf'"),
        ("rq:nan", "a kernel's numbers are above 0, not 'nan' in 'rq:nan'"),
        ("distance:1", "kernel distance takes no number, as in 'distance:1'"),
        ("distance:", "kernel distance takes no number, as in 'distance:'"),
        ("5", WEIGHT.format("'5'")),
        ("2*3*dot", WEIGHT.format("'2*3*dot'")),
        ("dot*.5", WEIGHT.format("'dot*.5'")),
        ("-1*dot", "a kernel's numbers are above 0, not '-1' in '-1*dot'"),
        ("nan*dot", "a kernel's numbers are above 0, not 'nan' in 'nan*dot'"),
        (
            "rbf*",
            "unknown kernel ''; " + KNOWN,
        ),
        ("relu>dot", "unknown map of a kernel's rows 'relu'; known: tanh"),
        (
            "tanh>tanh>dot",
            "unknown map of a kernel's rows 'tanh>tanh'; did you mean 'tanh'?",
        ),
        (">dot", "unknown map of a kernel's rows ''; known: tanh"),
        (
            "poly:gama=1",
            "unknown option of kernel poly 'gama'; did you mean 'gamma'?",
        ),
        ("rbf:n=3", "unknown option of kernel rbf 'n'"),
        (
            "poly:gamma=0",
            "gamma of kernel poly is a number above 0, not '0' in 'poly:gamma=0'",
        ),
        (
            "poly:constant=-1",
            "constant of kernel poly is a number from 0, not '-1' in "
            "'poly:constant=-1'",
        ),
        (
            "poly:constant=a",
            "constant of kernel poly is a number from 0, not 'a' in 'poly:constant=a'",
        ),
        (
            "fourier:1,n=2.5",
            "n of kernel fourier is a whole number from 1, not '2.5' in "
            "'fourier:1,n=2.5'",
        ),
        (
            "fourier:seed=4294967296",
            "seed of kernel fourier is a whole number from 0 to 4294967295, not "
            "'4294967296' in 'fourier:seed=4294967296'",
        ),
        ("fourier:0", "a kernel's numbers are above 0, not '0' in 'fourier:0'"),
        (
            "fourier:n=1,n=2",
            "kernel fourier takes n once, not as in 'fourier:n=1,n=2'",
        ),
        ("", "a kernel is a string like 'rbf:1', not ''"),
        (None, "a kernel is a string like 'rbf:1', not None"),
    ],
)
def test_other_names_are_refused_in_words(name, message):
    with pytest.raises(ValueError) as caught:
        kernels.get(name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name, other",
    [
        ("rbf:1+dot", "dot"),
        ("rbf:1+tanh>rbf:1", "tanh>rbf:1"),
        ("rbf:1*distance", "distance"),
        ("fourier:1", "fourier:1"),
    ],
)
def test_other_kernels_are_no_functions_of_squares(name, other):
    with pytest.raises(ValueError) as caught:
        kernels.get(name).of_squares(np.zeros((1, 1)))
    assert str(caught.value) == (
        f"kernel {name} is no function of the distance, for its {other}; such are "
        "rbf, rq, laplace"
    )


def test_a_weighted_dot_product():
    x, y = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(kernels.get("dot:2.5")(x, y), [[27.5, 5.0]])


def test_rows_of_whole_numbers_and_of_two_types_are_compared_as_floats():
    x, y = [[0, 0], [1, 0]], np.array([[0.0, 1.0]], np.float64)
    expected = [[np.exp(-0.5)], [np.exp(-1.0)]]
    np.testing.assert_allclose(kernels.get("rbf:1")(x, y), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "x, y", [((3, 1), (4, 3)), ((3,), (3,)), ((2, 3, 4), (2, 4))], ids=str
)
def test_error_rows_that_cannot_be_compared(x, y):
    with pytest.raises(ValueError) as caught:
        kernels.get("rbf:1")(np.zeros(x), np.zeros(y))
    assert str(caught.value) == (
        f"a kernel compares rows (n, d) and (m, d), not {x} and {y}"
    )
