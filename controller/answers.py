"""Answers of outside systems that nobody has thought of: they may be of any user's, or of a slave's, making."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from controller.errors import OutsideError

log = structlog.get_logger()

_told: set[str] = set()
"""What wasn't understood, and where, that has been logged."""


@contextmanager
def understood(who: str) -> Iterator[None]:
    """Has an answer that nobody expects be none, instead of the controller's end, again and again.

    Where it went wrong is logged, once, so that it can be mended.

    Raises:
        OutsideError: there was another error.
    """
    try:
        yield
    except OutsideError:
        raise
    except Exception as error:
        why = f"{who}'s answer can't be understood - {type(error).__name__}"
        last = traceback.extract_tb(error.__traceback__)[-1]
        if (where := f"{why} at {last.filename}:{last.lineno}") not in _told:
            _told.add(where)
            log.error("answer can't be understood", why=why, traceback=traceback.format_exception(error))
        raise OutsideError(why) from error
