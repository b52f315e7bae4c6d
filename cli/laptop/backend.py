"""Where the stack's state lives, and whether it can live there."""

import os
import shlex
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from cli.laptop.pulumi import Pulumi
from cli.show import say
from cluster.backend import KINDS as KNOWN
from controller.masking import masked

URL, MASTER_URL, TOKEN = "PULUMI_BACKEND_URL", "ECM_MASTER_BACKEND_URL", "PULUMI_ACCESS_TOKEN"
PHRASE, PHRASE_FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"
SCHEMES = tuple(KNOWN)
KINDS = """\
Pulumi keeps what it knows of the cluster in a place that your machine and the
master both reach:
  postgres://USER@HOST/DATABASE            PostgreSQL: the best tested one;
                                           its password is asked for
  s3://BUCKET?endpoint=HOST&…              an object store, strongly consistent
                                           (Ceph, MinIO, AWS)
  gs://BUCKET  azblob://CONTAINER          likewise
  https://api.pulumi.com                   Pulumi Cloud; its token is asked for
In the environment it is PULUMI_BACKEND_URL; then it isn't asked for."""


@dataclass
class Backend:
    """The state's place, as the environment of this process names it: `pulumi` takes it from there."""

    pulumi: Pulumi
    environment: MutableMapping[str, str]
    exports: dict[str, str]
    """What was given here and the user's shell has to have for the next commands. Secret."""
    file: Path | None = None
    """Has the rest of that, when it is in a place of the cloud's own."""

    @classmethod
    def of_this_process(cls, pulumi: Pulumi) -> "Backend":
        return cls(pulumi, os.environ, {})

    def settle(self, given: str, ask: Callable[[], str]) -> str:
        """Makes sure of a backend that answers, and gives its URL without a password.

        Args:
            given: by an option; else PULUMI_BACKEND_URL or the backend that `pulumi login` chose.
            ask: for one, when there is none; again when it can't be.

        Raises:
            CommandError: it doesn't answer, or only this machine would reach it.
        """
        if masked(given) != given:
            raise CommandError(
                f"--backend has a password - everybody on this machine can read it there - export {URL} in its place"
            )
        if given:
            self.export(URL, given)
        if url := self.environment.get(URL) or _logged_in(self.pulumi):
            try:
                return self.tried(url)
            except CommandError as error:
                raise CommandError(f"{error} - another place: --backend URL") from None
        while True:
            self.export(URL, ask())
            try:
                return self.tried(self.environment[URL])
            except CommandError as error:
                say(f"  {masked(str(error))}")

    def tried(self, url: str) -> str:
        """Makes sure of a place that answers, with the logins of this process, and gives its URL without a password.

        Raises:
            CommandError: it doesn't, or only this machine would reach it.
        """
        if url.startswith("file:"):
            raise CommandError(f"the state can't live in {url} - the master doesn't reach it")
        if url.partition(":")[0] not in SCHEMES:
            raise CommandError(f"{url!r} is no place for the state - it begins with none of {', '.join(SCHEMES)}")
        before = self.environment.get(URL)
        self.environment[URL] = url
        try:
            return self.pulumi.backend()
        except CommandError as error:
            raise CommandError(f"the state's place doesn't answer - {error}") from None
        finally:
            if before is None:
                del self.environment[URL]
            else:
                self.environment[URL] = before

    def settle_passphrase(self, ask: Callable[[], str]) -> None:
        """Makes sure of a passphrase for the stack's secrets; Pulumi Cloud has its own key."""
        if self.environment.get(URL, "").startswith("https://"):
            return
        if not self.environment.get(PHRASE) and not self.environment.get(PHRASE_FILE):
            self.export(PHRASE, ask())

    def keep(self, stack: str) -> Path | None:
        """Keeps what was given here in a file for this user alone, which a shell can source; None without a secret.

        Raises:
            CommandError: the file can't be written.
        """
        new = {name: value for name, value in self.exports.items() if not (self.file and name == URL)}
        if not new.keys() - {"OS_CLOUD"}:
            return None
        file = folder() / f"{stack.rpartition('/')[2]}.sh"
        try:
            make_private(file)
            # What an earlier run was given is in this one's environment, and not given again.
            replaced = tuple(f"export {name}=" for name in new)
            old = [line for line in file.read_text().splitlines() if not line.startswith(replaced)]
            lines = [*old, *(f"export {name}={shlex.quote(value)}" for name, value in new.items())]
            file.write_text("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise CommandError(f"{file} can't be written - {error.strerror} - run this where it can be") from None
        return file

    def export(self, name: str, value: str) -> None:
        self.environment[name] = self.exports[name] = value


def folder() -> Path:
    """Where files for the user's shell are."""
    return Path.home() / ".config" / "elastic-condor"


def make_private(file: Path) -> None:
    """Has the file there, for this user alone.

    Raises:
        OSError: it can't be.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch()
    file.chmod(0o600)


def _logged_in(pulumi: Pulumi) -> str:
    try:
        return pulumi.backend()
    except CommandError:
        return ""
