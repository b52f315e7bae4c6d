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


def test_a_file_that_is_no_text_is_read_all_the_same(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"{\xc0")
    assert machine.read(tmp_path / "damaged").startswith("{")


def test_a_file_that_cannot_be_read_is_one_line(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"can't be read - Is a directory - `ecm doctor` looks why$"):
        machine.read(tmp_path)


def test_who_may_not_use_sudo_is_told_so(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "tools" / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    with pytest.raises(CommandError, match=r"^this is for administrators - you may not use sudo here - ask "):
        machine.write(machine.state / "paused", "x")


def test_who_may_not_use_sudo_is_told_so_in_a_terminal_too(
    machine: Machine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tools" / "sudo").write_text("#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
    with pytest.raises(CommandError, match=r"^this is for administrators - "):
        machine.call("journalctl", user="root")
    assert capfd.readouterr().err == ""


def test_what_a_program_prints_that_is_no_text_is_read_all_the_same(machine: Machine) -> None:
    assert machine.output("printf", r'[{"Args": "\377"}]') == '[{"Args": "\N{REPLACEMENT CHARACTER}"}]'


def test_a_program_that_is_not_there_to_be_shown_is_one_line(machine: Machine) -> None:
    with pytest.raises(CommandError, match="there is no condor_nothing"):
        machine.call("condor_nothing")
