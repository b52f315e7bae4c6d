"""Is this machine fit to run the cloud?  Changes nothing."""

import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from localcloud.errors import UnfitHostError

NEEDED = ("apt-get", "unshare", "nsenter", "ssh-keygen")
PATIENCE = 70
"""Seconds: a connection that has ended keeps its port for 60 (TIME-WAIT)."""


def check() -> None:
    """Refuse a machine on which the cloud can't work.

    Raises:
        UnfitHostError: the first reason found.
    """
    if reason := unfit(_os_release()):
        raise UnfitHostError(reason)


def unfit(release: Mapping[str, str]) -> str | None:
    """Why the cloud can't work here, or None."""
    if release.get("ID") != "debian" or release.get("VERSION_ID") != "12":
        name = release.get("PRETTY_NAME", "an unknown system")
        return f"the local cloud needs Debian 12 - this is {name} - use an OpenStack elsewhere"
    if os.geteuid() != 0:
        return "the local cloud needs root, for its namespaces - run it with sudo"
    if missing := [program for program in NEEDED if not shutil.which(program)]:
        return f"{missing[0]} isn't there, the local cloud needs it - install its Debian package"
    return _unfit_kernel()


def _unfit_kernel() -> str | None:
    if not Path("/dev/loop-control").exists():
        return "/dev/loop-control isn't there - guests' disks are loop devices - use a machine that has them"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "this kernel has no overlay file system - the cloud's root file system is one - try `modprobe overlay`"
    if not Path("/sys/fs/cgroup/memory/cgroup.procs").exists():
        return (
            "this machine has no cgroup v1 hierarchies - libvirt's containers need them here"
            " - boot with systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller"
        )
    return None


def taken_ports(ports: Mapping[str, int]) -> list[str]:
    """Which of the cloud's ports on the loopback belong to somebody else, as `name (port)`.

    One where nobody listens is waited for: where this machine's ports for outgoing connections (ip_local_port_range)
    have the cloud's among them, a connection that has ended keeps one for a minute.
    """
    end = time.monotonic() + PATIENCE
    while True:
        held = {name: port for name, port in ports.items() if not _is_free(port)}
        if any(map(_listens, held.values())) or not held or time.monotonic() > end:
            return [f"{name} ({port})" for name, port in held.items()]
        time.sleep(0.5)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _os_release() -> dict[str, str]:
    path = Path("/etc/os-release")
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    return {key: value.strip('"') for key, value in pairs}
