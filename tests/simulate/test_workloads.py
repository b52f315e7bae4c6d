from itertools import pairwise

import pytest

from simulate.workloads import DAY, WORKLOADS


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_seed_makes_one_trace_in_order_and_another_seed_another(name: str) -> None:
    trace = WORKLOADS[name](1, 0.1)
    assert trace == WORKLOADS[name](1, 0.1) != WORKLOADS[name](2, 0.1)
    assert all(a.at <= b.at for a, b in pairwise(trace))
    assert all(job.runs > 0 and job.request.cpus in (1, 2, 4) for job in trace)


def test_most_of_a_day_comes_in_the_afternoon() -> None:
    times = [(job.at % DAY) / 3600 for job in WORKLOADS["diurnal"](0, 1)]
    assert sum(11 <= hour < 17 for hour in times) > len(times) / 2


def test_a_tenth_of_a_long_tail_is_most_of_its_work() -> None:
    runs = sorted((job.runs for job in WORKLOADS["long tail"](0, 1)), reverse=True)
    assert sum(runs[: len(runs) // 10]) > sum(runs) / 2
