"""One controller on a master, held by a real lock of the kernel."""

import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller import single
from controller.errors import OutsideError
from controller.single import only_one
from tests.controller.made_up import NOBODY

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with only_one(lock, NOW), pytest.raises(OutsideError) as refused:
        only_one(lock, NOW)
    assert "another controller runs here - pid " in str(refused.value)
    assert "since 2026-01-01 00:00:00 UTC" in str(refused.value)


def test_it_is_free_when_the_first_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path / "lock", NOW):
            pass


def test_a_full_disk_is_no_reason_not_to_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is there already, and nothing can be written into it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(single, "_sign", full)
    with only_one(tmp_path / "lock", NOW), pytest.raises(OutsideError, match="another controller runs here - unknown"):
        only_one(tmp_path / "lock", NOW)


@pytest.mark.skipif(os.getuid() != 0, reason="takes another account")
@pytest.mark.parametrize("left", [False, True])
def test_another_account_cannot_hold_it(open_to_all: Path, *, left: bool) -> None:
    """The kernel gives a lock to whoever may read the file; an earlier version left one that all may."""
    lock = open_to_all / "controller.lock"
    if left:
        lock.touch(0o644)
    only_one(lock, NOW).close()
    hold = ["flock", "--nonblock", str(lock), "true"]
    theirs = subprocess.run(hold, user=NOBODY, capture_output=True, text=True, check=False)
    assert "Permission denied" in theirs.stderr
    only_one(lock, NOW).close()


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutsideError, match=r"controller.lock can't be opened - File exists - "):
        only_one(tmp_path / "file" / "controller.lock", NOW)


def test_a_kill_frees_it_though_a_child_lives_on(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from datetime import datetime; from pathlib import Path;"
        "from controller.single import only_one\n"
        "with only_one(Path(sys.argv[1]), datetime.now()):\n"
        "    child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        child = first.stdout.readline().strip()
        with pytest.raises(OutsideError, match=f"pid {first.pid} "):
            only_one(tmp_path / "lock", NOW)
        first.kill()
        first.wait()
        try:
            only_one(tmp_path / "lock", NOW).close()
        finally:
            subprocess.run(["kill", child], check=True)
