"""Trains the same on one device, on two, and as two workers, and compares all numbers.

Usage:

    python tools/compare_devices.py                      # the whole matrix
    python tools/compare_devices.py --only=rep,float32   # names with all these words
    python tools/compare_devices.py --layouts=mirrored --steps=20
    python tools/compare_devices.py --list

"one" is one CPU device, "mirrored" two logical ones under MirroredStrategy, "workers"
two processes of a device each under MultiWorkerMirroredStrategy. All have the same
global batch, and each trains every configuration by itself; compared with those of
"one" are all that is logged at each of the steps ("losses") and all variables of nets,
memory and optimizers after them, on each replica ("weights").

Several devices sum in another order, which changes numbers by a rounding, and what
training makes of a rounding differs from one configuration to the next. So it is
measured: "one" trains DRAWS more times, with all weights moved up or down at random,
before the first step by a rounding of the nets' precision, which for mixed_bfloat16 is
2^-9 of each, and after each step by one of float32. With d the largest change that
this makes of any number, and m the largest number, two layouts agree where they differ
by at most

    FACTOR (d + 2^-24 m).

The roundings of a layout are of this size, but are made within the step, and those of
bfloat16 at each one; and the largest of a few draws is no bound: hence FACTOR. Found
were up to 1.1 of them, and where it must differ 12 in mixed_bfloat16 and 60000 in
float32 at least; FACTOR lies between.

Activations are smooth: where a relu passes 0 in one layout only, a slope changes by
more than any rounding, and d would tell of nothing else.

Configurations that say "each" are broken on purpose, and must differ. The exit status
is 1 where something is not as it should be.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import gantf
from gantf import losses, penalties, scaling
from gantf.inputs import all_layers
from gantf.replicas import get_strategy

DRAWS, FACTOR = 3, 4
BATCH, BATCHES, CLASSES = 16, 4, 3
RATE = 0.01  # of both optimizers
UPDATES = {
    "simultaneous": {"update": "simultaneous"},
    "alternating": {"update": "alternating", "critic_steps": "1,more=2,first=1"},
}
# What a rounding changes; in float32 a product with less than 1 + 2^-23 is none.
ROUNDINGS = {"float32": 2.0**-23, "mixed_bfloat16": 2.0**-9}
PRECISIONS = list(ROUNDINGS)
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(RATE),
    "adam": lambda: keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999),
}
_SMALL = {
    "latent": "normal-8",
    "sample": "8x8x3",
    "generator": "dense-4x4x8-bn-elu tconv4-3-s2-tanh",
    "discriminator": "conv4-8-s2-sn-elu flatten dense-4-sn",
}
NETS = {
    "small": _SMALL,
    "normed": _SMALL
    | {"discriminator": "conv3-4-sn-elu conv4-8-s2-bn-elu flatten dense-4-sn2"},
    "decoded": _SMALL | {"decoder": "dense-8x8x2-bn-elu conv3-3-tanh"},
    "gains": _SMALL
    | {
        "generator": "dense-8x8x4-sn-gain-elu conv3-3-sn-tanh",
        "discriminator": "conv4-8-s2-sn-gain-elu mbstd4 flatten dense-4-sn2-gain",
    },
    "conditional": _SMALL
    | {
        "classes": CLASSES,
        "generator": "dense-4x4x8 res3-8-up2-cbn-elu conv3-3-ck-tanh",
        "discriminator": "stem3-8-down2-sn-elu attn4-sn res3-8-sn2-gain-elu gsum "
        "dense-4-sn-proj",
    },
}
_PENALISED = {  # penalty -> the loss that has it here
    "gp": "wasserstein",
    "witness_gp": "rep",
    "cramer_gp": "cramer",
    "dragan": "logistic",
    "r1": "logistic",
    "r2": "hinge",
    "sobolev": "wasserstein",
    "feature_l2": "mmd_g",
    "kernel_l2": "lsgan",
    "autoencoder": "rmb",
}
_SCALED = {
    "smmd": "mmd_g",
    "smmd_exact": "mmd",
    "swgan": "wasserstein",
    "slope": "rmb",
    "gcmmd": "gcmmd",
}
_ALL = {
    "loss": "mmd_g_mix",
    "penalties": ["witness_gp", "sobolev"],
    "scaling": "smmd",
    "gradient_clip": 0.05,
    "clip": 0.2,
    "augment": "diffaugment",
}
_AUGMENTS = {
    "diffaugment": "diffaugment",
    "ada": ("ada", {"ramp": 200, "every": 1, "target": 0.0}),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration: what `gantf.GAN` is given, and how."""

    title: str
    update: str
    precision: str
    settings: dict
    net: str = "small"
    optimizer: str = "sgd"
    broken: str = "nothing"

    @property
    def name(self) -> str:
        return f"{self.title} {self.update} {self.precision}"


def cases() -> list[Case]:
    """All configurations: those of a title have all updates and precisions."""
    found = []
    for number, (title, settings, net, *others) in enumerate(_titles()):
        updates = [settings.pop("update")] if "update" in settings else UPDATES
        for update in updates:
            turn = number + (update == "alternating")
            precision = PRECISIONS[turn % 2]
            found.append(Case(title, update, precision, settings, net, *others))
    return found


def case(name: str) -> Case:
    """That of a title, with the update and the precision that the name ends with."""
    title, update, precision = name.rsplit(" ", 2)
    found = {case.title: case for case in cases()}[title]
    return dataclasses.replace(found, update=update, precision=precision)


def _titles():
    for name in penalties.names():
        net = "decoded" if name == "autoencoder" else "normed"
        given = {"loss": _PENALISED[name], "penalties": [name]}
        yield f"penalty {name}", given, net
    for name in scaling.names():
        given = {"loss": _SCALED[name], "scaling": name, "penalties": ()}
        yield f"scaling {name}", given, "small"
    for name, augment in _AUGMENTS.items():
        yield f"augment {name}", {"loss": "rep", "augment": augment}, "small"
    for name in ("normed", "gains", "conditional"):
        yield f"net {name}", {"loss": "rmb"}, name
    yield "clips", {"loss": "hinge", "gradient_clip": 0.05, "clip": 0.05}, "normed"
    yield "all at once", _ALL, "small"
    yield "no average", {"loss": "rep", "ema": 0.0}, "small"
    for loss in ("rep", "hinge"):
        yield f"adam {loss}", {"loss": loss}, "normed", "adam"
    for broken in list(BREAKS)[1:]:
        for loss in ("rep", "rmb"):
            yield f"{broken} {loss}", {"loss": loss}, "normed", "sgd", broken
    seen = set()
    for name in losses.names():
        loss = losses.get(name)
        again = {"update": loss.update} if type(loss) in seen else {}
        seen.add(type(loss))
        net = "decoded" if "autoencoder" in dict(loss.penalties) else "small"
        yield f"loss {name}", {"loss": name, **again}, net


@contextlib.contextmanager
def _own_statistics(gan):
    """Batch norm that is not synchronised."""
    for net in (gan.generator, gan.discriminator):
        for layer in all_layers(net):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = False
    yield


BREAKS = {
    "nothing": contextlib.nullcontext,
    "loss of each share": lambda _: mock.patch("gantf.gan.gather", lambda rows: rows),
    "batch norm of each share": _own_statistics,
}


# ---- a process of a layout


def two_devices() -> tf.distribute.Strategy:
    """A mirrored strategy of two logical devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


LAYOUTS = {
    "one": lambda: get_strategy("one"),
    "mirrored": two_devices,
    "workers": lambda: get_strategy("multiworker"),
}


def run(layout: str, index: int, folder: Path, steps: int, names: list[str]) -> None:
    """Trains configurations one by one, and writes what each gave to the folder."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # One order of sums in each run of a layout.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = LAYOUTS[layout]()
    for name in names:
        print(name, flush=True)
        keras.backend.clear_session()
        start = time.perf_counter()
        results = list(_results(case(name), strategy, steps))
        seconds = time.perf_counter() - start
        for number, result in enumerate(results):
            path = _path(folder, layout, name, index + number)
            np.savez(path.with_suffix(".part.npz"), seconds=seconds, **result)
            os.replace(path.with_suffix(".part.npz"), path)


def _end_with_parent():
    """The pipe to the parent is closed when it ends, however it ends."""
    os.read(0, 1)
    os._exit(1)


def _results(case, strategy, steps):
    """What training gives on each replica here; of "one", what it gives when shaken."""
    with strategy.scope():
        gan = _make(case)
    before = [np.array(value) for value in _values(gan, 0)]
    log = _Log()
    with BREAKS[case.broken](gan):
        _fit(gan, steps, log)
        copies = len(strategy.experimental_local_results(gan.weights[0].value))
        for replica in range(copies):
            yield _named(gan, log, replica)
        if strategy.num_replicas_in_sync > 1:
            return
        for draw in range(DRAWS):
            for variable, value in zip(_variables(gan), before):
                variable.assign(value)
            log = _Log()
            _fit(gan, steps, log, _Shake(draw, case.precision))
            yield _named(gan, log, 0)


def _make(case):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(case.precision)
    words = NETS[case.net]
    width = losses.get(case.settings["loss"]).score_dim
    nets = gantf.build_pair(words, score=width)
    decoder = gantf.builder.build_decoder(words, width) if "decoder" in words else None
    settings = {"ema": 0.9, **UPDATES[case.update], **case.settings}
    classes = words.get("classes", 0)
    gan = gantf.GAN(*nets, decoder=decoder, classes=classes, seed=3, **settings)
    gan.compile(OPTIMIZERS[case.optimizer](), OPTIMIZERS[case.optimizer]())
    return gan


def _fit(gan, steps, *callbacks):
    n = BATCH * BATCHES
    images = np.tanh(np.random.RandomState(0).randn(n, 8, 8, 3)).astype("float32")
    labels = (np.arange(n) * 5 % CLASSES).astype("int32")
    samples = {"image": images, "label": labels} if gan.classes else images
    data = tf.data.Dataset.from_tensor_slices(samples)
    data = data.batch(BATCH, drop_remainder=True).repeat()
    gan.fit(data, steps_per_epoch=steps, verbose=0, callbacks=list(callbacks))


class _Log(keras.callbacks.Callback):
    """Keeps what is logged at each step."""

    def on_train_begin(self, logs=None):
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append({name: float(value) for name, value in logs.items()})


class _Shake(keras.callbacks.Callback):
    """Moves all weights by one rounding, up or down: see the module."""

    def __init__(self, seed, precision):
        super().__init__()
        self.random, self.first = np.random.RandomState(seed), ROUNDINGS[precision]

    def on_train_begin(self, logs=None):
        self._move(self.first)

    def on_train_batch_end(self, batch, logs=None):
        self._move(ROUNDINGS["float32"])

    def _move(self, change):
        for variable in self.model.weights:
            value = np.array(variable.value)
            signs = self.random.choice([-1.0, 1.0], value.shape)
            variable.assign(value * (1.0 + signs * change))


def _variables(gan):
    optimizers = gan.generator_optimizer, gan.discriminator_optimizer
    return [*gan.weights, *(v for optimizer in optimizers for v in optimizer.variables)]


def _values(gan, replica):
    local = gan.distribute_strategy.experimental_local_results
    return [local(variable.value)[replica] for variable in _variables(gan)]


def _named(gan, log, replica):
    """Losses (steps,) and weights, by names that all layouts have."""
    logged = {
        f"losses {name}": np.array([step[name] for step in log.steps])
        for name in log.steps[0]
    }
    values = zip(_variables(gan), _values(gan, replica))
    return logged | {
        f"weights {number} {variable.name}": np.array(value)
        for number, (variable, value) in enumerate(values)
    }


def _path(folder, layout, name, number):
    return folder / f"{layout} {name} {number}.npz"


# ---- the process that compares


class Layout:
    """The processes of a layout, which go through configurations by themselves.

    Args:
      name: of the layout.
      names: of the configurations.
      folder: where they write to.
      steps: of each configuration.
      patience: seconds that a configuration, or the start, may take.
    """

    def __init__(
        self, name: str, names: list[str], folder: Path, steps: int, patience: float
    ):
        self.name, self.names, self.folder = name, list(names), folder
        self.steps, self.patience = steps, patience
        self.processes = []

    def start(self) -> None:
        """Starts the processes on what is left to do."""
        count = 2 if self.name == "workers" else 1
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
        self.heard = time.time()
        for index in range(count):
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
            task = {"type": "worker", "index": index}
            if count > 1:
                cluster = {"cluster": {"worker": addresses}, "task": task}
                environment["TF_CONFIG"] = json.dumps(cluster)
            role = f"--role={self.name},{index},{self.steps},{self.folder}"
            with self.log(index).open("w") as log:
                process = subprocess.Popen(
                    [sys.executable, __file__, role, "--names", *self.names],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self.processes.append(process)

    def log(self, index: int) -> Path:
        """What a process printed."""
        return self.folder / f"{self.name} {index}.log"

    def results(self, name: str) -> list[dict]:
        """What each replica, or each draw, gave of the next configuration.

        Raises:
          RuntimeError: a process that ended or was silent too long; all are killed,
            and begin anew with what is left.
        """
        if not self.processes:
            self.start()
        count = 1 + DRAWS if self.name == "one" else 2
        paths = [_path(self.folder, self.name, name, i) for i in range(count)]
        self.names.remove(name)
        while not all(path.exists() for path in paths):
            ended = [p for p in self.processes if p.poll()]
            if ended or time.time() - self.heard > self.patience:
                index = self.processes.index(ended[0]) if ended else 0
                how = "ended" if ended else f"silent for {self.patience:g} s"
                self.kill()
                said = self.log(index).read_text().strip().splitlines()
                raise RuntimeError(f"process {index} {how}: {' / '.join(said[-4:])}")
            time.sleep(0.05)
        self.heard = max(path.stat().st_mtime for path in paths)
        return [dict(np.load(path, allow_pickle=False)) for path in paths]

    def kill(self) -> None:
        """Ends the processes and all that they started."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdin.close()
        self.processes = []


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@dataclasses.dataclass(frozen=True)
class Row:
    """A configuration on a layout, beside "one".

    Attributes:
      differences, units: the largest difference of losses and of weights, and what a
        rounding makes, d + 2^-24 m.
      seconds: that the layout took.
      failed: why there are no numbers.
    """

    case: Case
    layout: str
    differences: tuple[float, float] = (np.inf, np.inf)
    units: tuple[float, float] = (1.0, 1.0)
    seconds: float = 0.0
    failed: str = ""

    @property
    def ratio(self) -> float:
        """The larger of both differences, in units."""
        return max(a / b for a, b in zip(self.differences, self.units))

    @property
    def right(self) -> bool:
        """Whether it agrees, or differs as it must."""
        must_agree = self.case.broken == "nothing"
        return not self.failed and (self.ratio <= FACTOR) == must_agree

    @property
    def verdict(self) -> str:
        if self.failed:
            return f"failed: {self.failed}"
        agrees = "agrees" if self.ratio <= FACTOR else "differs"
        must = ", as it must" if self.right and agrees == "differs" else ""
        return agrees + (must if self.right else ": WRONG")


def compare(chosen: list[Case], layouts: list[str], steps: int, patience: float):
    """Yields the rows of all configurations on these layouts.

    Args:
      chosen: the configurations.
      layouts: those that are compared with "one".
      steps: of each configuration.
      patience: seconds that a configuration, or the start, may take.
    """
    names = [case.name for case in chosen]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running = {}
        for name in ("one", *layouts):
            running[name] = Layout(name, names, Path(folder), steps, patience)
            stack.callback(running[name].kill)
            running[name].start()
        for case in chosen:
            found, failed = {}, {}
            for name, layout in running.items():
                try:
                    found[name] = layout.results(case.name)
                except RuntimeError as error:
                    failed[name] = str(error)
            for name in layouts:
                if name in found and "one" in found:
                    yield _row(case, name, found["one"], found[name])
                else:
                    why = failed.get(name) or f"one: {failed['one']}"
                    yield Row(case, name, failed=why)


def _row(case, layout, one, several):
    base, *shaken = one
    measured = []
    for kind in ("losses", "weights"):
        size = _largest(base, None, kind)
        change = max(_largest(base, other, kind) for other in shaken)
        difference = max(_largest(base, other, kind) for other in several)
        measured.append((difference, change + 2.0**-24 * size))
    differences, units = zip(*measured)
    seconds = float(several[0]["seconds"])
    finite = all(np.isfinite(value).all() for value in base.values())
    failed = "" if finite else "one: numbers that are not finite"
    return Row(case, layout, differences, units, seconds, failed)


def _largest(base, other, kind):
    """The largest number of a kind, or its largest difference to that of another."""
    if other is not None and base.keys() != other.keys():
        raise ValueError(f"other names: {sorted(base.keys() ^ other.keys())}")
    sizes = [
        np.max(np.abs(value - (0 if other is None else other[name])))
        for name, value in base.items()
        if name.startswith(kind)
    ]
    return float(np.nan_to_num(np.max(sizes), nan=np.inf))


HEAD = (
    f"{'configuration':58} {'layout':8}  {'losses':>8} {'bound':>8}  {'weights':>8} "
    f"{'bound':>8} {'units':>8} {'s':>5}  verdict"
)


def _line(row):
    numbers = "  ".join(
        f"{difference:8.1e} {FACTOR * unit:8.1e}"
        for difference, unit in zip(row.differences, row.units)
    )
    return (
        f"{row.case.name:58} {row.layout:8}  {numbers} {row.ratio:8.2g} "
        f"{row.seconds:5.1f}  {row.verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", default="", help="words, with commas, that names must have")
    add("--layouts", default="mirrored,workers", help="to compare with one device")
    add("--steps", type=int, default=50)
    add("--patience", type=float, default=180, help="seconds for a configuration")
    add("--list", action="store_true", help="names the configurations")
    add("--role", help=argparse.SUPPRESS)  # of the processes that this one starts
    add("--names", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        layout, index, steps, folder = options.role.split(",", 3)
        return run(layout, int(index), Path(folder), int(steps), options.names)
    words = set(filter(None, options.only.split(",")))
    chosen = [case for case in cases() if words <= set(case.name.split())]
    if not chosen:
        sys.exit(f"no configuration has all of {', '.join(words)}; see --list")
    if options.list:
        return print(*(case.name for case in chosen), sep="\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    layouts = options.layouts.split(",")
    start, rows = time.perf_counter(), []
    print(HEAD, flush=True)
    for row in compare(chosen, layouts, options.steps, options.patience):
        print(_line(row), flush=True)
        rows.append(row)
    wrong = sum(not row.right for row in rows)
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{len(chosen)} configurations, {len(rows)} comparisons, {wrong} wrong; "
        f"{minutes:.1f} minutes"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
