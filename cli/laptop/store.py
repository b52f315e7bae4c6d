"""The cloud's own object store as a place for the state: whether there is one, and a login to it made on request."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from cli.errors import CommandError
from cli.laptop.backend import URL, make_private
from cluster.errors import CloudError
from cluster.login import access, translated, versioned

if TYPE_CHECKING:
    from keystoneauth1.access.access import AccessInfoV3
    from openstack.connection import Connection

S3, OBJECT_STORE = "s3", "object-store"
"""Service types of the catalogue."""
ACCESS, SECRET = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
_EXPORT = re.compile(r"^export (\w+)='([^']*)'$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Store:
    """An object store with Amazon's interface."""

    url: str
    swift: bool
    """Whether it is Swift itself, not another store with Swift's interface."""


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket there, and a file with all that a shell needs to reach it."""

    url: str
    access: str
    """With `secret` EC2 credentials of the user's."""
    secret: str = field(repr=False)
    file: Path
    made: bool
    """Whether the credentials are new; else the file had them."""

    @property
    def variables(self) -> dict[str, str]:
        return {ACCESS: self.access, SECRET: self.secret, URL: self.url}


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


def speaks_s3(connection: "Connection", store: Store) -> bool:
    """Whether it answers as Amazon's does; a catalogue doesn't say that of Swift."""
    try:
        with translated():
            # Swift passes on what isn't signed. Whose signature it is doesn't matter: the refusal is of Amazon's form.
            said = connection.session.get(
                f"{store.url}/", headers={"Authorization": "AWS nobody:none"}, authenticated=False, raise_exc=False
            )
    except CloudError:
        return False
    return "<Code>" in said.text


def settle(connection: "Connection", store: Store, bucket: str, file: Path) -> Place:
    """A bucket and EC2 credentials of the user's for the project: those that the file has, or new ones, kept there.

    Raises:
        CloudError: the cloud refuses.
        CommandError: the file can't be written, or is another place's.
    """
    who = access(connection)
    url = backend(store, bucket, connection.config.region_name or "")
    head = f"# The state of clusters in the project {who.project_id}\n"
    try:
        # First: the cloud gives the secret once only.
        make_private(file)
        text = file.read_text()
    except OSError as error:
        raise _unwritable(file, error) from None
    if text:
        had = dict(_EXPORT.findall(text))
        if not (text.startswith(head) and had.get(URL) == url and had.keys() >= {ACCESS, SECRET}):
            raise CommandError(f"{file} is there already - its credentials are for another place - take another bucket")
        return Place(url, had[ACCESS], had[SECRET], file, made=False)
    try:
        place = Place(url, *_make(connection, who, bucket), file, made=True)
    except CloudError:
        file.unlink()
        raise
    try:
        file.write_text(head + "".join(f"export {name}='{value}'\n" for name, value in place.variables.items()))
    except OSError as error:
        give_back(connection, place)
        raise _unwritable(file, error) from None
    return place


def give_back(connection: "Connection", place: Place) -> None:
    """Ends the credentials that `settle` made; the bucket stays, for it may have been there before.

    Raises:
        CloudError: the cloud refuses.
    """
    if place.made:
        with translated():
            connection.session.delete(f"{_credentials(connection, access(connection))}/{place.access}")
        place.file.unlink(missing_ok=True)


def _make(connection: "Connection", who: "AccessInfoV3", bucket: str) -> tuple[str, str]:
    with translated():
        connection.object_store.create_container(bucket)
        made = connection.session.post(_credentials(connection, who), json={"tenant_id": who.project_id})
        pair = made.json()["credential"]
    return pair["access"], pair["secret"]


def _credentials(connection: "Connection", who: "AccessInfoV3") -> str:
    return f"{versioned(connection.config.auth['auth_url'])}/users/{who.user_id}/credentials/OS-EC2"


def _unwritable(file: Path, error: OSError) -> CommandError:
    return CommandError(f"{file} can't be written - {error.strerror} - run this where it can be, or take another place")
