"""The way into the cloud: the user's own login, and any other one to the same place."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

from cluster.errors import CloudError

PATIENCE = 60
"""Seconds that one answer of the cloud may take."""
CHECK = "check OS_CLOUD and clouds.yaml, or the OS_* variables"
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
        try:
            if not chosen():
                raise _unchosen(clouds())
            connection = openstack.connect(api_timeout=PATIENCE)
            # Not authorize(), which hides what kind of failure it was.
            connection.session.get_token()
        except (AttributeError, TypeError, ValueError) as error:
            # openstacksdk doesn't look whether clouds.yaml has text where text belongs, and a URL where a URL does.
            raise CloudError(
                f"there is no usable cloud login - it has no valid form: {first_line(error)} - {CHECK}"
            ) from None
        return connection


def chosen() -> bool:
    """Whether a variable says which cloud is meant."""
    return bool(os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"))


def clouds() -> list[str]:
    """The clouds of clouds.yaml.

    Raises:
        CloudError: there is none.
    """
    names = sorted(set(OpenStackConfig().get_cloud_names()) - {"envvars", "defaults"})
    if not names:
        why = _useless() or "no clouds.yaml here or in ~/.config/openstack, and no OS_* variables"
        raise CloudError(
            f"there is no login to a cloud - {why} - download clouds.yaml from your cloud's dashboard (API Access)"
        )
    return names


def _unchosen(names: list[str]) -> CloudError:
    name = names[0] if len(names) == 1 else "NAME"
    return CloudError(f"no cloud is chosen - clouds.yaml has {', '.join(names)} - export OS_CLOUD={name}")


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
    return "it names no cloud"


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
    except auth_errors.Unauthorized as error:
        raise CloudError(f"the cloud refuses the login - {first_line(error)} - {CHECK}") from None
    except (auth_errors.ConnectFailure, auth_errors.ConnectTimeout) as error:
        raise CloudError(
            f"the cloud is out of reach - {_unconnected(error)} - check the network and auth_url"
        ) from None
    except auth_errors.SSLError as error:
        raise CloudError(
            f"the cloud isn't trusted - {_unconnected(error)} - check auth_url, or name its authority: OS_CACERT=FILE"
        ) from None
    except auth_errors.HttpServerError as error:
        raise CloudError(f"the cloud fails to answer - {first_line(error)} - try again, or ask its operators") from None
    except (auth_errors.ClientException, sdk_errors.ConfigException) as error:
        raise CloudError(f"there is no usable cloud login - {first_line(error)} - {CHECK}") from None
    except sdk_errors.SDKException as error:
        raise CloudError(f"the cloud fails to answer - {first_line(error)} - try again, or ask its operators") from None


def _unconnected(error: Exception) -> str:
    """What a failed connection was to, and its cause, out of the line that has all of urllib3's objects."""
    what, _, objects = first_line(error).partition(": HTTP")
    cause = _CAUSE.search(objects)
    return f"{what}: {cause[1].strip()}" if cause else what


def first_line(error: Exception) -> str:
    """What an exception says first."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
