"""Hands on the running cluster: requests are files of the controller's, restarts go in the right order."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.errors import NotThereError
from cli.master.control import named
from controller.model import Phase
from controller.requests import Requests


@pytest.fixture
def running(master: Any, status: Any, slave: Any) -> Any:
    """A master where all goes as it should."""
    master.tells(status(slave("abc", Phase.BUSY), at=datetime.now(UTC) + timedelta(seconds=60)))
    master.answers |= {"systemctl": "", "systemctl show": "ActiveState=inactive\n", "condor_status": "0 0 0\n"}
    return master


def test_a_pause_says_who_and_why_until_it_ends(ecm: Any, master: Any) -> None:
    ecm("pause", "new cables", obj=master)
    assert Requests(master.state).paused().startswith("by ada since ")
    assert Requests(master.state).paused().endswith(" UTC: new cables")
    ecm("resume", obj=master)
    assert Requests(master.state).paused() == ""


def test_requests_are_written_as_the_controllers_user(ecm: Any, master: Any) -> None:
    ecm("pause", obj=master)
    assert all(line.startswith("ecm: ") for line in master.ran)


def test_a_drain_names_one_slave(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.tells(status(slave("abc", Phase.BUSY), slave("xyz", Phase.IDLE)))
    assert ecm("drain", "abc", obj=master).exit_code == 0
    assert [file.name for file in (master.state / "drain").iterdir()] == ["ecm-dev-slave-abc"]


def test_a_recycle_is_one_request(ecm: Any, master: Any) -> None:
    assert ecm("recycle", obj=master).exit_code == 0
    assert Requests(master.state).recycle.read_text().startswith("by ada since ")


def test_a_restart_stops_the_controller_before_htcondor_and_starts_it_after(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status(at=datetime.now(UTC) + timedelta(seconds=60)))
    master.answers |= {"systemctl": "", "systemctl show": "ActiveState=inactive\n", "condor_status": "0 0 0\n"}
    assert ecm("restart", obj=master).exit_code == 0
    assert [line for line in master.ran if line.startswith("root: ")] == [
        "root: systemctl stop --no-block ecm-controller.service",
        "root: systemctl restart condor.service",
        "root: systemctl start ecm-controller.service",
    ]


def test_a_restart_ends_when_the_controller_has_looked(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers |= {"systemctl": "", "systemctl show": "ActiveState=inactive\n", "condor_status": "0 0 0\n"}
    slept: list[float] = []

    def look(seconds: float) -> None:
        slept.append(seconds)
        master.tells(status(at=datetime.now(UTC)))

    monkeypatch.setattr(time, "sleep", look)
    assert ecm("restart", obj=master).exit_code == 0
    assert slept


def test_a_restart_says_that_slaves_come_back_by_themselves(ecm: Any, running: Any) -> None:
    said = " ".join(ecm("restart", obj=running).stdout.split())
    assert "Both are up. Slaves may be missing for a minute" in said


def test_the_log_has_the_time_of_each_line(ecm: Any, master: Any) -> None:
    ecm("logs", obj=master)
    assert "--output short-iso" in master.ran[-1]


def test_the_log_is_followed_on_request(ecm: Any, master: Any) -> None:
    ecm("logs", "-f", "-n", "5", obj=master)
    assert master.ran[-1].endswith("--unit ecm-controller.service --lines 5 --follow")


@pytest.mark.parametrize("command", ["drain abc", "recycle"])
def test_a_wish_in_a_pause_says_that_it_waits_for_its_end(ecm: Any, running: Any, command: str) -> None:
    assert "paused" not in ecm(*command.split(), obj=running).stdout
    ecm("pause", "new cables", obj=running)
    last = ecm(*command.split(), obj=running).stdout.splitlines()[-1]
    assert last.startswith("But not yet: the controller is paused by ada since ")
    assert last.endswith(" UTC: new cables. It goes on with `ecm resume`.")


def test_no_name_is_no_end_of_all_names(slave: Any) -> None:
    with pytest.raises(NotThereError, match=r"'' - there is no such slave - there is: ecm-dev-slave-abc$"):
        named((slave("abc", Phase.IDLE),), "")


def test_an_ambiguous_end_of_a_name_is_refused(slave: Any) -> None:
    with pytest.raises(NotThereError, match="several slaves end so"):
        named((slave("abc", Phase.IDLE), slave("xbc", Phase.IDLE)), "bc")


@pytest.mark.parametrize(
    ("command", "has"),
    [
        ("pause cables", "paused"),
        ("resume", "paused"),
        ("drain abc", "draining"),
        ("recycle", "recycling"),
        ("restart", "restarted"),
    ],
)
def test_what_was_done_is_told_as_json_and_nothing_else(ecm: Any, running: Any, command: str, has: str) -> None:
    done = ecm(*command.split(), "--json", obj=running)
    assert list(json.loads(done.stdout)) == [has]


def test_the_log_is_told_as_json(ecm: Any, master: Any) -> None:
    ecm("logs", "--json", obj=master)
    assert "--output json" in master.ran[-1]
