"""What the cloud's answers are taken to say."""

from types import SimpleNamespace
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack
import openstack.exceptions as sdk_errors
import pytest

from cluster.cloud import Flavor
from controller.errors import OutsideError
from controller.servers import Cloud

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
