"""The commands of docs/operations.md about the state, tried with a real Pulumi and folders for backends."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STACK = "pulumi:pulumi:Stack"
STATE = {
    "version": 3,
    "deployment": {
        "manifest": {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""},
        "resources": [
            {"urn": "urn:pulumi:mycluster::ecm::pulumi:pulumi:Stack::ecm-mycluster", "type": "pulumi:pulumi:Stack"}
        ],
    },
}


def block(title: str) -> list[str]:
    """The first commands below a title."""
    section = (ROOT / "docs" / "operations.md").read_text().partition(f"\n## {title}\n")[2]
    found = re.search(r"(?:^    \S.*\n)+", section, re.MULTILINE)
    return [line.strip() for line in found[0].splitlines()] if found else []


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., str]:
    """Runs commands in bash, in the folder of a stack `mycluster`; each backend is a folder."""
    (tmp_path / "Pulumi.yaml").write_text("name: ecm\nruntime: python\n")
    own = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    own |= {"PULUMI_BACKEND_URL": f"file://{tmp_path}/old", "NEW": f"file://{tmp_path}/new"}
    own |= {"PULUMI_CONFIG_PASSPHRASE": "phrase", "PULUMI_SKIP_UPDATE_CHECK": "1"}

    def run(*commands: str, stdin: str = "") -> str:
        whole = ["bash", "-ec", "\n".join(commands)]
        done = subprocess.run(whole, cwd=tmp_path, env=own, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return done.stdout

    (tmp_path / "made.json").write_text(json.dumps(STATE))
    run(
        "pulumi stack init mycluster",
        "pulumi config set --secret ecm:word sesame",
        "pulumi stack import --file made.json",
    )
    return run


def test_a_state_is_backed_up_as_the_documentation_says(shell: Callable[..., str]) -> None:
    export, restore = block("Back up the state")
    shell(export, "pulumi stack rm --yes --force --preserve-config mycluster", "pulumi stack init mycluster", restore)
    assert "ecm-mycluster" in shell("pulumi stack export --stack mycluster")


def test_a_state_is_moved_as_the_documentation_says(shell: Callable[..., str]) -> None:
    pause, *move = block("Move the state")
    assert pause.startswith("ecm pause ")
    shell(*move, stdin="postgres://master@db/pulumi")
    there = "export PULUMI_BACKEND_URL=$NEW"
    assert "ecm-mycluster" in shell(there, "pulumi stack export --stack mycluster")
    assert shell(there, "pulumi config get ecm:word --stack mycluster") == "sesame\n"
    assert shell(there, "pulumi config get ecm:masterBackendUrl --stack mycluster") == "postgres://master@db/pulumi\n"
    shell("pulumi stack rm --yes --force --preserve-config mycluster")
    assert shell(there, "pulumi stack ls --json | grep -c mycluster") == "1\n"
