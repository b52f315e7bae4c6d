"""Tells the slaves that there is a controller, whatever else the controller waits for at that moment.

But not for ever: a loop that hangs scales nothing, and slaves that hear of it would live on for nobody.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from controller import command, pool

log = structlog.get_logger()

EVERY = 60.0
"""Seconds from one to the next."""
LONGEST = 2 * (command.LIMITS["refresh"] + command.GRACE["refresh"] + 4 * (command.LIMIT + command.SHORT_GRACE))
"""Seconds without the end of a tick after which the loop is taken to hang: twice what the commands of a recovery take,
beside which all else is short. An update runs apart; only the controller's own end waits for one, for less."""


@dataclass(slots=True)
class _Loop:
    """What the heart knows of the loop."""

    clock: Callable[[], float]
    ticked_at: float
    hangs: bool = False

    def ticked(self) -> None:
        self.ticked_at = self.clock()

    def lives(self) -> bool:
        """Whether a tick has ended of late; says it when that changes."""
        seconds = self.clock() - self.ticked_at
        if seconds > LONGEST and not self.hangs:
            log.error(
                "the controller hangs: no heartbeat any more, so that slaves go after orphanTime - "
                "systemctl restart ecm-controller",
                seconds=round(seconds),
            )
        elif seconds <= LONGEST and self.hangs:
            log.info("the controller goes on, and so does the heartbeat")
        self.hangs = seconds > LONGEST
        return not self.hangs


@contextmanager
def beating(every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[], None]]:
    """A heartbeat at once, and every so often until the block ends: in a thread, which no slow answer holds up.

    Gives what is to be called whenever a tick of the loop has ended.
    """
    stop, loop = threading.Event(), _Loop(clock, clock())
    threading.Thread(target=_beat, args=(stop, every, loop), name="heartbeat", daemon=True).start()
    try:
        yield loop.ticked
    finally:
        stop.set()


def _beat(stop: threading.Event, every: float, loop: _Loop) -> None:
    while not stop.is_set():
        try:
            if loop.lives():
                pool.heartbeat()
        except Exception as error:  # noqa: BLE001 - without a beat the slaves power off, all of them
            log.warning("no heartbeat", why=str(error))
        stop.wait(every)
