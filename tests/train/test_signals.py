"""A first signal asks, a second one insists."""

import os
import signal
import threading

import pytest

from tinytx.train.signals import SIGNALS, StopRequest


def send(number: int) -> None:
    """To this very process; the handler runs before the next line."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_first_signal_only_asks_to_stop(number: int) -> None:
    with StopRequest() as stop:
        assert not stop.requested
        send(number)
        assert stop.requested


@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_stops_at_once(second: int) -> None:
    with StopRequest() as stop:
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(second)
    assert stop.requested


def test_a_second_signal_does_not_break_what_is_deferred() -> None:
    finished = False
    with StopRequest() as stop:
        send(signal.SIGINT)
        with stop.deferred():
            send(signal.SIGINT)
            finished = True
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert finished


def test_the_handlers_from_before_come_back_also_after_an_error() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(RuntimeError), StopRequest():
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise RuntimeError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_outside_the_main_thread_it_changes_no_handler() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopRequest() as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
