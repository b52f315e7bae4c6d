"""`ecm ssh`: log in to the master, or through it to a slave."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import NotThereError
from cli.laptop.desk import desk
from cli.show import WHY
from cluster.login import translated

if TYPE_CHECKING:
    from openstack.connection import Connection

app = typer.Typer()


@app.command(rich_help_panel=WHY)
def ssh(
    context: typer.Context,
    slave: Annotated[
        str, typer.Argument(metavar="SLAVE", help="Its name, or the end of it; the master if unset.")
    ] = "",
) -> None:
    """Log in to the master; with a slave's name, through it to that slave.

    Example: ecm ssh

    Example: ecm ssh k3w9xq
    """
    here = desk(context)
    if not slave:
        raise typer.Exit(here.master.call(terminal=sys.stdin.isatty()))
    target = address_of(here.connect(), f"ecm-{here.pulumi.stack().rpartition('/')[2]}-slave-", slave)
    raise typer.Exit(here.master.jump(target, terminal=sys.stdin.isatty()))


def address_of(connection: "Connection", prefix: str, text: str) -> str:
    """The address of the slave of this name, or whose name ends so, in the cluster's network.

    Raises:
        NotThereError: none is, or several are.
    """
    with translated():
        slaves = [server for server in connection.compute.servers() if server.name.startswith(prefix)]
    hits = [server for server in slaves if server.name.endswith(text)]
    if len(hits) != 1:
        names = ", ".join(sorted(server.name for server in slaves)) or "none"
        raise NotThereError(
            f"{text!r} - {'several slaves end so' if hits else 'no slave has this name'} - there is: {names}"
        )
    return str(next(a["addr"] for addresses in hits[0].addresses.values() for a in addresses))
