"""DCGANs with a spectrally normalised discriminator, of the repulsive MMD-GAN.

Wang, Sun, Halgamuge: Improving MMD-GAN Training with Repulsive Loss Function,
ICLR 2019, with the widths, strides and gains of the authors' scripts for
CIFAR-10 (32), STL-10 (48), CelebA and LSUN bedrooms (64): the gains multiply to
K = 64 over the discriminator. The pair for 28 pixels is gantf's own, without gains.
A score of 16 numbers is for MMD losses; losses that need one number build the same
net with that width.
"""

C8 = 64 ** (1 / 8)  # the gain of each of 8 normalised layers
C10 = 64 ** (1 / 10)

ARCHITECTURES = {
    "dcgan-sn-32": {
        "reference": "Wang et al. (2019), CIFAR-10",
        "latent": "normal-128",
        "sample": "32x32x3",
        "classes": 0,
        "generator": (
            "dense-4x4x512 tconv4-256-s2-bn-relu tconv4-128-s2-bn-relu "
            "tconv4-64-s2-bn-relu conv3-3-tanh"
        ),
        "discriminator": (
            f"conv3-64-sn{C8}-lrelu conv4-128-s2-sn{C8}-lrelu "
            f"conv3-128-sn{C8}-lrelu conv4-256-s2-sn{C8}-lrelu "
            f"conv3-256-sn{C8}-lrelu conv4-512-s2-sn{C8}-lrelu "
            f"conv3-512-sn{C8}-lrelu flatten dense-16-sn{C8}"
        ),
    },
    "dcgan-sn-48": {
        "reference": "Wang et al. (2019), STL-10",
        "latent": "normal-128",
        "sample": "48x48x3",
        "classes": 0,
        "generator": (
            "dense-18432-bn-relu reshape-6x6x512 tconv4-256-s2-bn-relu "
            "tconv4-128-s2-bn-relu tconv4-64-s2-bn-relu conv3-3-tanh"
        ),
        "discriminator": (
            f"conv3-64-sn{C8}-lrelu conv4-128-s2-sn{C8}-lrelu "
            f"conv3-128-sn{C8}-lrelu conv4-256-s2-sn{C8}-lrelu "
            f"conv3-256-sn{C8}-lrelu conv4-512-s2-sn{C8}-lrelu "
            f"conv3-512-sn{C8}-lrelu flatten dense-16-sn{C8}"
        ),
    },
    "dcgan-sn-64": {
        "reference": "Wang et al. (2019), CelebA and LSUN bedrooms",
        "latent": "normal-128",
        "sample": "64x64x3",
        "classes": 0,
        "generator": (
            "dense-4x4x1024 tconv4-512-s2-bn-relu tconv4-256-s2-bn-relu "
            "tconv4-128-s2-bn-relu tconv4-64-s2-bn-relu conv3-3-tanh"
        ),
        "discriminator": (
            f"conv3-64-sn{C10}-lrelu conv4-128-s2-sn{C10}-lrelu "
            f"conv3-128-sn{C10}-lrelu conv4-256-s2-sn{C10}-lrelu "
            f"conv3-256-sn{C10}-lrelu conv4-512-s2-sn{C10}-lrelu "
            f"conv3-512-sn{C10}-lrelu conv4-1024-s2-sn{C10}-lrelu "
            f"conv3-1024-sn{C10}-lrelu flatten dense-16-sn{C10}"
        ),
    },
    "dcgan-sn-28": {
        "reference": "gantf: dcgan-sn-32 for MNIST and Fashion-MNIST, narrower",
        "latent": "normal-64",
        "sample": "28x28x1",
        "classes": 0,
        "generator": (
            "dense-7x7x128-bn-relu tconv4-64-s2-bn-relu tconv4-32-s2-bn-relu "
            "conv3-1-tanh"
        ),
        "discriminator": (
            "conv3-32-sn-lrelu conv4-64-s2-sn-lrelu "
            "conv3-64-sn-lrelu conv4-128-s2-sn-lrelu "
            "conv3-128-sn-lrelu flatten dense-16-sn"
        ),
    },
}
