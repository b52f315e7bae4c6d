"""A forward proxy for plain HTTP that does wrong as it is told. It runs on the master, between controller and cloud.

It is copied there, so it needs the standard library only: `python3 proxy.py PORT`, on loopback. Requests for itself,
not for another host, are its controls:

    PUT /rules     a JSON list of rules, in place of the former ones; whoever hangs or is delayed goes on
    GET /rules     how often each rule has acted, as a JSON list of numbers
    GET /log       the requests with what came of them, as a JSON list, in the order in which they ended
"""

import http.client
import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

LOG_LENGTH = 2_000
PATIENCE = 300
DEATH = 0.5
"""Seconds that a killed client's connection takes to close, at most."""
OF_ONE_HOP = {
    "accept-encoding",  # answers come plain, and can be changed
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Action(StrEnum):
    """What is done to a request."""

    ANSWER = "answer"
    """It is answered with the status `argument`."""
    DROP = "drop"
    """The connection is closed without an answer."""
    HANG = "hang"
    """Nothing comes until the rules change; then the connection is closed."""
    DELAY = "delay"
    """It goes on after `argument` seconds, or when the rules change."""
    SHORTEN = "shorten"
    """The lists in the cloud's answer lose all but their last entry, which is the oldest of servers; with `after`."""
    RUN = "run"
    """The shell command `argument` runs; the request goes on unless its client is dead by then.

    A command that fails has not acted.
    """


@dataclass(frozen=True)
class Rule:
    """What is done to which requests. Of several rules that match, the first acts."""

    request: str
    """The requests, as a regular expression for all of `METHOD /path`."""
    action: Action
    argument: float | str = 0
    agent: str = ""
    """A regular expression that is found in the client's User-Agent."""
    nth: int = 0
    """Which of the requests, counted from 1 since the rules were set; 0 for each of them."""
    after: bool = False
    """Whether the cloud gets the request, and does as it says, before the rule acts."""


@dataclass(frozen=True)
class Entry:
    """A request in the log."""

    at: float
    method: str
    path: str
    agent: str
    status: int
    """0 where no answer was given."""
    seconds: float


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class DroppedError(Exception):
    """The client gets no answer."""


@dataclass
class Script:
    """The rules in force and what they have done so far; for many threads."""

    rules: list[Rule] = field(default_factory=list)
    matched: list[int] = field(default_factory=list)
    acted: list[int] = field(default_factory=list)
    changed: threading.Event = field(default_factory=threading.Event)
    """Set when these rules are no longer in force."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, rules: Iterable[Rule]) -> None:
        with self.lock:
            self.changed.set()
            self.rules, self.changed = list(rules), threading.Event()
            self.matched, self.acted = [0] * len(self.rules), [0] * len(self.rules)

    def find(self, request: str, agent: str) -> tuple[Rule | None, threading.Event]:
        """The rule for a request, with the event that ends its time."""
        found = None
        with self.lock:
            for i, rule in enumerate(self.rules):
                if re.fullmatch(rule.request, request) and re.search(rule.agent, agent):
                    self.matched[i] += 1
                    if found is None and rule.nth in (0, self.matched[i]):
                        found = rule
            return found, self.changed

    def acts(self, rule: Rule) -> None:
        """Counts an action, unless the rule is no longer in force."""
        with self.lock:
            if rule in self.rules:
                self.acted[self.rules.index(rule)] += 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Proxy"

    def serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            self.send_error(411)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/"):
            self._control(body)
        else:
            self._relay(body)

    do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = serve  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass

    def _control(self, body: bytes) -> None:
        said: object
        match self.command, self.path:
            case "PUT", "/rules":
                self.server.script.put(Rule(**{**rule, "action": Action(rule["action"])}) for rule in json.loads(body))
                said = []
            case "GET", "/rules":
                said = self.server.script.acted
            case "GET", "/log":
                said = [asdict(entry) for entry in tuple(self.server.log)]
            case _:
                self.send_error(404)
                return
        self._send(Answer(200, [("Content-Type", "application/json")], json.dumps(said).encode()))

    def _relay(self, body: bytes) -> None:
        began, path = time.time(), urlsplit(self.path).path
        agent = self.headers.get("User-Agent", "")
        rule, changed = self.server.script.find(f"{self.command} {path}", agent)
        status = 0
        try:
            answer = self._answer(body, rule, changed)
            status = answer.status
            self._send(answer)
        except (DroppedError, ConnectionError):
            self.close_connection = True
        self.server.log.append(Entry(began, self.command, path, agent, status, round(time.time() - began, 3)))

    def _answer(self, body: bytes, rule: Rule | None, changed: threading.Event) -> Answer:
        if rule is None:
            return self._forward(body)
        answer = self._forward(body) if rule.after else None
        return self._act(rule, changed, answer) or answer or self._forward(body)

    def _act(self, rule: Rule, changed: threading.Event, answer: Answer | None) -> Answer | None:
        """What the client gets instead of the cloud's answer, where it gets that at all."""
        command = ["/bin/sh", "-c", str(rule.argument)]
        if rule.action is not Action.RUN or subprocess.run(command, check=False).returncode == 0:
            self.server.script.acts(rule)
        match rule.action:
            case Action.ANSWER:
                return refusal(int(rule.argument))
            case Action.SHORTEN if answer:
                return Answer(answer.status, answer.headers, shortened(answer.body))
            case Action.DELAY:
                changed.wait(float(rule.argument))
            case Action.HANG:
                changed.wait()
                raise DroppedError
            case Action.DROP:
                raise DroppedError
            case Action.RUN if is_dead(self.connection):
                raise DroppedError
        return None

    def _forward(self, body: bytes) -> Answer:
        url = urlsplit(self.path)
        upstream = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=PATIENCE)
        try:
            target = url.path + (f"?{url.query}" if url.query else "")
            upstream.putrequest(self.command, target, skip_host=True)
            for name, value in end_to_end(self.headers.items()):
                upstream.putheader(name, value)
            if body:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return Answer(answer.status, end_to_end(answer.getheaders()), answer.read())
        except (OSError, http.client.HTTPException):
            return refusal(502)
        finally:
            upstream.close()

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != http.client.NO_CONTENT:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()


class Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script = Script()
        self.log: deque[Entry] = deque(maxlen=LOG_LENGTH)


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that go further than to the next hop."""
    return [(name, value) for name, value in headers if name.lower() not in OF_ONE_HOP]


def refusal(status: int) -> Answer:
    """An answer as OpenStack's services give it."""
    fault = {"error": {"code": status, "title": http.client.responses[status], "message": "the fault proxy says so"}}
    headers = [("Content-Type", "application/json"), ("Retry-After", "1")]
    return Answer(status, headers, json.dumps(fault).encode())


def shortened(body: bytes) -> bytes:
    """The JSON object with no more than the last entry of each of its lists."""
    whole = json.loads(body)
    return json.dumps({key: value[-1:] if isinstance(value, list) else value for key, value in whole.items()}).encode()


def is_dead(client: socket.socket) -> bool:
    """Whether the client's end is closed, or will be in a moment."""
    try:
        readable, _, _ = select.select([client], [], [], DEATH)
        return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True


if __name__ == "__main__":
    Proxy(int(sys.argv[1])).serve_forever()
