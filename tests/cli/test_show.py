"""Ages are told in the units that matter."""

import pytest

from cli.show import age


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0 s"), (45, "45 s"), (119, "119 s"), (120, "2 min"), (3700, "1 h 1 min"), (200_000, "2 d 7 h")],
)
def test_an_age_in_two_units_at_most(seconds: float, told: str) -> None:
    assert age(seconds) == told
