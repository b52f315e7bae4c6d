"""What is asked of a real HTCondor in more than one file of tests."""

import subprocess

import pytest

from bench.realpool import RealPool
from controller import pool


def states(user: str) -> list[int]:
    """The status of each of a user's jobs: 1 is idle, 2 is running."""
    ads = pool._schedd().query(f'Owner == "{user}"', ["JobStatus"])
    return sorted(ad["JobStatus"] for ad in ads)


def whole_slave(seconds: int, more: str = "") -> str:
    """A job that takes all CPUs of a slave."""
    return f"executable=/bin/sleep\narguments={seconds}\nrequest_cpus=2\nrequest_memory=100\n{more}\nqueue\n"


def asked(*lines: str, count: int = 1) -> str:
    """Jobs that stay idle: no slave has what they want."""
    return "\n".join(("executable=/bin/true", "requirements = TARGET.NoSuchThing", *lines, f"queue {count}\n"))


def drains_of(condor: RealPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `condor_drain` ask in there, where all slaves are on one host: their names are longer."""

    def ask(*command: str) -> "subprocess.CompletedProcess[str]":
        *words, host = command
        there = f"slot1@{host.removesuffix('.pool')}@master.pool"
        return subprocess.run([*condor.call(), *words, there], capture_output=True, text=True, check=False)

    monkeypatch.setattr(pool, "_ask", ask)
