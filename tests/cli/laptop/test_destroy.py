"""The cluster goes down whatever its controller does, and with a dead master too."""

import json
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.laptop import destroy

LOCKED = CompletedProcess([], 255, "error: the stack is currently locked by 1 lock(s).")


class FakeMaster:
    """Remembers what it is asked; or doesn't answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.dead = False

    def ask(self, *arguments: str) -> str:
        if self.dead:
            raise CommandError("the master doesn't answer ssh at x - timed out - `ecm doctor`")
        self.asked.append(arguments)
        return "paused"


@pytest.fixture
def master(desk: Any, monkeypatch: pytest.MonkeyPatch) -> FakeMaster:
    monkeypatch.setattr(destroy, "PAUSE", 0)
    desk.master = made = FakeMaster()
    return made


DESTROY = ("destroy", "--yes", "--skip-preview")


def test_the_controller_is_paused_first(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    assert ecm("destroy", "--yes").exit_code == 0
    assert master.asked == [("pause", "the cluster is being destroyed")]
    assert pulumi.ran == [DESTROY]


def test_a_running_update_is_waited_for(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    pulumi.answers = [LOCKED, LOCKED]
    assert ecm("destroy", "--yes").exit_code == 0
    assert pulumi.ran == [DESTROY] * 3
    assert master.asked


def test_a_dead_master_does_not_hold_it_up(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    master.dead = True
    done = ecm("destroy", "--yes")
    assert done.exit_code == 0
    assert "can't be paused" in done.stdout
    assert pulumi.ran == [DESTROY]


@pytest.mark.usefixtures("master")
def test_what_is_left_outside_the_state_is_swept(ecm: Any, pulumi: Any, cloud: Any) -> None:
    pulumi.told["settings"] = {"slave": {"clusterId": "our-group"}}
    cloud.servers = [
        SimpleNamespace(name=n, id=f"{n}-id", metadata={"ecm-cluster": tag}, status="ACTIVE", fault=None)
        for n, tag in (("stray", "our-group"), ("theirs", "other"))
    ]
    assert ecm("destroy", "--yes").exit_code == 0
    assert cloud.done == ["delete server stray-id"]


@pytest.mark.usefixtures("master")
def test_a_failure_that_is_no_lock_is_told(ecm: Any, pulumi: Any) -> None:
    pulumi.answers = [CompletedProcess([], 1, "error: port in use")]
    done = ecm("destroy", "--yes")
    assert done.exit_code == 1
    assert "the destroy failed" in done.stderr


GROUP_FAILS = """\
 -  openstack:networking:SecGroup master deleting (601s) error: deleting urn:pulumi:dev::ecm::x::master: 1 error:
 -  openstack:networking:SecGroup master **deleting failed** error: deleting urn:pulumi:dev::ecm::x::master: 1 error
 -  pulumi-python:dynamic/ecm:Sweep sweep **deleting failed** error: servers of this cluster are left - openstack server
"""


@pytest.mark.usefixtures("master")
def test_what_the_provider_cannot_remove_is_named_with_the_command_that_does(ecm: Any, pulumi: Any) -> None:
    kinds = ("networking/secGroup:SecGroup", "networking/port:Port")
    pulumi.state["deployment"]["resources"] = [
        {
            "urn": f"urn:pulumi:dev::ecm::openstack:{kind}::{name}",
            "type": f"openstack:{kind}",
            "id": f"{kind[-4:]}-{name}",
        }
        for kind in kinds
        for name in ("master", "other")
    ]
    pulumi.answers = [CompletedProcess([], 1, GROUP_FAILS)]
    said = " ".join(ecm("destroy", "--yes").stderr.split())
    assert "the destroy failed - see above - openstack security group delete roup-master - mend it" in said


def test_nothing_happens_without_a_yes(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    assert ecm("destroy", stdin="n\n").exit_code == 1
    assert (pulumi.ran, master.asked) == ([], [])


def test_an_interrupt_says_that_the_controller_stays_paused(
    ecm: Any, pulumi: Any, master: FakeMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pulumi, "stream", interrupt)
    done = ecm("destroy", "--yes")
    assert done.exit_code == 130
    assert "The controller stays paused" in done.stdout
    assert master.asked


def test_a_cluster_that_is_not_up_has_no_controller_to_pause(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    pulumi.told = {}
    done = ecm("destroy", "--yes", "--json")
    assert json.loads(done.stdout) == {"destroyed": "mycluster"}
    assert (pulumi.ran, master.asked) == ([DESTROY], [])
