"""`ecm destroy`: takes the cluster down, whatever its controller is doing and whether or not its master lives."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from cli.errors import CommandError
from cli.laptop import sweep
from cli.laptop.desk import Desk, desk
from cli.show import SET_UP, AsJson, report, say
from cluster import servers

app = typer.Typer()

PAUSE = 5.0
PATIENCE = 900.0
LOCKED = "currently locked by"
_FAILED = re.compile(r"openstack:\w+:(\w+) (\S+) \*\*deleting failed\*\*")
_BY_HAND = {
    "ApplicationCredential": "application credential",
    "FloatingIp": "floating ip",
    "Port": "port",
    "SecGroup": "security group",
    "SecGroupRule": "security group rule",
}
"""What the command line calls it, by Pulumi's word."""


@app.command(rich_help_panel=SET_UP)
def destroy(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the whole cluster down: pauses the controller, waits for its update, destroys, sweeps.

    Jobs that run are lost, and so is the master with the queue and everybody's files on it.

    Example: ecm destroy
    """
    here = desk(context)
    name = here.pulumi.stack()
    outputs = here.pulumi.outputs()
    if not yes:
        slaves, address = outputs.get("slaveCount", 0), outputs.get("masterIp", "not there")
        say(f"The cluster {name} has {slaves:.0f} slaves; its master is {address}.")
        typer.confirm("Destroy it, with the queue and all files on the master?", abort=True, err=as_json)
    if "masterIp" in outputs:
        _pause(here)
    try:
        _destroy(here)
    except KeyboardInterrupt:
        say("\nThe controller stays paused, and what is left stays up: `ecm destroy` goes on, or `ecm resume`.")
        raise
    if cluster := sweep.cluster_id(outputs):
        # The stack sweeps too, but for one that was made by a version that didn't.
        servers.remove_all(cluster, here.connect())
    left = f"Nothing of the cluster {name} is left. Its settings stay: `pulumi up` makes it again."
    report({"destroyed": name}, left, as_json=as_json)


def _pause(here: Desk) -> None:
    try:
        here.master.ask("pause", "the cluster is being destroyed")
    except CommandError as error:
        say(f"The controller can't be paused, and goes down as it is: {error}")


def _destroy(here: Desk) -> None:
    """Runs `pulumi destroy`, again while another update holds the lock."""
    end, known = time.monotonic() + PATIENCE, dict[str, Any]()
    while (done := here.pulumi.stream("destroy", "--yes", "--skip-preview")).returncode:
        if LOCKED not in done.stdout:
            with suppress(CommandError):
                known = here.pulumi.export()
            said = " - ".join(("see above", *_by_hand(done.stdout, known)))
            raise CommandError(f"the destroy failed - {said} - mend it and run `ecm destroy` again; or `ecm resume`")
        if time.monotonic() > end:
            raise CommandError(
                f"another update holds the stack's lock for {PATIENCE / 60:.0f} minutes - see above - "
                "end that process; `pulumi cancel` only when it is surely gone"
            )
        say("An update is running; it is waited for …")
        time.sleep(PAUSE)


def _by_hand(output: str, state: Mapping[str, Any]) -> Iterator[str]:
    """What removes each thing that the provider, by Pulumi's output, could not; the sweep names its own."""
    failed = set(_FAILED.findall(output))
    for resource in (state.get("deployment") or {}).get("resources") or ():
        kind, name = resource["type"].rpartition(":")[2], resource["urn"].split("::", 3)[3]
        if (kind, name) in failed and kind in _BY_HAND:
            yield f"openstack {_BY_HAND[kind]} delete {resource['id']}"
