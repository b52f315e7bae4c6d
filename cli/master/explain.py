"""`ecm explain`: why a job waits, why a slave lives or goes, why the cluster is the size it is."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

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


class OneThing(OnMaster):
    """Wants one thing to explain, and finds that out before the way to the master is looked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps the type to itself
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and bool(ctx.params["what"]) == ctx.params["scaling"]:
            raise typer.BadParameter("name a job or a slave, or say --scaling", ctx)
        return rest


@app.command(cls=OneThing, rich_help_panel=WHY)
def explain(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(metavar="JOB | SLAVE", autocompletion=seen.slaves, help="A job's number, or a slave's name."),
    ] = "",
    *,
    scaling: Annotated[bool, typer.Option("--scaling", help="Why the cluster has the size it has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why: why a job waits, why a slave lives or goes, why the cluster is the size it is.

    Example: ecm explain 12.0

    Example: ecm explain --scaling
    """
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
