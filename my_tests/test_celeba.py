"""Repulsive MMD-GAN on CelebA at 64x64, as Wang et al. (2019) train it.

Usage:

    python my_tests/test_celeba.py --data=FOLDER          # img_align_celeba, or its zip
    python my_tests/test_celeba.py --data=tfds:celeb_a    # TFDS downloads it
    python my_tests/test_celeba.py --data=embedded --steps=100      # to try it
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("dcgan-sn-64"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "celeba",
    "data": "celeba",
    "split": "all",  # 202,599 images
    "prepare": "celeba",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "discriminator_lr": 1e-4,
    "generator_lr": 2e-4,
    "batch_size": 64,
    "steps": 100_000,
    "evaluate_every": 2500,
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
