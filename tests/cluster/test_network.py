"""The master's rules: six when it is open to the world, narrowed without cutting off the slaves."""

from cluster import network

WORLD = ("0.0.0.0/0",)


def test_open_to_the_world_there_are_exactly_six() -> None:
    rules = [(r.direction, r.ethertype, r.protocol, r.ports, r.remote) for r in network.master_rules(WORLD, "slaves")]
    assert rules == [
        ("egress", "IPv4", None, None, "0.0.0.0/0"),
        ("egress", "IPv6", None, None, "::/0"),
        ("ingress", "IPv4", "icmp", None, "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", (22, 22), "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", (9618, 9618), "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", (41000, 42000), "0.0.0.0/0"),
    ]


def test_every_rule_is_counted_for_the_quota() -> None:
    assert network.rules_made(WORLD) == 7
    assert network.rules_made(("192.0.2.0/24", "198.51.100.0/24")) == 2 + 2 * 4 + 2 + 1


def test_of_a_cluster_that_is_there_only_new_rules_are_counted() -> None:
    names = {f"master-{rule.name}" for rule in network.master_rules(WORLD, "slaves")} | {"slaves-from-master"}
    there = {(network.RULE_TYPE, name) for name in names}
    assert network.rules_made(WORLD, there) == 0
    # What is narrowed away goes only after the new ones are there.
    assert network.rules_made(("192.0.2.0/24",), there) == 4 + 2
    assert network.rules_made((*WORLD, "192.0.2.0/24"), there) == 4


def test_slaves_are_told_the_masters_ipv4_address_where_it_has_others_too() -> None:
    assert network.ipv4(["2001:db8::5", "10.0.0.5"]) == "10.0.0.5"


def test_narrowed_the_world_is_out_and_the_slaves_keep_their_way_to_htcondor() -> None:
    rules = list(network.master_rules(("192.0.2.0/24", "198.51.100.0/24"), "slaves"))
    ingress = [r for r in rules if r.direction == "ingress"]
    assert "0.0.0.0/0" not in {r.remote for r in ingress}
    users = {(r.protocol, r.ports, r.remote) for r in ingress if r.remote}
    assert users == {
        (protocol, ports, cidr)
        for cidr in ("192.0.2.0/24", "198.51.100.0/24")
        for protocol, ports in (("icmp", None), ("tcp", (22, 22)), ("tcp", (9618, 9618)), ("tcp", (41000, 42000)))
    }
    slaves = {(r.protocol, r.ports) for r in ingress if r.remote_group == "slaves"}
    assert slaves == {("tcp", (9618, 9618)), ("tcp", (41000, 42000))}
    assert len({r.name for r in rules}) == len(rules)
