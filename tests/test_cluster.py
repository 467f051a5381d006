import json
import socket

import pytest

from gantf import cluster
from gantf.cluster import Cluster

EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def config(kind="worker", index=0, **jobs):
    return {"cluster": jobs, "task": {"type": kind, "index": index}}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No cluster of the machine that the tests run on."""
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)


def test_workers_come_in_their_order_behind_the_chief():
    assert cluster.read(EXAMPLE) == Cluster(("host1:2222", "host2:2222"), 0)
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    expected = ("c:3", "a:1", "b:2")
    for (kind, index), place in {
        ("chief", 0): 0,
        ("worker", 0): 1,
        ("worker", 1): 2,
    }.items():
        found = cluster.read(json.dumps(config(kind, index, **jobs)))
        assert found == Cluster(expected, place)
    assert found.others == ["c:3", "a:1"]


def refused(call, *arguments):
    with pytest.raises(ValueError) as caught:
        call(*arguments)
    return str(caught.value)


TWO = ["a:1", "b:2"]
BAD = [
    ([], "TF_CONFIG has no 'cluster'; it is like " + EXAMPLE),
    ({"cluster": {"worker": TWO}}, "TF_CONFIG has no 'task'; it is like " + EXAMPLE),
    (
        config(ps=["c:3"], worker=TWO),
        "cluster of TF_CONFIG has worker and perhaps chief, not 'ps'",
    ),
    (
        config(worker=[]),
        "cluster of TF_CONFIG has addresses of workers, and of one chief at most, not "
        "0 of chiefs and 0 of workers",
    ),
    (
        config(chief=TWO),
        "cluster of TF_CONFIG has addresses of workers, and of one chief at most, not "
        "2 of chiefs and 0 of workers",
    ),
    (
        config(worker="a:1"),
        "worker of TF_CONFIG is a list of \"host:port\", not 'a:1'",
    ),
    (
        config(worker=["a:1", "b"]),
        "worker of TF_CONFIG is a list of \"host:port\", not ['a:1', 'b']",
    ),
    (
        config(worker=["a:1", "b:65536"]),
        "worker of TF_CONFIG is a list of \"host:port\", not ['a:1', 'b:65536']",
    ),
    (
        config(worker=["a:1", 2]),
        "worker of TF_CONFIG is a list of \"host:port\", not ['a:1', 2]",
    ),
    (
        config(worker=["a:1", "a:1"]),
        "each worker in TF_CONFIG has an address of its own, not a:1, a:1",
    ),
    (
        config("evaluator", worker=TWO),
        "type of task in TF_CONFIG is \"worker\", not 'evaluator'",
    ),
    (
        config("chief", worker=TWO),
        "type of task in TF_CONFIG is \"worker\", not 'chief'",
    ),
    (
        config(None, worker=TWO, chief=["c:3"]),
        'type of task in TF_CONFIG is "chief" or "worker", not None',
    ),
    *(
        (
            config("worker", index, worker=TWO),
            "index of task in TF_CONFIG is a whole number from 0 to 1, since there are "
            f"2 of worker, not {index!r}",
        )
        for index in (2, -1, "0", None, True)
    ),
]


@pytest.mark.parametrize("given, words", BAD)
def test_error_a_bad_config(given, words):
    assert refused(cluster.read, json.dumps(given)) == words


def test_error_a_torn_config():
    assert refused(cluster.read, EXAMPLE[:20]) == (
        "TF_CONFIG is no JSON (Unterminated string starting at: line 1 column 14 (char "
        f"13)); it is like {EXAMPLE}"
    )


def test_a_process_finds_its_cluster(monkeypatch):
    assert cluster.several() == 0
    assert refused(cluster.find) == (
        "multiworker wants to know the workers: start each with its own index in "
        f"TF_CONFIG='{EXAMPLE}', or all with srun"
    )
    monkeypatch.setenv("TF_CONFIG", json.dumps(config(worker=["a:1"])))
    assert cluster.several() == 0
    assert cluster.find() == Cluster(("a:1",), 0)
    monkeypatch.setenv("TF_CONFIG", EXAMPLE)
    assert cluster.several() == 2


SLURM = {
    "SLURM_JOB_ID": "4001",
    "SLURM_STEP_NODELIST": "gpu[9-10],big",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_PROCID": "3",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
}


def test_tasks_of_slurm_are_workers(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TF_CONFIG", "")  # so that it is taken away again
    monkeypatch.delenv("TF_CONFIG")
    # Ports of job 4001: 10000 + 8 (4001 mod 2000).
    hosts = ("gpu9:10008", "gpu9:10009", "gpu10:10008", "gpu10:10009", "big:10008")
    assert cluster.find() == Cluster(hosts, 3)
    assert cluster.several() == 5
    monkeypatch.setenv("TF_CONFIG", EXAMPLE)
    assert len(cluster.find().addresses) == 2


@pytest.mark.parametrize(
    "changed, words",
    [
        (
            {"SLURM_PROCID": "one"},
            "SLURM does not tell the workers (invalid literal for int() with base 10: "
            "'one'): start them with srun, or give TF_CONFIG",
        ),
        (
            {"SLURM_NODEID": "0"},
            "SLURM has dealt the tasks out to the machines in turn: give srun "
            "--distribution=block",
        ),
    ],
)
def test_error_tasks_of_slurm(monkeypatch, changed, words):
    for name, value in {**SLURM, **changed}.items():
        monkeypatch.setenv(name, value)
    assert refused(cluster.find) == words


def test_error_no_srun(monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NODELIST", "a")
    monkeypatch.delenv("SLURM_STEP_TASKS_PER_NODE", raising=False)
    assert refused(cluster.find) == (
        "SLURM does not tell the workers ('SLURM_STEP_TASKS_PER_NODE'): start them "
        "with srun, or give TF_CONFIG"
    )


@pytest.mark.parametrize(
    "text, hosts",
    [
        ("a", ["a"]),
        ("a,b1", ["a", "b1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-10,12]-x,m", ["n08-x", "n09-x", "n10-x", "n12-x", "m"]),
        ("a[1,3],b[2]", ["a1", "a3", "b2"]),
    ],
)
def test_lists_of_hosts(text, hosts):
    assert list(cluster._hosts(text)) == hosts


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_error_a_port_that_is_taken(address):
    with socket.socket() as taken:
        taken.bind((address, 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = Cluster(("far:1", f"localhost:{port}"), 1)
        assert refused(cluster.check_port, found) == (
            f"port {port} of worker 1 is taken on this machine: by a worker of before, "
            "or by another one with the same index; end that process, or give another "
            "port to all workers"
        )
    cluster.check_port(found)
