"""The rule, as a table of cases and as laws that hold for every snapshot."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.decide import (
    BACK_SOON,
    BACKOFF,
    BATCH,
    decide,
    demand,
    pack,
    removals_over,
    retry_at,
    spare,
)
from controller.model import Claim, JobGroup, Limits, Phase, Plan, Room, Seconds, Setback, Slave, Snapshot, Trouble, Why

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SMALL = Room(cpus=1, memory_mib=500, disk_kib=1000)
LIMITS = Limits(
    min_slaves=0,
    max_slaves=4,
    jobs_per_slave=2,
    idle_time=Seconds(60),
    join_timeout=Seconds(600),
    waiting_jobs_threshold=0,
    offer=Room(cpus=2, memory_mib=2000, disk_kib=10_000),
)


def jobs(idle: int, request: Room = SMALL, ripe: int = 0, impossible: str = "") -> JobGroup:
    return JobGroup(request, idle, ripe, impossible)


def slave(
    name: str, phase: Phase, *, age: float = 30, idle_for: float = 0, free: Room | None = None, jobs: int = 0
) -> Slave:
    joined = phase in (Phase.IDLE, Phase.BUSY)
    return Slave(
        name=name,
        phase=phase,
        created_at=NOW - timedelta(seconds=age),
        server_id=f"id-{name}",
        idle_for=Seconds(idle_for),
        absent_since=None if joined else NOW - timedelta(seconds=age),
        free=free or (LIMITS.offer if phase is Phase.IDLE else None),
        jobs=jobs,
    )


def drained(name: str, *, revivable: bool = True) -> Slave:
    return replace(slave(name, Phase.DRAINED), free=LIMITS.offer, revivable=revivable)


def whys(plan: Plan) -> list[Why]:
    return [reason.why for reason in plan.reasons]


def removed(plan: Plan) -> list[tuple[str, Why]]:
    return [(removal.slave, removal.reason.why) for removal in plan.remove]


def test_waiting_jobs_are_packed_by_jobs_per_slave() -> None:
    plan = decide(Snapshot(jobs=(jobs(5),)), LIMITS, NOW)
    assert (plan.create, whys(plan)) == (3, [Why.GROW])


def test_a_request_that_fills_a_slave_gets_one_each() -> None:
    assert decide(Snapshot(jobs=(jobs(2, replace(SMALL, cpus=2)),)), LIMITS, NOW).create == 2
    assert decide(Snapshot(jobs=(jobs(2, replace(SMALL, memory_mib=1500)),)), LIMITS, NOW).create == 2


def test_small_jobs_fill_the_gaps_that_large_ones_leave() -> None:
    limits = replace(LIMITS, jobs_per_slave=4, offer=replace(LIMITS.offer, cpus=4, memory_mib=8000))
    large = jobs(1, replace(SMALL, cpus=3))
    assert decide(Snapshot(jobs=(jobs(1), large)), limits, NOW).create == 1


def test_jobs_that_ask_for_nothing_need_a_slave_all_the_same() -> None:
    assert decide(Snapshot(jobs=(jobs(3, Room(0, 0, 0)),)), LIMITS, NOW).create == 2


def test_growth_stops_at_the_maximum_and_says_so() -> None:
    plan = decide(Snapshot(jobs=(jobs(100),), slaves=(slave("a", Phase.BUSY, jobs=2),)), LIMITS, NOW)
    assert (plan.create, whys(plan)) == (3, [Why.GROW, Why.AT_MAXIMUM])


def test_growth_stops_at_the_quota_and_says_so() -> None:
    plan = decide(Snapshot(jobs=(jobs(6),), quota_left=1), LIMITS, NOW)
    assert plan.create == 1
    assert plan.reasons[-1].text == "requesting 1 (out of desired 3): the quota has no room for more"


def test_no_quota_left_makes_nothing_but_still_removes() -> None:
    seen = Snapshot(jobs=(jobs(8),), slaves=(slave("dead", Phase.FAILED),), quota_left=0)
    plan = decide(seen, LIMITS, NOW)
    assert (plan.create, removed(plan)) == (0, [("dead", Why.FAILED)])


def test_a_quota_that_cannot_be_read_makes_nothing_but_still_removes() -> None:
    seen = Snapshot(jobs=(jobs(8),), slaves=(slave("dead", Phase.FAILED),), quota_unread="OpenStack can't be asked")
    plan = decide(seen, LIMITS, NOW)
    assert (plan.create, removed(plan), whys(plan)) == (0, [("dead", Why.FAILED)], [Why.BLIND])


def test_jobs_wait_for_slaves_on_their_way() -> None:
    seen = Snapshot(jobs=(jobs(3),), slaves=(slave("a", Phase.BUILDING), slave("b", Phase.BOOTING)))
    plan = decide(seen, LIMITS, NOW)
    assert (plan.create, whys(plan)) == (0, [Why.ON_THEIR_WAY])


def test_jobs_wait_for_free_slots_of_busy_slaves() -> None:
    busy = slave("a", Phase.BUSY, jobs=1, free=Room(1, 1000, 5000))
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=(busy,)), LIMITS, NOW)
    assert (plan.create, whys(plan)) == (0, [Why.ENOUGH])


def test_a_full_slave_is_no_room_even_with_memory_left() -> None:
    full = slave("a", Phase.BUSY, jobs=2, free=Room(1, 1000, 5000))
    assert decide(Snapshot(jobs=(jobs(1),), slaves=(full,)), LIMITS, NOW).create == 1


def test_jobs_of_one_request_are_one_demand_whoever_waits() -> None:
    of_two = (jobs(3), replace(jobs(2), kind="of somebody else"))
    assert demand(of_two, LIMITS) == ((SMALL, 5),)
    assert demand((jobs(3), replace(jobs(2), unmatched=True)), LIMITS) == ((SMALL, 3),)


def test_jobs_whose_slots_were_just_claimed_need_no_slave() -> None:
    """To the schedd they are idle until it has started them, one after the other."""
    claim = Claim("ada", Room(1, 500, 1000))
    full = replace(slave("a", Phase.BUSY, free=Room(0, 0, 0), jobs=2), claims=(claim, claim))
    of_ada = replace(jobs(3, ripe=1), owner="ada")
    assert whys(decide(Snapshot((replace(of_ada, idle=2),), (full,)), LIMITS, NOW)) == [Why.ENOUGH]
    assert decide(Snapshot((of_ada,), (full,)), LIMITS, NOW).create == 1, "the third"
    assert decide(Snapshot((replace(of_ada, owner="bob"),), (full,)), LIMITS, NOW).create == 2, "all of somebody else's"
    large = replace(of_ada, request=Room(2, 500, 1000))
    assert decide(Snapshot((large,), (full,)), LIMITS, NOW).create == 3, "all that don't fit"
    draining = replace(full, phase=Phase.DRAINING)
    assert decide(Snapshot((of_ada,), (draining,)), LIMITS, NOW).create == 2, "all: nothing starts there any more"


def test_a_busy_slave_that_left_the_pool_is_no_room() -> None:
    lost = slave("a", Phase.BUSY, age=3000)
    assert decide(Snapshot(jobs=(jobs(2),), slaves=(lost,)), LIMITS, NOW).create == 1


def test_a_slave_made_for_fewer_jobs_has_no_more_places_than_it_says() -> None:
    """Or jobs would be packed, after a new `jobsPerSlave`, where its START refuses them."""
    old = replace(slave("a", Phase.BUSY, jobs=1, free=Room(1, 1000, 5000)), places=1)
    assert decide(Snapshot(jobs=(jobs(1),), slaves=(old,)), LIMITS, NOW).create == 1


def test_spare_slots_are_kept_free_while_a_job_runs() -> None:
    limits = replace(LIMITS, spare_slots=2)
    full = slave("a", Phase.BUSY, jobs=2, free=Room(0, 1000, 5000))
    half = slave("b", Phase.BUSY, jobs=1, free=Room(1, 1000, 5000))
    plan = decide(Snapshot(slaves=(full, half)), limits, NOW)
    assert plan.create == 1, "one slot is free, and another is wanted"
    assert plan.reasons[0].text == "2 slots are to be free for jobs to come, which takes 1 more slaves"
    assert not decide(Snapshot(slaves=(full, half, slave("c", Phase.BOOTING))), limits, NOW).acts
    long_idle = slave("c", Phase.IDLE, idle_for=3600)
    assert not decide(Snapshot(slaves=(full, half, long_idle)), limits, NOW).acts, "an idle slave is what is kept"
    assert not decide(Snapshot(slaves=(full, full)), LIMITS, NOW).acts, "none are wanted unless it is said"


def test_spare_slots_come_beside_the_jobs_that_wait() -> None:
    plan = decide(Snapshot(jobs=(jobs(2),)), replace(LIMITS, spare_slots=1), NOW)
    assert (plan.create, plan.reasons[0].text) == (2, "2 jobs wait and need 2 more slaves, with 1 slots to spare")


def test_without_jobs_spare_slots_go_as_all_others() -> None:
    limits = replace(LIMITS, spare_slots=9)
    assert decide(Snapshot(), limits, NOW).create == 0
    assert removed(decide(Snapshot(slaves=(slave("a", Phase.IDLE, idle_for=90),)), limits, NOW)) == [("a", Why.IDLE)]


def test_a_large_job_leaves_room_for_the_spare_slots_beside_it() -> None:
    """They are smaller than any job that waits, and are packed last."""
    limits = replace(LIMITS, jobs_per_slave=4, offer=replace(LIMITS.offer, cpus=4, memory_mib=8000), spare_slots=1)
    assert decide(Snapshot(jobs=(jobs(1, replace(SMALL, cpus=3)),)), limits, NOW).create == 1


def test_impossible_jobs_are_reported_and_never_grow_the_cluster() -> None:
    plan = decide(Snapshot(jobs=(jobs(9, impossible="they ask for 64 CPUs, a slave has 2"),)), LIMITS, NOW)
    assert (plan.create, whys(plan)) == (0, [Why.ENOUGH, Why.IMPOSSIBLE])
    assert "64 CPUs" in plan.reasons[-1].text


def test_a_request_over_the_offer_doesnt_grow_for_ever() -> None:
    assert decide(Snapshot(jobs=(jobs(1, replace(SMALL, memory_mib=4000)),)), LIMITS, NOW).create == 0


@pytest.mark.parametrize(
    ("idle", "ripe", "threshold", "create", "why"),
    [
        (3, 0, 3, 0, Why.WAITING),  # no more than the threshold, and none for long
        (4, 0, 3, 2, Why.GROW),  # more than the threshold: all count
        (3, 1, 3, 1, Why.GROW),  # the one that has waited long counts
        (1, 0, 0, 1, Why.GROW),  # a threshold of 0: any job counts at once
    ],
)
def test_waiting_jobs_count_by_number_or_by_time(idle: int, ripe: int, threshold: int, create: int, why: Why) -> None:
    plan = decide(Snapshot(jobs=(jobs(idle, ripe=ripe),)), replace(LIMITS, waiting_jobs_threshold=threshold), NOW)
    assert (plan.create, whys(plan)[0]) == (create, why)


def test_the_minimum_is_made_without_jobs() -> None:
    plan = decide(Snapshot(slaves=(slave("a", Phase.BOOTING),)), replace(LIMITS, min_slaves=2), NOW)
    assert (plan.create, whys(plan)) == (1, [Why.MINIMUM])


def test_idle_slaves_above_the_minimum_go_longest_idle_first() -> None:
    slaves = tuple(slave(n, Phase.IDLE, idle_for=t) for n, t in (("a", 70), ("b", 90), ("c", 10), ("d", 80)))
    plan = decide(Snapshot(slaves=slaves), replace(LIMITS, min_slaves=2), NOW)
    assert removed(plan) == [("b", Why.IDLE), ("d", Why.IDLE)]


def test_no_more_idle_slaves_go_at_once_than_one_update_is_to_take() -> None:
    limits = replace(LIMITS, max_slaves=2 * BATCH)
    idle = tuple(slave(f"s{number:03}", Phase.IDLE, idle_for=100) for number in range(BATCH + 20))
    assert len(decide(Snapshot(slaves=idle), limits, NOW).remove) == BATCH
    assert len(decide(Snapshot(slaves=idle[BATCH:]), limits, NOW).remove) == 20


def test_an_idle_slave_that_is_not_heard_from_is_not_asked_to_go() -> None:
    """It wouldn't answer, and growth would wait for that: it goes when the pool has lost it."""
    silent = replace(slave("silent", Phase.IDLE, idle_for=99), free=None)
    assert removed(decide(Snapshot(slaves=(silent, slave("a", Phase.IDLE, idle_for=90))), LIMITS, NOW)) == [
        ("a", Why.IDLE)
    ]


def test_an_idle_slave_that_waiting_jobs_fit_into_stays() -> None:
    slaves = (slave("young", Phase.IDLE, idle_for=61), slave("old", Phase.IDLE, idle_for=99))
    plan = decide(Snapshot(jobs=(jobs(2),), slaves=slaves), LIMITS, NOW)
    assert (plan.create, removed(plan)) == (0, [("old", Why.IDLE)])


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (slave("x", Phase.FAILED), Why.FAILED),
        (slave("x", Phase.GONE), Why.GONE),
        (drained("x", revivable=False), Why.DRAINED),
        (slave("x", Phase.BUILDING, age=601), Why.NOT_JOINED),
        (slave("x", Phase.BOOTING, age=601), Why.NOT_JOINED),
        (slave("x", Phase.MISSING, age=601), Why.LOST),
        (replace(slave("x", Phase.IDLE), in_state=False), Why.STRAY),
        (replace(slave("x", Phase.BOOTING), in_state=False), Why.STRAY),
    ],
)
def test_broken_slaves_go_with_their_reason_and_are_replaced(broken: Slave, why: Why) -> None:
    plan = decide(Snapshot(slaves=(broken,)), replace(LIMITS, min_slaves=1), NOW)
    assert (plan.create, removed(plan)) == (1, [("x", why)])


@pytest.mark.parametrize(
    "healthy",
    [
        slave("x", Phase.BUILDING, age=599),
        slave("x", Phase.BOOTING, age=599),
        slave("x", Phase.MISSING, age=599),
        slave("x", Phase.BUSY, age=9999, jobs=1),
        replace(slave("x", Phase.BUSY, jobs=1), in_state=False),
        replace(slave("x", Phase.DOUBTFUL, age=9999), in_state=False),
        slave("x", Phase.IDLE, idle_for=59),
    ],
)
def test_slaves_in_good_health_stay(healthy: Slave) -> None:
    assert not decide(Snapshot(slaves=(healthy,)), LIMITS, NOW).acts


def test_slaves_that_vanish_together_get_more_time_to_come_back() -> None:
    """Their ads were taken away, or the network is: a slave that is alive is back within a minute."""
    for age, gone in ((601, []), (3601, [("a", Why.LOST), ("b", Why.LOST)])):
        vanished = tuple(slave(name, Phase.MISSING, age=age) for name in "ab")
        assert removed(decide(Snapshot(slaves=(*vanished, slave("c", Phase.IDLE))), LIMITS, NOW)) == gone


def test_nothing_is_done_on_doubt() -> None:
    seen = Snapshot(jobs=(jobs(5),), slaves=(slave("a", Phase.FAILED),), unknown=("the schedd can't be asked",))
    plan = decide(seen, LIMITS, NOW)
    assert (plan.acts, whys(plan)) == (False, [Why.BLIND])


def test_a_drain_is_undone_under_somebody_elses_lock_too() -> None:
    """They may sit at the prompt of `pulumi up` for an hour."""
    seen = Snapshot(jobs=(jobs(5),), slaves=(drained("a"), slave("b", Phase.FAILED)), locked="by ada@laptop")
    assert decide(seen, LIMITS, NOW) == Plan(revive=("a",), reasons=decide(seen, LIMITS, NOW).reasons)
    assert whys(decide(seen, LIMITS, NOW)) == [Why.LOCKED, Why.REVIVED]


def test_no_slave_is_made_or_removed_under_somebody_elses_lock() -> None:
    plan = decide(Snapshot(jobs=(jobs(5),), locked="the stack is locked by ada@laptop (pid 7)"), LIMITS, NOW)
    assert (plan.acts, whys(plan)) == (False, [Why.LOCKED])


def test_a_failure_of_the_future_is_not_waited_for() -> None:
    """The clock was days ahead until it was set right."""
    setbacks = (Setback(3, NOW + timedelta(days=2), "no host"),)
    assert decide(Snapshot(jobs=(jobs(1),), setbacks=setbacks), LIMITS, NOW).create == 1


def test_creating_waits_longer_after_each_failure_and_removing_doesnt() -> None:
    waits = [(retry_at(Setback(times, NOW, "no host")) - NOW).total_seconds() for times in (1, 2, 3, 50)]
    assert waits == [10, 20, 40, BACKOFF[Trouble.UPDATES].longest]
    setback = Setback(1, NOW - timedelta(seconds=9), "no host")
    seen = Snapshot((jobs(1),), (slave("x", Phase.FAILED),), setbacks=(setback,))
    plan = decide(seen, LIMITS, NOW)
    assert (plan.create, whys(plan), removed(plan)) == (0, [Why.BACKING_OFF], [("x", Why.FAILED)])
    assert decide(seen, LIMITS, NOW + timedelta(seconds=1)).create == 1


def test_single_slaves_that_dont_join_are_replaced_at_once_and_three_in_a_row_stop_growth() -> None:
    waits = [(retry_at(Setback(n, NOW, "late", Trouble.JOINS)) - NOW).total_seconds() for n in (1, 2, 3, 4, 99)]
    assert waits == [0, 0, 300, 600, 3600]


def test_of_two_setbacks_the_later_try_counts() -> None:
    setbacks = (Setback(1, NOW, "no host"), Setback(3, NOW, "nobody joins", Trouble.JOINS))
    plan = decide(Snapshot(jobs=(jobs(1),), setbacks=setbacks), LIMITS, NOW)
    assert [str(r) for r in plan.reasons] == ["backing off: growing again at 12:05:00: nobody joins"]


def test_removals_that_fail_are_tried_again_later_and_take_up_room_meanwhile() -> None:
    failed = Setback(1, NOW, "delete refused", Trouble.REMOVALS)
    slaves = (slave("a", Phase.FAILED), slave("b", Phase.FAILED), slave("c", Phase.BUSY, jobs=2))
    plan = decide(Snapshot((jobs(9),), slaves, setbacks=(failed,)), LIMITS, NOW)
    assert (plan.create, plan.remove) == (1, ())
    assert "backing off: removing again at 12:00:05: delete refused" in [str(r) for r in plan.reasons]
    later = decide(Snapshot((jobs(9),), slaves, setbacks=(failed,)), LIMITS, NOW + timedelta(seconds=5))
    assert (later.create, len(later.remove)) == (3, 2)


def test_a_slave_that_cannot_be_removed_waits_alone_and_keeps_its_place() -> None:
    stays = Setback(2, NOW, "b can't be deleted - it is locked", Trouble.REMOVALS)
    slaves = (slave("a", Phase.FAILED), replace(slave("b", Phase.FAILED), stays=stays), slave("c", Phase.BUSY, jobs=2))
    plan = decide(Snapshot((jobs(9),), slaves), LIMITS, NOW)
    assert (plan.create, [removal.slave for removal in plan.remove]) == (2, ["a"])
    told = "stays: b couldn't be removed, again at 12:00:10: b can't be deleted - it is locked"
    assert told in map(str, plan.reasons)
    for other in (NOW + timedelta(seconds=10), NOW - timedelta(days=1)):  # later, and after the clock was set back
        again = decide(Snapshot((jobs(9),), slaves), LIMITS, other)
        assert (again.create, [removal.slave for removal in again.remove]) == (3, ["a", "b"])


def test_slaves_that_wait_do_not_take_the_turn_of_others() -> None:
    stays = Setback(5, NOW, "a can't be drained - timed out", Trouble.REMOVALS)
    old = [replace(slave(name, Phase.BUSY, jobs=1), outdated=True) for name in "abcd"]
    seen = Snapshot(slaves=(replace(old[0], stays=stays), *old[1:]), recycling=True)
    assert decide(seen, LIMITS, NOW).retire == ("b",)


@pytest.mark.parametrize("phase", [Phase.BUILDING, Phase.BOOTING, Phase.MISSING, Phase.IDLE, Phase.DRAINED])
def test_a_slave_whose_server_is_deleted_goes_and_another_is_made(phase: Phase) -> None:
    """Nova may take minutes, and the slave be in the pool until then."""
    going = replace(slave("a", phase), free=LIMITS.offer, revivable=True, deleting=True)
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=(going,)), LIMITS, NOW)
    assert [removal.slave for removal in plan.remove] == ["a"]
    assert (plan.create, plan.revive) == (1, ())


def test_a_busy_slave_whose_server_is_deleted_takes_no_more_jobs() -> None:
    going = replace(slave("a", Phase.BUSY, jobs=1, free=LIMITS.offer), deleting=True)
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=(going,)), LIMITS, NOW)
    assert (plan.retire, plan.remove, plan.create) == (("a",), (), 1)


def test_a_slave_whose_server_is_deleted_is_none_of_the_minimum() -> None:
    going, sound = (slave(name, Phase.IDLE, idle_for=900) for name in "ab")
    plan = decide(Snapshot(slaves=(replace(going, deleting=True), sound)), replace(LIMITS, min_slaves=1), NOW)
    assert [removal.slave for removal in plan.remove] == ["a"]


def test_slaves_that_wait_alone_are_told_in_one_line_and_only_while_they_are_to_go() -> None:
    stays = [Setback(times, NOW, f"no answer of {times}", Trouble.REMOVALS) for times in (3, 2, 1)]
    named = [replace(slave(name, Phase.BUSY, jobs=1), unwanted=True) for name in ("a", "b")]
    slaves = [*named, slave("c", Phase.BUSY, jobs=1)]
    seen = tuple(replace(one, stays=kept) for one, kept in zip(slaves, stays, strict=True))
    plan = decide(Snapshot(slaves=seen), LIMITS, NOW)
    assert (plan.retire, plan.stay) == ((), ("a", "b"))
    assert str(plan.reasons[1]) == "stays: a and 1 more couldn't be removed, again at 12:00:20: no answer of 3"
    assert len(plan.reasons) == 2


def test_a_slave_that_waits_and_is_not_to_go_any_more_holds_no_other_up() -> None:
    late, early = (Setback(times, NOW, "no answer", Trouble.REMOVALS) for times in (5, 1))
    back = replace(slave("a", Phase.IDLE), stays=late)
    seen = Snapshot(slaves=(back, replace(slave("b", Phase.FAILED), stays=early)))
    plan = decide(seen, LIMITS, NOW + timedelta(seconds=5))
    assert (removed(plan), plan.stay) == ([("b", Why.FAILED)], ())


def test_a_slave_that_waits_for_its_turn_is_not_asked_instead_of_others_that_wait() -> None:
    """Else each look would ask one, for a minute."""
    stays = [Setback(1, NOW, "no answer", Trouble.REMOVALS) for _ in "ab"]
    idle = [slave(name, Phase.IDLE, idle_for=99 - number) for number, name in enumerate("ab")]
    seen = Snapshot(slaves=tuple(replace(one, stays=kept) for one, kept in zip(idle, stays, strict=True)))
    plan = decide(seen, replace(LIMITS, min_slaves=1), NOW)
    assert (removed(plan), plan.stay) == ([], ("a",))


def test_drains_of_busy_slaves_wait_after_one_that_failed() -> None:
    busy = replace(slave("a", Phase.BUSY, jobs=1), unwanted=True)
    failed = Snapshot(slaves=(busy,), setbacks=(Setback(1, NOW, "a can't be drained", Trouble.REMOVALS),))
    assert (decide(failed, LIMITS, NOW).retire, whys(decide(failed, LIMITS, NOW))[-1]) == ((), Why.BACKING_OFF)
    assert decide(failed, LIMITS, NOW + timedelta(seconds=6)).retire == ("a",)


def test_failed_creates_hold_no_removal_back_nor_failed_removals_a_create() -> None:
    creates, removals = Setback(1, NOW, "no host"), Setback(1, NOW, "refused", Trouble.REMOVALS)
    seen = Snapshot((jobs(1),), (slave("a", Phase.FAILED),))
    assert len(decide(replace(seen, setbacks=(creates,)), LIMITS, NOW).remove) == 1
    assert decide(replace(seen, setbacks=(removals,)), LIMITS, NOW).create == 1


@pytest.mark.parametrize(
    ("seen", "over"),
    [
        (Snapshot(slaves=(slave("a", Phase.BUSY, jobs=1),)), True),
        (Snapshot(slaves=(slave("a", Phase.FAILED),)), False),
        (Snapshot(slaves=(replace(slave("a", Phase.BUSY, jobs=1), unwanted=True),)), False),
        (Snapshot(paused="by ada"), False),
        (Snapshot(unknown=("Nova is away",)), False),
        (Snapshot(locked="by ada"), False),
        (Snapshot(slaves=(replace(slave("a", Phase.FAILED), stays=Setback(5, NOW, "", Trouble.REMOVALS)),)), False),
    ],
)
def test_failed_removals_are_over_when_they_could_be_tried_again_and_nothing_is_to_go(
    seen: Snapshot, *, over: bool
) -> None:
    seen = replace(seen, setbacks=(Setback(1, NOW, "a can't be drained", Trouble.REMOVALS),))
    later = NOW + timedelta(seconds=5)
    assert not removals_over(decide(seen, LIMITS, NOW), seen, NOW), "it has yet to be tried again"
    assert removals_over(decide(seen, LIMITS, later), seen, later) is over


def test_a_drain_is_undone_before_a_slave_is_made() -> None:
    plan = decide(Snapshot(jobs=(jobs(3),), slaves=(drained("a"), drained("b"), drained("c"))), LIMITS, NOW)
    assert (plan.create, plan.revive, removed(plan)) == (0, ("a", "b"), [("c", Why.DRAINED)])
    assert Why.REVIVED in whys(plan)


def test_a_slave_that_somebody_else_drained_is_not_taken_back() -> None:
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=(drained("a", revivable=False),)), LIMITS, NOW)
    assert (plan.create, plan.revive, removed(plan)) == (1, (), [("a", Why.DRAINED)])


def test_a_slave_that_is_draining_is_neither_room_nor_removed() -> None:
    draining = replace(slave("a", Phase.DRAINING, jobs=1), free=LIMITS.offer)
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=(draining,)), LIMITS, NOW)
    assert (plan.create, plan.revive, plan.remove) == (1, (), ())


def test_jobs_that_dont_start_on_free_slots_make_no_slaves_and_keep_none() -> None:
    waiting = replace(jobs(9), unmatched=True)
    plan = decide(Snapshot(jobs=(waiting,), slaves=(slave("a", Phase.IDLE, idle_for=99),)), LIMITS, NOW)
    assert (plan.create, removed(plan), whys(plan)) == (0, [("a", Why.IDLE)], [Why.ENOUGH, Why.UNMATCHED])


BIG = Room(cpus=8, memory_mib=8000, disk_kib=80_000, gpus=2)


@pytest.mark.parametrize(
    ("request_", "count", "per_slave", "create"),
    [
        (Room(1, 100, 10), 8, 2, 4),  # no more than jobsPerSlave on one, whatever its VCPUs
        (Room(4, 100, 10), 4, 3, 2),  # more CPUs than jobsPerSlave: as many as there are VCPUs for
        (Room(8, 100, 10), 2, 3, 2),
        (Room(1, 100, 40_000), 4, 8, 2),  # by their disk
        (Room(1, 100, 10, gpus=1), 6, 8, 3),  # by their GPUs
        (Room(1, 100, 10, gpus=3), 6, 8, 0),
        (Room(9, 100, 10), 1, 8, 0),
    ],
)
def test_slaves_are_made_for_what_jobs_ask_for(request_: Room, count: int, per_slave: int, create: int) -> None:
    limits = replace(LIMITS, max_slaves=9, jobs_per_slave=per_slave, offer=BIG)
    assert decide(Snapshot(jobs=(JobGroup(request_, count, 0),)), limits, NOW).create == create


def test_jobs_with_gpus_bring_one_slave_that_tells_whether_it_has_any() -> None:
    waiting = jobs(6, Room(1, 100, 10, gpus=1))
    unknown, joined = replace(LIMITS, gpus_known=False), slave("a", Phase.IDLE)
    plan = decide(Snapshot(jobs=(waiting, jobs(2))), unknown, NOW)
    assert (plan.create, whys(plan)) == (2, [Why.GROW]), "and one for the others"
    assert decide(Snapshot(jobs=(waiting,), slaves=(slave("a", Phase.BOOTING),)), unknown, NOW).create == 0
    assert decide(Snapshot(jobs=(waiting,), slaves=(joined,)), LIMITS, NOW).create == 0
    assert decide(Snapshot(jobs=(waiting,), slaves=(joined,)), unknown, NOW).create == 1, "its ad can't be read"
    both = (joined, slave("b", Phase.IDLE))
    assert decide(Snapshot(jobs=(waiting,), slaves=both), unknown, NOW).create == 0, "as others' wouldn't be"
    told = replace(LIMITS, offer=replace(LIMITS.offer, gpus=2))
    assert decide(Snapshot(jobs=(waiting,)), told, NOW).create == 3


def test_a_gpu_in_use_is_no_room() -> None:
    limits = replace(LIMITS, max_slaves=9, jobs_per_slave=8, offer=BIG)
    full = slave("a", Phase.BUSY, jobs=2, free=replace(BIG, cpus=6, gpus=0))
    assert decide(Snapshot(jobs=(JobGroup(Room(1, 100, 10, gpus=1), 1, 0),), slaves=(full,)), limits, NOW).create == 1


def test_unmatched_jobs_say_beside_which_slave_and_when_they_count_again() -> None:
    waiting = replace(jobs(9), unmatched=True, beside="a", again_at=NOW + timedelta(minutes=5))
    (said,) = [str(r) for r in decide(Snapshot(jobs=(waiting,)), LIMITS, NOW).reasons if r.why is Why.UNMATCHED]
    assert "didn't start beside a: a limit" in said
    assert said.endswith("or it was out of reach; one of them is tried at 12:05:00")
    said = str(decide(Snapshot(jobs=(replace(waiting, again_at=None),)), LIMITS, NOW).reasons[-1])
    assert said.endswith("one of them is tried with a new slave")


TRIED = replace(jobs(1), elsewhere=True, beside="a")
HELD = replace(jobs(8), unmatched=True, beside="a")


@pytest.mark.parametrize(("left", "most"), [(0, 4), (None, 1)])
def test_that_a_tried_job_has_no_place_for_its_slave_asks_nobody_to_raise_a_limit(left: int | None, most: int) -> None:
    limits, there = replace(LIMITS, min_slaves=1, max_slaves=most), (slave("a", Phase.IDLE, idle_for=99),)
    plan = decide(Snapshot((TRIED, HELD), there, left), limits, NOW)
    assert (plan.create, whys(plan)) == (0, [Why.ENOUGH, Why.UNMATCHED])
    more = decide(Snapshot((TRIED, HELD, jobs(9)), there, left), limits, NOW)
    assert more.reasons[0].why in {Why.AT_MAXIMUM, Why.AT_QUOTA}


def test_a_tried_job_brings_a_slave_past_the_free_one_and_none_to_spare() -> None:
    there = (slave("a", Phase.IDLE, idle_for=1),)
    plan = decide(Snapshot((TRIED, HELD), there), replace(LIMITS, spare_slots=4), NOW)
    assert (plan.create, whys(plan)) == (1, [Why.GROW, Why.UNMATCHED])


def outdated(name: str, phase: Phase, *, jobs: int = 0) -> Slave:
    return replace(slave(name, phase, jobs=jobs), outdated=True)


def test_outdated_slaves_stay_until_somebody_wants_them_replaced() -> None:
    slaves = (outdated("a", Phase.IDLE), outdated("b", Phase.BUSY, jobs=1))
    assert not decide(Snapshot(slaves=slaves), LIMITS, NOW).acts


def test_recycling_removes_idle_outdated_slaves_and_drains_busy_ones_by_and_by() -> None:
    busy = tuple(outdated(f"b{n}", Phase.BUSY, jobs=1) for n in range(7))
    slaves = (outdated("a", Phase.IDLE), *busy, slave("new", Phase.BUSY, jobs=1))
    plan = decide(Snapshot(slaves=slaves, recycling=True), LIMITS, NOW)
    assert (removed(plan), plan.retire) == ([("a", Why.RECYCLED)], ("b0", "b1"))
    under_way = (*busy[1:], replace(busy[0], phase=Phase.DRAINING))
    assert decide(Snapshot(slaves=under_way, recycling=True), LIMITS, NOW).retire == ()


def test_a_lone_outdated_slave_is_recycled_too() -> None:
    assert decide(Snapshot(slaves=(outdated("a", Phase.BUSY, jobs=1),), recycling=True), LIMITS, NOW).retire == ("a",)


def test_a_slave_that_somebody_wants_gone_goes_when_it_has_no_job() -> None:
    slaves = (replace(slave("a", Phase.IDLE), unwanted=True), replace(slave("b", Phase.BUSY, jobs=1), unwanted=True))
    plan = decide(Snapshot(jobs=(jobs(1),), slaves=slaves), LIMITS, NOW)
    assert (removed(plan), plan.retire) == ([("a", Why.UNWANTED)], ("b",))


@pytest.mark.parametrize("locked", ["", "the stack is locked by ada@laptop"])
def test_ads_of_slaves_that_are_no_more_are_taken_out_of_the_pool_under_a_lock_too(locked: str) -> None:
    plan = decide(Snapshot(dead_ads=("x",), locked=locked), LIMITS, NOW)
    assert (plan.forget, plan.acts) == (("x",), True)
    assert Why.FORGOTTEN in whys(plan)


def test_a_drain_is_undone_before_a_slave_is_made_for_the_minimum() -> None:
    slaves = (drained("a"), drained("b"), drained("c"), slave("d", Phase.IDLE))
    plan = decide(Snapshot(slaves=slaves), replace(LIMITS, min_slaves=3), NOW)
    assert (plan.create, plan.revive, removed(plan)) == (0, ("a", "b"), [("c", Why.DRAINED)])


def left(name: str, phase: Phase, ago: float) -> Slave:
    """One that was in the pool until so many seconds ago."""
    return replace(slave(name, phase), known=True, absent_since=NOW - timedelta(seconds=ago), free=None)


@pytest.mark.parametrize("phase", [Phase.MISSING, Phase.BUSY])
@pytest.mark.parametrize(("ago", "waits"), [(0, True), (BACK_SOON - 1, True), (BACK_SOON, False), (-3600, False)])
def test_nothing_is_made_in_the_place_of_slaves_that_have_just_left_the_pool(
    phase: Phase, ago: float, *, waits: bool
) -> None:
    """A collector that has restarted knows no slave until each has renewed its ad."""
    plan = decide(Snapshot(jobs=(jobs(4),), slaves=(left("a", phase, ago), left("b", phase, ago))), LIMITS, NOW)
    assert (plan.create == 0, Why.AWAY in whys(plan)) == (waits, waits)
    assert not plan.remove


def test_what_waits_for_more_than_slaves_that_may_be_back_has_others_made() -> None:
    """One that comes and goes all the time holds up one other, not all."""
    plan = decide(Snapshot(jobs=(jobs(8),), slaves=(left("a", Phase.MISSING, 5),)), LIMITS, NOW)
    assert (plan.create, whys(plan)[0]) == (3, Why.GROW)


@pytest.mark.parametrize("change", [{"free": None}, {"unwanted": True}, {"outdated": True}, {"in_state": False}])
def test_for_the_minimum_only_slaves_that_are_good_for_it_are_taken_back(change: dict[str, Any]) -> None:
    plan = decide(Snapshot(slaves=(replace(drained("a"), **change),)), replace(LIMITS, min_slaves=1), NOW)
    assert (plan.create, plan.revive) == (1, ())


def test_slaves_that_have_just_left_the_pool_hold_up_nothing_while_there_is_room() -> None:
    slaves = (left("a", Phase.MISSING, 5), slave("b", Phase.IDLE))
    assert whys(decide(Snapshot(jobs=(jobs(2),), slaves=slaves), LIMITS, NOW)) == [Why.ENOUGH]


def test_in_a_pause_nothing_is_done_whatever_was_seen() -> None:
    plan = decide(Snapshot(jobs=(jobs(9),), slaves=(slave("a", Phase.FAILED),), paused="by ada"), LIMITS, NOW)
    assert (plan.acts, whys(plan)) == (False, [Why.PAUSED])


def test_many_slaves_are_made_in_batches_that_follow_each_other() -> None:
    limits = replace(LIMITS, max_slaves=3 * BATCH)
    slaves: tuple[Slave, ...] = ()
    for batch in (BATCH, BATCH, 50):
        plan = decide(Snapshot(jobs=(jobs(2 * (2 * BATCH + 50)),), slaves=slaves), limits, NOW)
        assert plan.create == batch
        assert (Why.BATCH in whys(plan)) is (batch == BATCH and len(slaves) + BATCH < 2 * BATCH + 50)
        slaves += tuple(slave(f"s{len(slaves) + number}", Phase.BUILDING) for number in range(plan.create))
    assert not decide(Snapshot(jobs=(jobs(2 * (2 * BATCH + 50)),), slaves=slaves), limits, NOW).acts


rooms = st.builds(Room, st.integers(0, 8), st.integers(0, 4000), st.integers(0, 20_000))
groups = st.builds(
    JobGroup,
    rooms,
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(["", "", "", "never"]),
    st.sampled_from([False, False, True]),
)
slaves_ = st.lists(
    st.builds(
        Slave,
        name=st.uuids().map(str),
        phase=st.sampled_from(Phase),
        created_at=st.integers(0, 2000).map(lambda s: NOW - timedelta(seconds=s)),
        server_id=st.just("id"),
        in_state=st.booleans(),
        idle_for=st.integers(0, 200).map(Seconds),
        absent_since=st.none() | st.integers(0, 2000).map(lambda s: NOW - timedelta(seconds=s)),
        free=st.none() | rooms,
        jobs=st.integers(0, 4),
        places=st.none() | st.integers(1, 4),
        revivable=st.booleans(),
        outdated=st.booleans(),
        unwanted=st.booleans(),
        deleting=st.sampled_from([False, False, True]),
    ),
    max_size=8,
    unique_by=lambda s: s.name,
).map(tuple)
snapshots = st.builds(
    Snapshot,
    jobs=st.lists(groups, max_size=5).map(tuple),
    slaves=slaves_,
    quota_left=st.none() | st.integers(0, 5),
    quota_unread=st.sampled_from(["", "", "", "away"]),
    setbacks=st.lists(
        st.builds(Setback, st.integers(1, 9), st.just(NOW), st.just("why"), st.sampled_from(Trouble))
    ).map(tuple),
    recycling=st.booleans(),
    locked=st.sampled_from(["", "", "", "locked"]),
    paused=st.sampled_from(["", "", "", "by ada"]),
    unknown=st.sampled_from([(), (), (), ("part",)]),
    dead_ads=st.sampled_from([(), (), ("x", "y")]),
)
limits_ = st.builds(
    lambda least, most, each, offer, spare_slots: replace(
        LIMITS,
        min_slaves=min(least, most),
        max_slaves=most,
        jobs_per_slave=each,
        offer=offer,
        spare_slots=spare_slots,
    ),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 4),
    rooms,
    st.sampled_from([0, 0, 1, 5]),
)


@given(snapshots, limits_)
def test_laws(seen: Snapshot, limits: Limits) -> None:
    plan = decide(seen, limits, NOW)
    by_name = {s.name: s for s in seen.slaves}
    gone = {removal.slave for removal in plan.remove}
    staying = [s for s in seen.slaves if s.name not in gone]

    assert plan.reasons, "a plan always says why"
    assert gone <= set(by_name), "only what was seen is removed"
    assert len(gone) == len(plan.remove), "nothing is removed twice"
    claimed = {s.name for s in seen.slaves if s.phase in (Phase.BUSY, Phase.DRAINING)}
    assert not gone & claimed, "a slave with a claim is never removed"
    assert not [n for n in gone if by_name[n].phase is Phase.DOUBTFUL], "nor one that an update may be making"
    assert not gone & {*plan.revive, *plan.retire}, "what stays doesn't go"
    assert all(by_name[n].phase is Phase.DRAINED and by_name[n].revivable for n in plan.revive), "only our own drains"
    assert not any(by_name[n].deleting for n in plan.revive), "a job that came would be lost"
    on_demand = {s.name for s in seen.slaves if s.unwanted or s.deleting or (s.outdated and seen.recycling)}
    assert set(plan.retire) <= on_demand, "slaves are retired on demand only"
    assert set(plan.forget) <= set(seen.dead_ads), "only what is no more is forgotten"
    assert plan.create >= 0
    assert not plan.acts or not (seen.unknown or seen.paused), "nothing on doubt, or in a pause"
    assert not seen.locked or not (plan.create or plan.remove or plan.retire), "no slave under another's lock"
    if plan.create:
        assert len(staying) + plan.create <= limits.max_slaves, "never over the maximum"
        assert not seen.quota_unread, "nothing is made on doubt"
        assert seen.quota_left is None or plan.create <= seen.quota_left, "never over the quota"
    idle = [r.slave for r in plan.remove if r.reason.why is Why.IDLE]
    if idle:
        joined_left = sum(s.joined for s in staying)
        assert joined_left >= limits.min_slaves, "the minimum stays"
        assert all(by_name[n].idle_for >= limits.idle_time for n in idle), "nothing goes early"


@given(snapshots, limits_)
def test_more_time_never_unmakes_a_removal(seen: Snapshot, limits: Limits) -> None:
    later = NOW + timedelta(seconds=60)
    by_time = (Why.NOT_JOINED, Why.LOST)
    seen = replace(seen, setbacks=())
    broken = {r.slave for r in decide(seen, limits, NOW).remove if r.reason.why in by_time}
    assert broken <= {r.slave for r in decide(seen, limits, later).remove}


@dataclass
class Place:
    slave: str
    room: Room
    left: int
    used: bool = False

    def fits(self, request: Room) -> bool:
        return self.left > 0 and self.room.holds(request) > 0


@given(snapshots, limits_)
def test_jobs_packed_in_groups_go_where_they_would_go_one_by_one(seen: Snapshot, limits: Limits) -> None:
    order = [Phase.BUSY, Phase.IDLE, (Phase.BUILDING, Phase.BOOTING), Phase.DRAINED]
    places = [
        Place(s.name, s.free or limits.offer, (s.places or limits.jobs_per_slave) - s.jobs)
        for phase in order
        for s in sorted(seen.slaves, key=lambda s: (s.outdated, s.idle_for, s.name))
        if s.in_state and s.phase in (phase if isinstance(phase, tuple) else (phase,))
        if s.phase is not Phase.DRAINED or s.revivable
        if (s.free or s.coming) and not s.deleting
    ]
    need = demand(seen.jobs, limits)
    for request, count in (*need, *spare(need, seen.slaves, limits)):
        for _ in range(count):
            if not any(place.fits(request) for place in places):
                new = Place("", limits.offer, limits.jobs_per_slave)
                if sum(not place.slave for place in places) >= limits.max_slaves or not new.fits(request):
                    break
                places.append(new)
            place = next(place for place in places if place.fits(request))
            place.room, place.left, place.used = place.room.less(request, 1), place.left - 1, True
    packing = pack(need, seen.slaves, limits)
    assert packing.taken == {place.slave for place in places if place.slave and place.used}
    assert packing.new == sum(not place.slave for place in places)


@given(st.integers(0, 40), st.integers(1, 4))
def test_what_is_made_is_enough_and_no_more(count: int, per_slave: int) -> None:
    limits = replace(LIMITS, max_slaves=100, jobs_per_slave=per_slave, offer=Room(per_slave, 10_000, 10**9))
    plan = decide(Snapshot(jobs=(jobs(count),)), limits, NOW)
    assert plan.create == -(-count // per_slave)
