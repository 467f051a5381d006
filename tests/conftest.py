"""Seeds, and a quiet TensorFlow, for all tests."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import hypothesis
import numpy as np
import pytest
from processes import Workers

# The same examples in every run: a suite that is green stays green.
hypothesis.settings.register_profile(
    "gantf", derandomize=True, deadline=None, database=None
)
hypothesis.settings.load_profile("gantf")


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same seeds; Keras is not loaded for it."""
    np.random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Nothing is kept in the user's own cache, nor taken from it."""
    os.environ["GANTF_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("GANTF_INCEPTION", None)


@pytest.fixture
def in_process():
    """Runs code in a Python of its own; gives what its last line prints as JSON."""

    def run(code, *arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parent),
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **environment,
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def workers(tmp_path):
    """Workers of one training; see `processes.Workers`."""
    made = Workers(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def tool():
    """The module of a command line of tools/, by its name."""

    def load(name):
        path = Path(__file__).parents[1] / f"tools/{name}.py"
        found = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def refused(call):
    """Runs a command line that ends in a refusal, by a file's own `call`; the words."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            call(*arguments)
        return str(caught.value)

    return run
