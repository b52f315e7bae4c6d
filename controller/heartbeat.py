"""Tells the slaves that there is a controller, whatever else the controller waits for at that moment."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from controller import pool

log = structlog.get_logger()

EVERY = 60.0
"""Seconds from one to the next."""


@contextmanager
def beating(every: float = EVERY) -> Iterator[None]:
    """A heartbeat at once, and every so often until the block ends: in a thread, which no slow answer holds up."""
    stop = threading.Event()
    threading.Thread(target=_beat, args=(stop, every), name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def _beat(stop: threading.Event, every: float) -> None:
    while not stop.is_set():
        try:
            pool.heartbeat()
        except Exception as error:  # noqa: BLE001 - without a beat the slaves power off, all of them
            log.warning("no heartbeat", why=str(error))
        stop.wait(every)
