"""What of a joined slave's ad is taken to hold for the next one."""

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
