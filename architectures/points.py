"""Multilayer perceptrons for points of the plane."""

ARCHITECTURES = {
    "mlp-2d": {
        "reference": "gantf: two hidden layers wide enough for eight Gaussians",
        "latent": "normal-16",
        "sample": "2",
        "classes": 0,
        "generator": "2*dense-128-relu dense-2",
        "discriminator": "2*dense-128-sn2-lrelu dense-16-sn2",
    },
}
