"""User-data for master and slave: a pure function of what a node needs to know.

The files under `files/` are written as they are: those common to all, the system's, the role's. What differs between
nodes goes into `/etc/ecm/node.env` and one HTCondor fragment. The cloud-config is compressed; cloud-init undoes that.
"""

import base64
import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

try:
    from yaml import CSafeDumper as Emitter
except ImportError:  # PyYAML may have been built without libyaml
    from yaml import SafeDumper as Emitter  # type: ignore[assignment]

from cloudinit.systems import BINDINGS, KEYS, LEAST_CONDOR, UV_PYTHON, System

FILES = Path(__file__).parent / "files"
LIMIT = 65_535
"""Bytes of base64 that Nova takes as user-data."""
METADATA = "169.254.169.254"
UV_VERSION = "0.13.9"
MODES = {"bin": "0755", "sbin": "0755", "sudoers.d": "0440"}
"""By folder; of all other files 0644."""


class UserDataError(ValueError):
    """Something can't be passed to a node: one line, `what - why - what to do`."""


class UserDataTooLargeError(UserDataError):
    """The user-data is over Nova's limit; says what is big."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to write at the first boot."""

    path: str
    content: bytes
    mode: str = "0644"


@dataclass(frozen=True, slots=True)
class Additions:
    """What the user wants on a node beyond what it gets from here."""

    packages: tuple[str, ...] = ()
    condor_config: str = ""
    script: str = ""


@dataclass(frozen=True, slots=True)
class MasterBoot:
    """What the master needs to know."""

    name: str
    system: System
    own: Additions
    users: Mapping[str, tuple[str, ...]]
    """Accounts to make, with their public ssh keys, beside the image's own user."""
    environment: Mapping[str, str]
    """The controller's: its stack, the state's URL and passphrase, the login to the cloud. Secret."""
    pulumi_version: str
    provider_version: str
    proxy: str | None = None
    """URL of the HTTP proxy by which packages come."""


@dataclass(frozen=True, slots=True)
class SlaveBoot:
    """What a slave needs to know. Memory in MiB, time in seconds."""

    name: str
    system: System
    own: Additions
    master_address: str
    token: str
    """HTCondor token for this very name, good for advertising. Secret."""
    cpus: int
    memory_mib: int
    jobs: int
    docker: bool
    orphan_time: int
    """Without a controller's heartbeat for so long, it takes no more jobs."""
    proxy: str | None = None
    """URL of the HTTP proxy by which packages come, and images of containers."""


def master(boot: MasterBoot) -> str:
    """The master's user-data, base64.

    Raises:
        UserDataError: it is over Nova's limit, or something can't be quoted.
    """
    return user_data(
        "the master's",
        [
            *_trees("master", boot.system),
            _node_env(
                boot.system,
                boot.own,
                ECM_NODE=boot.name,
                ECM_PULUMI=boot.pulumi_version,
                ECM_PROVIDER=boot.provider_version,
                ECM_PYTHON=boot.system.python,
                ECM_PYTHON_PACKAGES=" ".join(boot.system.python_packages),
                ECM_UV=UV_VERSION,
                ECM_UV_PYTHON=UV_PYTHON,
            ),
            _condor_node(boot.name),
            *_own(boot.own),
            *_proxy(boot.proxy),
            File("/etc/ecm/controller.env", _environment({**boot.environment, **_pip(boot.proxy)}), "0600"),
            File("/opt/ecm/bindings", "".join(f"{major} {pin}\n" for major, pin in BINDINGS.items()).encode()),
            # Not cloud-init's own `users`: those could log in before the metadata service is closed to them.
            *(
                File(f"/etc/ecm/users/{name}", "".join(f"{key}\n" for key in keys).encode(), "0600")
                for name, keys in boot.users.items()
            ),
        ],
    )


def slave(boot: SlaveBoot) -> str:
    """A slave's user-data, base64.

    Raises:
        UserDataError: it is over Nova's limit, or something can't be quoted.
    """
    # A new slot may come before one that is ending has gone.
    accounts = 2 * boot.jobs
    # What sysconf() says is the host's in a container, and a little less than the flavor's in a VM.
    settings: dict[str, object] = {
        "NUM_CPUS": boot.cpus,
        "MEMORY": boot.memory_mib,
        "ECM_JOBS": boot.jobs,
        "EcmSlave": f'"{boot.name}"',
    }
    settings |= {f"SLOT1_{number}_USER": f"slot1_{number}" for number in range(1, accounts + 1)}
    if not boot.docker:
        # An image may have Docker all the same.
        settings["DOCKER"] = ""
    return user_data(
        "a slave's",
        [
            *_trees("slave", boot.system),
            _node_env(
                boot.system,
                boot.own,
                ECM_NODE=boot.name,
                ECM_MASTER=boot.master_address,
                ECM_ACCOUNTS=str(accounts),
                ECM_DOCKER="yes" if boot.docker else "no",
                ECM_DOCKER_PACKAGES=" ".join(boot.system.docker_packages),
                ECM_ORPHAN_TIME=str(boot.orphan_time),
            ),
            _condor_node(boot.name, **settings),
            *_own(boot.own),
            *_proxy(boot.proxy),
            File("/etc/condor/tokens.d/slave", boot.token.encode(), "0600"),
        ],
    )


def user_data(whose: str, files: list[File]) -> str:
    """A cloud-config that writes the files and runs the first boot; gzip, then base64.

    Raises:
        UserDataTooLargeError: it is over Nova's limit.
    """
    config = {
        "write_files": [{"path": f.path, "permissions": f.mode, **_content(f.content)} for f in files],
        "runcmd": [["/usr/local/sbin/ecm-first-boot"]],
    }
    text = "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False)
    # mtime=0: the same content gives the same user-data.
    data = base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
    if len(data) > LIMIT:
        largest = sorted(files, key=lambda f: -len(f.content))[:3]
        sizes = ", ".join(f"{f.path} {len(f.content)}" for f in largest)
        raise UserDataTooLargeError(
            f"{whose} user-data has {len(data)} bytes - Nova takes {LIMIT} - "
            f"make the largest parts smaller (bytes): {sizes}"
        )
    return data


def _content(content: bytes) -> dict[str, str]:
    """As text where it is text: that compresses best, and can be read."""
    try:
        return {"content": content.decode("ascii")}
    except UnicodeDecodeError:
        return {"encoding": "b64", "content": base64.b64encode(content).decode()}


class _Dumper(Emitter):
    """Writes strings of several lines as they are, in YAML's literal style.

    With libyaml, where it is: PyYAML's own emitter takes ten times as long, for hundreds of slaves at once.
    """


def _represent_text(dumper: Emitter, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


@cache
def _trees(role: str, system: System) -> tuple[File, ...]:
    """What all nodes of this role and system have; read once for all of them."""
    files: dict[str, File] = {}
    for root in (FILES / tree for tree in ("common", *system.trees, role)):
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            mode = MODES.get(path.parent.name, "0644")
            target = f"/{path.relative_to(root)}"
            files[target] = File(target, path.read_bytes(), mode)
    return tuple(files.values())


def _own(own: Additions) -> Iterator[File]:
    if own.condor_config:
        yield File("/etc/condor/config.d/60-ecm-user.conf", own.condor_config.encode())
    if own.script:
        yield File("/etc/ecm/user-script", own.script.encode(), "0700")


def _proxy(url: str | None) -> Iterator[File]:
    """For the first boot and the containers' engine, not for logins and jobs."""
    if url:
        variables = {"http_proxy": url, "https_proxy": url, "no_proxy": f"localhost,127.0.0.1,{METADATA}"}
        yield File("/etc/ecm/proxy.env", _environment(variables))


def _pip(proxy: str | None) -> dict[str, str]:
    """A new release's packages come by the proxy, too; the cloud and the state are reached without."""
    return {"PIP_PROXY": proxy} if proxy else {}


def _node_env(system: System, own: Additions, **values: str) -> File:
    of_all = {
        "ECM_SYSTEM": system.name,
        "ECM_CONDOR_REPOSITORY": system.repository,
        "ECM_CONDOR_KEY": KEYS.get(system.repository, ""),
        "ECM_LEAST_CONDOR": LEAST_CONDOR,
        "ECM_PACKAGES": " ".join(own.packages),
    }
    return File("/etc/ecm/node.env", _environment(of_all | values))


def _condor_node(name: str, **values: object) -> File:
    settings: dict[str, object] = {"NETWORK_HOSTNAME": f"{name}.pool", **values}
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return File("/etc/condor/config.d/15-ecm-node.conf", ("\n".join(lines) + "\n").encode())


def _environment(values: Mapping[str, str]) -> bytes:
    """Lines that systemd's EnvironmentFile= and a POSIX shell read alike."""
    return "".join(f"{key}={_quoted(key, value)}\n" for key, value in values.items()).encode()


def _quoted(key: str, value: str) -> str:
    if "\n" in value:
        raise UserDataError(f"{key} has a line break - it can't be passed to the node - choose another value")
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    # systemd before 240 (EL 8) takes backslashes out of single quotes; within double ones all escape these four.
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'
