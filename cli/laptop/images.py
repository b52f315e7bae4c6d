"""Whether a cluster can be made of an image, and which account its key opens. Pure."""

from cloudinit.systems import SYSTEMS, UNUSABLE

_LOGINS = (
    *((word, word) for word in ("debian", "ubuntu", "fedora", "rocky", "centos")),
    ("alma", "almalinux"),
    ("trixie", "debian"),
    ("bookworm", "debian"),
    ("noble", "ubuntu"),
    ("jammy", "ubuntu"),
    ("rhel", "cloud-user"),
    ("red hat", "cloud-user"),
    ("cernvm", "root"),
)


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


def login(name: str) -> str:
    """The account that the key opens on an image of this name, as its makers have it; empty if that isn't known."""
    text = name.lower()
    return next((account for word, account in _LOGINS if word in text), "")
