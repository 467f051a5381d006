"""The one list of all layers, of all losses and of all architectures.

Generic checks run over these lists. The tests of each module hold the lists to the
library's tables, so that what is added there must be added here.
"""

import numpy as np

from gantf import spec

CLASSES = 3  # of all nets here that ask for labels

# kind -> (words, input) without an option
PLAIN = {
    "dense": [("dense-5", (6,)), ("dense-2x3x4", (5,))],
    "conv": [("conv3-4", (5, 6, 3)), ("conv4-2", (3, 2, 3))],
    "tconv": [("tconv4-4", (3, 4, 3)), ("tconv3-2", (3, 2, 3))],
    "dconv": [("dconv3", (5, 6, 4)), ("dconv4-m2", (3, 2, 3))],
    "sconv": [("sconv3-4", (5, 6, 3))],
    "res": [("res3-4", (5, 6, 4)), ("res3-3-relu", (4, 4, 2))],
    "stem": [("stem3-4", (6, 5, 3))],
    "attn": [("attn2", (4, 6, 4))],
    "up": [("up2", (2, 3, 2)), ("up3", (2, 3, 2))],
    "upb": [("upb2", (2, 3, 2))],
    "upc": [("upc2", (2, 3, 2))],
    "ps": [("ps2", (2, 3, 8))],
    "sd": [("sd2", (4, 6, 2))],
    "avg": [("avg2", (4, 6, 2)), ("avg2", (5, 7, 2))],
    "max": [("max2", (4, 6, 2)), ("max3", (5, 7, 2))],
    "gsum": [("gsum", (4, 6, 2))],
    "gmean": [("gmean", (4, 6, 2))],
    "flatten": [("flatten", (4, 6, 2)), ("flatten", (5,))],
    "reshape": [("reshape-3x2x2", (12,)), ("reshape-3x2x2", (2, 2, 3))],
    "drop": [("drop0.5", (4, 6, 2))],
    "noise": [("noise0.1", (4, 6, 2))],
    "mbstd": [("mbstd4", (4, 6, 2)), ("mbstd3", (5,))],
    "in": [("in", (4, 6, 2))],
    "gn": [("gn2", (4, 6, 4)), ("gn2", (8,))],
    "lrelu": [("lrelu", (4, 6, 2)), ("lrelu0.2", (5,))],
    **{
        kind: [(kind, (4, 6, 2)), (kind, (5,))]
        for kind in "bn cbn ln pn relu elu selu gelu silu crelu softplus softsign "
        "sigmoid tanh".split()
    },
}
NUMBERS = {"p": "p1", "v": "v4", "gain": "sn-gain"} | {
    word: f"{word}2" for word in "s d g m h up down gn".split()
}
BASES = {  # what option words are put behind
    "dense": ("dense-2x3x4", (5,)),
    "conv": ("conv3-4", (5, 6, 4)),
    "tconv": ("tconv4-4", (3, 4, 3)),
    "dconv": ("dconv3", (5, 6, 4)),
    "sconv": ("sconv3-4", (5, 6, 3)),
    "res": ("res3-4", (5, 6, 4)),
    "stem": ("stem3-4", (5, 6, 3)),
    "attn": ("attn2", (4, 6, 4)),
}
WORDS = [
    *(case for cases in PLAIN.values() for case in cases),
    *(
        (f"{text}-{NUMBERS.get(word, word)}", shape)
        for kind, (text, shape) in BASES.items()
        for word in spec.KINDS[kind].words.split()
        if word != "proj"  # which takes no fold
    ),
    ("dense-8-proj", (5,)),
    ("dense-7-sn1.5-gain-lrelu0.2", (6,)),
    ("dense-6-snm-nobias-gn3-crelu", (5,)),
    ("conv3-4-s2-p0-sn2-gain-nobias-lrelu0.2", (7, 6, 3)),
    ("conv5-3-s3-snm1.5-gain", (4, 3, 2)),
    ("conv3-3-d2-p2-sn-ln-elu", (5, 4, 2)),
    ("tconv4-4-s2-p1-sn-bn-relu", (3, 2, 3)),
    ("tconv2-3-s3-snm-gain", (2, 3, 2)),
    ("3*conv3-4-s2-lrelu gsum dense-1", (9, 9, 2)),
    ("dense-2x3x4-sn-cb-gn2-relu", (5,)),
    ("dense-2x3x4-snm-ck-bcb-cbn", (5,)),
    ("dense-6-sn2-gain-cd-cb", (4,)),
    ("dense-3-sn1.5-gain-nobias-proj", (6,)),
    ("dense-2-snm-cd-bcb-proj", (5,)),
    ("conv3-4-s2-p1-g2-sn-ck-cb-lrelu", (6, 5, 4)),
    ("conv3-4-snm-gain-ck", (4, 5, 2)),
    ("tconv4-4-s2-p1-sn-ck-bcb-cbn-relu", (3, 2, 3)),
    ("dconv3-s2-m2-sn1.5-gain-bn-relu", (5, 6, 4)),
    ("sconv3-4-d2-sn2-bcb-lrelu", (5, 6, 3)),
    ("res3-6-h3-up2-sn2-gain-lastbias-cbn-relu", (3, 2, 4)),
    ("res3-6-down2-snm-scbias-gn2-crelu", (5, 4, 4)),
    ("res4-4-sc-nobias-ln-elu", (4, 3, 4)),
    ("stem3-6-h4-down2-snm-gain-bn-lrelu0.2", (4, 6, 3)),
    ("attn4-pool-sn2-gain", (4, 6, 8)),
    ("attn2-v1-pool-dist-snm", (5, 4, 4)),
]


def draw(n, shape, words, seed=0):
    """Inputs of a net in words: x, or [x, labels] with all classes in turn."""
    x = np.random.default_rng(seed).normal(size=(n, *shape)).astype("float32")
    asks = any(layer.labels for layer in spec.parse(words))
    return [x, np.arange(n, dtype="int32") % CLASSES] if asks else x


LOSSES = [  # (name, parameters)
    ("rep", {}),
    ("rep", {"rep_weights": (2.0, 1.0)}),
    ("rep", {"rep_weights": (-1.0, -2.0), "kernel": "rq:1", "estimator": "unbiased"}),
    ("rmb", {}),
    ("rmb", {"bounds": (0.5, 2.0), "estimator": "biased"}),
    ("mgb", {}),
    ("mmd_g", {}),
    ("mmd_g", {"kernel": "rbf:1+dot"}),
    ("mmd_t", {}),
    ("mmd_t", {"kernel": "distance", "estimator": "unbiased"}),
    ("logistic", {}),
    ("hinge", {}),
    ("wasserstein", {}),
]

KERNELS = [
    "rbf:1",
    "rbf:.5,2",
    "rq:1",
    "rq:.2,.5,1,2,5",
    "laplace:2",
    "distance",
    "dot",
    "poly:3",
    "rq:.1,1,10+dot:1",
    "rbf:2+distance+poly:2",
]

# name -> parameters of the generator, and of the discriminator by its score width
ARCHITECTURES = {
    # Wang et al. (2019), tables of the networks, and the authors' scripts.
    "dcgan-sn-32": (3_811_907, {16: 5_983_760, 1: 5_860_865}),
    "dcgan-sn-48": (5_151_299, {16: 6_147_600}),
    "dcgan-sn-64": (13_258_307, {16: 23_942_672}),
    # By hand. Generator: 64 * 6272 + 2 * 128, 16 * 128 * 64 + 2 * 64,
    # 16 * 64 * 32 + 2 * 32, 9 * 32 + 1. Discriminator: 9 * 32 + 32,
    # 16 * 32 * 64 + 64, 9 * 64 * 64 + 64, 16 * 64 * 128 + 128, 9 * 128 * 128 + 128,
    # (7 * 7 * 128 + 1) * score.
    "dcgan-sn-28": (565_985, {16: 449_232, 1: 355_137}),
    # By hand. Generator: 17 * 128 + 129 * 128 + 129 * 2. Discriminator:
    # 3 * 128 + 129 * 128 + 129 * score.
    "mlp-2d": (18_946, {16: 18_960, 1: 17_025}),
}
