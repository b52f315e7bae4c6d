"""`/run/ecm/status.json`: what the controller sees and does, for tools. The controller writes it, `ecm` reads it.

The values here are folded: each look makes the next status out of the last one, which knows since when things are so.
The file holds no secret and has JSON's usual names (`idleJobs`); times are in UTC, durations in seconds, memory in MiB,
disk in KiB.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from controller import disk
from controller.decide import GROWTH, packed, retry_at, unstarted
from controller.errors import system
from controller.model import JobGroup, Limits, Phase, Plan, Room, Seconds, Setback, Slave, Snapshot

VERSION = 1
"""Of the file: a reader takes any that is not larger."""
CONTROLLER = version("elastic-condor")
NOT_READY = "not ready"
"""How a reason begins that says what the controller itself waits for."""


@dataclass(frozen=True, slots=True)
class SlaveStatus:
    """One slave as it was last seen."""

    name: str
    phase: Phase
    since: datetime
    """Since when it has been in this phase, as far as was watched."""
    created_at: datetime
    age: Seconds
    server_id: str
    in_state: bool
    outdated: bool
    idle_for: Seconds
    absent_since: datetime | None
    jobs: int
    free: Room | None
    reason: str
    """Why it is to go; empty when it stays."""
    detail: str
    kept: str = ""
    """What has kept it from being drained or removed, until that is tried again."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Places for jobs on the slaves that have joined."""

    claimed: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """A plan of the controller that acts."""

    since: datetime
    create: int
    remove: tuple[str, ...]
    reasons: tuple[str, ...]
    revive: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    ended: datetime | None = None
    result: str = ""
    """`done`, or what else came of it; empty while it runs."""


@dataclass(frozen=True, slots=True)
class Next:
    """What will be done when nothing else happens before."""

    at: datetime
    action: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that a tool may want to show."""

    __pydantic_config__ = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    started_at: datetime
    at: datetime
    controller: str = CONTROLLER
    version: int = VERSION
    reasons: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """What can't be read, and why: nothing is decided meanwhile."""
    unknown_since: Mapping[str, datetime] = field(default_factory=dict)
    """By outside system."""
    seen_at: datetime | None = None
    """When everything was seen. The demand, the slaves and the quota are of that time."""
    idle_jobs: int = 0
    demand: tuple[JobGroup, ...] = ()
    slots: Slots = Slots()
    slaves: tuple[SlaveStatus, ...] = ()
    limits: Limits | None = None
    quota_left: int | None = None
    setbacks: tuple[Setback, ...] = ()
    next_try_at: datetime | None = None
    """When slaves may be made again after the setbacks; in the past when they may."""
    locked: str = ""
    update: Update | None = None
    """The running one."""
    last_update: Update | None = None
    next: Next | None = None


_ADAPTER = TypeAdapter(Status)


def write(path: Path, status: Status) -> None:
    """Writes the status, whole or not at all.

    Raises:
        OSError: the last one is still there.
    """
    disk.replace_file(path, _ADAPTER.dump_json(status, indent=1, by_alias=True), lasting=False)


def parse(text: str | bytes) -> Status | None:
    """The status in a file's text; None when it is damaged or of a version that isn't understood."""
    try:
        status = _ADAPTER.validate_json(text)
    except ValidationError:
        return None
    return status if status.version <= VERSION else None


def begin(path: Path, now: datetime) -> Status:
    """The first status of a controller: of the last one's it keeps the slaves with their times, and the last update."""
    try:
        before = parse(path.read_bytes())
    except OSError:
        before = None
    fresh = Status(started_at=now, at=now)
    return replace(fresh, slaves=before.slaves, last_update=before.last_update) if before else fresh


def blind(before: Status, unknown: tuple[str, ...], now: datetime) -> Status:
    """The status when not everything could be read: the rest is as it was seen last."""
    since = {name: before.unknown_since.get(name, now) for name in map(system, unknown)}
    return replace(before, at=now, unknown=unknown, unknown_since=since)


def looked(before: Status, seen: Snapshot, plan: Plan, limits: Limits, now: datetime) -> Status:
    """The status after a look; `plan` is what is being carried out or was decided last."""
    after = replace(
        blind(before, seen.unknown, now),
        limits=limits,
        setbacks=seen.setbacks,
        next_try_at=max(_retries(seen), default=None),
        locked=seen.locked,
        next=upcoming(seen, limits, now),
    )
    if seen.unknown:
        return after
    was = {(slave.name, slave.phase): slave.since for slave in before.slaves}
    going = {removal.slave: str(removal.reason) for removal in plan.remove}
    stay = frozenset(plan.stay)
    joined = [slave for slave in seen.slaves if slave.joined]
    free = sum(max(0, (slave.places or limits.jobs_per_slave) - slave.jobs) for slave in joined if slave.free)
    return replace(
        after,
        seen_at=now,
        idle_jobs=sum(group.idle for group in seen.jobs),
        demand=seen.jobs,
        slots=Slots(sum(slave.jobs for slave in joined), free),
        slaves=tuple(
            _slave(s, was.get((s.name, s.phase), now), going.get(s.name, ""), now, stays=s.name in stay)
            for s in seen.slaves
        ),
        quota_left=seen.quota_left,
    )


def upcoming(seen: Snapshot, limits: Limits, now: datetime) -> Next | None:
    """What the rule will do next without any change, and when; None when nothing is due."""
    if seen.paused or seen.locked:
        return None
    packing = packed(unstarted(seen.jobs, seen.slaves), seen.slaves, limits)
    joined = sum(slave.joined for slave in seen.slaves)
    due = []
    if packing.new or limits.min_slaves > len(seen.slaves):
        # Growth waits for the last of them.
        due += [Next(max(_retries(seen), default=now), "slaves may be made again")]
    if joined > limits.min_slaves:
        due += [
            Next(now + timedelta(seconds=limits.idle_time - slave.idle_for), f"{slave.name} goes if it stays idle")
            for slave in seen.slaves
            if slave.phase is Phase.IDLE and slave.name not in packing.taken
        ]
    due += [
        Next(
            slave.absent_since + timedelta(seconds=limits.join_timeout), f"{slave.name} is replaced if it doesn't join"
        )
        for slave in seen.slaves
        if slave.coming and slave.absent_since
    ]
    return min((one for one in due if one.at > now), key=lambda one: one.at, default=None)


def _retries(seen: Snapshot) -> list[datetime]:
    return [retry_at(setback) for setback in seen.setbacks if setback.trouble in GROWTH]


def _slave(slave: Slave, since: datetime, reason: str, now: datetime, *, stays: bool) -> SlaveStatus:
    return SlaveStatus(
        name=slave.name,
        phase=slave.phase,
        since=since,
        created_at=slave.created_at,
        age=Seconds((now - slave.created_at).total_seconds()),
        server_id=slave.server_id,
        in_state=slave.in_state,
        outdated=slave.outdated,
        idle_for=slave.idle_for,
        absent_since=slave.absent_since,
        jobs=slave.jobs,
        free=slave.free,
        reason=reason,
        detail=slave.detail,
        kept=slave.stays.why if slave.stays and stays else "",
    )
