"""Talks to the cloud's supervisord: which services run, and starting and stopping them by name."""

import http.client
import os
import socket
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.errors import LocalCloudError


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        # Through the folder's descriptor: a unix socket's path may have no more than 107 bytes, a cache folder's can.
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002  # the library's signature
        return _Connection(self._path)


def started(states: Mapping[str, str], name: str) -> bool:
    """Whether a service was asked for and not stopped since, be it that it doesn't stay up; by `Supervisor.states`."""
    return states.get(name, "STOPPED") != "STOPPED"


class Supervisor:
    """supervisord behind its unix socket."""

    def __init__(self, socket_path: Path) -> None:
        self._proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(socket_path))

    def states(self) -> dict[str, str]:
        """Each service's state in supervisord's words (RUNNING, STARTING, STOPPED, BACKOFF, EXITED, FATAL and others).

        Raises:
            LocalCloudError: supervisord doesn't answer.
        """
        return {entry["name"]: entry["statename"] for entry in self._listing()}

    def began(self) -> dict[str, int]:
        """When each service was last started, in Unix seconds; 0 when it never was.

        Raises:
            LocalCloudError: supervisord doesn't answer.
        """
        return {entry["name"]: entry["start"] for entry in self._listing()}

    def _listing(self) -> list[dict[str, Any]]:
        try:
            listing = self._proxy.supervisor.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error, http.client.HTTPException) as error:
            raise LocalCloudError(f"the cloud's supervisor doesn't answer - {error} - try `down`, then `up`") from error
        assert isinstance(listing, list)  # noqa: S101  # what the types of xmlrpc can't say
        return listing

    def pid(self, name: str) -> int:
        """The service's process number inside the cloud, which is its process group's too; 0 when it doesn't run."""
        entry = self._proxy.supervisor.getProcessInfo(name)
        assert isinstance(entry, dict)  # noqa: S101
        return int(str(entry["pid"]))

    def start(self, name: str) -> None:
        """Ask for a start and don't wait for it; a service that runs already is left alone."""
        self._call("startProcess", name)

    def stop(self, name: str, *, wait: bool = True) -> None:
        """Stop a service, which then stays stopped; one that is stopped already is left alone."""
        self._call("stopProcess", name, wait=wait)

    def _call(self, method: str, name: str, *, wait: bool = False) -> None:
        already = {"startProcess": 60, "stopProcess": 70}[method]
        try:
            getattr(self._proxy.supervisor, method)(name, wait)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != already:
                raise LocalCloudError(f"{method} {name}: {fault.faultString}") from fault
