"""Checks and how they are told: what was looked at, what was found or is wrong, and the command that mends it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import typer
from rich.console import Group, RenderableType
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
    """Looks: what `look` returns was found, what it raises is wrong; without the fix, which is told by itself."""
    try:
        return Check(what, look())
    except (EcmError, OutsideError) as error:
        return Check(what, wrong=said(error).removesuffix(f" - {fix}"), fix=fix)


def said(error: Exception) -> str:
    """An error's line, as the doctor says it, who doesn't send to himself."""
    return str(error).removesuffix(f" - {DOCTOR}")


def tell(checks: Iterable[Check], *, as_json: bool) -> None:
    """Prints the checks, without passwords; leaves with status 3 when one of them found something wrong."""
    done = disclosed(checks)
    report(done, view(done), as_json=as_json)
    leave(done)


def disclosed(checks: Iterable[Check]) -> list[Check]:
    """The checks as they may be shown."""
    return [replace(check, found=masked(check.found), wrong=masked(check.wrong)) for check in checks]


def leave(done: Iterable[Check]) -> None:
    """Leaves with status 3 when one of them found something wrong."""
    if any(check.wrong for check in done):
        raise typer.Exit(TROUBLE)


def view(checks: Iterable[Check]) -> RenderableType:
    """A row for each check, and below it the command that mends it: in one line, however long, to be copied."""
    done = list(checks)
    parts: list[RenderableType] = []
    for check in done:
        row = table("", "", "")
        row.show_header = False
        for column, texts in zip(row.columns, (("WRONG",), [check.what for check in done]), strict=False):
            column.min_width = max(map(len, texts))
        mark = Text("WRONG", "bold red") if check.wrong else Text("ok", "green")
        row.add_row(mark, check.what, Text(check.wrong or check.found))
        parts.append(row)
        if check.fix:
            parts.append(Text(f"       → {check.fix}", "bold", no_wrap=True, overflow="ignore"))
    return Group(*parts)
