"""Carries a plan out: drains, makes and removes slaves. The only writer."""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import structlog

from cloudinit import boot
from cluster.program import Change
from cluster.report import Shared
from controller import pool, tokens
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.masking import masked
from controller.model import Phase, Plan, Reason, Removal, Slave, Snapshot, Trouble, Why
from controller.observe import DRAINED_BY_US
from controller.pool import Drain
from controller.servers import GOING, Cloud
from controller.state import State

log = structlog.get_logger()

ABREAST = 16
"""Slaves that are drained or deleted at a time: one that doesn't answer holds up none of the others, but the update
that follows waits for it."""
DRAINING = timedelta(seconds=60)
"""How long drains are begun before an update. Who is left waits for the next one: many that don't answer, half a minute
each, would hold up whatever else is to be decided."""

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
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the controller is to end: no slave is drained, made or removed any more, but for what is under way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a plan, beyond what the next look will show."""

    refused: frozenset[str] = frozenset()
    """Slaves that were to go and stay: a job came first, or no answer, or no time to ask."""
    stayed: Mapping[str, str] = field(default_factory=dict)
    """Slaves that couldn't be drained or removed, and why: to ask again at once would be in vain."""
    updated: bool = False
    """Whether an update of the stack ran, and succeeded."""
    tried: frozenset[Trouble] = frozenset()
    """What the update was to do: what could have failed."""
    failures: Mapping[Trouble, str] = field(default_factory=dict)
    """What of it failed, and why. One kind says nothing of the other."""
    ended_early: bool = False
    """Whether the controller's own end cut it short: what that left undone says nothing of the cloud."""
    locked: str = ""
    """Who held the stack's lock."""
    never_joined: Mapping[str, str] = field(default_factory=dict)
    """Slaves that were to go without having ever been in the pool, with the reason: told at each try to remove one."""
    consoles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The last lines of slaves that failed, where the master may read them."""

    @property
    def undone(self) -> str:
        """What failed, or kept slaves from going, and why."""
        return "; ".join(dict.fromkeys((*self.failures.values(), *self.stayed.values())))


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Whether a slave may go."""

    clear: bool
    """Whether no job can come to it any more."""
    why: str = ""
    """What keeps it, unless a job came first."""
    unheard: bool = False
    """Whether that is because the pool doesn't have it: it may still join."""


def apply(plan: Plan, seen: Snapshot, settings: Shared, tools: Tools) -> Outcome:
    """Carries the plan out as far as it goes.

    A slave is removed only when its startd has taken a drain, or has none.
    """
    slaves = {slave.name: slave for slave in seen.slaves}
    until = tools.clock() + DRAINING

    def asked(removal: Removal) -> _Verdict:
        if tools.clock() > until:
            return _Verdict(clear=False)
        return _clear(slaves[removal.slave], removal.reason, tools)

    # HTCondor's bindings keep Python's lock while they ask: from several threads that is safe, and one call after the
    # other. What takes its time, condor_drain and Nova, waits outside of it.
    with ThreadPoolExecutor(ABREAST) as crew:
        retired = {name: crew.submit(_retire, slaves[name], tools) for name in plan.retire}
        clear = crew.map(asked, plan.remove)
        # Last, for a drain has to be complete before it is undone.
        revived = [crew.submit(_revive, name, tools) for name in plan.revive]
        verdicts = dict(zip(plan.remove, clear, strict=True))
        going = [removal for removal, verdict in verdicts.items() if verdict.clear]
        consoles = _consoles(going, slaves, tools) if settings.console_logs else {}
        deleted = crew.map(lambda r: _delete_by_hand(slaves[r.slave], r.reason, verdicts[r], tools), going)
        verdicts |= zip(going, deleted, strict=True)
        stay = {removal.slave: verdict.why for removal, verdict in verdicts.items() if verdict.why}
        for name, why in stay.items():
            log.warning("slave stays", slave=name, why=why)
        if plan.forget:
            forget(*plan.forget)
        for revival in revived:
            revival.result()
        undrained = {name: why for name, drain in retired.items() if (why := drain.result())}
    if tools.stop.is_set():
        log.info("update isn't begun: the controller is to end")
        return Outcome(ended_early=True)
    gone = [removal.slave for removal, verdict in verdicts.items() if verdict.clear and not verdict.why]
    # The plan has given the places of those that go to new ones; but some stay, and an update deletes while it makes.
    ended = [name for name in gone if slaves[name].phase is Phase.GONE or _by_hand(slaves[name])]
    room = max(0, settings.max_slaves - len(seen.slaves) + len(ended))
    remove = frozenset(name for name in gone if slaves[name].in_state)
    change = Change(
        create=_new(min(plan.create, room), slaves.keys(), settings, tools),
        remove=remove,
        fingerprint=settings.fingerprint,
        keep={slave.name: slave.server_id for slave in seen.slaves if slave.in_state and slave.name not in remove},
    )
    outcome = _update(change, settings, tools) if change.create or change.remove else Outcome()
    failed = [r for r, verdict in verdicts.items() if verdict.clear and r.reason.why in (Why.NOT_JOINED, Why.FAILED)]
    return replace(
        outcome,
        refused=frozenset(removal.slave for removal, verdict in verdicts.items() if not verdict.clear),
        stayed={**undrained, **stay},
        consoles=consoles,
        never_joined={r.slave: r.reason.text for r in failed if not slaves[r.slave].known},
    )


def _clear(slave: Slave, reason: Reason, tools: Tools) -> _Verdict:
    """Makes sure that no job can come to this slave any more: asks its startd, right now."""
    if tools.stop.is_set():
        return _Verdict(clear=False)
    try:
        if slave.phase is Phase.GONE:
            # An update would delete it by its id, whatever the list of servers said.
            return _Verdict(clear=not tools.cloud.server(slave.server_id))
        answer = pool.drain(slave.name, f"{DRAINED_BY_US}{reason}")
    except OutsideError as error:
        why = str(error)
        return _off_or(why, slave, tools) if slave.phase is Phase.FAILED else _Verdict(clear=False, why=why)
    match answer:
        case Drain.REFUSED:
            log.info("slave stays: a job came first", slave=slave.name, why=str(reason))
            verdict = _Verdict(clear=False, why=_closed(slave, reason) if slave.phase is Phase.FAILED else "")
        case Drain.ALREADY if slave.phase is Phase.FAILED and not slave.drained:
            verdict = _Verdict(clear=False, why=_has_a_job(slave))
        case Drain.ABSENT if slave.running:
            # Its server is broken, its startd unheard of; the job may go on there until its lease ends.
            verdict = _off_or(f"{slave.name} isn't removed - HTCondor says that a job runs there", slave, tools)
        case Drain.ABSENT:
            # One that was in the pool a moment ago still is: a collector that has restarted knows nobody.
            verdict = _Verdict(clear=slave.phase not in (Phase.IDLE, Phase.DRAINED), unheard=True)
        case _:
            # One that was idle has been drained since, maybe while a job was there.
            verdict = _Verdict(clear=answer is Drain.DRAINED or slave.drained)
    return verdict


def _closed(slave: Slave, reason: Reason) -> str:
    """Has a broken slave take no more jobs after those that it has, and says why it stays."""
    try:
        pool.retire(slave.name, f"{DRAINED_BY_US}{reason}")
    except OutsideError as error:
        return str(error)
    return _has_a_job(slave)


def _has_a_job(slave: Slave) -> str:
    return f"{slave.name} isn't removed - a job runs there, after which it goes"


def _retire(slave: Slave, tools: Tools) -> str:
    if tools.stop.is_set():
        return ""
    reason = f"{DRAINED_BY_US}{Why.UNWANTED if slave.has_to_go else Why.RECYCLED}"
    return _try(f"{slave.name} isn't drained", partial(pool.retire, slave.name, reason))


def _revive(name: str, tools: Tools) -> None:
    if not tools.stop.is_set():
        _try(f"{name} stays drained", partial(pool.revive, name))


def _off_or(why: str, slave: Slave, tools: Tools) -> _Verdict:
    """Whether nothing can run on its server: two say so, Nova and a startd that doesn't answer. Else why it stays."""
    with suppress(OutsideError):
        if tools.cloud.is_off(slave.server_id):
            return _Verdict(clear=True)
    return _Verdict(clear=False, why=why)


def _delete_by_hand(slave: Slave, reason: Reason, verdict: _Verdict, tools: Tools) -> _Verdict:
    """Deletes a server that no update should delete, if it may still go."""
    if tools.stop.is_set() or not _by_hand(slave):
        return verdict
    if verdict.unheard:
        # It may have joined while others were waited for.
        verdict = _clear(slave, reason, tools)
    if not verdict.clear:
        return verdict
    try:
        # Of one that Nova is deleting already, a look tells as much as a wait.
        tools.cloud.delete(slave.server_id, 1 if slave.deleting else GOING)
    except OutsideError as error:
        return replace(verdict, why=f"{slave.name} can't be deleted - {error}")
    forget(slave.name)
    return verdict


def _by_hand(slave: Slave) -> bool:
    # The provider waits for ACTIVE and SHUTOFF only. And one that isn't in the pool may join, and get a job, while an
    # update makes others, which it does first. For one that Nova takes long to delete it would wait once more, five
    # minutes with the stack locked.
    alone = (Phase.FAILED, Phase.BUILDING, Phase.BOOTING, Phase.MISSING)
    return not slave.in_state or slave.phase in alone or slave.deleting


def _consoles(going: Iterable[Removal], slaves: Mapping[str, Slave], tools: Tools) -> dict[str, tuple[str, ...]]:
    """The last words of slaves that failed, logged too: nobody can ask them later. Masked, as the journal isn't."""
    told = {}
    for removal in going:
        if removal.reason.why in (Why.NOT_JOINED, Why.FAILED, Why.LOST):
            try:
                tail = tools.cloud.console_tail(slaves[removal.slave].server_id)
            except OutsideError as error:
                tail = str(error)
            told[removal.slave] = tuple(masked(tail.splitlines()))
            log.warning("console of a slave that failed", slave=removal.slave, console=told[removal.slave])
    return told


def _new(count: int, taken: AbstractSet[str], settings: Shared, tools: Tools) -> dict[str, str]:
    """Names that nobody has, with their user-data."""
    key = tools.key_file.read_bytes() if count else b""
    names: set[str] = set()
    while len(names) < count:
        names |= {tools.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))} - taken
    return user_data(sorted(names), settings, key, tools.clock())


def user_data(names: Iterable[str], settings: Shared, key: bytes, now: datetime) -> dict[str, str]:
    """What new slaves boot with, by name; `key` is the pool's, which signs the token of each."""
    return {name: boot.slave(settings.boot(name, tokens.slave_token(name, key, now))) for name in names}


def _update(change: Change, settings: Shared, tools: Tools) -> Outcome:
    started = tools.clock()
    tried = frozenset(
        trouble for trouble, names in ((Trouble.UPDATES, change.create), (Trouble.REMOVALS, change.remove)) if names
    )
    names = {"create": sorted(change.create), "remove": sorted(change.remove)}
    log.info("update starts", **names)
    try:
        tools.state.change(change, settings.slave, on_delete=forget)
    except LockedError as error:
        log.warning("update waits", why=str(error))
        return Outcome(locked=str(error))
    except OutsideError as error:
        log.error("update failed", why=str(error))
        return Outcome(tried=tried, failures=dict.fromkeys(tried & _troubles(error), str(error)))
    log.info("update done", seconds=round((tools.clock() - started).total_seconds(), 1), **names)
    return Outcome(updated=True, tried=tried)


def _troubles(error: OutsideError) -> set[Trouble]:
    """What an update's error is about."""
    if not isinstance(error, UpdateFailedError):
        return {Trouble.UPDATES, Trouble.REMOVALS}
    return {trouble for trouble, so in ((Trouble.UPDATES, error.creates), (Trouble.REMOVALS, error.deletes)) if so}


def forget(*names: str) -> None:
    """Takes the ads of slaves that are no more out of the pool; if that fails, a later look does it."""
    _try(f"{', '.join(names)} can't be forgotten", partial(pool.forget, names))


def look_again() -> None:
    """Has HTCondor look at all jobs anew: it may have lost sight of some."""
    log.info("jobs don't start although a slot is free: HTCondor is asked to look at all of them again")
    _try("HTCondor can't be asked to look at all jobs again", pool.look_again)


def negotiate() -> None:
    """Has HTCondor give out slots that have just come; by itself it does so some seconds later."""
    _try("HTCondor can't be asked to negotiate", pool.negotiate)


def _try(what: str, action: Callable[[], None]) -> str:
    """Does it, or says why not."""
    try:
        action()
    except OutsideError as error:
        log.warning(what, why=str(error))
        return str(error)
    return ""
