"""Logging in to the cloud, as one of its ordinary users or its administrator."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from localcloud.services import ENDPOINTS, REGION

if TYPE_CHECKING:
    from openstack.connection import Connection

PROJECTS = {"physicist": "physics", "biologist": "biology"}
"""The ordinary users, each with a project of his own."""
USER, NEIGHBOUR = PROJECTS


def auth(user: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """How `admin` or an ordinary user logs in."""
    return {
        "auth_url": f"http://127.0.0.1:{ENDPOINTS['keystone']}/v3",
        "username": user,
        "password": secrets[user],
        "project_name": PROJECTS.get(user, "admin"),
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }


def connect(user: str, secrets: Mapping[str, str]) -> "Connection":
    """A connection to the cloud from this machine."""
    # Here, because it takes most of a second, which every ssh to a guest would wait for.
    import openstack  # noqa: PLC0415

    with warnings.catch_warnings():
        # Without any clouds.yaml it believes that metrics go to InfluxDB, and warns of it.
        warnings.simplefilter("ignore")
        # Neither the user's clouds.yaml nor his environment has a say here.
        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth=auth(user, secrets),
            region_name=REGION,
            identity_api_version="3",
        )
