"""The master as its commands use it: programs to run, files to read and write. Commands get it as `context.obj`."""

import getpass
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from cli.errors import DOCTOR, CommandError

PATIENCE = 60
ROOT, CONTROLLER = "root", "ecm"


@dataclass
class Machine:
    """The machine that this process runs on. What another user has to do goes through sudo."""

    run: Path = Path("/run/ecm")
    state: Path = Path("/var/lib/ecm")

    def output(self, *command: str, user: str = "", stdin: str = "") -> str:
        """Runs a program, as another user where one is named, and gives what it prints.

        Raises:
            CommandError: it fails, hangs or isn't there.
        """
        whole = self._command(command, user)
        try:
            done = subprocess.run(
                whole,
                input=stdin,
                env=_environment(),
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=PATIENCE,
                check=False,
            )
        except FileNotFoundError:
            raise _missing(whole[0]) from None
        except subprocess.TimeoutExpired:
            raise CommandError(f"{command[0]} doesn't answer for {PATIENCE} s - try again, or `ecm doctor`") from None
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[:300]
            if user and said.startswith("sudo:"):
                raise CommandError(
                    "this is for administrators - you may not use sudo here - ask who runs the cluster; "
                    "or on the machine that it was set up on"
                )
            raise CommandError(f"{' '.join(command[:2])} failed - {said or 'it says nothing'} - {DOCTOR}")
        return done.stdout

    def call(self, *command: str, user: str = "") -> int:
        """Runs a program in this terminal; gives its exit status.

        Raises:
            CommandError: it isn't there, or the user may not be the one who is named.
        """
        if user:
            # sudo's own line would say it worse.
            self.output("true", user=user)
        sys.stdout.flush()
        whole = self._command(command, user)
        try:
            return subprocess.run(whole, env=_environment(), check=False).returncode
        except FileNotFoundError:
            raise _missing(whole[0]) from None

    def read(self, path: Path) -> str:
        """A file's text, whatever is in it; empty when it isn't there.

        Raises:
            CommandError: it can't be read.
        """
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except PermissionError:
            return self.output("cat", str(path), user=ROOT)
        except OSError as error:
            raise CommandError(f"{path} can't be read - {error.strerror} - {DOCTOR}") from None

    def write(self, path: Path, text: str) -> None:
        """Writes a file of the controller's folder: as its user, who is to remove it again. All may read it.

        Raises:
            CommandError: it can't be written.
        """
        # Not /dev/stdin, which another user may not open again.
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1"'
        self.output("sh", "-c", script, "sh", str(path), user=CONTROLLER, stdin=text)

    def remove(self, path: Path) -> None:
        self.output("rm", "-f", str(path), user=CONTROLLER)

    def who(self) -> str:
        """Who types the command, under sudo too."""
        return os.environ.get("SUDO_USER") or getpass.getuser()

    def _command(self, command: tuple[str, ...], user: str) -> list[str]:
        return [*(["sudo", "-n", "-u", user] if user else []), *command]


def _missing(program: str) -> CommandError:
    return CommandError(f"there is no {program} - it is needed on the master - is this the master?")


def _environment() -> dict[str, str]:
    """This process's, but for the way to the release's packages: Python programs would find those for their own."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def machine(context: typer.Context) -> Machine:
    """The machine that `cli.main` or a test has set up."""
    found: Machine = context.obj
    return found
