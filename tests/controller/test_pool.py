"""What the slot ads of a slave and the ads of waiting jobs are taken to say."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, ClassVar

import classad2
import htcondor2
import pytest
import structlog

from cluster.offer import offer
from controller import answers, heartbeat, pool, template
from controller.errors import OutsideError
from controller.model import Claim, Room, Seconds
from tests.controller.made_up import SETTINGS

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
    "Name": "slot1@a.pool",
    "MyAddress": "<10.0.0.12:9618>",
    "StartdIpAddr": "<10.0.0.12:9618>",
}
NO_UTF8 = r'"M\374nster"'
"""As a ClassAd has it, which is bytes: Latin-1."""
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


def machine(*ads: dict[str, Any], now: float) -> pool.Machine:
    return pool.machine([classad2.ClassAd(ad) for ad in ads], now)


def test_a_slave_is_idle_since_its_last_dynamic_slot_on_its_own_clock() -> None:
    seen = machine(WHOLE, now=5007.0)
    assert (seen.claimed, seen.jobs, seen.idle_for) == (False, 0, Seconds(107))
    assert seen.free == Room(2, 1900, 4000)
    assert machine(WHOLE | {"GPUs": 1}, now=5007.0).free == Room(2, 1900, 4000, gpus=1)
    assert seen.places is None
    assert machine(WHOLE | {"EcmJobs": 4}, now=5007.0).places == 4


CLAIMED = {
    **DYNAMIC,
    "Activity": "Idle",
    "RemoteOwner": "ada@pool",
    "EnteredCurrentActivity": 990,
    "MyCurrentTime": 1000,
    "LastHeardFrom": 5000.0,
    "Cpus": 1,
    "Memory": 500,
    "Disk": 70,
}


def test_a_slot_that_was_just_claimed_is_its_owners_next_jobs() -> None:
    assert machine(WHOLE, CLAIMED, now=5007.0).claims == (Claim("ada", Room(1, 500, 70)),)
    for other in ({"Activity": "Busy"}, {"State": "Unclaimed"}, {"EnteredCurrentActivity": 900}):
        assert machine(WHOLE, CLAIMED | other, now=5007.0).claims == ()
    assert machine(WHOLE, CLAIMED, now=5060.0).claims == (), "nobody knows what has been since"


def test_an_ad_makes_no_slave_idle_for_longer_than_it_lives() -> None:
    """This machine's clock may have jumped since the ad came."""
    seen = machine(WHOLE, now=5000.0 + 7200)
    assert (seen.idle_for, seen.ad_age) == (Seconds(100 + 60), Seconds(7200))
    assert machine(WHOLE, now=5000.0 - 7200).idle_for == Seconds(100)


def test_a_slave_that_never_had_a_job_is_idle_since_its_start() -> None:
    never = {key: value for key, value in WHOLE.items() if key != "NumDynamicSlotsTime"}
    assert machine(never, now=5000.0).idle_for == Seconds(900)


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
    assert machine(*ads, now=5000.0).claimed


@pytest.mark.parametrize(
    "odd",
    [
        {"MyCurrentTime": None},
        {"MyCurrentTime": "x"},
        {"NumDynamicSlots": "x"},
        {"Cpus": "many"},
        {"Memory": float("inf")},
        {"Disk": float("nan")},
        {"EcmJobs": "x"},
        {"LastHeardFrom": None},
        {"NumDynamicSlotsTime": classad2.ExprTree("1 + Unheard")},
        {"DrainReason": classad2.ExprTree(NO_UTF8)},
        {"State": classad2.ExprTree(f"{{{NO_UTF8}}}")},
    ],
)
def test_a_slave_whose_ad_is_odd_is_busy_and_no_harm_to_the_others(
    odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ad = {key: value for key, value in (WHOLE | odd | {"EcmSlave": "evil"}).items() if value is not None}
    others = [WHOLE | {"EcmSlave": "good"}, WHOLE | {"EcmSlave": 7}, WHOLE | {"EcmSlave": classad2.ExprTree(NO_UTF8)}]

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [classad2.ClassAd(each) for each in (ad, *others)]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    seen = pool.machines()
    assert set(seen) == {"evil", "good"}
    assert seen["evil"].unreadable
    assert (seen["evil"].claimed, seen["evil"].free) == (True, Room(0, 0, 0))
    assert not seen["good"].claimed
    assert not seen["good"].unreadable


def test_of_a_slot_whose_job_runs_no_more_is_asked_than_counts_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of their ads, a thousand full slaves took a second and more at each look."""
    whole = WHOLE | {"EcmSlave": "a"}
    busy = CLAIMED | {"EcmSlave": "a", "Name": "slot1_1@a.pool", "Activity": "Busy"}
    begins = CLAIMED | {"EcmSlave": "a", "Name": "slot1_2@a.pool"}
    ended = busy | {"Name": "slot1_3@a.pool"}
    answers: list[int] = []

    class Collector:
        there = (whole, busy, begins, ended)

        def query(self, _kind: object, constraint: str, projection: list[str]) -> list[Any]:
            ads = [ad for ad in map(classad2.ClassAd, self.there) if classad2.ExprTree(constraint).eval(ad)]
            answers.append(len(projection) * len(ads))
            self.there = (whole, busy, begins, ended | {"Activity": "Idle"})
            return [classad2.ClassAd({key: ad[key] for key in projection if key in ad}) for ad in ads]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    seen = pool.machines()["a"]
    assert (seen.jobs, seen.claimed) == (3, True)
    assert answers[0] <= 2 * 5


@pytest.mark.parametrize(
    ("kind", "unreadable"),
    [
        (NO_UTF8, True),
        ("SlotType", True),
        ('{absTime("0000-01-01T00:00:00+00:00")}', True),
        ('strcat("Parti", "tionable")', False),
    ],
)
def test_a_slave_whose_slots_are_of_an_odd_kind_is_in_the_pool_and_busy_where_it_cannot_be_read(
    kind: str, monkeypatch: pytest.MonkeyPatch, *, unreadable: bool
) -> None:
    ad = classad2.ClassAd(WHOLE | {"EcmSlave": "evil", "SlotType": classad2.ExprTree(kind)})

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [ad]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    seen = pool.machines()["evil"]
    assert (bool(seen.unreadable), seen.claimed) == (unreadable, unreadable)


@pytest.mark.parametrize("kind", ["{1}", "[a = 1]", "1 / 0", "7", '"Static"'])
def test_a_slave_without_a_slot_that_takes_jobs_is_not_in_the_pool(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ads = [WHOLE | {"EcmSlave": "evil", "SlotType": classad2.ExprTree(kind)}, WHOLE | {"EcmSlave": "good"}]

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [classad2.ClassAd(ad) for ad in ads]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    assert set(pool.machines()) == {"good"}


def test_no_clock_of_a_slave_makes_it_idle_for_longer_than_there_are_dates() -> None:
    assert machine(WHOLE | {"MyCurrentTime": 1e18}, now=5000.0).idle_for <= pool.LONGEST_IDLE


def test_a_job_that_is_said_to_run_where_nothing_can_be_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = ['"slot1_1@a.pool"', NO_UTF8, "7"]

    class Schedd:
        def query(self, *_: object) -> list[Any]:
            return [job(RemoteHost=host) for host in hosts] + [job()]

    monkeypatch.setattr(pool, "_schedd", Schedd)
    assert pool.running_on() == frozenset({"a"})


@pytest.mark.parametrize(("status", "there"), [(1, False), (2, True), (4, False), (5, False), (6, True), (7, True)])
def test_a_slave_has_a_job_until_its_output_is_back(status: int, there: bool) -> None:
    assert classad2.ExprTree(pool.ON_A_SLAVE).eval(classad2.ClassAd({"JobStatus": status})) is there


def test_of_a_slot_only_what_has_a_value_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = classad2.ClassAd('[Cpus = 2; HasIt = NoSuchThing; Loop = Loop + 1; Name = "slot1@a.pool"]')
    slot["Site"] = classad2.ExprTree(NO_UTF8)

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [slot]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    assert pool.whole_slot("a") == {"Cpus": 2, "Loop": None, "Name": "slot1@a.pool", "Site": None}


BAD = classad2.ClassAd('[Name = "slot9@a.pool"; StartdIpAddr = 7]')
BAD["MyAddress"] = classad2.ExprTree(NO_UTF8)


@pytest.mark.parametrize(
    ("ads", "answer"),
    [
        ([], pool.Drain.ABSENT),
        ([classad2.ClassAd(WHOLE)], pool.Drain.DRAINED),
        ([BAD, classad2.ClassAd(), classad2.ClassAd(WHOLE)], pool.Drain.DRAINED),
    ],
)
def test_a_drain_asks_the_collector_for_the_one_slave_only(
    monkeypatch: pytest.MonkeyPatch, ads: list[Any], answer: pool.Drain
) -> None:
    asked: list[object] = []
    told: list[Any] = []

    class Collector:
        def query(self, *question: object) -> list[Any]:
            asked.append(question[1])
            return ads

        def advertise(self, news: list[Any], command: str) -> None:
            told.extend((command, ad["Name"], ad["State"], ad["Requirements"]) for ad in news)

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    monkeypatch.setattr(pool, "_ask", lambda *command: subprocess.CompletedProcess(command, 0, "", ""))
    assert pool.drain("a", "idle") is answer
    assert asked == ['EcmSlave == "a"']
    closed = ("MERGE_STARTD_AD", "slot1@a.pool", "Drained", False)
    assert (closed in told) is bool(ads), "no job is given to it any more"


TOLD = (
    "Attempt to send DRAIN_JOBS to startd <10.0.0.12:9618?addrs=10.0.0.12-9618&alias=ecm-mycluster-slave-k3w9xq.pool"
    "&noUDP&sock=startd_1234_5678> failed\nReceived failure from slot1@ecm-mycluster-slave-k3w9xq.pool in response to "
    "DRAIN_JOBS request: {}\n"
)
"""As condor_drain 23.9.6 says it."""


@pytest.fixture
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A startd that refuses to be drained, and says so."""

    class Collector:
        def query(self, *_: object) -> list[Any]:
            return [WHOLE]

    monkeypatch.setattr(htcondor2, "Collector", Collector)
    said = TOLD.format(request.param)
    monkeypatch.setattr(pool, "_ask", lambda *command: subprocess.CompletedProcess(command, 1, "", said))


@pytest.mark.parametrize(
    ("refusing", "answer"),
    [
        ("error code 10003: Draining check expression is false on slot1_1@x.pool.", pool.Drain.REFUSED),
        ("error code 10001: Draining already in progress.", pool.Drain.ALREADY),
    ],
    indirect=["refusing"],
)
@pytest.mark.usefixtures("refusing")
def test_a_refusal_is_understood_however_long_it_is(answer: pool.Drain) -> None:
    assert pool.drain("a", "idle") is answer


@pytest.mark.parametrize("refusing", ["error code 7: who are you?"], indirect=True)
@pytest.mark.usefixtures("refusing")
def test_a_drain_that_fails_says_why_in_the_end_of_the_line() -> None:
    with pytest.raises(OutsideError, match=r"a can't be drained - .*error code 7: who are you\?$"):
        pool.drain("a", "idle")


@pytest.mark.parametrize("refusing", ["error code 10001: Draining already in progress."], indirect=True)
@pytest.mark.usefixtures("refusing")
def test_a_slave_that_takes_no_more_jobs_already_is_retired() -> None:
    pool.retire("a", "unwanted")


@pytest.mark.parametrize("refusing", ["error code 10003: Draining check expression is false"], indirect=True)
@pytest.mark.usefixtures("refusing")
def test_a_slave_whose_jobs_would_be_ended_is_not_retired() -> None:
    with pytest.raises(OutsideError, match="a isn't drained - its HTCondor gives jobs no time to end"):
        pool.retire("a", "unwanted")


@pytest.mark.parametrize(("looks", "undone"), [(["Retiring", "Retiring", "Idle"], True), (["Retiring"] * 9, False)])
def test_a_drain_is_undone_when_it_is_complete_and_not_before(
    looks: list[str], monkeypatch: pytest.MonkeyPatch, *, undone: bool
) -> None:
    seen, asked = iter(looks), []
    monkeypatch.setattr(pool, "_completes_a_drain", lambda _name: next(seen) == "Retiring")
    monkeypatch.setattr(pool, "_COMPLETION", 3)
    clock = iter(range(99))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    def ask(*command: str) -> "subprocess.CompletedProcess[str]":
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pool, "_ask", ask)
    if undone:
        pool.revive("a")
    else:
        with pytest.raises(OutsideError, match="isn't complete after 3 s"):
            pool.revive("a")
    assert asked == ([("condor_drain", "-cancel", "a.pool")] if undone else [])


def test_a_usual_job_is_possible() -> None:
    assert why_impossible(job(Requirements=USUAL)) == ""


@pytest.mark.parametrize(
    ("ad", "says"),
    [
        (job(RequestCpus=2), "they ask for 2 CPUs, a slave has 1"),
        (job(RequestMemory=1024), "they ask for 1024 MiB of memory, a slave has 896"),
        (job(RequestDisk=10**9), "KiB of disk"),
        (job(Requirements='TARGET.OpSys == "WINDOWS"'), "no slave meets their requirements"),
        (job(Requirements="TARGET.HasDocker"), "no slave meets their requirements"),
        (job(Requirements="TARGET.HasVM is true"), "no slave meets their requirements"),  # all of the VM universe
        (job(JobUniverse=11), "they are of the parallel universe, and slaves have no dedicated scheduler"),
    ],
)
def test_a_job_that_no_slave_can_run_is_told_why(ad: Any, says: str) -> None:
    assert says in why_impossible(ad)


JOINED = TEMPLATE | {"TotalSlotCpus": 1, "GPUs": 2}


@pytest.mark.parametrize(
    ("ad", "says"),
    [
        (job(Requirements="TARGET.HasJava && TARGET.HasFileTransfer"), "no slave has HasJava, as their requirements"),
        (job(Requirements="HAS_MATLAB && TARGET.HasJava"), "no slave has HAS_MATLAB, HasJava, as"),
        (job(Requirements="TARGET.HasJava || TARGET.HasFileTransfer"), ""),
        (job(Requirements="TARGET.HasJava =?= undefined"), ""),
        (job(Requirements='TARGET.Site == "CERN" && TARGET.HasJava'), ""),  # of a site nothing is known here
        (job(Requirements='MY.Unknown == "x"'), ""),
        (job(RequestGPUs=2), ""),
        (job(RequestGPUs=3), "they ask for 3 GPUs, a slave has 2"),
    ],
)
def test_a_joined_slave_tells_what_no_slave_has(ad: Any, says: str) -> None:
    why = pool._impossible(ad, pool._request(ad), classad2.ClassAd(JOINED))
    assert why.startswith(says)
    assert bool(why) is bool(says)


@pytest.mark.parametrize(
    ("wanted", "memory_mib"),
    [
        ('real("INF")', 2**62),
        ('real("NaN")', 1),
        ("RequestMemory + 1", 1),
        ("undefined", 1),
        (NO_UTF8, 1),
        (f"{{{NO_UTF8}}}", 1),
        ('absTime("9999-99-99")', 1),
        ("1 / 0", 1),
        ("-3", 0),
        ('-real("INF")', 0),
        ("1e308 * -10", 0),
        ("-1e400", 0),
        ("99.5", 100),
    ],
)
def test_an_odd_request_is_no_reason_to_stop(wanted: str, memory_mib: int) -> None:
    """Any user may write it, and it stays in the queue."""
    assert pool._request(job(RequestMemory=wanted)).memory_mib == memory_mib


def test_a_job_whose_ad_is_odd_is_impossible_and_no_harm_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a user may think of that nobody has thought of here."""
    odd = job(RequestMemory=666, JobCount=2)
    number = pool._number

    def strange(ad: Any, name: str, default: int) -> int:
        if ad is odd:
            raise OverflowError("too large\nto convert")
        return number(ad, name, default)

    monkeypatch.setattr(pool, "_schedd", object)
    monkeypatch.setattr(pool, "_grouped", lambda *_: [odd, job(RequestMemory=100, JobCount=3)])
    monkeypatch.setattr(pool, "_number", strange)
    evil, good = pool.jobs(TEMPLATE, None)
    assert (evil.idle, evil.impossible) == (2, "their ad can't be understood: OverflowError: too large to convert")
    assert (good.idle, good.request.memory_mib, good.impossible) == (3, 100, "")


@pytest.mark.parametrize("number", ["{1}", NO_UTF8, "AutoClusterId", '"x"', "undefined"])
def test_jobs_that_lie_about_their_group_are_compared_with_the_others(number: str) -> None:
    everything = [job(RequestMemory=7, JobCount=5)]
    counts = [*COUNTS, job(JobCount=2), job(AutoClusterId=number, JobCount=2)]
    schedd = FakeSchedd([GROUPS, [autocluster(1, 100), autocluster(2, 200)]], counts, everything)
    assert pool._grouped(schedd, "x") == everything


@pytest.mark.parametrize("look", [lambda: pool.jobs(TEMPLATE, None), pool.running_on])
def test_an_answer_that_nobody_expects_is_none_and_is_told_once_with_where_it_went_wrong(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[], object]
) -> None:
    class Schedd:
        def query(self, *_: object, **__: object) -> list[Any]:
            raise KeyError("JobCount")

    monkeypatch.setattr(pool, "_schedd", Schedd)
    monkeypatch.setattr(answers, "_told", set())
    with structlog.testing.capture_logs() as said:
        for _ in range(2):
            with pytest.raises(OutsideError, match=r"^the schedd's answer can't be understood - KeyError$"):
                look()
    (line,) = said
    assert (line["log_level"], line["why"]) == ("error", "the schedd's answer can't be understood - KeyError")
    assert "in query" in "".join(line["traceback"])

    class Changed(Schedd):
        def query(self, *_: object, **__: object) -> list[Any]:
            raise KeyError("JobCount")

    monkeypatch.setattr(pool, "_schedd", Changed)
    with structlog.testing.capture_logs() as said, pytest.raises(OutsideError):
        look()
    assert len(said) == 1, "it went wrong elsewhere"


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


@pytest.mark.parametrize("wish", ["Requirements && TARGET.HasDocker", NO_UTF8, f"{{{NO_UTF8}}}"])
def test_requirements_without_a_value_are_never_met(wish: str) -> None:
    assert "their requirements have no value" in why_impossible(job(Requirements=wish))


def test_a_job_with_gpus_is_impossible_once_a_slave_has_shown_that_it_has_none() -> None:
    wants = job(RequestGPUs=1, Requirements="TARGET.GPUs >= RequestGPUs")
    assert why_impossible(wants) == ""
    why = pool._impossible(wants, pool._request(wants), classad2.ClassAd(JOINED | {"GPUs": 0}))
    assert why == "they ask for 1 GPUs, a slave has 0"


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


@pytest.mark.parametrize(
    ("architecture", "wish", "impossible"),
    [
        ("aarch64", 'TARGET.Arch == "aarch64"', False),
        ("aarch64", 'TARGET.Arch == "X86_64"', True),
        ("x86_64", 'TARGET.Arch =?= "X86_64"', False),
        ("x86_64", 'TARGET.Arch == "aarch64"', True),
        ("i686", 'TARGET.Arch =?= "INTEL"', False),
    ],
)
def test_jobs_are_judged_by_the_slaves_processors_before_one_has_joined(
    architecture: str, wish: str, impossible: bool
) -> None:
    settings = SETTINGS.model_copy(update={"slave_architecture": architecture})
    ad = job(Requirements=wish)
    machine = classad2.ClassAd(template.ad(settings.offer))
    assert bool(pool._impossible(ad, pool._request(ad), machine)) is impossible


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
    assert 2 * heartbeat.EVERY < ad["ClassAdLifetime"] <= 600


def test_an_odd_name_is_a_name_and_no_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a slave that only the collector knows: `x" || true || "y` would take out everybody's ads."""
    monkeypatch.setattr(htcondor2, "Collector", FakeCollector)
    monkeypatch.setattr(FakeCollector, "told", [])
    pool.forget([odd := 'x" || true || "y'])
    assert [ad["Requirements"].eval(classad2.ClassAd({"Machine": "a.pool"})) for ad, _ in FakeCollector.told] == [
        False
    ] * 3
    assert [ad["Requirements"].eval(classad2.ClassAd({"Machine": f"{odd}.pool"})) for ad, _ in FakeCollector.told] == [
        True
    ] * 3


def test_a_collector_that_cannot_be_told_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htcondor2, "Collector", FakeCollector)
    monkeypatch.setattr(FakeCollector, "away", True)
    with pytest.raises(OutsideError, match="the collector can't be told of the controller - Failed to advertise"):
        pool.heartbeat()


class FakeSchedd:
    """A schedd that answers what it is told to, and keeps what it was asked."""

    def __init__(self, autoclusters: list[list[Any]], counts: list[Any], compared: list[Any]) -> None:
        self.autoclusters, self.counts, self.compared = autoclusters, counts, compared
        self.asked: list[str] = []

    def query(self, constraint: str, projection: list[str], opts: int) -> list[Any]:
        if opts == htcondor2.QueryOpt.AutoCluster:
            return self.autoclusters.pop(0)
        if projection == ["AutoClusterId"]:
            return self.counts
        self.asked.append(constraint)
        return self.compared


def autocluster(number: int, memory: int, **more: object) -> Any:
    return job(AutoClusterId=number, RequestMemory=memory, JobUniverse=5, Owner='"ada"', JobCount=9, JobIds="1", **more)


COUNTS = [job(AutoClusterId=1, JobCount=3), job(AutoClusterId=2, JobCount=4)]
GROUPS = [autocluster(1, 100), autocluster(2, 200)]


def sizes(ads: list[Any]) -> list[tuple[int, int]]:
    return [(ad["RequestMemory"], ad["JobCount"]) for ad in ads]


def test_jobs_are_counted_by_the_groups_that_htcondor_has() -> None:
    schedd = FakeSchedd([[*GROUPS, autocluster(3, 300)], [autocluster(1, 100), autocluster(2, 200)]], COUNTS, [])
    assert sizes(pool._grouped(schedd, "x")) == [(100, 3), (200, 4)]
    assert schedd.asked == []


def test_new_jobs_are_compared_with_each_other() -> None:
    counts, fresh = [*COUNTS, job(JobCount=2)], [job(RequestMemory=7, JobCount=2)]
    schedd = FakeSchedd([GROUPS, [autocluster(1, 100), autocluster(2, 200)]], counts, fresh)
    assert sizes(pool._grouped(schedd, "x")) == [(100, 3), (200, 4), (7, 2)]
    assert schedd.asked == ["(x && AutoClusterId is undefined) =!= false"]


@pytest.mark.parametrize(
    ("after", "counts"),
    [
        ([autocluster(1, 100), autocluster(2, 999)], COUNTS),  # the numbers mean something else now
        ([autocluster(1, 100)], COUNTS),  # one is no more
        ([autocluster(1, 100), job(AutoClusterId=2, RequestMemory=200)], COUNTS),  # an older master's configuration
        ([autocluster(1, 100), autocluster(2, 200)], [*COUNTS, job(JobCount=1)]),  # new jobs got their number meanwhile
    ],
)
def test_on_any_doubt_all_jobs_are_compared(after: list[Any], counts: list[Any]) -> None:
    everything = [job(RequestMemory=7, JobCount=5)]
    schedd = FakeSchedd([[autocluster(1, 100), autocluster(2, 200)], after], counts, everything)
    assert pool._grouped(schedd, "x") == everything
    assert schedd.asked[-1] == "(x) =!= false"


def test_what_a_command_says_is_understood_whatever_its_bytes_are() -> None:
    answer = pool._ask("sh", "-c", r"printf 'error code 10003: \377' >&2; exit 1")
    assert pool._refusal(answer) is pool.Drain.REFUSED
