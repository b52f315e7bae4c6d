"""The two programs, run against Pulumi's mocks: which resources there are, and what the stack reports."""

from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from cluster import program, report, settings, stack
from cluster.cloud import Flavor, Found
from cluster.errors import SettingsError

FOUND = Found(
    image_id="image-id",
    slave_image_id="slave-image-id",
    master_flavor=Flavor("mf", "medium", 2, 2048, 4),
    slave_flavor=Flavor("sf", "small", 1, 1024, 4),
    network_id="net-id",
    slave_group_id="default-id",
    auth_url="http://cloud/v3",
    region="RegionOne",
)
SETTINGS = settings.Settings(image="i", masterFlavor="m", slaveFlavor="s", keyName="k", floatingNetwork="public")
INSTANCE = "openstack:compute/instance:Instance"
STACK_URN = "urn:pulumi:dev::ecm::pulumi:pulumi:Stack::ecm-dev"
TEMPLATE = report.SlaveTemplate(
    clusterId="group-id",
    imageId="slave-image-id",
    flavor=FOUND.slave_flavor,
    networkId="net-id",
    securityGroup="default",
    keyName="k",
)


class Cloud(pulumi.runtime.Mocks):
    """Gives every resource an id, and the stack's own state to whoever asks."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.resources[args.typ, args.name] = args.inputs
        computed: dict[str, Any] = {}
        if args.typ == "openstack:networking/port:Port":
            computed = {"allFixedIps": ["10.0.0.5"]}
        elif args.typ == "openstack:networking/floatingIp:FloatingIp":
            computed = {"address": "198.51.100.7"}
        elif args.typ == "openstack:identity/applicationCredential:ApplicationCredential":
            computed = {"secret": "hush"}
        return f"{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[Any, Any]:  # type: ignore[override]
        assert args.token == "pulumi:pulumi:readStackResourceOutputs"
        assert args.args == {"stackName": "organization/ecm/dev"}
        return {"outputs": self.state}

    def kinds(self) -> list[str]:
        return sorted(kind.split(":")[-1] for kind, _ in self.resources)


Run = Callable[[Cloud, Callable[[], None]], dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program in Pulumi's runtime and gives its outputs."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://db/pulumi")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")

    def run_it(cloud: Cloud, body: Callable[[], None]) -> dict[str, Any]:
        exported: dict[str, Any] = {}
        known: dict[str, Any] = {}
        monkeypatch.setattr(pulumi, "export", exported.__setitem__)
        pulumi.runtime.set_mocks(cloud, project="ecm", stack="dev", organization="organization")

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        def inside() -> pulumi.Output[None]:
            body()
            return pulumi.Output.from_input(exported).apply(known.update)

        inside()
        return known

    return run_it


def urn(name: str, kind: str = INSTANCE) -> str:
    return f"urn:pulumi:dev::ecm::{kind}::{name}"


def test_the_first_up_makes_a_master_and_no_slave(run: Run) -> None:
    cloud = Cloud({})
    outputs = run(cloud, lambda: program.cluster(SETTINGS, FOUND))
    assert cloud.kinds() == [
        "ApplicationCredential",
        "FloatingIp",
        "Instance",
        "Port",
        "SecGroup",
        *["SecGroupRule"] * 7,
    ]
    assert outputs["slaveCount"] == 0
    assert outputs["slaves"] == []
    assert outputs["masterIp"] == "198.51.100.7"
    shared = report.Shared.parse(outputs["settings"])
    assert (shared.master_address, shared.slave, shared.max_slaves) == (
        "10.0.0.5",
        TEMPLATE.model_copy(update={"cluster_id": "master-id"}),
        10,
    )


def test_the_masters_group_has_exactly_the_six_rules(run: Run) -> None:
    cloud = Cloud({})
    run(cloud, lambda: program.cluster(SETTINGS, FOUND))
    rules = {
        (
            r["direction"],
            r["ethertype"],
            r.get("protocol"),
            r.get("portRangeMin"),
            r.get("portRangeMax"),
            r.get("remoteIpPrefix"),
        )
        for (kind, _), r in cloud.resources.items()
        if kind.endswith("SecGroupRule") and r["securityGroupId"] == "master-id"
    }
    assert rules == {
        ("egress", "IPv4", None, None, None, "0.0.0.0/0"),
        ("egress", "IPv6", None, None, None, "::/0"),
        ("ingress", "IPv4", "icmp", None, None, "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", 22, 22, "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", 9618, 9618, "0.0.0.0/0"),
        ("ingress", "IPv4", "tcp", 41000, 42000, "0.0.0.0/0"),
    }


def test_the_slaves_group_gets_one_rule_anything_from_the_master(run: Run) -> None:
    cloud = Cloud({})
    run(cloud, lambda: program.cluster(SETTINGS, FOUND))
    (rule,) = [
        r for (k, _), r in cloud.resources.items() if k.endswith("Rule") and r["securityGroupId"] == "default-id"
    ]
    assert rule["remoteGroupId"] == "master-id"
    assert "protocol" not in rule
    assert "remoteIpPrefix" not in rule


def test_up_declares_the_slaves_of_the_state_whatever_the_outputs_say(run: Run) -> None:
    state = {
        STACK_URN: {"slaves": [{"name": "stale"}], "slaveCount": 1},
        urn("master"): {},
        urn("ecm-dev-slave-b"): {},
        urn("ecm-dev-slave-a"): {},
    }
    cloud = Cloud(state)
    outputs = run(cloud, lambda: program.cluster(SETTINGS, FOUND))
    assert [s["name"] for s in outputs["slaves"]] == ["ecm-dev-slave-a", "ecm-dev-slave-b"]
    assert outputs["slaveCount"] == 2
    assert (INSTANCE, "ecm-dev-slave-a") in cloud.resources


def test_a_change_declares_slaves_only_and_keeps_the_other_outputs(run: Run) -> None:
    state = {
        STACK_URN: {"masterIp": "1.2.3.4", "settings": {"maxSlaves": 5}, "slaveCount": 2},
        urn("master"): {},
        urn("ecm-dev-slave-a"): {},
        urn("ecm-dev-slave-b"): {},
    }
    cloud = Cloud(state)
    change = program.Change({"ecm-dev-slave-c": "user-data"}, frozenset({"ecm-dev-slave-a"}), fingerprint="abc")
    outputs = run(cloud, lambda: program.change_slaves(change, TEMPLATE))
    assert sorted(cloud.resources) == [(INSTANCE, "ecm-dev-slave-b"), (INSTANCE, "ecm-dev-slave-c")]
    assert outputs["masterIp"] == "1.2.3.4"
    assert outputs["settings"] == {"maxSlaves": 5}
    assert outputs["slaveCount"] == 2
    made = cloud.resources[INSTANCE, "ecm-dev-slave-c"]
    assert made["metadata"] == {"ecm-cluster": "group-id", "ecm-role": "slave", "ecm-made-from": "abc"}
    assert (made["name"], made["imageId"], made["flavorId"]) == ("ecm-dev-slave-c", "slave-image-id", "sf")


def test_slaves_are_told_from_other_resources_by_their_type() -> None:
    remembered = stack.parse(
        {urn("master"): {}, urn("x", "a:b/c:D"): {}, urn("s1", f"p:q:R${INSTANCE}"): {}, urn("s0"): {}}
    )
    assert remembered.slaves == ("s0", "s1")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"PULUMI_BACKEND_URL": "postgres://a"}, {"PULUMI_BACKEND_URL": "postgres://a"}),
        (
            {
                "PULUMI_BACKEND_URL": "postgres://a",
                "ECM_MASTER_BACKEND_URL": "postgres://b",
                "PULUMI_CONFIG_PASSPHRASE": "p",
            },
            {"PULUMI_BACKEND_URL": "postgres://b", "PULUMI_CONFIG_PASSPHRASE": "p"},
        ),
    ],
)
def test_the_master_gets_the_state_as_it_reaches_it(environment: dict[str, str], expected: dict[str, str]) -> None:
    assert program.state_login(SETTINGS, environment) == expected


@pytest.mark.parametrize("url", ["", "file:///tmp/state"])
def test_a_state_that_the_master_cannot_reach_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="no way to the stack's state"):
        program.state_login(SETTINGS, {"PULUMI_BACKEND_URL": url})
