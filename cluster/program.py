"""The two programs of the one stack: the whole cluster, and a change of its slaves.

The user's `pulumi up` runs the first, the controller the second. The first reads the slaves from the state, inside the
update, and declares exactly those; only the second adds and removes, and is told of them.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime.config import is_config_secret
from pulumi.runtime.rpc import unwrap_rpc_secret

from cloudinit import boot, payload, systems
from cluster import additions, backend, credential, nodes, quota, report, running, stack
from cluster.cloud import Found
from cluster.errors import SettingsError
from cluster.firstboot import FirstBoot
from cluster.login import catalogue, require_project
from cluster.network import master_network, rules_made
from cluster.running import Master
from cluster.servers import Server, of_cluster, remove_all
from cluster.settings import Settings, in_plain_text, stack_config
from cluster.sweep import SWEEP, SWEEP_TYPE, Sweep, declared

if TYPE_CHECKING:
    from openstack.connection import Connection

LOGIN_STAYS = (
    "ecm:applicationCredentialId is set - the running master keeps the login that the stack made for it - "
    "docs/operations.md says how to replace the master"
)


def cluster(settings: Settings, found: Found, connection: "Connection") -> None:
    """Declares everything: network, credential, master, the slaves that the state has; exports the outputs.

    Warns of what the running master doesn't get.

    Raises:
        CloudError: the master would have no login to the cloud, there is no room for it, or the cloud doesn't answer.
        MasterError: the running master's server is lost or broken.
        SettingsError: the master would have no way to the state, or a file of the user's or the stack's name can't be
            taken.
    """
    prefix = stack.prefix(pulumi.get_stack())
    own = additions.read("master", settings.master_packages, settings.master_condor_config, settings.master_script)
    slaves_own = additions.read("slave", settings.slave_packages, settings.slave_condor_config, settings.slave_script)
    state = backend.for_master(settings, os.environ, catalogue(connection))
    ready = credential.given(settings, connection)
    was = stack.remembered()
    master = Master.remembered(was)
    fixed = master is not None and master.generation == settings.master_generation
    own_stays = fixed and credential.is_the_stacks(was)
    swept = was.resources.get((SWEEP_TYPE, SWEEP))
    known = servers_known(was, connection)
    for warning in (
        *state.warnings,
        *plain_text(stack_config(), is_config_secret),
        *unlike_systems(found),
        *running.warnings(master, known, settings, found, was.outputs.get("settings", {})),
        *room(settings, found, connection, was, known),
        *(_narrow_login(settings, master, was) if master and fixed and own_stays else ()),
        *(_keypair_of_another(settings, master, was, connection) if master and not ready else ()),
        *([LOGIN_STAYS] if ready and own_stays else ()),
    ):
        pulumi.log.warn(warning)

    settings_known = report.known(settings, found, slaves_own)

    first_boot = FirstBoot(prefix, stack.name(), settings, found, own, state.environment, settings_known)
    # Before anything is declared, and outside of Pulumi's callback, where an error is a traceback.
    first_boot.check()
    if swept and not fixed and not pulumi.runtime.is_dry_run():
        # The user has given them up, and the provider doesn't wait for a server in ERROR to go.
        remove_all(swept["cluster"], connection, which=running.goes_before_a_new_master)
    network = master_network(
        prefix,
        network_id=found.network_id,
        slave_group_id=found.slave_group_id,
        allowed=settings.allowed_cidrs,
        floating_network=found.floating_network,
        fixed=fixed,
    )
    cluster_id = network.group.id
    login = (
        pulumi.Output.secret(ready)
        if ready and not own_stays
        else credential.made(prefix, cluster_id, connection, was, fixed=fixed, consoles=settings.console_logs)
    )
    sweep = Sweep(cluster_id, found.project_id, network.resources)

    server = nodes.master(
        f"{prefix}-master",
        image_id=found.image_id,
        flavor=found.master_flavor,
        volume_gib=found.master_volume_gib,
        key_name=settings.key_name,
        zone=settings.availability_zone,
        port_id=network.port.id,
        cluster_id=cluster_id,
        generation=settings.master_generation,
        user_data=pulumi.Output.secret(login.apply(first_boot.master)),
        fixed=fixed,
        swept_by=sweep,
    )
    kept = was.slaves if fixed else ()
    slaves = {name: nodes.kept_slave(name, sweep, was.power_state(name)).id for name in kept}
    settings_output = report.whole(settings_known, cluster_id=cluster_id, master_address=network.address)
    additions_wanted = report.master_additions(own, settings.users)
    had = was.outputs.get("settings", {}) if fixed else {}
    additions_had = had.get("master", additions_wanted)
    if changed := running.changed_additions(additions_had, additions_wanted):
        pulumi.log.warn(changed)
    settings_output["master"] = additions_had
    # Told of a master that was made, and of no other: Pulumi notes outputs as soon as all in them is known.
    settings_output["masterGeneration"] = server.id.apply(lambda _: settings.master_generation)
    image_stays = not (fixed and master and "image" in master.without(settings, found))
    settings_output["masterUser"] = had.get("masterUser") or (found.master_user if image_stays else "")
    if pulumi.runtime.is_dry_run():
        _show_new_texts(was, slaves_own, None if fixed else own)
    report.export(slaves, network.public_address, settings_output, asdict(payload.release()))


def servers_known(was: stack.Remembered, connection: "Connection") -> tuple[Server, ...]:
    """The cluster's servers, as the cloud has them.

    Raises:
        CloudError: the login is for another project than the cluster's, or the cloud doesn't answer.
    """
    swept = was.resources.get((SWEEP_TYPE, SWEEP))
    if not swept:
        return ()
    require_project(swept["project"], connection)
    return of_cluster(swept["cluster"], connection)


def room(
    settings: Settings, found: Found, connection: "Connection", was: stack.Remembered, known: Iterable[Server]
) -> tuple[str, ...]:
    """What the user should know of the project's quota.

    Raises:
        CloudError: there is no room, or the cloud doesn't tell.
    """
    shares = quota.shares(
        settings,
        found,
        connection,
        master_is_there=any(server.role == nodes.MASTER for server in known),
        slaves=len(was.slaves),
        rules=rules_made(settings.allowed_cidrs, was.resources),
    )
    return quota.judge(shares, settings)


def plain_text(values: Mapping[str, Any], is_secret: Callable[[str], bool]) -> Iterator[str]:
    """The secrets that everybody can read in the stack's file, each with how to encrypt it."""
    for key in in_plain_text(values, is_secret):
        yield f"{key} is in the stack's file in plain text - pulumi config set --secret {key}, which asks for the value"


def unlike_systems(found: Found) -> Iterator[str]:
    """Why the systems of master and slaves may not go together."""
    if why := systems.incompatible(found.master_system, found.slave_system):
        yield (
            f"ecm:image and ecm:slaveImage may not go together - {why} - "
            "take the same system for both, unless the images bring their own HTCondor"
        )


def _narrow_login(settings: Settings, master: Master, was: stack.Remembered) -> Iterator[str]:
    lacks = credential.lacks(was, consoles=settings.console_logs)
    if lacks:
        yield (
            f"the running master keeps its login, which has no rule for {credential.listed(lacks)} - the cloud refuses "
            f"these calls of the controller's, and it logs so - {running.anew(master.generation)}; its queue is lost"
        )


def _keypair_of_another(
    settings: Settings, master: Master, was: stack.Remembered, connection: "Connection"
) -> Iterator[str]:
    # Whoever made the master had that keypair then.
    if master.key_name not in ("", settings.key_name) and credential.is_anothers(was, connection):
        yield (
            f"ecm:keyName is {settings.key_name}, of your keypairs - slaves are made by the master's login, which is "
            "another user's, and get that user's keypair of this name: without one no slave can be made - "
            f"pulumi config set ecm:keyName {master.key_name}, and have a keypair of that name yourself"
        )


def _show_new_texts(was: stack.Remembered, slaves_own: boot.Additions, masters_own: boot.Additions | None) -> None:
    had = was.outputs.get("settings", {})
    for role, own in (("slave", slaves_own), ("master", masters_own)):
        for text in report.new_texts(role, own, had.get(role, {})) if own else ():
            pulumi.log.info(text)


@dataclass(frozen=True, slots=True)
class Change:
    """Slaves to make, by name with their user-data, and names of slaves to remove."""

    create: Mapping[str, str]
    remove: frozenset[str]
    fingerprint: str = ""
    """Of the settings that the new ones are made from."""
    keep: Mapping[str, str] = field(default_factory=dict)
    """The others that the state has, by name with their servers' ids: they are told of in the outputs, no more."""


async def change_slaves(change: Change, template: report.SlaveTemplate) -> None:
    """Declares the new slaves, and nothing else.

    The update that runs this is targeted at those that it makes and at those that it removes: what is targeted and not
    declared goes, and what isn't targeted isn't touched, be it another slave or the master. The other outputs are
    re-exported as they were.

    Raises:
        SettingsError: they can't be read.
    """
    was = stack.last_outputs()
    master_ip, settings, release = was["masterIp"], was["settings"], was["controller"]
    if not isinstance(unwrap_rpc_secret(release["archive"]), str):
        # So Pulumi gives a secret that it can't decrypt; exported so, it would be lost.
        raise SettingsError(
            "the stack's secrets can't be decrypted - its backend doesn't do so - see to that: nothing was changed"
        )
    sweep = declared()
    made = {}
    for name, data in change.create.items():
        made[name] = nodes.new_slave(name, template, change.fingerprint, data, sweep).id
        # Has what is declared on its way to the cloud: else the first would wait until all are declared.
        await asyncio.sleep(0)
    report.export({**change.keep, **made}, master_ip, settings, release)
