"""How the log is written: lines for people, or JSON; under systemd with levels that journalctl knows."""

import logging
import sys
from collections.abc import Mapping
from enum import StrEnum

import structlog
from structlog.typing import EventDict, Processor

from controller.masking import masked

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class Style(StrEnum):
    """Who reads the log."""

    HUMAN = "human"
    JSON = "json"


def configure(style: Style, environment: Mapping[str, str]) -> None:
    """Sets up structlog for this process. No secret is shown, whatever is logged."""
    journald = "JOURNAL_STREAM" in environment
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    before: list[Processor]
    render: Processor
    if style is Style.JSON:
        before, render = [structlog.processors.add_log_level, stamp], structlog.processors.JSONRenderer(default=str)
    else:
        # journald has the time itself, and the level as the line's priority.
        before = [] if journald else [structlog.processors.add_log_level, stamp]
        render = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            pad_event_to=0,
            pad_level=False,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,  # the usual one shows the values of variables
        )
    structlog.configure(
        processors=[_mask, *before, _with_priority(render) if journald else render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def _mask(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: masked(value, key) for key, value in event.items()}


def _with_priority(render: Processor) -> Processor:
    """The level as systemd takes it: `<4>` at the start of a line is a warning."""
    return lambda logger, method, event: f"<{_PRIORITIES[method]}>{render(logger, method, event)!s}"
