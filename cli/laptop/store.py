"""The cloud's own object store as a place for the state: whether there is one, and a login to it made on request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from cluster.login import access, translated, versioned

if TYPE_CHECKING:
    from openstack.connection import Connection

S3, OBJECT_STORE = "s3", "object-store"
"""Service types of the catalogue."""


@dataclass(frozen=True, slots=True)
class Store:
    """An object store with Amazon's interface."""

    url: str
    swift: bool
    """Whether it is Swift itself, not another store with Swift's interface."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A login to it: EC2 credentials of the user's."""

    access: str
    secret: str

    @property
    def variables(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}


def find(catalogue: Mapping[str, Sequence[str]]) -> Store | None:
    """The store that the catalogue names; of Swift's interface the S3 one is at the same host.

    Args:
        catalogue: the URLs of the cloud's services, by their type.
    """
    own, swifts = (list(catalogue.get(kind, ())) for kind in (S3, OBJECT_STORE))
    listed = own or swifts
    if not listed:
        return None
    parts = urlsplit(listed[0])
    # Ceph's gateway, which is consistent, has /swift/v1.
    swift = any(urlsplit(url).path.startswith("/v1/AUTH_") for url in swifts)
    return Store(f"{parts.scheme}://{parts.netloc}", swift)


def caveats(store: Store) -> tuple[str, ...]:
    """What one should know before the state is kept there."""
    power = (
        "its login, EC2 credentials, doesn't expire and carries your full power over the project, "
        "and the master has it; any member of the project can read the bucket"
    )
    late = (
        "it is Swift, which is only eventually consistent: two updates at once can both run, and one is lost; "
        "PostgreSQL is the better place"
    )
    return (late, power) if store.swift else (power,)


def backend(store: Store, bucket: str, region: str) -> str:
    """Pulumi's URL of a bucket there."""
    # Without path style the client asks DNS for a host of the bucket's name; Swift knows no checksums.
    options = {
        "endpoint": store.url,
        "region": region,
        "use_path_style": "true",
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    return f"s3://{bucket}?{urlencode(options, safe=':/')}"


def make(connection: "Connection", bucket: str) -> Keys:
    """Makes the bucket and EC2 credentials of the user's for the project.

    Raises:
        CloudError: the cloud refuses.
    """
    who = access(connection)
    with translated():
        connection.object_store.create_container(bucket)
        keystone = versioned(connection.config.auth["auth_url"])
        made = connection.session.post(
            f"{keystone}/users/{who.user_id}/credentials/OS-EC2", json={"tenant_id": who.project_id}
        ).json()["credential"]
    return Keys(made["access"], made["secret"])


def keep(variables: Mapping[str, str], file: Path) -> None:
    """Writes variables for a shell to read, for nobody else's eyes."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in variables.items()))
