"""Biased and unbiased: gradients, learned critics, FID and KID.

The experiments of Demystifying MMD GANs (Binkowski et al., 2018), a minute on two
cores. Usage:

    python my_tests/test_bias.py
    python my_tests/test_bias.py --kernel=distance --batch_sizes=2,4,8
    python my_tests/test_bias.py --dimension=128 --rows=100000
"""

from gantf import commandline
from gantf.theory import bias

SETTINGS = {
    "critic_sizes": [4, 16, 64],
    "mixture_sizes": [2, 4, 16],
    "kernel": "rq:1",
    "batch_sizes": [2, 3, 4, 6, 8, 12],
    "dimension": 64,
    "fid_sizes": [200, 400, 800, 1600, 3200, 6400],
    "kid_sizes": [2, 10, 50, 200, 1000],
    "rows": 40000,
    "seed": 7,
}

if __name__ == "__main__":
    commandline.compute(SETTINGS, bias.run)
