"""One controller on a master: the second one is told who the first is."""

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import IO

from controller.errors import OutsideError


def only_one(path: Path, now: datetime) -> IO[str]:
    """Holds the lock until the file that is returned is closed, or the process ends in whatever way.

    Raises:
        OutsideError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never unlinked: who opened it before would hold the lock of a file that is gone.
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise OutsideError(
            f"another controller runs here - {holder} - stop it first: systemctl stop ecm-controller"
        ) from None
    file.truncate(0)
    file.write(f"pid {os.getpid()} since {now:%Y-%m-%d %H:%M:%S %Z}")
    file.flush()
    return file
