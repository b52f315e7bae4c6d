"""What the controller says of itself, read from its status file."""

from datetime import timedelta

import typer

from cli.errors import DOCTOR, CommandError
from cli.master.machine import Machine
from controller import status
from controller.status import Status

STALE = timedelta(minutes=2)
"""A controller that has said nothing for so long isn't running, or hangs."""


def look(master: Machine) -> Status:
    """The controller's status.

    Raises:
        CommandError: there is none.
    """
    text = master.read(master.run / "status.json")
    if not text:
        raise CommandError(
            "the controller says nothing - it isn't running, has only just started, or the master is still at its "
            f"first boot - {DOCTOR}"
        )
    told = status.parse(text)
    if not told:
        raise CommandError(
            "the controller's status can't be read - it is damaged, or of another version - `ecm restart`"
        )
    return told


def slaves(context: typer.Context, incomplete: str) -> list[str]:
    """The slaves' names that begin so, for Tab, or the ends of names: either is as good for every command."""
    try:
        # Completion sets nothing up.
        names = [slave.name for slave in look(context.obj or Machine()).slaves]
    except CommandError:
        return []
    ends = [name.rpartition("-")[2] for name in names]
    return [name for name in names if name.startswith(incomplete)] or [e for e in ends if e.startswith(incomplete)]
