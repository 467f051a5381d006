"""The nets of a course's exercise: CelebA vanilla, CelebA DCGAN, MNIST.

Usage:

    python my_tests/test_tme.py --net=vanilla --data=FOLDER   # images of CelebA
    python my_tests/test_tme.py --net=dcgan --data=FOLDER
    python my_tests/test_tme.py --net=mnist --data=FOLDER     # the four idx files
    python my_tests/test_tme.py --net=mnist --data=embedded --steps=100    # to try it

RL-Practicals, TME 8: the logistic loss, D and then G in each iteration, five epochs, a
row of metrics.csv an iteration. Its learning rate is ten times that of Radford, Metz,
Chintala (2016), --generator_lr=.0002 --discriminator_lr=.0002. Both nets of CelebA in
one picture:

    python tools/compare.py runs/tme-vanilla-logistic runs/tme-dcgan-logistic
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("tme-celeba-64"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SETTINGS = {
    "name": "tme",
    "data": "celeba",
    "architecture": ARCHITECTURE,
    "loss": "logistic",
    "update": "alternating",
    "critic_steps": 1,
    "discriminator_lr": 2e-3,
    "generator_lr": 2e-3,
    "ema": 0.0,
    "batch_size": 128,
    "steps": 7915,  # five epochs of 202,599 images
    "evaluate_every": 1583,
    "log_every": 1,
}

VARIANTS = {
    "net": {
        "vanilla": {},
        "dcgan": {"architecture": architectures.get("tme-dcgan-64")},
        "mnist": {
            "data": "mnist",
            "architecture": architectures.get("tme-mnist-28"),
            "batch_size": 64,
            "steps": 4690,  # five epochs of 60,000 images
            "evaluate_every": 938,
        },
    }
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get, variants=VARIANTS)
