"""Repulsive MMD-GAN on MNIST digits.

Usage:

    python my_tests/test_mnist.py --data=FOLDER           # the four idx files
    python my_tests/test_mnist.py --data=tfds:mnist       # TFDS downloads them
    python my_tests/test_mnist.py --data=embedded         # Fashion-MNIST, to try it
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("dcgan-sn-28"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "mnist",
    "data": "mnist",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "discriminator_lr": 5e-4,
    "generator_lr": 2e-3,
    "batch_size": 64,
    "steps": 100_000,
    "evaluate_every": 1000,
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
