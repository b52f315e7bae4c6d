"""What is told of two looks: everything that happened, and nothing twice."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import JobGroup, Phase, Plan, Reason, Removal, Room, Slave, Snapshot, Why
from controller.story import Event, What, changes, intents, last_known

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDD = "the schedd can't be asked - refused"


def slave(name: str, phase: Phase, **more: Any) -> Slave:
    return Slave(name, phase, NOW, f"id-{name}", **more)


def seen(*slaves: Slave, **more: Any) -> Snapshot:
    return Snapshot(slaves=slaves, **more)


def told(before: Snapshot, after: Snapshot) -> list[tuple[What, tuple[str, ...]]]:
    return [(event.what, event.slaves) for event in changes(before, after)]


def test_new_slaves_are_launched_together_with_their_ids() -> None:
    (event,) = changes(seen(), seen(slave("a", Phase.BUILDING), slave("b", Phase.BUILDING)))
    assert event == Event(What.LAUNCHED, ("a", "b"), ("id-a", "id-b"))


def test_a_slave_that_was_fast_is_launched_and_joined_at_once() -> None:
    assert told(seen(), seen(slave("a", Phase.IDLE))) == [(What.LAUNCHED, ("a",)), (What.JOINED, ("a",))]


@pytest.mark.parametrize(
    ("was", "is_", "what"),
    [
        (Phase.BUILDING, Phase.BOOTING, None),
        (Phase.BOOTING, Phase.IDLE, What.JOINED),
        (Phase.BUILDING, Phase.BUSY, What.JOINED),
        (Phase.IDLE, Phase.BUSY, None),
        (Phase.BUSY, Phase.IDLE, None),
        (Phase.BUSY, Phase.MISSING, What.LEFT),
        (Phase.MISSING, Phase.BUSY, What.BACK),
        (Phase.DRAINED, Phase.IDLE, What.BACK),
        (Phase.IDLE, Phase.DRAINED, What.DRAINED),
        (Phase.BUSY, Phase.DRAINING, What.DRAINING),
        (Phase.BOOTING, Phase.FAILED, What.FAILED),
        (Phase.BUSY, Phase.GONE, What.GONE),
    ],
)
def test_steps_of_a_slaves_life(was: Phase, is_: Phase, what: What | None) -> None:
    assert told(seen(slave("a", was)), seen(slave("a", is_))) == ([(what, ("a",))] if what else [])


def test_a_failure_says_what_the_cloud_says() -> None:
    (event,) = changes(seen(slave("a", Phase.BUILDING)), seen(slave("a", Phase.FAILED, detail="its server is ERROR")))
    assert event.why == "its server is ERROR"


@pytest.mark.parametrize(("was", "what"), [(Phase.DRAINED, What.DELETED), (Phase.BOOTING, What.NEVER_JOINED)])
def test_a_slave_that_is_no_more_is_deleted(was: Phase, what: What) -> None:
    assert told(seen(slave("a", was)), seen()) == [(what, ("a",))]


def test_a_twin_of_the_same_name_is_another_slave() -> None:
    one, twin = slave("a", Phase.IDLE), replace(slave("a", Phase.BUILDING), server_id="id-twin")
    assert changes(seen(one), seen(one, twin)) == (Event(What.LAUNCHED, ("a",), ("id-twin",)),)


def test_what_cannot_be_seen_is_not_gone() -> None:
    before = seen(slave("a", Phase.IDLE))
    blind = seen(unknown=(SCHEDD,))
    assert told(before, blind) == [(What.AWAY, ())]
    kept = last_known(before, blind)
    assert changes(kept, seen(unknown=("the schedd can't be asked - req-2: timed out",))) == ()
    assert told(kept, before) == [(What.ANSWERS, ())]


def test_a_lock_is_told_when_it_comes_and_when_it_goes() -> None:
    locked = seen(locked="locked by ada")
    assert [event.what for event in (*changes(seen(), locked), *changes(locked, seen()))] == [
        What.LOCKED,
        What.UNLOCKED,
    ]


def test_impossible_jobs_are_told_once_for_each_reason() -> None:
    gpus = JobGroup(Room(1, 1, 1), 3, 0, "they ask for 1 GPUs")
    more = (gpus, replace(gpus, request=Room(2, 2, 2)), JobGroup(Room(1, 1, 1), 5, 0))
    assert changes(seen(), seen(jobs=more)) == (Event(What.IMPOSSIBLE, why="they ask for 1 GPUs"),)
    assert changes(seen(jobs=more), seen(jobs=(replace(gpus, idle=2),))) == ()


def test_a_removal_is_told_when_it_is_first_planned() -> None:
    idle = Plan(remove=(Removal("a", Reason(Why.IDLE, "idle for 61 s")),))
    later = Plan(remove=(Removal("a", Reason(Why.IDLE, "idle for 64 s")), Removal("b", Reason(Why.NOT_JOINED, "late"))))
    assert intents(Plan(), idle, console_logs=False) == (Event(What.IDLE, ("a",), why="idle for 61 s"),)
    assert intents(idle, later, console_logs=True) == (Event(What.NOT_JOINED, ("b",), why="late"),)
    (unread,) = intents(idle, later, console_logs=False)
    assert unread.why.startswith("late - its console, while it is there: openstack console log show b; ")


snapshots = st.builds(
    Snapshot,
    slaves=st.lists(
        st.builds(Slave, st.sampled_from("abc"), st.sampled_from(Phase), st.just(NOW), st.just("id"), st.booleans()),
        unique_by=lambda one: one.name,
    ).map(tuple),
    unknown=st.sampled_from([(), (SCHEDD,), (SCHEDD, "OpenStack can't be asked - no")]),
    locked=st.sampled_from(["", "by ada"]),
)


@given(snapshots)
def test_between_two_equal_looks_nothing_happens(one: Snapshot) -> None:
    assert changes(one, one) == ()


@given(snapshots, snapshots)
def test_the_same_is_never_told_twice(before: Snapshot, after: Snapshot) -> None:
    assert changes(last_known(before, after), after) == ()


@given(snapshots, snapshots)
def test_what_was_not_seen_whole_makes_no_story_of_slaves(before: Snapshot, after: Snapshot) -> None:
    if after.unknown:
        assert not [event for event in changes(before, after) if event.slaves]
