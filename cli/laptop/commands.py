"""The commands on the user's machine: its own, and the master's over ssh."""

from typing import Annotated

import typer

from cli.laptop import config, destroy, doctor, ecmconf, init, lists, login, sweep, whatif
from cli.laptop.desk import Desk
from cli.master.commands import ABOUT, EPILOG, GROUPS
from cli.show import Version


def attach(app: typer.Typer) -> None:
    """Adds them to `ecm`."""
    app.callback(help=ABOUT, epilog=EPILOG)(ecm)
    for group in (init, ecmconf, config, destroy, lists, *GROUPS, doctor, login, sweep, whatif):
        app.add_typer(group.app)


def ecm(
    context: typer.Context,
    stack: Annotated[str, typer.Option("--stack", "-s", help="The Pulumi stack; the selected one if unset.")] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="USER@ADDRESS", help="The master for ssh; the stack's if unset.")
    ] = "",
    *,
    version: Version = False,  # noqa: ARG001 - its callback does it
) -> None:
    context.obj = context.obj or Desk.of(stack, host)
