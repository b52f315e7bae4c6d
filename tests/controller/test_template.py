"""What of a joined slave's ad is taken to hold for the next one."""

import pytest

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


@pytest.mark.parametrize("disk", [{}, {"TotalSlotDisk": 0.0}, {"TotalSlotDisk": "unknown"}])
def test_an_ad_without_a_size_teaches_nothing(disk: dict[str, object]) -> None:
    assert template.learned({"TotalSlotCpus": 2, "TotalSlotMemory": 1900, "HasDocker": True} | disk) == {}
