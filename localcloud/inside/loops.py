# noqa: INP001  # a program, not a module of the package
"""Detaches the disks of guests that are gone.

When a guest is deleted while libvirt starts it, its disk can stay attached to a loop device, which keeps the deleted
file's space.

Runs inside the cloud.
"""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

INSTANCES = "/srv/localcloud/live/nova/instances/"
BLOCK_DEVICES = Path("/sys/block")
LOOK = 2.0  # seconds


def left() -> Iterator[str]:
    """Loop devices over disks of guests that are deleted; other people's are none of these."""
    for device in BLOCK_DEVICES.glob("loop*"):
        try:
            file = (device / "loop" / "backing_file").read_text().strip()
        except OSError:
            continue  # not in use
        if file.startswith(INSTANCES) and file.endswith(" (deleted)"):
            yield f"/dev/{device.name}"


def main() -> None:
    while True:
        for device in left():
            subprocess.run(["losetup", "--detach", device], check=False)
        time.sleep(LOOK)


if __name__ == "__main__":
    main()
