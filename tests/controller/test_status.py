"""What tools read: the shape of the file, since when things are so, what comes next."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller import status
from controller.model import (
    JobGroup,
    Limits,
    Phase,
    Plan,
    Reason,
    Removal,
    Room,
    Seconds,
    Setback,
    Slave,
    Snapshot,
    Trouble,
    Why,
)
from controller.status import Slots, Status, Update

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = Limits(0, 4, 2, Seconds(60), Seconds(600), 0, Room(2, 2000, 10_000))
FRESH = Status(START, START)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def slave(name: str, phase: Phase, **more: Any) -> Slave:
    return Slave(name, phase, START - timedelta(seconds=100), f"id-{name}", **more)


def look(before: Status, seconds: float, *slaves: Slave, plan: Plan | None = None, **more: Any) -> Status:
    return status.looked(before, Snapshot(slaves=slaves, **more), plan or Plan(), LIMITS, at(seconds))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    group = JobGroup(Room(1, 100, 10), idle=2, ripe=1)
    full = look(FRESH, 1, slave("a", Phase.BUSY, jobs=1, free=Room(1, 2, 3)), jobs=(group,), quota_left=3)
    full = replace(full, update=Update(at(1), 1, ("b",), ("grow: x",)), setbacks=(Setback(1, at(0), "no host"),))
    status.write(tmp_path / "status.json", full)
    assert status.parse((tmp_path / "status.json").read_bytes()) == full


def test_what_keeps_a_slave_is_shown_until_it_is_asked_again() -> None:
    stays = slave("a", Phase.FAILED, stays=Setback(1, at(0), "it is locked", Trouble.REMOVALS))
    plans = Plan(stay=("a",)), Plan(remove=(Removal("a", Reason(Why.FAILED, "its server failed")),))
    assert [look(FRESH, 1, stays, plan=plan).slaves[0].kept for plan in plans] == ["it is locked", ""]


def test_the_keys_are_the_ones_that_tools_use(tmp_path: Path) -> None:
    group = JobGroup(Room(1, 100, 10), idle=2, ripe=1)
    status.write(tmp_path / "s", look(FRESH, 1, slave("a", Phase.BUSY, jobs=1), jobs=(group,), quota_left=3))
    raw = json.loads((tmp_path / "s").read_text())
    assert (raw["version"], raw["at"], raw["idleJobs"], raw["quotaLeft"]) == (1, "2026-01-01T12:00:01Z", 2, 3)
    assert (raw["slaves"][0]["phase"], raw["slaves"][0]["idleFor"]) == ("busy", 0)
    assert raw["demand"][0]["request"] == {"cpus": 1, "memoryMib": 100, "diskKib": 10, "gpus": 0}
    assert raw["limits"]["maxSlaves"] == 4


def test_a_phase_has_its_own_since() -> None:
    first = look(FRESH, 1, slave("a", Phase.BOOTING))
    same = look(first, 9, slave("a", Phase.BOOTING))
    other = look(same, 20, slave("a", Phase.IDLE))
    assert [s.slaves[0].since for s in (first, same, other)] == [at(1), at(1), at(20)]
    assert other.slaves[0].age == Seconds(120)


def test_what_is_away_is_away_since_it_was_first_missed() -> None:
    seen = look(FRESH, 1, slave("a", Phase.IDLE), quota_left=2)
    schedd, cloud = "the schedd can't be asked - refused", "OpenStack can't be asked - no route"
    away = look(seen, 4, unknown=(schedd,))
    later = look(away, 7, unknown=("the schedd can't be asked - timed out", cloud))
    assert later.unknown_since == {"schedd": at(4), "OpenStack": at(7)}
    assert (later.at, later.seen_at, later.quota_left) == (at(7), at(1), 2)
    assert [s.name for s in later.slaves] == ["a"], "what was seen last is still shown"
    back = look(later, 10, slave("a", Phase.IDLE))
    assert (back.unknown, back.unknown_since, back.seen_at) == ((), {}, at(10))


def test_slots_are_those_of_slaves_that_have_joined_and_free_ones_of_those_that_are_heard_from() -> None:
    some = LIMITS.offer
    heard = (slave("a", Phase.BUSY, jobs=1, free=some), slave("b", Phase.IDLE, free=some))
    slaves = (*heard, slave("c", Phase.BOOTING), slave("d", Phase.IDLE))
    assert look(FRESH, 1, *slaves).slots == Slots(claimed=1, free=3)


def test_a_slave_that_is_to_go_says_why() -> None:
    plan = Plan(remove=(Removal("a", Reason(Why.IDLE, "idle for 61 s")),))
    shown = look(FRESH, 1, slave("a", Phase.IDLE), slave("b", Phase.IDLE), plan=plan)
    assert [s.reason for s in shown.slaves] == ["idle: idle for 61 s", ""]


WAITING = JobGroup(Room(1, 100, 10), idle=3, ripe=0)


def test_removals_that_fail_keep_no_slave_from_being_made() -> None:
    refused = Setback(1, at(0), "refused", Trouble.REMOVALS)
    assert look(FRESH, 1, jobs=(WAITING,), setbacks=(refused,)).next_try_at is None


def test_the_next_try_is_shown() -> None:
    setback = Setback(1, at(0), "no host")
    shown = look(FRESH, 1, jobs=(WAITING,), setbacks=(setback,))
    assert shown.next_try_at == at(10)
    assert shown.next == status.Next(at(10), "slaves may be made again")
    assert look(FRESH, 31, jobs=(WAITING,), setbacks=(setback,)).next is None, "that is over"


@pytest.mark.parametrize(
    ("more", "slaves"),
    [
        ({"setbacks": (Setback(1, at(0), "no host"),)}, ()),  # nothing is to be made
        ({"setbacks": (Setback(1, at(0), "no host"),)}, (slave("a", Phase.BOOTING), slave("b", Phase.BOOTING))),
        ({"setbacks": (Setback(1, at(0), "refused", Trouble.REMOVALS),), "jobs": (WAITING,)}, ()),
        ({"jobs": (replace(WAITING, idle=1),)}, (slave("a", Phase.IDLE, idle_for=Seconds(20), free=LIMITS.offer),)),
        ({"paused": "by ada"}, (slave("a", Phase.IDLE, idle_for=Seconds(20), free=LIMITS.offer),)),
    ],
)
def test_what_the_rule_would_not_do_is_not_next(more: dict[str, Any], slaves: tuple[Slave, ...]) -> None:
    jobs = more.get("jobs", (replace(WAITING, idle=3),) if slaves and "setbacks" in more else ())
    assert look(FRESH, 1, *slaves, **{**more, "jobs": jobs}).next is None


@pytest.mark.parametrize(
    ("slaves", "least", "expected"),
    [
        ((slave("a", Phase.IDLE, idle_for=Seconds(20)),), 0, (40, "a goes if it stays idle")),
        ((slave("a", Phase.IDLE, idle_for=Seconds(20)),), 1, None),
        ((slave("a", Phase.IDLE, idle_for=Seconds(20)), slave("b", Phase.BUSY)), 1, (40, "a goes if it stays idle")),
        ((slave("a", Phase.BOOTING, absent_since=START),), 0, (600, "a is replaced if it doesn't join")),
        ((slave("a", Phase.BUSY),), 0, None),
    ],
)
def test_the_next_action_is_the_earliest(
    slaves: tuple[Slave, ...], least: int, expected: tuple[int, str] | None
) -> None:
    upcoming = status.upcoming(Snapshot(slaves=slaves), replace(LIMITS, min_slaves=least), START)
    assert upcoming == (status.Next(at(expected[0]), expected[1]) if expected else None)


def test_a_new_controller_goes_on_with_the_times_of_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    status.write(path, look(FRESH, 1, slave("a", Phase.BUSY)))
    begun = status.begin(path, at(60))
    assert (begun.started_at, begun.seen_at) == (at(60), None)
    assert look(begun, 61, slave("a", Phase.BUSY)).slaves[0].since == at(1)


@pytest.mark.parametrize("content", ["", "{", '{"version": 99, "startedAt": "2026-01-01T00:00:00Z", "at": 1}'])
def test_a_file_that_isnt_understood_is_none(tmp_path: Path, content: str) -> None:
    assert status.parse(content) is None
    (tmp_path / "status.json").write_text(content)
    assert status.begin(tmp_path / "status.json", START) == FRESH
