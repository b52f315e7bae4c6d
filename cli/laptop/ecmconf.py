"""`ecm import`: an old ECM file (`ecm.conf`) as this project's settings."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from cli.laptop.desk import desk
from cli.laptop.proposals import problem
from cli.show import SET_UP, AsJson, report, say, table
from cluster.errors import SettingsError
from cluster.settings import ECM_NAMES

app = typer.Typer()

_NUMBERS = ("MAX_VMS", "MIN_VMS", "JOBS_PER_VM", "IDLE_TIME")
_TYPOGRAPHIC = "“”„‟‘’‚‛«»‹›"  # noqa: RUF001 - these are meant
_NEAR = 0.85
"""How like a setting's name another must be to be meant for it."""
_LINE = re.compile(r"^\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*(?P<sign>=(?:\s*=)*)\s*(?P<value>.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Imported:
    """The settings by their keys, and what of the file isn't one of them."""

    settings: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def parse(text: str, name: str = "ecm.conf") -> Imported:
    """Reads lines of `NAME=value`, as a shell would; blank lines and comments are passed over.

    Raises:
        SettingsError: one line for each slip, with its number in the file and what was probably meant.
    """
    values: dict[str, str] = {}
    slips: list[str] = []
    remarks: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{name} line {number}"
        found = _LINE.match(line)
        if not found:
            slips.append(f"{where}: {line.strip()!r} is no setting - write NAME=value")
            continue
        key, value = found["name"], _unquoted(found["value"])
        slip = _slip(key, found["sign"], value)
        if slip or key in values:
            slips.append(f"{where}: {slip or f'{key} is there twice - remove one of the lines'}")
        elif key not in ECM_NAMES or not value:
            why = "is empty" if key in ECM_NAMES else "has no counterpart here"
            remarks.append(f"{where}: {key} {why} and is left out")
        else:
            values[key] = value
    least, most = values.get("MIN_VMS", "0"), values.get("MAX_VMS")
    if most and int(least) > int(most):
        slips.append(f"{name}: MIN_VMS is {least} and MAX_VMS {most} - no number fits both - change one of them")
    if slips:
        raise SettingsError("\n".join(slips))
    return Imported({ECM_NAMES[key]: value for key, value in values.items()}, tuple(remarks))


def _slip(key: str, sign: str, value: str) -> str:
    """What is wrong with a line, and what to write; empty when nothing is."""
    if key not in ECM_NAMES:
        near = difflib.get_close_matches(key.upper(), ECM_NAMES, n=1, cutoff=_NEAR)
        return f"{key} is no setting of ECM's - did you mean {near[0]}?" if near else ""
    single, unquoted = value.rstrip("= "), value.strip(_TYPOGRAPHIC)
    name = re.split(r"[/\\]", value)[-1].removesuffix(".pem")
    for slipped, what, meant in (
        (len(sign) > 1 or single != value, f"{key}{sign}{value} has more than one '='", single),
        (value.startswith(("'", '"')), f"{key}={value} has a quote without its other one", ""),
        (unquoted != value, f"{key}={value} has quotes that are a text's", unquoted),
        ("$" in value, f"{key}={value} has a variable, which isn't known here", ""),
        (key == "KEY_NAME" and name != value, "KEY_NAME is a key's name in the cloud, no file", name),
        (_no_number(key, value), f"{key} is {value!r}, which is no whole number", "NUMBER"),
    ):
        if slipped:
            return f"{what} - write {key}={meant or 'VALUE'}"
    why = problem(ECM_NAMES[key], value) if value else ""
    return f"{key} is {value!r} - {why} - write {key}={'NUMBER' if key in _NUMBERS else 'NAME'}" if why else ""


def _no_number(key: str, value: str) -> bool:
    return key in _NUMBERS and bool(value) and not (value.isascii() and value.isdecimal())


def _unquoted(value: str) -> str:
    """The value without its quotes, or without the comment that follows it."""
    for quote in "'\"":
        if value.startswith(quote) and quote in value[1:]:
            return value[1 : value.index(quote, 1)].strip()
    return re.split(r"\s#", value, maxsplit=1)[0].strip()


@app.command("import", rich_help_panel=SET_UP)
def import_(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The old file, as ECM/ecm.conf.", exists=True, dir_okay=False)
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Set them in the stack without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the settings of an old ECM file over into the stack. --json only prints them.

    Example: ecm --stack mycluster import ecm.conf
    """
    imported = read(file)
    report(imported, view(imported), as_json=as_json)
    if as_json or not imported.settings:
        return
    pulumi = desk(context).pulumi
    if not yes and not typer.confirm(f"Set these in the stack {pulumi.stack()}?", default=True):
        return
    pulumi.set_config(imported.settings)
    say("They are set. What is missing: `ecm init` asks for it, `ecm config check` tells.")


def read(file: Path) -> Imported:
    """What an old file has.

    Raises:
        SettingsError: it can't be read, or has slips.
    """
    return parse(_text(file), file.name)


def _text(file: Path) -> str:
    try:
        # Editors on Windows put a mark before the first line.
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it isn't text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise SettingsError(f"{file} can't be read - {why} - name the file that ECM had") from None


def view(imported: Imported) -> RenderableType:
    rows = table("ECM", "here", "value")
    old = {ours: ecms for ecms, ours in ECM_NAMES.items()}
    for key, value in imported.settings.items():
        rows.add_row(old[key], f"ecm:{key}", Text(value))
    return Group(rows, *(Text(remark, "dim") for remark in imported.remarks))
