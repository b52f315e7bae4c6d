"""Everything that was decided can be decided again from the journal, whatever happened to the disk in between."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import journal
from controller.decide import decide
from controller.journal import Decision, Ended, Journal, Unreadable, read, replay
from controller.model import JobGroup, Limits, Plan, Reason, Room, Seconds, Setback, Snapshot, Why

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LIMITS = Limits(0, 4, 2, Seconds(60), Seconds(600), 0, Room(2, 2000, 10_000))
SEEN = Snapshot(jobs=(JobGroup(Room(1, 500, 1000), idle=3, ripe=0),), setbacks=(Setback(1, NOW, "no host"),))

# Any value of the model's types, whatever fields they have: numbers and times that can be reckoned with.
st.register_type_strategy(int, st.integers(0, 40))
st.register_type_strategy(float, st.floats(0, 1e9))
st.register_type_strategy(
    datetime,
    st.datetimes(
        datetime(2000, 1, 1),  # noqa: DTZ001 - the next line gives it a zone
        datetime(2100, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, datetime.now().astimezone(None).tzinfo or UTC]),
    ),
)


def decision(seen: Snapshot = SEEN, limits: Limits = LIMITS, at: datetime = NOW) -> Decision:
    return Decision(at, seen, limits, decide(seen, limits, at), "0.1.0")


@settings(deadline=None)  # it writes to a disk
@given(st.from_type(Snapshot), st.from_type(Limits), st.from_type(datetime))
def test_any_decision_comes_back_as_it_was_and_is_decided_alike(
    tmp_path_factory: pytest.TempPathFactory, seen: Snapshot, limits: Limits, at: datetime
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    made = decision(seen, limits, at)
    Journal(folder).add(made)
    assert list(read(folder)) == [made]
    assert replay(folder) == journal.Replay(1, (), ())


def test_a_plan_that_the_rule_would_not_make_now_is_a_difference(tmp_path: Path) -> None:
    odd = replace(decision(), plan=Plan(create=9, reasons=(Reason(Why.GROW, "nine"),)))
    Journal(tmp_path).add(decision())
    Journal(tmp_path).add(odd)
    done = replay(tmp_path)
    assert done.decisions == 2
    assert [(found.decision, found.now) for found in done.differences] == [(odd, decision().plan)]


def test_what_came_of_a_plan_is_kept_beside_it(tmp_path: Path) -> None:
    ended = Ended(NOW, NOW + timedelta(seconds=7), Seconds(7), {"updated": True, "drained": ["a"]})
    Journal(tmp_path).add(decision())
    Journal(tmp_path).add(ended)
    assert list(read(tmp_path)) == [decision(), ended]


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    Journal(tmp_path).add(decision())
    file = tmp_path / "journal.0.jsonl"
    whole = file.read_bytes()
    for length in (1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole + whole[:length])
        Journal(tmp_path).add(decision(at=NOW + timedelta(seconds=1)))
        done = replay(tmp_path)
        complete = length == len(whole) - 1  # only the line's end was lost
        assert (done.decisions, len(done.unreadable)) == ((3, 0) if complete else (2, 1))
        assert done.differences == ()


def test_journals_of_other_versions_are_read_where_they_can_be(tmp_path: Path) -> None:
    Journal(tmp_path).add(decision())
    file = tmp_path / "journal.0.jsonl"
    older = json.loads(file.read_text())
    del older["seen"]["unknown"]  # a field that came later, with a default
    newer = json.loads(file.read_text()) | {"brand_new": 1}
    stranger = json.loads(file.read_text())
    stranger["plan"]["reasons"][0]["why"] = "a word of the future"
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in (older, newer, stranger)))
    first, second, third = read(tmp_path)
    assert first == second == decision()
    assert isinstance(third, Unreadable)
    assert third.line == 3


def test_the_journal_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    size = 4000
    small = Journal(tmp_path, files=3, file_bytes=size)
    times = [NOW + timedelta(seconds=number) for number in range(60)]
    for at in times:
        small.add(decision(at=at))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["journal.0.jsonl", "journal.1.jsonl", "journal.2.jsonl"]
    assert all(file.stat().st_size <= size for file in files)
    kept = [entry.at for entry in read(tmp_path) if isinstance(entry, Decision)]
    assert kept == times[-len(kept) :]
    assert len(kept) > 60 // 10


def test_an_entry_that_is_larger_than_a_file_has_one_for_itself(tmp_path: Path) -> None:
    tiny = Journal(tmp_path, files=2, file_bytes=10)
    for second in range(3):
        tiny.add(decision(at=NOW + timedelta(seconds=second)))
    assert replay(tmp_path).decisions == 2


def test_a_single_file_can_be_replayed(tmp_path: Path) -> None:
    Journal(tmp_path).add(decision())
    assert replay(tmp_path / "journal.0.jsonl").decisions == 1


def test_a_copy_that_somebody_made_beside_the_journal_is_not_read(tmp_path: Path) -> None:
    Journal(tmp_path).add(decision())
    (tmp_path / "journal.old.jsonl").write_bytes((tmp_path / "journal.0.jsonl").read_bytes())
    assert replay(tmp_path).decisions == 1
