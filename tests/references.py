"""Formulas in float64 NumPy, written from the papers and independent of gantf."""

import itertools

import numpy as np

# ---- kernels: rows (n, d) and (m, d) -> (n, m)


def squared_distances(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    return np.array([[np.sum((a - b) ** 2) for b in y] for a in x])


def rbf(x, y, sigma):
    return np.exp(-squared_distances(x, y) / (2 * sigma**2))


def rq(x, y, alpha):
    return (1 + squared_distances(x, y) / (2 * alpha)) ** -alpha


def laplace(x, y, sigma):
    return np.exp(-np.sqrt(squared_distances(x, y)) / sigma)


def dot(x, y):
    return np.asarray(x, float) @ np.asarray(y, float).T


def poly(x, y, degree, gamma=None, constant=1):
    gamma = 1 / np.shape(x)[1] if gamma is None else gamma
    return (gamma * dot(x, y) + constant) ** degree


def tanh(kernel):
    return lambda x, y, *p: kernel(np.tanh(x), np.tanh(y), *p)


def random_features(x, y, sigma, n, seed):
    """The mean over n frequencies u / sigma of cos(u . (a - b) / sigma)."""
    u = np.random.RandomState(seed).normal(size=(n, np.shape(x)[1])) / sigma
    return np.array([[np.cos(u @ (a - b)).mean() for b in y] for a in x])


def distance(x, y):
    norms = [np.sqrt(np.sum(np.asarray(a, float) ** 2, axis=1)) for a in (x, y)]
    root = np.sqrt(squared_distances(x, y))
    return norms[0][:, None] + norms[1][None, :] - root


# ---- means over pairs, and MMD^2: Gretton et al. (2012), equations 3 and 5


def mean(matrix):
    return sum(map(sum, matrix)) / np.size(matrix)


def mean_off_diagonal(matrix):
    n, m = np.shape(matrix)
    pairs = [(i, j) for i in range(n) for j in range(m) if i != j]
    return sum(matrix[i][j] for i, j in pairs) / len(pairs)


MEANS = {  # estimator -> means within a sample and across two
    "unbiased": (mean_off_diagonal, mean),
    "biased": (mean, mean),
    "ustat": (mean_off_diagonal, mean_off_diagonal),
}


def mmd2(x, y, kernel, estimator):
    within, across = MEANS[estimator]
    return within(kernel(x, x)) + within(kernel(y, y)) - 2 * across(kernel(x, y))


# ---- variances of estimates E: E[E^2] - (E[E])^2, both terms by their definition


def tuples(m, size):
    """All tuples of different indices below m, one a row; columns unpacked."""
    return np.array(list(itertools.permutations(range(m), size))).T


def variance(x, y, kernel):
    """mmd2^2 ("ustat"), over all orders of y, less the mean of products of two
    estimates that share no row. No coefficient of a formula is used."""
    m = len(x)
    k_xx, k_yy, k_xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within = mean_off_diagonal(k_xx) + mean_off_diagonal(k_yy)
    squares = [
        (within - 2 * mean_off_diagonal(k_xy[:, order])) ** 2
        for order in itertools.permutations(range(m))
    ]
    i, j = tuples(m, 4)[:, :, None], tuples(m, 4)[:, None, :]
    one = k_xx[i[0], i[1]] + k_yy[j[0], j[1]] - 2 * k_xy[i[0], j[0]]
    two = k_xx[i[2], i[3]] + k_yy[j[2], j[3]] - 2 * k_xy[i[2], j[2]]
    return np.mean(squares) - np.mean(one * two)


def three_sample_variance(x, y, z, kernel):
    """The same for mmd2(x, y) - mmd2(x, z); the orders of y and z are independent."""
    m = len(x)
    k_yy, k_zz, k_xy, k_xz = kernel(y, y), kernel(z, z), kernel(x, y), kernel(x, z)
    within = mean_off_diagonal(k_yy) - mean_off_diagonal(k_zz)
    orders = list(itertools.permutations(range(m)))
    across = [
        np.array([mean_off_diagonal(k[:, order]) for order in orders])
        for k in (k_xy, k_xz)
    ]
    squares = (within - 2 * across[0][:, None] + 2 * across[1]) ** 2
    i = tuples(m, 2)[:, :, None, None]
    j, l = tuples(m, 4)[:, None, :, None], tuples(m, 4)[:, None, None, :]
    one = (
        k_yy[j[0], j[1]] - k_zz[l[0], l[1]] - 2 * (k_xy[i[0], j[0]] - k_xz[i[0], l[0]])
    )
    two = (
        k_yy[j[2], j[3]] - k_zz[l[2], l[3]] - 2 * (k_xy[i[1], j[2]] - k_xz[i[1], l[2]])
    )
    return np.mean(squares) - np.mean(one * two)


# ---- losses: (real, fake) -> (generator's, discriminator's)


def softplus(x):
    return np.logaddexp(0, x)


def logistic(real, fake):
    return softplus(-fake).mean(), softplus(-real).mean() + softplus(fake).mean()


def hinge(real, fake):
    hinges = [np.maximum(0, 1 - real).mean(), np.maximum(0, 1 + fake).mean()]
    return -fake.mean(), sum(hinges)


def wasserstein(real, fake):
    return real.mean() - fake.mean(), fake.mean() - real.mean()


def mmd_loss(real, fake, kernel, estimator="ustat"):
    value = mmd2(real, fake, kernel, estimator)
    return value, -value


def repulsive(real, fake, kernel, weights=(0, -1), estimator="ustat"):
    """Wang et al. (2019), equations 4 and 5."""
    within, across = MEANS[estimator]
    value = (
        weights[0] * across(kernel(real, fake))
        - within(kernel(fake, fake))
        - weights[1] * within(kernel(real, real))
    )
    return mmd2(real, fake, kernel, estimator), value


def bounded(real, fake, of_squares, weights=(0, -1), low=0.25, high=4.0):
    """Wang et al. (2019), equation 6; `of_squares` is the kernel of d^2."""
    off, d2 = mean_off_diagonal, squared_distances
    hold = (lambda d: np.minimum(d, high)) if weights[1] <= 0 else None
    hold = hold or (lambda d: np.maximum(d, low))
    value = (
        weights[0] * off(of_squares(np.minimum(d2(real, fake), high)))
        - off(of_squares(np.maximum(d2(fake, fake), low)))
        - weights[1] * off(of_squares(hold(d2(real, real))))
    )
    return mmd2(real, fake, lambda x, y: of_squares(d2(x, y)), "ustat"), value


# ---- convolutions: maps (n, h, w, c), kernels (kh, kw, c_in, c_out)


def same_pads(side, kernel, stride, dilation=1):
    """TensorFlow's "SAME": the odd zero stands behind."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-side // stride) - 1) * stride + reach - side, 0)
    return total // 2, total - total // 2


def conv(x, kernel, pads, strides, dilations=(1, 1)):
    x = np.pad(np.asarray(x, float), [(0, 0), *pads, (0, 0)])
    kh, kw, _, c_out = kernel.shape
    reach = [(k - 1) * d + 1 for k, d in zip((kh, kw), dilations)]
    h, w = ((n - r) // s + 1 for n, r, s in zip(x.shape[1:3], reach, strides))
    y = np.zeros((len(x), h, w, c_out))
    for i, j, a, b in itertools.product(range(h), range(w), range(kh), range(kw)):
        row, column = (
            i * strides[0] + a * dilations[0],
            j * strides[1] + b * dilations[1],
        )
        y[:, i, j] += x[:, row, column] @ kernel[a, b]
    return y


def conv_transpose(x, kernel, strides):
    """Every pixel stamps the kernel (kh, kw, c_out, c_in); nothing is cut off."""
    x = np.asarray(x, float)
    n, h, w, _ = x.shape
    kh, kw, c_out, _ = kernel.shape
    y = np.zeros((n, (h - 1) * strides[0] + kh, (w - 1) * strides[1] + kw, c_out))
    for i, j, a, b in itertools.product(range(h), range(w), range(kh), range(kw)):
        y[:, i * strides[0] + a, j * strides[1] + b] += x[:, i, j] @ kernel[a, b].T
    return y


def matrix_of(linear, shape):
    """The matrix of a linear map of batches: column j is what it makes of e_j."""
    size = int(np.prod(shape))
    images = np.asarray(linear(np.eye(size, dtype="float32").reshape(size, *shape)))
    return images.reshape(size, -1).T


def numerical_gradient(f, x, step=1e-6):
    """Central differences of a scalar function, in float64."""
    x = np.array(x, float)
    gradient = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f(x)
        x[i] = kept - step
        gradient[i] = (above - f(x)) / (2 * step)
        x[i] = kept
    return gradient
