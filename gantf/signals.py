"""SIGTERM and Ctrl-C in a training: it stops where its state can be saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import keras
import numpy as np

from gantf.replicas import exchange, worker

_SIGNALS = signal.SIGINT, signal.SIGTERM


class Stopped(KeyboardInterrupt):
    """A training that was asked to stop, between two steps.

    Attributes:
      signal: which one asked, as signal.SIGTERM.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)


class Stop(keras.callbacks.Callback):
    """Ends `fit` with `Stopped` after the step in which a signal came.

    On many workers it does so at the same step on all of them, whichever was asked.
    """

    def __init__(self):
        super().__init__()
        self._asked = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes signals; a second one has its usual effect, at once.

        Only the main thread can; in others this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_batch_end(self, batch, logs=None):
        asked = exchange(np.int64(self._asked), self.model.distribute_strategy)
        self._end(int(max(asked)))

    def poll(self) -> None:
        """Ends what lasts long between two steps and changes nothing, as evaluation.

        Workers are not at the same place in it: of several, none stops here.
        """
        if worker(self.model.distribute_strategy)[1] == 1:
            self._end(self._asked)

    @staticmethod
    def _end(asked: int) -> None:
        if asked:
            raise Stopped(asked)

    def _take(self, number, frame):
        # A print might be in the middle of a print.
        os.write(2, b"\nstopping after this step; once more stops at once\n")
        self._asked = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
