"""The cluster's servers as the cloud has them, told by their tag: the state may not know them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openstack.exceptions as sdk_errors
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

from cluster.errors import CloudError
from cluster.login import first_line, translated

if TYPE_CHECKING:
    from openstack.connection import Connection

CLUSTER_TAG = "ecm-cluster"
ROLE_TAG = "ecm-role"
GONE = ("DELETED", "SOFT_DELETED")
PATIENCE = 300
PAUSE = 2


@dataclass(frozen=True, slots=True)
class Server:
    """A server, as Nova has it."""

    id: str
    name: str
    role: str
    status: str
    fault: str = ""


def of_cluster(cluster_id: str, connection: "Connection") -> tuple[Server, ...]:
    """All servers with this cluster's tag: a name would not do, two users may have a stack of the same name.

    Raises:
        CloudError: Nova doesn't say.
    """
    with translated():
        return tuple(
            Server(
                id=server.id,
                name=server.name,
                role=_tags(server).get(ROLE_TAG, ""),
                status=server.status,
                fault=(server.fault or {}).get("message", ""),
            )
            for server in connection.compute.servers(details=True)
            if _tags(server).get(CLUSTER_TAG) == cluster_id and server.status not in GONE
        )


def _tags(server: Any) -> Mapping[str, str]:  # noqa: ANN401 - openstacksdk is untyped here
    """A server's metadata. From 2.69 on Nova lists those of a cell that is down, without it: it may be one of ours."""
    if server.metadata is None:
        raise CloudError(
            f"OpenStack doesn't say what the server {server.id} is - Nova's cell of it may be down - try again later, "
            "or ask the cloud's operators"
        )
    tags: Mapping[str, str] = server.metadata
    return tags


def remove_all(
    cluster_id: str,
    connection: "Connection",
    *,
    which: Callable[[Server], bool] = lambda _: True,
    patience: float = PATIENCE,
    pause: float = PAUSE,
) -> None:
    """Deletes the servers of this cluster, and those that still appear meanwhile, until none is there.

    Args:
        cluster_id: the tag's value.
        connection: a login to the project.
        which: the ones to delete, when not all.
        patience: seconds after which what is left is given up.
        pause: seconds between two looks.

    Raises:
        CloudError: Nova doesn't say, or some are still there: each is named with the command that removes it.
    """
    look = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(patience),
        wait=wait_fixed(pause),
        retry_error_callback=_last_result,
    )
    left = look(_delete_each, cluster_id, connection, which)
    if left:
        reasons = "; ".join(f"{server.name} is {server.status}: {why}" for server, why in left.items())
        ids = " ".join(server.id for server in left)
        raise CloudError(f"servers of this cluster are left - {reasons} - openstack server delete --wait {ids}")


def _delete_each(cluster_id: str, connection: "Connection", which: Callable[[Server], bool]) -> dict[Server, str]:
    """Asks Nova to delete each server that is there; says of each why it is still there."""
    there: dict[Server, str] = {}
    for server in filter(which, of_cluster(cluster_id, connection)):
        there[server] = "it doesn't go"
        try:
            connection.compute.delete_server(server.id, ignore_missing=True)
        except sdk_errors.SDKException as error:
            there[server] = first_line(error)
    return there


def _last_result(state: RetryCallState) -> dict[Server, str]:
    result: dict[Server, str] = state.outcome.result() if state.outcome else {}
    return result
