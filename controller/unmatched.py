"""Which jobs don't start although a slot is free for them: found by watching slaves that stay free beside them.

HTCondor doesn't say beforehand what keeps a job from a slot: a concurrency limit, a user's share, a START expression.
Slaves made for such jobs would stay empty.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controller.model import JobGroup, Phase, Room, Slave

PATIENCE = timedelta(seconds=60)
"""More than two negotiation cycles, which begin 10 s apart (cloudinit/files/common/etc/condor), and a claim."""
TRY_AGAIN = timedelta(minutes=30)
"""What kept the jobs may have gone while no slave was there to show it: they count again after that."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A slave that has stood unchanged, with room to spare, since a time at which a group of jobs was waiting."""

    since: datetime
    jobs: int
    free: Room


@dataclass(frozen=True, slots=True)
class Stuck:
    """A group that didn't start: when that was last seen, and how many of it waited at the last look."""

    since: datetime
    idle: int


@dataclass(slots=True)
class Watch:
    """What has been seen so far. Groups are told apart by what they request."""

    beside: dict[tuple[Room, str], Beside] = field(default_factory=dict)
    stuck: dict[Room, Stuck] = field(default_factory=dict)

    def look(
        self, jobs: tuple[JobGroup, ...], slaves: tuple[Slave, ...], places: int, now: datetime
    ) -> tuple[JobGroup, ...]:
        """The groups, marked where they are unmatched; to be called with each look at the pool.

        Args:
            jobs: the groups of idle jobs.
            slaves: with their free room.
            places: how many jobs a slave runs at once that doesn't say so itself: one that is full is no free slot,
                whatever room it has left.
            now: the time of this look.

        A group is unmatched when one slave with room for it has stood unchanged beside it for `PATIENCE`. It stays so
        when the slave goes, until one of its jobs starts or leaves, or `TRY_AGAIN` is over.
        """
        waiting = {group.request: group.idle for group in jobs if group.idle and not group.impossible}
        self.beside = {
            (request, slave.name): self._beside(request, slave, slave.free, now)
            for request in waiting
            for slave in slaves
            if slave.phase in (Phase.IDLE, Phase.BUSY)
            and slave.jobs < (slave.places or places)
            and slave.free
            and slave.free.holds(request)
        }
        since = {
            request: min((b.since for (wanted, _), b in self.beside.items() if wanted == request), default=now)
            for request in waiting
        }
        stuck = {}
        for request, idle in waiting.items():
            was = self.stuck.get(request)
            if now - since[request] >= PATIENCE:
                stuck[request] = Stuck(now, idle)
            elif was and idle >= was.idle and now - was.since < TRY_AGAIN:
                stuck[request] = replace(was, idle=idle)
        self.stuck = stuck
        return tuple(replace(g, unmatched=True) if g.request in stuck and not g.impossible else g for g in jobs)

    def _beside(self, request: Room, slave: Slave, free: Room, now: datetime) -> Beside:
        was = self.beside.get((request, slave.name))
        same = was is not None and (was.jobs, was.free) == (slave.jobs, free)
        return was if was and same else Beside(now, slave.jobs, free)
