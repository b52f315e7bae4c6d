"""What the controller says of itself, read from `/run/ecm/status.json`. Seconds, MiB of memory, KiB of disk."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from cli.errors import CommandError
from cli.master.machine import Machine
from controller.model import JobGroup, Limits, Phase

STALE = timedelta(minutes=2)
"""A controller that has said nothing for so long isn't running, or hangs."""


@dataclass(frozen=True, slots=True)
class SlaveSeen:
    """One slave as the controller last saw it."""

    name: str
    phase: Phase
    created_at: datetime
    since: datetime | None = None
    """Since when it has been in this phase."""
    in_state: bool = True
    idle_for: float = 0
    jobs: int = 0
    reason: str = ""
    """Why it is to go; empty when it stays."""
    detail: str = ""
    absent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """An update of the stack by the controller."""

    since: datetime
    create: int
    remove: tuple[str, ...]
    reasons: tuple[str, ...]
    ended: datetime | None = None
    result: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """What will be done when nothing else happens before."""

    at: datetime
    action: str


@dataclass(frozen=True, slots=True)
class Slots:
    """Places for jobs on the slaves that have joined."""

    claimed: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The whole of it."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    at: datetime
    reasons: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unknown_since: Mapping[str, datetime] = field(default_factory=dict)
    idle_jobs: int = 0
    demand: tuple[JobGroup, ...] = ()
    slots: Slots = Slots()
    slaves: tuple[SlaveSeen, ...] = ()
    limits: Limits | None = None
    quota_left: int | None = None
    next_try_at: datetime | None = None
    locked: str = ""
    update: Update | None = None
    last_update: Update | None = None
    next: Next | None = None


_ADAPTER = TypeAdapter(Status)


def parse(text: str) -> Status | None:
    """The status in a file's text; None when it is damaged or of a version that isn't understood."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError:
        return None


def look(master: Machine) -> Status:
    """The controller's status.

    Raises:
        CommandError: there is none.
    """
    text = master.read(master.run / "status.json")
    if not text:
        raise CommandError(
            "the controller has said nothing yet - it isn't running, or the master is still at its first boot - "
            "`ecm logs` or `ecm doctor`"
        )
    status = parse(text)
    if not status:
        raise CommandError("the controller's status can't be read - it is of another version - `ecm restart`")
    return status
