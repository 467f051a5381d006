"""The networks of a practical on GANs: vanilla and DCGAN, MNIST and CelebA.

theophilec/RL-Practicals, TME 8 (tp08/report.md). The report counts 1,066,880
parameters in the generator for MNIST, 661,248 in its discriminator, about 3.5
million in the vanilla generator for CelebA and more than 12 million in that of the
DCGAN. Its words and these counts give the nets: those of PyTorch's DCGAN tutorial,
one block shorter for MNIST, and Radford's projection to 1024 channels, whose
discriminator is the vanilla one. No kernel has a bias.

The report's discriminators end in a sigmoid; here they end in its logits.
"""

_CRITIC_64 = (
    "conv4-64-s2-nobias-lrelu0.2 conv4-128-s2-bn-lrelu0.2 conv4-256-s2-bn-lrelu0.2 "
    "conv4-512-s2-bn-lrelu0.2 conv4-1-p0-nobias flatten"
)

ARCHITECTURES = {
    "tme-mnist-28": {
        "reference": "RL-Practicals, TME 8, MNIST",
        "latent": "normal-100",
        "sample": "28x28x1",
        "classes": 0,
        "generator": (  # 4, 8, 16, 28
            "reshape-1x1x100 tconv4-256-p0-bn-relu tconv4-128-s2-bn-relu "
            "tconv4-64-s2-bn-relu tconv4-1-s2-p3-nobias-tanh"
        ),
        "discriminator": (  # 14, 7, 3, 1
            "conv4-64-s2-nobias-lrelu0.2 conv4-128-s2-bn-lrelu0.2 "
            "conv4-256-s2-p1-bn-lrelu0.2 conv4-1-s2-p1-nobias flatten"
        ),
    },
    "tme-celeba-64": {
        "reference": "RL-Practicals, TME 8, CelebA, vanilla",
        "latent": "normal-100",
        "sample": "64x64x3",
        "classes": 0,
        "generator": (
            "reshape-1x1x100 tconv4-512-p0-bn-relu tconv4-256-s2-bn-relu "
            "tconv4-128-s2-bn-relu tconv4-64-s2-bn-relu tconv4-3-s2-nobias-tanh"
        ),
        "discriminator": _CRITIC_64,
    },
    "tme-dcgan-64": {
        "reference": "RL-Practicals, TME 8, CelebA, DCGAN",
        "latent": "normal-100",
        "sample": "64x64x3",
        "classes": 0,
        "generator": (
            "dense-4x4x1024-bn-relu tconv4-512-s2-bn-relu tconv4-256-s2-bn-relu "
            "tconv4-128-s2-bn-relu tconv4-3-s2-nobias-tanh"
        ),
        "discriminator": _CRITIC_64,
    },
}
