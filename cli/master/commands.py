"""The commands on the master."""

import typer

from cli.master import control, doctor, explain, history, login, status
from cli.master.machine import Machine
from cli.show import Version

ABOUT = "An HTCondor cluster on OpenStack that is there when jobs are submitted, and gone when they are not."
EPILOG = "Exit status: 0 done, 1 it failed, 2 wrong usage, 3 looked and found something wrong, 130 interrupted."
GROUPS = (status, explain, history, control)


def attach(app: typer.Typer) -> None:
    """Adds them to `ecm`."""
    app.callback(help=ABOUT, epilog=EPILOG)(ecm)
    for group in (*GROUPS, doctor, login):
        app.add_typer(group.app)


def ecm(
    context: typer.Context,
    *,
    version: Version = False,  # noqa: ARG001 - its callback does it
) -> None:
    context.obj = context.obj or Machine()
