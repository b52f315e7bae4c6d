"""When a restart would bring another controller, and how one is noted to work."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller.release import TRY_AGAIN, Releases

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "release.json", running="old")


@pytest.mark.parametrize(("wanted", "due"), [("new", True), ("old", False), ("", False), ("bad", False)])
def test_another_release_is_due_unless_it_was_given_up(releases: Releases, wanted: str, *, due: bool) -> None:
    releases.notes.write_text(json.dumps({"failed": {"digest": "bad"}}))
    assert releases.due(wanted, NOW) is due


def test_without_notes_another_release_is_due(releases: Releases) -> None:
    assert releases.due("new", NOW)


@pytest.mark.parametrize(("seconds_ago", "due"), [(1, False), (TRY_AGAIN - 1, False), (TRY_AGAIN, True), (-60, True)])
def test_a_release_that_a_start_could_not_get_is_due_again_later(
    releases: Releases, seconds_ago: int, *, due: bool
) -> None:
    releases.notes.write_text(json.dumps({"missed": int(NOW.timestamp()) - seconds_ago}))
    assert releases.due("new", NOW) is due


@pytest.mark.parametrize(("proved", "starts"), [("older", 1), ("old", 2)])
def test_a_start_that_was_ended_on_purpose_does_not_count(releases: Releases, proved: str, starts: int) -> None:
    releases.notes.write_text(json.dumps({"proved": proved, "starts": 2}))
    releases.forgive()
    assert json.loads(releases.notes.read_text()) == {"proved": proved, "starts": starts}


def test_without_notes_there_is_nothing_to_take_back(releases: Releases) -> None:
    releases.forgive()
    assert not releases.notes.exists()


def test_a_release_that_works_is_noted_beside_what_was_given_up(releases: Releases) -> None:
    releases.notes.write_text(json.dumps({"failed": {"digest": "bad"}, "starts": 2}))
    releases.prove()
    assert json.loads(releases.notes.read_text()) == {"failed": {"digest": "bad"}, "starts": 0, "proved": "old"}
