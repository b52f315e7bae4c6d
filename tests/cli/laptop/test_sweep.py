"""Servers of this cluster that the state lacks are found, and deleted after a yes; nobody else's ever are."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest


def server(name: str, cluster: str = "our-group", *, minutes: float = 60) -> SimpleNamespace:
    created = datetime.now(UTC) - timedelta(minutes=minutes)
    return SimpleNamespace(
        name=name, id=f"{name}-id", metadata={"ecm-cluster": cluster}, created_at=created.isoformat()
    )


@pytest.fixture(autouse=True)
def cluster(cloud: Any, pulumi: Any) -> None:
    """A cluster with a slave in its state, one outside, one just being made, and a neighbour's."""
    pulumi.told["settings"] = {"slave": {"clusterId": "our-group"}}
    pulumi.state = {
        "deployment": {
            "resources": [{"urn": "u"}, {"urn": "v", "id": "kept-id"}],
            "pending_operations": [{"type": "creating", "resource": {"urn": "w", "id": ""}}],
        }
    }
    neighbour = SimpleNamespace(name="web", id="web-id", metadata={}, created_at="2026-01-01T00:00:00Z")
    cloud.servers = [server("kept"), server("stray"), server("young", minutes=1), server("theirs", "other"), neighbour]


def test_strays_are_listed_and_the_young_are_left_alone(ecm: Any, cloud: Any) -> None:
    assert [stray["name"] for stray in json.loads(ecm("sweep", "--json").stdout)] == ["stray", "young"]
    done = ecm("sweep", "--yes")
    assert "may be being made right now, and stays" in " ".join(done.stdout.split())
    assert cloud.done == ["delete server stray-id"]


@pytest.mark.parametrize(
    ("ahead", "done"),
    [(timedelta(hours=-2), []), (timedelta(hours=2), ["delete server stray-id", "delete server young-id"])],
)
def test_what_is_young_is_told_by_the_clouds_clock_which_made_the_server(
    ecm: Any, cloud: Any, ahead: timedelta, done: list[str]
) -> None:
    cloud.date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    ecm("sweep", "--yes")
    assert cloud.done == done


def test_nothing_is_deleted_without_a_yes(ecm: Any, cloud: Any) -> None:
    assert ecm("sweep", stdin="\n").exit_code == 0
    assert cloud.done == []


def test_a_stack_that_is_not_up_has_no_servers_to_sweep(ecm: Any, cloud: Any, pulumi: Any) -> None:
    pulumi.told = {}
    assert ecm("sweep", "--yes").stdout == "The stack mycluster isn't up: no server has its tag.\n"
    assert ecm("sweep", "--json").stdout == "[]\n"
    assert cloud.done == []
