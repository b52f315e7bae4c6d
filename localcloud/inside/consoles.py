# noqa: INP001  # a program, not a module of the package
"""Keeps each guest's console output where Nova looks for it.

libvirt-lxc gives a guest's console a pseudo terminal that nobody reads: when its few kilobytes are full, the rest is
lost.  Nova reads that terminal when it is asked for the console log, and appends what it finds to `console.log` in the
instance's folder.  This does the same all the time, so that Nova finds the whole log there.

Runs inside the cloud, with its libvirt binding.
"""

import os
import select
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt

INSTANCES = Path("/srv/localcloud/live/nova/instances")
LIMIT = 8 << 20  # bytes; Nova shows the last 100 KiB
LOOK = 0.2  # seconds; a terminal's buffer doesn't fill meanwhile, and no event can be missed


class Console:
    """The terminal of one running guest, and its log."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        # What libvirt says is to be trusted, and no guest has a hand in it.
        source = ET.fromstring(domain.XMLDesc()).find("./devices/console[@type='pty']/source")  # noqa: S314
        path = source.get("path") if source is not None else None
        if path is None:
            raise FileNotFoundError
        self.terminal = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self.log = INSTANCES / domain.UUIDString() / "console.log"

    def copy(self) -> bool:
        """Move what is there into the log; False when the terminal is gone."""
        try:
            data = os.read(self.terminal, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        # Opened anew each time: Nova writes to it too, and removes the folder with the guest.
        if data and self.log.parent.is_dir():
            with self.log.open("ab") as log:
                if log.tell() < LIMIT:
                    log.write(data)
        return bool(data)


def add_new(connection: libvirt.virConnect, consoles: dict[int, Console]) -> None:
    """Open the consoles of guests that have started."""
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            if domain.ID() not in consoles:
                consoles[domain.ID()] = Console(domain)
        except (libvirt.libvirtError, OSError):
            continue  # gone in the meantime, or not there yet


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    consoles: dict[int, Console] = {}  # by the domain's id, which is another after each start
    connection = None
    looked = 0.0
    while True:
        if time.monotonic() - looked > LOOK:
            try:
                connection = connection or libvirt.open("lxc:///system")
                add_new(connection, consoles)
            except libvirt.libvirtError:
                connection = None  # libvirtd is away; its guests and their consoles are not
            looked = time.monotonic()
        by_terminal = {console.terminal: key for key, console in consoles.items()}
        for terminal in select.select(list(by_terminal), [], [], LOOK)[0]:
            key = by_terminal[terminal]
            if not consoles[key].copy():
                os.close(consoles.pop(key).terminal)


if __name__ == "__main__":
    main()
