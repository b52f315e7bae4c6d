"""`ecm history` and `ecm replay`: what the journal has."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.bar import Bar
from rich.console import RenderableType
from rich.text import Text

from cli.errors import DOCTOR, CommandError, NotThereError
from cli.master.machine import Machine, machine
from cli.place import OnMaster
from cli.show import TROUBLE, WHY, AsJson, counted, report, say, table
from controller import journal
from controller.journal import Decision, Unreadable

app = typer.Typer()

ROWS = 20
"""With the head and the next prompt they fit into a window of 24 lines."""
WIDTH = 15
MINUTE = timedelta(minutes=1)
YEARS = 100_000
"""In hours: more than any journal holds."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What there was at most in a stretch of time, and what was done in it."""

    start: datetime
    idle_jobs: int = 0
    slaves: int = 0
    made: int = 0
    removed: int = 0
    why: str = ""
    """The last reason."""


@app.command(cls=OnMaster, rich_help_panel=WHY)
def history(
    context: typer.Context,
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=YEARS, help="How far back.")] = 24,
    *,
    as_json: AsJson = False,
) -> None:
    """Show waiting jobs and slaves over time, as bars, and what the controller made and removed.

    Example: ecm history --hours 6
    """
    now = datetime.now(UTC)
    with _readable():
        entries = list(journal.read(folder(machine(context))))
    decisions = [entry for entry in entries if isinstance(entry, Decision)]
    unreadable = sum(isinstance(entry, Unreadable) for entry in entries)
    span = min(timedelta(hours=hours), now - min((d.at for d in decisions), default=now - MINUTE))
    done = stretches(decisions, now, max(span, MINUTE))
    report(done, view(done), as_json=as_json)
    if unreadable and not as_json:
        say(f"{counted(unreadable, 'line')} of the journal can't be read.")


@app.command(cls=OnMaster, rich_help_panel=WHY)
def replay(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Decide everything in the journal again, by the rule of the installed version, and show what differs.

    Example: ecm replay
    """
    with _readable():
        done = journal.replay(folder(machine(context)))
    if as_json:
        report(done, "", as_json=True)
    else:
        for found in done.differences:
            then, now = (", ".join(map(str, plan.reasons)) for plan in (found.decision.plan, found.now))
            say(f"{found.decision.at:%Y-%m-%d %H:%M:%S}  then: {then}\n{'':21}now:  {now}")
        say(
            f"{done.decisions} decisions, {len(done.differences)} would be others now, "
            f"{counted(len(done.unreadable), 'line')} can't be read"
        )
    if done.differences:
        raise typer.Exit(TROUBLE)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"the journal can't be read - {error.strerror} - {DOCTOR}") from None


def folder(master: Machine) -> Path:
    """The journal's.

    Raises:
        NotThereError: nothing has been decided yet.
    """
    path = master.state / "journal"
    if not path.is_dir():
        raise NotThereError("there is no journal yet - the controller has decided nothing so far - `ecm status`")
    return path


def stretches(decisions: list[Decision], now: datetime, span: timedelta) -> list[Stretch]:
    """The time from `now - span` to `now` in equal stretches, oldest first.

    The journal has an entry when something changes: what was seen last holds until the next.
    """
    each = span / ROWS
    made: list[Stretch] = []
    for number in range(ROWS):
        start = now - span + each * number
        inside = [d for d in decisions if start <= d.at < start + each]
        before = [d for d in decisions if d.at < start]
        seen = [*before[-1:], *inside]
        made.append(
            Stretch(
                start=start,
                idle_jobs=max((sum(group.idle for group in d.seen.jobs) for d in seen), default=0),
                slaves=max((len(d.seen.slaves) for d in seen), default=0),
                made=sum(d.plan.create for d in inside),
                removed=sum(len(d.plan.remove) for d in inside),
                why=str(next(iter(inside[-1].plan.reasons), "")) if inside else "",
            )
        )
    return made


def view(done: list[Stretch]) -> RenderableType:
    """A row for each stretch: jobs that waited and slaves that there were, each as number and bar."""
    most_jobs, most_slaves = max(s.idle_jobs for s in done), max(s.slaves for s in done)
    if not most_jobs and not most_slaves:
        return Text("no job waited and no slave was there in all that time")
    moment = "%H:%M:%S" if len(done) > 1 and done[1].start - done[0].start < MINUTE else "%d %b %H:%M"
    rows = table("from", "waiting", "", "slaves", "", "made", "removed", right=("waiting", "slaves", "made", "removed"))
    for stretch in done:
        rows.add_row(
            stretch.start.astimezone().strftime(moment),
            str(stretch.idle_jobs),
            Bar(max(1, most_jobs), 0, stretch.idle_jobs, width=WIDTH, color="yellow"),
            str(stretch.slaves),
            Bar(max(1, most_slaves), 0, stretch.slaves, width=WIDTH, color="green"),
            str(stretch.made or ""),
            str(stretch.removed or ""),
        )
    return rows
