"""The pool that a policy is tried on: servers that take their time, and an HTCondor that places jobs on them.

What takes how long, and how the negotiator chooses, are the parts of `Site`; docs/simulate.md says where its numbers
come from. Nothing fails here: no server is lost, no update breaks, no job asks for more than a slave has.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from controller.model import Room, Seconds
from simulate.trace import Trace


@dataclass(frozen=True, slots=True)
class Duration:
    """How long something takes, in seconds: log-normal about the median."""

    median: Seconds
    spread: float = 0.0

    def draw(self, chance: Random) -> float:
        return chance.lognormvariate(math.log(self.median), self.spread)


@dataclass(frozen=True, slots=True)
class Site:
    """The cloud and the pool: what no policy decides."""

    offer: Room
    """What one slave has."""
    jobs_per_slave: int
    quota: int | None = None
    """Most servers that the project may have; None for no limit."""
    accept: Seconds = Seconds(1)
    """Between two servers of one request."""
    build: Duration = Duration(Seconds(12), 0.25)
    """From the request to ACTIVE."""
    boot: Duration = Duration(Seconds(60), 0.25)
    """From ACTIVE to the startd's being in the collector."""
    delete: Seconds = Seconds(5)
    negotiation: Seconds = Seconds(4)
    """From a job's submission, or a slot's getting free, to the job's start on that slot."""
    claim_worklife: Seconds = Seconds(1200)
    """How long a claim is used for one job after the other without the negotiator: CLAIM_WORKLIFE."""
    depth_first: bool = True
    """Whether one cycle fills a slave before it takes the next: NEGOTIATOR_DEPTH_FIRST."""
    last_used_first: bool = True
    """Whether of equal slaves the one that was in use last comes first: NEGOTIATOR_POST_JOB_RANK. Else they come in an
    order that stays."""


@dataclass(slots=True)
class Server:
    """One slave's server."""

    name: str
    created: float
    active: float
    joins: float
    free: Room
    order: float
    """Its place in the negotiator's list."""
    changed: float = math.inf
    """When a job last began or ended on it, or it joined."""
    jobs: int = 0
    used: bool = False
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """What the pool looked like from one time on."""

    at: Seconds
    slaves: int
    running_cpus: int
    waiting: int


@dataclass
class Pool:
    """All of it, with the queue of what happens next. A policy changes it by `create`, `drain` and `delete` only."""

    trace: Trace
    site: Site
    seed: int = 0
    now: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    waiting: dict[Room, deque[int]] = field(default_factory=dict)
    """Jobs of the trace that wait, by what they ask for, first come first."""
    started: dict[int, float] = field(default_factory=dict)
    arrived: int = 0
    ended: int = 0
    boots: int = 0
    wasted: int = 0
    """Servers that were deleted without ever having run a job."""
    server_seconds: float = 0.0
    """Of the deleted servers, from request to end."""
    moments: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._negotiating = False
        self._running_cpus = 0
        for number, job in enumerate(self.trace):
            self.later(job.at, lambda number=number: self._submit(number))  # type: ignore[misc]

    def later(self, at: float, event: Callable[[], None]) -> None:
        """Lets something happen at a time; what is due at one time happens in the order of these calls."""
        self._count += 1
        heapq.heappush(self._events, (at, self._count, event))

    def step(self) -> None:
        """Goes to the next event, and lets it happen."""
        self.now, _, event = heapq.heappop(self._events)
        event()

    @property
    def next_event(self) -> float:
        return self._events[0][0] if self._events else math.inf

    @property
    def done(self) -> bool:
        return self.ended == len(self.trace)

    @property
    def idle_jobs(self) -> int:
        return sum(len(queue) for queue in self.waiting.values())

    def joined(self) -> list[Server]:
        return [server for server in self.servers.values() if server.joins <= self.now]

    def create(self, count: int) -> float:
        """Asks for servers, now. Returns when the last of them will be ACTIVE."""
        actives = [self.now]
        for number in range(count):
            self.boots += 1
            created = self.now + number * self.site.accept
            active = created + self.site.build.draw(self._chance)
            joins = active + self.site.boot.draw(self._chance)
            name = f"slave-{self.boots:05}"
            server = Server(name, created, active, joins, self.site.offer, order=Random(name).random())
            self.servers[server.name] = server
            self.later(server.joins, lambda server=server: self._join(server))  # type: ignore[misc]
            actives.append(active)
        self._note()
        return max(actives)

    def drain(self, name: str) -> bool:
        """Lets a slave take no more jobs, unless it has one: the startd's own check. Whether that is so."""
        server = self.servers[name]
        if not server.jobs:
            server.drained = True
        return server.drained

    def delete(self, names: Iterable[str]) -> None:
        """Asks for servers without jobs to be deleted; they are paid for until they are gone."""
        for name in names:
            server = self.servers.pop(name)
            if server.jobs:
                raise ValueError(f"{name} has jobs")
            self.wasted += not server.used
            self.server_seconds += self.now + self.site.delete - server.created
        self._note()

    def _submit(self, number: int) -> None:
        self.arrived += 1
        self.waiting.setdefault(self.trace[number].request, deque()).append(number)
        self._changed()

    def _join(self, server: Server) -> None:
        if server.name in self.servers:
            server.changed = self.now
            self._changed()

    def _changed(self) -> None:
        """Something that may start a job: the next cycle looks at it, together with all else that comes until then."""
        self._note()
        if self.waiting and not self._negotiating:
            self._negotiating = True
            self.later(self.now + self.site.negotiation, self._negotiate)

    def _negotiate(self) -> None:
        self._negotiating = False
        slaves = [server for server in self.joined() if not server.drained and server.jobs < self.site.jobs_per_slave]
        if self.site.depth_first:
            self._place(slaves, once=False)
        else:
            # The negotiator gives each slave away once a cycle; the schedd then fills what is left of those.
            self._place(self._place(slaves, once=True), once=False)

    def _place(self, slaves: list[Server], *, once: bool) -> list[Server]:
        """Starts waiting jobs, first come first, each on the fullest slave that has room. Returns the slaves taken."""
        free, taken = list(slaves), []
        first = [(queue[0], request) for request, queue in self.waiting.items()]
        heapq.heapify(first)
        while first and free:
            _, request = heapq.heappop(first)
            fitting = [s for s in free if s.jobs < self.site.jobs_per_slave and s.free.holds(request)]
            if not fitting:
                continue
            best = min(fitting, key=self._rank)
            self._start(self._next(request), best, self.now)
            taken.append(best)
            if once:
                free.remove(best)
            if request in self.waiting:
                heapq.heappush(first, (self.waiting[request][0], request))
        return taken

    def _rank(self, server: Server) -> tuple[float, ...]:
        """HTCondor's own NEGOTIATOR_PRE_JOB_RANK: least free CPUs, then least memory. The least comes first."""
        tie = -server.changed if self.site.last_used_first else server.order
        return (server.free.cpus, server.free.memory_mib, tie)

    def _next(self, request: Room) -> int:
        queue = self.waiting[request]
        number = queue.popleft()
        if not queue:
            del self.waiting[request]
        return number

    def _start(self, number: int, server: Server, claimed: float) -> None:
        job = self.trace[number]
        self.started[number] = self.now
        server.free = server.free.less(job.request, 1)
        server.jobs, server.used, server.changed = server.jobs + 1, True, self.now
        self._running_cpus += job.request.cpus
        self.later(self.now + job.runs, lambda: self._end(number, server, claimed))
        self._note()

    def _end(self, number: int, server: Server, claimed: float) -> None:
        request = self.trace[number].request
        self.ended += 1
        server.free = server.free.less(request, -1)
        server.jobs, server.changed = server.jobs - 1, self.now
        self._running_cpus -= request.cpus
        if request in self.waiting and self.now - claimed < self.site.claim_worklife:
            self._start(self._next(request), server, claimed)
        else:
            self._changed()

    def _note(self) -> None:
        moment = Moment(Seconds(self.now), len(self.servers), self._running_cpus, self.idle_jobs)
        if self.moments and self.moments[-1].at == moment.at:
            self.moments.pop()
        self.moments.append(moment)
