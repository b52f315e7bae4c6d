"""An image's system is told by its properties and its name, and so is what is wrong with it."""

import pytest

from cli.laptop.images import System, system


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Debian 13", System("debian", "13")),
        ("debian-12-generic-amd64-20250316", System("debian", "12")),
        ("debian-trixie", System("debian", "13")),
        ("Ubuntu 24.04 LTS", System("ubuntu", "24.04")),
        ("noble-server-cloudimg", System("ubuntu", "24.04")),
        ("AlmaLinux-9-GenericCloud-9.4", System("almalinux", "9")),
        ("Rocky 9.3 x86_64", System("rocky", "9")),
        ("RHEL-8.10", System("rhel", "8")),
        ("Fedora-Cloud-41", System("fedora", "41")),
        ("CentOS-7-x86_64-GenericCloud-1608", System("centos", "7")),
        ("CentOS Stream 9", System("centos stream", "9")),
        ("CentOS 6", System("centos", "6")),
        ("SL68-x86_64-20161107", System("scientific linux", "6")),
        ("uCernVM 3.4.3", System("ucernvm", "3")),
        ("golden-image", System("", "")),
    ],
)
def test_a_name_tells_family_and_release(name: str, expected: System) -> None:
    assert system(name, {}) == expected


def test_properties_go_before_the_name() -> None:
    assert system("my debian 12 look-alike", {"os_distro": "rocky", "os_version": "9.4"}) == System("rocky", "9")
    assert system("golden", {"os_distro": "arch"}).problem == "arch is not supported"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Debian 13", ""),
        ("Fedora 41", ""),
        ("CentOS 6", "end of life, and no HTCondor with tokens"),
        ("Debian 11", "not supported: 12 and 13 are"),
        ("CentOS Stream 9", "centos stream is not supported"),
        ("golden", "neither its name nor os_distro tells its system"),
    ],
)
def test_what_no_cluster_can_be_made_of_has_a_reason(name: str, problem: str) -> None:
    assert system(name, {}).problem == problem


@pytest.mark.parametrize(("name", "login"), [("Debian 13", "debian"), ("RHEL 9", "cloud-user"), ("x", "")])
def test_the_login_follows_from_the_system(name: str, login: str) -> None:
    assert system(name, {}).login == login
