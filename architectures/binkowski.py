"""The networks of Demystifying MMD GANs.

Binkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs, ICLR 2018, from the
authors' code (mbinkowski/MMD-GAN) for MNIST (28), CIFAR-10 (32), LSUN bedrooms (64)
and CelebA (160). "small" is the critic of 16 channels, the others have 64. Biases
stay beside the batch norms of the generators; the critics have no batch norm, as
with a gradient penalty. The score of 16 numbers is theirs for MMD losses; they take
256 for the Cramer loss and 1 for WGAN-GP.

The authors' images are in [0, 1] and their generators end in a sigmoid; images here
are in [-1, 1], and tanh is the same squashing on that range.
"""

_CRITIC = (
    "conv5-64-s2-lrelu0.2 conv5-128-s2-lrelu0.2 conv5-256-s2-lrelu0.2 "
    "conv5-512-s2-lrelu0.2"
)
_SMALL_CRITIC = (
    "conv5-16-s2-lrelu0.2 conv5-32-s2-lrelu0.2 conv5-64-s2-lrelu0.2 "
    "conv5-128-s2-lrelu0.2"
)
_CRITIC5 = f"{_CRITIC} conv5-1024-s2-lrelu0.2 flatten dense-16"
_DCGAN5 = (
    "dense-5x5x1024 bn relu tconv5-512-s2 bn relu tconv5-256-s2 bn relu "
    "tconv5-128-s2 bn relu tconv5-64-s2 bn relu tconv5-3-s2-tanh"
)

_MNIST = {
    "reference": "Binkowski et al. (2018), their code, MNIST",
    "latent": "uniform-100",
    "sample": "28x28x1",
    "classes": 0,
    "generator": (  # 2, 4, 7, 14, 28
        "dense-2x2x512 bn relu tconv5-256-s2 bn relu tconv5-128-s2-p2 bn relu "
        "tconv5-64-s2 bn relu tconv5-1-s2-tanh"
    ),
}
_CIFAR = {
    "reference": "Binkowski et al. (2018), their code, CIFAR-10",
    "latent": "uniform-100",
    "sample": "32x32x3",
    "classes": 0,
    "generator": (
        "dense-2x2x512 bn relu tconv5-256-s2 bn relu tconv5-128-s2 bn relu "
        "tconv5-64-s2 bn relu tconv5-3-s2-tanh"
    ),
}
_LSUN = {
    "reference": "Binkowski et al. (2018), their code, LSUN bedrooms",
    "latent": "uniform-100",
    "sample": "64x64x3",
    "classes": 0,
    "generator": (
        "dense-4x4x512 bn relu tconv5-256-s2 bn relu tconv5-128-s2 bn relu "
        "tconv5-64-s2 bn relu tconv5-3-s2-tanh"
    ),
}

ARCHITECTURES = {
    "binkowski-dcgan-28": _MNIST | {"discriminator": f"{_CRITIC} flatten dense-16"},
    "binkowski-dcgan-28-small": (
        _MNIST | {"discriminator": f"{_SMALL_CRITIC} flatten dense-16"}
    ),
    "binkowski-dcgan-32": _CIFAR | {"discriminator": f"{_CRITIC} flatten dense-16"},
    "binkowski-dcgan-32-small": (
        _CIFAR | {"discriminator": f"{_SMALL_CRITIC} flatten dense-16"}
    ),
    "binkowski-dcgan-64": _LSUN | {"discriminator": f"{_CRITIC} flatten dense-16"},
    "binkowski-dcgan-64-small": (
        _LSUN | {"discriminator": f"{_SMALL_CRITIC} flatten dense-16"}
    ),
    "binkowski-dcgan5-160": {
        "reference": "Binkowski et al. (2018), their code, CelebA: dcgan5",
        "latent": "uniform-100",
        "sample": "160x160x3",
        "classes": 0,
        "generator": _DCGAN5,
        "discriminator": _CRITIC5,
    },
    "binkowski-fullconv5-160": {  # a score of 5 x 5 x 16 numbers
        "reference": "Binkowski et al. (2018), their code, CelebA: d-fullconv5",
        "latent": "uniform-100",
        "sample": "160x160x3",
        "classes": 0,
        "generator": _DCGAN5,
        "discriminator": f"{_CRITIC} conv5-16-s2-lrelu0.2 flatten",
    },
    "binkowski-resnet5-160": {
        "reference": "Binkowski et al. (2018), their code, CelebA: g-resnet5",
        "latent": "uniform-100",
        "sample": "160x160x3",
        "classes": 0,
        "generator": (
            "dense-5x5x1024 res3-512-up2-lastbias-bn-relu "
            "res3-256-up2-lastbias-bn-relu res3-128-up2-lastbias-bn-relu "
            "res3-64-up2-lastbias-bn-relu bn relu tconv5-3-s2-tanh"
        ),
        "discriminator": _CRITIC5,
    },
}
