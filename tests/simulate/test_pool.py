from dataclasses import replace

from controller.model import Seconds
from simulate.pool import Pool, Site
from simulate.trace import Trace
from tests.simulate.made_up import SITE, job


def pool_at(time: float, trace: Trace, slaves: int, site: Site = SITE) -> Pool:
    pool = Pool(trace, site)
    pool.create(slaves)
    while pool.next_event <= time:
        pool.step()
    pool.now = time
    return pool


def jobs(pool: Pool) -> list[int]:
    return sorted(server.jobs for server in pool.servers.values())


def test_one_cycle_fills_a_slave_before_the_next() -> None:
    assert jobs(pool_at(110, (job(100, 50), job(100, 50)), slaves=2)) == [0, 2]


def test_htcondors_own_cycle_gives_each_slave_away_once_and_then_fills_what_is_left() -> None:
    stock = replace(SITE, depth_first=False)
    assert jobs(pool_at(110, (job(100, 50), job(100, 50)), 2, stock)) == [1, 1]
    assert jobs(pool_at(110, tuple(job(100, 50) for _ in range(4)), 2, stock)) == [2, 2]


def test_a_job_goes_to_the_fullest_slave() -> None:
    pool = pool_at(200, (job(100, 500), job(100, 20), job(100, 500), job(150, 10)), slaves=3)
    assert jobs(pool) == [0, 1, 1]
    assert pool.started[3] == 154


def taken_by_the_third(first: float, second: float, site: Site) -> str:
    trace = (job(100, first, cpus=2), job(100, second, cpus=2), job(300, 50))
    return next(server.name for server in pool_at(310, trace, 2, site).servers.values() if server.jobs)


def test_of_equal_slaves_the_last_used_is_taken_again() -> None:
    assert taken_by_the_third(50, 20, SITE) != taken_by_the_third(20, 50, SITE)


def test_htcondor_by_itself_takes_equal_slaves_in_an_order_that_stays() -> None:
    stock = replace(SITE, last_used_first=False)
    assert taken_by_the_third(50, 20, stock) == taken_by_the_third(20, 50, stock)


def test_a_claim_is_used_again_at_once_until_it_is_too_old() -> None:
    trace = (job(100, 10, cpus=2), job(101, 10, cpus=2))
    assert pool_at(200, trace, slaves=1).started == {0: 104, 1: 114}
    assert pool_at(200, trace, 1, replace(SITE, claim_worklife=Seconds(10))).started == {0: 104, 1: 118}


def test_no_more_jobs_than_places_whatever_room_is_left() -> None:
    trace = tuple(job(100, 50) for _ in range(3))
    assert jobs(pool_at(110, trace, 2, replace(SITE, jobs_per_slave=1))) == [1, 1]


def test_a_slave_with_a_job_refuses_to_drain_and_a_drained_one_takes_no_job() -> None:
    pool = pool_at(110, (job(100, 500), job(200, 10, cpus=2)), slaves=2)
    assert sorted(pool.drain(name) for name in pool.servers) == [False, True]


def test_a_large_job_doesnt_hold_up_small_ones_behind_it() -> None:
    pool = pool_at(110, (job(90, 500), job(100, 50, cpus=2), job(101, 50)), slaves=1)
    assert set(pool.started) == {0, 2}
