"""The slave's dead-man switch: what it does with and without a heartbeat. What it calls is a fake."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cloudinit/files/slave/usr/local/sbin/ecm-watch"
RECONFIGURE = "kill --kill-who=main --signal=HUP condor.service"
MINUTE = 60


@dataclass
class Slave:
    """A slave whose limit is an hour."""

    root: Path

    def __post_init__(self) -> None:
        for folder in ("etc/ecm", "etc/condor/config.d", "run", "proc", "bin"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/ecm/node.env").write_text("ECM_ORPHAN_TIME='3600'\n")

    def look(self, uptime: int, *, heard: bool = False, job: bool = False) -> list[str]:
        """Runs the watch once. Gives what it asked of systemd."""
        (self.root / "proc/uptime").write_text(f"{uptime}.42 1.00\n")
        asked = self.root / "asked"
        asked.write_text("")
        self._fake("condor_status", "echo controller" if heard else "exit 1")
        self._fake("pgrep", "echo 7" if job else "exit 1")
        self._fake("systemctl", f'echo "$*" >>{asked}')
        path = f"{self.root}/bin:{os.environ['PATH']}"
        subprocess.run(["bash", SCRIPT, self.root], env={"PATH": path}, check=True, capture_output=True)
        return asked.read_text().splitlines()

    @property
    def takes_jobs(self) -> bool:
        return not (self.root / "etc/condor/config.d/99-ecm-orphan.conf").exists()

    def _fake(self, name: str, body: str) -> None:
        program = self.root / "bin" / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)


@pytest.fixture
def slave(tmp_path: Path) -> Slave:
    return Slave(tmp_path)


def test_an_idle_slave_under_a_healthy_controller_stays_for_ever(slave: Slave) -> None:
    for uptime in range(0, 30 * 24 * 60 * MINUTE, 24 * 60 * MINUTE):
        assert slave.look(uptime, heard=True) == []
    assert slave.takes_jobs


def test_a_controller_that_is_away_for_less_than_the_limit_changes_nothing(slave: Slave) -> None:
    slave.look(100, heard=True)
    assert slave.look(100 + 59 * MINUTE) == []
    assert slave.look(101 + 59 * MINUTE, heard=True) == []
    assert slave.look(101 + 118 * MINUTE) == []
    assert slave.takes_jobs


def test_without_a_controller_it_takes_no_more_jobs_then_powers_off(slave: Slave) -> None:
    slave.look(100, heard=True)
    assert slave.look(100 + 60 * MINUTE) == [RECONFIGURE]
    assert not slave.takes_jobs
    assert slave.look(100 + 62 * MINUTE, job=True) == []
    assert slave.look(100 + 64 * MINUTE) == ["poweroff"]


def test_it_never_powers_off_in_the_look_that_stops_new_jobs(slave: Slave) -> None:
    slave.look(0)
    assert slave.look(60 * MINUTE) == [RECONFIGURE]


def test_a_controller_that_never_was_counts_from_the_first_look(slave: Slave) -> None:
    long_ago = 24 * 60 * MINUTE
    assert slave.look(long_ago) == []
    assert slave.look(long_ago + 59 * MINUTE) == []
    assert slave.look(long_ago + 60 * MINUTE) == [RECONFIGURE]


def test_a_controller_that_comes_back_gives_the_slave_back_its_jobs(slave: Slave) -> None:
    slave.look(0)
    slave.look(60 * MINUTE)
    assert slave.look(61 * MINUTE, heard=True) == [RECONFIGURE]
    assert slave.takes_jobs
    assert slave.look(62 * MINUTE) == []
