"""The slaves hear of the controller while it waits for something else."""

import threading

import pytest
from structlog.testing import capture_logs

from controller import command, pool
from controller.errors import OutsideError
from controller.heartbeat import LONGEST, beating


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


class Clock:
    """A clock that somebody sets. It is looked at before each beat."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looked = threading.Semaphore(0)

    def __call__(self) -> float:
        self.looked.release()
        return self.now

    def wait_for_looks(self) -> None:
        """Until a look that began after this call has had its effect."""
        while self.looked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.looked.acquire(timeout=10)


def test_a_loop_that_hangs_has_no_heart_and_says_so_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slaves would live for ever, and nobody would scale."""
    clock, beats = Clock(), threading.Semaphore(0)
    monkeypatch.setattr(pool, "heartbeat", beats.release)

    def beaten() -> bool:
        while beats.acquire(blocking=False):
            pass
        clock.wait_for_looks()
        return beats.acquire(blocking=False)

    with capture_logs() as said, beating(every=0.01, clock=clock) as ticked:
        clock.now = LONGEST
        assert beaten()
        clock.now += 1
        clock.wait_for_looks()
        assert not beaten()
        ticked()
        clock.wait_for_looks()
        assert beaten()
    assert [(line["event"].split(":")[0], line["log_level"]) for line in said] == [
        ("the controller hangs", "error"),
        ("the controller goes on, and so does the heartbeat", "info"),
    ]


def test_a_loop_that_recovers_after_an_interrupted_update_does_not_hang() -> None:
    """It reads the state, refreshes it, frees a lock of its own, refreshes again, and reads, each as slow as may be."""
    reads_and_cancel = 3 * (command.LIMIT + command.SHORT_GRACE)
    assert reads_and_cancel + 2 * (command.LIMITS["refresh"] + command.GRACE["refresh"]) < LONGEST
