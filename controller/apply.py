"""Carries a plan out: drains, makes and removes slaves. The only writer."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import structlog

from cloudinit import boot
from cloudinit.systems import SYSTEMS
from cluster.program import Change
from cluster.report import Shared
from controller import pool, tokens
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.model import Phase, Plan, Slave, Snapshot
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan, beyond what the next look will show."""

    drained: frozenset[str] = frozenset()
    """Slaves that took a drain now."""
    updated: bool = False
    """Whether an update of the stack ran, and succeeded."""
    failed: str = ""
    """Why an update failed."""
    locked: str = ""
    """Who held the stack's lock."""


def apply(plan: Plan, seen: Snapshot, settings: Shared, tools: Tools) -> Outcome:
    """Carries the plan out as far as it goes.

    A slave is removed only when its startd has taken a drain, or has none.
    """
    slaves = {slave.name: slave for slave in seen.slaves}
    answers = {removal.slave: _clear(slaves[removal.slave], str(removal.reason), tools) for removal in plan.remove}
    going = [slaves[name] for name, answer in answers.items() if answer is not Drain.REFUSED]
    for slave in going:
        if not slave.in_state or slave.phase in (Phase.FAILED, Phase.BUILDING):
            # Not in the state, or one that the provider would wait for in vain: it waits for ACTIVE and SHUTOFF only.
            _try(f"{slave.name} can't be deleted", partial(tools.cloud.delete, slave.server_id))
    change = Change(
        create=_new(plan.create, settings, tools), remove=frozenset(slave.name for slave in going if slave.in_state)
    )
    outcome = _update(change, settings, tools) if change.create or change.remove else Outcome()
    _try("removed slaves can't be forgotten", lambda: pool.forget(slave.name for slave in going))
    return replace(outcome, drained=frozenset(name for name, answer in answers.items() if answer is Drain.DRAINED))


def _clear(slave: Slave, reason: str, tools: Tools) -> Drain:
    """Makes sure that no job can come to this slave any more: asks its startd, right now."""
    if slave.phase is Phase.DRAINED:
        return Drain.ABSENT
    try:
        if slave.phase is Phase.GONE:
            # An update would delete it by its id, whatever the list of servers said.
            return Drain.REFUSED if tools.cloud.exists(slave.server_id) else Drain.ABSENT
        answer = pool.drain(slave.name, f"elastic-condor: {reason}")
    except OutsideError as error:
        log.warning("slave stays", slave=slave.name, why=str(error))
        return Drain.REFUSED
    log.info("slave stays: a job came first" if answer is Drain.REFUSED else "slave goes", slave=slave.name, why=reason)
    return answer


def _new(count: int, settings: Shared, tools: Tools) -> dict[str, str]:
    """Names, never used before, with their user-data."""
    offered = settings.offer
    template = settings.slave
    own = boot.Additions(template.packages, template.condor_config, template.script)
    key = tools.key_file.read_bytes() if count else b""
    names = [tools.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS)) for _ in range(count)]
    return {
        name: boot.slave(
            boot.SlaveBoot(
                name=name,
                system=SYSTEMS[template.system],
                own=own,
                master_address=settings.master_address,
                token=tokens.slave_token(name, key, tools.clock()),
                cpus=offered.cpus,
                memory_mib=offered.memory_mib,
                jobs=offered.jobs,
                docker=template.docker,
                orphan_time=template.orphan_time,
            )
        )
        for name in names
    }


def _update(change: Change, settings: Shared, tools: Tools) -> Outcome:
    started = tools.clock()
    names = {"create": sorted(change.create), "remove": sorted(change.remove)}
    log.info("update starts", **names)
    try:
        tools.state.change(change, settings.slave)
    except LockedError as error:
        log.warning("update waits", why=str(error))
        return Outcome(locked=str(error))
    except UpdateFailedError as error:
        log.error("update failed", why=str(error))
        return Outcome(failed=str(error))
    log.info("update done", seconds=round((tools.clock() - started).total_seconds(), 1), **names)
    return Outcome(updated=True)


def _try(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OutsideError as error:
        log.warning(what, why=str(error))
