"""A thin stand-in of OpenStack on loopback: as much of its API as makes, shows and removes servers; it counts calls.

It is for sizes that a real cloud on one machine is too slow for. What it answers is what Nova, Neutron,
Glance and Keystone answer where openstacksdk and the provider look; how long things take is given by `Pace`.
"""

import argparse
import heapq
import json
import random
import re
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

PROJECT, USER, NETWORK, IMAGE, FLAVOR, GROUP = (str(uuid.UUID(int=number)) for number in range(1, 7))
PAGE = 1000
"""Servers that one answer has at most, as Nova's max_limit is by default."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Answer = tuple[int, Any]


@dataclass(frozen=True)
class Pace:
    """How fast the cloud is, in seconds."""

    build: float = 20.0
    """From a server's turn until it is ACTIVE: on the average, a quarter more or less."""
    builders: int = 100
    """How many are built at once; others wait their turn."""
    delete: float = 2.0
    post: float = 0.3
    """Until a request of a server is answered."""
    answer: float = 0.01
    """Until anything else is."""


@dataclass
class Server:
    """A server; what changes with time is told by when it changes."""

    id: str
    asked: dict[str, Any]
    made_at: float
    active_at: float
    gone_at: float = float("inf")
    suspended: bool = False


@dataclass
class Cloud:
    """All servers, and the calls so far. Safe for many threads."""

    pace: Pace
    url: str
    servers: dict[str, Server] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    first: dict[str, float] = field(default_factory=dict)
    """When a kind of call was first made, since the last reset, by this machine's clock."""
    built: float = 0.0
    """When the last server that was requested since the last reset is ACTIVE."""
    _chance: random.Random = field(default_factory=lambda: random.Random(1))
    _turns: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str, path: str) -> None:
        kind = f"{method} {_UUID.sub('{id}', path)}"
        with self._lock:
            self.calls[kind] += 1
            self.first.setdefault(kind, time.time())

    def reset(self) -> None:
        with self._lock:
            self.calls.clear()
            self.first.clear()
            self.built = 0.0

    def make(self, asked: dict[str, Any]) -> Server:
        """Queues a server for the next builder that is free."""
        now = time.time()
        with self._lock:
            begins = now if len(self._turns) < self.pace.builders else max(now, heapq.heappop(self._turns))
            active_at = begins + self.pace.build * self._chance.uniform(0.75, 1.25)
            heapq.heappush(self._turns, active_at)
            self.built = max(self.built, active_at)
            server = Server(str(uuid.uuid4()), asked, now, active_at)
            self.servers[server.id] = server
        return server

    def there(self) -> list[Server]:
        now = time.time()
        with self._lock:
            for gone in [s.id for s in self.servers.values() if s.gone_at <= now]:
                del self.servers[gone]
            return list(self.servers.values())

    def find(self, server_id: str) -> Server | None:
        return next((server for server in self.there() if server.id == server_id), None)

    def seen(self, server: Server) -> dict[str, Any]:
        """A server as Nova shows it."""
        asked, now = server.asked, time.time()
        building = now < server.active_at
        return {
            "id": server.id,
            "name": asked["name"],
            "status": "SUSPENDED" if server.suspended else "BUILD" if building else "ACTIVE",
            "tenant_id": PROJECT,
            "user_id": USER,
            "metadata": asked.get("metadata", {}),
            "image": {"id": asked.get("imageRef", "")},
            "flavor": {"id": asked.get("flavorRef", "")},
            "created": _stamp(server.made_at),
            "updated": _stamp(min(now, server.active_at)),
            "key_name": asked.get("key_name"),
            "addresses": {} if building else {"lan": [{"addr": "10.0.0.9", "version": 4}]},
            "accessIPv4": "",
            "accessIPv6": "",
            "config_drive": "",
            "hostId": "",
            "links": [],
            "security_groups": asked.get("security_groups", []),
            "OS-EXT-STS:task_state": "deleting" if server.gone_at < float("inf") else None,
            "OS-EXT-STS:vm_state": "building" if building else "active",
            "OS-EXT-STS:power_state": 0 if building else 1,
            "OS-EXT-AZ:availability_zone": "nova",
            "os-extended-volumes:volumes_attached": [],
        }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what is asked, by method and path; {id} stands for a UUID. What has no body is given the query


def _token(cloud: Cloud, _id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    def service(kind: str, path: str) -> dict[str, Any]:
        urls = [
            {"interface": which, "url": cloud.url + path, "region": "R", "region_id": "R", "id": which}
            for which in ("public", "internal", "admin")
        ]
        return {"type": kind, "name": kind, "id": kind, "endpoints": urls}

    services = (("identity", "/identity"), ("compute", "/compute/v2.1"), ("image", "/image"), ("network", "/network"))
    domain = {"id": "default", "name": "Default"}
    return 201, {
        "token": {
            "methods": ["password"],
            "user": {"id": USER, "name": "user", "domain": domain},
            "project": {"id": PROJECT, "name": "project", "domain": domain},
            "roles": [{"id": "member", "name": "member"}],
            "issued_at": _stamp(time.time()),
            "expires_at": (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
            "catalog": [service(*each) for each in services],
        }
    }


def _version(number: str, path: str, most: str = "") -> "Handler":
    def answer(cloud: Cloud, _id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
        links = [{"rel": "self", "href": f"{cloud.url}{path}"}]
        found = {
            "id": number,
            "status": "CURRENT",
            "version": most,
            "min_version": "2.1" if most else "",
            "links": links,
        }
        return 200, {"version": found, "versions": [found]}

    return answer


def _make(cloud: Cloud, _id: str, body: Any) -> Answer:  # noqa: ANN401 - JSON
    time.sleep(cloud.pace.post)
    server = cloud.make(body["server"])
    return 202, {"server": {"id": server.id, "links": [], "adminPass": "x", "security_groups": []}}


def _list(cloud: Cloud, _id: str, query: Any) -> Answer:  # noqa: ANN401 - as JSON
    page, links = _page(cloud, query)
    return 200, {"servers": [cloud.seen(server) for server in page], "servers_links": links}


def _list_names(cloud: Cloud, _id: str, query: Any) -> Answer:  # noqa: ANN401 - as JSON
    page, links = _page(cloud, query)
    return 200, {
        "servers": [{"id": server.id, "name": server.asked["name"]} for server in page],
        "servers_links": links,
    }


def _page(cloud: Cloud, query: Mapping[str, str]) -> tuple[list[Server], list[dict[str, str]]]:
    """What comes after the last server of the page before, and the address of the next page."""
    there = cloud.there()
    marker = query.get("marker")
    first = next((number for number, server in enumerate(there, start=1) if server.id == marker), 0)
    page = there[first : first + PAGE]
    if len(page) < PAGE:
        return page, []
    return page, [{"rel": "next", "href": f"{cloud.url}/compute/v2.1/servers/detail?marker={page[-1].id}"}]


def _get(cloud: Cloud, server_id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    server = cloud.find(server_id)
    return (200, {"server": cloud.seen(server)}) if server else _missing(server_id)


def _delete(cloud: Cloud, server_id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    server = cloud.find(server_id)
    if not server:
        return _missing(server_id)
    server.gone_at = min(server.gone_at, time.time() + cloud.pace.delete)
    return 204, None


def _act(cloud: Cloud, server_id: str, body: Any) -> Answer:  # noqa: ANN401 - JSON
    server = cloud.find(server_id)
    if not server or "suspend" not in body:
        return _missing(server_id)
    server.suspended = True
    return 202, None


def _missing(what: str) -> Answer:
    return 404, {"itemNotFound": {"code": 404, "message": f"{what} could not be found."}}


def _said(answer: Any) -> "Handler":  # noqa: ANN401 - JSON
    return lambda _cloud, _id, _body: (200, answer)


def _limits(cloud: Cloud, _id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    count = len(cloud.there())
    absolute = {"maxTotalInstances": -1, "maxTotalCores": -1, "maxTotalRAMSize": -1}
    used = {"totalInstancesUsed": count, "totalCoresUsed": count, "totalRAMUsed": count * 1024}
    return 200, {"limits": {"absolute": absolute | used, "rate": []}}


def _calls(cloud: Cloud, _id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    return 200, {"calls": dict(cloud.calls), "first": cloud.first, "built": cloud.built}


def _reset(cloud: Cloud, _id: str, _body: Any) -> Answer:  # noqa: ANN401 - JSON
    cloud.reset()
    return 200, {}


Handler = Callable[[Cloud, str, Any], Answer]
_FLAVOR = {
    "id": FLAVOR,
    "name": "small",
    "vcpus": 1,
    "ram": 1024,
    "disk": 4,
    "OS-FLV-EXT-DATA:ephemeral": 0,
    "swap": "",
}
_IMAGE = {"id": IMAGE, "name": "debian", "status": "active", "min_ram": 0, "min_disk": 0, "visibility": "public"}
_NETWORK = {
    "id": NETWORK,
    "name": "lan",
    "status": "ACTIVE",
    "admin_state_up": True,
    "tenant_id": PROJECT,
    "subnets": [],
}
ANSWERS: dict[str, Handler] = {
    "GET /identity": _version("v3.14", "/identity/v3/"),
    "GET /identity/v3": _version("v3.14", "/identity/v3/"),
    "POST /identity/v3/auth/tokens": _token,
    "GET /compute/v2.1": _version("v2.1", "/compute/v2.1/", "2.96"),
    "POST /compute/v2.1/servers": _make,
    "GET /compute/v2.1/servers": _list_names,
    "GET /compute/v2.1/servers/detail": _list,
    "GET /compute/v2.1/servers/{id}": _get,
    "DELETE /compute/v2.1/servers/{id}": _delete,
    "POST /compute/v2.1/servers/{id}/action": _act,
    "GET /compute/v2.1/servers/{id}/tags": _said({"tags": []}),
    "GET /compute/v2.1/servers/{id}/os-interface": _said({"interfaceAttachments": []}),
    "GET /compute/v2.1/flavors/{id}": _said({"flavor": _FLAVOR}),
    "GET /compute/v2.1/limits": _limits,
    "GET /image": _version("v2.15", "/image/v2/"),
    "GET /image/v2/images/{id}": _said(_IMAGE),
    "GET /network": _version("v2.0", "/network/v2.0/"),
    "GET /network/v2.0/networks": _said({"networks": [_NETWORK]}),
    "GET /network/v2.0/networks/{id}": _said({"network": _NETWORK}),
    "GET /network/v2.0/ports": _said({"ports": []}),
    "GET /calls": _calls,
    "DELETE /calls": _reset,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    cloud: ClassVar[Cloud]

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = url.path.rstrip("/") or "/"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = _UUID.search(path)
        handler = ANSWERS.get(f"{self.command} {_UUID.sub('{id}', path)}")
        if path != "/calls":
            self.cloud.count(self.command, path)
            time.sleep(self.cloud.pace.answer)
        if handler:
            asked = json.loads(body) if body else dict(parse_qsl(url.query))
            status, answer = handler(self.cloud, found[0] if found else "", asked)
        else:
            status, answer = _missing(path)
            sys.stderr.write(f"no answer to {self.command} {self.path}\n")
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if path.endswith("/auth/tokens"):
            self.send_header("X-Subject-Token", "token")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing: the calls are counted."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def server_bind(self) -> None:
        # Its own would look this machine's name up.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in vars(Pace()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    pace = Pace(**vars(parser.parse_args()))
    listener = _Listener(("127.0.0.1", 0), _Handler)
    _Handler.cloud = Cloud(pace, f"http://127.0.0.1:{listener.server_address[1]}")
    sys.stdout.write(f"{_Handler.cloud.url}\n")
    sys.stdout.flush()
    listener.serve_forever()


if __name__ == "__main__":
    main()
