import json
import signal
import socket
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import gantf
from gantf import datasets, evaluate, replicas, samples, streams
from gantf.features import Features

POINTS = {
    "latent": "normal-4",
    "sample": "2",
    "generator": "dense-8-bn-relu dense-2",
    "discriminator": "dense-8-sn-lrelu dense-4-sn",
}
BATCH = 8


def make():
    keras.utils.set_random_seed(1)
    gan = gantf.GAN(*gantf.build_pair(POINTS), loss="rep")
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    return gan


def points(n=3 * BATCH):
    data = {
        "image": np.random.RandomState(0).randn(n, 2).astype("float32"),
        "label": np.zeros(n, np.int32),  # as streams have it: one trace is enough
    }
    return tf.data.Dataset.from_tensor_slices(data).batch(BATCH, drop_remainder=True)


def trained(gan):
    """The figures and weights of a GAN after fits on all kinds of data."""
    strategy = gan.distribute_strategy
    ring = datasets.find("ring")

    def share(worker, workers):
        return streams.stream(ring, BATCH, seed=2, worker=worker, workers=workers)

    fits = {
        "finite": (points(), {"epochs": 2}),
        "endless": (points().repeat(), {"steps_per_epoch": 2}),
        "shared": (replicas.distribute(strategy, share), {"steps_per_epoch": 3}),
    }
    found = {}
    for name, (data, steps) in fits.items():
        history = gan.fit(data, verbose=0, **steps).history
        found |= {f"{name} {key}": values for key, values in history.items()}
    weights = np.concatenate([np.ravel(w) for w in gan.get_weights()])
    return {**found, "weights": weights.tolist(), "step": gan.step}


def own_network(seen):
    """Features whose results a cache keeps; appends to `seen` how many it computed."""

    def compute(rows):
        seen.append(len(rows))
        return {"features": rows.astype(np.float32) ** 2}

    return Features("own", {"sha256": "0"}, compute, lambda rows: rows)


def looked(n, cache=None):
    """What is said of n points, and how many of them were computed here."""
    seen = []
    rows = np.random.RandomState(1).randn(n, 3)
    needs = {"moments", "features"}
    found = evaluate.look(samples.of_array(rows), own_network(seen), needs, cache)
    numbers = [found.features, found.moments.mean, found.moments.cov]
    return {
        "content": found.about["content"],
        "numbers": np.concatenate([np.ravel(part) for part in numbers]).tolist(),
    }, sum(seen)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # float32 sums in another order, over a dozen steps of SGD.
        np.testing.assert_allclose(
            found[name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


# ---- several workers: processes of their own, which are ended with the test


_TWO = """
import json, sys
from pathlib import Path
import numpy as np
from gantf import replicas
strategy = replicas.get_strategy("multiworker")
assert replicas.get_strategy("multiworker") is strategy
from test_replicas import looked, make, trained

worker, count = replicas.worker()
arrays = {
    "rows": np.arange(6.0).reshape(3, 2)[worker:] + worker,
    "none": np.zeros((2 * worker, 3), np.float32),
    "bytes": np.full(5 - worker, 250 + worker, np.uint8),
    "scalar": np.int64(7 + worker),
}
exchanged = {}
for name, array in arrays.items():
    found = replicas.exchange(array)
    exchanged[name] = [[str(a.dtype), a.shape, a.tolist()] for a in found]
replicas._PIECE = 4
long = replicas.exchange(np.arange(9.0 + worker))
exchanged["long"] = [a.tolist() for a in long]
with strategy.scope():
    gan = make()
found = trained(gan)
# One worker alone draws: nobody waits.
drawn = gan.generate(5, seed=1).tolist() if worker == 0 else None
cache = Path(sys.argv[1], f"cache{worker}") if worker else None
looks = [looked(n, cache) for n in (600, 600, 300, 3)]
said = {"worker": worker, "count": count, "devices": replicas.devices(strategy),
        "trained": found, "exchanged": exchanged, "drawn": drawn, "looks": looks}
print(json.dumps(said), flush=True)
"""


def test_two_workers_give_the_numbers_of_one(workers):
    workers.start(_TWO, 2)
    gan = make()
    expected = trained(gan)
    workers.ends(0, 0)
    workers.ends(1, 0)
    a, b = workers.addresses
    assert f"worker 0 of 2, at {a}: waits for {b}" in workers.lines(0)
    assert f"worker 1 of 2, at {b}: waits for {a}" in workers.lines(1)
    said = [json.loads(workers.lines(index)[-1]) for index in range(2)]
    assert [(s["worker"], s["count"]) for s in said] == [(0, 2), (1, 2)]
    assert said[0]["devices"] == ["worker 0 of 2: CPU:0", f"worker 1 of 2: at {b}"]
    assert said[1]["devices"] == ["worker 1 of 2: CPU:0", f"worker 0 of 2: at {a}"]
    for found in said:
        assert found["exchanged"] == {
            "rows": [
                ["float64", [3, 2], [[0, 1], [2, 3], [4, 5]]],
                ["float64", [2, 2], [[3, 4], [5, 6]]],
            ],
            "none": [
                ["float32", [0, 3], []],
                ["float32", [2, 3], [[0, 0, 0], [0, 0, 0]]],
            ],
            "bytes": [["uint8", [5], [250] * 5], ["uint8", [4], [251] * 4]],
            "scalar": [["int64", [], 7], ["int64", [], 8]],
            "long": [list(range(9)), list(range(10))],
        }
        assert_same(found["trained"], expected)
        for (look, _), n in zip(found["looks"], (600, 600, 300, 3)):
            assert look == looked(n)[0]
    np.testing.assert_allclose(said[0]["drawn"], gan.generate(5, seed=1), atol=1e-4)
    # Chunks of 250 in turn: of 600 the first and the last 100 are worker 0's. What
    # worker 1 has in its cache it computes once, worker 0 without one each time.
    assert [count for _, count in said[0]["looks"]] == [350, 350, 250, 3]
    assert [count for _, count in said[1]["looks"]] == [250, 0, 50, 3]


_KILLED = """
import os, signal, sys, time
from gantf import replicas
strategy = replicas.get_strategy("multiworker")
import keras
from test_replicas import make, points

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", self.model.step, flush=True)
        if self.model.step == 3 and replicas.worker()[0] == VICTIM:
            os.kill(os.getpid(), signal.SIGKILL)

with strategy.scope():
    gan = make()
try:
    gan.fit(points().repeat(), steps_per_epoch=10**6, verbose=0, callbacks=[Kill()])
except Exception as error:
    print(replicas.explain(error), flush=True)
    sys.exit(1)
"""


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_worker_ends_the_others_with_words(workers, victim):
    workers.start(_KILLED.replace("VICTIM", str(victim)), 2)
    workers.ends(victim, -signal.SIGKILL)
    start = time.monotonic()
    workers.ends(1 - victim, 1)
    assert time.monotonic() - start < 60
    lines = workers.lines(1 - victim)
    assert "step 3" in lines
    assert (
        f"worker {victim} ({workers.addresses[victim]}) is gone: killed, ended by an "
        "error of its own, or cut off; start all workers again: the run goes on from "
        "its last checkpoint"
    ) in lines


# ---- several devices of one machine


_DEVICES = """
import json
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import gantf
from gantf import replicas
from test_replicas import make, points, trained
strategy = replicas.get_strategy("mirrored")
with strategy.scope():
    gan = make()
found = trained(gan)
sizes = (1, 2, 5, 513)  # of 256 rows a call of each device
drawn = [gan.generate(n, seed=1)[-1].tolist() for n in sizes]
labels = tf.range(8)
data = tf.data.Dataset.from_tensors((tf.random.normal((8, 2)), labels))
shares = next(iter(replicas.deal(strategy, data)))[1]
shares = [part.numpy().tolist() for part in strategy.experimental_local_results(shares)]
shared = replicas.distribute(strategy, lambda *who: points())
try:
    gan.discriminator = gantf.build("mbstd3 dense-4", (2,))
    gan.fit(shared, steps_per_epoch=1, verbose=0)
except ValueError as error:
    said = str(error)
print(json.dumps({"trained": found, "drawn": drawn, "shares": shares, "said": said,
                  "devices": replicas.devices(strategy)}))
"""


def test_two_devices_give_the_numbers_of_one(in_process):
    found = in_process(_DEVICES)
    gan = make()
    assert_same(found["trained"], trained(gan))
    assert found["devices"] == ["CPU:0", "CPU:1"]
    assert found["shares"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found["said"] == (
        "on 2 devices all batches are of one size that 6 divides: use "
        "batch(n, drop_remainder=True)"
    )
    drawn = [gan.generate(n, seed=1)[-1] for n in (1, 2, 5, 513)]
    np.testing.assert_allclose(found["drawn"], drawn, atol=1e-4)


# ---- one device, and what is refused


def test_one_device_and_no_other_worker():
    strategy = replicas.get_strategy("one")
    assert replicas.worker() == replicas.worker(strategy) == (0, 1)
    (found,) = replicas.exchange([1, 2])
    np.testing.assert_array_equal(found, [1, 2])
    assert replicas.devices(strategy)[0].startswith(("CPU:0", "GPU:0"))
    data = points()
    assert replicas.distribute(strategy, lambda *who: data.map(lambda x: who)).take(
        1
    ).get_single_element() == (0, 1)
    error = tf.errors.UnavailableError(None, None, "Socket closed")
    assert replicas.explain(error) is None


def test_error_slopes_through_batch_norm():
    def refused(words, scaling):
        net = gantf.build(words, (8, 8, 1), name="discriminator")
        with pytest.raises(ValueError) as caught:
            replicas.check_slopes(net, scaling)
        return str(caught.value)

    smmd = gantf.scaling.get("smmd")
    assert refused("conv4-8-s2-bn-relu flatten dense-4", smmd) == (
        "scaling 'smmd' takes the slopes of each sample by itself, which batch norm "
        "over several devices cannot give: leave bn out of the discriminator "
        "(01_conv_bn), or train on one device"
    )
    for words in (
        "conv4-8-s2-bn-relu flatten dense-1",
        "conv4-8-s2-sn flatten dense-4",
    ):
        net = gantf.build(words, (8, 8, 1))
        replicas.check_slopes(net, smmd)
    net = gantf.build("conv4-8-s2-bn-relu flatten dense-4", (8, 8, 1))
    replicas.check_slopes(net, None)


def test_error_no_tpu(in_process):
    # in a process of its own: TensorFlow, which looks for one, forgets all that it has
    # compiled, which takes a minute and more where that is much
    found = in_process(_NO_TPU, TPU_NAME="local")
    assert found.startswith("there is no TPU here (")


_NO_TPU = """
import json
from gantf import replicas
try:
    replicas.get_strategy("tpu")
except ValueError as error:
    print(json.dumps(str(error)))
"""


def test_error_strategies(monkeypatch):
    def refused(name):
        with pytest.raises(ValueError) as caught:
            replicas.get_strategy(name)
        return str(caught.value)

    assert refused("mirored") == "unknown strategy 'mirored'; did you mean 'mirrored'?"
    config = {
        "cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]},
        "task": {"type": "worker", "index": 2},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert refused("multiworker").startswith("index of task in TF_CONFIG is a whole")
    config["task"]["index"] = 0
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert refused("auto") == "TF_CONFIG names 2 workers: give --strategy=multiworker"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config["cluster"]["worker"][0] = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        assert "is taken on this machine" in refused("multiworker")
