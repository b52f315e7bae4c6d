"""Commands of the master go there by the `ssh` on PATH: here a script that writes down how it was called."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.laptop import ssh
from cli.laptop.desk import address, key_name
from cli.laptop.pulumi import Value
from cli.laptop.ssh import Ssh


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each call; what ssh does is in the file `answer` beside it."""
    script = tmp_path / "ssh"
    script.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n. {tmp_path}/answer\n')
    script.chmod(0o755)
    (tmp_path / "answer").write_text("exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("ECM_SSH_CONFIG", raising=False)
    return tmp_path / "calls"


def test_a_command_of_the_master_is_run_there_with_its_arguments(ecm: Any, calls: Path) -> None:
    assert ecm("explain", "12.0", "--json").exit_code == 0
    assert calls.read_text().endswith("debian@198.51.100.7 env NO_COLOR=1 /usr/local/bin/ecm explain 12.0 --json\n")


def test_its_exit_status_is_the_masters(ecm: Any, calls: Path) -> None:
    (calls.parent / "answer").write_text("exit 3")
    assert ecm("status").exit_code == 3


def test_arguments_are_quoted_for_the_masters_shell(ecm: Any, calls: Path) -> None:
    ecm("pause", "it's moving; rm -r")
    assert """pause 'it'"'"'s moving; rm -r'""" in calls.read_text()


def test_wrong_usage_is_found_here(ecm: Any, calls: Path) -> None:
    assert ecm("status", "--nonsense").exit_code == 2
    assert ecm("explain").exit_code == 2
    assert not calls.exists()


def test_help_needs_no_master(ecm: Any, calls: Path) -> None:
    assert "at a glance" in ecm("status", "--help").stdout
    assert not calls.exists()


def test_a_master_out_of_reach_is_one_line(calls: Path) -> None:
    (calls.parent / "answer").write_text("echo 'ssh: connect to host x: timed out' >&2; exit 255")
    with pytest.raises(CommandError, match=r"doesn't answer ssh at u@h - ssh: connect to host x: timed out - `ecm doc"):
        Ssh(lambda: "u@h").ask("status")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("ecm: it hangs - nobody knows - `ecm doctor` looks why", "it hangs - nobody knows - `ecm doctor` looks why"),
        ("Segmentation fault", "Segmentation fault - `ecm logs`"),
    ],
)
def test_what_the_master_says_has_one_advice(calls: Path, said: str, error: str) -> None:
    (calls.parent / "answer").write_text(f"cat >&2 <<'END'\n{said}\nEND\nexit 1")
    with pytest.raises(CommandError, match=re.escape(f"on the master, ecm status failed - {error}") + "$"):
        Ssh(lambda: "u@h").ask("status")


def test_a_master_that_is_only_booting_is_told_so(ecm: Any, calls: Path) -> None:
    (calls.parent / "answer").write_text("echo 'sh: /usr/local/bin/ecm: No such file or directory' >&2; exit 127")
    assert "the master has no `ecm` yet - it is at its first boot" in ecm("status").stderr
    with pytest.raises(CommandError, match="the master has no `ecm` yet"):
        Ssh(lambda: "u@h").ask("status")


def test_who_watches_from_the_start_is_told_what_is_missing_and_then_sees(
    ecm: Any, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "AGAIN", 0)
    (calls.parent / "answer").write_text(
        f"case $(wc -l <{calls}) in\n"
        "  1) echo 'connect to host: refused' >&2; exit 255 ;;\n"
        "  2 | 3) exit 127 ;;\n"
        "  *) echo '{}' ;;\n"
        "esac"
    )
    monkeypatch.setattr(Ssh, "call", lambda *_, **__: 130)
    done = ecm("status", "--watch")
    assert done.exit_code == 130
    assert [line.partition(" - ")[0] for line in done.stdout.splitlines()] == [
        "not yet: the master doesn't answer ssh at debian@198.51.100.7",
        "not yet: the master has no `ecm` yet",
    ]


def test_a_login_that_is_refused_is_not_waited_for(ecm: Any, calls: Path) -> None:
    (calls.parent / "answer").write_text("echo 'Permission denied (publickey).' >&2; exit 255")
    assert ecm("status", "--watch").exit_code == 1


def test_a_login_that_is_refused_says_which_key_is_wanted(ecm: Any, desk: Any, calls: Path) -> None:
    (calls.parent / "answer").write_text("echo 'u@h: Permission denied (publickey).' >&2; exit 255")
    desk.master = Ssh(lambda: "u@h", lambda: "mykey")
    with pytest.raises(
        CommandError, match=r"^the master refuses the login u@h - .* - ssh-add the .* keypair mykey; or"
    ):
        desk.master.ask("status")
    said = ecm("status").stderr
    assert "at u@h - see above - where it says Permission denied, ssh-add the private key of the cluster's" in said


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The private half of a keypair, where the wizard keeps it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    file = tmp_path / ".ssh" / "mykey.pem"
    file.touch()
    return file


def test_the_key_that_the_wizard_made_is_shown_to_master_and_slave(calls: Path, kept: Path) -> None:
    master = Ssh(lambda: "u@h", lambda: "mykey")
    master.call(terminal=False)
    master.jump("10.0.0.9", terminal=False)
    to_master, to_slave = calls.read_text().splitlines()
    assert f"-i {kept} " in to_master
    assert to_slave.count(f"-i {kept} ") == 2
    Ssh(lambda: "u@h", lambda: "another").call(terminal=False)
    assert "-i" not in calls.read_text().splitlines()[-1].split()


def test_the_clusters_key_is_in_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECM_SSH_CONFIG", raising=False)
    outputs: dict[str, Any] = {"settings": {"slave": {"keyName": "mykey"}}}
    assert key_name(lambda: outputs, "") == "mykey"
    assert key_name(dict, "") == key_name(lambda: outputs, "me@here") == ""
    monkeypatch.setenv("ECM_SSH_CONFIG", "/some/config")
    assert key_name(lambda: outputs, "") == ""


def test_a_stack_that_is_not_up_is_not_watched(ecm: Any, desk: Any, pulumi: Any) -> None:
    pulumi.told = {}
    desk.master = Ssh(lambda: address(pulumi, pulumi.outputs, ""))
    assert "has no master" in ecm("status", "--watch").stderr


def test_an_own_ssh_configuration_is_used(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECM_SSH_CONFIG", "/some/config")
    Ssh(lambda: "198.51.100.7").call(terminal=False)
    assert calls.read_text().startswith("-F /some/config ")


def test_a_slave_is_reached_through_the_master(ecm: Any, cloud: Any, calls: Path) -> None:
    def server(name: str, ip: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, addresses={"lan": [{"addr": ip}]})

    cloud.servers = [
        server("ecm-mycluster-slave-abc", "10.0.0.9"),
        server("ecm-mycluster-slave-xyz", "10.0.0.8"),
        server("somebody-elses-abc", "10.0.0.7"),
    ]
    assert ecm("ssh", "abc").exit_code == 0
    called = calls.read_text()
    assert "-W %h:%p debian@198.51.100.7" in called
    assert called.endswith("debian@10.0.0.9\n")
    assert "there is: ecm-mycluster-slave-abc, ecm-mycluster-slave-xyz" in ecm("ssh", "nobody").stderr


def test_the_account_is_what_pulumi_up_noted_else_follows_from_the_settings(
    pulumi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECM_SSH_CONFIG", raising=False)
    assert address(pulumi, pulumi.outputs, "") == "debian@198.51.100.7"
    pulumi.values["ecm:image"] = Value("0f3a-an-id")
    assert address(pulumi, pulumi.outputs, "") == "198.51.100.7"
    pulumi.values["ecm:os"] = Value("ubuntu-24.04")
    assert address(pulumi, pulumi.outputs, "") == "ubuntu@198.51.100.7"
    pulumi.told["settings"] = {"masterUser": "rocky"}
    assert address(pulumi, pulumi.outputs, "") == "rocky@198.51.100.7"
    assert address(pulumi, pulumi.outputs, "me@here") == "me@here"


def test_a_stack_that_is_not_up_has_no_master(pulumi: Any) -> None:
    pulumi.told = {}
    with pytest.raises(CommandError, match="the stack mycluster has no master"):
        address(pulumi, pulumi.outputs, "")
