"""Who keeps the cluster's security group from going is named with the command that takes him out of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.errors import CloudError
from cluster.inuse import require_unused


def port(name: str, device: str = "", owner: str = "", *groups: str) -> SimpleNamespace:
    return SimpleNamespace(id=name, device_id=device, device_owner=owner, security_group_ids=list(groups))


def test_the_masters_own_port_and_everybody_elses_are_in_nobodys_way(cloud: Any) -> None:
    cloud.ports = [port("own", "", "", "group"), port("other", "vm", "compute:nova", "theirs"), port("bare")]
    require_unused("group", cloud, patience=0, pause=0)


def test_who_is_in_the_group_is_named_with_the_command_that_takes_him_out(cloud: Any) -> None:
    cloud.ports = [port("p1", "vm", "compute:nova", "group"), port("p2", "lb", "network:lb", "x", "group")]
    with pytest.raises(CloudError) as raised:
        require_unused("group", cloud, patience=0, pause=0)
    assert str(raised.value) == (
        "the security group group can't go - 2 ports of others are in it - "
        "openstack server remove security group vm group; openstack port unset --security-group group p2"
    )


def test_ports_of_servers_that_have_just_gone_are_waited_for(cloud: Any) -> None:
    looks = iter([[port("own", "master", "compute:nova", "group")], []])
    cloud.network.ports = lambda **_: next(looks)
    require_unused("group", cloud, patience=9, pause=0)
    assert next(looks, "all were taken") == "all were taken"
