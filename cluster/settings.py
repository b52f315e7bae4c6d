"""The settings: what a user may say in `Pulumi.<stack>.yaml` (namespace `ecm:`), with unit, bounds and default.

They are checked here for themselves; `cluster.cloud` checks them against the cloud.
"""

import base64
import binascii
import difflib
import json
import re
from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal, Self

from pulumi.runtime import config
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from cloudinit.systems import SYSTEMS
from cluster.errors import SettingsError

Name = Annotated[str, Field(min_length=1, max_length=255)]

_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@:.+_~=*-]*")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_TAKEN = frozenset({"root", "ecm", "condor", "nobody"})
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh",
)


def _system(value: str) -> str:
    if value not in SYSTEMS:
        near = difflib.get_close_matches(value, SYSTEMS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"take one of: {', '.join(SYSTEMS)}"
        raise ValueError(f"ecm:os is {value!r} - there is no such system here - {meant}")
    return value


def _json(value: object) -> object:
    """Pulumi gives lists and maps as JSON in a string."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is no list or map - in the stack's file write it as YAML's - "
            "or pulumi config set --path 'ecm:KEY[0]' VALUE"
        ) from None


def _packages(value: object) -> tuple[str, ...]:
    names = _json(value)
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and _PACKAGE.fullmatch(n) for n in names):
        raise ValueError(
            f"{value!r} is no list of packages - each is a name as the system's package manager has it - "
            "pulumi config set --path 'ecm:slavePackages[0]' NAME"
        )
    return tuple(names)


def _users(value: object) -> dict[str, tuple[str, ...]]:
    accounts = _json(value)
    if not isinstance(accounts, dict):
        raise ValueError(  # noqa: TRY004 - pydantic passes a TypeError on as it is
            f"ecm:users is {value!r} - it maps account names to lists of public ssh keys - "
            "pulumi config set --path 'ecm:users.alice[0]' \"$(cat alice.pub)\""
        )
    for name, keys in accounts.items():
        if not _ACCOUNT.fullmatch(name) or name in _TAKEN:
            raise ValueError(
                f"ecm:users has an account {name!r} - no account can be made of that name - "
                "take lower-case letters and digits"
            )
        if not isinstance(keys, list | tuple) or not keys or not all(_is_key(key) for key in keys):
            raise ValueError(
                f"ecm:users.{name} is no list of public ssh keys - nobody could log in - "
                f"pulumi config set --path 'ecm:users.{name}[0]' \"$(cat {name}.pub)\""
            )
    return {name: tuple(keys) for name, keys in accounts.items()}


def _is_key(key: object) -> bool:
    """Whether this is a line of an authorized_keys file, with no options: the type is in the key itself once more."""
    if not isinstance(key, str) or "\n" in key or not key.startswith(_KEY_TYPES):
        return False
    kind, _, rest = key.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error:
        return False
    return blob[4 : 4 + len(kind)] == kind.encode()


System = Annotated[str, BeforeValidator(_system)]
Packages = Annotated[tuple[str, ...], BeforeValidator(_packages)]
Users = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_users)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


def _json_list(value: object) -> object:
    """Pulumi's configuration has strings only: a list comes as JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError('should be a JSON list, as ["192.0.2.0/24"]') from None


def _cidr(value: object) -> str:
    try:
        return str(IPv4Network(str(value)))
    except ValueError as error:
        raise ValueError(f"should hold IPv4 networks in CIDR notation: {error}") from None


Cidrs = Annotated[
    tuple[Annotated[str, BeforeValidator(_cidr)], ...], Field(min_length=1, max_length=64), BeforeValidator(_json_list)
]


class Settings(BaseModel):
    """What the user wants. Names are ECM's where it had them: `slaveFlavor` was FLAVOR_VMS, `maxSlaves` MAX_VMS."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

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
    waiting_jobs_threshold: int = Field(
        0, ge=0, description="Jobs that may wait without a new slave being made at once."
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
    orphan_time: int = Field(
        3600,
        ge=600,
        le=604_800,
        description="Seconds without a sign of the controller after which a slave takes no more jobs, then powers off.",
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


def read(values: Mapping[str, Any]) -> Settings:
    """The settings out of a stack's configuration.

    Args:
        values: Pulumi's whole configuration, `namespace:key` to value, as strings; other namespaces are passed over.

    Raises:
        SettingsError: one line for all that is wrong, each with what to do.
    """
    ours = {key.removeprefix("ecm:"): value for key, value in values.items() if key.startswith("ecm:")}
    try:
        return Settings.model_validate(ours)
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_problem(e) for e in error.errors(include_url=False, include_context=False))
        ) from None


def stack_config() -> dict[str, Any]:
    """The whole configuration of the stack that is being updated.

    Pulumi's own `Config` reads one known key at a time, which would let a misspelt one pass.
    """
    return {**config.get_config_env(), **config.CONFIG.get()}


def keys() -> dict[str, str]:
    """Each setting's key with what it says."""
    return {field.alias or name: field.description or "" for name, field in Settings.model_fields.items()}


def _problem(error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, of which three entries are read
    key = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "missing":
            return f"ecm:{key} is not set - {keys()[key]} - pulumi config set ecm:{key} VALUE"
        case "extra_forbidden":
            near = difflib.get_close_matches(key, keys(), n=1)
            meant = f"did you mean ecm:{near[0]}?" if near else f"the settings are: {', '.join(keys())}"
            return f"ecm:{key} is no setting - {meant} - pulumi config rm ecm:{key}"
        case "value_error":
            said = str(error["msg"]).removeprefix("Value error, ")
            return said if said.startswith("ecm:") or not key else f"ecm:{key}: {said}"
        case _:
            wish = str(error["msg"]).removeprefix("Input ")
            return f"ecm:{key} is {json.dumps(error['input'])} - it {wish} - pulumi config set ecm:{key} VALUE"
