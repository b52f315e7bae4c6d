"""`ecm pause`, `resume`, `drain`, `recycle`, `restart`, `logs`, `ssh`: hands on the running cluster."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from cli.errors import DOCTOR, CommandError, NotThereError
from cli.master import condor, seen
from cli.master.machine import ROOT, Machine, machine
from cli.place import OnMaster
from cli.show import RUN, WHY, AsJson, report, say
from controller.requests import Requests
from controller.status import SlaveStatus

app = typer.Typer()

CONTROLLER, CONDOR = "ecm-controller.service", "condor.service"
PATIENCE = 60

SlaveName = Annotated[
    str, typer.Argument(metavar="SLAVE", autocompletion=seen.slaves, help="Its name, or the end of it.")
]


@app.command(cls=OnMaster, rich_help_panel=RUN)
def pause(
    context: typer.Context,
    why: Annotated[str, typer.Argument(help="What others shall read in `ecm status`.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Have the controller look on and do nothing: no slave is made or removed. Jobs go on.

    Example: ecm pause "the storage is being moved"
    """
    master = machine(context)
    line = _signed(master) + (f": {why}" if why else "")
    master.write(Requests(master.state).pause, f"{line}\n")
    report({"paused": line}, f"The controller is paused {line}. It goes on with `ecm resume`.", as_json=as_json)


@app.command(cls=OnMaster, rich_help_panel=RUN)
def resume(context: typer.Context, *, as_json: AsJson = False) -> None:
    """End a pause.

    Example: ecm resume
    """
    master = machine(context)
    master.remove(Requests(master.state).pause)
    report({"paused": ""}, "The controller goes on.", as_json=as_json)


@app.command(cls=OnMaster, rich_help_panel=RUN)
def drain(context: typer.Context, slave: SlaveName, *, as_json: AsJson = False) -> None:
    """Have a slave take no more jobs, and removed when those that it has are done.

    Example: ecm drain k3w9xq
    """
    master = machine(context)
    name = named(seen.look(master).slaves, slave).name
    master.write(Requests(master.state).drains / name, _signed(master))
    done = f"{name} takes no more jobs, and goes when it has none. `ecm status` shows it.{_paused(master)}"
    report({"draining": name}, done, as_json=as_json)


@app.command(cls=OnMaster, rich_help_panel=RUN)
def recycle(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Replace the slaves that were made from older settings (another image, flavor or script), by and by.

    Idle ones go at once, busy ones when their jobs are done, a quarter of the slaves at a time.

    Example: ecm recycle
    """
    master = machine(context)
    line = _signed(master)
    master.write(Requests(master.state).recycle, line)
    done = "Slaves of older settings are replaced when they have no job. `ecm status --watch` shows it." + _paused(
        master
    )
    report({"recycling": line}, done, as_json=as_json)


@app.command(cls=OnMaster, rich_help_panel=RUN)
def restart(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Restart HTCondor and the controller in the right order. Running and waiting jobs survive.

    Example: ecm restart
    """
    master = machine(context)
    say("The controller ends; a running update is let finish first …")
    master.output("systemctl", "stop", "--no-block", CONTROLLER, user=ROOT)
    _wait(master, "the controller to end", _ended, 6 * PATIENCE)
    say("HTCondor restarts …")
    master.output("systemctl", "restart", CONDOR, user=ROOT)
    _wait(master, "HTCondor's queue", _answers, PATIENCE)
    started = datetime.now(UTC)
    master.output("systemctl", "start", CONTROLLER, user=ROOT)
    _wait(master, "the controller", partial(_has_looked, started), PATIENCE)
    done = "Both are up. Slaves may be missing for a minute, until they report again: `ecm status`."
    report({"restarted": [CONDOR, CONTROLLER]}, done, as_json=as_json)


@app.command(cls=OnMaster, rich_help_panel=WHY)
def logs(
    context: typer.Context,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the controller's log: what it saw, decided and did.

    Example: ecm logs -f
    """
    more = ("--follow",) if follow else ()
    command = (
        "journalctl",
        "--no-pager",
        "--no-hostname",
        "--output",
        "json" if as_json else "short-iso",
        "--unit",
        CONTROLLER,
        "--lines",
        str(lines),
        *more,
    )
    raise typer.Exit(machine(context).call(*command, user=ROOT))


def named(slaves: tuple[SlaveStatus, ...], text: str) -> SlaveStatus:
    """The slave of this name, or whose name ends so.

    Raises:
        NotThereError: none is, or several are.
    """
    hits = [slave for slave in slaves if slave.name == text] or [s for s in slaves if text and s.name.endswith(text)]
    if len(hits) == 1:
        return hits[0]
    names = ", ".join(slave.name for slave in hits or slaves) or "none"
    what = "several slaves end so" if hits else "there is no such slave"
    raise NotThereError(f"{text!r} - {what} - there is: {names}")


def _paused(master: Machine) -> str:
    paused = Requests(master.state).paused()
    return f"\nBut not yet: the controller is paused {paused}. It goes on with `ecm resume`." if paused else ""


def _signed(master: Machine) -> str:
    return f"by {master.who()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _wait(master: Machine, what: str, test: Callable[[Machine], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not test(master):
        if time.monotonic() > end:
            raise CommandError(f"gave up waiting for {what} after {seconds:.0f} s - {DOCTOR}")
        time.sleep(1)


def _ended(master: Machine) -> bool:
    return "ActiveState=inactive" in master.output("systemctl", "show", "--property", "ActiveState", CONTROLLER)


def _has_looked(since: datetime, master: Machine) -> bool:
    try:
        return seen.look(master).at >= since
    except CommandError:
        return False


def _answers(master: Machine) -> bool:
    try:
        condor.queue(master)
    except CommandError:
        return False
    return True
