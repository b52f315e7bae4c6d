"""The adapter to HTCondor: what the queue asks for, what the slaves' startds say, how a slave is drained and forgotten.

Every failure becomes an `OutsideError`; an empty answer is believed only where HTCondor can be sure of it.
"""

import hashlib
import math
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import classad2
import htcondor2

from controller import template
from controller.answers import understood
from controller.errors import OutsideError
from controller.model import Claim, JobGroup, Room, Seconds

ON_MASTER = (7, 9, 12)
"""Universes whose jobs don't run on slaves: scheduler, grid, local."""
PARALLEL = 11

ON_A_SLAVE = "member(JobStatus, {2, 6, 7})"
"""Jobs that run, bring their output back, or are suspended: a slave has them."""

IDLE = " && ".join(("JobStatus == 1", *(f"JobUniverse != {universe}" for universe in ON_MASTER)))

# Atomic at the startd: it refuses when any slot has been claimed or matched in the meantime.
NO_CLAIM = 'SlotType =!= "Dynamic" && State =!= "Claimed" && State =!= "Matched" && State =!= "Preempting"'

# Ten years by our configuration (90-ecm-slave.conf); a policy of the user's may leave a job less, and a startd whose
# drain was undone too early has none (`revive`).
JOBS_MAY_STAY = "(MaxJobRetirementTime > 100000000) =?= true"

UPDATE_EVERY = 60
"""Seconds from one ad of a slave to the next (cloudinit/files/common/etc/condor)."""
HEARTBEAT_LIFE = 300
"""Seconds that the heartbeat's ad lives: some times as long as from one to the next."""

_KIND = ("Owner", "AcctGroup", "ConcurrencyLimits")
"""What may keep some jobs from a free slot and not others, beside their requirements."""
_AUTOCLUSTER_HAS = ("JobUniverse", "Owner", "RequestCpus")
"""Every job has them; HTCondor groups by them, and by the rest of `_JOB`, where our configuration rules the master."""
_JOB = [
    *("JobUniverse", "RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs", "Requirements"),
    # The default requests are expressions over these.
    *("ImageSize", "MemoryUsage", "DiskUsage"),
    *_KIND,
]
_SLOT = [
    *(
        "EcmSlave",
        "EcmJobs",
        "Name",
        "Machine",
        "SlotType",
        "State",
        "Cpus",
        "Memory",
        "Disk",
        "GPUs",
        "Draining",
        "DrainReason",
    ),
    *("NumDynamicSlots", "NumDynamicSlotsTime", "DaemonStartTime", "MyCurrentTime", "LastHeardFrom"),
    *("Activity", "RemoteOwner", "EnteredCurrentActivity"),
]
_RUNS = 'SlotType =?= "Dynamic" && State =?= "Claimed" && Activity =?= "Busy"'
"""A slot on which a job runs: on a large pool most are, and of these only the number matters."""
_RUNNING = ["EcmSlave", "Name", "SlotType"]
_ADDRESS = ["Name", "MyAddress", "StartdIpAddr"]
"""What the collector files a slot's ad by."""
_CLOSED_AT = "EcmClosedAt"
"""In an ad that the controller has changed, until the startd sends the next one."""
_FREE_STATES = ("Unclaimed", "Owner", "Drained")
STARTING = 60
"""Seconds in which a job starts on a slot that was claimed for it: a claim without one after that waits for something
else, as one that `keep_claim_idle` keeps."""
_PATIENCE = 30
_COMPLETION = 15
"""Seconds for a drain without jobs to be complete: the startd looks every 5 s (POLLING_INTERVAL)."""
_CLOSED_FOR = 12
"""Seconds that the controller's word of a drain is believed: the startd may have said before that it is complete."""
LONGEST_IDLE = 10 * 365 * 86_400
"""Seconds: what a slave's odd clock says beyond is no date."""
_UNREADABLE = (classad2.ClassAdException, SystemError, ValueError)
"""What the bindings raise for a value that Python can't have: text that isn't UTF-8, a list of such, a date of no year.
Any user may write one into a job, and an image's configuration into a slave's ad."""
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, *_UNREADABLE)
"""What comes of an ad with values that nobody expects."""
_ENDLESS = 2**62
"""Stands for a request without end, as `real("INF")`."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A slave as its startd advertises it."""

    jobs: int
    """Dynamic slots: each belongs to a claim."""
    claimed: bool
    idle_for: Seconds
    free: Room
    claims: tuple[Claim, ...] = ()
    """Claims on which a job is about to start."""
    places: int | None = None
    """How many jobs it runs at once; None for a slave that doesn't say so."""
    draining: bool = False
    """Whether it takes no more jobs."""
    drain_reason: str = ""
    """Who wanted that, and why."""
    unreadable: str = ""
    """Why its ads can't be read, which makes it busy; empty when they can."""
    ad_age: Seconds = Seconds(0)
    """How long ago the collector heard from it."""


class Drain(StrEnum):
    """How a startd answered."""

    DRAINED = "drained"
    REFUSED = "refused"
    """A slot has been claimed or matched."""
    ALREADY = "already"
    """It took no more jobs before, and may still have some."""
    ABSENT = "absent"


_REFUSALS = {10001: Drain.ALREADY, 10003: Drain.REFUSED}
"""By the code that the startd gives."""


@understood("the schedd")
def jobs(offered: Mapping[str, Any], waiting_time: int | None) -> tuple[JobGroup, ...]:
    """The idle jobs of all users, grouped by what they ask for and by what else HTCondor may judge them by.

    Args:
        offered: what a slave advertises; jobs that can't match it are impossible, with the reason.
        waiting_time: seconds after which a job is ripe; None where that makes no difference, which saves a query.

    Raises:
        OutsideError: the schedd can't be asked; that isn't an empty queue.
    """
    with _translated("the schedd can't be asked"):
        schedd = _schedd()
        everyone = _grouped(schedd, IDLE)
        asks = bool(everyone) and waiting_time is not None
        ripe = _grouped(schedd, f"{IDLE} && time() - EnteredCurrentStatus >= {waiting_time}") if asks else []
    machine = classad2.ClassAd(dict(offered))
    counts: dict[tuple[Room, str, str, str], list[int]] = {}
    for column, ads in enumerate((everyone, ripe)):
        for ad in ads:
            counts.setdefault(_judged(ad, machine), [0, 0])[column] += int(ad["JobCount"])
    return tuple(
        JobGroup(request, idle, ripe, why, kind=kind, owner=owner)
        for (request, why, kind, owner), (idle, ripe) in counts.items()
    )


def _judged(ad: Any, machine: Any) -> tuple[Room, str, str, str]:  # noqa: ANN401 - the bindings have no types
    """What jobs ask for, why no slave can run them, their kind and owner; odd ones, be it out of malice, none can."""
    try:
        request = _request(ad)
        if why := _impossible(ad, request, machine):
            return request, why, "", ""
        return request, "", _kind(ad), str(_evaluated(ad, "Owner") or "")
    except _ODD as error:
        return Room(0, 0, 0), f"their ad can't be understood: {_oddity(error)}", "", ""


def waiting() -> bool:
    """Whether any job is idle, for a look that costs next to nothing; no, where the schedd doesn't say."""
    try:
        return bool(_schedd().query(IDLE, ["ClusterId"], limit=1))
    except (OutsideError, htcondor2.HTCondorException, OSError):
        return False


@understood("the collector")
def machines() -> dict[str, Machine]:
    """The slaves in the collector, by name.

    Raises:
        OutsideError: the collector can't be asked.
    """
    with _translated("the collector can't be asked"):
        collector = htcondor2.Collector()
        # In this order: where a job ends between the two, its slot is in both; where one starts, it is in neither, but
        # its slave knows of it (NumDynamicSlots).
        running = collector.query(htcondor2.AdType.Slot, f"EcmSlave =!= undefined && {_RUNS}", _RUNNING)
        ads = collector.query(htcondor2.AdType.Slot, f"EcmSlave =!= undefined && !({_RUNS})", _SLOT)
    names = {str(_evaluated(ad, "Name")) for ad in ads}
    slots: dict[str, list[Any]] = {}
    for ad in (*ads, *(ad for ad in running if str(_evaluated(ad, "Name")) not in names)):
        if isinstance(name := _evaluated(ad, "EcmSlave"), str):
            slots.setdefault(name, []).append(ad)
    return {name: _machine(of_slave, time.time()) for name, of_slave in slots.items() if _whole(of_slave)}


def _machine(ads: Iterable[Any], now: float) -> Machine:
    """The same as `machine`; a slave whose ads are odd, be it out of malice, is busy for all that is known."""
    try:
        return machine(ads, now)
    except _ODD as error:
        return Machine(jobs=0, claimed=True, idle_for=Seconds(0), free=Room(0, 0, 0), unreadable=_oddity(error))


def machine(ads: Iterable[Any], now: float) -> Machine:
    """What the slot ads of one slave say.

    An idle partitionable slot is Unclaimed whether or not it has jobs, and its own times say nothing: it is idle since
    its last dynamic slot ended. That is on the machine's clock, and the ad is as old as `LastHeardFrom` says, but for
    what this machine's clock has jumped since: an ad is renewed each minute.
    """
    everything = list(ads)
    kinds = [_slot_type(ad) for ad in everything]
    whole = next((ad for ad, kind in zip(everything, kinds, strict=True) if kind == "Partitionable"), None)
    if whole is None:
        raise ValueError("what its slots are can't be told")
    dynamic = [ad for ad, kind in zip(everything, kinds, strict=True) if kind == "Dynamic"]
    jobs = max(len(dynamic), int(whole.get("NumDynamicSlots", 0)))
    since = max(whole.get("NumDynamicSlotsTime", 0), whole.get("DaemonStartTime", 0))
    ad_age = max(0.0, now - whole["LastHeardFrom"])
    idle_for = whole["MyCurrentTime"] - since + min(ad_age, UPDATE_EVERY)
    claimed = jobs > 0 or any(ad.get("State") not in _FREE_STATES for ad in everything)
    return Machine(
        ad_age=Seconds(ad_age),
        places=int(whole["EcmJobs"]) if "EcmJobs" in whole else None,
        draining=whole.get("Draining") is True or whole.get("State") == "Drained",
        drain_reason=str(whole.get("DrainReason", "")),
        jobs=jobs,
        claimed=claimed,
        idle_for=Seconds(0 if claimed else min(max(0.0, idle_for), LONGEST_IDLE)),
        free=_size(whole),
        claims=tuple(_claim(ad) for ad in dynamic if _starts(ad, now)),
    )


def _size(ad: Mapping[str, Any]) -> Room:
    return Room(*(int(ad.get(size, 0)) for size in ("Cpus", "Memory", "Disk", "GPUs")))


def _starts(ad: Mapping[str, Any], now: float) -> bool:
    """Whether a slot was claimed a moment ago, and no job runs on it yet: to the schedd it is still idle."""
    waits = (ad.get("State"), ad.get("Activity")) == ("Claimed", "Idle") and "RemoteOwner" in ad
    return waits and now - ad["LastHeardFrom"] + ad["MyCurrentTime"] - ad["EnteredCurrentActivity"] < STARTING


def _claim(ad: Mapping[str, Any]) -> Claim:
    return Claim(str(ad["RemoteOwner"]).split("@")[0], _size(ad))


@understood("the collector")
def whole_slot(name: str) -> dict[str, Any] | None:
    """The ad of a slave's partitionable slot, without what has no value; None when it isn't in the collector.

    Raises:
        OutsideError: the collector can't be asked.
    """
    with _translated("the collector can't be asked"):
        ads = htcondor2.Collector().query(htcondor2.AdType.Slot, f'EcmSlave == "{name}" && SlotType == "Partitionable"')
    values = {key: _evaluated(ads[0], key) for key in ads[0]} if ads else {}
    return {key: value for key, value in values.items() if not isinstance(value, classad2.Value)} or None


@understood("the schedd")
def running_on() -> frozenset[str]:
    """The slaves that the schedd says a job runs on, whatever the collector knows.

    Raises:
        OutsideError: the schedd can't be asked.
    """
    with _translated("the schedd can't be asked"):
        ads = _schedd().query(ON_A_SLAVE, ["RemoteHost"])
    hosts = [host for ad in ads if isinstance(host := _evaluated(ad, "RemoteHost"), str)]
    return frozenset(host.split("@")[-1].split(".")[0] for host in hosts)


def drain(name: str, reason: str) -> Drain:
    """Asks a slave's startd to take no more jobs, if it has no claim at this very moment.

    Raises:
        OutsideError: the collector can't be asked or told, or the startd doesn't answer.
    """
    with _translated("the collector can't be asked"):
        ads = htcondor2.Collector().query(htcondor2.AdType.Slot, f'EcmSlave == "{name}"', _ADDRESS)
    if not ads:
        return Drain.ABSENT
    answer = _drain(name, NO_CLAIM, reason)
    if answer is Drain.DRAINED:
        _close(ads, reason)
    return answer


def _drain(name: str, check: str, reason: str) -> Drain:
    """The startd's answer to a drain that all its slots have to agree to."""
    answer = _ask("condor_drain", "-graceful", "-check", check, "-reason", reason, f"{name}.pool")
    if answer.returncode == 0:
        return Drain.DRAINED
    if refusal := _refusal(answer):
        return refusal
    raise OutsideError(f"{name} can't be drained - {_said(answer)}")


def _close(ads: Iterable[Mapping[str, Any]], reason: str) -> None:
    """Says in the collector what a startd that was drained will say there itself, if it lives for another second.

    Until then HTCondor would give jobs to the slave, and wait for the answer of one that is no more.
    """
    closed = {
        "MyType": "Machine",
        "State": "Drained",
        "Activity": "Retiring",
        "Draining": True,
        "DrainReason": reason,
        "Requirements": False,
        _CLOSED_AT: int(time.time()),
    }
    # A slot whose ad lacks something, be it out of malice, isn't found, and stays as it is.
    addresses = [{key: at for key in _ADDRESS if isinstance(at := _evaluated(ad, key), str)} for ad in ads]
    merged = [classad2.ClassAd(address | closed) for address in addresses if "Name" in address]
    with _translated("the collector can't be told of a drained slave"):
        htcondor2.Collector().advertise(merged, "MERGE_STARTD_AD")


def retire(name: str, reason: str) -> None:
    """Asks a slave's startd to take no more jobs; those that run there go on to their end.

    Raises:
        OutsideError: the startd doesn't do it, or would end its jobs.
    """
    if _drain(name, JOBS_MAY_STAY, reason) is Drain.REFUSED:
        raise OutsideError(
            f"{name} isn't drained - its HTCondor gives jobs no time to end (MaxJobRetirementTime); it goes when it has"
            " none"
        )


def revive(name: str) -> None:
    """Undoes a drain, once it is complete: the slave takes jobs again.

    A startd gives jobs no time to stay while it completes a drain, which takes it some seconds; and when that is undone
    before, it never again does, until it has completed another.

    Raises:
        OutsideError: the startd doesn't do it, or doesn't complete the drain.
    """
    end = time.monotonic() + _COMPLETION
    while _completes_a_drain(name):
        if time.monotonic() > end:
            raise OutsideError(f"the drain of {name} can't be undone - it isn't complete after {_COMPLETION} s")
        time.sleep(0.5)
    answer = _ask("condor_drain", "-cancel", f"{name}.pool")
    if answer.returncode:
        raise OutsideError(f"the drain of {name} can't be undone - {_said(answer)}")


def _completes_a_drain(name: str) -> bool:
    """So says the startd, or so was said in its place a moment ago."""
    lately = f"time() - ({_CLOSED_AT} ?: time()) < {_CLOSED_FOR}"
    constraint = f'EcmSlave == "{name}" && SlotType == "Partitionable" && Activity == "Retiring" && {lately}'
    with _translated("the collector can't be asked"):
        return bool(htcondor2.Collector().query(htcondor2.AdType.Slot, constraint, ["Name"]))


def forget(names: Iterable[str]) -> None:
    """Takes the ads of removed slaves out of the collector, which would otherwise match jobs to them for minutes.

    Raises:
        OutsideError: the collector can't be told.
    """
    with _translated("the collector can't be told of removed slaves"):
        collector = htcondor2.Collector()
        for name in names:
            for kind, command in (
                ("Machine", "INVALIDATE_STARTD_ADS"),
                ("StartD", "INVALIDATE_STARTD_ADS"),
                ("DaemonMaster", "INVALIDATE_MASTER_ADS"),
            ):
                query = classad2.ClassAd({"MyType": "Query", "TargetType": kind})
                query["Requirements"] = classad2.ExprTree(f"Machine == {classad2.quote(f'{name}.pool')}")
                collector.advertise([query], command)


def look_again() -> None:
    """Has the schedd make its list of idle jobs anew, for the next negotiation.

    That list lacks a job that was given to a slave while it was made, also when that slave never answered; and it is
    made anew when a job comes. So one comes, held, and goes.

    Raises:
        OutsideError: the schedd can't be told.
    """
    with _translated("the schedd can't be told to look again"):
        schedd = _schedd()
        made = schedd.submit(
            htcondor2.Submit(
                {
                    "executable": "/bin/true",
                    "transfer_executable": "false",
                    "hold": "true",
                    # If the controller ends before it has removed it.
                    "periodic_remove": "true",
                }
            )
        )
        schedd.act(htcondor2.JobAction.Remove, f"ClusterId == {made.cluster()}")


def negotiate() -> None:
    """Has HTCondor give out slots now, and not at its next turn, up to NEGOTIATOR_INTERVAL later.

    Raises:
        OutsideError: the schedd can't be told.
    """
    with _translated("the schedd can't be told to negotiate"):
        _schedd().reschedule()


def heartbeat() -> None:
    """Says in the collector that the controller lives: slaves look for it there (`ecm-watch`).

    The ad ends by itself, so that no slave compares its clock with another machine's.

    Raises:
        OutsideError: the collector can't be told.
    """
    ad = classad2.ClassAd({"MyType": "EcmController", "Name": "controller", "ClassAdLifetime": HEARTBEAT_LIFE})
    with _translated("the collector can't be told of the controller"):
        htcondor2.Collector().advertise([ad], "UPDATE_AD_GENERIC")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Says what can't be done, and HTCondor's reason."""
    try:
        yield
    except (htcondor2.HTCondorException, classad2.ClassAdException, OSError) as error:
        raise OutsideError(f"{what} - {_line(error)}") from error


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutsideError(f"{command[0]} fails - {_line(error)}") from error


def _refusal(answer: "subprocess.CompletedProcess[str]") -> Drain | None:
    return next((drain for code, drain in _REFUSALS.items() if f"error code {code}" in answer.stderr), None)


def _said(answer: "subprocess.CompletedProcess[str]") -> str:
    # The end has the cause; it begins with a long address.
    return " ".join(f"{answer.stdout} {answer.stderr}".split())[-200:]


def _schedd() -> Any:  # noqa: ANN401 - the bindings have no types
    ads = htcondor2.Collector().query(htcondor2.AdType.Schedd, None, ["Name", "MyAddress", "CondorVersion"])
    if not ads:
        # Just after a start the schedd may not have advertised yet: unknown, not "no jobs".
        raise OutsideError("the schedd can't be asked - it isn't in the collector (yet)")
    return htcondor2.Schedd(ads[0])


def _grouped(schedd: Any, constraint: str) -> list[Any]:  # noqa: ANN401 - the bindings have no types
    """The jobs as groups, each with its `JobCount`.

    The schedd keeps jobs that it has once looked at in groups of its own, autoclusters. To count those takes it a sixth
    of the time that it takes to compare every job's requirements.
    """
    before = _autoclusters(schedd)
    counts = _by(schedd, constraint, ["AutoClusterId"])
    sizes: Counter[object] = Counter()
    for ad in counts:
        # Users may have written something else into jobs that are new.
        number = _evaluated(ad, "AutoClusterId")
        grouped = isinstance(number, int) and not isinstance(number, classad2.Value)
        sizes[number if grouped else None] += int(ad["JobCount"])
    new = sizes.pop(None, 0)
    after = _autoclusters(schedd) if sizes else {}
    # A number that means something else than a moment ago, as after a change of what HTCondor groups by, means nothing.
    known = {number: ad for number, ad in after.items() if number in sizes and str(before.get(number)) == str(ad)}
    if len(known) == len(sizes):
        fresh = _by(schedd, f"{constraint} && AutoClusterId is undefined", _JOB) if new else []
        if sum(int(ad["JobCount"]) for ad in fresh) == new:
            for number, ad in known.items():
                ad["JobCount"] = sizes[number]
            return [*known.values(), *fresh]
    return _by(schedd, constraint, _JOB)


def _autoclusters(schedd: Any) -> dict[int, Any]:  # noqa: ANN401 - the bindings have no types
    """The schedd's own groups that tell all that is asked of a job, by number."""
    ads = schedd.query("true", [], opts=htcondor2.QueryOpt.AutoCluster)
    whole = {int(ad["AutoClusterId"]): ad for ad in ads if all(_written(ad, name) for name in _AUTOCLUSTER_HAS)}
    for ad in whole.values():
        # Of jobs in any state.
        ad.pop("JobCount", None), ad.pop("JobIds", None)
    return whole


def _by(schedd: Any, constraint: str, attributes: list[str]) -> list[Any]:  # noqa: ANN401 - the bindings have no types
    """The jobs that meet a constraint, grouped by some attributes.

    The schedd tries the constraint on each group, too, which has those attributes only: there it mustn't be undefined.
    """
    return list(schedd.query(f"({constraint}) =!= false", attributes, opts=htcondor2.QueryOpt.GroupBy))


def _request(ad: Any) -> Room:  # noqa: ANN401 - the bindings have no types
    cpus, memory, disk = (_number(ad, f"Request{size}", 1) for size in ("Cpus", "Memory", "Disk"))
    return Room(cpus, memory, disk, _number(ad, "RequestGPUs", 0))


def _kind(ad: Any) -> str:  # noqa: ANN401 - the bindings have no types
    parts = [str(expression) for name in ("Requirements", *_KIND) if (expression := _written(ad, name))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _number(ad: Any, name: str, default: int) -> int:  # noqa: ANN401 - the bindings have no types
    value = _evaluated(ad, name)
    if isinstance(value, classad2.Value) or not isinstance(value, int | float) or math.isnan(value):
        return default
    return math.ceil(min(max(0, value), _ENDLESS))


def _written(ad: Any, name: str) -> Any:  # noqa: ANN401 - the bindings have no types
    """An attribute's expression; None when there is none. `in` would evaluate it, too."""
    try:
        return ad.lookup(name)
    except KeyError:
        return None


def _evaluated(ad: Any, name: str) -> object:  # noqa: ANN401 - the bindings have no types
    try:
        written = _written(ad, name)
        return written.eval(ad) if written else None
    except _UNREADABLE:
        # What refers to itself has no value, either, which HTCondor finds out at each match, too.
        return None


def _impossible(ad: Any, request: Room, machine: Any) -> str:  # noqa: ANN401 - the bindings have no types
    if ad.get("JobUniverse") == PARALLEL:
        return "they are of the parallel universe, and slaves have no dedicated scheduler"
    for what, wanted, most in (
        ("CPUs", request.cpus, machine["Cpus"]),
        ("MiB of memory", request.memory_mib, machine["Memory"]),
        ("KiB of disk", request.disk_kib, machine["Disk"]),
        ("GPUs", request.gpus, machine.get("GPUs", request.gpus)),
    ):
        if wanted > most:
            return f"they ask for {wanted} {what}, a slave has {most}"
    wish = _written(ad, "Requirements")
    return _never_met(ad, wish, machine) if wish else ""


def _never_met(ad: Any, wish: Any, machine: Any) -> str:  # noqa: ANN401 - the bindings have no types
    """Why no slave meets a job's requirements; empty where one may."""
    said = " ".join(str(wish).split())[:200]
    try:
        met = wish.eval(ad, machine)
        named = [name for name in ad.externalRefs(wish) if not name.lower().startswith("my.")]
    except _UNREADABLE:
        return f"their requirements have no value: {said}"
    if met is False:
        return f"no slave meets their requirements: {said}"
    # What is undefined may yet match: it may be something that wasn't asked for, or that isn't known of slaves yet. But
    # a job that lacks what was asked for lacks it in earnest, as `MemoryUsage` before its first run.
    unknown = sorted({name for name in map(_of_machine, named) if name not in machine and name not in _JOB})
    if met is classad2.Value.Undefined and unknown and all(template.lacks(machine, name) for name in unknown):
        return f"no slave has {', '.join(unknown)}, as their requirements want: {said}"
    return ""


def _of_machine(name: str) -> str:
    return name[len("TARGET.") :] if name.lower().startswith("target.") else name


def _whole(ads: Iterable[Any]) -> bool:
    """Whether one of a slave's ads is that of its partitionable slot, or may be, as one that can't be read."""
    return any(_slot_type(ad) in ("Partitionable", None) for ad in ads)


def _slot_type(ad: Any) -> object:  # noqa: ANN401 - the bindings have no types
    """A slot's kind, be it written as an expression; None when that can't be read."""
    try:
        kind = ad.get("SlotType", "")
    except _UNREADABLE:
        return None
    return kind if isinstance(kind, str) else _evaluated(ad, "SlotType")


def _oddity(error: Exception) -> str:
    return f"{type(error).__name__}: {_line(error)}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
