"""A stack like a cluster's, without its master: what the controller's updates need, and nothing that boots."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi.automation as auto

from bench.rig import openstack as stand_in
from cloudinit import payload
from cluster import nodes, report
from cluster.cloud import Flavor
from cluster.report import Shared, SlaveTemplate
from cluster.stack import remembered
from cluster.sweep import Sweep
from controller.apply import user_data

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "organization/ecm/bench"
CLUSTER_ID = "bench-cluster"
MASTER = "10.77.0.5"


def settings(**changes: Any) -> Shared:  # noqa: ANN401 - any setting
    """Those of a cluster on the stand-in."""
    template = SlaveTemplate(
        cluster_id=CLUSTER_ID,
        image_id=stand_in.IMAGE,
        flavor=Flavor(stand_in.FLAVOR, "small", 1, 1024, 4),
        network_id=stand_in.NETWORK,
        security_group="default",
        key_name="key",
    )
    usual = {
        "min_slaves": 0,
        "max_slaves": 2000,
        "idle_time": 600,
        "waiting_jobs_threshold": 0,
        "waiting_jobs_time": 60,
        "join_timeout": 600,
        "poll_interval": 3,
        "master_address": MASTER,
        "slave": template,
    }
    return Shared(**usual | changes)


def settings_of(connection: "Connection", image: str, flavor: str) -> Shared:
    """Those of a cluster on a real cloud: its first network and key."""
    size = connection.compute.find_flavor(flavor, ignore_missing=False)
    template = settings().slave.model_copy(
        update={
            "image_id": connection.image.find_image(image, ignore_missing=False).id,
            "flavor": Flavor(size.id, size.name, size.vcpus, size.ram, size.disk),
            "network_id": next(n.id for n in connection.network.networks() if not n.is_router_external),
            "key_name": next(iter(connection.compute.keypairs())).name,
        }
    )
    return settings(slave=template)


def up(settings: Shared, work: Path) -> None:
    """The user's own `pulumi up`: makes the stack, or declares what it has; as `cluster.program`, without a master."""

    def program() -> None:
        was = remembered()
        sweep = Sweep(settings.slave.cluster_id, stand_in.PROJECT, [])
        kept = {name: nodes.kept_slave(name, sweep, was.power_state(name)).id for name in was.slaves}
        release = payload.release()
        shared = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
        report.export(kept, MASTER, shared, {"digest": release.digest, "archive": release.archive})

    work.mkdir(parents=True, exist_ok=True)
    options = auto.LocalWorkspaceOptions(
        work_dir=str(work), project_settings=auto.ProjectSettings(name="ecm", runtime="python")
    )
    stack = auto.create_or_select_stack(NAME, project_name="ecm", program=program, opts=options)
    stack.up(color="never")


def release() -> str:
    """The digest that the stack names."""
    return payload.release().digest


def names(count: int, prefix: str) -> list[str]:
    return [f"{prefix}{number:04}" for number in range(count)]


def slaves(names: Sequence[str], settings: Shared, key: bytes = b"a key of no pool") -> dict[str, str]:
    """Names and user-data of new slaves, as the controller makes them."""
    return user_data(names, settings, key, datetime.now(UTC))
