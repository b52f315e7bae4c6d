"""How users find the cloud: folders, secrets, environment, guests' names."""

import shlex
import stat
from pathlib import Path

import pytest
import yaml

from localcloud import access, guests, paths, secrets
from localcloud.guests import Guest
from localcloud.paths import Paths

SECRETS = {name: f"secret-of-{name}" for name in secrets.NAMES}


@pytest.fixture
def own(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "cache with a space")
    made.make()
    return made


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ECM_CACHE": "/a"}, "/a/localcloud"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/elastic-condor/localcloud"),
        ({"HOME": "/c"}, "/c/.cache/elastic-condor/localcloud"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ECM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(paths.default_paths().cache) == expected


def test_nobody_else_enters_the_cache(own: Paths) -> None:
    assert stat.S_IMODE(own.cache.stat().st_mode) == 0o700


def test_secrets_are_made_once_and_readable_by_their_owner_only(own: Paths) -> None:
    first = secrets.load_or_make(own)
    assert first == secrets.load_or_make(own) == secrets.load(own)
    assert len(set(first.values())) == len(secrets.NAMES)
    assert stat.S_IMODE((own.state / "secrets.json").stat().st_mode) == 0o600


def test_the_ssh_key_is_made_once(own: Paths) -> None:
    secrets.make_ssh_key(own)
    key = own.key.read_bytes()
    secrets.make_ssh_key(own)
    assert own.key.read_bytes() == key
    assert stat.S_IMODE(own.key.stat().st_mode) == 0o600


def test_clouds_yaml_has_two_ordinary_users_and_an_administrator(own: Paths) -> None:
    access.write_files(own, SECRETS)
    clouds = yaml.safe_load(own.clouds_yaml.read_text())["clouds"]
    assert {name: (cloud["auth"]["username"], cloud["auth"]["project_name"]) for name, cloud in clouds.items()} == {
        "localcloud": ("physicist", "physics"),
        "localcloud-biology": ("biologist", "biology"),
        "localcloud-admin": ("admin", "admin"),
    }
    assert stat.S_IMODE(own.clouds_yaml.stat().st_mode) == 0o600


def test_env_leads_every_tool_to_the_cloud(own: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "of another cloud")
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(access, "REPO", own.cache)
    lines = list(access.environment(own, SECRETS))
    assert "unset OS_PASSWORD" in lines
    exported = dict(shlex.split(line)[1].split("=", 1) for line in lines if line.startswith("export "))
    assert exported["OS_CLIENT_CONFIG_FILE"] == str(own.clouds_yaml)
    assert exported["OS_CLOUD"] == "localcloud"
    assert exported["PULUMI_BACKEND_URL"].startswith("postgres://laptop:secret-of-postgres_laptop@127.0.0.1:5432/")
    assert exported["ECM_MASTER_BACKEND_URL"].startswith("postgres://master:secret-of-postgres_master@172.24.4.1:5432/")
    assert exported["PATH"].endswith(".venv/bin:$PATH")


ALIVE = Guest("worker", "ACTIVE", ("10.77.0.9",), ("172.24.4.20",))
DEAD = Guest("worker", "ERROR", (), ())


@pytest.mark.parametrize("host", ["worker", "10.77.0.9", "172.24.4.20"])
def test_a_guest_is_found_by_name_and_by_address_an_active_one_first(host: str) -> None:
    assert guests.resolve(host, [DEAD, ALIVE]) == ALIVE


def test_the_way_to_a_guest_leads_through_one_of_its_own_project() -> None:
    inner = Guest("inner", "ACTIVE", ("10.77.0.10",), (), "physics")
    beside, foreign, ends = (
        Guest(name, status, ("10.77.0.9",), ("172.24.4.20",), project)
        for name, status, project in (
            ("beside", "ACTIVE", "physics"),
            ("foreign", "ACTIVE", "biology"),
            ("ends", "ERROR", "physics"),
        )
    )
    assert guests.jumps(inner, [foreign, ends, beside, inner]) == [beside]
    assert guests.jumps(beside, [foreign, beside, inner]) == []


def test_an_unknown_guest_is_not_found() -> None:
    assert guests.resolve("10.77.0.10", [ALIVE]) is None
