"""The master that is there already: whether it works, and which new settings it doesn't get.

Nothing but the user's word replaces it, and `masterGeneration` is that word: as long as the state's is the settings',
the master stays what it was made as.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from cluster.cloud import Found
from cluster.errors import MasterError
from cluster.nodes import GENERATION_TAG, MASTER, SLAVE_TYPE
from cluster.servers import Server
from cluster.settings import Settings
from cluster.stack import Remembered

PORT_TYPE = "openstack:networking/port:Port"
HALTED = ("SHUTOFF", "STOPPED", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE")


@dataclass(frozen=True, slots=True)
class Master:
    """What the running master was made as."""

    generation: int
    image_id: str
    flavor_id: str
    key_name: str
    zone: str
    volume_gib: int | None
    network_id: str

    @classmethod
    def remembered(cls, was: Remembered) -> Self | None:
        """The master of the state; None when there is none."""
        server = was.resources.get((SLAVE_TYPE, MASTER))
        if server is None:
            return None
        disk: Mapping[str, Any] = next(iter(server.get("blockDevices") or ()), {})
        return cls(
            generation=int((server.get("metadata") or {}).get(GENERATION_TAG, 1)),
            # Booted from a volume, a server has no image of its own.
            image_id=disk.get("uuid") or server.get("imageId", ""),
            flavor_id=server.get("flavorId", ""),
            key_name=server.get("keyPair", ""),
            zone=server.get("availabilityZone", ""),
            volume_gib=int(disk["volumeSize"]) if disk.get("volumeSize") else None,
            network_id=was.resources.get((PORT_TYPE, MASTER), {}).get("networkId", ""),
        )

    def without(self, settings: Settings, found: Found) -> tuple[str, ...]:
        """The settings whose new value this master doesn't have."""
        pairs: dict[str, tuple[Any, Any]] = {
            "image": (self.image_id, found.image_id),
            "masterFlavor": (self.flavor_id, found.master_flavor.id),
            "keyName": (self.key_name, settings.key_name),
            "network": (self.network_id, found.network_id),
            "availabilityZone": (self.zone, settings.availability_zone or self.zone),
            "bootVolumeGiB": (self.volume_gib, found.master_volume_gib),
        }
        # A create that failed has left no value of some.
        return tuple(name for name, (has, wanted) in pairs.items() if has not in ("", wanted))


def anew(generation: int) -> str:
    """What replaces a master of this generation."""
    return f"pulumi config set ecm:masterGeneration {generation + 1} && pulumi up makes a new one"


def is_broken_master(server: Server) -> bool:
    """Whether this is a master that Nova has given up."""
    return server.role == MASTER and server.status == "ERROR"


def goes_before_a_new_master(server: Server) -> bool:
    """Whether another generation has no use for it: a broken master, or a slave, which knows the old key only."""
    return server.role != MASTER or is_broken_master(server)


def warnings(
    master: Master | None,
    servers: Iterable[Server],
    settings: Settings,
    found: Found,
    told: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[str, ...]:
    """What the user should know of the master before the update goes on.

    Args:
        master: as the state has it.
        servers: all of this cluster's, as the cloud has them.
        settings: what is wanted.
        found: what the settings' names stand for.
        told: the stack's output `settings`, which outlives a master that a refresh takes out of the state.

    Raises:
        MasterError: its server is lost or broken, or one is there that the state doesn't know.
    """
    there = [server for server in servers if server.role == MASTER]
    if master is None:
        if there:
            ids = " ".join(server.id for server in there)
            raise MasterError(
                "an interrupted update has left a master that the state doesn't know - a second one would collide with "
                f"it - openstack server delete --wait {ids}, then pulumi up"
            )
        return _lost(told, settings)
    if master.generation != settings.master_generation:
        return (_replaced(_word(master.generation, settings)),)
    new = anew(master.generation)
    if not there:
        raise MasterError(f"the master's server is gone - the state has it, the cloud hasn't - {new}")
    said = []
    for server in there:
        if is_broken_master(server):
            why = server.fault or "the cloud doesn't say why"
            raise MasterError(f"the master's server {server.id} is in ERROR - {why} - {new}")
        if server.status in HALTED:
            said.append(
                f"the master's server is {server.status} - no job starts, no slave comes or goes "
                f"- openstack server show {server.id}, and openstack server start {server.id}"
            )
    if unlike := master.without(settings, found):
        named = ", ".join(f"ecm:{name}" for name in unlike)
        said.append(f"the running master keeps what it was made with - {named} changed - {new}; its queue is lost")
    return tuple(said)


def _lost(told: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """The same where the state has no master, though it had one: an update that has made one tells its settings."""
    if not told:
        return ()
    lost = "the state has no master any more"
    if "masterGeneration" not in told:
        return (_replaced(lost),)
    if (was := int(told["masterGeneration"])) != settings.master_generation:
        return (_replaced(_word(was, settings)),)
    raise MasterError(
        f"{lost} - a refresh found its server gone, or a destroy got no further - its queue is lost, and the slaves "
        f"know its key only - {anew(was)}, pulumi destroy ends all"
    )


def _word(was: int, settings: Settings) -> str:
    return f"ecm:masterGeneration was {was} and is {settings.master_generation}"


def _replaced(why: str) -> str:
    return f"the master is replaced - {why} - the jobs in its queue are lost, and the slaves are made anew"


def changed_additions(had: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What of the user's own the running master doesn't get, as its first boot is over; empty when it has all."""
    changed = [key for key in wanted if had.get(key) != wanted[key]]
    names = ["ecm:users" if key == "users" else f"ecm:master{key[0].upper()}{key[1:]}" for key in changed]
    if not names:
        return ""
    return (
        f"{', '.join(names)} changed - the running master has had its first boot, and stays as it is - "
        "change it by hand too, or replace the master (docs/operations.md)"
    )
