"""What of a joined slave's ad is taken to hold for the next one."""

import pytest

from cluster.offer import offer
from controller import template
from controller.model import Room


def test_only_what_lasts_is_learned_and_nothing_of_it_is_taken() -> None:
    ad = {
        "Cpus": 0,
        "TotalSlotCpus": 2,
        "Memory": 100,
        "TotalSlotMemory": 1900,
        "Disk": 5,
        "TotalSlotDisk": 4000.0,
        "Arch": "X86_64",
        "OpSysAndVer": "Debian13",
        "HasDocker": True,
        "HAS_MATLAB": True,
        "Name": "slot1@a.pool",
        "Machine": "a.pool",
        "LoadAvg": 0.9,
        "State": "Unclaimed",
        "MyCurrentTime": 7,
    }
    learned = template.learned(ad)
    assert template.room(learned) == Room(2, 1900, 4000)
    assert learned.items() >= {"HasDocker": True, "HAS_MATLAB": True, "OpSysAndVer": "Debian13"}.items()
    assert not {"Name", "Machine", "LoadAvg", "State", "MyCurrentTime"} & set(learned)


@pytest.mark.parametrize(
    "disk",
    [
        *({}, {"TotalSlotDisk": 0.0}, {"TotalSlotDisk": "unknown"}, {"TotalSlotDisk": float("inf")}),
        *({"TotalSlotDisk": float("nan")}, {"TotalSlotDisk": 1e19}),  # HTCondor has no such whole number
    ],
)
def test_an_ad_without_a_size_teaches_nothing(disk: dict[str, object]) -> None:
    assert template.learned({"TotalSlotCpus": 2, "TotalSlotMemory": 1900, "HasDocker": True} | disk) == {}


def test_gpus_in_use_are_learned_too() -> None:
    """`GPUs` of a partitionable slot is what is left of them."""
    ad = {"TotalSlotCpus": 8, "TotalSlotMemory": 1900, "TotalSlotDisk": 4000, "TotalSlotGPUs": 2, "GPUs": 0}
    assert template.room(template.learned(ad)) == Room(8, 1900, 4000, gpus=2)


def test_gpus_without_number_are_none() -> None:
    ad = {"TotalSlotCpus": 8, "TotalSlotMemory": 1900, "TotalSlotDisk": 4000, "TotalSlotGPUs": 1e19}
    assert template.learned(ad)["GPUs"] == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, 2**62, -(2**63), [1]])
def test_what_no_ad_can_hold_is_not_learned(value: object) -> None:
    ad = {"TotalSlotCpus": 8, "TotalSlotMemory": 1900, "TotalSlotDisk": 4000, "HasEvil": value, "HasGood": 1.5}
    learned = template.learned(ad)
    assert ("HasEvil" in learned, learned["HasGood"], template.usable(learned)) == (False, 1.5, True)


@pytest.mark.parametrize(
    ("several", "offered"),
    [([3900], 3900), ([5, 4000], 4000), ([3900, 3900, 4000], 3900), ([3900, 4000, 4000], 4000), ([5, 9, 9**9], 9)],
)
def test_a_new_slave_is_as_large_as_most_are(several: list[int], offered: int) -> None:
    """Not as the largest is: what is asked for by that would bring slave after slave that is too small."""
    learned = [template.learned({"TotalSlotCpus": 8, "TotalSlotMemory": m, "TotalSlotDisk": 4000}) for m in several]
    best = template.best(learned)
    assert (best["Memory"], best["TotalSlotMemory"]) == (offered, offered)


def test_the_best_of_several_slaves_is_what_a_new_one_offers() -> None:
    newest = {"Disk": 5, "HasDocker": False, "CondorVersion": "24"}
    older = {"Disk": 4000, "HasDocker": True, "CondorVersion": "23", "HasJava": True}
    best = template.best([newest, {}, older])
    assert best == {"Disk": 4000, "HasDocker": True, "CondorVersion": "24", "HasJava": True}
    assert best["HasDocker"] is True
    assert template.best([{}]) == {}


def test_only_a_slave_that_has_joined_tells_what_slaves_lack() -> None:
    offered = offer(vcpus=1, ram_mib=1024, disk_gib=4, jobs_per_slave=None, docker=False, apptainer=None)
    joined = template.learned({"TotalSlotCpus": 1, "TotalSlotMemory": 900, "TotalSlotDisk": 10, "HasDocker": True})
    assert not template.lacks(template.ad(offered), "HasJava")
    assert template.lacks(joined, "HasJava")
    assert not template.lacks(joined, "hasdocker")
    assert not template.lacks(joined, "Site"), "that isn't kept of an ad"
