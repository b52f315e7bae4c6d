"""The master's doctor finds each thing that is wrong, names the command that mends it, and runs only the safe ones."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bench.realpool import real_pool
from cli.checks import attempt
from cli.master import doctor
from cli.master.condor import EVERY_SLAVE

VERSIONS = f"condor_status -constraint {EVERY_SLAVE} -af CondorVersion"
CLOCKS = "condor_status -constraint"
HEALTHY = {
    CLOCKS: "ecm-dev-slave-a 1000 1001\n",
    "cloud-init status": "status: done\n",
    "systemctl show": "active\n",
    "condor_status -schedd -af Total": "1 2 0\n",
    "condor_status -schedd -af CondorVersion": "$CondorVersion: 23.9.6 2026-07-12 PackageID: x $\n",
    VERSIONS: "$CondorVersion: 23.9.6 2026-07-12 PackageID: x $\n",
    "readlink": "/opt/ecm/releases/0123abcd\n",
    "stat": "600 root\n",
    "timedatectl show": "yes\n",
    "df": "Use%\n 40%\n",
    "sh -c curl": "7\n",
    "sh -c { condor_ping": "ADVERTISE_STARTD command using (AES, AES, and FS) succeeded as ecm@pool to collector.\n",
    "sh -c { umask": "ADVERTISE_STARTD command using (AES, AES, and IDTOKENS) succeeded as doctor@slaves.pool to x.\n",
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
        ({"sh -c { condor_ping": ""}, "controller's login", "HTCondor doesn't take the controller's login - it says"),
        ({"sh -c { umask": "succeeded as condor@pool\n"}, "tokens", "HTCondor doesn't take a slave's token"),
        ({CLOCKS: "s-a 1000 1001\ns-b 900 1000\n"}, "slaves' clocks", "s-b (100 s slow)"),
        ({CLOCKS: "s-a 1100 1000\n"}, "slaves' clocks", "s-a (100 s fast)"),
        ({"sh -c curl": "0\n"}, "metadata lock", "it answers everybody"),
        ({"sh -c curl": "127\n"}, "metadata lock", "can't be tried"),
        ({"timedatectl show": "no\n"}, "clock", "isn't kept by NTP"),
        (
            {VERSIONS: "$CondorVersion: 24.0.1 2026-07-12 $\n"},
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
    healthy.answers[VERSIONS] = "$CondorVersion: 23.10.18 2026-07-12 $\n"
    found = {check.what: check for check in doctor.checks(healthy, datetime.now(UTC))}
    assert (found["HTCondor"].found, found["HTCondor"].wrong) == ("23.9.6, slaves 23.10.18", "")


def test_slaves_may_be_older_than_the_master(healthy: Any) -> None:
    healthy.answers[VERSIONS] = "$CondorVersion: 9.0.1 2026-07-12 $\n"
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
    healthy.answers["stat --format %a %U /etc/condor"] = "644 root\n"
    text = on_master("doctor").stdout
    assert "\n       → sudo systemctl restart ecm-controller\n" in text
    key = "/etc/condor/passwords.d/POOL"
    assert f"\n       → sudo sh -c 'chown root {key} && chmod 600 {key}'\n" in text


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
    healthy.answers |= {"timedatectl show": "no\n", "df": "Use%\n 97%\n", "stat --format %a %U /etc/ecm": "644 root\n"}
    done = on_master("doctor", "--fix")
    assert [line for line in healthy.ran if line.startswith("sudo ")] == [
        "sudo sh -c chown root /etc/ecm/controller.env && chmod 600 /etc/ecm/controller.env",
        "sudo timedatectl set-ntp true",
    ]
    assert done.exit_code == 3
    healthy.ran.clear()
    on_master("doctor")
    assert not [line for line in healthy.ran if line.startswith("sudo ")]


@pytest.mark.parametrize(
    ("unknown", "fix"),
    [
        ("the schedd doesn't answer - refused", "ecm restart"),
        ("the collector can't be asked - refused", "ecm restart"),
        ("OpenStack can't be asked - 401", "ecm logs   # has more; on your own machine: ecm config check"),
        ("the stack's state can't be read - x", "ecm logs   # has more; on your own machine: ecm config check"),
    ],
)
def test_what_the_controller_cannot_see_comes_with_what_to_do(
    healthy: Any, status: Callable[..., Any], unknown: str, fix: str
) -> None:
    healthy.tells(status(unknown=(unknown,)))
    (check,) = [check for check in doctor.checks(healthy, datetime.now(UTC)) if check.wrong]
    assert check.fix == fix


def test_a_slave_whose_ad_the_controller_has_changed_says_nothing_of_its_clock(healthy: Any) -> None:
    assert wrong(healthy) == {}
    (asked,) = [line for line in healthy.ran if "LastHeardFrom" in line]
    assert "EcmClosedAt =?= undefined" in asked


def test_what_is_wrong_comes_with_its_command(on_master: Any, healthy: Any) -> None:
    healthy.answers |= {"timedatectl show": "no\n"}
    done = on_master("doctor")
    assert "→ sudo timedatectl set-ntp true" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_everything_that_is_wrong_comes_with_a_command(healthy: Any, status: Callable[..., Any]) -> None:
    healthy.answers.clear()
    healthy.tells(status(unknown=("OpenStack can't be asked",), locked="locked by ada@laptop (pid 7)"))
    assert [check.what for check in doctor.checks(healthy, datetime.now(UTC)) if check.wrong and not check.fix] == []


@pytest.mark.slow
def test_what_a_real_htcondor_says_of_tokens_is_understood() -> None:
    with real_pool(guarded=True) as condor:
        real: Any = SimpleNamespace(output=condor.run)

        def tried() -> dict[str, str]:
            return {what: attempt(what, partial(doctor._taken, real, *how)).wrong for what, *how in doctor.TAKEN}

        assert tried() == {"controller's login": "", "tokens": ""}
        condor.run("sh", "-c", "echo SEC_TOKEN_REVOCATION_EXPR = true >/etc/condor/config.d/95-none.conf")
        condor.run("condor_reconfig", "-daemon", "collector")
        assert tried() == {
            "controller's login": "",
            "tokens": "HTCondor doesn't take a slave's token - ADVERTISE_STARTD failed!  Use -verbose for more "
            "information. - it reads its keys anew when it restarts",
        }
