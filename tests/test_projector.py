"""Tests of projector.py: what TensorBoard is given."""

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

from gantf import projector


def config(logs):
    """The projector's files by what names them, read by TensorBoard's own reader."""
    text = (logs / "projector_config.pbtxt").read_text()
    [cloud] = text_format.Parse(text, ProjectorConfig()).embeddings
    return cloud


def numbers(logs):
    return np.loadtxt(logs / config(logs).tensor_path, delimiter="\t", ndmin=2)


def test_images_are_a_sheet_in_the_order_of_the_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    levels = np.array([0, 60, 120, 180, 240])
    samples = np.ones((5, 2, 3, 1)) * (levels / 127.5 - 1)[:, None, None, None]
    kinds = ["real"] * 3 + ["generated"] * 2
    classes = ["a", "b\tc\n", "a", "é", "b"]
    projector.write(tmp_path, points, samples, kinds, classes)
    cloud = config(tmp_path)
    # Six digits are written.
    np.testing.assert_allclose(numbers(tmp_path), points, rtol=1e-5)
    lines = (tmp_path / cloud.metadata_path).read_text("utf-8").splitlines()
    assert lines == [
        "kind\tclass",
        *("real\ta", "real\tb c", "real\ta", "generated\té", "generated\tb"),
    ]
    width, height = cloud.sprite.single_image_dim
    assert (width, height) == (3, 2)
    sheet = np.asarray(Image.open(tmp_path / cloud.sprite.image_path))
    columns = sheet.shape[1] // width
    assert sheet.shape == (2 * 2, 3 * 3) and columns == 3
    for i, level in enumerate(levels):
        top, left = i // columns * height, i % columns * width
        assert (sheet[top : top + height, left : left + width] == level).all()


def test_points_have_no_sheet_and_a_single_column_no_heading(tmp_path):
    projector.write(tmp_path, np.eye(3), np.zeros((3, 2)), ["real", "real", "fake"])
    cloud = config(tmp_path)
    assert not cloud.HasField("sprite")
    assert (tmp_path / cloud.metadata_path).read_text() == "real\nreal\nfake\n"
    assert sorted(p.name for p in (tmp_path / "projector").iterdir()) == [
        "points.tsv",
        "samples.tsv",
    ]


def test_points_of_fewer_than_three_numbers_are_filled_with_zeros(tmp_path):
    projector.write(tmp_path, np.array([[5.0], [7.0]]), np.zeros((2, 1)), ["a", "b"])
    np.testing.assert_array_equal(numbers(tmp_path), [[5, 0, 0], [7, 0, 0]])


def test_sheets_are_no_larger_than_browsers_take(tmp_path):
    # 3 x 3 images of 3000 pixels would be 9000; every second pixel is shown.
    samples = np.zeros((9, 3000, 1, 1), "float32")
    projector.write(tmp_path, np.zeros((9, 3)), samples, ["real"] * 9)
    assert list(config(tmp_path).sprite.single_image_dim) == [1, 1500]
    sheet = Image.open(tmp_path / "projector" / "samples.png")
    assert sheet.size == (3, 4500)


def test_a_later_cloud_takes_the_place_of_an_earlier_one(tmp_path):
    images = np.zeros((2, 4, 4, 1))
    projector.write(tmp_path, np.zeros((2, 3)), images, ["real", "fake"], ["a", "b"])
    projector.write(tmp_path, np.ones((1, 3)), np.zeros((1, 2)), ["real"])
    assert len(numbers(tmp_path)) == 1 and not config(tmp_path).HasField("sprite")
    names = {path.name for path in tmp_path.rglob("*")}
    assert not any(name.startswith("unfinished") for name in names)
