"""Times how fast images come in, beside Keras' own reader and what a step needs.

Usage:

    python tools/time_input.py FOLDER --size=64
    python tools/time_input.py FOLDER data/SET-64 --size=64     # and its shards
    python tools/time_input.py FOLDER --architecture=dcgan-sn-64    # and training

In one process, in turn: batches of 64 of the shuffled, endless stream of each place, as
training reads them, and of tf.keras.utils.image_dataset_from_directory (bilinear, not
antialiased, middle cut out) of the first. "kept" is the stream with images in memory
once they are prepared. Printed are medians of images a second, the ratio to Keras' of
the same round, and the largest memory so far. With an architecture, a step of training
on each stream against the same step on one batch that lies in memory: what is above 1
is what training waits for.
"""

import argparse
import os
import resource
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import architectures
import gantf
from gantf import datasets, readers, streams

BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("places", nargs="+", metavar="PLACE", help="folders, archives, shards")
    add("--size", type=int, default=64)
    add("--batches", type=int, default=50, help="of 64 images, in a round")
    add("--rounds", type=int, default=5)
    add("--architecture", help="whose step is timed too")
    add("--precision", default="float32", help="of its nets")
    options = parser.parse_args()
    feeds = {}
    for place in options.places:
        start = time.perf_counter()
        source = datasets.find(place, size=options.size, channels=3)
        seconds = time.perf_counter() - start
        print(f"{place}: {source.n:,} images, opened in {seconds:.2f} s")
        feeds[place] = streams.stream(source, BATCH)
    kept = readers.kept(
        datasets.find(options.places[0], size=options.size, channels=3), 4e9
    )
    for first in range(0, kept.n, 1024):
        kept.read(np.arange(first, min(kept.n, first + 1024)))
    feeds[f"{options.places[0]}, kept"] = streams.stream(kept, BATCH)
    rivals = (
        {"Keras": keras_reader(options)} if Path(options.places[0]).is_dir() else {}
    )
    print_table(rounds({**feeds, **rivals}, options))
    if options.architecture:
        print_steps(feeds, options)


def keras_reader(options):
    """What people write: images of a folder, shuffled, in [-1, 1], without end."""
    images = keras.utils.image_dataset_from_directory(
        options.places[0],
        labels=None,
        image_size=(options.size, options.size),
        batch_size=BATCH,
        crop_to_aspect_ratio=True,
        verbose=False,
    )
    images = images.map(lambda x: x / 127.5 - 1, num_parallel_calls=tf.data.AUTOTUNE)
    return images.repeat().prefetch(tf.data.AUTOTUNE)


def rounds(feeds, options):
    """Images a second of each, round by round; the first round fills the caches."""
    found = {name: [] for name in feeds}
    for number in range(options.rounds + 1):
        for name, feed in feeds.items():
            # Begun anew, so that nothing is read ahead while another one is timed.
            start = time.perf_counter()
            for _ in zip(range(options.batches), feed):
                pass
            if number:
                seconds = time.perf_counter() - start
                found[name].append(BATCH * options.batches / seconds)
    return found


def print_table(found):
    rival = found.get("Keras")
    for name, rates in found.items():
        line = f"{name:32} {statistics.median(rates):10,.0f} images/s"
        if rival:
            ratio = statistics.median(a / b for a, b in zip(rates, rival))
            line += f"  {ratio:6.2f} of Keras"
        print(line)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{'largest memory':32} {memory:10.2f} GiB")


def print_steps(feeds, options):
    """A step on each stream, in units of the step that waits for nothing."""
    keras.config.set_dtype_policy(options.precision)
    gan = gantf.GAN(*gantf.build_pair(architectures.get(options.architecture)))
    gan.compile()
    here = next(iter(feeds.values())).take(1).cache().repeat()
    timed = {"one batch in memory": here, **feeds}
    seconds = {name: [] for name in timed}
    for number in range(options.rounds + 1):
        for name, feed in timed.items():
            times = Times()
            gan.fit(feed, steps_per_epoch=6, verbose=0, callbacks=[times])
            if number:
                seconds[name].append(times.of_steps())
    alone = seconds["one batch in memory"]
    for name, times in seconds.items():
        second = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(times, alone))
        print(
            f"{name:32} {second:8.3f} s a step: {BATCH / second:7,.0f} images/s"
            f"  {ratio:6.3f} of the step alone"
        )


class Times(keras.callbacks.Callback):
    """When steps of an epoch ended."""

    def on_epoch_begin(self, epoch, logs=None):
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.perf_counter())

    def of_steps(self):
        """Median seconds between steps: the first one starts the pipeline."""
        return float(np.median(np.diff(self.ends)))


if __name__ == "__main__":
    main()
