"""What a user may write, and what they are told when it is wrong."""

import pytest

from cluster import settings
from cluster.errors import SettingsError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF0NkO1JhvTgFNn5Zq2S0dWqAx3wmNfwZP4m7l7bHcnZ alice@home"
GOOD = {"ecm:image": "debian", "ecm:masterFlavor": "m", "ecm:slaveFlavor": "s", "ecm:keyName": "k"}


def test_the_least_that_is_needed_gives_the_defaults() -> None:
    read = settings.read(GOOD)
    assert (read.max_slaves, read.min_slaves, read.jobs_per_slave, read.slave_security_group) == (
        10,
        0,
        None,
        "default",
    )


def test_numbers_come_as_strings_as_pulumi_gives_them() -> None:
    assert settings.read(GOOD | {"ecm:maxSlaves": "7", "ecm:idleTime": "60"}).max_slaves == 7


def test_other_namespaces_are_not_ours() -> None:
    settings.read(GOOD | {"openstack:region": "x", "pulumi:tags": "{}"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ecm:maxSlave": "3"}, "ecm:maxSlave is no setting - did you mean ecm:maxSlaves?"),
        ({"ecm:maxSlaves": "many"}, 'ecm:maxSlaves is "many" - it should be a valid integer'),
        ({"ecm:idleTime": "1"}, 'ecm:idleTime is "1" - it should be greater than or equal to 10'),
        ({"ecm:minSlaves": "5", "ecm:maxSlaves": "2"}, "minSlaves is 5 and maxSlaves 2"),
        ({"ecm:image": ""}, 'ecm:image is ""'),
        ({"ecm:os": "debian-14"}, "ecm:os: 'debian-14' is no system known here - did you mean debian-1"),
        ({"ecm:slaveOs": "beos"}, "ecm:slaveOs: 'beos' is no system known here - take one of: debian-12"),
        ({"ecm:docker": "perhaps"}, 'ecm:docker is "perhaps" - it should be a valid boolean'),
        ({"ecm:orphanTime": "60"}, "greater than or equal to 600"),
        ({"ecm:slavePackages": "git htop"}, "ecm:slavePackages: 'git htop' is no list or map"),
        ({"ecm:slavePackages": '["git; reboot"]'}, "is no list of packages"),
        ({"ecm:slavePackages": '["-o=x"]'}, "is no list of packages"),
        ({"ecm:slavePackages": '{"git": 1}'}, "is no list of packages"),
        ({"ecm:users": '["alice"]'}, "ecm:users: ['alice'] is no map of account names"),
        ({"ecm:users": '{"root": ["ssh-ed25519 x"]}'}, "ecm:users: no account can be made with the name 'root'"),
        ({"ecm:users": '{"Alice": ["ssh-ed25519 x"]}'}, "ecm:users: no account can be made with the name 'Alice'"),
        ({"ecm:users": '{"alice": []}'}, "ecm:users: alice has no list of public ssh keys"),
        ({"ecm:users": '{"alice": ["ssh-ed25519 x"]}'}, "ecm:users: alice has no list of public ssh keys"),
        ({"ecm:users": f'{{"alice": "{KEY}"}}'}, "ecm:users: alice has no list of public ssh keys"),
        ({"ecm:users": f'{{"alice": ["command=x {KEY}"]}}'}, "ecm:users: alice has no list of public ssh keys"),
        ({"ecm:endpoints": "admin"}, "ecm:endpoints is \"admin\" - it should be 'public' or 'internal'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(change: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.read(GOOD | change)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_everything_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(SettingsError, match=r"ecm:image is not set.*; ecm:masterFlavor is not set"):
        settings.read({"ecm:slaveFlavor": "s"})


def test_a_secret_is_never_shown() -> None:
    read = settings.read(GOOD | {"ecm:masterBackendUrl": "postgres://me:hush@host/db"})
    assert "hush" not in repr(read)


def test_lists_and_maps_come_as_json_as_pulumi_gives_them() -> None:
    read = settings.read(
        GOOD
        | {"ecm:users": f'{{"alice": ["{KEY}"]}}', "ecm:slavePackages": '["git", "g++", "python3.12", "@development"]'}
    )
    assert read.users == {"alice": (KEY,)}
    assert read.slave_packages == ("git", "g++", "python3.12", "@development")
    assert settings.read(GOOD).users == {}
