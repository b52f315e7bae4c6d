"""Which system an image is taken to have, and which go together."""

import re

import pytest

from cloudinit import payload, systems
from cloudinit.boot import FILES
from cloudinit.systems import SYSTEMS, find, incompatible


@pytest.mark.parametrize(
    ("distro", "version", "name", "system"),
    [
        ("debian", "13", "x", "debian-13"),
        ("debian", "12.5", "x", "debian-12"),
        ("Ubuntu", "22.04", "x", "ubuntu-22.04"),
        ("ubuntu", "22.04.5 LTS", "x", "ubuntu-22.04"),
        ("rocky", "9.4", "x", "el-9"),
        ("almalinux", "10", "x", "el-10"),
        ("rhel", "8", "x", "el-8"),
        ("centos", "7.9", "x", "centos-7"),
        ("centos", "6", "x", "el-6"),
        ("fedora", "42", "x", "fedora"),
        ("debian", "bookworm", "x", "debian-12"),
        ("elementary", "7", "x", None),
        ("sles", "15", "SLES 15", None),
        ("debian", "11", "x", None),
        ("windows", "2022", "windows", "windows"),
        ("debian", 13, "x", "debian-13"),
        (None, None, "debian-13-condor", "debian-13"),
        (None, None, "Debian 12 (bookworm)", "debian-12"),
        (None, None, "Debian GNU/Linux 12", "debian-12"),
        (None, None, "bookworm-daily", "debian-12"),
        (None, None, "Ubuntu 24.04 LTS (Noble Numbat)", "ubuntu-24.04"),
        (None, None, "ubuntu-jammy-server", "ubuntu-22.04"),
        (None, None, "Rocky-9-GenericCloud", "el-9"),
        (None, None, "AlmaLinux OS 10", "el-10"),
        (None, None, "Red Hat Enterprise Linux 8.10", "el-8"),
        (None, None, "CentOS Stream 9", "el-9"),
        (None, None, "CentOS-7-x86_64-GenericCloud-2009", "centos-7"),
        (None, None, "SL6-x86_64", "el-6"),
        (None, None, "Scientific Linux 6.9", "el-6"),
        (None, None, "Fedora-Cloud-Base-42", "fedora"),
        (None, None, "uCernVM 2.8-9", "ucernvm"),
        (None, None, "CernVM 4", "ucernvm"),
        (None, None, "Ubuntu 20.04", None),
        (None, None, "our own image", None),
        (None, None, "model9", None),
        (None, None, "elastic-9", None),
        (None, None, "slurm-8", None),
        (None, None, "our-el9", "el-9"),
        (None, None, None, None),
        ("linux", "5", "debian-13", "debian-13"),
        # As clouds name them
        ("ubuntu", "24", "x", "ubuntu-24.04"),
        ("ubuntu", "22.10", "x", None),
        ("Rocky Linux", "9.4", "x", "el-9"),
        ("AlmaLinux OS", "10", "x", "el-10"),
        ("Red Hat Enterprise Linux", "9", "x", "el-9"),
        ("centos-stream", "9", "x", "el-9"),
        (" debian ", " 13 ", "x", "debian-13"),
        (None, None, "Featured-Ubuntu22", "ubuntu-22.04"),
        (None, None, "ubuntu2204", "ubuntu-22.04"),
        (None, None, "CC7 - x86_64", "centos-7"),
        (None, None, "CS9 - x86_64", "el-9"),
        (None, None, "stream9", "el-9"),
        (None, None, "sl-debian-12", "debian-12"),
        (None, None, "gcc7-noble", "ubuntu-24.04"),
        # What can't boot as a node
        ("fedora-coreos", None, "fedora-coreos-38", "ostree"),
        ("fedora-atomic", "27", "x", "ostree"),
        (None, None, "Fedora-IoT-42", "ostree"),
        (None, None, "Fedora-Silverblue-42", "ostree"),
        (None, None, "CentOS-Atomic-Host-7", "ostree"),
        (None, None, "atomic-physics-debian-12", "debian-12"),
        (None, None, "windows-server-2022-noble", "windows"),
        ("rhel", "7.9", "x", "el-7"),
        (None, None, "SL7", "el-7"),
        ("centos", "8-stream", "x", "centos-8"),
        (None, None, "CentOS-Stream-8", "centos-8"),
        (None, None, "CS8", "centos-8"),
    ],
)
def test_a_system_is_found_by_its_images_properties_or_name(
    distro: str | None, version: str | None, name: str | None, system: str | None
) -> None:
    assert find(distro, version, name) == system


def test_every_tree_is_there_and_has_its_part_of_the_first_boot() -> None:
    for system in SYSTEMS.values():
        defined = {
            name
            for tree in system.trees
            for name in re.findall(
                r"^(\w+)\(\)", (FILES / tree / "usr/local/sbin/ecm-system").read_text(), re.MULTILINE
            )
        }
        assert {"prepare_system", "install_packages", "add_condor_repository"} <= defined, system.name


def test_slaves_may_be_older_than_the_master_and_not_newer() -> None:
    assert incompatible(SYSTEMS["debian-12"], SYSTEMS["debian-13"]) == ""
    assert incompatible(SYSTEMS["el-9"], SYSTEMS["centos-7"]) == ""
    assert "HTCondor 25.0" in incompatible(SYSTEMS["debian-13"], SYSTEMS["debian-12"])
    assert incompatible(SYSTEMS["debian-13"], SYSTEMS["ucernvm"]) == "", "what isn't known is told at the first boot"


def test_the_pinned_bindings_are_those_of_their_series() -> None:
    assert f"\n{systems.BINDINGS['23']}\n" in payload.requirements()
    assert all(pin.startswith(f"htcondor=={major}.") and "--hash" in pin for major, pin in systems.BINDINGS.items())
    for system in SYSTEMS.values():
        if system.condor and not system.no_master:
            assert system.condor.partition(".")[0] in systems.BINDINGS, system.name


def test_the_key_of_every_repository_is_known() -> None:
    assert set(systems.KEYS) == {system.repository for system in SYSTEMS.values() if system.repository}
    assert all(re.fullmatch("[0-9A-F]{40}", key) for key in systems.KEYS.values())


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
    assert systems.account(None, "", name, "fedora") == (account or "fedora")
    assert systems.account(name) == account


@pytest.mark.parametrize("name", ["worker-9cc6ab12", "nightly-20251cs6", "job-sl6x2"])
def test_a_hash_in_a_name_says_nothing_of_a_system(name: str) -> None:
    assert systems.find(None, None, name) is None
