"""Ends of the cloud, orderly and not, and the start after each.  The cases go in order."""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openstack.exceptions import ResourceFailure

from localcloud import leftovers, login, machine, secrets, seed
from localcloud.paths import default_paths

pytestmark = [
    pytest.mark.cloud_restart,
    pytest.mark.usefixtures("cloud"),
    pytest.mark.filterwarnings("ignore:::openstack"),  # the SDK warns of itself
]

WRAPPER = str(Path(__file__).parents[2] / "scripts" / "localcloud")
HEALTHY, DOWN = 0, 3


def localcloud(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([WRAPPER, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def boot() -> None:
    user = login.connect(login.USER, secrets.load(default_paths()))
    server = user.compute.create_server(
        name="lc-test-doomed",
        image_id=user.image.find_image(seed.IMAGE, ignore_missing=False).id,
        flavor_id=user.compute.find_flavor("small", ignore_missing=False).id,
        networks=[{"uuid": user.network.find_network(seed.NETWORK, ignore_missing=False).id}],
    )
    try:
        user.compute.wait_for_server(server, wait=180)
    except ResourceFailure as error:
        admin = login.connect("admin", secrets.load(default_paths()))
        pytest.fail(f"{error} - {admin.compute.get_server(server.id).fault}")


def servers() -> list[str]:
    user = login.connect(login.USER, secrets.load(default_paths()))
    return [server.name for server in user.compute.servers(details=False)]


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def host_mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def test_a_killed_service_comes_back() -> None:
    assert localcloud("kill", "keystone").returncode == 0
    end = time.monotonic() + 90
    while localcloud("status").returncode != HEALTHY:
        assert time.monotonic() < end
    assert servers() == []


def test_a_stopped_service_stays_stopped_until_it_is_started() -> None:
    assert localcloud("stop", "nova-compute").returncode == 0
    assert localcloud("status").returncode == 1
    began = datetime.now(UTC).replace(tzinfo=None)
    assert localcloud("start", "nova-compute").returncode == 0
    admin = login.connect("admin", secrets.load(default_paths()))
    (compute,) = admin.compute.services(binary="nova-compute")
    assert datetime.fromisoformat(compute.updated_at) > began, "it takes servers now, and none is lost"
    assert localcloud("status").returncode == HEALTHY
    assert servers() == []


def test_down_leaves_nothing_of_a_cloud_with_a_guest() -> None:
    before = interfaces(), host_mounts()
    boot()
    assert localcloud("leftovers").stdout
    done = localcloud("down")
    assert done.returncode == 0, done.stderr
    left = localcloud("leftovers")
    assert (left.returncode, left.stdout) == (0, "")
    assert machine.processes() == set()
    assert leftovers.loops(default_paths()) == []
    assert (interfaces(), host_mounts()) == before
    assert localcloud("status").returncode == DOWN
    assert localcloud("down").returncode == 0


def test_the_next_start_is_warm_and_has_no_ghosts() -> None:
    began = time.monotonic()
    done = localcloud("up")
    assert done.returncode == 0, done.stderr
    assert "made once" not in done.stderr
    assert time.monotonic() - began < 150  # 30 s on an idle machine
    assert servers() == []


def test_an_interrupted_start_after_a_crash_with_a_guest_is_made_good() -> None:
    boot()
    running = machine.find()
    assert running
    os.kill(running.pid, signal.SIGKILL)
    with subprocess.Popen([WRAPPER, "up"], stderr=subprocess.DEVNULL, start_new_session=True) as interrupted:
        time.sleep(8)
        os.killpg(interrupted.pid, signal.SIGKILL)
    done = localcloud("up")
    assert done.returncode == 0, done.stderr
    assert localcloud("status").returncode == HEALTHY
    assert servers() == []
    assert leftovers.loops(default_paths()) == []
