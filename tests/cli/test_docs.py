"""Every `ecm …` command that the documentation names is there, and takes the options that it is given."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cluster import settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_BLOCK = re.compile(r"^(?:    )?(ecm [^\n#→]+)", re.MULTILINE)
IN_TEXT = re.compile(r"`(ecm [^`\n]+)`")


def commands() -> list[str]:
    """All of them, once each; `…` stands for anything."""
    found = [
        command.strip()
        for page in PAGES
        for pattern in (IN_BLOCK, IN_TEXT)
        for command in pattern.findall(page.read_text())
    ]
    return sorted({command for command in found if "…" not in command})


def help_of(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--help"], obj=object(), env={"COLUMNS": "80", "NO_COLOR": "1"})
    assert done.exit_code == 0, f"ecm {' '.join(arguments)}: {done.output}"
    return done.output


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_documentation_exists_and_takes_its_options(command: str) -> None:
    # Help is shown before a command runs, and after its options were looked at.
    help_of(*shlex.split(command)[1:])


def every_command() -> list[tuple[str, ...]]:
    listed = re.findall(r"^│ ([a-z]+) ", help_of(), re.MULTILINE)
    return [(name,) for name in listed if name != "config"] + [("config", "check")]


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_every_command_has_an_example_and_help_within_80_columns(arguments: tuple[str, ...]) -> None:
    text = help_of(*arguments)
    assert f"Example: ecm {arguments[0]}" in text or f"{' '.join(arguments)}" in text.partition("Example: ")[2]
    assert max(map(len, text.splitlines())) <= 80
    assert "[[" not in text
    prose = [line.strip() for line in text.splitlines() if not line.startswith(tuple("│╭╰"))]
    early = [line for line, next_ in pairwise(prose) if line and next_ and len(f" {line} {next_.split()[0]} ") <= 80]
    assert early == [], "a line is broken where the next word had room"


def test_every_setting_is_in_the_readmes_table_and_no_other_is() -> None:
    table = (ROOT / "README.md").read_text().partition("| `ecm:` |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(settings.keys())


def test_help_tells_every_exit_status() -> None:
    said = " ".join(help_of().split())
    assert (
        "Exit status: 0 done, 1 it failed, 2 wrong usage, 3 looked and found something wrong, 130 interrupted." in said
    )


def test_a_question_about_nothing_is_answered_with_the_usage() -> None:
    done = CliRunner().invoke(app, ["explain"], obj=object())
    assert done.exit_code == 2
    assert "Usage: ecm explain [OPTIONS] [JOB | SLAVE]" in done.output


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_every_command_is_in_the_guide(arguments: tuple[str, ...]) -> None:
    pages = (ROOT / "docs" / "guide.md").read_text() + (ROOT / "docs" / "migration.md").read_text()
    assert re.search(rf"ecm (--stack mycluster )?{' '.join(arguments)}\b", pages)


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_every_command_but_a_login_prints_json(arguments: tuple[str, ...]) -> None:
    assert ("--json" in help_of(*arguments)) == (arguments != ("ssh",))
