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


ESTIMATORS = [*MEANS, "constant_diagonal", "linear", "successive"]


def terms(x, y, kernel, estimator):
    """The three means of an estimate, of k(x, x), k(y, y) and k(x, y)."""
    matrices = kernel(x, x), kernel(y, y), kernel(x, y)
    if estimator in MEANS:
        within, across = MEANS[estimator]
        return within(matrices[0]), within(matrices[1]), across(matrices[2])
    if estimator == "constant_diagonal":  # a trace of n k(0, 0)
        zero = np.zeros((1, np.shape(x)[1]))
        sums = [np.sum(k) - len(k) * kernel(zero, zero)[0, 0] for k in matrices[:2]]
        return *(s / (n**2 - n) for s, n in zip(sums, (len(x), len(y)))), mean(
            matrices[2]
        )
    step = {"linear": 2, "successive": 1}[estimator]
    return tuple(
        np.mean([[k[i, i + 1], k[i + 1, i]] for i in range(0, min(k.shape) - 1, step)])
        for k in matrices
    )


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
    return np.mean(squares) - square_of_the_mean(k_xx, k_yy, k_xy)


def variance_of_unbiased(x, y, kernel):
    """The same for mmd2 ("unbiased"), of n and m rows."""
    apart = square_of_the_mean(kernel(x, x), kernel(y, y), kernel(x, y))
    return mmd2(x, y, kernel, "unbiased") ** 2 - apart


def square_of_the_mean(k_xx, k_yy, k_xy):
    """The mean of products of two estimates that share no row."""
    i, j = tuples(len(k_xx), 4)[:, :, None], tuples(len(k_yy), 4)[:, None, :]
    one = k_xx[i[0], i[1]] + k_yy[j[0], j[1]] - 2 * k_xy[i[0], j[0]]
    two = k_xx[i[2], i[3]] + k_yy[j[2], j[3]] - 2 * k_xy[i[2], j[2]]
    return np.mean(one * two)


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
    across = (lambda d: np.minimum(d, high)) if weights[0] > 0 else (lambda d: d)
    value = (
        weights[0] * off(of_squares(across(d2(real, fake))))
        - off(of_squares(np.maximum(d2(fake, fake), low)))
        - weights[1] * off(of_squares(hold(d2(real, real))))
    )
    return mmd2(real, fake, lambda x, y: of_squares(d2(x, y)), "ustat"), value


def least_squares(real, fake, a=0, b=1, c=1):
    """Mao et al. (2017), equation 2."""
    discriminator = ((real - b) ** 2).mean() / 2 + ((fake - a) ** 2).mean() / 2
    return ((fake - c) ** 2).mean() / 2, discriminator


def rooted(real, fake, kernel, weight=16):
    """Li et al. (2017): the root of MMD^2, and the one-sided term on the means."""
    gaps = [x.mean() - y.mean() for x, y in zip(real.T, fake.T)]
    rank = -sum(max(-gap, 0) for gap in gaps) / len(gaps)
    value = np.sqrt(max(mmd2(real, fake, kernel, "biased"), 0)) + weight * rank
    return value, -value


def length(x):
    return np.sqrt(np.sum(np.asarray(x) ** 2))


def cramer_triples(real, fake):
    return [(real[i], fake[i], fake[i - 1]) for i in range(min(len(real), len(fake)))]


def cramer(real, fake):
    """Bellemare et al. (2017)."""
    generator, discriminator = [], []
    for x, y, z in cramer_triples(real, fake):
        generator.append(length(y - x) + length(z - x) - length(y - z))
        critic = [length(x - z) - length(x), length(y - z) - length(y)]
        discriminator.append(critic[1] - critic[0])
    return np.mean(generator), np.mean(discriminator)


def surrogate(real, fake):
    """The other loss in the code of Binkowski et al. (2018)."""
    value = np.mean(
        [
            length(x - y) - length(x) - (length(y - z) - length(y))
            for x, y, z in cramer_triples(real, fake)
        ]
    )
    return value, -value


# ---- Gaussian kernels of random width, and a normal law by quadrature


def gaussian(beta):
    return lambda x, y: np.exp(-beta * squared_distances(x, y))


def newton(means, start, omega):
    """Three steps to the beta of which `means` gives omega, and minus a slope."""
    beta = -np.log(omega) / start
    for _ in range(3):
        value, slope = means(beta)
        beta = beta + (value - omega) / slope
    return beta


def beta_of_pairs(x, y, omega):
    d2 = squared_distances(x, y)

    def means(beta):
        k = np.exp(-beta * d2)
        return mean_off_diagonal(k), mean_off_diagonal(k * d2)

    return newton(means, mean_off_diagonal(d2), omega)


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()  # means over N(0, 1)


def normal_kernel(x, beta, spread=1.0, center=0.0):
    """Means over the rows x of E k(x, n) and of E |x - n|^2 k(x, n).

    n ~ N(center, spread / (2 d)) in each of d numbers, k is exp(-beta |x - n|^2).
    """
    d = x.shape[1]
    squares = (x[:, :, None] - center - np.sqrt(spread / (2 * d)) * _NODES) ** 2
    each = np.exp(-beta * squares) @ _WEIGHTS  # (n, d)
    moved = (squares * np.exp(-beta * squares)) @ _WEIGHTS
    slope = each.prod(1) * (moved / each).sum(1)
    return each.prod(1).mean(), slope.mean()


def beta_of_normal(x, omega, spread=1.0, center=0.0):
    start = np.mean(np.sum((x - center) ** 2, axis=1)) + spread / 2
    return newton(lambda b: normal_kernel(x, b, spread, center), start, omega)


def normal_mmd2(x, beta, spread=1.0, center=0.0):
    """MMD^2 of x and the normal law; n - n' has twice its variance."""
    d = x.shape[1]
    k_nn = (np.exp(-beta * spread / d * _NODES**2) @ _WEIGHTS) ** d
    k_xn, _ = normal_kernel(x, beta, spread, center)
    return mean_off_diagonal(gaussian(beta)(x, x)) + k_nn - 2 * k_xn


def swapped(real, fake, swaps):
    """The rows of `swaps` change sides."""
    real, fake = real.copy(), fake.copy()
    for i in range(min(len(real), len(fake))):
        if swaps[i]:
            real[i], fake[i] = fake[i].copy(), real[i].copy()
    return real, fake


def random_mmd2(real, fake, omega, at):
    """R of the beta that is right for the scores `at`."""
    return mmd2(real, fake, gaussian(beta_of_pairs(*at, omega)), "ustat")


def random_normal(x, omega, at, spread=1.0, center=0.0):
    """N of the beta that is right for the scores `at`."""
    beta = beta_of_normal(at, omega, spread, center)
    return normal_mmd2(x, beta, spread, center)


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
