"""Image sets of TensorFlow Datasets (TFDS), by their names there.

TFDS downloads a set and writes records of encoded images, in files of TFRecord or
ArrayRecord. Images are read from these one by one, in TFDS' own order, see
`gantf.readers.tfdsfiles`.

Images are those of `as_dataset`: without alpha, and not turned as EXIF says. All but
JPEGs are the same bit for bit. JPEGs are decoded by Pillow, as everywhere in gantf, by
the exact inverse DCT: that is `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` bit
for bit. TFDS takes TensorFlow's fast one, which in 120 photographs was off by 1 level
in the mean, and by 19 in the worst pixel.

Labels are the feature "label", or what TFDS has classifiers learn. `label` may name
another feature of classes, as "coarse_label" of cifar100, or attributes of celeb_a, as
"Male+Smiling", see `gantf.readers.celeba`.
"""

import io
import os
import re
from typing import NamedTuple

import numpy as np
from PIL import Image

from gantf.choices import hint
from gantf.images import FORMATS, MODES, ReadError
from gantf.readers.celeba import check_attributes, class_names
from gantf.readers.large import FIRST, check_sized
from gantf.readers.source import (
    CALLED,
    Faults,
    Options,
    Source,
    chosen_splits,
    image_source,
)
from gantf.readers.tfdsfiles import AFRESH, list_records


def open_tfds(
    name: str, options: Options, splits: dict[str, str] | None = None
) -> Source:
    """Splits of a set, downloaded and prepared where they are not there yet.

    Args:
      name: of the set in TFDS, as "lsun/bedroom".
      options: what is asked for.
      splits: what splits are there that have other names than in `CALLED`.
    """
    called = f"tfds:{name}"
    info = _prepared(called, name)
    chosen = _splits(called, info, options.split, splits or {})
    key, (height, width, channels) = _image_feature(called, info)
    if None in (height, width):
        check_sized(called, options)
        height, width = options.preparation.size
    label = _label(called, info, options.label)
    faults = Faults(called, options.on_error)
    records, labels = list_records(called, info, chosen, label.keys, faults)
    if not label.keys or (labels < 0).any():  # -1: TFDS does not know it
        label, labels = _NO_LABEL, None
    n = len(records.places)

    def image(number):
        return records.read(number, [key], _decoded)

    return image_source(
        called,
        options,
        n,
        image,
        (width, height),
        channels,
        labels,
        faults=faults,
        classes=label.classes,
        suffixes=_suffixes(min(n, FIRST), image, faults),
    )


def _prepared(called, name):
    """The `tfds.core.DatasetInfo` of a set that is on this machine now."""
    import tensorflow_datasets as tfds  # half a second that other sets need not wait

    # TFDS reads its environment variable only once, when it is imported.
    folder = os.environ.get("TFDS_DATA_DIR")
    try:
        builder = tfds.builder(name, data_dir=folder)
        builder.download_and_prepare()
    except Exception as error:  # whatever a builder of other people's may raise
        raise ReadError(f"{called}: {_one_line(error)}") from error
    return builder.info


def _one_line(error):
    """TFDS' own words, without its list of all sets."""
    words, _, rest = str(error).partition("\nAvailable datasets:")
    if close := re.search(r"Did you mean.*", rest):
        words = f"{words} {close[0]}"
    return " ".join(words.split()) or type(error).__name__


def _splits(called, info, split, others):
    """TFDS' names of the splits that are meant."""
    theirs = {ours: one for one, ours in CALLED.items() if one in info.splits} | others
    if not theirs:
        raise ReadError(
            f"{called}: it has no train, valid or test, only {', '.join(info.splits)};"
            " export what is meant to a folder and give that"
        )
    return [theirs[one] for one in chosen_splits(called, split, theirs)]


# Images and labels


def _image_feature(called, info):
    """The key of the images, and their shape, with None where it is not the same."""
    import tensorflow_datasets as tfds

    found = dict(info.features.items())
    keys = [key for key in found if isinstance(found[key], tfds.features.Image)]
    if not keys:
        raise ReadError(f"{called}: it has no images, only {', '.join(found)}")
    if len(keys) > 1 and "image" not in keys:
        raise ReadError(
            f"{called}: it has several images, {', '.join(keys)}, and none of them is"
            " called image; export what is meant to a folder and give that"
        )
    key = "image" if "image" in keys else keys[0]
    dtype, shape = np.dtype(found[key].np_dtype), found[key].shape
    if dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3):
        raise ReadError(
            f"{called}: images are uint8 of (h, w, 1) or (h, w, 3), not {dtype} of"
            f" {shape}"
        )
    return key, shape


def _decoded(data):
    """The image that TensorFlow has, for the mode of which `upright` drops alpha."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
    except Exception:  # Pillow has no list of what torn files raise
        raise ReadError(f"no whole image of {', '.join(FORMATS)}; {AFRESH}") from None
    if image.mode not in {*MODES, "LA", "PA", "RGBA"}:
        raise ReadError(f"images have 8 bits a channel, not mode {image.mode}")
    plain = image.copy()  # without what is known of its EXIF data
    plain.info.clear()
    plain.format = image.format
    return plain


def _suffixes(first, image, faults):
    """What files of the first image that can be read would end in."""
    bad = []
    for number in range(first):
        try:
            return (f".{image(number).format.lower()}",)
        except ReadError as error:
            faults.meet(error)
            bad.append(error)
    if bad:
        raise ReadError(f"{bad[0]} (and so are all of the first {len(bad)})")
    return ()


class _Label(NamedTuple):
    """What labels are made of.

    Args:
      keys: of whole numbers in a record, see `tfdsfiles.list_records`.
      classes: their names.
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]


_NO_LABEL = _Label((), ())


def _label(called, info, wanted):
    """The label that is asked for, or the set's own."""
    import tensorflow_datasets as tfds

    found = dict(info.features.items())
    numbered = {
        key: _Label((key,), tuple(feature.names or ()))
        for key, feature in found.items()
        if isinstance(feature, tfds.features.ClassLabel)
    }
    if wanted is None:
        learnt = info.supervised_keys[1] if info.supervised_keys else None
        own = "label" if "label" in numbered else learnt
        return numbered.get(own, _NO_LABEL) if isinstance(own, str) else _NO_LABEL
    if wanted in numbered:
        return numbered[wanted]
    attributes = dict(found["attributes"].items()) if "attributes" in found else {}
    words = wanted.split("+")
    for word in words:
        if word not in attributes:
            near = hint(word, [*numbered, *attributes])
            raise ReadError(f"{called}: no label {word!r}{near}")
    check_attributes(called, words)
    keys = (f"attributes/{word}" for word in words)
    return _Label(tuple(keys), class_names(words))
