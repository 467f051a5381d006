"""SN-SMMD and the hinge loss on ImageNet at 64x64, with and without classes.

Usage:

    python my_tests/test_imagenet.py --data=FOLDER      # train/ and val/, or its tars
    python my_tests/test_imagenet.py --method=hinge-cond --data=FOLDER
    python my_tests/test_imagenet.py --data=embedded --steps=20         # to try it

"sn-smmd" is that of Arbel et al. (2018), "hinge" SN-GAN of Miyato et al. (2018); with
"-cond" of 1,000 classes, batch norms of the class and projection. The tars are read as
they are; shards of 64 pixels are faster, and tools/prepare_data.py makes them.
"""

import architectures
from gantf import commandline

ARCHITECTURE = {
    **architectures.get("arbel-sn-resnet-64"),
    # Words of your own go here, as in "generator": "dense-4x4x512 ...",
}

SN_SMMD = {
    "loss": "smmd",  # rbf kernel, weight 10, five critic steps
    "gradient_clip": 1.0,
    "beta_1": 0.5,
}

HINGE = {
    "loss": "hinge",
    "update": "alternating",
    "critic_steps": 5,
    "beta_1": 0.0,
}

SETTINGS = {
    "name": "imagenet",
    "data": "imagenet",
    "architecture": ARCHITECTURE,
    **SN_SMMD,
    "discriminator_lr": 2e-4,
    "generator_lr": 2e-4,
    "beta_2": 0.9,
    "batch_size": 64,
    "steps": 150_000,
    "evaluate_every": 2500,
}

VARIANTS = {
    "method": {
        "sn-smmd": SN_SMMD,
        "sn-smmd-cond": {
            **SN_SMMD,
            "architecture": architectures.get("arbel-sn-resnet-64-cond"),
        },
        "hinge": {**HINGE, "architecture": architectures.get("sn-resnet-64")},
        "hinge-cond": {
            **HINGE,
            "architecture": architectures.get("sn-resnet-64-cond"),
        },
    }
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get, variants=VARIANTS)
