"""Repulsive MMD-GAN on STL-10 at 48x48, as Wang et al. (2019) train it.

Usage:

    python my_tests/test_stl10.py --data=FOLDER           # stl10_binary
    python my_tests/test_stl10.py --data=tfds:stl10       # TFDS downloads it
    python my_tests/test_stl10.py --data=embedded --steps=200       # to try it
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("dcgan-sn-48"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "stl10",
    "data": "stl10",
    "prepare": "fit",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "discriminator_lr": 2e-4,
    "generator_lr": 2e-4,
    "batch_size": 64,
    "steps": 100_000,
    "evaluate_every": 2500,
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
