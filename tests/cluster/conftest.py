"""A cloud with as much of an openstacksdk connection as the program reads, for the tests of this folder."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import openstack.exceptions as sdk_errors
import pytest

from tests.cluster.made_up import Token


def thing(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=f"{name}-id", name=name, **more)


@dataclass
class FakeCloud:
    images: list[Any] = field(
        default_factory=lambda: [thing("debian", min_ram=512, min_disk=2, os_distro="debian", os_version="13")]
    )
    flavors: list[Any] = field(
        default_factory=lambda: [
            thing("small", vcpus=1, ram=1024, disk=4),
            thing("tiny", vcpus=1, ram=256, disk=1),
            thing("volume", vcpus=2, ram=2048, disk=0),
        ]
    )
    networks: list[Any] = field(
        default_factory=lambda: [
            thing("lan", is_router_external=False),
            thing("public", is_router_external=True),
        ]
    )
    catalogue: dict[str, str] = field(
        default_factory=lambda: {"public": "http://out/v3", "internal": "http://in:5000/"}
    )
    servers: list[Any] = field(default_factory=list)
    token: Token = field(default_factory=Token)
    refuses: dict[str, int] = field(default_factory=dict)
    """HTTP status with which a service answers everything."""
    undying: set[str] = field(default_factory=set)
    """Ids of servers that don't go."""

    def __post_init__(self) -> None:
        self.image = SimpleNamespace(images=lambda **_: self._answer("image", self.images))
        self.compute = SimpleNamespace(
            flavors=lambda: self.flavors,
            keypairs=lambda: [thing("mykey")],
            get_limits=lambda: self._answer("compute", None),
            servers=lambda details: self._answer("compute", list(self.servers) if details else []),
            delete_server=self._delete,
        )
        self.network = SimpleNamespace(
            networks=lambda is_router_external=None, limit=None: self._answer(  # noqa: ARG005
                "network", [n for n in self.networks if is_router_external in (None, n.is_router_external)]
            ),
            security_groups=lambda **_: [thing("default")],
        )
        auth = SimpleNamespace(get_access=lambda _session: self.token)
        self.session = SimpleNamespace(
            auth=auth,
            get_endpoint=lambda service_type, interface, region_name: self.catalogue[interface],  # noqa: ARG005
        )
        self.config = SimpleNamespace(region_name="R", auth={"auth_url": "http://elsewhere"})
        self.current_project_id = "project"

    def server(self, name: str, **more: Any) -> Any:
        """Puts a server there."""
        tags = {"ecm-cluster": "group-id", "ecm-role": "slave"} | more.pop("metadata", {})
        made = SimpleNamespace(id=f"{name}-id", name=name, status="ACTIVE", fault=None, metadata=tags)
        made.__dict__.update(more)
        self.servers.append(made)
        return made

    def _answer(self, service: str, answer: Any) -> Any:
        if service in self.refuses:
            response: Any = SimpleNamespace(status_code=self.refuses[service], headers={}, url="", reason="no")
            raise sdk_errors.HttpException("refused", response=response)
        return answer

    def _delete(self, server_id: str, ignore_missing: bool) -> None:
        assert ignore_missing
        if server_id in self.undying:
            raise sdk_errors.ConflictException("it is locked")
        self.servers = [server for server in self.servers if server.id != server_id]


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()
