"""docs/operations.md has the words that the controller uses."""

import re
from pathlib import Path

import pytest

from controller.model import Why

TABLE = (Path(__file__).parents[2] / "docs/operations.md").read_text().split("| reason |")[1].split("\n\n")[0]
FIRST = " ".join(line.split("|")[1] for line in TABLE.splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("why", Why)
def test_the_table_of_reasons_has_each(why: Why) -> None:
    assert why in re.findall("`([^`]+)`", FIRST)
