"""The way to the master: ssh, as the user's own client is set up."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from cli.place import TO_SLAVES
from cli.show import say

ECM = "/usr/local/bin/ecm"
"""The master's own."""
CUT_OFF = 255
"""ssh's own exit status: it did not come through."""
NO_SUCH_PROGRAM = 127
"""A shell's exit status."""
PATIENCE = 120
AGAIN = 5.0
DENIED, SEEN = "Permission denied", "see above"
_NOT_BY_WAITING = ("denied", "verification failed")
CONFIG = "ECM_SSH_CONFIG"
"""Names a file for `ssh -F`, for clouds that need a way of their own."""


@dataclass(frozen=True, slots=True)
class Ssh:
    """One master. `address` is looked up when it is first needed: `user@host`, or a name of the user's ssh config."""

    address: Callable[[], str]
    key_name: Callable[[], str] = lambda: ""
    """The cluster's keypair: where its private half is as `ecm init` keeps it, that is shown too."""

    def forward(self, arguments: list[str], *, terminal: bool) -> int:
        """Runs `ecm ARGUMENTS…` there in this terminal; gives its exit status.

        Raises:
            CommandError: ssh doesn't come through.
        """
        status = self.call(self._start(arguments), terminal=terminal)
        if status == NO_SUCH_PROGRAM:
            raise CommandError(_unborn())
        return status

    def wait(self) -> None:
        """Waits until `ecm status` has something to show there, and tells what is missing, each thing once.

        What only the user can settle (a login that is refused, a host key) isn't waited for.

        Raises:
            CommandError: the stack isn't up.
        """
        self.address()
        said = ""
        while True:
            try:
                self.ask("status", "--json")
            except CommandError as error:
                if any(word in str(error) for word in _NOT_BY_WAITING):
                    return
                if str(error) != said:
                    said = str(error)
                    say(f"not yet: {said}")
                time.sleep(AGAIN)
            else:
                return

    def ask(self, *arguments: str) -> str:
        """Runs `ecm ARGUMENTS…` there and gives what it prints, whatever it found.

        Raises:
            CommandError: ssh doesn't come through, or it prints nothing.
        """
        done = self._capture(self._start(list(arguments)))
        if done.returncode == NO_SUCH_PROGRAM:
            raise CommandError(_unborn())
        if not done.stdout.strip():
            said = _last(done.stderr)
            # A line of its `ecm` says itself what to do.
            why = said.removeprefix("ecm: ") if said.startswith("ecm: ") else f"{said} - `ecm logs`"
            raise CommandError(f"on the master, ecm {arguments[0]} failed - {why}")
        return done.stdout

    def _start(self, arguments: list[str]) -> str:
        colour = ["env", "NO_COLOR=1"] if "NO_COLOR" in os.environ else []
        return shlex.join([*colour, ECM, *arguments])

    def call(self, command: str = "", *, terminal: bool) -> int:
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
        client = self._client()
        way = [*client, "-o", f"ProxyCommand={shlex.join([*client, '-W', '%h:%p', self.address()])}"]
        return self._run([*way, *TO_SLAVES, *(["-t"] if terminal else []), f"{user}{at}{address}"])

    def _run(self, command: list[str]) -> int:
        sys.stdout.flush()
        status = subprocess.run(command, check=False).returncode
        if status == CUT_OFF:
            raise self._unreachable(SEEN)
        return status

    def _capture(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the master's shell without a terminal.

        Raises:
            CommandError: ssh doesn't come through.
        """
        whole = self.command(command, "-o", "BatchMode=yes")
        try:
            done = subprocess.run(
                whole, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise self._unreachable(f"no answer in {PATIENCE} s") from None
        if done.returncode == CUT_OFF:
            raise self._unreachable(_last(done.stderr))
        return done

    def command(self, command: str, *options: str) -> list[str]:
        """The ssh command that runs a command of the master's shell."""
        return [*self._client(), *options, self.address(), *([command] if command else [])]

    def _client(self) -> list[str]:
        config = ["-F", os.environ[CONFIG]] if CONFIG in os.environ else ["-o", "StrictHostKeyChecking=accept-new"]
        name = self.key_name()
        identity = ["-i", str(private_half(name))] if name and private_half(name).exists() else []
        return ["ssh", *config, *identity, "-o", "ConnectTimeout=15"]

    def _unreachable(self, why: str) -> CommandError:
        if DENIED in why:
            return CommandError(
                f"the master refuses the login {self.address()} - {why} - {self._has_key()}; or --host USER@ADDRESS "
                "with another account"
            )
        to_do = "`ecm doctor`, or --host USER@ADDRESS"
        if why == SEEN:
            to_do = f"where it says {DENIED}, {self._has_key()}; else {to_do}"
        return CommandError(f"the master doesn't answer ssh at {self.address()} - {why} - {to_do}")

    def _has_key(self) -> str:
        """What to do for the login with the cluster's keypair."""
        return f"ssh-add the private key of the cluster's keypair{f' {name}' if (name := self.key_name()) else ''}"


def private_half(key_name: str) -> Path:
    """Where a keypair's private half is that `ecm init` made."""
    return Path.home() / ".ssh" / f"{key_name}.pem"


def _unborn() -> str:
    return "the master has no `ecm` yet - it is at its first boot - wait a minute; `ecm doctor` looks why it takes long"


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
