"""`ecm images`, `flavors`, `networks`, `keys`, `quota`: what the cloud has, to choose from."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Protocol, TypeVar

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from cli.errors import CommandError
from cli.laptop import catalog
from cli.laptop.catalog import Image, Key, Network, Quota
from cli.laptop.desk import desk
from cli.laptop.pulumi import Pulumi, Value
from cli.show import AsJson, noted, report, table
from cluster.cloud import Flavor

app = typer.Typer()
Filter = Annotated[str, typer.Argument(metavar="FILTER", help="Only names with this in them.")]
PANEL = "What the cloud has"


class Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


@app.command("images", rich_help_panel=PANEL)
def images_(context: typer.Context, name: Filter = "", *, as_json: AsJson = False) -> None:
    """List images by system; those that no cluster can be made of are marked, with the reason.

    Example: ecm images debian
    """
    found = matching(name, catalog.images(desk(context).connect()))
    report(found, images_view(found, name), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def flavors(context: typer.Context, name: Filter = "", *, as_json: AsJson = False) -> None:
    """List flavors, smallest first, with how many more the quota admits; what slaves are too small with is marked.

    Example: ecm flavors large
    """
    here = desk(context)
    connection = here.connect()
    found = matching(name, catalog.flavors(connection))
    view = flavors_view(found, name, catalog.quota(connection), jobs_per_slave(here.pulumi))
    report(found, view, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def networks(context: typer.Context, name: Filter = "", *, as_json: AsJson = False) -> None:
    """List networks: for ecm:network, and external ones for ecm:floatingNetwork.

    Example: ecm networks
    """
    found = matching(name, catalog.networks(desk(context).connect()))
    report(found, networks_view(found, name), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def keys(context: typer.Context, name: Filter = "", *, as_json: AsJson = False) -> None:
    """List your keypairs: for ecm:keyName.

    Example: ecm keys
    """
    found = matching(name, catalog.keys(desk(context).connect()))
    report(found, keys_view(found, name), as_json=as_json)


@app.command(rich_help_panel=PANEL)
def quota(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show what the project may use, and what is left of it.

    Example: ecm quota
    """
    found = catalog.quota(desk(context).connect())
    report([{**asdict(part), "left": part.left} for part in found], quota_view(found), as_json=as_json)


def matching(text: str, things: Iterable[N]) -> list[N]:
    """Those with this in their name, whatever the case of its letters."""
    return [thing for thing in things if text.lower() in thing.name.lower()]


def images_view(found: list[Image], name: str) -> RenderableType:
    if not found:
        return none("image", name)
    head = table("image", "system", "MiB", "id", right=("MiB",), whole=("system", "id"))
    rows = [
        ((i.name, i.system or "unknown", str(i.size_mib), i.id), f"✗ {i.problem}" if i.problem else "") for i in found
    ]
    return noted(head, rows, "dim")


def none(what: str, name: str) -> Text:
    """What is said instead of an empty list."""
    return Text(f"no {what} of that name" if name else f"the cloud has no {what} for this project")


def flavors_view(found: list[Flavor], name: str, left: list[Quota], jobs: int) -> RenderableType:
    if not found:
        return none("flavor", name)
    numbers = ("VCPUs", "MiB", "GiB", "admits")
    rows = []
    for flavor in found:
        more = catalog.room(left, flavor)
        sizes = (flavor.vcpus, flavor.ram_mib, flavor.disk_gib, "any" if more is None else more)
        small = f"✗ for slaves: fewer VCPUs than ecm:jobsPerSlave, {jobs}" if flavor.vcpus < jobs else ""
        rows.append(((flavor.name, *map(str, sizes), flavor.id), small))
    head = table("flavor", *numbers, "id", right=numbers, whole=(*numbers, "id"))
    jobs_at_once = "A slave runs as many jobs at once as it has VCPUs, or fewer: ecm:jobsPerSlave."
    return Group(noted(head, rows, "dim"), Text(f"The quota admits so many more. {jobs_at_once}", "dim"))


def jobs_per_slave(pulumi: Pulumi) -> int:
    """The stack's setting; 0 without one, as before `ecm init`."""
    try:
        text = pulumi.config().get("ecm:jobsPerSlave", Value(None)).text or ""
    except CommandError:
        return 0
    return int(text) if text.isdecimal() else 0


def networks_view(found: list[Network], name: str) -> RenderableType:
    if not found:
        return none("network", name)
    rows = table("network", "use", "id", whole=("use", "id"))
    for network in found:
        rows.add_row(network.name, "floatingNetwork" if network.external else "network", network.id)
    return rows


def keys_view(found: list[Key], name: str) -> RenderableType:
    if not found and name:
        return Text("no keypair of that name")
    if not found:
        return Text("no keypair yet - `ecm init` makes one, or: openstack keypair create NAME > NAME.pem")
    rows = table("keypair", "fingerprint")
    for key in found:
        rows.add_row(key.name, key.fingerprint)
    return rows


def quota_view(found: list[Quota]) -> RenderableType:
    rows = table("quota", "used", "limit", "left", right=("used", "limit", "left"))
    for part in found:
        limit, left = ("none", "") if part.limit is None else (str(part.limit), str(part.left))
        rows.add_row(part.what, str(part.used), limit, left)
    return rows
