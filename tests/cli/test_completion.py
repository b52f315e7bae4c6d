"""Tab completes commands, options and names, in a shell as it is installed there, and at once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import completed, words

ROOT = Path(__file__).parents[2]
HEAVY = "{'openstack', 'keystoneauth1', 'pulumi', 'pulumi_openstack', 'grpc'}"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--version"], {}),
        ([], words("ecm ")),
        ([], words("ecm st")),
        ([], words("ecm --stack ")),
        ([], words("ecm drain ")),
        ([], words("ecm status --")),
    ],
)
def test_what_has_to_be_there_at_once_loads_neither_openstack_nor_pulumi(
    arguments: list[str], environment: dict[str, str]
) -> None:
    told = f"atexit.register(lambda: print('loaded', {HEAVY} & {{*sys.modules}}))"
    asked = f"import atexit, sys; from cli import main; {told}; main.main()"
    done = subprocess.run(
        [sys.executable, "-c", asked, *arguments],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("loaded set()\n"), done
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ecm re", ["replay", "resume", "recycle", "restart"]),
        ("ecm config ", ["check"]),
        ("ecm status --w", ["--watch"]),
        ("ecm --sta", ["--stack"]),
        ("ecm drain ", []),
    ],
)
def test_commands_and_options_are_completed(line: str, found: list[str]) -> None:
    assert completed(line) == found


def test_stacks_are_completed_by_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.prod.yaml"):
        (tmp_path / name).touch()
    assert completed("ecm --stack ") == ["dev", "prod"]
    assert completed("ecm -s p") == ["prod"]


@pytest.fixture
def bash(tmp_path: Path) -> Callable[[str], list[str]]:
    """What Tab offers at the end of a line, in a bash where the completion was just installed."""
    shell = shutil.which("bash")
    if not shell:
        pytest.skip("there is no bash here")
    (tmp_path / "bin").mkdir()
    ecm = tmp_path / "bin" / "ecm"
    ecm.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    ecm.chmod(0o755)
    own = {"HOME": str(tmp_path), "PATH": f"{ecm.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LC_ALL": "C"}

    def offered(line: str) -> list[str]:
        script = """
          . ~/.bashrc
          COMP_WORDS=($1)
          if [ "$2" = 1 ]; then COMP_WORDS+=(""); fi
          COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
          _ecm_completion ecm
          printf '%s\\n' "${COMPREPLY[@]}"
        """
        begun = str(int(line.endswith(" ")))
        done = subprocess.run(
            [shell, "--norc", "-c", script, "bash", line, begun], env=own, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    subprocess.run([ecm, "--install-completion", "bash"], env=own, cwd=tmp_path, capture_output=True, check=True)
    return offered


def test_the_completion_that_is_installed_serves_in_bash(bash: Callable[[str], list[str]]) -> None:
    assert bash("ecm re") == ["replay", "resume", "recycle", "restart"]
    assert bash("ecm status --js") == ["--json"]
    assert "images" in bash("ecm ")
