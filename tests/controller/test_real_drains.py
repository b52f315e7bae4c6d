"""Drains on a real HTCondor: what is taken for granted of them."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.realpool import RealPool, real_pool, within
from controller import pool
from controller.pool import Drain
from tests.controller.real import drains_of, states, whole_slave

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool(("s1",)) as running:
        yield running


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
