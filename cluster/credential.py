"""The master's login to the cloud: an application credential that can do what the controller does, and no more.

`access-rules.json` lists the calls: those by which the provider makes, reads and deletes a slave, then those by which
the controller looks at servers and quota. `*` is one segment of a path, `**` any number.
"""

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors
import pulumi
from pulumi_openstack import identity

from cluster.ending import end_with
from cluster.errors import CloudError, EcmError
from cluster.login import Login, access, connect_as, translated
from cluster.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keystoneauth1.access.access import AccessInfoV3
    from openstack.connection import Connection

    from cluster.stack import Remembered

RULES = Path(__file__).with_name("access-rules.json")
CREDENTIAL_TYPE = "openstack:identity/applicationCredential:ApplicationCredential"
RULED = "master"
WITHOUT_RULES = "master-without-rules"
MAKE_ONE = (
    "openstack application credential create --access-rules cluster/access-rules.json ecm-master, then "
    "pulumi config set ecm:applicationCredentialId ID and "
    "pulumi config set --secret ecm:applicationCredentialSecret SECRET"
)


def given(settings: Settings, connection: "Connection") -> Login | None:
    """The credential that the settings name, checked; None when the stack makes its own.

    Warns when it can do more than it needs to, and when the cloud may refuse to let the stack make one.

    Raises:
        CloudError: there is none and this login may not make one, or the one that is named is of no use.
    """
    own = access(connection)
    if not settings.application_credential_id or not settings.application_credential_secret:
        if _credential_in(own).get("restricted"):
            raise CloudError(
                "this login is itself an application credential - it may not make one for the master - as the user "
                f"whose it is: {MAKE_ONE}"
            )
        if own.is_federated:
            pulumi.log.warn(
                "this login is a federated one - some clouds let it make no application credential for the master - "
                f"if this one refuses, in the dashboard or as an ordinary user: {MAKE_ONE}"
            )
        return None
    login = Login(settings.application_credential_id, settings.application_credential_secret.get_secret_value())
    as_master = connect_as(login, connection)
    theirs = access(as_master)
    if theirs.project_id != own.project_id:
        raise CloudError(
            f"ecm:applicationCredentialId is {login.id} - it is for another project - as a user of this one: {MAKE_ONE}"
        )
    if excess := too_wide(_credential_in(theirs)):
        pulumi.log.warn(
            f"the master's login can do more than it needs to - the application credential {login.id} {excess} - "
            f"a narrower one: {MAKE_ONE}"
        )
    if refused := refused_by(as_master):
        raise CloudError(
            f"{_refusal(f'the application credential {login.id}', refused)} - make one without: "
            "openstack application credential create ecm-master"
        )
    return login


def _credential_in(token: "AccessInfoV3") -> "Mapping[str, Any]":
    """What a login's token says of its application credential; nothing when it isn't one."""
    try:
        said: Mapping[str, Any] = token.application_credential
    except KeyError:
        return {}
    return said


def too_wide(token: Any) -> str:  # noqa: ANN401 - what Keystone says of an application credential in its token
    """What a credential can do beyond its need, as its own token tells; empty when nothing."""
    if not token.get("restricted", True):
        return "is unrestricted: it can make further credentials"
    return "" if token.get("access_rules") else "has no access rules: it can do whatever its user can"


def refused_by(connection: "Connection") -> str:
    """The first service that doesn't take this login at all; empty when all do.

    A service takes tokens with access rules only where its operators have told it its own type.

    Raises:
        CloudError: a service can't be asked.
    """
    access(connection)
    questions: dict[str, Callable[[], Any]] = {
        "compute": connection.compute.get_limits,
        "image": lambda: next(iter(connection.image.images(limit=1)), None),
        "network": lambda: next(iter(connection.network.networks(limit=1)), None),
    }
    for service, ask in questions.items():
        with translated():
            try:
                ask()
            except auth_errors.Unauthorized:
                return service
            except sdk_errors.HttpException as error:
                if error.status_code != HTTPStatus.UNAUTHORIZED:
                    raise
                return service
    return ""


def made(
    prefix: str,
    cluster_id: pulumi.Output[str],
    connection: "Connection",
    was: "Remembered",
    *,
    fixed: bool,
) -> pulumi.Output[Login]:
    """Declares the stack's own credential. It belongs to whoever runs `pulumi up`, and dies with the stack.

    It is tried before the master is made. Where the cloud can't do access rules, a second one without rules takes its
    place, with a warning. The master that is there keeps the one that it has.

    Args:
        prefix: start of the credential's name.
        cluster_id: makes the name unique: another stack of this user may have the same prefix.
        connection: the user's login.
        was: what is in the state.
        fixed: whether the master is there and stays.
    """
    name = pulumi.Output.concat(prefix, "-master-", cluster_id)
    ruled = _declare(RULED, name, rules(), fixed=fixed)
    if fixed:
        return _declare(WITHOUT_RULES, name, None, fixed=True) if _has_second(was) else ruled
    return ruled.apply(lambda login: _or_without_rules(login, name, connection))


def rules() -> list[dict[str, str]]:
    """Service, method and path of every call that the master makes."""
    listed: list[dict[str, str]] = json.loads(RULES.read_text())
    return listed


def _has_second(was: "Remembered") -> bool:
    return (CREDENTIAL_TYPE, WITHOUT_RULES) in was.resources


def _or_without_rules(login: Login, name: pulumi.Output[str], connection: "Connection") -> pulumi.Output[Login]:
    try:
        refused = refused_by(connect_as(login, connection))
    except EcmError as error:
        end_with(error)
    if not refused:
        return pulumi.Output.secret(login)
    pulumi.log.warn(_refusal("an application credential with access rules", refused))
    return _declare(WITHOUT_RULES, name, None, fixed=False)


def _refusal(what: str, service: str) -> str:
    return (
        f"{service} refuses {what} - its operators haven't set service_type in [keystone_authtoken], so that access "
        "rules can't be checked"
    )


def _declare(
    name: str, title: pulumi.Output[str], wanted: list[dict[str, str]] | None, *, fixed: bool
) -> pulumi.Output[Login]:
    credential = identity.ApplicationCredential(
        name,
        name=title if wanted else pulumi.Output.concat(title, "-without-rules"),
        description="The controller of an elastic-condor cluster",
        access_rules=[identity.ApplicationCredentialAccessRuleArgs(**rule) for rule in wanted] if wanted else None,
        opts=pulumi.ResourceOptions(
            # The master has been told of it: another one would cut it off.
            ignore_changes=["*"] if fixed else [],
            delete_before_replace=True,
        ),
    )
    return pulumi.Output.all(credential.id, credential.secret).apply(lambda known: Login(*known))
