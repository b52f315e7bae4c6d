"""What people ask of the running controller: files in its state folder, which `ecm` writes and the loop reads."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from controller.model import Snapshot

FOLDER = Path("/var/lib/ecm")


@dataclass(frozen=True, slots=True)
class Requests:
    """The files. Each says who wants that, and since when."""

    folder: Path = FOLDER

    @property
    def pause(self) -> Path:
        """While it is there, the controller observes and does nothing."""
        return self.folder / "paused"

    @property
    def recycle(self) -> Path:
        """Slaves that were made from older settings are to be replaced. It goes when there is none left."""
        return self.folder / "recycle"

    @property
    def drains(self) -> Path:
        """A folder with a file named like each slave that is to take no more jobs and to go; it goes with its slave."""
        return self.folder / "drain"

    def paused(self) -> str:
        """Who paused the controller, and why; empty when nobody did. A file that can't be read pauses too."""
        try:
            return self.pause.read_text().strip() or "nobody says why"
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{self.pause} can't be read - {error.strerror}"

    def into(self, seen: Snapshot) -> Snapshot:
        """The snapshot with what is asked for; what can't be read pauses."""
        try:
            wanted = {file.name for file in self.drains.glob("*")}
            recycling = self.recycle.exists()
        except OSError as error:
            return replace(seen, paused=f"requests in {self.folder} can't be read - {error.strerror}")
        slaves = tuple(replace(slave, unwanted=slave.name in wanted) for slave in seen.slaves)
        return replace(seen, slaves=slaves, paused=self.paused(), recycling=recycling)

    def forget_met(self, seen: Snapshot, settings_read: datetime, now: datetime) -> None:
        """Forgets what has been met.

        Who asks for outdated slaves to be replaced may have changed the settings a moment before: that there is no such
        slave counts only when the settings were read after that.

        Raises:
            OSError: it can't be looked up, or can't be forgotten.
        """
        if seen.unknown:
            return
        there = {slave.name for slave in seen.slaves}
        for file in self.drains.glob("*"):
            if file.name not in there:
                file.unlink(missing_ok=True)
        if any(slave.outdated for slave in seen.slaves) or not self.recycle.exists():
            return
        if not settings_read.timestamp() <= self.recycle.stat().st_mtime <= now.timestamp():
            self.recycle.unlink(missing_ok=True)
