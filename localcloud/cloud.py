"""Brings the cloud up and takes it down.

Each start begins from the seed: the databases and images as they were when the cloud was new.  So a clean stop, a
crash and an interrupt at any moment all end the same way: what ran is ended, what it left is removed, and the next
start is like the first but for making the seed.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from localcloud import (
    access,
    config,
    databases,
    guest_image,
    health,
    host,
    leftovers,
    login,
    machine,
    rootfs,
    seed,
    startup,
)
from localcloud.errors import LocalCloudError, UnfitHostError
from localcloud.machine import Machine
from localcloud.paths import Paths
from localcloud.progress import say, step
from localcloud.secrets import load_or_make, make_ssh_key
from localcloud.services import ENDPOINTS, FAKES, PACKAGES_PORT, USUAL
from localcloud.supervisor import Supervisor, started

DATABASES = ["mysql", "postgres"]


@contextmanager
def turn(paths: Paths) -> Iterator[None]:
    """Only one command at a time changes the cloud; others wait here."""
    paths.make()
    with (paths.cache / "lock").open("w") as lock:
        with step("another localcloud command is at work"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def running(paths: Paths) -> Machine | None:
    """This user's cloud, if it runs.

    Raises:
        UnfitHostError: another one does.
    """
    found = machine.find()
    if found and (state := found.state()) != paths.state:
        raise UnfitHostError(f"another local cloud runs on this machine - its state is in {state} - end that one first")
    return found


def up(paths: Paths) -> None:
    """The cloud runs and is healthy when this returns, whatever was before.

    Raises:
        LocalCloudError: it can't be, or it has fake servers; one line (after a service's log) says why.
    """
    host.check()
    with turn(paths):
        # Both take minutes once, mostly waiting for packages.
        with ThreadPoolExecutor(2) as pool:
            building = pool.submit(guest_image.ensure)
            root = rootfs.ensure(paths)
            image = building.result()
        secrets = load_or_make(paths)
        make_ssh_key(paths)
        access.write_files(paths, secrets)
        key = _seed_key(root, image, secrets)
        found = running(paths)
        if found and _generation(paths) == key:
            if started(Supervisor(paths.run / "supervisor.sock").states(), FAKES):
                raise LocalCloudError("the local cloud has fake servers only - `scripts/localcloud down` first")
            with step("services"):
                _start_all(found, paths, secrets)
            return
        if found and _generation(paths) and found.guests():
            say("the running cloud is of another version and has guests: it stays (`down`, then `up` renews it)")
            with step("services"):
                _start_all(found, paths, secrets)
            return
        if found and _generation(paths):
            say("the running cloud is of another version and has no guests: it is replaced")
        _clear(paths)
        if taken := host.taken_ports({**ENDPOINTS, "packages": PACKAGES_PORT}):
            raise LocalCloudError(f"ports of this machine's loopback are taken: {', '.join(taken)} - free them first")
        startup.set_logs_aside(paths)
        config.write(paths, root, secrets)
        leftovers.remember_host(paths)
        if databases.seed_key(paths) != key:
            _make_seed(paths, root, image, secrets, key)
            config.write(paths, root, secrets)
        with step("databases"):
            databases.make_folders(paths, root)
            databases.restore_seed(paths)
        rootfs.remove_others(paths)
        born = machine.start(paths, root)
        (paths.run / "generation").write_text(json.dumps({"key": key, "pid": born.pid}))
        with step("services"):
            _start_all(born, paths, secrets)


def down(paths: Paths) -> None:
    """End the cloud, guests included, and remove all that it put into this machine.

    Raises:
        LocalCloudError: something of it stayed.
    """
    with turn(paths):
        running(paths)
        with step("ending the local cloud"):
            _clear(paths)
        left = leftovers.find(paths)
        if not left:
            leftovers.forget_host(paths)
    if left:
        raise LocalCloudError("\n".join([*left, f"{len(left)} things of the local cloud are left on this machine"]))


def reset(paths: Paths) -> None:
    """`down`, and forget databases, passwords and keys; the caches of packages and images stay."""
    down(paths)
    with turn(paths):
        leftovers.delete(paths.state)


def _clear(paths: Paths) -> None:
    machine.stop()
    leftovers.clear(paths)
    (paths.run / "generation").unlink(missing_ok=True)
    databases.forget(paths)


def _start_all(born: Machine, paths: Paths, secrets: dict[str, str]) -> None:
    supervisor = Supervisor(paths.run / "supervisor.sock")
    startup.start(born, supervisor, paths, USUAL)
    health.wait_healthy(secrets, supervisor, 90, lambda: startup.check(paths, supervisor.states()))


def _make_seed(paths: Paths, root: Path, image: Path, secrets: dict[str, str], key: str) -> None:
    """Bring up an empty cloud, fill it, stop it in order and keep what is then on the disk."""
    say("the first start: databases, users, networks and the image are made once")
    databases.make_folders(paths, root)
    born = machine.start(paths, root)
    supervisor = Supervisor(paths.run / "supervisor.sock")
    with step("empty databases"):
        databases.install(born)
        startup.start(born, supervisor, paths, [*DATABASES, "front", "memcached", "rabbit", "libvirt"])
        databases.create(born, secrets)
        databases.synchronise(born, secrets)
    with step("users and catalogue"):
        startup.start(born, supervisor, paths, [*DATABASES, "memcached", "keystone"])
        seed.catalogue(secrets)
    with step("services"):
        startup.start(born, supervisor, paths, USUAL)
    with step("projects, networks, flavors, image"):
        seed.contents(secrets, paths, image)
        health.wait_healthy(secrets, supervisor, 90, lambda: startup.check(paths, supervisor.states()))
        databases.map_hosts(born)
    with step("keeping the seed"):
        startup.stop(supervisor, [name for name in USUAL if name not in DATABASES])
        databases.forget_reports(born)
        startup.stop(supervisor, DATABASES)
        databases.keep_seed(paths, key)
        _clear(paths)


def _generation(paths: Paths) -> str | None:
    """Which recipe the running cloud was started from; None while its seed is being made."""
    path = paths.run / "generation"
    if not path.exists():
        return None
    written: dict[str, str | int] = json.loads(path.read_text())
    found = machine.find()
    return str(written["key"]) if found and written["pid"] == found.pid else None


def _seed_key(root: Path, image: Path, secrets: dict[str, str]) -> str:
    parts = [root.name, guest_image.fingerprint(image), json.dumps(secrets, sort_keys=True), config.fingerprint()]
    parts += [Path(module.__file__ or "").read_text() for module in (seed, databases, login)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
