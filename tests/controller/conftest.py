"""What tests with another account of this machine need."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every account may look into: `tmp_path` is in one that is this account's alone."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
