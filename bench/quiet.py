"""What the controller costs while there is nothing to do: no job, and as few slaves as may be. Scaled to an hour.

A real HTCondor, the real engine and a state in PostgreSQL; the cloud is the stand-in. Beside it, on the same HTCondor:
the commands that elastiq looks with, as often as it does. With --stack: the controller of a running cluster on the
local cloud, as its master's system sees it.
"""

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry

from bench import common
from bench.realpool import CALL, NoPoolError, real_pool
from bench.rig import running, stack
from bench.rig.openstack import Pace
from bench.rig.running import Backend, StandIn
from controller import status
from controller.apply import Tools
from controller.journal import Journal
from controller.loop import Loop
from controller.memory_file import MemoryFile
from controller.metrics import Metrics
from controller.release import Releases
from controller.reporter import Reporter
from controller.requests import Requests
from controller.servers import Cloud
from controller.state import State
from demo.user import User, environment

HOUR = 3600
WINDOW = 100
"""Seconds of one measurement: two readings of the state, which take more than all else."""
LOOKS = {
    15: ("condor_q", "-global", "-attributes", "JobStatus", "-long"),
    45: ("condor_status", "-xml", "-attributes", "Activity,Machine"),
}
"""elastiq's, by the seconds from one to the next."""
LOOKS_ROUNDS = 10
WARM_UP = 15
"""Seconds after the start that aren't counted: the first looks."""
_ON_MASTER = """
pid=$(systemctl show -p MainPID --value ecm-controller)
sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f12-15
getconf CLK_TCK
du -sb /var/lib/ecm | cut -f1
curl -s http://127.0.0.1:9620/metrics | sed -n 's/^ecm_update_seconds_count{.*} //p' | paste -sd+ | sed 's/^$/0/'
"""


@dataclass(frozen=True)
class Meter:
    """What was used so far."""

    at: float
    cpu: float
    """Seconds of a core, with those of the programs that it ran."""
    disk: int
    """Bytes that its files have."""
    updates: int
    calls: int = 0
    written: int = 0
    """Bytes that it, and the programs that it ran, gave to the disk."""


@dataclass(frozen=True)
class Usage:
    """What an hour takes."""

    cpu_percent: float
    bytes_per_hour: int
    """By which its files grew."""
    updates: int
    calls_per_hour: int
    written_per_hour: int
    minutes: float


def between(before: Meter, after: Meter) -> Usage:
    seconds = after.at - before.at
    return Usage(
        cpu_percent(before, after),
        round((after.disk - before.disk) * HOUR / seconds),
        after.updates - before.updates,
        round((after.calls - before.calls) * HOUR / seconds),
        round((after.written - before.written) * HOUR / seconds),
        round(seconds / 60, 1),
    )


def cpu_percent(before: Meter, after: Meter) -> float:
    return round(100 * (after.cpu - before.cpu) / (after.at - before.at), 2)


def results(meters: Sequence[Meter]) -> dict[str, Any]:
    """The numbers for the file: of all of it, with the CPU's spread over the windows."""
    windows = [cpu_percent(*pair) for pair in pairwise(meters)]
    return vars(between(meters[0], meters[-1])) | {"cpu_percent_spread": [min(windows), max(windows)]}


@dataclass
class Here:
    """A controller in this process."""

    loop: Loop
    folder: Path
    """The controller's own."""
    backend: Backend
    cloud: StandIn
    registry: CollectorRegistry
    status: Path

    def meter(self) -> Meter:
        times = os.times()
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        disk = sum(file.stat().st_size for file in files) + self.backend.kept().bytes
        updates = sum(
            int(sample.value)
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "ecm_update_seconds_count"
        )
        written = psutil.Process().io_counters().write_bytes
        return Meter(time.monotonic(), sum(times[:4]), disk, updates, self.cloud.calls().total, written)

    def looked(self) -> None:
        """Checks that it sees what there is: who sees nothing has an easy hour.

        Raises:
            NoPoolError: it doesn't.
        """
        said = status.parse(self.status.read_bytes())
        if said is None or said.unknown or not said.seen_at:
            why = "; ".join(said.unknown) if said else ""
            raise NoPoolError(f"the controller doesn't see its pool: {why or 'it has not looked'}")

    def measure(self, windows: Sequence[float]) -> list[Meter]:
        """Lets it run for so many seconds each; what was used by the begin, and by the end of each."""
        meters: list[Meter] = []

        def watch() -> None:
            for seconds in (WARM_UP, *windows):
                time.sleep(seconds)
                meters.append(self.meter())
            self.loop.tools.stop.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.loop.run()
        watcher.join()
        self.looked()
        return meters

    def looks(self, rounds: int) -> list[float]:
        """Percents of a core that elastiq's looks take, each so many times."""
        found = []
        for _ in range(rounds):
            percent = 0.0
            for every, command in LOOKS.items():
                before = os.times()
                call = json.loads(os.environ[CALL])
                subprocess.run([*call, *command], stdout=subprocess.DEVNULL, check=True)
                after = os.times()
                used = after.children_user + after.children_system - before.children_user - before.children_system
                percent += 100 * used / every
            found.append(round(percent, 2))
        return found


@contextmanager
def here() -> Iterator[Here]:
    """A controller with nothing to do."""
    with ExitStack() as rig:
        folder = Path(rig.enter_context(tempfile.TemporaryDirectory()))
        backend = rig.enter_context(running.backend())
        cloud = rig.enter_context(running.stand_in(Pace()))
        state = {"PULUMI_BACKEND_URL": backend.url, "PULUMI_CONFIG_PASSPHRASE": "phrase"}
        rig.enter_context(running.environment(running.pulumi() | state | cloud.environment))
        stack.up(stack.settings(), folder / "first")
        rig.enter_context(real_pool())
        own = folder / "controller"
        own.mkdir()
        registry = CollectorRegistry()
        now = datetime.now(UTC)
        tools = Tools(
            Cloud(), State(stack.NAME, own / "work"), own / "key", "ecm-bench-slave-", lambda: datetime.now(UTC)
        )
        file = MemoryFile(own / "memory.json")
        reporter = Reporter(
            folder / "status.json",
            status.begin(folder / "status.json", now),
            Journal(own / "journal"),
            Metrics(registry),
        )
        loop = Loop(
            tools,
            file.load(),
            file,
            reporter,
            Releases(own / "release.json", running=stack.release()),
            tools.clock,
            requests=Requests(folder),
            # Nothing was interrupted; and a recovery ends orphans of Pulumi's, which may be somebody else's here.
            recovered=True,
        )
        yield Here(loop, own, backend, cloud, registry, folder / "status.json")


def there(name: str, windows: Sequence[float]) -> list[Meter]:
    """The controller of a cluster's master; it has to have nothing to do."""
    user = User(environment(), name)

    def meter() -> Meter:
        said = user.on_master('sudo sh -euc "$(cat)"', stdin=_ON_MASTER).splitlines()
        ticks = sum(map(int, said[0].split()))
        return Meter(time.monotonic(), ticks / int(said[1]), int(said[2]), int(sum(map(float, said[3].split("+")))))

    meters = [meter()]
    for seconds in windows:
        time.sleep(seconds)
        meters.append(meter())
    return meters


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("What an hour without jobs takes.")
    parser.add_argument("--minutes", type=common.number, default=5)
    parser.add_argument("--stack", default="", help="of a cluster on the local cloud, at rest")
    options = parser.parse_args(arguments)
    windows = [6.0] if options.small else [WINDOW] * max(1, round(options.minutes * 60 / WINDOW))
    looks: list[float] = []
    if options.stack:
        numbers = results(there(options.stack, windows))
    else:
        with here() as controller:
            numbers = results(controller.measure(windows))
            looks = controller.looks(1 if options.small else LOOKS_ROUNDS)
        numbers["elastiq_looks_cpu_percent"] = statistics.median(looks)
    rows = [
        ("CPU, % of a core", f"{numbers['cpu_percent']}", "{}-{}".format(*numbers["cpu_percent_spread"])),
        ("updates", f"{numbers['updates']}", ""),
        ("bytes more on disk, an hour", f"{numbers['bytes_per_hour']:,}", ""),
        ("bytes written, an hour", "not counted" if options.stack else f"{numbers['written_per_hour']:,}", ""),
        ("calls to OpenStack, an hour", "not counted" if options.stack else f"{numbers['calls_per_hour']:,}", ""),
    ]
    if looks:
        rows.append(("elastiq's looks: CPU, % of a core", f"{statistics.median(looks)}", f"{min(looks)}-{max(looks)}"))
    common.tell(f"Nothing to do, for {numbers['minutes']} minutes", ("", "", "spread"), rows)
    common.save(options.json, "quiet", numbers | {"cluster": options.stack or "stand-in"})


if __name__ == "__main__":
    common.run(main)
