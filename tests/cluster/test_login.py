"""Whose login it is, and what a user is told when it fails."""

from pathlib import Path
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack
import pytest
import yaml
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
        (auth_errors.ServiceUnavailable("503"), "the cloud fails to answer - 503"),
        (auth_errors.Forbidden("403"), "this login may not do that - 403 .* - ask who runs the project"),
        (
            openstack.exceptions.ForbiddenException("403"),
            "this login may not do that - .* - ask",
        ),
        (
            auth_errors.ConnectFailure(
                "Unable to establish connection to http://k/v3: HTTPConnectionPool(host='k', port=80): Max retries "
                "(Caused by NewConnectionError('HTTPConnection(host='k'): [Errno 111] Connection refused'))"
            ),
            "the cloud is out of reach - Unable to establish connection to http://k/v3: Connection refused - ",
        ),
        (
            auth_errors.SSLError(
                "SSL exception connecting to https://k: HTTPSConnectionPool(host='k', port=443): Max retries (Caused "
                "by SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] verify failed: self-signed (_ssl.c:1006)'))"
            ),
            "the cloud isn't trusted - SSL exception connecting to https://k: verify failed: self-signed - ",
        ),
    ],
)
def test_a_login_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    def refuse(**_: object) -> None:
        raise error

    monkeypatch.setenv("OS_AUTH_URL", "http://k/v3")
    monkeypatch.setattr(openstack, "connect", refuse)
    with pytest.raises(CloudError, match=says):
        login.connect()


FULL = {"auth_url": "http://127.0.0.1:9/v3", "username": "u", "password": "hush", "project_name": "p"}


def auth(**changes: str | None) -> str:
    """A clouds.yaml whose login has these entries in place of the usual ones, None for none."""
    return yaml.safe_dump({"clouds": {"mine": {"auth": {k: v for k, v in {**FULL, **changes}.items() if v}}}})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (auth(password=None), r"clouds.yaml has no password for cloud mine - .* - add `password: '…'` below `auth:`$"),
        (auth(auth_url="127.0.0.1:9"), "auth_url is '127.0.0.1:9', which is no URL - write it as https://HOST:5000/v3"),
        (auth(auth_url="http://[::1/v3"), "what clouds.yaml has for cloud mine is no login's form - it wants `auth:` "),
        ("clouds: {mine: 5}", "what clouds.yaml has for cloud mine is no login's form - "),
        ("clouds: {mine: }", "what clouds.yaml has for cloud mine is no login's form - "),
        ("clouds: {mine: {auth: null}}", "what clouds.yaml has for cloud mine is no login's form - "),
        ("clouds: {mine: {auth: nonsense}}", "what clouds.yaml has for cloud mine is no login's form - "),
        ("clouds: {lab: {}, yours: {}}", "^OS_CLOUD is 'mine' - clouds.yaml has lab, yours - export OS_CLOUD=NAME"),
        ("clouds:", "clouds.yaml: it has no cloud below `clouds:` - mend it, or download "),
        ("- mine", "clouds.yaml: it has no cloud below `clouds:` - mend it, or download "),
        ("", "clouds.yaml: it has no cloud below `clouds:` - mend it, or download "),
        ("clouds: {mine: @hush}", "clouds.yaml: line 1 isn't valid YAML, a password may want quotes - "),
        (auth(), "^the cloud is out of reach - Unable to .* http://127.0.0.1:9/v3/auth/tokens: Connection refused - "),
        # Without a version in the URL it asks for those that there are.
        (
            auth(auth_url="http://127.0.0.1:9"),
            "^the cloud is out of reach - Unable to .* http://127.0.0.1:9: Connection ref",
        ),
    ],
)
def test_a_slip_in_the_chosen_clouds_login_is_one_line_without_the_password(
    unset: pytest.MonkeyPatch, tmp_path: Path, content: str, says: str
) -> None:
    (tmp_path / "clouds.yaml").write_text(content)
    unset.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    unset.setenv("OS_CLOUD", "mine")
    with pytest.raises(CloudError, match=says) as raised:
        login.connect()
    assert "hush" not in str(raised.value)


def test_variables_without_a_password_are_told_which(unset: pytest.MonkeyPatch) -> None:
    unset.setenv("OS_AUTH_URL", "http://127.0.0.1:9/v3")
    unset.setenv("OS_USERNAME", "me")
    with pytest.raises(CloudError, match="have no password - OS_PASSWORD isn't set - export it"):
        login.connect()


def test_a_profile_that_is_not_known_prints_nothing(
    unset: pytest.MonkeyPatch, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "clouds.yaml").write_text(auth().replace("mine:", "mine:\n    profile: nonsense"))
    unset.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    unset.setenv("OS_CLOUD", "mine")
    with pytest.raises(CloudError, match="out of reach"):
        login.connect()
    assert [str(warning.message) for warning in recwarn if "profile" in str(warning.message)] == []


def test_why_the_clouds_versions_are_not_told_is_what_is_said() -> None:
    why = auth_errors.DiscoveryFailure("Could not find versioned identity endpoints")
    why.__context__ = auth_errors.ServiceUnavailable("busy")
    with pytest.raises(CloudError, match=r"^the cloud fails to answer - busy \(HTTP 503\) - "), login.translated():
        raise why


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


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A shell that names no cloud."""
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_CLIENT_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(login, "CONFIG_FILES", [])
    return monkeypatch


def test_the_clouds_to_choose_from_are_named(unset: pytest.MonkeyPatch) -> None:
    unset.setattr(OpenStackConfig, "get_cloud_names", lambda _: ["mine", "envvars", "defaults", "lab"])
    with pytest.raises(CloudError, match=r"^no cloud is chosen - clouds.yaml has lab, mine - export OS_CLOUD=NAME$"):
        login.connect()


def test_the_only_cloud_is_named_in_the_command_that_chooses_it(unset: pytest.MonkeyPatch) -> None:
    unset.setattr(OpenStackConfig, "get_cloud_names", lambda _: ["mine"])
    with pytest.raises(CloudError, match=r" - export OS_CLOUD=mine$"):
        login.connect()


def test_who_has_no_login_is_told_where_to_get_one(unset: pytest.MonkeyPatch) -> None:
    unset.setattr(OpenStackConfig, "get_cloud_names", lambda _: [])
    with pytest.raises(
        CloudError,
        match=r"^there is no login to a cloud - .* - download .* into ~/.config/openstack, and add `pass",
    ):
        login.connect()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"clouds:\n  mine: {auth: {password: @hush}}\n", "line 2 isn't valid YAML, a password may want quotes"),
        (b"\x00\xff\xfe", "it isn't text"),
        (b"clouds: {}", "it has no cloud below `clouds:`"),
        (b"", "it has no cloud below `clouds:`"),
    ],
)
def test_a_clouds_yaml_that_is_of_no_use_is_named_with_why(
    unset: pytest.MonkeyPatch, tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_bytes(content)
    unset.setattr(login, "CONFIG_FILES", [str(file)])
    unset.setattr(OpenStackConfig, "get_cloud_names", lambda _: [])
    with pytest.raises(CloudError) as raised:
        login.connect()
    assert str(raised.value).startswith(f"there is no login to a cloud - {file}: {says} - ")
    assert "hush" not in str(raised.value)
