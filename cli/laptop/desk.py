"""The user's machine: its ways to the cloud, to Pulumi and to the master. Commands get it as `context.obj`."""

import os
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import typer

from cli.errors import CommandError
from cli.laptop.pulumi import Pulumi
from cli.laptop.ssh import CONFIG, Ssh
from cloudinit import systems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from openstack.connection import Connection


def connect() -> "Connection":
    """A connection to the cloud by the user's login; see `cluster.login`."""
    from cluster import login as cloud  # noqa: PLC0415 - it brings all of openstacksdk, which few commands need

    return cloud.connect()


@dataclass(slots=True)
class Desk:
    """What a command reaches from here."""

    pulumi: Pulumi
    master: Ssh
    connect: "Callable[[], Connection]" = connect

    @classmethod
    def of(cls, stack: str, host: str) -> "Desk":
        """Both may be empty: the selected stack, and its master."""
        pulumi = Pulumi(stack)
        outputs = cache(pulumi.outputs)
        return cls(pulumi, Ssh(cache(partial(address, pulumi, outputs, host)), cache(partial(key_name, outputs, host))))

    def forward(self, arguments: list[str], *, terminal: bool) -> int:
        """Runs `ecm ARGUMENTS…` on the master; see `cli.place.Elsewhere`."""
        return self.master.forward(arguments, terminal=terminal)

    def wait_for_master(self) -> None:
        """Waits until the controller says something; see `cli.place.Elsewhere`."""
        self.master.wait()


def address(pulumi: Pulumi, outputs: "Callable[[], Mapping[str, Any]]", host: str) -> str:
    """Where ssh finds the master: what the user says, else by the stack's outputs.

    Raises:
        CommandError: there is no master (yet).
    """
    if host:
        return host
    told = outputs()
    ip = told.get("masterIp")
    if not ip:
        raise CommandError(
            f"the stack {pulumi.stack()} has no master - it isn't up - pulumi up, or --host USER@ADDRESS"
        )
    if CONFIG in os.environ:
        return str(ip)
    account = told.get("settings", {}).get("masterUser") or _guessed(pulumi)
    return f"{account}@{ip}" if account else str(ip)


def key_name(outputs: "Callable[[], Mapping[str, Any]]", host: str) -> str:
    """The cluster's keypair; empty where ssh's own configuration is to say which key it takes."""
    return (
        "" if host or CONFIG in os.environ else str(outputs().get("settings", {}).get("slave", {}).get("keyName", ""))
    )


def _guessed(pulumi: Pulumi) -> str:
    """The master's account, of a stack that was last updated by a version that didn't note it."""
    values = pulumi.config()
    return systems.account(*(values[key].text for key in ("ecm:os", "ecm:image") if key in values))


def desk(context: typer.Context) -> Desk:
    """The desk that `cli.main` or a test has set up."""
    found: Desk = context.obj
    return found
