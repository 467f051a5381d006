"""Tests of augment.py and changes.py against float64 formulas, SciPy and NumPy."""

import json
import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import tensorflow as tf
from test_settings import SMALL

from gantf import augment, changes, experiment, losses, settings
from gantf.batch import Draws

SHAPES = [(8, 8, 3), (7, 5, 1), (4, 6, 2), (32, 32, 3), (1, 1, 1)]
LAST = 1 - 2**-23  # the largest draw from U[0, 1) in float32


def draw(*shape, seed=0):
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype("float32")


def uniforms(n, width, seed=1):
    """Draws from U[0, 1), the first all 0 and the second all the largest."""
    u = np.random.RandomState(seed).uniform(0, LAST, (n, width))
    u[0], u[1] = 0, LAST
    return u.astype("float32")


def float64(*arrays):
    return [np.asarray(array, float) for array in arrays]


# ---- DiffAugment: Zhao et al. (2020), and what their code does with its draws


def brightness(image, u):
    return image + (u[0] - 0.5)


def saturation(image, u):
    made = np.empty_like(image)
    for i, j in np.ndindex(image.shape[:2]):
        mean = sum(image[i, j]) / len(image[i, j])
        made[i, j] = mean + 2 * u[0] * (image[i, j] - mean)
    return made


def contrast(image, u):
    return image.mean() + (0.5 + u[0]) * (image - image.mean())


def translation(image, u):
    h, w, _ = image.shape
    most = [int(side / 8 + 0.5) for side in (h, w)]
    down, right = (int(v * (2 * m + 1)) - m for v, m in zip(u, most))
    made = np.zeros_like(image)
    made[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = image[
        max(-down, 0) : h - max(down, 0), max(-right, 0) : w - max(right, 0)
    ]
    return made


def cutout(image, u):
    made = image.copy()
    sides = [int(side / 2 + 0.5) for side in image.shape[:2]]
    firsts = [
        int(v * (size + 1 - side % 2)) - side // 2
        for v, size, side in zip(u, image.shape, sides)
    ]
    for i, j in np.ndindex(image.shape[:2]):
        if all(a <= k < a + s for k, a, s in zip((i, j), firsts, sides)):
            made[i, j] = 0
    return made


REFERENCES = {
    brightness: 1,
    saturation: 1,
    contrast: 1,
    translation: 2,
    cutout: 2,
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reference", REFERENCES, ids=lambda f: f.__name__)
def test_each_change_of_diffaugment(reference, shape):
    images, u = draw(12, *shape), uniforms(12, REFERENCES[reference])
    found = getattr(changes, reference.__name__)(images, u)
    truth = [reference(*pair) for pair in zip(*float64(images, u))]
    # moves and holes are exact; a few roundings of numbers below 4
    exact = REFERENCES[reference] == 2
    np.testing.assert_allclose(found, truth, rtol=0, atol=0 if exact else 1e-6)


def test_holes_are_half_as_wide_as_the_image_where_they_fit():
    # 9 centres of a hole of 4 rows in 8: it has 2 + 3 + 4 5 + 3 + 2 of 9 rows.
    u = np.stack([(np.arange(9) + 0.5) / 9, np.full(9, 0.5)], axis=1)
    found = changes.cutout(tf.ones((9, 8, 8, 1)), tf.constant(u, tf.float32))
    holes = np.sum(np.asarray(found)[:, :, 3, 0] == 0, axis=1)
    np.testing.assert_array_equal(holes, [2, 3, 4, 4, 4, 4, 4, 3, 2])


def test_moves_are_to_all_places_alike():
    # 32 / 8 = 4: one of 9 rows, each 1/9 of the draws.
    u = np.stack([np.arange(900) / 900, np.full(900, 0.5)], axis=1)
    image = np.zeros((900, 32, 32, 1), "float32")
    image[:, 16, 16] = 1
    found = np.asarray(changes.translation(image, tf.constant(u + 1e-5, tf.float32)))
    rows, counts = np.unique(np.argmax(found[:, :, 16, 0], axis=1), return_counts=True)
    np.testing.assert_array_equal(rows, np.arange(12, 21))
    np.testing.assert_array_equal(counts, 100)


@pytest.mark.parametrize(
    "policy, references",
    [
        (None, [brightness, saturation, contrast, translation, cutout]),
        ("cutout,color", [cutout, brightness, saturation, contrast]),
        ("translation", [translation]),
    ],
)
def test_a_policy_is_done_in_its_order(policy, references):
    made = augment.get("diffaugment", **({"policy": policy} if policy else {}))
    widths = [REFERENCES[reference] for reference in references]
    images, u = draw(6, 8, 8, 3), uniforms(6, sum(widths))
    assert made.uniforms == (sum(widths),)
    for truth, numbers, found in zip(
        *float64(images, u), made(images, u, np.zeros((6, 0)), {})
    ):
        for reference, width in zip(references, widths):
            truth = reference(truth, numbers[:width])
            numbers = numbers[width:]
        np.testing.assert_allclose(found, truth, atol=2e-6)


# ---- ADA: what is drawn


NAMES = list(changes.CHANGES)
ALL = ("blit", "geometry", "color")
NONE = {name: change.none for name, change in changes.CHANGES.items()}


def random(n, seed=0):
    keys = ([seed, 1], [seed, 2])
    uniform = tf.random.stateless_uniform((n, len(NAMES), 3), keys[0])
    return uniform, tf.random.stateless_normal((n, len(NAMES), 2), keys[1])


def drawn(p, n=4, groups=ALL, seed=0):
    found = changes.drawn(p, groups, *random(n, seed))
    return {name: np.asarray(pair, float) for name, pair in found.items()}


def test_every_change_is_made_with_its_probability():
    # Binomial counts within 5 standard deviations: a false alarm in 10^5 of such tests.
    n, p = 20_000, 0.3
    made = {name: pair[0] != NONE[name] for name, pair in drawn(p, n).items()}
    chances = dict.fromkeys(NAMES, p)
    chances |= {"flip": p / 2, "quarters": p * 3 / 4, "luma": p / 2}
    chances |= dict.fromkeys(["turn", "second_turn"], 1 - math.sqrt(1 - p))
    made["some turn"] = made["turn"] | made["second_turn"]
    chances["some turn"] = p
    for one, other in [("shift", "scale"), ("brightness", "contrast")]:
        made[f"{one} {other}"] = made[one] & made[other]
        chances[f"{one} {other}"] = p**2
    assert len(made) == 16
    for name, chance in chances.items():
        spread = math.sqrt(n * chance * (1 - chance))
        assert abs(made[name].sum() - n * chance) < 5 * spread, name


def test_the_law_of_every_change():
    """Kolmogorov and Smirnov's test; of all 21 a false alarm in 5 10^4 such tests.

    Karras et al. (2020), appendix B: log-normals of standard deviation .2 ln 2, .5 ln 2
    and ln 2, normals of .125 and .2, shifts within an eighth, all angles.
    """
    found = drawn(1.0, 4000)
    logs = {"scale": 0.2, "stretch": 0.2, "contrast": 0.5, "saturation": 1.0}
    for name, spread in logs.items():
        found[name] = np.log2(found[name]) / spread
    found["offset"], found["brightness"] = found["offset"] * 8, found["brightness"] * 5
    for name in (*logs, "offset", "brightness"):
        for column in found[name]:
            assert scipy.stats.kstest(column, "norm").pvalue > 1e-6, name
    for name, most in {
        "shift": 0.125,
        "turn": math.pi,
        "second_turn": math.pi,
        "hue": math.pi,
    }.items():
        for column in found[name]:
            law = scipy.stats.uniform(-most, 2 * most)
            assert scipy.stats.kstest(column, law.cdf).pvalue > 1e-6, name
    for name, values in {
        "flip": [-1, 1],
        "luma": [-1, 1],
        "quarters": [0, 1, 2, 3],
    }.items():
        kinds, counts = np.unique(found[name][0], return_counts=True)
        np.testing.assert_array_equal(kinds, values)
        assert scipy.stats.chisquare(counts).pvalue > 1e-6, name


def test_only_the_groups_of_the_policy_are_made():
    for group in ALL:
        for name, pair in drawn(1.0, 50, [group]).items():
            changed = np.any(pair != NONE[name])
            assert changed == (changes.CHANGES[name].group == group), name


def test_two_numbers_of_a_move_are_drawn_apart():
    found = drawn(1.0, 2000)
    for name in ("shift", "offset"):
        # the correlation of 2000 pairs is normal with 1 / sqrt 2000; 5 of it, twice
        assert abs(np.corrcoef(found[name])[0, 1]) < 5 / math.sqrt(2000), name


# ---- ADA: places


def rotation(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def move(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], float)


def forward(numbers, h, w):
    """The map of an image's places, change after change; y goes down."""
    n = {name: (float(pair[0]), float(pair[1])) for name, pair in numbers.items()}
    scale, stretch = n["scale"][0], n["stretch"][0]
    steps = [
        np.diag([n["flip"][0], 1, 1]),
        rotation(-math.pi / 2 * n["quarters"][0]),
        move(round(n["shift"][0] * w), round(n["shift"][1] * h)),
        np.diag([scale, scale, 1]),
        rotation(-n["turn"][0]),
        np.diag([stretch, 1 / stretch, 1]),
        rotation(-n["second_turn"][0]),
        move(n["offset"][0] * w, n["offset"][1] * h),
    ]
    whole = np.eye(3)
    for step in steps:
        whole = step @ whole
    return whole


def sources(numbers, h, w):
    numbers = {
        name: tuple(tf.constant(row, tf.float32) for row in pair)
        for name, pair in numbers.items()
    }
    return np.asarray(changes.sources(numbers, h, w))


def test_places_are_the_inverse_of_all_changes_in_turn():
    numbers = drawn(0.7, 40)
    for i, found in enumerate(sources(numbers, 16, 24)):
        ones = {name: pair[:, i] for name, pair in numbers.items()}
        truth = np.linalg.inv(forward(ones, 16, 24))
        # eight products of float32 matrices with entries up to 30
        np.testing.assert_allclose(found, truth, atol=2e-5)


@pytest.mark.parametrize(
    "shape", [(9, 9, 3), (6, 11, 1), (8, 5, 2), (3, 1, 1)], ids=str
)
def test_resampling_is_that_of_scipy(shape):
    h, w, channels = shape
    images = draw(10, *shape)
    matrices = sources(drawn(1.0, 10, seed=3), h, w)
    found = changes.resample(images, matrices)
    middle = np.array([h - 1, w - 1]) / 2
    for image, m, made in zip(*float64(images, matrices), np.asarray(found)):
        rows = np.array([[m[1, 1], m[1, 0]], [m[0, 1], m[0, 0]]])
        offset = middle + [m[1, 2], m[0, 2]] - rows @ middle
        for channel in range(channels):
            truth = scipy.ndimage.affine_transform(
                image[..., channel], rows, offset, order=1, mode="mirror"
            )
            # places are off by 1e-6, and neighbours differ by 2 at most
            np.testing.assert_allclose(made[..., channel], truth, atol=2e-5)


def changed(**given):
    """Numbers of no change but those."""
    numbers = {name: np.full((2, 1), none) for name, none in NONE.items()}
    return numbers | {
        k: np.reshape(v, (-1, 1)) * np.ones((2, 1)) for k, v in given.items()
    }


def recast(image, **given):
    found = sources(changed(**given), *image.shape[:2])
    return np.asarray(changes.resample(image[None], found))[0]


def test_blitting_moves_pixels_and_leaves_their_numbers():
    image = draw(8, 8, 3)
    np.testing.assert_array_equal(recast(image, flip=-1), image[:, ::-1])
    for quarters in range(4):
        np.testing.assert_array_equal(
            recast(image, quarters=quarters), np.rot90(image, quarters)
        )
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(  # .11 8 = .88: one to the right, one up
        recast(image, shift=[0.11, -0.11]), padded[2:10, 0:8]
    )
    np.testing.assert_array_equal(recast(image, shift=[0.06, -0.06]), image)
    wide = draw(4, 16, 1)
    padded = np.pad(wide, ((0, 0), (2, 0), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(recast(wide, shift=[0.12, 0.12]), padded[:, :16])


def test_a_scale_above_1_makes_things_larger_and_a_stretch_wider():
    image = np.zeros((33, 33, 1), "float32")
    image[12:21, 12:21] = 1  # 9 x 9
    # 17 pixels and, half way to their neighbours, two halves
    assert recast(image, scale=2.0).sum() == pytest.approx(18 * 18)
    wide = recast(image, stretch=2.0)[8:25, :, 0]  # but for mirror images
    np.testing.assert_allclose(wide.max(0).sum(), 18, rtol=1e-6)
    np.testing.assert_allclose(wide.max(1).sum(), 5, rtol=1e-6)  # every other one


def test_a_quarter_turn_by_the_angle_is_one_by_the_number():
    image = draw(9, 9, 3)
    for name in ("turn", "second_turn"):
        found = recast(image, **{name: math.pi / 2})
        np.testing.assert_allclose(found, np.rot90(image), atol=1e-5)


# ---- ADA: colors


def color_matrix(numbers):
    """The product of the 4 x 4 matrices of Karras et al. (2020), appendix B."""
    b, c, luma, hue, s = (
        float(numbers[name][0])
        for name in ("brightness", "contrast", "luma", "hue", "saturation")
    )
    v = np.array([1, 1, 1, 0]) / math.sqrt(3)
    axis, fourth = np.outer(v, v), np.diag([0, 0, 0, 1])
    shift = np.eye(4)
    shift[:3, 3] = b
    turn = np.eye(4)
    turn[:3, :3] = scipy.spatial.transform.Rotation.from_rotvec(hue * v[:3]).as_matrix()
    whole = np.diag([c, c, c, 1]) @ shift
    whole = (np.eye(4) - (1 - luma) * axis) @ whole
    whole = turn @ whole
    rest = np.eye(4) - axis - fourth
    return (axis + s * rest + fourth) @ whole


def recolored(images, numbers):
    numbers = {
        name: tuple(tf.constant(row, tf.float32) for row in pair)
        for name, pair in numbers.items()
    }
    return np.asarray(changes.recolor(tf.constant(images, tf.float32), numbers))


def test_colors_are_the_product_of_all_matrices():
    images, numbers = draw(40, 3, 2, 3), drawn(0.7, 40)
    found = recolored(images, numbers)
    for i, image in enumerate(float64(images)[0]):
        m = color_matrix({name: pair[:, i] for name, pair in numbers.items()})
        truth = image @ m[:3, :3].T + m[:3, 3]
        # a few roundings of numbers that reach 20
        np.testing.assert_allclose(found[i], truth, atol=2e-5)


def test_grey_images_are_changed_as_grey_colors_are():
    grey, numbers = draw(20, 3, 2, 1), drawn(0.7, 20)
    found = recolored(grey, numbers)
    as_colors = recolored(np.repeat(grey, 3, axis=3), numbers)
    np.testing.assert_allclose(as_colors, np.repeat(found, 3, axis=3), atol=2e-5)


def test_what_single_changes_of_color_leave():
    image = draw(1, 4, 4, 3)

    def made(images, **given):
        numbers = {k: pair[:, :1] for k, pair in changed(**given).items()}
        return recolored(images, numbers)

    luma = image.mean(3, keepdims=True)
    flipped = made(image, luma=-1)
    np.testing.assert_allclose(flipped.mean(3, keepdims=True), -luma, atol=1e-6)
    np.testing.assert_allclose(flipped + luma, image - luma, atol=1e-6)
    np.testing.assert_allclose(made(flipped, luma=-1), image, atol=1e-6)
    turned = made(image, hue=1.0)
    np.testing.assert_allclose(turned.mean(3, keepdims=True), luma, atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(turned, axis=3), np.linalg.norm(image, axis=3), atol=1e-6
    )
    np.testing.assert_allclose(  # a third of a turn takes red to green to blue
        made(image, hue=2 * math.pi / 3), np.roll(image, 1, axis=3), atol=1e-6
    )
    np.testing.assert_allclose(made(image, saturation=0) + 0 * image, luma + 0 * image)
    np.testing.assert_allclose(made(image, contrast=2), 2 * image, atol=1e-6)
    np.testing.assert_allclose(made(image, brightness=0.3), image + 0.3, atol=1e-6)


# ---- both: identity, gradients, types, draws


def given(made, n, seed=0):
    uniform = tf.random.stateless_uniform((n, *made.uniforms), [seed, 1])
    return uniform, tf.random.stateless_normal((n, *made.normals), [seed, 2])


@pytest.mark.parametrize("parameters", [{"p": 0}, {}], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_at_p_0_images_are_the_same_bit_for_bit(shape, parameters):
    made = augment.get("ada", **parameters)
    images = draw(50, *shape)
    found = made(images, *given(made, 50), made.state)
    assert np.asarray(found).tobytes() == images.tobytes()


@pytest.mark.parametrize("policy", ALL)
def test_a_policy_of_ada_changes_only_its_part(policy):
    made = augment.get("ada", p=1.0, policy=policy)

    def found(images):
        return np.asarray(made(images, *given(made, 8), {}))

    one_color = np.broadcast_to(draw(8, 1, 1, 3), (8, 6, 6, 3))
    spread = np.ptp(found(one_color), axis=(1, 2))
    np.testing.assert_allclose(spread, 0, atol=1e-5)
    kept = np.allclose(found(one_color), one_color, atol=1e-5)
    assert kept == (policy != "color")
    images = draw(8, 6, 6, 3)
    assert not np.array_equal(found(images), images)
    assert np.isin(found(images), images).all() == (policy == "blit")


KINDS = [("diffaugment", {}), ("ada", {"p": 0.8})]


@pytest.mark.parametrize("shape", [(5, 4, 3), (6, 6, 1)], ids=str)
@pytest.mark.parametrize("name, parameters", KINDS)
def test_gradients_are_those_of_finite_differences(name, parameters, shape):
    # All changes are affine in the images: differences of any length are exact.
    made = augment.get(name, **parameters)
    images, weights = tf.constant(draw(6, *shape)), draw(6, *shape, seed=1)
    numbers = given(made, 6)

    def total(x):
        return tf.reduce_sum(weights * made(x, *numbers, {}))

    with tf.GradientTape() as tape:
        tape.watch(images)
        value = total(images)
    gradient = np.asarray(tape.gradient(value, images), float)
    assert np.any(gradient)
    for seed in range(10):
        step = draw(6, *shape, seed=10 + seed)
        difference = float(total(images + step) - total(images - step)) / 2
        expected = np.sum(gradient * step)
        assert difference == pytest.approx(expected, abs=2e-4)  # sums of 360 numbers


@pytest.mark.parametrize("name, parameters", KINDS)
def test_images_keep_their_type_and_are_computed_in_float32(name, parameters):
    made = augment.get(name, **parameters)
    real = tf.cast(draw(4, 6, 6, 3), tf.bfloat16)
    fake = tf.constant(draw(4, 6, 6, 3, seed=1))
    found = made.pair(real, fake, Draws(), {})
    assert [images.dtype for images in found] == [tf.bfloat16, tf.float32]
    exact, _ = made.pair(tf.cast(real, tf.float32), fake, Draws(), {})
    np.testing.assert_array_equal(found[0], tf.cast(exact, tf.bfloat16))


@pytest.mark.parametrize("name, parameters", KINDS)
def test_both_sides_of_a_pair_have_draws_of_their_own_streams(name, parameters):
    made, asked = augment.get(name, **parameters), {}

    class Given:
        def uniform(self, stream, shape):
            asked[stream] = tf.random.stateless_uniform(shape, [0, 1])
            return asked[stream]

        def normal(self, stream, shape):
            asked[stream] = tf.random.stateless_normal(shape, [0, 2])
            return asked[stream]

    sides = draw(4, 6, 6, 3), draw(4, 6, 6, 3, seed=1)
    found = made.pair(*map(tf.constant, sides), Given(), {})
    assert set(asked) == {"augment", "augment_normal"}
    for i, images in enumerate(sides):
        numbers = asked["augment"][:, i], asked["augment_normal"][:, i]
        truth = made(images, *numbers, {})  # of other blocks of rows: one rounding
        np.testing.assert_allclose(found[i], truth, atol=2e-6)


@pytest.mark.parametrize("name, parameters", KINDS)
def test_draws_differ_from_image_to_image_side_to_side_and_step_to_step(
    name, parameters
):
    made = augment.get(name, **parameters)
    images = tf.repeat(draw(1, 8, 8, 3), 2, axis=0)
    step = made.pair(images, images, Draws(3, 5), {})
    again = made.pair(images, images, Draws(3, 5), {})
    np.testing.assert_array_equal(step, again)
    found = [*step[0], *step[1]]
    for draws in (Draws(3, 6), Draws(4, 5)):
        real, fake = made.pair(images, images, draws, {})
        found += [*real, *fake]
    found = [np.asarray(image).tobytes() for image in found]
    assert len(set(found)) == len(found) == 12


# ---- how certain a discriminator is


@pytest.mark.parametrize("name", losses.names())
def test_certainty_is_large_for_what_the_discriminator_aims_at(name):
    """Fakes close together, reals around another place; its loss says D wants it."""
    loss = losses.get(name)
    noise = np.random.RandomState(0).randn(2, 32, loss.score_dim or 4)
    real, fake = (1 + 0.5 * noise[0]).astype("float32"), -1 + 0.1 * noise[1]
    fake = fake.astype("float32")
    other = np.arange(32)[:, None] % 2 == 0
    mixed = np.where(other, real, fake), np.where(other, fake, real)
    aim, chance, wrong = (real, fake), mixed, (fake, real)
    values = [float(loss.discriminator(*pair)) for pair in (aim, chance, wrong)]
    found = [float(augment.certainty(loss, *pair)) for pair in (aim, chance, wrong)]
    assert values[0] < values[1] and found[0] > 0.75
    assert abs(found[1]) < 0.6  # 3.4 standard deviations of 32 fair coins
    if loss.score_dim == 1:
        assert values[1] < values[2] and found[2] < -0.75


def test_certainty_of_a_kernel_is_which_mean_is_nearer():
    """In features whose products are the kernel: k(a, b) = (1 + a b)^2 of numbers."""
    real, fake = draw(12, 1), draw(12, 1, seed=1) * 1.5

    def features(x):
        x = np.asarray(x, float)
        return np.concatenate([np.ones_like(x), math.sqrt(2) * x, x * x], axis=1)

    signs = []
    for mine, other in [(slice(6), slice(6, 12)), (slice(6, 12), slice(6))]:
        away = features(real[other]).mean(0) - features(fake[other]).mean(0)
        middle = (features(real[mine]).mean(0) + features(fake[mine]).mean(0)) / 2
        signs += list(np.sign((features(real[mine]) - middle) @ away))
    loss = losses.get("mmd_g", kernel="poly:2,1,1")
    found = augment.certainty(loss, tf.constant(real), tf.constant(fake))
    assert -1 < np.mean(signs) < 1
    assert float(found) == pytest.approx(np.mean(signs), abs=1e-6)


def test_a_score_is_not_near_itself():
    # A kernel so narrow that every score has only itself: nothing is known of any.
    loss = losses.get("mmd_g", kernel="rbf:0.0001")
    assert augment.certainty(loss, draw(8, 2), draw(8, 2, seed=1)) == 0


def test_levels_of_scores():
    def found(name, real, fake=(0.0, 0.0, 0.0, 0.0), **parameters):
        real, fake = (
            tf.constant(np.reshape(x, (-1, 1)), "float32") for x in (real, fake)
        )
        return float(augment.certainty(losses.get(name, **parameters), real, fake))

    scores = [3.0, 0.2, 0.1, -4.0]
    for name in ("logistic", "dragan", "hinge"):
        assert found(name, scores) == 0.5
    assert found("lsgan", scores) == -0.5  # the level is .5
    assert found("lsgan", scores, a=1.0, b=0.0) == 0.5
    assert found("lsgan", scores, a=-1.0, b=1.0) == 0.5
    # halves (3, .2) and (.1, -4), halfway from -9: -3.7 and -5.475
    assert found("wgan", scores, [-9.0] * 4) == 1.0
    # halfway from 9: 5.3 and 3.525
    assert found("wgan", scores, [9.0] * 4) == -1.0


# ---- how p follows


def scores(certain, n=20):
    """Scores of which a share more are taken for real than for fake."""
    real = np.where(np.arange(n) < n * (1 + certain) / 2, 1.0, -1.0)
    return tf.constant(real[:, None], tf.float32), tf.zeros((n, 1))


def follow(made, certainties, state=None):
    state = dict(state or made.state)
    for certain in certainties:
        state = made.adapt(state, losses.get("hinge"), *scores(certain))
        yield {name: float(value) for name, value in state.items()}


def test_p_moves_by_its_images_after_every_few_updates():
    made = augment.get("ada", ramp=1000)
    states = list(follow(made, [0.8, 0.6, 0.7, 0.5, 0.0, 0.0, 1.0, 0.6]))
    # 4 batches of 20: 80 of 1000 images, up at a mean of .65 and down at .4
    p = [0, 0, 0, 0.08, 0.08, 0.08, 0.08, 0]
    np.testing.assert_allclose([s["p"] for s in states], p, atol=1e-6)
    r = [0.8, 0.7, 0.7, 0.65, 0, 0, 1 / 3, 0.4]
    np.testing.assert_allclose([s["r"] for s in states], r, atol=1e-6)
    assert [s["batches"] for s in states] == [1, 2, 3, 0, 1, 2, 3, 0]


def test_p_is_held_and_goes_to_1_in_its_ramp():
    made = augment.get("ada", ramp=200, every=1)
    up = [state["p"] for state in follow(made, [1.0] * 15)]
    np.testing.assert_allclose(up, np.minimum(np.arange(1, 16) / 10, 1), atol=1e-6)
    down = [s["p"] for s in follow(made, [0.0] * 3, made.state | {"p": 0.15})]
    np.testing.assert_allclose(down, [0.05, 0, 0], atol=1e-6)
    held = augment.get("ada", ramp=200, every=1, most=0.8, target=0.0)
    assert list(follow(held, [0.1] * 12))[-1]["p"] == pytest.approx(0.8)
    assert list(follow(held, [0.0] * 3))[-1]["p"] == 0  # sign(0) = 0


def test_a_fixed_p_remembers_nothing():
    made = augment.get("ada", p=0.3)
    assert made.state == {} and made.adapt({}, None, None, None) == {}
    assert augment.get("diffaugment").state == {}


def test_p_of_the_state_is_used():
    made, fixed = augment.get("ada"), augment.get("ada", p=0.5)
    images, numbers = draw(30, 6, 6, 3), given(made, 30)
    found = made(images, *numbers, {**made.state, "p": tf.constant(0.5)})
    np.testing.assert_array_equal(found, fixed(images, *numbers, {}))


# ---- names, settings


def test_names_and_parameters():
    assert augment.names() == ["diffaugment", "ada"]
    made = augment.get("ada", p=0.2)
    assert made.name == "ada"
    assert made.parameters == {
        "p": 0.2,
        "target": 0.6,
        "ramp": 500_000,
        "every": 4,
        "most": 1.0,
        "policy": "blit,geometry,color",
    }
    assert augment.get(made) is made


@pytest.mark.parametrize(
    "name, parameters, message",
    [
        ("adda", {}, "unknown augmentation 'adda'; did you mean 'ada'?"),
        (
            "diffaugment",
            {"p": 1},
            "augmentation 'diffaugment' has no parameter 'p'; it takes policy",
        ),
        (
            "diffaugment",
            {"policy": "color,cutouts"},
            "unknown word of a policy of diffaugment 'cutouts'; did you mean 'cutout'?",
        ),
        (
            "diffaugment",
            {"policy": 3},
            "unknown word of a policy of diffaugment 3; known: color, translation, "
            "cutout",
        ),
        (
            "ada",
            {"policy": "blit,blit"},
            "a policy has each word once, not 'blit,blit'",
        ),
        ("ada", {"p": 1.5}, "p of augment 'ada' is a number from 0 to 1, not 1.5"),
        (
            "ada",
            {"p": math.nan},
            "p of augment 'ada' is a number from 0 to 1, not nan",
        ),
        (
            "ada",
            {"target": "x"},
            "target of augment 'ada' is a number from 0 to 1, not 'x'",
        ),
        (
            "ada",
            {"most": True},
            "most of augment 'ada' is a number from 0 to 1, not True",
        ),
        ("ada", {"ramp": 0}, "ramp of augment 'ada' is a whole number from 1, not 0"),
        (
            "ada",
            {"every": 1.5},
            "every of augment 'ada' is a whole number from 1, not 1.5",
        ),
        (
            augment.get("ada"),
            {"p": 1},
            "parameters go with the name of a way to augment, not with one that is "
            "made: p",
        ),
    ],
)
def test_other_augmentations_are_refused_in_words(name, parameters, message):
    with pytest.raises(ValueError) as caught:
        augment.get(name, **parameters)
    assert str(caught.value) == message


def resolve(given, **others):
    return settings.resolve({"architecture": SMALL, "augment": given, **others})


@pytest.mark.parametrize(
    "given, name, parameters",
    [
        ("diffaugment", "diffaugment", {"policy": "color,translation,cutout"}),
        (
            "diffaugment:color,translation",
            "diffaugment",
            {"policy": "color,translation"},
        ),
        ("ada", "ada", {"p": None, "target": 0.6}),
        ("ada:0.2", "ada", {"p": 0.2}),
        (["ada", {"policy": "blit"}], "ada", {"p": None, "policy": "blit"}),
    ],
)
def test_settings_name_an_augmentation(given, name, parameters):
    resolved = resolve(given)
    assert resolved.augment[0] == name
    assert parameters.items() <= resolved.augment[1].items()
    again = settings.resolve(json.loads(json.dumps(resolved.to_dict())))
    assert again.to_dict() == resolved.to_dict()


def test_settings_reach_the_gan():
    gan = experiment.make_gan(resolve("ada:0.25"))
    assert (gan.augment.name, gan.augment.p) == ("ada", 0.25)
    plain = settings.resolve({"architecture": SMALL})
    assert plain.augment == resolve(None).augment == "none"
    assert experiment.make_gan(plain).augment is None


@pytest.mark.parametrize(
    "given, message",
    [
        (
            "ada:x",
            "a way to augment is a name and a number, as in ada:0.2, not 'ada:x'",
        ),
        (5, "a way to augment is a name or [name, parameters], not 5"),
        ("dif", "unknown augmentation 'dif'; known: diffaugment, ada"),
        (
            "diffaugment:colour",
            "unknown word of a policy of diffaugment 'colour'; did you mean 'color'?",
        ),
    ],
)
def test_other_settings_are_refused_in_words(given, message):
    with pytest.raises(ValueError) as caught:
        resolve(given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name, words, message",
    [
        (
            "ada",
            {"sample": "2", "generator": "dense-2", "discriminator": "dense-4"},
            "augment 'ada' is for images, not for points of 2 numbers; leave augment "
            "out",
        ),
        (
            "ada",
            {"sample": "4x4x2", "generator": "dense-4x4x2"},
            "augment 'ada' is for images of 1 or 3 channels, not of 2; diffaugment "
            "takes any",
        ),
    ],
)
def test_samples_that_are_no_such_images_are_refused(name, words, message):
    with pytest.raises(ValueError) as caught:
        resolve(name, architecture={**SMALL, **words})
    assert str(caught.value) == message
