"""`ecm`: puts together the commands that there are in this place, and turns every failure into one line."""

import os
import sys
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any, Protocol

import typer
from typer.core import TyperGroup

from cli.show import FAILED, INTERRUPTED, err
from cluster.errors import EcmError
from controller.errors import OutsideError
from controller.masking import masked


class Commands(TyperGroup):
    """The commands. What goes wrong in one of them is a line on standard error."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer keeps the type of a context to itself
        try:
            return super().invoke(ctx)
        except (EcmError, OutsideError) as error:
            err.print(f"ecm: {masked(str(error))}", soft_wrap=True)
            raise typer.Exit(FAILED) from None
        except typer.Abort as error:
            raise _unanswered(error.__context__) from None


def _unanswered(why: BaseException | None) -> Exception:
    """How a command ends whose question had no answer; typer makes one thing of all that can be the reason."""
    match why:
        case KeyboardInterrupt():
            err.print()
            return typer.Exit(INTERRUPTED)
        case EOFError():
            err.print("\necm: no answer - the input has ended - `--yes` asks nothing", soft_wrap=True)
            return typer.Exit(FAILED)
        case _:
            return typer.Abort()


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
        rich_markup_mode="markdown",
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
    """Runs `ecm` with this process's arguments. ECM_DEBUG in the environment shows the traceback of a bug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What a terminal's encoding lacks, an arrow say, isn't worth an error.
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="ecm")
    except Exception as error:
        if os.environ.get("ECM_DEBUG"):
            raise
        err.print(f"ecm: {masked(_last_words(error))}", soft_wrap=True)
        sys.exit(FAILED)


def _last_words(error: Exception) -> str:
    """The line about what no command has foreseen."""
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"this machine refuses - {error.strerror}{where} - mend that, and try again"
    return (
        f"this is a bug - {type(error).__name__} {' '.join(str(error).split())} - please report what ECM_DEBUG=1 shows"
    )
