"""Tests of what an installed gantf is: a wheel, in an environment of its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_brings_packages_data_and_licences(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run([*pip, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("gantf-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {
        "gantf",
        "architectures",
    }
    for name in (
        "fashion_mnist.npz",
        "LICENSE.fashion-mnist",
        "mnistnet.weights.h5",
        "mnistnet.json",
    ):
        assert f"gantf/data/{name}" in names

    # Away from the checkout, the embedded set is read from the wheel.
    code = (
        "import gantf.readers, architectures;"
        "print(gantf.readers.data_file('fashion_mnist.npz'), architectures.names())"
    )
    unpacked = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(unpacked)
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(unpacked), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.stdout.startswith(str(unpacked / "gantf" / "data")), found.stderr
