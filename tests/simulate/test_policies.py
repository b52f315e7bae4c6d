from dataclasses import replace

import pytest

from controller.model import Seconds
from simulate.policies import Controller, Elastiq, Policy
from simulate.pool import Duration, Pool, Site
from simulate.trace import Trace
from tests.simulate.made_up import LIMITS, SITE, job

ELASTIQ = Elastiq(max_vms=9, min_vms=0, n_jobs_per_vm=2, idle_for_time_s=Seconds(60))
FIVE = tuple(job(0, 5000) for _ in range(5))


def after(time: float, policy: Policy, trace: Trace, site: Site = SITE) -> Pool:
    pool = Pool(trace, site)
    policy.start(pool)
    while pool.next_event <= time:
        pool.step()
    return pool


def test_elastiq_asks_for_jobs_divided_by_jobs_per_vm_rounded_up() -> None:
    assert [after(t, replace(ELASTIQ), FIVE).boots for t in (44, 45)] == [0, 3]


def test_elastiq_makes_servers_for_jobs_that_are_about_to_get_a_free_slot() -> None:
    trace = (job(0, 5), job(115, 500))  # the second waits for the negotiator when the queue is looked at
    patient = replace(SITE, negotiation=Seconds(10))
    forgetful = replace(ELASTIQ, estimated_vm_deploy_time_s=Seconds(30))
    assert [after(130, policy, trace, patient).boots for policy in (forgetful, replace(ELASTIQ))] == [2, 1]


def test_elastiq_takes_its_young_servers_for_unborn_ones() -> None:
    trace = (*(job(0, 5000) for _ in range(2)), job(200, 5000))
    assert [after(t, replace(ELASTIQ), trace).boots for t in (640, 720)] == [1, 2]


def test_elastiq_waits_for_its_threshold() -> None:
    assert after(9000, replace(ELASTIQ, waiting_jobs_threshold=6), FIVE).boots == 0
    assert after(100, replace(ELASTIQ, waiting_jobs_threshold=5), FIVE).boots == 3


def test_elastiq_counts_running_and_alleged_servers_against_its_maximum() -> None:
    assert after(100, replace(ELASTIQ, max_vms=2), FIVE).boots == 2
    six = (*FIVE[:4], *(job(300, 5000) for _ in range(4)))
    assert [after(t, replace(ELASTIQ, max_vms=4), six).boots for t in (600, 720)] == [2, 4]


def test_elastiq_keeps_its_minimum() -> None:
    pool = after(5000, replace(ELASTIQ, min_vms=2), (job(0, 10),))
    assert (pool.boots, len(pool.servers)) == (2, 2)


@pytest.mark.parametrize("policy", [Controller(LIMITS), ELASTIQ])
def test_nobody_goes_over_the_quota(policy: Policy) -> None:
    site = replace(SITE, quota=2)
    assert max(moment.slaves for moment in after(3000, policy, FIVE, site).moments) == 2


def test_our_updates_come_one_after_the_other() -> None:
    trace = (job(0, 500, cpus=2), job(4, 500, cpus=2))  # the second comes while the first's server is being made
    slow = replace(SITE, build=Duration(Seconds(100)))
    pool = Pool(trace, slow)
    Controller(LIMITS).start(pool)
    while pool.boots < 2:
        pool.step()
    assert pool.now == 108  # asked for at 3, ACTIVE at 103, looked at again at 105, asked for 3 s later


def test_ours_leaves_out_looks_that_show_nothing_new_and_no_others() -> None:
    trace = (job(0, 50), job(100, 5000), job(200, 20), job(9000, 100))
    every_look = Controller(LIMITS)
    every_look._time_matters = lambda: True  # type: ignore[method-assign]
    thorough, short = (after(12_000, policy, trace) for policy in (every_look, Controller(LIMITS)))
    assert thorough.moments == short.moments
