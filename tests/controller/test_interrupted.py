"""Updates by the real engine that are killed in their midst, on a stand-in of OpenStack: nothing is lost sight of."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import psutil
import pytest

from bench.rig import running, stack
from bench.rig.openstack import Pace
from bench.rig.running import StandIn
from cluster.program import Change
from controller import command, state
from controller.errors import UpdateFailedError
from controller.servers import Cloud
from controller.state import State

pytestmark = pytest.mark.slow

SLAVES = 6
SETTINGS = stack.settings()


@dataclass
class Rig:
    """A stack without slaves, on a cloud that takes its time."""

    cloud: StandIn
    state: State

    def change(
        self, create: dict[str, str], remove: frozenset[str] = frozenset(), keep: Mapping[str, str] | None = None
    ) -> None:
        change = Change(create, remove, SETTINGS.fingerprint, keep or {})
        self.state.change(change, SETTINGS.slave, lambda _name: None)

    def kill_amid(self, change: Callable[[], None], moment: Callable[[], bool]) -> None:
        """Runs an update, and kills engine and provider when the moment has come."""
        with ThreadPoolExecutor(1) as worker:
            running_update = worker.submit(change)
            while not moment():
                assert not running_update.done()
                time.sleep(0.02)
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if process.name().startswith("pulumi"):
                        process.kill()
            with pytest.raises(UpdateFailedError):
                running_update.result()

    def recover(self) -> None:
        self.state.recover(set(self.servers().values()))

    def servers(self) -> dict[str, str]:
        """Every server with the cluster's tag, as the controller sees it."""
        return {server.name: server.id for server in Cloud().slaves(SETTINGS.slave.cluster_id)}

    def asked(self, method: str) -> int:
        return sum(count for kind, count in self.cloud.calls().by_kind.items() if kind.startswith(f"{method} /compute"))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    # The test kills the provider itself; other people's orphans on this machine are none of its business.
    monkeypatch.setattr(state, "end_orphans", lambda: None)
    with running.backend() as backend, running.stand_in(Pace(build=4, delete=4, post=0.2)) as cloud:
        wanted = {"PULUMI_BACKEND_URL": backend.url, "PULUMI_CONFIG_PASSPHRASE": "phrase", **cloud.environment}
        with running.environment(running.pulumi() | wanted):
            stack.up(SETTINGS, tmp_path / "first")
            yield Rig(cloud, State(stack.NAME, tmp_path / "controller"))


def outputs(of_cluster: State) -> dict[str, Any]:
    """The stack's, as the state has them, but for the secret one's text, which each update encrypts anew."""
    resources = state._exported(of_cluster._selected())["resources"]
    (found,) = (resource["outputs"] for resource in resources if resource["type"] == "pulumi:pulumi:Stack")
    assert found["controller"]["archive"].pop("ciphertext")
    return dict(found)


def test_an_update_tells_of_all_slaves_keeps_the_other_outputs_and_leaves_no_log(rig: Rig, tmp_path: Path) -> None:
    before = outputs(rig.state)
    first, second = stack.slaves(stack.names(2, "ecm-bench-slave-"), SETTINGS).items()
    rig.change(dict([first]))
    rig.change(dict([second]), keep=rig.state.read().slaves)
    slaves = [{"name": name, "id": server_id} for name, server_id in sorted(rig.servers().items())]
    assert len(slaves) == 2
    assert outputs(rig.state) == before | {"slaves": slaves, "slaveCount": 2}
    assert (tmp_path / "controller/pulumi/logs").read_bytes() == b""


def test_servers_of_a_killed_update_are_found_by_their_tag_and_the_stack_can_be_changed_again(rig: Rig) -> None:
    new = stack.slaves(stack.names(SLAVES, "ecm-bench-slave-"), SETTINGS)
    rig.kill_amid(lambda: rig.change(new), lambda: rig.asked("POST") >= SLAVES // 2)
    while len(left := rig.servers()) < rig.asked("POST"):
        time.sleep(0.1)
    assert len(left) >= SLAVES // 2
    assert set(left) <= set(new)
    rig.recover()
    view = rig.state.read()
    assert view.settings == SETTINGS
    assert not view.pending
    assert not view.slaves, "they are strays now, which the rule removes"
    assert rig.servers() == left, "nobody makes more of them"
    rig.change(stack.slaves(stack.names(1, "ecm-bench-slave-next-"), SETTINGS))
    assert list(rig.state.read().slaves) == ["ecm-bench-slave-next-0000"]


def test_an_update_that_is_asked_to_end_notes_what_it_has_made(rig: Rig) -> None:
    new = stack.slaves(stack.names(SLAVES, "ecm-bench-slave-"), SETTINGS)
    with ThreadPoolExecutor(1) as worker:
        update = worker.submit(rig.change, new)
        while rig.asked("POST") < SLAVES // 2:
            time.sleep(0.02)
        assert command.interrupt()
        with pytest.raises(UpdateFailedError, match="update canceled"):
            update.result()
    view = rig.state.read()
    assert view.slaves == rig.servers()
    assert len(view.slaves) == rig.asked("POST")
    assert not view.pending


def test_slaves_that_a_killed_update_has_removed_are_dropped_from_the_state(rig: Rig) -> None:
    new = stack.slaves(stack.names(SLAVES, "ecm-bench-slave-"), SETTINGS)
    rig.change(new)
    assert rig.state.read().slaves == rig.servers()
    rig.kill_amid(lambda: rig.change({}, frozenset(list(new)[:4])), lambda: rig.asked("DELETE") >= 2)
    assert rig.state.read().slaves.keys() == new.keys(), "the state is as before the update"
    while len(there := rig.servers()) > SLAVES - 2:
        time.sleep(0.1)
    rig.recover()
    assert rig.state.read().slaves.items() <= there.items() | rig.servers().items()
    assert SLAVES - 4 <= len(rig.state.read().slaves) < SLAVES


def test_a_slave_in_a_status_that_the_provider_refuses_does_not_keep_the_stack_from_being_recovered(rig: Rig) -> None:
    rig.change(stack.slaves(stack.names(2, "ecm-bench-slave-"), SETTINGS))
    suspended, deleted = rig.servers().values()
    compute = openstack.connect().compute
    compute.suspend_server(suspended)
    compute.delete_server(deleted)
    while len(rig.servers()) > 1:
        time.sleep(0.1)
    rig.recover()
    assert list(rig.state.read().slaves.values()) == [suspended]
