"""A user's machine with nothing real behind it: hand-written fakes of a cloud, of Pulumi and of the master."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.laptop.desk import Desk
from cli.laptop.pulumi import Pulumi, Value
from cli.laptop.ssh import Ssh
from cli.main import app
from cluster.firstboot import PULUMI_VERSION
from tests.cluster.made_up import token


def thing(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=f"{name}-id", name=name, **more)


def image(name: str, **more: Any) -> SimpleNamespace:
    there = {
        "status": "active",
        "virtual_size": None,
        "os_distro": None,
        "os_version": None,
        "architecture": None,
        "os_admin_user": None,
        "min_ram": 512,
        "min_disk": 2,
        "size": 2**30,
        "created_at": None,
    }
    return thing(name, **(there | more))


class FakeCloud:
    """As much of an openstacksdk connection as the commands use. What they make or delete is in `done`."""

    def __init__(self) -> None:
        self.images = [image("CentOS 6"), image("debian-13-condor"), image("Ubuntu 24.04 LTS"), image("ownbuilt")]
        self.flavors = [
            thing("large", vcpus=4, ram=8192, disk=40),
            thing("small", vcpus=1, ram=1024, disk=4),
            thing("medium", vcpus=2, ram=2048, disk=10),
        ]
        self.networks = [
            thing("public", is_router_external=True, is_shared=False),
            thing("lan", is_router_external=False, is_shared=False),
        ]
        self.keypairs = [thing("mykey", fingerprint="aa:bb")]
        self.servers: list[Any] = []
        self.rules: list[Any] = []
        self.limits = SimpleNamespace(
            instances=10, instances_used=2, total_cores=20, total_cores_used=4, total_ram=-1, total_ram_used=4096
        )
        self.done: list[str] = []
        self.image = SimpleNamespace(images=lambda **_: self.images)
        self.compute = SimpleNamespace(
            flavors=lambda: self.flavors,
            keypairs=lambda: self.keypairs,
            get_limits=lambda: SimpleNamespace(absolute=self.limits),
            servers=lambda **_: self.servers,
            delete_server=self._delete_server,
            create_keypair=self._make_key,
        )
        self.network = SimpleNamespace(
            networks=lambda is_router_external=None: [
                n for n in self.networks if is_router_external in (None, n.is_router_external)
            ],
            subnets=lambda **_: [thing("lan", ip_version=4)],
            ports=lambda **_: [thing("port", device_owner="network:router_interface", device_id="router-id")],
            ips=lambda **_: [],
            routers=lambda: [thing("router", external_gateway_info={"network_id": "public-id"})],
            security_groups=lambda **_: [thing("default")],
            security_group_rules=lambda: self.rules,
            get_quota=lambda *_, **__: None,
        )
        self.catalogue: dict[str, list[str]] = {}
        self.date = format_datetime(datetime.now(UTC), usegmt=True)
        self.store_says = "<Error><Code>AccessDenied</Code></Error>"
        self.session = SimpleNamespace(
            get_endpoint=lambda **_: "http://cloud/v3",
            auth=SimpleNamespace(get_access=lambda _: token(catalogue=self.catalogue)),
            post=self._make_ec2,
            delete=lambda url: self.done.append(f"delete {url}"),
            get=lambda *_, **__: SimpleNamespace(text=self.store_says, headers={"Date": self.date}),
        )
        self.object_store = SimpleNamespace(create_container=lambda name: self.done.append(f"make bucket {name}"))
        self.config = SimpleNamespace(region_name="R", name="mycloud", auth={"auth_url": "http://cloud"})
        self.current_project_id = "project"

    def _delete_server(self, server_id: str, **_: Any) -> None:
        self.done.append(f"delete server {server_id}")
        self.servers = [server for server in self.servers if server.id != server_id]

    def _make_ec2(self, url: str, *, json: Any) -> SimpleNamespace:
        self.done.append(f"post {url} {json}")
        return SimpleNamespace(json=lambda: {"credential": {"access": "ACCESS", "secret": "HIDDEN"}})

    def _make_key(self, name: str, public_key: str = "") -> SimpleNamespace:
        self.done.append(f"upload key {name}: {public_key}" if public_key else f"make key {name}")
        self.keypairs.append(thing(name, fingerprint="cc:dd", private_key="PRIVATE"))
        return self.keypairs[-1]


class FakePulumi(Pulumi):
    """A stack in memory; every other command is remembered in `ran`."""

    def __init__(self) -> None:
        super().__init__("mycluster")
        self.values: dict[str, Value] = {
            f"ecm:{key}": Value(text, secret=key == "masterBackendUrl")
            for key, text in {
                "image": "debian-13-condor",
                "masterFlavor": "medium",
                "slaveFlavor": "small",
                "keyName": "mykey",
                "maxSlaves": "4",
                "masterBackendUrl": "postgres://master:secret@db/pulumi",
            }.items()
        }
        self.state: dict[str, Any] = {"deployment": {"resources": []}}
        self.told: dict[str, Any] = {"masterIp": "198.51.100.7"}
        self.names = ["mycluster"]
        self.ran: list[Sequence[str]] = []
        self.answers: list[CompletedProcess[str]] = []
        """What the next commands come to; then all goes well."""

    def version(self) -> str:
        return PULUMI_VERSION

    def stacks(self) -> list[str]:
        return self.names

    def make_stack(self, name: str) -> None:
        self.names.append(name)
        self._stack = name

    def backend(self) -> str:
        return "postgres://db/pulumi"

    def check_passphrase(self) -> str:
        return "it opens the stack's secrets"

    def config(self) -> dict[str, Value]:
        return self.values

    def set_config(self, values: Mapping[str, str], secrets: frozenset[str] = frozenset()) -> None:
        self.values |= {f"ecm:{key}": Value(text, key in secrets) for key, text in values.items()}

    def remove_config(self, key: str) -> None:
        del self.values[f"ecm:{key}"]

    def outputs(self) -> dict[str, Any]:
        return self.told

    def export(self) -> dict[str, Any]:
        return self.state

    def stream(self, *arguments: str) -> CompletedProcess[str]:
        self.ran.append(arguments)
        return self.answers.pop(0) if self.answers else CompletedProcess(arguments, 0, "")


Run = Callable[..., Result]


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def pulumi() -> FakePulumi:
    return FakePulumi()


@pytest.fixture
def desk(cloud: FakeCloud, pulumi: FakePulumi) -> Desk:
    connection: Any = cloud
    return Desk(pulumi=pulumi, master=Ssh(lambda: "debian@198.51.100.7"), connect=lambda: connection)


@pytest.fixture
def ecm(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `ecm ARGUMENTS…` on that machine, in a window of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")

    def run(*arguments: str, stdin: str = "", obj: Any = desk) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin, obj=obj)

    return run


def words(line: str) -> dict[str, str]:
    """The environment in which bash asks what may come at the end of a line."""
    return {"_ECM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(f"{line}.".split()) - 1)}


def completed(line: str, app: Any = app, **more: Any) -> list[str]:
    """What Tab offers at the end of a line."""
    return CliRunner().invoke(app, env=words(line), prog_name="ecm", **more).stdout.split()
