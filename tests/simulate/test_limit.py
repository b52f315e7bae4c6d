import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model import Seconds
from simulate.limit import least
from simulate.trace import Job, Trace, in_order
from tests.simulate.made_up import OFFER, job


def at_submission(trace: Trace, kept: float = 0) -> float:
    return least(trace, {number: job.at for number, job in enumerate(trace)}, OFFER, 2, Seconds(kept))


@pytest.mark.parametrize(
    ("trace", "seconds"),
    [
        ((), 0),
        ((job(5, 10),), 10),
        ((job(0, 10), job(0, 10)), 10),  # two share a slave
        ((job(0, 10), job(5, 10), job(8, 1)), 15 + 1),  # three don't
        ((job(0, 10, memory_mib=3000), job(0, 10, memory_mib=3000)), 20),  # memory is what is scarce
        ((job(0, 10), job(100, 10)), 20),  # nothing is paid between
    ],
)
def test_as_many_slaves_as_hold_what_runs(trace: Trace, seconds: float) -> None:
    assert at_submission(trace) == seconds


@pytest.mark.parametrize(
    ("trace", "kept", "seconds"),
    [
        ((job(0, 10),), 5, 15),
        ((job(0, 10), job(100, 10)), 5, 30),
        ((job(0, 10), job(100, 10)), 95, 110 + 95),
        ((job(0, 10, cpus=2), job(0, 4, cpus=2)), 3, 13 + 7),
    ],
)
def test_with_an_idle_time_slaves_are_paid_for_so_much_longer(trace: Trace, kept: float, seconds: float) -> None:
    assert at_submission(trace, kept) == seconds


@given(st.lists(st.builds(job, st.integers(0, 500), st.integers(1, 300), st.integers(1, 2)), max_size=20))
def test_the_limit_is_never_less_than_the_work_and_grows_with_idle_time(jobs: list[Job]) -> None:
    work = sum(job.runs * job.request.cpus for job in jobs) / OFFER.cpus
    limits = [at_submission(in_order(jobs), kept) for kept in (0, 10, 1000)]
    assert [work, *limits] == sorted([work, *limits])
