"""What a user may write, and what they are told when it is wrong."""

import json

import pytest

from cluster import settings
from cluster.errors import SettingsError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF0NkO1JhvTgFNn5Zq2S0dWqAx3wmNfwZP4m7l7bHcnZ"
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


@pytest.mark.parametrize("written", ["7", " 7", "7.0", "+7"])
def test_a_number_is_read_as_it_is_meant(written: str) -> None:
    assert settings.read(GOOD | {"ecm:maxSlaves": written}).max_slaves == 7


def test_spaces_around_a_name_are_not_part_of_it() -> None:
    assert settings.read(GOOD | {"ecm:image": " Debian 13 "}).image == "Debian 13"


def test_a_list_comes_as_json_and_names_nothing_twice() -> None:
    read = settings.read(GOOD | {"ecm:allowedCidrs": '["192.0.2.0/24", "198.51.100.7", "192.0.2.0/24"]'})
    assert read.allowed_cidrs == ("192.0.2.0/24", "198.51.100.7/32")


def test_a_secret_in_plain_text_is_found() -> None:
    values = {"ecm:masterBackendUrl": "postgres://x", "ecm:applicationCredentialSecret": "hush", "ecm:image": "i"}
    assert settings.in_plain_text(values, lambda key: key == "ecm:masterBackendUrl") == (
        "ecm:applicationCredentialSecret",
    )


def test_other_namespaces_are_not_ours() -> None:
    settings.read(GOOD | {"openstack:region": "x", "pulumi:tags": "{}"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ecm:maxSlave": "3"}, "ecm:maxSlave is no setting - did you mean ecm:maxSlaves?"),
        (
            {"ecm:maxSlaves": "many"},
            'ecm:maxSlaves is "many" - it should be a whole number - Most slaves there may be at once - pulumi config',
        ),
        ({"ecm:maxSlaves": "9" * 5000}, "999… - it should be a whole number - Most slaves"),
        ({"ecm:maxSlaves": "2.5"}, 'ecm:maxSlaves is "2.5" - it should be a whole number'),
        ({"ecm:maxSlaves": "yes"}, 'ecm:maxSlaves is "yes" - it should be a whole number'),
        ({"ecm:idleTime": "10m"}, 'ecm:idleTime is "10m" - it should be a whole number - Seconds that a slave is idle'),
        ({"ecm:waitingJobsThreshold": "9" * 100}, "it should be less than or equal to 1000000"),
        ({"ecm:docker": "maybe"}, 'ecm:docker is "maybe" - it should be true or false - Whether slaves run jobs'),
        ({"ecm:idleTime": "1"}, 'ecm:idleTime is "1" - it should be greater than or equal to 10'),
        ({"ecm:minSlaves": "5", "ecm:maxSlaves": "2"}, "minSlaves is 5 and maxSlaves 2"),
        ({"ecm:image": ""}, 'ecm:image is "" - it should not be empty - Image of master and slaves: its name or id'),
        ({"ecm:image": "  "}, 'ecm:image is "  " - it should not be empty'),
        ({"ecm:allowedCidrs": "192.0.2.0/24"}, 'ecm:allowedCidrs is "192.0.2.0/24" - it should be a list of networks'),
        ({"ecm:allowedCidrs": "[]"}, "ecm:allowedCidrs is [] - it should be a list of networks"),
        ({"ecm:allowedCidrs": '{"a": 1}'}, "it should be a list of networks - pulumi config set --path"),
        ({"ecm:allowedCidrs": '["192.0.2.1/24"]'}, "192.0.2.1/24 has host bits set"),
        ({"ecm:allowedCidrs": '["2001:db8::/32"]'}, "Expected 4 octets"),
        ({"ecm:allowedCidrs": '["everywhere"]'}, "Expected 4 octets in 'everywhere'"),
        ({"ecm:allowedCidrs": "[" * 100_000}, "[[[… - it should be a list of networks"),
        (
            {"ecm:allowedCidrs": json.dumps([f"192.0.2.{i}" for i in range(65)])},
            "ecm:allowedCidrs has 65 networks - each takes several rules of the project's quota - join them to 64",
        ),
        (
            {"ecm:MAX_VMS": "3"},
            "ecm:MAX_VMS is no setting - did you mean ecm:maxSlaves? - pulumi config rm ecm:MAX_VMS",
        ),
        ({"ecm:FLAVOR_VMS": "m"}, "did you mean ecm:slaveFlavor?"),
        ({"ecm:slaveOs": "debian-99"}, 'ecm:slaveOs is "debian-99" - there is no such system here - did you mean'),
        (
            {"ecm:os": "el-6"},
            'ecm:os is "el-6" - CentOS 6 and SL6 are past their end of life, and have no HTCondor with',
        ),
        ({"ecm:os": "centos-6"}, "CentOS 6 and SL6 are past their end of life"),
        ({"ecm:slaveOs": "sl6"}, 'ecm:slaveOs is "sl6" - CentOS 6 and SL6 are past their end of life'),
        ({"ecm:os": "centos-8"}, "their repositories are gone - take another image"),
        ({"ecm:os": "rocky-9"}, 'ecm:os is "rocky-9" - there is no such system here - did you mean el-9?'),
        ({"ecm:os": "almalinux-9"}, "did you mean el-9?"),
        ({"ecm:os": "alma9"}, "did you mean el-9?"),
        ({"ecm:os": "centos-9"}, "did you mean el-9?"),
        ({"ecm:os": "plan9"}, "there is no such system here - take one of: debian-12"),
        ({"ecm:masterPackages": "git"}, "it should be a list or map - in the stack's file write it as YAML's"),
        ({"ecm:masterPackages": "[1]"}, "ecm:masterPackages is [1] - it should be a list of packages"),
        ({"ecm:masterPackages": "[1]"}, "pulumi config set --path 'ecm:masterPackages[0]' NAME"),
        *(({"ecm:slavePackages": f'["{name}"]'}, "list of packages") for name in ("git-", "git=", "git*", "*", "-git")),
        ({"ecm:slavePackages": "[" * 100_000}, "it should be a list or map"),
        ({"ecm:users": '{"sudo": ["ssh-rsa AAAA"]}'}, 'an account "sudo" - no account can be made of that name'),
        ({"ecm:users": '{"debian": ["ssh-rsa AAAA"]}'}, 'an account "debian" - no account can be made'),
        *(
            ({"ecm:users": f'{{"{name}": ["{KEY}"]}}'}, f'an account "{name}" - no account can be made of that name')
            for name in ("systemd-coredump", "alice-", "slot1", "slot1_1", "-", "Alice")
        ),
        ({"ecm:users": '{"alice": ["ssh-rsa ä"]}'}, "ecm:users.alice is no list of public ssh keys"),
        ({"ecm:users": f'{{"alice": ["{KEY[:40]} alice@home"]}}'}, "ecm:users.alice is no list of public ssh keys"),
        ({"ecm:users": f'{{"alice": ["{KEY[:-8]} alice@home"]}}'}, "ecm:users.alice is no list of public ssh keys"),
        ({"ecm:bootVolumeGiB": "0"}, 'ecm:bootVolumeGiB is "0" - it should be greater than or equal to 1'),
        ({"ecm:bootVolumeGib": "9"}, "ecm:bootVolumeGib is no setting - did you mean ecm:bootVolumeGiB?"),
        ({"ecm:applicationCredentialId": "x"}, "ecm:applicationCredentialSecret one is set - a login needs both"),
        (
            {"ecm:proxy": "proxy.site"},
            "ecm:proxy is 'proxy.site' - it should be the URL of an HTTP proxy with its port",
        ),
        (
            {"ecm:proxy": "https://proxy.site:3128"},
            "it should be the URL of an HTTP proxy with its port - pulumi config",
        ),
        ({"ecm:proxy": "http://proxy.site"}, "with its port - pulumi config set ecm:proxy http://HOST:PORT"),
        ({"ecm:proxy": "http://proxy.site:99999"}, "Port out of range"),
        ({"ecm:proxy": "http://a' b:80"}, "it should be the URL of an HTTP proxy"),
        ({"ecm:endpoints": "admin"}, "ecm:endpoints is \"admin\" - it should be 'public' or 'internal'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(change: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.read(GOOD | change)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_packages_are_named_as_their_systems_name_them() -> None:
    names = ("git", "g++", "R", "libc6:amd64", "git=1:2.39.5-0+deb12u2", "@development", "python3.11")
    assert settings.read(GOOD | {"ecm:slavePackages": json.dumps(names)}).slave_packages == names


def test_accounts_are_named_as_people_are() -> None:
    names = {"alice", "a", "_b", "slots", "a-b", "systemd"}
    assert settings.read(GOOD | {"ecm:users": json.dumps({name: [KEY] for name in names})}).users.keys() == names


def test_accounts_come_with_their_keys() -> None:
    read = settings.read(GOOD | {"ecm:users": f'{{"alice": ["{KEY} alice@home", "{KEY}"]}}'})
    assert read.users == {"alice": (f"{KEY} alice@home", KEY)}


def test_everything_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(SettingsError, match=r"ecm:image is not set.*; ecm:masterFlavor is not set"):
        settings.read({"ecm:slaveFlavor": "s"})


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:hush@proxy.site:3128",
        "http://me:hush@proxy.site:99999",
        "http://me:hu/hush@proxy.site:3128",
        "http://me:12/hush@proxy.site:3128",
        "http://me:hu#hush@proxy.site:3128",
        "me:hush@proxy.site:3128",
    ],
)
def test_a_proxy_with_a_login_is_refused_and_not_shown(proxy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.read(GOOD | {"ecm:proxy": proxy})
    assert "ecm:proxy has a login" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_secret_is_never_shown() -> None:
    secret = {"ecm:masterBackendUrl": "postgres://me:hush@host/db", "ecm:applicationCredentialSecret": "hush"}
    assert "hush" not in repr(settings.read(GOOD | secret | {"ecm:applicationCredentialId": "id"}))
    for wrong in (secret, {"ecm:masterBackendUrl": ["hush"]}):
        with pytest.raises(SettingsError) as raised:
            settings.read(GOOD | wrong)
        assert "hush" not in str(raised.value)
