"""The settings of a run: names, defaults, checks, and what they resolve to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gantf import (
    architecture,
    augment,
    evaluate,
    features,
    losses,
    penalties,
    scaling,
    schedule,
)
from gantf.choices import choose, hint, make, show
from gantf.decay import ThreeSampleDecay
from gantf.gan import UPDATES
from gantf.readers.source import ON_ERROR, SPLITS
from gantf.replicas import STRATEGIES
from gantf.rollback import Rollback

PRECISIONS = ("float32", "mixed_bfloat16")
OPTIMIZERS = ("adam", "rmsprop", "sgd")
_LEAST = {"seed": 0, "batch_size": 2, "evaluate_samples": 2}  # others: 1
_BELOW_1 = ("beta_1", "beta_2", "ema")
# A run may go on with other values of these.
_FREE = ("steps", "workdir", "resume", "strategy", "cache_gb", "on_nan")


def _setting(default: Any, help: str, **metadata) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run; `resolve` makes them from a dict.

    None stands for what another setting decides: the loss its penalties, scaling,
    clip, update, critic steps and score width; the architecture the size and the
    features; the metrics the best figure; the name the folder.
    """

    architecture: Any = _setting(None, "name or dict of an architecture")
    name: str = _setting("gan", "of the run")
    data: str = _setting(
        "embedded", "a set's name, tfds:NAME, or a folder, zip or npz of images"
    )
    split: str = _setting("train", "of the data", choices=lambda: SPLITS)
    label: str | None = _setting(
        None, "what labels are, of data with several, as Smiling of celeba"
    )
    prepare: str | None = _setting(
        None, "how images come to their size, as celeba or 'short-64 random-64'"
    )
    flip: bool = _setting(False, "mirror half of the images, drawn each time")
    same_class: bool = _setting(False, "batches of one class each")
    on_error: str = _setting(
        "refuse", "refuse bad images, or skip and list them", choices=lambda: ON_ERROR
    )
    cache_gb: float = _setting(4.0, "memory for images that are prepared; 0: none")
    loss: str = _setting("rep", "name of the loss", choices=losses.names)
    loss_parameters: Mapping | None = _setting(None, "parameters of the loss")
    penalties: Any = _setting(None, "of the discriminator, as in gp or gp:10; or none")
    update: str | None = _setting(
        None, "simultaneous or alternating", choices=lambda: UPDATES
    )
    critic_steps: Any = _setting(
        None, "of an alternating update, as 5 or 5,more=100,first=25,every=500"
    )
    scaling: Any = _setting(None, "of the losses, as in smmd or smmd:10; or none")
    clip: float | None = _setting(None, "bound of the discriminator's weights; 0: none")
    gradient_clip: float = _setting(0.0, "largest gradient of a variable; 0: any")
    augment: Any = _setting(
        "none", "of all that the discriminator sees, as diffaugment:color or ada:0.2"
    )
    score: int | None = _setting(None, "width of the score")
    steps: int = _setting(100_000, "updates of the generator")
    batch_size: int = _setting(64, "real samples in a batch, and generated ones")
    size: int | None = _setting(None, "side of the images; the architecture decides")
    generator_lr: float = _setting(2e-4, "learning rate of the generator, per step")
    discriminator_lr: float = _setting(2e-4, "learning rate of the discriminator")
    optimizer: str = _setting("adam", "of both nets", choices=lambda: OPTIMIZERS)
    beta_1: float = _setting(0.5, "of Adam")
    beta_2: float = _setting(0.999, "of Adam")
    ema: float = _setting(0.999, "decay of the generator's running average; 0: none")
    precision: str = _setting("float32", "of the nets", choices=lambda: PRECISIONS)
    strategy: str = _setting(
        "auto", "auto takes all GPUs, or the one device", choices=lambda: STRATEGIES
    )
    workdir: str | None = _setting(None, "folder of the run; by default runs/NAME-LOSS")
    on_nan: Any = _setting(
        "stop", "stop, or rollback:0.5 to the last checkpoint with lower learning rates"
    )
    deterministic: bool = _setting(False, "the same bits in each run; may be slower")
    resume: bool = _setting(True, "go on where the folder's run stopped")
    seed: int = _setting(0, "of weights, latents and the order of the data")
    evaluate_every: int = _setting(1000, "steps between evaluations and checkpoints")
    evaluate_samples: int = _setting(5000, "real and generated samples compared")
    log_every: int = _setting(50, "steps between points of the curves")
    features: str | None = _setting(
        None,
        "what samples are compared in, or a file of a Keras model",
        choices=features.names,
        ending=".keras",
    )
    feature_weights: str | None = _setting(None, "file of weights of the features")
    metrics: Any = _setting("kid,fd", "figures of an evaluation, as kid,fd,pr")
    best: str | None = _setting(
        None, "figure whose best step is kept; by default the first"
    )
    lr_decay: Any = _setting(
        "none", "three_sample: learning rates fall where samples get no better"
    )

    def differences(self, other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
        """What keeps a run with the settings `other` from going on with these.

        Returns:
          (name, theirs, mine) of each that differs; of a dict, as the architecture,
          each part: ("architecture.latent", "normal-4", "normal-8").
        """
        mine, theirs = (
            {key: value for key, value in _parts(settings) if key not in _FREE}
            for settings in (self.to_dict(), other)
        )
        keys = dict.fromkeys([*mine, *theirs])
        pairs = [(key, theirs.get(key), mine.get(key)) for key in keys]
        return [pair for pair in pairs if pair[1] != pair[2]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON would give it back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.workdir)


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def resolve(given: Mapping[str, Any]) -> Settings:
    """Checks settings and decides what they leave open.

    Raises:
      ValueError: an unknown setting, a value that it does not take, or settings
        that do not fit each other.
    """
    for key in given:
        if key not in FIELDS:
            raise ValueError(f"unknown setting {show(key)}{hint(key, FIELDS)}")
    if "loss" in given:  # by its main name, so that a run has one
        given = {**given, "loss": losses.get(given["loss"]).name}
    settings = Settings(**{k: _checked(k, v) for k, v in given.items()})
    parameters = dict(settings.loss_parameters or {})
    loss = losses.get(settings.loss, **parameters)
    checked = architecture.read(settings.architecture)
    score = settings.score if settings.score is not None else loss.score_dim
    checked = checked.with_score(score)
    if loss.score_dim not in (None, checked.score):
        raise ValueError(
            f"loss {settings.loss!r} needs a score of width {loss.score_dim}, not "
            f"{checked.score}; leave score out, or choose another loss"
        )
    size = _size(settings, checked.sample)
    if (settings.features == "points") != (size is None) and settings.features:
        raise ValueError(
            f"features {settings.features!r} do not fit samples of "
            f"{'x'.join(map(str, checked.sample))}; leave features out"
        )
    update = settings.update or loss.update
    points = len(checked.sample) == 1
    grey28 = checked.sample == (28, 28, 1)
    critic_steps = settings.critic_steps
    if critic_steps is None:
        critic_steps = loss.critic_steps if update == loss.update else 1
    critic_steps = schedule.read(critic_steps)
    if update == "simultaneous" and critic_steps != schedule.CriticSteps(1):
        raise ValueError(
            f"a simultaneous update has one critic step, not {critic_steps}; "
            "give update alternating too"
        )
    penalised = _penalties(settings.penalties, loss)
    scaled = _scaling(settings.scaling, loss)
    if any(name == "autoencoder" for name, _ in penalised) and not checked.decoder:
        raise ValueError(
            "penalty 'autoencoder' wants an architecture with a 'decoder', as "
            "li-mnist-32 has; choose such a one, or other penalties"
        )
    measured = _metrics(settings.metrics)
    return dataclasses.replace(
        settings,
        architecture=checked.to_dict(),
        loss_parameters=json.loads(json.dumps(loss.parameters)),
        penalties=penalised,
        scaling=scaled,
        augment=_augment(settings.augment, checked.sample),
        clip=loss.clip or 0.0 if settings.clip is None else settings.clip,
        update=update,
        critic_steps=str(critic_steps) if critic_steps.varies else critic_steps.usual,
        score=checked.score,
        size=size,
        workdir=settings.workdir or f"runs/{settings.name}-{settings.loss}",
        features=settings.features
        or ("points" if points else "mnistnet" if grey28 else "pixels"),
        metrics=measured,
        best=_best(settings.best, measured),
        lr_decay=_decay(settings.lr_decay, measured),
        on_nan=settings.on_nan
        if settings.on_nan == "stop"
        else _pair("way to go on", "rollback:0.5", settings.on_nan, _get_rollback),
    )


def make_decay(given: Any) -> ThreeSampleDecay | None:
    """What lowers the learning rates, from the resolved setting."""
    return None if given == "none" else _get_decay(given[0], **given[1])


def make_rollback(given: Any) -> Rollback | None:
    """What a run does where its numbers go bad, from the resolved setting."""
    return None if given == "stop" else _get_rollback(given[0], **given[1])


_ROLLBACKS = {"rollback": Rollback}


def _get_rollback(name: str, /, **parameters) -> Rollback:
    if name == "stop":
        raise ValueError("on_nan stop takes no number; leave it out")
    return make("way to go on", name, {"stop": None, **_ROLLBACKS}, parameters)


_DECAYS = {"three_sample": ThreeSampleDecay}


def _get_decay(name: str, /, **parameters) -> ThreeSampleDecay:
    return make("learning rate decay", name, _DECAYS, parameters)


def _decay(given: Any, measured: list[str]) -> Any:
    """The decay as a [name, parameters] pair, or none."""
    if given == "none":
        return "none"
    pair = _pair("learning rate decay", "three_sample:10", given, _get_decay)
    if "kid" not in measured:
        raise ValueError(
            "lr_decay follows the features of metric kid, and metrics is "
            f"{','.join(measured)}; add kid"
        )
    return pair


def _metrics(given: Any) -> list[str]:
    """The metrics as a list of names, all known."""
    if isinstance(given, str):
        return evaluate.read_names(given)
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"metrics is a list, as ['kid', 'fd'], not {show(given)}")
    for name in given:
        evaluate.metric(name)
    return list(given)


def _best(given: str | None, measured: list[str]) -> str:
    """The figure whose best step is kept: one of those that are measured."""
    figures = [f for name in measured for f in evaluate.metric(name).figures]
    figures = [f for f in figures if not evaluate.is_spread(f)]
    if given is not None:
        choose("best figure", given, dict.fromkeys(figures))
    return given or figures[0]


def _checked(key: str, value: Any) -> Any:
    """The value in its field's type, if it may stand there."""
    field = FIELDS[key]
    if value is None and field.default is None:
        return None
    kind = str(field.type).removesuffix(" | None")
    least = _LEAST.get(key, 1)
    if kind == "int" and (type(value) is not int or value < least):
        raise ValueError(f"{key} is a whole number from {least}, not {show(value)}")
    if kind == "float":
        below = 1 if key in _BELOW_1 else 1e9
        if type(value) not in (int, float) or not 0 <= value < below:
            also = " and below 1" if key in _BELOW_1 else ""
            raise ValueError(f"{key} is a number from 0{also}, not {show(value)}")
        return float(value)
    if kind == "bool" and type(value) is not bool:
        raise ValueError(f"{key} is true or false, not {show(value)}")
    if kind == "Mapping" and not isinstance(value, Mapping):
        raise ValueError(f"{key} is a dict, not {show(value)}")
    if kind == "str":
        if not isinstance(value, str) or not value:
            raise ValueError(f"{key} is a word, not {show(value)}")
        ending = field.metadata.get("ending")
        if "choices" in field.metadata and not (ending and value.endswith(ending)):
            choose(key, value, dict.fromkeys(field.metadata["choices"]()))
    return value


def _size(settings: Settings, sample: tuple[int, ...]) -> int | None:
    if len(sample) == 1:
        return None
    if sample[0] != sample[1]:
        raise ValueError(f"images are squares, and the architecture makes {sample}")
    if settings.size not in (None, sample[0]):
        raise ValueError(
            f"size {settings.size} does not fit the architecture, which makes images "
            f"of {sample[0]}; choose another architecture, or leave size out"
        )
    return sample[0]


def _penalties(given: Any, loss: losses.Loss) -> list:
    """The penalties as [name, parameters] pairs: given, or the loss's own."""
    given = loss.penalties if given is None else given
    if isinstance(given, str):
        given = [] if given == "none" else given.split(",")
    if not isinstance(given, list | tuple):
        raise ValueError(f"penalties is a list, as ['gp'], not {show(given)}")
    pairs = [_pair("penalty", "gp:10", item, penalties.get) for item in given]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"each penalty is given once, not {', '.join(names)}")
    return pairs


def _scaling(given: Any, loss: losses.Loss) -> Any:
    """The scaling as a [name, parameters] pair: given, or the loss's own; or none."""
    given = loss.scaling if given is None else given
    if given in (None, "none"):
        return "none"
    name, parameters = _pair("scaling", "smmd:10", given, scaling.get)
    scaling.get(name, **parameters).check(loss)
    return [name, parameters]


def _augment(given: Any, sample: tuple[int, ...]) -> Any:
    """The augmentation as a [name, parameters] pair, or none."""
    if given in (None, "none"):
        return "none"
    name, parameters = _pair("way to augment", "ada:0.2", given, augment.get)
    augment.get(name, **parameters).check(sample)
    return [name, parameters]


def _pair(what: str, example: str, given: Any, get: Callable) -> list:
    """[name, parameters] of "name", "name:number" or such a pair.

    The number is the first parameter; one that is a text is given as it is.
    """
    if isinstance(given, str):
        name, _, number = given.partition(":")
        first, default = next(iter(get(name).parameters.items()))
        try:
            read = int if number.isdigit() else float
            read = str if isinstance(default, str) else read
            given = name, {first: read(number)} if number else {}
        except ValueError:
            raise ValueError(
                f"a {what} is a name and a number, as in {example}, not {show(given)}"
            ) from None
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError(f"a {what} is a name or [name, parameters], not {show(given)}")
    name, parameters = given
    if not isinstance(parameters, Mapping):
        raise ValueError(f"parameters of a {what} are a dict, not {show(parameters)}")
    return [name, get(name, **parameters).parameters]


def _parts(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings, those that are dicts part by part."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{part}", inner) for part, inner in value.items())
        else:
            yield key, value
