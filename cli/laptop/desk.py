"""The user's machine: its ways to the cloud, to Pulumi and to the master. Commands get it as `context.obj`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from cli.laptop.pulumi import Pulumi
from cluster import cloud

if TYPE_CHECKING:
    from collections.abc import Callable

    from openstack.connection import Connection


@dataclass
class Desk:
    """What a command reaches from here."""

    pulumi: Pulumi = field(default_factory=Pulumi)
    connect: "Callable[[], Connection]" = cloud.connect


def desk(context: typer.Context) -> Desk:
    """The desk that `cli.main` or a test has set up."""
    found: Desk = context.obj
    return found
