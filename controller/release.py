"""Which release of the controller runs, and which the stack's state wants; a start of the service changes it.

The notes are shared with /usr/local/lib/ecm/release.py, which runs before each start.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from controller import disk

TRY_AGAIN = 600
"""Seconds after which a release that couldn't be had or installed is tried again: each try is a restart."""


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases on this master."""

    notes: Path
    running: str = Path(__file__).resolve().parent.parent.name
    """The digest of the release that this is: the name of its folder."""

    def due(self, wanted: str, now: datetime) -> bool:
        """Whether a restart would bring another release.

        That is so when the state wants one that hasn't been given up, unless a start has just tried in vain.
        """
        known = self._read()
        missed = now.timestamp() - known.get("missed", -math.inf)
        return (
            bool(wanted)
            and wanted not in (self.running, known.get("failed", {}).get("digest"))
            and not 0 <= missed < TRY_AGAIN
        )

    def prove(self) -> None:
        """Notes that this release works.

        Raises:
            OSError: it can't be noted.
        """
        known = self._read()
        if known.get("proved") != self.running:
            disk.replace_file(
                self.notes, json.dumps({**known, "proved": self.running, "starts": 0}).encode(), lasting=True
            )

    def forgive(self) -> None:
        """Takes this start back from those that are counted against the release: it ends because somebody wants it.

        Raises:
            OSError: it can't be noted.
        """
        known = self._read()
        if known.get("proved") != self.running and known.get("starts", 0) > 0:
            disk.replace_file(self.notes, json.dumps({**known, "starts": known["starts"] - 1}).encode(), lasting=True)

    def _read(self) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = json.loads(self.notes.read_text())
        except (OSError, ValueError):
            return {}
        return loaded
