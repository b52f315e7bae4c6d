"""The controller as the master gets it: a wheel of this very checkout, and the pins of what it needs."""

import re
import tempfile
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+(\[[^]]*\])?==[^\s\\]+)(?P<marker>\s*;[^\\]*)?", re.MULTILINE)


def wheel(root: Path = ROOT) -> tuple[str, dict[str, bytes]]:
    """The project's wheel, unpacked: its file name, and path to content of each member.

    The same sources give the same bytes. Unpacked, because the user-data is compressed as a whole: a zip in base64
    inside of it would cost half as much again.
    """
    with tempfile.TemporaryDirectory() as folder:
        built = Path(next(WheelBuilder(str(root)).build(directory=folder, versions=["standard"])))
        with zipfile.ZipFile(built) as members:
            return built.name, {name: members.read(name) for name in members.namelist()}


def requirements(root: Path = ROOT) -> str:
    """The pins of `requirements.lock`, without its hashes, which would not fit into user-data."""
    lock = (root / "requirements.lock").read_text()
    return "".join(f"{m['pin']}{(m['marker'] or '').rstrip()}\n" for m in PIN.finditer(lock))
