"""Tests of signals.py: where a training stops that is asked to."""

import os
import signal
import threading
import time

import keras
import pytest
from test_gan import batches, make

from gantf import signals


def stopped(number, ask):
    """The step that a fit ended at, and what ended it."""

    class Ask(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                ask(number)

    gan, stop = make(), signals.Stop()
    with pytest.raises(KeyboardInterrupt) as caught, stop.listening():
        gan.fit(batches(), epochs=3, callbacks=[Ask(), stop], verbose=0)
    return gan.step, caught.value


def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(0.05)  # a signal comes when Python runs its next line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_fit_after_its_step(number, capfd):
    before = signal.getsignal(number)
    step, error = stopped(number, kill)
    assert step == 3
    assert isinstance(error, signals.Stopped) and error.signal == number
    assert signal.getsignal(number) is before
    said = capfd.readouterr().err
    assert said.endswith("\nstopping after this step; once more stops at once\n")


def test_a_second_one_stops_at_once():
    def twice(number):
        kill(number)
        kill(number)

    step, error = stopped(signal.SIGINT, twice)
    assert step == 2 and not isinstance(error, signals.Stopped)


def test_what_lasts_long_asks_now_and_then():
    stop = signals.Stop()
    stop.set_model(make())
    with stop.listening():
        stop.poll()
        kill(signal.SIGTERM)
        with pytest.raises(signals.Stopped):
            stop.poll()


def test_other_threads_take_no_signals():
    before = signal.getsignal(signal.SIGINT)
    found = []

    def listen():
        with signals.Stop().listening():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert found == [before]
