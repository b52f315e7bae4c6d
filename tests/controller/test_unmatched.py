"""Which groups of jobs are found to wait for something else than a slave."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.free_slaves import LONE_PATIENCE, PATIENCE
from controller.model import JobGroup, Phase, Room, Slave
from controller.unmatched import FIRST_PAUSE, LONGEST_PAUSE, Paused, Watch

START = datetime(2026, 1, 1, tzinfo=UTC)
SMALL, LARGE = Room(1, 500, 1000), Room(8, 500, 1000)
FREE = Room(2, 2000, 10_000)
JOBS = JobGroup(SMALL, idle=3, ripe=0)
SLAVE = Slave("a", Phase.BUSY, START, "id-a", jobs=1, free=FREE)
IDLE = Slave("b", Phase.IDLE, START, "id-b", free=FREE)


class Pool:
    """Looks at jobs and slaves, with a clock that goes on."""

    def __init__(self) -> None:
        self.watch, self.now = Watch(), START

    def unmatched(
        self, jobs: JobGroup = JOBS, *slaves: Slave, after: timedelta = timedelta(0), places: int = 2
    ) -> bool:
        """Whether none of these jobs counts."""
        return self.counted(jobs, *slaves, after=after, places=places) == 0

    def counted(self, jobs: JobGroup, *slaves: Slave, after: timedelta = timedelta(0), places: int = 2) -> int:
        self.now += after
        groups = self.watch.look((jobs,), slaves, places, self.now)
        assert sum(group.idle for group in groups) == jobs.idle
        assert sum(group.ripe for group in groups) == jobs.ripe
        return sum(group.idle for group in groups if not group.unmatched)


def test_jobs_beside_a_free_slave_are_unmatched_after_two_cycles() -> None:
    pool = Pool()
    assert not pool.unmatched(JOBS, SLAVE)
    assert not pool.unmatched(JOBS, SLAVE, after=PATIENCE - timedelta(seconds=1))
    assert pool.unmatched(JOBS, SLAVE, after=timedelta(seconds=1))


def test_one_idle_slave_may_be_out_of_reach_and_proves_it_later() -> None:
    pool = Pool()
    assert not pool.unmatched(JOBS, IDLE)
    assert not pool.unmatched(JOBS, IDLE, after=LONE_PATIENCE - timedelta(seconds=1))
    assert pool.unmatched(JOBS, IDLE, after=timedelta(seconds=1))


def test_two_idle_slaves_are_hardly_both_out_of_reach() -> None:
    pool, two = Pool(), (IDLE, replace(IDLE, name="c"))
    assert not pool.unmatched(JOBS, *two)
    assert pool.unmatched(JOBS, *two, after=PATIENCE)


def test_jobs_without_a_slave_merely_wait() -> None:
    pool = Pool()
    assert not pool.unmatched(JOBS)
    assert not pool.unmatched(JOBS, after=PATIENCE * 10)


def test_a_slave_that_is_too_small_is_no_free_slot() -> None:
    pool, large = Pool(), JobGroup(LARGE, idle=3, ripe=0)
    assert not pool.unmatched(large, SLAVE)
    assert not pool.unmatched(large, SLAVE, after=PATIENCE)


def test_a_slave_with_as_many_jobs_as_it_may_have_is_no_free_slot() -> None:
    pool, full = Pool(), replace(SLAVE, jobs=2)
    assert not pool.unmatched(JOBS, full)
    assert not pool.unmatched(JOBS, full, after=PATIENCE)
    assert pool.unmatched(JOBS, full, after=PATIENCE, places=3) is False
    assert pool.unmatched(JOBS, full, after=PATIENCE, places=3)


def test_a_slave_made_for_fewer_jobs_is_no_free_slot_when_it_has_those() -> None:
    pool, full = Pool(), replace(SLAVE, jobs=1, places=1)
    assert not pool.unmatched(JOBS, full)
    assert not pool.unmatched(JOBS, full, after=PATIENCE)


def test_a_slave_that_takes_other_jobs_shows_that_matching_works() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    assert not pool.unmatched(JOBS, replace(SLAVE, jobs=2, free=SMALL), after=PATIENCE)


def test_unmatched_jobs_stay_so_when_the_slave_goes() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    assert pool.unmatched(JOBS, after=timedelta(minutes=4))
    assert pool.unmatched(replace(JOBS, idle=30)), "more of the same"


def test_other_jobs_of_the_same_request_count_beside_unmatched_ones() -> None:
    """Or one user's odd job would keep slaves from everybody's."""
    pool, others = Pool(), replace(JOBS, kind="of somebody else")
    pool.unmatched(JOBS, SLAVE)
    assert pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    marked = pool.watch.look((JOBS, others), (), 2, pool.now)
    assert [group.unmatched for group in marked] == [True, False]


def test_a_start_of_one_of_them_does_not_end_it() -> None:
    """Under a limit one starts whenever another has ended."""
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    assert pool.unmatched(replace(JOBS, idle=2), SLAVE)
    assert pool.unmatched(replace(JOBS, idle=1))


def test_one_is_tried_when_they_have_taken_the_last_slot_that_stood_free() -> None:
    pool, full = Pool(), replace(SLAVE, jobs=2, free=Room(1, 1500, 9000))
    many = replace(JOBS, idle=30, ripe=20)
    pool.unmatched(many, SLAVE)
    pool.unmatched(many, SLAVE, after=PATIENCE)
    assert pool.unmatched(many, full), "it was others' job"
    assert pool.counted(many, SLAVE, after=PATIENCE) == 0
    assert pool.counted(many, SLAVE, after=PATIENCE) == 0
    tried, rest = pool.watch.look((replace(many, idle=29),), (full,), 2, pool.now)
    assert (tried.idle, tried.ripe, tried.unmatched, tried.elsewhere) == (1, 1, False, True)
    assert (rest.idle, rest.ripe, rest.unmatched, rest.again_at) == (28, 19, True, None)
    assert tried.tried


def test_as_many_more_count_as_have_started_on_slaves_that_have_joined_since() -> None:
    pool, jobs = tried(), replace(JOBS, idle=30)
    assert pool.counted(jobs, SLAVE) == 1
    joined = replace(IDLE, name="new")
    assert pool.counted(jobs, SLAVE, joined, after=timedelta(seconds=5)) == 0, "there is a slot now"
    full = replace(joined, phase=Phase.BUSY, jobs=2, free=Room(0, 1000, 8000))
    assert pool.counted(replace(jobs, idle=28), SLAVE, full, after=timedelta(seconds=5)) == 3
    assert pool.counted(replace(jobs, idle=20), SLAVE, full, after=timedelta(seconds=5)) == 3, "on old ones"
    third = replace(full, name="other")
    assert pool.counted(replace(jobs, idle=18), SLAVE, full, third, after=timedelta(seconds=5)) == 5
    half = replace(third, jobs=1, free=SMALL)
    assert pool.counted(replace(jobs, idle=18), SLAVE, full, half, after=LONE_PATIENCE) == 4, "room that none can use"
    assert pool.counted(replace(jobs, idle=5), SLAVE, full, third, after=timedelta(seconds=5)) == 5
    assert pool.watch.held == {}, "all of it"
    assert not pool.unmatched(jobs, SLAVE, after=timedelta(seconds=5)), "what stood there before proves nothing"


@pytest.mark.parametrize("goes", [False, True])
def test_they_are_unmatched_for_longer_when_a_slave_that_has_joined_since_stands_or_goes_idle(*, goes: bool) -> None:
    pool, joined = tried(), replace(IDLE, name="new")
    pool.unmatched(JOBS, SLAVE, joined, after=timedelta(seconds=5))
    if goes:
        assert pool.unmatched(JOBS, SLAVE, after=timedelta(seconds=30))
    else:
        assert pool.unmatched(JOBS, SLAVE, joined, after=LONE_PATIENCE)
    (held,) = pool.watch.held.values()
    assert held == Paused(pool.now + 2 * FIRST_PAUSE, "new", times=2)


def test_where_slots_are_still_being_given_out_those_that_stand_free_prove_nothing() -> None:
    """Thousands of jobs take HTCondor minutes to start."""
    pool, jobs = Pool(), replace(JOBS, idle=900)
    free = [replace(IDLE, name=f"s{number:02}") for number in range(50)]
    for number in range(50):
        jobs = replace(jobs, idle=jobs.idle - 2)
        taken = [replace(slave, phase=Phase.BUSY, jobs=2, free=Room(0, 0, 0)) for slave in free[:number]]
        assert pool.counted(jobs, *taken, *free[number:], after=timedelta(seconds=5)) == jobs.idle


def test_jobs_that_start_where_others_end_dont_hide_that_slots_stand_free() -> None:
    """Under a limit: with as many running as before, HTCondor isn't still giving out slots."""
    pool, jobs, other, unmatched = Pool(), replace(JOBS, idle=900), replace(SLAVE, name="o"), False
    for number in range(6):
        ends, starts = (SLAVE, other) if number % 2 else (other, SLAVE)
        slaves = (replace(ends, jobs=1), replace(starts, jobs=2, free=SMALL), replace(IDLE, name="c"))
        jobs = replace(jobs, idle=jobs.idle - 1)
        unmatched = pool.unmatched(jobs, *slaves, after=timedelta(seconds=90), places=3)
    assert unmatched


def tried() -> Pool:
    """A pool with jobs that are unmatched beside a busy slave, at the end of their pause."""
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    assert pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    pool.unmatched(JOBS, SLAVE, after=FIRST_PAUSE)
    return pool


def test_of_several_kinds_one_is_tried_and_what_it_brings_tells_of_all() -> None:
    watch, kinds = Watch(), tuple(replace(JOBS, kind=str(number)) for number in range(4))

    def counted(*slaves: Slave, seconds: float) -> list[str]:
        groups = watch.look(kinds, slaves, 2, START + timedelta(seconds=seconds))
        return [group.kind for group in groups if group.tried]

    def paused() -> list[int]:
        return [held.times for held in watch.held.values() if isinstance(held, Paused)]

    pause, new = (PATIENCE + FIRST_PAUSE).total_seconds(), replace(IDLE, name="new")
    counted(SLAVE, seconds=0)
    assert (counted(SLAVE, seconds=60), paused()) == ([], [1, 1, 1, 1])
    assert counted(SLAVE, seconds=pause) == ["0"]
    assert counted(SLAVE, seconds=pause + 50) == ["0"]
    assert counted(SLAVE, new, seconds=pause + 60) == []
    assert counted(SLAVE, new, seconds=pause + 359) == []
    assert (counted(SLAVE, new, seconds=pause + 360), paused()) == ([], [2, 2, 2, 2])


def test_a_kind_that_starts_on_what_another_one_brought_counts_beside_it() -> None:
    watch, kinds = Watch(), tuple(replace(JOBS, kind=kind) for kind in "ab")
    for seconds in (0, 60, 360):
        watch.look(kinds, (SLAVE,), 2, START + timedelta(seconds=seconds))
    full = replace(SLAVE, name="new", jobs=2, free=Room(0, 1000, 8000))
    left = (kinds[0], replace(kinds[1], idle=1))
    groups = watch.look(left, (SLAVE, full), 2, START + timedelta(seconds=420))
    assert [(g.kind, g.idle, g.tried) for g in groups if not g.unmatched] == [("a", 1, True), ("b", 1, False)]


def test_kinds_whose_slave_is_too_small_for_others_dont_keep_these_from_their_turn() -> None:
    watch, other = Watch(), replace(JOBS, request=LARGE, kind="large")
    wide = replace(SLAVE, free=LARGE)
    for seconds in (0, 60, 360):
        watch.look((JOBS, other), (wide,), 20, START + timedelta(seconds=seconds))
    new = replace(IDLE, name="new")
    turns = []
    for seconds in (420, 719, 720):
        groups = watch.look((JOBS, other), (wide, new), 20, START + timedelta(seconds=seconds))
        turns.append([group.kind for group in groups if group.tried])
    assert turns == [[], [], ["large"]]


def test_a_kind_that_was_found_later_is_tried_with_the_first() -> None:
    watch, late = Watch(), replace(JOBS, kind="late")
    for seconds, kinds in ((0, (JOBS,)), (60, (JOBS,)), (200, (JOBS, late)), (260, (JOBS, late)), (360, (JOBS, late))):
        watch.look(kinds, (SLAVE,), 2, START + timedelta(seconds=seconds))
    new = replace(IDLE, name="new")
    for seconds in (420, 720):
        watch.look((JOBS, late), (SLAVE, new), 2, START + timedelta(seconds=seconds))
    assert {type(held) for held in watch.held.values()} == {Paused}
    assert {held.times for held in watch.held.values()} == {2}


def test_settings_that_have_changed_end_every_pause() -> None:
    """What was mended in them may have been what held the jobs."""
    watch, seconds, counted = Watch(), 0, []
    for seconds, slave, settings in (
        (0, SLAVE, "old"),
        (60, SLAVE, "old"),
        (65, SLAVE, "old"),
        (70, replace(SLAVE, outdated=True), "new"),
        (75, replace(SLAVE, outdated=True), "new"),
    ):
        groups = watch.look((JOBS,), (slave,), 2, START + timedelta(seconds=seconds), settings)
        counted.append(sum(group.idle for group in groups if not group.unmatched))
    assert counted == [3, 0, 0, 1, 1]


def test_they_are_tried_after_a_while_that_doubles() -> None:
    """Also while the slave stands there: it may be the one at fault. And jobs that arrive hide that others started."""
    pool, pauses, arrived = Pool(), [], JOBS
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    for number in range(6):
        (marked,) = pool.watch.look((arrived,), (SLAVE,), 2, pool.now)
        assert marked.unmatched
        assert marked.again_at is not None
        pauses.append(marked.again_at - pool.now)
        pool.now = marked.again_at
        arrived = replace(arrived, idle=arrived.idle + 1)
        assert pool.counted(arrived, SLAVE) == 1
        new = replace(IDLE, name=f"new{number}")
        assert pool.unmatched(arrived, SLAVE, new, after=timedelta(seconds=60))
        assert pool.unmatched(arrived, SLAVE, new, after=LONE_PATIENCE)
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_an_outdated_slave_is_no_evidence_but_none_for_them() -> None:
    watch, old = Watch(), replace(SLAVE, outdated=True)
    for seconds, slaves, elsewhere in (
        (0, (old,), False),
        (59, (old,), False),
        (60, (old,), True),
        (90, (old, replace(IDLE, name="new")), False),
        (120, (old, replace(SLAVE, name="new", jobs=2)), True),
    ):
        (group,) = watch.look((JOBS,), slaves, 2, START + timedelta(seconds=seconds))
        assert (group.unmatched, group.elsewhere) == (False, elsewhere)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 2), st.booleans()), max_size=60))
def test_one_bad_slave_never_stops_growth_for_longer_than_the_longest_pause(
    looks: list[tuple[int, int, bool]],
) -> None:
    pool, waiting, since = Pool(), 1, None
    for seconds, arrived, there in looks:
        waiting += arrived
        before = pool.now
        marked = pool.unmatched(
            replace(JOBS, idle=waiting), *([IDLE] if there else []), after=timedelta(seconds=seconds)
        )
        since = (since or before) if marked else None
        assert since is None or pool.now - since <= LONE_PATIENCE + LONGEST_PAUSE + timedelta(seconds=2 * seconds)


def test_impossible_jobs_are_not_called_unmatched_too() -> None:
    pool, never = Pool(), replace(JOBS, impossible="they ask for 64 CPUs")
    pool.unmatched(never, SLAVE)
    assert not pool.unmatched(never, SLAVE, after=PATIENCE)


def test_many_groups_beside_many_slaves_are_compared_with_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with each would take seconds a look: the next is to come after three."""
    compared: list[Room] = []
    holds = Room.holds

    def counted(room: Room, request: Room) -> int:
        compared.append(request)
        return holds(room, request)

    monkeypatch.setattr(Room, "holds", counted)
    groups = tuple(JobGroup(Room(1, 500 + number, 1000), idle=1, ripe=0) for number in range(50))
    slaves = tuple(replace(IDLE, name=f"s{number}") for number in range(100))
    watch = Watch()
    watch.look(groups, slaves, 2, START)
    assert all(group.unmatched for group in watch.look(groups, slaves, 2, START + PATIENCE))
    assert len(compared) <= 2 * len(groups)


def test_a_slave_is_unchanged_for_a_group_only_since_both_are_there() -> None:
    pool, late = Pool(), replace(JOBS, request=LARGE, kind="late")
    large = replace(SLAVE, free=LARGE)
    assert not pool.unmatched(JOBS, large)
    assert not pool.unmatched(late, large, after=PATIENCE)
    assert not pool.unmatched(late, large, after=PATIENCE - timedelta(seconds=1))
    assert pool.unmatched(late, large, after=timedelta(seconds=1))


def overlooked(pool: Pool, *slaves: Slave, seconds: int = 1200) -> list[int]:
    """When it is said, in looks 5 s apart."""
    said = []
    for second in range(0, seconds, 5):
        pool.unmatched(JOBS, *slaves, after=timedelta(seconds=5 if second else 0))
        if pool.watch.overlooked(pool.now):
            said.append(second)
    return said


def test_that_jobs_may_have_been_overlooked_is_said_after_longer_and_longer_pauses() -> None:
    pool = Pool()
    assert overlooked(pool, IDLE) == [75, 150, 300, 600]
    pool.unmatched(replace(JOBS, idle=0), IDLE)
    assert overlooked(pool, IDLE, seconds=100) == [75], "other jobs"


def test_jobs_are_not_overlooked_for_longer_because_others_are_held() -> None:
    watch, held, lost = Watch(), replace(JOBS, kind="held"), replace(JOBS, kind="lost")
    said = []
    for second in range(0, 4000, 5):
        now = START + timedelta(seconds=second)
        watch.look((held, lost) if second >= 3000 else (held,), (IDLE,), 2, now)
        if watch.overlooked(now):
            said.append(second)
    assert said == [75, 150, 300, 600, 1200, 2400, 3075, 3150, 3300, 3600]


def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    pool = Pool()
    assert overlooked(pool, IDLE, seconds=80) == [75]
    pool.now -= timedelta(hours=3)
    pool.watch.shift(timedelta(hours=-3))
    assert overlooked(pool, IDLE, seconds=80) == [75]


def test_no_job_is_overlooked_while_slaves_change_or_lack_room() -> None:
    assert overlooked(Pool(), replace(IDLE, free=Room(0, 2000, 10_000))) == []
    pool = Pool()
    for jobs in range(200):
        pool.unmatched(JOBS, replace(SLAVE, jobs=1 + jobs % 2), after=timedelta(seconds=5), places=4)
        assert not pool.watch.overlooked(pool.now)
