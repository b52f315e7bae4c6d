"""The journal as a table with bars, and decided again."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.master.history import ROWS, stretches
from controller.decide import decide
from controller.journal import Decision, Journal
from controller.model import JobGroup, Limits, Phase, Plan, Room, Seconds, Slave, Snapshot

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LIMITS = Limits(0, 4, 1, Seconds(600), Seconds(600), 0, Room(1, 1920, 10_000_000))


def decision(hours_ago: float, *, idle: int = 0, slaves: int = 0, now: datetime = NOW, wrong: bool = False) -> Decision:
    at = now - timedelta(hours=hours_ago)
    there = tuple(Slave(f"s{n}", Phase.BUSY, at, f"i{n}", jobs=1) for n in range(slaves))
    seen = Snapshot((JobGroup(Room(1, 100, 10), idle, idle),) if idle else (), there)
    return Decision(at, seen, LIMITS, Plan() if wrong else decide(seen, LIMITS, at), "0.1.0")


def test_what_was_seen_last_holds_until_the_next_change() -> None:
    done = stretches([decision(12.5, idle=3), decision(6.5, slaves=3)], NOW, timedelta(hours=ROWS))
    assert len(done) == ROWS
    assert [(s.idle_jobs, s.slaves) for s in done[ROWS - 14 : ROWS - 11]] == [(0, 0), (3, 0), (3, 0)]
    assert (done[-1].idle_jobs, done[-1].slaves) == (0, 3)
    assert sum(s.made for s in done) == 3


def test_what_was_before_the_time_shown_holds_at_its_start() -> None:
    assert stretches([decision(30, slaves=2)], NOW, timedelta(hours=24))[0].slaves == 2


@pytest.fixture
def journal(master: Any) -> Journal:
    made = Journal(master.state / "journal")
    made.add(decision(1, idle=2, now=datetime.now(UTC)))
    return made


@pytest.mark.usefixtures("journal")
def test_history_is_a_row_for_each_stretch_within_80_columns(ecm: Any, master: Any) -> None:
    lines = ecm("history", "--hours", "2", obj=master).stdout.splitlines()
    assert len(lines) == ROWS + 1 < 24
    assert max(map(len, lines)) <= 80
    assert "█" in lines[-1]
    assert len(json.loads(ecm("history", "--json", obj=master).stdout)) == ROWS


def test_a_quiet_time_is_said_in_words(ecm: Any, master: Any, journal: Journal) -> None:
    (journal.folder / "journal.0.jsonl").write_text("")
    assert "no job waited" in ecm("history", obj=master).stdout


def test_a_replay_shows_what_the_rule_would_now_decide_otherwise(ecm: Any, master: Any, journal: Journal) -> None:
    assert ecm("replay", obj=master).exit_code == 0
    journal.add(decision(0.5, idle=2, wrong=True))
    done = ecm("replay", obj=master)
    assert done.exit_code == 3
    assert "2 decisions, 1 would be others now" in done.stdout


def test_without_a_journal_it_says_so(ecm: Any, master: Any) -> None:
    assert "there is no journal yet" in ecm("history", obj=master).stderr


def test_short_stretches_are_told_apart_by_their_seconds(ecm: Any, master: Any, journal: Journal) -> None:
    (journal.folder / "journal.0.jsonl").unlink()
    journal.add(decision(0.1, idle=2, now=datetime.now(UTC)))
    moments = [line.split()[0] for line in ecm("history", obj=master).stdout.splitlines()[1:]]
    assert len(set(moments)) == ROWS


@pytest.mark.usefixtures("journal")
def test_lines_that_cannot_be_read_are_counted(ecm: Any, master: Any, journal: Journal) -> None:
    with (journal.folder / "journal.0.jsonl").open("ab") as file:
        file.write(b"\xc0{\n")
    assert "1 line of the journal can't be read" in ecm("history", obj=master).stdout


@pytest.mark.parametrize("command", ["history", "replay"])
def test_a_journal_that_may_not_be_read_is_one_line(ecm: Any, master: Any, command: str) -> None:
    (master.state / "journal" / "journal.0.jsonl").mkdir(parents=True)
    done = ecm(command, obj=master)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "the journal can't be read - Is a directory" in done.stderr
