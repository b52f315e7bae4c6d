"""`ecm sweep`: servers that an interrupted update left outside the stack's state."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from cli.laptop.desk import desk
from cli.show import RUN, AsJson, age, report, say, table
from cluster.login import clock, translated
from cluster.servers import CLUSTER_TAG

if TYPE_CHECKING:
    from openstack.connection import Connection

app = typer.Typer()

UNDER_WAY = timedelta(minutes=10)
"""A younger server may be one that an update is making right now."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A server with the cluster's tag that the state doesn't have."""

    name: str
    id: str
    created_at: datetime


@app.command(rich_help_panel=RUN)
def sweep(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete them without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """List servers of this cluster that its state doesn't know, and delete them after a yes.

    The controller does the same by itself; this is for a master that is gone. --json only lists.

    Example: ecm sweep
    """
    here = desk(context)
    cluster = cluster_id(here.pulumi.outputs())
    if not cluster:
        report([], f"The stack {here.pulumi.stack()} isn't up: no server has its tag.", as_json=as_json)
        return
    connection = here.connect()
    found = strays(connection, cluster, known(here.pulumi.export()))
    now = clock(connection) or datetime.now(UTC)
    report(found, view(found, now), as_json=as_json)
    old = ripe(found, now)
    if as_json or not old or not (yes or typer.confirm(f"Delete {len(old)} of them?", default=False)):
        return
    delete(connection, old)


def ripe(found: list[Stray], now: datetime) -> list[Stray]:
    """Those that no update can be making any more."""
    return [stray for stray in found if now - stray.created_at > UNDER_WAY]


def cluster_id(outputs: Mapping[str, Any]) -> str:
    """The tag of the cluster's servers; empty when the stack isn't up."""
    slave = outputs.get("settings", {}).get("slave", {})
    return str(slave.get("clusterId", ""))


def known(state: Mapping[str, Any]) -> frozenset[str]:
    """The ids of all that the state has, or is making or deleting."""
    deployment = state.get("deployment") or {}
    pending = (operation["resource"] for operation in deployment.get("pending_operations") or ())
    resources = (*(deployment.get("resources") or ()), *pending)
    return frozenset(resource["id"] for resource in resources if resource.get("id"))


def strays(connection: "Connection", cluster: str, in_state: Iterable[str]) -> list[Stray]:
    """The servers of the cluster that the state lacks; none for a cluster without an id."""
    if not cluster:
        return []
    with translated():
        servers = [s for s in connection.compute.servers(details=True) if s.metadata.get(CLUSTER_TAG) == cluster]
    return [
        Stray(server.name, server.id, datetime.fromisoformat(server.created_at))
        for server in servers
        if server.id not in set(in_state)
    ]


def delete(connection: "Connection", found: list[Stray]) -> None:
    """Asks the cloud to delete the servers.

    Raises:
        CloudError: it refuses.
    """
    for stray in found:
        with translated():
            connection.compute.delete_server(stray.id, ignore_missing=True)
        say(f"deleted {stray.name} ({stray.id})")


def view(found: list[Stray], now: datetime) -> RenderableType:
    if not found:
        return Text("The state has every server of this cluster.")
    rows = table("server outside the state", "id", "age", right=("age",), whole=("id", "age"))
    for stray in found:
        old = now - stray.created_at
        rows.add_row(stray.name, stray.id, age(old.total_seconds()))
    if len(ripe(found, now)) == len(found):
        return rows
    return Group(
        rows, Text(f"One younger than {age(UNDER_WAY.total_seconds())} may be being made right now, and stays.")
    )
