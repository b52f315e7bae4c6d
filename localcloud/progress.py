"""Lines on stderr while something takes its time."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_SECONDS = 3.0


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Name what is under way once it has taken over three seconds, again every fifteen, and how long it took."""
    began = time.monotonic()
    over = threading.Event()

    def report() -> None:
        if over.wait(QUIET_SECONDS):
            return
        say(f"  {what} …")
        while not over.wait(15):
            say(f"  {what} … {time.monotonic() - began:.0f} s")

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    except BaseException:
        over.set()
        raise
    over.set()
    took = time.monotonic() - began
    if took >= QUIET_SECONDS:
        say(f"  {what}: {took:.0f} s")
