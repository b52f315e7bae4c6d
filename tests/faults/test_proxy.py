"""The fault proxy, by real sockets on loopback: a client, the proxy, and a cloud that notes what reaches it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from tests.faults.proxy import Action, Proxy, Rule

SERVERS = [{"name": "new"}, {"name": "old"}, {"name": "oldest"}]


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Nova"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.got.append((self.command, self.path, body))
        said = json.dumps({"servers": SERVERS, "links": None}).encode()
        self.send_response(200 if self.command == "GET" else 202)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Openstack-Request-Id", "req-1")
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def do_DELETE(self) -> None:
        self.server.got.append((self.command, self.path, b""))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Nova(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.got: list[tuple[str, str, bytes]] = []


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[int]:
    """Gives the server's port."""
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Between:
    """The proxy and the cloud behind it; one session of a client that goes through the proxy."""

    port: int
    cloud: str
    nova: Nova
    session: requests.Session

    def __post_init__(self) -> None:
        self.session.trust_env = False

    def put(self, *rules: Rule) -> None:
        self.control("PUT", "/rules", [asdict(rule) for rule in rules])

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(method, f"http://127.0.0.1:{self.port}{path}", json=body)
        assert answer.status_code == 200
        return answer.json()

    def ask(self, method: str, path: str, agent: str = "test", **more: Any) -> requests.Response:
        way = {"http": f"http://127.0.0.1:{self.port}"}
        more = {"timeout": 10, **more}
        return self.session.request(method, self.cloud + path, headers={"User-Agent": agent}, proxies=way, **more)


@pytest.fixture
def between() -> Iterator[Between]:
    nova = Nova()
    with serving(nova) as cloud, serving(Proxy(0)) as port, requests.Session() as session:
        yield Between(port, f"http://127.0.0.1:{cloud}", nova, session)


def test_without_rules_requests_and_answers_pass_as_they_are(between: Between) -> None:
    answer = between.ask("POST", "/v2.1/servers?a=1", data=b"{}")
    assert (answer.status_code, answer.json()["servers"]) == (202, SERVERS)
    assert answer.headers["X-Openstack-Request-Id"] == "req-1"
    assert between.nova.got == [("POST", "/v2.1/servers?a=1", b"{}")]


def test_an_answer_without_a_body_ends(between: Between) -> None:
    assert between.ask("DELETE", "/v2.1/servers/1").status_code == 204
    assert between.ask("GET", "/v2.1/servers").status_code == 200


def test_a_cloud_that_is_away_is_a_bad_gateway(between: Between) -> None:
    between.cloud = "http://127.0.0.1:9"
    assert between.ask("GET", "/").status_code == 502


def test_an_answer_is_made_up_and_the_cloud_gets_nothing(between: Between) -> None:
    between.put(Rule("POST /v2.1/servers", Action.ANSWER, 429))
    answer = between.ask("POST", "/v2.1/servers", data=b"{}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert between.nova.got == []
    assert between.control("GET", "/rules") == [1]


def test_an_answer_is_made_up_after_the_cloud_has_done_it(between: Between) -> None:
    between.put(Rule("POST .*", Action.ANSWER, 500, after=True))
    assert between.ask("POST", "/v2.1/servers", data=b"{}").status_code == 500
    assert between.nova.got == [("POST", "/v2.1/servers", b"{}")]


def test_only_what_matches_in_full_is_touched(between: Between) -> None:
    between.put(Rule("GET /v2.1/servers", Action.ANSWER, 503, agent="gopher"))
    assert between.ask("GET", "/v2.1/servers/1", "gophercloud/v2").status_code == 200
    assert between.ask("POST", "/v2.1/servers", "gophercloud/v2").status_code == 202
    assert between.ask("GET", "/v2.1/servers", "openstacksdk/4").status_code == 200
    assert between.ask("GET", "/v2.1/servers?limit=1", "gophercloud/v2").status_code == 503


def test_the_nth_request_is_counted_from_the_rules_setting(between: Between) -> None:
    rule = Rule("GET .*", Action.ANSWER, 500, nth=2)
    for _ in range(2):
        between.put(rule)
        assert between.control("GET", "/rules") == [0]
        assert [between.ask("GET", "/").status_code for _ in range(3)] == [200, 500, 200]
    assert between.control("GET", "/rules") == [1]


def test_the_first_rule_that_matches_acts_and_each_counts(between: Between) -> None:
    between.put(Rule("GET .*", Action.ANSWER, 500, nth=1), Rule("GET .*", Action.ANSWER, 503, nth=2))
    assert [between.ask("GET", "/").status_code for _ in range(3)] == [500, 503, 200]


@pytest.mark.parametrize(("after", "reached"), [(False, 0), (True, 1)])
def test_a_dropped_connection_has_no_answer(between: Between, *, after: bool, reached: int) -> None:
    between.put(Rule("GET .*", Action.DROP, after=after))
    with pytest.raises(requests.ConnectionError):
        between.ask("GET", "/")
    assert len(between.nova.got) == reached


def test_a_hanging_request_ends_without_an_answer_when_the_rules_change(between: Between) -> None:
    between.put(Rule("GET .*", Action.HANG))
    with pytest.raises(requests.ReadTimeout):
        between.ask("GET", "/", timeout=0.3)
    threading.Timer(0.3, between.put).start()
    with pytest.raises(requests.ConnectionError):
        between.ask("GET", "/")
    assert between.nova.got == []
    assert between.ask("GET", "/").status_code == 200


def test_a_delayed_request_goes_on_after_its_time_or_when_the_rules_change(between: Between) -> None:
    between.put(Rule("GET .*", Action.DELAY, 0.3))
    began = time.monotonic()
    assert between.ask("GET", "/").status_code == 200
    assert time.monotonic() - began >= 0.3
    between.put(Rule("GET .*", Action.DELAY, 60))
    threading.Timer(0.3, between.put).start()
    assert between.ask("GET", "/").status_code == 200


def test_lists_in_an_answer_are_shortened_to_their_last_entry(between: Between) -> None:
    between.put(Rule("GET .*", Action.SHORTEN, after=True))
    assert between.ask("GET", "/v2.1/servers/detail").json() == {"servers": SERVERS[-1:], "links": None}


def test_a_command_runs_and_the_request_of_a_living_client_goes_on(between: Between, tmp_path: Any) -> None:
    between.put(Rule("GET .*", Action.RUN, f"echo one >>{tmp_path}/ran", nth=1))
    assert between.ask("GET", "/").status_code == 200
    assert (tmp_path / "ran").read_text() == "one\n"
    assert between.control("GET", "/rules") == [1]


def test_a_command_that_fails_has_not_acted(between: Between) -> None:
    between.put(Rule("GET .*", Action.RUN, "false"))
    assert between.ask("GET", "/").status_code == 200
    assert between.control("GET", "/rules") == [0]


CLIENT = """import sys, urllib.request
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({"http": sys.argv[1]})))
sys.stdin.readline()
urllib.request.urlopen(sys.argv[2])"""


@pytest.mark.parametrize(("after", "reached"), [(False, 0), (True, 1)])
def test_the_request_of_a_client_killed_by_the_command_goes_no_further(
    between: Between, *, after: bool, reached: int
) -> None:
    command = [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{between.port}", f"{between.cloud}/"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as client:
        between.put(Rule("GET .*", Action.RUN, f"kill -9 {client.pid}", after=after))
        client.communicate("go\n")
        assert client.returncode == -9
    end = time.monotonic() + 10
    while not (log := between.control("GET", "/log")):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(between.nova.got) == reached
    assert [entry["status"] for entry in log] == [0]


def test_the_log_has_each_request_with_what_came_of_it(between: Between) -> None:
    between.put(Rule("GET /missing", Action.ANSWER, 404))
    between.ask("GET", "/v2.1/limits?x=1", "openstacksdk/4")
    between.ask("GET", "/missing", "gophercloud/v2")
    log = between.control("GET", "/log")
    told = [(entry["method"], entry["path"], entry["agent"], entry["status"]) for entry in log]
    assert told == [("GET", "/v2.1/limits", "openstacksdk/4", 200), ("GET", "/missing", "gophercloud/v2", 404)]
    assert abs(log[0]["at"] - time.time()) < 60


def test_a_body_of_unknown_length_is_refused(between: Between) -> None:
    assert between.ask("POST", "/", data=iter([b"{}"])).status_code == 411
