"""The settings: what a user may say in `Pulumi.<stack>.yaml` (namespace `ecm:`), with unit, bounds and default.

They are checked here for themselves; `cluster.cloud` checks them against the cloud.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

from pulumi.runtime import config
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from cluster.errors import SettingsError
from cluster.values import Cidrs, FilePath, Name, Packages, Proxy, System, Users, shown

ECM_NAMES = {
    "FLAVOR_VMS": "slaveFlavor",
    "MAX_VMS": "maxSlaves",
    "MIN_VMS": "minSlaves",
    "JOBS_PER_VM": "jobsPerSlave",
    "IDLE_TIME": "idleTime",
    "KEY_NAME": "keyName",
}
"""ECM's name of a setting, and ours."""


class Settings(BaseModel):
    """What the user wants."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, str_strip_whitespace=True)

    image: Name = Field(description="Image of master and slaves: its name or id.")
    slave_image: Name | None = Field(None, description="Image of the slaves, when it is another one.")
    master_flavor: Name = Field(description="Flavor of the master: its name or id.")
    slave_flavor: Name = Field(description="Flavor of the slaves: its name or id.")
    key_name: Name = Field(description="Keypair whose owner may log in to master and slaves.")
    network: Name | None = Field(None, description="Network of the cluster; needed only where the project has several.")
    floating_network: Name | None = Field(None, description="External network that gives the master a public address.")
    slave_security_group: Name = Field("default", description="Security group of the slaves.")
    allowed_cidrs: Cidrs = Field(
        ("0.0.0.0/0",), description="Where users come from: IPv4 networks in CIDR notation, as a JSON list."
    )
    availability_zone: Name | None = Field(
        None, description="Availability zone of master and slaves; the cloud's choice if unset."
    )
    boot_volume_gib: int | None = Field(
        None,
        alias="bootVolumeGiB",
        ge=1,
        le=16_384,
        description="GiB of a boot volume for the master, and for slaves whose flavor has no disk.",
    )
    master_generation: int = Field(
        1, ge=1, le=1_000_000, description="Another number makes a new master with the present settings."
    )
    application_credential_id: Name | None = Field(
        None, description="A ready application credential for the master; the stack makes one if unset."
    )
    application_credential_secret: SecretStr | None = Field(None, description="The secret of that credential.")

    max_slaves: int = Field(10, ge=0, le=10_000, description="Most slaves there may be at once.")
    min_slaves: int = Field(0, ge=0, le=10_000, description="Slaves that are kept even when there is no job.")
    jobs_per_slave: int | None = Field(
        None, ge=1, le=1024, description="Jobs that a slave runs at once; its VCPUs if unset."
    )
    idle_time: int = Field(600, ge=10, le=604_800, description="Seconds that a slave is idle before it goes.")
    spare_slots: int = Field(
        0, ge=0, le=10_000, description="Slots that are kept free for jobs to come, while any job runs or waits."
    )
    waiting_jobs_threshold: int = Field(
        0, ge=0, le=1_000_000, description="Jobs that may wait without a new slave being made at once."
    )
    waiting_jobs_time: int = Field(
        60, ge=0, le=86_400, description="Seconds after which a waiting job counts in any case."
    )
    join_timeout: int = Field(
        600, ge=60, le=7_200, description="Seconds from a slave's creation to its joining the pool."
    )
    poll_interval: int = Field(3, ge=1, le=300, description="Seconds between two looks at the queue.")

    os: System | None = Field(None, description="System of the image, where neither its properties nor its name tell.")
    slave_os: System | None = Field(None, description="System of the slaves' image, likewise.")
    docker: bool = Field(default=True, description="Whether slaves run jobs in Docker containers.")
    users: Users = Field({}, description="Accounts to make on the master: name to list of public ssh keys.")
    master_packages: Packages = Field((), description="Packages of the system that the master gets too.")
    slave_packages: Packages = Field((), description="Packages of the system that slaves get too.")
    master_condor_config: FilePath | None = Field(
        None, description="File in the project: HTCondor configuration of the master, read last."
    )
    slave_condor_config: FilePath | None = Field(
        None, description="File in the project: HTCondor configuration of slaves, read last."
    )
    master_script: FilePath | None = Field(
        None, description="File in the project: a script that root runs at the master's first boot."
    )
    slave_script: FilePath | None = Field(
        None, description="File in the project: a script that root runs at a slave's first boot."
    )
    proxy: Proxy | None = Field(None, description="URL of the HTTP proxy by which nodes get packages; none if unset.")
    orphan_time: int = Field(
        3600,
        ge=600,
        le=604_800,
        description="Seconds without a sign of the controller after which a slave takes no more jobs, then powers off.",
    )

    console_logs: bool = Field(
        default=False, description="Whether the master may read the consoles of slaves that fail: docs/security.md."
    )

    endpoints: Literal["public", "internal"] = Field(
        "public", description="Which of the catalogue's endpoints the master uses."
    )
    master_backend_url: SecretStr | None = Field(
        None,
        description="Pulumi's state as the master reaches it, with a login of its own; the same URL as here if unset.",
    )

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.min_slaves > self.max_slaves:
            raise ValueError(
                f"minSlaves is {self.min_slaves} and maxSlaves {self.max_slaves} - no number of slaves "
                "fits both - lower minSlaves or raise maxSlaves"
            )
        return self

    @model_validator(mode="after")
    def _one_image_has_one_system(self) -> Self:
        if self.slave_os and not self.slave_image:
            raise ValueError(
                f"ecm:slaveOs is {self.slave_os} and ecm:slaveImage isn't set - one image has one system - "
                "pulumi config rm ecm:slaveOs, ecm:os is for both, or set ecm:slaveImage too"
            )
        return self

    @model_validator(mode="after")
    def _credential_is_whole(self) -> Self:
        if bool(self.application_credential_id) != bool(self.application_credential_secret):
            raise ValueError(
                "of ecm:applicationCredentialId and ecm:applicationCredentialSecret one is set - a login needs both - "
                "pulumi config set ecm:applicationCredentialId ID, and the secret with --secret"
            )
        return self


def read(values: Mapping[str, Any]) -> Settings:
    """The settings out of a stack's configuration.

    Args:
        values: Pulumi's whole configuration, `namespace:key` to value, as strings; other namespaces are passed over.

    Raises:
        SettingsError: one line for all that is wrong, each with what to do.
    """
    ours = _ours(values)
    try:
        return Settings.model_validate(ours)
    except ValidationError as error:
        raise SettingsError("; ".join(_problems(error))) from None


def problems(values: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a stack's configuration, a line each; the same as `read` says."""
    try:
        Settings.model_validate(_ours(values))
    except ValidationError as error:
        return tuple(_problems(error))
    return ()


def stack_config() -> dict[str, Any]:
    """The whole configuration of the stack that is being updated.

    Pulumi's own `Config` reads one known key at a time, which would let a misspelt one pass.
    """
    return {**config.get_config_env(), **config.CONFIG.get()}


def keys() -> dict[str, str]:
    """Each setting's key with what it says."""
    return {field.alias or name: field.description or "" for name, field in Settings.model_fields.items()}


def secrets() -> frozenset[str]:
    """The keys of the settings that are encrypted, and never shown."""
    return frozenset(f.alias or name for name, f in Settings.model_fields.items() if f.annotation == SecretStr | None)


def in_plain_text(values: Mapping[str, Any], is_secret: Callable[[str], bool]) -> tuple[str, ...]:
    """The keys of secret settings that stand in the stack's file for everybody to read."""
    return tuple(f"ecm:{key}" for key in sorted(secrets()) if f"ecm:{key}" in values and not is_secret(f"ecm:{key}"))


def _ours(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix("ecm:"): value for key, value in values.items() if key.startswith("ecm:")}


def _problems(error: ValidationError) -> list[str]:
    return [_problem(e) for e in error.errors(include_url=False, include_context=False)]


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, of which three entries are read
    key = str(error["loc"][0]) if error["loc"] else ""
    meaning = keys().get(key, "").rstrip(".")
    match error["type"]:
        case "missing":
            return f"ecm:{key} is not set - {meaning} - pulumi config set ecm:{key} VALUE"
        case "extra_forbidden":
            near = [ECM_NAMES[key]] if key in ECM_NAMES else difflib.get_close_matches(key, keys(), n=1)
            meant = f"did you mean ecm:{near[0]}?" if near else f"the settings are: {', '.join(keys())}"
            return f"ecm:{key} is no setting - {meant} - pulumi config rm ecm:{key}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ").replace("ecm:KEY", f"ecm:{key}")
        case "int_parsing" | "int_parsing_size" | "int_from_float" | "int_type":
            wish = "should be a whole number"
        case "bool_parsing" | "bool_type":
            wish = "should be true or false"
        case "string_too_short":
            wish = "should not be empty"
        case _:
            wish = str(error["msg"]).removeprefix("Input ").removeprefix("String ")
    has = "a secret" if key in secrets() else shown(error["input"])
    return f"ecm:{key} is {has} - it {wish} - {meaning} - pulumi config set ecm:{key} VALUE"
