"""What is counted, by reading it as Prometheus does."""

import socket
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controller.metrics import Metrics, serve
from controller.model import JobGroup, Phase, Plan, Reason, Removal, Room, Setback, Slave, Snapshot, Trouble, Why
from controller.story import Event, What

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = Room(1, 100, 10)


class Bench:
    """Metrics of their own, and their values by name and labels."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def slave(name: str, phase: Phase) -> Slave:
    return Slave(name, phase, NOW, f"id-{name}")


def test_demand_is_by_request_and_what_is_gone_is_gone(bench: Bench) -> None:
    groups = (JobGroup(ROOM, 2, 0), JobGroup(Room(1, 100, 99), 3, 0), JobGroup(Room(64, 1, 1), 7, 0, "never"))
    bench.metrics.looked(Snapshot(jobs=groups), NOW)
    assert bench("ecm_jobs_idle", cpus="1", memory_mib="100", possible="yes") == 5
    assert bench("ecm_jobs_idle", cpus="64", memory_mib="1", possible="no") == 7
    bench.metrics.looked(Snapshot(), NOW)
    assert bench("ecm_jobs_idle", cpus="1", memory_mib="100", possible="yes") is None


def test_every_phase_has_its_number_of_slaves(bench: Bench) -> None:
    bench.metrics.looked(Snapshot(slaves=(slave("a", Phase.BUSY), slave("b", Phase.BUSY))), NOW)
    assert {phase: bench("ecm_slaves", phase=phase) for phase in Phase} == {p: 2.0 * (p == "busy") for p in Phase}


def test_an_unknown_part_is_an_error_of_its_system_and_no_zero(bench: Bench) -> None:
    bench.metrics.looked(Snapshot(slaves=(slave("a", Phase.BUSY),)), NOW)
    bench.metrics.looked(Snapshot(unknown=("OpenStack can't be asked - 503",)), NOW)
    bench.metrics.unanswered(("the stack's state can't be read - refused",))
    assert bench("ecm_slaves", phase="busy") == 1
    assert bench("ecm_api_errors_total", system="OpenStack") == 1
    assert bench("ecm_api_errors_total", system="state") == 1


def test_removals_that_fail_open_no_breaker(bench: Bench) -> None:
    bench.metrics.looked(Snapshot(setbacks=(Setback(2, NOW, "refused", Trouble.REMOVALS),)), NOW)
    assert (bench("ecm_setbacks", trouble="removals"), bench("ecm_backing_off")) == (2, 0)


def test_the_breaker_is_open_until_the_next_try(bench: Bench) -> None:
    failing = Snapshot(setbacks=(Setback(2, NOW, "no host"),))
    for seconds, backing_off in ((0, 1), (19, 1), (21, 0)):
        bench.metrics.looked(failing, NOW + timedelta(seconds=seconds))
        assert (bench("ecm_setbacks", trouble="updates"), bench("ecm_backing_off")) == (2, backing_off)
    bench.metrics.looked(Snapshot(), NOW)
    assert (bench("ecm_setbacks", trouble="updates"), bench("ecm_backing_off")) == (0, 0)


def test_decisions_are_counted_by_reason(bench: Bench) -> None:
    plan = Plan(remove=(Removal("a", Reason(Why.IDLE, "x")),), reasons=(Reason(Why.ENOUGH, "x"),))
    bench.metrics.decided(plan)
    bench.metrics.decided(Plan(reasons=(Reason(Why.ENOUGH, "y"),)))
    assert (bench("ecm_decisions_total", why="enough"), bench("ecm_decisions_total", why="idle")) == (2, 1)


def test_updates_have_durations_and_refused_drains(bench: Bench) -> None:
    bench.metrics.ended("done", 12, refused=2)
    assert bench("ecm_update_seconds_sum", result="done") == 12
    assert bench("ecm_drains_refused_total") == 2


def test_the_way_from_wanted_to_joined_is_measured(bench: Bench) -> None:
    def happen(what: What, name: str, after: float, wanted_at: datetime | None = NOW) -> None:
        bench.metrics.happened(Event(what, (name,)), wanted_at, NOW + timedelta(seconds=after))

    happen(What.LAUNCHED, "a", 4)
    happen(What.LAUNCHED, "never", 4)
    happen(What.LAUNCHED, "unknown", 4, None)
    happen(What.JOINED, "a", 40, NOW + timedelta(seconds=30))
    happen(What.NEVER_JOINED, "never", 600)
    happen(What.JOINED, "never", 700)
    happen(What.JOINED, "unknown", 50)
    assert (bench("ecm_join_seconds_count"), bench("ecm_join_seconds_sum")) == (1, 40)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_it_answers_on_loopback(bench: Bench) -> None:
    port = free_port()
    serve(bench.registry, port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert b"ecm_backing_off 0.0" in answer.read()


def test_a_taken_port_is_said_and_nothing_more(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, capture_logs() as said:
        serve(bench.registry, server.getsockname()[1])
    found: list[Any] = [(line["log_level"], line["why"]) for line in said]
    assert found == [("warning", "Address already in use")]
