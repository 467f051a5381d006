"""The DCGANs of Oh-My-GAN, for MNIST at 64 pixels and CelebA.

divyam25/Oh-My-GAN, its notebooks for DCGAN and for WGAN with clipped weights, after
Radford, Metz, Chintala (2016). The kernels have biases beside the batch norms. The
notebooks' DCGAN ends its discriminator in a sigmoid, their WGAN does not; here it
ends in logits.

"-gp" is for the WGAN with a gradient penalty, which their README plans and no notebook
has: layer norm stands for the critic's batch norm, as Gulrajani et al. (2017),
section 4, recommend, since the penalty is on the slopes at single samples.
"""

_GENERATOR = (
    "reshape-1x1x100 tconv4-512-p0 bn relu tconv4-256-s2 bn relu tconv4-128-s2 bn relu "
    "tconv4-64-s2 bn relu"
)
_DISCRIMINATOR = (
    "conv4-64-s2-lrelu0.2 conv4-128-s2 bn lrelu0.2 conv4-256-s2 bn lrelu0.2 "
    "conv4-512-s2 bn lrelu0.2 conv4-1-p0 flatten"
)

_GP = {"discriminator": _DISCRIMINATOR.replace(" bn ", " ln ")}

ARCHITECTURES = {
    "omg-mnist-64": {
        "reference": "Oh-My-GAN, DCGAN_MNIST.ipynb",
        "latent": "normal-100",
        "sample": "64x64x1",
        "classes": 0,
        "generator": f"{_GENERATOR} tconv4-1-s2-tanh",
        "discriminator": _DISCRIMINATOR,
    },
    "omg-celeba-64": {
        "reference": "Oh-My-GAN, wDCGAN_clip_CelebA.ipynb",
        "latent": "normal-100",
        "sample": "64x64x3",
        "classes": 0,
        "generator": f"{_GENERATOR} tconv4-3-s2-tanh",
        "discriminator": _DISCRIMINATOR,
    },
}
ARCHITECTURES |= {
    "omg-mnist-64-gp": {
        **ARCHITECTURES["omg-mnist-64"],
        "reference": "Oh-My-GAN, for WGAN-GP, MNIST",
        **_GP,
    },
    "omg-celeba-64-gp": {
        **ARCHITECTURES["omg-celeba-64"],
        "reference": "Oh-My-GAN, for WGAN-GP, CelebA",
        **_GP,
    },
}
