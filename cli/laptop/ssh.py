"""The way to the master: ssh, as the user's own client is set up."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cli.errors import CommandError

ECM = "/opt/ecm/venv/bin/ecm"
"""Where the master has its own `ecm`."""
CUT_OFF = 255
"""ssh's own exit status: it did not come through."""
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
        colour = ["env", "NO_COLOR=1"] if "NO_COLOR" in os.environ else []
        return self.call([*colour, ECM, *arguments], terminal=terminal)

    def call(self, command: list[str], *, terminal: bool) -> int:
        """Runs a command there in this terminal, or logs in when there is none; gives its exit status.

        Raises:
            CommandError: ssh doesn't come through.
        """
        return self._run(self.command(command, *(["-t"] if terminal else [])))

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

    def output(self, *command: str, seconds: float = 60) -> str:
        """Runs a command there and gives what it prints.

        Raises:
            CommandError: ssh doesn't come through, or the command fails.
        """
        try:
            done = subprocess.run(
                self.command(list(command), "-o", "BatchMode=yes"),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._unreachable(f"no answer in {seconds:.0f} s") from None
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        if done.returncode == CUT_OFF:
            raise self._unreachable(said)
        if done.returncode:
            raise CommandError(f"on the master, {command[0]} failed - {said} - `ecm doctor` looks why")
        return done.stdout

    def command(self, command: list[str], *options: str) -> list[str]:
        """The ssh command that runs a command there."""
        return [*_client(), *options, self.address(), *([shlex.join(command)] if command else [])]

    def _unreachable(self, why: str) -> CommandError:
        return CommandError(
            f"the master doesn't answer ssh at {self.address()} - {why} - `ecm doctor`, or --host USER@ADDRESS"
        )


def _client() -> list[str]:
    config = ["-F", os.environ[CONFIG]] if CONFIG in os.environ else ["-o", "StrictHostKeyChecking=accept-new"]
    return ["ssh", *config, "-o", "ConnectTimeout=15"]
