"""HTCondor's own tools on the master, and what they say as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import DOCTOR, CommandError, NotThereError
from cli.master.machine import Machine
from controller.model import Room

IDLE = 1
"""Of JobStatus."""
EVERY_SLAVE = 'EcmSlave =!= undefined && SlotType == "Partitionable"'


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs of all users, by state."""

    idle: int
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slave's startd offers right now."""

    slave: str
    free: Room
    started: int
    """When its startd came up, in seconds of the epoch."""
    address: str


def queue(master: Machine) -> Queue:
    """How many jobs there are, as the schedd counts them: it costs nothing, however many there are.

    Raises:
        CommandError: the collector doesn't answer; the same for the functions below.
    """
    said = master.output("condor_status", "-schedd", "-af", "TotalIdleJobs", "TotalRunningJobs", "TotalHeldJobs")
    # A schedd that has only just come up doesn't know them all.
    numbers = [[int(word) if word.isdecimal() else 0 for word in line.split()] for line in said.splitlines()]
    return Queue(*(sum(column) for column in zip(*numbers, strict=True))) if numbers else Queue(0, 0, 0)


def slots(master: Machine) -> list[Slot]:
    """The slaves that have joined; without those whose ad is odd, which says nothing of the others."""
    attributes = ("EcmSlave", "MyAddress", "DaemonStartTime", "Cpus", "Memory", "Disk", "GPUs")
    said = master.output("condor_status", "-constraint", EVERY_SLAVE, "-af", *attributes)
    return [slot for line in said.splitlines() if (slot := _slot(line.split()))]


def _slot(words: list[str]) -> Slot | None:
    match words:
        case [name, address, *sizes, gpus] if len(sizes) == 4 and all(size.isdecimal() for size in sizes):  # noqa: PLR2004
            started, cpus, memory, disk = map(int, sizes)
            # A slave without GPUs doesn't speak of them.
            free = Room(cpus, memory, disk, int(gpus) if gpus.isdecimal() else 0)
            return Slot(name, free, started, address.strip("<>").partition(":")[0])
    return None


def skews(master: Machine) -> dict[str, int]:
    """By how many seconds the clock of each slave was before the master's when its last ad came."""
    # An ad that the controller has changed since is younger than the time in it.
    own = f"{EVERY_SLAVE} && EcmClosedAt =?= undefined"
    said = master.output("condor_status", "-constraint", own, "-af", "EcmSlave", "MyCurrentTime", "LastHeardFrom")
    rows = [line.split() for line in said.splitlines()]
    return {row[0]: int(row[1]) - int(row[2]) for row in rows if len(row) == 3 and "undefined" not in row}  # noqa: PLR2004


def versions(master: Machine, *daemons: str) -> list[str]:
    """HTCondor's version at each of some daemons, as `23.9.6`."""
    said = master.output("condor_status", *daemons, "-af", "CondorVersion")
    return [line.split()[1] for line in said.splitlines() if len(line.split()) > 1]


def job(master: Machine, number: str) -> Mapping[str, Any]:
    """A job's ad, with the requests as numbers. Of a whole cluster of jobs (`12`) the first that waits, or the first.

    Raises:
        NotThereError: neither the queue nor the history has it.
    """
    ads: list[dict[str, Any]] = []
    if "." not in number:
        waiting = f"ClusterId == {number} && JobStatus == {IDLE}"
        ads = _ads(master, "condor_q", "-allusers", "-constraint", waiting, "-limit", "1", "-json")
        number = f"{number}.{ads[0]['ProcId'] if ads else 0}"
    ads = ads or _ads(master, "condor_q", "-allusers", number, "-json")
    ads = ads or _ads(master, "condor_history", number, "-limit", "1", "-json")
    if not ads:
        raise NotThereError(f"there is no job {number} - neither waiting nor ended - condor_q -allusers lists them")
    ad = ads[0]
    if ad.get("JobStatus") == IDLE:
        # The default requests are expressions; -af has HTCondor evaluate them.
        wanted = ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs")
        words = master.output("condor_q", "-allusers", number, "-af", *wanted).split()
        ad |= {name: int(word) for name, word in zip(wanted, words, strict=False) if word.isdecimal()}
    return ad


def _ads(master: Machine, *command: str) -> list[dict[str, Any]]:
    """What a tool prints as JSON; it prints nothing at all when there is nothing."""
    said = master.output(*command).strip()
    try:
        ads: list[dict[str, Any]] = json.loads(said) if said else []
    except ValueError:
        raise CommandError(f"{command[0]} can't be understood - it says: {said[:100]} - {DOCTOR}") from None
    return ads
