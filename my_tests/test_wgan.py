"""Wasserstein GANs at 64 pixels: weights clipped, or a gradient penalty.

Usage:

    python my_tests/test_wgan.py --method=clip --data=FOLDER      # MNIST's idx files
    python my_tests/test_wgan.py --method=gp --data=FOLDER
    python my_tests/test_wgan.py --method=gp --data=embedded --steps=100  # to try it

    ... --method=clip --architecture=omg-celeba-64 --name=celeba --data=FOLDER
    ... --method=gp --architecture=omg-celeba-64-gp --name=celeba --data=FOLDER

"clip" is the WGAN of Oh-My-GAN after Arjovsky et al. (2017), "gp" the one that it plans
after Gulrajani et al. (2017), whose critic has no batch norm. discriminator_loss is the
negative Wasserstein estimate, the penalty left out; as a picture of several runs:

    python tools/compare.py --column=-discriminator_loss RUN RUN
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("omg-mnist-64"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

CLIP = {
    "loss": "wgan",  # weights within .01, five critic steps
    "optimizer": "rmsprop",
    "discriminator_lr": 5e-5,
    "generator_lr": 5e-5,
}

GP = {
    "architecture": architectures.get("omg-mnist-64-gp"),
    "loss": "wasserstein",  # weight 10, five critic steps
    "optimizer": "adam",
    "discriminator_lr": 1e-4,
    "generator_lr": 1e-4,
    "beta_1": 0.0,
    "beta_2": 0.9,
}

SETTINGS = {
    "name": "wgan",
    "data": "mnist",
    "architecture": ARCHITECTURE,
    **CLIP,
    "batch_size": 128,
    "ema": 0.0,
    "steps": 35_175,  # 75 epochs of MNIST, each of 469 batches
    "evaluate_every": 469,
}

VARIANTS = {"method": {"clip": CLIP, "gp": GP}}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get, variants=VARIANTS)
