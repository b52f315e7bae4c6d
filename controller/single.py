"""One controller on a master: the second one is told who the first is."""

import fcntl
import os
from datetime import datetime
from pathlib import Path
from typing import IO

from controller.disk import BestEffort
from controller.errors import OutsideError

PRIVATE = 0o600


def only_one(path: Path, now: datetime) -> IO[bytes]:
    """Holds the lock until the file that is returned is closed, or the process ends in whatever way.

    Who holds it is written into it, as far as a full disk lets it.

    Raises:
        OutsideError: another process holds it, or there is no such file and none can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never unlinked: who opened it before would hold the lock of a file that is gone. And this account's alone, for
        # whoever may read it may hold it; also one that an earlier version made.
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, PRIVATE), "ab+", buffering=0)
        os.fchmod(file.fileno(), PRIVATE)
    except OSError as error:
        raise OutsideError(
            f"{path} can't be opened - {error.strerror} - without it a second controller could run: make room for it"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().decode(errors="replace").strip() or "unknown"
        file.close()
        raise OutsideError(
            f"another controller runs here - {holder} - stop it first: systemctl stop ecm-controller"
        ) from None
    BestEffort()("holder of the lock", lambda: _sign(file, now))
    return file


def _sign(file: IO[bytes], now: datetime) -> None:
    file.truncate(0)
    file.write(f"pid {os.getpid()} since {now:%Y-%m-%d %H:%M:%S %Z}".encode())
