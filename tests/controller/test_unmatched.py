"""Which groups of jobs are found to wait for something else than a slave."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from controller.model import JobGroup, Phase, Room, Slave
from controller.unmatched import PATIENCE, TRY_AGAIN, Watch

START = datetime(2026, 1, 1, tzinfo=UTC)
SMALL, LARGE = Room(1, 500, 1000), Room(8, 500, 1000)
FREE = Room(2, 2000, 10_000)
JOBS = JobGroup(SMALL, idle=3, ripe=0)
SLAVE = Slave("a", Phase.IDLE, START, "id-a", free=FREE)


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


def test_jobs_without_a_slave_merely_wait() -> None:
    pool = Pool()
    assert not pool.unmatched(JOBS)
    assert not pool.unmatched(JOBS, after=PATIENCE * 10)


def test_a_slave_that_is_too_small_is_no_free_slot() -> None:
    pool, large = Pool(), JobGroup(LARGE, idle=3, ripe=0)
    assert not pool.unmatched(large, SLAVE)
    assert not pool.unmatched(large, SLAVE, after=PATIENCE)


def test_a_slave_with_as_many_jobs_as_it_may_have_is_no_free_slot() -> None:
    pool, full = Pool(), replace(SLAVE, phase=Phase.BUSY, jobs=2)
    assert not pool.unmatched(JOBS, full)
    assert not pool.unmatched(JOBS, full, after=PATIENCE)
    assert pool.unmatched(JOBS, full, after=PATIENCE, places=3) is False
    assert pool.unmatched(JOBS, full, after=PATIENCE, places=3)


def test_a_slave_made_for_fewer_jobs_is_no_free_slot_when_it_has_those() -> None:
    pool, full = Pool(), replace(SLAVE, phase=Phase.BUSY, jobs=1, places=1)
    assert not pool.unmatched(JOBS, full)
    assert not pool.unmatched(JOBS, full, after=PATIENCE)


def test_a_slave_that_takes_other_jobs_shows_that_matching_works() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    assert not pool.unmatched(JOBS, replace(SLAVE, phase=Phase.BUSY, jobs=1, free=SMALL), after=PATIENCE)


def test_unmatched_jobs_stay_so_when_the_slave_goes() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    assert pool.unmatched(JOBS, after=timedelta(minutes=5))
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


def test_they_count_again_after_a_while() -> None:
    pool = Pool()
    pool.unmatched(JOBS, SLAVE)
    pool.unmatched(JOBS, SLAVE, after=PATIENCE)
    assert not pool.unmatched(JOBS, after=TRY_AGAIN)


def test_impossible_jobs_are_not_called_unmatched_too() -> None:
    pool, never = Pool(), replace(JOBS, impossible="they ask for 64 CPUs")
    pool.unmatched(never, SLAVE)
    assert not pool.unmatched(never, SLAVE, after=PATIENCE)
