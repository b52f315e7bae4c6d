"""What a cloud has to offer a cluster: images, flavors, networks, keypairs, quota. Reads only.

Each function raises `CloudError` when the cloud doesn't tell.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.laptop.images import problem
from cloudinit import systems
from cluster.cloud import Flavor
from cluster.login import translated

if TYPE_CHECKING:
    from openstack.connection import Connection

MIB = 1024 * 1024
UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Image:
    """An image; what it needs is RAM in MiB and disk in GiB."""

    name: str
    id: str
    system: str
    """As ecm:os names it; empty when it can't be told."""
    login: str
    """The account that its key opens; empty when that isn't known."""
    problem: str
    """Why no cluster can be made of it; empty when one can."""
    min_ram_mib: int
    min_disk_gib: int
    size_mib: int
    created: str = ""
    """Its date; empty where the cloud doesn't tell."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network; an external one gives public addresses, the others hold servers."""

    name: str
    id: str
    external: bool


@dataclass(frozen=True, slots=True)
class Key:
    """An ssh keypair, whose public half the cloud has."""

    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Quota:
    """What the project may use of one thing, and uses; None for no limit."""

    what: str
    used: int
    limit: int | None

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.used)


def images(connection: "Connection") -> list[Image]:
    """The active images: those that a cluster can be made of first, by system, name and date; unknown ones last."""
    with translated():
        there = list(connection.image.images(status="active"))
    found = []
    for image in there:
        name = image.name or ""
        system = systems.find(image.os_distro, image.os_version, name)
        found.append(
            Image(
                name=name,
                id=image.id,
                system=system or "",
                login=image.os_admin_user or systems.account(image.os_distro, name),
                problem=problem(system),
                min_ram_mib=image.min_ram or 0,
                min_disk_gib=image.min_disk or 0,
                size_mib=(image.size or 0) // MIB,
                created=(image.created_at or "")[: len("2026-01-31")],
            )
        )
    return sorted(found, key=lambda i: (bool(i.problem), not i.system, i.system, i.name, i.created))


def flavors(connection: "Connection") -> list[Flavor]:
    """The flavors, smallest first."""
    with translated():
        there = list(connection.compute.flavors())
    return sorted(
        (Flavor(f.id, f.name, f.vcpus, f.ram, f.disk) for f in there), key=lambda f: (f.vcpus, f.ram_mib, f.name)
    )


def networks(connection: "Connection") -> list[Network]:
    """The networks that the project sees: its own first, then the external ones."""
    with translated():
        there = list(connection.network.networks())
    return sorted(
        (Network(n.name or "", n.id, bool(n.is_router_external)) for n in there), key=lambda n: (n.external, n.name)
    )


def keys(connection: "Connection") -> list[Key]:
    """The user's keypairs."""
    with translated():
        return [Key(key.name, key.fingerprint) for key in connection.compute.keypairs()]


def quota(connection: "Connection") -> list[Quota]:
    """What is left of the project's instances, cores and RAM; other people's servers are counted."""
    with translated():
        limits = connection.compute.get_limits().absolute
    return [
        Quota(what, used, None if most in (None, UNLIMITED) else most)
        for what, used, most in (
            ("instances", limits.instances_used, limits.instances),
            ("cores", limits.total_cores_used, limits.total_cores),
            ("RAM (MiB)", limits.total_ram_used, limits.total_ram),
        )
    ]


def room(left: list[Quota], flavor: Flavor) -> int | None:
    """How many servers of this flavor the quota still admits; None when it has no limit."""
    each = (1, flavor.vcpus, flavor.ram_mib)
    shares = [q.left // size for q, size in zip(left, each, strict=True) if q.left is not None]
    return min(shares) if shares else None
