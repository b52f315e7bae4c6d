"""What is installed as a package has all that it imports."""

import ast
import tomllib

from demo.user import ROOT


def test_the_packages_that_are_installed_import_none_that_is_not() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    installed = set(settings["hatch"]["build"]["targets"]["wheel"]["packages"])
    ours = set(settings["importlinter"]["root_packages"])
    files = [file for package in installed for file in (ROOT / package).rglob("*.py")]
    imported = {
        str(node.module if isinstance(node, ast.ImportFrom) else alias.name).split(".")[0]
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert "simulate" in imported & ours
    assert imported & ours <= installed
