"""Residual nets with self-attention: SAGAN.

Zhang, Goodfellow, Metaxas, Odena: Self-Attention Generative Adversarial Networks,
ICML 2019, from the authors' TensorFlow code (brain-research/self-attention-gan) for
ImageNet at 128 pixels: spectral norm of every kernel in both nets, attention on the
map of 32x32, and blocks as in SN-GAN, but with as many channels between the kernels
of a discriminator's block as leave it. The pair for 64 pixels, one block less in
each net, is gantf's own.
"""

ARCHITECTURES = {
    "sagan-128": {
        "reference": "Zhang et al. (2019), their code, ImageNet",
        "latent": "normal-128",
        "sample": "128x128x3",
        "classes": 1000,
        "generator": (
            "dense-4x4x1024-snm res3-1024-up2-snm-cbn-relu res3-512-up2-snm-cbn-relu "
            "res3-256-up2-snm-cbn-relu attn8-pool-snm "
            "res3-128-up2-snm-cbn-relu res3-64-up2-snm-cbn-relu bn relu "
            "conv3-3-snm-tanh"
        ),
        "discriminator": (
            "stem3-64-down2-snm-relu res3-128-down2-snm-relu "
            "attn8-pool-snm res3-256-down2-snm-relu "
            "res3-512-down2-snm-relu res3-1024-down2-snm-relu res3-1024-snm-relu relu "
            "gsum dense-1-snm-proj"
        ),
    },
    "sagan-64": {
        "reference": "gantf: sagan-128 one block shorter, for 64 pixels",
        "latent": "normal-128",
        "sample": "64x64x3",
        "classes": 1000,
        "generator": (
            "dense-4x4x1024-snm res3-512-up2-snm-cbn-relu res3-256-up2-snm-cbn-relu "
            "res3-128-up2-snm-cbn-relu attn8-pool-snm "
            "res3-64-up2-snm-cbn-relu bn relu conv3-3-snm-tanh"
        ),
        "discriminator": (
            "stem3-64-down2-snm-relu attn8-pool-snm "
            "res3-128-down2-snm-relu res3-256-down2-snm-relu "
            "res3-512-down2-snm-relu res3-1024-down2-snm-relu relu gsum "
            "dense-1-snm-proj"
        ),
    },
}
