"""Values that several tests of the program share."""

from collections.abc import Mapping, Sequence
from typing import Any

from keystoneauth1.access.access import AccessInfoV3


def token(
    project: str = "project",
    credential: Mapping[str, Any] | None = None,
    *,
    federated: bool = False,
    catalogue: Mapping[str, Sequence[str]] | None = None,
) -> AccessInfoV3:
    """What Keystone says of a login, as keystoneauth reads it: what it isn't has no entry at all."""
    said: Any = {
        "user": {"id": "me", "name": "me", **({"OS-FEDERATION": {}} if federated else {})},
        "project": {"id": project, "name": project},
        "catalog": [
            {"type": type_, "endpoints": [{"url": url} for url in urls]} for type_, urls in (catalogue or {}).items()
        ],
        **({"application_credential": credential} if credential else {}),
    }
    return AccessInfoV3({"token": said}, auth_token="token")
