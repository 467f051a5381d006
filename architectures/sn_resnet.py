"""Residual nets with a spectrally normalised discriminator: SN-GAN.

Miyato, Kataoka, Koyama, Yoshida: Spectral Normalization for GANs, ICLR 2018, and
Miyato, Koyama: cGANs with Projection Discriminator, ICLR 2018, for CIFAR-10 (32),
STL-10 (48) and ImageNet (64, 128); "cond" has labels, a batch norm of the class in
the generator's blocks and the projection. Biases, widths and shortcuts are those of
the authors' Chainer code (pfnet-research/sngan_projection): between the two kernels
of a block stand as many channels as leave it in a generator, and as enter it in a
discriminator. For 48 pixels there is no code; there the score has no bias, as for 32.
"""

_CRITIC_32 = (
    "stem3-128-down2-snm-relu res3-128-down2-snm-relu 2*res3-128-snm-relu relu gsum"
)
_CRITIC_64 = (
    "stem3-64-down2-snm-relu res3-128-h64-down2-snm-relu "
    "res3-256-h128-down2-snm-relu res3-512-h256-down2-snm-relu "
    "res3-1024-h512-down2-snm-relu"
)
_CRITIC_128 = f"{_CRITIC_64} res3-1024-snm-relu relu gsum"

ARCHITECTURES = {
    "sn-resnet-32": {
        "reference": "Miyato et al. (2018), table 4, CIFAR-10",
        "latent": "normal-128",
        "sample": "32x32x3",
        "classes": 0,
        "generator": "dense-4x4x256 3*res3-256-up2-bn-relu bn relu conv3-3-tanh",
        "discriminator": f"{_CRITIC_32} dense-1-snm-nobias",
    },
    "sn-resnet-32-cond": {
        "reference": "Miyato & Koyama (2018), their code, CIFAR-10",
        "latent": "normal-128",
        "sample": "32x32x3",
        "classes": 10,
        "generator": "dense-4x4x256 3*res3-256-up2-cbn-relu bn relu conv3-3-tanh",
        "discriminator": f"{_CRITIC_32} dense-1-snm-nobias-proj",
    },
    "sn-resnet-48": {
        "reference": "Miyato et al. (2018), table 5, STL-10",
        "latent": "normal-128",
        "sample": "48x48x3",
        "classes": 0,
        "generator": (
            "dense-6x6x512 res3-256-up2-bn-relu res3-128-up2-bn-relu "
            "res3-64-up2-bn-relu bn relu conv3-3-tanh"
        ),
        "discriminator": (
            "stem3-64-down2-snm-relu res3-128-h64-down2-snm-relu "
            "res3-256-h128-down2-snm-relu res3-512-h256-down2-snm-relu "
            "res3-1024-h512-snm-relu relu gsum dense-1-snm-nobias"
        ),
    },
    "sn-resnet-64": {
        "reference": "Miyato et al. (2018), their code, ImageNet",
        "latent": "normal-128",
        "sample": "64x64x3",
        "classes": 0,
        "generator": (
            "dense-4x4x1024 res3-512-up2-bn-relu res3-256-up2-bn-relu "
            "res3-128-up2-bn-relu res3-64-up2-bn-relu bn relu conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_64} relu gsum dense-1-snm",
    },
    "sn-resnet-64-cond": {
        "reference": "Miyato & Koyama (2018), their code, ImageNet",
        "latent": "normal-128",
        "sample": "64x64x3",
        "classes": 1000,
        "generator": (
            "dense-4x4x1024 res3-512-up2-cbn-relu res3-256-up2-cbn-relu "
            "res3-128-up2-cbn-relu res3-64-up2-cbn-relu bn relu conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_64} relu gsum dense-1-snm-proj",
    },
    "sn-resnet-128": {
        "reference": "Miyato et al. (2018), their code, ImageNet",
        "latent": "normal-128",
        "sample": "128x128x3",
        "classes": 0,
        "generator": (
            "dense-4x4x1024 res3-1024-up2-bn-relu res3-512-up2-bn-relu "
            "res3-256-up2-bn-relu res3-128-up2-bn-relu res3-64-up2-bn-relu bn relu "
            "conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_128} dense-1-snm",
    },
    "sn-resnet-128-cond": {
        "reference": "Miyato & Koyama (2018), their code, ImageNet",
        "latent": "normal-128",
        "sample": "128x128x3",
        "classes": 1000,
        "generator": (
            "dense-4x4x1024 res3-1024-up2-cbn-relu res3-512-up2-cbn-relu "
            "res3-256-up2-cbn-relu res3-128-up2-cbn-relu res3-64-up2-cbn-relu bn relu "
            "conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_128} dense-1-snm-proj",
    },
}
