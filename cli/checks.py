"""Checks and how they are told: what was looked at, what was found or is wrong, and the command that mends it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.errors import DOCTOR
from cli.show import TROUBLE, report, table
from cluster.errors import EcmError
from controller.errors import OutsideError
from controller.masking import masked


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    found: str = ""
    wrong: str = ""
    """Empty when it is as it should be."""
    fix: str = ""
    """The command that mends it."""
    safe: bool = False
    """Whether `--fix` may run that command without asking."""


def attempt(what: str, look: Callable[[], str], fix: str = "") -> Check:
    """Looks: what `look` returns was found, what it raises is wrong."""
    try:
        return Check(what, look())
    except (EcmError, OutsideError) as error:
        return Check(what, wrong=str(error).removesuffix(f" - {DOCTOR}"), fix=fix)


def tell(checks: Iterable[Check], *, as_json: bool) -> None:
    """Prints the checks, without passwords; leaves with status 3 when one of them found something wrong."""
    done = [replace(check, found=masked(check.found), wrong=masked(check.wrong)) for check in checks]
    report(done, view(done), as_json=as_json)
    if any(check.wrong for check in done):
        raise typer.Exit(TROUBLE)


def view(checks: Iterable[Check]) -> RenderableType:
    rows = table("", "", "")
    rows.show_header = False
    for check in checks:
        mark = Text("WRONG", "bold red") if check.wrong else Text("ok", "green")
        rows.add_row(mark, check.what, Text(check.wrong or check.found))
        if check.fix:
            rows.add_row("", "", Text(f"→ {check.fix}", "bold"))
    return rows
