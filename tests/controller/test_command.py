"""A command that never ends is ended, with a stand-in for `pulumi`."""

import time
from pathlib import Path

import pulumi.automation as auto
import pytest

from controller import command
from controller.command import Limited

HANGS = """#!/bin/sh
[ "$1" = version ] && { echo v3.259.0; exit; }
case "$*" in
  *quick*) echo done ;;
  *deaf*) trap '' INT; sleep 60 & wait; wait ;;
  *) trap 'exit 130' INT; sleep 60 & wait ;;
esac
"""


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limited:
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(HANGS)
    program.chmod(0o755)
    monkeypatch.setattr(command, "LIMIT", 0.3)
    monkeypatch.setattr(command, "SHORT_GRACE", 0.5)
    return Limited(root=str(tmp_path))


@pytest.mark.parametrize("how", ["hangs", "deaf"])
def test_one_that_hangs_is_ended_and_said(pulumi: Limited, tmp_path: Path, how: str) -> None:
    begun = time.monotonic()
    with pytest.raises(auto.CommandError, match="pulumi stack was ended: it took more than 0 s"):
        pulumi.run(["stack", "export", how], str(tmp_path), {})
    assert time.monotonic() - begun < 30


def test_one_that_ends_in_time_is_left_alone(pulumi: Limited, tmp_path: Path) -> None:
    assert pulumi.run(["stack", "quick"], str(tmp_path), {}).stdout == "done"
