"""What an exported deployment says, and whose lock is stale."""

import errno
import math
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any, ClassVar

import psutil
import pulumi.automation as auto
import pytest
import structlog

from cluster.nodes import CREATE_TIMEOUT
from cluster.program import Change
from controller import command, state
from controller.decide import BATCH
from controller.errors import OutsideError, UpdateFailedError
from tests.controller.made_up import NOBODY, SETTINGS

INSTANCE = "openstack:compute/instance:Instance"


def resource(name: str, kind: str = INSTANCE, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::ecm::{kind}::{name}", "type": kind, "id": f"id-{name}", **more}


def test_slaves_are_the_instances_but_the_master() -> None:
    view = state.parse(
        {"resources": [resource("master"), resource("s1"), resource("x", "a:b:C"), resource("s2", delete=True)]}
    )
    assert view.slaves == {"s1": "id-s1"}
    assert view.settings is None


def test_interrupted_creates_are_seen() -> None:
    pending = [{"type": "creating", "resource": resource("s1")}, {"type": "deleting", "resource": resource("s2")}]
    assert state.parse({"pending_operations": pending}).pending == (resource("s1")["urn"],)


def test_an_empty_stack_has_nothing() -> None:
    assert state.parse({}) == state.View()


def test_settings_that_cannot_be_used_hide_neither_the_slaves_nor_the_release() -> None:
    outputs = {"settings": {"minSlaves": "many"}, "controller": {"digest": "new"}}
    stack = resource("dev", "pulumi:pulumi:Stack", outputs=outputs)
    view = state.parse({"resources": [stack, resource("s1")]})
    assert (view.settings, view.release, view.slaves) == (None, "new", {"s1": "id-s1"})
    assert "can't be used" in view.lacking


LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
    "lock file with `pulumi cancel`.\n  postgres://db/pulumi/locks/x.json: "
    "created by ecm@ecm-dev-master (pid 77) at 2026-01-01T00:00:00Z"
)


@pytest.mark.parametrize(
    ("message", "alive", "stale"),
    [
        (LOCKED, False, True),
        (LOCKED, True, False),  # the process is there: the lock is live
        (LOCKED.replace("ecm@", "ada@"), False, False),  # somebody else's
        (LOCKED.replace("ecm-dev-master", "laptop"), False, False),
        (LOCKED + LOCKED, False, False),  # cancel would delete both
        ("something else", False, False),
    ],
)
def test_only_ones_own_lock_of_a_dead_process_is_stale(message: str, alive: bool, stale: bool) -> None:
    assert state.stale(message, user="ecm", host="ecm-dev-master", alive=lambda _pid: alive) is stale


def test_another_process_with_the_number_of_a_killed_engine_does_not_keep_its_lock() -> None:
    """After a reboot of the master that is likely: the numbers begin anew."""
    assert psutil.pid_exists(os.getpid())
    assert not command.is_engine(os.getpid())
    assert not command.is_engine(2**22 + 1)


@pytest.mark.parametrize(
    ("account", "is_one"),
    [
        (os.getuid(), True),
        pytest.param(NOBODY, False, marks=pytest.mark.skipif(os.getuid() != 0, reason="takes another account")),
    ],
)
def test_an_engine_that_runs_keeps_its_lock_and_another_accounts_process_of_its_name_does_not(
    open_to_all: Path, account: int, *, is_one: bool
) -> None:
    engine = open_to_all / "pulumi"
    engine.symlink_to(which("sleep") or "")
    with subprocess.Popen([engine, "60"], user=account) as process:
        try:
            assert command.is_engine(process.pid) is is_one
        finally:
            process.kill()


class Stack:
    """A stack with a lock of a dead process of this machine's, which can't be cancelled."""

    def refresh(self, **_: object) -> None:
        lock = f"created by {psutil.Process().username()}@{socket.gethostname()} (pid {2**22 + 1}) at noon"
        raise auto.ConcurrentUpdateError(auto.CommandResult("", lock, 255))

    def cancel(self) -> None:
        raise auto.CommandError(auto.CommandResult("", "error: no route to postgres://ecm:hunter2@db/pulumi", 255))


def test_a_lock_that_cannot_be_freed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "end_orphans", lambda: None)
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", Stack)
    monkeypatch.setattr(of_cluster, "read", state.View)
    with pytest.raises(OutsideError, match=r"the stack's own lock can't be freed - .*no route to postgres://ecm:"):
        of_cluster.recover(frozenset())


class Workless:
    """What Pulumi does on a full disk."""

    def __init__(self, **_: object) -> None:
        raise OSError(28, "No space left on device", "/var/lib/ecm/work/Pulumi.yaml")


def test_a_stack_that_a_full_disk_keeps_from_being_opened_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "Limited", SimpleNamespace)
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    with monkeypatch.context() as full:
        full.setattr(auto, "LocalWorkspace", Workless)
        with pytest.raises(OutsideError, match=r"the stack organization/ecm/dev can't be opened - .*No space left"):
            of_cluster.read()
    monkeypatch.setattr(auto, "LocalWorkspace", lambda **_: SimpleNamespace())
    monkeypatch.setattr(state, "_Stack", lambda *_: SimpleNamespace())
    monkeypatch.setattr(state, "_exported", lambda _stack: {})
    assert of_cluster.read().lacking == state.NO_UP


@pytest.mark.parametrize("call", ["read", "recover"])
def test_a_pulumi_that_cannot_be_run_is_an_error_in_one_line(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(state, "end_orphans", lambda: None)
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    stack = SimpleNamespace(refresh=full)
    monkeypatch.setattr(of_cluster, "_selected", lambda: stack)
    if call == "read":
        monkeypatch.setattr(state, "_exported", full)
    else:
        monkeypatch.setattr(of_cluster, "read", state.View)
    with pytest.raises(OutsideError, match=r"^the stack.* can't be re.* - .*Cannot allocate memory$"):
        of_cluster.read() if call == "read" else of_cluster.recover(frozenset())


def test_a_recovery_asks_of_the_slaves_that_have_no_server_and_is_never_without_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(state, "end_orphans", lambda: None)
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    stack = SimpleNamespace(refresh=lambda target, **_: asked.append(target))
    monkeypatch.setattr(of_cluster, "_selected", lambda: stack)
    monkeypatch.setattr(of_cluster, "read", lambda: state.View({"s1": "id-s1", "s2": "id-s2"}))
    of_cluster.recover({"id-s1"})
    of_cluster.recover({"id-s1", "id-s2"})
    assert asked == [[state.ITSELF, resource("s2")["urn"]], [state.ITSELF]]


def test_what_an_interrupted_update_of_the_users_may_have_left_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its note is dropped with the slaves', and the next `pulumi up` makes another one."""
    address = resource("address", "openstack:networking/floatingIp:FloatingIp")["urn"]
    monkeypatch.setattr(state, "end_orphans", lambda: None)
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", lambda: SimpleNamespace(refresh=lambda **_: None))
    monkeypatch.setattr(of_cluster, "read", lambda: state.View(pending=(address, resource("s1")["urn"])))
    with structlog.testing.capture_logs() as logged:
        of_cluster.recover(frozenset())
    assert [(line["log_level"], line["urn"]) for line in logged] == [("warning", address)]


def test_a_pulumi_that_does_not_say_its_version_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed() -> None:
        raise subprocess.CalledProcessError(-9, ["pulumi", "version"])

    monkeypatch.setattr(state, "Limited", killed)
    with pytest.raises(OutsideError, match=r"^the stack .* can't be opened - Command .* died with <Signals"):
        state.State("organization/ecm/dev", tmp_path).read()


class Undying:
    """A provider without its engine, which waits for a disk that doesn't answer."""

    pid = 77
    info: ClassVar[dict[str, Any]] = {"name": "pulumi-resource-openstack", "ppid": 1, "uids": psutil.Process().uids()}

    def kill(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        raise psutil.TimeoutExpired(seconds, self.pid)


def test_a_provider_that_does_not_end_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could still make servers."""
    monkeypatch.setattr(psutil, "process_iter", lambda _: [Undying()])
    with pytest.raises(OutsideError, match=r"the stack can't be recovered - .* 77 .* doesn't end"):
        state.end_orphans()


def done(op: auto.OpType, kind: str, name: str) -> auto.EngineEvent:
    """What Pulumi says when a step has ended."""
    metadata = auto.StepEventMetadata(op, f"urn:pulumi:dev::ecm::{kind}::{name}", kind, provider="p")
    return auto.EngineEvent(1, 1, res_outputs_event=auto.ResOutputsEvent(metadata))


def test_each_deleted_slave_is_told_and_nothing_else() -> None:
    told: list[str] = []
    for event in (
        done(auto.OpType.DELETE, INSTANCE, "ecm-dev-slave-a"),
        done(auto.OpType.CREATE, INSTANCE, "ecm-dev-slave-b"),
        done(auto.OpType.DELETE, "openstack:networking/port:Port", "master"),
        auto.EngineEvent(1, 1),
    ):
        state._tell_deleted(event, told.append)
    assert told == ["ecm-dev-slave-a"]


def test_a_change_of_nothing_is_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a target it would be one of everything, and declare nothing."""
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", lambda: pytest.fail("an update"))
    of_cluster.change(Change({}, frozenset()), SETTINGS.slave, lambda _name: None)


def test_an_update_is_targeted_at_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    stack = SimpleNamespace(workspace=SimpleNamespace(program=None), up=lambda **options: asked.update(options))
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", lambda: stack)
    of_cluster.change(Change({"s2": "data"}, frozenset({"s1"})), SETTINGS.slave, lambda _name: None)
    assert asked["target"] == [resource("s1")["urn"], resource("s2")["urn"]]


@pytest.mark.parametrize(
    ("failed", "creates", "deletes"),
    [([auto.OpType.CREATE], True, False), ([auto.OpType.DELETE], False, True), ([], True, True)],
)
def test_an_update_that_fails_tells_what_of_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: list[auto.OpType], *, creates: bool, deletes: bool
) -> None:
    def up(*, on_event: Callable[[auto.EngineEvent], None], **_: object) -> None:
        for op in failed:
            metadata = auto.StepEventMetadata(op, "urn:pulumi:dev::ecm::x::a", INSTANCE, provider="p")
            on_event(auto.EngineEvent(1, 1, res_op_failed_event=auto.ResOpFailedEvent(metadata, 1, 1)))
        raise auto.CommandError(auto.CommandResult("", "error: no", 255))

    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", lambda: SimpleNamespace(up=up, workspace=SimpleNamespace()))
    with pytest.raises(UpdateFailedError) as raised:
        of_cluster.change(Change({"a": "data"}, frozenset()), SETTINGS.slave, on_delete=lambda _: None)
    assert (raised.value.creates, raised.value.deletes) == (creates, deletes)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (auto.CommandResult("Updating (dev):", "", -9), "pulumi was killed by signal 9"),
        (auto.CommandResult("Updating (dev):", "error: no route", -2), "error: no route"),
        (auto.CommandResult("Updating (dev):", "something", 255), "something"),
    ],
)
def test_a_failure_says_why_be_it_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: auto.CommandResult, says: str
) -> None:
    def up(**_: object) -> None:
        raise auto.CommandError(result)

    of_cluster = state.State("organization/ecm/dev", tmp_path)
    monkeypatch.setattr(of_cluster, "_selected", lambda: SimpleNamespace(up=up, workspace=SimpleNamespace()))
    with pytest.raises(UpdateFailedError, match=f"the update failed - {says}$"):
        of_cluster.change(Change({"a": "data"}, frozenset()), SETTINGS.slave, on_delete=lambda _: None)


def test_pulumi_has_its_plugins_and_login_and_nowhere_to_log_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_CREDENTIALS_PATH", raising=False)
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "before"))
    state.State("organization/ecm/dev", tmp_path / "work")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "now"))
    of_cluster = state.State("organization/ecm/dev", tmp_path / "work")
    home = Path(of_cluster._environment["PULUMI_HOME"])
    assert (home / "plugins").readlink() == tmp_path / "now" / "plugins"
    assert (home / "logs").is_file()
    assert of_cluster._environment["PULUMI_CREDENTIALS_PATH"] == str(tmp_path / "now")


def test_pulumi_logs_in_where_it_was_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CREDENTIALS_PATH", str(tmp_path / "login"))
    of_cluster = state.State("organization/ecm/dev", tmp_path)
    assert of_cluster._environment["PULUMI_CREDENTIALS_PATH"] == str(tmp_path / "login")


def test_on_a_full_disk_pulumi_has_its_usual_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "usual"))
    monkeypatch.setattr(Path, "symlink_to", full)
    of_cluster = state.State("organization/ecm/dev", tmp_path / "work")
    assert of_cluster._environment["PULUMI_HOME"] == str(tmp_path / "usual")


def test_an_update_in_which_nothing_is_ever_built_ends_by_itself() -> None:
    """Of those that can't all be made at once, the others have to wait for the first ones' end."""
    turns = math.ceil(BATCH / state.PARALLEL)
    makes = turns * 60 * int(CREATE_TIMEOUT.removesuffix("m"))
    assert 2 * makes <= command.LIMITS["up"], "and what it removes takes as long"
