"""The master's security group, its rules, its port and its public address; the one rule in the slaves' group."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import pulumi
from pulumi_openstack import networking

ANYWHERE = "0.0.0.0/0"
ANYWHERE_V6 = "::/0"
RULE_TYPE = "openstack:networking/secGroupRule:SecGroupRule"
_FROM_MASTER = "slaves-from-master"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the master's group; no protocol means any, no ports means all of the protocol's."""

    name: str
    direction: str
    ethertype: str = "IPv4"
    remote: str | None = ANYWHERE
    """The other end's addresses; None when it is told by its group."""
    remote_group: str | None = None
    protocol: str | None = None
    ports: tuple[int, int] | None = None


OUT = (
    Rule("egress", "egress"),
    Rule("egress-v6", "egress", ethertype="IPv6", remote=ANYWHERE_V6),
)
FOR_USERS = (
    Rule("icmp", "ingress", protocol="icmp"),
    Rule("ssh", "ingress", protocol="tcp", ports=(22, 22)),
)
FOR_USERS_AND_SLAVES = (
    Rule("condor", "ingress", protocol="tcp", ports=(9618, 9618)),
    Rule("condor-range", "ingress", protocol="tcp", ports=(41000, 42000)),
)


def master_rules(allowed: Sequence[str], slave_group_id: str) -> Iterator[Rule]:
    """The rules of the master's group: six when it is open to the world.

    Args:
        allowed: CIDRs that users come from. When the world isn't among them, slaves, which may be elsewhere, keep their
            own way to HTCondor.
        slave_group_id: the slaves' security group.
    """
    yield from OUT
    for rule in (*FOR_USERS, *FOR_USERS_AND_SLAVES):
        for cidr in allowed:
            yield rule if cidr == ANYWHERE else replace(rule, name=f"{rule.name}-{cidr}", remote=cidr)
    if ANYWHERE not in allowed:
        for rule in FOR_USERS_AND_SLAVES:
            yield replace(rule, name=f"{rule.name}-slaves", remote=None, remote_group=slave_group_id)


def rules_made(allowed: Sequence[str], there: Collection[tuple[str, str]] = ()) -> int:
    """How many rules an update makes: the master's and the one in the slaves' group, but for those that are there.

    Args:
        allowed: CIDRs that users come from.
        there: type and name of the state's resources.
    """
    names = [_FROM_MASTER, *(_resource(rule) for rule in master_rules(allowed, ""))]
    return sum((RULE_TYPE, name) not in there for name in names)


@dataclass(frozen=True, slots=True)
class MasterNetwork:
    """What the master is reached by."""

    group: networking.SecGroup
    port: networking.Port
    address: pulumi.Output[str]
    """In the cluster's network: where slaves find the master."""
    public_address: pulumi.Output[str]
    """Where users find it: the floating IP, or the same where there is none."""
    resources: tuple[pulumi.Resource, ...]
    """All that was declared."""


def master_network(  # noqa: PLR0913 - one for each thing that decides on the network, all by name
    prefix: str,
    *,
    network_id: str,
    slave_group_id: str,
    allowed: Sequence[str],
    floating_network: str | None,
    fixed: bool,
) -> MasterNetwork:
    """Declares the master's group with its rules, the slaves' rule, the port and the floating IP.

    Args:
        prefix: start of the resources' names in the cloud, as `ecm-dev`.
        network_id: the network of the cluster.
        slave_group_id: the slaves' security group, which is the project's own and gets one rule.
        allowed: CIDRs that users come from.
        floating_network: name of the external network for a public address; None for none.
        fixed: whether the master is there, and its port stays in its network.
    """
    group = networking.SecGroup(
        "master",
        name=f"{prefix}-master",
        description="Master of an elastic-condor cluster",
        # Neutron adds two egress rules of its own, which would collide with the declared ones (409).
        delete_default_rules=True,
    )
    rules = [_rule(group, rule) for rule in master_rules(allowed, slave_group_id)]
    from_master = networking.SecGroupRule(
        _FROM_MASTER,
        direction="ingress",
        ethertype="IPv4",
        security_group_id=slave_group_id,
        remote_group_id=group.id,
        description=f"{prefix}: anything from the master",
    )
    port = networking.Port(
        "master",
        name=f"{prefix}-master",
        network_id=network_id,
        security_group_ids=[group.id],
        opts=pulumi.ResourceOptions(depends_on=rules, ignore_changes=["networkId"] if fixed else []),
    )
    resources = (group, *rules, from_master, port)
    address = port.all_fixed_ips.apply(ipv4)
    if not floating_network:
        return MasterNetwork(group, port, address, address, resources)
    floating = networking.FloatingIp("master", pool=floating_network, port_id=port.id)
    return MasterNetwork(group, port, address, floating.address, (*resources, floating))


def ipv4(addresses: Sequence[str]) -> str:
    """Of a port's addresses the one that the rules are for; a network may give it an IPv6 one beside."""
    return next(address for address in addresses if ":" not in address)


def _resource(rule: Rule) -> str:
    return f"master-{rule.name}"


def _rule(group: networking.SecGroup, rule: Rule) -> networking.SecGroupRule:
    low, high = rule.ports or (None, None)
    return networking.SecGroupRule(
        _resource(rule),
        direction=rule.direction,
        ethertype=rule.ethertype,
        protocol=rule.protocol,
        port_range_min=low,
        port_range_max=high,
        remote_ip_prefix=rule.remote,
        remote_group_id=rule.remote_group,
        security_group_id=group.id,
    )
