"""The guests as Nova knows them, and ways to their ports."""

import ipaddress
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud import login
from localcloud.errors import LocalCloudError
from localcloud.machine import Machine
from localcloud.paths import Paths

if TYPE_CHECKING:
    from openstack.connection import Connection

_PATIENCE = 3.0


@dataclass(frozen=True)
class Guest:
    """A server and its addresses."""

    name: str
    status: str
    fixed: tuple[str, ...]
    floating: tuple[str, ...]
    project: str = ""


def listing(admin: "Connection") -> list[Guest]:
    """All guests, whoever's."""
    return [_guest(server) for server in admin.compute.servers(all_projects=True)]


def _guest(server: Any) -> Guest:  # noqa: ANN401  # the SDK's resources are untyped
    entries = [entry for network in (server.addresses or {}).values() for entry in network]

    def of_kind(kind: str) -> tuple[str, ...]:
        return tuple(entry["addr"] for entry in entries if entry.get("OS-EXT-IPS:type") == kind)

    return Guest(server.name, server.status, of_kind("fixed"), of_kind("floating"), server.project_id)


def resolve(host: str, guests: Iterable[Guest]) -> Guest | None:
    """The guest of that name or address; an active one first."""
    found = [guest for guest in guests if host in (guest.name, *guest.fixed, *guest.floating)]
    return min(found, key=lambda guest: guest.status != "ACTIVE", default=None)


def jumps(guest: Guest, guests: Iterable[Guest]) -> list[Guest]:
    """The others on its network that can be logged in to; none without an address of its own."""
    beside = (other for other in guests if other.project == guest.project and other != guest)
    return [other for other in beside if other.floating and other.status == "ACTIVE" and guest.fixed]


def proxy(machine: Machine, paths: Paths, secrets: Mapping[str, str], host: str, port: int) -> int:
    """Join standard input and output to a guest's port, as ssh's ProxyCommand wants it.

    Straight to a floating address; to a fixed one from its router's namespace, if the guest's groups admit that; else
    through a guest with a floating address.

    Raises:
        LocalCloudError: there is no such guest, or no way leads there.
    """
    # The usual case first, without asking anybody; other addresses have no route there and fail at once.
    if _is_address(host) and (straight := _try(machine, host, port, "cloud")):
        return _join(straight)
    admin = login.connect("admin", secrets)
    guests = listing(admin)
    guest = resolve(host, guests)
    if not guest:
        names = ", ".join(sorted(other.name for other in guests)) or "none"
        raise LocalCloudError(f"no guest {host} - there are: {names}")
    ways = [(address, "cloud") for address in guest.floating if address != host]
    ways += [(address, namespace) for address in guest.fixed for namespace in _routers(admin, guest)]
    for address, namespace in ways:
        if connection := _try(machine, address, port, namespace):
            return _join(connection)
    for jump in jumps(guest, guests):
        ssh = ["ssh", "-F", str(paths.ssh_config)]
        if _leads_to(guest.fixed[0], port, [*ssh, jump.floating[0]]):
            # ssh in the guest between is the pipe.
            pipe = [*ssh, "-W", f"{guest.fixed[0]}:{port}", jump.floating[0]]
            return subprocess.run(pipe, check=False).returncode
    raise LocalCloudError(f"{host} port {port} can't be reached - it isn't up yet, or no security group admits it")


def _leads_to(address: str, port: int, login: list[str]) -> bool:
    """Whether a guest is admitted there. Asked first: a pipe that fails has swallowed what the caller said already."""
    knock = f"timeout {_PATIENCE:.0f} bash -c '</dev/tcp/{address}/{port}'"
    ran = subprocess.run([*login, knock], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return ran.returncode == 0


def _routers(admin: "Connection", guest: Guest) -> list[str]:
    """The network namespaces of its project's routers."""
    return [f"qrouter-{router.id}" for router in admin.network.routers(project_id=guest.project)]


def _try(machine: Machine, address: str, port: int, namespace: str) -> socket.socket | None:
    try:
        return machine.connect(address, port, _PATIENCE, namespace)
    except OSError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _join(connection: socket.socket) -> int:
    """Copy both ways until the far end has finished; 0, the exit status."""
    connection.settimeout(None)
    sources = {sys.stdin.fileno(), connection.fileno()}
    while connection.fileno() in sources:
        for ready in select.select(list(sources), [], [])[0]:
            data = connection.recv(65536) if ready == connection.fileno() else os.read(ready, 65536)
            if ready == connection.fileno():
                _write_all(sys.stdout.fileno(), data)
            elif data:
                connection.sendall(data)
            else:
                connection.shutdown(socket.SHUT_WR)
            if not data:
                sources.discard(ready)
    return 0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
