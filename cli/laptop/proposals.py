"""What `ecm init` asks, with what there is to choose from and what it proposes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import PydanticUndefined

from cli.laptop.catalog import Image, Key, Network, Quota
from cluster import settings
from cluster.cloud import Flavor
from cluster.settings import Settings

ASKED = (
    *("image", "masterFlavor", "slaveFlavor", "keyName", "network", "floatingNetwork"),
    *("maxSlaves", "minSlaves", "jobsPerSlave", "idleTime"),
)
"""What is asked, in this order; every other setting keeps its value or its default."""

_MASTER_RAM_MIB = 2048
_FEW = 10


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


@dataclass(frozen=True, slots=True)
class Question:
    """One setting to be asked for."""

    key: str
    text: str
    proposal: str
    """What an empty answer means; empty for nothing: unset, or to be given where the setting is required."""
    choices: tuple[Choice, ...] = ()
    known: frozenset[str] = frozenset()
    """Names and ids that are there, if the answer has to be one of them; some of those aren't worth a choice."""

    @property
    def required(self) -> bool:
        return any(f.alias == self.key and f.is_required() for f in Settings.model_fields.values())


def question(key: str, there: There, answers: Mapping[str, str]) -> Question | None:
    """The question for a setting, given the answers so far; None where there is nothing to ask.

    What is set already is what is proposed.
    """
    choices, proposal = _offered(key, there, answers)
    known = _known(key, there)
    before = answers.get(key, "")
    usable = before and not problem(key, before) and (not known or before in known)
    if key in ("network", "floatingNetwork") and len(choices) <= (key == "network"):
        return None
    return Question(key, settings.keys()[key], before if usable else proposal, choices, known)


def problem(key: str, value: str) -> str:
    """What is wrong with a setting's value in itself; empty when nothing is."""
    lines = settings.problems({f"ecm:{key}": value})
    said = next((line for line in lines if line.startswith(f"ecm:{key} is ") and "is not set" not in line), "")
    return said.partition(" - ")[2].partition(" - ")[0]


def _known(key: str, there: There) -> frozenset[str]:
    match key:
        case "image":
            things: Sequence[Image | Flavor | Network | Key] = there.images
        case "masterFlavor" | "slaveFlavor":
            things = there.flavors
        case "keyName":
            return frozenset(k.name for k in there.keys)
        case "network" | "floatingNetwork":
            things = [n for n in there.networks if n.external == (key == "floatingNetwork")]
        case _:
            return frozenset()
    return frozenset(name for thing in things for name in (thing.name, getattr(thing, "id", "")))


def _offered(key: str, there: There, answers: Mapping[str, str]) -> tuple[tuple[Choice, ...], str]:
    """What there is to choose from, and the proposal."""
    choices: tuple[Choice, ...] = ()
    proposal = ""
    match key:
        case "image":
            good = [image for image in there.images if not image.problem]
            choices = tuple(Choice(i.name, i.system) for i in good)
            proposal = next((i.name for i in reversed(good) if i.system.startswith("debian")), "")
        case "masterFlavor" | "slaveFlavor":
            flavors = [flavor for flavor in there.flavors if _fits(flavor, there.images, answers.get("image", ""))]
            choices = tuple(Choice(f.name, f"{f.vcpus} VCPUs, {f.ram_mib} MiB, {f.disk_gib} GiB") for f in flavors)
            proposal = next((flavor.name for flavor in flavors if flavor.ram_mib >= _MASTER_RAM_MIB), "")
        case "keyName":
            choices = tuple(Choice(k.name, k.fingerprint) for k in there.keys)
        case "network" | "floatingNetwork":
            choices = tuple(Choice(n.name, n.id) for n in there.networks if n.external == (key == "floatingNetwork"))
        case "maxSlaves":
            proposal = str(most_slaves(there, answers))
        case _:
            proposal = default(key)
    return choices, proposal or (choices[0].value if choices else "")


def default(key: str) -> str:
    """What a setting is when it isn't set; empty where that is nothing."""
    of_setting = next(field.default for field in Settings.model_fields.values() if field.alias == key)
    return "" if of_setting in (None, PydanticUndefined) else str(of_setting)


def most_slaves(there: There, answers: Mapping[str, str]) -> int:
    """As many slaves as the quota has room for beside the master; a few where it has no limit."""
    master, slave = (_flavor(there, answers.get(key, "")) for key in ("masterFlavor", "slaveFlavor"))
    if not master or not slave:
        return _FEW
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
    return min([*shares, _FEW])


def _flavor(there: There, wanted: str) -> Flavor | None:
    return next((flavor for flavor in there.flavors if wanted in (flavor.name, flavor.id)), None)


def _fits(flavor: Flavor, images: list[Image], wanted: str) -> bool:
    image = next((image for image in images if wanted in (image.name, image.id)), None)
    # A flavor with no disk boots from a volume or takes the image's size.
    return image is None or (
        flavor.ram_mib >= image.min_ram_mib and (not flavor.disk_gib or flavor.disk_gib >= image.min_disk_gib)
    )
