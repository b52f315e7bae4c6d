"""The cluster of the fault tests, with a proxy between its controller and the cloud: what is asked of it, and seen."""

import fcntl
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openstack.connection import Connection

from controller.state import View, parse
from demo.stack import orphans
from demo.user import ROOT, StepFailedError, User, connect, wait_for
from tests.faults.cases import STRIKES, Case, During
from tests.faults.proxy import Entry, Rule

STACK = "faults" + os.environ.get("PYTEST_XDIST_WORKER", "")
"""One for each of the processes that run cases side by side."""
MAX_SLAVES = 3
IDLE_TIME = 10
SETTINGS = {"maxSlaves": MAX_SLAVES, "idleTime": IDLE_TIME, "joinTimeout": 90, "pollInterval": 1}
PATIENCE = 240
JOB_SECONDS = {During.GROW: 5, During.SHRINK: 20}
NO_FILES = "output =\nerror =\nlog =\n"
"""For jobs on a master whose disk may be full."""

PORT = 8899
FOLDER = "/usr/local/lib/ecm-faults"
SERVICE = f"""[Unit]
Before=ecm-controller.service
[Service]
ExecStart=/usr/bin/python3 {FOLDER}/proxy.py {PORT}
Restart=always
[Install]
WantedBy=multi-user.target
"""
# In capitals: gRPC, by which controller, engine and provider talk to each other, heeds the small ones only.
THROUGH_PROXY = f"""[Service]
Environment=HTTP_PROXY=http://127.0.0.1:{PORT} NO_PROXY=127.0.0.1,localhost
"""


@dataclass(frozen=True)
class Server:
    """A slave's server, as the project's user sees it."""

    name: str
    id: str
    leaving: bool = False
    """Whether Nova is deleting it."""


Sight = tuple[Server, ...]
"""The slaves' servers at one time."""


def doubles(sights: Sequence[Sight]) -> set[str]:
    """Names that two servers had at once."""
    names = [[server.name for server in sight] for sight in sights]
    return {name for at_once in names for name in at_once if at_once.count(name) > 1}


def most(sights: Sequence[Sight]) -> int:
    """How many servers there were at once at most, without those that Nova was deleting."""
    return max((sum(not server.leaving for server in sight) for sight in sights), default=0)


_START = re.compile(r"\((\d+\.\d+)\) \(\d+\): Request to run on .* was ACCEPTED$", re.MULTILINE)


@dataclass(frozen=True)
class Ended:
    """A job that has left the queue."""

    exit_code: str
    starts: int
    """How often a slave took it, by the shadows' log: a schedd that is killed forgets its last count."""


@dataclass
class Rig:
    """One cluster. Times in seconds; StepFailedError where something doesn't come or can't be asked."""

    user: User
    project: Connection

    def install(self) -> None:
        """Puts the proxy between the controller and the cloud."""
        drop_in = "/etc/systemd/system/ecm-controller.service.d"
        files = {
            f"{FOLDER}/proxy.py": (ROOT / "tests" / "faults" / "proxy.py").read_text(),
            "/etc/systemd/system/ecm-fault-proxy.service": SERVICE,
            f"{drop_in}/fault-proxy.conf": THROUGH_PROXY,
        }
        written = [f"cat >{path} <<'END-OF-FILE'\n{text}END-OF-FILE" for path, text in files.items()]
        enable = "systemctl enable --now ecm-fault-proxy\nsystemctl restart ecm-controller"
        self.as_root("\n".join([f"mkdir -p {FOLDER} {drop_in}", *written, "systemctl daemon-reload", enable]))
        wait_for("the controller's calls", PATIENCE, lambda: holds(lambda: bool(self.log())))

    def as_root(self, script: str) -> str:
        """Runs a script on the master; its output."""
        # As an argument, so that its commands can't read the rest of it from standard input.
        return self.user.on_master('sudo sh -euc "$(cat)"', stdin=script, seconds=400)

    def put(self, rules: Sequence[Rule]) -> None:
        """Puts these rules in force, in place of others."""
        self._ask_proxy("PUT", "/rules", json.dumps([asdict(rule) for rule in rules]))

    def acted(self) -> list[int]:
        """How often each rule has acted."""
        counts: list[int] = self._ask_proxy("GET", "/rules")
        return counts

    def log(self) -> list[Entry]:
        """The calls so far."""
        return [Entry(**entry) for entry in self._ask_proxy("GET", "/log")]

    def _ask_proxy(self, method: str, path: str, stdin: str = "") -> Any:
        command = f"curl -sSf -X {method} --data-binary @- http://127.0.0.1:{PORT}{path}"
        return json.loads(self.user.on_master(command, stdin=stdin))

    @contextmanager
    def armed(self, rules: Sequence[Rule]) -> Iterator[None]:
        """With these rules in force."""
        self.put(rules)
        try:
            yield
        finally:
            self.put([])

    def servers(self, project: Connection | None = None) -> Sight:
        """The slaves' servers now; which of them are leaving only where they are more than may be.

        Nova asks Neutron for a server's details: looks each second would have them busy.
        """
        compute = (project or self.project).compute

        def slaves(*, details: bool) -> Sight:
            return tuple(
                Server(server.name, server.id, server.task_state == "deleting")
                for server in compute.servers(details=details)
                if server.name.startswith(f"ecm-{STACK}-slave-")
            )

        listed = slaves(details=False)
        return slaves(details=True) if len(listed) > MAX_SLAVES else listed

    @contextmanager
    def watched(self) -> Iterator[list[Sight]]:
        """Gives a list that grows by a look at the slaves' servers a second."""
        sights: list[Sight] = []
        over = threading.Event()
        project = connect(self.user.env)  # its own: a connection isn't for two threads

        def look() -> None:
            while not over.wait(1):
                with suppress(Exception):  # a look that fails is none
                    sights.append(self.servers(project))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield sights
        finally:
            over.set()
            watcher.join(30)

    def state(self) -> View:
        return parse(json.loads(self.user.pulumi("stack", "export"))["deployment"])

    def submit(self, count: int, seconds: int) -> str:
        """Submits jobs; the number of their cluster."""
        return self.user.submit(count, seconds, extra=NO_FILES)

    def start(self, case: Case) -> str:
        """Submits the jobs of a case, and waits for what it begins with; the number of their cluster."""
        jobs = self.submit(case.jobs, case.seconds or JOB_SECONDS[case.during])
        if case.during is During.SHRINK:
            self.wait_for_work()
        return jobs

    def undisturbed(self, case: Case, took: float) -> float:
        """How long the jobs of a case take to rest when nothing is done to the cluster, after `took` with its fault."""
        self.start(case)
        return self.wait_for_rest(max(PATIENCE, took))

    def ended(self, *clusters: str) -> list[Ended]:
        """The jobs of these clusters that have left the queue."""
        lines = self.user.on_master(f"condor_history {' '.join(clusters)} -af ClusterId ProcId ExitCode").splitlines()
        starts = Counter(_START.findall(self.as_root("sed -n '/ was ACCEPTED$/p' /var/log/condor/ShadowLog*")))
        return [Ended(code, starts[f"{cluster}.{proc}"]) for cluster, proc, code in map(str.split, lines)]

    def at_work(self) -> bool:
        """Whether every job has a slave and no update runs."""
        look = self.user.look()
        return look["jobs"]["idle"] == 0 and look["jobs"]["running"] > 0 and "updating" not in str(look["reasons"])

    def unrest(self) -> str:
        """What is left, or still to do; empty when no job, slave, ad or port is, and a live controller says so."""
        if servers := self.servers():
            return f"there are servers: {', '.join(server.name for server in servers)}"
        looks = (
            "condor_q -allusers -af ClusterId",
            "condor_status -af Machine",
            "find /run/ecm/status.json -newermt '10 seconds ago' | grep -q . && cat /run/ecm/status.json",
        )
        queue, ads, status = self.user.on_master(" && echo === && ".join(looks)).split("===\n")
        reasons = json.loads(status)["reasons"]
        if queue.strip() or ads.strip() or not all(reason.startswith("enough") for reason in reasons):
            return f"jobs {queue.split()}, machines {ads.split()}, reasons {reasons}"
        state = self.state()
        if state.slaves or state.pending:
            return f"in the state: {state}"
        return f"left in the project: {left}" if (left := orphans(self.project)) else ""

    def at_rest(self) -> bool:
        """Whether it can be told that nothing is left or to do."""
        return holds(lambda: not self.unrest())

    def wait_for_work(self) -> None:
        wait_for("a slave for each job", PATIENCE, lambda: holds(self.at_work))

    def wait_for_rest(self, seconds: float) -> float:
        """How long it took.

        Raises:
            StepFailedError: it doesn't come; with what is left.
        """
        try:
            return wait_for("rest: no job, no slave, nothing to do", seconds, self.at_rest)
        except StepFailedError as error:
            raise StepFailedError(f"{error} - {self.unrest()}") from error

    def wait_for_the_moment(self, case: Case) -> None:
        """Until the fault strikes, or the moment for it has come."""
        if case.rules:
            wait_for("the fault to strike", STRIKES, lambda: holds(lambda: all(self.acted())))
        elif case.during is During.GROW:
            wait_for("a slave's server", STRIKES, lambda: bool(self.servers()))

    def wait_for_word(self, says: str, seconds: float) -> None:
        """Until the controller's status says this, in its values: the names of its parts are there always."""

        def said() -> bool:
            status = json.loads(self.user.on_master("cat /run/ecm/status.json"))
            return bool(re.search(says, words(status), re.IGNORECASE))

        wait_for(f"the status to say '{says}'", seconds, lambda: holds(said))

    def story(self, since: float) -> str:
        """What the controller has logged and called since this time of the clock."""
        journal = self.as_root(f"journalctl -q -u ecm-controller -o short-precise --no-hostname --since @{since:.0f}")
        calls = [
            f"{time.strftime('%H:%M:%S', time.gmtime(call.at))} {call.method} {call.path} {call.status}"
            f" in {call.seconds} s for {call.agent}"
            for call in self.log()
            if call.at >= since
        ]
        return "\n".join([*journal.splitlines()[-80:], "", *calls[-80:], ""])

    def remains(self) -> str:
        """The jobs that are left, and what the schedd says of them."""
        jobs = "condor_q -all -af:h ClusterId ProcId Owner JobStatus EnteredCurrentStatus RemoteHost"
        noise = "Number of Active Workers|aggregating on|stashed negotiator|Negotiating for|Finished sending"
        try:
            return self.as_root(f"{jobs}\ndate\ngrep -Ev '{noise}' /var/log/condor/SchedLog | tail -60")
        except (StepFailedError, subprocess.TimeoutExpired) as error:
            return f"{error}\n"

    def recover(self) -> None:
        """Ends whatever a failed case has left."""
        wait_for("the master", PATIENCE, lambda: holds(lambda: self.user.on_master("true") == ""))
        self.as_root(
            "rm -f /var/tmp/fault-?\nnft delete table inet fault || true\nsystemctl start condor ecm-fault-proxy"
        )
        self.put([])
        self.as_root("condor_rm -all || true\nsystemctl restart ecm-controller")
        self.wait_for_rest(PATIENCE)


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """A turn beside the other processes' cases, or after theirs and before their next."""
    with Path(tempfile.gettempdir(), "ecm-faults-turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def words(status: object) -> str:
    """All that a status says, without the names of its parts."""
    if isinstance(status, dict):
        status = list(status.values())
    return "\n".join(map(words, status)) if isinstance(status, list) else str(status)


def holds(test: Callable[[], bool]) -> bool:
    """Whether it can be told that the test holds: a master that doesn't answer may do so later."""
    try:
        return test()
    except (StepFailedError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return False
