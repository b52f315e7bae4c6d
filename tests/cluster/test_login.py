"""Whose login it is, and what a user is told when it fails."""

from pathlib import Path
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack
import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from cluster import login
from cluster.errors import CloudError
from tests.cluster.made_up import token


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (auth_errors.Unauthorized("bad"), "the cloud refuses the login"),
        (auth_errors.ConnectFailure("no route"), "the cloud is out of reach - no route"),
        (auth_errors.MissingRequiredOptions([]), "there is no usable cloud login"),
        (openstack.exceptions.SDKException("500"), "the cloud fails to answer - 500"),
    ],
)
def test_a_login_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setenv("OS_CLOUD", "mine")
    monkeypatch.setattr(openstack, "connect", refuse)
    with pytest.raises(CloudError, match=says):
        login.connect()


@pytest.mark.parametrize(
    "cloud", ["5", "{auth: nonsense}", "{auth: {auth_url: 'http://[::1/v3', username: u, password: hush}}"]
)
def test_a_clouds_yaml_of_another_form_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cloud: str) -> None:
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{mine: {cloud}}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.setenv("OS_CLOUD", "mine")
    with pytest.raises(CloudError, match="there is no usable cloud login - it has no valid form: ") as raised:
        login.connect()
    assert "hush" not in str(raised.value)


def test_another_login_goes_to_the_same_place_with_nothing_of_the_first() -> None:
    config = OpenStackConfig(load_yaml_config=False, load_envvars=False).get_one(
        auth_type="password",
        auth={"auth_url": "http://keystone/", "username": "me", "password": "mine"},
        region_name="R",
        interface="internal",
        verify=False,
    )
    mine = Connection(config=config)
    theirs = login.connect_as(login.Login("id", "hush"), mine)
    auth: Any = theirs.session.auth
    (method,) = auth.auth_methods
    assert (auth.auth_url, method.application_credential_id, method.application_credential_secret) == (
        "http://keystone/v3",
        "id",
        "hush",
    )
    assert theirs.session.verify is False
    assert (theirs.config.region_name, theirs.config.get_interface()) == ("R", "internal")


def test_the_secret_of_a_login_is_not_shown() -> None:
    assert "hush" not in repr(login.Login("id", "hush"))


def test_another_project_is_refused_because_everything_would_seem_gone_there(cloud: Any) -> None:
    login.require_project("project", cloud)
    with pytest.raises(CloudError, match="this login is for the project project - the cluster is in other"):
        login.require_project("other", cloud)


def test_the_catalogue_is_the_services_urls(cloud: Any) -> None:
    cloud.token = token(catalogue={"image": ["http://a", "http://b"]})
    assert login.catalogue(cloud) == {"image": ("http://a", "http://b")}


def test_the_clouds_to_choose_from_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(OpenStackConfig, "get_cloud_names", lambda _: ["mine", "envvars", "defaults", "lab"])
    with pytest.raises(CloudError, match=r"^no cloud is chosen - clouds.yaml has lab, mine - export OS_CLOUD=NAME$"):
        login.connect()
