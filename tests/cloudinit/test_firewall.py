"""Who reaches the metadata service and the controller's ports: a kernel's answer, with the nodes' own rules.

In a network of its own, inside the guest's file system; the metadata service and a container are networks beside it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cloudinit
from bench.realpool import USERS, RealPool, real_pool
from controller.metrics import PORT

pytestmark = pytest.mark.slow

FILES = Path(cloudinit.__file__).parent / "files"
METADATA = (FILES / "common/etc/ecm/metadata.nft").read_text()
CONTROLLER = (FILES / "master/etc/ecm/controller.nft").read_text()
ALL = ("root", "ecm", "ada")

COMMON = """
import json, os, socket, subprocess, sys, time

USERS = {"root": 0, **json.loads(sys.argv[2])}
HOLD = ("import sys, time, socket\\n"
    "listening = [socket.create_server(tuple(a), family=f, backlog=b) for f, a, b in %s]\\n"
    "print('ready', flush=True)\\n"
    "while True:\\n"
    "    for s in listening:\\n"
    "        s.settimeout(0.1)\\n"
    "        try: c, _ = s.accept()\\n"
    "        except TimeoutError: continue\\n"
    "        c.settimeout(2)\\n"
    "        try: c.recv(9); c.sendall(b'hello')\\n"
    "        except OSError: pass\\n"
    "        c.close()\\n")

def sh(command):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout

def listen(addresses, user="root", before=()):
    command = [*before, "setpriv", f"--reuid={USERS[user]}", "--clear-groups", "python3", "-c", HOLD % addresses]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\\n"
    return process

def answered(user, address, before=()):
    ask = ("import socket; s = socket.socket(socket.%s); s.settimeout(1.5); s.connect(%r); s.sendall(b'x'); "
        "print(s.recv(9).decode())" % ("AF_INET6" if ":" in address[0] else "AF_INET", tuple(address)))
    command = [*before, "setpriv", f"--reuid={USERS[user]}", "--clear-groups", "python3", "-c", ask]
    return "hello" in subprocess.run(command, capture_output=True, text=True).stdout

sh("ip link set lo up")
subprocess.run(["nft", "-f", "-"], input=sys.argv[1], text=True, check=True)
"""
OWN_PORTS = """
owners = {}
for owner in ("root", "ecm", "ada"):
    process = listen([(2, ("127.0.0.1", 50000 + USERS[owner]), 9)], owner)
    owners[owner] = [who for who in ("root", "ecm", "ada") if answered(who, ("127.0.0.1", 50000 + USERS[owner]))]
metrics = listen([(2, ("127.0.0.1", int(sys.argv[3])), 9)], "ecm")
owners["metrics"] = [who for who in ("root", "ecm", "ada") if answered(who, ("127.0.0.1", int(sys.argv[3])))]
print(json.dumps(owners))
"""
FLOODED = """
sh("sysctl -qw net.ipv4.tcp_syncookies=2")  # the first answer comes as in a flood, from no socket
own, other = ("127.0.0.1", 50001), ("127.0.0.1", 50002)
listen([(2, own, 9)], "ecm")
listen([(2, other, 9)], "ada")
print(json.dumps({who: [answered(who, own), answered(who, other)] for who in ("root", "ecm", "ada")}))
"""
NETWORKS = """
def network(name, here, there, *more):
    process = subprocess.Popen(["unshare", "--net", "sleep", "120"])
    inside = ["nsenter", "-t", str(process.pid), "-n"]
    while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        time.sleep(0.02)
    sh(f"ip link add {name} type veth peer name eth0 netns {process.pid}")
    sh(f"ip addr add {here} dev {name} && ip link set {name} up")
    for command in ("ip link set lo up", f"ip addr add {there} dev eth0", "ip link set eth0 up", *more):
        sh(" ".join(inside) + " " + command)
    return inside

sh("sysctl -qw net.ipv4.ip_forward=1")
cloud = network("cloud", "169.254.169.1/24", "169.254.169.254/24",
    "ip -6 addr add fe80::a9fe:a9fe/64 dev eth0 nodad", "ip route add default via 169.254.169.1")
container = network("docker0", "172.17.0.1/24", "172.17.0.2/24", "ip route add default via 172.17.0.1")
third, sixth = ("169.254.169.254", 80), ("fe80::a9fe:a9fe", 80, 0, socket.if_nametoindex("cloud"))
listen([(2, third, 9), (10, ("fe80::a9fe:a9fe", 80, 0, 2), 9)], before=cloud)
time.sleep(2)  # IPv6 addresses are tentative until then
asked = lambda: {
    **{who: [answered(who, third), answered(who, sixth)] for who in ("root", "ada")},
    "container": answered("root", third, before=container),
}
closed = asked()
sh("nft flush ruleset")
print(json.dumps({"closed": closed, "open": asked()}))
"""


@pytest.fixture(scope="module")
def guest() -> Iterator[RealPool]:
    with real_pool() as running:
        yield running


def played(guest: RealPool, rules: str, script: str) -> Any:
    """What a script prints in a network of its own, with these rules."""
    # With its first process all that it has started ends.
    alone = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "python3", "-c")
    return json.loads(guest.run(*alone, COMMON + script, rules, json.dumps(USERS), str(PORT)))


def test_what_the_controllers_user_listens_on_takes_root_and_that_user_only_but_for_the_metrics(
    guest: RealPool,
) -> None:
    takes = played(guest, CONTROLLER, OWN_PORTS)
    assert takes == {"root": [*ALL], "ecm": ["root", "ecm"], "ada": [*ALL], "metrics": [*ALL]}


def test_nor_does_a_flood_of_connections_open_the_controllers_ports(guest: RealPool) -> None:
    asked = played(guest, CONTROLLER, FLOODED)
    assert not asked["ada"][0]
    assert asked["root"][0]
    assert asked["ecm"][0]


def test_the_metadata_service_answers_root_and_neither_accounts_nor_containers(guest: RealPool) -> None:
    asked = played(guest, METADATA, NETWORKS)
    assert asked["open"] == {"root": [True, True], "ada": [True, True], "container": True}
    assert asked["closed"] == {"root": [True, True], "ada": [False, False], "container": False}
