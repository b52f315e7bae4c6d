"""`ecm`: puts together the commands that there are in this place, and turns every failure into one line."""

import os
import sys
from importlib.util import find_spec
from typing import Any, Protocol

import typer
from typer.core import TyperGroup

from cli.show import FAILED, err
from cluster.errors import EcmError
from controller.errors import OutsideError
from controller.masking import masked


class Commands(TyperGroup):
    """The commands. What goes wrong in one of them is a line on standard error."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps the type of a context to itself
        try:
            return super().invoke(ctx)
        except (EcmError, OutsideError) as error:
            err.print(f"ecm: {masked(str(error))}", markup=False, soft_wrap=True)
            raise typer.Exit(FAILED) from None


class Place(Protocol):
    """A module with the commands that there are in a place."""

    def attach(self, app: typer.Typer) -> None: ...


def assembled(place: Place) -> typer.Typer:
    """`ecm` as it is in a place."""
    made = typer.Typer(
        cls=Commands,
        name="ecm",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    place.attach(made)
    return made


if find_spec("cli.laptop"):
    from cli.laptop import commands
else:
    from cli.master import commands  # type: ignore[no-redef]

app = assembled(commands)


def main() -> None:
    """What the command `ecm` runs. ECM_DEBUG in the environment shows the traceback of a bug."""
    try:
        app(prog_name="ecm")
    except Exception as error:
        if os.environ.get("ECM_DEBUG"):
            raise
        what = masked(" ".join(f"{type(error).__name__} {error}".split()))
        err.print(f"ecm: this is a bug - {what} - please report what ECM_DEBUG=1 shows", markup=False, soft_wrap=True)
        sys.exit(FAILED)
