"""The end of all servers at once: what `pulumi destroy` runs in place of deleting them one by one.

Master and slaves are `deleted_with` this resource: a destroy drops them from the state and comes here. Every server
with the cluster's tag is removed here, also one that the state doesn't know because a crash cut its create short, or
one that the provider would not wait for; until none is left, the master included, which alone could make more. What
the servers stand on is a dependency of this resource: it goes after them, and not at all when they don't go.
"""

import logging
from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi import dynamic
from pulumi.resource import DependencyResource

SWEEP = "sweep"
SWEEP_TYPE = "pulumi-python:dynamic/ecm:Sweep"


class Sweeper(dynamic.ResourceProvider):
    """Makes nothing; its end is the sweep.

    The state of every stack names this class by module and name, and the resource by its type: they can't be renamed,
    or the next `pulumi up` would remove the old resource, and with it every server. Nothing else of it is kept there.
    """

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """The cluster's id is the resource's."""
        return dynamic.CreateResult(str(props["cluster"]), props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """What is swept is the cluster as it was declared last."""
        return dynamic.UpdateResult(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Removes every server with the cluster's tag, by the login of whoever runs `pulumi destroy`.

        Raises:
            CloudError: some are left, a machine of the user's is in the master's security group, the login is for
                another project, or the cloud doesn't answer.
        """
        # Here, because each `pulumi up` loads this module in a process of its own, and OpenStack's library is slow to.
        from cluster import inuse, login, servers  # noqa: PLC0415

        # gRPC would print a traceback beside the one line.
        logging.getLogger("grpc").setLevel(logging.CRITICAL + 1)
        connection = login.connect()
        # In another project everything looks as if it had gone already.
        login.require_project(str(props["project"]), connection)
        servers.remove_all(str(props["cluster"]), connection)
        # A cluster's id is that of its master's security group.
        inuse.require_unused(str(props["cluster"]), connection)


class Sweep(dynamic.Resource, module="ecm", name="Sweep"):
    """Declares the sweep of one cluster."""

    def __init__(self, cluster_id: pulumi.Input[str], project_id: str, before: Sequence[pulumi.Resource]) -> None:
        """Declares it.

        Args:
            cluster_id: the tag of this cluster's servers.
            project_id: where they are.
            before: what is to be there as long as servers are.
        """
        super().__init__(
            Sweeper(),
            SWEEP,
            {"cluster": cluster_id, "project": project_id},
            pulumi.ResourceOptions(depends_on=before),
        )


def declared() -> pulumi.Resource:
    """The sweep that the stack has, for a program that doesn't declare it."""
    return DependencyResource(f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{SWEEP_TYPE}::{SWEEP}")
