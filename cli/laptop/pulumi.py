"""The adapter to the command `pulumi`: which stack, its configuration and outputs."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cli.errors import CommandError
from cli.show import out

CHECKOUT = Path(__file__).parents[2]

_NO_TOKEN, _NO_STACK = "PULUMI_ACCESS_TOKEN must be set", "no stack selected"
_TO_DO = {
    "no stack named": "`pulumi stack ls` lists those that there are",
    "passphrase": "export PULUMI_CONFIG_PASSPHRASE=…",
    "SSL is not enabled": "?sslmode=disable at the URL's end, where the network between is to be trusted",
    "PULUMI_ACCESS_TOKEN": "export PULUMI_ACCESS_TOKEN=…, which app.pulumi.com makes: Personal access tokens",
    "no EC2 IMDS role": "export AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=…",
    "default credentials": "export GOOGLE_CREDENTIALS=…, the content of a service account's key",
    "AccountName is required": "export AZURE_STORAGE_ACCOUNT=… and AZURE_STORAGE_KEY=…",
    "unable to open": "is it up, and does PULUMI_BACKEND_URL name it?",
}
"""What to do, by a part of Pulumi's words."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a stack's configuration; None for a secret that can't be decrypted here."""

    text: str | None
    secret: bool = False


class Pulumi:
    """One stack, by the engine on PATH. `stack` empty: the one that is selected."""

    def __init__(self, stack: str = "", folder: Path | None = None) -> None:
        self._stack = stack
        here = Path.cwd()
        # Another checkout's folder is where the user is; from anywhere else this one is meant.
        self.folder = folder or (here if (here / "Pulumi.yaml").exists() else CHECKOUT)

    def stack(self) -> str:
        """The stack's name.

        Raises:
            CommandError: no stack is selected, or the backend is out of reach; the same for the other methods.
        """
        if not self._stack:
            self._stack = self.output("stack", "--show-name", of_stack=False).strip()
        return self._stack

    def stacks(self) -> list[str]:
        """The names of the project's stacks in the backend."""
        return [stack["name"] for stack in json.loads(self.output("stack", "ls", "--json", of_stack=False))]

    def make_stack(self, name: str) -> None:
        """Makes a stack, or selects the one that is there."""
        self.output("stack", "select", "--create", name, of_stack=False)
        self._stack = name

    def backend(self) -> str:
        """Where the state is, as a URL."""
        told: dict[str, Any] = json.loads(self.output("whoami", "--json", of_stack=False))
        return str(told.get("url") or "")

    def version(self) -> str:
        """The engine's, as `3.1.0`."""
        return self.output("version", of_stack=False).strip().removeprefix("v")

    def config(self) -> dict[str, Value]:
        """The stack's configuration, namespace and all. Secrets are decrypted where the passphrase is at hand."""
        done = self._run(["config", "--json", "--show-secrets"], of_stack=True)
        text = done.stdout if done.returncode == 0 else self.output("config", "--json")
        return {key: Value(entry.get("value"), entry["secret"]) for key, entry in json.loads(text).items()}

    def set_config(self, values: Mapping[str, str], secrets: frozenset[str] = frozenset()) -> None:
        """Sets `ecm:` settings, by their keys without the namespace; those named in `secrets` are encrypted."""
        for key, text in values.items():
            kind = "--secret" if key in secrets else "--plaintext"
            # A secret goes in by standard input: arguments can be read by everyone on this machine.
            self.output("config", "set", kind, f"ecm:{key}", stdin=text)

    def remove_config(self, key: str) -> None:
        self.output("config", "rm", f"ecm:{key}")

    def check_passphrase(self) -> str:
        """Makes sure that the passphrase at hand is the stack's; the stack's file stays as it is.

        Raises:
            CommandError: it isn't, or there is none.
        """
        own = self.folder / f"Pulumi.{self.stack().rpartition('/')[2]}.yaml"
        with TemporaryDirectory() as folder:
            copy = Path(folder) / own.name
            copy.write_text(own.read_text() if own.exists() else "")
            self.output("config", "set", "--secret", "ecm:try", "--config-file", str(copy), stdin="x")
        return "it opens the stack's secrets"

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, as the last update left them."""
        told: dict[str, Any] = json.loads(self.output("stack", "output", "--json"))
        return told

    def export(self) -> dict[str, Any]:
        """The stack's state."""
        told: dict[str, Any] = json.loads(self.output("stack", "export"))
        return told

    def output(self, *arguments: str, stdin: str = "", of_stack: bool = True) -> str:
        """Runs `pulumi` and gives what it prints.

        Raises:
            CommandError: with Pulumi's own line of error.
        """
        done = self._run(list(arguments), stdin=stdin, of_stack=of_stack)
        if done.returncode:
            raise _failed(arguments[0], last_line(done.stderr + done.stdout))
        return done.stdout

    def stream(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `pulumi` and shows what it prints, as it comes; gives that too."""
        command = [*self._command(arguments, of_stack=True), "--non-interactive"]
        lines: list[str] = []
        try:
            with subprocess.Popen(
                command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as running:
                for line in running.stdout or ():
                    lines.append(line)
                    out.file.write(line)
        except FileNotFoundError:
            raise _missing() from None
        return subprocess.CompletedProcess(command, running.returncode, "".join(lines))

    def _run(self, arguments: list[str], *, of_stack: bool, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [*self._command(arguments, of_stack=of_stack), "--non-interactive", "--color", "never"]
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"}
        try:
            return subprocess.run(
                command, cwd=self.folder, env=environment, input=stdin, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise _missing() from None

    def _command(self, arguments: tuple[str, ...] | list[str], *, of_stack: bool) -> list[str]:
        stack = ["--stack", self._stack] if of_stack and self._stack else []
        return ["pulumi", *arguments, *stack]


def last_line(text: str) -> str:
    """Of a program's output what tells most: its line of error, else its last one."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    return (errors or lines or ["it says nothing"])[-1]


def _failed(command: str, said: str) -> CommandError:
    url = os.environ.get("PULUMI_BACKEND_URL", "")
    if _NO_TOKEN in said and url and (known := _unknown_kind(url)):
        return CommandError(
            f"PULUMI_BACKEND_URL is {url!r}, which is no place for the state - "
            f"it begins with none of {known} - export it anew"
        )
    if _NO_TOKEN in said and not url:
        # Without a backend Pulumi means its own cloud, which nobody here may have heard of.
        return CommandError(
            "this shell doesn't know where the state is - PULUMI_BACKEND_URL isn't set - export it; "
            "who has no place for it yet: `ecm init`"
        )
    if _NO_STACK in said:
        return CommandError(
            "no cluster is chosen - no stack is selected here - ecm --stack NAME …; `ecm init NAME` makes one"
        )
    to_do = next((f" - {hint}" for part, hint in _TO_DO.items() if part in said), "")
    return CommandError(f"pulumi {command} failed - {said}{to_do}")


def _unknown_kind(url: str) -> str:
    """The kinds of places that there are, where the URL is of none; else empty."""
    from cluster.backend import KINDS  # noqa: PLC0415 - it brings all of the settings, which few commands need

    return "" if url.partition(":")[0] in KINDS else ", ".join(KINDS)


def _missing() -> CommandError:
    return CommandError(
        "there is no `pulumi` on PATH - it carries everything out - scripts/setup && source .venv/bin/activate"
    )
