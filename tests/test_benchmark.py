"""Tests of tools/benchmark.py and tools/roofline.py on tiny nets, and their counts."""

import json
import sys
from pathlib import Path

import pytest

import architectures
from gantf import architecture, shapes, spec

TINY = {
    "reference": "for tests",
    "latent": "normal-8",
    "sample": "8x8x1",
    "classes": 0,
    "generator": "dense-4x4x8-bn-relu tconv4-1-s2-tanh",
    "discriminator": "conv4-16-s2-sn-lrelu flatten dense-4-sn",
}


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Tools find each other, as where they are run from their folder."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "tools")


@pytest.fixture
def call(tool, monkeypatch, capsys):
    """Runs a tool; gives what it printed."""
    known = architectures.get
    monkeypatch.setattr(
        architectures, "get", lambda name: TINY if name == "tiny" else known(name)
    )

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        tool(name).main()
        return capsys.readouterr().out

    return run


def test_all_cases_are_timed_and_written(call, tmp_path):
    out = tmp_path / "out.json"
    own = "--batch=4,8", "--precision=mixed_bfloat16", "--rounds=1", "--parts"
    shown = call("benchmark", "tiny", *own, f"--json={out}")
    found = json.loads(out.read_text())
    lines = shown.splitlines()
    assert lines[1].split()[:3] == ["case", "ms", "images/s"]
    assert [line.split()[:2] for line in lines[2:4]] == [["batch", "4"], ["batch", "8"]]
    # G: 8*128 + 16*4*4*8; D: 16*16*16 + 256*4; 3 G - g + 7 D - 2 c
    macs = 3 * (1024 + 2048) - 1024 + 7 * (4096 + 1024) - 2 * 4096
    assert [case["batch"] for case in found["cases"]] == [4, 8]
    for case in found["cases"]:
        assert case["giga_macs"] == pytest.approx(1e-9 * macs * case["batch"])
        rate = 2 * case["giga_macs"] / (1e-3 * case["ms"])
        assert case["gflops"] == pytest.approx(rate)
        assert case["images_per_s"] == pytest.approx(1e3 * case["batch"] / case["ms"])
        assert 0 < case["of_matrix"] < 1 and case["compile_s"] > 0
    assert [set(parts) for parts in found["parts"]] == [
        {
            "generator forward",
            "discriminator forward",
            "both backward",
            "spectral norm",
            "loss",
            "optimizers",
            "input",
        }
    ] * 2


def test_cases_of_several_replicas_differ_in_batch(in_process):
    tools = str(Path(__file__).parents[1] / "tools")
    assert in_process(_REPLICAS, tools, json.dumps(TINY)) == [4, 8]


_REPLICAS = """
import json, sys
sys.path.insert(0, sys.argv[1])
import architectures, benchmark_cases
architectures.get = lambda name: json.loads(sys.argv[2])
benchmark_cases.divide(2)
cases = [benchmark_cases.Case("tiny", batch=n, replicas=2) for n in (4, 8)]
pairs = [benchmark_cases.Pair(case) for case in cases]
for pair in pairs:
    pair.step()
print(json.dumps([len(next(iter(pair.real.values()))) for pair in pairs]))
"""


def test_width_changes_all_channels_but_those_of_the_output(tool):
    wide = tool("benchmark_cases").widened(TINY, 2)
    assert spec.unparse(spec.parse(wide["generator"])) == (
        "dense-4x4x16-bn-relu tconv4-1-s2-tanh"
    )
    assert wide["discriminator"] == "conv4-32-s2-sn-lrelu flatten dense-4-sn"
    resnet = tool("benchmark_cases").widened(architectures.get("sn-resnet-32"), 0.5)
    checked = architecture.read(resnet)
    assert shapes.out_shape(*checked.nets["generator"]) == (32, 32, 3)


def test_a_step_of_a_run_is_timed(call):
    shown = call("benchmark", "tiny", "--precision=float32", "--rounds=1", "--fit")
    assert shown.splitlines()[-1].startswith("tiny: in a run a step is ")


def test_the_roofline_of_a_dense_pair_by_hand(tool):
    nets = architecture.read(
        {
            "latent": "normal-1000",
            "sample": "2000",
            "generator": "dense-2000",
            "discriminator": "dense-10",
        }
    )
    roofline = tool("roofline")
    found = roofline.seconds(nets, 64, 1)
    # All is bound by memory: 2 bytes of maps and weights a pass, 3 and 7 passes.
    g = 3 * 2 * (64 * 3000 + 1000 * 2000 + 2000)
    d = 7 * 2 * (64 * 2010 + 2000 * 10 + 10)
    assert found["products"] == pytest.approx((g + d) / 3.35e12)
    maps = 4 * 64 * (3 * 2000 + 7 * 10)
    assert found["norms, activations"] == pytest.approx(maps / 3.35e12)
    parameters = 2_002_000 + 20_010
    assert found["optimizers"] == pytest.approx(40 * parameters / 3.35e12)
    assert found["sum of gradients"] == 0
    shared = roofline.seconds(nets, 64, 8)
    assert shared["sum of gradients"] == pytest.approx(7 * parameters / 450e9)
