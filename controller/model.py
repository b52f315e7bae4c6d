"""The values that a decision is made of: what was seen, what is allowed, what to do. Frozen, and free of any I/O.

Ages are measured against `now`, which the caller passes to `decide`; durations are in seconds, memory in MiB, disk in
KiB, as HTCondor has them.
"""

import sys
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

Seconds = NewType("Seconds", float)


@dataclass(frozen=True, slots=True)
class Room:
    """An amount of a machine: what a job asks for, or what a slave has free."""

    cpus: int
    memory_mib: int
    disk_kib: int
    gpus: int = 0

    def holds(self, request: "Room") -> int:
        """How many jobs of this request fit, if a slave may run that many at once; all that ask for nothing."""
        if self.cpus < request.cpus or self.memory_mib < request.memory_mib:
            # By far most of the answers, where there are many requests and slaves that are nearly full.
            return 0
        shares = [
            have // want
            for have, want in (
                (self.cpus, request.cpus),
                (self.memory_mib, request.memory_mib),
                (self.disk_kib, request.disk_kib),
                (self.gpus, request.gpus),
            )
            if want > 0
        ]
        return max(0, min(shares, default=sys.maxsize))

    def less(self, request: "Room", times: int) -> "Room":
        """What is left after `times` jobs of this request."""
        return Room(
            self.cpus - times * request.cpus,
            self.memory_mib - times * request.memory_mib,
            self.disk_kib - times * request.disk_kib,
            self.gpus - times * request.gpus,
        )


@dataclass(frozen=True, slots=True)
class JobGroup:
    """Idle jobs that ask for the same, and that HTCondor looks at in the same way."""

    request: Room
    idle: int
    """Jobs of the group that wait for a slot."""
    ripe: int
    """Those of them that have waited for `waitingJobsTime` or longer."""
    impossible: str = ""
    """Why no slave can ever run these jobs; empty when one can."""
    unmatched: bool = False
    """Whether they don't start although a slot is free that is large enough."""
    kind: str = ""
    """What tells them from others of the same request, as their owner and requirements do; opaque."""
    beside: str = ""
    """A slave that they didn't start on, when they are unmatched or tried."""
    again_at: datetime | None = None
    """When one of the unmatched jobs is tried; None while one is."""
    owner: str = ""
    """Whose they are; empty where that makes no difference."""
    elsewhere: bool = False
    """Whether they don't start on the slaves that are in the pool, whatever room these have, and may on others."""

    @property
    def tried(self) -> bool:
        """Whether this is the job that is to show whether unmatched ones start on a new slave."""
        return self.elsewhere and bool(self.beside)


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot that HTCondor has given to a user a moment ago, and on which no job runs yet."""

    owner: str
    room: Room


class Phase(StrEnum):
    """Where a slave is in its life, as seen now (not as remembered)."""

    BUILDING = "building"
    """Nova is making the server."""
    BOOTING = "booting"
    """The server is ACTIVE; its startd has not been seen yet."""
    IDLE = "idle"
    BUSY = "busy"
    """At least one slot is claimed, matched or being vacated."""
    DRAINING = "draining"
    """The startd takes no more jobs; the last ones still run."""
    DRAINED = "drained"
    """The startd takes no more jobs and has none; a drain can be undone."""
    MISSING = "missing"
    """The startd was in the collector and is no longer."""
    FAILED = "failed"
    """Nova says ERROR, or the server is switched off."""
    GONE = "gone"
    """The state has the slave, Nova has no such server."""
    DOUBTFUL = "doubtful"
    """Nova has the server, the state doesn't, and an update that makes it may still run somewhere."""


class Trouble(StrEnum):
    """What goes wrong again and again when slaves are made."""

    UPDATES = "updates"
    """Updates of the stack that make slaves fail."""
    REMOVALS = "removals"
    """Updates of the stack that only remove slaves fail."""
    JOINS = "joins"
    """Servers are made, and fail or never join the pool."""


@dataclass(frozen=True, slots=True)
class Setback:
    """Failures of one kind without a success between them, the last of them at `at`."""

    times: int
    at: datetime
    why: str
    trouble: Trouble = Trouble.UPDATES


@dataclass(frozen=True, slots=True)
class Slave:
    """One slave VM of this cluster."""

    name: str
    phase: Phase
    created_at: datetime
    server_id: str
    in_state: bool = True
    """False for a VM with the cluster's tag that the Pulumi state doesn't know: a create that was interrupted."""
    known: bool = False
    """Whether its startd has ever been seen in the collector."""
    idle_for: Seconds = Seconds(0)
    """Since when no slot has been claimed, on the machine's own clock; 0 unless idle."""
    absent_since: datetime | None = None
    """Since when its startd has not been in the collector, as far as this controller has watched; None while it is."""
    free: Room | None = None
    """What its startd still offers; None before it has joined, while nothing is heard of it, and once it is deleted."""
    running: bool = False
    """Whether the schedd says that a job runs there, whatever the collector knows."""
    drained: bool = False
    """Whether its startd takes no more jobs and has none, whatever the cloud says."""
    jobs: int = 0
    """Claimed slots."""
    claims: tuple[Claim, ...] = ()
    """Those of them on which a job is about to start."""
    places: int | None = None
    """How many jobs it runs at once, which `jobsPerSlave` may not be any more; None while it doesn't say so."""
    revivable: bool = False
    """Whether the controller itself drained it, because it was idle: that can be undone."""
    deleting: bool = False
    """Whether the cloud has been asked to delete its server: nothing may come to it any more."""
    outdated: bool = False
    """Whether it was made from other settings than new slaves are made from now."""
    unwanted: bool = False
    """Whether somebody wants it to go, whatever the demand."""
    detail: str = ""
    """What the cloud says of a failure, or HTCondor of a drain."""
    stays: Setback | None = None
    """What has kept it from being drained or removed, when that was tried."""

    @property
    def coming(self) -> bool:
        return self.phase in (Phase.BUILDING, Phase.BOOTING)

    @property
    def joined(self) -> bool:
        return self.phase in (Phase.IDLE, Phase.BUSY)

    @property
    def has_to_go(self) -> bool:
        """Whatever the demand: somebody wants that, or has asked the cloud for it."""
        return self.unwanted or self.deleting


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision looks at, read at one time. A part that could not be read is named in `unknown`."""

    jobs: tuple[JobGroup, ...] = ()
    slaves: tuple[Slave, ...] = ()
    quota_left: int | None = None
    """How many more slaves the project's quota admits, other people's servers counted; None when it has no limit."""
    setbacks: tuple[Setback, ...] = ()
    locked: str = ""
    """Who holds the stack's lock, when the last update met one a moment ago."""
    unknown: tuple[str, ...] = ()
    paused: str = ""
    """Who wants nothing to be done, since when and why."""
    recycling: bool = False
    """Whether the user has asked for outdated slaves to be replaced."""
    quota_unread: str = ""
    """Why the quota can't be read: then nothing is made, but what is idle goes."""
    dead_ads: tuple[str, ...] = ()
    """Slaves that are still in the pool's list, and nowhere else."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The user's limits, and what one slave offers."""

    min_slaves: int
    max_slaves: int
    jobs_per_slave: int
    idle_time: Seconds
    join_timeout: Seconds
    waiting_jobs_threshold: int
    offer: Room
    spare_slots: int = 0
    """Slots kept free for jobs to come, while any job runs or waits."""
    gpus_known: bool = True
    """Whether a slave has told how many GPUs it has: a flavor doesn't."""

    @property
    def share(self) -> Room:
        """What one of a slave's slots has, when all are alike."""
        each = max(1, self.jobs_per_slave)
        return Room(max(1, self.offer.cpus // each), self.offer.memory_mib // each, self.offer.disk_kib // each)


class Why(StrEnum):
    """What a reason is about; the words beside it are for people."""

    BLIND = "blind"
    LOCKED = "locked"
    PAUSED = "paused"
    UPDATING = "updating"
    GROW = "grow"
    MINIMUM = "minimum"
    AT_MAXIMUM = "at maximum"
    AT_QUOTA = "at quota"
    BATCH = "batch"
    BACKING_OFF = "backing off"
    ON_THEIR_WAY = "on their way"
    AWAY = "away"
    ENOUGH = "enough"
    WAITING = "waiting"
    IMPOSSIBLE = "impossible"
    UNMATCHED = "unmatched"
    IDLE = "idle"
    NOT_JOINED = "not joined"
    LOST = "lost"
    FAILED = "failed"
    GONE = "gone"
    DRAINED = "drained"
    STRAY = "stray"
    RECYCLED = "recycled"
    UNWANTED = "unwanted"
    STAYS = "stays"
    REVIVED = "revived"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Reason:
    why: Why
    text: str

    def __str__(self) -> str:
        return f"{self.why}: {self.text}"


@dataclass(frozen=True, slots=True)
class Removal:
    """A slave that is to go. Its startd is asked to drain first and refuses when a job has come in the meantime."""

    slave: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do next, and why: at least one reason, for acting as for not acting."""

    create: int = 0
    remove: tuple[Removal, ...] = ()
    revive: tuple[str, ...] = ()
    """Drained slaves that are to take jobs again."""
    retire: tuple[str, ...] = ()
    """Slaves that are to take no more jobs, and to go when their last one has ended."""
    stay: tuple[str, ...] = ()
    """Slaves that are to go, couldn't, and aren't asked again yet."""
    reasons: tuple[Reason, ...] = ()
    forget: tuple[str, ...] = ()
    """Slaves that are no more, and whose ads the pool is to drop."""

    @property
    def acts(self) -> bool:
        return bool(self.create or self.remove or self.revive or self.retire or self.forget)
