"""The command line of the controller."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from controller import __main__ as program
from controller.__main__ import app
from controller.journal import Decision, Journal
from controller.model import Limits, Plan, Room, Seconds, Snapshot
from controller.single import only_one

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ODD = Decision(NOW, Snapshot(), Limits(0, 4, 2, Seconds(60), Seconds(600), 0, Room(2, 2000, 10_000)), Plan(9), "0")


@pytest.fixture(autouse=True)
def _log_as_before() -> object:
    yield
    structlog.reset_defaults()


def test_a_second_controller_refuses_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "HOME", tmp_path)
    with only_one(tmp_path / "controller.lock", NOW):
        done = CliRunner().invoke(app, [])
    assert done.exit_code == 1
    assert "controller can't start why='another controller runs here - pid " in done.output


@pytest.mark.parametrize("arguments", [[], ["--dry-run"]])
def test_without_its_environment_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setattr(program, "HOME", tmp_path)
    monkeypatch.delenv("ECM_STACK", raising=False)
    monkeypatch.setattr(program, "Cloud", object)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "ECM_STACK is not set - the controller runs with the environment of its service" in done.output


def test_once_is_a_word_for_dry_runs_only() -> None:
    done = CliRunner().invoke(app, ["--once"])
    assert done.exit_code == 2
    assert "--once goes with --dry-run" in done.output


def test_a_replay_shows_each_difference_and_fails(tmp_path: Path) -> None:
    Journal(tmp_path).add(ODD)
    done = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert done.exit_code == 1
    assert done.output.startswith("2026-01-01T00:00:00+00:00: decided Plan(create=9")
    assert done.output.endswith("1 decisions, 1 different, 0 lines unreadable\n")
