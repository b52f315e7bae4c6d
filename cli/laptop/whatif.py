"""`ecm simulate`: what a trace of jobs would have cost, and how long it would have waited, under other settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import CommandError
from cli.laptop.desk import desk
from cli.show import WHY, AsJson, report, say
from cluster import cloud, settings
from cluster.offer import Offer, offer
from simulate import report as simulated
from simulate import trace as traces
from simulate.run import Result
from simulate.scenario import PLAYED, Scenario, compare

if TYPE_CHECKING:
    from openstack.connection import Connection

    from cluster.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=WHY)
def simulate(
    context: typer.Context,
    trace: Annotated[Path, typer.Option(help="The jobs: what condor_history prints, see docs/simulate.md.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another setting; several in one, by commas, go together."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with curves to this HTML file.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Play a trace of jobs with the stack's settings, and with others beside them.

    Example: ecm simulate --trace trace.csv --set maxSlaves=50 --set maxSlaves=50,idleTime=300
    """
    if plot:
        simulated.check(plot)
    here = desk(context)
    base = {key: value.text for key, value in here.pulumi.config().items() if value.text is not None}
    sets = {"as set": settings.read(base)} | {change: settings.read(base | changed(change)) for change in changes or ()}
    jobs, connection = traces.read(trace), here.connect()
    results = compare(jobs, {label: Scenario(wanted, _offer(connection, wanted)) for label, wanted in sets.items()})
    if plot:
        simulated.plot(results, plot)
    report([_plain(result) for result in results], simulated.table(results), as_json=as_json)
    if plot and not as_json:
        say(f"The curves are in {plot}.")


def _plain(result: Result) -> dict[str, object]:
    """Without what there is one of for each job or event."""
    return {name: getattr(result, name) for name in result.__dataclass_fields__ if name not in ("moments", "started")}


def changed(change: str) -> dict[str, str]:
    """Settings out of `KEY=VALUE,KEY=VALUE`.

    Raises:
        CommandError: it isn't that.
    """
    pairs = [pair.partition("=") for pair in change.split(",")]
    if any(not key or not value for key, _, value in pairs):
        raise CommandError(f"--set {change} is no setting - write it as in --set maxSlaves=50")
    real = {key.strip() for key, _, _ in pairs} & set(settings.keys())
    if unplayed := sorted(real - PLAYED):
        raise CommandError(
            f"--set {change} would show no difference - {', '.join(unplayed)} is not played - "
            f"what is: {', '.join(sorted(PLAYED))}"
        )
    return {f"ecm:{key.strip()}": value.strip() for key, _, value in pairs}


def _offer(connection: "Connection", wanted: "Settings") -> Offer:
    """What a slave of the settings' flavor offers."""
    found = cloud.look_up(wanted, connection)
    flavor = found.slave_flavor
    return offer(
        vcpus=flavor.vcpus,
        ram_mib=flavor.ram_mib,
        disk_gib=found.slave_volume_gib or flavor.disk_gib,
        jobs_per_slave=None,
        docker=wanted.docker,
        apptainer=found.slave_system.apptainer,
    )
