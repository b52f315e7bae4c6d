"""How fast a cluster on the local cloud reacts: from a job's submission to its start, from its end to the slave's.

Beside it the limit: the same server with the same user-data, made by one plain call, until HTCondor knows it. A round
is one job for a cluster without slaves. The local cloud has to be up, and is left as it was found.
"""

import base64
import re
import shlex
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from openstack.connection import Connection

from bench import common
from bench.rig import stack
from cluster.report import Shared
from demo.stack import temporary
from demo.user import User, connect, environment, wait_for

STACK = "bench"
SETTINGS = {"maxSlaves": 1, "idleTime": 10}
PATIENCE = 300
LOOK = 0.25
MARKS = ("requested", "active", "joined", "running", "ended", "drained", "deleted", "forgotten")
STEPS = {
    "submit → create request": ("", "requested"),
    "→ ACTIVE": ("requested", "active"),
    "→ joined": ("active", "joined"),
    "→ job running": ("joined", "running"),
    "submit → job running": ("", "running"),
    "job done → drained": ("ended", "drained"),
    "→ deleted": ("drained", "deleted"),
    "→ gone from condor_status": ("deleted", "forgotten"),
    "job done → gone": ("ended", "forgotten"),
}
JOB = """executable = /bin/sh
transfer_executable = false
arguments = "-c 'sleep 5'"
should_transfer_files = yes
request_cpus = 1
request_memory = 100M
request_disk = 10M
queue
"""
_WHOLE = 'EcmSlave =!= undefined && SlotType == "Partitionable"'
# One connection and one process for all: each would take longer than a look, and HTCondor's commands half a core of the
# machine that master and slaves share. They and this machine have one clock.
_WATCH = f"""
import time
import htcondor2
while True:
    time.sleep({LOOK})
    try:
        slots = htcondor2.Collector().query(htcondor2.AdType.Slot, '{_WHOLE}', ["EcmSlave"])
        jobs = htcondor2.Schedd().query("true", ["JobStatus"])
    except (htcondor2.HTCondorException, OSError):
        continue
    print(time.time(), "".join(f"{{ad['EcmSlave']}}," for ad in slots), end=" ")
    print("".join(f"{{ad['JobStatus']}}," for ad in jobs) + ".", flush=True)
"""
Round = Mapping[str, float]
"""When each mark was first seen, in seconds since the submission."""


@dataclass
class Sight:
    """What is seen of one slave and one job. A mark is set once, in its order."""

    began: float
    marks: dict[str, float] = field(default_factory=dict)

    def seen(self, mark: str, at: float) -> None:
        before = MARKS[: MARKS.index(mark)]
        needed = {"joined": "requested", "running": "requested", "deleted": "ended"}.get(
            mark, before[-1] if before else ""
        )
        if mark not in self.marks and (not needed or needed in self.marks):
            self.marks[mark] = at - self.began

    def nova(self, servers: Sequence[str], at: float, *, active: bool = False) -> str:
        """Names of all slaves' servers, or of those that are ACTIVE; returns the slave's."""
        if servers:
            self.seen("active" if active else "requested", at)
        elif not active:
            self.seen("deleted", at)
        return next(iter(servers), "")

    def condor(self, line: str, name: str) -> None:
        """One line of `_WATCH`."""
        at, slots, jobs = line.split(" ")
        own = bool(name) and name in slots.split(",")
        moment = float(at)
        if own:
            self.seen("joined", moment)
        if "2" in jobs:
            self.seen("running", moment)
        if jobs == ".":
            self.seen("ended", moment)
        if not own:
            self.seen("forgotten", moment)

    def controller(self, log: str, name: str) -> None:
        """The controller's log: with its drain taken, a slave is deleted at once, before its ad tells of it."""
        removal = next(line for line in log.splitlines() if re.search(rf"update starts.* remove=\[.*'{name}'", line))
        self.seen("drained", float(removal.split()[0]))


class Watch:
    """The lines of `_WATCH`, the last one by one."""

    def __init__(self, user: User) -> None:
        address = user.outputs()["masterIp"]
        watch = f"/opt/ecm/venv/bin/python -W ignore -c {shlex.quote(_WATCH)}"
        command = ["ssh", "-F", user.env["ECM_SSH_CONFIG"], address, watch]
        self.process = subprocess.Popen(command, env=user.env, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.strip())

    def news(self) -> list[str]:
        taken, self.lines = self.lines, []
        return taken


def play(user: User, project: Connection, watch: Watch) -> Round:
    """One job, from its submission until its slave is gone."""
    watch.news()
    said = user.on_master("date +%s.%N; condor_submit -terse -", stdin=JOB)
    sight, name = Sight(float(said.split()[0])), ""
    end = time.monotonic() + PATIENCE
    while "forgotten" not in sight.marks or "deleted" not in sight.marks:
        if time.monotonic() > end:
            raise TimeoutError(f"a round isn't over after {PATIENCE} s: {sight.marks}")
        name = _look(project, sight) or name
        for line in watch.news():
            sight.condor(line, name)
        time.sleep(LOOK)
    log = "sudo journalctl -q -u ecm-controller -o short-unix --no-hostname"
    sight.controller(user.on_master(f"{log} --since @{sight.began:.0f}"), name)
    return sight.marks


def limit(user: User, project: Connection, watch: Watch, number: int) -> float:
    """Seconds from a plain request of the same server until its startd is in the collector."""
    settings = Shared.parse(user.outputs()["settings"])
    key = base64.b64decode(user.on_master("sudo base64 -w0 /run/ecm/pool-key"))
    ((name, user_data),) = stack.slaves([f"ecm-raw-{number}"], settings, key).items()
    watch.news()
    began = time.time()
    server = project.compute.create_server(
        name=name,
        image_id=settings.slave.image_id,
        flavor_id=settings.slave.flavor.id,
        key_name=settings.slave.key_name,
        networks=[{"uuid": settings.slave.network_id}],
        security_groups=[{"name": settings.slave.security_group}],
        user_data=user_data,
    )
    try:
        seconds = _joined(watch, name) - began
        _close(user, name)
        return seconds
    finally:
        project.compute.delete_server(server)
        project.compute.wait_for_delete(server, wait=PATIENCE)


def _joined(watch: Watch, name: str) -> float:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for line in watch.news():
            if f"{name}," in line:
                return float(line.split()[0])
        time.sleep(LOOK)
    raise TimeoutError(f"{name} isn't in the pool after {PATIENCE} s")


def _close(user: User, name: str) -> None:
    """Its ad stays in the collector for a while, and must say there that it takes no job."""
    user.on_master(f"sudo condor_drain -graceful {name}.pool")
    state = f"condor_status -const 'EcmSlave == \"{name}\"' -af State"
    wait_for(f"{name} to be drained", PATIENCE, lambda: user.on_master(state).strip() == "Drained")


def _look(project: Connection, sight: Sight) -> str:
    """Asks Nova for what the next mark needs, which is nothing until the job has ended; the slave's name, if asked for.

    Details of a server cost Nova two questions to Neutron, and all of them share this machine with what is measured;
    nobody asks for the plain server's.
    """
    if "active" in sight.marks and "ended" not in sight.marks:
        return ""
    active = "requested" in sight.marks and "active" not in sight.marks
    compute = project.compute
    listed = compute.servers(details=False, status="ACTIVE") if active else compute.servers(details=False)
    slaves = [server.name for server in listed if server.name.startswith(f"ecm-{STACK}-slave-")]
    return sight.nova(slaves, time.time(), active=active)


@contextmanager
def cluster() -> Iterator[User]:
    """A cluster of its own with a master at rest."""
    with temporary(environment(), STACK, SETTINGS) as user:
        user.up()
        wait_for("the master", PATIENCE, user.master_is_ready)
        yield user


def steps(rounds: Sequence[Round]) -> dict[str, list[float]]:
    """The times of each step, in the order of the rounds."""
    return {
        what: [marks[to] - (marks[start] if start else 0) for marks in rounds] for what, (start, to) in STEPS.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("Reaction of a cluster on the local cloud, beside one plain server.")
    parser.add_argument("--rounds", type=common.whole, default=20)
    options = parser.parse_args(arguments)
    rounds, limits = [], []
    with cluster() as user, Watch(user) as watch:
        project = connect(user.env)
        cycle = float(user.on_master("condor_config_val NEGOTIATOR_INTERVAL"))
        for number in range(1 if options.small else options.rounds):
            rounds.append(play(user, project, watch))
            limits.append(limit(user, project, watch, number))
            print(f"round {number + 1}: {rounds[-1]['running']:.1f} s, the limit {limits[-1]:.1f} s", flush=True)
    times = {**steps(rounds), "limit: a plain server → joined": limits}
    rows = [
        (what, *(f"{value:.1f}" for value in (statistics.median(each), min(each), max(each))))
        for what, each in times.items()
    ]
    common.tell(f"Reaction, {len(rounds)} rounds", ("step", "median s", "least", "most"), rows)
    running, alone = statistics.median(times["submit → job running"]), statistics.median(limits)
    results = {
        "create_request_median_s": round(statistics.median(times["submit → create request"]), 2),
        "running_median_s": round(running, 2),
        "limit_median_s": round(alone, 2),
        "negotiation_s": cycle,
        "running_to_limit": round(running / alone, 3),
        # As the target has it, which allows for one negotiation.
        "running_ratio": round((running - cycle) / alone, 3),
        "gone_median_s": round(statistics.median(times["job done → gone"]), 2),
        "rounds": len(rounds),
    }
    print("create request {create_request_median_s} s, running / limit {running_ratio}".format(**results))
    common.save(options.json, "reaction", results)


if __name__ == "__main__":
    common.run(main)
