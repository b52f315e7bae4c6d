"""What people ask of the running controller: files in its state folder, which `ecm` writes and the loop reads."""

from pathlib import Path

FOLDER = Path("/var/lib/ecm")
PAUSED = "paused"
"""A file: while it is there, the controller observes and does nothing. It says who wants that, since when and why."""
DRAIN = "drain"
"""A folder with a file named like each slave that is to take no more jobs, and to go when it has none."""
RECYCLE = "recycle"
"""The same, one slave after the other."""


def paused(folder: Path = FOLDER) -> str:
    """Who paused the controller; empty when nobody did. A file that can't be read pauses too."""
    try:
        return (folder / PAUSED).read_text().strip() or "nobody says why"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{folder / PAUSED} can't be read - {error.strerror}"
