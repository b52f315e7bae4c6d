"""The wizard asks only what it doesn't know, proposes what fits, and creates nothing without a yes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from openstack.config import OpenStackConfig

from cli.errors import CommandError
from cli.laptop.backend import KINDS
from cli.laptop.pulumi import Value
from tests.cli.conftest import thing


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user's shell that has everything, and a home of its own."""
    monkeypatch.setenv("OS_CLOUD", "mycloud")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "postgres://me:hidden@db/pulumi")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ECM_MASTER_BACKEND_URL", raising=False)


@pytest.fixture
def new(pulumi: Any) -> Any:
    """A backend without any stack."""
    pulumi.values, pulumi.names = {}, []
    return pulumi


def settings(pulumi: Any) -> dict[str, str]:
    return {key.removeprefix("ecm:"): value.text for key, value in pulumi.values.items()}


def test_flags_alone_make_a_stack(ecm: Any, new: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--set", "slaveFlavor=small", "--set", "waitingJobsTime=30")
    assert done.exit_code == 0, done.output
    assert new.names == ["fresh"]
    assert settings(new) == {
        "image": "debian-13-condor",
        "masterFlavor": "medium",
        "slaveFlavor": "small",
        "keyName": "mykey",
        "floatingNetwork": "public",
        "maxSlaves": "7",
        "waitingJobsTime": "30",
    }
    assert done.stdout.endswith("Next:   pulumi up --stack fresh\n")


def test_questions_are_answered_by_number_name_or_the_enter_key(ecm: Any, new: Any) -> None:
    #          name, master's URL, image, master, slave, key, floating, max, min, jobs, idle
    answers = ["fresh", "postgres://m:own@db/pulumi", "2", "large", "", "", "-", "3", "", "", "120"]
    done = ecm("init", stdin="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert settings(new) == {
        "image": "Ubuntu 24.04 LTS",
        "masterFlavor": "large",
        "slaveFlavor": "medium",
        "keyName": "mykey",
        "maxSlaves": "3",
        "idleTime": "120",
        "masterBackendUrl": "postgres://m:own@db/pulumi",
    }
    assert new.values["ecm:masterBackendUrl"].secret


@pytest.mark.usefixtures("new")
def test_no_secret_is_printed(ecm: Any) -> None:
    output = ecm("init", "fresh", "--yes", "--set", "masterBackendUrl=postgres://m:own@db/pulumi").output
    assert "hidden" not in output
    assert "own@" not in output
    assert "phrase'" not in output


def test_run_again_it_edits(ecm: Any, pulumi: Any) -> None:
    before = settings(pulumi)
    done = ecm("init", "mycluster", "--yes", "--set", "maxSlaves=6")
    assert done.exit_code == 0, done.output
    assert settings(pulumi) == before | {"maxSlaves": "6", "floatingNetwork": "public"}


@pytest.mark.usefixtures("new")
def test_settings_that_do_not_fit_are_told_with_status_3(ecm: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--set", "slaveFlavor=huge")
    assert done.exit_code == 3
    assert "there is no such flavor" in " ".join(done.stdout.split())
    assert "Next:" not in done.stdout


def test_a_keypair_is_made_after_a_yes_and_kept_private(ecm: Any, new: Any, cloud: Any, tmp_path: Path) -> None:
    cloud.keypairs = []
    ecm("init", "fresh", stdin="\nn\n")
    assert cloud.done == []
    ecm("init", "fresh", "--make-key", "mine", "--yes")
    assert cloud.done == ["make key mine"]
    file = tmp_path / ".ssh" / "mine.pem"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("PRIVATE", 0o600)
    assert settings(new)["keyName"] == "mine"


@pytest.mark.usefixtures("new")
def test_no_keypair_is_made_where_its_private_half_could_not_be_kept(ecm: Any, cloud: Any, tmp_path: Path) -> None:
    (tmp_path / ".ssh").write_text("a file")
    done = ecm("init", "fresh", "--make-key", "mine", "--yes")
    assert (done.exit_code, cloud.done) == (1, [])
    assert f"{tmp_path}/.ssh/mine.pem can't be written - File exists" in done.stderr


def test_a_setting_without_a_value_is_named_with_how_to_write_it(ecm: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--set", "maxSlaves")
    assert done.exit_code == 1
    assert done.stderr == "ecm: --set maxSlaves is no setting - it has no value - write --set maxSlaves=VALUE\n"


@pytest.mark.usefixtures("new")
def test_a_private_key_is_never_overwritten(ecm: Any, cloud: Any, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "mine.pem").write_text("OLD")
    assert "is there already" in ecm("init", "fresh", "--make-key", "mine", "--yes").stderr
    assert cloud.done == []


@pytest.mark.usefixtures("new")
def test_a_missing_answer_is_named_when_nothing_may_be_asked(ecm: Any, cloud: Any) -> None:
    cloud.keypairs = []
    done = ecm("init", "fresh", "--yes")
    assert done.exit_code == 1
    assert "ecm:keyName is not given" in done.stderr
    assert "add --set keyName=VALUE" in done.stderr


def test_a_state_on_this_machine_is_refused(ecm: Any, new: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--backend", "file:///tmp/state")
    assert "the master doesn't reach it" in done.stderr
    assert new.names == []


@pytest.mark.parametrize(
    ("clouds", "says"),
    [([], "download clouds.yaml"), (["a", "b"], "clouds.yaml has several clouds - a, b - export OS_CLOUD=NAME")],
)
def test_without_a_login_it_says_how_to_get_one(
    ecm: Any, monkeypatch: pytest.MonkeyPatch, clouds: list[str], says: str
) -> None:
    monkeypatch.delenv("OS_CLOUD")
    monkeypatch.setattr(OpenStackConfig, "get_cloud_names", lambda _: clouds)
    assert says in ecm("init", "fresh", "--yes").stderr


@pytest.mark.usefixtures("new")
def test_the_only_cloud_is_taken_and_to_be_exported(ecm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OS_CLOUD")
    monkeypatch.setattr(OpenStackConfig, "get_cloud_names", lambda _: ["only"])
    assert "export OS_CLOUD='only'" in ecm("init", "fresh", "--yes").stdout


@pytest.mark.usefixtures("new")
def test_what_can_be_no_answer_is_asked_again(ecm: Any, pulumi: Any) -> None:
    #          master's URL, image, master, slave, key, floating, max, min, jobs, idle
    answers = ["", "", "99", "smal", "small", "", "", "xyz", "-", "many", "3", "", "0", "2", "ten", "60"]
    done = ecm("init", "fresh", stdin="\n".join(answers) + "\n")
    assert {k: v for k, v in settings(pulumi).items() if k != "keyName"} == {
        "image": "debian-13-condor",
        "masterFlavor": "small",
        "slaveFlavor": "medium",
        "maxSlaves": "3",
        "jobsPerSlave": "2",
        "idleTime": "60",
    }
    for said in ("99 isn't there", "smal isn't there", "many: it should be a whole number", "ten: it should be"):
        assert said in done.stdout


@pytest.mark.usefixtures("new")
def test_the_choices_are_in_columns_with_what_does_not_serve_below_them(ecm: Any) -> None:
    shown = ecm("init", "fresh", stdin="\n").stdout
    assert " 1  debian-13-condor  debian-13, 1024 MiB     debian-13-condor-id\n" in shown
    assert " 2  Ubuntu 24.04 LTS  ubuntu-24.04, 1024 MiB  Ubuntu 24.04 LTS-id\n" in shown
    assert " ✗  ownbuilt  its system can't be told: ecm:os names it" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.usefixtures("new")
def test_of_a_long_list_the_rest_is_named_with_the_command_that_lists_it(ecm: Any, cloud: Any) -> None:
    cloud.keypairs = [thing(f"key{number}", fingerprint="aa") for number in range(23)]
    assert "   and 3 more: `ecm keys`\n" in ecm("init", "fresh", stdin="\n" * 12).stdout


@pytest.mark.usefixtures("new")
def test_an_image_that_is_not_listed_is_taken_after_a_yes(ecm: Any, pulumi: Any) -> None:
    ecm("init", "fresh", stdin="\nshared-id\nn\nshared-id\ny\n" + "\n" * 8)
    assert settings(pulumi)["image"] == "shared-id"


def test_what_was_set_and_cannot_be_is_not_proposed_again(ecm: Any, pulumi: Any) -> None:
    pulumi.values |= {"ecm:masterFlavor": Value("gone"), "ecm:maxSlaves": Value("many")}
    assert ecm("init", "mycluster", "--yes").exit_code == 0
    assert (settings(pulumi)["masterFlavor"], settings(pulumi)["maxSlaves"]) == ("medium", "7")


def test_a_misspelt_setting_is_refused_before_a_stack_is_made(ecm: Any, new: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--set", "maxSlave=2")
    assert "ecm:maxSlave is no setting - did you mean ecm:maxSlaves?" in done.stderr
    assert new.names == []


def test_a_name_that_slaves_cannot_have_is_refused_before_a_stack_is_made(ecm: Any, new: Any) -> None:
    done = ecm("init", "my.dev", "--yes")
    assert (done.exit_code, new.names) == (1, [])
    assert "'my.dev' - slaves with a dot in their names can't join the pool - choose another" in done.stderr


def test_a_place_of_no_known_kind_is_refused(ecm: Any, new: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--backend", "mydisk")
    assert "'mydisk' is no place for the state" in done.stderr
    assert new.names == []


@pytest.fixture
def stateless(monkeypatch: pytest.MonkeyPatch, new: Any) -> Any:
    """A shell without a backend, and a `pulumi` that is logged in nowhere."""
    for name in ("PULUMI_BACKEND_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(type(new), "backend", lambda _: os.environ["PULUMI_BACKEND_URL"])
    return new


def test_the_clouds_own_store_is_offered_with_what_speaks_against_it(
    ecm: Any, stateless: Any, cloud: Any, tmp_path: Path
) -> None:
    cloud.catalogue = {"object-store": ["https://store:8080/v1/AUTH_project"]}
    done = ecm("init", "fresh", stdin="y\n\n" + "\n" * 12)
    assert "only eventually consistent" in " ".join(done.stdout.split())
    assert "carries your full power over the project" in " ".join(done.stdout.split())
    assert cloud.done == [
        "make bucket ecm-state",
        "post http://cloud/v3/users/me/credentials/OS-EC2 {'tenant_id': 'project'}",
    ]
    file = tmp_path / ".config" / "elastic-condor" / "ecm-state.sh"
    assert "export AWS_SECRET_ACCESS_KEY='HIDDEN'" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "export PULUMI_BACKEND_URL='s3://ecm-state?endpoint=https://store:8080" in file.read_text()
    assert f"source {file}" in done.stdout
    assert "s3://ecm-state?endpoint=https://store:8080" in done.stdout
    assert "HIDDEN" not in done.output
    assert stateless.names == ["fresh"]


def test_a_store_without_amazons_interface_is_not_offered(ecm: Any, stateless: Any, cloud: Any) -> None:
    cloud.catalogue = {"object-store": ["https://store:8080/v1/AUTH_project"]}
    cloud.store_says = "<html><h1>Precondition Failed</h1></html>"
    done = ecm("init", "fresh", stdin="postgres://me@db/state\npw\n" + "\n" * 12)
    assert "doesn't answer as Amazon's S3 does" in " ".join(done.stdout.split())
    assert "Keep the state there?" not in done.stdout
    assert (cloud.done, stateless.names) == ([], ["fresh"])


def refusing_s3(_: Any) -> str:
    if (url := os.environ["PULUMI_BACKEND_URL"]).startswith("s3:"):
        raise CommandError("pulumi whoami failed - no such host")
    return url


def test_a_store_that_does_not_serve_is_taken_back_and_not_offered_again(
    ecm: Any, stateless: Any, cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.catalogue = {"object-store": ["https://store:8080/v1/AUTH_project"]}
    monkeypatch.setattr(type(stateless), "backend", refusing_s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    #                                 yes, bucket, another place, the master's URL
    done = ecm("init", "fresh", stdin="y\n\npostgres://me:hunter2@db/state\npostgres://m:own@db/state\n" + "\n" * 12)
    assert done.stdout.count("Keep the state there?") == 1
    assert cloud.done == [
        "make bucket ecm-state",
        "post http://cloud/v3/users/me/credentials/OS-EC2 {'tenant_id': 'project'}",
        "delete http://cloud/v3/users/me/credentials/OS-EC2/ACCESS",
    ]
    assert not (tmp_path / ".config" / "elastic-condor" / "ecm-state.sh").exists()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "another"
    assert stateless.values["ecm:masterBackendUrl"].text == "postgres://m:own@db/state"
    assert "export PULUMI_BACKEND_URL='…'" in done.stdout
    told = done.stdout.partition("For this and all later commands")[2]
    assert not [secret for secret in ("hunter2", "HIDDEN", "own@") if secret in told]


def test_credentials_of_an_earlier_run_are_taken_again(
    ecm: Any, stateless: Any, cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.catalogue = {"object-store": ["https://store:8080/v1/AUTH_project"]}
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    file = tmp_path / ".config" / "elastic-condor" / "ecm-state.sh"
    # The input ends at the passphrase.
    ended = ecm("init", "fresh", stdin="y\n\n")
    assert ended.exit_code == 1
    assert f"source {file}" in ended.stdout
    monkeypatch.setenv("PULUMI_BACKEND_URL", "")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")
    ecm("init", "fresh", stdin="y\n\n" + "\n" * 12)
    assert len([line for line in cloud.done if line.startswith("post")]) == 1
    assert stateless.names == ["fresh"]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "HIDDEN"


@pytest.mark.usefixtures("stateless")
def test_nothing_is_made_for_a_stack_whose_name_cannot_be(ecm: Any, cloud: Any) -> None:
    cloud.catalogue = {"object-store": ["https://store:8080/v1/AUTH_project"]}
    ended = ecm("init", "my.cluster", stdin="y\n\n" + "\n" * 12)
    assert "slaves with a dot in their names" in ended.stderr
    assert cloud.done == []


def test_a_password_of_the_states_place_can_be_typed_unseen(ecm: Any, stateless: Any) -> None:
    done = ecm("init", "fresh", stdin="postgres://me@db:5432/state?sslmode=require\np@ss/word\n" + "\n" * 12)
    assert os.environ["PULUMI_BACKEND_URL"] == "postgres://me:p%40ss%2Fword@db:5432/state?sslmode=require"
    assert "p@ss" not in done.output
    assert stateless.names == ["fresh"]


def test_a_place_that_fails_is_told_without_its_password(
    ecm: Any, stateless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> str:
        raise CommandError(f"pulumi whoami failed - no way to {os.environ['PULUMI_BACKEND_URL']}")

    monkeypatch.setattr(type(stateless), "backend", fail)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "")
    done = ecm("init", "fresh", stdin="postgres://[::1/state\npostgres://me@db/state\nunseen\n")
    assert "no way to postgres://[::1/state" in done.stdout
    assert "no way to postgres://me:***@db/state" in done.stdout
    assert "unseen" not in done.output


def test_a_place_that_cannot_be_is_asked_for_again(ecm: Any, stateless: Any) -> None:
    places = ["file:///tmp/state", "mydisk", "postgres://me:pw@db/state"]
    done = ecm("init", "fresh", stdin="\n".join(places) + "\n" * 12)
    assert "the master doesn't reach it" in done.stdout
    assert "'mydisk' is no place for the state" in done.stdout
    assert stateless.names == ["fresh"]
    assert max(map(len, KINDS.splitlines())) <= 80


def test_no_credentials_are_made_without_a_yes(
    ecm: Any, stateless: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.catalogue = {"s3": ["https://store"]}
    done = ecm("init", "fresh", stdin="\npostgres://me:pw@db/state\n" + "\n" * 12)
    assert "only eventually consistent" not in done.stdout
    assert "PostgreSQL: the best tested one" in done.stdout
    assert cloud.done == []
    monkeypatch.setenv("PULUMI_BACKEND_URL", "")
    ecm("init", "other", "--yes")
    assert (cloud.done, stateless.names) == ([], ["fresh"])


@pytest.mark.usefixtures("new")
def test_json_has_the_settings_and_what_was_checked_and_no_secret(ecm: Any, pulumi: Any) -> None:
    done = ecm("init", "fresh", "--json", "--set", "masterBackendUrl=postgres://m:own@db/pulumi")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["stack"]) == (0, "fresh")
    assert told["settings"]["image"] == "debian-13-condor"
    assert told["settings"]["masterBackendUrl"] == "***"
    assert {check["what"] for check in told["checks"]} >= {"settings", "image", "quota"}
    assert "The state is in" in done.stderr
    assert pulumi.names == ["fresh"]
    assert "own@" not in done.output
