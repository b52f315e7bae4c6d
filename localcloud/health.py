"""Is every part of the cloud there?  Asks Nova and Neutron themselves."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from localcloud.errors import LocalCloudError
from localcloud.login import connect

if TYPE_CHECKING:
    from openstack.connection import Connection

_AGENTS = frozenset({"neutron-linuxbridge-agent", "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent"})


def wait_healthy(secrets: Mapping[str, str], seconds: float, check: Callable[[], None]) -> None:
    """Wait until Nova and Neutron themselves say that every part of them is there.

    Raises:
        LocalCloudError: it took too long; or `check`, called all the time, raised.
    """
    end = time.monotonic() + seconds
    admin = connect("admin", secrets)
    while missing := unhealthy(admin):
        check()
        if time.monotonic() > end:
            raise LocalCloudError(f"the local cloud isn't healthy after {seconds:.0f} s - {missing[0]} - see its log")
        time.sleep(0.5)


def unhealthy(admin: "Connection") -> list[str]:
    """What Nova and Neutron still miss; empty when all is well."""
    try:
        services: list[Any] = list(admin.compute.services())
        agents: list[Any] = list(admin.network.agents())
    except Exception as error:  # noqa: BLE001  # whatever it is, the cloud isn't healthy, and this is why
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    up = {service.binary for service in services if service.state == "up"}
    alive = {agent.binary for agent in agents if agent.is_alive}
    wanted = {"nova-conductor", "nova-scheduler", "nova-compute"} - up | _AGENTS - alive
    return [f"{name} hasn't reported" for name in sorted(wanted)]
