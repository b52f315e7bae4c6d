"""`ecm ssh` on the master: log in to a slave."""

from typing import Annotated

import typer

from cli.errors import NotThereError
from cli.master import condor
from cli.master.machine import machine
from cli.show import WHY

app = typer.Typer()


@app.command(rich_help_panel=WHY)
def ssh(
    context: typer.Context, slave: Annotated[str, typer.Argument(metavar="SLAVE", help="Its name, or the end of it.")]
) -> None:
    """Log in to a slave of the pool, with the key that your ssh agent brought here (ssh -A).

    Example: ecm ssh k3w9xq
    """
    master = machine(context)
    slots = condor.slots(master)
    hits = [slot for slot in slots if slot.slave.endswith(slave)]
    if len(hits) != 1:
        names = ", ".join(slot.slave for slot in slots) or "none"
        raise NotThereError(f"{slave!r} is not one slave of the pool - there is: {names}")
    raise typer.Exit(master.call("ssh", hits[0].address))
