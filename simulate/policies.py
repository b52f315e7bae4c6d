"""Who makes and removes slaves in a simulated pool: this project's controller, and elastiq as it is published."""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from controller.decide import decide
from controller.model import JobGroup, Limits, Phase, Plan, Room, Seconds, Slave, Snapshot
from simulate.pool import Pool, Server

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_REST = 3600.0


class Policy(Protocol):
    """What `run` needs of a policy."""

    @property
    def label(self) -> str: ...

    @property
    def minimum(self) -> int:
        """Slaves that it keeps for ever."""

    def start(self, pool: Pool) -> None:
        """Takes charge of a pool in which nothing has happened yet."""

    @property
    def busy(self) -> bool:
        """Whether something that it began goes on."""


@dataclass
class Controller:
    """This project's: the rule of `controller.decide`, with the loop's habits (one plan at a time)."""

    limits: Limits
    waiting_jobs_time: Seconds = Seconds(60)
    poll_interval: Seconds = Seconds(3)
    update: Seconds = Seconds(3)
    """From a plan to its first request to the cloud: the time that Pulumi's engine takes to begin."""
    label: str = "elastic-condor"
    busy: bool = False

    @property
    def minimum(self) -> int:
        return self.limits.min_slaves

    def start(self, pool: Pool) -> None:
        self._pool = pool
        pool.later(0.0, self._tick)

    def _tick(self) -> None:
        pool = self._pool
        acts = False
        if not self.busy:
            plan = decide(self._snapshot(), self.limits, _time(pool.now))
            acts = plan.acts
            if acts:
                self._apply(plan)
        looks = 1
        if self.busy or not (acts or self._time_matters()):
            # No look shows anything new before something happens, so those until then are left out.
            rest = min(pool.next_event - pool.now, LONGEST_REST)
            looks = max(1, math.ceil(rest / self.poll_interval))
        pool.later(pool.now + looks * self.poll_interval, self._tick)

    def _time_matters(self) -> bool:
        """Whether time alone, with no event, can change the decision: something is idle, on its way or getting ripe."""
        ripening = self.limits.waiting_jobs_threshold and self._pool.waiting
        return bool(ripening) or not all(server.jobs for server in self._pool.servers.values())

    def _snapshot(self) -> Snapshot:
        pool = self._pool
        quota = pool.site.quota
        return Snapshot(
            jobs=tuple(self._group(request, queue) for request, queue in pool.waiting.items()),
            slaves=tuple(_slave(server, pool.now) for server in pool.servers.values()),
            quota_left=None if quota is None else max(0, quota - len(pool.servers)),
        )

    def _group(self, request: Room, queue: deque[int]) -> JobGroup:
        pool = self._pool
        ripe = 0
        if self.limits.waiting_jobs_threshold:
            ripe = sum(pool.now - pool.trace[number].at >= self.waiting_jobs_time for number in queue)
        return JobGroup(request, len(queue), ripe)

    def _apply(self, plan: Plan) -> None:
        """As controller/apply.py: drains at once, then one update that first creates and, that done, deletes."""
        pool = self._pool
        going = [removal.slave for removal in plan.remove if pool.drain(removal.slave)]
        if plan.create or going:
            self.busy = True
            pool.later(pool.now + self.update, lambda: self._create(plan.create, going))

    def _create(self, count: int, going: list[str]) -> None:
        self._pool.later(self._pool.create(count), lambda: self._delete(going))

    def _delete(self, going: list[str]) -> None:
        pool = self._pool
        pool.delete(going)
        pool.later(pool.now + (pool.site.delete if going else 0), self._settle)

    def _settle(self) -> None:
        self.busy = False


def _time(now: float) -> datetime:
    return _BEGIN + timedelta(seconds=now)


def _slave(server: Server, now: float) -> Slave:
    """A server as a look shows it. None is drained then: the update that drained it has ended, and deleted it."""
    joined = server.joins <= now
    if not joined:
        phase = Phase.BUILDING if now < server.active else Phase.BOOTING
    else:
        phase = Phase.BUSY if server.jobs else Phase.IDLE
    return Slave(
        name=server.name,
        phase=phase,
        created_at=_time(server.created),
        server_id=server.name,
        known=joined,
        idle_for=Seconds(now - server.changed if phase is Phase.IDLE else 0),
        absent_since=None if joined else _time(server.created),
        free=server.free if joined else None,
        jobs=server.jobs,
    )


@dataclass
class Elastiq:
    """elastiq 1.0.4 with the defaults of its code, except where a test of rules has to give both the same.

    Read in its `check_queue`, `check_vms` and `ec2_scale_up` (https://github.com/dberzano/elastiq); what it does about
    servers that fail is left out, as nothing fails here.
    """

    max_vms: int
    min_vms: int
    n_jobs_per_vm: int
    idle_for_time_s: Seconds
    waiting_jobs_threshold: int = 0
    waiting_jobs_time_s: Seconds = Seconds(40)
    check_queue_every_s: Seconds = Seconds(15)
    check_vms_every_s: Seconds = Seconds(45)
    estimated_vm_deploy_time_s: Seconds = Seconds(600)
    label: str = "elastiq"
    allegedly_running: int = 0
    above_since: float | None = None
    unchanged: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Jobs of each worker at the last look, and since when as many."""

    @property
    def minimum(self) -> int:
        return self.min_vms

    @property
    def busy(self) -> bool:
        return False

    def start(self, pool: Pool) -> None:
        self._pool = pool
        pool.later(0.0, self._check_vms)
        pool.later(0.0, self._check_queue)

    def _check_queue(self) -> None:
        pool = self._pool
        waiting = pool.idle_jobs - self.allegedly_running * self.n_jobs_per_vm
        if waiting < self.waiting_jobs_threshold:
            self.above_since = None
        elif self.above_since is None:
            self.above_since = pool.now
        elif pool.now - self.above_since > self.waiting_jobs_time_s:
            self._scale_up(math.ceil(waiting / self.n_jobs_per_vm))
            self.above_since = None
        pool.later(pool.now + self.check_queue_every_s, self._check_queue)

    def _scale_up(self, wanted: int) -> None:
        pool = self._pool
        running = sum(server.active <= pool.now for server in pool.servers.values())
        count = min(wanted, self.max_vms - running - self.allegedly_running)
        if pool.site.quota is not None:
            count = min(count, pool.site.quota - len(pool.servers))
        if count > 0:
            pool.create(count)
            self.allegedly_running += count
            pool.later(pool.now + self.estimated_vm_deploy_time_s, lambda: self._no_longer_alleged(count))

    def _no_longer_alleged(self, count: int) -> None:
        self.allegedly_running = max(0, self.allegedly_running - count)

    def _check_vms(self) -> None:
        pool = self._pool
        self.unchanged = {
            server.name: was
            if (was := self.unchanged.get(server.name)) and was[0] == server.jobs
            else (server.jobs, pool.now)
            for server in pool.joined()
        }
        idle = [
            name
            for name, (jobs, since) in self.unchanged.items()
            if not jobs and pool.now - since > self.idle_for_time_s
        ]
        going = idle[: max(0, len(self.unchanged) - self.min_vms)]
        if going:
            pool.delete(going)
            self._no_longer_alleged(len(going))
        if self.min_vms:
            self._scale_up(self.min_vms - len(self.unchanged) + len(going) - self.allegedly_running)
        pool.later(pool.now + self.check_vms_every_s, self._check_vms)
