"""A master with nothing real behind it: the test says what its programs answer, and what the controller has seen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.errors import CommandError
from cli.main import assembled
from cli.master import commands
from cli.master.machine import Machine
from controller import status as controller_status
from controller.model import Limits, Phase, Room, Seconds
from controller.status import SlaveStatus, Status
from tests.cli.master.made_up import NOW


class FakeMachine(Machine):
    """Its programs answer by the beginning of their command; the others fail. All commands are in `ran`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(run=folder, state=folder)
        self.answers: dict[str, str] = {}
        self.ran: list[str] = []

    def output(self, *command: str, user: str = "", stdin: str = "") -> str:
        line = " ".join(command)
        self.ran.append(f"{user}: {line}" if user else line)
        if command[:2] == ("sh", "-c") and "cat >" in command[2]:
            Path(command[-1]).parent.mkdir(parents=True, exist_ok=True)
            Path(command[-1]).write_text(stdin)
            return ""
        if command[0] == "rm":
            Path(command[-1]).unlink(missing_ok=True)
            return ""
        hits = [said for start, said in self.answers.items() if line.startswith(start)]
        if not hits:
            raise CommandError(f"{command[0]} failed - it isn't there - `ecm doctor` looks why")
        return hits[-1]

    def call(self, *command: str, user: str = "") -> int:
        self.ran.append(f"{user}: {' '.join(command)}" if user else " ".join(command))
        return 0

    def who(self) -> str:
        return "ada"

    def tells(self, status: Status) -> None:
        """Has the controller say this."""
        controller_status.write(self.run / "status.json", status)


@pytest.fixture
def master(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


@pytest.fixture
def on_master(master: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `ecm ARGUMENTS…` as it is on the master, in a window of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: CliRunner().invoke(assembled(commands), arguments, obj=master)


@pytest.fixture
def slave() -> Callable[..., SlaveStatus]:
    """Makes a slave as the controller sees it; `old` in seconds."""

    def make(name: str, phase: Phase, *, old: float = 600, **more: Any) -> SlaveStatus:
        created = NOW - timedelta(seconds=old)
        quiet: dict[str, Any] = {
            "idle_for": 0,
            "absent_since": None,
            "jobs": 0,
            "free": None,
            "reason": "",
            "detail": "",
        }
        known: dict[str, Any] = {"server_id": "id", "in_state": True, "outdated": False, "since": created}
        return SlaveStatus(
            name=f"ecm-dev-slave-{name}", phase=phase, created_at=created, age=Seconds(old), **known, **quiet | more
        )

    return make


@pytest.fixture
def status() -> Callable[..., Status]:
    """Makes a status: one to four slaves of two CPUs are allowed, two jobs each."""

    def make(*slaves: SlaveStatus, **more: Any) -> Status:
        limits = Limits(1, 4, 2, Seconds(600), Seconds(900), 0, Room(2, 1920, 10_000_000))
        return Status(**{"started_at": NOW, "at": datetime.now(UTC), "slaves": slaves, "limits": limits, **more})

    return make
