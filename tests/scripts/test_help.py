"""Every script says how it is used, and does nothing then."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ("bench", "check", "faults", "setup", "test", "toolchain")


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_help_of_a_script_is_its_head_and_runs_nothing(name: str, option: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    script = tmp_path / "scripts" / name
    done = subprocess.run(
        [script, option],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    head = script.read_text().splitlines()[1:]
    comments = [line for line in head[: head.index("set -euo pipefail")] if line]
    assert done.stdout.splitlines() == [line.removeprefix("#").removeprefix(" ") for line in comments]
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]
