"""The commands on the master."""

import typer

from cli.master import control, explain, login, status
from cli.master.machine import Machine

GROUPS = (status, explain, control)


def attach(app: typer.Typer) -> None:
    """Adds them to `ecm`."""
    app.callback()(ecm)
    for group in (*GROUPS, login):
        app.add_typer(group.app)


def ecm(context: typer.Context) -> None:
    """An HTCondor cluster on OpenStack that is there when jobs are submitted, and gone when they are not."""
    context.obj = context.obj or Machine()
