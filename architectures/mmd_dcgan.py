"""The networks of the MMD-DCGAN project, on MNIST and on points of the plane.

Benaziza, Baranova, Meziane: MMD-DCGAN, 2024, from their notebooks
(chemousesi/mmd-gans-implementation). The discriminators but those of "dcgan" and "2d"
are feature extractors, whose score is what MMD compares: the body of the DCGAN's
critic (2304 features), a small convolutional net (3136) and LeNet (10). The DCGAN's
kernels have no bias.

Their critic ends in a sigmoid and LeNet in a softmax; here both end in logits. Their
points lie in the unit square and come from a sigmoid; here points lie in [-1, 1], and
tanh is the same squashing on that range.
"""

_DCGAN = (  # 4, 8, 16, 32, and the last one cuts 32 to 28
    "reshape-1x1x100 tconv4-512-p0-bn-relu tconv4-256-s2-bn-relu "
    "tconv4-128-s2-bn-relu tconv4-64-s2-bn-relu tconv1-1-p2-nobias-tanh"
)
_BODY = (  # 14, 7, 3
    "conv4-64-s2-nobias-lrelu0.2 conv4-128-s2-bn-lrelu0.2 conv4-256-s2-p1-bn-lrelu0.2"
)

ARCHITECTURES = {
    "benaziza-dcgan-28": {
        "reference": "Benaziza et al. (2024), DCGAN",
        "latent": "normal-100",
        "sample": "28x28x1",
        "classes": 0,
        "generator": _DCGAN,
        "discriminator": f"{_BODY} conv4-1-s2-p1-nobias flatten",
    },
    "benaziza-body-28": {
        "reference": "Benaziza et al. (2024), ConvNet feature extractor",
        "latent": "normal-100",
        "sample": "28x28x1",
        "classes": 0,
        "generator": _DCGAN,
        "discriminator": f"{_BODY} flatten",
    },
    "benaziza-mlp-28": {
        "reference": "Benaziza et al. (2024), MLP generator, fixed features",
        "latent": "normal-100",
        "sample": "28x28x1",
        "classes": 0,
        "generator": "dense-256-relu dense-512-relu dense-1024-relu dense-28x28x1-tanh",
        "discriminator": "conv3-32-relu max2 conv3-64-relu max2 flatten",
    },
    "benaziza-lenet-28": {
        "reference": "Benaziza et al. (2024), LeNet features",
        "latent": "normal-100",
        "sample": "28x28x1",
        "classes": 0,
        "generator": _DCGAN,
        "discriminator": (
            "conv5-6 max2 conv5-16-p0 max2 flatten dense-120-relu dense-84-relu "
            "dense-10"
        ),
    },
    "benaziza-2d-100": {
        "reference": "Benaziza et al. (2024), points, 100 wide",
        "latent": "normal-10",
        "sample": "2",
        "classes": 0,
        "generator": "3*dense-100-elu dense-2-tanh",
        "discriminator": "2*dense-10-lrelu0.2 dense-1",
    },
    "benaziza-2d-10": {
        "reference": "Benaziza et al. (2024), points, 10 wide",
        "latent": "normal-10",
        "sample": "2",
        "classes": 0,
        "generator": "3*dense-10-elu dense-2-tanh",
        "discriminator": "2*dense-10-lrelu0.2 dense-1",
    },
}
