"""Tests of commandline.py and of the scripts in my_tests/ and tools/, as typed."""

import inspect
import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_settings import SMALL

import architectures
from gantf import commandline, plots, settings

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    entry: [
        path
        for path in sorted((ROOT / "my_tests").glob("test_*.py"))
        if f"commandline.{entry}(" in path.read_text()
    ]
    for entry in ("main", "compute")
}
DEFAULTS = {"name": "small", "architecture": SMALL, "data": "embedded", "steps": 2}


def read(*flags, variants=None, **defaults):
    given = {**DEFAULTS, **defaults}
    argv = ["script.py", *flags]
    return commandline._read(given, architectures.get, argv, variants or {})


def test_flags_stand_over_the_scripts_settings():
    given, dry = read("--steps=7", "--generator_lr=0.5", "--noresume", "--dry_run")
    assert (given["steps"], given["generator_lr"], given["resume"]) == (7, 0.5, False)
    assert given["architecture"] is SMALL and dry


def test_every_setting_of_a_word_or_number_is_a_flag():
    values = commandline._define({}, {})
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


# ---- variants: flags whose values stand for several settings

CRITIC = "conv3-4 flatten dense-1"
VARIANTS = {
    "features": {
        "fixed": {
            "architecture": {"discriminator": "conv3-4 flatten"},
            "loss": "mmd_g",
            "loss_parameters": {"kernel": "rbf:2"},
            "update": "alternating",
            "critic_steps": 0,
        },
        "critic": {"architecture": {"discriminator": CRITIC}, "loss": "wasserstein"},
    },
    "generator": {"small": {"architecture": {"generator": "dense-8x8x1-tanh"}}},
}


def varied(*flags, **defaults):
    return read(*flags, variants=VARIANTS, **defaults)[0]


def test_without_their_flags_variants_change_nothing():
    assert varied() == DEFAULTS == read()[0]


def test_values_of_variants_stand_over_the_scripts_settings():
    given = varied("--features=fixed", loss="rep", batch_size=8)
    change = VARIANTS["features"]["fixed"]
    architecture = {**SMALL, "discriminator": "conv3-4 flatten"}
    assert given == {
        **DEFAULTS,
        **change,
        "batch_size": 8,
        "name": "small-fixed",
        "architecture": architecture,
    }
    assert settings.resolve(given).workdir == "runs/small-fixed-mmd_g"
    assert SMALL["discriminator"] != "conv3-4 flatten"


def test_variants_replace_nets_of_one_architecture_and_name_the_run():
    for flags in (
        ["--generator=small", "--features=critic"],
        ["--features=critic", "--generator=small"],
    ):
        given = varied(*flags)
        nets = {"generator": "dense-8x8x1-tanh", "discriminator": CRITIC}
        assert given["architecture"] == {**SMALL, **nets}
        assert given["name"] == "small-critic-small"


def test_a_flag_of_a_setting_keeps_the_settings_own_values():
    given = varied("--features=pixels")
    assert given == {**DEFAULTS, "features": "pixels"}
    assert settings.resolve(given).features == "pixels"
    assert "features" not in varied("--features=fixed")
    with pytest.raises(ValueError, match="did you mean 'fixed'"):
        varied("--features=fxied")


def test_flags_stand_over_variants():
    given = varied("--critic_steps=0,more=1,every=5", "--features=fixed", "--name=mine")
    assert given["critic_steps"] == "0,more=1,every=5"
    assert (given["name"], given["loss"]) == ("mine", "mmd_g")
    given = varied("--features=fixed", "--loss=wasserstein")
    assert given["loss"] == "wasserstein"
    assert not {"loss_parameters", "update", "critic_steps"} & set(given)
    given = varied("--features=fixed", "--architecture=mlp-2d")
    assert given["architecture"] == architectures.get("mlp-2d")


def test_variants_show_their_values_in_the_help(capsys):
    with pytest.raises(SystemExit):
        varied("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--generator: one of small" in shown
    assert "mnistnet, pixels, points, fixed, critic" in shown


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--generator=smal", "unknown generator 'smal'; did you mean 'small'?"),
        ("--generator=", "unknown generator ''; known: small"),
        (
            "--features=pixel",
            "unknown features 'pixel'; did you mean 'pixels'?",
        ),
    ],
)
def test_error_values_that_no_variant_has(flag, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        commandline.main(DEFAULTS, architectures.get, ["x.py", flag], VARIANTS)
    assert caught.value.code == 1
    assert capsys.readouterr().err == message + "\n"
    assert not list(tmp_path.iterdir())


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
    assert lines[0].startswith(
        "CelebA is not here: looked in data/celeba-8, data/celeba, "
    )
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
    last = capsys.readouterr().out.splitlines()[-6:]
    assert last[0].startswith("runs/a: 2 steps  kid_pixels ")
    words = ["open", "watch", "more", "draw", "read"]
    assert [line.split()[0] for line in last[1:]] == words
    assert (tmp_path / last[1].split()[1]).exists()
    assert last[2].endswith("tensorboard --logdir runs")
    assert last[3].endswith(
        "my_tests/test_x.py --settings=runs/a/settings.json --steps=4"
    )
    assert last[5].endswith("tools/report.py runs/a")
    drawn = subprocess.run(
        [sys.executable, ROOT / "tools" / "sample.py", "runs/a", "--count=9"],
        capture_output=True,
        text=True,
    )
    assert drawn.stdout == "runs/a/drawn.png\n", drawn.stderr
    # 3 x 3 images of 8 pixels with gaps of 2.
    assert Image.open(tmp_path / "runs/a/drawn.png").size == (32, 32)


@pytest.mark.parametrize("path", SCRIPTS["main"], ids=lambda path: path.stem)
def test_scripts_hold_settings_that_resolve(path, monkeypatch):
    names = {}
    exec(compile(path.read_text(), path, "exec"), names | {"__name__": "read"}, names)
    resolved = settings.resolve(names["SETTINGS"])
    assert resolved.batch_size >= 64
    variants = names.get("VARIANTS", {})
    for values in itertools.product(*([None, *table] for table in variants.values())):
        chosen = zip(variants, values)
        flags = [f"--{flag}={value}" for flag, value in chosen if value]
        argv = ["script.py", *flags]
        given, _ = commandline._read(
            names["SETTINGS"], architectures.get, argv, variants
        )
        name = "-".join([resolved.name, *filter(None, values)])
        assert settings.resolve(given).name == name
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


def test_every_script_is_of_one_kind():
    kinds = {*SCRIPTS["main"], *SCRIPTS["compute"]}
    assert kinds == set((ROOT / "my_tests").glob("test_*.py"))


# ---- experiments of gantf.theory

FIGURES = {
    "count": 3,
    "scale": 0.5,
    "slow": False,
    "word": "a",
    "sizes": [1, 2],
    "widths": [0.25, 4.0],
    "names": ["x", "y"],
}


def experiment(*flags, run=lambda folder, **given: {"one": 1.0}, defaults=FIGURES):
    return commandline.compute(defaults, run, ["my_tests/test_x.py", *flags])


def given_to(*flags):
    """The settings that an experiment gets."""
    seen = {}

    def run(folder, **given):
        seen.update(given, folder=folder)
        return {"one": 1.0}

    experiment(*flags, run=run)
    return seen


def test_flags_of_experiments_are_of_the_settings_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert given_to() == {**FIGURES, "folder": Path("runs/x")}
    flags = "--count=7 --scale=2 --slow --word=b --sizes=3,40 --widths=1,.5 --names=z"
    seen = given_to(*flags.split(), "--workdir=there/so")
    assert seen == {
        "count": 7,
        "scale": 2.0,
        "slow": True,
        "word": "b",
        "sizes": [3, 40],
        "widths": [1.0, 0.5],
        "names": ["z"],
        "folder": Path("there/so"),
    }
    assert [type(v) for v in seen["widths"]] == [float, float]
    assert given_to("--noslow", "--names=")["names"] == []


def test_an_experiment_is_written_and_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(folder, **given):
        for name in ("b.png", "a.png", "c.gif", "d.txt"):
            (folder / name).touch()
        return {"mean": 1 / 3, "a longer name": 2.0}

    figures = experiment("--count=5", "--widths=1", run=run)
    assert figures == {"mean": 1 / 3, "a longer name": 2.0}
    written = json.loads((tmp_path / "runs/x/figures.json").read_text())
    assert written == {
        "settings": {**FIGURES, "count": 5, "widths": [1.0]},
        "figures": figures,
    }
    assert capsys.readouterr().out.splitlines() == [
        "mean           0.333333",
        "a longer name  2",
        "open   runs/x/a.png",
        "open   runs/x/b.png",
        "open   runs/x/c.gif",
    ]
    assert not list((tmp_path / "runs/x").glob("unfinished*"))


def refused(folder, **given):
    raise ValueError("width is a number above 0, not 0.0")


@pytest.mark.parametrize(
    "flags, run, message",
    [
        (
            ["--coutn=3"],
            None,
            "Unknown command line flag 'coutn'. Did you mean: count ?",
        ),
        (["figures"], None, "'figures' is no flag; flags are --name=value"),
        (
            ["--count=1.5"],
            None,
            "flag --count=1.5: invalid literal for int() with base 10: '1.5'",
        ),
        (["--sizes=1,2.5"], None, "sizes is a list of whole numbers, not 1,2.5"),
        (["--widths=0.5,x"], None, "widths is a list of numbers, not 0.5,x"),
        (["--workdir=runs"], refused, "width is a number above 0, not 0.0"),
    ],
)
def test_error_messages_of_experiments(
    flags, run, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        experiment(*flags, run=run)
    assert caught.value.code == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", message + "\n")
    assert not list(tmp_path.rglob("figures.json"))


def test_error_a_folder_that_cannot_be(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    with pytest.raises(SystemExit) as caught:
        experiment("--workdir=taken")
    assert caught.value.code == 1
    assert "File exists: 'taken'" in capsys.readouterr().err


def test_an_experiment_that_is_stopped_says_so(tmp_path, monkeypatch, capsys):
    def run(folder, **given):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        experiment(run=run)
    assert caught.value.code == 130
    assert capsys.readouterr().out == "\nstopped\n"


def test_help_shows_the_settings_of_an_experiment(capsys):
    with pytest.raises(SystemExit) as caught:
        experiment("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("my_tests/test_x.py: flags and their defaults\n")
    for name in FIGURES:
        assert f"--{name}:" in shown or f"--[no]{name}:" in shown
    assert "(default: '0.25,4.0')" in shown


@pytest.mark.parametrize("path", SCRIPTS["compute"], ids=lambda path: path.stem)
def test_scripts_of_experiments_hold_all_their_settings(path, monkeypatch):
    called = []
    monkeypatch.setattr(commandline, "compute", lambda *given: called.append(given))
    monkeypatch.setattr(sys, "argv", [str(path), "--study"])  # of one that is both
    exec(compile(path.read_text(), path, "exec"), {"__name__": "__main__"})
    [(defaults, run)] = called
    assert ["folder", *defaults] == list(inspect.signature(run).parameters)


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


def compare(monkeypatch, *arguments):
    """Runs tools/compare.py in this process."""
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / "compare.py"), run_name="__main__")


def run_folder(path, text):
    """A folder with the metrics.csv of a run."""
    path.mkdir()
    (path / "metrics.csv").write_text(text)
    return path


def test_compare_draws_a_column_of_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_folder(Path("a"), "step,x,generator_loss\n1,0.5,2\n1,,\n3,-1.5,4\n")
    run_folder(Path("b"), "step,generator_loss,x\n2,5,nan\n4,6,\n")
    compare(monkeypatch, "a", "b")
    picture = plots.curves(
        {"a": [(1, 2), (3, 4)], "b": [(2, 5), (4, 6)]}, 100, ("step", "generator_loss")
    )
    np.testing.assert_array_equal(Image.open("compared.png"), picture)
    compare(monkeypatch, "a", "b", "--column=-x", "--window=1", "--out=new/x.png")
    points = {"a": [(1, -0.5), (3, 1.5)], "b": [(2, np.nan)]}
    picture = plots.curves(points, 1, ("step", "-x"))
    np.testing.assert_array_equal(Image.open("new/x.png"), picture)
    assert capsys.readouterr().out == "compared.png\nnew/x.png\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["a", "--column=los"],
            "unknown column of a/metrics.csv 'los'; did you mean 'loss'?",
        ),
        (["c"], "c is no folder of a run with a metrics.csv"),
        (
            ["a", "--column=loss", "--window=0"],
            "window is a whole number from 1, not 0",
        ),
    ],
)
def test_error_compare_says_what_is_wrong(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folder(Path("a"), "step,loss\n1,0.5\n")
    with pytest.raises(SystemExit) as caught:
        compare(monkeypatch, *arguments)
    assert caught.value.code == message
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
