"""What the master gets of this checkout."""

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

from cloudinit import payload

ROOT = Path(__file__).parents[2]


def members() -> dict[str, bytes]:
    content = base64.b64decode(payload.release().archive)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        return {m.name: f.read() for m in archive.getmembers() if (f := archive.extractfile(m))}


def test_a_release_has_all_that_the_controller_imports_and_needs() -> None:
    there = members()
    for package in payload.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            assert (name in there) != name.startswith(payload.LAPTOP)
    assert "cluster/access-rules.json" in there
    assert "cloudinit/files/slave/usr/local/sbin/ecm-first-boot" in there
    assert b"structlog==" in there["requirements.txt"]
    assert any(path.endswith(".dist-info/METADATA") for path in there)


def test_a_modules_text_goes_and_its_code_stays() -> None:
    whole = (ROOT / "controller" / "decide.py").read_text()
    lean = members()["controller/decide.py"].decode()
    assert whole.startswith('"""')
    assert '"""' not in lean
    assert compile(lean, "x", "exec").co_names == compile(whole, "x", "exec", optimize=2).co_names


def test_the_same_sources_give_the_same_release_and_its_name_is_its_digest() -> None:
    release = payload.release()
    assert release == payload.release()
    assert hashlib.sha256(base64.b64decode(release.archive)).hexdigest().startswith(release.digest)
    assert len(release.digest) == payload.DIGITS


def test_requirements_are_pins_with_hashes() -> None:
    lines = payload.requirements().splitlines()
    assert len(lines) > 20
    assert all("==" in line and " --hash=sha256:" in line for line in lines)
    assert any(line.startswith("pulumi==") for line in lines)
    assert any(line.startswith("htcondor==") for line in lines)


def test_a_lean_module_is_the_same_program() -> None:
    source = '"""Says what."""\nX = 1  # why\n"""Of X."""\n\ndef f():\n    """Gives a text."""\n    return "# kept"\n'
    assert payload.lean(source) == "X = 1\n\ndef f():\n    return '# kept'\n"


def test_a_command_keeps_its_text_which_is_its_help() -> None:
    source = '@app.command("x")\ndef f():\n    """Does it."""\n'
    assert "Does it." in payload.lean(source)


def test_the_masters_own_ecm_runs_from_a_release(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(payload.release().archive)), mode="r:xz") as archive:
        archive.extractall(tmp_path, filter="data")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "status", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: ecm status" in done.stdout
    assert "Show the pool at a glance" in done.stdout
