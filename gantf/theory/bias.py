"""The bias experiments of Demystifying MMD GANs: figures and pictures.

Binkowski, Sutherland, Arbel, Gretton, ICLR 2018. What is drawn is computed in
`gantf.theory.critics` and `gantf.theory.scores`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gantf import metrics, plots
from gantf.theory import critics, scores

_REVERSAL = 100  # m, samples of N(0, 1) and N(0, (1 - 1/m)^2), scored by FID to N(0, 1)


def run(
    folder: Path | str,
    *,
    critic_sizes: list[int],
    mixture_sizes: list[int],
    kernel: str,
    batch_sizes: list[int],
    dimension: int,
    fid_sizes: list[int],
    kid_sizes: list[int],
    rows: int,
    seed: int,
) -> dict[str, float]:
    """Draws critics.png and scores.png into the folder; gives figures by name.

    Args:
      folder: for the pictures.
      critic_sizes: samples of each law that a critic learns from.
      mixture_sizes: samples of a mixture of two points.
      kernel: of the minibatches' gradients.
      batch_sizes: rows of a minibatch, from 2; all are enumerated, so best below 20.
      dimension: of the laws that FID and KID compare.
      fid_sizes, kid_sizes: samples of each of them, from 2.
      rows: drawn for every mean of a score, see `scores.spread`.
      seed: of the fixed critic, the laws and their samples.

    Raises:
      ValueError: no sizes, or too small ones; an unknown kernel.
    """
    numbers = {
        "critic_sizes": (critic_sizes, 1),
        "mixture_sizes": (mixture_sizes, 1),
        "batch_sizes": (batch_sizes, 2),
        "dimension": ([dimension], 2),
        "fid_sizes": (fid_sizes, 2),
        "kid_sizes": (kid_sizes, 2),
        "rows": ([rows], 2),
    }
    for name, (given, least) in numbers.items():
        if not given or min(given) < least:
            shown = ", ".join(map(str, given)) or "none"
            raise ValueError(f"{name}: whole numbers from {least}, not {shown}")
    figure = plots.new_figure(12, 9.5)
    axes = figure.subplots(2, 2).ravel()
    found = {
        **_draw_distances(axes[0], critic_sizes),
        **_draw_slopes(axes[1], critic_sizes),
        **_draw_mixtures(axes[2], mixture_sizes),
        **_draw_gradients(axes[3], kernel, batch_sizes, seed),
    }
    plots.save_png(Path(folder) / "critics.png", plots.render(figure))

    random = np.random.default_rng(seed)
    target, models = scores.laws(dimension, random)
    fids = {name: scores.true_fid(law, target) for name, law in models.items()}
    kids = scores.true_kids(models, target, rows, random)
    figure = plots.new_figure(12, 5)
    left, right = figure.subplots(1, 2)
    found |= {
        f"fid_of_{name}_normal_m{_REVERSAL}": scores.expected_fid(sd, _REVERSAL)
        for name, sd in [("right", 1.0), ("wrong", 1.0 - 1.0 / _REVERSAL)]
    }
    fid = metrics.frechet_distance
    laws = models, target, rows, random
    found |= _draw_scores(left, "FID", fid, fids, fid_sizes, *laws)
    found |= _draw_scores(right, "KID", scores.kid, kids, kid_sizes, *laws)
    plots.save_png(Path(folder) / "scores.png", plots.render(figure))
    return found


def _draw_distances(axes, sizes) -> dict[str, float]:
    shift = np.linspace(0.0, 1.5, 301)
    axes.plot(shift, shift, "k", lw=2, label="true: D")
    _draw_schemes(axes, shift, sizes, critics.plug_in, critics.split_sample)
    axes.set(xlabel="shift D between the laws", ylabel="mean distance shown")
    axes.set_title("Distance shown by a critic learned from n samples")
    axes.legend(loc="upper left")
    found = {}
    for n in sizes:
        found[f"plug_in_bias_D0.5_n{n}"] = float(critics.plug_in(0.5, n) - 0.5)
        found[f"split_bias_D0.5_n{n}"] = float(critics.split_sample(0.5, n) - 0.5)
    return found


def _draw_slopes(axes, sizes) -> dict[str, float]:
    shift = np.linspace(0.0, 1.5, 301)
    axes.axhline(1.0, color="k", lw=2, label="true, and of the fixed critic x")
    _draw_schemes(axes, shift, sizes, critics.plug_in_slope, critics.split_sample_slope)
    axes.set(xlabel="shift D between the laws", ylabel="d/dD of the mean distance")
    axes.set_title("Its slope; solid: also a generator's mean gradient")
    axes.legend(loc="lower right")
    return {f"slope_D0.5_n{n}": float(critics.plug_in_slope(0.5, n)) for n in sizes}


def _draw_schemes(axes, shift, sizes, same, other) -> None:
    """Two functions of shift and size; one entry a size, one for the dashes."""
    for i, n in enumerate(sizes):
        axes.plot(shift, same(shift, n), f"C{i}", label=f"n = {n}, same samples")
        axes.plot(shift, other(shift, n), f"C{i}--", label=f"n = {n}, other samples")


def _draw_mixtures(axes, sizes) -> dict[str, float]:
    a = np.linspace(0.0, 1.0, 401)
    axes.plot(a, np.abs(2 * a - 1), "k", lw=2, label="true: |2a - 1|, no polynomial")
    for i, n in enumerate(sizes):
        label = f"mean of the plug-in, n = {n}: of degree n"
        axes.plot(a, critics.mixture_plug_in(a, n), f"C{i}", label=label)
    label = "MMD$^2$, kernel dot: $(2a - 1)^2$, of degree 2"
    axes.plot(a, (2 * a - 1) ** 2, "0.5", ls=":", lw=2, label=label)
    axes.set(xlabel="share a of the point 1; the rest is at -1", ylim=(-0.02, 1.3))
    axes.set_ylabel("distance to a point at 0")
    axes.set_title("No estimate from n samples is unbiased along a mixture")
    axes.legend(loc="upper center", ncols=1, fontsize="small")
    found = {}
    for n in sizes:
        found[f"mixture_plug_in_worst_bias_n{n}"] = float(
            critics.mixture_plug_in(0.5, n)
        )
        found[f"mixture_least_worst_bias_n{n}"] = critics.least_bias(n)
    return found


def _draw_gradients(axes, kernel, sizes, seed) -> dict[str, float]:
    critic = critics.relu_critic(np.random.default_rng(seed))
    found, true = {}, None
    for i, estimator in enumerate(("unbiased", "biased")):
        results = [
            critics.gradients(
                critics.REAL, critics.MODEL, critic, kernel, size, estimator
            )
            for size in sizes
        ]
        true = results[0].true
        found["gradient_true"] = true
        for size, result in zip(sizes, results):
            found[f"gradient_{estimator}_m{size}"] = result.mean
        places = np.array(sizes) + (i - 0.5) * 0.15
        axes.errorbar(
            places,
            [result.mean for result in results],
            [result.sd for result in results],
            **_style(i),
            ls="",
            label=f"{estimator} estimate",
        )
    axes.axhline(true, color="k", lw=2, zorder=0, label="true gradient")
    axes.set(xlabel="rows m of a minibatch", ylabel="d MMD$^2$ / d theta")
    axes.set_xticks(sizes)
    axes.set_title(f"A fixed ReLU critic, kernel {kernel}: mean and sd of minibatches")
    axes.legend()
    return found


def _draw_scores(
    axes, title, score, true, sizes, models, target, rows, random
) -> dict[str, float]:
    """A score of each model over the number of samples, and its true value."""
    name, found = title.lower(), {}
    for i, (model, law) in enumerate(models.items()):
        spread = scores.spread(score, law, target, sizes, rows, random)
        places = np.array(sizes) * 1.06 ** (i - 0.5)
        axes.errorbar(places, *spread[:2], **_style(i), label=model)
        label = f"{model}, true: {true[model]:.2f}"
        axes.axhline(true[model], color=f"C{i}", ls="--", label=label)
        found[f"{name}_{model}_true"] = true[model]
        for size, *values in zip(sizes, *spread):
            for what, value in zip(("", "_sd", "_error"), values):
                found[f"{name}_{model}_n{size}{what}"] = float(value)
    axes.set(xscale="log", xlabel="samples n of each law", ylabel=title)
    axes.set_xticks(sizes, map(str, sizes))
    axes.minorticks_off()
    axes.set_title(f"{title}: mean and sd of an estimate")
    axes.legend()
    return found


def _style(i) -> dict[str, object]:
    """Of the marks with error bars of the first and the second thing compared."""
    return {"marker": "os"[i], "color": f"C{i}", "elinewidth": 1, "capsize": 3}
