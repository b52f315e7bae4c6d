"""Whatever happens to a command, its end is a line and a status; never a traceback."""

import errno
import os
import subprocess
import sys
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command, get_group
from typer.testing import CliRunner

from cli import __main__ as entry
from cli import main
from cli.laptop import commands as laptop
from cli.master import commands as master

ROOT = Path(__file__).parents[2]


def test_an_interrupt_at_a_question_has_the_status_of_an_interrupt(ecm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> bool:
        # As typer does.
        abort = typer.Abort()
        abort.__context__ = KeyboardInterrupt()
        raise abort

    monkeypatch.setattr(typer, "confirm", interrupted)
    assert ecm("destroy").exit_code == 130


def test_an_input_that_ends_at_a_question_is_told_with_the_way_round_it(ecm: Any) -> None:
    done = ecm("destroy", stdin="")
    assert done.exit_code == 1
    assert done.stderr.strip() == "ecm: no answer - the input has ended - `--yes` asks nothing"


def test_a_no_ends_the_command_with_status_1(ecm: Any, pulumi: Any) -> None:
    assert ecm("destroy", stdin="n\n").exit_code == 1
    assert pulumi.ran == []


@pytest.mark.parametrize("place", [laptop, master])
def test_every_command_is_in_the_module_that_is_named_for_it(place: Any) -> None:
    named: Any = get_command(main.assembled(place))
    there = {name for module in set(place.COMMANDS.values()) for name in get_group(import_module(module).app).commands}
    assert [command.name for command in named.commands.values()] == list(place.COMMANDS)
    assert there == set(place.COMMANDS)


@pytest.mark.parametrize("place", [laptop, master])
def test_the_version_is_told(place: Any) -> None:
    told = CliRunner().invoke(main.assembled(place), ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"ecm {version('elastic-condor')}\n")


def test_what_the_system_refuses_is_no_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(main, "app", refuse)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "ecm: this machine refuses - No space left on device - mend that, and try again\n"


def test_an_interrupt_while_it_still_loads_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "main", interrupt)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_a_terminal_that_lacks_a_letter_gets_another_one() -> None:
    # 8-bit locales are still found on login nodes; an arrow must not end the command there.
    asked = "from cli import main, show; main.app = lambda **_: show.say('a → b'); main.main()"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={"PYTHONIOENCODING": "latin-1", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"a ? b\n"), done.stderr


@pytest.mark.parametrize("wish", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}, {"TERM": "xterm"}])
@pytest.mark.parametrize("arguments", [["--help"], ["explain"], ["import", "none.conf"], ["status", "--nothing"]])
def test_a_terminal_that_wants_none_gets_no_escapes(arguments: list[str], wish: dict[str, str]) -> None:
    ours, its = os.openpty()
    shown = "from cli import main, show; show.out.print(show.table('head')); main.main()"
    command = [sys.executable, "-c", shown, *arguments]
    with subprocess.Popen(command, env={"PYTHONPATH": str(ROOT), **wish}, stdin=its, stdout=its, stderr=its):
        os.close(its)
        said = b"".join(iter(partial(read, ours), b""))
    os.close(ours)
    assert said
    assert (b"\x1b" in said) == (wish == {"TERM": "xterm"})


def read(terminal: int) -> bytes:
    """What comes out of a terminal; Linux says by an error that nobody has it open any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
