import gzip
import io
import os
import struct
import zipfile
import zlib
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from PIL import Image
from places import encoded, everything, message, open_place

from gantf import images, preparation, readers
from gantf.readers import Options, ReadError, arrays, large

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)
COLOUR = np.stack([GREY, GREY + 50, GREY + 100], 2)


def write(path, image, **options):
    """An array, Pillow image or bytes as a file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image.save(path, **options)


def noise(h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def pack(path, files):
    """A zip of {name: array or bytes}; arrays become PNG."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in files.items():
            if not isinstance(image, bytes):
                image = encoded(image, "PNG")
            archive.writestr(name, image)
    return path


# Preparing one image


def prepared(image, size=None, channels=1):
    picture = preparation.read(None, size)(
        images.upright(Image.fromarray(image), channels)
    )
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


@pytest.mark.parametrize(
    "width, columns", [(8, [20, 30, 40, 50]), (7, [10, 20, 30, 40])]
)
def test_the_centre_is_cut_out(width, columns):
    # The short side is right already: no resampling, so the columns are exact.
    wide = np.tile(np.arange(width, dtype=np.uint8) * 10, (4, 1))
    np.testing.assert_array_equal(prepared(wide, 4)[..., 0], [columns] * 4)
    np.testing.assert_array_equal(prepared(wide.T, 4)[..., 0].T, [columns] * 4)


def test_an_image_of_the_size_is_not_resampled():
    image = noise(16, 16)
    np.testing.assert_array_equal(prepared(image, 16, 3), image)


def test_resizing_is_lanczos_with_antialias():
    image = noise(8, 8)[..., 0]
    # Lanczos (1979) with a = 3, widened by the factor 2: sinc(x) sinc(x / 3).
    centre = 2 * np.arange(4) + 1
    x = (np.arange(8) + 0.5 - centre[:, None]) / 2  # (4, 8)
    weights = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    weights /= weights.sum(1, keepdims=True)
    exact = np.clip(np.clip(image @ weights.T, 0, 255).T @ weights.T, 0, 255).T
    # Pillow rounds to bytes after each of the two directions.
    assert abs(prepared(image, 4)[..., 0] - exact).max() < 1.5


def test_ratio_is_kept_when_resizing():
    wide = np.full((20, 40), 255, np.uint8)
    wide[:, 10:30] = 100
    image = prepared(wide, 10)[..., 0]
    assert image.shape == (10, 10)
    # Columns 3..6 see 14 +- 6 .. 24 +- 6 of the source, nothing of the white edges.
    assert (image[:, 3:7] == 100).all()


def test_colour_becomes_luminance():
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 100, 50]]], np.uint8)
    # ITU-R 601-2: .299 R + .587 G + .114 B = 76.2, 149.7, 29.1, 124.2
    assert prepared(pure)[0, :, 0].tolist() == [76, 150, 29, 124]


def test_grey_is_repeated():
    np.testing.assert_array_equal(prepared(GREY, None, 3), np.stack([GREY] * 3, 2))


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row is the right column
    write(tmp_path / "a.png", Image.fromarray(GREY), exif=exif)
    source = open_place(tmp_path)
    assert source.shape == (6, 4, 1)
    np.testing.assert_array_equal(everything(source)[0, ..., 0], np.rot90(GREY, -1))


@pytest.mark.parametrize("mode, channels", images.MODES.items())
def test_modes(tmp_path, mode, channels):
    image = Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
    write(tmp_path / ("a.jpg" if mode in ("CMYK", "YCbCr") else "a.png"), image)
    source = open_place(tmp_path)
    assert source.shape == (4, 4, channels)
    assert (everything(source) == 255).all()


# Folders and zips


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "PNG", "jpg", "jpeg"])
def test_kinds_of_files(tmp_path, suffix):
    write(tmp_path / f"a.{suffix}", np.full((8, 8, 3), 100, np.uint8))
    source = open_place(tmp_path)
    assert (source.n, len(source), source.shape) == (1, 1, (8, 8, 3))
    assert abs(everything(source).astype(int) - 100).max() <= 1  # JPEG, WEBP round


FLAT = {"b.png": GREY + 1, "a.png": GREY, "c.png": GREY + 2}
CLASSES = {"dog/2.png": GREY + 1, "cat/9.png": GREY, "dog/deep/1.png": GREY + 2}
JUNK = {".hidden.png": b"", "__MACOSX/a.png": b"", ".git/a.png": b"", "list.txt": b""}


def unpack(folder, files):
    for name, image in files.items():
        write(folder / name, image)
    return folder


def as_zip(folder, files):
    return pack(folder / "set.zip", files)


def as_zip_with_a_top_folder(folder, files):
    return pack(folder / "set.zip", {f"top/{name}": files[name] for name in files})


PLACES = [unpack, as_zip, as_zip_with_a_top_folder]


@pytest.mark.parametrize("make", PLACES)
def test_flat_images_come_in_order_of_their_names(tmp_path, make):
    place = make(tmp_path, FLAT | JUNK)
    source = open_place(place)
    assert (source.name, source.split, source.n) == (str(place), "train", 3)
    assert (source.labels, source.classes) == (None, ())
    assert everything(source)[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert source.read(np.array([2, 0, 2]))[:, 0, 0, 0].tolist() == [2, 0, 2]
    assert source.read(np.array([], int)).shape == (0, 4, 6, 1)


@pytest.mark.parametrize("make", PLACES)
def test_folders_are_classes(tmp_path, make):
    source = open_place(make(tmp_path, CLASSES | JUNK))
    assert source.classes == ("cat", "dog")
    assert source.labels.tolist() == [0, 1, 1]
    assert source.labels.dtype == np.int32
    assert everything(source)[:, 0, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("make", PLACES)
def test_train_and_test_are_splits(tmp_path, make):
    files = {"train/b/1.png": GREY, "train/a/1.png": GREY + 1, "test/b/1.png": GREY + 2}
    place = make(tmp_path, files)
    train, test = open_place(place), open_place(place, "test")
    assert (train.n, test.n) == (2, 1)
    assert train.labels.tolist() == [0, 1]
    # Class "a" has no test image; "b" keeps its number.
    assert (test.labels.tolist(), test.classes) == ([1], ("a", "b"))
    assert everything(test)[0, 0, 0, 0] == 2


def test_a_zip_with_nothing_but_test_keeps_it(tmp_path):
    place = pack(tmp_path / "set.zip", {"test/1.png": GREY})
    assert open_place(place, "test").n == 1
    assert message(place) == f'{place}: it has only "test", no "train"'


def test_one_colour_image_makes_the_set_colour(tmp_path):
    source = open_place(unpack(tmp_path, {"a.png": GREY, "b.png": COLOUR}))
    np.testing.assert_array_equal(everything(source)[0], np.stack([GREY] * 3, 2))
    np.testing.assert_array_equal(everything(source)[1], COLOUR)
    assert open_place(tmp_path, channels=1).shape == (4, 6, 1)


def test_different_sizes_are_fine_with_size(tmp_path):
    unpack(tmp_path, {"a.png": GREY, "b.png": GREY[:3]})
    assert everything(open_place(tmp_path, size=3)).shape == (2, 3, 3, 1)


def test_many_threads_may_read_one_zip(tmp_path):
    images = {f"{i:03}.png": np.full((9, 9), i, np.uint8) for i in range(100)}
    source = open_place(pack(tmp_path / "set.zip", images))
    wrong = []

    def read(seed):
        for indices in np.random.default_rng(seed).integers(0, 100, (20, 10)):
            if (source.read(indices) != indices[:, None, None, None]).any():
                wrong.append(indices)

    with ThreadPool(8) as pool:
        pool.map(read, range(8))
    assert not wrong


def test_linked_folders_are_followed(tmp_path):
    unpack(tmp_path / "elsewhere", FLAT)
    unpack(tmp_path / "set", {"dog/1.png": GREY})
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere")
    assert open_place(tmp_path / "set").labels.tolist() == [0, 0, 0, 1]


# Bad places


def test_error_missing(tmp_path):
    place = tmp_path / "nowhere"
    assert message(place) == (
        f"{place}: no such file or folder; give a folder or zip of images, a folder of"
        " idx files, or an .npz or .npy file"
    )


def test_error_kind_of_file(tmp_path):
    write(tmp_path / "a.rar", b"Rar!")
    assert message(tmp_path / "a.rar") == (
        f"{tmp_path}/a.rar: a file of images ends in .zip, .tar, .npz, .npy"
    )


@pytest.mark.parametrize("make", [unpack, as_zip])
def test_error_no_images(tmp_path, make):
    place = make(tmp_path, JUNK)
    assert message(place) == (
        f"{place}: no images in it; they end in .png, .jpg, .jpeg, .webp, .bmp"
    )


@pytest.mark.parametrize("content", [b"", b"not a zip", "torn"])
def test_error_not_a_zip(tmp_path, content):
    place = pack(tmp_path / "set.zip", FLAT)
    place.write_bytes(place.read_bytes()[:-30] if content == "torn" else content)
    assert message(place) == (
        f"{place}: not a zip file, or a torn one; make or download it again"
    )


@pytest.mark.parametrize("make", PLACES)
def test_error_flat_and_folders(tmp_path, make):
    place = make(tmp_path, {"a.png": GREY, "cat/b.png": GREY})
    assert message(place) == (
        f"{place}: images are all in folders, one a class, or none is; a.png is not,"
        " cat/b.png is: move one of them away"
    )


def test_error_no_test_images(tmp_path):
    unpack(tmp_path, FLAT)
    assert message(tmp_path, "test") == f'{tmp_path}: it has only "train", no "test"'


def test_error_different_sizes(tmp_path):
    unpack(tmp_path, {"a.png": GREY, "b.png": GREY, "c.png": GREY[:3]})
    assert message(tmp_path) == (
        f"{tmp_path}: images differ in size: a.png is 6 x 4, c.png is 6 x 3 (width x"
        " height); give size= to make them equal"
    )


def test_error_a_label_where_labels_are_of_one_kind(tmp_path):
    place = unpack(tmp_path, CLASSES)
    assert message(place, label="Smiling") == (
        f"{place}: label 'Smiling' is one of several things that labels may be, as the"
        " attributes of CelebA, and it has no such; leave it out"
    )


@pytest.mark.parametrize("name", ["fifo.zip", "fifo.npz", "fifo.tfrecord"])
def test_error_a_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)  # which would be waited for without end
    told = message(tmp_path / name)
    assert told == f"{tmp_path}/{name}: a pipe or device, neither a file nor a folder"


def test_pipes_in_a_folder_are_no_sets(tmp_path):
    for name in ("train-images-idx3-ubyte", "a.tfrecord"):
        os.mkfifo(tmp_path / name)
    write(tmp_path / "a.png", GREY)
    assert open_place(tmp_path).n == 1


def test_error_nobodys_home():
    assert "~nosuchuser/x: " in message("~nosuchuser/x")


def test_error_a_crop_that_is_too_large_is_told_before_the_first_step(tmp_path):
    place = unpack(tmp_path / "a", {"a.png": noise(9, 9), "b.png": noise(7, 12)})
    assert message(place, prepare="crop-8") == (
        f"{place}: b.png: it is 12 x 7 (width x height), too small to cut 8 x 8 out of"
        " it; short-N before makes it larger"
    )
    np.save(tmp_path / "b.npy", np.zeros((3, 4, 4), np.uint8))
    assert message(tmp_path / "b.npy", prepare="random-8") == (
        f"{tmp_path}/b.npy: image 0: it is 4 x 4 (width x height), too small to cut 8 x"
        " 8 out of it; short-N before makes it larger"
    )


def test_images_whose_sizes_are_not_known_may_be_cut():
    content = encoded(noise(9, 9), "PNG")
    asked = Options(prepare="crop-8 fit-4x4")
    source = large.large_source("a", asked, 1, lambda number: content, str)
    assert source.read([0]).shape == (1, 4, 4, 3)


def test_error_arrays_larger_than_memory(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        head = io.BytesIO()
        form = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64, 3)}
        np.lib.format.write_array_header_1_0(head, form)
        archive.writestr("images.npy", head.getvalue())
    told = message(tmp_path / "a.npz")
    assert told == f"{tmp_path}/a.npz: its arrays need more memory than there is"


def test_idx_files_that_go_on_without_end(tmp_path):
    content = idx(IMAGES) + bytes(10**7)
    write(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(content))
    told = message(tmp_path)  # of which no more is read than it promises
    assert told.endswith("promises 3 x 4 x 6 bytes, it has 73; download it again")


@pytest.mark.parametrize("labels", [b"5", b'["cat"]', b"{"])
def test_error_sprites(tmp_path, labels):
    row = np.zeros((2, 1024, 3), np.uint8)
    for names, file in arrays.SPRITES.values():
        for name in names:
            write(tmp_path / name, row)
        (tmp_path / file).write_bytes(labels)
    assert message(tmp_path) == (
        f"{tmp_path}/train_lables.json: no list of labels; unpack the package again"
    )


def test_sprites(tmp_path):
    rows = noise(20, 1024)  # 20 images of 32 x 32 x 3, one a row
    for i in range(5):
        write(tmp_path / f"data_batch_{i + 1}.png", rows[3 * i : 3 * i + 3])
    write(tmp_path / "test_batch.png", rows[15:])
    (tmp_path / "train_lables.json").write_text(str(list(range(10)) + [0] * 5))
    (tmp_path / "test_lables.json").write_text("[9, 8, 7, 6, 5]")
    source = open_place(tmp_path, "all")
    assert source.shape == (32, 32, 3) and source.classes[9] == "truck"
    np.testing.assert_array_equal(everything(source), rows.reshape(20, 32, 32, 3))
    assert source.labels.tolist() == [*range(10), *[0] * 5, 9, 8, 7, 6, 5]
    assert open_place(tmp_path, "test").labels.tolist() == [9, 8, 7, 6, 5]


def test_error_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)  # which root may list in any case
    assert message(tmp_path) == f"{tmp_path}: Permission denied"


OPTIONS = [
    ({"split": "val"}, 'split is "train", "valid", "test" or "all", not \'val\''),
    ({"size": 0}, "size is None or a whole number from 1, not 0"),
    ({"size": 32.0}, "size is None or a whole number from 1, not 32.0"),
    ({"channels": 4}, "channels is None, 1 or 3, not 4"),
]


@pytest.mark.parametrize("options, words", OPTIONS)
def test_error_options(tmp_path, options, words):
    assert message(tmp_path, **options) == words


# Bad files

TORN = "a torn image file; copy or download it again, or delete it"
ALPHA = 'has transparency (mode {}); flatten it, e.g. by Pillow\'s convert("RGB")'
ALPHA = "images are grey or RGB, this one " + ALPHA
DEPTH = "images have 8 bits a channel, this one has mode {}; convert it"
FOREIGN = (
    "no PNG, JPEG, WEBP or BMP image, whatever its name says; replace or delete it"
)


def palette_with_transparency():
    image = Image.fromarray(COLOUR).convert("P")
    image.info["transparency"] = 0
    return image


def half(content):
    return content[: len(content) // 2]


def deep_colour():
    """A PNG of 4 x 4 pixels with 16 bits a channel, which Pillow cannot write."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(4 * 6)) * 4)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "rgba.png": (Image.new("RGBA", (4, 4)), ALPHA.format("RGBA")),
    "rgba.webp": (Image.new("RGBA", (4, 4), (1, 2, 3, 4)), ALPHA.format("RGBA")),
    "la.png": (Image.new("LA", (4, 4)), ALPHA.format("LA")),
    "p.png": (palette_with_transparency(), ALPHA.format("P")),
    "deep.png": (np.zeros((4, 4), np.uint16), DEPTH.format("I;16")),
    "deep_rgb.png": (
        deep_colour(),
        "images have 8 bits a channel, this one has 16-bit RGB; convert it",
    ),
    "torn.png": (half(encoded(noise(40, 40), "PNG")), TORN),
    "torn.jpg": (half(encoded(noise(40, 40), "JPEG")), TORN),
    "torn.webp": (half(encoded(noise(40, 40), "WEBP")), TORN),
    "torn.bmp": (half(encoded(noise(40, 40), "BMP")), TORN),
    "empty.png": (b"", "an empty file; copy or download it again, or delete it"),
    "text.png": (b"this is a text", FOREIGN),
    "gif.png": (encoded(noise(4, 4), "GIF"), FOREIGN),
}


@pytest.mark.parametrize("make", [unpack, as_zip])
@pytest.mark.parametrize("name", BAD)
def test_error_bad_file(tmp_path, name, make):
    image, words = BAD[name]
    write(tmp_path / name, image)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    place = make(tmp_path, {"0.png": GREY, name: content})
    assert message(place) == f"{place}/{name}: {words}"


def test_error_other_bad_files_are_counted(tmp_path):
    unpack(tmp_path, {"a.png": GREY, "b.png": b"", "c.png": b"text", "d.png": b""})
    assert message(tmp_path) == (
        f"{tmp_path}/b.png: an empty file; copy or download it again, or delete it"
        " (and 2 more bad files)"
    )


def test_a_strange_end_is_fine_if_the_image_decodes(tmp_path):
    # Some cameras write thousands of bytes behind the image.
    write(tmp_path / "a.jpg", encoded(noise(40, 40), "JPEG") + bytes(5000))
    write(tmp_path / "b.png", encoded(noise(40, 40), "PNG") + bytes(100))
    assert everything(open_place(tmp_path)).shape == (2, 40, 40, 3)


def test_error_in_the_middle_of_a_file_is_told_when_it_is_opened(tmp_path):
    content = bytearray(encoded(noise(40, 40), "PNG"))
    content[len(content) // 2] ^= 255
    write(tmp_path / "a.png", noise(40, 40))
    write(tmp_path / "b.png", bytes(content))
    assert message(tmp_path) == f"{tmp_path}/b.png: {TORN}"


def test_error_file_is_gone(tmp_path):
    source = open_place(unpack(tmp_path, FLAT))
    (tmp_path / "a.png").unlink()
    with pytest.raises(ReadError) as error:
        source.read(np.array([0]))
    assert str(error.value) == f"{tmp_path}/a.png: No such file or directory"


def test_error_file_has_changed(tmp_path):
    source = open_place(unpack(tmp_path, FLAT))
    write(tmp_path / "b.png", GREY[:2])
    with pytest.raises(ReadError) as error:
        source.read(np.array([1]))
    assert str(error.value) == (
        f"{tmp_path}: images differ in size: the set is 6 x 4, b.png is 6 x 2 (width x"
        " height); give size= to make them equal"
    )


# Arrays


@pytest.mark.parametrize("keys", [("x_train", "y_train"), ("images", "labels"), "xy"])
def test_npz(tmp_path, keys):
    images = np.stack([COLOUR, COLOUR + 1, COLOUR + 2])
    np.savez(tmp_path / "a.npz", **dict(zip(keys, (images, np.array([5, 0, 2])))))
    source = open_place(tmp_path / "a.npz")
    np.testing.assert_array_equal(everything(source), images)
    assert source.labels.tolist() == [5, 0, 2]
    assert source.labels.dtype == np.int32


def test_npz_has_splits(tmp_path):
    place = tmp_path / "a.npz"
    np.savez(place, x_train=[GREY, GREY], x_test=[GREY + 9], y_test=[[7]])
    train, test = open_place(place), open_place(place, "test")
    assert (train.n, train.labels, train.shape) == (2, None, (4, 6, 1))
    assert (test.n, test.labels.tolist()) == (1, [7])
    np.testing.assert_array_equal(everything(test)[0, ..., 0], GREY + 9)


def test_arrays_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", [GREY, GREY], [1, 0])
    assert open_place(tmp_path / "a.npz").labels.tolist() == [1, 0]
    np.save(tmp_path / "a.npy", [GREY, GREY])
    assert open_place(tmp_path / "a.npy").labels is None
    np.testing.assert_array_equal(
        open_place(tmp_path / "a.npy").read(np.array([1]))[0, ..., 0], GREY
    )


def test_arrays_are_prepared_as_files_are(tmp_path):
    images = np.stack([noise(20, 30, seed) for seed in range(3)])
    np.save(tmp_path / "a.npy", images)
    for i, image in enumerate(images):
        write(tmp_path / "folder" / f"{i}.png", image)
    one = open_place(tmp_path / "a.npy", size=8, channels=1)
    two = open_place(tmp_path / "folder", size=8, channels=1)
    assert one.shape == two.shape == (8, 8, 1)
    np.testing.assert_array_equal(everything(one), everything(two))
    images = everything(open_place(tmp_path / "a.npy", channels=1))
    assert images.shape == (3, 20, 30, 1)


WHOLE = (
    "not a whole NumPy file of plain arrays; write it again with np.savez(file,"
    " images=images, labels=labels)"
)
BAD_ARRAYS = [
    (
        {"x_train": np.zeros((2, 4, 4), np.float32)},
        "images are uint8, 0 to 255, not float32;"
        ' np.round(255 * x).astype("uint8") turns [0, 1] into them',
    ),
    (
        {"images": np.zeros((2, 4, 4, 4), np.uint8)},
        "images are (n, h, w), (n, h, w, 1) or (n, h, w, 3), not 2 x 4 x 4 x 4",
    ),
    (
        {"images": np.zeros((0, 4, 4), np.uint8)},
        "images are (n, h, w), (n, h, w, 1) or (n, h, w, 3), not 0 x 4 x 4 x 1",
    ),
    (
        {"faces": np.zeros((2, 4, 4), np.uint8)},
        "images are under x_train, x_test, images, x, arr_0; it has only faces",
    ),
    (
        {"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(3, int)},
        "labels are 2 whole numbers, one an image, not 3 of type int64",
    ),
    (
        {"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(2)},
        "labels are 2 whole numbers, one an image, not 2 of type float64",
    ),
    (
        {"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([0, -1])},
        "labels are counted from 0, not from -1",
    ),
    ({"x_test": np.zeros((2, 4, 4), np.uint8)}, 'it has only "test", no "train"'),
    ({"x": np.array([{}, {}], dtype=object)}, WHOLE),
]


@pytest.mark.parametrize("arrays, words", BAD_ARRAYS)
def test_error_arrays(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    assert message(tmp_path / "a.npz") == f"{tmp_path}/a.npz: {words}"


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"text", "torn"])
def test_error_not_a_numpy_file(tmp_path, name, content):
    place = tmp_path / name
    save = np.savez if name == "a.npz" else np.save
    save(place, np.zeros((9, 4, 4), np.uint8))
    place.write_bytes(half(place.read_bytes()) if content == "torn" else content)
    assert message(place) == f"{place}: {WHOLE}"


# idx files


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_idx(folder, part, images, labels=None, dash="-", pack=bytes, suffix=""):
    name = f"{part}-{{}}{dash}idx{{}}-ubyte{suffix}"
    write(folder / name.format("images", 3), pack(idx(images)))
    if labels is not None:
        write(folder / name.format("labels", 1), pack(idx(np.array(labels))))


SPELLINGS = [
    {},
    {"dash": "."},
    {"pack": gzip.compress, "suffix": ".gz"},
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_idx(tmp_path, spelling):
    images = np.stack([GREY, GREY + 1, GREY + 2])
    write_idx(tmp_path, "train", images, [3, 1, 2], **spelling)
    write_idx(tmp_path, "t10k", images[:1] + 100, **spelling)
    train, test = open_place(tmp_path), open_place(tmp_path, "test")
    np.testing.assert_array_equal(everything(train)[..., 0], images)
    assert train.labels.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(everything(test)[..., 0], images[:1] + 100)
    assert test.labels is None


def test_an_unpacked_idx_file_comes_before_a_packed_one(tmp_path):
    write_idx(tmp_path, "train", GREY[None])
    write_idx(tmp_path, "train", GREY[None] + 1, pack=gzip.compress, suffix=".gz")
    np.testing.assert_array_equal(everything(open_place(tmp_path))[0, ..., 0], GREY)


IMAGES = np.zeros((3, 4, 6), np.uint8)
BAD_IDX = [
    (
        idx(IMAGES)[:-5],
        "its header promises 3 x 4 x 6 bytes, it has 67; download it again",
    ),
    (
        idx(IMAGES[0]),
        "an idx file of 3 dimensions starts with the bytes 00 00 08 03, not"
        " 00 00 08 02; download it again",
    ),
    (
        b"",
        "an idx file of 3 dimensions starts with the bytes 00 00 08 03, not nothing;"
        " download it again",
    ),
]


@pytest.mark.parametrize("content, words", BAD_IDX)
def test_error_idx(tmp_path, content, words):
    write(tmp_path / "train-images-idx3-ubyte", content)
    assert message(tmp_path) == f"{tmp_path}/train-images-idx3-ubyte: {words}"


def test_error_torn_gzip(tmp_path):
    name = "train-images-idx3-ubyte.gz"
    write(tmp_path / name, half(gzip.compress(idx(IMAGES))))
    told = f"{tmp_path}/{name}: a torn gzip file; download it again"
    assert message(tmp_path) == told


def test_error_idx_labels(tmp_path):
    write_idx(tmp_path, "train", IMAGES, [1, 2])
    assert message(tmp_path) == (
        f"{tmp_path}: labels are 3 whole numbers, one an image, not 2 of type uint8"
    )
    assert message(tmp_path, "test") == f'{tmp_path}: it has only "train", no "test"'
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert message(tmp_path) == (
        f"{tmp_path}: it has idx files of labels, but none of images"
    )


# What comes with gantf


def test_embedded_file():
    place = readers.data_file("fashion_mnist.npz")
    train, test = open_place(place), open_place(place, "test")
    assert (train.n, test.n, train.shape) == (5000, 1000, (28, 28, 1))
    assert np.bincount(train.labels).tolist() == [500] * 10


def test_error_data_file():
    with pytest.raises(ReadError) as error:
        readers.data_file("fashion_mnist.csv")
    assert str(error.value) == (
        "fashion_mnist.csv: this copy of gantf came without it; install gantf again"
    )
