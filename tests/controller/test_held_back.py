"""What jobs cost that something else than a lack of slaves holds back: the rule and the watch in a pool played in time.

An HTCondor that fills the fullest slave first, and starts jobs every 10 s; slaves of four places that join 60 s
after the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from controller.decide import decide
from controller.free_slaves import LONE_PATIENCE
from controller.model import JobGroup, Limits, Phase, Room, Seconds, Slave, Snapshot
from controller.unmatched import FIRST_PAUSE, LONGEST_PAUSE, Watch

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB, OFFER, PLACES = Room(1, 500, 1000), Room(4, 4000, 10**7), 4
OTHER = Room(1, 501, 1000)
FOREVER = 10**9
BOOT, LOOK = 60, 10
HOUR = 3600


@dataclass
class Server:
    """A slave's server; what is `deaf` is in the pool, and no job ever starts there."""

    name: str
    joins: int
    deaf: bool = False
    outdated: bool = False
    jobs: list[int] = field(default_factory=list)
    """When each of its jobs ends."""
    idle_since: int = 0


@dataclass
class Played:
    """A queue of jobs that are all alike, and the slaves that the controller has for them."""

    waiting: int
    runs: int
    """Seconds that a job takes; as many more or less as make it a little uneven."""
    limit: Callable[[int], int] = lambda _: 10**6
    """How many may run at a time."""
    most: int = 20
    idle_time: int = 600
    others: int = 0
    """Jobs of somebody else that no limit holds and that never end."""
    kinds: int = 1
    """How many kinds the waiting jobs are of."""
    servers: dict[str, Server] = field(default_factory=dict)
    now: int = 0
    created: int = 0
    vm_hours: float = 0.0
    started: int = 0
    watch: Watch = field(default_factory=Watch)

    @property
    def running(self) -> int:
        """How many of the jobs that are under the limit."""
        return sum(end < FOREVER for server in self.servers.values() for end in server.jobs)

    def play(self, seconds: int) -> None:
        end = self.now + seconds
        while self.now < end:
            self._end_jobs()
            self._start_jobs()
            self._look()
            self.vm_hours += LOOK * len(self.servers) / HOUR
            self.now += LOOK

    def _end_jobs(self) -> None:
        for server in self.servers.values():
            left = [end for end in server.jobs if end > self.now]
            if len(left) < len(server.jobs):
                server.jobs, server.idle_since = left, self.now

    def _start_jobs(self) -> None:
        joined = [server for server in self.servers.values() if server.joins <= self.now and not server.deaf]
        for server in sorted(joined, key=lambda server: -len(server.jobs)):
            while self.others and len(server.jobs) < PLACES:
                self.others -= 1
                server.jobs.append(FOREVER)
            while self.waiting and len(server.jobs) < PLACES and self.running < self.limit(self.now):
                self.started += 1
                self.waiting -= 1
                server.jobs.append(self.now + self.runs * (80 + self.started * 7 % 41) // 100)

    def _look(self) -> None:
        now = START + timedelta(seconds=self.now)
        slaves = tuple(self._slave(server) for server in sorted(self.servers.values(), key=lambda server: server.name))
        each, more = divmod(self.waiting, self.kinds)
        groups = [
            JobGroup(JOB, count, count, kind=f"k{number}", owner="ada")
            for number in range(self.kinds)
            if (count := each + (number < more))
        ]
        if self.others:
            groups.append(JobGroup(OTHER, self.others, self.others, kind="other", owner="bob"))
        jobs = self.watch.look(tuple(groups), tuple(slave for slave in slaves if slave.joined), PLACES, now)
        limits = Limits(0, self.most, PLACES, Seconds(self.idle_time), Seconds(600), 0, OFFER)
        plan = decide(Snapshot(jobs, slaves), limits, now)
        for removal in plan.remove:
            del self.servers[removal.slave]
        for _ in range(plan.create):
            self.created += 1
            self.add(Server(f"s{self.created:05}", self.now + BOOT))

    def add(self, server: Server) -> None:
        server.idle_since = server.joins
        self.servers[server.name] = server

    def _slave(self, server: Server) -> Slave:
        if server.joins > self.now:
            return Slave(server.name, Phase.BOOTING, START, "id", absent_since=START + timedelta(seconds=self.now))
        jobs = len(server.jobs)
        idle_for = Seconds(0 if jobs else self.now - server.idle_since)
        phase = Phase.BUSY if jobs else Phase.IDLE
        free = OFFER.less(JOB, jobs)
        return Slave(
            server.name,
            phase,
            START,
            "id",
            known=True,
            idle_for=idle_for,
            free=free,
            jobs=jobs,
            outdated=server.outdated,
        )


@pytest.mark.parametrize(
    ("limit", "slaves", "runs", "idle_time"), [(10, 3, 300, 600), (10, 3, 300, 30), (12, 3, 30, 600), (1, 1, 3000, 600)]
)
def test_a_limit_costs_one_idle_slave_a_pause(limit: int, slaves: int, runs: int, idle_time: int) -> None:
    """A user's thousands of jobs, of which ten may run at once: the rest must not bring slaves with each start."""
    pool = Played(100_000, runs, limit=lambda _: limit, idle_time=idle_time)
    pool.play(4 * HOUR)
    # Twenty at first, and then one at the end of each pause: 5, 10, 20, 40 and 60 minutes.
    idle = 20 + 6
    assert pool.created <= idle + slaves
    assert pool.vm_hours <= 4 * slaves + idle * (idle_time + 4 * BOOT) / HOUR


@pytest.mark.parametrize("idle_time", [30, 120, 240, 600])
def test_jobs_of_others_that_start_on_the_slave_of_a_try_dont_bring_it_another_one_after_the_other(
    idle_time: int,
) -> None:
    pool = Played(1000, 10**7, limit=lambda _: 4, idle_time=idle_time)
    pool.play(20 * 60)
    before = pool.created
    while pool.created == before:
        pool.play(LOOK)
    pool.others = 2 * PLACES + 1
    pool.play(6 * HOUR)
    assert pool.created - before <= 3 + 8, "three for them, and one a pause"


@pytest.mark.parametrize("kinds", [40, 200])
def test_a_limit_on_jobs_of_many_kinds_costs_one_idle_slave_a_pause_too(kinds: int) -> None:
    pool = Played(50 * kinds, 10**7, limit=lambda _: 4, kinds=kinds)
    pool.play(4 * HOUR)
    assert pool.created <= 20 + 6


def test_kinds_that_come_one_after_the_other_are_tried_together_in_the_end() -> None:
    pool = Played(4, 10**7, limit=lambda _: 4)
    for _ in range(30):
        pool.waiting, pool.kinds = pool.waiting + 2, pool.kinds + 1
        pool.play(100)
    pool.play(2 * HOUR)
    before = pool.created
    pool.play(6 * HOUR)
    assert pool.created - before <= 6


def test_a_limit_on_many_kinds_that_is_lifted_brings_slaves_as_soon() -> None:
    lifted = 3 * HOUR
    pool = Played(10_000, 3000, limit=lambda now: 12 if now < lifted else 10**6, most=120, kinds=40)
    pool.play(lifted)
    assert len(pool.servers) <= 4
    pool.play(int(LONGEST_PAUSE.total_seconds()) + 10 * 60)
    assert pool.running == 120 * PLACES


def test_a_limit_that_is_lifted_fills_the_slots_that_stood_free_and_brings_slaves_at_once() -> None:
    lifted = 2 * HOUR
    pool = Played(10_000, 3000, limit=lambda now: 10 if now < lifted else 10**6, most=120)
    pool.play(lifted)
    assert (pool.running, len(pool.servers)) == (10, 3), "in the midst of a pause of an hour"
    pool.play(8 * 60)
    assert pool.running == 120 * PLACES


def test_a_limit_that_leaves_no_slot_free_is_tried_once_an_hour() -> None:
    lifted = 3 * HOUR
    pool = Played(10_000, 3000, limit=lambda now: 12 if now < lifted else 10**6, most=120)
    pool.play(lifted)
    assert len(pool.servers) == 3
    pool.play(int(LONGEST_PAUSE.total_seconds()) + 8 * 60)
    assert pool.running == 120 * PLACES


def test_jobs_that_came_while_one_slave_could_not_be_reached_wait_for_minutes() -> None:
    pool = Played(0, 1200, most=250)
    pool.add(Server("deaf", joins=0, deaf=True))
    pool.waiting = 4
    pool.play(int(LONE_PATIENCE.total_seconds()))
    assert pool.running == 0
    pool.waiting = 400
    pool.play(int(FIRST_PAUSE.total_seconds()) + 120)
    assert pool.running >= PLACES
    pool.play(12 * 60)
    assert pool.started == 400


def test_jobs_that_only_slaves_of_new_settings_run_bring_one_past_an_outdated_slave() -> None:
    """As with a docker job beside a slave from before `ecm:docker`, which `minSlaves` or a long job keeps."""
    pool = Played(1, 600)
    pool.add(Server("old", joins=0, deaf=True, outdated=True, jobs=[10 * HOUR]))
    pool.play(180)
    assert (pool.created, pool.started) == (1, 1)
    pool.waiting = 8
    pool.play(180)
    assert (pool.created, pool.started) == (3, 9)
