from cluster.offer import Offer
from cluster.settings import Settings, read
from simulate.scenario import compare
from tests.simulate.made_up import job

OFFERED = Offer(cpus=2, memory_mib=4000, disk_kib=10**6, jobs=2, docker=True, apptainer=None)
VALUES = {"ecm:image": "i", "ecm:masterFlavor": "m", "ecm:slaveFlavor": "s", "ecm:keyName": "k"}


def settings(**values: str) -> Settings:
    return read({**VALUES, **{f"ecm:{key}": value for key, value in values.items()}})


def test_one_run_for_each_set_of_settings_under_its_label() -> None:
    trace = tuple(job(0, 600) for _ in range(6))
    now, fewer, single = compare(
        trace,
        {"now": settings(), "fewer": settings(maxSlaves="1"), "single": settings(jobsPerSlave="1")},
        OFFERED,
    )
    assert [now.label, fewer.label, single.label] == ["now", "fewer", "single"]
    assert [now.boots, fewer.boots, single.boots] == [3, 1, 6]
    assert fewer.wait_mean > now.wait_mean


def test_a_longer_idle_time_costs_more() -> None:
    short, long = compare((job(0, 60),), {"short": settings(idleTime="60"), "long": settings(idleTime="3600")}, OFFERED)
    assert long.vm_hours - short.vm_hours > 0.95


def test_spare_slots_cost_more_and_let_later_jobs_wait_less() -> None:
    trace = (job(0, 3000), job(10, 3000), job(1000, 60))
    none, two = compare(trace, {"none": settings(), "two": settings(spareSlots="2")}, OFFERED)
    assert two.vm_hours > none.vm_hours
    assert two.wait_mean < none.wait_mean


def test_the_quota_holds() -> None:
    assert compare(tuple(job(0, 60) for _ in range(9)), {"now": settings()}, OFFERED, quota=2)[0].boots == 2
