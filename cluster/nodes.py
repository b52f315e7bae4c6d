"""The servers: the master, and slaves, new or kept."""

import pulumi
from pulumi_openstack import compute

from cluster.cloud import Flavor
from cluster.report import SlaveTemplate

CLUSTER_TAG = "ecm-cluster"
ROLE_TAG = "ecm-role"
MADE_FROM_TAG = "ecm-made-from"
"""Fingerprint of the settings that a slave was made from."""
SLAVE_TYPE = "openstack:compute/instance:Instance"
MASTER = "master"
CREATE_TIMEOUT = "5m"
"""The provider's own 30 minutes would hold the stack's lock, and with it all scaling, for as long."""

_TIMEOUTS = pulumi.CustomTimeouts(create=CREATE_TIMEOUT, delete=CREATE_TIMEOUT)


def master(  # noqa: PLR0913 - a server has that many parts, all by name
    name: str,
    *,
    image_id: str,
    flavor: Flavor,
    key_name: str,
    port_id: pulumi.Output[str],
    cluster_id: pulumi.Output[str],
    user_data: pulumi.Output[str],
) -> compute.Instance:
    """Declares the master. Once it is there, only a new `masterFlavor` changes it: what would replace it is ignored."""
    return compute.Instance(
        MASTER,
        name=name,
        image_id=image_id,
        flavor_id=flavor.id,
        key_pair=key_name,
        networks=[compute.InstanceNetworkArgs(port=port_id)],
        metadata={CLUSTER_TAG: cluster_id, ROLE_TAG: MASTER},
        user_data=user_data,
        opts=pulumi.ResourceOptions(
            custom_timeouts=_TIMEOUTS,
            ignore_changes=["userData", "imageId", "imageName", "keyPair", "networks", "securityGroups"],
        ),
    )


def new_slave(name: str, template: SlaveTemplate, fingerprint: str, user_data: str) -> compute.Instance:
    """Declares a slave that is to be made; one name serves as resource, server, host and HTCondor machine."""
    return compute.Instance(
        name,
        name=name,
        image_id=template.image_id,
        flavor_id=template.flavor.id,
        key_pair=template.key_name,
        networks=[compute.InstanceNetworkArgs(uuid=template.network_id)],
        security_groups=[template.security_group],
        metadata={CLUSTER_TAG: template.cluster_id, ROLE_TAG: "slave", MADE_FROM_TAG: fingerprint},
        user_data=pulumi.Output.secret(user_data),
        opts=pulumi.ResourceOptions(custom_timeouts=_TIMEOUTS),
    )


def kept_slave(name: str) -> compute.Instance:
    """Declares a slave as the state has it: new settings make new slaves, they change none."""
    return compute.Instance(name, opts=pulumi.ResourceOptions(custom_timeouts=_TIMEOUTS, ignore_changes=["*"]))
