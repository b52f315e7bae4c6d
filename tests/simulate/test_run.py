from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.model import Seconds
from simulate.limit import least
from simulate.policies import Controller, Elastiq, Policy
from simulate.pool import Duration, Pool, Site
from simulate.run import clairvoyant, percentile, run
from simulate.trace import Trace, in_order
from tests.simulate.made_up import LIMITS, OFFER, SITE, job


def elastiq() -> Elastiq:
    return Elastiq(max_vms=5, min_vms=0, n_jobs_per_vm=2, idle_for_time_s=Seconds(60))


def test_two_jobs_under_our_rule_by_hand() -> None:
    # 0: a slave is wanted; 3: asked for; 13: ACTIVE; 33: joined; 37: both jobs start there, and end at 87 and 137.
    # 198: the first look at which it has been idle for 60 s; 201: its deletion is asked for; 206: gone.
    result = run((job(0, 100), job(10, 50)), Controller(LIMITS), SITE)
    assert result.vm_hours * 3600 == pytest.approx(206 - 3)
    assert (result.wait_mean, result.wait_95) == pytest.approx(((37 + 27) / 2, 37))
    assert (result.boots, result.wasted, result.never_ran) == (1, 0, 0)
    moments = [(0, 0, 0, 1), (3, 1, 0, 1), (10, 1, 0, 2), (13, 1, 0, 2), (33, 1, 0, 2), (37, 1, 2, 0)]
    moments += [(87, 1, 1, 0), (137, 1, 0, 0), (201, 0, 0, 0)]
    assert [(m.at, m.slaves, m.running_cpus, m.waiting) for m in result.moments] == [pytest.approx(m) for m in moments]


def test_two_jobs_under_elastiqs_rule_by_hand() -> None:
    # 45: the first look after more than 40 s asks for ceil(2/2); 75: joined; 79: both jobs start, the last ends at 179.
    # The workers are looked at each 45 s: idle since 180 as far as it knows, and for more than 60 s at 270; 275: gone.
    result = run((job(0, 100), job(10, 50)), elastiq(), SITE)
    assert result.vm_hours * 3600 == pytest.approx(275 - 45)
    assert (result.wait_mean, result.wait_95) == pytest.approx(((79 + 69) / 2, 79))
    assert (result.boots, result.wasted) == (1, 0)


def test_the_limit_pays_for_what_runs_and_lets_nobody_wait() -> None:
    result = clairvoyant((job(0, 100), job(10, 50), job(20, 10)), SITE)
    assert result.vm_hours * 3600 == 100 + 10  # the third job needs a second slave for 10 s
    assert max(result.wait_mean, result.wait_95) == 0.0


def test_the_limit_of_a_runs_own_starts_lets_jobs_begin_when_they_did_there() -> None:
    trace = (job(0, 20), job(30, 20))
    starts = run(trace, Controller(LIMITS), SITE).started
    assert starts == {0: 34, 1: 34}, "both begin in the cycle after the slave has booted"
    assert clairvoyant(trace, SITE).vm_hours * 3600 == 40
    assert clairvoyant(trace, SITE, started=starts).vm_hours * 3600 == 20


def test_a_slave_that_boots_for_a_job_that_another_takes_is_wasted() -> None:
    slow = replace(SITE, boot=Duration(Seconds(200)))
    result = run((job(0, 5, cpus=2), job(1, 20, cpus=2)), Controller(LIMITS), slow)
    assert (result.boots, result.wasted) == (2, 1)


def test_jobs_that_no_slave_can_hold_are_counted_and_cost_nothing() -> None:
    result = run((job(0, 100, cpus=3),), Controller(LIMITS), SITE)
    assert (result.never_ran, result.vm_hours, result.boots) == (1, 0, 0)


def test_jobs_that_a_policy_makes_no_slave_for_end_the_run() -> None:
    result = run((job(0, 100),), Controller(replace(LIMITS, max_slaves=0)), SITE)
    assert (result.jobs, result.never_ran) == (1, 1)
    below = replace(elastiq(), waiting_jobs_threshold=2)
    assert run((job(0, 100),), below, SITE).never_ran == 1


def test_a_minimum_is_kept_and_paid_for() -> None:
    result = run((job(0, 100),), Controller(replace(LIMITS, min_slaves=2)), SITE)
    assert (result.boots, result.moments[-1].slaves) == (2, 2)


def test_jobs_that_come_while_a_slave_is_idle_dont_wait_for_a_boot() -> None:
    result = run((job(0, 100), job(150, 10)), Controller(LIMITS), SITE)
    assert result.boots == 1
    assert result.wait_mean == pytest.approx((37 + 4) / 2)


def test_percentiles() -> None:
    assert [percentile(range(1, 101), share) for share in (50, 95, 100)] == [50, 95, 100]
    assert (percentile([7], 95), percentile([], 95)) == (7, 0)


traces = st.lists(
    st.builds(job, st.integers(0, 1500), st.integers(1, 900), st.integers(1, 2), st.sampled_from([0, 900, 4000])),
    min_size=1,
    max_size=15,
).map(in_order)
sites = st.builds(
    lambda spread, quota, stock: replace(
        SITE,
        build=Duration(Seconds(10), spread),
        boot=Duration(Seconds(60), spread),
        quota=quota,
        depth_first=not stock,
        last_used_first=not stock,
    ),
    st.sampled_from([0, 0.5]),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
)
policies = st.sampled_from(["ours", "ours with a threshold", "elastiq"])


def policy(name: str) -> Policy:
    match name:
        case "ours":
            return Controller(LIMITS)
        case "ours with a threshold":
            return Controller(replace(LIMITS, waiting_jobs_threshold=4, min_slaves=1))
        case _:
            return elastiq()


@settings(max_examples=25, deadline=None)
@given(traces, sites, policies, st.integers(0, 3))
def test_laws(trace: Trace, site: Site, name: str, seed: int) -> None:
    result = run(trace, policy(name), site, seed)
    assert result.never_ran == 0, "no job is lost"
    assert result.wait_mean >= site.negotiation, "nobody starts before the negotiator has looked"
    most = min(LIMITS.max_slaves, site.quota or LIMITS.max_slaves)
    assert max(moment.slaves for moment in result.moments) <= most, "within the limits"
    assert all(m.running_cpus <= m.slaves * OFFER.cpus for m in result.moments), "no slave runs more than it holds"
    assert all(a.at < b.at for a, b in pairwise(result.moments)), "time goes on"
    assert result.moments[-1].running_cpus == result.moments[-1].waiting == 0
    assert result == run(trace, policy(name), site, seed), "the same again"


@settings(max_examples=25, deadline=None)
@given(traces, sites, policies)
def test_no_run_is_cheaper_than_the_limit_of_its_own_starts(trace: Trace, site: Site, name: str) -> None:
    tried = policy(name)
    pool = Pool(trace, site)
    tried.start(pool)
    while not pool.done:
        pool.step()
    paid = pool.server_seconds + sum(pool.now - server.created for server in pool.servers.values())
    assert paid >= least(trace, pool.started, OFFER, site.jobs_per_slave) - 1e-6
    assert all(at >= trace[number].at for number, at in pool.started.items())
