"""The systems that a node's image may have, as a table: how each is found, and what its first boot needs to know.

Pure. What a first boot does differently on a system is in the trees of `files/` that the table names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

LTS = "25.0"
"""HTCondor's long-term series that is taken from its own repository."""
LEAST_CONDOR = "9.0"
"""Older ones have no IDTOKENS (they came with 8.9.2), which is how slaves join."""
CUSTOM = "custom"
UV_PYTHON = "3.12"
"""What uv brings to a system whose own Python is too old."""


@dataclass(frozen=True, slots=True)
class System:
    """One system. `name` is what the settings call it."""

    name: str
    trees: tuple[str, ...]
    """Folders of `files/`, a later one's files in place of an earlier one's."""
    condor: str = ""
    """The series that a bare image gets, as `25.0`; empty where it is the image's own or not known."""
    repository: str = ""
    """The series of HTCondor's own repository; empty where the distribution or the image has it."""
    python: str = ""
    """The controller's Python; empty where uv brings one."""
    python_packages: tuple[str, ...] = ()
    docker_packages: tuple[str, ...] = ()
    """Docker where the system has it, else podman."""
    apptainer: bool | None = None
    """Whether slaves have it, for container jobs with SIF files; None when that isn't known here."""
    no_master: str = ""
    """Why a master can't have this system; empty when it can."""


_EL7 = "its C library (glibc 2.17) is too old for the controller's HTCondor bindings"
_DEBIAN: tuple[str, ...] = ("debian",)
_EL: tuple[str, ...] = ("el",)

_TABLE = (
    System("debian-12", _DEBIAN, LTS, LTS, "python3", ("python3-venv",), ("docker.io",)),
    # The distribution's own: HTCondor 23.9.6. Docker's command is a package of its own there.
    System("debian-13", _DEBIAN, "23.9", "", "python3", ("python3-venv",), ("docker.io", "docker-cli")),
    # Its Python is 3.10, and its python3.11 a release candidate.
    System("ubuntu-22.04", _DEBIAN, LTS, LTS, "", (), ("docker.io",)),
    # The distribution has 23.4, a feature release that gets no fixes.
    System("ubuntu-24.04", _DEBIAN, LTS, LTS, "python3", ("python3-venv",), ("docker.io",)),
    System("el-8", _EL, LTS, LTS, "python3.12", ("python3.12",), ("podman",), apptainer=True),
    System("el-9", _EL, LTS, LTS, "python3.12", ("python3.12",), ("podman",), apptainer=True),
    System("el-10", _EL, LTS, LTS, "python3", ("python3",), ("podman",), apptainer=True),
    # HTCondor makes no packages for it. Its default Python may be newer than the bindings' newest.
    System("fedora", ("fedora",), "", "", "python3.13", ("python3.13",), ("moby-engine", "docker-cli")),
    System("centos-7", ("el7",), "23.0", "23.0", docker_packages=("docker",), apptainer=True, no_master=_EL7),
    System("ucernvm", ("el7", "as-is"), no_master=_EL7),
    System(CUSTOM, ("as-is",), python="python3"),
)
SYSTEMS: Mapping[str, System] = MappingProxyType({system.name: system for system in _TABLE})

END_OF_LIFE = "CentOS 6 and SL6 are past their end of life, and have no HTCondor with tokens"


def requirements(lock: str) -> tuple[str, ...]:
    """Each pin of a lock, with its hashes, in one line."""
    lines = lock.replace(" \\\n    ", " ").splitlines()
    return tuple(line for line in lines if line and not line.lstrip().startswith("#"))


BINDINGS: Mapping[str, str] = MappingProxyType(
    {
        pin.removeprefix("htcondor==").partition(".")[0]: pin
        for pin in requirements(Path(__file__).with_name("bindings.lock").read_text())
    }
)
"""By HTCondor's major version: the bindings that can log in to its daemons, as pip wants them, with their hashes."""

_EL_NAMES = frozenset(
    {"almalinux", "alma", "rocky", "rockylinux", "rhel", "redhat", "centos", "el", "scientific", "scientificlinux"}
    | {"sl", "slc"}
)
_NAMED = re.compile(
    r"(?<![a-z])(debian|ubuntu|fedora|almalinux|alma|rocky|rhel|red ?hat|centos|scientific|(?:slc?|el)(?![a-z]))"
    r"[a-z /_-]*?(\d+(?:\.\d+)?)",
)
_NUMBER = re.compile(r"^\d*(?:\.\d+)?")
"""What a table's name has of a version: of `22.04.5 LTS` the 22.04."""
_CODENAMES = {
    "bookworm": "debian-12",
    "trixie": "debian-13",
    "jammy": "ubuntu-22.04",
    "noble": "ubuntu-24.04",
}


def find(distro: str | None, version: str | None, name: str | None) -> str | None:
    """The name of an image's system; None when it can't be told, `el-6` when it is one that nothing supports.

    Args:
        distro: the image's property `os_distro`.
        version: its property `os_version`.
        name: the image's own name, where it has one; it is looked at when the properties don't tell.
    """
    if distro and version and (found := _named(distro.lower(), version.lower())):
        return found
    text = (name or "").lower()
    if re.search(r"cernvm", f"{distro or ''} {text}".lower()):
        return "ucernvm"
    for codename, system in _CODENAMES.items():
        if codename in f"{text} {version}".lower():
            return system
    match = _NAMED.search(text)
    return _named(match[1].replace(" ", ""), match[2]) if match else None


def _named(distro: str, version: str) -> str | None:
    distro = distro.partition("-")[0]
    number = _NUMBER.findall(version)[0]
    major = number.partition(".")[0]
    if distro == "fedora":
        return "fedora"
    if distro in _EL_NAMES:
        name = {"6": "el-6", "7": "centos-7"}.get(major, f"el-{major}")
        return name if name in SYSTEMS or name == "el-6" else None
    for name in (f"{distro}-{number}", f"{distro}-{major}"):
        if name in SYSTEMS:
            return name
    return None


def incompatible(master: System, slave: System) -> str:
    """Why a pool of these two can't work if the images bring no HTCondor of their own; empty when it can.

    A slave's HTCondor must not be of a newer major version than the master's: it would join and never get a job.
    """
    if not (master.condor and slave.condor):
        return ""
    if int(slave.condor.split(".")[0]) <= int(master.condor.split(".")[0]):
        return ""
    return (
        f"the slaves' {slave.name} gets HTCondor {slave.condor}, the master's {master.name} {master.condor}, "
        "and slaves may not be newer"
    )
