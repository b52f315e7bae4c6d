"""What is read from HTCondor, of a real one: what is taken for granted of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import classad2
import htcondor2
import pytest

from bench.realpool import RealPool, real_pool, within
from controller import pool
from controller.model import Seconds
from tests.controller.real import asked, states, whole_slave

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool(("s1",)) as running:
        yield running


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


ODD = (
    'request_memory = -real("INF")',
    "request_cpus = 1e308 * -10",
    "request_gpus = -1e400",
    "request_disk = request_disk",
    "+AutoClusterId = {1}",
    "+JobCount = {1}",
    "+JobUniverse = {5}",
)


def test_jobs_that_somebody_has_made_odd_harm_no_others(condor: RealPool) -> None:
    try:
        for line in ODD:
            condor.submit("ada", asked(line), "-disable")
        condor.submit("bob", asked("request_memory=100", count=3))
        for _ in range(2):
            groups = pool.jobs(OFFER, 60)
            assert sum(group.idle for group in groups) == len(ODD) + 3
            assert [group.idle for group in groups if group.owner == "bob"] == [3]
            assert within(60, lambda: numbered("bob") and numbered("ada"))
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
    has = {"TotalSlotCpus": 2, "GPUs": 0, "FileSystemDomain": "s1"} | dict.fromkeys(
        ("HasDocker", "HasContainer", "HasDockerURL"), True
    )
    joined = OFFER | has
    try:
        condor.run("condor_off", "-negotiator")
        condor.submit("ada", f"executable=/bin/true\n{submitted}\nqueue\n", "-disable")
        (group,) = pool.jobs(joined, None)
        assert why in group.impossible
        assert bool(why) is bool(group.impossible)
        if "GPUs" in why:
            (group,) = pool.jobs(OFFER, None)
            assert group.impossible == "", "before one has told"
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
