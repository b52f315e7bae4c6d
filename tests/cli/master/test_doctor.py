"""The master's doctor finds each thing that is wrong, names the command that mends it, and runs only the safe ones."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.master import doctor

HEALTHY = {
    "cloud-init status": "status: done\n",
    "systemctl show": "active\n",
    "condor_status -schedd -af Total": "1 2 0\n",
    "condor_status -schedd -af CondorVersion": "$CondorVersion: 23.9.6 2026-07-12 PackageID: x $\n",
    "condor_status -constraint": "$CondorVersion: 23.9.6 2026-07-12 PackageID: x $\n",
    "readlink": "/opt/ecm/releases/0123abcd\n",
    "stat": "600 root\n",
    "timedatectl show": "yes\n",
    "df": "Use%\n 40%\n",
    "sh -c curl": "7\n",
}


def wrong(master: Any) -> dict[str, str]:
    return {check.what: check.wrong for check in doctor.checks(master, datetime.now(UTC)) if check.wrong}


@pytest.fixture
def healthy(master: Any, status: Callable[..., Any]) -> Any:
    master.answers |= HEALTHY
    master.tells(status())
    return master


def test_a_healthy_master_has_nothing_wrong(healthy: Any) -> None:
    assert wrong(healthy) == {}


@pytest.mark.parametrize(
    ("answer", "what", "says"),
    [
        ({"cloud-init status": "status: error\n"}, "first boot", "it is error"),
        (
            {"systemctl show --value --property ActiveState condor": "failed\n"},
            "service condor",
            "it is failed",
        ),
        ({"stat --format %a %U /etc/condor": "644 root\n"}, "signing key", "it can mint any identity"),
        ({"stat --format %a %U /etc/ecm": "640 root\n"}, "logins", "it has the master's logins to cloud and state"),
        ({"sh -c curl": "0\n"}, "metadata lock", "it answers everybody"),
        ({"sh -c curl": "127\n"}, "metadata lock", "can't be tried"),
        ({"timedatectl show": "no\n"}, "clock", "isn't kept by NTP"),
        (
            {"condor_status -constraint": "$CondorVersion: 24.0.1 2026-07-12 $\n"},
            "HTCondor",
            "slaves have 24.0.1 and the master 23.9.6",
        ),
        ({"df": "Use%\n 97%\n"}, "disk", "97 % are used"),
    ],
)
def test_each_trouble_is_found_alone(healthy: Any, answer: dict[str, str], what: str, says: str) -> None:
    healthy.answers |= answer
    (found,) = wrong(healthy).items()
    assert found[0] == what
    assert says in found[1]


def test_a_dead_queue_is_found(healthy: Any) -> None:
    del healthy.answers["condor_status -schedd -af Total"]
    assert list(wrong(healthy)) == ["queue"]


def test_what_the_controller_suffers_from_is_told(healthy: Any, status: Callable[..., Any]) -> None:
    healthy.tells(status(unknown=("OpenStack can't be asked - 503",), locked="locked by ada@laptop (pid 7)"))
    assert wrong(healthy)["controller sees"] == "OpenStack can't be asked - 503"
    assert wrong(healthy)["state lock"].startswith("locked by ada@laptop")


def test_a_silent_controller_is_found(healthy: Any, status: Callable[..., Any]) -> None:
    healthy.tells(status(at=datetime.now(UTC) - timedelta(hours=1)))
    assert "silent for 1 h 0 min" in wrong(healthy)["controller"]


def test_slaves_may_have_a_newer_release_of_the_masters_major_version(healthy: Any) -> None:
    healthy.answers["condor_status -constraint"] = "$CondorVersion: 23.10.18 2026-07-12 $\n"
    found = {check.what: check for check in doctor.checks(healthy, datetime.now(UTC))}
    assert (found["HTCondor"].found, found["HTCondor"].wrong) == ("23.9.6, slaves 23.10.18", "")


def test_slaves_may_be_older_than_the_master(healthy: Any) -> None:
    healthy.answers["condor_status -constraint"] = "$CondorVersion: 9.0.1 2026-07-12 $\n"
    found = {check.what: check.found for check in doctor.checks(healthy, datetime.now(UTC))}
    assert found["HTCondor"] == "23.9.6, slaves 9.0.1"
    assert found["release"] == "0123abcd"


def test_a_containers_clock_is_its_hosts(healthy: Any) -> None:
    healthy.answers |= {"timedatectl show": "no\n", "systemd-detect-virt": "lxc-libvirt\n"}
    assert wrong(healthy) == {}


def test_the_doctor_does_not_send_to_the_doctor(healthy: Any) -> None:
    del healthy.answers["df"]
    (healthy.run / "status.json").unlink()
    assert not [line for line in wrong(healthy).values() if "ecm doctor" in line]


def test_commands_are_shown_in_one_line_to_be_copied(on_master: Any, healthy: Any) -> None:
    healthy.answers["systemctl show --value --property ActiveState ecm-controller"] = "failed\n"
    assert "\n       → sudo systemctl restart ecm-controller\n" in on_master("doctor").stdout


def test_fix_lets_the_controller_come_up_before_it_looks_again(
    on_master: Any, healthy: Any, status: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = "systemctl show --value --property ActiveState ecm-controller"
    healthy.answers[dead] = "inactive\n"
    healthy.tells(status(at=datetime.now(UTC) - timedelta(hours=1)))

    def come_up(_: float) -> None:
        healthy.answers[dead] = "active\n"
        healthy.tells(status())

    monkeypatch.setattr(time, "sleep", come_up)
    assert on_master("doctor", "--fix").exit_code == 0


def test_fix_runs_what_is_safe_and_nothing_else(on_master: Any, healthy: Any) -> None:
    healthy.answers |= {"timedatectl show": "no\n", "stat": "644 root\n"}
    done = on_master("doctor", "--fix")
    assert [line for line in healthy.ran if line.startswith("sudo ")] == ["sudo timedatectl set-ntp true"]
    assert done.exit_code == 3
    healthy.ran.clear()
    on_master("doctor")
    assert not [line for line in healthy.ran if line.startswith("sudo ")]


def test_what_is_wrong_comes_with_its_command(on_master: Any, healthy: Any) -> None:
    healthy.answers |= {"timedatectl show": "no\n"}
    done = on_master("doctor")
    assert "→ sudo timedatectl set-ntp true" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
