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


Group = tuple[Room, str]
"""A group's request and kind."""


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
    """What has been seen so far, by group.

    One user's limit, or one odd requirement, says nothing of other jobs of the same request.
    """

    beside: dict[tuple[Group, str], Beside] = field(default_factory=dict)
    stuck: dict[Group, Stuck] = field(default_factory=dict)

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
        waiting = {(g.request, g.kind): g.idle for g in jobs if g.idle and not g.impossible}
        self.beside = {
            (group, slave.name): self._beside(group, slave, slave.free, now)
            for group in waiting
            for slave in slaves
            if slave.phase in (Phase.IDLE, Phase.BUSY)
            and slave.jobs < (slave.places or places)
            and slave.free
            and slave.free.holds(group[0])
        }
        since = dict.fromkeys(waiting, now)
        for (group, _), beside in self.beside.items():
            since[group] = min(since[group], beside.since)
        stuck = {}
        for group, idle in waiting.items():
            was = self.stuck.get(group)
            if now - since[group] >= PATIENCE:
                stuck[group] = Stuck(now, idle)
            elif was and idle >= was.idle and now - was.since < TRY_AGAIN:
                stuck[group] = replace(was, idle=idle)
        self.stuck = stuck
        return tuple(
            replace(g, unmatched=True) if (g.request, g.kind) in stuck and not g.impossible else g for g in jobs
        )

    def _beside(self, group: Group, slave: Slave, free: Room, now: datetime) -> Beside:
        was = self.beside.get((group, slave.name))
        same = was is not None and (was.jobs, was.free) == (slave.jobs, free)
        return was if was and same else Beside(now, slave.jobs, free)
