"""The controller as the master gets it: a wheel of this very checkout, and the pins of what it needs."""

import ast
import re
import tempfile
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PACKAGES = ("cluster", "cloudinit", "controller")
PIN = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+(\[[^]]*\])?==[^\s\\]+)(?P<marker>\s*;[^\\]*)?", re.MULTILINE)


def wheel(root: Path = ROOT) -> tuple[str, dict[str, bytes]]:
    """The project's wheel, unpacked: its file name, and path to content of each member.

    The same sources give the same bytes. Unpacked, because the user-data is compressed as a whole: a zip in base64
    inside of it would cost half as much again. Without comments and docstrings, which are a third of it,
    and without `ecm`, which the user's machine brings (`cli.laptop.parcel`): user-data has little room.
    """
    with tempfile.TemporaryDirectory() as folder:
        lean_root = Path(folder)
        (lean_root / "pyproject.toml").write_bytes((root / "pyproject.toml").read_bytes())
        for source in (path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file()):
            if source.suffix != ".pyc":
                copy = lean_root / source.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                content = source.read_bytes()
                copy.write_bytes(lean(content.decode()).encode() if source.suffix == ".py" else content)
        built = Path(next(WheelBuilder(str(lean_root)).build(directory=folder, versions=["standard"])))
        with zipfile.ZipFile(built) as members:
            return built.name, {name: members.read(name) for name in members.namelist()}


def lean(source: str) -> str:
    """A module's source without comments and docstrings: the same program in fewer bytes."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree) + "\n"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def requirements(root: Path = ROOT) -> str:
    """The pins of `requirements.lock`, without its hashes, which would not fit into user-data."""
    lock = (root / "requirements.lock").read_text()
    return "".join(f"{m['pin']}{(m['marker'] or '').rstrip()}\n" for m in PIN.finditer(lock))
