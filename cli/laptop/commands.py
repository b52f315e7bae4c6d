"""The commands on the user's machine: its own, and the master's over ssh."""

from typing import Annotated

import typer

from cli.laptop import config, ecmconf, init, lists, login
from cli.laptop.desk import Desk
from cli.master.commands import GROUPS

EPILOG = "Exit status: 0 done, 1 it failed, 2 wrong usage, 3 looked and found something wrong."


def attach(app: typer.Typer) -> None:
    """Adds them to `ecm`."""
    app.callback(epilog=EPILOG)(ecm)
    for group in (init, ecmconf, config, lists, login, *GROUPS):
        app.add_typer(group.app)


def ecm(
    context: typer.Context,
    stack: Annotated[str, typer.Option("--stack", "-s", help="The Pulumi stack; the selected one if unset.")] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="USER@ADDRESS", help="The master for ssh; the stack's if unset.")
    ] = "",
) -> None:
    """An HTCondor cluster on OpenStack that is there when jobs are submitted, and gone when they are not."""
    context.obj = context.obj or Desk.of(stack, host)
