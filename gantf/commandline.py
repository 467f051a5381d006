"""The command line of the scripts in my_tests/: flags -> settings -> a run.

    from gantf import commandline
    commandline.main(SETTINGS, architectures.get)

Every setting is a flag; the script's own settings are the defaults.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

# TensorFlow's own news would bury the one line that matters; it reads this first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from gantf import experiment, settings
from gantf.choices import choose
from gantf.datasets import NotHere
from gantf.experiment import RunError, RunResult
from gantf.files import write_json
from gantf.signals import Stopped

_DEFINE = {
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_boolean,
    "str": flags.DEFINE_string,
    "Any": flags.DEFINE_string,
}
_DEFINE_LIKE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    str: flags.DEFINE_string,
    list: flags.DEFINE_list,
}
# What another loss or architecture decides anew, unless a flag says it.
_DECIDED = {
    "loss": (
        "loss_parameters",
        "penalties",
        "scaling",
        "clip",
        "update",
        "critic_steps",
        "score",
    ),
    "architecture": ("size", "score", "features", "feature_weights"),
    "features": ("feature_weights",),
    "metrics": ("best",),
}


def main(
    defaults: Mapping[str, Any],
    find_architecture: Callable[[str], Mapping[str, Any]],
    argv: list[str] | None = None,
    variants: Mapping[str, Mapping[str, Mapping[str, Any]]] = {},
) -> RunResult | None:
    """Runs what the flags say; ends the program with a message where it cannot.

    Args:
      defaults: the script's settings.
      find_architecture: name -> dict, for --architecture=NAME.
      argv: the command line, by default the program's.
      variants: flag -> its values -> the settings that a value stands for, over the
        script's own; the nets of an "architecture" there replace single ones.
    """
    argv = argv or sys.argv
    try:
        given, dry = _read(defaults, find_architecture, argv, variants)
        if dry:
            print(experiment.describe(settings.resolve(given)))
            return None
        result = experiment.run(given)
    except NotHere as error:
        command = rf"\1python {argv[0]} --data"
        message = re.sub(r"^(\s*)--data", command, str(error), flags=re.MULTILINE)
        print(message, file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint")
        sys.exit(130)
    except (ValueError, RunError, flags.Error) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    print(_farewell(result, argv[0]))
    return result


def compute(
    defaults: Mapping[str, Any],
    experiment: Callable[..., Mapping[str, float]],
    argv: list[str] | None = None,
) -> Mapping[str, float]:
    """Runs an experiment of `gantf.theory`: it writes pictures and gives figures.

    Args:
      defaults: its settings: numbers, words, or lists of them; each is a flag.
      experiment: called with the folder and the settings; what it gives is printed
        and written to figures.json.
      argv: the command line, by default the program's.
    """
    argv = argv or sys.argv
    name = Path(argv[0]).stem.removeprefix("test_")
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", f"runs/{name}", "folder", flag_values=values)
    flags.DEFINE_boolean("help", False, "print the flags", flag_values=values)
    for key, default in defaults.items():
        _DEFINE_LIKE[type(default)](key, default, "setting", flag_values=values)
    try:
        _parse(values, argv)
        given = {key: _given(values[key], default) for key, default in defaults.items()}
        folder = Path(values["workdir"].value)
        folder.mkdir(parents=True, exist_ok=True)
        figures = experiment(folder, **given)
    except KeyboardInterrupt:
        print("\nstopped")
        sys.exit(130)
    except (ValueError, OSError, flags.Error) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    about = {"settings": given, "figures": figures}
    write_json(folder / "figures.json", about)
    width = max(map(len, figures))
    for key, value in figures.items():
        print(f"{key:{width}}  {value:.6g}")
    for picture in sorted(folder.glob("*.png")) + sorted(folder.glob("*.gif")):
        print(f"open   {picture}")
    return figures


def _given(flag: flags.Flag, default: Any) -> Any:
    """A flag's value; the items of a list are of the type of the default's."""
    if not isinstance(default, list) or not flag.present:
        return flag.value
    kind = type(default[0])
    try:
        return [kind(item) for item in flag.value]
    except ValueError:
        words = {int: "whole numbers", float: "numbers"}[kind]
        found = ",".join(flag.value)
        raise ValueError(f"{flag.name} is a list of {words}, not {found}") from None


def _read(defaults, find_architecture, argv, variants) -> tuple[dict[str, Any], bool]:
    """The settings that the command line stands for, and whether to run them dry."""
    values = _define(defaults, variants)
    _parse(values, argv)
    flagged = {
        name: values[name].value
        for name in settings.FIELDS
        if name in values and values[name].present
    }
    if isinstance(flagged.get("architecture"), str):
        flagged["architecture"] = find_architecture(flagged["architecture"])
    given = _stored(values["settings"].value) if values["settings"].value else defaults
    given = dict(given)
    for flag, table in variants.items():
        value = values[flag].value
        if value in table:
            given = _varied(given, value, table[value])
            flagged.pop(flag, None)
        elif values[flag].present:
            choose(flag, value, {**table, **dict.fromkeys(_choices(flag))})
    for decider, decided in _DECIDED.items():
        if flagged.get(decider, given.get(decider)) != given.get(decider):
            given = {k: v for k, v in given.items() if k not in (*decided, "workdir")}
    return given | flagged, values["dry_run"].value


def _parse(values: flags.FlagValues, argv: list[str]) -> None:
    """Reads the flags; ends the program where help is asked for."""
    left = values(argv)
    if values["help"].value:
        print(f"{argv[0]}: flags and their defaults\n{values.get_help()}")
        sys.exit(0)
    if left[1:]:
        raise ValueError(f"{left[1]!r} is no flag; flags are --name=value")


def _varied(given: dict[str, Any], value: str, change: Mapping[str, Any]) -> dict:
    """The settings with those of a variant; the run is named after it too."""
    nets = {**given["architecture"], **change.get("architecture", {})}
    name = f"{given['name']}-{value}"
    return {**given, **change, "name": name, "architecture": nets}


def _define(defaults: Mapping[str, Any], variants) -> flags.FlagValues:
    """A flag for each setting that a word or number can give, and for variants."""
    values = flags.FlagValues()
    for flag, table in variants.items():
        if flag not in settings.FIELDS:
            words = f"one of {', '.join(table)}"
            flags.DEFINE_string(flag, None, words, flag_values=values)
    for name, field in settings.FIELDS.items():
        kind = str(field.type).removesuffix(" | None")
        if kind not in _DEFINE:
            continue
        default = defaults.get(name, field.default)
        default = None if kind == "Any" else default
        words = field.metadata["help"]
        known = [*_choices(name), *variants.get(name, ())]
        if known:
            words += f": {', '.join(known)}"
        _DEFINE[kind](name, default, words, flag_values=values)
    flags.DEFINE_string(
        "settings", None, "a settings.json to run again", flag_values=values
    )
    flags.DEFINE_boolean(
        "dry_run", False, "print settings, nets and cost only", flag_values=values
    )
    flags.DEFINE_boolean("help", False, "print the flags", flag_values=values)
    return values


def _choices(name: str) -> list[str]:
    """The words that a setting takes; none where there is no such setting."""
    field = settings.FIELDS.get(name)
    return list(field.metadata.get("choices", list)()) if field else []


def _stored(path: str) -> dict[str, Any]:
    """The settings of a settings.json."""
    try:
        return {**json.loads(Path(path).read_text("utf-8"))["settings"]}
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path} is no settings.json of a run") from None


def _farewell(result: RunResult, script: str) -> str:
    """What came out, what to open, and what to run next."""
    folder, step = result.folder, result.step
    figures = "  ".join(f"{k} {v:.4g}" for k, v in result.scores.items())
    return "\n".join(
        [
            f"{folder}: {step} steps  {figures}",
            f"open   {folder}/samples/step_{step:06d}.png",
            f"watch  {_beside('tensorboard')} --logdir {folder.parent}",
            f"more   {_beside('python')} {script} --settings={folder}/settings.json "
            f"--steps={2 * step}",
            f"draw   {_beside('python')} tools/sample.py {folder}",
            f"read   {_beside('python')} tools/report.py {folder}",
        ]
    )


def _beside(program: str) -> str:
    """The program of this environment, as one would type it here."""
    path = Path(sys.executable).parent / program
    inside = path.exists() and path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else program
