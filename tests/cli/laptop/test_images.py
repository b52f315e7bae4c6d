"""What is wrong with an image has a reason, and its key opens the account that such images have."""

import pytest

from cli.laptop.images import login, problem


@pytest.mark.parametrize(
    ("system", "says"),
    [
        ("debian-13", ""),
        ("fedora", ""),
        ("centos-7", "for slaves only: its C library"),
        ("el-6", "CentOS 6 and SL6 are past their end of life"),
        ("windows", "Windows"),
        (None, "its system can't be told: ecm:os names it"),
    ],
)
def test_what_no_cluster_can_be_made_of_has_a_reason(system: str | None, says: str) -> None:
    assert problem(system).startswith(says)
    assert bool(problem(system)) == bool(says)


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("Debian 13", "debian"),
        ("noble-server-cloudimg", "ubuntu"),
        ("AlmaLinux-9-GenericCloud", "almalinux"),
        ("RHEL-9.4", "cloud-user"),
        ("uCernVM 3.4.3", "root"),
        ("golden-image", ""),
    ],
)
def test_the_account_follows_from_the_name(name: str, account: str) -> None:
    assert login(name) == account
