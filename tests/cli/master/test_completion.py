"""Tab completes the names of slaves on the master, which knows them at once."""

from typing import Any

import pytest

from cli.main import assembled
from cli.master import commands
from controller.model import Phase
from tests.cli.conftest import completed


@pytest.mark.parametrize("command", ["drain", "explain", "ssh"])
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["ecm-dev-slave-k3w9xq", "ecm-dev-slave-abc"]),
        ("ecm-dev-slave-k", ["ecm-dev-slave-k3w9xq"]),
        ("k3", ["k3w9xq"]),
        ("z", []),
    ],
)
def test_slaves_are_completed_by_name_and_by_its_end_on_the_master(  # noqa: PLR0917
    master: Any, status: Any, slave: Any, command: str, typed: str, found: list[str]
) -> None:
    master.tells(status(slave("k3w9xq", Phase.BUSY), slave("abc", Phase.BUSY)))
    assert completed(f"ecm {command} {typed}", assembled(commands), obj=master) == found


def test_a_controller_that_says_nothing_ends_no_completion(master: Any) -> None:
    assert completed("ecm drain ", assembled(commands), obj=master) == []
