"""Each state of a job, a slave and the cluster has one answer in words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cli.master.condor import Slot
from cli.master.why import Explanation, Job, of_job, of_scaling, of_slave
from controller.model import JobGroup, Phase, Room
from controller.status import Update
from tests.cli.master.made_up import NOW


def job(**ad: Any) -> Job:
    there = {"ClusterId": 12, "ProcId": 0, "JobStatus": 1, "Owner": "ada", "RequestCpus": 1, "RequestMemory": 100}
    return Job.of({**there, "RequestDisk": 1000, "EnteredCurrentStatus": int(NOW.timestamp()) - 300, **ad})


def slot(name: str = "a", cpus: int = 2, started: float = 0, gpus: int = 0) -> Slot:
    return Slot(f"ecm-dev-slave-{name}", Room(cpus, 1920, 10_000_000, gpus), int(started), "10.0.0.9")


def why(job: Job, told: Any, *slots: Slot) -> Explanation:
    return of_job(job, told, list(slots), NOW)


@pytest.mark.parametrize(
    ("ad", "says"),
    [
        ({"JobStatus": 2, "RemoteHost": "slot1_1@s.pool"}, "12.0 has been running on s.pool for 5 min"),
        ({"JobStatus": 5, "HoldReason": "no such file"}, "12.0 has been held for 5 min: no such file"),
        ({"JobStatus": 4, "ExitCode": 0}, "12.0 has ended 5 min ago"),
        ({"JobStatus": 3}, "12.0 was removed 5 min ago"),
        ({"JobStatus": 6}, "12.0 has been moving its files for 5 min"),
        ({"JobUniverse": 12}, "a local job runs on the master, no slave is made for it"),
        ({"RequestCpus": 64}, "can never run here: it asks for 64 CPUs, a slave has 2"),
        ({"RequestMemory": 4096}, "can never run here: it asks for 4096 MiB of memory, a slave has 1920"),
        (
            {"LastRejMatchReason": "concurrency limit license reached"},
            "other jobs use up what its concurrency limits allow",
        ),
        ({"LastRejMatchReason": "submitter limit exceeded"}, "ada's share of the pool is used up"),
    ],
)
def test_a_job_says_where_it_is(status: Any, ad: dict[str, Any], says: str) -> None:
    assert says in why(job(**ad), status()).answer


def test_a_job_at_a_concurrency_limit_says_who_has_it(status: Any) -> None:
    answer = why(job(LastRejMatchReason="concurrency limit license reached "), status())
    assert answer.answer.endswith(": concurrency limit license reached")
    assert answer.do == "condor_q -allusers -run -constraint 'ConcurrencyLimits =!= undefined'"


def test_a_held_job_says_how_to_go_on(status: Any) -> None:
    assert "condor_release 12.0" in why(job(JobStatus=5), status()).do


def test_what_the_controller_found_impossible_is_told(status: Any) -> None:
    group = JobGroup(Room(1, 100, 1000), 1, 1, "no slave meets their requirements: Arch == 1")
    assert "no slave meets their requirements" in why(job(), status(demand=(group,))).answer


def test_a_job_that_could_run_is_not_blamed_for_another_of_the_same_request(status: Any) -> None:
    there = Room(1, 100, 1000)
    groups = (JobGroup(there, 1, 1, "no slave meets their requirements: Arch == 1"), JobGroup(there, 1, 1, kind="b"))
    answer = why(job(), status(demand=groups, reasons=("enough: no job waits for a slave",)))
    assert "can never run" not in answer.answer
    assert "of jobs that ask for the same, some can never run: no slave meets their requirements" in answer.because[-1]


@pytest.mark.parametrize(
    ("groups", "says", "tried"),
    [
        ({"idle": 9, "unmatched": True, "again_at": NOW}, "holds 9 jobs of its kind", "tried again at"),
        ({"idle": 1, "elsewhere": True}, "holds it", "being tried with a new slave"),
    ],
)
def test_a_job_that_something_else_holds_says_when_one_is_tried(
    status: Any, groups: dict[str, Any], says: str, tried: str
) -> None:
    held = JobGroup(Room(1, 100, 1000), ripe=0, kind="a", beside="s9", **groups)
    for slots in ((), (slot(),)):
        answer = why(job(), status(demand=(held,)), *slots)
        assert answer.answer.endswith(f"something else than a lack of slots {says}")
        assert "beside s9" in answer.because[0]
        assert tried in answer.because[0]
        assert answer.do == "condor_q -better-analyze 12.0"
    others = JobGroup(Room(1, 100, 1000), 3, 3, kind="b")
    told = status(demand=(held, others), reasons=("at maximum: x",))
    answer = why(job(), told)
    assert "more slaves are wanted" in answer.answer
    assert "some are held by something else" in answer.because[-1]


def test_a_job_for_gpus_is_compared_with_what_slaves_have(status: Any) -> None:
    limits = replace(status().limits, offer=Room(2, 1920, 10_000_000, 1))
    assert "it asks for 2 GPUs, a slave has 1" in why(job(RequestGPUs=2), status(limits=limits)).answer
    told = status(limits=limits, reasons=("at maximum: x",))
    assert "no slot is free" in why(job(RequestGPUs=1), told, slot()).answer
    assert "has room for it" in why(job(RequestGPUs=1), told, slot(gpus=1)).answer


def test_a_job_for_gpus_can_never_run_when_the_controller_knows_that_slaves_have_none(status: Any) -> None:
    assert "can never run" not in why(job(RequestGPUs=1), status()).answer
    group = JobGroup(Room(1, 100, 1000, 1), 1, 1, "they ask for 1 GPUs, a slave has 0")
    assert "can never run here: they ask for 1 GPUs" in why(job(RequestGPUs=1), status(demand=(group,))).answer


def test_a_job_that_fits_a_free_slot_waits_for_the_negotiator(status: Any, slave: Any) -> None:
    told = status(slave("a", Phase.BUSY, jobs=1))
    assert "ecm-dev-slave-a has room for it" in why(job(), told, slot()).answer


def test_a_slave_with_as_many_jobs_as_it_may_has_no_room(status: Any, slave: Any) -> None:
    told = status(slave("a", Phase.BUSY, jobs=2), slave("b", Phase.BOOTING, old=40))
    assert "1 slave is on the way" in why(job(), told, slot()).answer


def test_a_slave_on_its_way_is_compared_with_the_usual_time(status: Any, slave: Any) -> None:
    told = status(slave("a", Phase.BUSY, jobs=2, old=600), slave("b", Phase.BOOTING, old=40))
    started = (NOW - timedelta(seconds=600 - 75)).timestamp()
    because = why(job(), told, slot("a", started=started)).because
    assert "ecm-dev-slave-b has been booting for 40 s" in because
    assert any("slaves here usually take 7" in line for line in because)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("at maximum: requesting 0 (out of desired 2): maxSlaves is 4", "more slaves are wanted than you allow"),
        ("at quota: requesting 0", "the project's quota has no room"),
        ("paused: by ada", "somebody paused the controller"),
        ("not ready: the first `pulumi up` hasn't ended yet", "the controller can't work yet"),
        ("waiting: 1 jobs wait, too few and not for long enough to count", "too few jobs wait"),
        ("enough: no job waits for a slave", "only just seen it"),
    ],
)
def test_without_a_slot_the_controllers_reason_is_given(status: Any, reason: str, says: str) -> None:
    answer = why(job(), status(reasons=(reason,)))
    assert says in answer.answer
    assert reason in answer.because


@pytest.mark.parametrize(
    ("phase", "more", "says"),
    [
        (Phase.BUSY, {"jobs": 2}, "stays: it runs 2 jobs, and no job is ever cut off"),
        (Phase.IDLE, {"idle_for": 30}, "has been idle for 30 s and stays until that is 10 min"),
        (Phase.IDLE, {"idle_for": 700}, "stays: 1 slave is kept (ecm:minSlaves)"),
        (Phase.BUSY, {"jobs": 1}, "stays: it runs 1 job, and"),
        (Phase.GONE, {}, "has been deleted"),
        (Phase.BOOTING, {}, "is on its way: it boots"),
        (Phase.BUILDING, {}, "is on its way: its server is being made"),
        (Phase.DRAINED, {}, "has been drained and goes"),
        (Phase.MISSING, {}, "was in the pool and isn't any more"),
        (Phase.FAILED, {}, "is failed and will be replaced"),
        (Phase.IDLE, {"reason": "idle: for 700 s"}, "goes: idle: for 700 s"),
        (Phase.IDLE, {"idle_for": 700, "kept": "no answer"}, "stays for now: it couldn't be drained or removed"),
    ],
)
def test_a_slave_says_why_it_lives_or_goes(
    status: Any, slave: Any, phase: Phase, more: dict[str, Any], says: str
) -> None:
    one = slave("a", phase, **more)
    assert says in of_slave(one, status(one), NOW).answer


@pytest.mark.parametrize("phase", [Phase.GONE, Phase.FAILED])
def test_a_slave_that_should_have_gone_says_what_keeps_it(status: Any, slave: Any, phase: Phase) -> None:
    one = slave("a", phase, kept="no answer")
    assert "no answer" in of_slave(one, status(one), NOW).because


def test_an_idle_slave_above_the_minimum_stays_for_jobs_only(status: Any, slave: Any) -> None:
    one = slave("a", Phase.IDLE, idle_for=700)
    assert "stays for jobs that wait" in of_slave(one, status(one, slave("b", Phase.BUSY)), NOW).answer


def test_an_idle_slave_may_be_one_of_the_spare_slots(status: Any, slave: Any) -> None:
    one = slave("a", Phase.IDLE, idle_for=700)
    told = status(one, slave("b", Phase.BUSY))
    told = replace(told, limits=replace(told.limits, spare_slots=2))
    assert "as one of 2 slots that are kept free (ecm:spareSlots)" in of_slave(one, told, NOW).answer


def test_an_idle_slave_stays_while_the_controller_is_paused(status: Any, slave: Any) -> None:
    one = slave("a", Phase.IDLE, idle_for=700)
    answer = of_slave(one, status(one, slave("b", Phase.BUSY), reasons=("paused: by ada",)), NOW)
    assert "stays for now: somebody paused the controller" in answer.answer
    assert answer.do == "ecm resume"


def test_a_job_whose_slave_is_being_made_says_so(status: Any) -> None:
    update = Update(NOW, 2, (), ("grow: 2 jobs wait",))
    assert "no slot is free, 2 slaves are being made" in why(job(), status(update=update)).answer


@pytest.mark.parametrize(("disk", "says"), [(20, "20 KiB of disk"), (10_240, "10 MiB of disk")])
def test_what_a_job_asks_for_is_told_in_units_that_show_it(status: Any, disk: int, says: str) -> None:
    (wants,) = why(job(RequestDisk=disk), status()).because
    assert wants == f"it asks for 1 CPU, 100 MiB of memory, {says}"


def test_scaling_says_nothing_twice(status: Any) -> None:
    told = status(reasons=("enough: no job waits for a slave",))
    assert of_scaling(told).because == ("enough: no job waits for a slave (nothing is to be done)",)


def test_scaling_gives_each_reason_with_its_meaning_and_what_to_do(status: Any, slave: Any) -> None:
    told = status(slave("a", Phase.BUSY), idle_jobs=7, reasons=("grow: 7 jobs wait", "at maximum: requesting 1"))
    assert of_scaling(told) == Explanation(
        "1 slave, between 1 and 4 are allowed; 7 jobs waiting",
        (
            "grow: 7 jobs wait (slaves are being made for jobs that wait)",
            "at maximum: requesting 1 (more slaves are wanted than you allow)",
        ),
        "wait a minute; raise ecm:maxSlaves: pulumi config set, pulumi up",
    )
