"""The workers of a training on many machines, as TF_CONFIG or SLURM tells them.

    TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]},
                "task": {"type": "worker", "index": 0}}'

Everything is checked here: TensorFlow waits for ever, or ends the process, on some of
what may be wrong.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_KINDS = "chief", "worker"  # of tasks, in the order of workers
_PORTS = 10_000, 2_000, 8  # of SLURM's jobs: the first, of how many jobs, for each
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """The workers, and which of them this process is.

    Attributes:
      addresses: "host:port" of each worker, in their order; the first is the chief.
      index: of this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> list[str]:
        """The addresses of the other workers."""
        return [a for i, a in enumerate(self.addresses) if i != self.index]


def find() -> Cluster:
    """The cluster that this process was started in.

    A SLURM step's is put into TF_CONFIG, where TensorFlow looks for it.

    Raises:
      ValueError: none, or one that cannot be.
    """
    if "TF_CONFIG" not in os.environ and "SLURM_STEP_NODELIST" in os.environ:
        os.environ["TF_CONFIG"] = _of_slurm(os.environ)
    if "TF_CONFIG" not in os.environ:
        raise ValueError(
            "multiworker wants to know the workers: start each with its own index in "
            f"TF_CONFIG='{_EXAMPLE}', or all with srun"
        )
    return read(os.environ["TF_CONFIG"])


def read(text: str) -> Cluster:
    """The cluster that a TF_CONFIG describes.

    Raises:
      ValueError: what is wrong with it.
    """
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"TF_CONFIG is no JSON ({error}); it is like {_EXAMPLE}"
        ) from None
    return of_jobs(_part(config, "cluster"), _part(config, "task"))


def of_jobs(jobs: Mapping[str, Any], task: Mapping[str, Any]) -> Cluster:
    """The same of the two parts of a TF_CONFIG, "cluster" and "task"."""
    for kind, addresses in jobs.items():
        if kind not in _KINDS:
            raise ValueError(
                f"cluster of TF_CONFIG has worker and perhaps chief, not {kind!r}"
            )
        _check_addresses(kind, addresses)
    counts = [len(jobs.get(kind, ())) for kind in _KINDS]
    if counts[0] > 1 or not sum(counts):
        raise ValueError(
            f"cluster of TF_CONFIG has addresses of workers, and of one chief at most, "
            f"not {counts[0]} of chiefs and {counts[1]} of workers"
        )
    addresses = [a for kind in _KINDS for a in jobs.get(kind, ())]
    if len(set(addresses)) < len(addresses):
        raise ValueError(
            f"each worker in TF_CONFIG has an address of its own, not "
            f"{', '.join(addresses)}"
        )
    kind, index = task.get("type"), task.get("index")
    if kind not in _KINDS or kind not in jobs:
        known = " or ".join(f'"{known}"' for known in _KINDS if known in jobs)
        raise ValueError(f"type of task in TF_CONFIG is {known}, not {kind!r}")
    if type(index) is not int or not 0 <= index < len(jobs[kind]):
        raise ValueError(
            f"index of task in TF_CONFIG is a whole number from 0 to "
            f"{len(jobs[kind]) - 1}, since there are {len(jobs[kind])} of {kind}, not "
            f"{index!r}"
        )
    return Cluster(tuple(addresses), index + (counts[0] if kind == "worker" else 0))


def several() -> int:
    """How many workers TF_CONFIG names, where it names more than one; else 0."""
    if "TF_CONFIG" not in os.environ:
        return 0
    count = len(read(os.environ["TF_CONFIG"]).addresses)
    return count if count > 1 else 0


def check_port(cluster: Cluster) -> None:
    """Refuses a port that this worker cannot have: TensorFlow would share it."""
    port = int(cluster.addresses[cluster.index].rpartition(":")[2])
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("", port))
        except OSError as error:
            why = f"cannot be used ({error.strerror})"
            if error.errno == errno.EADDRINUSE:
                why = "is taken on this machine: by a worker of before, or by another "
                why += "one with the same index"
            raise ValueError(
                f"port {port} of worker {cluster.index} {why}; end that process, or "
                "give another port to all workers"
            ) from None


def _part(config: Any, name: str) -> dict:
    """The cluster or the task of a TF_CONFIG."""
    found = config.get(name) if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"TF_CONFIG has no {name!r}; it is like {_EXAMPLE}")
    return found


def _check_addresses(kind: str, addresses: Any) -> None:
    good = isinstance(addresses, list)
    for address in addresses if good else ():
        host, _, port = (
            address.rpartition(":") if isinstance(address, str) else [""] * 3
        )
        good &= bool(host) and port.isdecimal() and 0 < int(port) < 2**16
    if not good:
        raise ValueError(
            f'{kind} of TF_CONFIG is a list of "host:port", not {addresses!r}'
        )


def _of_slurm(step: Mapping[str, str]) -> str:
    """A TF_CONFIG for this task of a SLURM step, from the step's environment.

    TensorFlow's own resolver for SLURM needs a GPU for each task, and takes node10 to
    come before node9, where SLURM counts.
    """
    try:
        hosts = list(_hosts(step["SLURM_STEP_NODELIST"]))
        counts = list(_counts(step["SLURM_STEP_TASKS_PER_NODE"]))
        rank, local, node = (
            int(step[f"SLURM_{name}"]) for name in ("PROCID", "LOCALID", "NODEID")
        )
        job = int(step["SLURM_JOB_ID"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"SLURM does not tell the workers ({error}): start them with srun, or "
            "give TF_CONFIG"
        ) from None
    if rank != sum(counts[:node]) + local:
        raise ValueError(
            "SLURM has dealt the tasks out to the machines in turn: give srun "
            "--distribution=block"
        )
    first, jobs, each = _PORTS
    first += job % jobs * each
    workers = [
        f"{host}:{first + i}"
        for host, count in zip(hosts, counts)
        for i in range(count)
    ]
    task = {"type": "worker", "index": rank}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def _hosts(text: str) -> Iterator[str]:
    """The names in a list of SLURM's.

    >>> list(_hosts("a,gpu[08-10,12]-ib"))
    ['a', 'gpu08-ib', 'gpu09-ib', 'gpu10-ib', 'gpu12-ib']
    """
    for part in re.findall(r"(?:[^,\[]|\[[^]]*\])+", text):
        head, _, rest = part.partition("[")
        ranges, _, tail = rest.partition("]")
        for numbers in ranges.split(","):
            first, _, last = numbers.partition("-")
            if not first:
                yield part
                continue
            for number in range(int(first), int(last or first) + 1):
                yield f"{head}{number:0{len(first)}}{tail}"


def _counts(text: str) -> Iterator[int]:
    """How many tasks each machine has.

    >>> list(_counts("2(x3),1"))
    [2, 2, 2, 1]
    """
    for part in text.split(","):
        count, _, times = part.rstrip(")").partition("(x")
        yield from [int(count)] * int(times or 1)
