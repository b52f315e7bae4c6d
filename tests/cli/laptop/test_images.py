"""What is wrong with an image has a reason."""

import pytest

from cli.laptop.images import problem


@pytest.mark.parametrize(
    ("system", "says"),
    [
        ("debian-13", ""),
        ("fedora", ""),
        ("centos-7", "for slaves only: its C library"),
        ("el-6", "CentOS 6 and SL6 are past their end of life"),
        ("windows", "Windows"),
        (None, "its system can't be told: ecm:os names it"),
    ],
)
def test_what_no_cluster_can_be_made_of_has_a_reason(system: str | None, says: str) -> None:
    assert problem(system).startswith(says)
    assert bool(problem(system)) == bool(says)
