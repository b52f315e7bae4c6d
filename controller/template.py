"""The ad that a slave of the flavor will advertise, as far as jobs look at it, before any slave has joined."""

from typing import Any

from cluster.offer import Offer


def ad(offered: Offer) -> dict[str, Any]:
    """The attributes of a slave's whole partitionable slot: memory in MiB, disk in KiB, as HTCondor has them."""
    return {
        "Arch": "X86_64",
        "OpSys": "LINUX",
        "OpSysAndVer": "Linux",
        "Cpus": offered.cpus,
        "TotalCpus": offered.cpus,
        "Memory": offered.memory_mib,
        "TotalMemory": offered.memory_mib,
        "Disk": offered.disk_kib,
        "TotalDisk": offered.disk_kib,
        "HasFileTransfer": True,
        "HasJobTransferPlugins": True,
        "HasDocker": False,
        "HasSingularity": False,
        "GPUs": 0,
    }
