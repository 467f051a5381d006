"""The networks of MMD GAN: an encoder that scores, a decoder that brings it back.

Li, Chang, Cheng, Yang, Poczos: MMD GAN: Towards Deeper Understanding of Moment
Matching Network, NeurIPS 2017, from the authors' code (OctoberChang/MMD-GAN). The
discriminator is their encoder, whose score has as many numbers as the latent; the
decoder has the words of the generator and is trained to undo the encoder, by the loss
"li" and its penalty. MNIST is resized to 32 pixels. No kernel has a bias.

Their generators start with a transposed convolution of one pixel; that is a dense
layer folded into a map, written so here because it takes a score of any width.
"""

_ENCODER_32 = (
    "conv4-64-s2-nobias-lrelu0.2 conv4-128-s2-bn-lrelu0.2 conv4-256-s2-bn-lrelu0.2"
)
_ENCODER_64 = f"{_ENCODER_32} conv4-512-s2-bn-lrelu0.2"
_DECODER_32 = "dense-4x4x256-bn-relu tconv4-128-s2-bn-relu tconv4-64-s2-bn-relu"
_DECODER_64 = (
    "dense-4x4x512-bn-relu tconv4-256-s2-bn-relu tconv4-128-s2-bn-relu "
    "tconv4-64-s2-bn-relu tconv4-3-s2-nobias-tanh"
)

ARCHITECTURES = {
    "li-mnist-32": {
        "reference": "Li et al. (2017), their code, MNIST",
        "latent": "normal-10",
        "sample": "32x32x1",
        "classes": 0,
        "generator": f"{_DECODER_32} tconv4-1-s2-nobias-tanh",
        "discriminator": f"{_ENCODER_32} conv4-10-p0-nobias flatten",
        "decoder": f"{_DECODER_32} tconv4-1-s2-nobias-tanh",
    },
    "li-cifar10-32": {
        "reference": "Li et al. (2017), their code, CIFAR-10",
        "latent": "normal-128",
        "sample": "32x32x3",
        "classes": 0,
        "generator": f"{_DECODER_32} tconv4-3-s2-nobias-tanh",
        "discriminator": f"{_ENCODER_32} conv4-128-p0-nobias flatten",
        "decoder": f"{_DECODER_32} tconv4-3-s2-nobias-tanh",
    },
    "li-celeba-64": {
        "reference": "Li et al. (2017), their code, CelebA",
        "latent": "normal-64",
        "sample": "64x64x3",
        "classes": 0,
        "generator": _DECODER_64,
        "discriminator": f"{_ENCODER_64} conv4-64-p0-nobias flatten",
        "decoder": _DECODER_64,
    },
    "li-lsun-64": {
        "reference": "Li et al. (2017), their code, LSUN bedrooms",
        "latent": "normal-128",
        "sample": "64x64x3",
        "classes": 0,
        "generator": _DECODER_64,
        "discriminator": f"{_ENCODER_64} conv4-128-p0-nobias flatten",
        "decoder": _DECODER_64,
    },
}
