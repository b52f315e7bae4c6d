"""The stack's outputs: what the stack tells its users, and the running controller.

`settings` is read back by the controller: this is how a new `maxSlaves` reaches it. It holds no secret.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from textwrap import indent
from typing import Any, Self

import pulumi
from pulumi.runtime import rpc
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from cloudinit.boot import Additions, SlaveBoot
from cloudinit.systems import SYSTEMS
from cluster.cloud import Flavor, Found
from cluster.errors import SettingsError
from cluster.offer import X86_64, Offer, offer
from cluster.settings import Settings


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class SlaveTemplate(_Output):
    """All that makes a slave, but for its name and its token."""

    cluster_id: str
    image_id: str
    flavor: Flavor
    network_id: str
    security_group: str
    key_name: str
    availability_zone: str | None = None
    volume_gib: int | None = None
    """GiB of the boot volume; None where the flavor's own disk serves."""
    system: str = "debian-13"
    docker: bool = True
    packages: tuple[str, ...] = ()
    condor_config: str = ""
    script: str = ""
    orphan_time: int = 3600
    proxy: str | None = None


class Shared(_Output):
    """What the controller needs to know of the settings, and of what they turned into. Times in seconds."""

    min_slaves: int
    max_slaves: int
    jobs_per_slave: int | None = None
    idle_time: int
    spare_slots: int = 0
    waiting_jobs_threshold: int
    waiting_jobs_time: int
    join_timeout: int
    poll_interval: int
    console_logs: bool = False
    master_address: str
    slave_architecture: str = X86_64
    slave: SlaveTemplate

    @property
    def offer(self) -> Offer:
        """What a new slave will offer to jobs."""
        flavor = self.slave.flavor
        return offer(
            vcpus=flavor.vcpus,
            ram_mib=flavor.ram_mib,
            disk_gib=self.slave.volume_gib or flavor.disk_gib,
            jobs_per_slave=self.jobs_per_slave,
            docker=self.slave.docker,
            apptainer=SYSTEMS[self.slave.system].apptainer,
            architecture=self.slave_architecture,
        )

    def boot(self, name: str, token: str) -> SlaveBoot:
        """What a new slave of this name boots with, and with this token."""
        offered, slave = self.offer, self.slave
        return SlaveBoot(
            name=name,
            system=SYSTEMS[slave.system],
            own=Additions(slave.packages, slave.condor_config, slave.script),
            master_address=self.master_address,
            token=token,
            cpus=offered.cpus,
            memory_mib=offered.memory_mib,
            jobs=offered.jobs,
            docker=slave.docker,
            orphan_time=slave.orphan_time,
            proxy=slave.proxy,
        )

    @property
    def fingerprint(self) -> str:
        """Of all that a slave is made from: a slave with another one was made from other settings."""
        made_from = self.model_dump_json(include={"slave", "jobs_per_slave", "master_address"})
        return hashlib.sha256(made_from.encode()).hexdigest()[:12]

    @classmethod
    def parse(cls, output: Mapping[str, Any]) -> Self:
        """The `settings` output of a stack.

        Raises:
            SettingsError: it isn't one that this version understands.
        """
        try:
            # Numbers in Pulumi's state are floats.
            return cls.model_validate(output)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"the stack's output `settings` can't be used - {where}: {first['msg']} - "
                "run `pulumi up` with this version"
            ) from None


def known(settings: Settings, found: Found, own: Additions) -> Shared:
    """What to report of the settings, as far as it is known before anything is made: no cluster's id, no address.

    Args:
        settings: what is wanted.
        found: what the settings' names stand for.
        own: what the user adds to slaves.
    """
    return Shared(
        **{name: getattr(settings, name) for name in Shared.model_fields if name in Settings.model_fields},
        master_address="",
        slave_architecture=found.slave_architecture,
        slave=SlaveTemplate(
            cluster_id="",
            image_id=found.slave_image_id,
            flavor=found.slave_flavor,
            network_id=found.network_id,
            security_group=settings.slave_security_group,
            key_name=settings.key_name,
            availability_zone=settings.availability_zone,
            volume_gib=found.slave_volume_gib,
            system=found.slave_system.name,
            docker=settings.docker,
            packages=own.packages,
            condor_config=own.condor_config,
            script=own.script,
            orphan_time=settings.orphan_time,
            proxy=settings.proxy,
        ),
    )


def whole(known: Shared, *, cluster_id: pulumi.Output[str], master_address: pulumi.Output[str]) -> dict[str, Any]:
    """The report with what only the cloud tells.

    A preview shows the rest, the user's script and all, and what of it changes, line by line.
    """
    told = known.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**told, "masterAddress": master_address, "slave": {**told["slave"], "clusterId": cluster_id}}


def master_additions(own: Additions, users: Iterable[str]) -> dict[str, Any]:
    """What the master's first boot adds, for people to read."""
    return {
        "packages": list(own.packages),
        "condorConfig": own.condor_config,
        "script": own.script,
        "users": sorted(users),
    }


def new_texts(role: str, own: Additions, had: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a role's additions that the report didn't have, line by line.

    Pulumi shows what of a text changes in that way, too, but of a new one three lines in one.
    """
    for setting, key, text in (
        ("CondorConfig", "condorConfig", own.condor_config),
        ("Script", "script", own.script),
    ):
        if text and not had.get(key):
            yield f"new is ecm:{role}{setting}:\n{indent(text, '    + ')}"


def export(
    slaves: Mapping[str, pulumi.Input[str]],
    master_ip: pulumi.Input[str],
    settings: pulumi.Input[Any],
    release: Mapping[str, Any],
) -> None:
    """Exports all outputs. An update replaces a stack's outputs as a whole, so every caller exports them all.

    Slaves are given by name with their ids. The release's archive is no secret, but as one it isn't shown.
    """
    pulumi.export("slaves", [{"name": name, "id": server_id} for name, server_id in sorted(slaves.items())])
    pulumi.export("slaveCount", len(slaves))
    pulumi.export("masterIp", master_ip)
    pulumi.export("settings", settings)
    pulumi.export("controller", {**release, "archive": pulumi.Output.secret(rpc.unwrap_rpc_secret(release["archive"]))})
