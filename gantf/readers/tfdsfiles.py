"""Files in which TensorFlow Datasets (TFDS) keeps a set: records by number.

Where the records are, and their labels, is listed once and kept in the cache's folder
for as long as the files are the same. The order is that of TFDS'
`as_dataset(shuffle_files=False)`, or of its `as_data_source` where it has no other.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gantf.files import cache_arrays, cache_folder, cached_arrays
from gantf.images import ReadError
from gantf.readers.source import Faults, in_threads
from gantf.records import RecordFile, features, scan

# How TFDS reads files: 16 at a time, 16 records of one in a row (tfds.ReadConfig).
CYCLE, BLOCK = 16, 16
AFRESH = "delete the folder of its file, and TFDS prepares the set anew"
_AGAIN = "copy or make the file again"
_OPEN = 256  # files that are open at a time
_LISTS = 1  # what is kept; another number makes it anew


class _Form(NamedTuple):
    """How a format of files is read.

    Args:
      places: a file -> what it takes to read its records, (width,) numbers each.
      width: how many these are.
      open: a file -> what reads it: number of a record and its place -> bytes.
      cycle: how many files TFDS reads at a time.
    """

    places: Callable[[Path], Iterator[tuple[int, ...]]]
    width: int
    open: Callable[[Path], Callable[..., bytes]]
    cycle: int


def _open_tfrecords(path):
    file = RecordFile(path)
    return lambda number, *place: file.read(*place, number)


def _array_reader(path):
    from array_record.python.array_record_module import ArrayRecordReader

    # As TFDS opens them: nothing is read before it is asked for.
    return ArrayRecordReader(os.fspath(path), options="readahead_buffer_size:0")


def _array_places(path):
    return itertools.repeat((), _array_reader(path).num_records())


def _open_array_records(path):
    reader = _array_reader(path)

    def read(number):
        try:
            return reader.read([number])[0]
        except RuntimeError:
            words = f"record {number} has changed; {_AGAIN}"
            raise ReadError(f"{path}: {words}") from None

    return read


# By TFDS' names of formats.
FORMS = {
    "tfrecord": _Form(scan, 3, _open_tfrecords, CYCLE),
    "array_record": _Form(_array_places, 0, _open_array_records, 1),
}


class Records:
    """Records by number; any number of threads may read.

    Args:
      called: what people call the set.
      form: of the files.
      files: all of them.
      places: int64 (n, 2 + width): number of its file, its number there, its place.
    """

    def __init__(self, called, form: _Form, files: Sequence[Path], places: np.ndarray):
        self.called, self.files, self.places = called, files, places
        self._open = functools.lru_cache(_OPEN)(lambda i: form.open(files[i]))

    def read(self, number: int, keys: Sequence[str], made: Callable[..., Any]) -> Any:
        """What `made` makes of the first values under some keys of a record."""
        file, row, *place = self.places[number].tolist()
        try:
            data = self._open(file)(row, *place)
        except ReadError as error:  # which names the file and the record
            raise ReadError(f"{self.called}: {error}") from None
        try:
            found = features(data, keys)
            if missing := [key for key in keys if not found.get(key)]:
                raise ReadError(f"it has no {missing[0]}; {AFRESH}")
            return made(*(found[key][0] for key in keys))
        except ReadError as error:
            where = f"{self.files[file]}: record {row}"
            raise ReadError(f"{self.called}: {where}: {error}") from None


def list_records(
    called: str,
    info: Any,
    splits: Sequence[str],
    keys: Sequence[str],
    faults: Faults,
) -> tuple[Records, np.ndarray]:
    """The records of some splits, one split behind the other, and their labels.

    Args:
      called: what people call the set.
      info: its `tfds.core.DatasetInfo`.
      splits: TFDS' names of them.
      keys: of the whole numbers in a record that its label is made of, see `_bits`.
      faults: what meets records that cannot be read; they are left out.

    Returns:
      (records, labels): labels are int64 (n,), 0 without keys.
    """
    if (named := info.file_format.value) not in FORMS:
        raise ReadError(
            f"{called}: TFDS has prepared it as {named}, which cannot be read image by"
            f" image here; prepare it as {' or '.join(FORMS)}"
        )
    form, shards = FORMS[named], [info.splits[one].file_instructions for one in splits]
    files = [Path(shard.filename) for shard in itertools.chain(*shards)]
    kept = cache_folder() / "tfds" / f"{_fingerprint(files, keys)}.npz"
    if found := cached_arrays(kept):
        return Records(called, form, files, found["places"]), found["labels"]
    if info.disable_shuffling:  # the order of the set means something
        form = form._replace(cycle=1)
    places = _places(called, form, shards, faults)
    records = Records(called, form, files, places)
    labels, good = np.zeros(len(places), np.int64), np.ones(len(places), bool)
    if keys:
        for number in _pass(records, keys, labels, faults):
            good[number] = False
    if not faults.lines:
        error = cache_arrays(kept, {"places": places, "labels": labels})
        if error:  # it is made again the next time
            print(f"gantf: {kept}: {error.strerror}", file=sys.stderr, flush=True)
    return Records(called, form, files, places[good]), labels[good]


def _fingerprint(files, keys):
    """Another one where one of the files has changed."""
    words = [_LISTS, keys]
    for path in files:
        words.append(str(path.resolve()))
        with contextlib.suppress(OSError):  # a missing one is told when it is read
            words += [path.stat().st_size, path.stat().st_mtime_ns]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def _places(called, form, splits, faults):
    """The places of all records, see `Records`, split by split in TFDS' order."""
    ordered, files = [], itertools.count()
    for shards in splits:
        found = [
            _places_in(called, form, shard, next(files), faults) for shard in shards
        ]
        joined = np.concatenate([np.empty((0, 2 + form.width), np.int64), *found])
        ordered.append(joined[_interleaved(list(map(len, found)), form.cycle)])
    return np.concatenate(ordered)


def _places_in(called, form, shard, file, faults):
    """The places of the records of one file."""
    path, rows = Path(shard.filename), []
    try:
        for row, place in enumerate(form.places(path)):
            rows.append((file, row, *place))
        if len(rows) != shard.take:
            raise ReadError(
                f"{path}: it has {len(rows):,} records, and TFDS wrote {shard.take:,};"
                f" {_AGAIN}"
            )
    except ReadError as error:
        faults.meet(ReadError(f"{called}: {error}"))
    except OSError as error:
        faults.meet(ReadError(f"{called}: {path}: {error.strerror}"))
    return np.array(rows, np.int64).reshape(-1, 2 + form.width)


def _interleaved(lengths, cycle):
    """Numbers of all records, counted file by file, in the order of TFDS.

    That of `tf.data.Dataset.interleave`: files take turns of `BLOCK` records; one that
    cannot fill its turn leaves its place to the next file.
    """
    ends = list(itertools.accumulate(lengths))
    waiting = (range(end - n, end) for n, end in zip(lengths, ends))
    turns, order = deque(itertools.islice(waiting, cycle)), []
    while turns:
        file = turns.popleft()
        order += file[:BLOCK]
        rest = file[BLOCK:] if len(file) >= BLOCK else next(waiting, None)
        if rest is not None:
            turns.append(rest)
    return np.array(order, np.int64)


def _pass(records, keys, labels, faults):
    """Fills in the labels; yields the numbers of records that have none."""

    def look(number):
        try:
            labels[number] = records.read(number, keys, _bits)
        except ReadError as error:
            return error

    def tell(done, rest):
        say = f"read {done:,} of {len(labels):,} labels of {records.called}"
        print(f"gantf: {say}, about {rest:,} s more", file=sys.stderr, flush=True)

    for number, error in enumerate(in_threads(look, range(len(labels)), tell)):
        if error:
            faults.meet(error)
            yield number


def _bits(*values):
    """Of several, the last counts 1, the one before 2, and so on."""
    number = 0
    for value in values:
        number = 2 * number + value
    return number
