"""What of `ecm` the master runs, packed up: its user-data has no room for it, so that the first command brings it."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parents[1]
FOLDER = "/opt/ecm/cli"
LAUNCHER = b"#!/opt/ecm/venv/bin/python\nfrom cli.main import main\n\nmain()\n"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One version: the same sources make the same name."""

    name: str
    content: bytes
    """A gzipped tar file."""

    @property
    def program(self) -> str:
        """Where it is on the master once it is there."""
        return f"{FOLDER}/{self.name}/ecm"

    @property
    def unpack(self) -> str:
        """The command that takes the content by standard input. What is half unpacked is never run."""
        here = f"{FOLDER}/{self.name}"
        steps = (
            f"mkdir -p {here}.new",
            f"tar -xz -C {here}.new",
            f"rm -rf {here}",
            f"mv {here}.new {here}",
            f"ln -sfn {here}/ecm /usr/local/bin/ecm",
        )
        return f"sudo -n sh -c 'umask 022; {' && '.join(steps)}'"


@cache
def parcel(sources: Path = SOURCES) -> Parcel:
    """Packs this checkout's."""
    files = [file for file in sorted(sources.rglob("*.py")) if "laptop" not in file.parts]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, "ecm", LAUNCHER, 0o755)
        for file in files:
            _add(tar, f"cli/{file.relative_to(sources)}", file.read_bytes(), 0o644)
    return Parcel(hashlib.sha256(packed.getvalue()).hexdigest()[:12], gzip.compress(packed.getvalue(), mtime=0))


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))
