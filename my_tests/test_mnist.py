"""Repulsive MMD-GAN on MNIST digits, and the four stages of MMD-DCGAN.

Usage:

    python my_tests/test_mnist.py --data=FOLDER           # the four idx files
    python my_tests/test_mnist.py --data=tfds:mnist       # TFDS downloads them
    python my_tests/test_mnist.py --data=embedded         # Fashion-MNIST, to try it

Benaziza, Baranova, Meziane (2024) go from features that nobody trains and a generator
of dense layers to a DCGAN whose features are trained against it:

    ... --features=fixed --generator=mlp
    ... --features=fixed --generator=dcgan
    ... --features=adversarial --generator=mlp
    ... --features=adversarial --generator=dcgan
    ... --features=critic --generator=dcgan                # WGAN-GP, beside them

With features that are trained go a slower pace of theirs, and a penalty on the witness
function, as the project has it beside the body's batch norms; papers leave these out:

    ... --features=adversarial --generator=dcgan --penalties=witness_gp:.1   # .05, .07
    ... --features=adversarial --generator=dcgan --critic_steps=0,more=1,every=500
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

STAGE = {
    "batch_size": 128,
    "discriminator_lr": 2e-4,
    "generator_lr": 2e-4,
    "steps": 23_400,  # 50 epochs of MNIST
    "evaluate_every": 468,
    "update": "alternating",
}

REFERENCE = {"reference": "Benaziza et al. (2024)"}
MLP = architectures.get("benaziza-mlp-28")
DCGAN = architectures.get("benaziza-body-28")

VARIANTS = {
    "features": {
        # The median distance of two images in 3136 untrained features is 45 to 50, of
        # an image and a first sample 60 to 65: the kernel is that median and 1/4, 1/2
        # and twice of it. The project's own widths, sigma^2 = 2, 5, .., 80, leave no
        # more than exp(-45^2 / 160) = 3e-6 of k(0), and the loss at 2 * 6 / 128.
        "fixed": {
            **STAGE,
            "architecture": {**REFERENCE, "discriminator": MLP["discriminator"]},
            "loss": "mmd_g",
            "loss_parameters": {"kernel": "rbf:12,25,50,100", "estimator": "biased"},
            "critic_steps": 0,
        },
        # The median is 40 in the 2304 features of a new body, of images and samples
        # alike, and its batch norms hold it there.
        "adversarial": {
            **STAGE,
            "architecture": {**REFERENCE, "discriminator": DCGAN["discriminator"]},
            "loss": "mmd_g",
            "loss_parameters": {"kernel": "rbf:10,20,40,80", "estimator": "biased"},
            "critic_steps": 1,
        },
        # The body without its batch norms, which the penalty on single samples does
        # not go with (Gulrajani et al. 2017), and a score of one number.
        "critic": {
            **STAGE,
            "architecture": {
                **REFERENCE,
                "discriminator": (
                    "conv4-64-s2-lrelu0.2 conv4-128-s2-lrelu0.2 "
                    "conv4-256-s2-p1-lrelu0.2 conv4-1-s2-p1-nobias flatten"
                ),
            },
            "loss": "wasserstein",
        },
    },
    "generator": {
        "mlp": {
            "architecture": {
                **REFERENCE,
                "latent": MLP["latent"],
                "generator": MLP["generator"],
            }
        },
        "dcgan": {
            "architecture": {
                **REFERENCE,
                "latent": DCGAN["latent"],
                "generator": DCGAN["generator"],
            }
        },
    },
}

if __name__ == "__main__":
    commandline.main(SETTINGS, architectures.get, variants=VARIANTS)
