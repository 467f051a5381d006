"""Tests of plots.py: quantisation, grids, files."""

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


def test_scatter_draws_both_sets():
    picture = plots.scatter(np.zeros((5, 2)), np.full((5, 2), 0.5))
    assert picture.dtype == np.uint8 and picture.shape == (500, 500, 3)
    blue = (picture[..., 2].astype(int) - picture[..., 0]) > 80
    assert blue.any()
    assert not np.array_equal(picture, plots.scatter(np.zeros((5, 2))))


@pytest.mark.parametrize("channels", [1, 3])
def test_save_png_writes_whole_files(tmp_path, channels):
    picture = np.random.RandomState(0).randint(0, 256, (6, 5, channels), np.uint8)
    path = plots.save_png(tmp_path / "new" / "a.png", picture)
    read = np.asarray(Image.open(path)).reshape(picture.shape)
    np.testing.assert_array_equal(read, picture)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
