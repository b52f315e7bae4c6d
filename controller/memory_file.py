"""What a controller that was killed has to know again: who has joined, what failed, what slaves turned out to offer.

Times of absence are left out: they count from the controller's start, because a master that comes back finds an empty
collector. What runs or drains is asked of HTCondor, never remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from controller import disk, template
from controller.model import Setback, Trouble
from controller.observe import Memory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    joined: frozenset[str] = frozenset()
    setbacks: Mapping[Trouble, Setback] = field(default_factory=dict)
    learned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    taught_on: date | None = None
    """To the day, so that not each look writes the file."""


_ADAPTER = TypeAdapter(_Kept)


@dataclass(slots=True)
class MemoryFile:
    """The file, and what is in it."""

    path: Path
    _written: _Kept = field(default_factory=_Kept)
    _attempt: disk.BestEffort = field(default_factory=disk.BestEffort)

    def load(self) -> Memory:
        """What the last controller knew, as far as it can be used; a line in the log says what can't."""
        try:
            self._written = _ADAPTER.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            log.info("controller remembers nothing: it is the first here", file=str(self.path))
        except (OSError, ValidationError) as error:
            why = str(error).splitlines()[0]
            log.warning("controller remembers nothing: its file can't be used", file=str(self.path), why=why)
        kept = self._written
        learned = {fingerprint: dict(ad) for fingerprint, ad in kept.learned.items() if template.usable(ad)}
        if len(learned) < len(kept.learned):
            log.warning("controller forgets what slaves offered: that can't be", file=str(self.path))
        taught_at = datetime.combine(kept.taught_on, time.max, UTC) if kept.taught_on else None
        return Memory(joined=set(kept.joined), setbacks=dict(kept.setbacks), learned=learned, taught_at=taught_at)

    def save(self, memory: Memory) -> None:
        """Writes what changed. A full disk is said once, and no reason to stop."""
        taught_on = memory.taught_at.date() if memory.taught_at and memory.learned else None
        kept = _Kept(frozenset(memory.joined), dict(memory.setbacks), dict(memory.learned), taught_on)
        if kept != self._written:
            self._attempt("memory", lambda: self._write(kept))

    def _write(self, kept: _Kept) -> None:
        disk.replace_file(self.path, _ADAPTER.dump_json(kept), lasting=True)
        self._written = kept
