"""User-data for master and slave: a pure function of what a node needs to know. Debian family.

The files under `files/` are written as they are; what differs between nodes goes into `/etc/ecm/node.env` and one
HTCondor fragment. The cloud-config is compressed, which cloud-init undoes by itself.
"""

import base64
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

FILES = Path(__file__).parent / "files"
LIMIT = 65_535
"""Bytes of base64 that Nova takes as user-data."""


class UserDataTooLargeError(Exception):
    """The user-data is over Nova's limit; says what is big."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to write at the first boot."""

    path: str
    content: bytes
    mode: str = "0644"


@dataclass(frozen=True, slots=True)
class MasterBoot:
    """What the master needs to know."""

    name: str
    environment: Mapping[str, str]
    """The controller's: its stack, the state's URL and passphrase, the login to the cloud. Secret."""
    wheel_name: str
    wheel: Mapping[str, bytes]
    """The controller's wheel, unpacked."""
    requirements: str
    """Pinned requirements of the controller, without hashes."""
    pulumi_version: str
    provider_version: str


@dataclass(frozen=True, slots=True)
class SlaveBoot:
    """What a slave needs to know. Memory in MiB."""

    name: str
    master_address: str
    token: str
    """HTCondor token for this very name, good for advertising. Secret."""
    cpus: int
    memory_mib: int
    jobs: int


def master(boot: MasterBoot) -> str:
    """The master's user-data, base64.

    Raises:
        UserDataTooLargeError: it is over Nova's limit.
    """
    return user_data(
        [
            *_tree("common"),
            *_tree("master"),
            _node_env(
                ECM_NODE=boot.name,
                ECM_WHEEL=boot.wheel_name,
                ECM_PULUMI=boot.pulumi_version,
                ECM_PROVIDER=boot.provider_version,
            ),
            _condor_node(boot.name),
            File("/etc/ecm/controller.env", _environment(boot.environment), "0600"),
            *(File(f"/opt/ecm/wheel/{path}", content) for path, content in boot.wheel.items()),
            File("/opt/ecm/requirements.txt", boot.requirements.encode()),
        ]
    )


def slave(boot: SlaveBoot) -> str:
    """A slave's user-data, base64.

    Raises:
        UserDataTooLargeError: it is over Nova's limit.
    """
    # What sysconf() says is the host's in a container, and a little less than the flavor's in a VM.
    sizes = {"NUM_CPUS": boot.cpus, "MEMORY": boot.memory_mib, "ECM_JOBS": boot.jobs, "EcmSlave": f'"{boot.name}"'}
    return user_data(
        [
            *_tree("common"),
            *_tree("slave"),
            _node_env(ECM_NODE=boot.name, ECM_MASTER=boot.master_address),
            _condor_node(boot.name, **sizes),
            File("/etc/condor/tokens.d/slave", boot.token.encode(), "0600"),
        ]
    )


def user_data(files: list[File]) -> str:
    """A cloud-config that writes the files and runs the first boot; gzip, then base64."""
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
            f"user-data has {len(data)} bytes - Nova takes {LIMIT} - make the largest parts smaller (bytes): {sizes}"
        )
    return data


def _content(content: bytes) -> dict[str, str]:
    """As text where it is text: that compresses best, and can be read."""
    try:
        return {"content": content.decode("ascii")}
    except UnicodeDecodeError:
        return {"encoding": "b64", "content": base64.b64encode(content).decode()}


class _Dumper(yaml.SafeDumper):
    """Writes strings of several lines as they are, in YAML's literal style."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _tree(role: str) -> Iterator[File]:
    root = FILES / role
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        mode = "0755" if path.parent.name == "sbin" else "0644"
        yield File(f"/{path.relative_to(root)}", path.read_bytes(), mode)


def _node_env(**values: str) -> File:
    return File("/etc/ecm/node.env", _environment(values))


def _condor_node(name: str, **values: object) -> File:
    settings: dict[str, object] = {"NETWORK_HOSTNAME": f"{name}.pool", **values}
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return File("/etc/condor/config.d/15-ecm-node.conf", ("\n".join(lines) + "\n").encode())


def _environment(values: Mapping[str, str]) -> bytes:
    """Lines that systemd's EnvironmentFile= and a POSIX shell read alike."""
    return "".join(f"{key}='{_quoted(key, value)}'\n" for key, value in values.items()).encode()


def _quoted(key: str, value: str) -> str:
    if "'" in value or "\n" in value:
        raise ValueError(f"{key} has a quote or a line break - it can't be passed to the node - choose another value")
    return value
