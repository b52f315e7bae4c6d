"""Which release of the controller runs, and which the stack's state wants; a start of the service changes it.

The notes are shared with /usr/local/lib/ecm/release.py, which runs before each start.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import disk


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases on this master."""

    notes: Path
    running: str = Path(__file__).resolve().parent.parent.name
    """The digest of the release that this is: the name of its folder."""

    def due(self, wanted: str) -> bool:
        """Whether a restart would bring another release: the state wants one, and it hasn't been given up."""
        return bool(wanted) and wanted not in (self.running, self._read().get("failed", {}).get("digest"))

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

    def _read(self) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = json.loads(self.notes.read_text())
        except (OSError, ValueError):
            return {}
        return loaded
