"""`ecm doctor` on the master: services, what the controller says, the pool, the machine."""

import shlex
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from cli.checks import Check, attempt, said, tell
from cli.errors import CommandError
from cli.master import condor, seen
from cli.master.control import CONDOR, CONTROLLER
from cli.master.machine import CONTROLLER as ECM
from cli.master.machine import ROOT, Machine, machine
from cli.show import WHY, AsJson, age, say
from controller.errors import system
from controller.requests import Requests

app = typer.Typer()

METADATA = "ecm-metadata.service"
RELEASE = "/opt/ecm/current"
SECRETS = {
    "signing key": ("/etc/condor/passwords.d/POOL", "it can mint any identity of the pool"),
    "logins": ("/etc/ecm/controller.env", "it has the master's logins to cloud and state"),
}
"""Files that are root's alone, and why."""
TRY = "condor_ping -type collector ADVERTISE_STARTD"
TRY_TOKEN = (
    'umask 077 && dir=$(mktemp -d) && trap "rm -r $dir" EXIT && '
    "condor_token_create -identity doctor@slaves.pool -key POOL -lifetime 60 -authz ADVERTISE_STARTD >$dir/token && "
    "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY=$dir _CONDOR_SEC_TOKEN_DIRECTORY=$dir "
    f"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS=IDTOKENS {TRY}"
)
"""A token that is signed as the slaves' are: theirs are all of the pool's that serve."""
TAKEN = (
    ("controller's login", "the controller's login", "ecm@pool", ECM, TRY),
    ("tokens", "a slave's token", "doctor@slaves.pool", ROOT, TRY_TOKEN),
)
"""What HTCondor has to take: what it is called, whose identity, as which user, and how that is tried."""
SKEW = 30
"""Seconds that a clock may be off."""
UNANSWERED = ("7", "28")
"""Exit status of curl: refused, or no answer in time."""
SETTLING = 30
"""Seconds that services have after --fix before they are looked at again."""
LITTLE = 5
"""Percent of the disk."""
Fix = Annotated[bool, typer.Option("--fix", help="Run the commands that are safe, and look again.")]


@app.command(rich_help_panel=WHY)
def doctor(context: typer.Context, *, fix: Fix = False, as_json: AsJson = False) -> None:
    """Look for what is wrong, and say which command mends it: services, queue, controller, secrets, clock, disk.

    Example: ecm doctor --fix
    """
    master = machine(context)
    found = list(checks(master, datetime.now(UTC)))
    if fix and (safe := [check.fix for check in found if check.wrong and check.safe]):
        for command in safe:
            if not as_json:
                say(f"running: {command}")
            master.call(*shlex.split(command))
        _settle(master)
        found = list(checks(master, datetime.now(UTC)))
    tell(found, as_json=as_json)


def _settle(master: Machine) -> None:
    """Lets what was started come up: HTCondor's queue answers, and the controller has looked at it."""
    end = time.monotonic() + SETTLING
    while time.monotonic() < end:
        try:
            condor.queue(master)
            told = seen.look(master)
        except CommandError:
            pass
        else:
            if datetime.now(UTC) - told.at < seen.STALE:
                return
        time.sleep(1)


def checks(master: Machine, now: datetime) -> Iterator[Check]:
    """Looks at everything, one after the other."""
    yield attempt("first boot", partial(_first_boot, master), "sudo tail /var/log/cloud-init-output.log")
    for service in (METADATA, CONDOR, CONTROLLER):
        yield safely(
            f"service {service.removesuffix('.service')}", partial(_service, master, service), restarting(service)
        )
    yield attempt("queue", partial(_queue, master), "ecm restart")
    yield from _controller(master, now)
    for what, (file, why) in SECRETS.items():
        alone = f"sudo sh -c 'chown root {file} && chmod 600 {file}'"
        yield safely(what, partial(_secret, master, file, why), alone)
    for what, *how in TAKEN:
        yield attempt(what, partial(_taken, master, *how), "ecm restart")
    yield safely("metadata lock", partial(_metadata, master), restarting(METADATA))
    yield safely("clock", partial(_clock, master), "sudo timedatectl set-ntp true")
    yield attempt("slaves' clocks", partial(_clocks, master), "ecm drain SLAVE   # another takes its place")
    yield attempt("release", partial(_release, master), "pulumi up")
    yield attempt("HTCondor", partial(_versions, master), "ecm recycle   # with an image of the master's version")
    yield attempt("disk", partial(_disk, master), "sudo du -xh --max-depth 2 / | sort -h | tail")


def safely(what: str, look: Callable[[], str], fix: str) -> Check:
    """A check whose command can be run without asking."""
    check = attempt(what, look, fix)
    return Check(check.what, check.found, check.wrong, check.fix, safe=bool(check.wrong))


def restarting(service: str) -> str:
    return f"sudo systemctl restart {service.removesuffix('.service')}"


def _first_boot(master: Machine) -> str:
    status = master.output("cloud-init", "status").partition(":")[2].strip()
    if status not in ("done", "disabled"):
        raise CommandError(f"it is {status} - what the master needs may be missing - see the end of its log")
    return "it went through"


def _service(master: Machine, service: str) -> str:
    state = master.output("systemctl", "show", "--value", "--property", "ActiveState", service).strip()
    if state != "active":
        raise CommandError(
            f"it is {state} - without it the cluster doesn't work - start it; its log: journalctl -u {service}"
        )
    return "active"


def _queue(master: Machine) -> str:
    queue = condor.queue(master)
    return f"{queue.idle} waiting, {queue.running} running, {queue.held} held"


def _controller(master: Machine, now: datetime) -> Iterator[Check]:
    try:
        told = seen.look(master)
    except CommandError as error:
        yield Check("controller", wrong=said(error), fix="ecm logs")
        return
    silent = now - told.at
    if silent > seen.STALE:
        since = age(silent.total_seconds())
        wrong = f"it has been silent for {since} - it hangs or isn't running - see its log"
        yield Check("controller", wrong=wrong, fix=restarting(CONTROLLER), safe=True)
        return
    yield Check("controller", f"looked {age(silent.total_seconds())} ago: {'; '.join(told.reasons)}")
    for part in told.unknown:
        ours = system(part) in ("schedd", "collector")
        more = "ecm restart" if ours else "ecm logs   # has more; on your own machine: ecm config check"
        yield Check("controller sees", wrong=part, fix=more)
    if told.locked:
        wrong = f"{told.locked} - the controller waits for it - answer its prompt, or end its process"
        yield Check("state lock", wrong=wrong, fix="pulumi cancel   # only when that process is surely gone")
    for setback in told.setbacks:
        yield Check("setback", wrong=f"{setback.times} times: {setback.why}", fix="ecm explain --scaling")
    if paused := Requests(master.state).paused():
        yield Check("pause", f"the controller is paused {paused}; `ecm resume` ends that")
    strays = [slave.name for slave in told.slaves if not slave.in_state]
    if strays:
        yield Check("orphans", f"outside the state, and removed when they are idle: {', '.join(strays)}")


def _secret(master: Machine, file: str, why: str) -> str:
    mode = master.output("stat", "--format", "%a %U", file, user=ROOT).strip()
    if mode != "600 root":
        raise CommandError(f"{file} is {mode} - {why} - make it root's alone")
    return "root's alone"


def _taken(master: Machine, whose: str, identity: str, user: str, script: str) -> str:
    told = master.output("sh", "-c", f"{{ {script}; }} 2>&1 || true", user=user).strip()
    if f"succeeded as {identity}" not in told:
        last = told.splitlines()[-1] if told else "it says nothing"
        raise CommandError(f"HTCondor doesn't take {whose} - {last} - it reads its keys anew when it restarts")
    return f"HTCondor takes {whose}"


def _metadata(master: Machine) -> str:
    # Not by whether this fails: who may not become nobody would take that for closed.
    ask = "curl --silent --noproxy '*' --max-time 3 --output /dev/null http://169.254.169.254/openstack; echo $?"
    status = master.output("sh", "-c", ask, user="nobody").strip()
    if status == "0":
        raise CommandError("it answers everybody - it hands out the cluster's secrets - close it")
    if status not in UNANSWERED:
        raise CommandError(f"it can't be tried - curl ends with status {status} - look into that")
    return "closed to all but root"


def _clock(master: Machine) -> str:
    if _contained(master):
        return "the host's, which this container can't set"
    if master.output("timedatectl", "show", "--value", "--property", "NTPSynchronized").strip() != "yes":
        raise CommandError("it isn't kept by NTP - tokens and idle times go by it - turn that on")
    return "kept by NTP"


def _clocks(master: Machine) -> str:
    """Whether each slave's clock was the master's when its last ad came."""
    off = {slave: skew for slave, skew in condor.skews(master).items() if abs(skew) > SKEW}
    if off:
        told = ", ".join(f"{slave} ({age(abs(skew))} {'fast' if skew > 0 else 'slow'})" for slave, skew in off.items())
        raise CommandError(f"not the master's: {told} - idle times go by them - mend NTP there, or take another slave")
    return "the master's"


def _contained(master: Machine) -> bool:
    try:
        return bool(master.output("systemd-detect-virt", "--container").strip())
    except CommandError:
        return False


def _release(master: Machine) -> str:
    """The digest of the release that runs here; the laptop compares it with its own."""
    return master.output("readlink", RELEASE).strip().rpartition("/")[2]


def _versions(master: Machine) -> str:
    """HTCondor's version here and on the slaves: of a newer major version than the master's a slave gets no job."""
    ours = _newest(condor.versions(master, "-schedd"))
    slaves = condor.versions(master, "-constraint", condor.EVERY_SLAVE)
    if newer := {v for v in slaves if _numbers(v)[:1] > _numbers(ours)[:1]}:
        raise CommandError(
            f"slaves have {', '.join(sorted(newer))} and the master {ours} - HTCondor wants the master to be the newer "
            "one - take an image for the slaves that has the master's version"
        )
    others = sorted(set(slaves) - {ours})
    return f"{ours}, slaves too" if slaves and not others else ", ".join([ours, *(f"slaves {v}" for v in others)])


def _newest(versions: list[str]) -> str:
    if not versions:
        raise CommandError("the queue's version isn't known - the collector has no schedd")
    return max(versions, key=_numbers)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _disk(master: Machine) -> str:
    used = int(master.output("df", "--output=pcent", "/").split()[-1].rstrip("%"))
    if used > 100 - LITTLE:
        raise CommandError(f"{used} % are used - the queue needs room - remove what isn't needed")
    return f"{used} % are used"
