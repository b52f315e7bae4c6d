"""The two programs, run against Pulumi's mocks: which resources there are, and what the stack reports."""

import base64
import gzip
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pulumi
import pytest
import yaml
from pulumi_openstack import compute
from pydantic import SecretStr

from cloudinit import boot
from cloudinit.systems import SYSTEMS
from cluster import credential, nodes, program, report, stack, sweep
from cluster.errors import CloudError, MasterError, SettingsError
from cluster.network import RULE_TYPE
from tests.cluster.made_up import FOUND, settings, token

SETTINGS = settings(floatingNetwork="public")
INSTANCE = "openstack:compute/instance:Instance"
PORT = "openstack:networking/port:Port"
CREDENTIAL = "openstack:identity/applicationCredential:ApplicationCredential"
STACK_URN = "urn:pulumi:dev::ecm::pulumi:pulumi:Stack::ecm-dev"
RELEASE = {"digest": "abc", "archive": "the archive"}
TEMPLATE = report.SlaveTemplate(
    clusterId="group-id",
    imageId="slave-image-id",
    flavor=FOUND.slave_flavor,
    networkId="net-id",
    securityGroup="default",
    keyName="k",
    system="debian-13",
)


class Engine(pulumi.runtime.Mocks):
    """Gives every resource an id, and the stack's own state to whoever asks."""

    def __init__(self, state: dict[str, Any], mark: str = "") -> None:
        self.state = state
        self.mark = mark
        """Begins every id."""
        self.resources: dict[tuple[str, str], dict[str, Any]] = {}
        self.options: dict[tuple[str, str], pulumi.ResourceOptions] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.resources[args.typ, args.name] = args.inputs
        computed: dict[str, Any] = {}
        if args.typ == PORT:
            computed = {"allFixedIps": ["2001:db8::5", "10.0.0.5"]}
        elif args.typ == "openstack:networking/floatingIp:FloatingIp":
            computed = {"address": "198.51.100.7"}
        elif args.typ == CREDENTIAL:
            computed = {"secret": "hush"}
        return f"{self.mark}{args.name}-id", {**args.inputs, **computed}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[Any, Any]:  # type: ignore[override]
        if args.token == "pulumi:pulumi:readStackOutputs":
            assert args.args == {"name": "organization/ecm/dev"}
            return {"outputs": self.state[STACK_URN]}
        assert args.token == "pulumi:pulumi:readStackResourceOutputs"
        assert args.args == {"stackName": "organization/ecm/dev"}
        return {"outputs": self.state}

    def kinds(self) -> list[str]:
        return sorted(kind.split(":")[-1] for kind, _ in self.resources)


Run = Callable[[Engine, Callable[[], Awaitable[None] | None]], dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a program in Pulumi's runtime and gives its outputs."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://10.0.0.9/pulumi")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")

    def run_it(engine: Engine, body: Callable[[], Awaitable[None] | None]) -> dict[str, Any]:
        exported: dict[str, Any] = {}
        known: dict[str, Any] = {}
        monkeypatch.setattr(pulumi, "export", exported.__setitem__)
        pulumi.runtime.set_mocks(engine, project="ecm", stack="dev", organization="organization")

        def note(args: pulumi.ResourceTransformationArgs) -> None:
            engine.options[args.type_, args.name] = args.opts

        @pulumi.runtime.test  # type: ignore[untyped-decorator]
        async def inside() -> None:
            pulumi.runtime.register_stack_transformation(note)
            if (rest := body()) is not None:
                await rest
            known.update(await pulumi.Output.from_input(exported).future() or {})

        inside()
        return known

    return run_it


@pytest.fixture(autouse=True)
def access_rules_work(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the master's login the cloud looks the same."""
    monkeypatch.setattr(credential, "connect_as", lambda _login, _connection: cloud)


def urn(name: str, kind: str = INSTANCE) -> str:
    return f"urn:pulumi:dev::ecm::{kind}::{name}"


def test_the_first_up_makes_a_master_and_no_slave(run: Run, cloud: Any) -> None:
    engine = Engine({})
    outputs = run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.kinds() == [
        "ApplicationCredential",
        "FloatingIp",
        "Instance",
        "Port",
        "SecGroup",
        *["SecGroupRule"] * 7,
        "Sweep",
    ]
    assert outputs["slaveCount"] == 0
    assert outputs["slaves"] == []
    assert outputs["masterIp"] == "198.51.100.7"
    assert outputs["settings"]["masterUser"] == "debian"
    shared = report.Shared.parse(outputs["settings"])
    assert (shared.master_address, shared.slave, shared.max_slaves) == (
        "10.0.0.5",
        TEMPLATE.model_copy(update={"cluster_id": "master-id"}),
        10,
    )


def test_what_slaves_get_of_the_users_own_is_in_the_report_to_read(run: Run, cloud: Any, tmp_path: Path) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\necho done\n")
    wanted = SETTINGS.model_copy(
        update={"slave_script": str(tmp_path / "setup"), "slave_packages": ("git",), "docker": False}
    )
    outputs = run(Engine({}), lambda: program.cluster(wanted, FOUND, cloud))
    slave = report.Shared.parse(outputs["settings"]).slave
    assert (slave.script, slave.packages, slave.docker) == ("#!/bin/sh\necho done\n", ("git",), False)


def test_what_the_master_got_is_in_the_report_and_a_change_of_it_is_a_warning(
    run: Run, cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\necho done\n")
    wanted = SETTINGS.model_copy(update={"master_script": str(tmp_path / "setup"), "users": {"alice": ("key",)}})
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    outputs = run(Engine({}), lambda: program.cluster(wanted, FOUND, cloud))
    got = {"packages": [], "condorConfig": "", "script": "#!/bin/sh\necho done\n", "users": ["alice"]}
    assert outputs["settings"]["master"] == got
    running = {**running_state(), STACK_URN: outputs}
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    run(Engine(running), lambda: program.cluster(wanted, FOUND, cloud))
    assert [line for line in warned if "first boot" in line] == []
    again = run(Engine(running), lambda: program.cluster(SETTINGS, FOUND, cloud))
    (warning,) = [line for line in warned if "first boot" in line]
    assert warning.startswith("ecm:masterScript, ecm:users changed - the running master")
    assert again["settings"]["master"] == got, "what it has, not what it would get"


@pytest.mark.parametrize(
    ("environment", "script", "says"),
    [
        ({"PULUMI_CONFIG_PASSPHRASE": "two\nlines"}, b"#!/bin/sh\n", "PULUMI_CONFIG_PASSPHRASE has a line"),
        ({}, b"#!/usr/bin/perl\n" + os.urandom(8000).hex().encode(), r"Nova takes 100 .*user-script 16016"),
    ],
)
def test_what_cannot_be_passed_to_the_master_is_one_line_before_anything_is_made(  # noqa: PLR0917 - fixtures
    run: Run,
    cloud: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    script: bytes,
    says: str,
) -> None:
    if not environment:
        monkeypatch.setattr(boot, "LIMIT", 100)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "setup").write_bytes(script)
    wanted = SETTINGS.model_copy(update={"master_script": str(tmp_path / "setup")})
    engine = Engine({})
    with pytest.raises(SettingsError, match=says):
        run(engine, lambda: program.cluster(wanted, FOUND, cloud))
    assert engine.resources == {}


def test_slaves_whose_user_data_would_be_too_large_are_an_error_before_anything_is_made(run: Run, cloud: Any) -> None:
    packages = tuple(f"lib{os.urandom(16).hex()}" for _ in range(4000))
    engine = Engine({})
    with pytest.raises(SettingsError, match=r"^a slave's user-data has \d+ bytes - Nova takes 65535 .*node.env 1\d{5}"):
        run(engine, lambda: program.cluster(SETTINGS.model_copy(update={"slave_packages": packages}), FOUND, cloud))
    assert engine.resources == {}


def test_a_stack_with_a_dot_in_its_name_is_refused_because_its_slaves_could_not_join(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi, "get_stack", lambda: "my.dev")
    engine = Engine({})
    with pytest.raises(SettingsError, match=r"'my.dev' - a slave with a dot .* - pulumi stack rename my-dev"):
        run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.resources == {}


def test_systems_whose_htcondors_do_not_go_together_are_warned_of(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    run(Engine({}), lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert warned == []
    run(Engine({}), lambda: program.cluster(SETTINGS, replace(FOUND, slave_system=SYSTEMS["debian-12"]), cloud))
    assert len(warned) == 1
    assert "the slaves' debian-12 gets HTCondor 25.0, the master's debian-13 23.9" in warned[0]


def test_a_preview_shows_new_texts_of_the_users_line_by_line() -> None:
    own = boot.Additions(("git",), "MAX = 3\n", "#!/bin/sh\n\necho done\n")
    assert list(report.new_texts("slave", own, {"condorConfig": "", "script": "#!/bin/sh\n"})) == [
        "new is ecm:slaveCondorConfig:\n    + MAX = 3\n"
    ]
    assert list(report.new_texts("master", own, {}))[1] == (
        "new is ecm:masterScript:\n    + #!/bin/sh\n\n    + echo done\n"
    )


def test_a_preview_shows_the_new_texts_of_slaves_and_of_a_master_that_gets_them(
    run: Run, cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\necho done\n")
    own = {"slave_script": str(tmp_path / "setup"), "master_script": str(tmp_path / "setup")}
    wanted = SETTINGS.model_copy(update=own)
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    run(Engine({}), lambda: program.cluster(wanted, FOUND, cloud))
    assert said == [], "an update has shown it before it asks"
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    run(Engine({}), lambda: program.cluster(wanted, FOUND, cloud))
    shown = ":\n    + #!/bin/sh\n    + echo done\n"
    assert said == [f"new is ecm:slaveScript{shown}", f"new is ecm:masterScript{shown}"]
    said.clear()
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    run(Engine(running_state()), lambda: program.cluster(wanted, FOUND, cloud))
    assert said == [f"new is ecm:slaveScript{shown}"], "the running master has had its first boot"


BOOT_VOLUME = {
    "sourceType": "image",
    "destinationType": "volume",
    "volumeSize": 20,
    "bootIndex": 0,
    "deleteOnTermination": True,
}


def test_a_master_with_a_boot_volume_boots_from_it_and_takes_it_along(run: Run, cloud: Any) -> None:
    cloud.volume_limits = SimpleNamespace(
        max_total_volumes=10, total_volumes_used=0, max_total_volume_gigabytes=1000, total_gigabytes_used=0
    )
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS, replace(FOUND, master_volume_gib=20), cloud))
    master = engine.resources[INSTANCE, "master"]
    assert "imageId" not in master, "the provider would boot the flavor's own disk"
    assert master["blockDevices"] == [{**BOOT_VOLUME, "uuid": "image-id"}]


def test_a_slave_whose_flavor_has_no_disk_boots_from_a_volume(run: Run) -> None:
    outputs = {"masterIp": "198.51.100.7", "settings": {}, "controller": RELEASE}
    engine = Engine({**running_state(), STACK_URN: outputs})
    on_volume = TEMPLATE.model_copy(update={"volume_gib": 20})
    change = program.Change(create={"ecm-dev-slave-x": "data"}, remove=frozenset())
    run(engine, lambda: program.change_slaves(change, on_volume))
    slave = engine.resources[INSTANCE, "ecm-dev-slave-x"]
    assert "imageId" not in slave
    assert slave["blockDevices"] == [{**BOOT_VOLUME, "uuid": "slave-image-id"}]


def test_a_report_of_an_older_version_still_parses() -> None:
    output = {
        "minSlaves": 0.0,
        "maxSlaves": 4.0,
        "idleTime": 30.0,
        "waitingJobsThreshold": 0.0,
        "waitingJobsTime": 60.0,
        "joinTimeout": 600.0,
        "pollInterval": 3.0,
        "masterAddress": "10.0.0.5",
        "slave": {
            "clusterId": "group-id",
            "imageId": "slave-image-id",
            "flavor": {"id": "sf", "name": "small", "vcpus": 1.0, "ram_mib": 1024.0, "disk_gib": 4.0},
            "networkId": "net-id",
            "securityGroup": "default",
            "keyName": "k",
        },
    }
    parsed = report.Shared.parse(output)
    assert (parsed.idle_time, parsed.slave.flavor, parsed.slave.system) == (30, FOUND.slave_flavor, "debian-13")


def test_the_slaves_group_gets_one_rule_anything_from_the_master(run: Run, cloud: Any) -> None:
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    (rule,) = [
        r for (k, _), r in engine.resources.items() if k.endswith("Rule") and r["securityGroupId"] == "default-id"
    ]
    assert rule["remoteGroupId"] == "master-id"
    assert "protocol" not in rule
    assert "remoteIpPrefix" not in rule


def test_up_declares_the_slaves_of_the_state_whatever_the_outputs_say(run: Run, cloud: Any) -> None:
    state = {
        STACK_URN: {"slaves": [{"name": "stale"}], "slaveCount": 1},
        urn("ecm-dev-slave-b"): {},
        urn("ecm-dev-slave-a"): {},
    }
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine(state | running_state())
    outputs = run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert [s["name"] for s in outputs["slaves"]] == ["ecm-dev-slave-a", "ecm-dev-slave-b"]
    assert outputs["slaveCount"] == 2
    assert (INSTANCE, "ecm-dev-slave-a") in engine.resources


def test_a_change_declares_new_slaves_only_and_keeps_the_other_outputs(run: Run) -> None:
    was = {"masterIp": "1.2.3.4", "settings": {"maxSlaves": 5}, "slaveCount": 2, "controller": RELEASE}
    engine = Engine({STACK_URN: was})
    change = program.Change(
        {"ecm-dev-slave-c": "user-data"},
        frozenset({"ecm-dev-slave-a"}),
        fingerprint="abc",
        keep={"ecm-dev-slave-b": "b-id"},
    )
    outputs = run(engine, lambda: program.change_slaves(change, TEMPLATE))
    assert sorted(engine.resources) == [(INSTANCE, "ecm-dev-slave-c")], "what isn't declared and no target stays"
    assert outputs["masterIp"] == "1.2.3.4"
    assert outputs["settings"] == {"maxSlaves": 5}
    assert outputs["controller"] == RELEASE
    assert outputs["slaveCount"] == 2
    assert outputs["slaves"] == [
        {"name": "ecm-dev-slave-b", "id": "b-id"},
        {"name": "ecm-dev-slave-c", "id": "ecm-dev-slave-c-id"},
    ]
    made = engine.resources[INSTANCE, "ecm-dev-slave-c"]
    assert made["metadata"] == {"ecm-cluster": "group-id", "ecm-role": "slave", "ecm-made-from": "abc"}
    assert (made["name"], made["imageId"], made["flavorId"]) == ("ecm-dev-slave-c", "slave-image-id", "sf")


def test_a_release_that_cannot_be_decrypted_is_not_exported_so(run: Run) -> None:
    engine = Engine({STACK_URN: {"masterIp": "1.2.3.4", "settings": {}, "controller": RELEASE | {"archive": {}}}})
    with pytest.raises(SettingsError, match="can't be decrypted"):
        run(engine, lambda: program.change_slaves(program.Change({"a": "data"}, frozenset()), TEMPLATE))
    assert not engine.resources


def test_the_first_of_many_slaves_is_on_its_way_before_the_last_is_declared(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine({STACK_URN: {"masterIp": "1.2.3.4", "settings": {}, "controller": RELEASE}})
    on_their_way: list[int] = []
    new_slave = nodes.new_slave

    def note(*args: Any) -> compute.Instance:
        on_their_way.append(len(engine.resources))
        return new_slave(*args)

    monkeypatch.setattr(nodes, "new_slave", note)
    change = program.Change({f"ecm-dev-slave-{number}": "data" for number in range(100)}, frozenset())
    run(engine, lambda: program.change_slaves(change, TEMPLATE))
    assert on_their_way[0] < on_their_way[-1]


@pytest.mark.parametrize(
    ("power_state", "refused"),
    [("active", False), ("shutoff", False), ("error", True), ("build", True), ("shelved", True)],
)
def test_a_slave_whose_server_is_broken_does_not_end_the_users_up(
    run: Run, cloud: Any, power_state: str, refused: bool
) -> None:
    """The provider's check refuses what a refresh has read, where it isn't one of a few."""
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine({**running_state(), urn("ecm-dev-slave-c"): {"id": "c-id", "powerState": power_state}})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    ignored = engine.options[INSTANCE, "ecm-dev-slave-c"].ignore_changes or []
    assert (engine.resources[INSTANCE, "ecm-dev-slave-c"].get("powerState") == "active") is refused
    assert (ignored == ["*"]) is not refused
    limits = engine.options[INSTANCE, "ecm-dev-slave-c"].custom_timeouts
    assert limits
    assert limits.update == "5m", "the provider waits for a server in build, or one that it unshelves, by itself for 30"
    if refused:
        assert {"name", "flavorId", "userData", "networks", "metadata"} <= set(ignored)
        assert "powerState" not in ignored


def running_state(generation: int = 1, **master: Any) -> dict[str, Any]:
    """What is in the state once a master is there."""
    of_master = {"metadata": {"ecm-generation": str(generation)}, "imageId": "image-id", "flavorId": "mf"} | master
    return {
        urn("master"): of_master,
        urn("master", PORT): {"networkId": "net-id"},
        urn("master", CREDENTIAL): {"accessRules": credential.rules(consoles=False)},
        urn("sweep", sweep.SWEEP_TYPE): {"cluster": "group-id", "project": "project"},
    }


def test_the_running_master_its_port_and_its_login_stay_as_they_are(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine(running_state())
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.options[INSTANCE, "master"].ignore_changes == ["*"]
    assert engine.options[PORT, "master"].ignore_changes == ["networkId"]
    assert engine.options[CREDENTIAL, "master"].ignore_changes == ["*"]


@pytest.mark.parametrize(
    ("consoles", "had", "lacks"),
    [
        (False, credential.rules(consoles=False), ""),
        (True, credential.rules(consoles=False), "POST /v2.1/servers/*/action"),
        (False, credential.rules(consoles=False)[1:-1], ""),
        (False, [], "POST /v2.1/servers, GET /v2.1/servers/*, GET /v2.1/servers/*/** and 12 more"),
    ],
)
def test_a_running_master_whose_login_lacks_rules_of_the_controller_is_warned_of(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch, had: list[dict[str, str]], lacks: str, *, consoles: bool
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    wanted = SETTINGS.model_copy(update={"console_logs": consoles})
    state = running_state() | {urn("master", CREDENTIAL): {"accessRules": had}}
    run(Engine(state), lambda: program.cluster(wanted, FOUND, cloud))
    said = [line for line in warned if "has no rule for" in line]
    assert len(said) == bool(lacks)
    assert all(f"has no rule for {lacks} - " in line and "ecm:masterGeneration 2 && " in line for line in said)


@pytest.mark.parametrize(
    ("key_had", "owner", "warns"), [("old", "other", True), ("old", "me", False), ("k", "other", False)]
)
def test_a_new_keypair_is_warned_of_where_slaves_are_made_by_another_users_login(  # noqa: PLR0917 - fixtures
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch, key_had: str, owner: str, warns: bool
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    cloud.credentials = [SimpleNamespace(id="cred")] if owner == "me" else []
    state = running_state(keyPair=key_had) | {urn("master", CREDENTIAL): {"id": "cred"}}
    run(Engine(state), lambda: program.cluster(SETTINGS, FOUND, cloud))
    said = [line for line in warned if "ecm:keyName is k, of your keypairs" in line]
    assert bool(said) is warns


def test_a_master_that_a_refresh_took_out_of_the_state_is_not_made_anew_without_a_word(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    outputs = run(Engine(running_state(2)), lambda: program.cluster(second(), FOUND, cloud))
    cloud.servers.clear()
    cloud.server("ecm-dev-slave-b")
    refreshed = {**running_state(), urn("ecm-dev-slave-b"): {"id": "b-id"}, STACK_URN: outputs}
    del refreshed[urn("master")]
    engine = Engine(refreshed)
    with pytest.raises(MasterError, match="the state has no master any more"):
        run(engine, lambda: program.cluster(second(), FOUND, cloud))
    assert engine.resources == {}
    assert cloud.servers, "nor is a slave removed"
    run(engine, lambda: program.cluster(second(masterGeneration=3), FOUND, cloud))
    assert engine.resources[INSTANCE, "master"]["metadata"]["ecm-generation"] == "3"
    assert not cloud.servers


class Refuses(Engine):
    """Makes no master, as where Nova refuses the request."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        made, outputs = super().new_resource(args)
        return (None, {}) if (args.typ, args.name) == (INSTANCE, "master") else (made, outputs)


def test_a_master_that_was_never_made_is_not_told_of_so_that_the_next_up_tries_again(run: Run, cloud: Any) -> None:
    """What outputs of an update that failed are known, the state has all the same."""
    assert "masterGeneration" in run(Engine({}), lambda: program.cluster(SETTINGS, FOUND, cloud))["settings"]
    assert "settings" not in run(Refuses({}), lambda: program.cluster(SETTINGS, FOUND, cloud))


def second(**changes: Any) -> Any:
    """The settings of a master that has been replaced before."""
    return settings(floatingNetwork="public", **({"masterGeneration": 2} | changes))


def test_another_generation_lets_everything_reach_a_new_master(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine(running_state())
    wanted = SETTINGS.model_copy(update={"master_generation": 2})
    run(engine, lambda: program.cluster(wanted, FOUND, cloud))
    for kind in (INSTANCE, PORT, CREDENTIAL):
        assert not engine.options[kind, "master"].ignore_changes
    # The old one has to let go of the port first, and differs in its tag at least.
    assert engine.options[INSTANCE, "master"].delete_before_replace
    assert engine.options[INSTANCE, "master"].replace_on_changes == ["metadata"]
    assert engine.resources[INSTANCE, "master"]["metadata"]["ecm-generation"] == "2"


def test_a_master_that_stays_keeps_the_account_of_its_image_and_a_new_one_has_anothers(run: Run, cloud: Any) -> None:
    state = {STACK_URN: {"masterIp": "1.2.3.4", "settings": {"masterUser": "rocky"}, "controller": RELEASE}}
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    for wanted, account in ((SETTINGS, "rocky"), (SETTINGS.model_copy(update={"master_generation": 2}), "debian")):
        outputs = run(Engine(state | running_state()), partial(program.cluster, wanted, FOUND, cloud))
        assert outputs["settings"]["masterUser"] == account


def test_another_generation_ends_the_slaves_which_know_the_old_key_only(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    cloud.server("ecm-dev-slave-b", metadata={"ecm-role": "slave"})
    cloud.server("ecm-dev-slave-stray", metadata={"ecm-role": "slave"})
    state = running_state() | {urn("ecm-dev-slave-b"): {"id": "b-id"}}
    engine = Engine(state)
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert (INSTANCE, "ecm-dev-slave-b") in engine.resources, "a master that stays keeps them"
    engine = Engine(state)
    wanted = SETTINGS.model_copy(update={"master_generation": 2})
    outputs = run(engine, lambda: program.cluster(wanted, FOUND, cloud))
    assert (INSTANCE, "ecm-dev-slave-b") not in engine.resources
    assert outputs["slaveCount"] == 0
    assert [server.name for server in cloud.servers] == ["ecm-dev-master"], "the provider replaces that one"


def test_another_generation_removes_a_broken_master_first_but_not_in_a_preview(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"}, status="ERROR")
    wanted = SETTINGS.model_copy(update={"master_generation": 2})
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    run(Engine(running_state()), lambda: program.cluster(wanted, FOUND, cloud))
    assert cloud.servers
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    run(Engine(running_state()), lambda: program.cluster(wanted, FOUND, cloud))
    assert not cloud.servers


def test_two_stacks_of_one_name_in_one_project_share_nothing_but_the_slaves_group(run: Run, cloud: Any) -> None:
    """Two users may both have a stack `dev`, each in a state of their own."""
    engines = [Engine({}, mark) for mark in ("a-", "b-")]
    for engine in engines:
        run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
        group = f"{engine.mark}master-id"
        for (kind, name), made in engine.resources.items():
            if kind.endswith("SecGroupRule"):
                own = (made["securityGroupId"], made.get("remoteGroupId"))
                assert own == (("default-id", group) if name == "slaves-from-master" else (group, None))
        assert engine.resources[PORT, "master"]["securityGroupIds"] == [group]
        assert engine.resources[INSTANCE, "master"]["metadata"]["ecm-cluster"] == group
        assert engine.resources[sweep.SWEEP_TYPE, "sweep"]["cluster"] == group
    titles = [engine.resources[CREDENTIAL, "master"]["name"] for engine in engines]
    assert titles == ["ecm-dev-master-a-master-id", "ecm-dev-master-b-master-id"], "Keystone wants them unique"


def test_a_new_master_of_one_stack_leaves_another_ones_servers_alone(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    cloud.server("ecm-dev-slave-a")
    for name, role in (("ecm-dev-master", "master"), ("ecm-dev-slave-b", "slave"), ("their-own", "slave")):
        cloud.server(name, id=f"other-{name}", metadata={"ecm-cluster": "other-id", "ecm-role": role})
    wanted = SETTINGS.model_copy(update={"master_generation": 2})
    run(Engine(running_state()), lambda: program.cluster(wanted, FOUND, cloud))
    assert [server.id for server in cloud.servers] == [
        "ecm-dev-master-id",
        "other-ecm-dev-master",
        "other-ecm-dev-slave-b",
        "other-their-own",
    ]


def test_a_broken_master_is_an_error_before_anything_is_declared(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"}, status="ERROR")
    engine = Engine(running_state())
    with pytest.raises(MasterError):
        run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.kinds() == []


def test_rules_that_do_not_fit_are_an_error_before_a_running_cluster_is_changed(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    first = Engine({})
    run(first, lambda: program.cluster(SETTINGS, FOUND, cloud))
    state = running_state() | {urn(name, kind): {} for kind, name in first.resources if kind == RULE_TYPE}
    cloud.network_quota = SimpleNamespace(security_group_rules={"limit": 10, "used": 7})
    run(Engine(state), lambda: program.cluster(SETTINGS, FOUND, cloud))
    engine = Engine(state)
    wanted = SETTINGS.model_copy(update={"allowed_cidrs": ("0.0.0.0/0", "192.0.2.0/24")})
    with pytest.raises(CloudError, match="security group rules: 4 needed, 3 of 10 left"):
        run(engine, lambda: program.cluster(wanted, FOUND, cloud))
    assert engine.kinds() == []


def test_a_login_to_another_project_is_an_error_before_anything_is_declared(run: Run, cloud: Any) -> None:
    engine = Engine(running_state() | {urn("sweep", sweep.SWEEP_TYPE): {"cluster": "group-id", "project": "other"}})
    with pytest.raises(CloudError, match="the cluster is in other"):
        run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.kinds() == []


def test_all_servers_end_with_the_sweep_and_what_they_stand_on_goes_after_it(run: Run, cloud: Any) -> None:
    state = running_state() | {urn("ecm-dev-slave-a"): {}}
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine(state)
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    for server in ("master", "ecm-dev-slave-a"):
        with_it = engine.options[INSTANCE, server].deleted_with
        assert isinstance(with_it, sweep.Sweep)
    before: Any = engine.options[sweep.SWEEP_TYPE, "sweep"].depends_on
    assert {type(resource).__name__ for resource in before} == {"SecGroup", "SecGroupRule", "Port", "FloatingIp"}


def test_a_new_slave_of_the_controllers_ends_with_the_same_sweep(run: Run) -> None:
    engine = Engine({STACK_URN: {"masterIp": "1.2.3.4", "settings": {}, "controller": RELEASE}})

    async def change() -> None:
        await program.change_slaves(program.Change({"ecm-dev-slave-c": "data"}, frozenset()), TEMPLATE)
        swept_by: Any = engine.options[INSTANCE, "ecm-dev-slave-c"].deleted_with
        pulumi.export("sweptBy", swept_by.urn)

    assert run(engine, change)["sweptBy"] == urn("sweep", sweep.SWEEP_TYPE)


def test_where_access_rules_cannot_be_checked_the_master_gets_a_login_without_loudly(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    cloud.refuses = {"network": 401}
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    first, second = engine.resources[CREDENTIAL, "master"], engine.resources[CREDENTIAL, "master-without-rules"]
    assert first["accessRules"]
    assert "accessRules" not in second
    assert first["name"] != second["name"]
    assert "network refuses an application credential with access rules" in warned[0]
    assert "OS_APPLICATION_CREDENTIAL_ID='master-without-rules-id'" in controller_environment(engine)


def test_the_masters_login_has_one_role_of_the_users(run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    cloud.token = token(roles=("admin", "member"))
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.resources[CREDENTIAL, "master"]["roles"] == ["member"]
    assert not [line for line in warned if "administrator" in line]


def ended(error: Exception) -> NoReturn:
    raise error


def test_an_administrators_roles_are_given_with_a_warning_and_never_without_rules(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    cloud.token = token(roles=("admin",))
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert "roles" not in engine.resources[CREDENTIAL, "master"]
    assert "among them the role of an administrator - " in said[0]
    cloud.refuses = {"network": 401}
    monkeypatch.setattr(credential, "end_with", ended)
    with pytest.raises(CloudError, match="the master could do all that an administrator of the cloud can"):
        run(Engine({}), lambda: program.cluster(SETTINGS, FOUND, cloud))


def test_the_running_master_keeps_the_login_that_it_was_given_without_being_asked_again(run: Run, cloud: Any) -> None:
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    engine = Engine(running_state() | {urn("master-without-rules", CREDENTIAL): {}})
    run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.options[CREDENTIAL, "master-without-rules"].ignore_changes == ["*"]


def test_a_ready_credential_takes_the_place_of_the_stacks_own(run: Run, cloud: Any) -> None:
    ready = {"application_credential_id": "ready", "application_credential_secret": SecretStr("hush")}
    engine = Engine({})
    run(engine, lambda: program.cluster(SETTINGS.model_copy(update=ready), FOUND, cloud))
    assert "ApplicationCredential" not in engine.kinds()
    assert "OS_APPLICATION_CREDENTIAL_ID='ready'" in controller_environment(engine)


def test_a_running_master_keeps_the_login_that_the_stack_made_until_it_is_replaced(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user-data stays as it is: without that login its controller would be locked out."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    cloud.server("ecm-dev-master", metadata={"ecm-role": "master"})
    ready = {"application_credential_id": "ready", "application_credential_secret": SecretStr("hush")}
    had = running_state() | {urn("master", CREDENTIAL): {}}
    engine = Engine(had)
    run(engine, lambda: program.cluster(SETTINGS.model_copy(update=ready), FOUND, cloud))
    assert engine.options[CREDENTIAL, "master"].ignore_changes == ["*"]
    assert [line for line in said if "the running master keeps the login that the stack made for it" in line]

    engine = Engine(had)
    replaced = ready | {"master_generation": 2}
    run(engine, lambda: program.cluster(SETTINGS.model_copy(update=replaced), FOUND, cloud))
    assert "ApplicationCredential" not in engine.kinds()
    assert "OS_APPLICATION_CREDENTIAL_ID='ready'" in controller_environment(engine)


def test_what_the_master_cannot_be_given_is_an_error_before_anything_is_declared(
    run: Run, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "two\nlines")
    engine = Engine({})
    with pytest.raises(SettingsError, match="PULUMI_CONFIG_PASSPHRASE has a line break"):
        run(engine, lambda: program.cluster(SETTINGS, FOUND, cloud))
    assert engine.kinds() == []


def controller_environment(engine: Engine) -> str:
    """The file that the master's user-data has for the controller."""
    packed = engine.resources[INSTANCE, "master"]["userData"]["value"]  # as a secret
    config = yaml.safe_load(gzip.decompress(base64.b64decode(packed)))
    (content,) = [f["content"] for f in config["write_files"] if f["path"] == "/etc/ecm/controller.env"]
    return str(content)


def test_slaves_are_told_from_other_resources_by_their_type() -> None:
    remembered = stack.parse(
        {urn("master"): {}, urn("x", "a:b/c:D"): {}, urn("s1", f"p:q:R${INSTANCE}"): {}, urn("s0"): {}}
    )
    assert remembered.slaves == ("s0", "s1")
