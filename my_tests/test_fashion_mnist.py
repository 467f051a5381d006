"""Repulsive MMD-GAN on Fashion-MNIST, by default on its 5,000 embedded images.

Usage:

    python my_tests/test_fashion_mnist.py
    python my_tests/test_fashion_mnist.py --data=FOLDER       # the complete idx files
    python my_tests/test_fashion_mnist.py --loss=hinge --steps=4000
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("dcgan-sn-28"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "fashion-mnist",
    "data": "embedded",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "generator_lr": 2e-3,
    "discriminator_lr": 5e-4,
    "batch_size": 64,
    "steps": 20_000,
    "evaluate_every": 500,
    "features": "mnistnet",
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
