"""Starts services in the order that the table gives, each as soon as what it needs is ready, and says why one isn't."""

import http.client
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from localcloud.errors import LocalCloudError
from localcloud.machine import Machine
from localcloud.paths import Paths
from localcloud.services import SERVICES, Alive, Http, Service, Socket, Tcp
from localcloud.supervisor import Supervisor

_FAILED = frozenset({"FATAL", "EXITED", "BACKOFF"})


def start(machine: Machine, supervisor: Supervisor, paths: Paths, names: Collection[str], seconds: float = 180) -> None:
    """Start the named services and wait until each is ready; running ones are left alone.

    Raises:
        LocalCloudError: one failed, or took too long; the message has the last lines of its log.
    """
    waiting = {service.name: service for service in SERVICES if service.name in names}
    started: set[str] = set()
    ready: set[str] = set()
    end = time.monotonic() + seconds
    while waiting:
        for name, service in waiting.items():
            if name not in started and all(before in ready or before not in names for before in service.after):
                supervisor.start(name)
                started.add(name)
        states = supervisor.states()
        check(paths, {name: states[name] for name in started})
        ready |= {name for name in started & waiting.keys() if is_ready(machine, waiting[name], states[name])}
        waiting = {name: service for name, service in waiting.items() if name not in ready}
        if waiting and time.monotonic() > end:
            raise failure(
                paths, next(name for name in waiting if name in started), f"isn't ready after {seconds:.0f} s"
            )
        time.sleep(0.1)


def check(paths: Paths, states: dict[str, str]) -> None:
    """Raise if a service that should run has ended.

    Raises:
        LocalCloudError: with the last lines of its log.
    """
    for name, state in states.items():
        if state in _FAILED:
            raise failure(paths, name, f"doesn't stay up ({state.lower()})")


def failure(paths: Paths, name: str, what: str) -> LocalCloudError:
    """The error to raise for a service: the last lines of its log, then what is wrong with it."""
    summary = f"{name} {what} - see `scripts/localcloud logs {name}`"
    return LocalCloudError("\n".join([*tail(paths.log / f"{name}.log", 12), summary]))


def tail(log: Path, lines: int) -> list[str]:
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20000))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def set_logs_aside(paths: Paths) -> None:
    """Begin all logs anew; those of the last run stay until the next."""
    previous = paths.log / "previous"
    previous.mkdir(exist_ok=True)
    for log in [*paths.log.glob("*.log"), *paths.log.glob("*.log.*")]:
        log.rename(previous / log.name)


def stop(supervisor: Supervisor, names: Iterable[str]) -> None:
    """Stop the named services, all at once, and wait."""
    names = list(names)
    for name in names:
        supervisor.stop(name, wait=False)
    while any(state in {"STOPPING", "RUNNING"} for name, state in supervisor.states().items() if name in names):
        time.sleep(0.1)


def is_ready(machine: Machine, service: Service, state: str) -> bool:
    """Whether the service does its work: what the table's `ready` says."""
    if state != "RUNNING":
        return False
    try:
        match service.ready:
            case Alive():
                return True
            case Tcp(port, address):
                machine.connect(address, port, 2).close()
                return True
            case Socket(path):
                machine.run("python3", "-c", _CONNECT, path)
                return True
            case Http(port, path, address):
                return _answers(machine, address, port, path)
    except (OSError, http.client.HTTPException, LocalCloudError):
        return False


_CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def _answers(machine: Machine, address: str, port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2)
    connection.sock = machine.connect(address, port, 2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500  # noqa: PLR2004  # the server's fault begins there
    finally:
        connection.close()
