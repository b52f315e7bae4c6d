"""What the state remembers of the sweep, and what it does at the end."""

import base64
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.dynamic.dynamic import serialize_provider

from cluster import inuse, login, sweep
from cluster.errors import CloudError

OF_CLUSTER = {"cluster": "group-id", "project": "project"}


def test_the_state_has_the_name_of_the_class_and_nothing_of_its_code() -> None:
    kept = base64.b64decode(serialize_provider(sweep.Sweeper()))
    assert b"cluster.sweep" in kept
    assert b"Sweeper" in kept
    assert len(kept) < 100


def test_its_type_and_name_stay_because_a_new_one_would_remove_every_server() -> None:
    assert f"pulumi-python:{sweep.Sweep._resource_type_name}" == sweep.SWEEP_TYPE
    assert (sweep.SWEEP_TYPE, sweep.SWEEP) == ("pulumi-python:dynamic/ecm:Sweep", "sweep")


def test_a_changed_cluster_is_taken_in_without_an_end_of_the_old_one() -> None:
    assert sweep.Sweeper().update("id", {}, OF_CLUSTER).outs == OF_CLUSTER
    assert sweep.Sweeper().diff("id", {}, OF_CLUSTER).replaces is None


def test_its_end_is_the_end_of_all_servers(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "connect", lambda: cloud)
    cloud.server("ecm-dev-master")
    sweep.Sweeper().delete("group-id", OF_CLUSTER)
    assert cloud.servers == []


def test_it_ends_with_the_users_own_machine_that_would_keep_the_security_group_from_going(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "connect", lambda: cloud)
    monkeypatch.setattr(inuse, "require_unused", partial(inuse.require_unused, patience=0))
    cloud.server("ecm-dev-master")
    cloud.ports = [
        SimpleNamespace(id="p", device_id="vm", device_owner="compute:nova", security_group_ids=["group-id"])
    ]
    with pytest.raises(CloudError, match="openstack server remove security group vm group-id"):
        sweep.Sweeper().delete("group-id", OF_CLUSTER)
    assert cloud.servers == [], "those went first"


def test_in_another_project_it_fails_so_that_nothing_else_is_dropped(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "connect", lambda: cloud)
    with pytest.raises(CloudError, match="the cluster is in other, none of it was touched"):
        sweep.Sweeper().delete("group-id", OF_CLUSTER | {"project": "other"})
