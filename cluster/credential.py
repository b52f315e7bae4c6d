"""The master's login to the cloud: an application credential that can do what the controller does, and no more.

`access-rules.json` lists the calls: those by which the provider makes, reads and deletes a slave, then those by which
the controller looks at servers and quota. `*` is one segment of a path, `**` any number. Nova's are there twice: on
some clouds its URL has the project's id in it.
"""

import json
import re
from contextlib import suppress
from functools import partial
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
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from keystoneauth1.access.access import AccessInfoV3
    from openstack.connection import Connection

    from cluster.stack import Remembered

    Rule = Mapping[str, Any]

RULES = Path(__file__).with_name("access-rules.json")
CREDENTIAL_TYPE = "openstack:identity/applicationCredential:ApplicationCredential"
RULED = "master"
CONSOLE_RULE = {"service": "compute", "method": "POST", "path": "/v2.1/servers/*/action"}
"""Lets the master read consoles, and do to any server of the project whatever else Nova calls an action."""
WITHOUT_RULES = "master-without-rules"
MEMBER = "member"
"""The role that making and deleting servers takes."""
USUAL_ROLES = (MEMBER, "_member_", "reader")
"""That, by its old name too, and what it implies."""
NAMED = 3
"""Of a longer list, as many are named."""
_WILD = re.compile(r"(\*\*|\*|\{[^}]*\})")
MAKE_ONE = (
    "openstack application credential create --role member --access-rules cluster/access-rules.json ecm-master, then "
    "pulumi config set ecm:applicationCredentialId ID and "
    "pulumi config set --secret ecm:applicationCredentialSecret, which asks for the secret"
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
    if theirs.user_id != own.user_id:
        pulumi.log.warn(
            f"the application credential {login.id} is of the user {theirs.username} - slaves get that user's keypair "
            f"ecm:keyName {settings.key_name}, and without one no slave can be made - as that user: "
            f"openstack keypair create --public-key FILE {settings.key_name}"
        )
    if administers(theirs):
        _warn_of_admin(f"the application credential {login.id} has")
    said, needed = _credential_in(theirs), rules(consoles=settings.console_logs)
    for excess in too_wide(said, theirs.role_names or [], needed):
        pulumi.log.warn(
            f"the master's login can do more than it needs to - the application credential {login.id} {excess} - "
            f"a narrower one: {MAKE_ONE}"
        )
    if (had := said.get("access_rules")) and (lacking := _let_down(had, needed)):
        pulumi.log.warn(
            "calls of the controller will be refused - "
            f"the application credential {login.id} has no rule for {listed(lacking)} - one that has all: {MAKE_ONE}"
        )
    if refused := refused_by(as_master):
        raise CloudError(
            f"{_refusal(f'the application credential {login.id}', refused)} - make one without: "
            "openstack application credential create ecm-master"
        )
    return login


def narrow_roles(token: "AccessInfoV3") -> list[str] | None:
    """The roles that the master's credential gets of those that this login has; None for all, where it needs them."""
    return [name for name in token.role_names or [] if name.lower() == MEMBER][:1] or None


def administers(token: "AccessInfoV3") -> bool:
    """Whether the cloud may take this login for one of its operators'."""
    return any("admin" in name.lower() for name in token.role_names or [])


def _warn_of_admin(whose: str) -> None:
    pulumi.log.warn(
        f"{whose} the role of an administrator - with it the calls of the access rules may reach EVERY server of the "
        f"cloud, also other projects' - run pulumi up as a user with the role {MEMBER} in this project"
    )


def _credential_in(token: "AccessInfoV3") -> "Mapping[str, Any]":
    """What a login's token says of its application credential; nothing when it isn't one."""
    try:
        said: Mapping[str, Any] = token.application_credential
    except KeyError:
        return {}
    return said


def too_wide(said: "Mapping[str, Any]", roles: "Iterable[str]", needed: "Iterable[Rule]") -> "Iterator[str]":
    """What a credential can do beyond its need.

    Args:
        said: what Keystone says of it in its token.
        roles: the token's.
        needed: the rules that it has to have; any other is more, whatever it stands for.
    """
    if not said.get("restricted", True):
        yield "is unrestricted: it can make further credentials"
    if not (had := said.get("access_rules")):
        yield "has no access rules: it can do whatever its user can"
    ours = {_identity(rule) for rule in needed}
    if more := [_call(rule) for rule in had or () if _identity(rule) not in ours]:
        yield f"has rules for {listed(more)}"
    # An administrator's are warned of apart.
    if others := [name for name in roles if name.lower() not in USUAL_ROLES and "admin" not in name.lower()]:
        yield f"has the roles {listed(others)}"


def listed(names: "Sequence[str]") -> str:
    """The first names, and how many more there are."""
    *first, last = (*names[:NAMED], f"{len(names) - NAMED} more") if len(names) > NAMED else names
    return f"{', '.join(first)} and {last}" if first else last


def _identity(rule: "Rule") -> tuple[str, str, str]:
    return rule["service"], rule["method"], rule["path"]


def _call(rule: "Rule") -> str:
    return f"{rule['method']} {rule['path']}"


def _let_down(had: "Iterable[Rule]", needed: "Iterable[Rule]") -> list[str]:
    """The calls that no rule lets through. Of the two paths of a call to Nova a cloud has one."""
    let: dict[str, bool] = {}
    for rule in needed:
        call = _call(rule).replace("/v2.1/*/", "/v2.1/")
        let[call] = let.get(call, False) or any(_lets(other, rule) for other in had)
    return [call for call, so in let.items() if not so]


def _lets(rule: "Rule", call: "Rule") -> bool:
    """Whether a rule lets a call of another rule through, as the services see it: `{…}` is one segment, too."""
    parts = enumerate(_WILD.split(rule["path"]))
    pattern = "".join((".*" if part == "**" else "[^/]+") if at % 2 else re.escape(part) for at, part in parts)
    path = call["path"].replace("**", "a/b").replace("*", "a")
    return _identity(rule)[:2] == _identity(call)[:2] and bool(re.fullmatch(pattern, path))


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


def made(  # noqa: PLR0913 - all that it depends on, two of them by name
    prefix: str,
    cluster_id: pulumi.Output[str],
    connection: "Connection",
    was: "Remembered",
    *,
    fixed: bool,
    consoles: bool,
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
        consoles: whether it may read consoles.
    """
    name = pulumi.Output.concat(prefix, "-master-", cluster_id)
    own = access(connection)
    roles = narrow_roles(own)
    admin = administers(own) and not roles
    if admin and not fixed:
        _warn_of_admin("the master's login gets all roles of yours, and among them")
    declare = partial(_declare, roles=roles, fixed=fixed)
    ruled = declare(RULED, name, rules(consoles=consoles))
    if fixed:
        return declare(WITHOUT_RULES, name, None) if _has_second(was) else ruled

    def or_without_rules(login: Login) -> pulumi.Output[Login]:
        try:
            refused = refused_by(connect_as(login, connection))
        except EcmError as error:
            end_with(error)
        if not refused:
            return pulumi.Output.secret(login)
        why = _refusal("an application credential with access rules", refused)
        if admin:
            end_with(
                CloudError(
                    f"{why}, and without them the master could do all that an administrator of the cloud can - "
                    f"run pulumi up as a user with the role {MEMBER} in this project"
                )
            )
        pulumi.log.warn(why)
        return declare(WITHOUT_RULES, name, None)

    return ruled.apply(or_without_rules)


def rules(*, consoles: bool) -> list[dict[str, str]]:
    """Service, method and path of every call that the master makes."""
    always: list[dict[str, str]] = json.loads(RULES.read_text())
    project_in_path = {**CONSOLE_RULE, "path": CONSOLE_RULE["path"].replace("/v2.1/", "/v2.1/*/")}
    return [*always, CONSOLE_RULE, project_in_path] if consoles else always


def is_the_stacks(was: "Remembered") -> bool:
    """Whether the stack has made the login of the master that is there."""
    return (CREDENTIAL_TYPE, RULED) in was.resources or _has_second(was)


def lacks(was: "Remembered", *, consoles: bool) -> list[str]:
    """The calls of the controller that the login which the stack has made for the master doesn't let through.

    It keeps the rules that it was made with, as long as the master stays; the controller is as new as the last `up`.
    """
    made_one = was.resources.get((CREDENTIAL_TYPE, RULED))
    if made_one is None or _has_second(was):
        return []
    return _let_down(made_one.get("accessRules") or (), rules(consoles=consoles))


def is_anothers(was: "Remembered", connection: "Connection") -> bool:
    """Whether the login that the stack has made for its master is another user's. False where the cloud doesn't tell.

    Raises:
        CloudError: Keystone fails to answer.
    """
    made_one = was.resources.get((CREDENTIAL_TYPE, WITHOUT_RULES if _has_second(was) else RULED))
    if made_one is None:
        return False
    # Some logins may not list their user's credentials.
    with translated(), suppress(sdk_errors.ForbiddenException):
        keystone: Any = connection.identity
        own = keystone.application_credentials(user=access(connection).user_id)
        return made_one.get("id") not in {credential.id for credential in own}
    return False


def _has_second(was: "Remembered") -> bool:
    return (CREDENTIAL_TYPE, WITHOUT_RULES) in was.resources


def _refusal(what: str, service: str) -> str:
    return (
        f"{service} refuses {what} - its operators haven't set service_type in [keystone_authtoken], so that access "
        "rules can't be checked"
    )


def _declare(
    name: str,
    title: pulumi.Output[str],
    wanted: list[dict[str, str]] | None,
    *,
    roles: list[str] | None,
    fixed: bool,
) -> pulumi.Output[Login]:
    credential = identity.ApplicationCredential(
        name,
        name=title if wanted else pulumi.Output.concat(title, "-without-rules"),
        description="The controller of an elastic-condor cluster",
        roles=roles,
        access_rules=[identity.ApplicationCredentialAccessRuleArgs(**rule) for rule in wanted] if wanted else None,
        opts=pulumi.ResourceOptions(
            # The master has been told of it: another one would cut it off.
            ignore_changes=["*"] if fixed else [],
            delete_before_replace=True,
        ),
    )
    return pulumi.Output.all(credential.id, credential.secret).apply(lambda known: Login(*known))
