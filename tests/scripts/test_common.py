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

INTERRUPTED = """#!/bin/sh
echo "apt-get $*" >>"$CALLS"
case $* in
  *install*) [ -e "$CALLS.configured" ] || { echo "E: dpkg was interrupted" >&2; exit 100; } ;;
esac
"""
DPKG = """#!/bin/sh
echo "dpkg $*" >>"$CALLS"
touch "$CALLS.configured"
"""


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def sourced(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command that the scripts share, with the programs of this folder before the machine's own."""
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"set -e; source scripts/lib/common.sh; {command}"],
        cwd=ROOT,
        env=os.environ | {"PATH": path, "CALLS": str(folder / "calls"), "ECM_CACHE": str(folder / "cache")} | env,
        capture_output=True,
        text=True,
        check=False,
    )


def update(folder: Path, says: str) -> tuple[int, int, str]:
    """Exit status, number of calls and output of an update whose first two calls of apt-get fail with these words."""
    program(folder, "apt-get", APT)
    (folder / "sleep").symlink_to("/bin/true")
    done = sourced(folder, "update_package_lists -q", SAYS=says)
    return done.returncode, len((folder / "calls").read_text().splitlines()), done.stdout


def test_package_lists_that_another_apt_holds_are_waited_for(tmp_path: Path) -> None:
    status, calls, _ = update(tmp_path, "Could not get lock /var/lib/apt/lists/lock. It is held by process 7")
    assert (status, calls) == (0, 3)


def test_any_other_failure_of_apt_is_told_at_once(tmp_path: Path) -> None:
    status, calls, said = update(tmp_path, "The repository does not have a Release file")
    assert (status, calls) == (1, 1)
    assert "Release file" in said


def test_an_installation_that_was_killed_in_the_middle_is_ended_before_the_next(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", INTERRUPTED)
    program(tmp_path, "dpkg", DPKG)
    assert sourced(tmp_path, "apt_install curl").returncode == 0
    _, first, mended, second = (tmp_path / "calls").read_text().splitlines()
    assert mended == "dpkg --configure -a"
    assert first == second
    assert first.endswith("install --yes --no-install-recommends curl")


def test_two_that_want_uv_at_once_install_it_once(tmp_path: Path) -> None:
    program(tmp_path, "python3", '#!/bin/sh\necho made >>"$CALLS"\nmkdir -p "$3/bin"; cp "$0.fake" "$3/bin/python"\n')
    program(tmp_path, "python3.fake", '#!/bin/sh\nsleep 0.2\ncp "$0" "${0%python}uv"\n')
    done = sourced(
        tmp_path, '(install_uv "$TARGET") & one=$!; (install_uv "$TARGET"); wait $one', TARGET=f"{tmp_path}/uv"
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text() == "made\n"
    assert (tmp_path / "uv" / "bin" / "uv").exists()
