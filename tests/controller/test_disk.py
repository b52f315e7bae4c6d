"""Files are whole or old; a disk that fails is said once."""

import errno
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.disk import BestEffort, replace_file


@pytest.mark.parametrize("lasting", [False, True])
def test_a_file_is_replaced_as_a_whole(tmp_path: Path, *, lasting: bool) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old", lasting=lasting)
    replace_file(path, b"new", lasting=lasting)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_is_said_when_it_begins_and_when_it_ends() -> None:
    attempt = BestEffort()

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with capture_logs() as said:
        for write in (full, full, full, lambda: None, lambda: None, full):
            attempt("journal", write)
    assert [(line["log_level"], line["what"]) for line in said] == [
        ("warning", "journal"),
        ("info", "journal"),
        ("warning", "journal"),
    ]
    assert said[0]["why"] == "No space left on device"


def test_what_fails_is_told_apart() -> None:
    attempt = BestEffort()
    with capture_logs() as said:
        for what in ("journal", "status"):
            attempt(what, lambda: Path("/dev/full").write_bytes(b"x"))
    assert [line["what"] for line in said] == ["journal", "status"]
