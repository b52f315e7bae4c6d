"""Keeps each guest's console output where Nova looks for it.

libvirt-lxc gives a guest's console a pseudo terminal and nobody reads it: when its few kilobytes are full the rest is lost.
Nova reads that terminal when it is asked for the console log, and appends what it finds to `console.log` in the instance's
folder.  This does the same all the time, so that Nova finds the whole log there.

Runs inside the cloud with its libvirt binding.
"""

import os
import select
import time
import xml.etree.ElementTree as ElementTree

import libvirt

INSTANCES = "/srv/localcloud/live/nova/instances"
LIMIT = 8 << 20  # Nova shows the last 100 KiB


class Console:
    """The terminal of one running guest, and its log."""

    def __init__(self, domain):
        self.uuid = domain.UUIDString()
        source = ElementTree.fromstring(domain.XMLDesc()).find("./devices/console[@type='pty']/source")
        self.terminal = os.open(source.get("path"), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)

    def copy(self):
        """Move what is there into the log; False when the terminal is gone."""
        try:
            data = os.read(self.terminal, 65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        path = f"{INSTANCES}/{self.uuid}/console.log"
        # Opened anew each time: Nova removes the folder with the guest, and may take the file's content for its own.
        if data and os.path.isdir(os.path.dirname(path)):
            with open(path, "ab") as log:
                if log.tell() < LIMIT:
                    log.write(data)
        return bool(data)

    def close(self):
        os.close(self.terminal)


def main():
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open("lxc:///system")
    consoles = {}  # by the domain's id, which is another after each start
    looked = 0.0
    while True:
        # Five times a second: a terminal's buffer doesn't fill meanwhile, and no event can be missed.
        if time.monotonic() - looked > 0.2:
            for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    if domain.ID() not in consoles:
                        consoles[domain.ID()] = Console(domain)
                except (libvirt.libvirtError, OSError, AttributeError):
                    continue  # gone in the meantime, or not there yet
            looked = time.monotonic()
        by_terminal = {console.terminal: key for key, console in consoles.items()}
        for terminal in select.select(list(by_terminal), [], [], 0.2)[0]:
            key = by_terminal[terminal]
            if not consoles[key].copy():
                consoles.pop(key).close()


if __name__ == "__main__":
    main()
