"""The doctor looks at the way to the cluster, then has the master's doctor look there."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.laptop import doctor
from cli.laptop.pulumi import Value, _missing
from cloudinit import payload
from cluster.errors import CloudError
from tests.cli.conftest import thing


class FakeMaster:
    """A master whose doctor finds one thing; or that doesn't answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.dead = False
        self.release = "new"

    def ask(self, *arguments: str) -> str:
        self.asked.append(arguments)
        if self.dead:
            raise CommandError("the master doesn't answer ssh at x - timed out - `ecm doctor`")
        late = {"what": "clock", "found": "", "wrong": "it is late", "fix": "ntp", "safe": True}
        runs = {"what": "release", "found": self.release, "wrong": "", "fix": "", "safe": False}
        return json.dumps([late, runs])


@pytest.fixture
def master(desk: Any, monkeypatch: pytest.MonkeyPatch) -> FakeMaster:
    monkeypatch.setattr(doctor, "_port", lambda address, port, what: f"{what} answers at {address} ({port})")
    monkeypatch.setattr(payload, "release", lambda: payload.Release("new", ""))
    desk.pulumi.told["controller"] = {"archive": "[secret]", "digest": "new"}
    desk.master = made = FakeMaster()
    return made


def found(done: Any) -> dict[str, str]:
    return {check["what"]: check["wrong"] for check in json.loads(done.stdout)}


def test_what_the_master_finds_is_told_with_the_rest(ecm: Any, master: FakeMaster) -> None:
    done = ecm("doctor", "--json")
    assert done.exit_code == 3
    assert {what: wrong for what, wrong in found(done).items() if wrong} == {"clock": "it is late"}
    assert {"pulumi", "state", "settings", "image", "quota", "orphans", "port 22", "port 9618"} <= set(found(done))
    assert master.asked == [("doctor", "--json")]


def test_fix_is_passed_on_to_the_master(ecm: Any, master: FakeMaster) -> None:
    ecm("doctor", "--fix")
    assert master.asked == [("doctor", "--json", "--fix")]


def test_a_dead_master_is_one_finding(ecm: Any, master: FakeMaster) -> None:
    master.dead = True
    assert "doesn't answer ssh" in found(ecm("doctor", "--json"))["master"]


def test_another_controller_on_the_master_is_wrong(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    master.release = "old"
    assert "the master runs the controller old, the state has new" in found(ecm("doctor", "--json"))["releases"]
    pulumi.told["controller"] = {"digest": "old"}
    assert "this checkout has the controller new, the cluster old" in found(ecm("doctor", "--json"))["releases"]


def test_a_server_that_is_being_made_is_no_orphan(ecm: Any, pulumi: Any, cloud: Any, master: FakeMaster) -> None:
    pulumi.told["settings"] = {"slave": {"clusterId": "ours"}}
    now = datetime.now(UTC)
    made = {"name": "s", "id": "1", "metadata": {"ecm-cluster": "ours"}}
    cloud.servers = [SimpleNamespace(**made, created_at=now.isoformat())]
    assert found(ecm("doctor", "--json"))["orphans"] == ""
    cloud.servers = [SimpleNamespace(**made, created_at=(now - timedelta(hours=1)).isoformat())]
    assert "servers outside the state: s" in found(ecm("doctor", "--json"))["orphans"]
    assert master.asked


def test_a_rule_that_somebody_removed_is_found(ecm: Any, pulumi: Any, cloud: Any, master: FakeMaster) -> None:
    kind = "openstack:networking/secGroupRule:SecGroupRule"
    rules = [
        {"type": kind, "urn": f"urn:pulumi:mycluster::ecm::{kind}::master-{name}", "id": f"{name}-id"}
        for name in ("ssh", "condor")
    ]
    pulumi.state = {"deployment": {"resources": rules}}
    cloud.rules = [thing("ssh"), thing("condor")]
    assert found(ecm("doctor", "--json"))["groups"] == ""
    cloud.rules = [thing("ssh")]
    assert found(ecm("doctor", "--json"))["groups"].startswith("the cloud lacks master-condor - ")
    assert master.asked


def test_a_stack_that_is_not_up_is_nothing_wrong(ecm: Any, pulumi: Any, master: FakeMaster) -> None:
    pulumi.told = {}
    assert ecm("doctor").exit_code == 0
    assert master.asked == []


def test_another_version_of_the_engine_is_wrong(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pulumi.told = {}
    monkeypatch.setattr(type(pulumi), "version", lambda _: "3.1.0")
    assert "it is 3.1.0 and the master's" in found(ecm("doctor", "--json"))["pulumi"]


def test_a_port_that_is_closed_says_what_to_look_at() -> None:
    with pytest.raises(CommandError, match=r"ssh at 127\.0\.0\.1 doesn't answer - .*refused"):
        doctor._port("127.0.0.1", 1, "ssh")


@pytest.mark.parametrize("broken", ["version", "backend", "config"])
def test_the_login_is_looked_at_even_where_pulumi_does_not_work(
    ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def refuse(_: Any) -> str:
        raise _missing()

    for part in {"version": ("version", "backend"), "backend": ("backend",), "config": ("config",)}[broken]:
        monkeypatch.setattr(type(pulumi), part, refuse)
    told = found(ecm("doctor", "--json"))
    assert [what for what, wrong in told.items() if wrong] == [
        {"version": "pulumi", "backend": "state", "config": "stack"}[broken]
    ]
    assert told["login"] == ""


def test_the_login_is_looked_at_beside_a_bad_setting(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:maxSlaves"] = Value("many")
    pulumi.told = {}
    told = found(ecm("doctor", "--json"))
    assert (told["login"], [what for what, wrong in told.items() if wrong]) == ("", ["settings"])


def test_a_wrong_passphrase_is_told_once_and_whole(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> str:
        raise CommandError("pulumi stack failed - incorrect passphrase - export PULUMI_CONFIG_PASSPHRASE=…")

    monkeypatch.setattr(type(pulumi), "check_passphrase", refuse)
    monkeypatch.setattr(type(pulumi), "outputs", refuse)
    assert "stack" not in found(ecm("doctor", "--json"))
    text = ecm("doctor").stdout
    assert "→ export PULUMI_CONFIG_PASSPHRASE=…\n" in text
    assert "PULUMI_CONFIG_PASSPHRASE=***" not in text


def test_the_console_of_a_dead_master_is_found_in_a_stack_with_an_organization(
    ecm: Any, pulumi: Any, master: FakeMaster
) -> None:
    master.dead, pulumi._stack = True, "org/project/mycluster"
    assert "→ openstack console log show ecm-mycluster-master\n" in ecm("doctor").stdout


@pytest.mark.parametrize(
    ("setting", "value", "what", "fix"),
    [
        ("maxSlaves", "many", "settings", "ecm init mycluster"),
        ("keyName", "yours", "cloud", "ecm init mycluster"),
        ("masterBackendUrl", "file:///tmp", "master's state", "export ECM_MASTER_BACKEND_URL=…"),
    ],
)
@pytest.mark.usefixtures("master")
def test_what_is_wrong_with_the_settings_comes_with_a_command(  # noqa: PLR0917
    ecm: Any, pulumi: Any, setting: str, value: str, what: str, fix: str
) -> None:
    pulumi.values[f"ecm:{setting}"] = Value(value)
    (check,) = [check for check in json.loads(ecm("doctor", "--json").stdout) if check["what"] == what]
    assert check["fix"] == fix


@pytest.mark.usefixtures("master")
def test_a_cloud_that_refuses_the_login_is_told_as_the_login(ecm: Any, desk: Any) -> None:
    def refuse() -> None:
        raise CloudError("the cloud refuses the login - bad password - check OS_CLOUD")

    desk.connect = refuse
    checks = [check for check in json.loads(ecm("doctor", "--json").stdout) if "refuses the login" in check["wrong"]]
    assert [(check["what"], check["fix"]) for check in checks][:1] == [("login", "export OS_CLOUD=NAME")]


@pytest.mark.parametrize(("late", "says"), [(0, ""), (330, "5 min slow"), (-330, "5 min fast")])
@pytest.mark.usefixtures("master")
def test_the_clock_here_is_compared_with_the_clouds(ecm: Any, cloud: Any, late: int, says: str) -> None:
    cloud.date = format_datetime(datetime.now(UTC) + timedelta(seconds=late), usegmt=True)
    wrong = found(ecm("doctor", "--json"))["clock here"]
    assert says in wrong
    assert bool(wrong) == bool(late)
