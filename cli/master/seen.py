"""What the controller says of itself, read from its status file."""

from datetime import timedelta

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
