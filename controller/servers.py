"""The adapter to OpenStack: this cluster's servers, the room that the quota leaves, the removal of a server by hand."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import keystoneauth1.exceptions as auth_errors
import openstack
import openstack.exceptions as sdk_errors

from cluster.cloud import Flavor
from cluster.login import first_line
from cluster.nodes import MADE_FROM_TAG
from cluster.servers import CLUSTER_TAG, GONE, ROLE_TAG
from controller.answers import understood
from controller.errors import OutsideError

if TYPE_CHECKING:
    from openstack.connection import Connection

UNLIMITED = -1
PATIENCE = 20
"""Seconds that one answer may take: without a limit, a cloud that hangs would hang the controller."""
LINE = 200
"""Characters of what an error says: a proxy's may be a whole page."""
_DELETIONS = ("deleting", "soft-deleting")
GOING = 10
"""Seconds for a server to be gone after its deletion, as nearly all are: everything else waits meanwhile, and what
takes longer is seen to be gone at a later try."""


@dataclass(frozen=True, slots=True)
class Server:
    """A slave's server, as Nova has it."""

    id: str
    name: str
    status: str
    created_at: datetime
    fault: str = ""
    made_from: str = ""
    """Fingerprint of the settings that it was made from."""
    deleting: bool = False
    """Whether Nova has been asked to delete it, and may do so at any moment."""
    slave_of: str = ""
    """Id of the cluster that its tags say it is a slave of; anybody in the project may change them."""


class Cloud:
    """One project of one OpenStack, logged in by the environment's OS_* variables."""

    def __init__(self) -> None:
        with _translated():
            self._connection: Connection = openstack.connect(api_timeout=PATIENCE)

    def log_in(self) -> None:
        """Takes a token, which every call needs.

        Raises:
            OutsideError: the cloud refuses the login, or doesn't answer.
        """
        with _translated():
            self._connection.session.get_token()

    def missing(self, image_id: str, flavor: Flavor) -> tuple[str, ...]:
        """What of a new slave's image and flavor the cloud hasn't, a line each.

        Raises:
            OutsideError: the cloud doesn't say.
        """
        lines = []
        with _translated():
            try:
                image = self._connection.image.get_image(image_id)
                if image.status != "active":
                    lines.append(f"the image {image.name} is {image.status}")
            except sdk_errors.NotFoundException:
                lines.append(f"there is no image {image_id}")
            try:
                self._connection.compute.get_flavor(flavor.id)
            except sdk_errors.NotFoundException:
                lines.append(f"there is no flavor {flavor.name}")
        return tuple(lines)

    def slaves(self, cluster_id: str) -> tuple[Server, ...]:
        """The slaves of this cluster, and nobody else's servers.

        Raises:
            OutsideError: the list is not complete.
        """
        with _translated():
            return tuple(_server(shown) for shown in self._listed() if _slave_of(shown) == cluster_id)

    def _listed(self) -> Iterator[dict[str, Any]]:
        """All servers as Nova shows them: openstacksdk takes 5 ms of a core to make an object of each.

        A page is followed by the one after its last server. The address of that, which Nova gives, isn't used: behind a
        proxy it may be one that only Nova reaches.
        """
        query: dict[str, str] = {}
        while True:
            answer = self._connection.compute.get("/servers/detail", params=query)
            sdk_errors.raise_from_response(answer)
            page = answer.json()
            yield from page["servers"]
            if not page["servers"] or not any(link["rel"] == "next" for link in page.get("servers_links", ())):
                return
            query = {"marker": page["servers"][-1]["id"]}

    def quota_left(self, flavor: Flavor) -> int | None:
        """How many more servers of this flavor the project's quota admits; None when it has no limit.

        Raises:
            OutsideError: the quota can't be read.
        """
        with _translated():
            limits = self._connection.compute.get_limits().absolute
        shares = [
            max(0, most - used) // each
            for most, used, each in (
                (limits.instances, limits.instances_used, 1),
                (limits.total_cores, limits.total_cores_used, flavor.vcpus),
                (limits.total_ram, limits.total_ram_used, flavor.ram_mib),
            )
            if most not in (None, UNLIMITED)
        ]
        return min(shares) if shares else None

    def server(self, server_id: str) -> Server | None:
        """One server, if Nova has it: asked for by its id, because a list may be cut short, and tags may be lost.

        Raises:
            OutsideError: Nova doesn't say.
        """
        with _translated():
            answer = self._connection.compute.get(f"/servers/{server_id}")
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            sdk_errors.raise_from_response(answer)
            shown = answer.json()["server"]
            if shown["status"] in GONE:
                return None
            if "metadata" not in shown:
                raise OutsideError(
                    f"OpenStack doesn't say what the server {server_id} is - Nova's cell of it may be down"
                )
            return _server(shown)

    def is_off(self, server_id: str) -> bool:
        """Whether Nova has switched this server off, or knows that somebody did.

        Raises:
            OutsideError: Nova doesn't say.
        """
        with _translated():
            return bool(self._connection.compute.get_server(server_id).status == "SHUTOFF")

    def delete(self, server_id: str, patience: float = GOING) -> None:
        """Deletes a server and waits, `patience` seconds at most, until it is gone.

        Raises:
            OutsideError: it is still there.
        """
        with _translated():
            self._connection.compute.delete_server(server_id, ignore_missing=True)
            end = time.monotonic() + patience
            while time.monotonic() < end:
                if not self.server(server_id):
                    return
                time.sleep(1)
        raise OutsideError(f"the server {server_id} isn't gone {patience:.0f} s after its deletion")

    def console_tail(self, server_id: str, lines: int = 20) -> str:
        """The last lines of a server's console.

        Raises:
            OutsideError: Nova doesn't give it.
        """
        with _translated():
            answer: dict[str, str] = self._connection.compute.get_server_console_output(server_id, length=lines)
        return answer["output"]


def _server(shown: Mapping[str, Any]) -> Server:
    return Server(
        id=shown["id"],
        name=shown["name"],
        status=shown["status"],
        created_at=datetime.fromisoformat(shown["created"]),
        fault=(shown.get("fault") or {}).get("message", ""),
        made_from=shown["metadata"].get(MADE_FROM_TAG, ""),
        deleting=shown.get("OS-EXT-STS:task_state") in _DELETIONS,
        slave_of=_slave_of(shown),
    )


def _slave_of(shown: Mapping[str, Any]) -> str:
    tags: Mapping[str, str] = shown.get("metadata", {})
    return tags.get(CLUSTER_TAG, "") if tags.get(ROLE_TAG) == "slave" else ""


@contextmanager
def _translated() -> Iterator[None]:
    with understood("OpenStack"):
        try:
            yield
        except auth_errors.Unauthorized as error:
            raise OutsideError(
                f"OpenStack can't be asked - the cloud refuses the login: {first_line(error)[:LINE]}"
            ) from error
        except (auth_errors.ClientException, sdk_errors.SDKException, OSError) as error:
            raise OutsideError(f"OpenStack can't be asked - {first_line(error)[:LINE]}") from error
