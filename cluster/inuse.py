"""What of the user's own still uses the cluster's security group, and so keeps it from going.

The provider would try for ten minutes, and then say nothing of who that is.
"""

from typing import TYPE_CHECKING, Any

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

from cluster.errors import CloudError
from cluster.login import translated

if TYPE_CHECKING:
    from openstack.connection import Connection

PATIENCE = 30
"""Seconds that Nova may need to let go of the ports of servers that have just gone."""
PAUSE = 2


def require_unused(
    group_id: str, connection: "Connection", *, patience: float = PATIENCE, pause: float = PAUSE
) -> None:
    """Makes sure that no machine but the cluster's, which have gone, is in its security group.

    Raises:
        CloudError: some are: each is named with the command that takes it out. Or the cloud doesn't say.
    """

    def users() -> list[Any]:
        with translated():
            ports = list(connection.network.ports(project_id=connection.current_project_id))
        return [port for port in ports if port.device_id and group_id in (port.security_group_ids or ())]

    look = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(patience),
        wait=wait_fixed(pause),
        retry_error_callback=_last_result,
    )
    if ports := look(users):
        commands = "; ".join(dict.fromkeys(_command(port, group_id) for port in ports))
        raise CloudError(
            f"the security group {group_id} can't go - {len(ports)} ports of others are in it - {commands}"
        )


def _command(port: Any, group_id: str) -> str:  # noqa: ANN401 - openstacksdk is untyped here
    """What takes a port out of the group."""
    if str(port.device_owner).startswith("compute:"):
        return f"openstack server remove security group {port.device_id} {group_id}"
    return f"openstack port unset --security-group {group_id} {port.id}"


def _last_result(state: RetryCallState) -> list[Any]:
    result: list[Any] = state.outcome.result() if state.outcome else []
    return result
