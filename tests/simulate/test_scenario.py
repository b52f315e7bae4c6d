from dataclasses import replace

from cluster.offer import Offer
from cluster.settings import keys, read
from simulate.scenario import PLAYED, Scenario, compare
from tests.simulate.made_up import job

OFFERED = Offer(cpus=2, memory_mib=4000, disk_kib=10**6, jobs=2, docker=True, apptainer=None)
VALUES = {"ecm:image": "i", "ecm:masterFlavor": "m", "ecm:slaveFlavor": "s", "ecm:keyName": "k"}


def scenario(**values: str) -> Scenario:
    return Scenario(read({**VALUES, **{f"ecm:{key}": value for key, value in values.items()}}), OFFERED)


def test_one_run_for_each_set_of_settings_under_its_label() -> None:
    trace = tuple(job(0, 600) for _ in range(6))
    now, fewer, single = compare(
        trace,
        {"now": scenario(), "fewer": scenario(maxSlaves="1"), "single": scenario(jobsPerSlave="1")},
    )
    assert [now.label, fewer.label, single.label] == ["now", "fewer", "single"]
    assert [now.boots, fewer.boots, single.boots] == [3, 1, 6]
    assert fewer.wait_mean > now.wait_mean


def test_a_longer_idle_time_costs_more() -> None:
    short, long = compare((job(0, 60),), {"short": scenario(idleTime="60"), "long": scenario(idleTime="3600")})
    assert long.vm_hours - short.vm_hours > 0.95


def test_spare_slots_cost_more_and_let_later_jobs_wait_less() -> None:
    trace = (job(0, 3000), job(10, 3000), job(1000, 60))
    none, two = compare(trace, {"none": scenario(), "two": scenario(spareSlots="2")})
    assert two.vm_hours > none.vm_hours
    assert two.wait_mean < none.wait_mean


def test_each_scenario_has_slaves_of_its_own_size() -> None:
    large = replace(scenario(), offered=replace(OFFERED, cpus=4, memory_mib=8000, jobs=4))
    small, half = compare(tuple(job(0, 600) for _ in range(4)), {"small": scenario(), "large": large})
    assert (small.boots, half.boots) == (2, 1)


def test_what_is_played_are_settings() -> None:
    assert set(keys()) > PLAYED
