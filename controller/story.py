"""What has happened between two looks, and what is new in a plan: each thing once, for the log and the metrics."""

from dataclasses import dataclass, replace
from enum import StrEnum

from controller.errors import system
from controller.model import Phase, Plan, Removal, Slave, Snapshot, Why


class What(StrEnum):
    """The events, as the log has them."""

    LAUNCHED = "launched"
    JOINED = "joined"
    BACK = "back in the pool"
    LEFT = "left the pool"
    DRAINING = "takes no more jobs"
    DRAINED = "drained"
    FAILED = "failed"
    GONE = "gone from the cloud"
    DELETED = "deleted"
    NEVER_JOINED = "deleted, had not joined"
    IDLE = "idle for long enough"
    NOT_JOINED = "not joined"
    IMPOSSIBLE = "jobs can never run here"
    AWAY = "away"
    ANSWERS = "answers again"
    LOCKED = "locked"
    UNLOCKED = "unlocked"


TROUBLE = frozenset({What.LEFT, What.FAILED, What.GONE, What.NOT_JOINED, What.IMPOSSIBLE, What.AWAY, What.LOCKED})
"""What somebody may have to look at."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, to the slaves named or to none."""

    what: What
    slaves: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    """Their servers'."""
    why: str = ""


def changes(before: Snapshot, after: Snapshot) -> tuple[Event, ...]:
    """What happened from one snapshot to the next; nothing between two equal ones.

    Of one with an unknown part only that is told: what it lacks isn't gone. See `last_known`.
    """
    silent, was_silent = ({system(part): part for part in seen.unknown} for seen in (after, before))
    outside = (
        *(Event(What.AWAY, why=part) for name, part in silent.items() if name not in was_silent),
        *(Event(What.ANSWERS, why=name) for name in was_silent if name not in silent),
    )
    if after.unknown:
        return outside
    if after.locked != before.locked:
        outside += (Event(What.LOCKED, why=after.locked) if after.locked else Event(What.UNLOCKED, why=before.locked),)
    old, new = ({(slave.name, slave.server_id): slave for slave in seen.slaves} for seen in (before, after))
    launched = tuple(slave for key, slave in new.items() if key not in old)
    told = {group.impossible for group in before.jobs}
    return (
        *outside,
        *((_event(What.LAUNCHED, *launched),) if launched else ()),
        *(
            _event(what, slave, why=slave.detail if what is What.FAILED else "")
            for key, slave in new.items()
            if (what := _moved(old.get(key), slave))
        ),
        *(_event(What.NEVER_JOINED if s.coming else What.DELETED, s) for key, s in old.items() if key not in new),
        *(
            Event(What.IMPOSSIBLE, why=why)
            for why in dict.fromkeys(group.impossible for group in after.jobs)
            if why and why not in told
        ),
    )


def intents(before: Plan, plan: Plan, *, console_logs: bool) -> tuple[Event, ...]:
    """The slaves that are to go for what the log has a word of its own, unless the last plan had them already.

    Where the controller doesn't read consoles itself, it is said who can.
    """
    words = {Why.IDLE: What.IDLE, Why.NOT_JOINED: What.NOT_JOINED}
    told = {(removal.slave, removal.reason.why) for removal in before.remove}
    return tuple(
        Event(words[removal.reason.why], (removal.slave,), why=_why(removal, console_logs=console_logs))
        for removal in plan.remove
        if removal.reason.why in words and (removal.slave, removal.reason.why) not in told
    )


def _why(removal: Removal, *, console_logs: bool) -> str:
    if console_logs or removal.reason.why is not Why.NOT_JOINED:
        return removal.reason.text
    see = f"its console, while it is there: openstack console log show {removal.slave}; or set ecm:consoleLogs"
    return f"{removal.reason.text} - {see}"


def last_known(before: Snapshot, after: Snapshot) -> Snapshot:
    """What the next snapshot is to be compared with: of one with an unknown part only that part is taken."""
    return replace(before, unknown=after.unknown) if after.unknown else after


def _moved(was: Slave | None, slave: Slave) -> What | None:
    """What is worth a line of a slave's way from phase to phase. Idle and busy take turns all the time: that isn't."""
    if was and was.phase is slave.phase:
        return None
    if slave.joined:
        if was is None or was.coming:
            return What.JOINED
        return None if was.joined else What.BACK
    return {
        Phase.MISSING: What.LEFT,
        Phase.DRAINING: What.DRAINING,
        Phase.DRAINED: What.DRAINED,
        Phase.FAILED: What.FAILED,
        Phase.GONE: What.GONE,
    }.get(slave.phase)


def _event(what: What, *slaves: Slave, why: str = "") -> Event:
    return Event(what, tuple(slave.name for slave in slaves), tuple(slave.server_id for slave in slaves), why)
