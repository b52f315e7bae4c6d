"""Every `ecm …` command that the documentation names is there, and takes the options that it is given."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
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


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_every_command_is_in_the_guide(arguments: tuple[str, ...]) -> None:
    pages = (ROOT / "docs" / "guide.md").read_text() + (ROOT / "docs" / "migration.md").read_text()
    assert re.search(rf"ecm (--stack mycluster )?{' '.join(arguments)}\b", pages)


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_every_command_but_a_login_prints_json(arguments: tuple[str, ...]) -> None:
    assert ("--json" in help_of(*arguments)) == (arguments != ("ssh",))


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


STACK = "pulumi:pulumi:Stack"
STATE = {
    "version": 3,
    "deployment": {
        "manifest": {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""},
        "resources": [
            {"urn": "urn:pulumi:mycluster::ecm::pulumi:pulumi:Stack::ecm-mycluster", "type": "pulumi:pulumi:Stack"}
        ],
    },
}


def block(page: str, title: str) -> list[str]:
    """The first commands below a title."""
    section = (ROOT / "docs" / page).read_text().partition(f"\n## {title}\n")[2]
    found = re.search(r"(?:^    \S.*\n)+", section, re.MULTILINE)
    return [line.strip() for line in found[0].splitlines()] if found else []


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., str]:
    """Runs commands in bash, in the folder of a stack `mycluster`; each backend is a folder."""
    (tmp_path / "Pulumi.yaml").write_text("name: ecm\nruntime: python\n")
    own = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    own |= {"PULUMI_BACKEND_URL": f"file://{tmp_path}/old", "NEW": f"file://{tmp_path}/new"}
    own |= {"PULUMI_CONFIG_PASSPHRASE": "phrase", "PULUMI_SKIP_UPDATE_CHECK": "1"}

    def run(*commands: str, stdin: str = "") -> str:
        whole = ["bash", "-ec", "\n".join(commands)]
        done = subprocess.run(whole, cwd=tmp_path, env=own, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return done.stdout

    (tmp_path / "made.json").write_text(json.dumps(STATE))
    run(
        "pulumi stack init mycluster",
        "pulumi config set --secret ecm:word sesame",
        "pulumi stack import --file made.json",
    )
    return run


@pytest.mark.slow
def test_a_state_is_backed_up_as_the_documentation_says(shell: Callable[..., str]) -> None:
    export, restore = block("operations.md", "Back up the state")
    shell(export, "pulumi stack rm --yes --force --preserve-config mycluster", "pulumi stack init mycluster", restore)
    assert "ecm-mycluster" in shell("pulumi stack export --stack mycluster")


@pytest.mark.slow
def test_a_state_is_moved_as_the_documentation_says(shell: Callable[..., str]) -> None:
    pause, *move = block("operations.md", "Move the state")
    assert pause.startswith("ecm pause ")
    shell(*move, stdin="postgres://master@db/pulumi")
    there = "export PULUMI_BACKEND_URL=$NEW"
    assert "ecm-mycluster" in shell(there, "pulumi stack export --stack mycluster")
    assert shell(there, "pulumi config get ecm:word --stack mycluster") == "sesame\n"
    assert shell(there, "pulumi config get ecm:masterBackendUrl --stack mycluster") == "postgres://master@db/pulumi\n"
    shell("pulumi stack rm --yes --force --preserve-config mycluster")
    assert shell(there, "pulumi stack ls --json | grep -c mycluster") == "1\n"
