"""The pool at a glance, with what is wrong first."""

import json
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cli.master.status import Glance, view
from controller.model import Phase, Setback, Trouble
from controller.status import Next

QUEUE = {"condor_status -schedd": "3 2 0\n"}


def test_jobs_slaves_and_reasons_are_shown(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.answers |= QUEUE
    master.tells(
        status(slave("abc", Phase.BUSY, jobs=2), slave("xyz", Phase.BOOTING, old=50), reasons=("grow: 3 jobs wait",))
    )
    done = ecm("status", obj=master)
    assert done.exit_code == 0
    assert "3 waiting, 2 running, 0 held" in done.stdout
    assert "2 (between 1 and 4): 1 booting, 1 busy" in done.stdout
    assert "grow: 3 jobs wait" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_silent_controller_is_trouble_and_status_3(ecm: Any, master: Any, status: Any) -> None:
    master.answers |= QUEUE
    master.tells(status(at=datetime.now(UTC) - timedelta(minutes=5)))
    done = ecm("status", obj=master)
    assert done.exit_code == 3
    assert "TROUBLE  the controller has been silent for 5 min" in done.stdout


def test_htcondor_away_does_not_hide_what_the_controller_knows(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.tells(status(slave("abc", Phase.BUSY)))
    done = ecm("status", obj=master)
    assert done.exit_code == 3
    assert "condor_status failed" in done.stdout
    assert "ecm-dev-slave-abc" in done.stdout


def test_a_pause_is_shown(ecm: Any, master: Any, status: Any) -> None:
    master.answers |= QUEUE
    master.tells(status())
    (master.state / "paused").write_text("by ada since noon: cables\n")
    assert "PAUSED   by ada since noon: cables" in ecm("status", obj=master).stdout


def test_json_has_the_controllers_own_names(ecm: Any, master: Any, status: Any) -> None:
    master.answers |= QUEUE
    master.tells(status(idle_jobs=3))
    (master.state / "paused").write_text("by ada since noon: cables\n")
    told = json.loads(ecm("status", "--json", obj=master).stdout)
    assert told["idleJobs"] == 3
    assert told["queue"] == {"idle": 3, "running": 2, "held": 0}
    assert (told["paused"], told["trouble"]) == ("by ada since noon: cables", "")


def test_a_controller_that_never_spoke_is_one_line(ecm: Any, master: Any) -> None:
    done = ecm("status", obj=master)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the controller says nothing" in done.stderr


@pytest.mark.parametrize("content", [b'{"at": "20', b"\xc0\x00", b"[]", b'{"version": 99}'])
def test_a_damaged_status_is_one_line(ecm: Any, master: Any, content: bytes) -> None:
    (master.run / "status.json").write_bytes(content)
    done = ecm("status", obj=master)
    assert done.exit_code == 1
    assert "the controller's status can't be read - it is damaged, or of another version" in done.stderr


def test_a_slave_that_is_being_removed_is_going_not_missing(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.answers |= QUEUE
    master.tells(status(slave("abc", Phase.MISSING, reason="idle: for 70 s"), slave("xyz", Phase.MISSING)))
    shown = ecm("status", obj=master).stdout
    assert "2 (between 1 and 4): 1 missing, 1 going" in shown
    assert "ecm-dev-slave-abc  going" in shown


def test_watching_without_a_terminal_prints_each_look(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers |= QUEUE
    master.tells(status())
    sleeps = iter([None])
    monkeypatch.setattr(time, "sleep", lambda _: next(sleeps))
    assert ecm("status", "--watch", obj=master).stdout.count("3 waiting, 2 running") == 2


def test_watching_goes_on_while_the_controller_is_away(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers |= QUEUE
    looks = iter([None])

    def wait(_: float) -> None:
        next(looks)
        master.tells(status())

    monkeypatch.setattr(time, "sleep", wait)
    shown = ecm("status", "--watch", obj=master).stdout
    assert "TROUBLE  the controller says nothing" in shown
    assert "3 waiting, 2 running" in shown


def test_watching_for_programs_is_a_line_of_json_for_each_look(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers |= QUEUE
    master.tells(status(idle_jobs=3))
    looks = iter([None])
    monkeypatch.setattr(time, "sleep", lambda _: next(looks))
    lines = ecm("status", "--watch", "--json", obj=master).stdout.splitlines()
    assert [json.loads(line)["idleJobs"] for line in lines] == [3, 3]


def test_a_long_name_is_shown_by_its_end(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.answers |= QUEUE
    one = slave("of-a-cluster-with-a-very-long-name-k3w9xq", Phase.BUSY)
    master.tells(status(one))
    (row,) = [line for line in ecm("status", obj=master).stdout.splitlines() if "k3w9xq" in line]
    assert row.startswith("…")
    assert one.name.endswith(row.split()[0].removeprefix("…"))


def test_a_window_shows_as_many_slaves_as_it_has_room_for(status: Any, slave: Any) -> None:
    told = status(*(slave(f"s{number}", Phase.BUSY) for number in range(30)))
    console = Console(width=80, record=True, file=StringIO())
    console.print(view(Glance(told, None, "", ""), datetime.now(UTC), 10))
    text = console.export_text()
    assert text.count("ecm-dev-slave-s") == 10
    assert "and 20 more: `ecm status`" in text


def test_a_watch_as_json_goes_on_while_the_controller_restarts(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers |= QUEUE
    deeds: list[Any] = [lambda: master.tells(status()), KeyboardInterrupt]

    def wait(_: float) -> None:
        if isinstance(deed := deeds.pop(0), type):
            raise deed
        deed()

    monkeypatch.setattr(time, "sleep", wait)
    first, second = map(json.loads, ecm("status", "--watch", "--json", obj=master).stdout.splitlines())
    assert list(first) == ["trouble"]
    assert first["trouble"].startswith("the controller says nothing - ")
    assert (second["trouble"], second["queue"]["idle"]) == ("", 3)


def test_why_a_slave_goes_is_a_line_below_it_as_wide_as_the_screen(
    ecm: Any, master: Any, status: Any, slave: Any
) -> None:
    master.answers |= QUEUE
    why = "the cloud couldn't make it: No valid host was found. There are not enough hosts available."
    master.tells(status(slave("abc", Phase.FAILED, detail=why), slave("xyz", Phase.BUSY, jobs=2)))
    rows = ecm("status", obj=master).stdout.splitlines()
    start = rows.index("")
    assert rows[start + 1].split() == ["slave", "is", "for", "age", "jobs"]
    assert rows[start + 2].split()[:2] == ["ecm-dev-slave-abc", "failed"]
    assert " ".join(line.strip() for line in rows[start + 3 : start + 5]) == why
    assert rows[start + 5].split()[:2] == ["ecm-dev-slave-xyz", "busy"]
    assert rows[start + 2].index(" min") == rows[start + 5].index(" min")


def test_slaves_with_a_reason_take_more_of_a_window(status: Any, slave: Any) -> None:
    told = status(*(slave(f"s{number}", Phase.FAILED, detail="no host") for number in range(30)))
    console = Console(width=80, record=True, file=StringIO())
    console.print(view(Glance(told, None, "", ""), datetime.now(UTC), 10))
    assert console.export_text().count("ecm-dev-slave-s") == 5


def test_failures_and_the_next_try_have_rows_of_their_own(ecm: Any, master: Any, status: Any) -> None:
    master.answers |= QUEUE
    now = datetime.now(UTC)
    failures = (
        Setback(4, now - timedelta(minutes=3), "the update failed - no valid host", Trouble.UPDATES),
        Setback(1, now - timedelta(minutes=9), "ecm-dev-slave-a never joined", Trouble.JOINS),
    )
    retry = now + timedelta(seconds=390)
    master.tells(status(setbacks=failures, next_try_at=retry))
    rows = [" ".join(line.split()) for line in ecm("status", obj=master).stdout.splitlines()]
    start = next(number for number, row in enumerate(rows) if row.startswith("failed"))
    assert rows[start : start + 3] == [
        "failed to make slaves, 4 times, 3 min ago: the update failed - no valid host",
        "slaves, to join, 1 time, 9 min ago: ecm-dev-slave-a never joined",
        "slaves may be made again in 6 min",
    ]
    master.tells(status(setbacks=failures, next_try_at=retry, next=Next(retry, "slaves may be made again")))
    assert ecm("status", obj=master).stdout.count("slaves may be made again") == 1
