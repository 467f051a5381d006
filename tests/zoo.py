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
    ("wgan", {}),
    ("swgan", {}),
    ("sobolev", {}),
    ("dragan", {}),
    ("lsgan", {}),
    ("lsgan", {"a": -1.0, "b": 1.0, "c": 0.0}),
    ("rep_gp", {}),
    ("rep_ds", {}),
    ("rep_ds", {"rep_weights": (2.0, 1.0), "kernel": "rq:1"}),
    ("rmb_gp", {}),
    ("rmb_ds", {}),
    ("mmd", {}),
    ("mmd", {"kernel": "rq:.1,1,10+dot", "estimator": "constant_diagonal"}),
    ("smmd", {}),
    ("gcmmd", {}),
    ("li", {}),
    ("li", {"rank_weight": 0.5, "kernel": "rbf:2"}),
    ("cramer", {}),
    ("reddit_cramer", {}),
    ("mmd_g_xn", {}),
    ("mmd_g_xn", {"spread": 2.0, "kernel": "2*rbf:1", "estimator": "biased"}),
    ("mmd_g_mix", {}),
    ("sgm", {}),
    ("rand_mmd_g", {}),
    ("rand_g", {}),
    ("rand_g", {"omegas": (0.5, 0.5), "spread": 3.0}),
    ("rand_g_mix", {}),
    ("rgb", {}),
    ("rgb", {"rep_weights": (-1.0, -2.0), "betas": (0.7, 0.8)}),
    ("sym_rg", {}),
    ("sym_rg_mix", {}),
    ("instance_noise", {}),
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
    "poly:2,gamma=1,constant=2",
    "poly:3,constant=0",
    "tanh>distance",
    "tanh>rq:.2,.5+tanh>dot",
    "fourier:2,n=50,seed=3",
    ".5*laplace:1",
    "rbf:1,2*dot",
    ".1*dot+rq:1*tanh>poly:2+2*rbf:1*rbf:1",
]

# name -> parameters of the generator, and of the discriminator by its score width.
# Where a comment names code, the number was counted from that code, not by gantf.
# By hand: a kernel from a to b channels has k^2 ab;
#   block(a, b) of a generator has 9ab + 9bb + ab + 3b and its batch norms 2(a + b),
#     those of K classes 2K(a + b);
#   block(a, b) of a discriminator has 9aa + 9ab + ab + a + 2b, with a channels between
#     its kernels, first(b) has 27b + 9bb + 3b + 3b.
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
    # The same with one number a point: 129 less in the one, 128 less in the other.
    "mlp-1d": (18_817, {16: 18_832, 1: 16_897}),
    # Binkowski et al. (2018), their code.
    "binkowski-dcgan-28": (4_511_617, {16: 4_336_144, 1: 4_305_409, 256: 4_827_904}),
    "binkowski-dcgan-28-small": (4_511_617, {16: 277_648, 1: 269_953}),
    "binkowski-dcgan-32": (4_514_819, {16: 4_339_344, 1: 4_308_609, 256: 4_831_104}),
    "binkowski-dcgan-32-small": (4_514_819, {16: 278_448, 1: 270_753}),
    "binkowski-dcgan-64": (5_135_363, {16: 4_437_648, 1: 4_314_753, 256: 6_403_968}),
    "binkowski-dcgan-64-small": (5_135_363, {16: 303_024, 1: 272_289}),
    "binkowski-dcgan5-160": (20_003_331, {16: 17_824_400, 1: 17_440_385}),
    # Discriminator by hand: 25 * 3 * 64 + 64, 25 * 64 * 128 + 128,
    # 25 * 128 * 256 + 256, 25 * 256 * 512 + 512, (25 * 512 + 1) * score / 25.
    "binkowski-fullconv5-160": (20_003_331, {400: 4_511_376, 25: 4_319_361}),
    "binkowski-resnet5-160": (12_694_851, {16: 17_824_400, 1: 17_440_385}),
    # Arbel et al. (2018), their code: 5,860,865 and a gain for each of 8 layers.
    "arbel-sn-dcgan-32": (5_361_667, {1: 5_860_865 + 8}),
    "arbel-resnet5-160": (13_405_891, {1: 17_440_385, 16: 17_824_400}),
    # 10,103,297 and 14 gains: 1, 3 in each of 4 blocks, 1.
    "arbel-sn-resnet-64": (12_219_715, {1: 10_103_297 + 14}),
    # By hand. Generator: 129 * 16384, 9ab + 9bb + ab + 2b + 2000(a + b) for a block
    # from 1024 to 512, 256, 128, 64, then 2 * 64, 9 * 64 * 3 + 3. Discriminator: the
    # above, 1000 * 1024 of the embedding and its gain.
    "arbel-sn-resnet-64-cond": (17_973_955, {1: 10_103_297 + 14 + 1_024_000 + 1}),
    # Li et al. (2017), their code. The score's kernel has 4096 or 8192 a number.
    "li-mnist-32": (698_240, {10: 698_112, 1: 698_112 - 9 * 4096}),
    "li-cifar10-32": (1_183_616, {128: 1_183_488}),
    "li-celeba-64": (3_281_792, {64: 3_281_664}),
    "li-lsun-64": (3_806_080, {128: 3_805_952}),
    # RL-Practicals: its report has those for MNIST, about 3.5 million in the vanilla
    # generator, whose pair was counted from the tutorial's code, and more than 12
    # million in the DCGAN's. That by hand: 100 * 16384 + 2 * 1024,
    # 16 * 1024 * 512 + 2 * 512, 16 * 512 * 256 + 2 * 256, 16 * 256 * 128 + 2 * 128,
    # 16 * 128 * 3.
    "tme-mnist-28": (1_066_880, {1: 661_248}),
    "tme-celeba-64": (3_576_704, {1: 2_765_568}),
    "tme-dcgan-64": (12_658_432, {1: 2_765_568}),
    # Oh-My-GAN, its notebooks.
    "omg-mnist-64": (3_575_617, {1: 2_764_481}),
    "omg-celeba-64": (3_577_667, {1: 2_766_529}),
    # A layer norm has two weights a channel, as a batch norm.
    "omg-mnist-64-gp": (3_575_617, {1: 2_764_481}),
    "omg-celeba-64-gp": (3_577_667, {1: 2_766_529}),
    # Benaziza et al. (2024), their notebooks.
    "benaziza-dcgan-28": (3_573_696, {1: 661_248}),
    "benaziza-body-28": (3_573_696, {2304: 657_152}),
    "benaziza-mlp-28": (1_486_352, {3136: 18_816}),
    "benaziza-lenet-28": (3_573_696, {10: 61_706}),
    "benaziza-2d-100": (21_502, {1: 151}),
    "benaziza-2d-10": (352, {1: 151}),
    # Miyato et al. (2018), Miyato & Koyama (2018), by hand. Generators: 129 * 4096,
    # 3 block(256, 256), 2 * 256, 9 * 256 * 3 + 3. Discriminators: first(128),
    # block(128, 128), 2 of 18 * 128^2 + 2 * 128, 128; an embedding has 10 * 128.
    "sn-resnet-32": (4_276_739, {1: 1_053_824}),
    "sn-resnet-32-cond": (4_304_387, {1: 1_055_104}),
    # 129 * 18432, block(512, 256), block(256, 128), block(128, 64), 2 * 64,
    # 9 * 64 * 3 + 3. first(64), block(64, 128), block(128, 256), block(256, 512),
    # block(512, 1024), 1024.
    "sn-resnet-48": (4_878_083, {1: 10_141_440}),
    # 129 * 16384, block(1024, 512) and then as for 48. As for 48, and the bias.
    "sn-resnet-64": (12_220_675, {1: 10_141_441}),
    "sn-resnet-64-cond": (17_974_915, {1: 11_165_441}),
    # And block(1024, 1024). And 18 * 1024^2 + 2 * 1024.
    "sn-resnet-128": (32_150_787, {1: 29_017_857}),
    "sn-resnet-128-cond": (41_996_931, {1: 30_041_857}),
    # Zhang et al. (2019), by hand. Generators: those of sn-resnet-cond, with an
    # attention on c = 256 (64: 128) channels, 2 cc/8 + cc/2 + cc/2 + 1. Discriminators:
    # first(64), 9ab + 9bb + ab + 3b for a block from 64 to 128, 256, 512, 1024, for
    # 128 pixels 18 * 1024^2 + 2 * 1024, attention on 128 (64: 64) channels, 1025,
    # 1000 * 1024.
    "sagan-128": (41_996_931 + 81_921, {1: 39_463_618}),
    "sagan-64": (17_974_915 + 20_481, {1: 20_571_842}),
    # By hand, with a, b, c the generator's maps: (latent + 1) * 49a, 16ab + 2b,
    # 16bc + 2c, 9c + 1. With a, b, c the discriminator's widths: 9a + a, 16ab + b,
    # 9bb + b, 16bc + c, 9cc + c, (49c + 1) * score. The fork's comments count kernels
    # alone: 5256 and 7044 in "small", 2308 in the discriminator of "tiny".
    "fork-28-default": (144_689, {2: 93_666}),
    "fork-28-lean": (19_593, {2: 25_074}),
    "fork-28-small": (5_681, {2: 7_098}),
    "fork-28-tiny": (1_545, {2: 2_338}),
}
# name -> parameters of the decoder. Li et al. (2017), their code.
DECODERS = {
    "li-mnist-32": 698_240,
    "li-cifar10-32": 1_183_616,
    "li-celeba-64": 3_281_792,
    "li-lsun-64": 3_806_080,
}
