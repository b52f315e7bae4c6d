"""When the cloud counts as healthy."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from localcloud import health
from localcloud.services import FAKES

if TYPE_CHECKING:
    from openstack.connection import Connection

    from localcloud.supervisor import Supervisor

BEGAN = 1_800_000_000
BEFORE, EARLY, SINCE = "2027-01-15T07:59:59.000000", "2027-01-15T08:00:04.000000", "2027-01-15T08:00:09.000000"
NOVA = ("nova-conductor", "nova-scheduler", "nova-compute")


@dataclass
class FakeSupervisor:
    times: dict[str, int] = field(default_factory=lambda: {**dict.fromkeys(NOVA, BEGAN), FAKES: 0})

    def began(self) -> dict[str, int]:
        return dict(self.times)


def cloud(**reported: str | None) -> "Connection":
    """Nova as it says that all of it is up, and reported since it began but for `reported`; Neutron with all agents."""
    services = [
        SimpleNamespace(binary=name, state="up", updated_at=reported.get(name.replace("-", "_"), SINCE))
        for name in (*NOVA, "nova-osapi")
    ]
    agents = [SimpleNamespace(binary=name, is_alive=True) for name in health.PARTS if name.startswith("neutron")]
    fake = SimpleNamespace(
        compute=SimpleNamespace(services=lambda: services), network=SimpleNamespace(agents=lambda: agents)
    )
    return cast("Connection", fake)


def missing(admin: Any, **times: int) -> list[str]:
    supervisor = FakeSupervisor()
    supervisor.times |= {name.replace("_", "-"): time for name, time in times.items()}
    return health.unhealthy(admin, cast("Supervisor", supervisor))


def test_all_is_well_when_every_part_has_reported_since_it_began() -> None:
    assert missing(cloud()) == []


@pytest.mark.parametrize("report", [BEFORE, EARLY, None])
def test_a_report_from_before_the_service_can_have_made_one_is_none(report: str | None) -> None:
    assert missing(cloud(nova_compute=report)) == ["nova-compute hasn't reported"]


def test_the_fake_driver_has_to_report_itself() -> None:
    assert missing(cloud(), nova_compute_fake=BEGAN + 60) == ["nova-compute hasn't reported"]


def test_an_agent_that_is_not_alive_is_missed() -> None:
    admin = cloud()
    next(iter(admin.network.agents())).is_alive = False
    assert [line.endswith("hasn't reported") for line in missing(admin)] == [True]


def test_a_cloud_that_does_not_answer_is_not_healthy() -> None:
    assert missing(SimpleNamespace()) == ["AttributeError: 'types.SimpleNamespace' object has no attribute 'compute'"]


def test_only_the_parts_asked_for_count_and_are_asked() -> None:
    supervisor = cast("Supervisor", FakeSupervisor())
    admin: Any = cloud(nova_compute=BEFORE)
    admin.network = None
    assert health.unhealthy(admin, supervisor, frozenset({"nova-scheduler"})) == []


def test_a_cloud_of_a_version_without_the_fake_driver_can_be_asked() -> None:
    supervisor = FakeSupervisor()
    del supervisor.times[FAKES]
    assert health.unhealthy(cloud(), cast("Supervisor", supervisor)) == []
