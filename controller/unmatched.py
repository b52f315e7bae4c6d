"""Which jobs don't start although a slot is free for them: found by watching slaves that stay free beside them.

HTCondor doesn't say beforehand what keeps a job from a slot: a concurrency limit, a user's share, a START expression.
Slaves made for such jobs would stay empty. But it may be the slave that is at fault, as one that can't be reached: so
what was found holds for a while only, and is then tried again, with one slave.

That some of the jobs start says nothing by itself: under a limit of ten, one starts whenever one of the ten ends.
"""

from collections.abc import Iterable
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
    outdated: bool = False
    """Whether it has other settings than slaves to come: what doesn't start here may start there."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A group that didn't start, beside `slave`, and how often it was so."""

    until: datetime
    """When its jobs are tried again, or since when they are."""
    slave: str
    times: int = 1
    tried: bool = False
    counts: int = 0
    """How many of them count now."""
    started: int = 0
    """How many of them have started since they are tried, at least."""
    fresh: str = ""
    """A slave that has joined since then, and was idle at the last look with room for them."""


@dataclass(slots=True)
class Watch:
    """What has been seen so far, by group.

    One user's limit, or one odd requirement, says nothing of other jobs of the same request.
    """

    waiting: dict[Group, datetime] = field(default_factory=dict)
    """Since when each group waits, or has waited since slaves that stood beside it took some of it."""
    idle: dict[Group, int] = field(default_factory=dict)
    """How many jobs of each waited at the last look."""
    arrived: dict[str, datetime] = field(default_factory=dict)
    """Since when each slave is in the pool."""
    jobs: dict[str, int] = field(default_factory=dict)
    """How many each runs."""
    standing: dict[str, Standing] = field(default_factory=dict)
    taken: tuple[Standing, ...] = ()
    """Those that had stood unchanged for `PATIENCE`, and have now taken jobs."""
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
        or one idle slave for `LONE_PATIENCE`. It stays so for a pause, or until its jobs take the last free slot. Then
        it is tried: one of its jobs counts, and brings a slave; and one more for each that has started since, as far as
        slaves that have joined since run so many, so that their number can double with each boot. It is unmatched again
        when such slaves stand idle beside it for as long as above, or have gone unused, for a pause twice as long;
        and no longer is when all its jobs count.

        So a limit costs one idle slave a pause. Jobs that merely came while one slave couldn't be reached wait for
        `LONE_PATIENCE` and `FIRST_PAUSE`, ten minutes, before they bring others; at worst, when each new slave proves
        bad as well, for `LONE_PATIENCE` and `LONGEST_PAUSE` before the next one.

        Groups beside outdated slaves only are not unmatched, but wait for others after `PATIENCE`.
        """
        idle = {(g.request, g.kind): g.idle for g in jobs if g.idle and not g.impossible}
        self.waiting = {group: self.waiting.get(group, now) for group in idle}
        self.said = {group: said for group, said in self.said.items() if group in idle}
        there = {s.name: s for s in sorted(slaves, key=lambda slave: slave.name) if s.phase in (Phase.IDLE, Phase.BUSY)}
        self.arrived = {name: self.arrived.get(name, now) for name in there}
        self.jobs = {name: slave.jobs for name, slave in there.items()}
        self.taken = tuple(s for s in self._long(now) if self.jobs.get(s.slave, 0) > s.jobs)
        self.standing = {
            slave.name: self._standing(slave, slave.free, now)
            for slave in there.values()
            if slave.jobs < (slave.places or places) and slave.free
        }
        self.stuck, self.idle = self._stuck(idle, now), idle
        outdated = [slave for slave in self._long(now) if slave.outdated]
        current = [slave for slave in self.standing.values() if not slave.outdated]

        @cache
        def outdated_only(request: Room) -> bool:
            return _first(outdated, request) != () and not _first(current, request)

        return tuple(
            replace(part, elsewhere=True)
            if not part.unmatched
            and now - self.waiting.get((part.request, part.kind), now) >= PATIENCE
            and outdated_only(part.request)
            else part
            for group in jobs
            for part in self._marked(group)
        )

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
        self.arrived = {name: at + jump for name, at in self.arrived.items()}
        self.standing = {name: replace(slave, since=slave.since + jump) for name, slave in self.standing.items()}
        self.stuck = {group: replace(stuck, until=stuck.until + jump) for group, stuck in self.stuck.items()}
        self.said = {group: (times, due + jump) for group, (times, due) in self.said.items()}

    def _standing(self, slave: Slave, free: Room, now: datetime) -> Standing:
        fresh = Standing(slave.name, now, slave.jobs, free, slave.phase is Phase.BUSY, slave.outdated)
        was = self.standing.get(slave.name, fresh)
        return was if fresh == replace(was, since=now) else fresh

    def _long(self, now: datetime) -> list[Standing]:
        return [slave for slave in self.standing.values() if now - slave.since >= PATIENCE]

    def _stuck(self, idle: dict[Group, int], now: datetime) -> dict[Group, Stuck]:
        """The groups that are unmatched, or tried again."""
        current = [slave for slave in self.standing.values() if not slave.outdated]
        long = [slave for slave in self._long(now) if not slave.outdated]

        @cache
        def beside(request: Room) -> tuple[Standing, ...]:
            return _first(long, request)

        @cache
        def joined_since(since: datetime) -> tuple[list[Standing], int]:
            """The idle slaves that have joined since, and how many jobs all run that have.

            A busy one proves nothing here: it may have taken what it can hold, as the startd rounds requests up.
            """
            names = {name for name, at in self.arrived.items() if at > since}
            idle_ones = [slave for slave in current if slave.slave in names and not slave.busy]
            return idle_ones, sum(self.jobs[name] for name in names)

        stuck = {}
        for group, count in idle.items():
            request, was, gone = group[0], self.stuck.get(group), max(0, self.idle.get(group, 0) - count)
            took = gone > 0 and _first(self.taken, request) != ()
            if was is None:
                if took:
                    # HTCondor is still giving out slots, which takes it minutes where there are thousands.
                    self.waiting[group] = now
                since = self.waiting[group]
                if _prove(there := beside(request), since, now):
                    stuck[group] = Stuck(now + FIRST_PAUSE, there[0].slave)
            elif was.tried:
                fresh, run = joined_since(was.until)
                left = bool(was.fresh) and was.fresh not in self.jobs
                if again := _tried(was, count, gone, _first(fresh, request), run, now, left=left):
                    stuck[group] = again
                else:
                    # What stands there has proved nothing.
                    self.waiting[group] = now
            else:
                over = now >= was.until or (took and not _first(current, request))
                stuck[group] = replace(was, until=now, tried=True, counts=1) if over else was
        return stuck

    def _marked(self, group: JobGroup) -> tuple[JobGroup, ...]:
        """A group in two parts, if need be: the jobs that count, and those that are unmatched."""
        stuck = self.stuck.get((group.request, group.kind))
        if group.impossible or stuck is None:
            return (group,)
        counts = min(stuck.counts, group.idle)
        ripe = min(counts, group.ripe)
        again_at = None if stuck.tried else stuck.until
        tried = replace(group, idle=counts, ripe=ripe, elsewhere=True)
        rest = replace(
            group,
            idle=group.idle - counts,
            ripe=group.ripe - ripe,
            unmatched=True,
            beside=stuck.slave,
            again_at=again_at,
        )
        return tuple(part for part in (tried, rest) if part.idle)


def _first(slaves: Iterable[Standing], request: Room) -> tuple[Standing, ...]:
    """The first two with room for a request, which prove as much as more would: there may be very many."""
    return tuple(islice((slave for slave in slaves if slave.free.holds(request)), 2))


def _prove(there: tuple[Standing, ...], since: datetime, now: datetime) -> bool:
    """Whether slaves with room for a group that waits since then show that something else holds it."""
    stood = [now - max(slave.since, since) for slave in there]
    if sum(span >= PATIENCE for span in stood) > 1:
        return True
    return any(span >= (PATIENCE if slave.busy else LONE_PATIENCE) for slave, span in zip(there, stood, strict=True))


def _tried(  # noqa: PLR0913, PLR0917 - all that it depends on
    was: Stuck, idle: int, gone: int, fresh: tuple[Standing, ...], run: int, now: datetime, *, left: bool
) -> Stuck | None:
    """What becomes of a group that is tried; None when all of it counts.

    Args:
        was: what it was at the last look.
        idle: how many jobs of it wait.
        gone: how many fewer these are than at the last look.
        fresh: idle slaves with room for it that have joined since it is tried.
        run: how many jobs run on all that have joined since then.
        now: the time of this look.
        left: whether the one that was so at the last look has gone.
    """
    if _prove(fresh, was.until, now) or (left and not fresh):
        pause = _pause(FIRST_PAUSE, was.times + 1)
        return Stuck(now + pause, fresh[0].slave if fresh else was.fresh, was.times + 1)
    started = was.started + gone
    if fresh:
        return replace(was, counts=0, started=started, fresh=fresh[0].slave)
    counts = 1 + min(started, run)
    if 1 < counts >= idle:
        return None
    return replace(was, counts=counts, started=started, fresh="")


def _pause(first: timedelta, times: int) -> timedelta:
    """Each pause is twice the one before, up to the longest."""
    return min(first * (1 << min(times - 1, 10)), LONGEST_PAUSE)
