"""Each fault is done to one cluster with jobs, on the local cloud; after each, what docs/faults.md promises holds."""

import random
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from demo.stack import temporary
from demo.user import connect, wait_for
from tests.faults.cases import CASES, RACE, Case, During, chosen
from tests.faults.deeds import done
from tests.faults.rig import (
    IDLE_TIME,
    MAX_SLAVES,
    PATIENCE,
    SETTINGS,
    STACK,
    Rig,
    doubles,
    holds,
    most,
    turn,
)

pytestmark = pytest.mark.cloud_alone

ALL_ROUNDS, SOME_ROUNDS = 200, 20
TIMES_UNDISTURBED = 2
"""What the limit is of the time that jobs take here without a fault, when the machine is no slower than usual."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wish = metafunc.config.getoption("--faults")
    names = chosen(wish, metafunc.config.getoption("--faults-seed"))
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [case for case in CASES if case.name in names], ids=lambda case: case.name)
    if "rounds" in metafunc.fixturenames:
        rounds = [ALL_ROUNDS if wish == "all" else SOME_ROUNDS] if RACE in names else []
        metafunc.parametrize("rounds", rounds, ids=[RACE] * len(rounds))


@pytest.fixture(scope="module")
def cluster(cloud: dict[str, str]) -> Iterator[Rig]:
    """A cluster that reacts quickly, with the proxy in its place and no slave."""
    with temporary(cloud, STACK, SETTINGS) as user:
        user.up()
        wait_for("the master", PATIENCE, user.master_is_ready)
        rig = Rig(user, connect(cloud))
        rig.install()
        rig.wait_for_rest(PATIENCE)
        yield rig


@pytest.fixture
def rig(cluster: Rig, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """The cluster at rest, and again in the end."""
    case: Case | None = request.node.callspec.params.get("case")
    with turn(alone=case is not None and case.alone):
        began = time.time()
        yield cluster
        if not cluster.at_rest():
            sys.stdout.write(cluster.remains())
            cluster.recover()
        sys.stdout.write(cluster.story(began))


@pytest.fixture
def limit(request: pytest.FixtureRequest) -> int:
    """Seconds from a fault's end in which the cluster is as if it had not been."""
    seconds: int = request.config.getoption("--faults-limit")
    return seconds


@pytest.mark.timeout(3600)
def test_the_cluster_survives(case: Case, rig: Rig, limit: int, record_property: Callable[[str, object], None]) -> None:
    """Jobs that bring slaves or leave them idle, a fault amid that, and rest again."""
    with rig.watched() as sights:
        jobs = rig.start(case) if case.during is During.SHRINK else ""
        with rig.armed(case.rules):
            jobs = jobs or rig.start(case)
            rig.wait_for_the_moment(case)
            with done(case, rig):
                if case.says:
                    rig.wait_for_word(case.says, case.within)
                time.sleep(case.lasts)
        took = rig.wait_for_rest(3 * limit)
    record_property("seconds", round(took))
    ended = rig.ended(jobs)
    assert [job.exit_code for job in ended] == ["0"] * case.jobs, "each job ends, once"
    assert case.reruns or [job.starts for job in ended] == [1] * case.jobs, "no job is started twice because of us"
    assert sights
    assert not doubles(sights)
    assert most(sights) <= MAX_SLAVES
    assert took <= limit or took <= TIMES_UNDISTURBED * rig.undisturbed(case, took)


@pytest.mark.timeout(3 * 3600)
def test_a_job_that_comes_at_the_moment_of_a_drain_runs(
    rounds: int, rig: Rig, limit: int, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """A round is one job and one idle slave; all slaves have theirs at about the same time."""
    chance = random.Random(request.config.getoption("--faults-seed"))  # noqa: S311 - to be had again
    with rig.watched() as sights:
        jobs = [rig.submit(MAX_SLAVES, 1)]
        while len(jobs) <= rounds:
            wait_for("all jobs", PATIENCE, lambda: holds(lambda: rig.user.on_master("condor_q -af ClusterId") == ""))
            time.sleep(IDLE_TIME - chance.uniform(0, 4))
            for _ in range(MAX_SLAVES):
                jobs.append(rig.submit(1, 1))
                time.sleep(chance.uniform(0, 2))
        took = rig.wait_for_rest(limit)
    slaves = {server.id for sight in sights for server in sight}
    record_property("seconds", round(took))
    record_property("note", f"{len(jobs) - 1} rounds, {len(slaves)} slaves ")
    ended = rig.ended(*jobs)
    assert [job.exit_code for job in ended] == ["0"] * (len(jobs) - 1 + MAX_SLAVES)
    assert {job.starts for job in ended} == {1}
    assert len(slaves) > MAX_SLAVES, "some of the slaves went"
    assert not doubles(sights)
    assert most(sights) <= MAX_SLAVES
