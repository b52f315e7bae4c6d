"""What is taken for granted of HTCondor, tried on a real one."""

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import classad2
import htcondor2
import pytest

from bench.realpool import RealPool, real_pool, within
from controller import pool
from controller.model import Seconds
from controller.pool import Drain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool(("s1",)) as running:
        yield running


def states(user: str) -> list[int]:
    """The status of each of a user's jobs: 1 is idle, 2 is running."""
    ads = pool._schedd().query(f'Owner == "{user}"', ["JobStatus"])
    return sorted(ad["JobStatus"] for ad in ads)


def whole_slave(seconds: int, more: str = "") -> str:
    """A job that takes all CPUs of a slave."""
    return f"executable=/bin/sleep\narguments={seconds}\nrequest_cpus=2\nrequest_memory=100\n{more}\nqueue\n"


def test_a_claim_that_waits_for_its_owners_next_job_is_room_for_nobody_else(condor: RealPool) -> None:
    """So it is no free slot; and its owner's next job starts on it at once, without having been demand for long."""
    condor.submit("ada", whole_slave(1, "keep_claim_idle = 120"))
    assert within(60, lambda: states("ada") == [] and pool.machines()["s1"].claims != ()), "a claim without a job"
    kept = pool.machines()["s1"]
    assert (kept.free.cpus, kept.jobs, kept.idle_for) == (0, 1, Seconds(0))
    assert [(claim.owner, claim.room.cpus) for claim in kept.claims] == [("ada", 2)]

    condor.submit("bob", whole_slave(1))
    assert not within(25, lambda: states("bob") != [1]), "two negotiation cycles and more"

    condor.submit("ada", whole_slave(5))
    assert within(15, lambda: states("ada") == [2])
    assert states("bob") == [1]
    condor.run("condor_rm", "-all", user="ada")
    condor.run("condor_rm", "-all", user="bob")
    assert within(60, lambda: not htcondor2.Collector().query(htcondor2.AdType.Slot, 'SlotType == "Dynamic"'))


OFFER = {"Cpus": 2, "Memory": 2000, "Disk": 2**30, "Arch": "X86_64", "OpSys": "LINUX", "HasFileTransfer": True}


def asked(*lines: str, count: int = 1) -> str:
    """Jobs that stay idle: no slave has what they want."""
    return "\n".join(("executable=/bin/true", "requirements = TARGET.NoSuchThing", *lines, f"queue {count}\n"))


Groups = list[tuple[Any, ...]]


def grouped(constraint: str) -> Groups:
    """The jobs by what is asked of them, as they are counted."""
    return summary(pool._grouped(pool._schedd(), constraint))


def compared(constraint: str) -> Groups:
    """The same with each job compared with every other."""
    return summary(pool._by(pool._schedd(), constraint, pool._JOB))


def summary(ads: list[Any]) -> Groups:
    counts: Counter[tuple[Any, ...]] = Counter()
    for ad in ads:
        why = pool._impossible(ad, pool._request(ad), classad2.ClassAd(OFFER))
        counts[pool._request(ad), pool._number(ad, "RequestGPUs", 0), why, pool._kind(ad)] += int(ad["JobCount"])
    return sorted(((*group, count) for group, count in counts.items()), key=str)


def numbered(user: str) -> bool:
    """Whether HTCondor has grouped all of a user's jobs."""
    return not pool._schedd().query(f'Owner == "{user}" && AutoClusterId is undefined', ["ProcId"])


def test_jobs_are_counted_as_if_each_was_compared_with_every_other(condor: RealPool) -> None:
    try:
        condor.submit("ada", asked("request_memory=100", count=3))
        condor.submit("ada", asked("request_memory=100", "accounting_group=physics", count=2))
        condor.submit("ada", asked("request_memory=100", "concurrency_limits=license", count=2))
        condor.submit("ada", asked("request_cpus=2", "request_gpus=1", count=2))
        condor.submit("bob", asked("request_memory=100", count=5))
        condor.submit("bob", asked(count=2))
        condor.submit("bob", asked("hold=true", count=2))
        assert grouped(pool.IDLE) == compared(pool.IDLE), "while HTCondor hasn't looked at them"
        assert within(60, lambda: numbered("ada") and numbered("bob"))
        assert len(pool._autoclusters(pool._schedd())) >= 6
        assert grouped(pool.IDLE) == compared(pool.IDLE)
        assert sum(group[-1] for group in grouped(pool.IDLE)) == 16

        condor.run("condor_qedit", "-constraint", 'Owner == "bob" && ProcId == 0', "RequestMemory", "333", user="bob")
        condor.submit("bob", asked("request_memory=500", count=4))
        assert grouped(pool.IDLE) == compared(pool.IDLE), "some of them new or changed"
        assert within(60, lambda: numbered("bob"))
        assert grouped(pool.IDLE) == compared(pool.IDLE)
    finally:
        for user in ("ada", "bob"):
            condor.run("condor_rm", "-all", user=user)


def test_jobs_are_ripe_when_they_have_waited_for_long_enough(condor: RealPool) -> None:
    try:
        condor.submit("ada", asked("request_memory=100", count=3))
        (group,) = pool.jobs(OFFER, 3600)
        assert (group.idle, group.ripe) == (3, 0)
        assert within(30, lambda: [(g.idle, g.ripe) for g in pool.jobs(OFFER, 2)] == [(3, 3)])
    finally:
        condor.run("condor_rm", "-all", user="ada")


@pytest.mark.parametrize(
    ("submitted", "why"),
    [
        ("universe=parallel\nmachine_count=2", "parallel universe"),
        ("universe=java\narguments=Main", "no slave has HasJava"),
        ("universe=vm\nvm_type=kvm\nvm_memory=9\nvm_disk=a:vda:w\nvm_no_output_vm=true", "meets their requirements"),
        ("universe=docker\ndocker_image=busybox", ""),
        ("universe=container\ncontainer_image=docker://busybox", ""),
        ("universe=container\ncontainer_image=/x.sif", "no slave has HasSIF"),
        ("request_gpus=1", "they ask for 1 GPUs, a slave has 0"),
        ("request_disk=2TB", "KiB of disk"),
        ("request_cpus=2", ""),
        ("concurrency_limits=license:99", ""),  # what holds them shows beside a free slot
        ('requirements=TARGET.Site == "CERN"', ""),
    ],
)
def test_what_a_user_submits_is_judged_by_what_slaves_have(condor: RealPool, submitted: str, why: str) -> None:
    has = {"TotalSlotCpus": 2, "FileSystemDomain": "s1"} | dict.fromkeys(
        ("HasDocker", "HasContainer", "HasDockerURL"), True
    )
    joined = OFFER | has
    try:
        condor.run("condor_off", "-negotiator")
        condor.submit("ada", f"executable=/bin/true\n{submitted}\nqueue\n", "-disable")
        (group,) = pool.jobs(joined, None)
        assert why in group.impossible
        assert bool(why) is bool(group.impossible)
    finally:
        condor.run("condor_rm", "-all", user="ada")


def test_jobs_that_run_on_the_master_are_no_demand(condor: RealPool) -> None:
    try:
        for universe in ("local", "scheduler", "grid\ngrid_resource=batch slurm"):
            text = f"universe={universe}\nexecutable=/bin/sleep\narguments=60\nrequirements=False\nqueue\n"
            condor.submit("bob", text)
        assert pool.jobs(OFFER, None) == ()
    finally:
        condor.run("condor_rm", "-all", user="bob")


def test_a_job_that_waits_is_seen_at_a_glance(condor: RealPool) -> None:
    assert not pool.waiting()
    condor.submit("ada", whole_slave(1, "requirements = false"))
    assert pool.waiting()
    condor.run("condor_rm", "-all", user="ada")
    assert not pool.waiting()


def drains_of(condor: RealPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `condor_drain` ask in there, where all slaves are on one host: their names are longer."""

    def ask(*command: str) -> "subprocess.CompletedProcess[str]":
        *words, host = command
        there = f"slot1@{host.removesuffix('.pool')}@master.pool"
        return subprocess.run([*condor.call(), *words, there], capture_output=True, text=True, check=False)

    monkeypatch.setattr(pool, "_ask", ask)


def test_a_drain_is_refused_by_a_job_and_told_from_one_that_is_there_already(
    condor: RealPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drains_of(condor, monkeypatch)
    condor.run("condor_on", "-negotiator")
    condor.submit("ada", whole_slave(60))
    assert within(60, lambda: states("ada") == [2])
    assert pool.drain("s1", "idle") is Drain.REFUSED
    condor.run("condor_rm", "-all", user="ada")
    assert within(60, lambda: pool.drain("s1", "idle") is Drain.DRAINED)
    assert pool.machines()["s1"].draining, "at once: no job is given to it any more"
    assert pool.drain("s1", "idle") is Drain.ALREADY
    pool.revive("s1")
    pool.revive("s1")
    assert pool.drain("s1", "idle") is Drain.DRAINED, "whatever its ad says yet"
    pool.revive("s1")
    assert within(30, lambda: not pool.machines()["s1"].draining)


@pytest.mark.parametrize("more", ["nice_user = true", "max_job_retirement_time = 0"])
def test_a_slave_that_is_to_go_takes_no_more_jobs_and_has_the_last_ones_end(
    condor: RealPool, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """Be it a job that lets itself be sent away at once: it ran so far, and would begin anew."""
    drains_of(condor, monkeypatch)
    condor.run("condor_on", "-negotiator")
    first = condor.submit("ada", whole_slave(15, more).replace("request_cpus=2", "request_cpus=1"))
    assert within(60, lambda: states("ada") == [2])
    pool.retire("s1", "unwanted")
    condor.submit("ada", whole_slave(1).replace("request_cpus=2", "request_cpus=1"))
    assert not within(8, lambda: states("ada") != [1, 2]), "one runs, one waits"
    assert within(20, lambda: states("ada") == [1])
    assert within(10, lambda: pool.machines()["s1"].draining and not pool.machines()["s1"].claimed)
    pool.revive("s1")
    assert within(60, lambda: states("ada") == [])
    assert (pool.whole_slot("s1") or {})["MaxJobRetirementTime"] > 10**8, "the next one may stay too"
    assert condor.run("condor_history", first.split(" - ")[0], "-af", "NumJobStarts", "ExitCode") == "1 0\n"


HURRIED = "NEGOTIATOR_INTERVAL = 1\nNEGOTIATOR_MIN_INTERVAL = 1\nNEGOTIATOR_CYCLE_DELAY = 0\nSCHEDD_MIN_INTERVAL = 1\n"
RACERS = tuple(f"s{number}" for number in range(1, 21))
ROUNDS = 10


def test_of_a_drain_and_an_arriving_job_only_one_gets_the_slave(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many jobs as slaves come, and each slave is drained at some moment between their coming and their start."""
    answers: Counter[Drain] = Counter()
    latest = 1.5  # seconds: about when the jobs of a round start, which is found by and by
    with real_pool(RACERS, HURRIED) as condor, ThreadPoolExecutor(len(RACERS)) as crew:
        drains_of(condor, monkeypatch)

        def race(name: str, wait: float) -> Drain:
            time.sleep(wait)
            return pool.drain(name, "idle")

        for number in range(ROUNDS):
            condor.submit("ada", whole_slave(2).replace("queue", f"queue {len(RACERS)}"))
            waits = [latest * place / len(RACERS) for place in range(len(RACERS))]
            drains = dict(zip(RACERS, crew.map(race, RACERS, waits), strict=True))
            drained = {name for name, answer in drains.items() if answer is Drain.DRAINED}
            answers.update(drains.values())
            latest *= 0.8 if len(drained) < len(RACERS) / 4 else 1.25 if len(drained) > len(RACERS) * 3 / 4 else 1
            # From now on these servers would be deleted at any moment.
            quiet = time.monotonic() + 1
            while time.monotonic() < quiet:
                assert not drained & pool.running_on(), f"round {number}: {drains}"
                time.sleep(0.1)
            list(crew.map(pool.revive, drained))
            assert within(60, lambda: states("ada") == [])
        starts = condor.run("condor_history", "-af", "NumJobStarts", "ExitCode").splitlines()
    assert starts == ["1 0"] * (ROUNDS * len(RACERS)), "each job ran once, to its end"
    assert sum(answers.values()) >= 200
    assert min(answers[Drain.DRAINED], answers[Drain.REFUSED]) >= 20, f"no race: {answers}"
    assert set(answers) == {Drain.DRAINED, Drain.REFUSED}


def vanish(condor: RealPool, *slaves: str) -> None:
    """Ends the slaves that have jobs, and their ads, so that nobody is told, as when their hosts die."""
    ended = ("condor_starter ", *(f"condor_startd -local-name {name} " for name in slaves))
    # It would start them again.
    condor.run("kill", "-STOP", *processes(condor, "condor_master "))
    condor.run("kill", "-KILL", *processes(condor, *ended))
    unlist(*slaves)


def processes(condor: RealPool, *commands: str) -> list[str]:
    """The numbers of those whose command begins so."""
    running = [line.split(None, 1) for line in condor.run("ps", "-eo", "pid=,args=").splitlines()]
    return [pid for pid, command in running if command.startswith(commands)]


def unlist(*slaves: str) -> None:
    """Takes their ads out of the collector."""
    query = classad2.ClassAd({"MyType": "Query", "TargetType": "Machine"})
    query["Requirements"] = classad2.ExprTree(" || ".join(f'EcmSlave == "{name}"' for name in slaves))
    htcondor2.Collector().advertise([query], "INVALIDATE_STARTD_ADS")


def freeze(condor: RealPool, slave: str, how: str = "-STOP") -> None:
    """Has it answer nothing any more, while its ad is still there; or, by `-CONT`, go on."""
    condor.run("kill", how, *processes(condor, f"condor_startd -local-name {slave} "))


def as_nobody(action: Callable[[], None]) -> None:
    """Does it in the name of somebody who may submit jobs."""
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            action()
        except BaseException:  # noqa: BLE001 - not pytest's, in here
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_job_that_was_given_a_slave_that_went_at_that_moment_is_given_another_one_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTCondor by itself waits for half an hour for the slave's word, and shows an idle job meanwhile.

    It then forgets the job, if anything has had it make its list of jobs anew meanwhile.
    """
    with real_pool(("s1", "s2")) as condor:
        drains_of(condor, monkeypatch)
        pool.drain("s2", "idle")
        assert within(30, lambda: pool.machines()["s2"].draining)
        freeze(condor, "s1")
        condor.submit("ada", whole_slave(60))
        assert within(60, lambda: bool(re.search("Matched .*s1@", condor.run("cat", "/var/log/condor/NegotiatorLog"))))
        unlist("s1")
        condor.submit("bob", asked())
        pool.revive("s2")
        assert within(80, lambda: "Timed out requesting claim" in condor.run("cat", "/var/log/condor/SchedLog"))
        assert not within(15, lambda: hosts("ada") != set()), "HTCondor sees the job: who needs look_again?"
        as_nobody(pool.look_again)
        assert within(20, lambda: hosts("ada") == {"s2"})
        assert condor.run("condor_q", "-all", "-af", "JobStatus").split().count("5") == 0
        freeze(condor, "s1", "-CONT")
        assert within(30, lambda: "s1" in pool.machines() and not pool.machines()["s1"].claimed)
        assert not within(10, lambda: pool.machines()["s1"].claimed), "the late answer is of no consequence"


def test_a_job_gets_a_slot_at_once_when_the_schedd_is_told_to_negotiate(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself HTCondor gives out slots at its next turn only, and not when one comes."""
    with real_pool(("s1",), "NEGOTIATOR_INTERVAL = 600\n") as condor:
        drains_of(condor, monkeypatch)
        pool.drain("s1", "idle")
        assert within(30, lambda: pool.machines()["s1"].draining)
        condor.submit("ada", whole_slave(60))
        assert not within(10, lambda: states("ada") != [1])
        pool.revive("s1")
        assert within(10, lambda: not pool.machines()["s1"].draining)
        assert not within(15, lambda: states("ada") != [1]), "a slot alone is no reason"
        as_nobody(pool.negotiate)
        assert within(8, lambda: states("ada") == [2])


def hosts(user: str) -> set[str]:
    ads = pool._schedd().query(f'Owner == "{user}" && JobStatus == 2', ["RemoteHost"])
    return {ad["RemoteHost"].split("@")[1] for ad in ads}


def test_a_job_of_a_slave_that_is_gone_starts_elsewhere_when_its_lease_ends_and_no_sooner() -> None:
    """HTCondor waits, and once more after a vacate: the slave might only be out of reach.

    Were that otherwise, the controller, which knows better, could give such jobs back to the queue.
    """
    with real_pool(("s1", "s2", "s3")) as condor:
        condor.submit("ada", whole_slave(600))
        condor.submit("bob", whole_slave(600, "job_lease_duration = 20"))
        assert within(60, lambda: states("ada") == states("bob") == [2])
        (of_ada,), (of_bob,) = hosts("ada"), hosts("bob")
        vanish(condor, of_ada, of_bob)
        pool._schedd().act(htcondor2.JobAction.VacateFast, 'Owner == "ada"')
        assert within(120, lambda: bool(hosts("bob") - {of_bob}))
        assert hosts("ada") == {of_ada}
