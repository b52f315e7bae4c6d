"""The master gets a way to the state, with a login of its own where there is one, or the user is told what lacks."""

from pathlib import Path
from typing import Any

import pytest

from cluster import backend
from cluster.errors import SettingsError
from tests.cluster.made_up import settings

PHRASE = {"PULUMI_CONFIG_PASSPHRASE": "phrase"}
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hush"}
SWIFT = {"identity": ["http://cloud:5000"], "object-store": ["http://cloud:8080/v1/AUTH_project"]}
RGW = {"object-store": ["http://cloud:8080/swift/v1/AUTH_project"]}


def handed(environment: dict[str, str], **changes: Any) -> dict[str, str]:
    return dict(backend.for_master(settings(**changes), PHRASE | environment, {}).environment)


@pytest.mark.parametrize(
    ("environment", "changes", "url"),
    [
        ({"PULUMI_BACKEND_URL": "postgres://a"}, {}, "postgres://a"),
        ({"PULUMI_BACKEND_URL": "file:///x", "ECM_MASTER_BACKEND_URL": "postgres://b"}, {}, "postgres://b"),
        ({"ECM_MASTER_BACKEND_URL": "postgres://b"}, {"masterBackendUrl": "postgres://c"}, "postgres://c"),
    ],
)
def test_the_setting_goes_before_the_masters_variable_and_that_before_the_users(
    environment: dict[str, str], changes: dict[str, str], url: str
) -> None:
    assert handed(environment, **changes) == {"PULUMI_BACKEND_URL": url} | PHRASE


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no URL is set"),
        ("file:///tmp/state", "a file:// backend serves one machine only, in a shared folder too"),
        ("postgres://me:hush@localhost/db", "localhost is this machine only"),
        ("postgres://me:hush@127.0.0.2:5432/db", "127.0.0.2 is this machine only"),
        ("s3://state?endpoint=localhost:9000", "localhost is this machine only"),
        ("postgres:///db?host=/run/postgresql&password=hush", "localhost is this machine only"),
        ("postgres:///db", "localhost is this machine only"),
        ("postgres:///db?host=127.0.0.1", "127.0.0.1 is this machine only"),
        ("mysql://db", "mysql is no backend that is known here"),
        ("postgres://me:hush@[::1/db", "its URL can't be read"),
        ("s3://state?endpoint=[::1", "its URL can't be read"),
        ("db.example.org", "its URL is no backend that is known here"),
    ],
)
def test_a_state_that_the_master_cannot_reach_is_refused(url: str, why: str) -> None:
    with pytest.raises(SettingsError) as raised:
        handed({"PULUMI_BACKEND_URL": url} | KEYS)
    assert f"the master has no way to the stack's state - {why}" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_password_that_only_this_shell_has_is_asked_for_in_the_masters_url() -> None:
    mine = {"PULUMI_BACKEND_URL": "postgres://me@10.0.0.1/x", "PGPASSWORD": "hush"}
    with pytest.raises(
        SettingsError, match="its password is in PGPASSWORD, which the master doesn't get - set ECM_MAS"
    ):
        handed(mine)
    own = mine | {"ECM_MASTER_BACKEND_URL": "postgres://you:y@10.0.0.1/x"}
    assert handed(own) == {"PULUMI_BACKEND_URL": "postgres://you:y@10.0.0.1/x"} | PHRASE


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("s3://b?endpoint=https://minio.example.org", KEYS | {"AWS_REGION": "r"}),
        ("s3://b", KEYS | {"AWS_SESSION_TOKEN": "t"}),
        ("azblob://c", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_SAS_TOKEN": "hush"}),
        ("https://api.pulumi.com", {"PULUMI_ACCESS_TOKEN": "hush"}),
    ],
)
def test_the_variables_of_the_backends_login_are_passed_on_and_no_others(url: str, login: dict[str, str]) -> None:
    others = {"OS_PASSWORD": "mine", "AWS_PROFILE": "mine", "PATH": "/bin"}
    assert handed({"PULUMI_BACKEND_URL": url} | login | others) == {"PULUMI_BACKEND_URL": url} | login | PHRASE


def test_the_masters_own_login_goes_before_the_users() -> None:
    own = {f"ECM_MASTER_{name}": f"own {value}" for name, value in KEYS.items()}
    given = handed({"PULUMI_BACKEND_URL": "s3://b"} | KEYS | own)
    assert given["AWS_ACCESS_KEY_ID"] == "own id"
    assert given["AWS_SECRET_ACCESS_KEY"] == "own hush"


@pytest.mark.parametrize(
    ("url", "lacks"),
    [
        ("s3://b", "needs AWS_ACCESS_KEY_ID - set ECM_MASTER_AWS_ACCESS_KEY_ID"),
        ("gs://b", "needs GOOGLE_CREDENTIALS"),
        ("azblob://c", "needs AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"),
        ("https://api.pulumi.com", "needs PULUMI_ACCESS_TOKEN"),
    ],
)
def test_a_login_that_lacks_a_part_is_refused(url: str, lacks: str) -> None:
    with pytest.raises(SettingsError, match=lacks):
        handed({"PULUMI_BACKEND_URL": url})


def test_googles_key_becomes_one_line() -> None:
    given = handed({"PULUMI_BACKEND_URL": "gs://b", "GOOGLE_CREDENTIALS": '{\n "type": "service_account"\n}'})
    assert given["GOOGLE_CREDENTIALS"] == '{"type": "service_account"}'
    with pytest.raises(SettingsError, match="GOOGLE_CREDENTIALS is no JSON"):
        handed({"PULUMI_BACKEND_URL": "gs://b", "GOOGLE_CREDENTIALS": "/home/me/key.json"})


def test_the_passphrase_comes_from_a_file_too_and_may_be_empty(tmp_path: Path) -> None:
    url = {"PULUMI_BACKEND_URL": "postgres://a"}
    file = tmp_path / "phrase"
    file.write_text("of a file\n")
    from_file = backend.for_master(settings(), url | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}, {})
    assert from_file.environment["PULUMI_CONFIG_PASSPHRASE"] == "of a file"
    empty = backend.for_master(settings(), url | {"PULUMI_CONFIG_PASSPHRASE": ""}, {})
    assert empty.environment["PULUMI_CONFIG_PASSPHRASE"] == ""


def test_without_a_passphrase_the_master_could_not_read_the_state(tmp_path: Path) -> None:
    url = {"PULUMI_BACKEND_URL": "postgres://a"}
    with pytest.raises(SettingsError, match="there is no passphrase"):
        backend.for_master(settings(), url, {})
    with pytest.raises(SettingsError, match="PULUMI_CONFIG_PASSPHRASE_FILE can't be read"):
        backend.for_master(settings(), url | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "none")}, {})
    (tmp_path / "picture").write_bytes(b"\xff\xd8")
    with pytest.raises(SettingsError, match="PULUMI_CONFIG_PASSPHRASE_FILE can't be read - it isn't text"):
        backend.for_master(settings(), url | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "picture")}, {})
    on_cloud = {"PULUMI_BACKEND_URL": "https://api.pulumi.com", "PULUMI_ACCESS_TOKEN": "t"}
    assert "PULUMI_CONFIG_PASSPHRASE" not in backend.for_master(settings(), on_cloud, {}).environment


@pytest.mark.parametrize(
    ("environment", "warns"),
    [
        ({"PULUMI_BACKEND_URL": "postgres://me:hush@10.0.0.1/x"}, "ECM_MASTER_BACKEND_URL"),
        ({"PULUMI_BACKEND_URL": "postgres://10.0.0.1/x?user=me&password=hush"}, "ECM_MASTER_BACKEND_URL"),
        ({"PULUMI_BACKEND_URL": "postgres://10.0.0.1/x"}, ""),
        ({"PULUMI_BACKEND_URL": "postgres://me:x@db/x", "ECM_MASTER_BACKEND_URL": "postgres://you:y@10.0.0.1/x"}, ""),
        ({"PULUMI_BACKEND_URL": "s3://b", **KEYS}, "ECM_MASTER_AWS_ACCESS_KEY_ID, ECM_MASTER_AWS_SECRET_ACCESS_KEY"),
        ({"PULUMI_BACKEND_URL": "s3://b", **{f"ECM_MASTER_{name}": value for name, value in KEYS.items()}}, ""),
    ],
)
def test_the_users_own_login_in_the_masters_hands_is_warned_of(environment: dict[str, str], warns: str) -> None:
    warnings = backend.for_master(settings(), PHRASE | environment, {}).warnings
    assert bool(warnings) == bool(warns)
    assert warns in "".join(warnings)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgres://db.site/x", False),
        ("postgres://db.site/x?sslmode=require", False),
        ("postgres://198.18.0.1/x?sslmode=verify-full", True),
        ("postgres://8.8.8.8/x", False),
        ("postgres://192.168.3.4/x", True),
        ("postgres:///x?host=192.168.3.4", True),
    ],
)
def test_a_state_that_can_be_read_on_the_way_is_warned_of(url: str, safe: bool) -> None:
    warnings = backend.for_master(settings(), PHRASE | {"PULUMI_BACKEND_URL": url}, {}).warnings
    assert ("put sslmode=verify-full in the URL" in "".join(warnings)) is not safe


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sslmode=verify-full&sslrootcert=/home/me/ca.pem", "sslrootcert"),
        ("sslmode=verify-ca&sslrootcert=ca.pem&sslcert=me.pem&sslkey=hush", "sslrootcert, sslcert, sslkey"),
        ("sslmode=verify-full&sslrootcert=system", ""),
        ("sslmode=verify-full&sslinline=true&sslrootcert=PEM&sslcert=PEM&sslkey=hush", ""),
        ("sslmode=verify-full", ""),
    ],
)
def test_a_file_that_the_states_url_names_has_to_be_on_the_master_too(query: str, names: str) -> None:
    environment = PHRASE | {"PULUMI_BACKEND_URL": f"postgres://10.0.0.9/x?{query}"}
    warned = "".join(backend.for_master(settings(), environment, {}).warnings)
    assert (f"names a file by {names} - " in warned) if names else not warned
    assert "hush" not in warned


def of_cloud(catalogue: dict[str, list[str]], endpoint: str = "http://cloud:8080") -> str:
    own = {f"ECM_MASTER_{name}": value for name, value in KEYS.items()}
    environment = PHRASE | own | {"PULUMI_BACKEND_URL": f"s3://b?endpoint={endpoint}&region=R"}
    return "; ".join(backend.for_master(settings(), environment, catalogue).warnings)


def test_ec2_credentials_of_this_clouds_keystone_are_warned_of() -> None:
    assert "carries its user's full power" in of_cloud(SWIFT)
    assert "carries its user's full power" in of_cloud(RGW)
    assert of_cloud(SWIFT, "https://minio.example.org") == ""
    assert of_cloud({}) == ""


def test_swift_is_warned_of_because_it_can_lose_an_update_and_ceph_is_not() -> None:
    assert "is Swift - it is only eventually consistent" in of_cloud(SWIFT)
    assert "is Swift" not in of_cloud(RGW)
