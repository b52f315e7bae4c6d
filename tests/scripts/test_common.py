"""What `scripts/lib/common.sh` does beside other programs that use the same machine."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
APT = """#!/bin/sh
echo called >>"$CALLS"
[ "$(wc -l <"$CALLS")" -ge 3 ] && echo "Reading package lists..." && exit 0
echo "E: $SAYS" >&2
exit 100
"""


def update(folder: Path, says: str) -> tuple[int, int, str]:
    """Exit status, number of calls and output of an update whose first two calls of apt-get fail with these words."""
    apt = folder / "apt-get"
    apt.write_text(APT)
    apt.chmod(0o755)
    (folder / "sleep").symlink_to("/bin/true")
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(folder / "calls"), "SAYS": says}
    done = subprocess.run(
        ["bash", "-c", "source scripts/lib/common.sh; update_package_lists -q"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, len((folder / "calls").read_text().splitlines()), done.stdout


def test_package_lists_that_another_apt_holds_are_waited_for(tmp_path: Path) -> None:
    status, calls, _ = update(tmp_path, "Could not get lock /var/lib/apt/lists/lock. It is held by process 7")
    assert (status, calls) == (0, 3)


def test_any_other_failure_of_apt_is_told_at_once(tmp_path: Path) -> None:
    status, calls, said = update(tmp_path, "The repository does not have a Release file")
    assert (status, calls) == (1, 1)
    assert "Release file" in said
