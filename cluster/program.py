"""The two programs of the one stack: the whole cluster, and a change of its slaves.

The user's `pulumi up` runs the first, the controller the second. Both read the slaves from the state, inside the
update. The first declares exactly those; only the second adds and removes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from cloudinit import boot, payload
from cluster import nodes, report, stack
from cluster.cloud import Found
from cluster.credential import master_credential
from cluster.errors import SettingsError
from cluster.network import master_network
from cluster.settings import Settings

PULUMI_VERSION = "3.259.0"
PROVIDER_VERSION = "5.5.3"


def cluster(settings: Settings, found: Found) -> None:
    """Declares everything: network, credential, master, the slaves that the state has; exports the outputs.

    Raises:
        SettingsError: the master would have no way to the state.
    """
    prefix = f"ecm-{pulumi.get_stack()}"
    state = state_login(settings, os.environ)
    network = master_network(prefix, found.network_id, found.slave_group_id, settings.floating_network)
    credential = master_credential(f"{prefix}-master")
    wheel_name, wheel = payload.wheel()

    def user_data(login: list[str]) -> str:
        environment = {
            "ECM_STACK": f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}",
            **state,
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": found.auth_url,
            "OS_APPLICATION_CREDENTIAL_ID": login[0],
            "OS_APPLICATION_CREDENTIAL_SECRET": login[1],
            "OS_REGION_NAME": found.region,
            "OS_INTERFACE": settings.endpoints,
            "OS_ENDPOINT_TYPE": settings.endpoints,
        }
        return boot.master(
            boot.MasterBoot(
                name=f"{prefix}-master",
                environment=environment,
                wheel_name=wheel_name,
                wheel=wheel,
                requirements=payload.requirements(),
                pulumi_version=PULUMI_VERSION,
                provider_version=PROVIDER_VERSION,
            )
        )

    nodes.master(
        f"{prefix}-master",
        image_id=found.image_id,
        flavor=found.master_flavor,
        key_name=settings.key_name,
        port_id=network.port.id,
        cluster_id=network.group.id,
        user_data=pulumi.Output.secret(pulumi.Output.all(credential.id, credential.secret).apply(user_data)),
    )
    slaves = [nodes.kept_slave(name) for name in stack.remembered().slaves]
    settings_output = report.shared(settings, found, cluster_id=network.group.id, master_address=network.address)
    report.export(
        slaves, network.public_address, settings_output.apply(lambda s: s.model_dump(by_alias=True, exclude_none=True))
    )


@dataclass(frozen=True, slots=True)
class Change:
    """Slaves to make, by name with their user-data, and names of slaves to remove."""

    create: Mapping[str, str]
    remove: frozenset[str]
    fingerprint: str = ""
    """Of the settings that the new ones are made from."""


def change_slaves(change: Change, template: report.SlaveTemplate) -> None:
    """Declares the slaves that the state has, less those to remove, and the new ones.

    The other outputs are re-exported as they were. The update that runs this is targeted at slaves: the master and its
    network aren't declared, and not touched.
    """
    was = stack.remembered()
    kept = [nodes.kept_slave(name) for name in was.slaves if name not in change.remove]
    made = [
        nodes.new_slave(name, template, change.fingerprint, data)
        for name, data in change.create.items()
        if name not in was.slaves
    ]
    report.export([*kept, *made], was.outputs["masterIp"], was.outputs["settings"])


def state_login(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """How the master reaches the stack's state: the backend's URL, and the passphrase of its secrets where it has one.

    Args:
        settings: `masterBackendUrl` goes first.
        environment: of `pulumi up`; ECM_MASTER_BACKEND_URL keeps a password out of the stack's file,
            PULUMI_BACKEND_URL is what `pulumi up` itself uses.

    Raises:
        SettingsError: no URL is known, or it is one that only this machine reaches.
    """
    given = settings.master_backend_url.get_secret_value() if settings.master_backend_url else None
    url = given or environment.get("ECM_MASTER_BACKEND_URL") or environment.get("PULUMI_BACKEND_URL")
    if not url or url.startswith("file:"):
        why = "a file:// backend is on this machine only" if url else "no URL is set"
        raise SettingsError(
            f"the master has no way to the stack's state - {why}"
            " - keep the state in PostgreSQL or an object store and set ecm:masterBackendUrl or ECM_MASTER_BACKEND_URL"
        )
    login = {"PULUMI_BACKEND_URL": url}
    if phrase := environment.get("PULUMI_CONFIG_PASSPHRASE"):
        login["PULUMI_CONFIG_PASSPHRASE"] = phrase
    elif file := environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        login["PULUMI_CONFIG_PASSPHRASE"] = Path(file).read_text().strip()
    return login
