"""How every command speaks: tables and lines for people, JSON for programs. Fit for 80 columns and for no colour."""

import copy
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from controller.status import CONTROLLER

WIDE = 1000
"""Columns."""
NARROW = 10
"""Columns that a name has in any window."""


class Screen(Console):
    """Where a command speaks. What goes into a pipe or a file isn't broken into lines, unless COLUMNS says how."""

    @property  # type: ignore[misc] # rich lets it be set, which nobody does here
    def size(self) -> ConsoleDimensions:
        found = super().size
        return found if self.is_terminal or "COLUMNS" in os.environ else ConsoleDimensions(WIDE, found.height)


PLAIN = bool(os.environ.get("NO_COLOR"))
"""Whether nothing is to be set off: rich takes NO_COLOR for colours only, and bold still has an escape."""
# Brackets and colons in the names that a cloud has are no markup.
out = Screen(color_system=None if PLAIN else "auto", highlight=False, markup=False, emoji=False)
err = Screen(stderr=True, color_system=None if PLAIN else "auto", highlight=False, markup=False, emoji=False)

FAILED = 1
"""Exit status: it could not be done."""
TROUBLE = 3
"""Exit status: it was looked at, and something is wrong. (2 is wrong usage.)"""
INTERRUPTED = 130
"""Exit status: Ctrl-C."""

SET_UP, RUN, WHY = "Set up and take down", "Run the cluster", "See and understand"
"""The parts of `ecm --help`."""


def _make_room(as_json: bool) -> bool:  # noqa: FBT001 - typer calls it
    # What is said on the way to the result would be in the way of who reads it.
    out.stderr = as_json
    return as_json


AsJson = Annotated[bool, typer.Option("--json", callback=_make_room, help="Print JSON, for programs.")]


def _tell_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it
    if asked:
        typer.echo(f"ecm {CONTROLLER}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
]

MINUTE, HOUR, DAY = 60, 3600, 86_400


def say(text: str) -> None:
    """A line for people; whole, however narrow the terminal: commands in it are copied."""
    out.print(text, soft_wrap=True)


def prose(text: str) -> None:
    """Sentences for people, with nothing in them to copy: they are broken between words."""
    out.print(text)


def report(data: Any, view: RenderableType, *, as_json: bool) -> None:  # noqa: ANN401 - whatever a command reports
    """Prints a command's result, once: as JSON of the data, or as the view of it. A line goes by `say`."""
    if as_json:
        typer.echo(json.dumps(_plain(data), indent=2, default=str))
    elif isinstance(view, str):
        say(view)
    else:
        # Commands in it are in one line, however narrow the terminal.
        out.print(view, crop=False)


def table(*columns: str, right: tuple[str, ...] = (), whole: tuple[str, ...] = ()) -> Table:
    """An empty table; the columns in `right` hold numbers, those in `whole` what is copied and so is never broken."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return made


def noted(head: Table, rows: Sequence[tuple[Sequence[str | Text], str]], style: str = "") -> RenderableType:
    """The rows of a table, and below each what there is to say of it: in lines of its own, as wide as the screen.

    Args:
        head: the table, empty; its first column is the one that is broken where the screen is narrow.
        rows: the cells and the note of each; empty for none.
        style: of notes, and of the rows that have one.
    """
    texts = ([column.header for column in head.columns], *(cells for cells, _ in rows))
    first, *others = (max(cell_len(str(text)) for text in column) for column in zip(*texts, strict=True))
    widths = [min(first, max(NARROW, out.width - sum(2 + width for width in others))), *others]
    parts: list[RenderableType] = []
    for cells, note in rows:
        if not parts or not isinstance(part := parts[-1], Table):
            part = copy.deepcopy(head)
            part.show_header = not parts
            for column, width in zip(part.columns, widths, strict=True):
                column.min_width = width
            parts.append(part)
        part.add_row(*cells, style=style if note else "")
        if note:
            parts.append(Padding(Text(note, style), (0, 0, 0, 2), expand=False))
    return Group(*parts)


def age(seconds: float) -> str:
    """A time span in the two units that matter: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def counted(number: int, what: str) -> str:
    """`1 slave`, `2 slaves`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _plain(data: Any) -> Any:  # noqa: ANN401 - see `report`
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return dataclasses.asdict(data)
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    return data
