"""HTCondor's own tools on the master, and what they say as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.errors import NotThereError
from cli.master.machine import Machine

EVERY_SLAVE = 'EcmSlave =!= undefined && SlotType == "Partitionable"'


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs of all users, by state."""

    idle: int
    running: int
    held: int


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slave's startd offers right now: memory in MiB, disk in KiB."""

    slave: str
    cpus: int
    memory: int
    disk: int
    started: int
    """When its startd came up, in seconds of the epoch."""
    address: str


def queue(master: Machine) -> Queue:
    """How many jobs there are, as the schedd counts them: it costs nothing, however many there are.

    Raises:
        CommandError: the collector doesn't answer; the same for the functions below.
    """
    said = master.output("condor_status", "-schedd", "-af", "TotalIdleJobs", "TotalRunningJobs", "TotalHeldJobs")
    numbers = [[int(part) for part in line.split()] for line in said.splitlines()]
    return Queue(*(sum(column) for column in zip(*numbers, strict=True))) if numbers else Queue(0, 0, 0)


def slots(master: Machine) -> list[Slot]:
    """The slaves that have joined."""
    attributes = ("EcmSlave", "Cpus", "Memory", "Disk", "DaemonStartTime", "MyAddress")
    said = master.output("condor_status", "-constraint", EVERY_SLAVE, "-af", *attributes)
    rows = [line.split() for line in said.splitlines()]
    return [Slot(n, int(c), int(m), int(d), int(t), a.strip("<>").partition(":")[0]) for n, c, m, d, t, a in rows]


def versions(master: Machine, *daemons: str) -> list[str]:
    """HTCondor's version at each of some daemons, as `23.9.6`."""
    said = master.output("condor_status", *daemons, "-af", "CondorVersion")
    return [line.split()[1] for line in said.splitlines() if len(line.split()) > 1]


def job(master: Machine, number: str) -> Mapping[str, Any]:
    """A job's ad, with the requests as numbers.

    Raises:
        NotThereError: neither the queue nor the history has it.
    """
    listed = master.output("condor_q", "-allusers", number, "-json").strip()
    ads = json.loads(listed) if listed else []
    if not ads:
        past = master.output("condor_history", number, "-limit", "1", "-json").strip()
        ads = json.loads(past) if past else []
    if not ads:
        raise NotThereError(f"there is no job {number} - neither waiting nor ended - condor_q -allusers lists them")
    ad: dict[str, Any] = ads[0]
    if ad.get("JobStatus") == 1:
        # The default requests are expressions; -af has HTCondor evaluate them.
        wanted = ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs")
        words = master.output("condor_q", "-allusers", number, "-af", *wanted).split()
        ad |= {name: int(word) for name, word in zip(wanted, words, strict=False) if word.isdecimal()}
    return ad
