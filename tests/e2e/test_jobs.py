"""What users may and may not do: accounts, kinds of jobs, how many at once, who sees what. One cluster for all."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.__main__ import leftovers
from demo.user import ROOT, User, last_line, wait_for

pytestmark = pytest.mark.cloud

STACK = "jobs"
PATIENCE = 300
CLOSING, CLOSED = 60, 150  # seconds: until the doors are closed for sure, and until a slave is made and its job ended
DOCKER_JOB = """universe = docker
docker_image = localhost/busybox:1
executable = /bin/sh
transfer_executable = false
arguments = "-c 'id -u; wget -q -T 4 -O - http://169.254.169.254/openstack/latest/user_data || echo closed; echo done'"
output = docker.$(Cluster).out
error = docker.$(Cluster).err
log = docker.log
should_transfer_files = yes
request_cpus = 1
request_memory = 100M
request_disk = 10M
queue
"""
METADATA = "curl -s -m 4 http://169.254.169.254/openstack/latest/user_data || echo closed"


@pytest.fixture(scope="module")
def cluster(cloud: dict[str, str]) -> Iterator[User]:
    """A cluster of slaves with four VCPUs and two jobs each, and with an account for alice."""
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    key = Path(cloud["ECM_SSH_CONFIG"]).with_name("id_ed25519.pub").read_text().strip()
    config["config"] |= {
        "ecm:slaveFlavor": "large",
        "ecm:jobsPerSlave": "2",
        "ecm:maxSlaves": "4",
        "ecm:idleTime": "60",
        "ecm:slaveScript": "tests/e2e/busybox.sh",
        "ecm:users": {"alice": [key]},
    }
    settings = ROOT / f"Pulumi.{STACK}.yaml"
    settings.write_text(yaml.safe_dump(config))
    user = User(cloud, STACK)
    user.select()
    user.up()
    wait_for("the master", PATIENCE, user.master_is_ready)
    yield user
    wait_for(
        "the lock, to destroy", PATIENCE, lambda: user.try_pulumi("destroy", "--yes", "--skip-preview").returncode == 0
    )
    assert leftovers(user) == []
    user.pulumi("stack", "rm", "--yes")
    settings.unlink(missing_ok=True)


def alice(cluster: User) -> User:
    """Alice, who logs in to the same master."""
    return User(cluster.env, STACK, account="alice")


def done(user: User, job: str) -> bool:
    return user.on_master(f"condor_history {job} -limit 1 -af ExitCode").strip() == "0"


def test_root_may_not_submit_and_is_told_what_to_do(cluster: User) -> None:
    refused = cluster.ssh("sudo condor_submit -terse - <<<'queue'")
    assert refused.returncode != 0
    assert "ordinary" in last_line(refused.stdout + refused.stderr)


def test_no_more_jobs_at_once_than_a_slave_may_have(cluster: User) -> None:
    jobs = cluster.submit(8, 60)
    most: Counter[str] = Counter()

    def all_running() -> bool:
        hosts = cluster.on_master(f"condor_q {jobs} -constraint 'JobStatus == 2' -af RemoteHost").split()
        running = Counter(host.rpartition("@")[2] for host in hosts)
        for host, count in running.items():
            most[host] = max(most[host], count)
        return running.total() == 8

    wait_for("eight running jobs", PATIENCE, all_running)
    assert sorted(most.values()) == [2, 2, 2, 2]


def test_an_account_of_the_settings_submits_and_looks_into_its_job(cluster: User) -> None:
    user = alice(cluster)
    job = user.submit(1, 40)
    wait_for("alice's job", PATIENCE, lambda: user.on_master(f"condor_q {job} -af JobStatus").strip() == "2")
    assert user.on_master(f"condor_ssh_to_job -auto-retry {job} id -un").strip().startswith("slot1_")
    owner: Any = user.on_master(f"condor_q {job} -af Owner").strip()
    assert owner == "alice"


def test_a_docker_job_runs_unprivileged_and_sees_no_secret(cluster: User) -> None:
    assert set(cluster.on_master("condor_status -af HasDocker").split()) == {"true"}
    job = cluster.on_master("condor_submit -terse -", stdin=DOCKER_JOB).partition(".")[0].strip()
    wait_for("the docker job", PATIENCE, lambda: done(cluster, job))
    uid, metadata, end = cluster.on_master(f"cat docker.{job}.out").split()
    assert int(uid) > 0
    assert (metadata, end) == ("closed", "done")


def test_neither_a_job_nor_an_account_reads_a_nodes_user_data(cluster: User) -> None:
    description = (
        "executable = /bin/sh\ntransfer_executable = false\n"
        f"arguments = \"-c '{METADATA}'\"\noutput = metadata.out\n"
        "should_transfer_files = yes\nrequest_memory = 100M\nrequest_disk = 10M\nqueue\n"
    )
    job = cluster.on_master("condor_submit -terse -", stdin=description).partition(".")[0].strip()
    wait_for("the job", PATIENCE, lambda: done(cluster, job))
    assert cluster.on_master("cat metadata.out") == "closed\n"
    assert alice(cluster).on_master(METADATA) == "closed\n"


def test_the_pool_is_not_read_without_a_login(cluster: User) -> None:
    """From a slave, whose own token may read, but without it."""
    look = "condor_status -pool master.pool -af Name"
    slave = cluster.on_master("condor_status -af Machine | head -n 1").strip()
    address = cluster.on_master(f"getent hosts {slave} || condor_status {slave} -af MyAddress").strip()
    assert address
    job = (
        cluster.on_master(
            "condor_submit -terse -",
            stdin=(
                "executable = /bin/sh\ntransfer_executable = false\n"
                f"arguments = \"-c '{look} 2>&1; true'\"\noutput = look.out\n"
                "should_transfer_files = yes\nrequest_memory = 100M\nrequest_disk = 10M\nqueue\n"
            ),
        )
        .partition(".")[0]
        .strip()
    )
    wait_for("the job", PATIENCE, lambda: done(cluster, job))
    said = cluster.on_master("cat look.out")
    assert "slot1" not in said
    assert said.strip(), "it says why"


def test_the_journal_of_all_this_replays_to_the_same_decisions(cluster: User) -> None:
    assert ", 0 different, 0 lines unreadable" in cluster.on_master(
        "cd / && sudo env PYTHONPATH=/opt/ecm/current /opt/ecm/venv/bin/python -m controller replay"
    )


FORBIDDEN = """
import keystoneauth1.exceptions, openstack, openstack.exceptions
cloud = openstack.connect()
calls = {
    "keypairs": lambda: list(cloud.compute.keypairs()),
    "volumes of servers": lambda: cloud.compute.create_server_image("x", "y"),
    "security groups": lambda: list(cloud.network.security_groups()),
    "a new network": lambda: cloud.network.create_network(name="mine"),
    "credentials": lambda: cloud.identity.create_application_credential(cloud.current_user_id, "another"),
}
for what, call in calls.items():
    try:
        call()
    except (openstack.exceptions.HttpException, keystoneauth1.exceptions.HttpError) as error:
        print(what, getattr(error, "http_status", None) or error.status_code)
    else:
        print(what, "allowed")
print(len(list(cloud.compute.servers(details=True))) > 0)
"""


def test_the_masters_login_does_what_the_controller_does_and_nothing_else(cluster: User) -> None:
    run = "sudo sh -c 'set -a; . /etc/ecm/controller.env; exec /opt/ecm/venv/bin/python -W ignore -'"
    *answers, lists_servers = cluster.on_master(run, stdin=FORBIDDEN).splitlines()
    assert lists_servers == "True"
    assert len(answers) == 5
    assert [line for line in answers if not line.endswith((" 401", " 403"))] == []


def test_narrowed_rules_keep_strangers_out_and_slaves_in(cluster: User) -> None:
    """A job that the master submits by itself, while nobody can log in, brings what it needs and ends."""
    address = cluster.outputs()["masterIp"]
    description = (
        "executable = /bin/echo\ntransfer_executable = false\narguments = done\noutput = closed.out\n"
        "should_transfer_files = yes\nrequest_memory = 100M\nrequest_disk = 10M\nqueue\n"
    )
    cluster.on_master("cat >closed.sub", stdin=description)
    cluster.pulumi("config", "set", "--path", "ecm:allowedCidrs[0]", "192.0.2.0/24")
    script = f"sleep {CLOSING}; condor_submit closed.sub; sleep {CLOSED}; cp closed.out ended-while-closed"
    cluster.on_master(f"nohup sh -c '{script}' >/dev/null 2>&1 &")
    began = time.monotonic()
    cluster.up()
    wait_for("closed doors", 60, lambda: not reachable(cluster, address))
    assert time.monotonic() - began < CLOSING, "the job comes when the doors are closed"
    time.sleep(began + CLOSING + CLOSED + 5 - time.monotonic())
    assert not reachable(cluster, address)
    cluster.pulumi("config", "rm", "ecm:allowedCidrs")
    cluster.up()
    wait_for("open doors", 60, lambda: reachable(cluster, address))
    assert cluster.on_master("cat ended-while-closed") == "done\n"


def reachable(cluster: User, address: str) -> bool:
    """Whether a stranger's connection to the master's ssh port is taken."""
    host = subprocess.run(
        ["ssh", "-F", cluster.env["ECM_SSH_CONFIG"], "-o", "ConnectTimeout=5", address, "true"],
        env=cluster.env,
        capture_output=True,
        check=False,
    )
    return host.returncode == 0
