"""`ecm doctor` on the user's machine: what leads to the cluster, then what the master finds."""

import json
import re
import socket
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import typer

from cli.checks import Check, attempt, tell
from cli.errors import CommandError
from cli.laptop import config, sweep
from cli.laptop.desk import Desk, desk
from cli.master.doctor import SKEW, Fix
from cli.show import WHY, AsJson, age
from cloudinit import payload
from cluster.errors import EcmError
from cluster.firstboot import PULUMI_VERSION
from cluster.login import clock, translated

app = typer.Typer()

PORTS = {22: "ssh", 9618: "HTCondor"}
PATIENCE = 5
RESTORE = "pulumi up --refresh   # restores the rules"
"""Without the refresh Pulumi goes by the state, where they still are."""
VARIABLE = re.compile(r"(?:ECM_MASTER|PULUMI_CONFIG)_[A-Z_]+")
"""What a line about the master's way to the state says to set."""
GROUPS = "openstack:networking/secGroup"
"""How the types of groups and of their rules begin in the state."""


@app.command(rich_help_panel=WHY)
def doctor(context: typer.Context, *, fix: Fix = False, as_json: AsJson = False) -> None:
    """Look for what is wrong, from here and on the master, and say which command mends it.

    Example: ecm doctor

    Example: ecm doctor --fix
    """
    tell(checks(desk(context), fix=fix), as_json=as_json)


def checks(here: Desk, *, fix: bool) -> Iterator[Check]:
    """Looks at everything, one after the other. What can't be looked at for want of an earlier part is left out."""
    # One login serves all that the cloud is asked.
    here = replace(here, connect=cache(here.connect))
    engine = attempt("pulumi", lambda: _version(here), "scripts/setup && source .venv/bin/activate")
    yield engine
    state = attempt("state", here.pulumi.backend, "export PULUMI_BACKEND_URL=…")
    if not _is_told(state, engine):
        yield state
    login = config.login(here)
    yield login
    if not login.wrong:
        yield attempt("clock here", lambda: _clock(here), "sudo timedatectl set-ntp true")
    if state.wrong:
        return
    try:
        outputs = yield from _settings(here, login)
    except EcmError as error:
        yield Check("stack", wrong=str(error), fix="pulumi stack select NAME")
        return
    if outputs is None:
        return
    address = outputs.get("masterIp")
    if not address:
        yield Check("stack", f"{here.pulumi.stack()} isn't up; `pulumi up` makes it")
        return
    yield attempt("orphans", lambda: _orphans(here, outputs), "ecm sweep")
    yield attempt("groups", lambda: _groups(here), RESTORE)
    for port, what in PORTS.items():
        yield attempt(f"port {port}", partial(_port, str(address), port, what), RESTORE)
    try:
        found = list(_on_master(here, fix=fix))
        yield from found
        yield attempt("releases", lambda: _releases(outputs, found), "pulumi up")
    except EcmError as error:
        name = here.pulumi.stack().rpartition("/")[2]
        yield Check("master", wrong=str(error), fix=f"openstack console log show ecm-{name}-master")


def _settings(here: Desk, login: Check) -> Generator[Check, None, dict[str, Any] | None]:
    """What `ecm config check` says, but for the login, with commands; gives the stack's outputs.

    None without the passphrase: they can't be read, which isn't told twice.
    """
    sealed = False
    for check in config.checks(here):
        sealed |= check.what == "passphrase" and bool(check.wrong)
        if check.what != "login" and not _is_told(check, login):
            yield replace(check, fix=check.fix or _command(check, here.pulumi.stack())) if check.wrong else check
    return None if sealed else here.pulumi.outputs()


def _is_told(check: Check, before: Check) -> bool:
    """Whether one check found wrong what an earlier one did, which tells the command apart."""
    return bool(before.wrong) and check.wrong.startswith(before.wrong)


def _command(check: Check, stack: str) -> str:
    """What mends what `ecm config check` found wrong, unless that says so itself."""
    if check.what == "stack":
        return "pulumi stack rename NAME"
    if check.what == "master" or (check.what == "cloud" and "ecm:" not in check.wrong):
        return ""
    variable = VARIABLE.search(check.wrong) if check.what == "master's state" else None
    return f"export {variable[0]}=…" if variable else f"ecm init {stack}"


def _clock(here: Desk) -> str:
    """Compares this machine's clock with that of whoever answers for the cloud's login."""
    connection = here.connect()
    told = clock(connection)
    late = (told - datetime.now(UTC)).total_seconds() if told else 0
    if abs(late) > SKEW:
        wrong = f"it is {age(abs(late))} {'slow' if late > 0 else 'fast'} - logins and ages go by it - set it by NTP"
        raise CommandError(wrong)
    return "as the cloud's" if told else "the cloud doesn't tell its own"


def _version(here: Desk) -> str:
    found = here.pulumi.version()
    if found != PULUMI_VERSION:
        raise CommandError(f"it is {found} and the master's {PULUMI_VERSION} - both write one state - take the same")
    return found


def _orphans(here: Desk, outputs: Mapping[str, Any]) -> str:
    connection = here.connect()
    found = sweep.strays(connection, sweep.cluster_id(outputs), sweep.known(here.pulumi.export()))
    ripe = sweep.ripe(found, clock(connection) or datetime.now(UTC))
    if ripe:
        names = ", ".join(stray.name for stray in ripe)
        raise CommandError(f"servers outside the state: {names} - an update was interrupted - sweep them")
    young = ", ".join(stray.name for stray in found)
    return f"maybe being made right now: {young}" if young else "the state has every server of the cluster"


def _groups(here: Desk) -> str:
    """Whether the security groups and rules that the state has are there; somebody may have tidied up."""
    connection = here.connect()
    deployment = here.pulumi.export().get("deployment") or {}
    ours = [part for part in deployment.get("resources") or () if part["type"].startswith(GROUPS)]
    with translated():
        network = connection.network
        there = {part.id for parts in (network.security_groups(), network.security_group_rules()) for part in parts}
    if gone := sorted(part["urn"].rpartition("::")[2] for part in ours if part["id"] not in there):
        raise CommandError(f"the cloud lacks {', '.join(gone)} - somebody removed them there - restore them")
    return f"{len(ours)} groups and rules are there"


def _port(address: str, port: int, what: str) -> str:
    try:
        socket.create_connection((address, port), timeout=PATIENCE).close()
    except OSError as error:
        raise CommandError(
            f"{what} at {address} doesn't answer - {error} - is the master up, and does ecm:allowedCidrs let you in?"
        ) from None
    return f"{what} answers at {address}"


def _releases(outputs: Mapping[str, Any], on_master: list[Check]) -> str:
    """Compares the controller of this checkout with the one in the state and the one that the master runs."""
    here, wanted = payload.release().digest, str(outputs.get("controller", {}).get("digest", ""))
    runs = next((check.found for check in on_master if check.what == "release"), "")
    if runs and runs != wanted:
        raise CommandError(
            f"the master runs the controller {runs}, the state has {wanted} - it changes within a minute of "
            "`pulumi up`, or the new one is broken - see `ecm logs`, then run `pulumi up` with a mended one"
        )
    if here != wanted:
        raise CommandError(
            f"this checkout has the controller {here}, the cluster {wanted} - one of them is older - `pulumi up` "
            "brings this one to the master"
        )
    return f"{here} here, in the state and on the master"


def _on_master(here: Desk, *, fix: bool) -> Iterator[Check]:
    """What the master's own doctor found."""
    said = here.master.ask("doctor", "--json", *(["--fix"] if fix else []))
    yield from (Check(**check) for check in json.loads(said))
