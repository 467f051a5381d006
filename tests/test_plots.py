"""Tests of plots.py: quantisation, grids, figures, files."""

import io

import numpy as np
import pytest
from PIL import Image

from gantf import plots


def test_to_uint8_inverts_the_scaling_and_rounds_half_up():
    levels = np.arange(256)
    np.testing.assert_array_equal(plots.to_uint8(levels / 127.5 - 1), levels)
    # (x + 1) 127.5 + 0.5: -1 -> 0.5 -> 0; 1 -> 255.5 -> 255; 0 -> 128; beyond: cut.
    np.testing.assert_array_equal(
        plots.to_uint8([-2.0, -1.0, 0.0, 1.0, 3.0]), [0, 0, 128, 255, 255]
    )


def test_grid_places_images_row_after_row():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 3, 4, 1), np.uint8
    )
    sheet = plots.grid(images, columns=3)
    # 2 rows of 3 + 2 pixels, 3 columns of 4 + 2, and a gap of 2 before each.
    assert sheet.shape == (2 * 5 + 2, 3 * 6 + 2, 1)
    assert [sheet[2, 2 + 6 * i, 0] for i in range(3)] == [0, 1, 2]
    assert [sheet[7, 2 + 6 * i, 0] for i in range(2)] == [3, 4]
    assert sheet[7, 14, 0] == 255 and sheet[0, 0, 0] == 255


def test_grid_is_about_square_by_default():
    assert plots.grid(np.zeros((64, 1, 1, 3), np.uint8)).shape == (26, 26, 3)


def test_grids_have_gaps_as_wide_as_asked():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 1, 1), np.uint8
    )
    sheet = plots.grid(images, columns=2, gap=0)[..., 0]
    np.testing.assert_array_equal(sheet, [[0, 1], [0, 1], [2, 255], [2, 255]])


def test_scatter_draws_both_sets():
    picture = plots.scatter(np.zeros((5, 2)), np.full((5, 2), 0.5))
    assert picture.dtype == np.uint8 and picture.shape == (500, 500, 3)
    blue = (picture[..., 2].astype(int) - picture[..., 0]) > 80
    assert blue.any()
    assert not np.array_equal(picture, plots.scatter(np.zeros((5, 2))))


def test_running_means_are_those_of_the_last_points():
    # By hand: 1, (1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 4) / 3.
    np.testing.assert_allclose(plots.running_mean([1, 2, 6, 4], 3), [1, 1.5, 3, 4])
    assert plots.running_mean([], 3).shape == (0,)
    values = np.random.RandomState(0).randn(250)
    wanted = [np.mean(values[max(0, i - 99) : i + 1]) for i in range(250)]
    np.testing.assert_allclose(plots.running_mean(values), wanted, atol=1e-14)
    np.testing.assert_array_equal(plots.running_mean(values, 1), values)


def test_running_means_leave_out_what_is_not_finite():
    found = plots.running_mean([np.nan, 1, np.inf, 5, -np.inf, np.nan], 2)
    np.testing.assert_array_equal(found, [np.nan, 1, 1, 5, 5, np.nan])


@pytest.mark.parametrize("window", [0, -1, 1.5, "2", True])
def test_error_window_of_a_running_mean(window):
    with pytest.raises(ValueError) as caught:
        plots.running_mean([1.0], window)
    assert str(caught.value) == f"window is a whole number from 1, not {window!r}"


def axes_of_curves(monkeypatch, *args, **kwargs):
    """What matplotlib is asked to draw."""
    drawn = []
    monkeypatch.setattr(plots, "render", lambda figure: drawn.append(figure))
    plots.curves(*args, **kwargs)
    [axes] = drawn[0].axes
    return axes


def test_curves_are_thin_with_thick_means_over_them(monkeypatch):
    points = {"b": [(10, 1.0), (20, 3.0), (30, 8.0)], "a": [], "c": [(5, -1.0)]}
    axes = axes_of_curves(monkeypatch, points, 2, ("time", "height"))
    lines = axes.get_lines()
    raw, means = lines[::2], lines[1::2]
    wanted = [points["b"], points["a"], points["c"]]
    for line, pairs in zip(raw, wanted, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.reshape(pairs, (-1, 2)))
    np.testing.assert_array_equal(means[0].get_xydata(), [(10, 1), (20, 2), (30, 5.5)])
    np.testing.assert_array_equal(means[2].get_xydata(), [(5, -1)])
    assert all(line.get_linewidth() < 1 for line in raw)
    assert all(line.get_linewidth() > 1 for line in means)
    assert [line.get_color() for line in raw] == [line.get_color() for line in means]
    assert len({line.get_color() for line in raw}) == 3
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["b", "a", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time", "height")


def test_curves_are_a_picture_with_means_of_100(monkeypatch):
    picture = plots.curves({"a": [(0, 0.0), (1, 1.0)]})
    assert picture.dtype == np.uint8 and picture.shape == (400, 700, 3)
    line = axes_of_curves(monkeypatch, {"a": np.eye(200, 2)}).get_lines()[1]
    # The second column is 1 at the second point: in the means of 100 from it on.
    assert np.count_nonzero(line.get_ydata()) == 100
    assert (line.axes.get_xlabel(), line.axes.get_ylabel()) == ("step", "loss")


def test_histogram_draws_both_sets():
    """Half of the real points at -.52, all generated ones at .32."""
    real = np.repeat([[-0.52], [0.32]], 50, axis=0)
    picture = plots.histogram(np.full((5, 1), 0.32), real).astype(int)
    assert picture.shape == (500, 500, 3)
    blue, grey = picture[..., 2] - picture[..., 0] > 80, (picture == 204).all(-1)
    left, right = grey[100:, :250], grey[100:, 250:]  # below the legend
    assert blue[100:, 250:].any() and min(left.sum(), right.sum()) > 500
    assert not blue[100:-60, :250].any()  # above the axis, which the line follows
    # A density of 1 in one bin is twice as high as that of one half.
    heights = [np.flatnonzero(mask[150:].any(1)).min() for mask in (blue, grey)]
    assert heights[0] < heights[1]
    alone = plots.histogram(np.full((5, 1), 0.32)).astype(int)
    assert not (alone[100:] == 204).all(-1).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_save_png_writes_whole_files(tmp_path, channels):
    picture = np.random.RandomState(0).randint(0, 256, (6, 5, channels), np.uint8)
    path = plots.save_png(tmp_path / "new" / "a.png", picture)
    read = np.asarray(Image.open(path)).reshape(picture.shape)
    np.testing.assert_array_equal(read, picture)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("channels", [1, 3])
def test_to_png_is_the_bytes_of_the_file(tmp_path, channels):
    picture = np.random.RandomState(0).randint(0, 256, (6, 5, channels), np.uint8)
    data = plots.to_png(picture)
    read = np.asarray(Image.open(io.BytesIO(data))).reshape(picture.shape)
    np.testing.assert_array_equal(read, picture)
    assert plots.save_png(tmp_path / "a.png", picture).read_bytes() == data


def test_figures_are_pictures_of_100_pixels_an_inch():
    figure = plots.new_figure(3, 2)
    assert (plots.render(figure) == 255).all()  # white, before anything is drawn
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.axvspan(0, 0.5, color="red", linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    picture = plots.render(figure)
    assert picture.dtype == np.uint8 and picture.shape == (200, 300, 3)
    # The left half is red; the edge itself is a mixture.
    assert (picture[5:-5, 5:145] == [255, 0, 0]).all()
    assert (picture[5:-5, 155:-5] == 255).all()


def test_pictures_of_a_figure_stay_as_they_were():
    figure = plots.new_figure(1, 1)
    first = plots.render(figure)
    figure.add_subplot()
    assert (plots.render(figure) != 255).any() and (first == 255).all()


@pytest.mark.parametrize("fps, duration", [(10, 100), (4, 250)])
def test_save_gif_writes_whole_films(tmp_path, fps, duration):
    """Few colours: a GIF keeps them as they are."""
    pictures = [np.full((6, 5, 3), level, np.uint8) for level in (0, 130, 255)]
    pictures[1][2, 3] = [255, 0, 0]
    path = plots.save_gif(tmp_path / "new" / "a.gif", pictures, fps)
    film = Image.open(path)
    assert (film.format, film.n_frames, film.info["loop"]) == ("GIF", 3, 0)
    for i, picture in enumerate(pictures):
        film.seek(i)
        np.testing.assert_array_equal(film.convert("RGB"), picture)
        assert film.info["duration"] == duration
    assert [p.name for p in path.parent.iterdir()] == ["a.gif"]


def test_a_gif_of_one_picture_is_a_film_too(tmp_path):
    plots.save_gif(tmp_path / "a.gif", [np.zeros((4, 4, 3), np.uint8)])
    assert Image.open(tmp_path / "a.gif").n_frames == 1
