"""The `pulumi` command, ended when it takes too long: a state that never answers would hold the controller for ever."""

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import psutil
import pulumi.automation as auto
import structlog

log = structlog.get_logger()

LIMIT = 120.0
"""Seconds for a command that only reads or frees the state."""
LIMITS = {"up": 1200.0, "refresh": 600.0}
GRACE = {"up": 330.0, "refresh": 60.0}
"""Seconds to end by itself, when asked to: servers that are being made then are still noted in the state."""
SHORT_GRACE = 10.0


class Limited(auto.PulumiCommand):
    """Runs one command at a time, each with a limit."""

    def run(self, args: list[str], *more: Any, **named: Any) -> auto.CommandResult:  # noqa: ANN401 - passed on
        """As Pulumi's own.

        Raises:
            CommandError: it failed, or took too long.
        """
        verb = args[0]
        limit = LIMITS.get(verb, LIMIT)
        late = threading.Event()
        timer = threading.Timer(limit, _end, (late, GRACE.get(verb, SHORT_GRACE)))
        timer.daemon = True
        timer.start()
        try:
            return super().run(args, *more, **named)
        except auto.CommandError as error:
            if late.is_set():
                said = f"error: pulumi {verb} was ended: it took more than {limit:.0f} s"
                raise auto.CommandError(auto.CommandResult("", said, -signal.SIGKILL)) from error
            raise
        finally:
            timer.cancel()


def interrupt() -> bool:
    """Asks the running command to end early: an update notes what it is making, and begins nothing more.

    Returns whether one was asked. Each is asked once: Pulumi takes a second time for an order to end at once.
    """
    return _interrupt(_engines())


def _engines() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_engine(child.pid)]


_asked: set[psutil.Process] = set()
_asking = threading.Lock()


def _interrupt(engines: list[psutil.Process]) -> bool:
    with _asking:
        new = set(engines) - _asked
        for engine in new:
            with suppress(psutil.NoSuchProcess):
                engine.send_signal(signal.SIGINT)
        _asked.clear()
        _asked.update(engines)
        return bool(new)


def _end(late: threading.Event, grace: float) -> None:
    """Asks the running command to end, then ends it with all that it has started."""
    late.set()
    engines = _engines()
    family = [*engines, *(grandchild for engine in engines for grandchild in engine.children(recursive=True))]
    log.warning("pulumi takes too long and is ended", processes=[engine.pid for engine in engines])
    _interrupt(engines)
    # Not psutil's wait, which would take their exit codes away from who runs them.
    end = time.monotonic() + grace
    while any(map(_lives, engines)) and time.monotonic() < end:
        time.sleep(0.1)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_engine(pid: int) -> bool:
    """Whether a process is a Pulumi of this account's.

    After a reboot another one may have the number of an engine that was killed, and any account may call its own so.
    """
    try:
        process = psutil.Process(pid)
        return process.name().startswith("pulumi") and process.uids().real == os.getuid()
    except psutil.NoSuchProcess:
        return False
