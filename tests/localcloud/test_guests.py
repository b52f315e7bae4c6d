"""Guests on the running cloud, as their user has them: boot, user-data, console, reachability, end."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openstack
import psutil
import pytest
from openstack.exceptions import ForbiddenException

from localcloud import leftovers, login, machine, secrets, seed
from localcloud.paths import default_paths
from localcloud.services import ADDRESS, ENDPOINTS

pytestmark = [pytest.mark.cloud_alone, pytest.mark.filterwarnings("ignore:::openstack")]  # the SDK warns of itself

WRAPPER = str(Path(__file__).parents[2] / "scripts" / "localcloud")
ALWAYS = {name: port for name, port in ENDPOINTS.items() if name != "swift"}
"""Swift runs when it is asked for."""
HELPER = "--privsep_context"
OTHERS = {"mysql": 3306, "rabbit": 5672, "memcached": 11211, "epmd": 4369, "metadata": 8775, "ssh": 22}

# Runs at the guest's first boot; the test reads what it found.
PROBE = f"""#!/usr/bin/python3
import json, socket, urllib.error, urllib.request
def http(url):
    try:
        return urllib.request.urlopen(url, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return str(error)
def tcp(port):
    try:
        socket.create_connection(("{ADDRESS}", port), 3).close()
        return True
    except OSError:
        return False
found = {{
    "metadata": http("http://169.254.169.254/openstack/latest/meta_data.json"),
    "endpoints": {{port: tcp(port) for port in {list(ALWAYS.values())}}},
    "keystone": http("http://{ADDRESS}:{ENDPOINTS["keystone"]}/v3"),
    "others": {{name: tcp(port) for name, port in {OTHERS}.items()}},
}}
open("/run/probe.new", "w").write(json.dumps(found))
import os
os.rename("/run/probe.new", "/run/probe.json")
"""


def wait_for(what: str, seconds: float, test: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end, f"{what} didn't happen within {seconds:.0f} s"
        time.sleep(0.5)


def localcloud(*words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WRAPPER, *words], capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )


@dataclass(frozen=True)
class Pair:
    """Two guests: one with a floating address, which admits ssh from everywhere; the other admits it from the first."""

    user: Any
    outer: str  # id
    inner: str
    floating: str
    open_group: str
    probe: dict[str, object]


@pytest.fixture(scope="module")
def user(cloud: dict[str, str]) -> Any:  # the SDK's types say less than is there
    assert cloud["OS_CLOUD"] == "localcloud"
    return login.connect(login.USER, secrets.load(default_paths()))


@pytest.fixture(scope="module")
def pair(user: Any) -> Iterator[Pair]:
    network = user.network
    for server in user.compute.servers(name="^lc-test-"):
        user.delete_server(server.id, wait=True, timeout=120)
    groups = {name: network.find_security_group(name) for name in ("lc-test-outer", "lc-test-inner")}
    for name, group in groups.items():
        groups[name] = group or network.create_security_group(name=name)
    outer_group, inner_group = groups.values()
    rule = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    for group, remote in ((outer_group, {}), (inner_group, {"remote_group_id": outer_group.id})):
        if not list(network.security_group_rules(security_group_id=group.id, direction="ingress")):
            network.create_security_group_rule(security_group_id=group.id, **rule, **remote)
    ids = {}
    for name in ("outer", "inner"):
        ids[name] = user.compute.create_server(
            name=f"lc-test-{name}",
            image_id=user.image.find_image(seed.IMAGE, ignore_missing=False).id,
            flavor_id=user.compute.find_flavor("small", ignore_missing=False).id,
            key_name=seed.KEYPAIR,
            networks=[{"uuid": network.find_network(seed.NETWORK, ignore_missing=False).id}],
            security_groups=[{"name": f"lc-test-{name}"}],
            user_data=base64.b64encode(PROBE.encode()).decode(),
        ).id
    for server in ids.values():
        user.compute.wait_for_server(user.compute.get_server(server), wait=180)
    address = network.create_ip(floating_network_id=network.find_network(seed.PUBLIC, ignore_missing=False).id)
    (port,) = network.ports(device_id=ids["outer"])
    network.update_ip(address, port_id=port.id)
    floating = str(address.floating_ip_address)
    wait_for("user-data", 240, lambda: localcloud("ssh", floating, "cat", "/run/probe.json").returncode == 0)
    probe = json.loads(localcloud("ssh", floating, "cat", "/run/probe.json").stdout)
    yield Pair(user, ids["outer"], ids["inner"], floating, outer_group.id, probe)
    for server in ids.values():
        user.delete_server(server, wait=True, timeout=120)
    network.delete_ip(address)
    for group in (inner_group, outer_group):
        network.delete_security_group(group)


def test_metadata_answers(pair: Pair) -> None:
    assert pair.probe["metadata"] == 200


def test_a_guest_reaches_every_internal_endpoint(pair: Pair) -> None:
    assert pair.probe["endpoints"] == {str(port): True for port in ALWAYS.values()}
    assert pair.probe["keystone"] == 200


def test_a_guest_reaches_nothing_else_of_the_cloud(pair: Pair) -> None:
    assert pair.probe["others"] == dict.fromkeys(OTHERS, False)


def test_the_console_log_tells_of_the_whole_boot(pair: Pair) -> None:
    log = pair.user.compute.get_server_console_output(pair.outer)["output"]
    assert "systemd" in log
    wait_for(
        "the end of cloud-init in the console log",
        60,
        lambda: "Cloud-init v." in pair.user.compute.get_server_console_output(pair.outer)["output"],
    )
    assert localcloud("console", "lc-test-outer").stdout.strip()


def test_a_guest_runs_as_systemd_wants_and_has_its_name(pair: Pair) -> None:
    wait_for(
        "running",
        120,
        lambda: "running" in localcloud("ssh", pair.floating, "systemctl is-system-running").stdout,
    )
    assert localcloud("ssh", "lc-test-outer", "hostname").stdout.strip() == "lc-test-outer"


def test_every_process_of_a_guest_is_below_its_own_group(pair: Pair) -> None:
    listed = localcloud("ssh", pair.floating, "cat /proc/1/cgroup").stdout
    groups = {line.split(":")[1]: line.split(":")[2] for line in listed.splitlines()}
    assert groups
    assert all(path.startswith("/machine/lxc-") for controllers, path in groups.items() if controllers)


@pytest.mark.usefixtures("pair")
def test_a_guest_without_a_floating_address_is_reached_through_one_that_has_one() -> None:
    wait_for("its boot", 120, lambda: localcloud("ssh", "lc-test-inner", "hostname").stdout.strip() == "lc-test-inner")


def test_a_security_group_admits_and_blocks(pair: Pair) -> None:
    """By connections from the cloud's public network to a server in the guest, which listens all the time."""
    localcloud("ssh", pair.floating, "sudo systemd-run --unit=lc-listen python3 -m http.server 8123")

    def reached() -> bool:
        answer = subprocess.run(
            [WRAPPER, "proxy", pair.floating, "8123"],
            input="GET / HTTP/1.0\r\n\r\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return answer.stdout.startswith("HTTP/1.0 200")

    assert not reached()
    rule = pair.user.network.create_security_group_rule(
        security_group_id=pair.open_group, direction="ingress", protocol="tcp", port_range_min=8123, port_range_max=8123
    )
    wait_for("the rule's effect", 60, reached)
    pair.user.network.delete_security_group_rule(rule)
    wait_for("the end of the rule's effect", 60, lambda: not reached())


def test_an_application_credential_is_held_to_its_access_rules(user: Any) -> None:
    """Every service, for this is what keeps a stolen master from the rest of the project."""
    me = user.current_user_id
    identity = user.identity
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers/detail"}]
    credential = identity.create_application_credential(me, "lc-test", access_rules=rules)
    try:
        limited = openstack.connect(
            load_envvars=False,
            load_yaml_config=False,
            auth_type="v3applicationcredential",
            auth={
                "auth_url": user.config.get_auth_args()["auth_url"],
                "application_credential_id": credential.id,
                "application_credential_secret": credential.secret,
            },
            region_name="RegionOne",
        )
        assert limited.session.get("/servers/detail", endpoint_filter={"service_type": "compute"}).status_code == 200
        refused = {
            "compute": "/os-keypairs",
            "image": "/v2/images",
            "network": "/v2.0/security-groups",
            "placement": "/resource_providers",
        }
        for service, path in refused.items():
            answer = limited.session.get(path, endpoint_filter={"service_type": service}, raise_exc=False)
            assert answer.status_code == 401, service
    finally:
        identity.delete_application_credential(me, credential)


def test_the_ordinary_user_is_no_administrator(user: Any) -> None:
    with pytest.raises(ForbiddenException):
        user.compute.create_flavor(name="own", vcpus=1, ram=1, disk=1)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("name", login.PROJECTS)
def test_each_project_has_what_it_was_promised(name: str) -> None:
    user = login.connect(name, secrets.load(default_paths()))
    flavors = {flavor.name: (flavor.vcpus, flavor.ram) for flavor in user.compute.flavors()}
    assert flavors == {"small": (1, 1024), "medium": (2, 2048), "large": (4, 4096)}
    image = user.image.find_image(seed.IMAGE, ignore_missing=False)
    assert (image.os_distro, image.os_version) == ("debian", "13")
    limits = user.compute.get_limits().absolute
    assert (limits.instances, limits.total_cores, limits.total_ram) == (20, 40, 40960)
    assert user.compute.find_keypair(seed.KEYPAIR)
    network = user.network.find_network(seed.NETWORK, ignore_missing=False)
    assert [router.name for router in user.network.routers()] == [network.name]


def test_both_logins_share_the_state_database_whoever_comes_first(cloud: dict[str, str]) -> None:
    """As Pulumi does it: whoever logs in first makes the table."""
    running = machine.find()
    assert running

    def run(role: str, sql: str) -> None:
        url = urlsplit(cloud[{"laptop": "PULUMI_BACKEND_URL", "master": "ECM_MASTER_BACKEND_URL"}[role]])
        environment = {"PGPASSWORD": url.password or ""}
        running.run("psql", "-q", "-h", ADDRESS, "-U", role, url.path[1:], environment=environment, stdin=sql)

    try:
        for first, second in (("laptop", "master"), ("master", "laptop")):
            run(first, f"create table lc_{first} (key text primary key);")
            run(second, f"alter table lc_{first} add value text; insert into lc_{first} values ('x', 'y');")  # noqa: S608
    finally:
        run("laptop", "drop table if exists lc_laptop, lc_master;")


@pytest.mark.usefixtures("pair")
def test_the_agents_helpers_do_one_call_at_a_time() -> None:
    """Of two at once, each waited for ever now and then: beside the main thread there is one that works."""
    helpers = [process for process in psutil.process_iter(["cmdline"]) if HELPER in (process.info["cmdline"] or ())]
    assert {"neutron.privileged.default", "nova.privsep.sys_admin_pctxt"} <= {
        process.info["cmdline"][process.info["cmdline"].index(HELPER) + 1] for process in helpers
    }
    assert [process.info for process in helpers if process.num_threads() > 2] == []


def test_nothing_of_a_deleted_guest_is_left(user: Any, pair: Pair) -> None:
    paths = default_paths()
    running = machine.find()
    assert running

    def groups() -> set[str]:
        return {str(path) for group in machine.groups() for path in group.glob("machine/lxc-*") if path.is_dir()}

    def mounts() -> str:
        return Path(f"/proc/{running.pid}/mountinfo").read_text()

    before = groups(), running.guests(), len(leftovers.loops(paths))
    template = user.compute.get_server(pair.inner)
    server = user.compute.create_server(
        name="lc-test-short",
        image_id=template.image.id,
        flavor_id=user.compute.find_flavor("small", ignore_missing=False).id,
        networks=[{"uuid": user.network.find_network(seed.NETWORK, ignore_missing=False).id}],
    )
    user.compute.wait_for_server(server, wait=180)
    assert running.guests() == before[1] + 1
    assert server.id in mounts() or len(leftovers.loops(paths)) > before[2]
    # Not only asked for: its systemd gets as far as starting what could outlive it.
    wait_for("its boot", 120, lambda: "Reached target" in user.compute.get_server_console_output(server.id)["output"])
    user.delete_server(server.id, wait=True, timeout=120)
    wait_for("the end of its processes", 30, lambda: running.guests() == before[1])
    wait_for("the end of its loop device", 30, lambda: len(leftovers.loops(paths)) == before[2])
    assert server.id not in mounts()
    assert not (paths.live / "nova" / "instances" / server.id).exists()
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and server.id in _mountinfo(pid)]  # noqa: PTH208


def _mountinfo(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:
        return ""
