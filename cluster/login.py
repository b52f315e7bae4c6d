"""The way into the cloud: the user's own login, and any other one to the same place."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack
import openstack.exceptions as sdk_errors
import yaml
from keystoneauth1.access.access import AccessInfoV3
from keystoneauth1.identity.v3 import ApplicationCredential
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.config.loader import CONFIG_FILES
from openstack.connection import Connection
from openstack.warnings import ConfigurationWarning

from cluster.errors import CloudError

PATIENCE = 60
"""Seconds that one answer of the cloud may take."""
CHECK = "check OS_CLOUD and clouds.yaml, or the OS_* variables"
LATER = "try again, or ask its operators"
FORM = "it wants `auth:` with auth_url, username, password and project_name below the cloud's name"
PASSWORD = (None, "password", "v3password")
"""Kinds of login that take one."""
_CAUSE = re.compile(r"\[(?:Errno -?\d+|SSL: \w+)\] ([^'\"()]+)")
"""In what urllib3 says of a failed connection."""


@dataclass(frozen=True, slots=True)
class Login:
    """An application credential."""

    id: str
    secret: str = field(repr=False)


def connect() -> Connection:
    """A connection by the user's clouds.yaml or OS_* variables.

    Raises:
        CloudError: there is no login, or the cloud refuses it or is out of reach.
    """
    # It would print a line of its own beside the one error.
    logging.getLogger("keystoneauth").setLevel(logging.ERROR)
    with translated():
        _require_choice()
        try:
            with warnings.catch_warnings():
                # A profile that it doesn't know: what matters of that, such as no URL, is an error of its own.
                warnings.simplefilter("ignore", ConfigurationWarning)
                connection = openstack.connect(api_timeout=PATIENCE)
            _require_form(connection.config)
            # Not authorize(), which hides what kind of failure it was.
            connection.session.get_token()
        except (AttributeError, TypeError, ValueError):
            # openstacksdk doesn't look whether clouds.yaml has text where text belongs, and a URL where a URL does.
            name = os.environ.get("OS_CLOUD") or "envvars"
            raise CloudError(
                f"there is no usable cloud login - what {_source(name)} is no login's form - {FORM}"
            ) from None
        return connection


def _require_choice() -> None:
    """Makes sure that the variables name a login that is there."""
    if os.environ.get("OS_AUTH_URL"):
        return
    name, names = os.environ.get("OS_CLOUD"), clouds()
    if not name:
        only = names[0] if len(names) == 1 else "NAME"
        raise CloudError(f"no cloud is chosen - clouds.yaml has {', '.join(names)} - export OS_CLOUD={only}")
    if name not in names:
        raise CloudError(
            f"OS_CLOUD is {name!r} - clouds.yaml has {', '.join(names)} - export OS_CLOUD=NAME, one of these"
        )


def _require_form(config: CloudRegion) -> None:
    """Makes sure of what openstacksdk takes as it is, and keystoneauth stumbles over."""
    url = config.auth.get("auth_url", "")
    if not url.startswith(("http://", "https://")):
        raise CloudError(
            f"there is no usable cloud login - auth_url is {url!r}, which is no URL - write it as https://HOST:5000/v3"
        )
    if config.config.get("auth_type") in PASSWORD and not config.auth.get("password"):
        if config.name == "envvars":
            raise CloudError("the OS_* variables have no password - OS_PASSWORD isn't set - export it")
        raise CloudError(
            f"clouds.yaml has no password for cloud {config.name} - the file of a dashboard comes without it - "
            "add `password: '…'` below `auth:`"
        )


def _source(name: str) -> str:
    return "the OS_* variables say" if name == "envvars" else f"clouds.yaml has for cloud {name}"


def chosen() -> bool:
    """Whether a variable says which cloud is meant."""
    return bool(os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"))


def clouds() -> list[str]:
    """The clouds of clouds.yaml.

    Raises:
        CloudError: there is none.
    """
    try:
        names = sorted(set(OpenStackConfig().get_cloud_names()) - {"envvars", "defaults"})
    except (AttributeError, TypeError, ValueError, sdk_errors.ConfigException):
        names = []
    if not names:
        why = _useless()
        raise CloudError(
            f"there is no login to a cloud - {why or 'no clouds.yaml here or in ~/.config/openstack'} - "
            f"{'mend it, or ' if why else ''}download clouds.yaml from your cloud's dashboard (API Access) into "
            "~/.config/openstack, and add `password: '…'` below its `auth:`"
        )
    return names


def _useless() -> str:
    """Why the clouds.yaml that is there serves for nothing; empty without one. openstacksdk passes over such files."""
    for file in map(Path, [os.environ.get("OS_CLIENT_CONFIG_FILE", ""), *CONFIG_FILES]):
        if file.is_file():
            return f"{file}: {_flaw(file)}"
    return ""


def _flaw(file: Path) -> str:
    try:
        yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        return f"it can't be read, {error.strerror}"
    except yaml.MarkedYAMLError as error:
        # Not what it says itself: that quotes the line, which may hold the password.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"line {line} isn't valid YAML, a password may want quotes"
    except (UnicodeDecodeError, yaml.YAMLError):
        return "it isn't text"
    return "it has no cloud below `clouds:`"


def connect_as(login: Login, connection: Connection) -> Connection:
    """The same cloud, region and endpoints by another login. Asks the cloud nothing yet."""
    # Not openstack.connect(), which mixes the environment's password into whatever it is given.
    auth = ApplicationCredential(
        versioned(connection.config.auth["auth_url"]),
        application_credential_id=login.id,
        application_credential_secret=login.secret,
    )
    config = connection.config
    return Connection(config=CloudRegion(config.name, config.region_name, config.config, auth_plugin=auth))


def access(connection: Connection) -> AccessInfoV3:
    """What Keystone says of this login: its project, its kind.

    Raises:
        CloudError: it refuses the login.
    """
    with translated():
        auth: Any = connection.session.auth
        found: AccessInfoV3 = auth.get_access(connection.session)
        return found


def require_project(project_id: str, connection: Connection) -> None:
    """Makes sure that the login is for the project that the cluster is in.

    Raises:
        CloudError: it is for another one, where the cluster's resources would seem to be gone.
    """
    if (ours := access(connection).project_id) != project_id:
        raise CloudError(
            f"this login is for the project {ours} - the cluster is in {project_id}, none of it was touched - "
            "set OS_CLOUD, or the OS_* variables, to that project"
        )


def catalogue(connection: Connection) -> dict[str, tuple[str, ...]]:
    """The URLs of the cloud's services, by their type.

    Raises:
        CloudError: Keystone refuses the login.
    """
    listed = access(connection).service_catalog.catalog
    return {service["type"]: tuple(endpoint["url"] for endpoint in service["endpoints"]) for service in listed}


def clock(connection: Connection) -> datetime | None:
    """What time it is for the cloud, which says when servers were made: this machine's clock may be minutes off.

    None where its answers don't tell.

    Raises:
        CloudError: it doesn't answer.
    """
    with translated():
        url = connection.config.auth["auth_url"]
        told = connection.session.get(url, authenticated=False, raise_exc=False).headers.get("Date")
    return parsedate_to_datetime(told) if told else None


def versioned(url: str) -> str:
    """Keystone's URL with the version that application credentials need."""
    plain = url.rstrip("/")
    return plain if plain.endswith("/v3") else f"{plain}/v3"


@contextmanager
def translated() -> Iterator[None]:
    """Turns the libraries' errors into one line.

    Raises:
        CloudError: whatever went wrong between here and the cloud.
    """
    try:
        yield
    except (auth_errors.ClientException, sdk_errors.SDKException) as error:
        raise CloudError(_told(error)) from None


def _told(error: BaseException) -> str:
    """What a library's error comes to for the user."""
    said = first_line(error)
    match error:
        case auth_errors.DiscoveryFailure(__context__=auth_errors.ClientException() as cause):
            # Where auth_url has no version, it asks for those that there are, and what it met then is the reason.
            return _told(cause)
        case auth_errors.Unauthorized():
            what, to_do = "the cloud refuses the login", CHECK
        case auth_errors.Forbidden() | sdk_errors.ForbiddenException():
            what, to_do = "this login may not do that", "ask who runs the project for the role that may"
        case auth_errors.ConnectFailure() | auth_errors.ConnectTimeout():
            what, said, to_do = "the cloud is out of reach", _unconnected(error), "check the network and auth_url"
        case auth_errors.SSLError():
            what, said = "the cloud isn't trusted", _unconnected(error)
            to_do = "check auth_url, or name its authority: OS_CACERT=FILE"
        case auth_errors.HttpServerError():
            what, to_do = "the cloud fails to answer", LATER
        case auth_errors.ClientException() | sdk_errors.ConfigException():
            what, to_do = "there is no usable cloud login", CHECK
        case _:
            what, to_do = "the cloud fails to answer", LATER
    return f"{what} - {said} - {to_do}"


def _unconnected(error: BaseException) -> str:
    """What a failed connection was to, and its cause, out of the line that has all of urllib3's objects."""
    what, _, objects = first_line(error).partition(": HTTP")
    cause = _CAUSE.search(objects)
    return f"{what}: {cause[1].strip()}" if cause else what


def first_line(error: BaseException) -> str:
    """What an exception says first."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
