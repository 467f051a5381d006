"""Image files: a folder or an archive of them, flat or a folder a class.

Folders train/, valid/ and test/ (or what `CALLED` knows them by) are splits. Images are
decoded once when a place is opened first, so that a bad one is told before the first
step; what was found is kept in the cache's folder, and they are decoded again when
asked for. Archives are read where they are; nothing is unpacked.
"""

import contextlib
import hashlib
import io
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gantf.files import cache_folder, whole
from gantf.images import SUFFIXES, ReadError, load, look_at, told
from gantf.readers.archives import (
    Members,
    check_size,
    open_tar_members,
    open_zip_members,
)
from gantf.readers.source import (
    CALLED,
    Faults,
    Options,
    Source,
    chosen_splits,
    image_source,
    in_threads,
)

# Images that are told rather than passed over.
FOREIGN = ".gif .tif .tiff .jfif .jpe .heic .avif .jp2 .jxl .ppm .pgm .tga".split()
_RULES = 1  # another number where other images are refused than before


class Listing(NamedTuple):
    """What is in a place.

    Args:
      names: of image files, as "train/cat/1.png", in order.
      strays: name -> what is wrong with others, which may have been images.
      others: how many files are no images.
      read: name -> the bytes of a file, or a `ReadError` that does not name it.
      fingerprint: another one where one of the files has changed.
    """

    names: list[str]
    strays: dict[str, str]
    others: int
    read: Callable[[str], bytes]
    fingerprint: str


def open_folder(path: Path, options: Options) -> Source:
    """A folder of images."""
    return _listed_source(path, list_folder(path), options)


def open_zip(path: Path, options: Options) -> Source:
    """A zip of images."""
    return _listed_source(path, list_archive(open_zip_members(path)), options)


def open_tar(path: Path, options: Options) -> Source:
    """A tar of images."""
    return _listed_source(path, list_archive(open_tar_members(path)), options)


def _listed_source(path, listing, options):
    if listing.others:
        say = f"gantf: {path}: {listing.others:,} files in it are no images"
        print(say, file=sys.stderr, flush=True)
    names, labels, classes = _layout(path, listing.names, options.split)
    return encoded_source(
        str(path), options, names, listing.read, listing.fingerprint, labels, classes,
        listing.strays,
    )  # fmt: skip


def encoded_source(
    name: str,
    options: Options,
    names: Sequence[str],
    read: Callable[[str], bytes],
    fingerprint: str,
    labels: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
    strays: Mapping[str, str] | None = None,
) -> Source:
    """A source of image files, each of which is decoded once before it is given.

    Args:
      name: what people call it; messages call a file name/its name.
      options: what is asked for.
      names: of the files of this split.
      read: the name of a file -> its bytes, or a `ReadError` that does not name it;
        any number of threads may call it.
      fingerprint: of the files: another one where one of them has changed.
      labels: whole numbers (n,) from 0, or None.
      classes: names of the labels.
      strays: name -> what is wrong with files that are bad whatever they hold.
    """
    heads, bad = _look(name, names, read, fingerprint)
    wrong = [_line(name, *stray) for stray in (strays or {}).items()] + bad
    if wrong and (options.on_error == "refuse" or len(bad) == len(names)):
        more = f" (and {len(wrong) - 1} more bad files)" if len(wrong) > 1 else ""
        raise ReadError(f"{wrong[0]}{more}")
    faults = Faults(name, options.on_error)
    for line in wrong:
        faults.meet(ReadError(line))
    if bad:
        good = np.flatnonzero(heads[:, 2])
        names, heads = [names[i] for i in good], heads[good]
        labels = None if labels is None else labels[good]

    def image(i):
        with told(name, names[i]):
            return load(io.BytesIO(read(names[i])))

    return image_source(
        name,
        options,
        len(names),
        image,
        heads[:, :2].tolist(),
        int(heads[:, 2].max()),
        labels,
        names.__getitem__,
        faults,
        classes=classes,
        suffixes=tuple(sorted({os.path.splitext(name)[1].lower() for name in names})),
    )


def _line(path, name, words):
    """The words as `told` would have them."""
    try:
        with told(path, name):
            raise ReadError(words)
    except ReadError as error:
        return str(error)


# What is in a place


def _is_image(name):
    return name.lower().endswith(SUFFIXES)


def _foreign(name):
    """What is wrong with an image of a kind that is not read; None of other files."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in FOREIGN:
        return None
    return f"images are PNG, JPEG, WEBP or BMP, not {suffix[1:]}; convert or rename it"


def _hidden(part):
    return part == "__MACOSX" or (part[:1] == "." and part != "..")


def list_folder(path: Path) -> Listing:
    """The images in a folder and in those that it links to, each folder once."""
    rows, bad, strays, others, seen = [], {}, {}, 0, set()
    folders, links = [""], []  # what links lead to comes last
    while folders or links:
        inner = folders.pop() if folders else links.pop()
        try:
            status = os.stat(path / inner)
            if (status.st_dev, status.st_ino) in seen:
                strays[inner] = "a link to a folder that is read already; delete it"
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path / inner) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            strays[inner] = error.strerror
            continue
        for entry in entries:
            name = f"{inner}/{entry.name}" if inner else entry.name
            image, link = _is_image(name), entry.is_symlink()
            if _hidden(entry.name):
                continue
            try:
                if entry.is_dir():
                    (links if link else folders).append(name)
                    continue
                # Links are followed here, so that those to nowhere are found.
                status = entry.stat() if image or link else None
            except OSError as error:
                words = "a link to nowhere; mend or delete it"
                (bad if image else strays)[name] = words if link else error.strerror
                continue
            if not image and (words := _foreign(name)):
                strays[name] = words
            elif not image:
                others += 1
            elif stat.S_ISREG(status.st_mode):
                rows.append((name, status.st_size, status.st_mtime_ns))
            else:
                bad[name] = _NO_FILE

    def read(name):
        if name in bad:
            raise ReadError(bad[name])
        # A pipe that took its place would be waited for without end.
        descriptor = os.open(path / name, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ReadError(_NO_FILE)
            check_size(status.st_size)
            return file.read(status.st_size)

    digest = hashlib.sha256()
    for row in sorted(rows):
        digest.update("{}\0{}\0{}\0".format(*row).encode("utf-8", "surrogateescape"))
    names = sorted([name for name, _, _ in rows] + [*bad])
    strays = dict(sorted(strays.items()))
    return Listing(names, strays, others, read, digest.hexdigest())


_NO_FILE = "a pipe or device, no plain file; delete it"


def list_archive(members: Members) -> Listing:
    """The images in an archive, without a folder that all of them are in."""
    shown = [
        name
        for name in [*members.names, *members.bad]
        if not any(map(_hidden, name.split("/")))
    ]

    def leads_out(name):
        return name.startswith("/") or ".." in name.split("/")

    names = sorted(name for name in shown if _is_image(name) and not leads_out(name))
    bad = {name: words for name in shown if (words := _foreign(name))} | members.bad
    strays = bad.keys() & set(shown) - set(names)
    tops = {name.rpartition("/")[0].partition("/")[0] for name in names}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    if top == "/" or top[:-1].lower() in CALLED:
        top = ""
    return Listing(
        [name.removeprefix(top) for name in names],
        {name: bad[name] for name in sorted(strays)},
        len(shown) - len(names) - len(strays),
        lambda name: members.read(top + name),
        members.fingerprint,
    )


def _layout(path, names, split):
    """Names of one split, their labels (or None) and the names of the classes."""
    if not names:
        raise ReadError(f"{path}: no images in it; they end in {', '.join(SUFFIXES)}")
    tops = {name.partition("/")[0] for name in names if "/" in name}
    splits = {top: CALLED[top.lower()] for top in tops if top.lower() in CALLED}
    chosen = chosen_splits(path, split, splits.values() or ["train"])
    inner, taken = names, names
    if splits:
        for name in names:
            if "/" not in name or name.partition("/")[0] not in splits:
                raise ReadError(
                    f"{path}: with {min(splits)}/ in it, all images are in folders of"
                    f" splits, as train/, valid/ and test/; {name} is not: move it away"
                )
        taken = [
            name
            for one in chosen
            for name in names
            if splits[name.partition("/")[0]] == one
        ]
        inner = (name.partition("/")[2] for name in names)
    # Classes have the same numbers in all splits.
    classes = sorted({name.partition("/")[0] for name in inner if "/" in name})
    depth = 1 + bool(splits)
    flat = [name for name in taken if name.count("/") < depth]
    if flat and len(flat) < len(taken):
        other = next(name for name in taken if name.count("/") >= depth)
        raise ReadError(
            f"{path}: images are all in folders, one a class, or none is; {flat[0]} is"
            f" not, {other} is: move one of them away"
        )
    if flat:
        return taken, None, ()
    number = {name: i for i, name in enumerate(classes)}
    labels = [number[name.split("/", depth)[depth - 1]] for name in taken]
    return taken, np.array(labels, np.int32), tuple(classes)


# The first look


def _look(path, names, read, fingerprint):
    """uint16 (n, 3) of (w, h, channels), 0 where images are bad; and what is wrong.

    Good images are not looked at again where the cache's folder knows them; bad ones
    are, since a disk or a right may have been what was bad.
    """
    key = hashlib.sha256(f"{_RULES} {fingerprint} ".encode())
    key.update("\0".join(names).encode("utf-8", "surrogateescape"))
    cache = cache_folder() / "looks" / key.hexdigest()
    heads = _load_heads(cache, len(names))
    unknown = np.flatnonzero(heads[:, 2] == 0).tolist()
    if not unknown:
        return heads, []

    def look(i):
        try:
            with told(path, names[i]):
                heads[i] = look_at(io.BytesIO(read(names[i])))
        except ReadError as error:
            return str(error)  # and not the error, which holds on to the pixels

    def tell(done, rest):
        _save_heads(cache, heads)
        say = f"looked at {done:,} of {len(unknown):,} images in {path}"
        print(f"gantf: {say}, about {rest:,} s more", file=sys.stderr, flush=True)

    try:
        return heads, [words for words in in_threads(look, unknown, tell) if words]
    finally:  # an interrupted look goes on where it was
        _save_heads(cache, heads)


def _load_heads(cache, n):
    """What a look found before: (n, 3), 0 where nothing is known."""
    with contextlib.suppress(OSError):
        content = cache.read_bytes()
        digest, heads = content[:32], content[32:]
        if hashlib.sha256(heads).digest() == digest and len(heads) == 6 * n:
            return np.frombuffer(heads, "<u2").reshape(n, 3).copy()
    return np.zeros((n, 3), "<u2")


def _save_heads(cache, heads):
    content = heads.tobytes()
    with contextlib.suppress(OSError):  # the next look takes its time again
        cache.parent.mkdir(parents=True, exist_ok=True)
        with whole(cache) as unfinished:
            unfinished.write_bytes(hashlib.sha256(content).digest() + content)
