"""A cluster of images that bring nothing, made while the cloud checks no access rules; then its controller goes away.

The first boot of master and slave installs everything: from Debian's packages and Python's, by the site's proxy.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.stack import temporary
from demo.user import ROOT, User, connect, wait_for
from tests.e2e.made_up import IMAGE, done, job, on_slave, submit

pytestmark = pytest.mark.cloud_alone

STACK = "bare"
PATIENCE = 600
ORPHAN = 20
"""Seconds, on the slave. The setting's least is ten minutes."""
LAST_BEAT = """
import classad2, htcondor2
ad = classad2.ClassAd({"MyType": "EcmController", "Name": "controller", "ClassAdLifetime": 1})
htcondor2.Collector().advertise([ad], "UPDATE_AD_GENERIC")
"""
ASK_NOVA = "import openstack; print(openstack.connect().compute.get_limits().absolute.instances)"


def localcloud(*arguments: str) -> str:
    return subprocess.run(
        [ROOT / "scripts" / "localcloud", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


@contextmanager
def nova_without_rules(cloud: dict[str, str]) -> Iterator[None]:
    """Nova as operators have it who never heard of access rules."""
    config = Path(cloud["OS_CLIENT_CONFIG_FILE"]).parent / "etc" / "nova.conf"
    was = config.read_text()
    assert "service_type = compute\n" in was

    def restart_with(text: str) -> None:
        config.write_text(text)
        localcloud("stop", "nova")
        localcloud("start", "nova")

    restart_with(was.replace("service_type = compute\n", ""))
    try:
        yield
    finally:
        restart_with(was)


@pytest.fixture(scope="module")
def first_up(cloud: dict[str, str]) -> Iterator[tuple[User, str]]:
    """The user after the first `pulumi up`, with what that said."""
    settings = {
        "image": "debian-13-bare",
        "proxy": localcloud("bare"),
        "minSlaves": "1",
        "maxSlaves": "1",
        "slavePackages": ["busybox-static"],
        "slaveScript": "tests/e2e/busybox.sh",
    }
    with temporary(cloud, STACK, settings) as user:
        with nova_without_rules(cloud):
            said = user.up()
        yield user, said


@pytest.fixture(scope="module")
def cluster(first_up: tuple[User, str]) -> User:
    """The same user when the one slave has joined."""
    user, _ = first_up
    wait_for("the master", PATIENCE, user.master_is_ready)
    wait_for("the slave", PATIENCE, lambda: joined(user) != "")
    return user


def joined(user: User) -> str:
    """The slave's name; empty when there is none in the pool."""
    return slot(user, "EcmSlave")


def slot(user: User, attribute: str) -> str:
    """What the slave's partitionable slot says; empty when there is none in the pool."""
    return user.on_master(f"condor_status -constraint PartitionableSlot -af {attribute}").strip()


def test_a_cloud_that_checks_no_access_rules_is_told_of_loudly(first_up: tuple[User, str]) -> None:
    _, said = first_up
    assert "compute refuses an application credential with access rules" in said


def test_the_first_boot_installs_everything(cluster: User) -> None:
    assert "23.9.6" in cluster.on_master("condor_version")
    assert cluster.on_master("test -x /opt/ecm/venv/bin/python && cat /etc/ecm/proxy.env").count("_proxy=") == 3
    jobs = (
        job("executable = /bin/hostname", "transfer_executable = false", output="vanilla.out"),
        job(
            "universe = docker",
            f"docker_image = {IMAGE}",
            "executable = /bin/busybox",
            "transfer_executable = false",
            "arguments = echo from the image",
            output="docker.out",
        ),
    )
    numbers = [submit(cluster, description) for description in jobs]
    wait_for("both jobs", PATIENCE, lambda: all(done(cluster, number) for number in numbers))
    assert cluster.on_master("cat vanilla.out docker.out").splitlines() == [joined(cluster), "from the image"]


def test_the_masters_login_without_rules_works(cluster: User) -> None:
    run = "sudo sh -c 'set -a; . /etc/ecm/controller.env; exec /opt/ecm/venv/bin/python -W ignore -'"
    assert cluster.on_master(run, stdin=ASK_NOVA) == "20\n"


def stop_controller(cluster: User) -> None:
    """Its last heartbeat, which would live for minutes, is made a short one."""
    cluster.on_master("sudo systemctl stop ecm-controller", seconds=400)
    cluster.on_master("sudo -u ecm /opt/ecm/venv/bin/python -W ignore -", stdin=LAST_BEAT)
    time.sleep(2)


def looks(cluster: User, slave: str) -> str:
    """Lets the slave look for the controller, and gives what it said. Its timer does so every two minutes."""
    last_word = "sudo journalctl -u ecm-watch -o cat --no-pager | grep '^ecm:' | tail -n 1"
    # systemd refuses the sixth start in ten seconds, unless it is told that they are meant.
    again = "sudo systemctl reset-failed ecm-watch; sudo systemctl start ecm-watch"
    return on_slave(cluster, slave, f"{again} && {last_word}").strip()


def test_a_slave_without_a_controller_ends_its_job_takes_no_other_and_powers_off(cluster: User) -> None:
    slave = joined(cluster)
    server = connect(cluster.env).compute
    assert on_slave(cluster, slave, "systemctl is-active ecm-watch.timer").strip() == "active"
    fired = "systemctl show --property LastTriggerUSecMonotonic --value ecm-watch.timer"
    wait_for("the timer", 180, lambda: on_slave(cluster, slave, fired).strip() not in ("", "0"))
    on_slave(cluster, slave, f"sudo sed -i 's/^ECM_ORPHAN_TIME=.*/ECM_ORPHAN_TIME={ORPHAN}/' /etc/ecm/node.env")
    assert looks(cluster, slave) == "", "it is idle, and a slave of the minimum: it stays"

    long = cluster.submit(1, 1800)
    wait_for("a running job", 60, lambda: cluster.on_master(f"condor_q {long} -af JobStatus").strip() == "2")
    stop_controller(cluster)
    wait_for("the slave to notice", 90, lambda: "this slave takes no more jobs" in looks(cluster, slave))
    assert "takes no more jobs" in looks(cluster, slave), "it has a job, and doesn't power off"

    cluster.on_master("sudo systemctl start ecm-controller", seconds=120)
    wait_for("the slave to see it", 60, lambda: "takes jobs again" in looks(cluster, slave))
    on_slave(cluster, slave, "sudo pkill -x sleep")
    wait_for("the job", 60, lambda: done(cluster, long))
    assert cluster.on_master(f"condor_history {long} -af NumJobStarts").strip() == "1"
    again = cluster.submit(1, 1)
    wait_for("another job", 60, lambda: done(cluster, again))

    stop_controller(cluster)
    wait_for("the idle slave to notice", 90, lambda: "this slave takes no more jobs" in looks(cluster, slave))
    # A job that comes before its startd has read so would still run there.
    wait_for("its startd to know", 60, lambda: slot(cluster, "Start") == "false")
    never = cluster.submit(1, 1)
    on_slave(cluster, slave, "sudo systemctl start --no-block ecm-watch")
    wait_for("the slave to power off", 180, lambda: next(server.servers(name=slave)).status == "SHUTOFF")
    assert cluster.on_master(f"condor_q {never} -af JobStatus").strip() == "1"
    cluster.on_master(f"condor_rm {never} && sudo systemctl start ecm-controller", seconds=120)
