"""What one slave offers to jobs: the one place that both configures its startd and predicts what will match it."""

from dataclasses import dataclass

X86_64 = "x86_64"
RESERVED_SHARE = 16
RESERVED_LEAST_MIB = 128


@dataclass(frozen=True, slots=True)
class Offer:
    """CPUs, memory and disk that a slave's startd advertises, and how many jobs it runs at once."""

    cpus: int
    memory_mib: int
    disk_kib: int
    jobs: int
    docker: bool
    apptainer: bool | None
    """Whether there is Apptainer for SIF images; None when that depends on the image."""
    architecture: str = X86_64
    """The processor's, as OpenStack names it."""


def offer(  # noqa: PLR0913 - a flavor has that many numbers, all by name
    *,
    vcpus: int,
    ram_mib: int,
    disk_gib: int,
    jobs_per_slave: int | None,
    docker: bool,
    apptainer: bool | None,
    architecture: str = X86_64,
) -> Offer:
    """The offer of a flavor (RAM in MiB, disk in GiB), of a system's containers and of an image's architecture.

    A sixteenth of the RAM, at least 128 MiB, stays with the system and HTCondor's daemons; a flavor without a disk of
    its own offers what its image has, taken here as no limit.
    """
    reserved = max(RESERVED_LEAST_MIB, ram_mib // RESERVED_SHARE)
    disk_kib = disk_gib * 1024 * 1024 if disk_gib else 2**40
    return Offer(vcpus, ram_mib - reserved, disk_kib, jobs_per_slave or vcpus, docker, apptainer, architecture)
