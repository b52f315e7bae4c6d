"""Whether the project's quota has room for the cluster, asked before anything is made."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors

from cluster.cloud import Found
from cluster.errors import CloudError
from cluster.login import translated
from cluster.settings import Settings

if TYPE_CHECKING:
    from openstack.connection import Connection


@dataclass(frozen=True, slots=True)
class Share:
    """One limit of the project, and what the cluster will take of it beyond what is used."""

    what: str
    limit: int
    """Negative for none."""
    used: int
    at_first: int
    at_most: int

    @property
    def left(self) -> int:
        """How much more there may be."""
        return max(0, self.limit - self.used)


def shares(  # noqa: PLR0913 - what is there already, all by name
    settings: Settings,
    found: Found,
    connection: "Connection",
    *,
    master_is_there: bool,
    slaves: int,
    rules: int,
) -> list[Share]:
    """The limits that the cluster comes up against. What the cloud doesn't tell is left out.

    Args:
        settings: how many slaves there are to be.
        found: what they are made of.
        connection: the user's login.
        master_is_there: whether the master is among what is used.
        slaves: how many slaves are.
        rules: how many rules are to be made.

    Raises:
        CloudError: the quota can't be read, or there is no place for boot volumes.
    """
    masters = 0 if master_is_there else 1
    # A cluster that is there lives with what there is.
    first = 0 if master_is_there else max(0, settings.min_slaves - slaves)
    most = max(0, settings.max_slaves - slaves)

    def share(what: str, limit: int | None, used: int | None, fixed: int, of_slave: int) -> Share:
        return Share(
            what,
            -1 if limit is None else limit,
            used or 0,
            at_first=fixed + first * of_slave,
            at_most=fixed + most * of_slave,
        )

    large, small = found.master_flavor, found.slave_flavor
    with translated():
        limits = connection.compute.get_limits().absolute
        network = _network_details(found.project_id, connection)
        listed = [
            share("instances", limits.instances, limits.instances_used, masters, 1),
            share("cores", limits.total_cores, limits.total_cores_used, masters * large.vcpus, small.vcpus),
            share("MiB of RAM", limits.total_ram, limits.total_ram_used, masters * large.ram_mib, small.ram_mib),
        ]
        for what, fixed, of_slave in (
            ("ports", masters, 1),
            ("floating_ips", masters if found.floating_network else 0, 0),
            ("security_groups", masters, 0),
            ("security_group_rules", rules, 0),
        ):
            if detail := getattr(network, what, None):
                used = int(detail["used"]) + int(detail.get("reserved", 0))
                listed.append(share(what.replace("_", " "), int(detail["limit"]), used, fixed, of_slave))
        if found.master_volume_gib or found.slave_volume_gib:
            volumes = _volume_limits(connection)
            big, little = masters * (found.master_volume_gib or 0), found.slave_volume_gib or 0
            listed += [
                share("volumes", volumes.max_total_volumes, volumes.total_volumes_used, min(big, 1), min(little, 1)),
                share("GiB of volumes", volumes.max_total_volume_gigabytes, volumes.total_gigabytes_used, big, little),
            ]
    return listed


def judge(listed: Iterable[Share], settings: Settings) -> tuple[str, ...]:
    """What the user should know before the update goes on.

    Raises:
        CloudError: not even the master and the minimum of slaves fit.
    """
    limited = [share for share in listed if share.limit >= 0]
    lacking = [s for s in limited if s.at_first > s.left]
    if lacking:
        parts = "; ".join(f"{s.what}: {s.at_first} needed, {s.left} of {s.limit} left" for s in lacking)
        raise CloudError(
            f"the project's quota has no room for the master and {settings.min_slaves} slaves - {parts} - "
            "delete what isn't needed, take smaller flavors, a lower minSlaves or fewer allowedCidrs, "
            "or ask the cloud's operators for more"
        )
    tight = [s for s in limited if s.at_most > s.left]
    if not tight:
        return ()
    parts = "; ".join(f"{s.what}: {s.at_most} needed, {s.left} of {s.limit} left" for s in tight)
    return (f"the project's quota has no room for all of maxSlaves {settings.max_slaves} - {parts} - fewer will come",)


def _network_details(project_id: str, connection: "Connection") -> Any:  # noqa: ANN401 - openstacksdk's QuotaDetails, or none
    # Not every cloud has the extension, nor tells ordinary users.
    with suppress(sdk_errors.NotFoundException, sdk_errors.ForbiddenException):
        return connection.network.get_quota(project_id, details=True)
    return None


def _volume_limits(connection: "Connection") -> Any:  # noqa: ANN401 - openstacksdk's AbsoluteLimit
    try:
        return connection.block_storage.get_limits().absolute
    except (auth_errors.EndpointNotFound, sdk_errors.NotSupported):
        raise CloudError(
            "ecm:bootVolumeGiB is set - the cloud has no volumes - unset it, and take flavors that have a disk"
        ) from None
