"""The cluster's own servers are found and removed, and nobody else's."""

from typing import Any

import pytest

from cluster import servers
from cluster.errors import CloudError


def names(cloud: Any) -> list[str]:
    return [server.name for server in cloud.servers]


def test_a_server_is_the_clusters_by_its_tag_not_by_its_name(cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    cloud.server("ecm-dev-slave-a", metadata={"ecm-cluster": "another"})
    cloud.server("ecm-dev-slave-b", metadata={"ecm-cluster": None})
    cloud.server("gone", status="SOFT_DELETED")
    cloud.server("broken", status="ERROR", fault={"message": "No valid host"})
    assert servers.of_cluster("group-id", cloud) == (
        servers.Server("ecm-dev-master-id", "ecm-dev-master", "master", "ACTIVE"),
        servers.Server("broken-id", "broken", "slave", "ERROR", "No valid host"),
    )


def test_a_failed_list_is_an_error_not_an_empty_cluster(cloud: Any) -> None:
    cloud.refuses = {"compute": 500}
    with pytest.raises(CloudError, match="the cloud fails to answer"):
        servers.remove_all("group-id", cloud, pause=0)


def test_a_server_that_nova_says_nothing_of_may_be_one_of_ours(cloud: Any) -> None:
    """So Nova lists those of a cell that is down, be they anybody's in the project."""
    cloud.server("ecm-dev-slave-a")
    cloud.server("theirs", status="UNKNOWN")
    cloud.servers[1].metadata = None
    with pytest.raises(
        CloudError, match="OpenStack doesn't say what the server theirs-id is - Nova's cell of it may be"
    ):
        servers.remove_all("group-id", cloud, pause=0)
    assert names(cloud) == ["ecm-dev-slave-a", "theirs"]


def test_all_servers_of_the_cluster_go_and_nobody_elses(cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    cloud.server("ecm-dev-slave-a", status="BUILD")
    cloud.server("theirs", metadata={"ecm-cluster": "another"})
    servers.remove_all("group-id", cloud, pause=0)
    assert names(cloud) == ["theirs"]


def test_of_all_servers_some_can_be_chosen(cloud: Any) -> None:
    cloud.server("broken", status="ERROR")
    cloud.server("fine")
    servers.remove_all("group-id", cloud, which=lambda server: server.status == "ERROR", pause=0)
    assert names(cloud) == ["fine"]


def test_a_server_that_appears_meanwhile_goes_too(cloud: Any) -> None:
    cloud.server("ecm-dev-master")
    delete = cloud.compute.delete_server

    def delete_and_make_one_more(server_id: str, *, ignore_missing: bool) -> None:
        delete(server_id, ignore_missing)
        if server_id == "ecm-dev-master-id":
            cloud.server("late")

    cloud.compute.delete_server = delete_and_make_one_more
    servers.remove_all("group-id", cloud, pause=0)
    assert names(cloud) == []


def test_what_does_not_go_is_named_with_the_command_that_would_remove_it(cloud: Any) -> None:
    cloud.server("locked")
    cloud.server("free")
    cloud.undying = {"locked-id"}
    with pytest.raises(CloudError) as raised:
        servers.remove_all("group-id", cloud, patience=0.01, pause=0)
    assert str(raised.value) == (
        "servers of this cluster are left - locked is ACTIVE: it is locked - openstack server delete --wait locked-id"
    )
    assert names(cloud) == ["locked"]
