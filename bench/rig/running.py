"""Programs that a benchmark runs for itself: the stand-in of OpenStack, and a PostgreSQL for the state."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.realpool import NoPoolError
from bench.rig.openstack import Pace

ROOT = Path(__file__).parents[2]


def pulumi() -> dict[str, str]:
    """PATH and the rest, so that the pinned Pulumi is found."""
    done = subprocess.run([ROOT / "scripts" / "toolchain"], stdout=subprocess.PIPE, text=True, check=True)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = os.environ.get("ECM_CACHE") or f"{caches}/elastic-condor"
    # The provider of dynamic resources is run by the Python that is first.
    path = f"{done.stdout.strip()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "PULUMI_HOME": f"{cache}/pulumi-home", "PULUMI_SKIP_UPDATE_CHECK": "1"}


@contextmanager
def environment(more: Mapping[str, str]) -> Iterator[None]:
    """With these variables."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Calls:
    """What was asked of the cloud."""

    by_kind: dict[str, int]
    first: dict[str, float]
    """By kind, when it was first asked."""
    built: float
    """When the last server that was requested is ACTIVE; 0 if none was."""

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class StandIn:
    """The stand-in of OpenStack that runs at `url`."""

    url: str

    def calls(self) -> Calls:
        """The calls since the last `reset`."""
        with urllib.request.urlopen(f"{self.url}/calls", timeout=60) as answer:  # noqa: S310 - loopback
            said = json.load(answer)
        return Calls(said["calls"], said["first"], said["built"])

    def reset(self) -> None:
        asked = urllib.request.Request(f"{self.url}/calls", method="DELETE")  # noqa: S310 - loopback
        urllib.request.urlopen(asked, timeout=60).close()  # noqa: S310 - loopback

    def have(self, servers: Iterable[Mapping[str, Any]]) -> None:
        """Makes servers as they are asked for."""
        for asked in servers:
            body = json.dumps({"server": asked}).encode()
            urllib.request.urlopen(f"{self.url}/compute/v2.1/servers", body, timeout=60).close()  # noqa: S310 - loopback

    @property
    def environment(self) -> dict[str, str]:
        """How openstacksdk and the provider log in there."""
        return {
            "OS_AUTH_URL": f"{self.url}/identity/v3",
            "OS_USERNAME": "user",
            "OS_PASSWORD": "password",
            "OS_PROJECT_NAME": "project",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "R",
        }


@contextmanager
def stand_in(pace: Pace) -> Iterator[StandIn]:
    """Runs the stand-in in a process of its own."""
    options = [f"--{name}={value}" for name, value in asdict(pace).items()]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.rig.openstack", *options], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield StandIn((process.stdout.readline() if process.stdout else "").strip())
        finally:
            process.terminate()


@dataclass(frozen=True)
class Written:
    """What was written to the state."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Backend:
    """A PostgreSQL for the state."""

    url: str

    def watch(self) -> None:
        """Counts writes from now on."""
        self._sql(_WATCH)

    def written(self) -> Written:
        """All that was written since `watch`."""
        return self._counted("SELECT count(*), coalesce(sum(size), 0) FROM bench_writes")

    def kept(self) -> Written:
        """What is there."""
        size = "coalesce(sum(octet_length(data->>'data')), 0) / 4 * 3"
        return self._counted(f"SELECT count(*), {size} FROM pulumi_state")  # noqa: S608 - nobody's words are in it

    def _counted(self, query: str) -> Written:
        files, size = self._sql(query).split("|")
        return Written(int(files), int(size))

    def _sql(self, query: str) -> str:
        command = ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", self.url, "-c", query]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


_WATCH = """
CREATE TABLE bench_writes (key text, size bigint);
CREATE FUNCTION bench_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO bench_writes VALUES (NEW.key, octet_length(NEW.data->>'data') / 4 * 3);
  RETURN NULL;
END $$;
CREATE TRIGGER bench_note AFTER INSERT OR UPDATE ON pulumi_state FOR EACH ROW EXECUTE FUNCTION bench_note();
"""


@contextmanager
def backend() -> Iterator[Backend]:
    """A PostgreSQL of its own on loopback: a state in a folder would be written, and read, in another time.

    Raises:
        NoPoolError: there is none on this machine.
    """
    binaries = _postgres()
    with tempfile.TemporaryDirectory(prefix="ecm-bench-") as name:
        folder = Path(name)
        # It refuses to run as root.
        as_other = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if as_other:
            shutil.chown(folder, "postgres")
        data = folder / "data"
        initdb = [*as_other, str(binaries / "initdb"), "-D", str(data), "-U", "ecm", "-A", "trust", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        port = _free_port()
        where = ["-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder)]
        with (folder / "log").open("wb") as log:
            server = [*as_other, str(binaries / "postgres"), "-D", str(data), *where]
            with subprocess.Popen(server, stdout=log, stderr=log, cwd="/") as process:
                try:
                    url = f"postgres://ecm@127.0.0.1:{port}/postgres?sslmode=disable"
                    _wait_for(url)
                    yield Backend(url)
                finally:
                    subprocess.run(
                        [*as_other, str(binaries / "pg_ctl"), "-D", str(data), "-m", "fast", "-w", "stop"],
                        check=True,
                        capture_output=True,
                        cwd="/",
                    )
                    process.wait()


def _postgres() -> Path:
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if not folders or not shutil.which("psql"):
        raise NoPoolError("there is no PostgreSQL for the state - apt-get install postgresql")
    return max(folders)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _wait_for(url: str) -> None:
    for _ in range(100):
        if subprocess.run(["psql", url, "-c", ""], capture_output=True, check=False).returncode == 0:
            return
        subprocess.run(["sleep", "0.1"], check=True)
    raise TimeoutError("PostgreSQL doesn't answer")
