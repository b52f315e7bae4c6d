"""Machines on which the cloud can't run."""

import os
import socket
from pathlib import Path
from threading import Timer

import pytest

from localcloud import host, rootfs
from localcloud.errors import UnfitHostError

DEBIAN = {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}


@pytest.mark.parametrize(
    "release",
    [
        {},
        {"ID": "ubuntu", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04"},
        DEBIAN | {"VERSION_ID": "13"},
    ],
)
def test_another_system_is_refused_in_one_line(release: dict[str, str]) -> None:
    reason = host.unfit(release)
    assert reason
    assert reason.startswith("the local cloud needs Debian 12")
    assert "\n" not in reason


def test_another_user_than_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in str(host.unfit(DEBIAN))


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "NEEDED", ("no-such-program",))
    assert str(host.unfit(DEBIAN)).startswith("no-such-program isn't there")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert host.taken_ports({"nova": port}) == [f"nova ({port})"]
    assert host.taken_ports({"nova": port}) == []


def test_a_port_that_an_earlier_connection_keeps_is_waited_for() -> None:
    with socket.socket() as ended:
        ended.bind(("127.0.0.1", 0))
        Timer(1, ended.close).start()
        assert host.taken_ports({"nova": ended.getsockname()[1]}) == []


def test_it_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "PATIENCE", 0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert host.taken_ports({"nova": port}) == [f"nova ({port})"]


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for apt-get that prints the file `targets`."""
    program = tmp_path / "apt-get"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/targets\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "targets"


def test_packages_come_from_the_archives_that_the_host_uses(apt: Path) -> None:
    apt.write_text(
        "http://other.example/apt stable main\n"
        "http://mirror.example/security bookworm-security main\n"
        "http://mirror.example/debian bookworm main\n"
        "http://mirror.example/debian bookworm main\n"
    )
    assert rootfs.sources() == [
        ("http://mirror.example/debian", "bookworm", "main"),
        ("http://mirror.example/security", "bookworm-security", "main"),
    ]


def test_a_host_without_debian_12_in_apt_is_refused(apt: Path) -> None:
    apt.write_text("http://other.example/apt stable main\n")
    with pytest.raises(UnfitHostError, match="bookworm"):
        rootfs.sources()
