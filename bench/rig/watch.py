"""The memory of this process and of the programs that it runs: engine, provider."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MIB = 2**20
EVERY = 0.5
ENGINE, PROVIDER, CONTROLLER = PROGRAMS = ("pulumi", "pulumi-resource-openstack", "controller")


@contextmanager
def memory() -> Iterator[dict[str, float]]:
    """Gives the peaks of resident memory in MiB, by program, once it is left; this process is the controller."""
    peaks: dict[str, float] = {}
    over = threading.Event()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # begins this process's peak anew

    def look() -> None:
        while not over.wait(EVERY):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error, OSError, KeyError):
                    name = process.name()
                    if name in PROGRAMS:
                        peaks[name] = max(peaks.get(name, 0.0), peak(process.pid))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()
        peaks[CONTROLLER] = peak(os.getpid())


def peak(pid: int) -> float:
    """The most resident memory that a process has had, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["VmHWM"].split()[0]) * 1024 / MIB
