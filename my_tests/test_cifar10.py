"""Repulsive MMD-GAN on CIFAR-10, as Wang et al. (2019) train it.

Usage:

    python my_tests/test_cifar10.py --data=FOLDER         # its python or binary batches
    python my_tests/test_cifar10.py --data=tfds:cifar10   # TFDS downloads it
    python my_tests/test_cifar10.py --data=embedded --steps=200     # to try it
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("dcgan-sn-32"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "cifar10",
    "data": "cifar10",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "discriminator_lr": 5e-4,
    "generator_lr": 2e-4,
    "batch_size": 64,
    "steps": 100_000,
    "evaluate_every": 2500,
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
