"""Times exact Jacobians of critics against a loop over their scores.

Usage:

    python tools/time_jacobian.py                 # dcgan-sn-32, batch 16
    python tools/time_jacobian.py --batch=64 --repeats=3
    python tools/time_jacobian.py --points        # a critic of points of the plane

Of mean |J|_F^2 and of its gradient with respect to the weights it prints the median
seconds, and the medians of the ratios to the loop of the same round: of seconds, and
of seconds of all cores, which count where other programs run. "tiled" is one pass
forward and back of d copies of the batch.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

import architectures
import gantf
from gantf import jacobian
from gantf.layers import spectral_updates

POINTS = "3*dense-128-sn-lrelu dense-16-sn"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--points", action="store_true", help="2 numbers, 16 scores")
    options = parser.parse_args()
    if options.points:
        net = gantf.build(POINTS, (2,))
    else:
        _, net = gantf.build_pair(architectures.get("dcgan-sn-32"))
    x = tf.random.normal((options.batch, *net.input_shape[1:]))
    weights = [weight.value for weight in net.trainable_variables]
    zero = tf.UnconnectedGradients.ZERO

    def score(x):
        with spectral_updates(False):
            return net(x, training=True)

    def gradient(squares, x):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(squares(score, x))
        return tape.gradient(value, weights, unconnected_gradients=zero)

    ways = {"loop": loop, "tiled": tiled, "gantf": jacobian.squared_slopes}
    for title, of in (("value", lambda way, x: way(score, x)), ("gradient", gradient)):
        compiled = {
            name: tf.function(lambda x, way=way, of=of: of(way, x))
            for name, way in ways.items()
        }
        print_table(title, rounds(compiled, x, options.repeats))


def loop(score, x):
    """One pass back an output."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        columns = tf.unstack(score(x), axis=1)
    return tf.add_n([jacobian.row_squares(tape.gradient(c, x)) for c in columns])


def tiled(score, x):
    """One pass forward and one back of as many copies as there are outputs."""
    n, d = x.shape[0], score(x).shape[1]
    copies = tf.repeat(x, d, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(copies)
        scores = score(copies)
    one = tf.tile(tf.eye(d), (n, 1))
    slopes = tape.gradient(scores, copies, output_gradients=one)
    return tf.reduce_sum(tf.reshape(jacobian.row_squares(slopes), (n, d)), axis=1)


def rounds(functions, x, repeats):
    """(seconds, seconds of all cores) of each, in turn; the first round traces."""
    seconds = {name: [] for name in functions}
    for number in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter(), time.process_time()
            tf.nest.map_structure(lambda result: result.numpy(), function(x))
            end = time.perf_counter(), time.process_time()
            if number:
                seconds[name].append((end[0] - start[0], end[1] - start[1]))
    return seconds


def print_table(title, seconds):
    for name, times in seconds.items():
        wall = statistics.median(time for time, _ in times)
        ratios = [
            statistics.median(a[i] / b[i] for a, b in zip(times, seconds["loop"]))
            for i in (0, 1)
        ]
        shown = "".join(f"{ratio:7.2f}" for ratio in ratios)
        print(f"{title:9} {name:6} {wall:9.4f} s {shown}", flush=True)


if __name__ == "__main__":
    main()
