"""The commands on the user's machine: its own, and the master's over ssh."""

from collections.abc import Mapping
from typing import Annotated

import typer

from cli.laptop.desk import Desk
from cli.laptop.pulumi import Pulumi
from cli.master import commands as master
from cli.show import Version

COMMANDS: Mapping[str, str] = {
    "init": "cli.laptop.init",
    "import": "cli.laptop.ecmconf",
    "config": "cli.laptop.config",
    "destroy": "cli.laptop.destroy",
    **dict.fromkeys(("images", "flavors", "networks", "keys", "quota"), "cli.laptop.lists"),
    **master.COMMANDS,
    "doctor": "cli.laptop.doctor",
    "ssh": "cli.laptop.login",
    "sweep": "cli.laptop.sweep",
    "simulate": "cli.laptop.whatif",
}
"""The module of each."""


def attach(app: typer.Typer) -> None:
    """Adds what they have in common to `ecm`."""
    app.callback(help=master.ABOUT, epilog=master.EPILOG)(ecm)


def stacks(incomplete: str) -> list[str]:
    """The stacks that have a file of settings here, for Tab: to ask the backend takes too long."""
    names = (file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in Pulumi().folder.glob("Pulumi.*.yaml"))
    return sorted(name for name in names if name.startswith(incomplete))


def ecm(
    context: typer.Context,
    stack: Annotated[
        str,
        typer.Option("--stack", "-s", autocompletion=stacks, help="The Pulumi stack; the selected one if unset."),
    ] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="USER@ADDRESS", help="The master for ssh; the stack's if unset.")
    ] = "",
    *,
    version: Version = False,  # noqa: ARG001 - its callback does it
) -> None:
    context.obj = context.obj or Desk.of(stack, host)
