"""The faults that the cluster has to survive, as a table; what is done and expected in each, not how it is done."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from tests.faults.proxy import Action, Rule

SAMPLE = 4
RACE = "arriving-job"
"""The one case that isn't in the table: jobs that arrive at the moment of a drain, again and again."""

STRIKES = 120
"""Seconds in which a fault strikes, or the status says of it what it should."""
PROVIDER = "gophercloud"
LIST = "GET /v2.1/servers/detail"
CREATE = "POST /v2.1/servers"
DELETE = "DELETE /v2.1/servers/[^/]+"
SHOW = "GET /v2.1/servers/[0-9a-f-]{36}"
"""Of one: how the provider waits for it."""
NETWORKS = "GET /v2.0/networks"
LIMITS = "GET /v2.1/limits"
TOKENS = "POST /v3/auth/tokens"


class Kind(StrEnum):
    KILL = "kill"
    API = "api"
    HALF_DONE = "half done"
    JOIN = "join"
    SERVER = "server"
    CONDOR = "condor"
    MASTER = "master"
    STATE = "state"
    USER = "user"
    RACE = "race"


class During(StrEnum):
    """What the cluster is at when the fault strikes."""

    GROW = "grow"
    """The rules are there before the jobs; all else happens when the first slave's server is there."""
    SHRINK = "shrink"
    """It begins while jobs run on all slaves; when they have ended, the slaves are to go."""


class Deed(StrEnum):
    """What somebody does, not on the master, when the fault strikes."""

    UP = "pulumi up"
    UP_REFRESH = "pulumi up --refresh"
    DESTROY = "pulumi destroy"
    KILLED_UP = "pulumi up, killed; pulumi cancel in the end"
    REBOOT = "the master is rebooted"
    NO_QUOTA = "the quota is lowered to what is used, until the end"
    NO_COMPUTE = "the compute service is away, until the end"
    SERVER_DELETED = "the first slave's server is deleted by hand"
    SERVER_STOPPED = "the first slave's server is shut off by hand"
    CONDOR_STOPPED = "HTCondor is stopped on the first slave"
    SERVER_ERROR = "the first slave's server goes into ERROR"
    TAG_LOST = "the first slave's server loses the cluster's tag"


@dataclass(frozen=True)
class Case:
    """One fault. It strikes, lasts until the status says what is expected and `lasts` seconds longer, and ends."""

    name: str
    kind: Kind
    during: During
    rules: tuple[Rule, ...] = ()
    """For the proxy between controller and cloud. Where there are some, the fault strikes when each has acted."""
    begin: str = ""
    """A script for root on the master, run when the fault strikes."""
    end: str = ""
    """Another one, which ends it."""
    deed: Deed | None = None
    says: str = ""
    """A regular expression, in any case of letters, for what the controller's status has to say meanwhile."""
    within: float = STRIKES
    """Seconds in which it has to say so."""
    lasts: float = 0
    jobs: int = 2
    seconds: int = 0
    """How long each job takes; 0 for what is usual."""
    reruns: bool = False
    """Whether HTCondor itself starts jobs anew after this, whoever made the slaves."""

    @property
    def alone(self) -> bool:
        """Whether it is done to the whole cloud, so that no other cluster's case may run beside it."""
        return self.deed is Deed.NO_COMPUTE


KILLS = {
    "engine": "pkill -9 -x pulumi",
    "provider": "pkill -9 -x pulumi-resource",  # all that the kernel keeps of its name
    "controller": "systemctl kill --kill-whom=main --signal=KILL ecm-controller",
}
# The provider's calls: token, network, POST, GET until ACTIVE, then server, networks, flavor, image and tags …
CREATE_CALLS = range(1, 9)
# … and token, DELETE, GET until 404.
DELETE_CALLS = range(1, 4)

AT_CALL = (
    *product([During.GROW], ["create"], CREATE_CALLS),
    *product([During.SHRINK], ["delete"], DELETE_CALLS),
)
KILL_POINTS = tuple(
    Case(
        f"kill-{who}-{update}-{nth}-{'after' if after else 'before'}",
        Kind.KILL,
        during,
        (Rule(".*", Action.RUN, command, agent=PROVIDER, nth=nth, after=after),),
    )
    for (who, command), (during, update, nth), after in product(KILLS.items(), AT_CALL, (False, True))
)

REFUSALS = {
    "500": (Action.ANSWER, 500),
    "503": (Action.ANSWER, 503),
    "429": (Action.ANSWER, 429),
    "drop": (Action.DROP, 0),
}
BLIND = "OpenStack can't be asked"
FAILED = "update failed|backing off"
CALLS = (
    ("list", LIST, During.GROW, BLIND, 2),
    ("list", LIST, During.SHRINK, BLIND, 2),
    # More jobs than there may be slaves: the quota that was read last is good for a minute, and for the first slaves.
    ("limits", LIMITS, During.GROW, BLIND, 5),
    ("create", CREATE, During.GROW, FAILED, 2),
    ("delete", DELETE, During.SHRINK, FAILED, 2),
    # Of some of these the provider asks again by itself.
    ("show", SHOW, During.GROW, f"updating|{FAILED}", 2),
    ("network", NETWORKS, During.GROW, FAILED, 2),
    ("token", TOKENS, During.GROW, FAILED, 2),
    ("token", TOKENS, During.SHRINK, FAILED, 2),
)
API = (
    *(
        Case(
            f"{call}-{name}-{during}",
            Kind.API,
            during,
            (Rule(request, action, argument),),
            says=says,
            lasts=10 if call == "show" else 0,
            jobs=jobs,
        )
        for (call, request, during, says, jobs), (name, (action, argument)) in product(CALLS, REFUSALS.items())
    ),
    *(
        Case(
            f"{call}-hang-{during}",
            Kind.API,
            during,
            (Rule(request, Action.HANG),),
            says=BLIND if says == BLIND else "updating",
            lasts=10,
            jobs=jobs,
        )
        for call, request, during, says, jobs in CALLS
    ),
    *(
        Case(f"{call}-slow-{during}", Kind.API, during, (Rule(request, Action.DELAY, 5),), lasts=30)
        for call, request, during, _, _ in CALLS
    ),
    *(
        Case(f"list-short-{during}", Kind.API, during, (Rule(LIST, Action.SHORTEN, after=True),), lasts=30)
        for during in (During.GROW, During.SHRINK)
    ),
)

HELD_UP = (Rule(CREATE, Action.DELAY, 10),)
"""For what has to be so before the request of a server gets to Nova."""
HALF_DONE = (
    Case(
        "quota-shrinks",
        Kind.HALF_DONE,
        During.GROW,
        HELD_UP,
        deed=Deed.NO_QUOTA,
        says="quota exceeded",
    ),
    *(
        Case(f"{call}-done-but-{name}", Kind.HALF_DONE, during, (Rule(request, action, argument, nth=1, after=True),))
        for (call, request, during), (name, (action, argument)) in product(
            (("create", CREATE, During.GROW), ("delete", DELETE, During.SHRINK)), REFUSALS.items()
        )
    ),
)

NO_JOINING = """nft -f - <<'END'
table inet fault {
  chain guests { type filter hook input priority -10; iif lo accept; ip saddr 10.77.0.0/24 tcp dport 9618 drop; }
}
END"""
JOIN = (
    # One job: three slaves in a row that don't join open the circuit breaker for five minutes.
    Case(
        "never-joins",
        Kind.JOIN,
        During.GROW,
        begin=NO_JOINING,
        end="nft delete table inet fault",
        says="not joined",
        jobs=1,
    ),
    Case("built-late", Kind.JOIN, During.GROW, HELD_UP, deed=Deed.NO_COMPUTE, lasts=20),
    # The provider waits for five minutes first.
    Case(
        "never-built",
        Kind.JOIN,
        During.GROW,
        HELD_UP,
        deed=Deed.NO_COMPUTE,
        says="its server is being built for",
        within=400,
        jobs=1,
    ),
    Case(
        "leaves-the-pool",
        Kind.JOIN,
        During.SHRINK,
        deed=Deed.CONDOR_STOPPED,
        says="lost: ",
        within=200,
        seconds=60,
        reruns=True,  # a startd that ends takes its jobs with it
    ),
    Case(
        "joins-twice",
        Kind.JOIN,
        During.SHRINK,
        begin="condor_status -af Machine | sort -u | while read -r m; do condor_restart -name $m -daemon startd; done",
        reruns=True,  # a startd that ends takes its jobs with it
    ),
)

SERVER = (
    *(
        Case(f"server-{name}", Kind.SERVER, During.GROW, deed=deed)
        for name, deed in (
            ("deleted", Deed.SERVER_DELETED),
            ("stopped", Deed.SERVER_STOPPED),
            ("error", Deed.SERVER_ERROR),
        )
    ),
    # One that is deleted has no chance to say so: HTCondor keeps its jobs for 40 minutes (docs/operations.md).
    Case(
        "server-stopped-busy",
        Kind.SERVER,
        During.SHRINK,
        deed=Deed.SERVER_STOPPED,
        reruns=True,  # a startd that is shut down stops its jobs
    ),
    # The job outlasts the half minute after which Nova is asked of slaves that are in the pool.
    Case("server-error-busy", Kind.SERVER, During.SHRINK, deed=Deed.SERVER_ERROR, says="a job runs there", seconds=60),
    # The jobs of the second, too, outlast that half minute.
    Case("server-untagged-grow", Kind.SERVER, During.GROW, deed=Deed.TAG_LOST),
    Case("server-untagged-shrink", Kind.SERVER, During.SHRINK, deed=Deed.TAG_LOST, seconds=60),
)


def signalled(signal: str, daemon: str) -> str:
    """Sends a signal to a daemon, by all that the kernel keeps of its name."""
    return f"pkill -{signal} -x {daemon[:15]}"


RESTARTS = {
    "collector": "condor_restart -daemon collector",
    # condor_restart asks the collector for it, which after a restart of its own doesn't know it for minutes.
    "negotiator": signalled("TERM", "condor_negotiator"),
    "schedd": "condor_restart -daemon schedd",
}
CONDOR = (
    *(
        Case(f"kill-{daemon}-{during}", Kind.CONDOR, during, begin=signalled("9", daemon))
        for daemon, during in product(("condor_collector", "condor_negotiator", "condor_schedd"), During)
    ),
    *(
        Case(
            f"restart-{daemon}-{during}",
            Kind.CONDOR,
            during,
            begin=command,
            reruns=daemon == "schedd",
        )
        for (daemon, command), during in product(RESTARTS.items(), During)
    ),
)

FILL = """avail=$(df --output=avail -B1 / | tail -n 1)
fallocate -l $((avail - 65536)) /var/tmp/fault-1
dd if=/dev/zero of=/var/tmp/fault-2 bs=4k status=none || true"""
START = """
rm -f /run/ecm/status.json
systemctl restart ecm-controller
timeout 90 sh -c 'until test -e /run/ecm/status.json; do sleep 1; done'
sleep 10
test "$(systemctl show --property NRestarts --value ecm-controller)" = 0"""
"""A start of the controller, after which it stays."""
SERVICES = {
    "condor": ("condor", "can't be asked"),
    "controller": ("ecm-controller", ""),
    "both": ("ecm-controller condor", ""),
}
MASTER = (
    *(
        Case(
            f"disk-full{name}-{during}",
            Kind.MASTER,
            during,
            begin=FILL + then,
            end="rm -f /var/tmp/fault-?",
            lasts=20,
            reruns=True,  # the schedd can't note that a job has ended
        )
        for (name, then), during in product((("", ""), ("-at-start", START)), During)
    ),
    *(Case(f"reboot-{during}", Kind.MASTER, during, deed=Deed.REBOOT, reruns=True) for during in During),
    *(
        Case(
            f"{name}-down-{during}",
            Kind.MASTER,
            during,
            begin=f"systemctl stop {units}",
            end=f"systemctl start {units}",
            says=says,
            lasts=15,
            reruns="condor" in units.split(),  # a schedd that is stopped stops its jobs
        )
        for (name, (units, says)), during in product(SERVICES.items(), During)
    ),
)

NO_STATE = (
    "nft 'table inet fault {{ chain state {{ type filter hook output priority 0; tcp dport 5432 {verdict}; }}; }}'"
)
STATE = (
    *(
        Case(
            f"state-{name}-{during}",
            Kind.STATE,
            during,
            begin=NO_STATE.format(verdict=verdict),
            end="nft delete table inet fault",
            says=says,
            lasts=lasts,
        )
        for (name, verdict, says, lasts), during in product(
            (("refused", "reject with tcp reset", "state can't be read", 5), ("silent", "drop", "", 30)), During
        )
    ),
    Case("lock-left", Kind.STATE, During.SHRINK, deed=Deed.KILLED_UP, says="locked: the stack is locked by"),
)

WORST = {
    "create": (During.GROW, CREATE),
    "delete": (During.SHRINK, DELETE),
}
USER = (
    *(
        Case(f"{name}-amid-{update}", Kind.USER, during, (Rule(request, Action.DELAY, 20, nth=1),), deed=deed)
        for (name, deed), (update, (during, request)) in product(
            (("up", Deed.UP), ("refresh", Deed.UP_REFRESH), ("destroy", Deed.DESTROY)), WORST.items()
        )
    ),
    *(
        Case(
            f"{name}-after-killed-{update}",
            Kind.USER,
            during,
            (Rule(request, Action.RUN, KILLS["engine"], nth=1, after=True),),
            deed=deed,
        )
        for (name, deed), (update, (during, request)) in product(
            (("up", Deed.UP), ("refresh", Deed.UP_REFRESH)), WORST.items()
        )
    ),
)

CASES = (*KILL_POINTS, *API, *HALF_DONE, *JOIN, *SERVER, *CONDOR, *MASTER, *STATE, *USER)


def chosen(wish: str, seed: int) -> frozenset[str]:
    """Names of the cases to run: `all`, a `sample` (a kill and one each of other kinds), or a regular expression's."""
    kinds = {case.name: case.kind for case in CASES} | {RACE: Kind.RACE}
    if wish == "all":
        return frozenset(kinds)
    if wish != "sample":
        return frozenset(name for name in kinds if re.search(wish, name))
    shuffled = sorted(kinds, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    first = {kind: name for name, kind in reversed([(name, kinds[name]) for name in shuffled])}
    others = sorted((name for kind, name in first.items() if kind is not Kind.KILL), key=shuffled.index)
    return frozenset([first[Kind.KILL], *others[: SAMPLE - 1]])
