"""Slaves with free slots that jobs stand beside: which ones, since when, and what has come of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import islice

from controller.model import Phase, Room, Slave

PATIENCE = timedelta(seconds=60)
"""More than two negotiation cycles, which begin 10 s apart (cloudinit/files/common/etc/condor), and a claim."""
LONE_PATIENCE = 5 * PATIENCE
"""The same beside one slave only, which has no job that shows that it can be reached."""


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


Finder = Callable[[Room], tuple[Standing, ...]]
"""Finds some slaves with room for a request: at most two, which prove as much as more would."""


def prove(there: tuple[Standing, ...], since: datetime, now: datetime) -> bool:
    """Whether slaves with room for jobs that wait since then show that something else holds these."""
    stood = [now - max(slave.since, since) for slave in there]
    if sum(span >= PATIENCE for span in stood) > 1:
        return True
    return any(span >= (PATIENCE if slave.busy else LONE_PATIENCE) for slave, span in zip(there, stood, strict=True))


@dataclass(frozen=True, slots=True)
class Newer:
    """The slaves that have joined since some time."""

    idle: Finder
    """A busy one proves nothing: it may have taken what it can hold, as the startd rounds requests up."""
    names: frozenset[str]
    run: int
    """How many jobs all of them run."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The free slaves of one look; those that are outdated are apart."""

    at: datetime
    current: Finder
    long: Finder
    """Those of them that have stood unchanged for `PATIENCE`."""
    outdated: Finder
    """Outdated ones that have."""
    taken: Finder
    """Those that had, and have now taken jobs, unless as many jobs ended elsewhere.

    Then HTCondor is still giving out slots, which takes it minutes where there are thousands.
    """
    newer: Callable[[datetime], Newer]


@dataclass(slots=True)
class FreeSlaves:
    """The slaves in the pool, as the last look saw them."""

    arrived: dict[str, datetime] = field(default_factory=dict)
    """Since when each is there."""
    jobs: dict[str, int] = field(default_factory=dict)
    """How many each runs."""
    standing: dict[str, Standing] = field(default_factory=dict)
    """Those with free slots."""

    def look(self, slaves: tuple[Slave, ...], places: int, now: datetime) -> Seen:
        """What has come of them; `places` is how many jobs a slave runs at once that doesn't say so itself."""
        there = {s.name: s for s in sorted(slaves, key=lambda slave: slave.name) if s.phase in (Phase.IDLE, Phase.BUSY)}
        jobs = {name: slave.jobs for name, slave in there.items()}
        grown = sum(jobs.values()) > sum(self.jobs.values())
        taken = [s for s in self.stood(PATIENCE, now) if grown and jobs.get(s.slave, 0) > s.jobs]
        self.jobs, self.arrived = jobs, {name: self.arrived.get(name, now) for name in there}
        self.standing = {
            slave.name: self._standing(slave, slave.free, now)
            for slave in there.values()
            if slave.jobs < (slave.places or places) and slave.free
        }
        current = [slave for slave in self.standing.values() if not slave.outdated]
        long = self.stood(PATIENCE, now)

        @cache
        def newer(since: datetime) -> Newer:
            names = frozenset(name for name, at in self.arrived.items() if at > since)
            idle = (slave for slave in current if slave.slave in names and not slave.busy)
            return Newer(_finder(idle), names, sum(jobs[name] for name in names))

        return Seen(
            at=now,
            current=_finder(current),
            long=_finder(slave for slave in long if not slave.outdated),
            outdated=_finder(slave for slave in long if slave.outdated),
            taken=_finder(taken),
            newer=newer,
        )

    def stood(self, span: timedelta, now: datetime) -> list[Standing]:
        """Those that have stood unchanged for so long."""
        return [slave for slave in self.standing.values() if now - slave.since >= span]

    def shift(self, jump: timedelta) -> None:
        """Takes all times along with the clock, which has jumped."""
        self.arrived = {name: at + jump for name, at in self.arrived.items()}
        self.standing = {name: replace(slave, since=slave.since + jump) for name, slave in self.standing.items()}

    def _standing(self, slave: Slave, free: Room, now: datetime) -> Standing:
        fresh = Standing(slave.name, now, slave.jobs, free, slave.phase is Phase.BUSY, slave.outdated)
        was = self.standing.get(slave.name, fresh)
        return was if fresh == replace(was, since=now) else fresh


def _finder(slaves: Iterable[Standing]) -> Finder:
    """There may be very many slaves, and groups of the same request."""
    among = list(slaves)

    @cache
    def find(request: Room) -> tuple[Standing, ...]:
        return tuple(islice((slave for slave in among if slave.free.holds(request)), 2))

    return find
