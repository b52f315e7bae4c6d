"""A slave with a configuration of the user's: its startd is a real one."""

from collections.abc import Iterator

import classad2
import pytest

from bench.realpool import RealPool, real_pool, within
from controller import pool

pytestmark = pytest.mark.slow

OF_USER = """
START = TARGET.Owner == "ada"
STARTD_ATTRS = HasFoo
HasFoo = True
MAXJOBRETIREMENTTIME = 0
use POLICY:PREEMPT_IF_MEMORY_EXCEEDED
"""
JOB = "executable=/bin/sleep\narguments=600\nrequest_memory=100\nqueue\n"
TEN_YEARS = 10 * 365 * 24 * 3600


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool(("s1",), "ECM_JOBS = 1\n", of_user=OF_USER) as running:
        yield running


@pytest.mark.usefixtures("condor")
def test_it_joins_under_its_name_and_says_what_the_user_wants_said() -> None:
    assert pool.machines()["s1"].places == 1
    slot = pool.whole_slot("s1") or {}
    assert (slot["HasFoo"], slot["MaxJobRetirementTime"]) == (True, TEN_YEARS)


def test_it_takes_the_jobs_that_the_user_wants_and_no_more_at_once_than_it_may(condor: RealPool) -> None:
    def running() -> list[str]:
        return condor.run("condor_q", "-all", "-af", "Owner", "-constraint", "JobStatus == 2").split()

    condor.submit("bob", JOB)
    condor.submit("ada", JOB.replace("queue", "queue 2"))
    assert within(60, lambda: running() == ["ada"])
    assert not within(15, lambda: running() != ["ada"]), "it has a CPU for another"


@pytest.mark.parametrize(("used", "time"), [(50, TEN_YEARS), (300, -1)])
def test_a_policy_of_htcondors_still_ends_a_job_that_uses_too_much(condor: RealPool, used: int, time: int) -> None:
    expression = classad2.ExprTree(condor.run("condor_config_val", "MAXJOBRETIREMENTTIME").strip())
    slot = classad2.ClassAd({"JobUniverse": 5, "Memory": 200, "MemoryUsage": used})
    assert expression.eval(slot) == time
