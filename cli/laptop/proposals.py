"""What `ecm init` asks, with what there is to choose from and what it proposes. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pydantic_core import PydanticUndefined

from cli.laptop.catalog import Image, Key, Network, Quota
from cli.show import counted
from cloudinit.systems import SYSTEMS
from cluster import settings
from cluster.cloud import Flavor
from cluster.settings import Settings

ASKED = (
    *("image", "os", "masterFlavor", "jobsPerSlave", "slaveFlavor", "bootVolumeGiB", "keyName"),
    *("network", "floatingNetwork", "maxSlaves", "minSlaves", "idleTime"),
)
"""What is asked, in this order; every other setting keeps its value or its default."""
REQUIRED = frozenset(f.alias or name for name, f in Settings.model_fields.items() if f.is_required())

_MASTER_RAM_MIB = 2048
_FEW = 10
_VOLUME_GIB = 20


@dataclass(frozen=True, slots=True)
class There:
    """What the cloud has for this project."""

    images: list[Image]
    flavors: list[Flavor]
    networks: list[Network]
    keys: list[Key]
    quota: list[Quota]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the things to choose from; any other name or id is taken too, and checked afterwards."""

    value: str
    about: str = ""
    id: str = ""
    name: str = ""
    """What it is shown as where `value` is an id."""


@dataclass(frozen=True, slots=True)
class Question:
    """One setting to be asked for."""

    key: str
    text: str
    proposal: str
    """What an empty answer means; empty for nothing: unset, or to be given where the setting is required."""
    choices: tuple[Choice, ...] = ()
    misfits: tuple[Choice, ...] = ()
    """Things that are there and don't serve, each with why not."""
    check: Callable[[str], str] = lambda _: ""
    """Says what is wrong with an answer; nothing when it can be one."""
    known: frozenset[str] = frozenset()
    """Names and ids that are there, if the answer has to be one of them; some of those aren't worth a choice."""
    note: str = ""
    """What one should know before."""

    @property
    def required(self) -> bool:
        # The latter are asked only where the image's system isn't known, or a flavor has no disk.
        return self.key in REQUIRED or self.key in ("os", "bootVolumeGiB")


def question(key: str, there: There, answers: Mapping[str, str]) -> Question | None:
    """The question for a setting, given the answers so far; None where there is nothing to ask.

    What is set already is what is proposed.
    """
    if key == "os" and not _is_of_unknown_system(there, answers):
        return None
    if key == "bootVolumeGiB" and not _lacks_disk(there, answers):
        return None
    choices, misfits, proposal = _offered(key, there, answers)
    check = partial(_wrong, key, there, answers)
    known = _known(key, there)
    before = answers.get(key, "")
    usable = before and not check(before) and (not known or before in known)
    if key in ("network", "floatingNetwork") and len(choices) <= (key == "network"):
        return None
    note = _room(there, answers) if key == "maxSlaves" else ""
    return Question(key, settings.keys()[key], before if usable else proposal, choices, misfits, check, known, note)


def problem(key: str, value: str, beside: Mapping[str, str] | None = None) -> str:
    """What is wrong with a setting's value in itself and beside others; empty when nothing is."""
    values = {**(beside or {}), key: value}
    lines = settings.problems({f"ecm:{name}": text for name, text in values.items() if text})
    said = next((line for line in lines if re.match(rf"(ecm:)?{key} is (?!not set)", line)), "")
    return said.partition(" - ")[2].partition(" - ")[0]


def _wrong(key: str, there: There, answers: Mapping[str, str], value: str) -> str:
    """What is wrong with an answer beside the others, and with what the cloud has; empty when nothing is."""
    flavor = _flavor(there, value if key == "slaveFlavor" else answers.get("slaveFlavor", ""))
    most = _number(answers.get("maxSlaves") or default("maxSlaves"))
    match key:
        case "jobsPerSlave" if flavor and _number(value) > flavor.vcpus:
            return f"the flavor {flavor.name} has {counted(flavor.vcpus, 'VCPU')}"
        case "jobsPerSlave" if _number(value) > max((f.vcpus for f in there.flavors), default=_number(value)):
            return "no flavor has so many VCPUs"
        case "slaveFlavor" if flavor and flavor.vcpus < (jobs := _number(answers.get("jobsPerSlave", ""))):
            return _too_few(flavor, jobs)
        case "minSlaves" if _number(value) > most:
            return f"more than maxSlaves, {most}"
        case _:
            return problem(key, value, answers)


def _too_few(flavor: Flavor, jobs: int) -> str:
    return f"too few VCPUs, {flavor.vcpus}, for ecm:jobsPerSlave, {jobs}"


def _known(key: str, there: There) -> frozenset[str]:
    match key:
        case "image":
            things: Sequence[Image | Flavor | Network | Key] = there.images
        case "masterFlavor" | "slaveFlavor":
            things = there.flavors
        case "keyName":
            return frozenset(k.name for k in there.keys)
        case "os":
            return frozenset(SYSTEMS)
        case "network" | "floatingNetwork":
            things = [n for n in there.networks if n.external == (key == "floatingNetwork")]
        case _:
            return frozenset()
    return frozenset(name for thing in things for name in (thing.name, getattr(thing, "id", "")))


def _offered(key: str, there: There, answers: Mapping[str, str]) -> tuple[tuple[Choice, ...], tuple[Choice, ...], str]:
    """What there is to choose from, what there is beside that, and the proposal."""
    proposal = ""
    found: list[tuple[Choice, str]] = []
    match key:
        case "image":
            found = [(_image(i, there.images), i.problem) for i in there.images]
            good = [i for i in there.images if not i.problem and i.system.startswith("debian")]
            proposal = _name(good[-1], there.images) if good else ""
        case "os":
            found = [(Choice(system.name), "") for system in SYSTEMS.values() if not system.no_master]
            return tuple(choice for choice, _ in found), (), ""
        case "bootVolumeGiB":
            proposal = str(max(_VOLUME_GIB, image.min_disk_gib if (image := _the_image(there, answers)) else 0))
        case "masterFlavor" | "slaveFlavor":
            found = [
                (
                    Choice(
                        _name(f, there.flavors),
                        _size(f) + (_holds(there, answers, f) if key == "slaveFlavor" else ""),
                        f.id,
                    ),
                    _misfit(key, f, there, answers),
                )
                for f in there.flavors
            ]
            large = [f for f in there.flavors if f.ram_mib >= _MASTER_RAM_MIB and not _misfit(key, f, there, answers)]
            proposal = _name(large[0], there.flavors) if large else ""
        case "keyName":
            found = [(Choice(k.name, k.fingerprint), "") for k in there.keys]
        case "network" | "floatingNetwork":
            nets = [n for n in there.networks if n.external == (key == "floatingNetwork")]
            found = [(Choice(_name(n, nets), "", n.id), "") for n in nets]
        case "maxSlaves":
            proposal = str(min(most_slaves(there, answers) or _FEW, _FEW))
        case _:
            proposal = default(key)
    choices = tuple(choice for choice, wrong in found if not wrong)
    misfits = tuple(replace(choice, about=wrong) for choice, wrong in found if wrong)
    return choices, misfits, proposal or (choices[0].value if choices else "")


def _name(thing: Image | Flavor | Network, things: Sequence[Image | Flavor | Network]) -> str:
    """What a thing is called in the settings: its id where the name is none or that of others, too."""
    return thing.name if thing.name and [t.name for t in things].count(thing.name) == 1 else thing.id


def _image(image: Image, images: Sequence[Image]) -> Choice:
    """Of images with one name, the date says which is which."""
    value, about = _name(image, images), f"{image.system}, {image.size_mib} MiB"
    if value != image.id or not image.name:
        return Choice(value, about, image.id)
    return Choice(value, f"{about}, {image.created}" if image.created else about, image.id, image.name)


def _holds(there: There, answers: Mapping[str, str], flavor: Flavor) -> str:
    """How many jobs a slave of this flavor runs at once, and how many such slaves there may be."""
    jobs = counted(_number(answers.get("jobsPerSlave", "")) or flavor.vcpus, "job")
    most = most_slaves(there, {**answers, "slaveFlavor": flavor.id})
    return f": {jobs} each" if most is None else f": {jobs} each, room for {counted(most, 'slave')}"


def _size(flavor: Flavor) -> str:
    return f"{counted(flavor.vcpus, 'VCPU')}, {flavor.ram_mib} MiB, {flavor.disk_gib} GiB"


def _misfit(key: str, flavor: Flavor, there: There, answers: Mapping[str, str]) -> str:
    """Why a flavor doesn't go with the other answers; empty when it does."""
    image = _the_image(there, answers)
    volume_gib = _number(answers.get("bootVolumeGiB", ""))
    # A master has a boot volume in any case where one is set, a slave only without a disk.
    disk_gib = volume_gib or flavor.disk_gib if key == "masterFlavor" else flavor.disk_gib or volume_gib
    jobs = _number(answers.get("jobsPerSlave", "")) if key == "slaveFlavor" else 0
    if not disk_gib:
        return "has no disk: ecm:bootVolumeGiB gives it one"
    if image and (flavor.ram_mib < image.min_ram_mib or disk_gib < image.min_disk_gib):
        return f"too small: the image needs {image.min_ram_mib} MiB and {image.min_disk_gib} GiB"
    if flavor.vcpus < jobs:
        return _too_few(flavor, jobs)
    return ""


def default(key: str) -> str:
    """What a setting is when it isn't set; empty where that is nothing."""
    of_setting = next(field.default for field in Settings.model_fields.values() if field.alias == key)
    return "" if of_setting in (None, PydanticUndefined) else str(of_setting)


def most_slaves(there: There, answers: Mapping[str, str]) -> int | None:
    """As many slaves as the quota has room for beside the master; None where it has no limit, or no flavor is known."""
    master, slave = (_flavor(there, answers.get(key, "")) for key in ("masterFlavor", "slaveFlavor"))
    if not master or not slave:
        return None
    shares = [
        max(0, part.left - taken) // each
        for part, taken, each in zip(
            there.quota,
            (1, master.vcpus, master.ram_mib),
            (1, slave.vcpus, slave.ram_mib),
            strict=True,
        )
        if part.left is not None
    ]
    return min(shares, default=None)


def _room(there: There, answers: Mapping[str, str]) -> str:
    """What the quota says of the number of slaves; empty where it has no limit."""
    most = most_slaves(there, answers)
    if most is None:
        return ""
    left = ", ".join(f"{part.what} {part.left} of {part.limit}" for part in there.quota if part.left is not None)
    room = f"room for {counted(most, 'slave')} of this flavor" if most else "no room for a slave of this flavor"
    return f"The quota has {room} beside the master. Left are: {left}."


def _the_image(there: There, answers: Mapping[str, str]) -> Image | None:
    return next((image for image in there.images if answers.get("image") in (image.name, image.id)), None)


def _is_of_unknown_system(there: There, answers: Mapping[str, str]) -> bool:
    image = _the_image(there, answers)
    return image is not None and not image.system


def _lacks_disk(there: There, answers: Mapping[str, str]) -> bool:
    flavors = (_flavor(there, answers.get(key, "")) for key in ("masterFlavor", "slaveFlavor"))
    return any(flavor and not flavor.disk_gib for flavor in flavors)


def _flavor(there: There, wanted: str) -> Flavor | None:
    return next((flavor for flavor in there.flavors if wanted in (flavor.name, flavor.id)), None)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
