"""Why a job waits, why a slave lives or goes, why the cluster is the size it is. Pure: from what was seen, to words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from statistics import median
from typing import Any

from cli.master.condor import Slot
from cli.show import age, counted
from controller.model import JobGroup, Phase, Room, Why
from controller.status import NOT_READY, SlaveStatus, Status

ON_MASTER = {7: "scheduler", 9: "grid", 12: "local"}
"""Universes whose jobs don't run on slaves."""

MEANING: Mapping[str, tuple[str, str]] = {
    Why.GROW: ("slaves are being made for jobs that wait", "wait a minute"),
    Why.MINIMUM: ("slaves are being made up to ecm:minSlaves", "wait a minute"),
    Why.ON_THEIR_WAY: ("the slaves for the jobs that wait are booting", "wait a minute"),
    Why.AWAY: ("slaves have just left the pool and may come back, as after a restart", "wait a minute"),
    Why.UPDATING: ("an update of the stack is running", "wait a minute"),
    Why.ENOUGH: ("nothing is to be done", ""),
    Why.WAITING: (
        "too few jobs wait, and not for long enough to count",
        "wait, or lower ecm:waitingJobsThreshold or ecm:waitingJobsTime",
    ),
    Why.AT_MAXIMUM: ("more slaves are wanted than you allow", "raise ecm:maxSlaves: pulumi config set, pulumi up"),
    Why.BATCH: ("more slaves are wanted than one update makes", "wait a minute: the next batch follows"),
    Why.AT_QUOTA: ("the project's quota has no room for more servers", "`ecm quota`; ask the cloud for more"),
    Why.IMPOSSIBLE: (
        "no slave of this flavor can ever run these jobs",
        "ask for less, or take a larger ecm:slaveFlavor",
    ),
    Why.UNMATCHED: ("a slot was free for them, and something else holds them", "condor_q -better-analyze JOB"),
    Why.REVIVED: ("slaves that were to go are needed again", ""),
    Why.FORGOTTEN: ("the pool listed slaves that are no more", ""),
    Why.STAYS: ("a slave that is to go couldn't be drained or removed", "`ecm explain SLAVE`"),
    Why.BACKING_OFF: ("the last update failed, and is tried again later", "mend the cause; `ecm logs` has more"),
    Why.LOCKED: (
        "another update holds the stack's lock",
        "answer its prompt; `pulumi cancel` only when its process is surely gone",
    ),
    Why.PAUSED: ("somebody paused the controller", "ecm resume"),
    NOT_READY: ("the controller can't work yet", "`ecm logs`, `ecm doctor`"),
    Why.BLIND: ("a part of the picture can't be read, and nothing is done on doubt", "`ecm doctor` looks why"),
}
"""What a reason of the controller's means, and what to do; by the word that it begins with."""

_HOLDING_UP = (NOT_READY, Why.PAUSED, Why.BLIND, Why.LOCKED, Why.BACKING_OFF, Why.AT_MAXIMUM, Why.AT_QUOTA, Why.WAITING)


_HANDS_OFF = (NOT_READY, Why.PAUSED, Why.BLIND, Why.LOCKED)
"""With these no slave is removed, either."""


class State(IntEnum):
    """A job's, as HTCondor counts them."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer in one line, what it rests on, and what to do; empty where there is nothing to do."""

    answer: str
    because: tuple[str, ...] = ()
    do: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as HTCondor has it."""

    number: str
    state: int
    universe: int
    owner: str
    request: Room
    since: datetime
    """Since when it has been in this state."""
    host: str
    hold: str
    refused: str
    """What the negotiator said when it last gave it no slot."""
    status: str
    """How it ended."""

    @classmethod
    def of(cls, ad: Mapping[str, Any]) -> "Job":
        return cls(
            number=f"{ad.get('ClusterId')}.{ad.get('ProcId')}",
            state=int(ad.get("JobStatus", 0)),
            universe=int(ad.get("JobUniverse", 5)),
            owner=str(ad.get("Owner", "")),
            request=Room(*(_number(ad, f"Request{what}") for what in ("Cpus", "Memory", "Disk", "GPUs"))),
            since=datetime.fromtimestamp(_number(ad, "EnteredCurrentStatus"), UTC),
            host=str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or ""),
            hold=str(ad.get("HoldReason", "")),
            refused=str(ad.get("LastRejMatchReason", "")).strip(),
            status=f"exit status {ad.get('ExitCode')}" if "ExitCode" in ad else "",
        )


def of_job(job: Job, told: Status, slots: list[Slot], now: datetime) -> Explanation:
    """Why a job is where it is."""
    for_ = age((now - job.since).total_seconds())
    match job.state:
        case State.RUNNING:
            return Explanation(
                f"{job.number} has been running on {job.host.rpartition('@')[2] or 'a slave'} for {for_}"
            )
        case State.HELD:
            return Explanation(
                f"{job.number} has been held for {for_}: {job.hold}",
                do=f"mend that, then condor_release {job.number}; or condor_rm {job.number}",
            )
        case State.REMOVED | State.COMPLETED:
            verb = "was removed" if job.state == State.REMOVED else "has ended"
            return Explanation(f"{job.number} {verb} {for_} ago", (job.status,) if job.status else ())
        case State.IDLE:
            return _idle(job, told, slots, for_, now)
        case _:
            return Explanation(f"{job.number} has been moving its files for {for_}")


def _idle(job: Job, told: Status, slots: list[Slot], for_: str, now: datetime) -> Explanation:
    start = f"{job.number} has been waiting for {for_}"
    if job.universe in ON_MASTER:
        return Explanation(f"{start}: a {ON_MASTER[job.universe]} job runs on the master, no slave is made for it")
    if never := impossible(job, told):
        return Explanation(f"{start}, and can never run here: {never}", do=MEANING[Why.IMPOSSIBLE][1])
    return _held(job, told, start) or _no_slot(job, told, slots, start, now)


def _held(job: Job, told: Status, start: str) -> Explanation | None:
    """What else than a lack of slots keeps a job waiting; None when nothing is known to do so."""
    if refused := _refused(job):
        why, do = refused
        return Explanation(f"{start}: {why}: {job.refused}", (_wants(job, told),), do)
    groups = _possible(job, told)
    if not groups or not all(map(_is_held, groups)):
        return None
    number = sum(group.idle for group in groups)
    waits = f"{counted(number, 'job')} of its kind" if number > 1 else "it"
    beside = ", ".join(dict.fromkeys(group.beside for group in groups if group.beside)) or "a free slot"
    again = min((group.again_at for group in groups if group.again_at), default=None)
    when = f"is tried again at {again:%H:%M:%S}" if again else "is being tried with a new slave"
    return Explanation(
        f"{start}: something else than a lack of slots holds {waits}",
        (f"no job started beside {beside}, which had room; one {when}", _wants(job, told)),
        f"condor_q -better-analyze {job.number}",
    )


def _no_slot(job: Job, told: Status, slots: list[Slot], start: str, now: datetime) -> Explanation:
    """Why a job that a slave could run has none."""
    wants = _wants(job, told)
    if free := [slot for slot in slots if _holds(slot, job, told)]:
        return Explanation(
            f"{start}: {free[0].slave} has room for it, the next negotiation gives it the place (10 s)",
            (wants, *((f"the last one said: {job.refused}",) if job.refused else ())),
            f"if it stays so for a minute: condor_q -better-analyze {job.number}",
        )
    if coming := [slave for slave in told.slaves if slave.phase in (Phase.BUILDING, Phase.BOOTING)]:
        usual = usual_boot(told, slots)
        rest = tuple(f"{s.name} has been {s.phase} for {age((now - s.created_at).total_seconds())}" for s in coming)
        often = (f"slaves here usually take {age(usual)} to join",) if usual else ()
        return Explanation(f"{start}: no slot is free, {slaves_are(len(coming))} on the way", (*rest, *often, wants))
    if told.update and told.update.create:
        return Explanation(f"{start}: no slot is free, {slaves_are(told.update.create)} being made", (wants,))
    for kind, reason in ((kind_of(reason), reason) for reason in told.reasons):
        if kind in _HOLDING_UP:
            meaning, do = MEANING[kind]
            return Explanation(f"{start}: no slot is free, and {meaning}", (reason, wants), do)
    return Explanation(f"{start}: no slot is free yet; the controller has only just seen it", (*told.reasons, wants))


def _wants(job: Job, told: Status) -> str:
    wants = f"it asks for {_asked(job.request)}"
    if other := next(filter(None, _alike(job, told)), ""):
        wants += f"; of jobs that ask for the same, some can never run: {other}"
    held = [_is_held(group) for group in _possible(job, told)]
    if any(held) and not all(held):
        wants += "; of jobs that ask for the same, some are held by something else than a lack of slots"
    return wants


def _possible(job: Job, told: Status) -> list[JobGroup]:
    """The groups that the job may be of."""
    return [group for group in told.demand if group.request == job.request and not group.impossible]


def _is_held(group: JobGroup) -> bool:
    return group.unmatched or group.tried


def _refused(job: Job) -> tuple[str, str] | None:
    """Whose jobs come first, and the command that shows it; None when the negotiator didn't say so."""
    said = job.refused.lower()
    if "concurrency limit" in said:
        others = "condor_q -allusers -run -constraint 'ConcurrencyLimits =!= undefined'"
        return "other jobs use up what its concurrency limits allow", others
    if "limit" in said or "priority" in said:
        return f"{job.owner}'s share of the pool is used up", "condor_userprio -all"
    return None


def impossible(job: Job, told: Status) -> str:
    """Why no slave can ever run this job; empty when one can, as far as is known."""
    if not told.limits:
        return ""
    offer = told.limits.offer
    for what, wanted, most in (
        ("CPU", job.request.cpus, offer.cpus),
        ("MiB of memory", job.request.memory_mib, offer.memory_mib),
        ("KiB of disk", job.request.disk_kib, offer.disk_kib),
        # None may as well mean that no slave has told yet: the controller knows.
        ("GPU", job.request.gpus, offer.gpus or job.request.gpus),
    ):
        if wanted > most:
            asked = counted(wanted, what) if what.isupper() else f"{wanted} {what}"
            return f"it asks for {asked}, a slave has {most or 'none'}"
    alike = _alike(job, told)
    return alike[0] if alike and all(alike) else ""


def _alike(job: Job, told: Status) -> list[str]:
    """Of each group of jobs that asks for the same, why it can never run; what else they want isn't known here."""
    return [group.impossible for group in told.demand if group.request == job.request]


def usual_boot(told: Status, slots: list[Slot]) -> float | None:
    """How long the slaves that are there took from their creation to their startd, in seconds; None if unknown."""
    created = {slave.name: slave.created_at.timestamp() for slave in told.slaves}
    took = [slot.started - created[slot.slave] for slot in slots if slot.slave in created]
    return median(took) if took else None


def of_slave(slave: SlaveStatus, told: Status, now: datetime) -> Explanation:
    """Why a slave lives, or goes."""
    if slave.phase is Phase.GONE:
        kept = (slave.kept,) if slave.kept else ()
        return Explanation(f"{slave.name} has been deleted, and leaves the state with the next update", kept)
    start = f"{slave.name}, {age((now - slave.created_at).total_seconds())} old,"
    detail = (slave.detail,) if slave.detail else ()
    if slave.kept:
        says = "stays for now: it couldn't be drained or removed, and is asked again"
        return Explanation(f"{start} {says}", (slave.kept, *detail))
    if slave.reason:
        return Explanation(f"{start} goes: {slave.reason}", detail)
    if slave.phase is Phase.IDLE:
        return _idle_slave(slave, told, start)
    if slave.phase is Phase.BUSY:
        runs = counted(slave.jobs, "job") if slave.jobs else "jobs"
        return Explanation(f"{start} stays: it runs {runs}, and no job is ever cut off")
    says = _LIFE.get(slave.phase, f"is {slave.phase} and will be replaced")
    in_time = _replaced_in_time(told) if slave.phase in _AWAITED else ()
    return Explanation(f"{start} {says}", (*in_time, *detail))


_LIFE = {
    Phase.BUILDING: "is on its way: its server is being made",
    Phase.BOOTING: "is on its way: it boots and hasn't joined the pool yet",
    Phase.DOUBTFUL: "is not in the stack's state: the controller finds out whether an update is still making it",
    Phase.DRAINING: "takes no more jobs, and goes when its last ones are done",
    Phase.DRAINED: "has been drained and goes: it takes no more jobs",
    Phase.MISSING: "was in the pool and isn't any more",
}
_AWAITED = (Phase.BUILDING, Phase.BOOTING, Phase.MISSING)


def _replaced_in_time(told: Status) -> tuple[str, ...]:
    if not told.limits:
        return ()
    return (f"it is replaced when that takes {age(told.limits.join_timeout)} (ecm:joinTimeout)",)


def _idle_slave(slave: SlaveStatus, told: Status, start: str) -> Explanation:
    idle, limits = f"{start} has been idle for {age(slave.idle_for)}", told.limits
    if held := [reason for reason in told.reasons if kind_of(reason) in _HANDS_OFF]:
        kind = kind_of(held[0])
        return Explanation(f"{idle} and stays for now: {MEANING[kind][0]}", tuple(held), MEANING[kind][1])
    if not limits:
        return Explanation(idle)
    if slave.idle_for < limits.idle_time:
        return Explanation(f"{idle} and stays until that is {age(limits.idle_time)} (ecm:idleTime)")
    if sum(s.phase in (Phase.IDLE, Phase.BUSY) for s in told.slaves) <= limits.min_slaves:
        return Explanation(f"{idle} and stays: {slaves_are(limits.min_slaves)} kept (ecm:minSlaves)")
    kept = f", as one of {limits.spare_slots} slots that are kept free (ecm:spareSlots)" if limits.spare_slots else ""
    return Explanation(f"{idle} and stays for jobs that wait{kept}, or goes at the next look", told.reasons)


def of_scaling(told: Status) -> Explanation:
    """Why the cluster has the size it has."""
    size = counted(len(told.slaves), "slave")
    if told.limits:
        size += f", between {told.limits.min_slaves} and {told.limits.max_slaves} are allowed"
    kinds = [kind_of(reason) for reason in told.reasons]
    meanings = [MEANING[kind] for kind in kinds if kind in MEANING]
    because = tuple(
        f"{reason} ({MEANING[kind][0]})" if kind in MEANING else reason
        for kind, reason in zip(kinds, told.reasons, strict=True)
    )
    todo = "; ".join(dict.fromkeys(do for _, do in meanings if do))
    return Explanation(f"{size}; {counted(told.idle_jobs, 'job')} waiting", because, todo)


def kind_of(reason: str) -> str:
    """What a reason of the controller's is about: the word that it begins with."""
    return reason.partition(": ")[0]


def slaves_are(number: int) -> str:
    return f"{counted(number, 'slave')} {'is' if number == 1 else 'are'}"


def _asked(request: Room) -> str:
    disk = f"{request.disk_kib // 1024} MiB" if request.disk_kib >= 1024 else f"{request.disk_kib} KiB"  # noqa: PLR2004
    gpus = f", {counted(request.gpus, 'GPU')}" if request.gpus else ""
    return f"{counted(request.cpus, 'CPU')}, {request.memory_mib} MiB of memory, {disk} of disk{gpus}"


def _holds(slot: Slot, job: Job, told: Status) -> bool:
    there = next((slave for slave in told.slaves if slave.name == slot.slave), None)
    full = there and told.limits and there.jobs >= told.limits.jobs_per_slave
    return not full and slot.free.holds(job.request) > 0


def _number(ad: Mapping[str, Any], name: str) -> int:
    value = ad.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0
