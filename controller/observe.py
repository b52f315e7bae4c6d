"""Looks at HTCondor, OpenStack and the Pulumi state, and puts it together into one `Snapshot`. Reads only.

Whatever can't be read is named in the snapshot, which then decides nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from cluster.report import Shared
from controller import pool, template
from controller.errors import OutsideError
from controller.model import Phase, Seconds, Setback, Slave, Snapshot
from controller.pool import Machine
from controller.servers import GONE, Cloud, Server
from controller.state import View

T = TypeVar("T")

FAILED = ("ERROR", "SHUTOFF", "PAUSED", "SUSPENDED", "STOPPED", "SHELVED", "SHELVED_OFFLOADED", "RESCUED")


@dataclass(slots=True)
class Memory:
    """What one look can't tell: kept between looks, and safe to lose."""

    started: datetime
    absent_since: dict[str, datetime] = field(default_factory=dict)
    claimed_at: dict[str, datetime] = field(default_factory=dict)
    """When a claim was last seen on a slave: its startd's own word on idleness can be older than its last job."""
    joined: set[str] = field(default_factory=set)
    drained: set[str] = field(default_factory=set)
    setback: Setback | None = None
    locked: str = ""


def observe(cloud: Cloud, view: View, settings: Shared, memory: Memory, now: datetime) -> Snapshot:
    """One look at everything.

    Args:
        cloud: where the servers and the quota are.
        view: the state, read after the last update of the controller ended.
        settings: whose cluster it is, and what its slaves offer.
        memory: what earlier looks left; brought up to date.
        now: the time of this look.
    """
    unknown: list[str] = []
    jobs = _attempt(unknown, lambda: pool.jobs(template.ad(settings.offer), settings.waiting_jobs_time))
    machines = _attempt(unknown, pool.machines)
    servers = _attempt(unknown, lambda: cloud.slaves(settings.slave.cluster_id))
    quota = _attempt(unknown, lambda: cloud.quota_left(settings.slave.flavor))
    running = _attempt(unknown, pool.running_on)
    if jobs is None or machines is None or servers is None or running is None:
        return Snapshot(setback=memory.setback, locked=memory.locked, unknown=tuple(unknown))
    slaves = put_together(Parts(view.slaves, servers, machines, running), memory, now)
    return Snapshot(jobs, slaves, quota, memory.setback, memory.locked, tuple(unknown))


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


def put_together(parts: Parts, memory: Memory, now: datetime) -> tuple[Slave, ...]:
    """Ties the state's slaves, Nova's servers and HTCondor's machines together by their one common name."""
    by_id = {server.id: server for server in parts.servers if server.status not in GONE}
    known = set(parts.in_state.values())
    slaves = [
        _slave(by_id[id_], parts, memory, now) if id_ in by_id else Slave(name, Phase.GONE, now, id_)
        for name, id_ in parts.in_state.items()
    ]
    strays = [server for server in by_id.values() if server.id not in known]
    slaves += [replace(_slave(server, parts, memory, now), in_state=False) for server in strays]
    names = {slave.name for slave in slaves}
    memory.joined &= names
    memory.drained &= names
    for times in (memory.absent_since, memory.claimed_at):
        for name in set(times) - names:
            del times[name]
    return tuple(sorted(slaves, key=lambda slave: slave.name))


def _slave(server: Server, parts: Parts, memory: Memory, now: datetime) -> Slave:
    name = server.name
    machine = parts.machines.get(name)
    if machine:
        memory.joined.add(name)
        memory.absent_since.pop(name, None)
    else:
        memory.absent_since.setdefault(name, now if name in memory.joined else max(server.created_at, memory.started))
    phase = _phase(server, machine, parts.running, memory)
    if phase is Phase.BUSY:
        memory.claimed_at[name] = now
    return Slave(
        name=name,
        phase=phase,
        created_at=server.created_at,
        server_id=server.id,
        idle_for=_idle_for(machine, memory.claimed_at.get(name), now),
        absent_since=memory.absent_since.get(name),
        free=machine.free if machine else None,
        jobs=machine.jobs if machine else 0,
        detail=f"its server is {server.status}" + (f": {server.fault}" if server.fault else ""),
    )


def _idle_for(machine: Machine | None, claimed_at: datetime | None, now: datetime) -> Seconds:
    if machine is None:
        return Seconds(0)
    if claimed_at is None:
        return machine.idle_for
    return Seconds(min(machine.idle_for, (now - claimed_at).total_seconds()))


def _phase(server: Server, machine: Machine | None, running: frozenset[str], memory: Memory) -> Phase:
    if server.status in FAILED:
        return Phase.FAILED
    if server.status == "BUILD":
        return Phase.BUILDING
    if server.name in memory.drained:
        return Phase.DRAINED
    if machine:
        return Phase.BUSY if machine.claimed else Phase.IDLE
    if server.name in running:
        return Phase.BUSY
    return Phase.MISSING if server.name in memory.joined else Phase.BOOTING


def _attempt(unknown: list[str], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except OutsideError as error:
        unknown.append(str(error))
        return None
