"""Which jobs don't start although a slot is free for them: found by watching slaves that stay free beside them.

HTCondor doesn't say beforehand what keeps a job from a slot: a concurrency limit, a user's share, a START expression.
Slaves made for such jobs would stay empty. But it may be the slave that is at fault, as one that can't be reached: so
what was found holds for a while only, and is then tried again, with one slave. A group of jobs is

matched: all its jobs count. When a busy slave, or two, with room for it have stood unchanged beside it for `PATIENCE`,
    or one idle slave for `LONE_PATIENCE`, it becomes
paused: none counts. When the pause is over, its jobs took the last free slot, or new slaves have other settings, it is
tried: one counts, when it is its turn, and one more for each that has started since, as far as slaves that have joined
    since run so many. When such a slave stands idle beside it for as long as above, or has gone unused, it is paused
    for twice as long; when all count, it is matched.

That some of the jobs start says nothing by itself: under a limit of ten, one starts whenever one of the ten ends. But
when the limit is lifted, those that count can double with each boot.

One slave is tried at a time, and with one group all that are paused: what stays idle shows so for each that it has room
for. So limits cost one idle slave a pause, however many kinds of jobs they hold. Jobs that merely came while one slave
couldn't be reached wait for `LONE_PATIENCE` and `FIRST_PAUSE`, ten minutes, before they bring others; at worst, when
each new slave proves bad as well, for `LONE_PATIENCE` and `LONGEST_PAUSE` before the next one.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from controller.free_slaves import PATIENCE, FreeSlaves, Seen, prove
from controller.model import JobGroup, Room, Slave

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=5), timedelta(hours=1)
"""For how long jobs that were found so don't count. What kept them may have gone while no slave was there to tell."""
OVERLOOKED = timedelta(seconds=75)
"""More than HTCondor waits for a slave that doesn't answer: REQUEST_CLAIM_TIMEOUT and a SCHEDD_INTERVAL
(cloudinit/files/master/etc/condor, …/common), and a negotiation."""


Group = tuple[Room, str]
"""A group's request and kind: one user's limit, or one odd requirement, says nothing of other jobs of the request."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A group that didn't start, beside `slave`, and how often it was so."""

    until: datetime
    slave: str
    times: int = 1

    def over(self, now: datetime) -> "Paused":
        return replace(self, until=min(self.until, now))


@dataclass(frozen=True, slots=True)
class Tried:
    """The same group while it is found out whether it starts on slaves that have joined since."""

    since: datetime
    slave: str
    times: int
    counts: int = 1
    """How many of its jobs count now."""
    started: int = 0
    """How many of them have started since, at least."""
    fresh: str = ""
    """Such a slave, when it was idle at the last look with room for them."""

    @property
    def asks(self) -> bool:
        """Whether it needs a first slave, or waits for jobs to start on one."""
        return self.counts <= 1

    def paused(self, slave: str, now: datetime) -> Paused:
        """It doesn't start beside this one, either."""
        return Paused(now + _pause(FIRST_PAUSE, self.times + 1), slave, self.times + 1)


@dataclass(slots=True)
class Watch:
    """What has been seen so far, by group."""

    slaves: FreeSlaves = field(default_factory=FreeSlaves)
    settings: str = ""
    """The fingerprint of those that new slaves were made from at the last look."""
    waiting: dict[Group, datetime] = field(default_factory=dict)
    """Since when each group waits, or has waited since slaves that stood beside it took some of it."""
    idle: dict[Group, int] = field(default_factory=dict)
    """How many jobs of each waited at the last look."""
    held: dict[Group, Paused | Tried] = field(default_factory=dict)
    said: dict[Group, tuple[int, datetime]] = field(default_factory=dict)
    """How often `overlooked` has said so of each group, and when it may again."""

    def look(
        self, jobs: tuple[JobGroup, ...], slaves: tuple[Slave, ...], places: int, now: datetime, settings: str = ""
    ) -> tuple[JobGroup, ...]:
        """The groups, marked where they are unmatched or tried; to be called with each look at the pool.

        Groups beside outdated slaves only are not unmatched, but wait for others after `PATIENCE`.

        Args:
            jobs: the groups of idle jobs.
            slaves: with their free room; those that the pool has lately heard from.
            places: how many jobs a slave runs at once that doesn't say so itself: one that is full is no free slot,
                whatever room it has left.
            now: the time of this look.
            settings: the fingerprint of those that new slaves are made from.
        """
        idle = {(g.request, g.kind): g.idle for g in jobs if g.idle and not g.impossible}
        self.waiting = {group: self.waiting.get(group, now) for group in idle}
        self.said = {group: said for group, said in self.said.items() if group in idle}
        seen = self.slaves.look(slaves, places, now)
        if settings != self.settings:
            self.settings = settings
            self.held = {group: h.over(now) if isinstance(h, Paused) else h for group, h in self.held.items()}
        held = {group: held for group, count in idle.items() if (held := self._held(group, count, seen))}
        self.held, self.idle = _in_turn(_begun(held, now)), idle
        return tuple(part for group in jobs for part in self._marked(group, seen))

    def overlooked(self, now: datetime) -> bool:
        """Whether HTCondor may have lost sight of jobs (`pool.look_again`).

        That may be so when they have waited for `OVERLOOKED`, beside a slave that has stood free and unchanged. It is
        said of each group once, and again while it waits, after pauses that double: mostly something else holds it.
        """
        standing = {slave.free for slave in self.slaves.stood(OVERLOOKED, now)}

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
        self.slaves.shift(jump)
        self.waiting = {group: since + jump for group, since in self.waiting.items()}
        self.held = {group: _shifted(held, jump) for group, held in self.held.items()}
        self.said = {group: (times, due + jump) for group, (times, due) in self.said.items()}

    def _held(self, group: Group, count: int, seen: Seen) -> Paused | Tried | None:
        """What becomes of a group of which so many jobs wait; None when it is matched."""
        request, held = group[0], self.held.get(group)
        gone = max(0, self.idle.get(group, 0) - count)
        took = gone > 0 and any(seen.taken(request))
        match held:
            case Tried():
                after = _after(replace(held, started=held.started + gone), request, count, seen)
                if after is None:
                    # What stands there has proved nothing.
                    self.waiting[group] = seen.at
                return after
            case Paused():
                return held.over(seen.at) if took and not any(seen.current(request)) else held
            case None:
                if took:
                    self.waiting[group] = seen.at
                there = seen.long(request)
                found = prove(there, self.waiting[group], seen.at)
                return Paused(seen.at + FIRST_PAUSE, there[0].slave) if found else None

    def _marked(self, group: JobGroup, seen: Seen) -> tuple[JobGroup, ...]:
        """A group in two parts, if need be: the jobs that count, and those that are unmatched."""
        key = group.request, group.kind
        if key not in self.waiting or group.impossible:
            return (group,)
        held = self.held.get(key)
        if held is None:
            outdated_only = any(seen.outdated(group.request)) and not any(seen.current(group.request))
            return (replace(group, elsewhere=outdated_only and seen.at - self.waiting[key] >= PATIENCE),)
        if isinstance(held, Paused):
            return (replace(group, unmatched=True, beside=held.slave, again_at=held.until),)
        idle = min(held.counts, group.idle)
        ripe = min(idle, group.ripe)
        tried = replace(group, idle=idle, ripe=ripe, elsewhere=True, beside=held.slave if held.counts == 1 else "")
        rest = replace(group, idle=group.idle - idle, ripe=group.ripe - ripe, unmatched=True, beside=held.slave)
        return tuple(part for part in (tried, rest) if part.idle)


def _after(was: Tried, request: Room, idle: int, seen: Seen) -> Paused | Tried | None:
    """What becomes of a group that is tried, of which so many jobs wait; None when all of it counts."""
    newer = seen.newer(was.since)
    fresh = newer.idle(request)
    if prove(fresh, was.since, seen.at):
        return was.paused(fresh[0].slave, seen.at)
    if fresh:
        return replace(was, counts=0, fresh=fresh[0].slave)
    if was.fresh and was.fresh not in newer.names:
        return was.paused(was.fresh, seen.at)
    counts = 1 + min(was.started, newer.run)
    return None if 1 < counts >= idle else replace(was, counts=counts, fresh="")


def _begun(held: dict[Group, Paused | Tried], now: datetime) -> dict[Group, Paused | Tried]:
    """The same with those tried whose pause is over; with a first one all, as what it brings tells of all."""
    paused = {group: state for group, state in held.items() if isinstance(state, Paused)}
    due = {group for group, state in paused.items() if state.until <= now}
    if due and not any(isinstance(state, Tried) and state.asks for state in held.values()):
        due = set(paused)
    return held | {group: Tried(now, paused[group].slave, paused[group].times) for group in due}


def _in_turn(held: dict[Group, Paused | Tried]) -> dict[Group, Paused | Tried]:
    """The same, so that of all groups that ask only the one that is tried for longest counts."""
    asking = {group: state for group, state in held.items() if isinstance(state, Tried) and state.asks}
    first = min(asking, key=lambda group: (asking[group].since, group[1]), default=None)
    return held | {group: replace(state, counts=0) for group, state in asking.items() if group != first}


def _shifted(held: Paused | Tried, jump: timedelta) -> Paused | Tried:
    if isinstance(held, Paused):
        return replace(held, until=held.until + jump)
    return replace(held, since=held.since + jump)


def _pause(first: timedelta, times: int) -> timedelta:
    """Each pause is twice the one before, up to the longest."""
    return min(first * (1 << min(times - 1, 10)), LONGEST_PAUSE)
