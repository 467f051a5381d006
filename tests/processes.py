"""Processes that tests start, which do not outlive them."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


class Workers:
    """Processes that run the same code, each with its TF_CONFIG.

    Args:
      folder: where what they print goes, and their argument.
    """

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def start(self, code, count):
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
        for each in sockets:
            each.close()
        for index in range(count):
            config = {
                "cluster": {"worker": self.addresses},
                "task": {"type": "worker", "index": index},
            }
            with (self.folder / f"{index}.txt").open("w") as output:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", code, str(self.folder)],
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env={
                            **os.environ,
                            "PYTHONPATH": str(Path(__file__).parent),
                            "TF_CPP_MIN_LOG_LEVEL": "3",
                            "TF_CONFIG": json.dumps(config),
                        },
                    )
                )

    def lines(self, index):
        return (self.folder / f"{index}.txt").read_text().splitlines()

    def says(self, index, words, seconds=240):
        """Waits until a worker has printed a line that starts with these words."""
        due = time.monotonic() + seconds
        while not any(line.startswith(words) for line in self.lines(index)):
            assert time.monotonic() < due, "\n".join(self.lines(index)[-40:])
            assert self.processes[index].poll() is None, self.lines(index)[-40:]
            time.sleep(0.05)

    def ends(self, index, status, seconds=240):
        """Waits until a worker ends, with this status."""
        try:
            found = self.processes[index].wait(seconds)
        except subprocess.TimeoutExpired:
            found = "none in time"
        assert found == status, "\n".join(self.lines(index)[-40:])

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
