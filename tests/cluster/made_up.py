"""Values that several tests of the program share."""

from collections.abc import Mapping, Sequence
from typing import Any

from keystoneauth1.access.access import AccessInfoV3

from cloudinit.systems import SYSTEMS
from cluster.cloud import Flavor, Found
from cluster.settings import Settings

FOUND = Found(
    image_id="image-id",
    slave_image_id="slave-image-id",
    master_flavor=Flavor("mf", "medium", 2, 2048, 4),
    slave_flavor=Flavor("sf", "small", 1, 1024, 4),
    network_id="net-id",
    network_name="net",
    slave_group_id="default-id",
    master_volume_gib=None,
    slave_volume_gib=None,
    floating_network="public",
    project_id="project",
    auth_url="http://cloud/v3",
    region="RegionOne",
    master_system=SYSTEMS["debian-13"],
    slave_architecture="x86_64",
    slave_system=SYSTEMS["debian-13"],
    master_user="debian",
)


def settings(**changes: Any) -> Settings:
    """The least that is needed, and these."""
    values = {"image": "i", "masterFlavor": "m", "slaveFlavor": "s", "keyName": "k"} | changes
    return Settings.model_validate(values)


def token(
    project: str = "project",
    credential: Mapping[str, Any] | None = None,
    *,
    user: str = "me",
    federated: bool = False,
    catalogue: Mapping[str, Sequence[str]] | None = None,
    roles: Sequence[str] = ("member", "reader"),
) -> AccessInfoV3:
    """What Keystone says of a login, as keystoneauth reads it: what it isn't has no entry at all."""
    said: Any = {
        "user": {"id": user, "name": user, **({"OS-FEDERATION": {}} if federated else {})},
        "project": {"id": project, "name": project},
        "roles": [{"id": f"{role}-id", "name": role} for role in roles],
        "catalog": [
            {"type": type_, "endpoints": [{"url": url} for url in urls]} for type_, urls in (catalogue or {}).items()
        ],
        **({"application_credential": credential} if credential else {}),
    }
    return AccessInfoV3({"token": said}, auth_token="token")
