"""When the loop looks, decides, waits and recovers; the outside systems are stood in for by hand-written fakes."""

import json
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from cluster.report import Shared
from controller import command, loop, pool
from controller.apply import Outcome, Tools
from controller.errors import LockedError, OutsideError
from controller.free_slaves import Standing
from controller.journal import Journal
from controller.loop import LOCK_PAUSE, STATE_EVERY, UNRECOVERED, WITHOUT_STATE, Loop, Rest
from controller.memory_file import MemoryFile
from controller.metrics import Metrics
from controller.model import JobGroup, Phase, Room, Slave, Snapshot, Trouble
from controller.observe import Memory
from controller.release import Releases
from controller.reporter import Reporter
from controller.requests import Requests
from controller.servers import Server
from controller.state import View
from controller.status import Status
from tests.controller.made_up import SETTINGS

GROWING = frozenset({Trouble.UPDATES})
JOBS = Snapshot(jobs=(JobGroup(Room(1, 100, 10), idle=2, ripe=0),))


class FakeState:
    """A state that says what it is told to, and counts."""

    def __init__(self) -> None:
        self.view = View(settings=SETTINGS)
        self.reads = self.recoveries = 0
        self.failure: Exception | None = None

    def read(self) -> View:
        self.reads += 1
        return self.view

    def recover(self, there: Collection[str]) -> frozenset[str]:
        self.recoveries += 1
        if self.failure:
            raise self.failure
        return frozenset(name for name, server_id in self.view.slaves.items() if server_id not in there)


class Later:
    """A worker that keeps what it is given until it is told how it ended."""

    def __init__(self) -> None:
        self.given: list[Future[Outcome]] = []

    def submit(self, *_: Any) -> "Future[Outcome]":
        self.given.append(Future())
        return self.given[-1]


class FakeCloud:
    """A cloud that has all that new slaves are made of, and counts how often it is asked."""

    def __init__(self) -> None:
        self.checks = 0
        self.servers: tuple[Server, ...] = ()

    def slaves(self, _cluster_id: str) -> tuple[Server, ...]:
        return self.servers

    def missing(self, *_: object) -> tuple[str, ...]:
        self.checks += 1
        return ()


class Bench:
    """A loop with fakes around it, and a clock that is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.state, self.worker, self.cloud, self.status = FakeState(), Later(), FakeCloud(), path / "status.json"
        state: Any = self.state
        cloud: Any = self.cloud
        worker: Any = self.worker
        tools = Tools(cloud, state, key_file=path, prefix="s-", clock=self.clock)
        journal = Journal(path / "journal")
        reporter = Reporter(self.status, Status(self.now, self.now), journal, Metrics(CollectorRegistry()))
        self.memory_file = MemoryFile(path / "memory.json")
        self.releases = Releases(path / "release.json", running="old")
        self.loop = Loop(tools, Memory(), self.memory_file, reporter, self.releases, self.clock, worker)

        self.loop.requests = Requests(path)

    def clock(self) -> datetime:
        return self.now

    def tick(self, after: timedelta = timedelta(seconds=3)) -> str:
        self.now += after
        self.loop.tick()
        reasons: str = "; ".join(json.loads(self.status.read_text())["reasons"])
        return reasons


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)

    def look(_cloud: object, _view: View, _settings: Shared, memory: Memory, _now: datetime) -> Snapshot:
        return Snapshot(JOBS.jobs, setbacks=tuple(memory.setbacks.values()), locked=memory.locked)

    monkeypatch.setattr(loop, "observe", look)
    monkeypatch.setattr(pool, "heartbeat", lambda: None)
    return made


def test_nothing_happens_before_the_first_up_has_ended(bench: Bench) -> None:
    bench.state.view = View()
    assert "the first `pulumi up` hasn't ended" in bench.tick()
    assert (bench.worker.given, bench.state.recoveries) == ([], 0)


def test_it_recovers_once_and_then_acts(bench: Bench) -> None:
    assert "grow: 2 jobs wait" in bench.tick()
    assert (bench.state.recoveries, len(bench.worker.given)) == (1, 1)


def test_one_plan_at_a_time_with_its_reason_shown(bench: Bench) -> None:
    bench.tick()
    assert "updating: since 00:00:03, for: grow: 2 jobs wait" in bench.tick()
    assert len(bench.worker.given) == 1
    bench.worker.given[0].set_result(Outcome(updated=True))
    bench.tick()
    assert len(bench.worker.given) == 2


def test_the_state_is_read_anew_after_each_update_and_now_and_then(bench: Bench) -> None:
    bench.tick()
    reads = bench.state.reads
    bench.worker.given[0].set_result(Outcome(updated=True))
    bench.tick()
    assert bench.state.reads == reads + 1
    bench.worker.given[1].set_result(Outcome(updated=True))
    bench.tick()
    assert bench.state.reads == reads + 2


def test_new_limits_are_read_within_a_minute(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot())
    bench.tick()
    reads = bench.state.reads
    bench.tick()
    assert bench.state.reads == reads
    bench.tick(STATE_EVERY)
    assert bench.state.reads == reads + 1


def test_after_a_failure_without_an_update_there_is_nothing_to_recover(bench: Bench) -> None:
    bench.tick()
    bench.worker.given[0].set_result(Outcome(stayed={"a": "a can't be drained - timed out"}))
    bench.tick()
    assert bench.state.recoveries == 1


def test_a_plan_that_ends_with_an_error_nobody_expects_has_failed_and_is_recovered_from(bench: Bench) -> None:
    bench.tick()
    bench.worker.given[0].set_exception(OSError(28, "No space left on device"))
    assert "backing off" in (said := bench.tick())
    assert "No space left on device" in said
    assert bench.state.recoveries == 2
    assert bench.loop.memory.setbacks.keys() == {Trouble.UPDATES, Trouble.REMOVALS}


def test_a_failed_update_is_recovered_from_and_tried_again_later(bench: Bench) -> None:
    bench.tick()
    bench.worker.given[0].set_result(Outcome(tried=GROWING, failures={Trouble.UPDATES: "no valid host"}))
    assert "backing off: growing again at" in bench.tick()
    assert bench.state.recoveries == 2
    bench.tick(timedelta(seconds=31))
    bench.worker.given[1].set_result(Outcome(tried=GROWING, failures={Trouble.UPDATES: "no valid host"}))
    bench.tick()
    assert bench.loop.memory.setbacks[Trouble.UPDATES].times == 2
    assert bench.memory_file.load().setbacks == bench.loop.memory.setbacks, "the next controller knows, too"
    bench.tick(timedelta(seconds=61))
    bench.worker.given[2].set_result(Outcome(updated=True, tried=GROWING))
    bench.tick()
    assert bench.loop.memory.setbacks == {}


def test_a_failed_removal_does_not_hold_up_growth_nor_does_its_success_forgive_it(bench: Bench) -> None:
    bench.tick()
    both = frozenset({Trouble.UPDATES, Trouble.REMOVALS})
    bench.worker.given[0].set_result(Outcome(tried=both, failures={Trouble.REMOVALS: "it is locked"}))
    assert "grow: 2 jobs wait" in bench.tick()
    assert bench.loop.memory.setbacks.keys() == {Trouble.REMOVALS}
    bench.worker.given[1].set_result(Outcome(updated=True, tried=GROWING))
    bench.tick()
    assert bench.loop.memory.setbacks.keys() == {Trouble.REMOVALS}


def test_a_failed_removal_is_forgotten_when_nothing_is_to_be_removed_any_more(bench: Bench) -> None:
    """A job came to the slave, or it was deleted without an update."""
    bench.tick()
    bench.worker.given[0].set_result(Outcome(failures={Trouble.REMOVALS: "a can't be drained - timed out"}))
    bench.tick()
    assert bench.loop.memory.setbacks.keys() == {Trouble.REMOVALS}
    bench.worker.given[1].set_result(Outcome())
    bench.tick(timedelta(minutes=1))
    assert bench.loop.memory.setbacks == {}


def test_a_slave_that_stays_is_counted_and_neither_holds_up_others_nor_is_recovered_from(bench: Bench) -> None:
    bench.tick()
    bench.loop.asked = {"a"}
    stayed = {"a": "a can't be deleted - it is locked"}
    bench.worker.given[0].set_result(Outcome(updated=True, tried=GROWING, stayed=stayed))
    bench.tick()
    memory = bench.loop.memory
    assert (memory.setbacks, memory.stays["a"].times, bench.state.recoveries) == ({}, 1, 1)
    assert json.loads(bench.status.read_text())["lastUpdate"]["result"] == "done: a can't be deleted - it is locked"


def test_slaves_that_never_joined_count_once_however_many_they_were(bench: Bench) -> None:
    bench.tick()
    for times, names in enumerate((("a", "b"), ("c", "d")), start=1):
        bench.worker.given[-1].set_result(Outcome(updated=True, never_joined=dict.fromkeys(names, "late")))
        bench.tick()
        assert bench.loop.memory.setbacks[Trouble.JOINS].times == times


def test_a_slave_that_never_joined_and_cannot_be_removed_counts_once(bench: Bench) -> None:
    for number in range(3):
        bench.tick(timedelta(minutes=30))
        bench.worker.given[number].set_result(
            Outcome(failures={Trouble.UPDATES: "no answer"}, never_joined={"a": "late"})
        )
        bench.tick()
    assert bench.loop.memory.setbacks[Trouble.JOINS].times == 1


def test_a_doubtful_server_is_left_over_when_a_recovery_after_it_does_not_find_it_in_the_state(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubtful = Slave("a", Phase.DOUBTFUL, bench.now, "id-a", in_state=False)
    seen = Snapshot(slaves=(doubtful,))
    monkeypatch.setattr(loop, "observe", lambda *_: seen)
    bench.tick()
    assert bench.loop.memory.left_over == frozenset(), "it came after the first recovery"
    bench.cloud.servers = tuple(Server(f"id-{name}", name, "BUILD", bench.now) for name in "ab")
    bench.state.failure = LockedError("the stack is locked by ada@laptop (pid 7)")
    bench.tick()
    assert bench.loop.memory.left_over == frozenset(), "whoever has the lock may be making it"
    bench.state.failure, bench.state.view = None, View({"b": "id-b"}, SETTINGS)
    bench.tick(LOCK_PAUSE)
    assert bench.loop.memory.left_over == {"id-a"}


def test_ads_of_slaves_that_a_recovery_finds_gone_are_taken_out_of_the_pool(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else would for 90 s: the state doesn't know them any more, nor does Nova."""
    forgotten: list[str] = []
    monkeypatch.setattr(pool, "forget", forgotten.extend)
    bench.state.view = View({"a": "id-a", "b": "id-b", "c": "id-c"}, SETTINGS)
    bench.cloud.servers = tuple(Server(f"id-{name}", name, "ACTIVE", bench.now) for name in "bc")

    recover = bench.state.recover

    def refresh(there: Collection[str]) -> frozenset[str]:
        lost = recover(there)
        bench.state.view = View({"b": "id-b"}, SETTINGS)
        return lost

    monkeypatch.setattr(bench.state, "recover", refresh)
    bench.tick()
    assert forgotten == ["a"], "c was taken out of the state by somebody else, and lives"


def test_new_settings_are_checked_once(bench: Bench) -> None:
    bench.tick()
    bench.tick()
    assert bench.cloud.checks == 1
    bench.state.view = View(settings=SETTINGS.model_copy(update={"max_slaves": 5}))
    bench.worker.given[0].set_result(Outcome(updated=True))
    bench.tick()
    assert bench.cloud.checks == 2


def test_a_foreign_lock_is_waited_for_and_shown(bench: Bench) -> None:
    bench.tick()
    bench.worker.given[0].set_result(Outcome(locked="the stack is locked by ada@laptop (pid 7)"))
    bench.state.failure = LockedError("the stack is locked by ada@laptop (pid 7)")
    assert "locked: the stack is locked by ada@laptop" in bench.tick()
    tried = bench.state.recoveries
    bench.tick(timedelta(seconds=1))
    assert bench.state.recoveries == tried, "it doesn't ask at every tick"
    bench.state.failure = None
    assert "grow" in bench.tick(LOCK_PAUSE * 2)


def test_a_state_that_cannot_be_read_decides_nothing_and_is_said(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> View:
        raise OutsideError("the stack's state can't be read - connection refused")

    monkeypatch.setattr(bench.state, "read", refuse)
    assert "not ready: the stack's state can't be read" in bench.tick()
    assert bench.worker.given == []


def test_a_recovery_that_fails_is_tried_again_after_a_while_and_keeps_no_other_release_away(bench: Bench) -> None:
    bench.state.failure = OutsideError("the stack can't be refreshed - no route to host")
    assert bench.loop.tick() == Rest(UNRECOVERED)
    assert bench.state.recoveries == 1
    bench.state.view = View(settings=SETTINGS, release="new")
    bench.tick(STATE_EVERY)
    assert bench.loop.tools.stop.is_set()
    assert bench.state.recoveries == 1


def test_a_pause_is_shown_and_nothing_is_done_until_it_ends(bench: Bench) -> None:
    bench.loop.requests.pause.write_text("by ada since noon: new cables\n")
    assert bench.tick() == "paused: by ada since noon: new cables"
    assert (bench.worker.given, bench.state.recoveries) == ([], 0)
    bench.loop.requests.pause.unlink()
    assert "grow" in bench.tick()


def test_a_stop_lets_the_running_update_end_and_notes_how(bench: Bench) -> None:
    bench.tick()
    bench.loop.tools.stop.set()

    failed = Outcome(tried=GROWING, failures={Trouble.UPDATES: "no valid host"})
    threading.Timer(0.1, bench.worker.given[0].set_result, [failed]).start()
    bench.loop.worker = ThreadPoolExecutor(1)
    bench.loop.run()
    assert json.loads(bench.status.read_text())["lastUpdate"]["result"] == "failed: no valid host"
    assert bench.memory_file.load().setbacks


@pytest.mark.parametrize("in_time", [True, False])
def test_a_stop_has_a_long_update_end_early_and_what_that_leaves_undone_is_no_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, in_time: bool
) -> None:
    bench.tick()
    bench.loop.tools.stop.set()
    applying = bench.worker.given[0]
    canceled = Outcome(tried=GROWING, failures={Trouble.UPDATES: "update canceled"})

    engines = iter((False, True))  # at first slaves are still asked to drain

    def interrupt() -> bool:
        if running := next(engines, False):
            applying.set_result(Outcome(tried=GROWING, updated=True) if in_time else canceled)
        return running

    monkeypatch.setattr(command, "interrupt", interrupt)
    monkeypatch.setattr(loop, "STOP_PATIENCE", 0)
    bench.loop.worker = ThreadPoolExecutor(1)
    bench.loop.run()
    told = "done" if in_time else "ended early: the controller was to end"
    assert json.loads(bench.status.read_text())["lastUpdate"]["result"] == told
    assert not bench.memory_file.load().setbacks


def test_a_stop_has_a_recovery_end_early_and_nothing_begins_after_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = threading.Event()

    def recover(_there: object) -> frozenset[str]:
        bench.loop.tools.stop.set()
        assert interrupted.wait(10)
        return frozenset()

    def interrupt() -> bool:
        interrupted.set()
        return True

    monkeypatch.setattr(bench.state, "recover", recover)
    monkeypatch.setattr(command, "interrupt", interrupt)
    monkeypatch.setattr(loop, "STOP_PATIENCE", 0)
    monkeypatch.setattr(Later, "__enter__", lambda worker: worker, raising=False)
    monkeypatch.setattr(Later, "__exit__", lambda *_: None, raising=False)
    bench.loop.run()
    assert bench.loop.hurried
    assert bench.worker.given == [], "two jobs wait"


def test_a_clock_that_is_set_back_does_not_stop_reading(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot())
    bench.tick()
    reads = bench.state.reads
    bench.tick(timedelta(hours=-2))
    assert bench.state.reads == reads + 1


def test_another_release_in_the_state_ends_the_controller_between_two_updates(bench: Bench) -> None:
    bench.state.view = View(settings=SETTINGS, release="old")
    bench.tick()
    bench.state.view = View(settings=SETTINGS, release="new")
    bench.tick(STATE_EVERY * 2)
    assert not bench.loop.tools.stop.is_set(), "an update runs"
    bench.worker.given[0].set_result(Outcome(updated=True))
    bench.tick()
    assert bench.loop.tools.stop.is_set()
    assert len(bench.worker.given) == 1


def test_settings_that_only_another_release_understands_are_no_reason_not_to_take_it(bench: Bench) -> None:
    bench.state.view = View(lacking="the stack's output `settings` can't be used", release="old")
    assert "can't be used" in bench.tick()
    bench.state.view = View(lacking="the stack's output `settings` can't be used", release="new")
    bench.tick(STATE_EVERY * 2)
    assert bench.loop.tools.stop.is_set()


@pytest.mark.parametrize(("unknown", "starts"), [((), 0), (("the schedd can't be asked",), 1)])
def test_a_stop_before_the_first_whole_look_is_no_failed_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unknown: tuple[str, ...], starts: int
) -> None:
    bench.releases.notes.write_text(json.dumps({"starts": 2}))

    def look(*_: object) -> Snapshot:
        bench.loop.tools.stop.set()
        return Snapshot(unknown=unknown)

    monkeypatch.setattr(loop, "observe", look)
    bench.loop.worker = ThreadPoolExecutor(1)
    bench.loop.run()
    assert json.loads(bench.releases.notes.read_text())["starts"] == starts


def test_a_release_that_cannot_be_noted_to_work_works_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Releases, "prove", full)
    assert "grow" in bench.tick()


def test_a_release_is_proved_by_its_first_whole_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot(unknown=("the schedd can't be asked",)))
    bench.tick()
    assert not bench.releases.notes.exists()
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot())
    bench.tick()
    assert json.loads(bench.releases.notes.read_text())["proved"] == "old"


@pytest.mark.parametrize(("empty", "glances"), [(True, 2), (False, 0)])
def test_the_first_job_of_an_empty_queue_ends_the_rest_early_and_a_further_one_does_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, glances: int, *, empty: bool
) -> None:
    """Where jobs wait already, the decision takes them all: a look at each new one would only cost."""
    answers = [False, True]
    monkeypatch.setattr(loop, "GLANCE_EVERY", 0.01)
    monkeypatch.setattr(pool, "waiting", lambda: answers.pop(0))
    began = time.monotonic()
    bench.loop._rest(Rest(60 if empty else 0.05, empty=empty))
    assert time.monotonic() - began < 30
    assert len(answers) == 2 - glances


@pytest.mark.parametrize(
    ("seen", "empty"),
    [
        (Snapshot(), True),
        (JOBS, False),
        (Snapshot(unknown=("OpenStack can't be asked - 503",)), False),
        (Snapshot(dead_ads=("x",)), False),  # a plan is being carried out
    ],
)
def test_only_a_whole_look_without_jobs_or_acts_is_of_an_empty_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seen: Snapshot, *, empty: bool
) -> None:
    monkeypatch.setattr(loop, "observe", lambda *_: seen)
    assert bench.loop.tick() == Rest(SETTINGS.poll_interval, empty=empty)


def test_a_state_that_is_away_is_not_asked_early_however_empty_the_queue_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot())
    bench.tick()
    monkeypatch.setattr(bench.state, "read", lambda: (_ for _ in ()).throw(OutsideError("away")))
    bench.now += STATE_EVERY
    assert bench.loop.tick() == Rest(WITHOUT_STATE)


def test_a_stop_ends_the_rest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "waiting", lambda: pytest.fail("a look after the stop"))
    bench.loop.tools.stop.set()
    bench.loop._rest(Rest(60, empty=True))


@pytest.mark.parametrize(("unknown", "asked"), [((), 1), (("the schedd can't be asked",), 0)])
def test_htcondor_is_asked_to_look_again_at_jobs_that_it_may_have_lost_sight_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, unknown: tuple[str, ...], asked: int
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(pool, "look_again", lambda: calls.append("again"))
    monkeypatch.setattr(loop, "observe", lambda *_: Snapshot(unknown=unknown))
    bench.loop.memory.watch.waiting = {(Room(1, 100, 10), ""): bench.now - timedelta(hours=1)}
    idle = Standing("a", bench.now - timedelta(hours=1), 0, Room(2, 2000, 100), busy=False)
    bench.loop.memory.watch.slaves.standing = {"a": idle}
    bench.tick()
    bench.tick()
    assert len(calls) == asked


@pytest.mark.parametrize(
    ("seen", "arrived", "asked"),
    [
        (JOBS, True, 1),
        (JOBS, False, 0),
        (Snapshot(), True, 0),
        (replace(JOBS, unknown=("the collector can't be asked",)), True, 0),
        (Snapshot(jobs=(replace(JOBS.jobs[0], impossible="no slave has 64 CPUs"),)), True, 0),
    ],
)
def test_htcondor_is_asked_to_negotiate_when_a_slave_joins_that_jobs_wait_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seen: Snapshot, asked: int, *, arrived: bool
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(pool, "negotiate", lambda: calls.append("now"))
    monkeypatch.setattr(loop, "observe", lambda *_: seen)
    bench.loop.memory.arrived = arrived
    bench.tick()
    bench.tick()
    assert len(calls) == asked


def test_htcondor_is_asked_to_negotiate_after_a_pause_and_not_in_it_or_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(pool, "negotiate", lambda: calls.append("now"))
    monkeypatch.setattr(loop, "observe", lambda *_: JOBS)
    bench.loop.memory.arrived = True
    bench.loop.requests.pause.write_text("by ada since noon: new cables\n")
    bench.tick()
    assert calls == []
    bench.loop.requests.pause.unlink()
    bench.tick()
    assert calls == ["now"]
    bench.loop.memory.arrived = True
    bench.loop.tools.stop.set()
    bench.loop.tick()
    assert calls == ["now"]


def test_a_schedd_that_cannot_be_told_to_negotiate_ends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OutsideError("the schedd can't be told to negotiate - it is away")

    monkeypatch.setattr(pool, "negotiate", away)
    monkeypatch.setattr(loop, "observe", lambda *_: JOBS)
    bench.loop.memory.arrived = True
    assert "grow" in bench.tick()
