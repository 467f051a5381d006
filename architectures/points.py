"""Multilayer perceptrons for points of the plane and of the line."""

ARCHITECTURES = {
    "mlp-2d": {
        "reference": "gantf: two hidden layers wide enough for eight Gaussians",
        "latent": "normal-16",
        "sample": "2",
        "classes": 0,
        "generator": "2*dense-128-relu dense-2",
        "discriminator": "2*dense-128-sn2-lrelu dense-16-sn2",
    },
    "mlp-1d": {
        "reference": "gantf: the nets of mlp-2d for points of the line",
        "latent": "normal-16",
        "sample": "1",
        "classes": 0,
        "generator": "2*dense-128-relu dense-1",
        "discriminator": "2*dense-128-sn2-lrelu dense-16-sn2",
    },
}
