"""The controller as the master gets it: an archive of this very checkout, with the pins of what it needs.

It travels in the stack's state, not in the user-data: that has no room for it, and a running master gets a new one by
the same way.
"""

import ast
import base64
import hashlib
import io
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cloudinit import systems

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "cluster", "cloudinit", "controller")
LAPTOP = "cli/laptop/"
"""What only the user's machine needs."""
DIGITS = 16
"""Of a release's digest: its name, and the name of its folder on the master."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the controller."""

    digest: str
    """Start of the archive's SHA-256: the same sources give the same one."""
    archive: str
    """A tar file, compressed by xz, in base64."""


def release(root: Path = ROOT) -> Release:
    """The release that this checkout is."""
    number = version("elastic-condor")
    metadata = f"Metadata-Version: 2.1\nName: elastic-condor\nVersion: {number}\n"
    members = {
        **sources(root),
        "requirements.txt": requirements(root).encode(),
        f"elastic_condor-{number}.dist-info/METADATA": metadata.encode(),
    }
    content = lzma.compress(_tar(members), preset=9)
    return Release(hashlib.sha256(content).hexdigest()[:DIGITS], base64.b64encode(content).decode())


def sources(root: Path) -> dict[str, bytes]:
    """The files of the packages that the master needs, by their path; modules without comments and docstrings."""
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file())
    return {
        name: lean(path.read_text()).encode() if path.suffix == ".py" else path.read_bytes()
        for path in files
        if not (name := str(path.relative_to(root))).endswith(".pyc") and not name.startswith(LAPTOP)
    }


def _tar(members: Mapping[str, bytes]) -> bytes:
    """Without times and owners, so that the same members give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@cache
def lean(source: str) -> str:
    """A module's source without comments and docstrings: the same program in fewer bytes.

    Those of commands are kept: they are what `--help` shows.
    """
    tree = ast.parse(source)
    commands = {node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _is_command(node)}
    for node in ast.walk(tree):
        if node in commands:
            continue
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree) + "\n"


def _is_command(node: ast.FunctionDef) -> bool:
    """Whether typer's `@….command(…)` or `@….callback(…)` decorates it."""
    calls = (decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call))
    return any(isinstance(call, ast.Attribute) and call.attr in ("command", "callback") for call in calls)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def requirements(root: Path = ROOT) -> str:
    """The pins of `requirements.lock`, with their hashes, a line each."""
    return "".join(f"{pin}\n" for pin in systems.requirements((root / "requirements.lock").read_text()))
