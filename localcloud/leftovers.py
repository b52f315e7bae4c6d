"""What of the cloud is on this machine now: found by looking at the machine, not at what the cloud remembers."""

import fcntl
import json
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud import machine, rootfs
from localcloud.paths import INSIDE, Paths

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
# At the usual 128 some eighteen guests' systemd have used up what the host's root may have.
INOTIFY_INSTANCES = 4096

_LOOP_CLR_FD = 0x4C01
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_CTL_REMOVE = 0x4C81
_LOOP_STATUS = struct.Struct("=5Q4I64s64s32s2Q")


def find(paths: Paths) -> list[str]:
    """One line for each thing; none if nothing of the cloud is here."""
    return [
        *_processes(paths),
        *_namespaces(paths),
        *_mounts(paths),
        *(f"loop device {loop.device} ({loop.file})" for loop in loops(paths)),
        *(f"control group {group}" for group in machine.groups() if group.exists()),
        *_host_changes(paths),
    ]


def clear(paths: Paths) -> None:
    """Remove what the end of the cloud's processes leaves; they have ended."""
    end = time.monotonic() + 10
    while (left := loops(paths)) and time.monotonic() < end:
        for loop in left:
            loop.detach()
        # The kernel finishes once the dead guests' mounts are gone, which it does in its own time.
        time.sleep(0.05)
    for point in _mount_points(Path("/proc/self/mountinfo"), paths.cache):
        subprocess.run(["umount", "--lazy", "--", point], capture_output=True, check=False)
    before = _before(paths)
    if limit := before.get("inotify"):
        INOTIFY.write_text(limit)
    _remove_new_loop_devices(set(before.get("loops", "").split()))


def delete(folder: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", "--", str(folder)], check=True)


# --- what the host was like before -----------------------------------------------------------------------------------


def remember_host(paths: Paths) -> None:
    """Note what the host is like before a start, unless an earlier note is still to be compared; raise a limit."""
    if not _before(paths):
        limits = {"inotify": INOTIFY.read_text().strip(), "loops": " ".join(_loop_names())}
        now = {"boot": _boot(), **limits, **_network(paths)}
        new = _record(paths).with_suffix(".new")
        new.write_text(json.dumps(now, indent=1))
        new.rename(_record(paths))
    if int(INOTIFY.read_text()) < INOTIFY_INSTANCES:
        INOTIFY.write_text(str(INOTIFY_INSTANCES))


def forget_host(paths: Paths) -> None:
    _record(paths).unlink(missing_ok=True)


def _record(paths: Paths) -> Path:
    return paths.state / "host-before.json"


def _before(paths: Paths) -> dict[str, str]:
    """What was noted in this boot of the machine; empty if nothing."""
    if not _record(paths).exists():
        return {}
    noted: dict[str, str] = json.loads(_record(paths).read_text())
    return noted if noted.get("boot") == _boot() else {}


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _network(paths: Paths) -> dict[str, str]:
    """The interfaces and the firewall of the host's network namespace, as lines."""
    interfaces = "\n".join(sorted(path.name for path in Path("/sys/class/net").iterdir()))
    # The host needn't have nft: the cloud's own looks at the host's network namespace.
    nft = ["chroot", str(rootfs.location(paths)), "/usr/sbin/nft", "--stateless", "list", "ruleset"]
    rules = subprocess.run(nft, capture_output=True, text=True, check=False).stdout
    legacy = "".join(
        path.read_text() for name in ("ip", "ip6") if (path := Path(f"/proc/net/{name}_tables_names")).exists()
    )
    return {"interface": interfaces, "firewall rule": rules, "firewall table": legacy}


def _host_changes(paths: Paths) -> Iterator[str]:
    before = _before(paths)
    if not before:
        return
    for kind, lines in _network(paths).items():
        known = set(before.get(kind, "").splitlines())
        yield from (f"{kind} {line.strip()}" for line in lines.splitlines() if line not in known)
    if (limit := INOTIFY.read_text().strip()) != before["inotify"]:
        yield f"{INOTIFY} is {limit} and was {before['inotify']}"


# --- processes, namespaces, mounts -----------------------------------------------------------------------------------


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return " ".join(os.fsdecode(word) for word in words[:6]).strip()[:100]


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _ours(paths: Paths) -> set[int]:
    """The cloud's processes: those of its control groups, and strays that were started with its mark."""
    mark = b"\0LOCALCLOUD_STATE=" + os.fsencode(paths.state) + b"\0"
    marked = set()
    for pid in _pids():
        try:
            if mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes() + b"\0":
                marked.add(pid)
        except OSError:
            continue
    return {pid for pid in marked | machine.processes() if not machine.is_zombie(pid)}


def _processes(paths: Paths) -> Iterator[str]:
    yield from (f"process {pid} {_command(pid)}" for pid in sorted(_ours(paths)))


def _namespace(pid: int | str, kind: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return ""


def _namespaces(paths: Paths) -> Iterator[str]:
    """Namespaces other than this process's own that hold the cloud's processes or mounts, or have the cloud's names."""
    ours = _ours(paths)
    for kind in ("mnt", "pid", "net", "uts", "ipc", "cgroup"):
        here = _namespace("self", kind)
        yield from (f"namespace {name}" for name in sorted({_namespace(pid, kind) for pid in ours} - {here, ""}))
    folder = Path("/run/netns")
    if folder.is_dir():
        prefixes = ("qdhcp-", "qrouter-")
        yield from (f"network namespace {entry}" for entry in folder.iterdir() if entry.name.startswith(prefixes))


def _mount_points(mountinfo: Path, below: Path) -> list[str]:
    """Mounts whose place, or whose source, lies in the given folder; the innermost first."""
    try:
        lines = mountinfo.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        fields = line.split()
        root, point = (field.encode().decode("unicode_escape") for field in fields[3:5])
        if any(Path(path).is_relative_to(below) for path in (root, point)):
            found.append(point)
    return found[::-1]


def _mounts(paths: Paths) -> Iterator[str]:
    seen: set[str] = set()
    for pid in ("self", *map(str, sorted(_pids()))):
        namespace = _namespace(pid, "mnt")
        if not namespace or namespace in seen:
            continue
        seen.add(namespace)
        where = "" if namespace == _namespace("self", "mnt") else f" in {namespace} of process {pid}"
        yield from (f"mount {point}{where}" for point in _mount_points(Path(f"/proc/{pid}/mountinfo"), paths.cache))


# --- loop devices ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """An attached loop device."""

    device: Path
    file: str

    def detach(self) -> None:
        handle = os.open(self.device, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _LOOP_CLR_FD)
        except OSError:
            pass  # detached in the meantime
        finally:
            os.close(handle)


def loops(paths: Paths) -> list[Loop]:
    """The attached loop devices whose file is the cloud's.

    By the file's own number, because after a crash its path may lead nowhere.  A deleted file has none to compare:
    there the path counts that Nova gave.
    """
    files = {(stat.st_dev, stat.st_ino) for stat in _disk_stats(paths)}
    found = []
    for name in _loop_names():
        if not (Path("/sys/block") / name / "loop").exists():
            continue
        device = Path("/dev") / name
        try:
            handle = os.open(device, os.O_RDONLY)
        except OSError:
            continue
        try:
            status = _LOOP_STATUS.unpack(fcntl.ioctl(handle, _LOOP_GET_STATUS64, bytes(_LOOP_STATUS.size)))
        except OSError:
            continue
        finally:
            os.close(handle)
        given = os.fsdecode(status[9].split(b"\0")[0])
        deleted = (Path("/sys/block") / name / "loop" / "backing_file").read_text().endswith("(deleted)\n")
        if (status[0], status[1]) in files or (deleted and given.startswith(INSIDE + "/")):
            found.append(Loop(device, given))
    return found


def _disk_stats(paths: Paths) -> Iterator[os.stat_result]:
    for folder, _, names in os.walk(paths.live / "nova"):
        for name in names:
            try:
                yield (Path(folder) / name).stat()
            except OSError:
                continue


def _loop_names() -> list[str]:
    return sorted(path.name for path in Path("/sys/block").glob("loop*"))


def _remove_new_loop_devices(before: set[str]) -> None:
    """Remove the devices that the kernel added for the cloud; one in use stays."""
    if not before:
        return
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        for name in set(_loop_names()) - before:
            try:
                fcntl.ioctl(control, _LOOP_CTL_REMOVE, int(name.removeprefix("loop")))
            except OSError:
                continue
    finally:
        os.close(control)
