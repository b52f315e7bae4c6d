"""The master's security group, its rules, its port and its public address; the one rule in the slaves' group."""

from dataclasses import dataclass

import pulumi
from pulumi_openstack import networking

ANYWHERE = "0.0.0.0/0"
ANYWHERE_V6 = "::/0"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the master's group; no protocol means any, no ports means all of the protocol's."""

    name: str
    direction: str
    ethertype: str = "IPv4"
    remote: str = ANYWHERE
    protocol: str | None = None
    ports: tuple[int, int] | None = None


MASTER_RULES = (
    Rule("egress", "egress"),
    Rule("egress-v6", "egress", ethertype="IPv6", remote=ANYWHERE_V6),
    Rule("icmp", "ingress", protocol="icmp"),
    Rule("ssh", "ingress", protocol="tcp", ports=(22, 22)),
    Rule("condor", "ingress", protocol="tcp", ports=(9618, 9618)),
    Rule("condor-range", "ingress", protocol="tcp", ports=(41000, 42000)),
)


@dataclass(frozen=True, slots=True)
class MasterNetwork:
    """What the master is reached by."""

    group: networking.SecGroup
    port: networking.Port
    address: pulumi.Output[str]
    """In the cluster's network: where slaves find the master."""
    public_address: pulumi.Output[str]
    """Where users find it: the floating IP, or the same where there is none."""


def master_network(prefix: str, network_id: str, slave_group_id: str, floating_network: str | None) -> MasterNetwork:
    """Declares the master's group with its six rules, the slaves' rule, the port and the floating IP.

    Args:
        prefix: start of the resources' names in the cloud, as `ecm-dev`.
        network_id: the network of the cluster.
        slave_group_id: the slaves' security group, which is the project's own and gets one rule.
        floating_network: name of the external network for a public address; None for none.
    """
    group = networking.SecGroup(
        "master",
        name=f"{prefix}-master",
        description="Master of an elastic-condor cluster",
        # Neutron adds two egress rules of its own, which would collide with the declared ones (409).
        delete_default_rules=True,
    )
    rules = [_rule(group, rule) for rule in MASTER_RULES]
    networking.SecGroupRule(
        "slaves-from-master",
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
        opts=pulumi.ResourceOptions(depends_on=rules, ignore_changes=["networkId"]),
    )
    address = port.all_fixed_ips.apply(lambda addresses: addresses[0])
    if not floating_network:
        return MasterNetwork(group, port, address, address)
    floating = networking.FloatingIp("master", pool=floating_network, port_id=port.id)
    return MasterNetwork(group, port, address, floating.address)


def _rule(group: networking.SecGroup, rule: Rule) -> networking.SecGroupRule:
    low, high = rule.ports or (None, None)
    return networking.SecGroupRule(
        f"master-{rule.name}",
        direction=rule.direction,
        ethertype=rule.ethertype,
        protocol=rule.protocol,
        port_range_min=low,
        port_range_max=high,
        remote_ip_prefix=rule.remote,
        security_group_id=group.id,
    )
