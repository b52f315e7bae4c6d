"""The keeper of console logs, on a real terminal."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from localcloud.config import PROGRAM_FOLDER


class FakeDomain:
    def __init__(self, terminal: str) -> None:
        self.terminal = terminal

    def UUIDString(self) -> str:  # noqa: N802  # libvirt's name
        return "some-uuid"

    def XMLDesc(self) -> str:  # noqa: N802
        return f"<domain><devices><console type='pty'><source path='{self.terminal}'/></console></devices></domain>"


@pytest.fixture
def consoles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, without libvirt."""
    libvirt: Any = SimpleNamespace(virDomain=object, virConnect=object)
    monkeypatch.setitem(sys.modules, "libvirt", libvirt)
    spec = importlib.util.spec_from_file_location("consoles", PROGRAM_FOLDER / "consoles.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "INSTANCES", tmp_path)
    (tmp_path / "some-uuid").mkdir()
    return module


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The guest's end, and the path of the other."""
    guest, reader = os.openpty()
    yield guest, os.ttyname(reader)
    os.close(reader)
    os.close(guest)


def test_what_a_guest_writes_is_appended_to_its_log(
    consoles: ModuleType, terminal: tuple[int, str], tmp_path: Path
) -> None:
    guest, path = terminal
    console = consoles.Console(FakeDomain(path))
    for line in (b"first\n", b"second\n"):
        os.write(guest, line)
        assert console.copy()
    assert (tmp_path / "some-uuid" / "console.log").read_bytes().split() == [b"first", b"second"]


def test_nothing_to_read_is_no_end(consoles: ModuleType, terminal: tuple[int, str]) -> None:
    assert consoles.Console(FakeDomain(terminal[1])).copy()


def test_a_log_whose_folder_is_gone_is_not_made(
    consoles: ModuleType, terminal: tuple[int, str], tmp_path: Path
) -> None:
    guest, path = terminal
    (tmp_path / "some-uuid").rmdir()
    os.write(guest, b"late\n")
    consoles.Console(FakeDomain(path)).copy()
    assert not (tmp_path / "some-uuid").exists()
