"""What nodes boot with, and whether Nova takes that much: known before anything is made, but for logins and tokens."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cloudinit import boot
from cluster.cloud import Found
from cluster.errors import SettingsError
from cluster.login import Login
from cluster.report import Shared
from cluster.settings import Settings

PULUMI_VERSION = "3.259.0"
PROVIDER_VERSION = "5.5.3"
TOKEN_BYTES = 320
"""About what a slave's token has, which doesn't compress."""


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """Master's and slaves'."""

    prefix: str
    stack: str
    """The stack's full name."""
    settings: Settings
    found: Found
    own: boot.Additions
    """To the master."""
    state: Mapping[str, str]
    """The environment by which the master reaches the state. Secret."""
    slaves: Shared

    def master(self, login: Login) -> str:
        """The master's user-data, with this login to the cloud.

        Raises:
            UserDataError: it is over Nova's limit, or something can't be quoted.
        """
        return boot.master(
            boot.MasterBoot(
                name=f"{self.prefix}-master",
                system=self.found.master_system,
                own=self.own,
                users=self.settings.users,
                environment={"ECM_STACK": self.stack, **self.state, **self._cloud(login)},
                pulumi_version=PULUMI_VERSION,
                provider_version=PROVIDER_VERSION,
                proxy=self.settings.proxy,
            )
        )

    def check(self) -> None:
        """Tries both with made-up logins of the real ones' length.

        Raises:
            SettingsError: one is over Nova's limit, or something can't be quoted.
        """
        try:
            self.master(Login(secrets.token_hex(16), secrets.token_urlsafe(64)))
            boot.slave(self.slaves.boot(f"{self.prefix}-slave-xxxxxx", secrets.token_urlsafe(TOKEN_BYTES)))
        except boot.UserDataError as error:
            raise SettingsError(str(error)) from None

    def _cloud(self, login: Login) -> dict[str, str]:
        """The login as the controller's two readers of it, openstacksdk and the provider, want it."""
        return {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": self.found.auth_url,
            "OS_APPLICATION_CREDENTIAL_ID": login.id,
            "OS_APPLICATION_CREDENTIAL_SECRET": login.secret,
            "OS_REGION_NAME": self.found.region,
            "OS_INTERFACE": self.settings.endpoints,
            "OS_ENDPOINT_TYPE": self.settings.endpoints,
        }
