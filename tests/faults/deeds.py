"""What is done to the cluster in a case, besides the proxy's rules; what has to be undone is undone in the end."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress

from openstack.connection import Connection

from cluster.servers import CLUSTER_TAG
from demo.user import ROOT, connect, wait_for
from tests.faults.cases import STRIKES, Case, Deed
from tests.faults.rig import PATIENCE, STACK, Rig, holds

LOCKED = "the stack is currently locked by"
UP = ("up", "--yes", "--skip-preview")


@contextmanager
def done(case: Case, rig: Rig) -> Iterator[None]:
    """With all of it done."""
    with ExitStack() as undone:
        if case.end:
            undone.callback(rig.as_root, case.end)
        if case.begin:
            rig.as_root(case.begin)
        if case.deed:
            undone.enter_context(DEEDS[case.deed](rig))
        yield


def up(rig: Rig, *arguments: str) -> AbstractContextManager[None]:
    """The user's own update, as often as it takes: a lock may refuse it, nothing else."""

    def succeeds() -> bool:
        answer = rig.user.try_pulumi(*UP, *arguments)
        said = answer.stdout + answer.stderr
        assert answer.returncode == 0 or LOCKED in said, f"pulumi up fails: {said.partition('Diagnostics:')[2][:3000]}"
        return answer.returncode == 0

    wait_for("the user's up", STRIKES, succeeds)
    return nullcontext()


def destroy(rig: Rig) -> AbstractContextManager[None]:
    before = rig.servers()
    answer = rig.user.try_pulumi("destroy", "--yes", "--skip-preview")
    assert LOCKED in answer.stdout + answer.stderr, "a destroy amid an update is refused"
    assert {server.id for server in before} <= {server.id for server in rig.servers()}, "and changes nothing"
    return nullcontext()


@contextmanager
def killed_up(rig: Rig) -> Iterator[None]:
    """A lock of the user's whose process is gone."""

    def leaves_a_lock() -> bool:
        with subprocess.Popen(
            ["pulumi", *UP, "--stack", STACK, "--non-interactive", "--color", "never"],
            cwd=ROOT,
            env=rig.user.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        ) as running:
            # Said as soon as it has the lock.
            any(line.startswith("Updating (") for line in running.stdout or ())
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
        answer = rig.user.try_pulumi(*UP)
        said = answer.stdout + answer.stderr
        return LOCKED in said and f"@{socket.gethostname()} " in said

    wait_for("a lock that is left", STRIKES, leaves_a_lock)
    yield
    rig.user.pulumi("cancel", "--yes")


def reboot(rig: Rig) -> AbstractContextManager[None]:
    marker = "/run/fault-before-reboot"
    rig.as_root(f"touch {marker}")
    (master,) = rig.project.compute.servers(details=False, name=f"^ecm-{STACK}-master$")
    # From inside it would be a shutdown in the local cloud.
    rig.project.compute.reboot_server(master, "SOFT")
    wait_for("the reboot", PATIENCE, lambda: holds(lambda: rig.user.on_master(f"test ! -e {marker}") == ""))
    wait_for("the master", PATIENCE, rig.user.master_is_ready)
    return nullcontext()


@contextmanager
def no_quota(rig: Rig) -> Iterator[None]:
    admin, project = _admin(rig), str(rig.project.current_project_id)
    before = admin.get_compute_quotas(project).instances
    admin.set_compute_quotas(project, instances=len(list(rig.project.compute.servers(details=False))))
    try:
        yield
    finally:
        admin.set_compute_quotas(project, instances=before)


@contextmanager
def no_compute(_: Rig) -> Iterator[None]:
    localcloud = str(ROOT / "scripts" / "localcloud")
    subprocess.run([localcloud, "stop", "nova-compute"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([localcloud, "start", "nova-compute"], check=True, capture_output=True)


def delete_server(rig: Rig) -> AbstractContextManager[None]:
    rig.project.compute.delete_server(rig.servers()[0].id)
    return nullcontext()


def stop_server(rig: Rig) -> AbstractContextManager[None]:
    compute = rig.project.compute
    compute.stop_server(compute.wait_for_server(compute.get_server(rig.servers()[0].id)))
    return nullcontext()


def stop_condor(rig: Rig) -> AbstractContextManager[None]:
    done = rig.user.ssh("sudo systemctl stop condor", host=rig.servers()[0].name)
    assert done.returncode == 0, done.stderr
    return nullcontext()


def break_server(rig: Rig) -> AbstractContextManager[None]:
    _admin(rig).compute.reset_server_state(rig.servers()[0].id, "error")
    return nullcontext()


def untag(rig: Rig) -> AbstractContextManager[None]:
    compute = rig.project.compute
    server = compute.wait_for_server(compute.get_server(rig.servers()[0].id))  # Nova changes no tag while it builds
    compute.delete_server_metadata(server, [CLUSTER_TAG])
    return nullcontext()


DEEDS: dict[Deed, Callable[[Rig], AbstractContextManager[None]]] = {
    Deed.UP: up,
    Deed.UP_REFRESH: lambda rig: up(rig, "--refresh"),
    Deed.DESTROY: destroy,
    Deed.KILLED_UP: killed_up,
    Deed.REBOOT: reboot,
    Deed.NO_QUOTA: no_quota,
    Deed.NO_COMPUTE: no_compute,
    Deed.SERVER_DELETED: delete_server,
    Deed.SERVER_STOPPED: stop_server,
    Deed.SERVER_ERROR: break_server,
    Deed.CONDOR_STOPPED: stop_condor,
    Deed.TAG_LOST: untag,
}


def _admin(rig: Rig) -> Connection:
    return connect({**rig.user.env, "OS_CLOUD": "localcloud-admin"})
