"""The master's login can do what the controller does, and no more; unless the cloud can't do that, which is said."""

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from cluster import credential
from cluster.errors import CloudError
from cluster.stack import Remembered
from tests.cluster.made_up import settings, token

RULES = [{"id": f"{number}-id", **rule} for number, rule in enumerate(credential.rules(consoles=False))]
NARROW = {"id": "cred", "restricted": True, "access_rules": RULES}
"""As Keystone tells it in a token."""
SERVICES = ("compute", "image", "network")
READY = {"applicationCredentialId": "cred", "applicationCredentialSecret": "hush"}


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lines.append)
    return lines


@pytest.fixture
def master(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same cloud by the master's login."""
    theirs = type(cloud)()
    theirs.token = token(credential=NARROW)
    monkeypatch.setattr(credential, "connect_as", lambda login, _: theirs if login.secret == "hush" else None)
    return theirs


def test_an_ordinary_login_makes_the_credential_itself(cloud: Any, warned: list[str]) -> None:
    assert credential.given(settings(), cloud) is None
    assert warned == []


def test_a_login_that_may_not_make_one_is_told_how(cloud: Any) -> None:
    cloud.token = token(credential={"id": "mine", "restricted": True})
    with pytest.raises(CloudError) as raised:
        credential.given(settings(), cloud)
    assert "openstack application credential create --role member --access-rules" in str(raised.value)
    assert "pulumi config set ecm:applicationCredentialId ID" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unrestricted_application_credential_may_make_one(cloud: Any) -> None:
    cloud.token = token(credential={"id": "mine", "restricted": False})
    assert credential.given(settings(), cloud) is None


def test_a_federated_login_is_warned_that_it_may_be_refused(cloud: Any, warned: list[str]) -> None:
    cloud.token = token(federated=True)
    assert credential.given(settings(), cloud) is None
    assert "this login is a federated one" in warned[0]


def rule(method: str, path: str, service: str = "compute") -> dict[str, str]:
    return {"id": "a-id", "service": service, "method": method, "path": path}


def without(*paths: str) -> dict[str, Any]:
    return NARROW | {"access_rules": [rule for rule in RULES if rule["path"] not in paths]}


def test_a_ready_credential_is_taken(cloud: Any, master: Any, warned: list[str]) -> None:
    cloud.token = token(credential={"id": "mine", "restricted": True})
    master.token = token(credential=NARROW)
    given = credential.given(settings(**READY), cloud)
    assert given
    assert (given.id, given.secret) == ("cred", "hush")
    assert warned == []


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (NARROW | {"restricted": False}, "the application credential cred is unrestricted"),
        (NARROW | {"access_rules": []}, "the application credential cred has no access rules"),
        ({"id": "cred", "restricted": True}, "the application credential cred has no access rules"),
        (
            NARROW | {"access_rules": [*RULES, rule("POST", "/**"), rule("POST", "/v2.1/servers/*/action")]},
            "the application credential cred has rules for POST /** and POST /v2.1/servers/*/action - a narrower one:",
        ),
        (
            NARROW | {"access_rules": [*RULES, *(rule("PUT", f"/{letter}") for letter in "abcde")]},
            "has rules for PUT /a, PUT /b, PUT /c and 2 more - ",
        ),
        (NARROW | {"access_rules": [*RULES, rule("GET", "/v2/images", "compute")]}, "has rules for GET /v2/images - "),
    ],
)
def test_a_ready_one_that_is_wider_than_needed_is_warned_of(
    cloud: Any, master: Any, warned: list[str], theirs: dict[str, Any], says: str
) -> None:
    master.token = token(credential=theirs)
    assert credential.given(settings(**READY), cloud)
    (said,) = warned
    assert says in said


@pytest.mark.parametrize(
    ("theirs", "lacks"),
    [
        (without("/v2.1/servers", "/v2.1/*/servers"), "has no rule for POST /v2.1/servers - "),
        (without("/v2/images"), "has no rule for GET /v2/images - "),
        (without("/v2.1/servers"), ""),
        (without("/v2.1/*/servers"), ""),
        (without("/v2.1/servers/detail"), ""),
        (NARROW | {"access_rules": [rule("GET", "/v2.1/servers/{id}")]}, "has no rule for POST /v2.1/servers, GET "),
        (
            NARROW | {"access_rules": [rule(m, "/**", s) for m in ("GET", "POST", "DELETE") for s in SERVICES]},
            "",
        ),
    ],
)
def test_a_ready_one_that_lets_the_controller_not_make_its_calls_is_warned_of(
    cloud: Any, master: Any, warned: list[str], theirs: dict[str, Any], lacks: str
) -> None:
    master.token = token(credential=theirs)
    assert credential.given(settings(**READY), cloud)
    said = [line for line in warned if "has no rule for" in line]
    assert len(said) == bool(lacks)
    assert all(f"the application credential cred {lacks}" in line for line in said)


@pytest.mark.parametrize("consoles", [True, False])
def test_a_ready_one_needs_the_rule_for_consoles_where_they_are_wanted(
    cloud: Any, master: Any, warned: list[str], *, consoles: bool
) -> None:
    master.token = token(credential=NARROW | {"access_rules": credential.rules(consoles=True)})
    credential.given(settings(**READY, consoleLogs=consoles), cloud)
    assert [line for line in warned if "POST /v2.1/servers/*/action" in line] == warned
    assert len(warned) == (not consoles)
    master.token = token(credential=NARROW)
    warned.clear()
    credential.given(settings(**READY, consoleLogs=consoles), cloud)
    assert len(warned) == consoles


def test_a_ready_one_with_roles_that_the_controller_does_not_need_is_warned_of(
    cloud: Any, master: Any, warned: list[str]
) -> None:
    master.token = token(credential=NARROW, roles=("Member", "reader", "creator", "heat_stack_owner"))
    assert credential.given(settings(**READY), cloud)
    (said,) = warned
    assert "the application credential cred has the roles creator and heat_stack_owner - a narrower one" in said


def test_a_ready_one_of_another_user_gives_slaves_that_users_keypair(
    cloud: Any, master: Any, warned: list[str]
) -> None:
    master.token = token(credential=NARROW, user="other")
    assert credential.given(settings(**READY), cloud)
    (said,) = warned
    assert "cred is of the user other - slaves get that user's keypair ecm:keyName k" in said
    assert "as that user: openstack keypair create --public-key FILE k" in said


def test_a_ready_one_of_another_project_is_refused(cloud: Any, master: Any) -> None:
    master.token = token("other", NARROW)
    with pytest.raises(CloudError, match="it is for another project"):
        credential.given(settings(**READY), cloud)


def test_a_ready_one_that_a_service_does_not_take_is_refused(cloud: Any, master: Any) -> None:
    master.refuses = {"network": 401}
    with pytest.raises(CloudError, match=r"network refuses the application credential cred - .* - make one without"):
        credential.given(settings(**READY), cloud)


@pytest.mark.parametrize("service", ["compute", "image", "network"])
def test_a_service_that_cannot_check_access_rules_refuses_every_call(cloud: Any, service: str) -> None:
    assert credential.refused_by(cloud) == ""
    cloud.refuses = {service: 401}
    assert credential.refused_by(cloud) == service


def test_a_service_that_fails_is_no_answer(cloud: Any) -> None:
    cloud.refuses = {"image": 503}
    with pytest.raises(CloudError, match="the cloud fails to answer"):
        credential.refused_by(cloud)


def test_the_rules_let_the_master_read_and_touch_servers_and_nothing_else() -> None:
    paths = ("/v2.1", "/v2.1/*")
    needed = {("compute", "POST", f"{p}/servers") for p in paths} | {
        ("compute", "DELETE", f"{p}/servers/*") for p in paths
    }
    assert changes(consoles=False) == needed
    assert changes(consoles=True) == needed | {("compute", "POST", f"{p}/servers/*/action") for p in paths}


def changes(*, consoles: bool) -> set[tuple[str, str, str]]:
    listed = credential.rules(consoles=consoles)
    return {(r["service"], r["method"], r["path"]) for r in listed if r["method"] != "GET"}


ACTION = "POST /v2.1/servers/*/action"
OLDER = [rule for rule in credential.rules(consoles=False) if not rule["path"].endswith("/limits")]


@pytest.mark.parametrize(
    ("resources", "lacks"),
    [
        ({}, []),
        ({credential.RULED: {"accessRules": credential.rules(consoles=False)}}, [ACTION]),
        ({credential.RULED: {"accessRules": credential.rules(consoles=True)}}, []),
        ({credential.RULED: {"accessRules": OLDER}}, ["GET /v2.1/limits", ACTION]),
        ({credential.RULED: {"accessRules": OLDER}, credential.WITHOUT_RULES: {}}, []),
    ],
)
def test_a_running_masters_login_lacks_the_rules_that_came_after_it(
    resources: dict[str, Any], lacks: list[str]
) -> None:
    was = Remembered({(credential.CREDENTIAL_TYPE, name): outputs for name, outputs in resources.items()})
    assert credential.lacks(was, consoles=True) == lacks


OF_STACK = (credential.CREDENTIAL_TYPE, credential.RULED)
SECOND = (credential.CREDENTIAL_TYPE, credential.WITHOUT_RULES)


@pytest.mark.parametrize(
    ("resources", "anothers"),
    [
        ({}, False),
        ({OF_STACK: {"id": "mine"}}, False),
        ({OF_STACK: {"id": "theirs"}}, True),
        ({OF_STACK: {"id": "mine"}, SECOND: {"id": "theirs"}}, True),
    ],
)
def test_the_running_masters_login_is_another_users_when_it_is_not_among_ones_own(
    cloud: Any, resources: dict[tuple[str, str], Any], *, anothers: bool
) -> None:
    cloud.credentials = [SimpleNamespace(id="mine")]
    assert credential.is_anothers(Remembered(resources), cloud) is anothers


def test_a_cloud_that_does_not_tell_ones_own_logins_says_nothing_of_whose_one_is(cloud: Any) -> None:
    cloud.refuses = {"identity": 403}
    assert not credential.is_anothers(Remembered({OF_STACK: {"id": "theirs"}}), cloud)


def test_of_the_users_roles_the_master_gets_the_one_that_it_needs() -> None:
    assert credential.narrow_roles(token(roles=("admin", "Member", "reader"))) == ["Member"]
    assert credential.narrow_roles(token(roles=("_member_", "compute"))) is None


def test_a_ready_one_of_an_administrator_is_warned_of(cloud: Any, master: Any, warned: list[str]) -> None:
    master.token = token(credential=NARROW, roles=("admin", "member"))
    assert credential.given(settings(**READY), cloud)
    assert "the application credential cred has the role of an administrator" in warned[0]
