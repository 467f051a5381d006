"""Particles under the MMD losses: what attracts, what repels, where bounds stop it.

Usage:

    python my_tests/test_particles.py
    python my_tests/test_particles.py --losses=rep,rmb --bounds=0.25,1
    python my_tests/test_particles.py --losses=mgb --particles=20 --seed=3
"""

from gantf import commandline
from gantf.theory import particles

SETTINGS = {
    "losses": ["mmd_g", "rep", "rmb"],
    "particles": 6,
    "spread": 0.4,
    "gap": 1.5,
    "width": 1.0,
    "bounds": [0.25, 4.0],
    "rate": 0.02,
    "discriminator_steps": 450,
    "generator_steps": 600,
    "frames": 50,
    "seed": 0,
}

if __name__ == "__main__":
    commandline.compute(SETTINGS, particles.run)
