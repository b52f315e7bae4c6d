"""The ad that a slave of the flavor will advertise, as far as jobs look at it, before any slave has joined."""

from typing import Any

from cluster.offer import Offer


def ad(offered: Offer) -> dict[str, Any]:
    """The attributes of a slave's whole partitionable slot: memory in MiB, disk in KiB, as HTCondor has them.

    What isn't known before a slave has joined isn't there: it makes no job impossible.
    """
    containers = {"HasDocker": offered.docker}
    if offered.apptainer is not None:
        containers |= {"HasSingularity": offered.apptainer, "HasSIF": offered.apptainer}
        containers |= dict.fromkeys(("HasContainer", "HasDockerURL"), offered.docker or offered.apptainer)
    elif offered.docker:
        containers |= {"HasContainer": True, "HasDockerURL": True}
    return {
        "Arch": "X86_64",
        "OpSys": "LINUX",
        "Cpus": offered.cpus,
        "TotalCpus": offered.cpus,
        "Memory": offered.memory_mib,
        "TotalMemory": offered.memory_mib,
        "Disk": offered.disk_kib,
        "TotalDisk": offered.disk_kib,
        "HasFileTransfer": True,
        "HasJobTransferPlugins": True,
        "GPUs": 0,
        **containers,
    }
