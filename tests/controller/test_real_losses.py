"""A real HTCondor when slaves come and go: what it does by itself, and what it has to be told."""

import os
import re
from collections.abc import Callable

import classad2
import htcondor2
import pytest

from bench.realpool import RealPool, real_pool, within
from controller import pool
from tests.controller.real import asked, drains_of, states, whole_slave

pytestmark = pytest.mark.slow


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
