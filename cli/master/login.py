"""`ecm ssh` on the master: log in to a slave."""

import typer

from cli.errors import CommandError, NotThereError
from cli.master import condor
from cli.master.control import SlaveName
from cli.master.machine import machine
from cli.place import TO_SLAVES
from cli.show import WHY

app = typer.Typer()

REFUSED = 255
"""ssh's own exit status: it did not come through."""


@app.command(rich_help_panel=WHY)
def ssh(context: typer.Context, slave: SlaveName) -> None:
    """Log in to a slave of the pool, with the key that your ssh agent brought here (ssh -A).

    Example: ecm ssh k3w9xq
    """
    master = machine(context)
    slots = condor.slots(master)
    hits = [slot for slot in slots if slot.slave.endswith(slave)]
    if len(hits) != 1:
        names = ", ".join(slot.slave for slot in slots) or "none"
        raise NotThereError(f"{slave!r} is not one slave of the pool - there is: {names}")
    status = master.call("ssh", *TO_SLAVES, hits[0].address)
    if status == REFUSED:
        raise CommandError(
            f"{hits[0].slave} lets nobody in without the key - the master has none - `ecm ssh` on your own machine, "
            "or come here with `ssh -A`"
        )
    raise typer.Exit(status)
