"""The FID network against its published topology in float64, and the files it reads.

No test has the true weights: all run on weights that are made here and written as the
true ones come, under names written down here by hand.
"""

import collections
import io
import json
import struct
import tarfile
import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from gantf import files
from gantf.networks import frozen, inception
from gantf.networks.frozen import Weight
from gantf.networks.inception import resize_tf1

# ---- the resize


def tf1(images, size):
    return tf.compat.v1.image.resize_bilinear(images, size).numpy()


@pytest.mark.parametrize(
    "h, w, size",
    [
        (32, 32, (299, 299)),
        (48, 64, (299, 299)),
        (333, 131, (299, 299)),
        (299, 299, (299, 299)),
        (7, 500, (299, 31)),
        (1, 1, (5, 4)),
    ],
)
def test_the_resize_is_that_of_tf1_bit_for_bit(h, w, size):
    images = np.random.uniform(0, 255, (2, h, w, 3)).astype(np.float32)
    truth = tf1(images, size)
    function = tf.function(lambda images: resize_tf1(images, size))
    late = function.get_concrete_function(tf.TensorSpec((None, None, None, 3)))
    for resized in (resize_tf1(images, size), function(images), late(images)):
        np.testing.assert_array_equal(resized, truth)
    # XLA fuses products and sums: a few last bits of levels up to 255 (2^-16 each).
    fused = tf.function(function, jit_compile=True)(images)
    np.testing.assert_allclose(fused, truth, rtol=0, atol=4 * 2**-16)


SMALL = np.float32([[64, 32], [32, 64], [50, 100]])[None, :, :, None]


def test_the_resize_of_an_example():
    # TensorFlow's own test of resize_bilinear, version 1.
    truth = [
        [64, 48, 32, 32],
        [48, 48, 48, 48],
        [32, 48, 64, 64],
        [41, 61.5, 82, 82],
        [50, 75, 100, 100],
        [50, 75, 100, 100],
    ]
    np.testing.assert_array_equal(resize_tf1(SMALL, (6, 4))[0, ..., 0], truth)


def test_the_resize_from_32_to_299():
    # Computed with NumPy 2.4 in float32, and equal to TensorFlow's.
    image = (np.arange(32 * 32 * 3).reshape(1, 32, 32, 3) * 37 + 11) % 256
    resized = np.asarray(resize_tf1(image.astype(np.float32), (299, 299)))[0]
    assert resized.astype(np.float64).mean() == pytest.approx(
        127.47712349976469, rel=1e-14
    )
    np.testing.assert_array_equal(resized[0, 0], [11, 48, 85])
    np.testing.assert_array_equal(resized[298, 298], [156, 193, 230])


def test_the_resize_of_today_is_another():
    for resize in (tf.image.resize, keras.ops.image.resize):
        today = np.asarray(resize(SMALL, (6, 4)))[0, ..., 0]
        np.testing.assert_array_equal(today[0], [64, 56, 40, 32])


# ---- the network: its topology in float64, from Szegedy et al. (2016), figures 5 to 7,
# and the names of TensorFlow's frozen graph and of torchvision


class Reference:
    """The pass of images through the net, with weights drawn where they are wanted.

    Attributes:
      graph, state: the weights by their names in the two kinds of files.
    """

    def __init__(self):
        self.graph, self.state = {}, {}
        self.random = np.random.default_rng(2015)

    def weight(self, graph, state, array):
        self.graph[graph] = array = np.float32(array)
        axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[array.ndim]
        self.state[state] = array.transpose(axes)
        return np.float64(array)

    def conv(self, x, graph, state, filters, h, w, stride=1, padding="SAME"):
        normal, uniform = self.random.normal, self.random.uniform
        spread = (2 / (h * w * x.shape[-1])) ** 0.5
        kernel = self.weight(
            f"{graph}/conv2d_params",
            f"{state}.conv.weight",
            normal(0, spread, (h, w, x.shape[-1], filters)),
        )
        gamma, beta, mean, variance = (
            self.weight(f"{graph}/batchnorm/{name}", f"{state}.bn.{other}", array)
            for name, other, array in [
                ("gamma", "weight", uniform(0.2, 0.5, filters)),
                ("beta", "bias", normal(0, 0.2, filters)),
                ("moving_mean", "running_mean", normal(0, 0.2, filters)),
                # Near 0, so that the epsilon is seen.
                ("moving_variance", "running_var", uniform(0, 0.2, filters)),
            ]
        )
        x = tf.nn.conv2d(x, kernel, stride, padding).numpy()
        return np.maximum((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)

    def within(self, graph, state):
        """`conv` of a block, whose names start with that."""
        return lambda x, name, other, *shape: self.conv(
            x, f"{graph}/{name}", f"{state}.{other}", *shape
        )

    def __call__(self, images):
        x = (tf1(images, (299, 299)).astype(np.float64) - 128) / 128
        x = self.conv(x, "conv", "Conv2d_1a_3x3", 32, 3, 3, 2, "VALID")
        x = self.conv(x, "conv_1", "Conv2d_2a_3x3", 32, 3, 3, 1, "VALID")
        x = self.conv(x, "conv_2", "Conv2d_2b_3x3", 64, 3, 3)
        x = halving_maximum(x)
        x = self.conv(x, "conv_3", "Conv2d_3b_1x1", 80, 1, 1)
        x = self.conv(x, "conv_4", "Conv2d_4a_3x3", 192, 3, 3, 1, "VALID")
        x = halving_maximum(x)
        assert x.shape == (1, 35, 35, 192)
        x = a(self.within("mixed", "Mixed_5b"), x, 32)
        x = a(self.within("mixed_1", "Mixed_5c"), x, 64)
        x = a(self.within("mixed_2", "Mixed_5d"), x, 64)
        assert x.shape == (1, 35, 35, 288)
        x = b(self.within("mixed_3", "Mixed_6a"), x)
        x = c(self.within("mixed_4", "Mixed_6b"), x, 128)
        x = c(self.within("mixed_5", "Mixed_6c"), x, 160)
        x = c(self.within("mixed_6", "Mixed_6d"), x, 160)
        x = c(self.within("mixed_7", "Mixed_6e"), x, 192)
        assert x.shape == (1, 17, 17, 768)
        x = d(self.within("mixed_8", "Mixed_7a"), x)
        x = e(self.within("mixed_9", "Mixed_7b"), x, mean_of_9)
        x = e(self.within("mixed_10", "Mixed_7c"), x, maximum_of_9)
        assert x.shape == (1, 8, 8, 2048)
        features = x.mean((1, 2))
        kernel = self.random.normal(0, 0.05, (2048, 1008))
        kernel = self.weight("softmax/weights", "fc.weight", kernel)
        return {"features": features, "logits": features @ kernel}


def a(conv, x, pooled):
    one = conv(x, "conv", "branch1x1", 64, 1, 1)
    two = conv(x, "tower/conv", "branch5x5_1", 48, 1, 1)
    two = conv(two, "tower/conv_1", "branch5x5_2", 64, 5, 5)
    three = conv(x, "tower_1/conv", "branch3x3dbl_1", 64, 1, 1)
    three = conv(three, "tower_1/conv_1", "branch3x3dbl_2", 96, 3, 3)
    three = conv(three, "tower_1/conv_2", "branch3x3dbl_3", 96, 3, 3)
    four = conv(mean_of_9(x), "tower_2/conv", "branch_pool", pooled, 1, 1)
    return np.concatenate([one, two, three, four], -1)


def b(conv, x):
    one = conv(x, "conv", "branch3x3", 384, 3, 3, 2, "VALID")
    two = conv(x, "tower/conv", "branch3x3dbl_1", 64, 1, 1)
    two = conv(two, "tower/conv_1", "branch3x3dbl_2", 96, 3, 3)
    two = conv(two, "tower/conv_2", "branch3x3dbl_3", 96, 3, 3, 2, "VALID")
    return np.concatenate([one, two, halving_maximum(x)], -1)


def c(conv, x, n):
    one = conv(x, "conv", "branch1x1", 192, 1, 1)
    two = conv(x, "tower/conv", "branch7x7_1", n, 1, 1)
    two = conv(two, "tower/conv_1", "branch7x7_2", n, 1, 7)
    two = conv(two, "tower/conv_2", "branch7x7_3", 192, 7, 1)
    three = conv(x, "tower_1/conv", "branch7x7dbl_1", n, 1, 1)
    three = conv(three, "tower_1/conv_1", "branch7x7dbl_2", n, 7, 1)
    three = conv(three, "tower_1/conv_2", "branch7x7dbl_3", n, 1, 7)
    three = conv(three, "tower_1/conv_3", "branch7x7dbl_4", n, 7, 1)
    three = conv(three, "tower_1/conv_4", "branch7x7dbl_5", 192, 1, 7)
    four = conv(mean_of_9(x), "tower_2/conv", "branch_pool", 192, 1, 1)
    return np.concatenate([one, two, three, four], -1)


def d(conv, x):
    one = conv(x, "tower/conv", "branch3x3_1", 192, 1, 1)
    one = conv(one, "tower/conv_1", "branch3x3_2", 320, 3, 3, 2, "VALID")
    two = conv(x, "tower_1/conv", "branch7x7x3_1", 192, 1, 1)
    two = conv(two, "tower_1/conv_1", "branch7x7x3_2", 192, 1, 7)
    two = conv(two, "tower_1/conv_2", "branch7x7x3_3", 192, 7, 1)
    two = conv(two, "tower_1/conv_3", "branch7x7x3_4", 192, 3, 3, 2, "VALID")
    return np.concatenate([one, two, halving_maximum(x)], -1)


def e(conv, x, pool):
    one = conv(x, "conv", "branch1x1", 320, 1, 1)
    two = conv(x, "tower/conv", "branch3x3_1", 384, 1, 1)
    two_a = conv(two, "tower/mixed/conv", "branch3x3_2a", 384, 1, 3)
    two_b = conv(two, "tower/mixed/conv_1", "branch3x3_2b", 384, 3, 1)
    three = conv(x, "tower_1/conv", "branch3x3dbl_1", 448, 1, 1)
    three = conv(three, "tower_1/conv_1", "branch3x3dbl_2", 384, 3, 3)
    three_a = conv(three, "tower_1/mixed/conv", "branch3x3dbl_3a", 384, 1, 3)
    three_b = conv(three, "tower_1/mixed/conv_1", "branch3x3dbl_3b", 384, 3, 1)
    four = conv(pool(x), "tower_2/conv", "branch_pool", 192, 1, 1)
    return np.concatenate([one, two_a, two_b, three_a, three_b, four], -1)


def windows(x):
    """(n, h, w, c, 3, 3): all windows of 3 x 3, without padding."""
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))


def padded(x, value):
    edges = [(0, 0), (1, 1), (1, 1), (0, 0)]
    return windows(np.pad(x, edges, constant_values=value))


def halving_maximum(x):
    return windows(x)[:, ::2, ::2].max((-1, -2))


def maximum_of_9(x):
    return padded(x, -np.inf).max((-1, -2))


def mean_of_9(x):
    """The mean of those of 9 that are within the map: 4, 6 or 9."""
    return np.nanmean(padded(x, np.nan), (-1, -2))


# ---- its files, written by hand


def write_graph(path, arrays):
    graph = tf.compat.v1.GraphDef()
    for name, array in arrays.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    graph.node.add(name="conv/Conv2D", op="Conv2D")
    path.write_bytes(graph.SerializeToString())
    return path


def write_state(path, arrays):
    """A zip as torch.save makes it: a pickle, opcode by opcode, and the numbers."""

    def word(text):
        return b"X" + struct.pack("<I", len(text)) + text.encode()

    def numbers(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"

    empty = b"ccollections\nOrderedDict\n)R"
    pickled = b"\x80\x02" + empty + b"("
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, array) in enumerate(arrays.items()):
            strides = [int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim)]
            storage = word("storage") + b"ctorch\nFloatStorage\n" + word(str(key))
            storage += word("cpu") + b"J" + struct.pack("<i", array.size)
            pickled += word(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(("
            pickled += storage + b"tQK\x00" + numbers(array.shape) + numbers(strides)
            pickled += b"\x89" + empty + b"tR"
            archive.writestr(f"archive/data/{key}", np.float32(array).tobytes())
        archive.writestr("archive/data.pkl", pickled + b"u.")
        archive.writestr("archive/version", "3\n")
    return path


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


# ---- the whole network


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The truth, and a net made under another precision from a frozen graph."""
    folder = tmp_path_factory.mktemp("inception")
    reference = Reference()
    images = np.random.default_rng(1).integers(0, 256, (1, 40, 56, 3)).astype("float32")
    truth = reference(images)
    others = {"softmax/biases": np.ones(1008), "ExpandDims/dim": 0, "Mul/y": 1 / 128}
    path = write_graph(folder / "graph.pb", {**reference.graph, **others})
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANTF_CACHE", str(folder / "cache"))
        net, about = inception.load(path)
    found = net(images)
    keras.config.set_dtype_policy(before)
    return types.SimpleNamespace(**locals())


def test_the_network_is_the_published_one(whole):
    found, truth = whole.found, whole.truth
    assert list(found) == ["features", "logits"]
    for name, shape in [("features", (1, 2048)), ("logits", (1, 1008))]:
        assert found[name].dtype == "float32" and found[name].shape == shape
        scale = np.abs(truth[name]).max()
        # 48 layers deep, float32 against float64: found 1e-6.
        np.testing.assert_allclose(found[name], truth[name], rtol=0, atol=1e-5 * scale)


def test_what_is_said_of_the_network(whole):
    assert whole.about == {
        "net": "Inception, 2015-12-05",
        "weights": "graph.pb",
        "sha256": files.sha256(whole.path),
        "resize": "TF1 bilinear to 299",
        "logits": "without bias",
    }
    json.dumps(whole.about)


def test_the_kernels_are_those_of_keras(whole):
    """Keras' Inception-v3 has no gammas, but biases in its head."""

    def kernels(net):
        found = [x for x in net.layers if isinstance(x, keras.layers.Conv2D)]
        assert not any(layer.use_bias for layer in found)
        return collections.Counter(tuple(x.kernel.shape) for x in found)

    other = keras.applications.InceptionV3(weights=None, classes=1008)
    own = kernels(whole.net)
    assert own == kernels(other) and own.total() == 94
    gammas = sum(shape[-1] * n for shape, n in own.items())
    assert whole.net.count_params() == other.count_params() + gammas - 1008
    # 23,851,784 with 1000 classes, in Keras' documentation.
    assert other.count_params() == 23_851_784 + 8 * 2049


def test_the_network_learns_nothing(whole):
    assert not whole.net.trainable_variables
    again = whole.net(whole.images, training=True)
    np.testing.assert_array_equal(again["features"], whole.found["features"])


def test_a_state_dict_has_the_same_weights(whole, tmp_path):
    reference = whole.reference
    counts = {"Mixed_7c.branch1x1.bn.num_batches_tracked": np.zeros(1)}
    arrays = {**reference.state, **counts, "fc.bias": np.ones(1008)}
    state = write_state(tmp_path / "state.pth", arrays)
    wanted = list(inception.build()[1])
    assert len(wanted) == 94 * 5 + 1
    for name, one, other in zip(
        wanted, frozen.read(whole.path, wanted), frozen.read(state, wanted)
    ):
        np.testing.assert_array_equal(one, reference.graph[name.graph], name.graph)
        np.testing.assert_array_equal(other, one, name.state)


# ---- files, on a net of three weights


TINY = [
    Weight("conv/conv2d_params", "Conv2d_1a_3x3.conv.weight", (3, 2, 4, 5)),
    Weight("conv/batchnorm/beta", "Conv2d_1a_3x3.bn.bias", (5,)),
    Weight("softmax/weights", "fc.weight", (5, 6)),
]
ARRAYS = [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(TINY)]
ARRAYS = [array.astype(np.float32) for array in ARRAYS]
GRAPH = {weight.graph: array for weight, array in zip(TINY, ARRAYS)}
STATE = {
    weight.state: array.transpose(axes)
    for weight, array, axes in zip(TINY, ARRAYS, [(3, 2, 0, 1), (0,), (1, 0)])
}


def tiny_build():
    """As `inception.build`: a net with those weights."""
    net = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, use_bias=False)])
    return net, {TINY[2]: net.layers[0].kernel}


def refusal(path, wanted=TINY):
    with pytest.raises(ValueError) as caught:
        frozen.check(path)
        frozen.read(path, wanted)
    words = str(caught.value)
    assert words.startswith(f"{path}: ") and "\n" not in words
    return words.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", ["a.pb", "a.pth", "a.tgz", "inner.tgz"])
def test_all_kinds_of_files_give_the_same(tmp_path, name):
    graph = write_graph(tmp_path / "a.pb", GRAPH)
    write_state(tmp_path / "a.pth", STATE)
    others = {"imagenet_synset_to_human_label_map.txt": b"n0 cat"}
    graph = {"classify_image_graph_def.pb": graph.read_bytes()}
    write_archive(tmp_path / "a.tgz", others | graph)
    inner = {f"./inception/{name}": data for name, data in graph.items()}
    write_archive(tmp_path / "inner.tgz", inner)
    for found, array in zip(frozen.read(tmp_path / name, TINY), ARRAYS):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, array)


NET = "the FID network (Inception, 2015-12-05)"
RIGHT = "inception-2015-12-05.tgz or pt_inception-2015-12-05-6726825d.pth is right"


def without(arrays, *names):
    return {name: array for name, array in arrays.items() if name not in names}


@pytest.mark.parametrize(
    "name, arrays, words",
    [
        (
            "a.pb",
            without(GRAPH, "conv/batchnorm/beta"),
            f"{NET} has conv/batchnorm/beta, this file has not",
        ),
        ("a.pb", {}, f"{NET} has conv/conv2d_params and 2 more, this file has not"),
        (
            "a.pth",
            without(STATE, "fc.weight"),
            f"{NET} has fc.weight, this file has not",
        ),
        (
            "a.pb",
            {**GRAPH, "conv_5/conv2d_params": np.zeros(1)},
            f"{NET} has no conv_5/conv2d_params, this file has",
        ),
        (
            "a.pth",  # as torchvision's own
            {
                **STATE,
                "AuxLogits.conv1.conv.weight": np.zeros(1),
                "AuxLogits.conv0.conv.weight": np.zeros(1),
            },
            f"{NET} has no AuxLogits.conv0.conv.weight and 1 more, this file has",
        ),
        (
            "a.pb",
            {**GRAPH, "conv/conv2d_params": np.zeros((3, 2, 4, 1))},
            f"conv/conv2d_params of {NET} is 3 x 2 x 4 x 5, not 3 x 2 x 4 x 1",
        ),
        (
            "a.pth",
            {**STATE, "fc.weight": np.zeros((5, 6))},
            f"fc.weight of {NET} is 6 x 5, not 5 x 6",
        ),
        (
            "a.pth",
            {**STATE, "Conv2d_1a_3x3.conv.weight": np.zeros((3, 2, 4, 5))},
            f"Conv2d_1a_3x3.conv.weight of {NET} is 5 x 4 x 3 x 2, not 3 x 2 x 4 x 5",
        ),
    ],
)
def test_error_weights_of_another_network(tmp_path, name, arrays, words):
    write = {".pb": write_graph, ".pth": write_state}[name[1:]]
    assert refusal(write(tmp_path / name, arrays)) == f"{words}; {RIGHT}"


def test_error_torn_files(tmp_path):
    graph = write_graph(tmp_path / "a.pb", GRAPH)
    archive = write_archive(
        tmp_path / "a.tgz", {"classify_image_graph_def.pb": graph.read_bytes()}
    )
    for path in (graph, archive):
        path.write_bytes(path.read_bytes()[:-40])
    assert refusal(graph) == "a torn frozen graph; download it again"
    assert refusal(archive) == "a torn .tgz archive; download it again"
    archive.write_bytes(b"<html>")
    assert refusal(archive) == "a torn .tgz archive; download it again"
    state = write_state(tmp_path / "a.pth", STATE)
    state.write_bytes(state.read_bytes()[:-40])
    assert refusal(state)  # in the words of pickles.py


def test_error_files_of_another_kind(tmp_path):
    (tmp_path / "net.pt").touch()
    kinds = f"a file with {NET} ends in .pb, .tgz, .pth; {RIGHT}"
    assert refusal(tmp_path / "net.pt") == kinds
    assert refusal(tmp_path) == kinds
    assert refusal(tmp_path / "none.pb") == "no such file"
    (tmp_path / "folder.pb").mkdir()
    assert refusal(tmp_path / "folder.pb") == "no such file"
    assert refusal(write_archive(tmp_path / "a.tgz", {"panda.jpg": b"panda"})) == (
        f"an archive with {NET} has classify_image_graph_def.pb in it, not this one"
    )


@pytest.mark.parametrize("start", ["pt_inception", "weights-inception"])
def test_error_a_file_that_has_not_the_hash_of_its_name(tmp_path, start):
    path = write_state(tmp_path / f"{start}-2015-12-05-6726825d.pth", STATE)
    assert refusal(path) == (
        "by its name its SHA-256 starts with 6726825d, not with"
        f" {files.sha256(path)[:8]}: it is torn or altered; download it again"
    )


# ---- where files come from, and the cache


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A small net for the large one; a folder, and how often files were read."""
    monkeypatch.setattr(inception, "build", tiny_build)
    monkeypatch.setenv("GANTF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANTF_INCEPTION", raising=False)
    reads, read = [], frozen.read

    def counted(path, wanted):
        reads.append(path)
        return read(path, wanted)

    monkeypatch.setattr(frozen, "read", counted)
    return tmp_path, reads


HEAD = "softmax/weights"


def head(path):
    return inception.load(path)[0].get_weights()[0]


def test_the_cache_has_a_file_for_each_hash(tiny):
    folder, reads = tiny
    path = write_graph(folder / "a.pb", {HEAD: GRAPH[HEAD]})
    other = write_graph(folder / "b.pb", {HEAD: GRAPH[HEAD] + 1})
    copy = write_graph(folder / "copy.pb", {HEAD: GRAPH[HEAD]})
    for file, more in [(path, 0), (path, 0), (copy, 0), (other, 1), (path, 0)]:
        np.testing.assert_array_equal(head(file), GRAPH[HEAD] + more)
    assert reads == [path, other]
    names = {f"inception-{files.sha256(p)[:16]}.weights.h5" for p in (path, other)}
    assert {file.name for file in (folder / "cache").iterdir()} == names


@pytest.mark.parametrize("rest", [0, 100, -100])
def test_a_torn_cache_is_made_again(tiny, rest):
    folder, reads = tiny
    path = write_graph(folder / "a.pb", {HEAD: GRAPH[HEAD]})
    head(path)
    (cached,) = (folder / "cache").iterdir()
    complete = cached.stat().st_size
    cached.write_bytes(cached.read_bytes()[:rest])
    for _ in range(2):
        np.testing.assert_array_equal(head(path), GRAPH[HEAD])
    assert reads == [path, path] and cached.stat().st_size == complete


def test_a_cache_is_written_whole_or_not_at_all(tiny, monkeypatch):
    def full(net, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    folder, _ = tiny
    monkeypatch.setattr(keras.Model, "save_weights", full)
    with pytest.raises(OSError):
        head(write_graph(folder / "a.pb", {HEAD: GRAPH[HEAD]}))
    assert not list((folder / "cache").glob("inception-*"))


def test_a_refused_file_leaves_no_cache(tiny):
    folder, _ = tiny
    with pytest.raises(ValueError):
        inception.load(write_graph(folder / "a.pb", {}))
    assert not (folder / "cache").exists()


def test_the_file_of_the_environment(tiny, monkeypatch):
    folder, reads = tiny
    path = write_graph(folder / "a.pb", {HEAD: GRAPH[HEAD]})
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GANTF_INCEPTION", "~/a.pb")
    np.testing.assert_array_equal(head(None), GRAPH[HEAD])
    assert reads == [path] and inception.load()[1]["weights"] == "a.pb"
    other = write_graph(folder / "b.pb", {HEAD: GRAPH[HEAD] + 1})
    np.testing.assert_array_equal(head(str(other)), GRAPH[HEAD] + 1)


@pytest.mark.parametrize("value", [None, ""])
def test_error_no_file(tiny, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("GANTF_INCEPTION", value)
    with pytest.raises(ValueError) as caught:
        inception.load(None)
    assert str(caught.value) == (
        "the FID network wants its weights, which gantf neither brings nor downloads;"
        " get one of\n"
        "  inception-2015-12-05.tgz\n"
        "    from http://download.tensorflow.org/models/image/imagenet/\n"
        "  pt_inception-2015-12-05-6726825d.pth\n"
        "    from the releases of https://github.com/mseitzer/pytorch-fid\n"
        "and give its path: load(path), --feature_weights=FILE of a run, --weights=FILE"
        " of\ntools/evaluate.py, or GANTF_INCEPTION=FILE in the environment"
    )
