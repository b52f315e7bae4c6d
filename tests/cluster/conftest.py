"""A cloud with as much of an openstacksdk connection as the program reads, for the tests of this folder."""

from dataclasses import dataclass, field
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors
import pytest
from keystoneauth1.access.access import AccessInfoV3

from tests.cluster.made_up import token


def thing(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=f"{name}-id", name=name, **more)


def image(name: str, **more: Any) -> SimpleNamespace:
    usual = {"min_ram": 512, "min_disk": 2, "virtual_size": None, "size": 2**30, "status": "active"}
    return thing(
        name, **usual | {"os_distro": None, "os_version": None, "architecture": None, "os_admin_user": None} | more
    )


@dataclass
class FakeCloud:
    images: list[Any] = field(default_factory=lambda: [image("debian", os_distro="debian", os_version="13")])
    hidden_images: list[Any] = field(default_factory=list)
    flavors: list[Any] = field(
        default_factory=lambda: [
            thing("small", vcpus=1, ram=1024, disk=4),
            thing("tiny", vcpus=1, ram=256, disk=1),
            thing("volume", vcpus=2, ram=2048, disk=0),
        ]
    )
    networks: list[Any] = field(
        default_factory=lambda: [
            thing("lan", is_router_external=False, is_shared=False, project_id="project"),
            thing("public", is_router_external=True, is_shared=False, project_id="operators"),
        ]
    )
    subnets: tuple[int, ...] = (6, 4)
    """IP versions of each network's subnets."""
    catalogue: dict[str, str] = field(
        default_factory=lambda: {"public": "http://out/v3", "internal": "http://in:5000/"}
    )
    servers: list[Any] = field(default_factory=list)
    ports: list[Any] = field(default_factory=list)
    """The project's."""
    floating: list[Any] = field(default_factory=list)
    router_ports: list[Any] = field(
        default_factory=lambda: [thing("port", device_owner="network:router_interface", device_id="router-id")]
    )
    """Those in the network `lan`."""
    routers: list[Any] = field(
        default_factory=lambda: [thing("router", external_gateway_info={"network_id": "public-id"})]
    )
    token: AccessInfoV3 = field(default_factory=token)
    limits: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            instances=-1,
            instances_used=0,
            total_cores=-1,
            total_cores_used=0,
            total_ram=-1,
            total_ram_used=0,
        )
    )
    network_quota: SimpleNamespace | None = None
    """None where the cloud doesn't tell."""
    volume_limits: SimpleNamespace | None = None
    """None where there are no volumes."""
    refuses: dict[str, int] = field(default_factory=dict)
    """HTTP status with which a service answers everything."""
    credentials: list[Any] = field(default_factory=list)
    """The user's own application credentials."""
    undying: set[str] = field(default_factory=set)
    """Ids of servers that don't go."""

    def __post_init__(self) -> None:
        self.image = SimpleNamespace(
            images=lambda **_: self._answer("image", self.images),
            find_image=lambda wanted, ignore_missing: next(  # noqa: ARG005
                (i for i in self.hidden_images if i.id == wanted), None
            ),
        )
        self.identity = SimpleNamespace(
            application_credentials=lambda user: self._answer("identity", self.credentials if user == "me" else [])
        )
        self.block_storage = SimpleNamespace(get_limits=self._volume_limits)
        self.compute = SimpleNamespace(
            flavors=lambda: self.flavors,
            keypairs=lambda: [thing("mykey")],
            availability_zones=lambda: [
                thing("nova", state={"available": True}),
                thing("down", state={"available": False}),
            ],
            get_limits=lambda: self._answer("compute", SimpleNamespace(absolute=self.limits)),
            servers=lambda details: self._answer("compute", list(self.servers) if details else []),
            delete_server=self._delete,
        )
        self.network = SimpleNamespace(
            networks=lambda is_router_external=None, limit=None: self._answer(  # noqa: ARG005
                "network", [n for n in self.networks if is_router_external in (None, n.is_router_external)]
            ),
            subnets=lambda network_id: [thing(network_id, ip_version=v) for v in self.subnets],
            security_groups=lambda **_: [thing("default")],
            ports=lambda project_id=None, network_id=None: (
                self.router_ports if network_id == "lan-id" else self.ports if project_id == "project" else []
            ),
            routers=lambda: self._answer("routers", self.routers),
            ips=lambda floating_network_id: self.floating if floating_network_id == "public-id" else [],
            get_quota=self._quota,
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

    def _quota(self, project: str, details: bool) -> Any:
        assert project == "project"
        assert details
        if self.network_quota is None:
            raise sdk_errors.NotFoundException
        return self.network_quota

    def _volume_limits(self) -> Any:
        if self.volume_limits is None:
            raise auth_errors.EndpointNotFound
        return SimpleNamespace(absolute=self.volume_limits)

    def _answer(self, service: str, answer: Any) -> Any:
        if service in self.refuses:
            response: Any = SimpleNamespace(status_code=self.refuses[service], headers={}, url="", reason="no")
            forbidden = response.status_code == HTTPStatus.FORBIDDEN
            raise (sdk_errors.ForbiddenException if forbidden else sdk_errors.HttpException)(
                "refused", response=response
            )
        return answer

    def _delete(self, server_id: str, ignore_missing: bool) -> None:
        assert ignore_missing
        if server_id in self.undying:
            raise sdk_errors.ConflictException("it is locked")
        self.servers = [server for server in self.servers if server.id != server_id]


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()
