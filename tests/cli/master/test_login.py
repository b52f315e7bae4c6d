"""On the master, a slave is logged in to at the address that its startd has."""

from typing import Any

SLOTS = "ecm-dev-slave-abc 2 1920 100 1700000000 <10.0.0.9:9618?addrs=10.0.0.9-9618>\n"


def test_a_slave_is_found_by_the_end_of_its_name(on_master: Any, master: Any) -> None:
    master.answers["condor_status"] = SLOTS
    assert on_master("ssh", "abc").exit_code == 0
    assert master.ran[-1] == "ssh 10.0.0.9"


def test_another_name_lists_those_that_there_are(on_master: Any, master: Any) -> None:
    master.answers["condor_status"] = SLOTS
    assert "there is: ecm-dev-slave-abc" in on_master("ssh", "xyz").stderr
