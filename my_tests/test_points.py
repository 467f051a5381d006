"""Repulsive MMD-GAN on points of the plane: eight Gaussians on a ring.

Usage:

    python my_tests/test_points.py
    python my_tests/test_points.py --data=curve
    python my_tests/test_points.py --data=six --loss=mmd_g
    python my_tests/test_points.py --data=mixture --architecture=mlp-1d

With --study it compares three ways to train a generator of points, by a fixed kernel,
by trained features and by WGAN-GP, and sweeps the fixed kernel's sigma; STUDY below
has its settings. It takes some minutes and writes runs/points/.

    python my_tests/test_points.py --study
    python my_tests/test_points.py --study --sets=ring --methods=fixed,wgan --steps=990
"""

import sys

import architectures
from gantf import commandline
from gantf.theory import points

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

STUDY = {
    "sets": ["six", "curve", "ring", "mixture"],
    "methods": ["fixed", "features", "wgan"],
    "sigma": 0.05,
    "sigmas": [0.0125, 0.025, 0.05, 0.1, 0.2, 1.0],
    "width": 100,
    "batch_size": 64,
    "steps": 3000,
    "rate": 2e-3,
    "samples": 1000,
    "seed": 0,
}

if __name__ == "__main__":
    if "--study" in sys.argv:
        sys.argv.remove("--study")
        commandline.compute(STUDY, points.run)
    else:
        commandline.main(SETTINGS, architectures.get)
