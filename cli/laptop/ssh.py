"""The way to the master: ssh, as the user's own client is set up."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cli.errors import CommandError
from cli.laptop.parcel import Parcel, parcel

NOT_THERE = 97
"""Our own exit status: the master doesn't have this version of `ecm` yet."""
CUT_OFF = 255
"""ssh's own exit status: it did not come through."""
PATIENCE = 120
CONFIG = "ECM_SSH_CONFIG"
"""Names a file for `ssh -F`, for clouds that need a way of their own."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """One master. `address` is looked up when it is first needed: `user@host`, or a name of the user's ssh config."""

    address: Callable[[], str]

    def forward(self, arguments: list[str], *, terminal: bool) -> int:
        """Runs `ecm ARGUMENTS…` there in this terminal; gives its exit status.

        Raises:
            CommandError: ssh doesn't come through.
        """
        tty = ["-t"] if terminal else []
        return self._ecm(arguments, lambda command: self._run(self.command(command, *tty)))

    def ask(self, *arguments: str) -> str:
        """Runs `ecm ARGUMENTS…` there and gives what it prints, whatever it found.

        Raises:
            CommandError: ssh doesn't come through, or it prints nothing.
        """
        said: list[str] = []

        def run(command: str) -> int:
            done = self._capture(command)
            said[:] = [done.stdout, done.stderr]
            return done.returncode

        self._ecm(list(arguments), run)
        if not said[0].strip():
            raise CommandError(f"on the master, ecm {arguments[0]} failed - {_last(said[1])} - `ecm logs`")
        return said[0]

    def _ecm(self, arguments: list[str], run: Callable[[str], int]) -> int:
        """Runs the master's `ecm` by `run`; where it isn't there yet, this machine's is brought first."""
        mine = parcel()
        colour = ["env", "NO_COLOR=1"] if "NO_COLOR" in os.environ else []
        start = shlex.join([*colour, mine.program, *arguments])
        command = f"test -x {mine.program} || exit {NOT_THERE}; exec {start}"
        status = run(command)
        if status == NOT_THERE:
            self._send(mine)
            status = run(command)
        return status

    def call(self, command: str = "", *, terminal: bool) -> int:
        """Runs a command there in this terminal, or logs in when there is none; gives its exit status.

        Raises:
            CommandError: ssh doesn't come through.
        """
        return self._run(self.command(command, *(["-t"] if terminal else [])))

    def _send(self, mine: Parcel) -> None:
        """Brings this version of `ecm` to the master, for whoever logs in there too."""
        done = self._capture(mine.unpack, mine.content)
        if done.returncode:
            raise CommandError(
                f"`ecm` can't be put on the master - {_last(done.stderr)} - "
                "it takes a login with sudo: --host USER@ADDRESS"
            )

    def jump(self, address: str, *, terminal: bool) -> int:
        """Logs in to a machine that only the master reaches, as the same user; gives ssh's exit status.

        Raises:
            CommandError: ssh doesn't come through.
        """
        user, at, _ = self.address().rpartition("@")
        way = [*_client(), "-o", f"ProxyCommand={shlex.join([*_client(), '-W', '%h:%p', self.address()])}"]
        # Slaves come and go at the same addresses: their host keys say nothing.
        way += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return self._run([*way, *(["-t"] if terminal else []), f"{user}{at}{address}"])

    def _run(self, command: list[str]) -> int:
        sys.stdout.flush()
        status = subprocess.run(command, check=False).returncode
        if status == CUT_OFF:
            raise self._unreachable("see above")
        return status

    def _capture(self, command: str, content: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command of the master's shell without a terminal; `content` is its standard input.

        Raises:
            CommandError: ssh doesn't come through.
        """
        whole = self.command(command, "-o", "BatchMode=yes")
        try:
            done = subprocess.run(whole, input=content or b"", capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise self._unreachable(f"no answer in {PATIENCE} s") from None
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        if done.returncode == CUT_OFF:
            raise self._unreachable(_last(err))
        return subprocess.CompletedProcess(whole, done.returncode, out, err)

    def command(self, command: str, *options: str) -> list[str]:
        """The ssh command that runs a command of the master's shell."""
        return [*_client(), *options, self.address(), *([command] if command else [])]

    def _unreachable(self, why: str) -> CommandError:
        return CommandError(
            f"the master doesn't answer ssh at {self.address()} - {why} - `ecm doctor`, or --host USER@ADDRESS"
        )


def _client() -> list[str]:
    config = ["-F", os.environ[CONFIG]] if CONFIG in os.environ else ["-o", "StrictHostKeyChecking=accept-new"]
    return ["ssh", *config, "-o", "ConnectTimeout=15"]


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
