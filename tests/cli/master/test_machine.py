"""What another user has to do goes through `sudo`: here a script that runs it as who we are, and writes that down."""

from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.master.machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    tools = tmp_path / "tools"
    tools.mkdir()
    sudo = tools / "sudo"
    sudo.write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{tools}/calls\nshift 3\nexec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return Machine(run=tmp_path, state=tmp_path)


def test_a_request_is_written_and_removed_as_the_controllers_user(machine: Machine, tmp_path: Path) -> None:
    file = machine.state / "drain" / "ecm-dev-slave-abc"
    machine.write(file, "by ada\n")
    assert machine.read(file) == "by ada\n"
    machine.remove(file)
    assert machine.read(file) == ""
    assert (tmp_path / "tools" / "calls").read_text().count("-n -u ecm ") == 2


def test_programs_do_not_see_the_packages_of_the_release(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder cloudinit/ would be taken for cloud-init's by `cloud-init status`."""
    monkeypatch.setenv("PYTHONPATH", "/opt/ecm/current")
    assert machine.output("sh", "-c", "echo ${PYTHONPATH-none}") == "none\n"


def test_a_program_that_fails_is_one_line_with_its_own_word(machine: Machine) -> None:
    with pytest.raises(CommandError, match=r"^sh -c failed - no such thing - `ecm doctor` looks why$"):
        machine.output("sh", "-c", "echo no such thing >&2; exit 1")


def test_a_program_that_is_not_there_asks_whether_this_is_the_master(machine: Machine) -> None:
    with pytest.raises(CommandError, match=r"there is no condor_nothing - .* is this the master"):
        machine.output("condor_nothing")
