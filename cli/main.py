"""`ecm`: puts together the commands that there are in this place, and turns every failure into one line."""

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from typing import Any, Protocol

import typer
from typer._click.shell_completion import CompletionItem  # what a group gives, and typer has nowhere else
from typer.core import TyperGroup
from typer.main import get_group

from cli.show import FAILED, INTERRUPTED, PLAIN, err
from cluster.errors import EcmError
from controller.errors import OutsideError
from controller.masking import masked


class Later(Mapping[str, Any]):
    """The commands of some modules, each loaded when a command of it is asked for: some bring all of Pulumi."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - typer keeps the type of a command to itself
        # In rich text, the default, paragraphs would be broken where the source breaks them.
        app = typer.Typer(rich_markup_mode="markdown")
        app.add_typer(import_module(self._modules[name]).app)
        return get_group(app).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class Commands(TyperGroup):
    """The commands. What goes wrong in one of them is a line on standard error."""

    modules: Mapping[str, str]

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the same
        super().__init__(**options)
        self.commands: Any = Later(self.modules)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - the same; typer's would load them
        return list(self.commands)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - the same
        found = [CompletionItem(name) for name in self.commands if name.startswith(incomplete)]
        return found or super(TyperGroup, self).shell_complete(ctx, incomplete)

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
    """What there is of `ecm` in a place."""

    COMMANDS: Mapping[str, str]
    """The module of each command."""

    def attach(self, app: typer.Typer) -> None: ...


def assembled(place: Place) -> typer.Typer:
    """`ecm` as it is in a place."""
    made = typer.Typer(
        cls=type("Here", (Commands,), {"modules": place.COMMANDS}),
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
    """Runs `ecm` with this process's arguments. ECM_DEBUG in the environment shows the traceback of a bug."""
    if PLAIN:
        # For help and wrong usage, which typer shows by itself.
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
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
