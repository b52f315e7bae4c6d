"""The commands on the master."""

from collections.abc import Mapping

import typer

from cli.master.machine import Machine
from cli.show import Version

ABOUT = "An HTCondor cluster on OpenStack that is there when jobs are submitted, and gone when they are not."
EPILOG = "Exit status: 0 done, 1 it failed, 2 wrong usage, 3 looked and found something wrong, 130 interrupted."
COMMANDS: Mapping[str, str] = {
    "status": "cli.master.status",
    "explain": "cli.master.explain",
    **dict.fromkeys(("history", "replay"), "cli.master.history"),
    **dict.fromkeys(("pause", "resume", "drain", "recycle", "restart", "logs"), "cli.master.control"),
    "doctor": "cli.master.doctor",
    "ssh": "cli.master.login",
}
"""The module of each."""


def attach(app: typer.Typer) -> None:
    """Adds what they have in common to `ecm`."""
    app.callback(help=ABOUT, epilog=EPILOG)(ecm)


def ecm(
    context: typer.Context,
    *,
    version: Version = False,  # noqa: ARG001 - its callback does it
) -> None:
    context.obj = context.obj or Machine()
