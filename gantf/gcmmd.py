"""The linear system of the gradient-constrained MMD, on features and their Jacobians.

    GCMMD^2 = (MMD^2 - q) / lambda,    q = v' (A + M lambda I)^-1 v

is the largest (E_P f - E_Q f)^2 over E_mu f^2 + E_mu |grad f|^2 + lambda |f|_k^2 <= 1,
for the kernel k(x, y) = g(|phi(x) - phi(y)|^2), P and Q samples, and M samples x_m of
mu. Arbel, Sutherland, Binkowski, Gretton: On gradient regularizers for MMD GANs,
NeurIPS 2018. A holds the kernel paired by the functionals

    f(x_m)    and    d_i f(x_m), i = 1..p,

M (1 + p) of them; v is eta = E_P k(p, .) - E_Q k(q, .) under them. The latter are
J_m' times the d slopes of f with respect to the features phi, so that with
A = T B T', v = T b and W = T' T, which has blocks 1 and J_m J_m',

    q = b' W (B W + M lambda I)^-1 b

of size M (1 + min(d, p)) is the same number, exactly: nothing grows with the images.
All is in float64, since q is near MMD^2 where lambda is small.

The authors' code takes the differences to P for Q too in v, and so another number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from gantf.choices import choose
from gantf.kernels import Kernel

SMOOTH = ("rbf", "rq")  # radial kernels with two derivatives of g at 0
LIMIT = 4096  # rows of an exact system: a matrix of 128 MiB


class Functionals(NamedTuple):
    """N functionals of f: value f(point) + direction . grad f(point).

    Attributes:
      points: (N, d), features.
      values: (N,).
      directions: (N, d).
    """

    points: Any
    values: Any
    directions: Any

    @classmethod
    def at(cls, points: Any) -> Functionals:
        """f(point) of each row."""
        return cls(points, tf.ones_like(points[:, 0]), tf.zeros_like(points))

    def take(self, indices: Any) -> Functionals:
        """Those at the indices."""
        return Functionals(*(tf.gather(part, indices) for part in self))


def check_kernel(kernel: Kernel) -> None:
    """Refuses kernels that are no twice differentiable functions of |a - b|^2.

    Raises:
      ValueError: with the factor that is none.
    """
    for term in kernel.terms:
        for factor in term.factors:
            if factor.name not in SMOOTH or factor.map:
                raise ValueError(
                    f"GC-MMD needs a kernel of {' and '.join(SMOOTH)}, smooth "
                    f"functions of the distance, not {kernel}, for its {factor}"
                )


def derivatives(kernel: Kernel, d2: Any) -> tuple[Any, Any, Any]:
    """g, g' and g'' at squared distances, of a kernel g(|a - b|^2)."""
    with tf.GradientTape() as second:
        second.watch(d2)
        with tf.GradientTape() as first:
            first.watch(d2)
            g = kernel.of_squares(d2)
        g1 = first.gradient(g, d2)
    return g, g1, second.gradient(g1, d2)


def pairing(kernel: Kernel, a: Functionals, b: Functionals) -> Any:
    """The kernel under functionals a in its first and b in its second argument.

    With D = point_a - point_b, values u and directions s of a, t of b:

        u_a u_b g + 2 g' (u_b s.D - u_a t.D) - 2 g' s.t - 4 g'' (s.D) (t.D)

    Returns:
      (N_a, N_b).
    """
    squares = tf.reduce_sum(tf.square(a.points), 1)[:, None]
    squares += tf.reduce_sum(tf.square(b.points), 1)[None, :]
    d2 = squares - 2.0 * tf.matmul(a.points, b.points, transpose_b=True)
    g, g1, g2 = derivatives(kernel, d2)
    u_a, u_b = a.values[:, None], b.values[None, :]
    along_a = tf.reduce_sum(a.directions * a.points, 1)[:, None]
    along_a -= tf.matmul(a.directions, b.points, transpose_b=True)
    along_b = tf.matmul(a.points, b.directions, transpose_b=True)
    along_b -= tf.reduce_sum(b.directions * b.points, 1)[None, :]
    both = tf.matmul(a.directions, b.directions, transpose_b=True)
    slopes = u_b * along_a - u_a * along_b - both
    return u_a * u_b * g + 2.0 * g1 * slopes - 4.0 * g2 * along_a * along_b


def correction(
    real: Any,
    fake: Any,
    points: Any,
    jacobians: Any,
    kernel: Kernel,
    lambda_: float = 1.0,
    method: str = "exact",
    eta: float = 1e-3,
    rank: int = 1000,
) -> Any:
    """q, by which MMD^2 is above lambda GCMMD^2: a scalar, float64.

    Args:
      real, fake: features of the samples of P and Q, (n, d) and (m, d).
      points: features of the samples of mu, (M, d).
      jacobians: of the features of mu with respect to the samples, (M, d, p).
      kernel: a sum of products of rbf and rq.
      lambda_: above 0.
      method: "exact" solves the system; "cholesky" an approximation of low rank,
        whose GCMMD^2 is never above; "gradient" leaves out f(x_m), the constraint
        E_mu f^2, and keeps the gradient's.
      eta, rank: of "cholesky": it stops where what is left of the largest entry of
        A's diagonal is eta of the first, or at that rank.

    Raises:
      ValueError: a kernel that is not smooth, an unknown method, or a system that is
        too large for "exact".
    """
    check_kernel(kernel)
    functionals_of, solve = choose("method of GC-MMD", method, METHODS)
    real, fake, points, jacobians = (
        tf.cast(part, tf.float64) for part in (real, fake, points, jacobians)
    )
    centre = tf.stop_gradient(tf.reduce_mean(points, 0))  # for the digits of d2
    real, fake, points = real - centre, fake - centre, points - centre
    functionals, gram = functionals_of(points, jacobians)
    of_real = pairing(kernel, functionals, Functionals.at(real))
    of_fake = pairing(kernel, functionals, Functionals.at(fake))
    b = tf.reduce_mean(of_real, 1) - tf.reduce_mean(of_fake, 1)
    ridge = tf.cast(tf.shape(points)[0], tf.float64) * lambda_
    return solve(kernel, functionals, gram, b[:, None], ridge, eta, rank)


def pivots(
    kernel: Kernel, functionals: Functionals, weights: Any, eta: float, rank: int
) -> Any:
    """The functionals that an incomplete Cholesky factorisation takes, in order.

    The next one has the largest weight times what is left of the diagonal. Rows of
    the matrix are made as they are needed.

    Args:
      kernel: see `pairing`.
      functionals: N of them.
      weights: (N,), of the diagonal.
      eta: it stops where the largest is eta of the first; between 0 and 1.
      rank: the most functionals.

    Returns:
      (T,) indices, a constant for gradients.
    """
    functionals = Functionals(*map(tf.stop_gradient, functionals))
    weights = tf.stop_gradient(weights)
    size = tf.size(weights)
    rank = tf.minimum(rank, size)
    left = _own(kernel, functionals)
    first = tf.reduce_max(weights * left)

    def go_on(taken, left, _, __):
        return (taken < rank) & (tf.reduce_max(weights * left) > eta * first)

    def step(taken, left, rows, chosen):
        best = tf.argmax(weights * left, output_type=tf.int32)
        row = pairing(kernel, functionals.take([best]), functionals)
        row -= tf.matmul(rows[:, best][None], rows)
        row /= tf.sqrt(left[best])
        # 0 at those taken, whatever the rounding: none is taken twice.
        left = tf.maximum(left - tf.square(row[0]), 0.0)
        left = tf.tensor_scatter_nd_update(left, [[best]], [tf.zeros_like(first)])
        rows = tf.tensor_scatter_nd_update(rows, [[taken]], row)
        chosen = tf.tensor_scatter_nd_update(chosen, [[taken]], [best])
        return taken + 1, left, rows, chosen

    start = 0, left, tf.zeros((rank, size), left.dtype), tf.zeros((rank,), tf.int32)
    taken, _, _, chosen = tf.while_loop(go_on, step, start)
    return tf.stop_gradient(chosen[:taken])


def _own(kernel, functionals):
    """Each functional paired with itself: u^2 g(0) - 2 g'(0) |s|^2."""
    g, g1, _ = derivatives(kernel, tf.zeros((), functionals.values.dtype))
    lengths = tf.reduce_sum(tf.square(functionals.directions), 1)
    return tf.square(functionals.values) * g - 2.0 * g1 * lengths


def _slopes(points, jacobians):
    """The functionals d f(x_m), and the blocks of W.

    Along the p numbers of a sample, W = I; or, if these are more, along the d
    features, W_m = J_m J_m'.

    Returns:
      M r functionals, r = min(d, p), and (M, r, r).
    """
    m, (d, p) = tf.shape(points)[0], jacobians.shape[1:]
    if p <= d:
        directions = tf.transpose(jacobians, (0, 2, 1))
        gram = tf.eye(p, batch_shape=[m], dtype=points.dtype)
    else:
        directions = tf.eye(d, batch_shape=[m], dtype=points.dtype)
        gram = tf.matmul(jacobians, jacobians, transpose_b=True)
    return _flat(
        points, tf.zeros(tf.shape(directions)[:2], points.dtype), directions
    ), gram


def _with_values(points, jacobians):
    """`_slopes` with f(x_m) before those of each sample."""
    slopes, gram = _slopes(points, jacobians)
    r, d = gram.shape[-1], points.shape[-1]
    directions = tf.reshape(slopes.directions, (-1, r, d))
    directions = tf.pad(directions, [[0, 0], [1, 0], [0, 0]])
    values = tf.zeros_like(directions[..., 0]) + tf.one_hot(0, r + 1, dtype=gram.dtype)
    gram = tf.pad(gram, [[0, 0], [1, 0], [1, 0]])
    first = tf.one_hot(0, r + 1, dtype=gram.dtype)
    return _flat(points, values, directions), gram + tf.linalg.diag(first)


def _flat(points, values, directions):
    """The functionals of all samples in a row, from (M, r) values and (M, r, d)."""
    r, d = directions.shape[1:]
    points = tf.repeat(points, r, axis=0)
    return Functionals(
        points, tf.reshape(values, (-1,)), tf.reshape(directions, (-1, d))
    )


def _exact(kernel, functionals, gram, b, ridge, *_):
    """The form b' W (B W + c I)^-1 b; the matrix has an inverse whatever W is."""
    size = functionals.values.shape[0]
    if size is not None and size > LIMIT:
        raise ValueError(
            f"an exact system of GC-MMD has {LIMIT} rows at most, not {size}; take "
            "method='cholesky', or fewer samples or scores"
        )
    matrix = tf.transpose(_times(gram, pairing(kernel, functionals, functionals)))
    matrix += ridge * tf.eye(tf.shape(b)[0], dtype=b.dtype)
    return tf.reduce_sum(_times(gram, b) * tf.linalg.solve(matrix, b))


def _cholesky(kernel, functionals, gram, b, ridge, eta, rank):
    """Woodbury: (b' W b - (R W b)' (R W R' + c I)^-1 (R W b)) / c with B ~ R' R.

    R = L^-1 B[S, :], B[S, S] = L L' for the pivots S: their choice is a constant, and
    the rest is differentiable.
    """
    weights = tf.reshape(tf.linalg.diag_part(gram), (-1,))
    chosen = pivots(kernel, functionals, weights, eta, rank)
    rows = pairing(kernel, functionals.take(chosen), functionals)  # (T, N)
    factor = tf.linalg.cholesky(tf.gather(rows, chosen, axis=1))
    rows = tf.linalg.triangular_solve(factor, rows)
    weighted = _times(gram, b)
    u = tf.matmul(rows, weighted)
    inner = tf.matmul(rows, _times(gram, tf.transpose(rows)))
    inner += ridge * tf.eye(tf.shape(inner)[0], dtype=inner.dtype)
    solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(inner), u)
    return (tf.reduce_sum(b * weighted) - tf.reduce_sum(u * solved)) / ridge


def _times(gram, columns):
    """W times (N, k), by its blocks (M, r, r)."""
    r, k = gram.shape[-1], tf.shape(columns)[1]
    product = tf.matmul(gram, tf.reshape(columns, (-1, r, k)))
    return tf.reshape(product, (-1, k))


METHODS = {  # name -> (functionals of points and Jacobians, q of their system)
    "exact": (_with_values, _exact),
    "cholesky": (_with_values, _cholesky),
    "gradient": (_slopes, _exact),
}
