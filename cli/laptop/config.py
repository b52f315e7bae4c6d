"""`ecm config check`: all that `pulumi up` would check, before it."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import typer

from cli.checks import Check, attempt, tell
from cli.laptop import catalog
from cli.laptop.desk import desk
from cli.laptop.pulumi import Value
from cli.show import SET_UP, AsJson
from cluster import cloud, program, settings
from cluster.errors import EcmError
from cluster.settings import Settings

if TYPE_CHECKING:
    from openstack.connection import Connection

app = typer.Typer()
group = typer.Typer(help="Look at the stack's settings.", no_args_is_help=True)
app.add_typer(group, name="config", rich_help_panel=SET_UP)


@group.command()
def check(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Check the settings as `pulumi up` does: for themselves, against the cloud, and the way to the state.

    Example: ecm --stack mycluster config check
    """
    here = desk(context)
    tell(checks(here.pulumi.config(), here.connect, os.environ), as_json=as_json)


def checks(
    values: Mapping[str, Value], connect: "Callable[[], Connection]", environment: Mapping[str, str]
) -> Iterator[Check]:
    """Checks one after the other; those that the failed one is the ground of are left out."""
    try:
        wanted = settings.read({key: value.text for key, value in values.items() if value.text is not None})
    except EcmError as error:
        yield from (Check("settings", wrong=line) for line in str(error).split("; "))
        return
    yield Check("settings", f"{sum(key.startswith('ecm:') for key in values)} set, the others have their defaults")
    yield from (
        Check(key, "a secret, which can't be looked into without the stack's passphrase")
        for key, value in values.items()
        if value.text is None
    )
    yield attempt("state", lambda: _state(wanted, environment))
    try:
        yield from _in_the_cloud(wanted, connect())
    except EcmError as error:
        yield Check("cloud", wrong=str(error))


def _state(wanted: Settings, environment: Mapping[str, str]) -> str:
    login = program.state_login(wanted, environment)
    return f"the master reaches it as {without_password(login['PULUMI_BACKEND_URL'])}"


def _in_the_cloud(wanted: Settings, connection: "Connection") -> Iterator[Check]:
    found = cloud.look_up(wanted, connection)
    yield Check("login", found.auth_url)
    yield Check("image", f"{wanted.image} is {found.image_id}")
    if found.slave_image_id != found.image_id:
        yield Check("slaveImage", f"{wanted.slave_image} is {found.slave_image_id}")
    for what, flavor in (("masterFlavor", found.master_flavor), ("slaveFlavor", found.slave_flavor)):
        yield Check(what, f"{flavor.name}: {flavor.vcpus} VCPUs, {flavor.ram_mib} MiB, {flavor.disk_gib} GiB of disk")
    yield Check("network", found.network_id)
    room = catalog.room(catalog.quota(connection), found.slave_flavor)
    if room is not None and room < wanted.max_slaves:
        # Not wrong: the controller keeps within the quota, and other people's servers go.
        yield Check("quota", f"has room for {room} slaves now, maxSlaves is {wanted.max_slaves}")
    else:
        yield Check("quota", f"has room for all {wanted.max_slaves} slaves")


def without_password(url: str) -> str:
    """A backend's URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
