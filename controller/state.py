"""The adapter to Pulumi: what the stack's state holds, and the updates that change its slaves."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pulumi.automation as auto
import structlog
from pulumi.automation._stack import StackInitMode  # what its public constructor takes

from cluster import program, report
from cluster.errors import SettingsError
from cluster.nodes import MASTER, SLAVE_TYPE
from cluster.stack import slave_urn
from controller.command import Limited, is_engine
from controller.errors import LockedError, OutsideError, UpdateFailedError
from controller.masking import masked

log = structlog.get_logger()

ITSELF = "**::pulumi:pulumi:Stack::*"
"""The URN of the stack, of which no provider is asked."""
PARALLEL = 250
"""Slaves that are made or removed at once. To wait for a server costs nothing, and the provider looks only now and
then: with fewer, the others begin late. With more, much is asked of the cloud's API at one moment."""
PATIENCE = 15
"""Seconds for a connection to a state in PostgreSQL: one that never answers would hold the controller for minutes."""
ENVIRONMENT = {
    "PULUMI_SKIP_UPDATE_CHECK": "1",
    # The state is written once, in an update's end, instead of twice for each slave: docs/adr/0009.
    "PULUMI_SKIP_CHECKPOINTS": "1",
    "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "1",
    # Where it logs all the same: `_silent_home`.
    "PULUMI_LOG_ROTATION_MAX_AGE_DAYS": "1",
    "PGCONNECT_TIMEOUT": str(PATIENCE),
}
_FAILURES = (auto.CommandError, OSError, subprocess.SubprocessError)
"""How Pulumi fails: a command of it, or what surrounds that, as the files it writes on a full disk, or its question for
Pulumi's version."""
NO_UP = "the first `pulumi up` hasn't ended yet"
_LOCK = re.compile(r"created by (?P<user>[^@\s]+)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")
_KILLED = re.compile(r"^ code: -(?P<signal>\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class View:
    """The state as the last update left it."""

    slaves: Mapping[str, str] = field(default_factory=dict)
    """Name to server id."""
    settings: report.Shared | None = None
    """None before the first whole `pulumi up`, and when they can't be used."""
    pending: tuple[str, ...] = ()
    """URNs of creates that were interrupted."""
    release: str = ""
    """Digest of the controller that the last `pulumi up` came with."""
    lacking: str = NO_UP
    """Why there are no settings, when there are none. Those that can't be used another release may understand."""


class _Stack(auto.Stack):
    """A stack whose updates end when they end.

    Pulumi's own would start three more processes after each, to read outputs and a summary that nobody needs here.
    """

    def outputs(self) -> auto.OutputMap:
        """None: the controller reads the state."""
        return {}

    def info(self, show_secrets: bool = True) -> auto.UpdateSummary:  # noqa: ARG002, FBT001, FBT002 - Pulumi's signature
        """One that says nothing: an update that fails is an exception."""
        return auto.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")


class State:
    """The one stack of this cluster, reached with the login of the environment (PULUMI_BACKEND_URL and the like)."""

    def __init__(self, stack: str, work: Path) -> None:
        """Args: stack: `organization/project/stack`. work: a folder of the controller's own."""
        self._name = stack
        self._project = stack.split("/")[1]
        work.mkdir(parents=True, exist_ok=True)
        self._work = work
        self._environment = ENVIRONMENT | _silent_home(work)
        self._stack: auto.Stack | None = None

    def read(self) -> View:
        """Reads the state without the lock: whole, as some update has left it or is writing it.

        Raises:
            OutsideError: the backend can't be read.
        """
        try:
            return parse(_exported(self._selected()))
        except _FAILURES as error:
            raise OutsideError(f"the stack's state can't be read - {_reason(error)}") from error

    def change(self, change: program.Change, template: report.SlaveTemplate, on_delete: Callable[[str], None]) -> None:
        """One update that makes and removes slaves; everything else stays as it is.

        Args:
            change: what to make and to remove.
            template: what new slaves are made from.
            on_delete: called with the name of each slave as soon as it is gone, while the update may still run.

        Raises:
            LockedError: another update is running, nothing was changed.
            UpdateFailedError: some of it failed; `read` tells what was reached.
        """
        targets = [slave_urn(self._name, slave) for slave in sorted({*change.create, *change.remove})]
        if not targets:
            return  # an update without targets is one of everything
        stack = self._selected()
        stack.workspace.program = lambda: program.change_slaves(change, template)
        made, gone = len(change.create), len(change.remove)
        failed: set[auto.OpType] = set()

        def note(event: auto.EngineEvent) -> None:
            _tell_deleted(event, on_delete)
            failed.update(_failed(event))

        try:
            stack.up(
                target=targets,
                parallel=PARALLEL,
                continue_on_error=True,
                message=f"controller: {made} slaves to make, {gone} to remove",
                color="never",
                suppress_outputs=True,
                on_event=note,
            )
        except auto.ConcurrentUpdateError as error:
            raise LockedError(_lock_line(error)) from error
        except _FAILURES as error:
            whole = not failed
            raise UpdateFailedError(
                f"the update failed - {_reason(error)}",
                creates=whole or bool(failed - {auto.OpType.DELETE}),
                deletes=whole or auto.OpType.DELETE in failed,
            ) from error

    def recover(self, there: Collection[str]) -> frozenset[str]:
        """Puts things right after an interrupted update.

        Ends what is left of its processes, frees the lock if it is this controller's own and its process is gone, and
        drops creates that never ended. Servers that they left are found by their tag, all else is logged.

        Args:
            there: ids of the servers that OpenStack has. Slaves without one are dropped when the provider finds none,
                either. Of the others it isn't asked: one in a status that it can't name would end the recovery.

        Returns:
            The slaves that had no server.

        Raises:
            LockedError: somebody else holds the lock.
            OutsideError: the backend doesn't do it.
        """
        end_orphans()
        stack = self._selected()
        before = self.read()
        lost = frozenset(slave for slave, server_id in before.slaves.items() if server_id not in there)
        targets = [ITSELF, *(slave_urn(self._name, slave) for slave in sorted(lost))]
        try:
            stack.refresh(target=targets, clear_pending_creates=True, color="never", suppress_outputs=True)
        except auto.ConcurrentUpdateError as error:
            if not stale(str(error), user=_user(), host=socket.gethostname(), alive=is_engine):
                raise LockedError(_lock_line(error)) from error
            try:
                stack.cancel()
            except _FAILURES as refused:
                raise OutsideError(f"the stack's own lock can't be freed - {_reason(refused)}") from refused
            return self.recover(there)
        except _FAILURES as error:
            raise OutsideError(f"the stack can't be refreshed - {_reason(error)}") from error
        for urn in before.pending:
            if SLAVE_TYPE not in urn:
                # Nobody will be told of it any more, and it may have no tag to be found by.
                log.warning("the cloud may have one of these that the state doesn't know: look there", urn=urn)
        return lost

    def _selected(self) -> auto.Stack:
        if self._stack is None:
            try:
                self._stack = self._select()
            except _FAILURES as error:
                raise OutsideError(f"the stack {self._name} can't be opened - {_reason(error)}") from error
        return self._stack

    def _select(self) -> auto.Stack:
        workspace = auto.LocalWorkspace(
            pulumi_command=Limited(),
            work_dir=str(self._work),
            project_settings=auto.ProjectSettings(name=self._project, runtime="python", main=str(self._work)),
            env_vars=self._environment,
        )
        stack = _Stack(self._name, workspace, StackInitMode.SELECT)
        secrets = _exported(stack).get("secrets_providers") or {}
        if secrets.get("type") == "passphrase":
            # The same salt as the user's: the passphrase manager would otherwise make a second one.
            settings = auto.StackSettings(encryption_salt=secrets["state"]["salt"])
            stack.workspace.save_stack_settings(self._name, settings)
        return stack


def _exported(stack: auto.Stack) -> dict[str, Any]:
    """The stack's deployment; its secrets stay encrypted, for decrypting them takes as long as all the rest."""
    workspace = stack.workspace
    command = ["stack", "export", "--stack", stack.name]
    # Collecting garbage, and keeping several cores busy with it, is a third of what it takes.
    frugal = {**workspace.env_vars, "GOGC": "400", "GOMAXPROCS": "1"}
    answer = workspace.pulumi_command.run(command, workspace.work_dir, frugal)
    exported: dict[str, Any] = json.loads(answer.stdout)
    return exported.get("deployment") or {}


def _silent_home(work: Path) -> dict[str, str]:
    """Has Pulumi at home where it can't log, with the usual home's plugins and login; or there, if the disk is full.

    Each of its commands would write down, encrypted, all that it does: a tenth of what an update takes, and a file for
    each read of the state. No setting stops it; without a folder for the logs it goes on without them.
    """
    usual = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi").absolute()
    home, plugins = work / "pulumi", work / "pulumi" / "plugins"
    try:
        home.mkdir(exist_ok=True)
        (home / "logs").touch()
        if not plugins.is_symlink() or plugins.readlink() != usual / "plugins":
            plugins.unlink(missing_ok=True)
            plugins.symlink_to(usual / "plugins")
    except OSError as error:
        log.warning("pulumi logs what the controller does", why=str(error))
        home = usual
    login = os.environ.get("PULUMI_CREDENTIALS_PATH") or str(usual)
    return {"PULUMI_HOME": str(home), "PULUMI_CREDENTIALS_PATH": login}


def parse(deployment: Mapping[str, Any]) -> View:
    """The slaves, the settings and the interrupted creates of an exported deployment."""
    slaves: dict[str, str] = {}
    settings: report.Shared | None = None
    release, lacking = "", NO_UP
    for resource in deployment.get("resources") or ():
        name = resource["urn"].split("::", 3)[3]
        if resource["type"] == SLAVE_TYPE and name != MASTER and not resource.get("delete"):
            slaves[name] = resource.get("id", "")
        elif resource["type"] == "pulumi:pulumi:Stack" and "settings" in resource.get("outputs", {}):
            try:
                settings = report.Shared.parse(resource["outputs"]["settings"])
            except SettingsError as error:
                lacking = str(error)
            release = resource["outputs"].get("controller", {}).get("digest", "")
    pending = tuple(
        operation["resource"]["urn"]
        for operation in deployment.get("pending_operations") or ()
        if operation["type"] == "creating"
    )
    return View(slaves, settings, pending, release, lacking)


def stale(message: str, *, user: str, host: str, alive: Any) -> bool:  # noqa: ANN401 - a predicate on a pid
    """Whether an error message of Pulumi's tells of one lock, of this user on this host, by a process that is gone.

    `pulumi cancel` deletes all locks, so that two of them are never stale. While one is there nobody gets another, for
    Pulumi looks before and after it makes its own: only who cancels the stale one by hand in this very moment, and
    begins an update, could lose theirs.
    """
    locks = list(_LOCK.finditer(message))
    return len(locks) == 1 and locks[0]["user"] == user and locks[0]["host"] == host and not alive(int(locks[0]["pid"]))


def end_orphans() -> None:
    """Kills providers whose engine is gone: they would go on creating servers that no state knows of.

    Raises:
        OutsideError: one doesn't end.
    """
    for process in psutil.process_iter(["name", "ppid", "uids"]):
        orphan = process.info["ppid"] == 1 and str(process.info["name"]).startswith("pulumi")
        if orphan and process.info["uids"] and process.info["uids"].real == os.getuid():
            try:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(10)
            except psutil.TimeoutExpired:
                raise OutsideError(
                    f"the stack can't be recovered - process {process.pid} of an interrupted update doesn't end"
                ) from None


def _tell_deleted(event: auto.EngineEvent, on_delete: Callable[[str], None]) -> None:
    done = event.res_outputs_event.metadata if event.res_outputs_event else None
    if done and done.op == auto.OpType.DELETE and done.type == SLAVE_TYPE:
        on_delete(done.urn.split("::", 3)[3])


def _failed(event: auto.EngineEvent) -> tuple[auto.OpType, ...]:
    """The operation that this event says has failed, if it says that of a slave."""
    failed = event.res_op_failed_event.metadata if event.res_op_failed_event else None
    return (failed.op,) if failed and failed.type == SLAVE_TYPE else ()


def _user() -> str:
    return str(psutil.Process().username())


def _lock_line(error: Exception) -> str:
    lock = _LOCK.search(str(error))
    if not lock:
        return "another update of the stack is running"
    return f"the stack is locked by {lock['user']}@{lock['host']} (pid {lock['pid']}) since {lock['since']}"


def _reason(error: Exception) -> str:
    lines = [" ".join(line.split()).removeprefix("stderr: ") for line in str(error).splitlines()]
    telling = [line for line in lines if "error:" in line.lower() and "update failed" not in line]
    if not telling:
        # One that was killed had no chance to say why.
        killed = _KILLED.search(str(error))
        telling = [f"pulumi was killed by signal {killed['signal']}"] if killed else lines[-1:]
    return str(masked("; ".join(dict.fromkeys(telling))))[:500]
