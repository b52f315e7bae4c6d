"""What the slot ads of a slave and the ads of waiting jobs are taken to say."""

from typing import Any, ClassVar

import classad2
import htcondor2
import pytest

from cluster.offer import offer
from controller import pool, template
from controller.errors import OutsideError
from controller.loop import HEARTBEAT_EVERY
from controller.model import Room, Seconds

WHOLE: dict[str, Any] = {
    "SlotType": "Partitionable",
    "State": "Unclaimed",
    "Cpus": 2,
    "Memory": 1900,
    "Disk": 4000,
    "NumDynamicSlots": 0,
    "NumDynamicSlotsTime": 900,
    "DaemonStartTime": 100,
    "MyCurrentTime": 1000,
    "LastHeardFrom": 5000.0,
}
DYNAMIC = {"SlotType": "Dynamic", "State": "Claimed"}
TEMPLATE = template.ad(offer(vcpus=1, ram_mib=1024, disk_gib=4, jobs_per_slave=None, docker=False, apptainer=None))
USUAL = (
    '(TARGET.Arch == "X86_64") && (TARGET.OpSys == "LINUX") && (TARGET.Disk >= RequestDisk) && '
    "(TARGET.Memory >= RequestMemory) && (TARGET.HasFileTransfer)"
)


def job(**attributes: object) -> Any:
    ad = classad2.ClassAd({"RequestCpus": 1, "RequestMemory": 100, "RequestDisk": 1000})
    for name, value in attributes.items():
        ad[name] = classad2.ExprTree(value) if isinstance(value, str) else value
    return ad


def why_impossible(ad: Any) -> str:
    return pool._impossible(ad, pool._request(ad), classad2.ClassAd(TEMPLATE))


def test_a_slave_is_idle_since_its_last_dynamic_slot_on_its_own_clock() -> None:
    seen = pool.machine([WHOLE], now=5007.0)
    assert (seen.claimed, seen.jobs, seen.idle_for) == (False, 0, Seconds(107))
    assert seen.free == Room(2, 1900, 4000)
    assert seen.places is None
    assert pool.machine([WHOLE | {"EcmJobs": 4}], now=5007.0).places == 4


def test_a_slave_that_never_had_a_job_is_idle_since_its_start() -> None:
    never = {key: value for key, value in WHOLE.items() if key != "NumDynamicSlotsTime"}
    assert pool.machine([never], now=5000.0).idle_for == Seconds(900)


@pytest.mark.parametrize(
    "ads",
    [
        [WHOLE, DYNAMIC],
        [WHOLE, {**DYNAMIC, "State": "Unclaimed"}],
        [{**WHOLE, "NumDynamicSlots": 1}],
        [{**WHOLE, "State": "Matched"}],
        [{**WHOLE, "State": "Preempting"}],
    ],
)
def test_any_sign_of_a_claim_makes_it_busy(ads: list[dict[str, Any]]) -> None:
    assert pool.machine(ads, now=5000.0).claimed


def test_of_a_slot_only_what_has_a_value_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = classad2.ClassAd('[Cpus = 2; HasIt = NoSuchThing; Loop = Loop + 1; Name = "slot1@a.pool"]')

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [slot]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    assert pool.whole_slot("a") == {"Cpus": 2, "Loop": None, "Name": "slot1@a.pool"}


def test_a_usual_job_is_possible() -> None:
    assert why_impossible(job(Requirements=USUAL)) == ""


@pytest.mark.parametrize(
    ("ad", "says"),
    [
        (job(RequestCpus=2), "they ask for 2 CPUs, a slave has 1"),
        (job(RequestMemory=1024), "they ask for 1024 MiB of memory, a slave has 896"),
        (job(RequestDisk=10**9), "KiB of disk"),
        (job(RequestGPUs=1), "they ask for 1 GPUs, a slave has 0"),
        (job(Requirements='TARGET.OpSys == "WINDOWS"'), "no slave meets their requirements"),
        (job(Requirements="TARGET.HasDocker"), "no slave meets their requirements"),
    ],
)
def test_a_job_that_no_slave_can_run_is_told_why(ad: Any, says: str) -> None:
    assert says in why_impossible(ad)


@pytest.mark.parametrize(
    ("wanted", "memory_mib"),
    [
        ('real("INF")', 2**62),
        ('real("NaN")', 1),
        ("RequestMemory + 1", 1),
        ("undefined", 1),
        ("1 / 0", 1),
        ("-3", 0),
        ("99.5", 100),
    ],
)
def test_an_odd_request_is_no_reason_to_stop(wanted: str, memory_mib: int) -> None:
    """Any user may write it, and it stays in the queue."""
    assert pool._request(job(RequestMemory=wanted)).memory_mib == memory_mib


def test_jobs_are_told_apart_by_what_may_keep_them_from_a_slot() -> None:
    usual = job(Requirements=USUAL, Owner='"ada"')
    others = [
        job(Requirements=USUAL, Owner='"bob"'),
        job(Requirements="TARGET.HasFileTransfer", Owner='"ada"'),
        job(Requirements=USUAL, Owner='"ada"', ConcurrencyLimits='"license"'),
        job(Requirements=USUAL, Owner='"ada"', AcctGroup='"physics"'),
    ]
    assert pool._kind(usual) == pool._kind(job(Requirements=USUAL, Owner='"ada"', ImageSize=7))
    assert len({pool._kind(ad) for ad in (usual, *others)}) == 5


def test_requirements_that_refer_to_themselves_are_never_met() -> None:
    assert "their requirements have no value" in why_impossible(job(Requirements="Requirements && TARGET.HasDocker"))


def test_requirements_that_cannot_be_judged_here_are_not_called_impossible() -> None:
    assert why_impossible(job(Requirements='TARGET.Machine == "x" || MY.Unknown')) == ""


def test_a_request_may_be_an_expression() -> None:
    ad = job(
        RequestMemory="ifthenelse(MemoryUsage =!= undefined, MemoryUsage, (ImageSize + 1023) / 1024)", ImageSize=4096
    )
    assert pool._request(ad).memory_mib == 4


def test_a_request_that_cannot_be_read_counts_as_the_least() -> None:
    assert pool._request(job(RequestMemory="Unheard")).memory_mib == 1


@pytest.mark.parametrize(
    ("docker", "apptainer", "wish", "impossible"),
    [
        (True, None, "TARGET.HasDocker", False),
        (True, None, "TARGET.HasContainer && TARGET.HasDockerURL", False),
        (False, None, "TARGET.HasDocker", True),
        (False, None, "TARGET.HasContainer && TARGET.HasSIF", False),  # the image may have Apptainer
        (False, False, "TARGET.HasContainer && TARGET.HasDockerURL", True),
        (True, False, "TARGET.HasContainer && TARGET.HasSIF", True),
        (True, True, "TARGET.HasContainer && TARGET.HasSIF", False),
        (False, True, "TARGET.HasContainer && TARGET.HasDockerURL", False),
    ],
)
def test_jobs_in_containers_are_judged_by_what_slaves_have(
    docker: bool, apptainer: bool | None, wish: str, impossible: bool
) -> None:
    offered = offer(vcpus=1, ram_mib=1024, disk_gib=4, jobs_per_slave=None, docker=docker, apptainer=apptainer)
    ad = job(Requirements=wish)
    assert bool(pool._impossible(ad, pool._request(ad), classad2.ClassAd(template.ad(offered)))) is impossible


class FakeCollector:
    """A collector that keeps what is advertised to it, or is away."""

    told: ClassVar[list[tuple[dict[str, Any], str]]] = []
    away = False

    def advertise(self, ads: list[Any], command: str) -> None:
        if self.away:
            raise htcondor2.HTCondorException("Failed to advertise to collector.")
        self.told.extend((dict(ad), command) for ad in ads)


def test_the_heartbeat_is_an_ad_that_outlives_a_missed_beat_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htcondor2, "Collector", FakeCollector)
    monkeypatch.setattr(FakeCollector, "told", [])
    pool.heartbeat()
    ((ad, command),) = FakeCollector.told
    assert command == "UPDATE_AD_GENERIC"
    # What `ecm-watch` asks for.
    assert (ad["MyType"], ad["Name"]) == ("EcmController", "controller")
    assert 2 * HEARTBEAT_EVERY.total_seconds() < ad["ClassAdLifetime"] <= 600


def test_a_collector_that_cannot_be_told_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htcondor2, "Collector", FakeCollector)
    monkeypatch.setattr(FakeCollector, "away", True)
    with pytest.raises(OutsideError, match="the collector can't be told of the controller - Failed to advertise"):
        pool.heartbeat()
