"""The ad that a new slave will advertise, as far as jobs look at it: predicted, or learned from one that has joined."""

import re
from collections.abc import Iterable, Mapping
from statistics import median_high
from typing import Any, TypeGuard

from cluster.offer import Offer
from controller.model import Room

# Not what tells one slave from another, nor what changes with time or load.
_LASTING = re.compile(
    r"(?i)arch|microarch|opsys.*|has_?.*|.*version|filesystemdomain|uiddomain|total(slot)?(cpus|memory|disk|gpus)"
)


_SIZES = ("Cpus", "Memory", "Disk")
_SIZE = re.compile(r"(?i)(total(slot)?)?(cpus|memory|disk|gpus)")
_ARCHES = {"x86_64": "X86_64", "i686": "INTEL", "ppc64": "PPC64"}
"""HTCondor's names of architectures, where it has its own; of others it takes the kernel's."""
_TOO_LARGE = 2**62
"""HTCondor's whole numbers have 64 bits; an ad with a larger one can't be made."""


def ad(offered: Offer) -> dict[str, Any]:
    """The attributes of a slave's whole partitionable slot: memory in MiB, disk in KiB, as HTCondor has them.

    What isn't known before a slave has joined isn't there, as GPUs, of which a flavor tells its operators only: it
    makes no job impossible.
    """
    containers = {"HasDocker": offered.docker}
    if offered.apptainer is not None:
        containers |= {"HasSingularity": offered.apptainer, "HasSIF": offered.apptainer}
        containers |= dict.fromkeys(("HasContainer", "HasDockerURL"), offered.docker or offered.apptainer)
    elif offered.docker:
        containers |= {"HasContainer": True, "HasDockerURL": True}
    return {
        "Arch": _ARCHES.get(offered.architecture, offered.architecture),
        "OpSys": "LINUX",
        "Cpus": offered.cpus,
        "TotalCpus": offered.cpus,
        "Memory": offered.memory_mib,
        "TotalMemory": offered.memory_mib,
        "Disk": offered.disk_kib,
        "TotalDisk": offered.disk_kib,
        "HasFileTransfer": True,
        "HasJobTransferPlugins": True,
        **containers,
    }


def learned(whole_slot: Mapping[str, Any]) -> dict[str, Any]:
    """The same out of the ad of a joined slave's partitionable slot, as if nothing had been taken of it.

    Nothing when the ad doesn't tell the slot's size, or tells of none, as on a full disk: no job would ever fit.
    """
    sizes = {size: whole_slot.get(f"TotalSlot{size}") for size in _SIZES}
    whole = {size: int(value) for size, value in sizes.items() if _is_number(value) and value >= 1}
    if len(whole) < len(sizes):
        return {}
    lasting = {name: value for name, value in whole_slot.items() if _LASTING.fullmatch(name) and _fits_an_ad(value)}
    gpus = whole_slot.get("TotalSlotGPUs")
    return lasting | whole | {"GPUs": int(gpus) if _is_number(gpus) else 0}


def _fits_an_ad(value: Any) -> bool:  # noqa: ANN401 - whatever a slave advertises
    return isinstance(value, str) or _is_number(value)


def _is_number(value: Any) -> TypeGuard[float]:  # noqa: ANN401 - whatever a slave advertises
    return isinstance(value, int | float) and abs(value) < _TOO_LARGE


def usable(template: Mapping[str, Any]) -> bool:
    """Whether a slave may offer this: `learned` says nothing else, but a file may be of an earlier controller."""
    sizes = [template.get(size) for size in (*_SIZES, "GPUs")]
    return all(map(_is_number, sizes)) and all(map(_fits_an_ad, template.values()))


def best(learned_ads: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a new slave may be hoped to offer, by what several of the same settings advertise, newest first.

    A job isn't impossible because one of two slaves came up without its container runtime, or with a full disk. But
    sizes are those in the middle, or the larger two of them: by the largest, one odd slave would bring jobs that ask
    for as much one slave after the other that is too small. Of what has no best, as a version, it is the newest's.
    """
    values: dict[str, list[Any]] = {}
    for advertised in learned_ads:
        for name, value in advertised.items():
            values.setdefault(name, []).append(value)
    return {name: _best(name, several) for name, several in values.items()}


def _best(name: str, values: list[Any]) -> Any:  # noqa: ANN401 - whatever slaves advertise
    if not all(map(_is_number, values)):
        return values[0]
    return median_high(values) if _SIZE.fullmatch(name) else max(values)


def lacks(template: Mapping[str, Any], attribute: str) -> bool:
    """Whether slaves are known not to advertise this: a joined one's ad tells, a prediction doesn't."""
    learned_from_a_slave = "TotalSlotCpus" in template
    names = {name.lower() for name in template}
    return learned_from_a_slave and bool(_LASTING.fullmatch(attribute)) and attribute.lower() not in names


def room(template: Mapping[str, Any]) -> Room:
    """The size of a slave that advertises this."""
    return Room(template["Cpus"], template["Memory"], template["Disk"], template.get("GPUs", 0))
