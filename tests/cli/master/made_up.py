"""One time for all tests of this folder: what is so many seconds old in one is as old in another."""

from datetime import UTC, datetime

NOW = datetime.now(UTC)
