"""Tests of cost.py: counts by hand, and those of the compiled steps."""

import math

import pytest
import tensorflow as tf

import gantf
from gantf import architecture, cost

PAIR = {
    "latent": "normal-3",
    "sample": "4x4x1",
    "generator": "dense-2x2x2 tconv4-3-s2-relu conv3-1-tanh",
    "discriminator": "conv3-2-lrelu conv4-3-s2-lrelu flatten dense-1",
}
# Pixels of the smaller map times the kernel, layer by layer; g and c are the first.
g = 3 * 8
G = g + 2 * 2 * (4 * 4 * 2 * 3) + 4 * 4 * (3 * 3 * 3 * 1)
c = 4 * 4 * (3 * 3 * 1 * 2)
LAST = 2 * 2 * 3
D = c + 2 * 2 * (4 * 4 * 2 * 3) + LAST


def pair(**changes):
    return architecture.read(PAIR | changes)


@pytest.mark.parametrize(
    "arguments, macs",
    [
        # G forward, to its weights, to its inputs but the latents. D forward, to its
        # weights, to its inputs but the samples, for both batches; and once from the
        # generator's loss to the generated ones.
        (("simultaneous",), 3 * G - g + 7 * D - 2 * c),
        # Of D: both batches at its own turn; then forward for both, back for one.
        (("alternating",), G + 6 * D - 2 * c + 3 * G - g + 3 * D),
        (("alternating", 5), 5 * (G + 6 * D - 2 * c) + 3 * G - g + 3 * D),
        # Fixed features.
        (("alternating", 0), 3 * G - g + 3 * D),
        # Forward, back to the samples, forward and to the weights.
        (("simultaneous", 1, ["gp"]), 3 * G - g + 11 * D - 2 * c),
        (("simultaneous", 1, ["r1", "r2"]), 3 * G - g + 15 * D - 2 * c),
        (("alternating", 2, ["gp"]), 2 * (G + 10 * D - 2 * c) + 3 * G - g + 3 * D),
        # One score: as a penalty. The generator's loss needs no gradient of it.
        (("simultaneous", 1, [], "smmd"), 3 * G - g + 11 * D - 2 * c),
        (
            ("alternating", 2, [], "slope"),
            2 * (G + 10 * D - 2 * c) + 3 * G - g + 5 * D,
        ),
        # Distances of scores are curved: back through the first pass too.
        (("simultaneous", 1, ["witness_gp"]), 3 * G - g + 13 * D - 3 * c),
        (("simultaneous", 1, ["gp"], "swgan"), 3 * G - g + 17 * D - 3 * c),
        # Not known: nothing.
        (("simultaneous", 1, ["autoencoder"], "gcmmd"), 3 * G - g + 7 * D - 2 * c),
    ],
)
def test_steps_by_hand(arguments, macs):
    assert cost.step(pair(), *arguments) == macs


def test_each_score_is_gone_back_from():
    # 4 scores: the last layer has 4 times its kernel; forward, 4 times back, and
    # twice for each of these.
    wide = pair(discriminator="conv3-2-lrelu conv4-3-s2-lrelu flatten dense-4")
    d = D + 3 * LAST
    plain = 3 * G - g + 7 * d - 2 * c
    assert cost.step(wide, "simultaneous") == plain
    assert cost.step(wide, "simultaneous", scaling="smmd") == plain + 13 * d
    once = cost.step(wide, "alternating", 1)
    scaled = cost.step(wide, "alternating", 1, [], "smmd")
    assert scaled == once + 13 * d + 5 * d


@pytest.mark.parametrize("word", ["tanh", "ln", "bn", "silu"])
@pytest.mark.parametrize("form", ["conv3-2-{}", "conv3-2 {}"])
def test_slopes_of_curved_nets(word, form):
    curved = pair(discriminator=f"{form.format(word)} conv4-3-s2-relu flatten dense-1")
    plain = 3 * G - g + 7 * D - 2 * c
    assert cost.step(curved, "simultaneous") == plain
    found = cost.step(curved, "simultaneous", 1, ["gp", "r1"])
    assert found == plain + 2 * (6 * D - c)


def test_steps_are_whole_and_labels_are_known():
    labelled = pair(classes=3, generator="dense-2x2x2-cbn tconv4-1-s2-tanh")
    assert type(cost.step(labelled, "alternating", 1.5)) is int
    first, macs = 24, 24 + 4 * 32
    expected = 1.5 * (macs + 6 * D - 2 * c) + 3 * macs - first + 3 * D
    assert cost.step(labelled, "alternating", 1.5) == expected
    # A first layer without products is not the first kernel.
    pooled = pair(discriminator="avg2 conv3-2-lrelu flatten dense-1")
    d, first = 72 + 8, 72
    expected = 3 * G - g + 7 * d - 2 * first
    assert cost.step(pooled, "simultaneous") == expected


def test_what_is_left():
    assert cost.left(["gp", "autoencoder"], "gcmmd") == ["autoencoder", "gcmmd"]
    assert cost.left(["gp", "r1"], "smmd") == cost.left([], "none") == []


def test_the_tables_name_what_there_is():
    assert set(cost.PENALTIES) <= set(gantf.penalties.names())
    assert set(cost.SCALINGS) <= set(gantf.scaling.names())


def products(graph, batch):
    """The multiply-adds of the kernels' products that a graph's ends need."""

    def sizes(tensor):
        return [batch if size is None else size for size in tensor.shape]

    def convolution(op):  # pixels and channels of the smaller map, each a sum
        small = op.outputs[0] if op.type == "Conv2D" else op.inputs[2]
        large = op.outputs[0] if op.type == "Conv2DBackpropInput" else op.inputs[0]
        if op.type == "Conv2DBackpropFilter":
            kernel = sizes(op.outputs[0])
        else:
            kernel = sizes(op.inputs[1])
        assert sizes(large)[-1] == kernel[2] and sizes(small)[-1] == kernel[3]
        return math.prod(sizes(small)[:3]) * math.prod(kernel)

    def product(op):
        inner = sizes(op.inputs[0])[0 if op.get_attr("transpose_a") else 1]
        return math.prod(sizes(op.outputs[0])) * inner

    known = {"MatMul": product} | dict.fromkeys(
        ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"), convolution
    )
    ends = [t.op.name for t in graph.outputs] + [
        op.name for op in graph.control_outputs
    ]
    cut = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), ends)
    found = [graph.get_operation_by_name(node.name) for node in cut.node]
    return sum(known[op.type](op) for op in found if op.type in known)


@pytest.mark.parametrize(
    "update, penalties, scaling, unread",
    [
        ("simultaneous", [], "none", 0),
        ("alternating", [], "none", 0),
        ("simultaneous", ["gp"], "none", 2),
        ("alternating", ["r1"], "none", 2),
        ("simultaneous", ["r2"], "smmd", 4),
        ("alternating", [], "slope", 3),
        ("simultaneous", [], "swgan", 1),
    ],
)
def test_steps_are_those_of_the_graph(update, penalties, scaling, unread):
    """Of a loss without products.

    A slope does not read the score, nor its gradient the score that it goes forward
    to again: there the graph spares the last kernel.
    """
    assert_graph(PAIR, update, penalties, scaling, unread)


@pytest.mark.parametrize("word", ["tanh", "ln", "bn"])
def test_steps_of_curved_nets_are_those_of_the_graph(word):
    """Nothing goes back through the last kernel, which is straight, either."""
    chosen = f"conv3-2-{word} conv4-3-s2-{word} flatten dense-1"
    assert_graph(PAIR | {"discriminator": chosen}, "simultaneous", ["gp"], "none", 4)


def assert_graph(chosen, update, penalties, scaling, unread):
    batch = 5
    gan = gantf.GAN(
        *gantf.build_pair(chosen),
        loss="hinge",
        penalties=penalties,
        scaling=scaling,
        update=update,
    )
    gan.compile("sgd", "adam")
    real = tf.TensorSpec((batch, 4, 4, 1))

    def traced(step):
        return products(tf.function(step).get_concrete_function(real).graph, batch)

    if update == "simultaneous":
        found = traced(gan.train_step)
    else:
        found = traced(lambda data: gan.critic_step(data, 0))
        found += traced(gan.generator_step)
    counted = cost.step(architecture.read(chosen), update, 1, penalties, scaling)
    assert found == batch * (counted - unread * LAST)
