"""Which system an image holds, and whether a cluster can be made of it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

RELEASES = {
    "debian": ("12", "13"),
    "ubuntu": ("22.04", "24.04"),
    "almalinux": ("8", "9", "10"),
    "rocky": ("8", "9", "10"),
    "rhel": ("8", "9", "10"),
    "fedora": (),
    "centos": ("7",),
    "ucernvm": (),
}
"""The releases of each family that a cluster can be made of; any, where none is named."""

_LOGINS = {"rhel": "cloud-user", "ucernvm": "root", "centos stream": "cloud-user"}
_FAMILIES = {
    "ucernvm": r"u?cernvm",
    "debian": "debian",
    "ubuntu": "ubuntu",
    "almalinux": "alma(linux)?",
    "rocky": "rocky(linux)?",
    "rhel": "rhel|red ?hat",
    "fedora": "fedora",
    "centos stream": "centos[ _-]?stream",
    "centos": "centos",
    "scientific linux": "scientific|sl(?=[ _-]?[67])",
}
_CODENAMES = {
    "bullseye": ("debian", "11"),
    "bookworm": ("debian", "12"),
    "trixie": ("debian", "13"),
    "focal": ("ubuntu", "20.04"),
    "jammy": ("ubuntu", "22.04"),
    "noble": ("ubuntu", "24.04"),
}
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class System:
    """What an image holds, as far as its name and properties tell; empty where they don't."""

    family: str
    release: str

    @property
    def login(self) -> str:
        """The account that the image's key opens; empty when the family is unknown."""
        return _LOGINS.get(self.family, self.family)

    @property
    def problem(self) -> str:
        """Why no cluster can be made of it; empty when one can."""
        if not self.family:
            return "neither its name nor os_distro tells its system"
        if self.release == "6":
            return "end of life, and no HTCondor with tokens"
        if self.family not in RELEASES:
            return f"{self.family} is not supported"
        good = RELEASES[self.family]
        if good and self.release not in good:
            return f"not supported: {' and '.join(good)} are" if len(good) > 1 else f"not supported: {good[0]} is"
        return ""


def system(name: str, properties: Mapping[str, str | None]) -> System:
    """Tells an image's system by its properties `os_distro` and `os_version`, and by its name where they are unset."""
    distro, version = (properties.get(key) or "" for key in ("os_distro", "os_version"))
    for told in (distro.lower(), name.lower()):
        for codename, known in _CODENAMES.items():
            if codename in told:
                return System(*known)
        for family, pattern in _FAMILIES.items():
            if hit := re.search(rf"\b({pattern})", told):
                return System(family, _release(family, version or name.lower().partition(hit[0])[2]))
    return System(distro, "")


def _release(family: str, text: str) -> str:
    number = _NUMBER.search(text)
    if not number:
        return ""
    if family == "ubuntu":
        return number[0]
    # 9.4 is a 9, and SL68 is what others write 6.8.
    return number[0][0] if family == "scientific linux" else number[0].partition(".")[0]
