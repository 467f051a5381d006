"""Tests of commandline.py and of the scripts in my_tests/ and tools/, as typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_settings import SMALL

import architectures
from gantf import commandline, settings

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "my_tests").glob("test_*.py"))
DEFAULTS = {"name": "small", "architecture": SMALL, "data": "embedded", "steps": 2}


def read(*flags, **defaults):
    return commandline._read(
        {**DEFAULTS, **defaults}, architectures.get, ["script.py", *flags]
    )


def test_flags_stand_over_the_scripts_settings():
    given, dry = read("--steps=7", "--generator_lr=0.5", "--noresume", "--dry_run")
    assert (given["steps"], given["generator_lr"], given["resume"]) == (7, 0.5, False)
    assert given["architecture"] is SMALL and dry


def test_every_setting_of_a_word_or_number_is_a_flag():
    values = commandline._define({})
    missing = set(settings.FIELDS) - set(values)
    assert missing == {"loss_parameters"}


def test_another_loss_drops_what_the_first_had_decided():
    given, _ = read(
        "--loss=hinge", loss="rmb", loss_parameters={"bounds": (0, 1)}, score=4
    )
    assert "loss_parameters" not in given and "score" not in given
    kept, _ = read("--loss=rmb", loss="rmb", loss_parameters={"bounds": (0, 1)})
    assert kept["loss_parameters"] == {"bounds": (0, 1)}


def test_an_architecture_is_found_by_name():
    given, _ = read("--architecture=mlp-2d", features="mnistnet")
    assert given["architecture"] == architectures.get("mlp-2d")
    assert "features" not in given


def test_a_settings_file_runs_again_as_it_was(tmp_path):
    resolved = settings.resolve({**DEFAULTS, "seed": 3, "workdir": "there"})
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"settings": resolved.to_dict()}))
    given, _ = read(f"--settings={path}", "--steps=9")
    assert settings.resolve(given).to_dict() == {**resolved.to_dict(), "steps": 9}


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--lsos=rep"], "Unknown command line flag 'lsos'. Did you mean: loss ?"),
        (["--loss=repp"], "unknown loss 'repp'; did you mean 'rep'?"),
        (
            ["--architecture=mlp-3d"],
            "unknown architecture 'mlp-3d'; did you mean 'mlp-2d'?",
        ),
        (["celeba"], "'celeba' is no flag; flags are --name=value"),
        (
            ["--steps=many"],
            "flag --steps=many: invalid literal for int() with base 10: 'many'",
        ),
        (
            ["--settings=nowhere.json"],
            "nowhere.json cannot be read: No such file or directory",
        ),
        (
            ["--data=embeded"],
            "embeded: no such file, folder or set; did you mean 'embedded'?",
        ),
    ],
)
def test_error_messages(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        commandline.main(DEFAULTS, architectures.get, ["script.py", *flags])
    assert caught.value.code == 1
    assert capsys.readouterr().err == message + "\n"
    assert not list(tmp_path.iterdir())


def test_error_a_set_that_is_not_here_gives_the_commands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    with pytest.raises(SystemExit):
        commandline.main(
            {**DEFAULTS, "data": "celeba"},
            architectures.get,
            ["my_tests/test_celeba.py"],
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("CelebA is not here: looked in data/celeba, ")
    assert [line.split()[:3] for line in lines[1:]] == [
        ["python", "my_tests/test_celeba.py", f"--data={what}"]
        for what in ("FOLDER", "tfds:celeb_a", "embedded")
    ]


def test_a_script_runs_and_says_what_to_open_and_to_run_next(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    flags = ["--evaluate_samples=50", "--batch_size=8", "--workdir=runs/a"]
    commandline.main(DEFAULTS, architectures.get, ["my_tests/test_x.py", *flags])
    last = capsys.readouterr().out.splitlines()[-5:]
    assert last[0].startswith("runs/a: 2 steps  kid_pixels ")
    assert [line.split()[0] for line in last[1:]] == ["open", "watch", "more", "draw"]
    assert (tmp_path / last[1].split()[1]).exists()
    assert last[2].endswith("tensorboard --logdir runs")
    assert last[3].endswith(
        "my_tests/test_x.py --settings=runs/a/settings.json --steps=4"
    )
    drawn = subprocess.run(
        [sys.executable, ROOT / "tools" / "sample.py", "runs/a", "--count=9"],
        capture_output=True,
        text=True,
    )
    assert drawn.stdout == "runs/a/drawn.png\n", drawn.stderr
    # 3 x 3 images of 8 pixels with gaps of 2.
    assert Image.open(tmp_path / "runs/a/drawn.png").size == (32, 32)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_hold_settings_that_resolve(path, monkeypatch):
    names = {}
    exec(compile(path.read_text(), path, "exec"), names | {"__name__": "read"}, names)
    resolved = settings.resolve(names["SETTINGS"])
    assert resolved.batch_size >= 64
    rates = {
        "cifar10": (5e-4, 2e-4),  # Wang et al. (2019), D and G, the authors' scripts
        "stl10": (2e-4, 2e-4),
        "celeba": (1e-4, 2e-4),
        "lsun": (2e-4, 1e-4),
    }
    if resolved.name in rates:
        assert (resolved.discriminator_lr, resolved.generator_lr) == rates[
            resolved.name
        ]
        assert (resolved.beta_1, resolved.beta_2, resolved.batch_size) == (
            0.5,
            0.999,
            64,
        )
        assert resolved.loss == "rep"


def tool(name, *arguments):
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / name, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.returncode, done.stdout + done.stderr


def test_show_net_prints_tables_names_and_words():
    code, shown = tool("show_net.py", "dcgan-sn-32")
    assert code == 0 and "3,811,907" in shown and "5,983,760" in shown
    assert tool("show_net.py", "dcgan*")[1].count("Wang et al. (2019)") == 3
    assert "1,792" in tool("show_net.py", "conv3-64-sn-lrelu gsum", "32x32x3")[1]


def test_error_tools_say_what_is_wrong(tmp_path):
    assert tool("show_net.py", "dcgan-sn-31") == (
        1,
        "unknown architecture 'dcgan-sn-31'; did you mean 'dcgan-sn-32'?\n",
    )
    code, said = tool("sample.py", str(tmp_path))
    assert (code, said.splitlines()[-1]) == (1, f"{tmp_path} is no folder of a run")
