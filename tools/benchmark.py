"""Times steps of training against what the machine can do, and against PyTorch.

Usage:

    python tools/benchmark.py                                 # dcgan-sn-32, loss rep
    python tools/benchmark.py sn-resnet-32 --loss=hinge --parts
    python tools/benchmark.py --torch                         # beside PyTorch's steps
    python tools/benchmark.py --batch=16,64,256 --precision=float32 --json=FILE
    python tools/benchmark.py --width=0.5,1,2 --score=16,64   # all that lists combine
    python tools/benchmark.py dcgan-sn-28 --fit               # a run's callbacks too

All is timed in one process and in turn, a round of everything after the other; shown
are medians. "images/s" counts the samples that a step reads, a batch for each update of
the discriminator. "G" counts 10^9 multiply-adds of products (`gantf.cost`), two
operations each, and "of matrix" is their rate over that of the product of two matrices
of 3072 x 3072 numbers of the same precision in the same rounds. "compile" is the first
step, replicas are logical devices of the CPU, or GPUs. --memory makes each pair in a
process of its own first: the most it takes there for two steps, beyond what TensorFlow
takes.

--parts times parts of the step by themselves, against the step: the generator and the
discriminator forward, the gradients of both less what is forward, power iterations
with the gradient of sigma, the loss with its gradient, both optimizers, and a batch of
the embedded images. They need not add up to it, for in a step TensorFlow does some at
the same time.

--torch needs PyTorch, and takes one case in one or both precisions. Its steps are those
of tools/torch_step.py, without torch.compile, and ratios are of the rounds: above 1,
gantf is faster.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import multiprocessing
import os
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from benchmark_cases import (
    Case,
    Pair,
    divide,
    fit_ratio,
    parts,
    peak,
    timed,
    until_done,
)

from gantf.gan import UPDATES
from gantf.settings import PRECISIONS

SIDE = 3072  # of the matrices: smaller ones are faster or slower from run to run
SHORTEST = 0.05  # seconds: what is shorter is done several times a round


def rounds(
    functions: dict[Any, Callable[[], None]], count: int
) -> dict[Any, list[float]]:
    """Seconds of each, in turn; before that each is called twice."""
    repeats = {}
    for name, function in functions.items():
        function()
        repeats[name] = max(1, round(SHORTEST / max(timed(function), 1e-6)))
    found = {name: [] for name in functions}
    for _ in range(count):
        for name, function in functions.items():
            found[name].append(timed(function, repeats[name]))
    return found


def matrices(precision: str) -> Callable[[], None]:
    """A product of two matrices."""
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    a, b = (tf.cast(tf.random.normal((SIDE, SIDE)), dtype) for _ in range(2))
    product = tf.function(lambda: tf.matmul(a, b))
    return until_done(lambda: product()[0, 0])


def torch_steps(pair: Pair) -> dict[tuple, Callable[[], None]]:
    """PyTorch's steps of the same nets: all updates in both precisions.

    They run in a process of their own, which waits while gantf runs: in one process
    the threads of the two libraries hold each other up.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    nets, batch = pair.settings.architecture, pair.real["image"].numpy()
    given = (there, nets, pair.case.loss, batch, pair.critic_steps)
    context.Process(target=serve_torch, args=given, daemon=True).start()
    there.close()  # so that its end is seen where it fails

    def heard():
        try:
            return here.recv()
        except EOFError:
            raise SystemExit("--torch: the process of PyTorch has failed") from None

    def step(key):
        here.send(key)
        heard()

    return {("torch", *key): functools.partial(step, key) for key in heard()}


def serve_torch(
    connection: Any, nets: Any, loss: str, batch: Any, critic_steps: int
) -> None:
    """Makes the steps that are asked for, each when it is."""
    import torch_step  # only here: PyTorch may be missing

    several = critic_steps > 1  # for these nothing is simultaneous
    keys = list(itertools.product(torch_step.UPDATES[several:], torch_step.PRECISIONS))
    steps = {key: torch_step.Step(nets, loss, *key, critic_steps) for key in keys}
    connection.send(keys)
    with contextlib.suppress(EOFError):  # the other end is closed
        while True:
            step = steps[connection.recv()]
            step(*[step.batch(batch)] * critic_steps)
            connection.send(None)


# ---- what is shown


def table(rows: list[list[str]]) -> str:
    """Rows in columns: the first to the left, numbers to the right."""
    widths = [
        max(map(len, column)) for column in itertools.zip_longest(*rows, fillvalue="")
    ]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        ).rstrip()
        for row in rows
    )


def results(pairs: list[Pair], seconds: dict[Any, list[float]]) -> list[dict]:
    """A dict of figures for each case."""
    found = []
    for pair in pairs:
        case, macs = pair.case, pair.macs()
        step = statistics.median(seconds["step", case])
        rate = [2 * SIDE**3 / s for s in seconds["matrix", case.precision]]
        of = [2 * macs / a / r for a, r in zip(seconds["step", case], rate)]
        found.append(
            {
                **dataclasses.asdict(case),
                "update": pair.settings.update,
                "ms": 1e3 * step,
                "images_per_s": case.batch * max(pair.critic_steps, 1) / step,
                "giga_macs": 1e-9 * macs,
                "gflops": 2e-9 * macs / step,
                "matrix_gflops": 1e-9 * statistics.median(rate),
                "of_matrix": statistics.median(of),
                "compile_s": pair.compile_s,
            }
        )
    return found


COLUMNS = {  # title -> the figure and how it is written
    "ms": ("ms", "{:,.1f}"),
    "images/s": ("images_per_s", "{:,.0f}"),
    "G": ("giga_macs", "{:,.1f}"),
    "GFLOP/s": ("gflops", "{:,.0f}"),
    "of matrix": ("of_matrix", "{:.2f}"),
    "compile s": ("compile_s", "{:.1f}"),
    "memory GB": ("memory_gb", "{:.2f}"),
}


def show_results(pairs: list[Pair], found: list[dict]) -> str:
    titles = name_cases([pair.case for pair in pairs])
    measured = {t: of for t, of in COLUMNS.items() if found[0][of[0]] is not None}
    rows = [["case", *measured]]
    for title, figures in zip(titles, found):
        cells = [form.format(figures[key]) for key, form in measured.values()]
        rows.append([title, *cells])
    return table(rows)


def shares(pair: Pair, seconds: dict[Any, list[float]]) -> dict[str, float]:
    """Of each part the share of the step: medians over the rounds."""
    steps = seconds["step", pair.case]
    times = {
        key[2]: value
        for key, value in seconds.items()
        if key[:2] == ("part", pair.case)
    }
    forward = zip(times["generator forward"], times["discriminator forward"])
    both = times.pop("both ways")
    times["both backward"] = [a - b - c for a, (b, c) in zip(both, forward)]
    return {
        name: statistics.median(a / b for a, b in zip(part, steps))
        for name, part in times.items()
    }


def ratios(pairs: list[Pair], seconds: dict[Any, list[float]]) -> dict[str, dict]:
    """The ms of PyTorch's steps, and for each case how often they are its own."""
    titles = name_cases([pair.case for pair in pairs])
    torch = {" ".join(key[1:]): of for key, of in seconds.items() if key[0] == "torch"}
    found = {"ms": {name: 1e3 * statistics.median(of) for name, of in torch.items()}}
    for title, pair in zip(titles, pairs):
        steps = seconds["step", pair.case]
        found[title] = {
            name: statistics.median(a / b for a, b in zip(of, steps))
            for name, of in torch.items()
        }
    return found


def name_cases(cases: list[Case]) -> list[str]:
    """What tells each from the others."""
    fields = [field.name for field in dataclasses.fields(Case)]
    told = [name for name in fields if len({getattr(c, name) for c in cases}) > 1]
    return [
        " ".join(_name(name, getattr(case, name)) for name in told or fields[:1])
        for case in cases
    ]


def _name(field: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{field} {value}"


def columns(title: str, found: dict[str, dict[str, float]], number: str) -> str:
    """A table with a column for each dict."""
    names = next(iter(found.values()))
    rows = [[title, *found]]
    rows += [
        [n, *(number.format(column[n]) for column in found.values())] for n in names
    ]
    return table(rows)


def machine() -> str:
    """The devices, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [
            tf.config.experimental.get_device_details(g)["device_name"] for g in gpus
        ]
        return ", ".join(names)
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    kinds = [
        flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in info
    ]
    return f"{os.cpu_count()} cores, {model and model[1]}, {kinds[:1]}"


def main() -> None:
    options = read_options()
    check_torch(options)
    divide(max(options.replicas))
    lists = {name: getattr(options, name) for name in LISTS}
    cases = [
        Case(update=options.update, **dict(zip(lists, values)))
        for values in itertools.product(*lists.values())
    ]
    memory = [peak(case) / 1e9 if options.memory else None for case in cases]
    pairs = [Pair(case) for case in cases]
    timed_ = {("step", pair.case): pair.step for pair in pairs}
    for precision in options.precision:
        timed_["matrix", precision] = matrices(precision)
    if options.parts:
        for pair in pairs:
            named = parts(pair).items()
            timed_ |= {("part", pair.case, name): part for name, part in named}
    if options.torch:
        timed_ |= torch_steps(pairs[0])
    seconds = rounds(timed_, options.rounds)

    found = {"machine": machine(), "cases": results(pairs, seconds)}
    for figures, taken in zip(found["cases"], memory):
        figures["memory_gb"] = taken
    print(found["machine"])
    print(show_results(pairs, found["cases"]))
    if options.parts:
        found["parts"] = [shares(pair, seconds) for pair in pairs]
        titles = name_cases(cases)
        print("\n" + columns("part", dict(zip(titles, found["parts"])), "{:.1%}"))
    if options.torch:
        found["torch"] = ratios(pairs, seconds)
        print("\n" + columns("PyTorch's step", found["torch"], "{:,.2f}"))
    if options.fit:
        with tempfile.TemporaryDirectory() as folder:
            found["fit"] = fit_ratio(pairs[0], Path(folder), 3)
        print(f"\n{name_cases(cases)[0]}: in a run a step is {found['fit']:.3f} bare")
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def check_torch(options: argparse.Namespace) -> None:
    """Ends the program where PyTorch has no step that is equal to gantf's."""
    lists = LISTS.keys() - {"precision"}
    several = any(len(getattr(options, name)) > 1 for name in lists)
    if options.torch and (
        several or options.score != [None] or options.replicas != [1]
    ):
        raise SystemExit(
            "--torch is for one case of one replica and of the score of its loss, in "
            "one or both precisions: drop the other lists, --score and --replicas"
        )


LISTS = {  # option -> what its values are
    "architecture": str,
    "loss": str,
    "precision": str,
    "batch": int,
    "width": float,
    "score": int,
    "replicas": int,
}


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def values(kind):
        return lambda text: [kind(value) for value in text.split(",")]

    add = parser.add_argument
    add("architecture", nargs="?", type=values(str), default=["dcgan-sn-32"])
    add("--precision", type=values(str), default=list(PRECISIONS))
    add("--batch", type=values(int), default=[64])
    add("--width", type=values(float), default=[1.0], help="times the channels")
    add("--score", type=values(int), default=[None])
    add("--replicas", type=values(int), default=[1])
    add("--loss", type=values(str), default=["rep"])
    add("--update", choices=UPDATES, help="by default the loss's")
    add("--rounds", type=int, default=7)
    add("--parts", action="store_true", help="where the time of a step goes")
    add("--torch", action="store_true", help="beside equal steps of PyTorch")
    add("--fit", action="store_true", help="what callbacks and input add to a step")
    add("--memory", action="store_true", help="in processes of their own")
    add("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
