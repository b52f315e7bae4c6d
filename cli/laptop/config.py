"""`ecm config check`: all that `pulumi up` would check, before it."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer

from cli.checks import Check, attempt, tell
from cli.laptop.backend import PHRASE
from cli.laptop.desk import Desk, desk
from cli.show import SET_UP, AsJson, counted
from cloudinit.boot import Additions
from cluster import additions, backend, cloud, program, report, running, settings, stack
from cluster.cloud import Found
from cluster.errors import EcmError
from cluster.firstboot import FirstBoot
from cluster.login import access, catalogue
from cluster.running import Master
from cluster.settings import Settings

app = typer.Typer()
SEALED = "sealed"
"""Stands for a secret that can't be decrypted here."""
group = typer.Typer(help="Look at the stack's settings.", no_args_is_help=True)
app.add_typer(group, name="config", rich_help_panel=SET_UP)


@group.command()
def check(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Check the settings as `pulumi up` does: for themselves, against the cloud, and the way to the state.

    Example: ecm --stack mycluster config check
    """
    tell(checks(desk(context)), as_json=as_json)


def checks(here: Desk) -> Iterator[Check]:
    """Checks one after the other; those that the failed one is the ground of are left out.

    Raises:
        CommandError: the stack can't be opened.
    """
    values = here.pulumi.config()
    texts = {key: SEALED if value.text is None else value.text for key, value in values.items()}
    named = attempt("stack", lambda: stack.prefix(here.pulumi.stack()))
    if named.wrong:
        yield named
    if wrong := settings.problems(texts):
        yield from (Check("settings", wrong=line) for line in wrong)
        return
    wanted = settings.read(texts)
    yield Check("settings", f"{sum(key.startswith('ecm:') for key in values)} set, the others have their defaults")
    yield from (
        Check(key, "a secret, which can't be looked into without the stack's passphrase")
        for key, value in values.items()
        if value.text is None
    )
    with ThreadPoolExecutor() as beside:
        # Each run of `pulumi` takes as long as all that the cloud is asked.
        passphrase = beside.submit(attempt, "passphrase", here.pulumi.check_passphrase, f"export {PHRASE}=…")
        state = beside.submit(here.pulumi.export)
        own = attempt("additions", lambda: _additions(wanted, here.pulumi.folder))
        yield own
        try:
            connection = here.connect()
            yield Check("login", f"project {access(connection).project_id}")
            services = catalogue(connection)
            sealed = wanted.master_backend_url and wanted.master_backend_url.get_secret_value() == SEALED
            states = [] if sealed else list(_state(wanted, services))
            yield from states
            found = cloud.look_up(wanted, connection)
            yield from _found(wanted, found)
            yield from _minded("secrets", lambda: program.plain_text(texts, lambda key: values[key].secret))
            yield from _minded("systems", lambda: program.unlike_systems(found))
            was = stack.exported(state.result())
            servers = program.servers_known(was, connection)
            master, told = Master.remembered(was), was.outputs.get("settings", {})
            yield from _minded("master", lambda: running.warnings(master, servers, wanted, found, told))
            room = f"has room for {wanted.max_slaves} slaves"
            yield from _minded("quota", lambda: program.room(wanted, found, connection, was, servers), room)
            if not sealed and not any(check.wrong for check in (named, own, *states)):
                yield attempt("first boot", lambda: _first_boot(wanted, found, services, here))
        except EcmError as error:
            yield Check("cloud", wrong=str(error))
        yield passphrase.result()


def login(here: Desk) -> Check:
    """Whether the cloud takes the login."""
    return attempt("login", lambda: f"project {access(here.connect()).project_id}", "export OS_CLOUD=NAME")


def _additions(wanted: Settings, project: Path) -> str:
    return "yours are read" if any(one != Additions() for one in _own(wanted, project)) else "none"


def _own(wanted: Settings, project: Path) -> tuple[Additions, Additions]:
    """What the user adds to master and slaves: files that the settings name are read, as `pulumi up` does."""
    return (
        additions.read("master", wanted.master_packages, wanted.master_condor_config, wanted.master_script, project),
        additions.read("slave", wanted.slave_packages, wanted.slave_condor_config, wanted.slave_script, project),
    )


def _first_boot(wanted: Settings, found: Found, services: Mapping[str, Sequence[str]], here: Desk) -> str:
    masters, slaves = _own(wanted, here.pulumi.folder)
    name = here.pulumi.stack()
    state = backend.for_master(wanted, os.environ, services).environment
    FirstBoot(stack.prefix(name), name, wanted, found, masters, state, report.known(wanted, found, slaves)).check()
    return "Nova takes what nodes boot with"


def _minded(what: str, look: Callable[[], Iterable[str]], fine: str = "") -> Iterator[Check]:
    """What `pulumi up` warns of, or refuses; `fine`, if it is said at all, where that is nothing."""
    try:
        warnings = tuple(look())
    except EcmError as error:
        yield Check(what, wrong=str(error))
        return
    yield from (Check(what, f"mind: {warning}") for warning in warnings)
    if fine and not warnings:
        yield Check(what, fine)


def _found(wanted: Settings, found: Found) -> Iterator[Check]:
    yield Check("image", f"{wanted.image} is {found.image_id}: {found.master_system.name}")
    if found.slave_image_id != found.image_id:
        yield Check("slaveImage", f"{wanted.slave_image} is {found.slave_image_id}: {found.slave_system.name}")
    for what, flavor in (("masterFlavor", found.master_flavor), ("slaveFlavor", found.slave_flavor)):
        yield Check(
            what, f"{flavor.name}: {counted(flavor.vcpus, 'VCPU')}, {flavor.ram_mib} MiB, {flavor.disk_gib} GiB of disk"
        )
    yield Check("network", f"{found.network_name} is {found.network_id}")


def _state(wanted: Settings, services: Mapping[str, Sequence[str]]) -> Iterator[Check]:
    try:
        handed = backend.for_master(wanted, os.environ, services)
    except EcmError as error:
        yield Check("master's state", wrong=str(error))
        return
    yield Check("master's state", f"the master reaches it as {handed.environment['PULUMI_BACKEND_URL']}")
    yield from (Check("master's state", f"mind: {warning}") for warning in handed.warnings)
