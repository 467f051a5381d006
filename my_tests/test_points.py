"""Repulsive MMD-GAN on points of the plane: eight Gaussians on a ring.

Usage:

    python my_tests/test_points.py
    python my_tests/test_points.py --data=curve
    python my_tests/test_points.py --data=six --loss=mmd_g
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("mlp-2d"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "points",
    "data": "ring",
    "architecture": ARCHITECTURE,
    "loss": "rep",
    "discriminator_lr": 1e-3,
    "generator_lr": 1e-3,
    "batch_size": 256,
    "steps": 5000,
    "evaluate_every": 500,
    "evaluate_samples": 2000,
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get)
