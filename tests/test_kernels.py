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
}


@ALL
def test_kernels_are_their_formulas(name):
    x, y = draw(4, 3), draw(5, 3, seed=1)
    found = kernels.get(name)(x, y)
    assert found.dtype == "float64"  # the precision of the rows
    np.testing.assert_allclose(found, TRUTHS[name](x, y), rtol=1e-12)


def test_the_list_is_whole():
    families = {term.split(":")[0] for name in zoo.KERNELS for term in name.split("+")}
    assert families == set(kernels.names())
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


@pytest.mark.parametrize("name", ["rbf:.5,2", "rq:1", "laplace:2"])
def test_radial_kernels_are_functions_of_squares(name):
    x, y = draw(4, 3), draw(5, 3, seed=1)
    k, d2 = kernels.get(name), references.squared_distances(x, y)
    np.testing.assert_allclose(k.of_squares(d2), TRUTHS[name](x, y), rtol=1e-12)


@ALL
def test_the_diagonal(name):
    x = draw(5, 3)
    k = kernels.get(name)
    found = np.diag(k(x, x))
    if k.diagonal is None:
        assert np.ptp(found) > 1e-3
    else:
        np.testing.assert_allclose(found, k.diagonal, rtol=1e-12)


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


TERMS = (
    st.sampled_from(["dot", "distance", "rq", "rbf"])
    | terms(["rbf", "rq", "laplace"], NUMBERS)
    | terms(["poly"], st.integers(1, 9))
)


@given(st.lists(TERMS, min_size=1, max_size=3, unique=True))
def test_any_kernel_is_printed_so_that_it_is_read_again(terms):
    k = kernels.get(" + ".join(terms))
    again = kernels.get(str(k))
    assert sorted(again.terms, key=str) == sorted(k.terms, key=str)
    assert str(again) == str(k)


def test_names_by_hand():
    assert str(kernels.get("rbf:1.0,2")) == "rbf:1,2"
    assert str(kernels.get(" rq:.5 + dot ")) == "rq:0.5+dot"
    assert str(kernels.get("rbf")) == "rbf:1"
    assert str(kernels.get("rq")) == "rq:0.2,0.5,1,2,5"  # Binkowski et al. (2018)
    assert str(kernels.get("poly")) == "poly:3"
    assert str(kernels.get("dot+dot")) == "dot:1,1"
    assert str(kernels.get("rq:.1,1,10+dot:1")) == "rq:0.1,1,10+dot"
    assert str(kernels.get("dot:2.5")) == "dot:2.5"


@pytest.mark.parametrize(
    "name, message",
    [
        ("rbff:1", "unknown kernel 'rbff'; did you mean 'rbf'?"),
        (
            "xyz",
            "unknown kernel 'xyz'; known: rbf, rq, laplace, dot, poly, distance",
        ),
        (
            "rbf++dot",
            "unknown kernel ''; known: rbf, rq, laplace, dot, poly, distance",
        ),
        ("rbf:", "a kernel's numbers are above 0, not '' in 'rbf:'"),
        ("rbf:1,a", "a kernel's numbers are above 0, not 'a' in 'rbf:1,a'"),
        ("poly:2.5", "kernel poly takes whole numbers, not 2.5 in 'poly:2.5'"),
        ("rbf:0", "a kernel's numbers are above 0, not '0' in 'rbf:0'"),
        ("rq:-1", "a kernel's numbers are above 0, not '-1' in 'rq:-1'"),
        ("rq:inf", "a kernel's numbers are above 0, not 'inf' in 'rq:inf'"),
        ("rq:nan", "a kernel's numbers are above 0, not 'nan' in 'rq:nan'"),
        ("distance:1", "kernel distance takes no number, as in 'distance:1'"),
        ("", "a kernel is a string like 'rbf:1', not ''"),
        (None, "a kernel is a string like 'rbf:1', not None"),
    ],
)
def test_other_names_are_refused_in_words(name, message):
    with pytest.raises(ValueError) as caught:
        kernels.get(name)
    assert str(caught.value) == message


def test_other_kernels_are_no_functions_of_squares():
    with pytest.raises(ValueError) as caught:
        kernels.get("rbf:1+dot").of_squares(np.zeros((1, 1)))
    assert str(caught.value) == (
        "kernel rbf:1+dot is no function of the distance, for its dot; such are "
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
