"""gantf: a GAN model zoo for TensorFlow and Keras 3.

Users may rely on the names in `__all__` and on the public names of the modules
listed there. Nothing is imported before it is used: `import gantf.spec` loads
neither TensorFlow nor Keras.
"""

import importlib

_MODULES = (
    "architecture",
    "augment",
    "batch",
    "builder",
    "callbacks",
    "checkpoints",
    "cluster",
    "claim",
    "commandline",
    "datasets",
    "decay",
    "evaluate",
    "experiment",
    "features",
    "gan",
    "gcmmd",
    "images",
    "inputs",
    "jacobian",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "mmd",
    "models",
    "monitors",
    "networks",
    "parts",
    "penalties",
    "pictures",
    "plots",
    "preparation",
    "readers",
    "records",
    "replicas",
    "report",
    "rollback",
    "sampler",
    "samples",
    "scaling",
    "schedule",
    "settings",
    "shapes",
    "shards",
    "signals",
    "spec",
    "streams",
    "theory",
    "toy",
    "training",
    "words",
)
_NAMES = {
    "GAN": "gan",
    "add_word": "builder",
    "build": "builder",
    "build_pair": "builder",
}

__version__ = "0.7.0"
__all__ = [*_MODULES, *_NAMES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"gantf.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"gantf.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'gantf' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
