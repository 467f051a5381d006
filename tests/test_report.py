"""Tests of report.py: a page of what there is, whatever is missing or torn."""

import base64
import html.parser
import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from test_settings import SMALL

from gantf import experiment, monitors, pictures, plots, report, settings

COLOUR = {
    "latent": "uniform-4",
    "sample": "8x8x3",
    "classes": 3,
    "generator": "dense-4x4x8-cbn-relu tconv4-3-s2-tanh",
    "discriminator": "conv4-8-s2-lrelu gsum dense-1-proj",
}
PLANE = {
    "latent": "normal-4",
    "sample": "2",
    "generator": "dense-8-relu dense-2",
    "discriminator": "dense-8-lrelu dense-4",
}
COLUMNS = (
    "step,generator_loss,discriminator_loss,k_rr,learning_rate/generator,"
    "kid_pixels,kid_pixels_std,fd_pixels\n"
)
SCORES = {
    "step": 20,
    "figures": {"kid_pixels": 0.25, "kid_pixels_std": 0.125, "fd_pixels": 7.5},
    "notes": ["few <samples>"],
    "protocol": {"features": "pixels", "real": {"n": 20, "data": "own"}, "new_key": 3},
}


class Page(html.parser.HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, path):
        super().__init__()
        self.titles, self.tags, self.links, self.images = [], set(), [], []
        self.text, self._inside = "", None
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self._inside = tag
        self.links += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            data = base64.b64decode(attributes["src"].partition(",")[2])
            self.images.append((attributes, Image.open(io.BytesIO(data))))

    def handle_data(self, data):
        if self._inside == "h2" and data.strip():
            self.titles.append(data)
        if self._inside != "style":
            self.text += data

    @property
    def left_out(self):
        return re.findall(r"Left out: (.*)", self.text)


def make_run(folder, architecture, data, **given):
    """A folder as a run of 20 steps leaves it, without its training."""
    given = {"name": "tiny", "architecture": architecture, "data": str(data), **given}
    given |= {"batch_size": 4, "steps": 20}
    resolved = settings.resolve(given)
    gan = experiment.make_gan(resolved)
    (folder / "checkpoints").mkdir(parents=True)
    critic = gan.discriminator
    critic.set_weights([w + 0.1 for w in critic.get_weights()])  # as after training
    gan.save_weights(folder / "checkpoints" / "step_00000020.weights.h5")
    gan.sampler.net.save(folder / "generator.keras")
    about = {"settings": resolved.to_dict(), "versions": {"gantf": "0.3.0"}}
    about["commit"] = "0123456789abcdef"
    (folder / "settings.json").write_text(json.dumps(about))
    lines = ["10,1,-1,.5,.001,,,", "10,,,,,.5,.125,9", "20,2,-2,.5,.0005,.25,.125,7.5"]
    (folder / "metrics.csv").write_text(COLUMNS + "\n".join(lines) + "\n")
    (folder / "scores.json").write_text(json.dumps(SCORES))
    for step in (10, 20):
        level = np.uint8(step)
        shape = (14, 14, 1 if architecture is SMALL else 3)
        picture = np.full(shape, level)
        plots.save_png(folder / "samples" / f"step_{step:06d}.png", picture)
    return folder


def npz(path, *shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, *shape), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(24) % 3)
    return path


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grey")
    return make_run(folder / "run", SMALL, npz(folder / "own.npz", 8, 8))


@pytest.fixture
def run(grey, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(grey, tmp_path / "run")
    return tmp_path / "run"


ALL = [
    *("Samples", "Figures", "Curves", "Between latents", "Nearest training images"),
    *("Frequencies", "Scores", "Settings"),
]


def spied(monkeypatch, module, name):
    """What a function is called with from now on."""
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a: calls.append(a) or function(*a))
    return calls


def test_curves_and_scores_are_those_of_the_run(run, monkeypatch):
    curves = spied(monkeypatch, pictures, "history")
    scored = spied(monkeypatch, monitors, "scores")
    report.write(run)
    assert curves == [
        (
            {"generator": [(10, 1), (20, 2)], "discriminator": [(10, -1), (20, -2)]},
            {
                "kid_pixels": [(10, 0.5, 0.125), (20, 0.25, 0.125)],
                "fd_pixels": [(10, 9), (20, 7.5)],
            },
            {"generator": [(10, 0.001), (20, 0.0005)]},
        )
    ]
    (net, real, labels), (_, fake, none) = scored
    bias = net.layers[-1].weights[-1]  # which starts from 0; see make_run
    np.testing.assert_allclose(bias, np.full(4, 0.1))
    assert -1 <= real.min() < -0.9 and 0.9 < real.max() <= 1
    assert len(real) == 24 and len(fake) == 500 and none is None
    assert sorted(labels) == 8 * [0] + 8 * [1] + 8 * [2]


def test_a_page_has_all_of_a_run_and_needs_nothing_else(run):
    path = report.write(run)
    assert path == run / "report.html"
    page = Page(path)
    assert page.titles == ALL and page.left_out == []
    assert not page.tags & {"script", "link", "iframe"}
    assert all(link.startswith("data:image/") for link in page.links)
    kinds = [image.format for _, image in page.images]
    assert kinds == ["PNG", "GIF", *["PNG"] * 6]
    last, film = page.images[0], page.images[1][1]
    assert last[1].size == (14, 14) and last[0]["class"] == "crisp"
    assert (last[0]["width"], last[0]["height"]) == ("42", "42")
    assert np.asarray(last[1]).max() == 20
    assert film.n_frames == 2 and (run / "samples.gif").exists()
    curves = Image.open(run / "curves.png")
    assert page.images[2][1].size == curves.size
    # 8 rows of 10 samples, 8 of 8, and 8 of 1 + 5 with a gap, with frames of 2.
    sizes = [image.size for _, image in page.images[3:6]]
    assert sizes == [(102, 82), (82, 82), (12 + 4 + 52, 82)]
    told = {"tiny", "0.3.0, commit 0123456789abcdef", SMALL["discriminator"]}
    told |= {
        "20 of 20",
        "conv4-8-s2-sn-lrelu",
        "few <samples>",
        "new key",
        "real: data",
    }
    assert all(words in page.text for words in told)
    assert "conv4-8-s2-sn-lrelu  4x4x8" in re.sub(" +", "  ", page.text)  # the table
    assert "all 2 evaluations" in page.text and "mmd" not in page.text
    assert "scores of 20 real" not in page.text and "scores of 24 real" in page.text


def cells(page_text, name):
    """The cells of the row of that name."""
    row = re.search(rf"<tr><th>{name}</th>(.*?)</tr>", page_text)[1]
    return re.findall(r"<td[^>]*>(.*?)</td>", row)


def test_figures_have_their_best_step(run):
    rows = "30,,,,,-.5,.25,8\n40,,,,,nan,.25,inf\n50,,,,,.75,.25,9\n"
    with (run / "metrics.csv").open("a") as file:
        file.write(rows)
    about = json.loads((run / "settings.json").read_text())
    about["settings"]["data"] = "/not/there"  # what needs it is not looked at here
    (run / "settings.json").write_text(json.dumps(about))
    best = {"step": 30, "figure": "kid_pixels", "value": -0.5}
    (run / "best.json").write_text(json.dumps(best))
    scores = {**SCORES, "figures": {**SCORES["figures"], "precision_pixels": 0.5}}
    scores["figures"] |= {"ms_ssim": 0.125}
    (run / "scores.json").write_text(json.dumps(scores))
    text = report.write(run).read_text("utf-8")
    assert cells(text, "kid_pixels")[:5] == ["0.25", "0.125", "lower", "−0.5", "30"]
    assert cells(text, "fd_pixels")[:5] == ["7.5", "", "lower", "7.5", "20"]
    assert cells(text, "precision_pixels")[:5] == ["0.5", "", "higher", "", ""]
    assert cells(text, "ms_ssim") == ["0.125", "", "", "", "", ""]
    assert cells(text, "50") == ["0.75", "9", "", ""]
    assert "generator of step 30, where kid_pixels was -0.5" in text


def test_a_run_that_was_stopped_at_once(run):
    for path in run.iterdir():
        if path.name != "settings.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page(report.write(run))
    assert page.titles == ALL and page.images[1:] == []  # the spectrum wants the net
    assert page.left_out == [
        "there are no pictures of samples yet",
        "there is no evaluation yet",
        "metrics.csv has no losses yet",
        *[f"{run} has no generator.keras: its run has made no checkpoint yet"] * 3,
        "there is no checkpoint yet",
    ]


def test_torn_files_and_other_peoples_text_do_no_harm(run):
    about = json.loads((run / "settings.json").read_text())
    about["settings"] |= {"name": "<script>x</script>", "data": "<b>gone</b>"}
    about["settings"] |= {"penalties": 5, "scaling": [], "steps": "many"}
    about |= {"versions": "?", "commit": ["<i>"]}
    (run / "settings.json").write_text(json.dumps(about))
    (run / "metrics.csv").write_text(COLUMNS + "10,1,-1,.5,.1,,,\n20,<u>,1,1,1,.5,")
    (run / "scores.json").write_text('{"figures": {"<img src=x>": "much"}, "step"')
    (run / "best.json").write_text("{")
    (run / "generator.keras").write_bytes(b"PK\3\4 torn")
    film = sorted((run / "samples").iterdir())
    film[0].write_bytes(film[0].read_bytes()[:40])
    path = report.write(run, run.parent / "new" / "page.html")
    page = Page(path)
    assert path == run.parent / "new" / "page.html" and page.titles == ALL
    assert not page.tags & {"script", "b", "i", "u"}
    assert "<script>x</script>" in page.text and "<b>gone</b>" in page.text
    assert [image.format for _, image in page.images] == ["PNG", "PNG"]  # no film
    assert len(page.left_out) == 5
    assert "Traceback" not in page.text


def test_data_that_is_not_here_is_said_and_the_rest_is_there(run, tmp_path):
    (tmp_path / "own.npz").unlink(missing_ok=True)
    about = json.loads((run / "settings.json").read_text())
    about["settings"]["data"] = str(tmp_path / "own.npz")
    (run / "settings.json").write_text(json.dumps(about))
    page = Page(report.write(run))
    assert page.titles == ALL and len(page.images) == 5
    assert page.left_out == 3 * [f"{tmp_path / 'own.npz'} is not on this machine"]


def test_runs_of_classes_in_colour_with_one_score(tmp_path):
    data = npz(tmp_path / "own.npz", 8, 8, 3)
    folder = make_run(tmp_path / "run", COLOUR, data, loss="hinge")
    page = Page(report.write(folder))
    assert page.titles == ALL and page.left_out == []
    assert page.images[3][1].mode == "RGB" and "1 numbers each" not in page.text
    assert "one number each" in page.text


def test_runs_of_points_have_no_sections_of_images(tmp_path):
    folder = make_run(tmp_path / "run", PLANE, "ring")
    page = Page(report.write(folder))
    assert page.titles == ["Samples", "Figures", "Curves", "Scores", "Settings"]
    assert page.left_out == []
    assert "class" not in page.images[0][0]


def test_error_folder_of_no_run(tmp_path, tool, monkeypatch):
    with pytest.raises(ValueError) as caught:
        report.write(tmp_path)
    assert str(caught.value) == f"{tmp_path} is no folder of a run"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        tool("report").main()
    assert str(stopped.value) == f"{tmp_path} is no folder of a run"


def test_the_tool_prints_the_path(tool, monkeypatch, capsys, tmp_path):
    given = []
    made = tool("report")
    monkeypatch.setattr(report, "write", lambda *args: given.append(args) or "there")
    monkeypatch.setattr(sys, "argv", ["report.py", str(tmp_path), "--out=a.html"])
    made.main()
    assert capsys.readouterr().out == "there\n"
    assert [str(arg) for arg in given[0]] == [str(tmp_path), "a.html"]
