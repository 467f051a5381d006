"""One page of a run: its figures, curves and pictures, each with how to read it.

    RUN/report.html     the page, all in one file
    RUN/curves.png      losses, evaluations and learning rates
    RUN/samples.gif     the samples of the same latents over the steps

What cannot be made, since the run stopped early, a file is torn or the data is on
another machine, is left out, and the page says why.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantf import (
    architecture,
    checkpoints,
    experiment,
    features,
    monitors,
    page,
    pictures,
    plots,
    shapes,
)
from gantf.builder import precision
from gantf.evaluate import higher_is_better
from gantf.files import whole
from gantf.runs import FAKE, Run, as_dict, flat, read_json

_ROWS = 8  # of generated samples beside real ones
_FRAMES = 60  # of a film, at most
_NETS = ("generator", "discriminator", "decoder")
_READ = {  # first word of a figure -> what it is
    "kid": "kernel distance of features, unbiased: where they agree, around 0",
    "fd": "Frechet distance of Gaussians fitted to features; few samples raise it",
    "fid": "Frechet Inception distance; few samples raise it",
    "mmd": "squared maximum mean discrepancy of features, unbiased",
    "is": "how sure a classifier is of samples, and how many classes it finds",
    "precision": "share of generated samples that lie among real ones",
    "recall": "share of real samples that lie among generated ones",
    "density": "real samples around generated ones; 1 where they agree",
    "coverage": "share of real samples with a generated one beside them",
    "swd": "sliced Wasserstein distance of patches",
}


def write(folder: str | Path, out: str | Path | None = None) -> Path:
    """Makes the page of a run, finished or not, and its curves.png and samples.gif.

    Args:
      folder: of the run.
      out: the file; by default report.html in the folder.

    Returns:
      The file.

    Raises:
      ValueError: a folder of no run.
    """
    run = Run(Path(folder))
    parts = [_head(run)]
    for title, words, make in _SECTIONS:
        made = _made(make, run)
        if made:
            parts.append(page.section(title, words, made))
    path = Path(out) if out else run.folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        unfinished.write_text(page.document(_name(run), parts), "utf-8")
    return path


def _made(make: Callable[[Run], Iterator[str]], run: Run) -> list[str]:
    """The parts that can be made, and a line on why there are no more."""
    parts = []
    try:
        parts.extend(make(run))
    except Exception as error:  # whatever torn files make readers raise
        words = str(error).strip().partition("\n")[0] or type(error).__name__
        parts.append(page.missing(f"Left out: {words}"))
    return parts


def _name(run: Run) -> str:
    return str(run.stored.get("name", run.folder.name))


# Head


def _head(run: Run) -> str:
    stored = run.stored
    net = as_dict(stored.get("architecture"))
    versions, commit = as_dict(run.about.get("versions")), run.about.get("commit")
    rates = " and ".join(str(stored.get(f"{name}_lr")) for name in _NETS[:2])
    facts = {
        "data": f"{stored.get('data')}, samples of {net.get('sample')}",
        "loss": _loss(stored),
        "updates": f"{stored.get('update')}, batches of {stored.get('batch_size')}, "
        f"{stored.get('optimizer')} at rates {rates}, seed {stored.get('seed')}",
        "steps": f"{run.step} of {stored.get('steps')}, written {_when(run)}",
        "gantf": f"{versions.get('gantf')}, commit {commit or 'unknown'}",
        "net": net.get("reference"),
        "latent": net.get("latent"),
        **{name: net.get(name) for name in _NETS},
    }
    return "\n".join(
        [
            page.heading(_name(run), f"{_loss(stored)} on {stored.get('data')}"),
            page.table([(name, words) for name, words in facts.items() if words]),
            page.details("layers, shapes and parameters", _made(_layers, run)),
        ]
    )


def _loss(stored: Mapping[str, Any]) -> str:
    """The loss with its penalties and scaling, by their names."""
    penalties = stored.get("penalties")
    pairs = penalties if isinstance(penalties, list) else []
    pairs = [pair for pair in (*pairs, stored.get("scaling")) if isinstance(pair, list)]
    names = [str(pair[0]) for pair in pairs if pair]
    return " + ".join([str(stored.get("loss")), *names])


def _when(run: Run) -> str:
    """The time of the youngest file of figures or settings."""
    paths = [run.folder / name for name in ("settings.json", "metrics.csv")]
    last = max(path.stat().st_mtime for path in paths if path.exists())
    return datetime.datetime.fromtimestamp(last).strftime("%Y-%m-%d %H:%M")


def _layers(run: Run) -> Iterator[str]:
    checked = architecture.read(run.stored["architecture"])
    for name, (net, shape) in checked.nets.items():
        yield page.paragraph(name)
        yield page.verbatim(shapes.table(net, shape, checked.classes))


# Sections


def _samples(run: Run) -> Iterator[str]:
    if not run.pictures:
        raise ValueError("there are no pictures of samples yet")
    steps = list(run.pictures)
    shown = [_file(run.pictures[steps[-1]], f"step {steps[-1]}", run)]
    frames = _frames(run)
    if len(frames) > 1:
        fps = min(max(len(frames) / 6, 2), 10)
        path = plots.save_gif(run.folder / "samples.gif", frames, fps)
        shown.append(_file(path, f"steps {steps[0]} to {steps[-1]}, samples.gif", run))
    yield page.row(shown)


def _file(path: Path, words: str, run: Run) -> str:
    return page.picture(path.read_bytes(), words, 500, run.of_images)


def _frames(run: Run) -> list[np.ndarray]:
    """The pictures that can be read and are of one size, with their steps on them."""
    frames, steps = [], list(run.pictures)
    for i in pictures.evenly(len(steps), _FRAMES):
        try:
            with Image.open(run.pictures[steps[i]]) as image:
                picture = np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError):  # Pillow's, of torn files
            continue
        frames.append(pictures.frame(picture, f"step {steps[i]}"))
    return [frame for frame in frames if frame.shape == frames[-1].shape]


def _figures(run: Run) -> Iterator[str]:
    if not run.figures:
        raise ValueError("there is no evaluation yet")
    head = ("figure", "value", "±", "better is", "best", "at step", "what it is")
    yield page.table([_figure(run, name) for name in run.figures], head)
    if "step" in run.scores:
        yield page.paragraph(f"These are the figures of step {run.scores['step']}.")
    if best := read_json(run.folder / "best.json"):
        yield page.paragraph(
            f"best.keras is the generator of step {best.get('step')}, where "
            f"{best.get('figure')} was {best.get('value')}."
        )
    for note in run.scores.get("notes") or []:
        yield page.paragraph(f"Note: {note}.")
    history = [
        (step, *(dict(run.column(name)).get(step) for name in run.figures))
        for step in dict(pair for name in run.figures for pair in run.column(name))
    ]
    if history:
        table = page.table(history, ("step", *run.figures))
        yield page.details(f"all {len(history)} evaluations", [table])
    protocol = as_dict(run.scores.get("protocol"))
    if protocol:
        yield page.paragraph("Protocol: what was compared with what, and how.")
        yield page.table([(_words(keys), text) for keys, text in flat(protocol)])


def _figure(run: Run, name: str) -> list[Any]:
    """The row of a figure in the table."""
    row = [name, *(run.latest(n) for n in (name, run.figures[name]))]
    kind = re.split("[_:]", name)[0]
    if kind not in _READ:
        return [*row, "", None, None, ""]
    higher = higher_is_better(name)
    step, value = run.best(name, higher)
    return [*row, "higher" if higher else "lower", value, step, _READ[kind]]


_PROTOCOL = {  # key -> what it is
    "features": "feature network",
    "sha256": "SHA-256 of its weights",
    "weights": "its weights",
    "resize": "images resized to",
    "n": "samples",
    "n_real": "real samples",
    "n_fake": "generated samples",
    "of": "out of",
    "content": "SHA-256 of the samples",
    "ema": "decay of the running average",
    "kid": "kernel distance",
    "fd": "Frechet distance",
    "is": "Inception score",
    "pr": "precision and recall",
    "dc": "density and coverage",
}


def _words(keys: tuple[str, ...]) -> str:
    """The keys of a protocol in words."""
    return ": ".join(_PROTOCOL.get(key, key.replace("_", " ")) for key in keys)


def _curves(run: Run) -> Iterator[str]:
    losses = {net: run.column(f"{net}_loss") for net in _NETS[:2]}
    if not any(losses.values()):
        raise ValueError("metrics.csv has no losses yet")
    figures = {name: _banded(run, name) for name in run.figures}
    rates = {net: run.column(f"learning_rate/{net}") for net in _NETS[:2]}
    picture = pictures.history(
        losses,
        {name: pairs for name, pairs in figures.items() if pairs},
        {net: pairs for net, pairs in rates.items() if pairs},
    )
    path = plots.save_png(run.folder / "curves.png", picture)
    yield page.picture(path.read_bytes(), "curves.png", crisp=False)


def _banded(run: Run, name: str) -> list[tuple[float, ...]]:
    """The (step, value) pairs of a figure, or with its spread."""
    pairs, spread = run.column(name), dict(run.column(run.figures[name] or ""))
    if not spread:
        return pairs
    return [(step, value, spread.get(step, 0.0)) for step, value in pairs]


def _between(run: Run) -> Iterator[str]:
    if not run.of_images:
        return
    made = {
        "from left to right": pictures.interpolation(run.sampler),
        "between four latents, at the corners": pictures.corners(run.sampler),
    }
    yield page.row(
        page.picture(plots.to_png(picture), words, 700)
        for words, picture in made.items()
    )


def _neighbours(run: Run) -> Iterator[str]:
    if not run.of_images:
        return
    real, _ = run.real
    fake = plots.to_uint8(run.fake[0])
    network = features.get(run.settings.features, run.settings.feature_weights)
    of_fake, of_real = (network(images)["features"] for images in (fake, real))
    held = min(FAKE, len(real) // 2)  # these are compared as the generated ones are
    others, of_others = real[held:], of_real[held:]
    shown = pictures.neighbours(fake[:_ROWS], of_fake[:_ROWS], others, of_others)
    words = f"a generated sample, then the nearest of {len(others)} training images"
    compared = {"generated samples": of_fake, "other training images": of_real[:held]}
    medians = [
        (name, float(np.median(pictures.nearest(rows, of_others, 1)[1])))
        for name, rows in compared.items()
    ]
    told = page.paragraph(f"Median distance to the nearest one ({network.name}):")
    shown = page.picture(plots.to_png(shown), words, 600)
    yield page.row([shown, told + page.table(medians)])


def _spectrum(run: Run) -> Iterator[str]:
    if not run.of_images:
        return
    picture = pictures.spectrum(run.real[0][:FAKE], plots.to_uint8(run.fake[0]))
    words = f"mean over {min(FAKE, len(run.real[0]))} real and {FAKE} generated images"
    yield page.picture(plots.to_png(picture), words, crisp=False)


def _scores(run: Run) -> Iterator[str]:
    found = checkpoints.of_run(run.folder)
    if not found:
        raise ValueError("there is no checkpoint yet")
    (real, real_labels), (fake, fake_labels) = run.real, run.fake
    real = real[:FAKE] / np.float32(127.5) - 1 if run.of_images else real[:FAKE]
    labels = None if real_labels is None else real_labels[:FAKE]
    with precision(run.settings.precision):
        gan = experiment.make_gan(run.settings)
    gan.load_weights(found[-1])
    net = gan.discriminator
    scores = [
        monitors.scores(net, *given) for given in ((real, labels), (fake, fake_labels))
    ]
    width = scores[0].shape[1]
    words = (
        f"scores of {len(real)} real and {len(fake)} generated samples, "
        f"{'one number' if width == 1 else f'{width} numbers'} each"
    )
    yield page.picture(plots.to_png(pictures.pca(*scores)), words, crisp=False)


def _settings(run: Run) -> Iterator[str]:
    told = run.stored | {"versions": run.about.get("versions")}
    yield page.table([(": ".join(keys), text) for keys, text in flat(told)])


# title, how to read it, what makes its parts; none where it makes no sense
_SECTIONS = (
    (
        "Samples",
        "Left, what the generator makes at the last step; right, what it made of the "
        "same latents before. Many alike mean that it has collapsed.",
        _samples,
    ),
    (
        "Figures",
        "Compare a figure only with one of the same protocol: the same features, data, "
        "split and numbers of samples.",
        _figures,
    ),
    (
        "Curves",
        "Thin lines are single steps, thick ones their running means. The losses of a "
        "GAN do not fall as it gets better; the figures tell. Bands are one standard "
        "deviation, or error, wide to each side.",
        _curves,
    ),
    (
        "Between latents",
        "Samples on the way from one latent to another. Smooth changes are good; "
        "sudden jumps between unchanging samples mean a few samples learnt by heart.",
        _between,
    ),
    (
        "Nearest training images",
        "In the feature space of the figures. The rows should show relatives, no "
        "twins: if generated samples lie much nearer to training images than other "
        "training images do, they are copies of them, or blurs.",
        _neighbours,
    ),
    (
        "Frequencies",
        "Coarse structure is at the left of the curves and in the middle of the maps, "
        "fine detail at the right and outside. Bright points of the generated map that "
        "the real one lacks are grids left by transposed convolutions; a curve that "
        "ends below the real one means blur, above it noise.",
        _spectrum,
    ),
    (
        "Scores",
        "What the discriminator says of both. Apart, it tells them from each other; "
        "one cloud, it cannot, or has collapsed.",
        _scores,
    ),
    ("Settings", "With these the run can be made again.", _settings),
)
