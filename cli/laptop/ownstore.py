"""The cloud's own object store, offered as the state's place to who sets up a cluster."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from cli.laptop import store
from cli.laptop.backend import URL, Backend, folder
from cli.show import prose, say
from cluster.errors import CloudError
from cluster.login import catalogue

if TYPE_CHECKING:
    from openstack.connection import Connection


@dataclass(slots=True)
class OwnStore:
    """Offered once, and taken back when it doesn't serve."""

    connection: "Connection"
    state: Backend
    asked: bool = False
    place: store.Place | None = None
    before: dict[str, str | None] = field(default_factory=dict)
    """The variables that taking it replaced."""

    def offered(self) -> str:
        """The URL of a bucket there, made after a yes; empty without one. Asked again, it has not served."""
        if self.place:
            self._take_back(self.place)
            self.place = None
        if self.asked:
            return ""
        self.asked = True
        found = store.find(catalogue(self.connection))
        if not found:
            return ""
        prose(f"\nYour cloud has an object store, {found.url}.")
        if not store.speaks_s3(self.connection, found):
            prose("It doesn't answer as Amazon's S3 does, so that the state can't be kept there.")
            return ""
        prose("Pulumi could keep there what it knows of the cluster. Mind:")
        for caveat in store.caveats(found):
            prose(f" - {caveat}")
        if not typer.confirm("Keep the state there? It makes a bucket and EC2 credentials of yours.", default=False):
            return ""
        bucket = str(typer.prompt("The bucket's name", default="ecm-state"))
        file = folder() / f"{bucket}.sh"
        self._take(store.settle(self.connection, found, bucket, file))
        return self.state.environment[URL]

    def _take(self, place: store.Place) -> None:
        environment = self.state.environment
        self.place = place
        self.before = {name: environment.get(name) for name in place.variables}
        environment.update(place.variables)
        self.state.file = place.file
        # At once: whatever ends this, the next run or shell is to find it.
        say(f"The way there is kept: source {place.file}")

    def _take_back(self, place: store.Place) -> None:
        environment = self.state.environment
        for name, value in self.before.items():
            environment.pop(name, None) if value is None else environment.update({name: value})
        self.state.file = None
        if not place.made:
            say(f"  {place.file} stays, as it is older than this run; without it new credentials are made")
        try:
            store.give_back(self.connection, place)
        except CloudError as error:
            say(f"  {error}; to end the credentials: openstack ec2 credentials delete {place.access}")
