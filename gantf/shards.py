"""Prepared sets: the images of any place, made ready once, in shards of TFRecords.

`prepare` writes what `gantf.readers.shards` reads. The same images and settings give
the same bytes in all files, whatever prepares them: how many shards there are follows
from the number of images and their size alone. A shard is written whole, with a record
of it beside; a program that was stopped goes on with those that are missing.
"""

import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from gantf import workers
from gantf.choices import whole_number
from gantf.files import TORN, sha256, whole, write_json
from gantf.plans import OTHER, ShardError, begin, plan
from gantf.readers import Options, ReadError, Source, open_place
from gantf.readers.shards import ARRAYS, INDEX, PLAN, read_index
from gantf.readers.source import SPLITS, Faults, NoSplit
from gantf.records import FRAME, RecordFile, example, features, framed, scan

AROUND = FRAME + 128  # bytes of a record, at most, that are no pixels
_GOES_ON = "the same command goes on where it stopped"


@dataclass(frozen=True)
class Job:
    """One shard: images start, start + 1, …, stop - 1 of a source.

    Args:
      place: absolute path of the source, or a name that `gantf.datasets.find` knows.
      options: what is asked of it, its split too.
      path: of the shard.
      start, stop: numbers of images.
    """

    place: str
    options: Options
    path: Path
    start: int
    stop: int

    @property
    def record(self) -> Path:
        """The file that says that this shard is finished, and what is in it."""
        return self.path.with_suffix(".json")


def prepare(
    name: str,
    place: str | os.PathLike,
    folder: str | os.PathLike,
    options: Options | None = None,
    split: str = "all",
    shard_mb: int = 128,
    processes: int | None = None,
    runner: str | None = None,
    pipeline: Sequence[str] = (),
) -> dict[str, Any]:
    """Writes a prepared set, or what is missing of it.

    Args:
      name: of the set, for people.
      place: what `gantf.datasets.find` takes.
      folder: of the prepared set: a new one, or one that this began.
      options: of its images; their split is not looked at.
      split: "train", "valid", "test", or "all" that are there.
      shard_mb: the most that a shard has, in 10^6 bytes, if not one image alone has
        more.
      processes: that write shards; None for one a core. It does not change a byte.
      runner: of Apache Beam, as "DirectRunner"; None for processes of this machine.
      pipeline: flags of Beam's pipeline, as "--direct_num_workers=2".

    Returns:
      What index.json says.

    Raises:
      ReadError: the place cannot be read, or one of its images.
      ShardError: the folder is another's, or cannot be written to.
      WorkError: its processes or its pipeline have failed.
    """
    place, folder = os.fspath(place), Path(folder).expanduser()
    options = options or Options()
    whole_number("shard_mb", shard_mb)
    processes = workers.cores() if processes is None else processes
    whole_number("processes", processes)
    _check_options(options, place, folder)
    try:
        sources = _sources(place, options, split)
        planned = plan(name, place.rstrip(os.sep), sources, options, shard_mb)
        if begin(folder, planned):
            return read_index(folder).about
        jobs = _jobs(place, sources, options, folder, shard_mb)
        todo = [job for job in jobs if not _is_done(job)]
        if runner is None:
            _run(todo, processes, folder.name, jobs)
        else:
            workers.run_beam(write_shard, todo, runner, pipeline)
        return _finish(folder, planned, jobs, sources)
    except OSError as error:
        words = f"{error.strerror}; when that is mended, {_GOES_ON}"
        raise ShardError(f"{folder}: {words}") from None
    finally:
        _opened.cache_clear()


def check(folder: str | os.PathLike) -> dict[str, Any]:
    """What index.json says of a prepared set, all files of which have their SHA-256.

    Raises:
      ReadError: one of them has not; the message names it.
    """
    folder = Path(folder).expanduser()
    if not (folder / INDEX).exists() and not (folder / PLAN).exists():
        raise ReadError(f"{folder}: no prepared set: it has no {INDEX}")
    about = read_index(folder).about
    shards = about["shards"]
    total = sum(shard["bytes"] for shard in shards)
    with _bar(folder.name, total, "B") as bar:
        for shard in shards:
            path = folder / shard["file"]
            if sha256(path) != shard["sha256"]:
                raise ReadError(
                    f"{path}: bytes of it have changed (its SHA-256 differs); copy it"
                    " again, or prepare the set again"
                )
            bar.update(shard["bytes"])
    return about


def write_shard(job: Job, each: Callable[[], None] = lambda: None) -> None:
    """Writes a shard, and then its record.

    Args:
      job: which.
      each: is called before each image; what it raises ends the work.
    """
    source = _opened(job.place, job.options)
    alone = _alone(source)
    digest, pixels, skipped = hashlib.sha256(), 0, {}
    with whole(job.path) as unfinished, unfinished.open("wb") as file:
        for number in range(job.start, job.stop):
            each()
            try:
                image = alone(number)
            except ReadError as error:
                if job.options.on_error == "refuse":
                    raise
                skipped[number] = _inner(source, str(error))
                continue
            record = framed(example(_values(image, source.labels, number)))
            file.write(record)
            digest.update(record)
            pixels += _pixel_hash(number, image)
    about = {
        "n": job.stop - job.start - len(skipped),
        "bytes": job.path.stat().st_size,
        "sha256": digest.hexdigest(),
        "pixels": f"{pixels % 2**256:064x}",
        "skipped": skipped,
    }
    write_json(job.record, about)


def _values(image, labels, number):
    values = {"image": image.tobytes(), "shape": image.shape}
    return values if labels is None else {**values, "label": [int(labels[number])]}


def _pixel_hash(number, image):
    """SHA-256 of an image's number and bytes; their sum has no order of shards."""
    data = number.to_bytes(8, "little") + image.tobytes()
    return int.from_bytes(hashlib.sha256(data).digest())


def _alone(source):
    """Number -> that image and no other."""
    return source.one or (lambda number: source.read([number])[0])


def _inner(source, words):
    """What a message says behind the name of the place."""
    return words.removeprefix(source.name).lstrip("/: ")


# Before


@functools.lru_cache(len(SPLITS))  # a process opens a split once
def _opened(place, options):
    if os.path.isabs(place):
        return open_place(place, options)
    # TensorFlow comes with it, for which the processes that write need not wait.
    from gantf import datasets

    return datasets.find(place, **vars(options))


def _absolute(place):
    """A path as it is from any folder; a name as it is."""
    path = Path(place).expanduser()
    return str(path.absolute()) if path.exists() else place


def _check_options(options, place, folder):
    if options.preparation.random:
        raise ShardError(
            f"prepare {options.preparation.words!r} cuts somewhere else each time that"
            " an image is read, and a prepared set has one cut; take crop-N in place of"
            " random-N, or train on the images themselves"
        )
    here, there = folder.resolve(), Path(place).expanduser().resolve()
    if there.is_dir() and here.is_relative_to(there):
        raise ShardError(f"{folder} is in {place}, its source; give another --out")


def _sources(place, options, split) -> dict[str, Source]:
    """Split -> its source; splits that a set does not have are left out of "all"."""
    # A bare word may be the name of a set, whatever is here under that name.
    place = _absolute(place) if os.sep in place else place
    found = {}
    for one in SPLITS[:3] if split == "all" else [split]:
        try:
            found[one] = _opened(place, replace(options, split=one))
        except NoSplit:
            if split != "all" or (one == SPLITS[2] and not found):
                raise
    first = next(iter(found.values()))
    if len(first.shape) == 1:
        raise ShardError(f"{place}: points are drawn anew; only images are prepared")
    known = next((one for one in found.values() if one.classes), first)
    for split, one in found.items():
        # Splits without labels go with any classes.
        if one.shape != first.shape or one.classes not in ((), known.classes):
            raise ShardError(
                f"{place}: images of {split} are {_by(one.shape)} in"
                f" {len(one.classes)} classes, those of {first.split}"
                f" {_by(first.shape)} in {len(known.classes)}; give --size and"
                " --channels, or prepare one --split"
            )
    return found


def _by(shape):
    return " x ".join(map(str, shape))


def _jobs(place, sources, options, folder, shard_mb) -> list[Job]:
    jobs, folder = [], folder.absolute()
    for split, source in sources.items():
        # Where a name stands for a path, nobody need look it up again.
        found = _absolute(source.name)
        found = found if os.path.isabs(found) else place
        most = max(1, shard_mb * 10**6 // (int(np.prod(source.shape)) + AROUND))
        count = -(-source.n // most)
        for i in range(count):
            path = folder / f"{split}-{i:05d}-of-{count:05d}.tfrecord"
            start, stop = (source.n * j // count for j in (i, i + 1))
            asked = replace(options, split=split)
            jobs.append(Job(found, asked, path, start, stop))
    return jobs


def _is_done(job) -> bool:
    """Whether a shard is finished, and its first image still comes out as it did."""
    try:
        record = _read_record(job)
        if sha256(job.path) != record["sha256"]:
            return False
        numbers, skipped = range(job.start, job.stop), record["skipped"]
        first = next(number for number in numbers if str(number) not in skipped)
        was = RecordFile(job.path).read(*next(scan(job.path)), 0)
        image = _alone(_opened(job.place, job.options))(first)
    except StopIteration:
        return True  # of no images
    except (*TORN, OSError):
        return False
    if features(was, ["image"])["image"] != [image.tobytes()]:
        raise ShardError(
            f"{job.path}: image {first} was another one when this was written; {OTHER}"
        )
    return True


def _read_record(job):
    return json.loads(job.record.read_bytes())


# Meanwhile


def _run(todo, processes, called, jobs):
    images = sum(job.stop - job.start for job in jobs)
    rest = sum(job.stop - job.start for job in todo)
    if not all(os.path.isabs(job.place) for job in todo):
        processes = 1  # a name, for which each would have to load TensorFlow
    with _bar(called, images, " images", images - rest) as bar:
        workers.run(write_shard, todo, processes, bar.update)


def _bar(called, total, unit, initial=0):
    """A progress bar; a log gets a line of it now and then."""
    often = 0.5 if sys.stderr.isatty() else 30
    return tqdm(
        desc=called, total=total, unit=unit, initial=initial, mininterval=often,
        unit_scale=unit == "B", dynamic_ncols=True,
    )  # fmt: skip


# After


def _finish(folder, planned, jobs, sources) -> dict[str, Any]:
    """Writes the index and takes away what was for going on."""
    rows, labels, shards = [], [], []
    splits = {
        one: {
            "n": 0,
            "labels": source.labels is not None,
            "pixels": 0,
            "skipped": [_inner(source, line) for line in source.faults.lines],
        }
        for one, source in sources.items()
    }
    for job in jobs:
        about, found = _read_record(job), np.array([*scan(job.path)], np.int64)
        rows.append(found.reshape(-1, 3))
        kept = np.ones(job.stop - job.start, bool)
        kept[[int(number) - job.start for number in about["skipped"]]] = False
        split, source = job.options.split, sources[job.options.split]
        every = np.full(source.n, -1) if source.labels is None else source.labels
        labels.append(every[job.start : job.stop][kept])
        shard = {key: about[key] for key in ("n", "bytes", "sha256")}
        shards.append({"file": job.path.name, "split": split, **shard})
        splits[split]["n"] += about["n"]
        splits[split]["pixels"] += int(about["pixels"], 16)
        splits[split]["skipped"] += about["skipped"].values()
    for split, about in splits.items():
        if not about["n"]:
            raise ShardError(f"{folder}: no image of {split} can be read")
        about["pixels"] = f"{about['pixels'] % 2**256:064x}"
        faults = Faults(folder, "skip")
        for line in about["skipped"][len(sources[split].faults.lines) :]:
            faults.meet(ReadError(f"{split}: {line}"))
    starts, _, crcs = np.concatenate(rows).T
    with whole(folder / ARRAYS) as unfinished:
        np.savez(
            unfinished,
            starts=starts,
            crcs=crcs.astype(np.uint32),
            labels=np.concatenate(labels).astype(np.int32),
        )
    arrays = {"file": ARRAYS, "sha256": sha256(folder / ARRAYS)}
    index = {**planned, "splits": splits, "index": arrays, "shards": shards}
    write_json(folder / INDEX, index)
    for path in [folder / PLAN, *(job.record for job in jobs)]:
        path.unlink(missing_ok=True)
    return index
