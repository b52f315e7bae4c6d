"""What people ask for gets into what the controller sees, until it is met."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.model import Phase, Slave, Snapshot
from controller.requests import Requests

LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(tmp_path)


def slave(name: str, *, outdated: bool = False) -> Slave:
    return Slave(name, Phase.BUSY, datetime.now(UTC), "id", outdated=outdated)


def ask_drain(requests: Requests, name: str) -> None:
    requests.drains.mkdir(exist_ok=True)
    (requests.drains / name).touch()


def test_nobody_asks_for_anything(requests: Requests) -> None:
    seen = Snapshot(slaves=(slave("a"),))
    assert requests.into(seen) == seen


@pytest.mark.parametrize(("text", "says"), [("by ada: cables\n", "by ada: cables"), ("", "nobody says why")])
def test_a_pause_says_who_and_why(requests: Requests, text: str, says: str) -> None:
    requests.pause.write_text(text)
    assert requests.into(Snapshot()).paused == says


def test_a_pause_that_cannot_be_read_pauses_too(requests: Requests) -> None:
    requests.pause.mkdir()
    assert "can't be read" in requests.into(Snapshot()).paused


def test_a_slave_is_unwanted_until_it_is_gone(requests: Requests) -> None:
    ask_drain(requests, "a")
    seen = requests.into(Snapshot(slaves=(slave("a"), slave("b"))))
    assert [s.unwanted for s in seen.slaves] == [True, False]
    requests.forget_met(Snapshot(slaves=(slave("b"),)), LATER, LATER)
    assert not requests.into(Snapshot(slaves=(slave("a"),))).slaves[0].unwanted


def test_recycling_lasts_until_no_slave_is_outdated(requests: Requests) -> None:
    requests.recycle.touch()
    requests.forget_met(Snapshot(slaves=(slave("a", outdated=True),)), LATER, LATER)
    assert requests.into(Snapshot(slaves=(slave("a", outdated=True),))).recycling
    requests.forget_met(Snapshot(slaves=(slave("b"),)), LATER, LATER)
    assert not requests.into(Snapshot(slaves=(slave("b"),))).recycling
    assert not requests.recycle.exists()


def test_recycling_waits_for_settings_that_the_controller_has_not_read_yet(requests: Requests) -> None:
    """`pulumi up` with another image and `ecm recycle` right after it: no slave is known to be outdated yet."""
    requests.recycle.touch()
    requests.forget_met(Snapshot(slaves=(slave("a"),)), datetime.now(UTC) - timedelta(seconds=30), LATER)
    assert requests.into(Snapshot(slaves=(slave("a", outdated=True),))).recycling


def test_a_request_of_the_future_is_an_old_one(requests: Requests) -> None:
    """The clock was set back since."""
    requests.recycle.touch()
    yesterday = datetime.now(UTC) - timedelta(days=1)
    requests.forget_met(Snapshot(slaves=(slave("a"),)), yesterday, yesterday + timedelta(seconds=9))
    assert not requests.recycle.exists()


def test_a_look_at_the_requests_changes_none(requests: Requests) -> None:
    ask_drain(requests, "a")
    requests.recycle.touch()
    requests.into(Snapshot())
    assert requests.recycle.exists()
    assert list(requests.drains.iterdir())


def test_nothing_is_forgotten_on_doubt(requests: Requests) -> None:
    ask_drain(requests, "a")
    requests.recycle.touch()
    requests.forget_met(Snapshot(unknown=("the servers can't be listed",)), LATER, LATER)
    assert requests.into(Snapshot(slaves=(slave("a", outdated=True),))).slaves[0].unwanted
    assert requests.recycle.exists()
