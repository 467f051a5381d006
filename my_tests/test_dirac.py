"""The Dirac GAN: distances of two point masses, and where training takes them.

Usage:

    python my_tests/test_dirac.py
    python my_tests/test_dirac.py --penalty=1
    python my_tests/test_dirac.py --spread=1 --regularisation=0.1
"""

from gantf import commandline
from gantf.theory import pointmass

SETTINGS = {
    "regularisation": 1.0,
    "spread": 10.0,
    "penalty": 0.3,
    "theta": [1.0, 2.0],
    "psi": [1.0, 2.4],
    "time": 30.0,
}

if __name__ == "__main__":
    commandline.compute(SETTINGS, pointmass.run)
