"""On the master, a slave is logged in to at the address that its startd has."""

from typing import Any

import pytest

SLOTS = "ecm-dev-slave-abc <10.0.0.9:9618?addrs=10.0.0.9-9618> 1700000000 2 1920 100 undefined\n"


def test_a_slave_is_found_by_the_end_of_its_name(on_master: Any, master: Any) -> None:
    master.answers["condor_status"] = SLOTS
    assert on_master("ssh", "abc").exit_code == 0
    assert master.ran[-1].startswith("ssh -o StrictHostKeyChecking=no ")
    assert master.ran[-1].endswith(" 10.0.0.9")


def test_without_the_users_key_it_says_how_to_bring_it(
    on_master: Any, master: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    master.answers["condor_status"] = SLOTS
    monkeypatch.setattr(master, "call", lambda *_: 255)
    done = on_master("ssh", "abc")
    assert done.exit_code == 1
    assert "come here with `ssh -A`" in done.stderr


def test_another_name_lists_those_that_there_are(on_master: Any, master: Any) -> None:
    master.answers["condor_status"] = SLOTS
    assert "there is: ecm-dev-slave-abc" in on_master("ssh", "xyz").stderr
