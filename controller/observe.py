"""Looks at HTCondor, OpenStack and the Pulumi state, and puts it together into one `Snapshot`. Reads only.

Whatever can't be read is named in the snapshot, which then decides nothing.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog

from cluster.report import Shared
from cluster.servers import GONE
from controller import pool, template
from controller.errors import OutsideError
from controller.model import Phase, Seconds, Setback, Slave, Snapshot, Trouble, Why
from controller.pool import Machine
from controller.servers import Cloud, Server
from controller.state import View
from controller.unmatched import Watch

T = TypeVar("T")

log = structlog.get_logger()

FAILED = ("ERROR", "SHUTOFF", "PAUSED", "SUSPENDED", "STOPPED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE")
DRAINED_BY_US = "elastic-condor: "
"""How the reason of each drain by the controller begins."""

LONGEST_LOOK = timedelta(seconds=60)
"""What a look takes at most. When more than this and the rest before it has passed, the clock has jumped."""
RENEWED = timedelta(seconds=pool.UPDATE_EVERY)
FRESH = Seconds(150)
"""A slave's ad is renewed each minute (cloudinit/files/common): one that is older is of a slave in trouble."""
SILENT = Seconds(90)
"""The same so old that one renewal has been missed."""

LEARNED_FOR = timedelta(days=1)
"""How long what slaves offered is believed when there is none any more: too small, it would keep them from coming."""

TEACHERS = 5
"""Slaves that are learned from: more than are likely to be half broken, and few enough to be asked in any look."""
LESSONS_EVERY = timedelta(minutes=5)
"""How often they are asked anew: what was broken may have been mended."""
LESSONS_LAST = timedelta(hours=1)
"""How long those of slaves that have gone count. Were they forgotten at once, jobs that ask for more than new slaves
have, and for no more than an old one, would bring a slave each time that the last one has gone."""

QUOTA_EVERY = timedelta(seconds=60)
SERVERS_EVERY = timedelta(seconds=30)
"""How often Nova is asked while all slaves are in the pool: this is how a server that was deleted by hand is missed."""
UNSETTLED_EVERY = timedelta(seconds=5)
"""The same while some slave isn't, or an update runs."""


@dataclass(slots=True)
class Kept(Generic[T]):
    """Something read from outside, and when."""

    value: T | None = None
    at: datetime | None = None

    def get(self, read: Callable[[], T], every: timedelta, now: datetime) -> T:
        """Reads it, unless that was done less than `every` ago. A failed read keeps nothing."""
        if self.value is None or self.at is None or not timedelta(0) <= now - self.at < every:
            self.value, self.at = None, None
            self.value, self.at = read(), now
        return self.value

    def drop(self) -> None:
        """Lets the next `get` read."""
        self.value, self.at = None, None


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a slave advertised."""

    at: datetime
    created_at: datetime
    """When the slave was."""
    made_from: str
    """The fingerprint of its settings."""
    ad: Mapping[str, Any]


@dataclass(slots=True)
class Memory:
    """What one look can't tell: kept between looks, and safe to lose."""

    absent_since: dict[str, datetime] = field(default_factory=dict)
    idle_since: dict[str, datetime] = field(default_factory=dict)
    """Since when at most a slave is idle: its startd's word can be older than its last job, or from another clock."""
    joined: set[str] = field(default_factory=set)
    given_up: set[str] = field(default_factory=set)
    """Slaves that have been counted as never joined: one that can't be removed is one failure, however often tried."""
    setbacks: dict[Trouble, Setback] = field(default_factory=dict)
    stays: dict[str, Setback] = field(default_factory=dict)
    """Slaves that were to go, and what kept them."""
    locked: str = ""
    left_over: frozenset[str] = frozenset()
    """Ids of servers outside the state that no update makes any more: see `Loop`."""
    learned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What joined slaves advertised, by the fingerprint of the settings that they were made from: the last one only."""
    taught_at: datetime | None = None
    """When a slave of those settings was last in the pool."""
    lessons: dict[str, Lesson] = field(default_factory=dict)
    """What it was learned from, by slave."""
    unreadable: frozenset[str] = frozenset()
    """Slaves whose ads can't be read, which has been said."""
    watch: Watch = field(default_factory=Watch)
    servers: Kept[tuple[Server, ...]] = field(default_factory=Kept)
    gone: set[str] = field(default_factory=set)
    """Ids of servers that the state has, and Nova, asked for each, has no more."""
    quota: Kept[tuple[int | None]] = field(default_factory=Kept)
    unsettled: bool = True
    """Whether some slave wasn't in the pool at the last look."""
    arrived: bool = False
    """Whether a slave has joined of which HTCondor may have to be told: see `Loop`."""
    updating: bool = False
    """Whether the controller is making or removing slaves."""
    looked_at: datetime | None = None
    jumped_at: datetime | None = None
    """When the clock last did."""

    def heard(self, machine: Machine, now: datetime) -> bool:
        """Whether a slave is heard from; each is taken to be, until its next ad, when the clock has just jumped."""
        return machine.ad_age <= FRESH or (self.jumped_at is not None and now - self.jumped_at < RENEWED)

    def keep_time(self, now: datetime, rest: timedelta) -> None:
        """Takes the times along when the clock has jumped: what has passed until then has passed, and no more.

        `rest` is the time from one look to the next.
        """
        if self.looked_at is not None:
            step = now - self.looked_at
            jump = step - min(max(step, timedelta(0)), rest + LONGEST_LOOK)
            if jump:
                for times in (self.absent_since, self.idle_since):
                    times.update((name, at + jump) for name, at in list(times.items()))
                self.watch.shift(jump)
                self.jumped_at = now
        self.looked_at = now

    def offer(self, settings: Shared) -> dict[str, Any]:
        """What a new slave will advertise: as one of the same settings did, or as predicted."""
        return self.learned.get(settings.fingerprint) or template.ad(settings.offer)

    def failed(self, trouble: Trouble, why: str, now: datetime) -> None:
        """Counts one more failure in a row."""
        self.setbacks[trouble] = _one_more(self.setbacks.get(trouble), trouble, why, now)

    def asked(self, slaves: Iterable[str], stayed: Mapping[str, str], now: datetime) -> None:
        """Counts what kept slaves that were asked to go, by name; the others of them have answered."""
        for slave in slaves:
            last = self.stays.pop(slave, None)
            if why := stayed.get(slave):
                self.stays[slave] = _one_more(last, Trouble.REMOVALS, why, now)

    def never_joined(self, slaves: Mapping[str, str], now: datetime) -> None:
        """Counts slaves that failed to join, by name with the reason: each once, and several at once as one failure.

        They had one cause, and one chance.
        """
        news = {slave: why for slave, why in slaves.items() if slave not in self.given_up}
        if news:
            self.given_up |= set(news)
            self.failed(Trouble.JOINS, "; ".join(f"{slave}: {why}" for slave, why in news.items()), now)

    def updated(self) -> None:
        """Lets the next look read everything that an update changes."""
        self.servers.drop()
        self.quota.drop()


def _one_more(last: Setback | None, trouble: Trouble, why: str, now: datetime) -> Setback:
    return Setback(last.times + 1 if last else 1, now, why, trouble)


def observe(cloud: Cloud, view: View, settings: Shared, memory: Memory, now: datetime) -> Snapshot:
    """One look at everything.

    Args:
        cloud: where the servers and the quota are.
        view: the state, read after the last update of the controller ended.
        settings: whose cluster it is, and what its slaves offer.
        memory: what earlier looks left; brought up to date.
        now: the time of this look.
    """
    memory.keep_time(now, rest=timedelta(seconds=settings.poll_interval))
    unknown: list[str] = []
    ripe_after = settings.waiting_jobs_time if settings.waiting_jobs_threshold else None
    # Slots, then running jobs, then idle ones, and nothing slow between: a job that starts meanwhile is seen as running
    # or not at all, instead of in need of yet another slave.
    machines = _attempt(unknown, pool.machines)
    running = _attempt(unknown, pool.running_on)
    jobs = _attempt(unknown, lambda: pool.jobs(memory.offer(settings), ripe_after))
    every = UNSETTLED_EVERY if memory.unsettled or memory.updating else SERVERS_EVERY
    servers = _attempt(unknown, lambda: memory.servers.get(lambda: _servers(cloud, view, settings, memory), every, now))
    no_quota: list[str] = []
    quota = _attempt(
        no_quota, lambda: memory.quota.get(lambda: (cloud.quota_left(settings.slave.flavor),), QUOTA_EVERY, now)
    )
    setbacks = tuple(memory.setbacks.values())
    if jobs is None or machines is None or servers is None or running is None:
        return Snapshot(setbacks=setbacks, locked=memory.locked, unknown=tuple(unknown))
    _warn_of_unreadable(machines, memory)
    heard = {name for name, machine in machines.items() if memory.heard(machine, now)}
    silent = frozenset(machines.keys() - heard)
    slaves = put_together(Parts(view.slaves, servers, machines, running, silent, settings.fingerprint), memory, now)
    memory.unsettled = any(slave.phase not in (Phase.IDLE, Phase.BUSY) for slave in slaves)
    _learn(slaves, settings, memory, now)
    jobs = memory.watch.look(
        jobs, tuple(s for s in slaves if s.name in heard), settings.offer.jobs, now, settings.fingerprint
    )
    return Snapshot(
        jobs,
        slaves,
        quota[0] if quota else None,
        setbacks,
        memory.locked,
        quota_unread="".join(no_quota),
        dead_ads=_dead(machines, slaves),
    )


def _dead(machines: Mapping[str, Machine], slaves: tuple[Slave, ...]) -> tuple[str, ...]:
    """The slaves that only the collector knows, and hasn't heard from lately: nobody else would take their ads out.

    So it is with a server that was deleted by hand before the state had it, and with one whose removal a crash or a
    collector that was away left half done. HTCondor by itself sends jobs there for a quarter of an hour.
    """
    alive = {slave.name for slave in slaves}
    return tuple(sorted(name for name, m in machines.items() if name not in alive and m.ad_age > SILENT))


def _warn_of_unreadable(machines: Mapping[str, Machine], memory: Memory) -> None:
    now = {name: machine.unreadable for name, machine in machines.items() if machine.unreadable}
    for name in set(now) - memory.unreadable:
        log.warning("slave can't be understood: it counts as busy", slave=name, why=now[name])
    memory.unreadable = frozenset(now)


def _servers(cloud: Cloud, view: View, settings: Shared, memory: Memory) -> tuple[Server, ...]:
    """The list of servers, found to be whole: what the state has and the list has not is asked for by its id.

    One that is gone is asked for once. One that is there without the cluster's tag, which anybody in the project may
    have taken from it, can't be in the list, and is the state's slave all the same.
    """
    listed = cloud.slaves(settings.slave.cluster_id)
    missing = set(view.slaves.values()) - {server.id for server in listed}
    memory.gone &= missing
    found = []
    for server_id in sorted(missing - memory.gone):
        if server := cloud.server(server_id):
            found.append(server)
        else:
            memory.gone.add(server_id)
    if lacking := [server.id for server in found if server.slave_of == settings.slave.cluster_id]:
        raise OutsideError(f"OpenStack's list of servers isn't whole - it lacks {', '.join(lacking)}")
    return (*listed, *found)


def _learn(slaves: tuple[Slave, ...], settings: Shared, memory: Memory, now: datetime) -> None:
    """Takes the offer of new slaves from the newest that have joined, several as one may be half broken.

    What slaves of other settings taught is forgotten, and in the end what those that are no more did.
    """
    joined = (slave for slave in slaves if slave.joined and not slave.outdated)
    teachers = heapq.nlargest(TEACHERS, joined, key=lambda slave: (slave.created_at, slave.name))
    lessons = {
        name: lesson
        for name, lesson in memory.lessons.items()
        if lesson.made_from == settings.fingerprint and timedelta(0) <= now - lesson.at < LESSONS_LAST
    }
    for slave in teachers:
        if slave.name in lessons and now - lessons[slave.name].at < LESSONS_EVERY:
            continue
        if ad := _attempt([], lambda name=slave.name: pool.whole_slot(name)):  # type: ignore[misc]
            lessons[slave.name] = Lesson(now, slave.created_at, settings.fingerprint, template.learned(ad))
    newest = heapq.nlargest(TEACHERS, lessons.items(), key=lambda lesson: (lesson[1].created_at, lesson[0]))
    memory.lessons = dict(newest)
    if teachers:
        memory.taught_at = now
        if best := template.best(lesson.ad for _, lesson in newest):
            memory.learned = {settings.fingerprint: best}
    memory.taught_at = memory.taught_at or now
    if settings.fingerprint not in memory.learned or now - memory.taught_at > LEARNED_FOR:
        memory.learned = {}


@dataclass(frozen=True, slots=True)
class Parts:
    """What each outside system knows of the slaves."""

    in_state: Mapping[str, str]
    """Pulumi: name to server id."""
    servers: Iterable[Server] = ()
    machines: Mapping[str, Machine] = field(default_factory=dict)
    """The collector, by name."""
    running: frozenset[str] = frozenset()
    """The schedd: names of slaves that a job runs on."""
    silent: frozenset[str] = frozenset()
    """Slaves in the collector that it hasn't heard from lately."""
    fingerprint: str = ""
    """Of the settings that new slaves are made from."""


def put_together(parts: Parts, memory: Memory, now: datetime) -> tuple[Slave, ...]:
    """Ties the state's slaves, Nova's servers and HTCondor's machines together by their one common name."""
    by_id = {server.id: server for server in parts.servers if server.status not in GONE}
    known = set(parts.in_state.values())
    slaves = [
        # Its startd has the name that it was made with, whatever somebody has named the server since.
        _slave(replace(by_id[id_], name=name), parts, memory, now)
        if id_ in by_id
        else Slave(name, Phase.GONE, now, id_, stays=memory.stays.get(name))
        for name, id_ in parts.in_state.items()
    ]
    strays = [server for server in by_id.values() if server.id not in known]
    slaves += [_stray(_slave(server, parts, memory, now), memory) for server in strays]
    names = {slave.name for slave in slaves}
    memory.joined &= names
    memory.given_up &= names
    for kept in (memory.absent_since, memory.idle_since, memory.stays):
        for name in set(kept) - names:
            del kept[name]
    return tuple(sorted(slaves, key=lambda slave: slave.name))


def _slave(server: Server, parts: Parts, memory: Memory, now: datetime) -> Slave:
    name = server.name
    machine = parts.machines.get(name)
    joins = machine is not None and name not in memory.joined
    if machine:
        if joins:
            memory.arrived = True
            memory.setbacks.pop(Trouble.JOINS, None)
        memory.joined.add(name)
        memory.absent_since.pop(name, None)
    else:
        # Since the first look at it, on this clock: Nova's may be another.
        memory.absent_since.setdefault(name, now)
    phase = _phase(server, machine, running=name in parts.running, joined=name in memory.joined)
    if machine:
        since = now if joins or phase is Phase.BUSY else now - timedelta(seconds=machine.idle_for)
        before = memory.idle_since.get(name, since)
        # Until a clock that was set back has caught up, its startd says that it has only just begun to be idle.
        stands_still = phase is Phase.IDLE and not machine.idle_for
        memory.idle_since[name] = before if stands_still else max(since, before)
    return Slave(
        name=name,
        phase=phase,
        created_at=server.created_at,
        server_id=server.id,
        known=name in memory.joined,
        idle_for=Seconds((now - memory.idle_since[name]).total_seconds() if machine else 0),
        absent_since=memory.absent_since.get(name),
        # A silent one's host may be dead, and no job would start there.
        free=machine.free if machine and name not in parts.silent and not server.deleting else None,
        running=name in parts.running,
        drained=machine is not None and machine.draining and not machine.claimed and name not in parts.running,
        jobs=machine.jobs if machine else 0,
        claims=machine.claims if machine else (),
        places=machine.places if machine else None,
        revivable=_revivable(server, machine),
        deleting=server.deleting,
        outdated=server.made_from != parts.fingerprint,
        detail=_detail(server, machine),
        stays=memory.stays.get(name),
    )


def _revivable(server: Server, machine: Machine | None) -> bool:
    ours = machine is not None and machine.drain_reason.startswith(f"{DRAINED_BY_US}{Why.IDLE}")
    return ours and not server.deleting


def _stray(slave: Slave, memory: Memory) -> Slave:
    """A server that the state lacks. While the controller makes slaves, it is one of those, as far as is known."""
    stray = replace(slave, in_state=False)
    if memory.updating or slave.server_id in memory.left_over or slave.phase in (Phase.BUSY, Phase.DRAINING):
        return stray
    return replace(stray, phase=Phase.DOUBTFUL, detail="the state doesn't know it: an update may be making it")


def _detail(server: Server, machine: Machine | None) -> str:
    if machine and machine.unreadable:
        return f"what it advertises can't be read ({machine.unreadable}): it counts as busy, and stays"
    if machine and machine.draining:
        return f"it has been drained ({machine.drain_reason or 'no reason was given'}) and takes no more jobs"
    return f"its server is {server.status}" + (f": {server.fault}" if server.fault else "")


def _phase(server: Server, machine: Machine | None, *, running: bool, joined: bool) -> Phase:
    if server.status in FAILED:
        return Phase.FAILED
    if server.status == "BUILD" and not machine:
        return Phase.BUILDING
    busy = running or (machine is not None and machine.claimed)
    if machine and machine.draining:
        return Phase.DRAINING if busy else Phase.DRAINED
    if busy:
        return Phase.BUSY
    if machine:
        return Phase.IDLE
    return Phase.MISSING if joined else Phase.BOOTING


def _attempt(unknown: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OutsideError as error:
        unknown.append(str(error))
        return None
