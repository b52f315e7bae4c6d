"""`ecm status`: the pool at a glance."""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.errors import CommandError
from cli.master import condor, seen
from cli.master.condor import Queue
from cli.master.machine import Machine, machine
from cli.master.seen import STALE
from cli.place import OnMaster
from cli.show import TROUBLE, WHY, AsJson, age, counted, noted, out, table
from controller.masking import masked
from controller.model import Phase, Setback, Trouble
from controller.requests import Requests
from controller.status import SlaveStatus, Status

app = typer.Typer()
EVERY = 2.0
NAME = 28
"""Columns."""
AROUND, FEW = 14, 3
"""Lines that a watched status has beside its slaves; slaves that are shown in any window."""
GOING = "going"


@dataclass(frozen=True, slots=True)
class Glance:
    """All that `ecm status` shows."""

    controller: Status
    queue: Queue | None
    paused: str
    trouble: str
    """What keeps the controller or HTCondor from working; empty when nothing does."""


@app.command(cls=OnMaster, rich_help_panel=WHY)
def status(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on looking, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the pool at a glance: jobs, slaves with age and reason, limits, quota, what comes next.

    Example: ecm status --watch
    """
    master = machine(context)
    if watch:
        _watch(master, as_json=as_json)
    glance = look(master)
    if as_json:
        typer.echo(json.dumps(_data(master, glance), indent=1))
    else:
        out.print(view(glance, _now()))
    if glance.trouble:
        raise typer.Exit(TROUBLE)


def _watch(master: Machine, *, as_json: bool) -> NoReturn:
    """Goes on looking until it is interrupted: as JSON or where there is no terminal, each look by itself."""
    while as_json:
        typer.echo(json.dumps(_looked_as_json(master)))
        time.sleep(EVERY)
    while not out.is_terminal:
        out.print(_looked(master), "")
        time.sleep(EVERY)
    with Live(_looked(master, out.height - AROUND), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(EVERY)
            live.update(_looked(master, out.height - AROUND), refresh=True)


def _looked(master: Machine, most: int | None = None) -> RenderableType:
    """A look; or why there is none, which is no reason to stop looking."""
    try:
        return view(look(master), _now(), most)
    except CommandError as error:
        return Text(f"TROUBLE  {error}", "bold red")


def _looked_as_json(master: Machine) -> dict[str, Any]:
    """The same, for programs."""
    try:
        return _data(master, look(master))
    except CommandError as error:
        return {"trouble": masked(str(error))}


def _data(master: Machine, glance: Glance) -> dict[str, Any]:
    """What the controller wrote, with all that a newer one may say, and what else is known here."""
    told: dict[str, Any] = json.loads(master.read(master.run / "status.json"))
    queue = asdict(glance.queue) if glance.queue else None
    return told | {"queue": queue, "paused": glance.paused, "trouble": glance.trouble}


def look(master: Machine) -> Glance:
    """Asks the controller and HTCondor.

    Raises:
        CommandError: the controller has never said anything.
    """
    told = seen.look(master)
    silent = _now() - told.at
    trouble = f"the controller has been silent for {age(silent.total_seconds())}" if silent > STALE else ""
    try:
        queue = condor.queue(master)
    except CommandError as error:
        queue, trouble = None, trouble or str(error)
    return Glance(told, queue, Requests(master.state).paused(), trouble or "; ".join(told.unknown))


def view(glance: Glance, now: datetime, most: int | None = None) -> RenderableType:
    """The pool at a glance, with as many slaves as fit into `most` lines, or all."""
    told = glance.controller
    parts: list[RenderableType] = []
    if glance.trouble:
        parts.append(Text(f"TROUBLE  {glance.trouble}", "bold red"))
    if glance.paused:
        parts.append(Text(f"PAUSED   {glance.paused}", "bold yellow"))
    rows = table("", "")
    rows.show_header = False
    for what, text in _lines(glance, now):
        rows.add_row(Text(what, "bold"), Text(text))
    parts.append(rows)
    if told.slaves:
        shown = (
            told.slaves
            if most is None
            else told.slaves[: max(FEW, _fitting(told.slaves, most - 2 * len(told.setbacks)))]
        )
        parts += [Text(""), slaves_view(shown, now)]
        if more := len(told.slaves) - len(shown):
            parts.append(Text(f"and {more} more: `ecm status`", "dim"))
    return Group(*parts)


def slaves_view(slaves: Iterable[SlaveStatus], now: datetime) -> RenderableType:
    numbers = ("for", "age", "jobs")
    head = table("slave", "is", *numbers, right=numbers, whole=("slave", "is", *numbers))
    return noted(head, [(_row(slave, now), _why(slave)) for slave in slaves])


def _row(slave: SlaveStatus, now: datetime) -> tuple[str | Text, ...]:
    return (
        _short(slave.name),
        Text(state(slave), _STYLES.get(slave.phase, "")),
        age(slave.idle_for if slave.phase is Phase.IDLE else _seconds(slave.since, now)),
        "" if slave.phase is Phase.GONE else age(_seconds(slave.created_at, now)),
        str(slave.jobs),
    )


def _why(slave: SlaveStatus) -> str:
    """Why it goes, or can't; empty for one that stays."""
    return slave.kept or slave.reason or (slave.detail if slave.phase is Phase.FAILED else "")


def _fitting(slaves: tuple[SlaveStatus, ...], most: int) -> int:
    """How many of the slaves fit into so many lines, each with what is said of it."""
    heights = [1 + math.ceil((2 + len(_why(slave))) / out.width) * bool(_why(slave)) for slave in slaves]
    return sum(total <= most for total in accumulate(heights))


def _short(name: str) -> str:
    """A name, or the end of a long one: that is as good for every command."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"


def state(slave: SlaveStatus) -> str:
    """Its phase; but one that is to go and is in the pool no more isn't missed by anybody."""
    return GOING if slave.reason and slave.phase in (Phase.MISSING, Phase.GONE) else str(slave.phase)


_STYLES = {
    Phase.BUSY: "green",
    Phase.FAILED: "bold red",
    Phase.GONE: "bold red",
    Phase.MISSING: "red",
    Phase.DRAINING: "yellow",
    Phase.DOUBTFUL: "yellow",
    Phase.BUILDING: "yellow",
    Phase.BOOTING: "yellow",
}


def _lines(glance: Glance, now: datetime) -> list[tuple[str, str]]:
    told, queue = glance.controller, glance.queue
    lines = [("jobs", f"{queue.idle} waiting, {queue.running} running, {queue.held} held")] if queue else []
    states = [state(slave) for slave in told.slaves]
    by_state = ", ".join(f"{states.count(name)} {name}" for name in (*Phase, GOING) if name in states)
    limits = f" (between {told.limits.min_slaves} and {told.limits.max_slaves})" if told.limits else ""
    lines.append(("slaves", f"{len(states)}{limits}" + (f": {by_state}" if by_state else "")))
    lines.append(("slots", f"{told.slots.claimed} in use, {told.slots.free} free"))
    left = "no limit" if told.quota_left is None else f"room for {counted(told.quota_left, 'more slave')}"
    lines.append(("quota", left))
    lines += [("why" if number == 0 else "", reason) for number, reason in enumerate(told.reasons)]
    lines += [("failed" if n == 0 else "", _setback(setback, now)) for n, setback in enumerate(told.setbacks)]
    if told.next_try_at and told.next_try_at > now and (not told.next or told.next.at != told.next_try_at):
        lines.append(("", f"slaves may be made again in {age((told.next_try_at - now).total_seconds())}"))
    if told.update:
        what = f"making {told.update.create}, removing {len(told.update.remove)}"
        lines.append(("now", f"{what} for {age(_seconds(told.update.since, now))}"))
    if told.last_update and told.last_update.ended:
        last = told.last_update
        what = f"made {last.create}, removed {len(last.remove)}: {last.result}"
        lines.append(("last", f"{what}, {age(_seconds(last.ended, now))} ago"))
    if told.next:
        lines.append(("next", f"{told.next.action}, in {age((told.next.at - now).total_seconds())}"))
    lines.append(("looked", f"{age(_seconds(told.at, now))} ago"))
    return lines


def _setback(setback: Setback, now: datetime) -> str:
    times = f"{counted(setback.times, 'time')}, {age(_seconds(setback.at, now))} ago"
    return f"{_FAILED[setback.trouble]}, {times}: {setback.why}"


_FAILED = {
    Trouble.UPDATES: "to make slaves",
    Trouble.REMOVALS: "to remove slaves",
    Trouble.JOINS: "slaves, to join",
}


def _seconds(since: datetime | None, now: datetime) -> float:
    return (now - since).total_seconds() if since else 0


def _now() -> datetime:
    return datetime.now(UTC)
