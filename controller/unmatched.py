"""Which jobs don't start although a slot is free for them: found by watching slaves that stay free beside them.

HTCondor doesn't say beforehand what keeps a job from a slot: a concurrency limit, a user's share, a START expression.
Slaves made for such jobs would stay empty. But it may be the slave that is at fault, as one that can't be reached: so
what was found holds for a while only, and is then tried again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import islice

from controller.model import JobGroup, Phase, Room, Slave

PATIENCE = timedelta(seconds=60)
"""More than two negotiation cycles, which begin 10 s apart (cloudinit/files/common/etc/condor), and a claim."""
LONE_PATIENCE = 5 * PATIENCE
"""The same beside one slave only, which has no job that shows that it can be reached."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=1)
"""For how long jobs that were found so don't count. What kept them may have gone while no slave was there to tell."""
OVERLOOKED = timedelta(seconds=75)
"""More than HTCondor waits for a slave that doesn't answer: REQUEST_CLAIM_TIMEOUT and a SCHEDD_INTERVAL
(cloudinit/files/master/etc/condor, …/common), and a negotiation."""


Group = tuple[Room, str]
"""A group's request and kind."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A slave that has stood unchanged, with room to spare, since some time."""

    slave: str
    since: datetime
    jobs: int
    free: Room
    busy: bool
    """Whether it runs jobs, and so can be reached."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A group that didn't start, beside `slave`: how many of it waited at the last look, and how often it was so."""

    until: datetime
    """When its jobs count again, for as long as they aren't found to be stuck once more."""
    idle: int
    slave: str
    times: int = 1


@dataclass(slots=True)
class Watch:
    """What has been seen so far, by group.

    One user's limit, or one odd requirement, says nothing of other jobs of the same request.
    """

    waiting: dict[Group, datetime] = field(default_factory=dict)
    """Since when each group waits."""
    standing: dict[str, Standing] = field(default_factory=dict)
    stuck: dict[Group, Stuck] = field(default_factory=dict)
    said: dict[Group, tuple[int, datetime]] = field(default_factory=dict)
    """How often `overlooked` has said so of each group, and when it may again."""

    def look(
        self, jobs: tuple[JobGroup, ...], slaves: tuple[Slave, ...], places: int, now: datetime
    ) -> tuple[JobGroup, ...]:
        """The groups, marked where they are unmatched; to be called with each look at the pool.

        Args:
            jobs: the groups of idle jobs.
            slaves: with their free room; those that the pool has lately heard from.
            places: how many jobs a slave runs at once that doesn't say so itself: one that is full is no free slot,
                whatever room it has left.
            now: the time of this look.

        A group is unmatched when a busy slave, or two, with room for it have stood unchanged beside it for `PATIENCE`,
        or one idle slave for `LONE_PATIENCE`. It stays so until one of its jobs starts or leaves, or its pause is over.
        """
        idle = {(g.request, g.kind): g.idle for g in jobs if g.idle and not g.impossible}
        self.waiting = {group: self.waiting.get(group, now) for group in idle}
        self.said = {group: said for group, said in self.said.items() if group in idle}
        self.standing = {
            slave.name: self._standing(slave, slave.free, now)
            for slave in sorted(slaves, key=lambda slave: slave.name)
            if slave.phase in (Phase.IDLE, Phase.BUSY) and slave.jobs < (slave.places or places) and slave.free
        }
        long = [slave for slave in self.standing.values() if now - slave.since >= PATIENCE]

        @cache
        def beside(request: Room) -> tuple[Standing, ...]:
            """The first two with room for it, which prove as much as more would: there may be very many."""
            return tuple(islice((slave for slave in long if slave.free.holds(request)), 2))

        self.stuck = {
            group: stuck for group, count in idle.items() if (stuck := self._stuck(group, count, beside, now))
        }
        return tuple(self._marked(group, now) for group in jobs)

    def overlooked(self, now: datetime) -> bool:
        """Whether HTCondor may have lost sight of jobs (`pool.look_again`).

        That may be so when they have waited for `OVERLOOKED`, beside a slave that has stood free and unchanged. It is
        said of each group once, and again while it waits, after pauses that double: mostly something else holds it.
        """
        standing = {slave.free for slave in self.standing.values() if now - slave.since >= OVERLOOKED}

        @cache
        def fits(request: Room) -> bool:
            return any(free.holds(request) for free in standing)

        overlooked = False
        for group, since in self.waiting.items():
            times, due = self.said.get(group, (0, since + OVERLOOKED))
            if now >= due and fits(group[0]):
                self.said[group] = times + 1, now + _pause(OVERLOOKED, times + 1)
                overlooked = True
        return overlooked

    def shift(self, jump: timedelta) -> None:
        """Takes all times along with the clock, which has jumped."""
        self.waiting = {group: since + jump for group, since in self.waiting.items()}
        self.standing = {name: replace(slave, since=slave.since + jump) for name, slave in self.standing.items()}
        self.stuck = {group: replace(stuck, until=stuck.until + jump) for group, stuck in self.stuck.items()}
        self.said = {group: (times, due + jump) for group, (times, due) in self.said.items()}

    def _standing(self, slave: Slave, free: Room, now: datetime) -> Standing:
        fresh = Standing(slave.name, now, slave.jobs, free, slave.phase is Phase.BUSY)
        was = self.standing.get(slave.name, fresh)
        return was if fresh == replace(was, since=now) else fresh

    def _stuck(
        self, group: Group, idle: int, beside: Callable[[Room], tuple[Standing, ...]], now: datetime
    ) -> Stuck | None:
        was = self.stuck.get(group)
        if was and idle < was.idle:
            return None
        if was and now < was.until:
            return replace(was, idle=idle)
        # What stood there during the pause proves nothing anew.
        since = max(self.waiting[group], was.until) if was else self.waiting[group]
        there = beside(group[0]) if now - since >= PATIENCE else ()
        if len(there) > 1 or any(slave.busy or now - max(slave.since, since) >= LONE_PATIENCE for slave in there):
            times = was.times + 1 if was else 1
            return Stuck(now + _pause(FIRST_PAUSE, times), idle, there[0].slave, times)
        return replace(was, idle=idle) if was else None

    def _marked(self, group: JobGroup, now: datetime) -> JobGroup:
        stuck = self.stuck.get((group.request, group.kind))
        if group.impossible or stuck is None or now >= stuck.until:
            return group
        return replace(group, unmatched=True, beside=stuck.slave, again_at=stuck.until)


def _pause(first: timedelta, times: int) -> timedelta:
    """Each pause is twice the one before, up to the longest."""
    return min(first * (1 << min(times - 1, 10)), LONGEST_PAUSE)
