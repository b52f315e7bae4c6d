"""Whether people want the controller to stand still."""

from pathlib import Path

from controller.requests import PAUSED, paused


def test_without_a_file_nobody_paused_it(tmp_path: Path) -> None:
    assert paused(tmp_path) == ""


def test_the_file_says_who_and_why(tmp_path: Path) -> None:
    (tmp_path / PAUSED).write_text("by ada: cables\n")
    assert paused(tmp_path) == "by ada: cables"


def test_an_empty_file_pauses_too(tmp_path: Path) -> None:
    (tmp_path / PAUSED).touch()
    assert paused(tmp_path)


def test_a_file_that_cannot_be_read_pauses_too(tmp_path: Path) -> None:
    (tmp_path / PAUSED).mkdir()
    assert "can't be read" in paused(tmp_path)
