"""What the cloud's answers are taken to say."""

import json
import re
import time
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import keystoneauth1.exceptions as auth_errors
import openstack
import openstack.exceptions as sdk_errors
import pytest
import requests
from keystoneauth1.identity.v3 import ApplicationCredential
from keystoneauth1.session import Session
from openstack.config import defaults
from openstack.config.cloud_region import CloudRegion
from requests.adapters import BaseAdapter

from cluster import credential
from cluster.cloud import Flavor
from controller.decide import BACKOFF
from controller.errors import OutsideError
from controller.model import Trouble
from controller.servers import GOING, Cloud, Server

FLAVOR = Flavor("f", "small", 1, 1024, 4)


def answer(given: Any) -> Any:
    """A call that gives this, or raises it."""

    def call(*_: object) -> object:
        if isinstance(given, Exception):
            raise given
        return given

    return call


def cloud(monkeypatch: pytest.MonkeyPatch, *, login: Any = None, image: Any = None, flavor: Any = None) -> Cloud:
    fake = SimpleNamespace(
        session=SimpleNamespace(get_token=answer(login)),
        image=SimpleNamespace(get_image=answer(image or SimpleNamespace(name="debian", status="active"))),
        compute=SimpleNamespace(get_flavor=answer(flavor or object())),
    )
    monkeypatch.setattr(openstack, "connect", lambda **_: fake)
    return Cloud()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (auth_errors.Unauthorized("The request requires authentication"), "the cloud refuses the login: The request"),
        (auth_errors.ConnectFailure("Unable to establish"), "OpenStack can't be asked - Unable to establish"),
    ],
)
def test_a_login_that_fails_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    with pytest.raises(OutsideError) as refused:
        cloud(monkeypatch, login=error).log_in()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_image_and_a_flavor_that_are_there_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cloud(monkeypatch).missing("i", FLAVOR) == ()


def test_all_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = sdk_errors.NotFoundException("no")
    missing = cloud(monkeypatch, image=gone, flavor=gone).missing("i", FLAVOR)
    assert missing == ("there is no image i", "there is no flavor small")


def test_an_image_that_nothing_can_be_made_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    image = SimpleNamespace(name="debian", status="deactivated")
    assert cloud(monkeypatch, image=image).missing("i", FLAVOR) == ("the image debian is deactivated",)


def test_a_cloud_that_does_not_say_is_not_taken_to_lack_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutsideError):
        cloud(monkeypatch, image=sdk_errors.HttpException("503")).missing("i", FLAVOR)


def test_a_server_that_never_goes_leaves_most_of_the_time_to_everything_else() -> None:
    """Nothing is decided while its deletion is waited for."""
    between = BACKOFF[Trouble.REMOVALS].longest
    assert GOING / (GOING + between) < 0.15


class Nova(BaseAdapter):
    """A cloud that has whatever it is asked for, and notes each call to a service."""

    def __init__(self, project_in_url: str) -> None:
        super().__init__()
        self.urls = {
            "compute": f"http://nova/v2.1{project_in_url}",
            "image": "http://glance/v2",
            "network": "http://neutron/v2.0",
        }
        self.calls: list[tuple[str, str, str]] = []
        self.servers: list[dict[str, Any]] = []
        self.page = 1000
        self.status = 200

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        url = urlsplit(request.url or "")
        response = requests.Response()
        response.status_code, response.request, response.url = self.status, request, request.url or ""
        response.headers["Content-Type"] = "application/json"
        body: dict[str, Any] = {}
        if url.hostname == "keystone":
            response.status_code = 200
            response.headers["X-Subject-Token"] = "token"
            body = {"token": {"catalog": self._catalogue(), "expires_at": "2099-01-01T00:00:00Z", "methods": []}}
        else:
            service = next(name for name, base in self.urls.items() if urlsplit(base).hostname == url.hostname)
            self.calls.append((service, request.method or "", url.path))
            body = {"server": self._one(url.path), "limits": {"absolute": {}}, "flavor": {}}
            body |= self._page(*parse_qs(url.query).get("marker", [""]))
            if body["server"] == {}:
                response.status_code = 404
        response.raw = BytesIO(json.dumps(body).encode())
        return response

    def close(self) -> None:
        pass

    def _one(self, path: str) -> dict[str, Any]:
        """The server of an address; nothing where there is none."""
        found = {server["id"]: server for server in self.servers}.get(path.rpartition("/")[2], {})
        return {"id": "s", "status": "DELETED"} if "/id-" not in path else found

    def _page(self, marker: str) -> dict[str, Any]:
        ids = [server["id"] for server in self.servers]
        first = ids.index(marker) + 1 if marker else 0
        found = self.servers[first : first + self.page]
        more = [{"rel": "next", "href": "http://nova-behind-a-proxy/?marker=x"}] if len(found) == self.page else []
        return {"servers": found, "servers_links": more}

    def _catalogue(self) -> list[dict[str, Any]]:
        return [
            {"type": service, "endpoints": [{"interface": "public", "region_id": "R", "region": "R", "url": url}]}
            for service, url in self.urls.items()
        ]


def logged_in(monkeypatch: pytest.MonkeyPatch, nova: Nova) -> Cloud:
    web = requests.Session()
    web.mount("http://", nova)
    auth = ApplicationCredential("http://keystone/v3", application_credential_id="i", application_credential_secret="s")
    region = CloudRegion("x", "R", defaults.get_defaults(), session=Session(auth=auth, session=web))
    monkeypatch.setattr(openstack, "connect", lambda **_: openstack.connection.Connection(config=region))
    return Cloud()


def server(number: int, cluster: str = "c", role: str = "slave", **more: Any) -> dict[str, Any]:
    """As Nova shows it, with as much as takes openstacksdk its time."""
    return {
        "id": f"id-{number}",
        "name": f"s{number}",
        "status": "ACTIVE",
        "created": "2026-01-01T00:00:00Z",
        "metadata": {"ecm-cluster": cluster, "ecm-role": role, "ecm-made-from": "f"},
        "addresses": {"lan": [{"addr": "10.0.0.9", "version": 4}]},
        **more,
    }


def test_of_all_servers_those_of_the_clusters_slaves_are_taken_from_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nova gives a thousand at a time, and may not know by which address it was asked."""
    nova = Nova("")
    nova.page = 2
    nova.servers = [
        server(1),
        server(2, cluster="another"),
        server(3, role="master"),
        server(4, status="ERROR", fault={"code": 500, "message": "No valid host was found"}),
        {"id": "id-5", "status": "UNKNOWN", "created": "2026-01-01T00:00:00Z"},  # its cell is down
    ]
    first, failed = logged_in(monkeypatch, nova).slaves("c")
    assert first == Server("id-1", "s1", "ACTIVE", datetime(2026, 1, 1, tzinfo=UTC), made_from="f", slave_of="c")
    assert (failed.name, failed.status, failed.fault) == ("s4", "ERROR", "No valid host was found")


@pytest.mark.parametrize(("task", "deleting"), [(None, False), ("spawning", False), ("deleting", True)])
def test_a_server_that_nova_was_asked_to_delete_is_known(
    monkeypatch: pytest.MonkeyPatch, task: str | None, *, deleting: bool
) -> None:
    nova = Nova("")
    nova.servers = [{**server(1), "OS-EXT-STS:task_state": task}]
    assert [slave.deleting for slave in logged_in(monkeypatch, nova).slaves("c")] == [deleting]


def test_of_others_servers_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    nova = Nova("")
    nova.servers = [server(1), server(2, cluster="another", created=None)]
    assert [slave.id for slave in logged_in(monkeypatch, nova).slaves("c")] == ["id-1"]


def test_a_server_is_found_by_its_id_whatever_its_tags_say(monkeypatch: pytest.MonkeyPatch) -> None:
    nova = Nova("")
    nova.servers = [server(1), server(2, metadata={}), server(3, status="DELETED", created=None)]
    cloud = logged_in(monkeypatch, nova)
    found = [cloud.server(server_id) for server_id in ("id-1", "id-2")]
    assert [server and (server.id, server.slave_of) for server in found] == [("id-1", "c"), ("id-2", "")]
    assert [cloud.server(server_id) for server_id in ("id-3", "id-never")] == [None, None]


def test_a_server_whose_cell_is_down_is_not_taken_for_one_without_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    nova = Nova("")
    nova.servers = [{"id": "id-5", "status": "UNKNOWN", "created": "2026-01-01T00:00:00Z"}]
    with pytest.raises(OutsideError, match="doesn't say what the server id-5 is"):
        logged_in(monkeypatch, nova).server("id-5")


def test_an_answer_that_nobody_expects_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    nova = Nova("")
    nova.servers = [server(1, created=None)]
    with pytest.raises(OutsideError, match=r"^OpenStack's answer can't be understood - TypeError$"):
        logged_in(monkeypatch, nova).slaves("c")


def test_a_list_that_is_refused_is_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    nova = Nova("")
    cloud = logged_in(monkeypatch, nova)
    cloud.slaves("c")
    nova.status = 503
    with pytest.raises(OutsideError, match="OpenStack can't be asked - "):
        cloud.slaves("c")


def test_a_look_at_a_thousand_servers_takes_no_second_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """As openstacksdk's objects they took five, every five seconds while a slave was on its way."""
    nova = Nova("")
    nova.servers = [server(number) for number in range(1000)]
    cloud = logged_in(monkeypatch, nova)
    began = time.process_time()
    assert len(cloud.slaves("c")) == 1000
    assert time.process_time() - began < 1


@pytest.mark.parametrize("project_in_url", ["", "/0123456789abcdef"])
def test_the_masters_login_may_make_each_call_that_the_controller_makes(
    monkeypatch: pytest.MonkeyPatch, project_in_url: str
) -> None:
    """The console's only where the user wants that."""
    nova = Nova(project_in_url)
    cloud = logged_in(monkeypatch, nova)
    asked = {
        "log_in": cloud.log_in,
        "missing": lambda: cloud.missing("i", FLAVOR),
        "slaves": lambda: cloud.slaves("c"),
        "quota_left": lambda: cloud.quota_left(FLAVOR),
        "server": lambda: cloud.server("s"),
        "is_off": lambda: cloud.is_off("s"),
        "delete": lambda: cloud.delete("s"),
    }
    public = {name for name in vars(Cloud) if not name.startswith("_")}
    assert public - set(asked) == {"console_tail"}
    for call in asked.values():
        call()  # type: ignore[no-untyped-call]
    services = {service for service, _, _ in nova.calls}
    assert services == {"compute", "image"}
    discovery = {urlsplit(url).path.rstrip("/") for url in nova.urls.values()} | {"", "/v2.1"}
    unruled = [call for call in nova.calls if call[2].rstrip("/") not in discovery and not ruled(*call)]
    assert unruled == []
    assert ("compute", "DELETE", f"/v2.1{project_in_url}/servers/s") in nova.calls
    action = ("compute", "POST", f"/v2.1{project_in_url}/servers/s/action")
    assert not ruled(*action)
    assert ruled(*action, consoles=True)


def ruled(service: str, method: str, path: str, *, consoles: bool = False) -> bool:
    """Whether a rule admits this call, as Keystone's middleware reads rules."""

    def pattern(rule: str) -> str:
        return re.escape(rule).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")

    return any(
        rule["service"] == service and rule["method"] == method and re.fullmatch(pattern(rule["path"]), path)
        for rule in credential.rules(consoles=consoles)
    )
