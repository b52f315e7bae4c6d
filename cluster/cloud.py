"""What the settings name, looked up in the cloud before anything is created.

One adapter to openstacksdk for the program that runs on the user's machine. It reads only.
"""

import difflib
import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openstack.exceptions as sdk_errors

from cloudinit import systems
from cloudinit.systems import SYSTEMS, System
from cluster.errors import CloudError
from cluster.login import access, translated, versioned
from cluster.offer import X86_64
from cluster.settings import Settings

if TYPE_CHECKING:
    from openstack.connection import Connection

SHOWN = 8
GIB = 1024**3
IPV4 = 4
_OURS = re.compile(r"(?i)x86[_-]64|amd64")
_OTHERS = re.compile(r"(?i)(?<![a-z0-9])(aarch64|arm64|ppc64le|ppc64el|s390x|riscv64|i[3-6]86)(?![a-z0-9])")
"""Architectures in an image's name."""
_SPELLINGS = {"amd64": X86_64, "arm64": "aarch64", "ppc64el": "ppc64le"} | dict.fromkeys(
    ("i386", "i486", "i586"), "i686"
)
ROUTERS_PORTS = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)
"""Owners of the ports by which routers are in the networks that they serve."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Flavor:
    """A flavor's id and size: RAM in MiB, disk in GiB."""

    id: str
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int


@dataclass(frozen=True, slots=True)
class Found:
    """The ids behind the names in the settings, and where the master reaches the cloud."""

    image_id: str
    slave_image_id: str
    slave_architecture: str
    """The processor's, as OpenStack names it."""
    master_flavor: Flavor
    slave_flavor: Flavor
    network_id: str
    network_name: str
    slave_group_id: str
    master_volume_gib: int | None
    """GiB of the boot volume; None where the flavor's own disk serves."""
    slave_volume_gib: int | None
    floating_network: str | None
    """The external network's name, which is what the provider takes."""
    project_id: str
    auth_url: str
    region: str
    master_system: System
    slave_system: System
    master_user: str
    """Whom the keypair logs in as on the master; empty when that isn't known."""


def look_up(settings: Settings, connection: "Connection") -> Found:
    """Finds what the settings name.

    Raises:
        CloudError: something is not there, is there twice, or doesn't fit; nothing has been created.
    """
    with translated():
        images = list(connection.image.images())
        flavors = list(connection.compute.flavors())
        image = _image("image", settings.image, images, connection)
        slave_image = _image("slaveImage", settings.slave_image or settings.image, images, connection)
        master_flavor = _flavor(_pick("masterFlavor", "flavor", settings.master_flavor, flavors))
        slave_flavor = _flavor(_pick("slaveFlavor", "flavor", settings.slave_flavor, flavors))
        _pick("keyName", "keypair", settings.key_name, connection.compute.keypairs())
        if settings.availability_zone:
            zones = (
                z for z in connection.compute.availability_zones() if (z.state or {"available": True})["available"]
            )
            _pick("availabilityZone", "availability zone", settings.availability_zone, zones)
        groups = connection.network.security_groups(project_id=connection.current_project_id)
        group = _pick("slaveSecurityGroup", "security group", settings.slave_security_group, groups)
        networks = list(connection.network.networks())
        network = _network(settings, networks, connection)
        floating = _floating_network(settings.floating_network, network, networks, connection)
        auth_url = connection.session.get_endpoint(
            service_type="identity", interface=settings.endpoints, region_name=connection.config.region_name
        )
    if settings.jobs_per_slave and settings.jobs_per_slave > slave_flavor.vcpus:
        raise CloudError(
            f"ecm:jobsPerSlave is {settings.jobs_per_slave} and the flavor {slave_flavor.name} has "
            f"{slave_flavor.vcpus} VCPUs - a job needs at least one - lower jobsPerSlave or take a larger slaveFlavor"
        )
    volume = settings.boot_volume_gib
    slave_volume = None if slave_flavor.disk_gib else volume
    _fits("image", image, master_flavor, volume)
    _fits("slaveImage" if settings.slave_image else "image", slave_image, slave_flavor, slave_volume)
    master_system = _system("os", settings.os, image, "masterScript", settings.master_script)
    slaves_os = ("slaveOs", settings.slave_os) if settings.slave_image else ("os", settings.os)
    slave_system = _system(*slaves_os, slave_image, "slaveScript", settings.slave_script)
    if master_system.no_master:
        raise CloudError(
            f"ecm:image has {master_system.name}, which can't be a master's - {master_system.no_master} - "
            "take another image, and set this one as ecm:slaveImage"
        )
    if image.architecture and (architecture := _architecture(image)) != X86_64:
        raise CloudError(
            f"ecm:image is {image.name!r} - it is for {architecture}, and the controller's Pulumi for x86_64 - "
            "take another image, and set this one as ecm:slaveImage"
        )
    return Found(
        image_id=image.id,
        slave_image_id=slave_image.id,
        slave_architecture=_architecture(slave_image),
        master_flavor=master_flavor,
        slave_flavor=slave_flavor,
        network_id=network.id,
        network_name=network.name or network.id,
        slave_group_id=group.id,
        master_volume_gib=volume,
        slave_volume_gib=slave_volume,
        floating_network=floating,
        project_id=access(connection).project_id or "",
        auth_url=versioned(auth_url or connection.config.auth["auth_url"]),
        region=connection.config.region_name or "",
        master_system=master_system,
        slave_system=slave_system,
        master_user=str(image.os_admin_user or systems.account(image.os_distro, image.name, master_system.name)),
    )


def _architecture(image: Any) -> str:  # noqa: ANN401 - openstacksdk is untyped here
    """By the image's property, or else its name; x86_64 where neither says, or the name has several."""
    name = image.name or ""
    other = None if _OURS.search(name) else _OTHERS.search(name)
    says = (image.architecture or (other and other[0]) or X86_64).lower().replace("-", "_")
    return _SPELLINGS.get(says, says)


def _system(setting: str, wanted: str | None, image: Any, script: str, path: str | None) -> System:  # noqa: ANN401 - openstacksdk is untyped here
    name = systems.find(image.os_distro, image.os_version, image.name)
    if wanted and (name != systems.END_OF_LIFE or (wanted == systems.CUSTOM and path)):
        return SYSTEMS[wanted]
    if name and name in SYSTEMS:
        return SYSTEMS[name]
    if name:
        raise CloudError(
            f"the image {image.name!r} can't be used - {systems.UNUSABLE[name]} - take another one; "
            f"as ecm:{setting} custom it needs systemd and an ecm:{script} that installs HTCondor"
        )
    raise CloudError(
        f"the system of the image {image.name!r} can't be told - neither its properties os_distro and os_version nor "
        f"its name say - pulumi config set ecm:{setting} to one of: {', '.join(SYSTEMS)}"
    )


def _image(setting: str, wanted: str, listed: list[Any], connection: "Connection") -> Any:  # noqa: ANN401 - openstacksdk is untyped here
    """The image of that name or id; one that isn't listed (hidden, or a community's) is found by its id."""
    active = [image for image in listed if image.name == wanted and image.status == "active"]
    try:
        image = _pick(setting, "image", wanted, active or listed)
    except CloudError:
        image = connection.image.find_image(wanted, ignore_missing=True) if _ID.fullmatch(wanted) else None
        if image is None:
            raise
    if image.status != "active":
        raise CloudError(
            f"ecm:{setting} is {wanted!r} - the image is {image.status}, not active - wait, or take another"
        )
    return image


def _floating_network(wanted: str | None, network: Any, networks: list[Any], connection: "Connection") -> str | None:  # noqa: ANN401 - openstacksdk is untyped here
    if wanted is None:
        return None
    external = _pick("floatingNetwork", "external network", wanted, [n for n in networks if n.is_router_external])
    ports = list(connection.network.ports(network_id=network.id))
    if {port.id for port in ports} & {ip.port_id for ip in connection.network.ips(floating_network_id=external.id)}:
        # It serves there already, maybe this cluster's master.
        return str(external.name)
    if not external.name or [n.name for n in networks].count(external.name) > 1:
        raise CloudError(
            f"ecm:floatingNetwork is {wanted!r} - Pulumi's provider goes by its name, "
            f"{'which another network has, too' if external.name else 'and it has none'} - take another, or rename one"
        )
    if _is_cut_off(network, ports, external, connection):
        raise CloudError(
            f"ecm:floatingNetwork is {wanted!r} - no router leads from it to the network {network.name!r}, so "
            "that no address of it can be the master's - openstack router add subnet ROUTER SUBNET, or take another one"
        )
    return str(external.name)


def _is_cut_off(network: Any, ports: list[Any], external: Any, connection: "Connection") -> bool:  # noqa: ANN401 - openstacksdk is untyped here
    """Whether surely no router has both: an operator's network or router may be one that this login can't look into."""
    there = {port.device_id for port in ports if port.device_owner in ROUTERS_PORTS}
    gateways = {}
    with suppress(sdk_errors.ForbiddenException):
        gateways = {r.id: (r.external_gateway_info or {}).get("network_id") for r in connection.network.routers()}
    if not there:
        return bool(network.project_id == connection.current_project_id)
    return there <= gateways.keys() and external.id not in {gateways[router] for router in there}


def _network(settings: Settings, networks: list[Any], connection: "Connection") -> Any:  # noqa: ANN401 - openstacksdk is untyped here
    network = _named_or_only_network(settings, networks)
    if not any(subnet.ip_version == IPV4 for subnet in connection.network.subnets(network_id=network.id)):
        raise CloudError(
            f"the network {network.name!r} can't be used - it has no IPv4 subnet, so that nodes would have no address "
            "- pulumi config set ecm:network to another one, or give it a subnet"
        )
    return network


def _named_or_only_network(settings: Settings, networks: list[Any]) -> Any:  # noqa: ANN401 - openstacksdk is untyped here
    if settings.network:
        # Nova attaches no server to an external network unless it is shared.
        usable = [n for n in networks if not n.is_router_external or n.is_shared]
        return _pick("network", "network", settings.network, usable)
    ours = [n for n in networks if not n.is_router_external]
    if len(ours) == 1:
        return ours[0]
    if not (there := ours or [n for n in networks if n.is_shared]):
        raise CloudError("ecm:network is not set - the project has none - openstack network create, with a subnet")
    have = "several networks" if ours else "none of its own but"
    shown = _shown(_labels(there))
    raise CloudError(f"ecm:network is not set - the project has {have}: {shown} - pulumi config set ecm:network NAME")


def _pick(setting: str, kind: str, wanted: str, there: Iterable[Any]) -> Any:  # noqa: ANN401 - openstacksdk is untyped here
    everything = list(there)
    hits = [thing for thing in everything if wanted == thing.id] or [t for t in everything if wanted == t.name]
    if len(hits) == 1:
        return hits[0]
    if hits:
        ids = _shown(thing.id for thing in hits)
        raise CloudError(f"ecm:{setting} is {wanted!r} - the cloud has {len(hits)} of that name - set its id: {ids}")
    labels = _labels(everything)
    near = difflib.get_close_matches(wanted, labels, n=SHOWN, cutoff=0.3)
    there = _shown([*near, *(label for label in labels if label not in near)]) or "none"
    raise CloudError(f"ecm:{setting} is {wanted!r} - there is no such {kind} - there is: {there}")


def _labels(things: list[Any]) -> list[str]:
    """What each is called in the settings: its id where the name is none or that of others, too."""
    names = [thing.name for thing in things]
    return sorted(thing.name if thing.name and names.count(thing.name) == 1 else thing.id for thing in things)


def _shown(labels: Iterable[str]) -> str:
    listed = list(labels)
    return ", ".join([*listed[:SHOWN], *(["…"] if len(listed) > SHOWN else [])])


def _flavor(flavor: Any) -> Flavor:  # noqa: ANN401 - openstacksdk is untyped here
    return Flavor(flavor.id, flavor.name, flavor.vcpus, flavor.ram, flavor.disk)


def _fits(setting: str, image: Any, flavor: Flavor, volume_gib: int | None) -> None:  # noqa: ANN401 - openstacksdk is untyped here
    disk_gib = volume_gib or flavor.disk_gib
    if not disk_gib:
        raise CloudError(
            f"the flavor {flavor.name} has no disk - a server needs one to boot from - "
            "pulumi config set ecm:bootVolumeGiB 20, or take another flavor"
        )
    least_gib = max(image.min_disk or 0, math.ceil((image.virtual_size or image.size or 0) / GIB))
    if flavor.ram_mib < (image.min_ram or 0) or disk_gib < least_gib:
        raise CloudError(
            f"ecm:{setting} is {image.name!r} - it needs {image.min_ram or 0} MiB of RAM and {least_gib} GiB of "
            f"disk, the flavor {flavor.name} has {flavor.ram_mib} and {disk_gib} - "
            f"{'raise bootVolumeGiB, ' if volume_gib else ''}take a larger flavor or another image"
        )
