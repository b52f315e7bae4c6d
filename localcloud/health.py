"""Is every part of the cloud there?  Asks Nova and Neutron themselves."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localcloud.errors import LocalCloudError
from localcloud.login import connect
from localcloud.services import FAKES
from localcloud.supervisor import Supervisor

if TYPE_CHECKING:
    from openstack.connection import Connection

COMPUTE = "nova-compute"
_NOVA = frozenset({"nova-conductor", "nova-scheduler", COMPUTE})
_AGENTS = frozenset({"neutron-linuxbridge-agent", "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent"})
_FIRST_REPORT = 5
"""Seconds from a service's start to its first report, at least (INITIAL_REPORTING_DELAY of Nova's)."""
PARTS = _NOVA | _AGENTS
"""Of Nova and Neutron, by their own names."""


def wait_healthy(
    secrets: Mapping[str, str],
    supervisor: Supervisor,
    seconds: float,
    check: Callable[[], None],
    parts: frozenset[str] = PARTS,
) -> None:
    """Wait until Nova and Neutron themselves say that every part of them (or of `parts`) is there.

    Raises:
        LocalCloudError: it took too long; or `check`, called all the time, raised.
    """
    end = time.monotonic() + seconds
    admin = connect("admin", secrets)
    while missing := unhealthy(admin, supervisor, parts):
        check()
        if time.monotonic() > end:
            raise LocalCloudError(f"the local cloud isn't healthy after {seconds:.0f} s - {missing[0]} - see its log")
        time.sleep(0.5)


def unhealthy(admin: "Connection", supervisor: Supervisor, parts: frozenset[str] = PARTS) -> list[str]:
    """What Nova and Neutron still miss of `parts`; empty when all is well.

    What a part of Nova's said before it was started (again) doesn't count: a compute service that starts puts all
    servers that are being built in ERROR.
    """
    try:
        services: list[Any] = list(admin.compute.services()) if parts & _NOVA else []
        agents: list[Any] = list(admin.network.agents()) if parts & _AGENTS else []
    except Exception as error:  # noqa: BLE001  # whatever it is, the cloud isn't healthy, and this is why
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    began = supervisor.began()
    began[COMPUTE] = max(began[COMPUTE], began.get(FAKES, 0))
    nova = {service.binary: service for service in services if service.binary in _NOVA and service.state == "up"}
    up = {name for name, service in nova.items() if _seconds(service.updated_at) >= began[name] + _FIRST_REPORT}
    alive = {agent.binary for agent in agents if agent.is_alive}
    return [f"{name} hasn't reported" for name in sorted(parts - up - alive)]


def _seconds(reported: str | None) -> float:
    """Nova's time in Unix seconds; 0 for never."""
    return datetime.fromisoformat(reported).replace(tzinfo=UTC).timestamp() if reported else 0.0
