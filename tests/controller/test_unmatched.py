"""Which groups of jobs are found to wait for something else than a slave."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import JobGroup, Phase, Room, Slave
from controller.unmatched import FIRST_PAUSE, LONE_PATIENCE, LONGEST_PAUSE, PATIENCE, Watch

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
        self.now += after
        (group,) = self.watch.look((jobs,), slaves, places, self.now)
        return group.unmatched


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


def test_a_start_of_one_of_them_ends_it() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    assert not pool.unmatched(replace(JOBS, idle=2))


def test_they_count_again_after_a_while_that_doubles() -> None:
    """Also while the slave stands there: it may be the one at fault. And jobs that arrive hide that others started."""
    pool, pauses, arrived = Pool(), [], JOBS
    pool.unmatched(JOBS, SLAVE)
    for _ in range(6):
        (marked,) = pool.watch.look((arrived,), (SLAVE,), 2, pool.now + PATIENCE)
        assert marked.unmatched
        assert (marked.beside, marked.again_at) == ("a", pool.watch.stuck[SMALL, ""].until)
        pauses.append(pool.watch.stuck[SMALL, ""].until - (pool.now + PATIENCE))
        pool.now = pool.watch.stuck[SMALL, ""].until
        arrived = replace(arrived, idle=arrived.idle + 1)
        assert not pool.unmatched(arrived, SLAVE), "they count again"
    assert pauses == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


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
        assert since is None or pool.now - since <= LONGEST_PAUSE + timedelta(seconds=seconds)


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
