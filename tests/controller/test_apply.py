"""How a plan is carried out: who is asked, in which order, and what is left alone."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cloudinit import boot
from cloudinit.systems import SYSTEMS
from cluster.program import Change
from cluster.report import Shared, SlaveTemplate
from controller import pool, servers
from controller.apply import ABREAST, Outcome, Tools, apply
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.model import Phase, Plan, Reason, Removal, Slave, Snapshot, Trouble, Why
from controller.pool import Drain
from controller.servers import Server
from tests.controller.made_up import SETTINGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOING = frozenset({Trouble.REMOVALS})


class Outside:
    """Everything outside, which writes down what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.drains: dict[str, Drain | Exception] = {}
        self.later: dict[str, Drain] = {}
        """What is answered from the second time on, where that is something else."""
        self.retired: dict[str, str] = {}
        self.failure: Exception | None = None
        self.change_seen: Change | None = None
        self.there: set[str] = set()
        self.undeletable = ""
        self.off: bool | Exception = False
        self.patience = 0.0

    def drain(self, name: str, _reason: str) -> Drain:
        self.asked.append(("drain", name))
        answer = self.drains.get(name, Drain.DRAINED)
        if isinstance(answer, Exception):
            raise answer
        self.drains[name] = self.later.get(name, answer)
        return answer

    def forget(self, names: Iterable[str]) -> None:
        if gone := list(names):
            self.asked.append(("forget", gone))

    def delete(self, server_id: str, patience: float) -> None:
        self.asked.append(("delete", server_id))
        self.patience = patience
        if self.undeletable:
            raise OutsideError(self.undeletable)

    def server(self, server_id: str) -> Server | None:
        return Server(server_id, "a", "ACTIVE", NOW) if server_id in self.there else None

    def is_off(self, _server_id: str) -> bool:
        if isinstance(self.off, Exception):
            raise self.off
        return self.off

    def change(self, change: Change, _template: SlaveTemplate, on_delete: Callable[[str], None]) -> None:
        self.change_seen = change
        self.asked.append(("update", (len(change.create), sorted(change.remove))))
        if self.failure:
            raise self.failure
        for name in sorted(change.remove):
            on_delete(name)

    def retire(self, name: str, reason: str) -> None:
        self.asked.append(("retire", name))
        self.retired[name] = reason
        if isinstance(answer := self.drains.get(name), Exception):
            raise answer

    def revive(self, name: str) -> None:
        self.asked.append(("revive", name))

    def console_tail(self, server_id: str) -> str:
        self.asked.append(("console", server_id))
        return "proxy is http://ada:hunter2@proxy:3128\nKernel panic"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    fake = Outside()
    monkeypatch.setattr(pool, "drain", fake.drain)
    monkeypatch.setattr(pool, "forget", fake.forget)
    monkeypatch.setattr(pool, "retire", fake.retire)
    monkeypatch.setattr(pool, "revive", fake.revive)
    return fake


def run(
    outside: Outside,
    tmp_path: Path,
    plan: Plan,
    *slaves: Slave,
    settings: Shared = SETTINGS,
    stop: threading.Event | None = None,
    clock: Callable[[], datetime] = lambda: NOW,
) -> Outcome:
    key = tmp_path / "key"
    key.write_bytes(b"key")
    fake: Any = outside
    tools = Tools(fake, fake, key, "ecm-dev-slave-", clock, stop or threading.Event())
    return apply(plan, Snapshot(slaves=slaves), settings, tools)


def slave(name: str, phase: Phase, *, in_state: bool = True) -> Slave:
    return Slave(name, phase, NOW, f"id-{name}", in_state, drained=phase is Phase.DRAINED)


def remove(*names: str) -> Plan:
    return Plan(remove=tuple(Removal(name, Reason(Why.IDLE, "idle")) for name in names))


def test_slaves_that_cannot_be_asked_in_time_stay_for_the_next_update(outside: Outside, tmp_path: Path) -> None:
    """Here 40 s go by with each of as many as are asked at a time."""
    names = [f"s{number:03}" for number in range(3 * ABREAST)]
    passed = count()
    clock = lambda: NOW + timedelta(seconds=40) * (next(passed) // ABREAST)  # noqa: E731
    outcome = run(outside, tmp_path, remove(*names), *(slave(n, Phase.IDLE) for n in names), clock=clock)
    drained = {name for what, name in outside.asked if what == "drain"}
    assert 0 < len(drained) < len(names)
    assert outside.change_seen is not None
    assert outside.change_seen.remove == drained
    assert outcome.refused == set(names) - drained
    assert outcome.stayed == {}


def test_an_idle_slave_is_drained_then_removed_then_forgotten(outside: Outside, tmp_path: Path) -> None:
    outcome = run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE))
    assert outside.asked == [("drain", "a"), ("update", (0, ["a"])), ("forget", ["a"])]
    assert outcome == Outcome(updated=True, tried=GOING)


def test_drains_are_undone_and_begun_without_an_update(outside: Outside, tmp_path: Path) -> None:
    plan = Plan(revive=("a",), retire=("b",))
    assert run(outside, tmp_path, plan, slave("a", Phase.DRAINED), slave("b", Phase.BUSY)) == Outcome()
    assert sorted(outside.asked) == [("retire", "b"), ("revive", "a")]


def test_ads_of_slaves_that_are_no_more_are_taken_out_of_the_pool(outside: Outside, tmp_path: Path) -> None:
    assert run(outside, tmp_path, Plan(forget=("x", "y"))) == Outcome()
    assert outside.asked == [("forget", ["x", "y"])]


@pytest.mark.parametrize(
    ("answer", "goes"),
    [(Drain.ALREADY, True), (Drain.DRAINED, True), (Drain.ABSENT, False), (Drain.REFUSED, False)],
)
def test_a_drained_slave_is_asked_whether_it_still_is(
    outside: Outside, tmp_path: Path, answer: Drain, *, goes: bool
) -> None:
    """Its ad may be from before its drain was undone, and a job may have come since."""
    outside.drains["a"] = answer
    run(outside, tmp_path, remove("a"), slave("a", Phase.DRAINED))
    assert (("update", (0, ["a"])) in outside.asked) is goes


@pytest.mark.parametrize("drained", [True, False])
def test_a_drained_slave_whose_server_has_failed_goes(outside: Outside, tmp_path: Path, *, drained: bool) -> None:
    outside.drains["a"] = Drain.ALREADY
    run(outside, tmp_path, remove("a"), replace(slave("a", Phase.FAILED), drained=drained))
    assert (("delete", "id-a") in outside.asked) is drained


@pytest.mark.parametrize(
    ("phase", "goes"), [(Phase.IDLE, False), (Phase.DRAINED, False), (Phase.BOOTING, True), (Phase.MISSING, True)]
)
def test_a_slave_that_was_in_the_pool_a_moment_ago_is_not_absent(
    outside: Outside, tmp_path: Path, phase: Phase, *, goes: bool
) -> None:
    """A collector that has just restarted knows nobody."""
    outside.drains["a"] = Drain.ABSENT
    run(outside, tmp_path, remove("a"), slave("a", phase))
    assert any(what in {"update", "delete"} for what, _ in outside.asked) is goes


@pytest.mark.parametrize("off", [False, True])
def test_a_broken_slave_without_an_ad_stays_while_a_job_runs_there(
    outside: Outside, tmp_path: Path, *, off: bool
) -> None:
    """A server in ERROR may run on, and a collector that has just restarted knows nobody."""
    outside.drains["a"], outside.off = Drain.ABSENT, off
    outcome = run(outside, tmp_path, remove("a"), replace(slave("a", Phase.FAILED), running=True))
    assert (("delete", "id-a") in outside.asked) is off
    assert outcome.stayed == ({} if off else {"a": "a isn't removed - HTCondor says that a job runs there"})


def test_a_slave_that_takes_no_more_jobs_is_told_why(outside: Outside, tmp_path: Path) -> None:
    named, old = replace(slave("a", Phase.BUSY), unwanted=True), slave("b", Phase.BUSY)
    run(outside, tmp_path, Plan(retire=("a", "b")), named, old)
    assert outside.retired == {"a": "elastic-condor: unwanted", "b": "elastic-condor: recycled"}


def test_a_slave_whose_server_is_deleted_takes_no_more_jobs(outside: Outside, tmp_path: Path) -> None:
    run(outside, tmp_path, Plan(retire=("a",)), replace(slave("a", Phase.BUSY), deleting=True))
    assert outside.retired == {"a": "elastic-condor: unwanted"}


def test_a_slave_that_does_not_answer_is_a_failure_to_wait_after(outside: Outside, tmp_path: Path) -> None:
    """Each try may take a minute, in which nothing else is decided."""
    outside.drains["a"] = OutsideError("a can't be drained - timed out")
    outcome = run(outside, tmp_path, remove("a", "b"), slave("a", Phase.IDLE), slave("b", Phase.IDLE))
    assert outcome.stayed == {"a": "a can't be drained - timed out"}


def test_a_busy_slave_that_does_not_answer_is_a_failure_to_wait_after_too(outside: Outside, tmp_path: Path) -> None:
    outside.drains["a"] = OutsideError("a can't be drained - timed out")
    outcome = run(outside, tmp_path, Plan(retire=("a", "b")), slave("a", Phase.BUSY), slave("b", Phase.BUSY))
    assert outcome == Outcome(stayed={"a": "a can't be drained - timed out"})


def test_an_idle_slave_that_is_being_drained_already_waits_for_the_next_look(outside: Outside, tmp_path: Path) -> None:
    """Who drained it may have done so while it had a job."""
    outside.drains["a"] = Drain.ALREADY
    run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE))
    assert outside.asked == [("drain", "a")]


@pytest.mark.parametrize("known", [False, True])
def test_slaves_that_never_joined_are_told_with_their_last_words(
    outside: Outside, tmp_path: Path, *, known: bool
) -> None:
    outside.drains["a"] = Drain.ABSENT
    late = replace(slave("a", Phase.BOOTING), known=known)
    plan = Plan(remove=(Removal("a", Reason(Why.NOT_JOINED, "not in the pool after 601 s")),))
    outcome = run(outside, tmp_path, plan, late, settings=SETTINGS.model_copy(update={"console_logs": True}))
    assert ("console", "id-a") in outside.asked
    shown = ("proxy is http://ada:***@proxy:3128", "Kernel panic")
    assert outcome.consoles == {"a": shown}, "the journal is for everybody to read"
    assert outcome.never_joined == ({} if known else {"a": "not in the pool after 601 s"})


def test_no_console_is_asked_for_unless_the_user_wants_it(outside: Outside, tmp_path: Path) -> None:
    """The login can't read them: each try would be a refusal."""
    outside.drains["a"] = Drain.ABSENT
    plan = Plan(remove=(Removal("a", Reason(Why.NOT_JOINED, "not in the pool after 601 s")),))
    assert run(outside, tmp_path, plan, slave("a", Phase.BOOTING)).consoles == {}
    assert ("console", "id-a") not in outside.asked


@pytest.mark.parametrize("answer", [Drain.REFUSED, OutsideError("the startd doesn't answer")])
def test_a_slave_that_refuses_or_does_not_answer_stays(
    outside: Outside, tmp_path: Path, answer: Drain | Exception
) -> None:
    outside.drains["a"] = answer
    run(outside, tmp_path, remove("a", "b"), slave("a", Phase.IDLE), slave("b", Phase.IDLE))
    assert ("update", (0, ["b"])) in outside.asked
    assert ("forget", ["b"]) in outside.asked


@pytest.mark.parametrize(
    ("phase", "off", "goes"),
    [
        (Phase.FAILED, True, True),  # its ad stays for a quarter of an hour, and its startd never answers
        (Phase.FAILED, False, False),  # in ERROR it may run on, with jobs
        (Phase.IDLE, True, False),
        (Phase.FAILED, OutsideError("OpenStack can't be asked"), False),
    ],
)
def test_a_slave_that_does_not_answer_goes_when_its_server_is_off(
    outside: Outside, tmp_path: Path, phase: Phase, off: bool | Exception, *, goes: bool
) -> None:
    outside.drains["a"], outside.off = OutsideError("the startd doesn't answer"), off
    run(outside, tmp_path, remove("a"), slave("a", phase))
    assert (("delete", "id-a") in outside.asked) is goes
    assert (("update", (0, ["a"])) in outside.asked) is goes


def test_a_slave_that_answers_is_believed_whatever_nova_says(outside: Outside, tmp_path: Path) -> None:
    outside.drains["a"], outside.off = Drain.REFUSED, True
    outcome = run(outside, tmp_path, remove("a"), slave("a", Phase.FAILED))
    assert outcome.stayed == {"a": "a isn't removed - a job runs there, after which it goes"}
    assert outside.retired == {"a": "elastic-condor: idle: idle"}, "it takes no more of them"


def test_a_broken_slave_that_cannot_be_closed_to_jobs_says_so(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retire(_name: str, _reason: str) -> None:
        raise OutsideError("a isn't drained - its HTCondor would end the jobs that run there")

    outside.drains["a"] = Drain.REFUSED
    monkeypatch.setattr(pool, "retire", retire)
    outcome = run(outside, tmp_path, remove("a"), slave("a", Phase.FAILED))
    assert outcome.stayed == {"a": "a isn't drained - its HTCondor would end the jobs that run there"}


@pytest.mark.parametrize("told_amid_the_drains", [True, False])
def test_a_controller_that_is_to_end_begins_nothing(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told_amid_the_drains: bool
) -> None:
    stop = threading.Event()

    def drain(name: str, reason: str) -> Drain:
        stop.set()
        return outside.drain(name, reason)

    monkeypatch.setattr(pool, "drain", drain)
    monkeypatch.setattr("controller.apply.ABREAST", 1)
    if not told_amid_the_drains:
        stop.set()
    slaves = [slave("a", Phase.IDLE), slave("b", Phase.FAILED), slave("c", Phase.BUSY), slave("d", Phase.DRAINED)]
    plan = replace(remove("a", "b"), create=1, retire=("c",) if not told_amid_the_drains else (), revive=("d",))
    outcome = run(outside, tmp_path, plan, *slaves, stop=stop)
    assert outside.asked == ([("drain", "a")] if told_amid_the_drains else [])
    assert outcome == Outcome(ended_early=True)


def test_when_all_refuse_no_update_runs(outside: Outside, tmp_path: Path) -> None:
    outside.drains["a"] = Drain.REFUSED
    assert run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE)) == Outcome(refused=frozenset({"a"}))
    assert outside.asked == [("drain", "a")]


def test_a_late_slave_that_joins_at_the_last_moment_is_asked_too(outside: Outside, tmp_path: Path) -> None:
    outside.drains["a"] = Drain.REFUSED
    run(outside, tmp_path, remove("a"), slave("a", Phase.BOOTING))
    assert outside.asked == [("drain", "a")]


@pytest.mark.parametrize("phase", [Phase.BOOTING, Phase.MISSING])
def test_a_late_slave_that_joins_while_others_are_waited_for_stays(
    outside: Outside, tmp_path: Path, phase: Phase
) -> None:
    outside.drains["a"], outside.later["a"] = Drain.ABSENT, Drain.REFUSED
    outcome = run(outside, tmp_path, remove("a", "b"), slave("a", phase), slave("b", Phase.IDLE))
    assert outcome == Outcome(refused=frozenset({"a"}), updated=True, tried=GOING)
    assert ("update", (0, ["b"])) in outside.asked


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.BUILDING, Phase.BOOTING, Phase.MISSING])
def test_a_slave_that_is_not_in_the_pool_is_deleted_by_hand_before_the_update(
    outside: Outside, tmp_path: Path, phase: Phase
) -> None:
    """An update first makes others, which takes its time: it might join meanwhile, and get a job."""
    outside.drains["a"] = Drain.ABSENT
    run(outside, tmp_path, remove("a"), slave("a", phase))
    first_gone = [("drain", "a"), ("drain", "a"), ("delete", "id-a"), ("forget", ["a"])]
    assert outside.asked == [*first_gone, ("update", (0, ["a"])), ("forget", ["a"])]


def test_slaves_are_drained_and_deleted_at_the_same_time(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server that doesn't go would otherwise hold up all others, and all growth."""
    together = threading.Barrier(3, timeout=10)

    def drain(name: str, reason: str) -> Drain:
        together.wait()
        return outside.drain(name, reason)

    def delete(_server_id: str, _patience: float) -> None:
        together.wait()

    monkeypatch.setattr(pool, "drain", drain)
    monkeypatch.setattr(outside, "delete", delete)
    names = ("a", "b", "c")
    outcome = run(outside, tmp_path, remove(*names), *(slave(name, Phase.FAILED) for name in names))
    assert outcome.updated


def test_a_slave_that_only_the_list_lacked_is_not_removed(outside: Outside, tmp_path: Path) -> None:
    outside.there = {"id-a"}
    run(outside, tmp_path, remove("a", "b"), slave("a", Phase.GONE), slave("b", Phase.GONE))
    assert outside.asked == [("update", (0, ["b"])), ("forget", ["b"])]


@pytest.mark.parametrize("drained", [False, True])
def test_a_broken_slave_that_says_it_has_a_job_stays_whatever_was_seen(
    outside: Outside, tmp_path: Path, *, drained: bool
) -> None:
    outside.drains["a"], outside.off = Drain.REFUSED, True
    broken = replace(slave("a", Phase.FAILED), drained=drained)
    assert run(outside, tmp_path, remove("a"), broken).refused == {"a"}
    assert not [what for what, _ in outside.asked if what in {"update", "delete"}]


def test_a_stray_is_deleted_without_an_update(outside: Outside, tmp_path: Path) -> None:
    run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE, in_state=False))
    assert outside.asked == [("drain", "a"), ("delete", "id-a"), ("forget", ["a"])]


def test_a_stray_that_cannot_be_deleted_is_a_failure_to_wait_after(outside: Outside, tmp_path: Path) -> None:
    outside.undeletable = "it is locked"
    outcome = run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE, in_state=False))
    assert outcome.stayed == {"a": "a can't be deleted - it is locked"}
    assert ("forget", ["a"]) not in outside.asked


def test_slaves_keep_their_places_below_the_maximum_until_they_are_gone(outside: Outside, tmp_path: Path) -> None:
    """An update makes and removes at the same time: there would be more than `maxSlaves` for a while, or for good."""
    outside.drains["a"] = OutsideError("the startd doesn't answer")
    plan = Plan(create=3, remove=remove("a", "b").remove)
    run(outside, tmp_path, plan, *(slave(name, Phase.IDLE) for name in ("a", "b", "c")))
    assert ("update", (1, ["b"])) in outside.asked, f"maxSlaves is {SETTINGS.max_slaves}"


def test_slaves_without_a_server_give_their_places_to_new_ones_at_once(outside: Outside, tmp_path: Path) -> None:
    plan = Plan(create=4, remove=remove("a", "b").remove)
    run(outside, tmp_path, plan, slave("a", Phase.FAILED), slave("b", Phase.GONE), slave("c", Phase.IDLE))
    assert ("update", (3, ["a", "b"])) in outside.asked, f"maxSlaves is {SETTINGS.max_slaves}"


def test_a_failed_server_that_cannot_be_deleted_is_not_waited_for_a_second_time(
    outside: Outside, tmp_path: Path
) -> None:
    outside.drains["a"], outside.undeletable = Drain.ABSENT, "it isn't gone 60 s after its deletion"
    outcome = run(outside, tmp_path, remove("a"), slave("a", Phase.FAILED))
    assert outside.asked == [("drain", "a"), ("drain", "a"), ("delete", "id-a")]
    assert outcome.stayed == {"a": f"a can't be deleted - {outside.undeletable}"}


def test_new_slaves_get_new_names_and_their_own_tokens(outside: Outside, tmp_path: Path) -> None:
    run(outside, tmp_path, Plan(create=3))
    assert outside.change_seen is not None
    made = outside.change_seen.create
    assert len(made) == 3
    assert all(name.startswith("ecm-dev-slave-") for name in made)
    assert len(set(made.values())) == 3


def test_a_new_slave_never_gets_the_name_of_one_that_is_there(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The update would take it for that one, and change it."""
    letters = iter("aaaaaabbbbbb")
    monkeypatch.setattr("secrets.choice", lambda _alphabet: next(letters))
    run(outside, tmp_path, Plan(create=1), slave("ecm-dev-slave-aaaaaa", Phase.BUSY))
    assert outside.change_seen is not None
    assert list(outside.change_seen.create) == ["ecm-dev-slave-bbbbbb"]


def test_an_update_tells_of_the_slaves_of_the_state_that_stay(outside: Outside, tmp_path: Path) -> None:
    outside.drains["b"] = Drain.REFUSED
    stray = slave("d", Phase.BUSY, in_state=False)
    run(outside, tmp_path, remove("a", "b"), *(slave(name, Phase.IDLE) for name in ("a", "b", "c")), stray)
    assert outside.change_seen is not None
    assert outside.change_seen.keep == {"b": "id-b", "c": "id-c"}


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (LockedError("locked by ada"), Outcome(locked="locked by ada")),
        (UpdateFailedError("no"), Outcome(tried=GOING, failures={Trouble.REMOVALS: "no"})),
        (OutsideError("no stack"), Outcome(tried=GOING, failures={Trouble.REMOVALS: "no stack"})),
    ],
)
def test_what_went_wrong_is_told(outside: Outside, tmp_path: Path, failure: Exception, outcome: Outcome) -> None:
    outside.failure = failure
    assert run(outside, tmp_path, remove("a"), slave("a", Phase.IDLE)) == outcome


@pytest.mark.parametrize(
    ("failure", "troubles"),
    [
        (UpdateFailedError("no", creates=False), {Trouble.REMOVALS}),
        (UpdateFailedError("no", deletes=False), {Trouble.UPDATES}),
        (UpdateFailedError("killed"), {Trouble.UPDATES, Trouble.REMOVALS}),
    ],
)
def test_of_an_update_that_makes_and_removes_only_what_failed_has_failed(
    outside: Outside, tmp_path: Path, failure: Exception, troubles: set[Trouble]
) -> None:
    outside.failure = failure
    outcome = run(outside, tmp_path, Plan(create=1, remove=remove("a").remove), slave("a", Phase.IDLE))
    assert outcome.tried == {Trouble.UPDATES, Trouble.REMOVALS}
    assert outcome.failures.keys() == troubles


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.DRAINED])
def test_a_slave_that_nova_is_deleting_already_is_deleted_by_hand(
    outside: Outside, tmp_path: Path, phase: Phase
) -> None:
    """An update would wait for it once more, five minutes with the stack locked."""
    kept = replace(slave("a", phase), deleting=True)
    outside.drains["a"] = Drain.DRAINED if phase is Phase.IDLE else Drain.ALREADY
    run(outside, tmp_path, remove("a"), kept)
    assert outside.asked == [
        ("drain", "a"),
        ("delete", "id-a"),
        ("forget", ["a"]),
        ("update", (0, ["a"])),
        ("forget", ["a"]),
    ]


def test_a_slave_that_nova_does_not_let_go_of_locks_no_stack_again(outside: Outside, tmp_path: Path) -> None:
    kept = replace(slave("a", Phase.DRAINED), deleting=True)
    outside.drains["a"], outside.undeletable = Drain.ALREADY, "it isn't gone 10 s after its deletion"
    outcome = run(outside, tmp_path, remove("a"), kept)
    assert outside.asked == [("drain", "a"), ("delete", "id-a")]
    assert outside.patience < servers.GOING, "hundreds of these would hold up everything else for minutes"
    assert outcome.stayed == {"a": f"a can't be deleted - {outside.undeletable}"}


def test_new_slaves_get_their_system_and_the_users_own(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[boot.SlaveBoot] = []

    def remember(of_slave: boot.SlaveBoot) -> str:
        seen.append(of_slave)
        return "user-data"

    monkeypatch.setattr(boot, "slave", remember)
    of_user = {"system": "el-9", "docker": False, "packages": ("git",), "script": "#!/bin/sh\n"}
    of_user |= {"orphan_time": 900, "proxy": "http://proxy.site:3128"}
    settings = SETTINGS.model_copy(update={"slave": SETTINGS.slave.model_copy(update=of_user)})
    run(outside, tmp_path, Plan(create=1), settings=settings)
    (made,) = seen
    assert (made.system, made.docker) == (SYSTEMS["el-9"], False)
    assert (made.orphan_time, made.proxy) == (900, "http://proxy.site:3128")
    assert made.own == boot.Additions(("git",), "", "#!/bin/sh\n")
