"""The servers: the master, and slaves, new or kept."""

from inspect import signature

import pulumi
from pulumi_openstack import compute
from pydantic.alias_generators import to_camel

from cluster.cloud import Flavor
from cluster.report import SlaveTemplate
from cluster.servers import CLUSTER_TAG, ROLE_TAG

MADE_FROM_TAG = "ecm-made-from"
"""Fingerprint of the settings that a slave was made from."""
GENERATION_TAG = "ecm-generation"
SLAVE_TYPE = "openstack:compute/instance:Instance"
MASTER = "master"
CREATE_TIMEOUT = "5m"
"""The provider's own 30 minutes would hold the stack's lock, and with it all scaling, for as long."""

POWER_STATE = "active"
TAKEN_POWER_STATES = (POWER_STATE, "shutoff", "shelved_offloaded", "paused")
"""What the provider's check takes; it reads others, too."""

_ALL_BUT_POWER_STATE = [
    to_camel(name) for name in signature(compute.InstanceArgs).parameters if name not in ("power_state", "self")
]
_TIMEOUTS = pulumi.CustomTimeouts(create=CREATE_TIMEOUT, update=CREATE_TIMEOUT, delete=CREATE_TIMEOUT)


def master(  # noqa: PLR0913 - a server has that many parts, all by name
    name: str,
    *,
    image_id: str,
    flavor: Flavor,
    volume_gib: int | None,
    key_name: str,
    zone: str | None,
    port_id: pulumi.Output[str],
    cluster_id: pulumi.Output[str],
    generation: int,
    user_data: pulumi.Output[str],
    fixed: bool,
    swept_by: pulumi.Resource,
) -> compute.Instance:
    """Declares the master.

    Args:
        name: of the server.
        image_id: what it boots.
        flavor: its size.
        volume_gib: size of a boot volume that goes with it; None for the flavor's own disk.
        key_name: whose owner may log in.
        zone: availability zone; None for the cloud's choice.
        port_id: the port that it is reached by.
        cluster_id: the cluster's tag.
        generation: of the settings; another one than the state's makes a new master.
        user_data: base64.
        fixed: whether it is there and stays as it is, whatever the rest says.
        swept_by: what removes all servers at the end.
    """
    return compute.Instance(
        MASTER,
        name=name,
        image_id=None if volume_gib else image_id,
        block_devices=_boot_volume(image_id, volume_gib),
        flavor_id=flavor.id,
        key_pair=key_name,
        availability_zone=zone,
        networks=[compute.InstanceNetworkArgs(port=port_id)],
        metadata={CLUSTER_TAG: cluster_id, ROLE_TAG: MASTER, GENERATION_TAG: str(generation)},
        user_data=user_data,
        opts=pulumi.ResourceOptions(
            custom_timeouts=_TIMEOUTS,
            depends_on=[swept_by],
            deleted_with=swept_by,
            ignore_changes=["*"] if fixed else [],
            # It has one port, which the old one must let go first.
            delete_before_replace=True,
            replace_on_changes=["metadata"],
        ),
    )


def new_slave(
    name: str, template: SlaveTemplate, fingerprint: str, user_data: str, swept_by: pulumi.Resource
) -> compute.Instance:
    """Declares a slave that is to be made; one name serves as resource, server, host and HTCondor machine."""
    return compute.Instance(
        name,
        name=name,
        image_id=None if template.volume_gib else template.image_id,
        block_devices=_boot_volume(template.image_id, template.volume_gib),
        flavor_id=template.flavor.id,
        key_pair=template.key_name,
        availability_zone=template.availability_zone,
        networks=[compute.InstanceNetworkArgs(uuid=template.network_id)],
        security_groups=[template.security_group],
        metadata={CLUSTER_TAG: template.cluster_id, ROLE_TAG: "slave", MADE_FROM_TAG: fingerprint},
        user_data=pulumi.Output.secret(user_data),
        # The default. Pulumi notes in the state what the provider adds by itself, and drops the note at the next
        # `pulumi up`: that would be a write of the whole state for each slave.
        power_state=POWER_STATE,
        opts=pulumi.ResourceOptions(custom_timeouts=_TIMEOUTS, deleted_with=swept_by),
    )


def kept_slave(name: str, swept_by: pulumi.Resource, power_state: str = POWER_STATE) -> compute.Instance:
    """Declares a slave as the state has it: new settings make new slaves, they change none.

    `power_state` is the state's. A refresh notes what it finds, such as `error`, and of that the provider's own check
    doesn't take all: it would end the whole update. There the slave is declared as it was made. To `error` and
    `migrating` the provider then does nothing; one in `build` it waits for, and one that is `shelved` it brings back.
    """
    refused = power_state not in TAKEN_POWER_STATES
    return compute.Instance(
        name,
        power_state=POWER_STATE if refused else None,
        opts=pulumi.ResourceOptions(
            custom_timeouts=_TIMEOUTS, deleted_with=swept_by, ignore_changes=_ALL_BUT_POWER_STATE if refused else ["*"]
        ),
    )


def _boot_volume(image_id: str, gib: int | None) -> list[compute.InstanceBlockDeviceArgs] | None:
    if gib is None:
        return None
    return [
        compute.InstanceBlockDeviceArgs(
            source_type="image",
            uuid=image_id,
            destination_type="volume",
            volume_size=gib,
            boot_index=0,
            delete_on_termination=True,
        )
    ]
