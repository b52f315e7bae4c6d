"""Carries a plan out: drains, makes and removes slaves. The only writer."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from cloudinit import boot
from cluster.program import Change
from cluster.report import Shared
from controller import pool, tokens
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.model import Phase, Plan, Setback, Slave, Snapshot
from controller.observe import Memory
from controller.pool import Drain
from controller.servers import Cloud
from controller.state import State

log = structlog.get_logger()

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_LETTERS = 6


@dataclass(frozen=True, slots=True)
class Tools:
    """The outside systems that a plan is carried out on."""

    cloud: Cloud
    state: State
    key_file: Path
    prefix: str
    """Start of the slaves' names, as `ecm-dev-slave-`."""
    clock: Callable[[], datetime]


def apply(plan: Plan, seen: Snapshot, settings: Shared, tools: Tools, memory: Memory) -> None:
    """Carries the plan out as far as it goes; what did not work is in `memory` and in the next look.

    A slave is removed only when its startd has taken a drain, or has none.
    """
    slaves = {slave.name: slave for slave in seen.slaves}
    going = [
        slaves[removal.slave] for removal in plan.remove if _cleared(slaves[removal.slave], str(removal.reason), memory)
    ]
    for slave in going:
        if not slave.in_state or slave.phase in (Phase.FAILED, Phase.BUILDING):
            # Not in the state, or one that the provider would wait for in vain: it waits for ACTIVE and SHUTOFF only.
            _try(f"{slave.name} can't be deleted", partial(tools.cloud.delete, slave.server_id))
    create = _new(plan.create, settings, tools)
    remove = frozenset(slave.name for slave in going if slave.in_state)
    if create or remove:
        _update(Change(create, remove), settings, tools, memory)
    _try("removed slaves can't be forgotten", lambda: pool.forget(slave.name for slave in going))


def _cleared(slave: Slave, reason: str, memory: Memory) -> bool:
    """Whether no job can be on this slave any more: asked of its startd, right now."""
    if slave.phase in (Phase.DRAINED, Phase.GONE):
        return True
    try:
        answer = pool.drain(slave.name, f"elastic-condor: {reason}")
    except OutsideError as error:
        log.warning("slave stays", slave=slave.name, why=str(error))
        return False
    if answer is Drain.DRAINED:
        memory.drained.add(slave.name)
    log.info("slave stays: a job came first" if answer is Drain.REFUSED else "slave goes", slave=slave.name, why=reason)
    return answer is not Drain.REFUSED


def _new(count: int, settings: Shared, tools: Tools) -> dict[str, str]:
    """Names, never used before, with their user-data."""
    offered = settings.offer
    key = tools.key_file.read_bytes() if count else b""
    names = [tools.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS)) for _ in range(count)]
    return {
        name: boot.slave(
            boot.SlaveBoot(
                name=name,
                master_address=settings.master_address,
                token=tokens.slave_token(name, key, tools.clock()),
                cpus=offered.cpus,
                memory_mib=offered.memory_mib,
                jobs=offered.jobs,
            )
        )
        for name in names
    }


def _update(change: Change, settings: Shared, tools: Tools, memory: Memory) -> None:
    started = tools.clock()
    names = {"create": sorted(change.create), "remove": sorted(change.remove)}
    log.info("update starts", **names)
    try:
        tools.state.change(change, settings.slave)
    except LockedError as error:
        memory.locked = str(error)
        log.warning("update waits", why=str(error))
    except UpdateFailedError as error:
        times = memory.setback.times + 1 if memory.setback else 1
        memory.setback = Setback(times, tools.clock(), str(error))
        log.error("update failed", why=str(error), times=times)
    else:
        memory.setback = None
        log.info("update done", seconds=round((tools.clock() - started).total_seconds(), 1), **names)


def _try(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OutsideError as error:
        log.warning(what, why=str(error))
