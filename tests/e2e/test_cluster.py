"""One cluster's life on the local cloud, as its user lives it. The cases go in order, on one cluster.

Real OpenStack, real Pulumi, real HTCondor; what is asked and what is looked at goes the user's way.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from openstack.connection import Connection

from cluster.servers import CLUSTER_TAG, ROLE_TAG
from demo.stack import leftovers, temporary
from demo.user import ROOT, StepFailedError, User, connect, wait_for
from tests.e2e.made_up import on_slave

pytestmark = pytest.mark.cloud

STACK = "e2e"
NEIGHBOUR = "beside"
PATIENCE = 240


@pytest.fixture(scope="module")
def user(cloud: dict[str, str]) -> Iterator[User]:
    """A user with a stack of the shipped settings, and nothing created yet. What the tests leave is destroyed."""
    with temporary(cloud, STACK) as user:
        yield user


@pytest.fixture
def neighbour(cloud: dict[str, str]) -> Iterator[User]:
    """The same user with another stack in the same project."""
    with temporary(cloud, NEIGHBOUR) as user:
        yield user


@pytest.fixture(scope="module")
def cluster(user: User) -> User:
    """The same user with the master up and ready, and no slave."""
    user.up()
    wait_for("the master", PATIENCE, user.master_is_ready)
    return user


@pytest.fixture(scope="module")
def project(cloud: dict[str, str]) -> Connection:
    """The user's OpenStack project."""
    return connect(cloud)


def master_id(project: Connection) -> str:
    (master,) = [server for server in project.compute.servers(details=False) if server.name == f"ecm-{STACK}-master"]
    return str(master.id)


def the_one_error(output: str) -> str:
    """The only line that Pulumi's summary says of what is wrong."""
    summary = output.partition("Diagnostics:")[2].partition("Resources:")[0]
    (line,) = [line for line in summary.splitlines() if line.strip() and "pulumi:pulumi:Stack" not in line]
    return line


def servers(project: Connection) -> list[str]:
    """Names of this cluster's servers; the project may have others."""
    listed = project.compute.servers(details=False)
    return sorted(server.name for server in listed if server.name.startswith(f"ecm-{STACK}-"))


def finished(user: User, cluster: str) -> list[int]:
    """Exit codes of the jobs of a cluster that have ended."""
    return [int(code) for code in user.on_master(f"condor_history {cluster} -af ExitCode").split()]


def ended_once(user: User, cluster: str) -> list[int]:
    """How often each ended job of a cluster was started."""
    return [int(starts) for starts in user.on_master(f"condor_history {cluster} -af NumJobStarts").split()]


def slaves(user: User) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = user.look()["slaves"]
    return listed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"image": "debian-12-condor"},
            "ecm:image is 'debian-12-condor' - there is no such image - there is: debian-13",
        ),
        ({"slaveFlavor": "smal"}, "ecm:slaveFlavor is 'smal' - there is no such flavor - there is: small"),
        ({"keyName": "mine"}, "ecm:keyName is 'mine' - there is no such keypair"),
        ({"network": "other-net"}, "ecm:network is 'other-net' - there is no such network - there is: cluster-net"),
        ({"minSlaves": "5"}, "minSlaves is 5 and maxSlaves 4"),
        ({"jobsPerSlave": "3"}, "ecm:jobsPerSlave is 3 and the flavor small has 1 VCPUs"),
        ({"idelTime": "30"}, "ecm:idelTime is no setting - did you mean ecm:idleTime?"),
    ],
)
def test_bad_settings_are_one_clear_line_before_anything_is_made(
    user: User, project: Connection, tmp_path: Path, change: Mapping[str, str], says: str
) -> None:
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    config["config"] |= {f"ecm:{key}": value for key, value in change.items()}
    file = tmp_path / "Pulumi.bad.yaml"
    file.write_text(yaml.safe_dump(config))
    done = user.try_pulumi("up", "--yes", "--skip-preview", "--config-file", str(file))
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert says in the_one_error(output)
    assert servers(project) == []


def test_a_wrong_password_is_one_clear_line(user: User, tmp_path: Path) -> None:
    clouds = yaml.safe_load(Path(user.env["OS_CLIENT_CONFIG_FILE"]).read_text())
    clouds["clouds"][user.env["OS_CLOUD"]]["auth"]["password"] = "wrong"
    file = tmp_path / "clouds.yaml"
    file.write_text(yaml.safe_dump(clouds))
    stranger = User({**user.env, "OS_CLIENT_CONFIG_FILE": str(file)}, STACK)
    done = stranger.try_pulumi("preview")
    assert done.returncode != 0
    assert "the cloud refuses the login" in the_one_error(done.stdout)


def test_the_first_up_makes_a_master_and_no_slave(cluster: User, project: Connection) -> None:
    outputs = cluster.outputs()
    assert (outputs["slaveCount"], outputs["slaves"]) == (0, [])
    assert outputs["masterIp"].startswith("172.24.4.")
    assert servers(project) == [f"ecm-{STACK}-master"]


def test_a_second_up_changes_nothing(cluster: User) -> None:
    cluster.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    cluster.pulumi("preview", "--expect-no-changes")


def test_user_data_is_for_root_only(cluster: User) -> None:
    asked = "curl -s -m 5 http://169.254.169.254/openstack/latest/user_data"
    assert cluster.on_master(f"sudo {asked} | wc -c") != "0\n"
    assert cluster.ssh(asked).returncode != 0


def test_jobs_bring_slaves_and_idle_slaves_go(cluster: User, project: Connection) -> None:
    jobs = cluster.submit(6, 15)
    took = wait_for("slaves to be requested", PATIENCE, lambda: len(servers(project)) > 1)
    assert took < 30
    wait_for("a running job", PATIENCE, lambda: cluster.look()["jobs"]["running"] > 0)
    names = servers(project)
    # The report is written when the update ends, which is after its first slave works.
    wait_for("the report", 60, lambda: cluster.outputs()["slaveCount"] > 0)
    assert cluster.outputs()["slaveCount"] <= 4

    unchanged = ("up", "--yes", "--skip-preview", "--expect-no-changes")
    wait_for("the user's own up between the controller's", 60, lambda: cluster.try_pulumi(*unchanged).returncode == 0)

    wait_for("all jobs", PATIENCE, lambda: len(finished(cluster, jobs)) == 6)
    assert finished(cluster, jobs) == [0] * 6
    assert ended_once(cluster, jobs) == [1] * 6
    wait_for("idle slaves to go", PATIENCE, lambda: servers(project) == [f"ecm-{STACK}-master"])
    wait_for("the slaves' ads to go", 5, lambda: not cluster.on_master("condor_status -af Machine").strip())
    wait_for("the report", 30, lambda: cluster.outputs()["slaveCount"] == 0)
    output = cluster.on_master(f"cat job.{jobs}.0.out").split()
    assert output[0] in names
    assert output[1] == "done"


def test_new_limits_reach_the_running_controller(cluster: User, project: Connection) -> None:
    cluster.pulumi("config", "set", "ecm:minSlaves", "1")
    master = master_id(project)
    cluster.up()
    took = wait_for("the minimum", 120, lambda: any(slave["phase"] == "idle" for slave in slaves(cluster)))
    assert took < 100
    assert master_id(project) == master


def test_a_changed_script_is_for_new_slaves_and_recycle_replaces_the_old_ones(
    cluster: User, project: Connection, tmp_path: Path
) -> None:
    """After the test above, with the one slave that it has made; then the minimum is none again."""
    (old,) = [slave["name"] for slave in slaves(cluster)]
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\ntouch /etc/made-anew\n")
    cluster.pulumi("config", "set", "ecm:slaveScript", str(script))
    master = master_id(project)
    cluster.up()
    assert [slave["name"] for slave in slaves(cluster)] == [old]
    cluster.on_master("ecm recycle")

    def other() -> list[str]:
        return [slave["name"] for slave in slaves(cluster) if slave["phase"] == "idle" and slave["name"] != old]

    wait_for("another slave", PATIENCE, lambda: len(other()) == 1)
    wait_for("the old one to go", PATIENCE, lambda: old not in servers(project))
    on_slave(cluster, other()[0], "test -e /etc/made-anew")
    assert master_id(project) == master
    cluster.pulumi("config", "rm", "ecm:slaveScript")
    cluster.pulumi("config", "rm", "ecm:minSlaves")
    cluster.up()


def everything(project: Connection) -> set[str]:
    """The ids of all that the user has in the project."""
    identity: Any = project.identity
    network = project.network
    groups = list(network.security_groups(project_id=project.current_project_id))
    rules = {rule["id"] for group in groups for rule in group.security_group_rules}
    things = (
        *(*project.compute.servers(), *network.ports(), *network.ips(), *groups),
        *identity.application_credentials(project.current_user_id),
    )
    return rules | {thing.id for thing in things}


def tags(project: Connection, stack: str) -> dict[str, str]:
    """What a slave of the stack has as its metadata."""
    (master,) = project.compute.servers(name=f"ecm-{stack}-master")
    return {CLUSTER_TAG: master.metadata[CLUSTER_TAG], ROLE_TAG: "slave"}


def by_hand(project: Connection, name: str, metadata: dict[str, str]) -> str:
    """A server that no update has made; its id."""
    image: Any = project.image.find_image("debian-13-condor")
    flavor: Any = project.compute.find_flavor("small")
    network = next(project.network.networks(is_router_external=False))
    made = project.compute.create_server(
        name=name, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], metadata=metadata
    )
    return str(made.id)


def test_another_stack_in_the_project_lives_beside_it_and_ends_alone(
    cluster: User, neighbour: User, project: Connection
) -> None:
    ours = cluster.submit(1, 1800)
    wait_for("our job to run", PATIENCE, lambda: cluster.look()["jobs"]["running"] == 1)
    wait_for("no update of ours", PATIENCE, lambda: cluster.look()["update"] is None)
    before = everything(project)
    neighbour.up()
    wait_for("the other master", PATIENCE, neighbour.master_is_ready)
    theirs = neighbour.submit(1, 1)
    wait_for("the other one's job", PATIENCE, lambda: finished(neighbour, theirs) == [0])
    assert neighbour.on_master(f"cat job.{theirs}.0.out").startswith(f"ecm-{NEIGHBOUR}-slave-")
    assert before < everything(project)
    assert [slave["jobs"] for slave in slaves(cluster)] == [1], "each sees its own"
    neighbour.on_master("ecm pause 'servers are made by hand'")
    stray = by_hand(project, f"ecm-{NEIGHBOUR}-stray", tags(project, NEIGHBOUR))
    nobodys = by_hand(project, f"ecm-{NEIGHBOUR}-slave-nobodys", {})
    wait_for("the lock", PATIENCE, lambda: neighbour.try_pulumi("destroy", "--yes", "--skip-preview").returncode == 0)
    left = everything(project) - before
    assert nobodys in left, "by its name alone nothing is the cluster's"
    assert stray not in left
    assert project.delete_server(nobodys, wait=True)
    assert everything(project) == before
    assert cluster.on_master(f"condor_q {ours} -af JobStatus NumShadowStarts").split() == ["2", "1"]
    host = cluster.on_master(f"condor_q {ours} -af RemoteHost").strip()
    on_slave(cluster, host.rpartition("@")[2].partition(".")[0], "sudo pkill -x sleep")
    wait_for("our job", PATIENCE, lambda: finished(cluster, ours) == [0])
    assert ended_once(cluster, ours) == [1]


def test_a_master_that_cannot_read_the_state_says_why_and_goes_on_when_that_is_mended(neighbour: User) -> None:
    right = neighbour.env["ECM_MASTER_BACKEND_URL"]
    password = urlsplit(right).password
    wrong = right.replace(f":{password}@", ":wr0ng@")
    User({**neighbour.env, "ECM_MASTER_BACKEND_URL": wrong}, NEIGHBOUR).up()
    said = "the stack's state can't be read from here - "
    wait_for("the reason", PATIENCE, lambda: said in neighbour.ssh("ecm status").stderr)
    told = neighbour.ssh("ecm status").stderr
    assert "password authentication failed" in told
    assert "wr0ng" not in told
    neighbour.on_master(f"sudo sed -i 's|:wr0ng@|:{password}@|' /etc/ecm/controller.env")
    neighbour.on_master("sudo systemctl restart --no-block ecm-controller")
    wait_for("the controller", PATIENCE, neighbour.master_is_ready)


def test_an_upgrade_reaches_the_running_master_and_no_job_notices(
    cluster: User, project: Connection, tmp_path: Path
) -> None:
    job = cluster.submit(1, 90)
    wait_for("a running job", PATIENCE, lambda: cluster.look()["jobs"]["running"] == 1)
    master = master_id(project)
    User(cluster.env, STACK, newer_checkout(tmp_path)).up()
    is_new = "grep -q UPGRADED /opt/ecm/current/controller/model.py"
    proved = 'grep -q "\\"proved\\": \\"$(basename $(readlink /opt/ecm/current))\\"" /var/lib/ecm/release.json'
    wait_for("the new one to see everything", PATIENCE, lambda: cluster.ssh(f"{is_new} && {proved}").returncode == 0)
    assert master_id(project) == master
    wait_for("the job", PATIENCE, lambda: finished(cluster, job) == [0])
    assert ended_once(cluster, job) == [1]
    cluster.up()
    wait_for("the old one again", PATIENCE, lambda: cluster.ssh(f"! {is_new} && {proved}").returncode == 0)


def newer_checkout(folder: Path) -> Path:
    """This checkout with another controller."""
    made = folder / "checkout"
    # Other tests' settings come and go meanwhile.
    no_sources = shutil.ignore_patterns(".*", "__pycache__", "Pulumi.*.yaml")
    shutil.copytree(ROOT, made, ignore=no_sources)
    shutil.copy(ROOT / f"Pulumi.{STACK}.yaml", made)
    (made / ".venv").symlink_to(ROOT / ".venv")
    with (made / "controller" / "model.py").open("a") as source:
        source.write("\nUPGRADED = True\n")
    return made


def test_a_killed_engine_loses_no_job_and_doubles_no_server(cluster: User, project: Connection) -> None:
    jobs = cluster.submit(8, 5)
    wait_for("a create under way", PATIENCE, lambda: _building(project))
    cluster.on_master("sudo pkill -9 -x pulumi")
    wait_for("the user's own up", 120, lambda: cluster.try_pulumi("up", "--yes", "--skip-preview").returncode == 0)
    wait_for("all jobs", PATIENCE, lambda: len(finished(cluster, jobs)) == 8)
    assert finished(cluster, jobs) == [0] * 8
    assert ended_once(cluster, jobs) == [1] * 8
    names = servers(project)
    assert len(names) == len(set(names)) <= 5
    wait_for("idle slaves to go", PATIENCE, lambda: servers(project) == [f"ecm-{STACK}-master"])


def test_destroy_in_the_middle_of_everything_leaves_nothing(cluster: User, project: Connection) -> None:
    cluster.submit(4, 600)
    wait_for("a create under way", PATIENCE, lambda: _building(project))
    before = servers(project)
    ids: set[str] = set()
    tries = 0
    while True:
        tries += 1
        ids |= {server.id for server in project.compute.servers(details=False)}
        assert _disks(ids), "the master's, at least"
        done = cluster.try_pulumi("destroy", "--yes", "--skip-preview")
        if done.returncode == 0:
            break
        output = done.stdout + done.stderr
        assert "the stack is currently locked by" in output
        assert set(before) <= set(servers(project)), "a refused destroy changes nothing"
        assert tries < 60
        time.sleep(2)
    assert leftovers(cluster) == []
    wait_for("the guests' disks", 30, lambda: not _disks(ids))


def _building(project: Connection) -> bool:
    return any(project.compute.servers(details=False, status="BUILD"))


def _disks(ids: set[str]) -> list[str]:
    """Loop devices of these servers' disks on this machine."""
    listed = json.loads(subprocess.run(["losetup", "--json", "--list"], capture_output=True, check=True).stdout or "{}")
    return [d["name"] for d in listed.get("loopdevices", []) if any(each in str(d["back-file"]) for each in ids)]


def test_the_stack_can_be_made_again(user: User) -> None:
    try:
        user.pulumi("preview")
    except StepFailedError as error:
        pytest.fail(str(error))
