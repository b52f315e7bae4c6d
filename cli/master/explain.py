"""`ecm explain`: why a job waits, why a slave lives or goes, why the cluster is the size it is."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from cli.master import condor, seen, why
from cli.master.control import named
from cli.master.machine import machine
from cli.master.why import Explanation
from cli.place import OnMaster
from cli.show import WHY, AsJson, report

app = typer.Typer()
JOB = re.compile(r"[0-9]+(\.[0-9]+)?")


@app.command(cls=OnMaster, rich_help_panel=WHY)
def explain(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="JOB | SLAVE", help="A job's number, or a slave's name.")] = "",
    *,
    scaling: Annotated[bool, typer.Option("--scaling", help="Why the cluster has the size it has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why: why a job waits, why a slave lives or goes, why the cluster is the size it is.

    Example: ecm explain 12.0

    Example: ecm explain --scaling
    """
    if bool(what) == scaling:
        raise typer.BadParameter("name a job or a slave, or say --scaling")
    master, now = machine(context), datetime.now(UTC)
    told = seen.look(master)
    if scaling:
        answer = why.of_scaling(told)
    elif JOB.fullmatch(what):
        answer = why.of_job(why.Job.of(condor.job(master, what)), told, condor.slots(master), now)
    else:
        answer = why.of_slave(named(told.slaves, what), told, now)
    report(answer, view(answer), as_json=as_json)


def view(answer: Explanation) -> RenderableType:
    lines = [*answer.because, *([f"→ {answer.do}"] if answer.do else [])]
    return Group(Text(answer.answer, "bold"), *(Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines))
