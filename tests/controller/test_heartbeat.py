"""The slaves hear of the controller while it waits for something else."""

import threading

import pytest

from controller import pool
from controller.errors import OutsideError
from controller.heartbeat import beating


def test_it_beats_while_the_controller_waits_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[threading.Thread] = []
    thrice = threading.Event()

    def beat() -> None:
        beats.append(threading.current_thread())
        if len(beats) == 3:
            thrice.set()

    monkeypatch.setattr(pool, "heartbeat", beat)
    with beating(every=0.01):
        assert thrice.wait(10)
    beats[0].join(10)
    assert not beats[0].is_alive()


@pytest.mark.parametrize(
    "failure", [OutsideError("the collector can't be told of the controller - no route"), RuntimeError("a defect")]
)
def test_one_that_fails_in_whatever_way_is_followed_by_the_next(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = threading.Semaphore(0)

    def refuse() -> None:
        tries.release()
        raise failure

    monkeypatch.setattr(pool, "heartbeat", refuse)
    with beating(every=0.01):
        assert tries.acquire(timeout=10)
        assert tries.acquire(timeout=10)
