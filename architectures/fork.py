"""Four sizes of one pair for MNIST and Fashion-MNIST, from a fork of the repulsive GAN.

frhrdr/MMD-GAN, its presets "default", "lean", "small" and "tiny" of generators and
discriminators: the nets of Wang et al. (2019) cut down for differential privacy. The
gain is the parent's for CIFAR-10, 64^(1/8) a layer, though there are six layers here.
"""

C = 64 ** (1 / 8)

ARCHITECTURES = {
    "fork-28-default": {
        "reference": "frhrdr/MMD-GAN, default, MNIST",
        "latent": "normal-32",
        "sample": "28x28x1",
        "classes": 0,
        "generator": (
            "dense-7x7x64 tconv4-32-s2-bn-relu tconv4-16-s2-bn-relu conv3-1-tanh"
        ),
        "discriminator": (
            f"conv3-16-sn{C}-lrelu conv4-32-s2-sn{C}-lrelu conv3-32-sn{C}-lrelu "
            f"conv4-64-s2-sn{C}-lrelu conv3-64-sn{C}-lrelu flatten dense-2-sn{C}"
        ),
    },
    "fork-28-lean": {
        "reference": "frhrdr/MMD-GAN, lean, MNIST",
        "latent": "normal-16",
        "sample": "28x28x1",
        "classes": 0,
        "generator": (
            "dense-7x7x16 tconv4-16-s2-bn-relu tconv4-8-s2-bn-relu conv3-1-tanh"
        ),
        "discriminator": (
            f"conv3-8-sn{C}-lrelu conv4-16-s2-sn{C}-lrelu conv3-16-sn{C}-lrelu "
            f"conv4-32-s2-sn{C}-lrelu conv3-32-sn{C}-lrelu flatten dense-2-sn{C}"
        ),
    },
    "fork-28-small": {
        "reference": "frhrdr/MMD-GAN, small, MNIST",
        "latent": "normal-8",
        "sample": "28x28x1",
        "classes": 0,
        "generator": ("dense-7x7x8 2*tconv4-8-s2-bn-relu conv3-1-tanh"),
        "discriminator": (
            f"conv3-4-sn{C}-lrelu conv4-8-s2-sn{C}-lrelu conv3-8-sn{C}-lrelu "
            f"conv4-16-s2-sn{C}-lrelu conv3-16-sn{C}-lrelu flatten dense-2-sn{C}"
        ),
    },
    "fork-28-tiny": {
        "reference": "frhrdr/MMD-GAN, tiny, MNIST",
        "latent": "normal-4",
        "sample": "28x28x1",
        "classes": 0,
        "generator": ("dense-7x7x4 2*tconv4-4-s2-bn-relu conv3-1-tanh"),
        "discriminator": (
            f"conv3-4-sn{C}-lrelu conv4-4-s2-sn{C}-lrelu conv3-4-sn{C}-lrelu "
            f"conv4-8-s2-sn{C}-lrelu conv3-8-sn{C}-lrelu flatten dense-2-sn{C}"
        ),
    },
}
