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

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "23.0": "4A56C5BBCDB0AAA2DDE9A690BDEEE24C92897C00",
        "25.0": "962A9BCDD330245F2703C88B74E5BE22D4E9B1FC",
    }
)
"""By series, the fingerprint of the key that signs HTCondor's repository: of "OSG 23" and of "OSG 25 Developer Signing
Key", as OSG's page "Release Signing Information" has them."""

END_OF_LIFE = "el-6"
UNUSABLE: Mapping[str, str] = MappingProxyType(
    {
        END_OF_LIFE: "CentOS 6 and SL6 are past their end of life, and have no HTCondor with tokens and no systemd",
        "el-7": "of the systems of version 7 only CentOS is known here, whose archives the others don't use",
        "centos-8": "CentOS 8 and CentOS Stream 8 are past their end of life, and their repositories are gone",
        "ostree": "no package can be added to Fedora's CoreOS, Atomic, IoT and Silverblue as to others",
        "windows": "Windows can be no node",
    }
)
"""What images are known to have beside, and why that is no node's."""


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

_NEVER = (
    ("ostree", re.compile(r"coreos|silverblue|fedora[ _-]*(?:atomic|iot)|atomic[ _-]host")),
    ("windows", re.compile(r"windows")),
)
"""Words that end the search: the rest of such an image's name and properties would mislead."""
_NAMED = re.compile(
    r"(?<![a-z])(?:(debian|ubuntu|fedora|alma|rocky|rhel|red ?hat|centos|scientific)[a-z /_-]*?"
    r"|(el|(?<![a-z0-9])(?:slc?|c[cs]|stream))[ _-]?)"  # CERN's and CentOS's short names
    r"(\d+(?:\.\d+)?)(?![0-9]*[a-z]*[0-9])"
)
_CODENAMES = {
    "bookworm": "debian-12",
    "trixie": "debian-13",
    "jammy": "ubuntu-22.04",
    "noble": "ubuntu-24.04",
}


def find(distro: object, version: object, name: str | None) -> str | None:
    """The name of an image's system; None when it can't be told, one of `UNUSABLE` when it is one that can't be used.

    Args:
        distro: the image's property `os_distro`, which may be anything.
        version: its property `os_version`, likewise.
        name: the image's own name, where it has one; it is looked at when the properties don't tell.
    """
    said, text = f"{distro or ''} {version or ''}".lower(), (name or "").lower()
    if never := next((system for system, words in _NEVER if words.search(f"{said} {text}")), None):
        return never
    if found := _named(said):
        return found
    if "cernvm" in f"{said} {text}":
        return "ucernvm"
    for codename, system in _CODENAMES.items():
        if codename in f"{said} {text}":
            return system
    return _named(text)


def _named(text: str) -> str | None:
    found = _NAMED.search(text)
    if not found:
        return None
    distro, number = found[1] or found[2], found[3]
    major = number.partition(".")[0]
    match distro:
        case "fedora":
            system = "fedora"
        case "ubuntu":
            # As in ubuntu2204 and ubuntu22, by which the LTS is meant.
            system = f"ubuntu-{number}" if "." in number else f"ubuntu-{major[:2]}.{major[2:] or '04'}"
        case "debian":
            system = f"debian-{major}"
        case "centos" | "cc" | "cs" | "stream" if major in ("7", "8"):
            system = f"centos-{major}"
        case _:
            system = f"el-{major}"
    return system if system in SYSTEMS or system in UNUSABLE else None


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


_ACCOUNTS = (
    *((word, word) for word in ("debian", "ubuntu", "fedora", "rocky", "centos")),
    ("alma", "almalinux"),
    ("trixie", "debian"),
    ("bookworm", "debian"),
    ("noble", "ubuntu"),
    ("jammy", "ubuntu"),
    ("rhel", "cloud-user"),
    ("red hat", "cloud-user"),
    ("cernvm", "root"),
)


def account(*hints: object) -> str:
    """Whom the keypair logs in as on an image, as its makers have it; empty where no hint tells.

    Args:
        hints: what says something of the image's system, such as its name; the first one that tells is taken.
    """
    texts = [str(hint).lower() for hint in hints if hint]
    return next((account for text in texts for word, account in _ACCOUNTS if word in text), "")
