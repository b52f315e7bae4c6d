"""The cloud's own machine: control groups, namespaces and the first process of a tree that ends with it.

Answers whether it runs, starts it, runs commands in it and ends it.  What runs inside is for `services` and
`supervisor`.  Nothing is remembered in files: the control group tells which processes belong to the cloud, also after
any kind of crash.
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import LocalCloudError
from localcloud.paths import Paths

HERE = Path(__file__).resolve().parent / "inside"
CGROUPS = Path("/sys/fs/cgroup")
GROUP = "ecm-localcloud"

_CLONE_NEWNET = 0x40000000
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def groups() -> list[Path]:
    """The cloud's group in each hierarchy of the host, whether it exists or not: below the root, as libvirt's own."""
    hierarchies = sorted({path.resolve() for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists()})
    return [hierarchy / GROUP for hierarchy in hierarchies]


def _make_groups() -> list[Path]:
    made = groups()
    for group in made:
        group.mkdir(exist_ok=True)
        # A new cpuset group has neither processors nor memory, and takes no process before it has both.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists():
                (group / name).write_text((group.parent / name).read_text())
    return made


def processes() -> set[int]:
    """Every process of the cloud, guests' included, by control group."""
    found: set[int] = set()
    for group in groups():
        # Not glob, which fails when a folder goes while it looks: guests end at any time.
        for folder, _, _ in os.walk(group):
            try:
                found |= {int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()}
            except OSError:
                continue  # the group went in the meantime
    return found - {0}


def _status(pid: int, field: str) -> list[str]:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return line.split()[1:]
    except OSError:
        pass
    return []


def is_zombie(pid: int) -> bool:
    return _status(pid, "State")[:1] == ["Z"]


@dataclass(frozen=True)
class Machine:
    """The running cloud, known by its first process."""

    pid: int

    def state(self) -> Path | None:
        """Whose cloud it is: the state folder that it was started with."""
        try:
            entries = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return None
        return next((Path(os.fsdecode(e[17:])) for e in entries if e.startswith(b"LOCALCLOUD_STATE=")), None)

    def guests(self) -> int:
        """How many guests run, whatever Nova knows."""
        return sum(_status(pid, "NSpid")[2:] == ["1"] for pid in processes())

    def command(self, *command: str, user: str = "root") -> list[str]:
        """The command line, for the host, that runs `command` inside."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        become = [] if user == "root" else ["setpriv", "--reuid", user, "--regid", user, "--init-groups"]
        return [*enter, *become, *command]

    def run(
        self,
        *command: str,
        user: str = "root",
        stdin: str = "",
        environment: Mapping[str, str] = _ENVIRONMENT,
    ) -> str:
        """Run a command inside and return its standard output.  No secret belongs in `command`: others can see it.

        Raises:
            LocalCloudError: it ended with an error; the message has the last line that it said.
        """
        done = subprocess.run(
            self.command(*command, user=user),
            input=stdin,
            capture_output=True,
            text=True,
            env={**_ENVIRONMENT, **environment},
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
            raise LocalCloudError(f"{command[0]} failed in the local cloud - {said[-1][:300]}")
        return done.stdout

    def connect(self, address: str, port: int, timeout: float, namespace: str = "cloud") -> socket.socket:
        """A TCP connection made from inside one of the cloud's network namespaces.

        Raises:
            OSError: nothing answers there.
        """
        made: list[socket.socket] = []
        wrong: list[OSError] = []
        where = f"/proc/{self.pid}/root/run/netns/{namespace}"

        def connect() -> None:
            # In a thread, because the change of namespace is the thread's and ends with it; a socket stays in its own.
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                handle = os.open(where, os.O_RDONLY)
                try:
                    if libc.setns(handle, _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {where}")
                finally:
                    os.close(handle)
                made.append(socket.create_connection((address, port), timeout))
            except OSError as error:
                wrong.append(error)

        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        thread.join()
        if wrong:
            raise wrong[0]
        return made[0]


def find() -> Machine | None:
    """The running cloud on this machine, if there is one."""
    for pid in processes():
        # The first of the cloud's own pid namespace: the host's number, then 1; guests' first ones are one deeper.
        if _status(pid, "NSpid")[1:] == ["1"] and not is_zombie(pid):
            return Machine(pid)
    return None


def start(paths: Paths, rootfs: Path) -> Machine:
    """Start the machine; its first process is supervisord once this returns.

    Raises:
        LocalCloudError: it can't be set up here.
    """
    (paths.run / "supervisor.sock").unlink(missing_ok=True)
    log = paths.log / "machine.log"
    with log.open("wb") as output:
        outer = subprocess.Popen(
            [str(HERE / "enter.sh"), *map(str, _make_groups())],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**_ENVIRONMENT, "LOCALCLOUD_STATE": str(paths.state), "LOCALCLOUD_ROOTFS": str(rootfs)},
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while time.monotonic() < end and outer.poll() is None:
        if (paths.run / "supervisor.sock").exists() and (machine := find()):
            return machine
        time.sleep(0.05)
    stop()
    tail = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise LocalCloudError(f"the local cloud's namespaces can't be made here - {' / '.join(tail) or 'no reason given'}")


def _kill(pids: Iterable[int]) -> None:
    """End processes for sure, each checked to be the cloud's after it can no longer be mistaken for another."""
    handles: dict[int, int] = {}
    for pid in pids:
        try:
            handles[pid] = os.pidfd_open(pid)
        except OSError:
            continue
    ours = processes()
    for pid, handle in handles.items():
        try:
            if pid in ours:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 20
    for handle in handles.values():
        select.select([handle], [], [], max(0.0, end - time.monotonic()))
        os.close(handle)


def stop() -> None:
    """End every process of the cloud, and with the last one its namespaces and mounts; then remove its groups."""
    if machine := find():
        _kill([machine.pid])  # the kernel ends all others of the pid namespace
    end = time.monotonic() + 30
    while (left := {pid for pid in processes() if not is_zombie(pid)}) and time.monotonic() < end:
        _kill(left)
    while any(group.exists() for group in groups()) and time.monotonic() < end:
        for group in groups():
            for folder in _deepest_first(group):
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.05)


def _deepest_first(group: Path) -> Iterator[Path]:
    if group.is_dir():
        for folder, _, _ in os.walk(group, topdown=False):
            yield Path(folder)
