"""Says on paper how long a step takes on GPUs: a roofline of each layer.

Usage:

    python tools/roofline.py                        # dcgan-sn-28, -32, -48 and -64
    python tools/roofline.py sn-resnet-128 --batch=256

Each kernel's passes take the longer of two times, that of its arithmetic at the peak
rate and that of its maps and weights through the memory once,

    max(2 macs / peak, bytes / bandwidth),

and beside them pass through the memory the maps of norms and activations (read and
written, forward and back), and for Adam and the running average weights and moments.
bfloat16 products, maps of 2 bytes, weights and moments of 4. Several GPUs share the
batch; then gradients are summed over all in a ring, 2 (R - 1) / R of their bytes from
each GPU, and the scores gathered.

It leaves out what kernels lose to small maps. "launches" is what it takes to start the
step's kernels, five microseconds each: a step takes the longer of the two at least,
unless XLA or CUDA graphs start many at once.

An H100 SXM has 989 TFLOP/s (dense bfloat16), 3.35 TB/s, and NVLink of 450 GB/s a
direction (NVIDIA, H100 data sheet).
"""

import argparse
import math
import os
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from show_net import aligned

import architectures
from gantf import architecture, shapes

PEAK, BANDWIDTH, LINK = 989e12, 3.35e12, 450e9  # 1 / s, bytes / s, bytes / s
LAUNCH = 5e-6  # seconds a kernel, about
PAIRS = ["dcgan-sn-28", "dcgan-sn-32", "dcgan-sn-48", "dcgan-sn-64"]


class Work(NamedTuple):
    """What passes through one GPU in a step.

    Attributes:
      arithmetic: seconds of products at the peak rate.
      roof: seconds of products by the roofline.
      maps: seconds of norms and activations.
      weights: seconds of optimizers and average.
      kernels: how many are launched, about.
      parameters: of both nets.
    """

    arithmetic: float
    roof: float
    maps: float
    weights: float
    kernels: int
    parameters: int


def work(nets: architecture.Architecture, batch: int) -> Work:
    """A simultaneous step on `batch` samples."""
    arithmetic = roof = maps = 0.0
    kernels = parameters = 0
    # How often a net goes forward, back to its input, and to its weights.
    passes = {"generator": 3, "discriminator": 7}
    for name, times in passes.items():
        net, shape = nets.nets[name]
        for row in shapes.rows(net, shape, nets.classes):
            numbers = batch * (math.prod(shape) + math.prod(row.shape))
            if row.macs:
                one = 2 * row.macs * batch / PEAK
                through = 2 * (numbers + row.params) / BANDWIDTH
                arithmetic += times * one
                roof += times * max(one, through)
            maps += times * 2 * 2 * batch * math.prod(row.shape) / BANDWIDTH
            kernels += 3 * times
            parameters += row.params
            shape = row.shape
    # Adam reads gradient, weight and two moments, and writes three; the average too.
    weights = 4 * (7 + 3) * parameters / BANDWIDTH
    return Work(arithmetic, roof, maps, weights, kernels, parameters)


def seconds(nets: architecture.Architecture, batch: int, gpus: int) -> dict[str, float]:
    """Where the time of a step goes, on so many GPUs.

    Raises:
      SystemExit: the batch cannot be shared among them.
    """
    if batch < 1 or batch % gpus:
        raise SystemExit(f"--batch is a multiple of {gpus} GPUs, not {batch}")
    found = work(nets, batch // gpus)
    ring = 2 * (gpus - 1) / gpus * 4 * found.parameters / LINK
    parts = {
        "products": found.roof,
        "norms, activations": found.maps,
        "optimizers": found.weights,
        "sum of gradients": ring,
    }
    whole = sum(parts.values())
    return {
        **parts,
        "step": whole,
        "of peak": found.arithmetic / whole,
        "launches": found.kernels * LAUNCH,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("architectures", nargs="*", default=PAIRS)
    parser.add_argument("--batch", type=int, default=64, help="of all GPUs together")
    options = parser.parse_args()
    rows = []
    for gpus in (1, 8):
        for name in options.architectures:
            nets = architecture.read(architectures.get(name))
            found = seconds(nets, options.batch, gpus)
            share = f"{found.pop('of peak'):.2f}"
            rows.append([f"{gpus} x {name}", share])
            rows[-1] += [f"{1e6 * time:,.0f}" for time in found.values()]
    print("microseconds")
    print("\n".join(aligned([["GPUs", "of peak", *found], *rows])))


if __name__ == "__main__":
    main()
