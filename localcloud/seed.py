"""What a new cloud contains: service users, catalogue, projects with a user each, networks, flavors, image."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.login import PROJECTS, connect
from localcloud.paths import Paths
from localcloud.services import ADDRESS, ENDPOINTS, PUBLIC_NETWORK, REGION

if TYPE_CHECKING:
    from openstack.connection import Connection

IMAGE = "debian-13-condor"
BARE_IMAGE = "debian-13-bare"
NETWORK = "cluster-net"
PUBLIC = "public"
KEYPAIR = "localcloud"


@dataclass(frozen=True)
class Flavor:
    name: str
    vcpus: int
    ram: int
    disk: int = 4


FLAVORS = (Flavor("small", 1, 1024), Flavor("medium", 2, 2048), Flavor("large", 4, 4096))
COMPUTE_QUOTA = {"instances": 20, "cores": 40, "ram": 40960}
NETWORK_QUOTA = {"ports": 200, "security_groups": 50, "security_group_rules": 500, "floating_ips": 50}

# User, type in the catalogue, path of the endpoint.
_SERVICES = (
    ("glance", "image", ""),
    ("placement", "placement", ""),
    ("nova", "compute", "/v2.1"),
    ("neutron", "network", ""),
)


def _identity(connection: "Connection") -> Any:  # noqa: ANN401  # typed as version 2 or 3; here it is 3
    return connection.identity


def catalogue(secrets: Mapping[str, str]) -> None:
    """Service users and endpoints; Keystone alone runs."""
    identity = _identity(connect("admin", secrets))
    identity.create_project(name="service", domain_id="default")
    if not identity.find_role("service"):
        identity.create_role(name="service")
    for name, kind, path in _SERVICES:
        list_service(identity, name, kind, path, secrets)


def object_store(secrets: Mapping[str, str]) -> None:
    """Swift's user and endpoints, unless they are there."""
    identity = _identity(connect("admin", secrets))
    if not any(service.type == "object-store" for service in identity.services()):
        list_service(identity, "swift", "object-store", "/v1/AUTH_%(project_id)s", secrets)


def list_service(identity: Any, name: str, kind: str, path: str, secrets: Mapping[str, str]) -> None:  # noqa: ANN401
    """Make a service's user, and its entry in the catalogue."""
    project = identity.find_project("service")
    user = identity.create_user(
        name=name, password=secrets[f"service_{name}"], domain_id="default", default_project_id=project.id
    )
    for role in ("admin", "service"):
        identity.assign_project_role_to_user(project, user, identity.find_role(role))
    service = identity.create_service(name=name, type=kind)
    # The user of this machine has its loopback, guests and the services themselves the cloud's own address.
    for interface, address in (("public", "127.0.0.1"), ("internal", ADDRESS), ("admin", ADDRESS)):
        url = f"http://{address}:{ENDPOINTS[name]}{path}"
        identity.create_endpoint(service_id=service.id, interface=interface, url=url, region_id=REGION)


def contents(secrets: Mapping[str, str], paths: Paths, image: Path) -> None:
    """The projects and all that their users find in them; every service runs."""
    admin = connect("admin", secrets)
    for flavor in FLAVORS:
        admin.compute.create_flavor(name=flavor.name, vcpus=flavor.vcpus, ram=flavor.ram, disk=flavor.disk)
    public = admin.network.create_network(
        name=PUBLIC, is_router_external=True, provider_network_type="flat", provider_physical_network="public"
    )
    admin.network.create_subnet(
        network_id=public.id,
        name=PUBLIC,
        ip_version=4,
        cidr=PUBLIC_NETWORK,
        gateway_ip=ADDRESS,
        enable_dhcp=False,
        allocation_pools=[{"start": "172.24.4.10", "end": "172.24.4.250"}],
    )
    public_key = paths.key.with_suffix(".pub").read_text().strip()
    for number, user in enumerate(PROJECTS):
        _project(admin, user, secrets)
        own = connect(user, secrets)
        network = own.network.create_network(name=NETWORK)
        # Not the same addresses: `localcloud ssh` finds a guest by its own.
        subnet = own.network.create_subnet(
            network_id=network.id, name=NETWORK, ip_version=4, cidr=f"10.{77 + number}.0.0/24"
        )
        router = own.network.create_router(name=NETWORK, external_gateway_info={"network_id": public.id})
        own.network.add_interface_to_router(router, subnet=subnet.id)
        own.compute.create_keypair(name=KEYPAIR, public_key=public_key)
    upload(admin, paths, IMAGE, image)


def _project(admin: "Connection", name: str, secrets: Mapping[str, str]) -> None:
    """An ordinary user's project, with quotas, and the user."""
    identity = _identity(admin)
    project = identity.create_project(name=PROJECTS[name], domain_id="default")
    user = identity.create_user(name=name, password=secrets[name], domain_id="default", default_project_id=project.id)
    identity.assign_project_role_to_user(project, user, identity.find_role("member"))
    admin.set_compute_quotas(project.id, **COMPUTE_QUOTA)
    admin.set_network_quotas(project.id, **NETWORK_QUOTA)


def upload(admin: "Connection", paths: Paths, name: str, image: Path) -> None:
    """Give all projects an image of Debian 13."""
    with image.open("rb") as file:
        kind = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
    made = admin.image.create_image(
        name,
        filename=str(image),
        disk_format=kind,
        container_format="bare",
        visibility="public",
        min_disk=FLAVORS[0].disk,
        allow_duplicates=True,
        validate_checksum=False,
        properties={"os_distro": "debian", "os_version": "13"},
    )
    if kind == "raw":
        # Where Nova keeps its copy of an image, under the name that it gives it: the first guest needn't wait for one.
        stored = paths.live / "glance" / "images" / made.id
        cached = paths.live / "nova" / "instances" / "_base" / hashlib.sha1(made.id.encode()).hexdigest()  # noqa: S324
        cached.hardlink_to(stored)
