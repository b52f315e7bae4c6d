"""What the log says at the start and of new settings."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pulumi.automation as auto
import pytest
from structlog.testing import capture_logs

from cluster.cloud import Flavor
from controller import checks, state
from controller.errors import OutsideError
from controller.state import State
from tests.controller.made_up import SETTINGS


class Outside:
    """A cloud and a state that refuse what they are told to."""

    def __init__(self, *, refuses: str = "", missing: tuple[str, ...] = ()) -> None:
        self.refuses, self._missing = refuses, missing

    def log_in(self) -> None:
        if self.refuses:
            raise OutsideError(self.refuses)

    def read(self) -> None: ...

    def missing(self, image_id: str, flavor: Flavor) -> tuple[str, ...]:
        assert (image_id, flavor.name) == ("i", "small")
        return self._missing


def said(*, settings: bool = False, **outside: Any) -> list[tuple[str, str, str]]:
    fake: Any = Outside(**outside)
    with capture_logs() as lines:
        if settings:
            checks.settings(SETTINGS, fake)
        else:
            checks.outside(fake, fake)
    return [(line["log_level"], line["check"], line.get("why", "")) for line in lines if "check" in line]


def test_at_the_start_login_and_state_are_checked() -> None:
    assert said() == [("info", "cloud takes the login", ""), ("info", "state can be read", "")]


def test_a_refused_login_is_one_line_and_the_state_is_checked_all_the_same() -> None:
    why = "OpenStack can't be asked - the cloud refuses the login: 401"
    assert said(refuses=why)[0] == ("error", "cloud takes the login", why)
    assert len(said(refuses=why)) == 2


def test_a_full_disk_is_one_line_and_ends_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slaves wait for the heartbeat, which begins after the checks."""

    def full(**_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "Limited", SimpleNamespace)
    monkeypatch.setattr(auto, "LocalWorkspace", full)
    outside: Any = Outside()
    with capture_logs() as lines:
        checks.outside(outside, State("organization/ecm/dev", tmp_path))
    assert [line["log_level"] for line in lines] == ["info", "error"]
    assert "No space left on device" in lines[1]["why"]


@pytest.mark.parametrize("missing", [("there is no image i",), ("there is no image i", "there is no flavor small")])
def test_new_settings_that_name_what_the_cloud_lacks_are_one_line(missing: tuple[str, ...]) -> None:
    (line,) = said(settings=True, missing=missing)
    assert line[0] == "error"
    assert line[2] == f"no slave can be made - {', '.join(missing)} - change the setting and run `pulumi up`"


def test_the_log_has_none_of_the_users_scripts() -> None:
    slave = SETTINGS.slave.model_copy(update={"script": "#!/bin/sh\nPASSWORD=hush\n", "condor_config": "X = hush\n"})
    outside: Any = Outside()
    with capture_logs() as lines:
        checks.settings(SETTINGS.model_copy(update={"slave": slave}), outside)
    assert "hush" not in str(lines)
    assert lines[0]["slave"]["script"] == "24 characters"
