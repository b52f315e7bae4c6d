"""A trace: which jobs came when, what they asked for and how long they ran.

A file of them is what HTCondor's own history prints, so nothing has to be converted:

    condor_history -constraint CONSTRAINT -af:h, QDate RequestCpus RequestMemory RemoteWallClockTime

with `RAN` for the constraint.
"""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import EcmError
from controller.model import Room, Seconds

COLUMNS = ("QDate", "RequestCpus", "RequestMemory", "RemoteWallClockTime")
"""Time of submission (seconds, from any origin), CPUs, memory (MiB), time of running (seconds)."""
RAN = "RemoteWallClockTime > 0 && !member(JobUniverse, {7, 9, 12})"
"""HTCondor's words for the jobs that ran, and did so on a slave: the universes are scheduler, grid and local."""


class TraceError(EcmError):
    """A trace that can't be read."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a trace."""

    at: Seconds
    """When it is submitted, counted from the trace's begin."""
    runs: Seconds
    """How long it runs, on any slave."""
    request: Room


Trace = tuple[Job, ...]
"""In the order of submission."""


def in_order(jobs: Iterable[Job]) -> Trace:
    """A trace of jobs in any order."""
    return tuple(sorted(jobs, key=lambda job: job.at))


def read(path: Path) -> Trace:
    """The jobs of a file, in any order there; the first submission is the trace's begin.

    Raises:
        TraceError: the file can't be read, or a line isn't a job.
    """
    try:
        # With or without the mark that Windows' programs begin a file with.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader((line.replace(" ", "") for line in file), restval="")
            if missing := sorted(set(COLUMNS) - set(lines.fieldnames or ())):
                raise TraceError(
                    f"{path} is no trace - its first line doesn't name {', '.join(missing)} - make it with"
                    f" condor_history -af:h, {' '.join(COLUMNS)}"
                )
            jobs = [_job(row, f"{path}, line {lines.line_num}") for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise TraceError(f"{path} can't be read - {why} - name a file made by condor_history") from error
    begin = min((job.at for job in jobs), default=Seconds(0))
    return in_order(Job(Seconds(job.at - begin), job.runs, job.request) for job in jobs)


def _job(row: dict[str, str], where: str) -> Job:
    try:
        at, cpus, memory, runs = (float(row[column]) for column in COLUMNS)
        whole = int(cpus), int(memory)
    except (ValueError, OverflowError):
        at, runs, whole = 0.0, 0.0, (0, 0)
    if not (math.isfinite(at) and 0 < runs < math.inf and min(whole) >= 0 and whole[0] > 0):
        values = ", ".join(f"{column} {row[column] or 'nothing'}" for column in COLUMNS)
        raise TraceError(
            f"{where} is no job that ran - it has {values} - leave such jobs out: condor_history -constraint '{RAN}'"
        )
    return Job(Seconds(at), Seconds(runs), Room(*whole, disk_kib=0))
