"""What a controller that was killed has to know again: who is drained, who has joined, which updates failed.

Times of absence and of claims are left out: they count from the controller's start, because a master that comes back
finds an empty collector.
"""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from controller import disk
from controller.model import Setback
from controller.observe import Memory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Kept:
    joined: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    setback: Setback | None = None


_ADAPTER = TypeAdapter(_Kept)


@dataclass(slots=True)
class MemoryFile:
    """One file, written by the loop and, in the middle of an update, by the thread that drains."""

    path: Path
    _written: _Kept = field(default_factory=_Kept)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _attempt: disk.BestEffort = field(default_factory=disk.BestEffort)

    def load(self, now: datetime) -> Memory:
        """What the last controller knew; nothing, and a line in the log, when the file is missing or damaged."""
        try:
            self._written = _ADAPTER.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            log.info("controller remembers nothing: it is the first here", file=str(self.path))
        except (OSError, ValidationError) as error:
            why = str(error).splitlines()[0]
            log.warning("controller remembers nothing: its file can't be used", file=str(self.path), why=why)
        kept = self._written
        return Memory(now, joined=set(kept.joined), drained=set(kept.drained), setback=kept.setback)

    def save(self, memory: Memory) -> None:
        """Writes what changed. A full disk is said once, and no reason to stop."""
        with self._lock:
            kept = _Kept(frozenset(memory.joined), frozenset(memory.drained), memory.setback)
            if kept != self._written:
                self._attempt("the controller's memory", lambda: self._write(kept))

    def _write(self, kept: _Kept) -> None:
        disk.replace_file(self.path, _ADAPTER.dump_json(kept))
        self._written = kept
