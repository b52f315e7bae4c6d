"""Values that several tests of the program share."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Token:
    """What Keystone says of a login, as keystoneauth gives it."""

    project_id: str = "project"
    said: dict[str, Any] | None = None
    is_federated: bool = False

    @property
    def application_credential(self) -> dict[str, Any]:
        if self.said is None:
            raise KeyError("application_credential")
        return self.said
