"""The cluster has room in the project, or the user is told what lacks before anything is made."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cluster import quota
from cluster.cloud import Flavor, Found
from cluster.errors import CloudError
from tests.cluster import made_up

FOUND = replace(made_up.FOUND, slave_flavor=Flavor("s", "s", 4, 8192, 4))


def judged(
    cloud: Any, found: Found = FOUND, *, there: bool = False, slaves: int = 0, rules: int = 7, **changes: Any
) -> tuple[str, ...]:
    settings = made_up.settings(**changes)
    shares = quota.shares(settings, found, cloud, master_is_there=there, slaves=slaves, rules=rules)
    return quota.judge(shares, settings)


def volumes(count: int, gib: int) -> SimpleNamespace:
    return SimpleNamespace(
        max_total_volumes=count, total_volumes_used=0, max_total_volume_gigabytes=gib, total_gigabytes_used=0
    )


def test_with_room_for_all_there_is_nothing_to_say(cloud: Any) -> None:
    cloud.limits.instances = 10
    assert judged(cloud, maxSlaves=9) == ()


def test_no_limit_is_no_lack(cloud: Any) -> None:
    assert judged(cloud, maxSlaves=9999) == ()


def test_no_limit_of_networks_and_volumes_is_no_lack_either(cloud: Any) -> None:
    kinds = ("ports", "floating_ips", "security_groups", "security_group_rules")
    cloud.network_quota = SimpleNamespace(**{kind: {"limit": -1, "used": 5, "reserved": 0} for kind in kinds})
    cloud.volume_limits = volumes(-1, -1)
    on_volumes = replace(FOUND, master_volume_gib=20, slave_volume_gib=20)
    assert judged(cloud, on_volumes, minSlaves=2, maxSlaves=9999) == ()


@pytest.mark.parametrize(
    ("limits", "lacks"),
    [
        ({"instances": 2}, "instances: 3 needed, 2 of 2 left"),
        ({"instances": 9, "instances_used": 8}, "instances: 3 needed, 1 of 9 left"),
        ({"total_cores": 9}, "cores: 10 needed, 9 of 9 left"),
        ({"total_ram": 18431}, "MiB of RAM: 18432 needed, 18431 of 18431 left"),
    ],
)
def test_the_master_and_the_minimum_must_fit(cloud: Any, limits: dict[str, int], lacks: str) -> None:
    cloud.limits.__dict__.update(limits)
    with pytest.raises(CloudError) as raised:
        judged(cloud, minSlaves=2)
    assert f"no room for the master and 2 slaves - {lacks} - delete what isn't needed" in str(raised.value)


def test_what_is_there_already_needs_no_more_room(cloud: Any) -> None:
    cloud.limits.instances, cloud.limits.instances_used = 3, 3
    assert judged(cloud, there=True, slaves=2, minSlaves=2, maxSlaves=2) == ()


def test_a_cluster_that_is_there_is_warned_only(cloud: Any) -> None:
    cloud.limits.instances, cloud.limits.instances_used = 1, 1
    assert "fewer will come" in judged(cloud, there=True, minSlaves=2)[0]


def test_a_maximum_that_does_not_fit_is_only_a_warning(cloud: Any) -> None:
    cloud.limits.instances = 10
    (said,) = judged(cloud, maxSlaves=10)
    assert "no room for all of maxSlaves 10 - instances: 11 needed, 10 of 10 left - fewer will come" in said


@pytest.mark.parametrize(
    ("what", "detail", "lacks"),
    [
        ("ports", {"limit": 2, "used": 1, "reserved": 0}, "ports: 3 needed, 1 of 2 left"),
        ("floating_ips", {"limit": 1, "used": 0, "reserved": 1}, "floating ips: 1 needed, 0 of 1 left"),
        ("security_groups", {"limit": 10, "used": 10}, "security groups: 1 needed, 0 of 10 left"),
        ("security_group_rules", {"limit": 10, "used": 4}, "security group rules: 7 needed, 6 of 10 left"),
    ],
)
def test_the_networks_parts_must_fit_where_the_cloud_tells(
    cloud: Any, what: str, detail: dict[str, int], lacks: str
) -> None:
    assert judged(cloud, minSlaves=2, maxSlaves=2) == ()
    cloud.network_quota = SimpleNamespace(**{what: detail})
    with pytest.raises(CloudError, match=lacks):
        judged(cloud, minSlaves=2)


def test_new_rules_of_a_cluster_that_is_there_must_fit_too(cloud: Any) -> None:
    cloud.network_quota = SimpleNamespace(security_group_rules={"limit": 10, "used": 7})
    assert judged(cloud, there=True, rules=3) == ()
    with pytest.raises(CloudError, match=r"security group rules: 4 needed, 3 of 10 left - .* fewer allowedCidrs"):
        judged(cloud, there=True, rules=4)


def test_boot_volumes_must_fit_where_there_are_any(cloud: Any) -> None:
    on_volumes = replace(FOUND, master_volume_gib=20)
    with pytest.raises(CloudError, match="the cloud has no volumes"):
        judged(cloud, on_volumes)
    cloud.volume_limits = volumes(10, 19)
    with pytest.raises(CloudError, match="GiB of volumes: 20 needed, 19 of 19 left"):
        judged(cloud, on_volumes)
    cloud.volume_limits = volumes(1, 20)
    assert judged(cloud, on_volumes, maxSlaves=9) == ()


def test_a_quota_that_cannot_be_read_is_an_error_not_zero_and_not_plenty(cloud: Any) -> None:
    cloud.refuses = {"compute": 500}
    with pytest.raises(CloudError, match="the cloud fails to answer"):
        judged(cloud)
