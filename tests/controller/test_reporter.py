"""Who is told what of the controller's work: the log says each thing once, the journal what matters."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controller.apply import Outcome
from controller.decide import decide
from controller.journal import Decision, Ended, Journal, read
from controller.metrics import Metrics
from controller.model import JobGroup, Limits, Phase, Room, Seconds, Slave, Snapshot, Trouble
from controller.reporter import Reporter
from controller.status import Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(0, 4, 2, Seconds(60), Seconds(600), 0, Room(2, 2000, 10_000))


class Bench:
    """A reporter that is told of looks and decisions as the loop does it, and what it says of them."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.registry = path, NOW, CollectorRegistry()
        metrics = Metrics(self.registry)
        self.reporter = Reporter(path / "status.json", Status(NOW, NOW), Journal(path / "journal"), metrics)

    def tick(self, seen: Snapshot, *, decides: bool = True, seconds: float = 3) -> list[str]:
        """One tick; gives the events of its log."""
        self.now += timedelta(seconds=seconds)
        with capture_logs() as said:
            self.reporter.looked(seen, LIMITS, self.now)
            if decides:
                self.reporter.decided(decide(seen, LIMITS, self.now), seen, LIMITS, self.now)
        return [str(line["event"]) for line in said]

    def status(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.path / "status.json").read_text())
        return loaded

    def journal(self) -> list[Any]:
        return list(read(self.path / "journal")) if (self.path / "journal").exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def jobs(count: int) -> tuple[JobGroup, ...]:
    return (JobGroup(Room(1, 100, 10), count, 0),)


def slave(name: str, phase: Phase, **more: Any) -> Slave:
    return Slave(name, phase, NOW, f"id-{name}", **more)


def test_the_same_again_is_not_said_again(bench: Bench) -> None:
    assert bench.tick(Snapshot()) == ["first look", "decided"]
    assert bench.tick(Snapshot()) == []
    assert len(bench.journal()) == 1


def test_numbers_that_change_in_the_reasons_are_no_news_but_are_shown(bench: Bench) -> None:
    coming = slave("a", Phase.BOOTING)
    bench.tick(Snapshot(jobs(1), (coming,)))
    assert bench.tick(Snapshot(jobs(2), (coming,))) == []
    assert bench.status()["reasons"] == ["on their way: 2 jobs wait, 1 slaves are on their way"]
    assert len(bench.journal()) == 1


def test_a_whole_update_is_told_to_everybody(bench: Bench) -> None:
    waiting = Snapshot(jobs(2))
    assert bench.tick(waiting) == ["first look", "decided"]
    assert bench.status()["update"]["create"] == 1
    assert bench.tick(replace(waiting, slaves=(slave("a", Phase.BUILDING),)), decides=False) == ["launched"]
    assert bench.status()["reasons"][0].startswith("updating: since 00:00:03, for: grow: 2 jobs wait")
    assert bench.tick(Snapshot(slaves=(slave("a", Phase.IDLE),)), decides=False) == ["joined"]
    bench.reporter.ended(Outcome(updated=True), bench.now)
    shown = bench.status()
    assert (shown["update"], shown["lastUpdate"]["result"]) == (None, "done")
    decision, ended = bench.journal()
    assert isinstance(decision, Decision)
    assert decision.seen == waiting
    assert isinstance(ended, Ended)
    assert (ended.decided_at, ended.seconds, ended.outcome["updated"]) == (decision.at, Seconds(6), True)
    assert bench.registry.get_sample_value("ecm_join_seconds_sum") == 6
    assert bench.registry.get_sample_value("ecm_update_seconds_sum", {"result": "done"}) == 6


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        (Outcome(failures={Trouble.UPDATES: "no valid host"}), "failed: no valid host"),
        (Outcome(updated=True, stayed={"a": "it is locked"}), "done: it is locked"),
        (Outcome(stayed={"a": "it is locked"}), "stays: it is locked"),
        (Outcome(ended_early=True, failures={Trouble.UPDATES: "canceled"}), "ended early: the controller was to end"),
        (Outcome(locked="by ada"), "locked: by ada"),
        (Outcome(refused=frozenset({"a"})), "none: no update of the stack was needed"),
    ],
)
def test_an_update_that_did_not_do_it_says_why(bench: Bench, outcome: Outcome, result: str) -> None:
    bench.tick(Snapshot(jobs(2)))
    bench.reporter.ended(outcome, bench.now)
    assert bench.status()["lastUpdate"]["result"] == result
    assert bench.registry.get_sample_value("ecm_drains_refused_total") == len(outcome.refused)


def test_a_slave_that_goes_has_its_reason_in_log_and_status(bench: Bench) -> None:
    idle = slave("a", Phase.IDLE, idle_for=Seconds(61), free=LIMITS.offer)
    assert bench.tick(Snapshot(slaves=(idle,))) == ["first look", "idle for long enough", "decided"]
    assert bench.status()["slaves"][0]["reason"] == "idle: idle for 61 s, idleTime is 60 s"
    bench.tick(Snapshot(slaves=(idle,)), decides=False)
    assert bench.status()["slaves"][0]["reason"], "while the update runs, too"
    assert bench.tick(Snapshot(slaves=(slave("a", Phase.DRAINED),)), decides=False) == ["drained"]
    assert bench.tick(Snapshot(), decides=False) == ["deleted"]


def test_a_plan_that_cannot_be_carried_out_is_said_once_and_written_down_each_time(bench: Bench) -> None:
    stubborn = Snapshot(slaves=(slave("a", Phase.IDLE, idle_for=Seconds(61), free=LIMITS.offer),))
    bench.tick(stubborn)
    for _ in range(3):
        bench.reporter.ended(Outcome(refused=frozenset({"a"})), bench.now)
        assert bench.tick(stubborn) == []
    assert len(bench.journal()) == 7


def test_the_same_plan_after_a_success_is_news(bench: Bench) -> None:
    bench.tick(Snapshot(jobs(2)))
    bench.reporter.ended(Outcome(updated=True), bench.now)
    assert bench.tick(Snapshot(jobs(2))) == ["decided"]


def test_what_is_away_is_said_once_and_nothing_is_taken_to_be_gone(bench: Bench) -> None:
    seen = Snapshot(slaves=(slave("a", Phase.IDLE),))
    bench.tick(seen)
    away = Snapshot(unknown=("the schedd can't be asked - refused",))
    assert bench.tick(away) == ["away", "decided"]
    assert bench.tick(away) == []
    assert bench.status()["unknownSince"] == {"schedd": "2026-01-01T00:00:06Z"}
    assert bench.tick(seen) == ["answers again", "decided"]


def test_waiting_is_said_once(bench: Bench) -> None:
    error = "the stack's state can't be read - refused"
    with capture_logs() as said:
        for _ in range(3):
            bench.reporter.waits(error, NOW, unknown=(error,))
    assert [line["event"] for line in said] == ["controller waits"]
    assert bench.status()["reasons"] == [f"not ready: {error}"]
    assert bench.registry.get_sample_value("ecm_api_errors_total", {"system": "state"}) == 3


def test_a_disk_that_fails_stops_nothing_and_is_said_once(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way of the folder")
    (tmp_path / "status.json").mkdir()
    said = bench.tick(Snapshot(jobs(2))) + bench.tick(Snapshot(jobs(4)))
    assert said.count("can't be written, the controller goes on without") == 2
    (tmp_path / "journal").unlink()
    assert "is written again" in bench.tick(Snapshot(jobs(6)))
    assert len(bench.journal()) == 1
