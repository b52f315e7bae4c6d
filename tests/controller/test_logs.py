"""How a line of the log looks: for people, for machines, under systemd."""

import json

import pytest
import structlog

from controller import logs
from controller.logs import Style


@pytest.fixture(autouse=True)
def _as_before() -> object:
    yield
    structlog.reset_defaults()


def line(style: Style, capsys: pytest.CaptureFixture[str], *, journald: bool = False) -> str:
    logs.configure(style, {"JOURNAL_STREAM": "8:1"} if journald else {})
    structlog.get_logger().warning("joined", slaves=("a",), url="postgres://u:hunter2@db", os_password="hunter2")
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert out.count("\n") == 1
    assert "\x1b" not in out, "no colours: this is no terminal"
    return out


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[warning] joined slaves=['a'] url=postgres://u:***@db os_password=***\n" in line(Style.HUMAN, capsys)


def test_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(line(Style.JSON, capsys))
    assert (said["event"], said["level"], said["slaves"]) == ("joined", "warning", ["a"])
    assert said["timestamp"].endswith("Z")


def test_under_systemd_the_level_is_the_lines_priority(capsys: pytest.CaptureFixture[str]) -> None:
    assert line(Style.HUMAN, capsys, journald=True).startswith("<4>joined slaves=['a']")
    assert line(Style.JSON, capsys, journald=True).startswith('<4>{"')


def test_small_talk_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Style.HUMAN, {})
    structlog.get_logger().debug("x")
    assert capsys.readouterr().out == ""
