"""The order in which services start, and what is said when one doesn't."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from localcloud import services, startup
from localcloud.errors import LocalCloudError
from localcloud.machine import Machine
from localcloud.paths import Paths
from localcloud.services import Alive, Service

if TYPE_CHECKING:
    from localcloud.supervisor import Supervisor


class FakeSupervisor:
    """Services that run as soon as they are started, but for the ones that fail."""

    def __init__(self, failing: set[str] | None = None) -> None:
        self.started: list[str] = []
        self.failing = failing or set()

    def start(self, name: str) -> None:
        self.started.append(name)

    def states(self) -> dict[str, str]:
        return {name: "FATAL" if name in self.failing else "RUNNING" for name in self.started}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    table = (
        Service("last", "", Alive(), after=("first", "middle")),
        Service("middle", "", Alive(), after=("first",)),
        Service("first", "", Alive()),
    )
    monkeypatch.setattr(startup, "SERVICES", table)
    paths = Paths(tmp_path)
    paths.make()
    return paths


def start(paths: Paths, supervisor: FakeSupervisor, names: list[str], seconds: float = 5) -> None:
    startup.start(Machine(0), cast("Supervisor", supervisor), paths, names, seconds)


def test_services_start_after_what_they_need(paths: Paths) -> None:
    supervisor = FakeSupervisor()
    start(paths, supervisor, ["first", "middle", "last"])
    assert supervisor.started == ["first", "middle", "last"]


def test_only_the_named_services_start(paths: Paths) -> None:
    supervisor = FakeSupervisor()
    start(paths, supervisor, ["last"])
    assert supervisor.started == ["last"]


def test_a_failing_service_is_named_with_the_end_of_its_log(paths: Paths) -> None:
    (paths.log / "middle.log").write_text("".join(f"line {number}\n" for number in range(100)))
    with pytest.raises(LocalCloudError) as raised:
        start(paths, FakeSupervisor({"middle"}), ["first", "middle", "last"])
    *log, summary = str(raised.value).splitlines()
    assert log[-1] == "line 99"
    assert summary.startswith("middle doesn't stay up (fatal)")


def test_a_service_that_is_never_ready_is_named_in_time(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "is_ready", lambda _machine, service, _state: service.name != "middle")
    with pytest.raises(LocalCloudError, match="middle isn't ready"):
        start(paths, FakeSupervisor(), ["first", "middle", "last"], seconds=0.3)


def test_logs_begin_anew_and_the_last_ones_stay(paths: Paths) -> None:
    (paths.log / "nova.log").write_text("old")
    startup.set_logs_aside(paths)
    assert not (paths.log / "nova.log").exists()
    assert (paths.log / "previous" / "nova.log").read_text() == "old"


def test_every_service_of_the_catalogue_has_a_readiness_of_its_own_port() -> None:
    for name, port in services.ENDPOINTS.items():
        ready = services.BY_NAME[name].ready
        assert isinstance(ready, services.Http | services.Tcp)
        assert ready.port == port
