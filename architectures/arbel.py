"""The networks of On gradient regularizers for MMD GANs.

Arbel, Sutherland, Binkowski, Gretton, NeurIPS 2018, from the authors' code
(MichaelArbel/Scaled-MMD-GAN) for CIFAR-10 (32), CelebA (160) and ImageNet (64). In
the critics called "sn" the kernels are normalised as matrices and multiplied by a
trained gain, the parametrisation of their SN-SMMD. The net for CelebA is the one of
their SMMD, without normalisation, and its blocks have no batch norm.

The authors' projection multiplies the embedding of the class with the score itself;
ours is Miyato & Koyama's, with the features in front of it. Their images are in
[0, 1] and their generators end in a sigmoid; images here are in [-1, 1], and tanh is
the same squashing on that range. Their critics end in logits, as here.
"""

_CRITIC_64 = (
    "conv3-64-snm-gain-lrelu0.2 res3-128-h64-down2-snm-gain-lastbias-relu "
    "res3-256-h128-down2-snm-gain-lastbias-relu "
    "res3-512-h256-down2-snm-gain-lastbias-relu "
    "res3-1024-h512-down2-snm-gain-lastbias-relu lrelu0.2 gsum"
)

ARCHITECTURES = {
    "arbel-sn-dcgan-32": {
        "reference": "Arbel et al. (2018), their code, CIFAR-10: sngan",
        "latent": "uniform-128",
        "sample": "32x32x3",
        "classes": 0,
        "generator": (
            "dense-4x4x512 bn relu tconv5-256-s2 bn relu tconv5-128-s2 bn relu "
            "tconv5-64-s2 bn relu tconv3-3-tanh"
        ),
        "discriminator": (
            "conv3-64-snm-gain-lrelu0.2 conv4-128-s2-snm-gain-lrelu0.2 "
            "conv3-128-snm-gain-lrelu0.2 conv4-256-s2-snm-gain-lrelu0.2 "
            "conv3-256-snm-gain-lrelu0.2 conv4-512-s2-snm-gain-lrelu0.2 "
            "conv3-512-snm-gain-lrelu0.2 flatten dense-1-snm-gain"
        ),
    },
    "arbel-resnet5-160": {
        "reference": "Arbel et al. (2018), their code, CelebA: g-resnet5",
        "latent": "uniform-128",
        "sample": "160x160x3",
        "classes": 0,
        "generator": (
            "dense-5x5x1024 res3-512-up2-lastbias-relu res3-256-up2-lastbias-relu "
            "res3-128-up2-lastbias-relu res3-64-up2-lastbias-relu bn relu "
            "tconv5-3-s2-tanh"
        ),
        "discriminator": (
            "conv5-64-s2-lrelu0.2 conv5-128-s2-lrelu0.2 conv5-256-s2-lrelu0.2 "
            "conv5-512-s2-lrelu0.2 conv5-1024-s2-lrelu0.2 flatten dense-1"
        ),
    },
    "arbel-sn-resnet-64": {
        "reference": "Arbel et al. (2018), their code, ImageNet: snresnet",
        "latent": "uniform-128",
        "sample": "64x64x3",
        "classes": 0,
        "generator": (
            "dense-4x4x1024 res3-512-up2-lastbias-bn-relu "
            "res3-256-up2-lastbias-bn-relu res3-128-up2-lastbias-bn-relu "
            "res3-64-up2-lastbias-bn-relu bn relu conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_64} dense-1-snm-gain",
    },
    "arbel-sn-resnet-64-cond": {
        "reference": "Arbel et al. (2018), their code, ImageNet: cond_snresnet",
        "latent": "uniform-128",
        "sample": "64x64x3",
        "classes": 1000,
        "generator": (
            "dense-4x4x1024 res3-512-up2-lastbias-cbn-relu "
            "res3-256-up2-lastbias-cbn-relu res3-128-up2-lastbias-cbn-relu "
            "res3-64-up2-lastbias-cbn-relu bn relu conv3-3-tanh"
        ),
        "discriminator": f"{_CRITIC_64} dense-1-snm-gain-proj",
    },
}
