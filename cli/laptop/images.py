"""Whether a cluster can be made of an image. Pure."""

from cloudinit.systems import SYSTEMS, UNUSABLE


def problem(system: str | None) -> str:
    """Why no whole cluster can be made of an image of this system; empty when one can.

    Args:
        system: as `cloudinit.systems.find` tells it.
    """
    if system is None:
        return "its system can't be told: ecm:os names it"
    if system in UNUSABLE:
        return UNUSABLE[system]
    why = SYSTEMS[system].no_master
    return f"for slaves only: {why}" if why else ""
