"""`ecm config check` finds what `pulumi up` would, and says what it could not look into."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import CommandError
from cli.laptop.pulumi import Value
from cluster.errors import CloudError


def wrong(done: Any) -> list[str]:
    return [check["wrong"] for check in json.loads(done.stdout) if check["wrong"]]


def test_good_settings_are_shown_with_what_they_turn_into(ecm: Any) -> None:
    done = ecm("config", "check")
    assert done.exit_code == 0
    assert "debian-13-condor is debian-13-condor-id" in done.stdout
    assert "has room for 4 slaves" in done.stdout
    assert "master:secret" not in done.stdout


def test_each_bad_setting_is_a_line_of_its_own_and_the_status_is_3(ecm: Any, pulumi: Any) -> None:
    pulumi.values |= {"ecm:idelTime": Value("30"), "ecm:maxSlaves": Value("many")}
    done = ecm("config", "check", "--json")
    assert done.exit_code == 3
    assert [line.split(" - ")[0] for line in wrong(done)] == ['ecm:maxSlaves is "many"', "ecm:idelTime is no setting"]


def test_what_the_cloud_lacks_is_found(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:keyName"] = Value("yours")
    assert wrong(ecm("config", "check", "--json")) == [
        "ecm:keyName is 'yours' - there is no such keypair - there is: mykey"
    ]


def minded(done: Any) -> list[str]:
    """What `pulumi up` would warn of, but for the way to the state."""
    told = [check for check in json.loads(done.stdout) if check["what"] != "master's state"]
    return [check["found"] for check in told if check["found"].startswith("mind: ")]


def test_a_quota_too_small_for_the_master_and_the_minimum_is_wrong(ecm: Any, pulumi: Any, cloud: Any) -> None:
    pulumi.values["ecm:minSlaves"] = Value("2")
    cloud.limits.instances = 4
    done = ecm("config", "check", "--json")
    assert done.exit_code == 3
    (line,) = wrong(done)
    assert "no room for the master and 2 slaves - instances: 3 needed, 2 of 4 left" in line


def test_a_quota_too_small_for_the_maximum_is_told(ecm: Any, cloud: Any) -> None:
    cloud.limits.instances = 4
    done = ecm("config", "check", "--json")
    assert done.exit_code == 0
    (line,) = minded(done)
    assert "no room for all of maxSlaves 4 - instances: 5 needed, 2 of 4 left" in line


RUNNING = {
    "openstack:compute/instance:Instance::master": {"imageId": "debian-13-condor-id", "metadata": {}},
    "pulumi-python:dynamic/ecm:Sweep::sweep": {"cluster": "group-id", "project": "project"},
}


def running(pulumi: Any, cloud: Any, status: str = "ACTIVE") -> None:
    """A cluster with its master, in the state and in the cloud."""
    resources = [{"urn": f"urn:pulumi:mycluster::ecm::{urn}", "outputs": has} for urn, has in RUNNING.items()]
    no_outputs = {"urn": "urn:pulumi:mycluster::ecm::pulumi:pulumi:Stack::ecm-mycluster"}
    pulumi.state["deployment"]["resources"] = [no_outputs, *resources]
    tags = {"ecm-cluster": "group-id", "ecm-role": "master"}
    cloud.servers = [SimpleNamespace(id="m", name="m", status=status, fault=None, metadata=tags)]


def test_a_master_that_is_there_needs_no_more_room(ecm: Any, pulumi: Any, cloud: Any) -> None:
    pulumi.values |= {"ecm:minSlaves": Value("2"), "ecm:maxSlaves": Value("2")}
    cloud.limits.instances = 4
    running(pulumi, cloud)
    assert (wrong(done := ecm("config", "check", "--json")), minded(done)) == ([], [])


def test_what_a_running_master_does_not_get_is_told(ecm: Any, pulumi: Any, cloud: Any) -> None:
    pulumi.values["ecm:image"] = Value("Ubuntu 24.04 LTS")
    running(pulumi, cloud)
    assert (
        "the running master keeps what it was made with - ecm:image changed"
        in minded(ecm("config", "check", "--json"))[0]
    )


def test_a_broken_master_is_wrong(ecm: Any, pulumi: Any, cloud: Any) -> None:
    running(pulumi, cloud, status="ERROR")
    (line,) = wrong(ecm("config", "check", "--json"))
    assert line.startswith("the master's server m is in ERROR")


def test_a_master_that_is_being_replaced_is_not_the_one_that_is_looked_at(ecm: Any, pulumi: Any, cloud: Any) -> None:
    running(pulumi, cloud)
    old = pulumi.state["deployment"]["resources"][1]
    pulumi.state["deployment"]["resources"].append({**old, "delete": True, "outputs": {"imageId": "old-id"}})
    assert minded(ecm("config", "check", "--json")) == []


def test_a_secret_in_plain_text_and_systems_that_do_not_go_together_are_told(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:slaveImage"] = Value("Ubuntu 24.04 LTS")
    pulumi.values["ecm:masterBackendUrl"] = Value("postgres://master:secret@db/pulumi")
    plain, unlike = minded(ecm("config", "check", "--json"))
    assert plain.startswith("mind: ecm:masterBackendUrl is in the stack's file in plain text")
    assert "the slaves' ubuntu-24.04 gets HTCondor 25.0, the master's debian-13 23.9" in unlike


@pytest.mark.parametrize("role", ["master", "slave"])
def test_user_data_that_nova_would_not_take_is_found(ecm: Any, pulumi: Any, role: str) -> None:
    packages = [f"lib{os.urandom(16).hex()}" for _ in range(4000)]
    pulumi.values[f"ecm:{role}Packages"] = Value(json.dumps(packages))
    (line,) = wrong(ecm("config", "check", "--json"))
    assert re.match(r"(the master|a slave)'s user-data has \d+ bytes - Nova takes 65535", line), line
    assert role in line


def test_the_network_is_named_whoever_chose_it(ecm: Any) -> None:
    (network,) = [check for check in json.loads(ecm("config", "check", "--json").stdout) if check["what"] == "network"]
    assert network["found"] == "lan is lan-id"


def test_a_secret_without_its_passphrase_is_said_to_be_unchecked(
    ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://user:pw@db/pulumi")
    pulumi.values["ecm:masterBackendUrl"] = Value(None, secret=True)
    done = ecm("config", "check")
    assert done.exit_code == 0
    assert "a secret, which can't be looked into" in done.stdout


def test_files_of_the_settings_are_looked_for_in_the_project_wherever_the_user_is(
    ecm: Any, pulumi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "ours").mkdir(parents=True)
    (tmp_path / "project" / "ours" / "slave.sh").write_text("#!/bin/sh\necho done\n")
    pulumi.folder = tmp_path / "project"
    pulumi.values["ecm:slaveScript"] = Value("ours/slave.sh")
    monkeypatch.chdir(tmp_path)
    assert wrong(ecm("config", "check", "--json")) == []


def test_a_stacks_name_with_a_dot_is_wrong(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "stack", lambda: "my.dev")
    (line,) = wrong(ecm("config", "check", "--json"))
    assert line.startswith("the stack is named 'my.dev' - a slave with a dot in its name can't join")


def test_a_state_that_the_master_cannot_reach_is_wrong(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:masterBackendUrl"] = Value("file:///tmp/state")
    assert wrong(ecm("config", "check", "--json"))[0].startswith("the master has no way to the stack's state")


def test_settings_and_state_are_checked_even_when_the_cloud_is_away(ecm: Any, desk: Any) -> None:
    def refuse() -> None:
        raise CloudError("the cloud is out of reach - no route - check the network")

    desk.connect = refuse
    done = ecm("config", "check", "--json")
    assert wrong(done) == ["the cloud is out of reach - no route - check the network"]
    assert [check["what"] for check in json.loads(done.stdout)] == ["settings", "additions", "cloud", "passphrase"]


def test_no_password_is_shown_in_an_error_either(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise CommandError('pulumi config failed - unable to open "postgres://me:hidden@db/pulumi" - refused')

    monkeypatch.setattr(pulumi, "config", refuse)
    done = ecm("config", "check")
    assert "postgres://me:***@db/pulumi" in done.stderr


def test_a_meaning_with_a_semicolon_is_no_error_of_its_own(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:jobsPerSlave"] = Value("0")
    (line,) = wrong(ecm("config", "check", "--json"))
    assert line.startswith('ecm:jobsPerSlave is "0"')
    assert line.endswith("pulumi config set ecm:jobsPerSlave VALUE")


def test_a_wrong_passphrase_is_wrong(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise CommandError("pulumi config failed - incorrect passphrase")

    monkeypatch.setattr(pulumi, "check_passphrase", refuse)
    assert wrong(ecm("config", "check", "--json")) == ["pulumi config failed - incorrect passphrase"]
