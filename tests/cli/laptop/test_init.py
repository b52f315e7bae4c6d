"""The wizard asks only what it doesn't know, proposes what fits, and creates nothing without a yes."""

import json
import os
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from openstack.config import OpenStackConfig

from cli.errors import CommandError
from cli.laptop.backend import KINDS
from cli.laptop.pulumi import Value
from tests.cli.conftest import image, thing


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
    #          name, master's URL, image, master, jobs, slave, key, floating, max, min, idle
    answers = ["fresh", "postgres://m:own@db/pulumi", "2", "large", "", "", "", "-", "3", "", "120"]
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


def test_no_secret_is_printed(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:masterBackendUrl"] = Value("postgres://m:own@db/pulumi", secret=True)
    output = ecm("init", "fresh", "--yes").output
    assert "hidden" not in output
    assert "own@" not in output
    assert "phrase'" not in output


def test_run_again_it_edits(ecm: Any, pulumi: Any) -> None:
    before = settings(pulumi)
    done = ecm("init", "mycluster", "--yes", "--set", "maxSlaves=6")
    assert done.exit_code == 0, done.output
    assert settings(pulumi) == before | {"maxSlaves": "6"}, "a floating network was declined before"


def test_run_again_it_proposes_to_leave_unset_what_is(ecm: Any, pulumi: Any) -> None:
    before = settings(pulumi)
    done = ecm("init", "mycluster", stdin="\n" * 12)
    assert "a value [unset]: " in done.stdout
    assert settings(pulumi) == before


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ("maxSlaves=abc", 'ecm:maxSlaves is "abc" - it should be a whole number'),
        ("maxSlaves=-1", "ecm:maxSlaves is"),
        ("os=debain-13", "did you mean debian-13?"),
        ("minSlaves=9", "minSlaves is 9 and maxSlaves 4 - no number of slaves fits both"),
        (
            "masterBackendUrl=postgres://u:hush@db",
            "everybody on this machine sees it - export ECM_MASTER_BACKEND_URL=…",
        ),
        ("applicationCredentialSecret=hush", "pulumi config set --secret ecm:applicationCredentialSecret"),
        ("applicationCredentialId=id", "one is set - a login needs both"),
    ],
)
def test_a_value_that_cannot_be_is_refused_before_anything_is_written(
    ecm: Any, pulumi: Any, choice: str, says: str
) -> None:
    before = settings(pulumi)
    done = ecm("init", "mycluster", "--yes", "--set", choice)
    assert (done.exit_code, settings(pulumi)) == (1, before)
    assert says in done.stderr
    assert "hush" not in done.output


def test_a_backend_with_a_password_is_no_argument(ecm: Any, new: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--backend", "postgres://u:hush@db/state")
    assert "--backend has a password - " in done.stderr
    assert "export PULUMI_BACKEND_URL in its place" in done.stderr
    assert "hush" not in done.output
    assert new.names == []


def test_an_optional_setting_is_unset_by_an_empty_value(ecm: Any, pulumi: Any) -> None:
    pulumi.values["ecm:floatingNetwork"] = Value("public")
    assert ecm("init", "mycluster", "--yes", "--set", "floatingNetwork=").exit_code == 0
    assert "floatingNetwork" not in settings(pulumi)


@pytest.mark.usefixtures("new")
def test_settings_that_do_not_fit_are_told_with_status_3(ecm: Any) -> None:
    done = ecm("init", "fresh", "--yes", "--set", "slaveFlavor=huge")
    assert done.exit_code == 3
    assert "there is no such flavor" in " ".join(done.stdout.split())
    assert "Next:" not in done.stdout


def test_a_keypair_is_made_after_a_yes_and_kept_private(ecm: Any, new: Any, cloud: Any, tmp_path: Path) -> None:
    cloud.keypairs = []
    done = ecm("init", "fresh", stdin="\nn\n")
    assert cloud.done == []
    assert "a cluster needs a keypair - you have none in this cloud - openstack keypair create --public" in done.stderr
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
    assert "there is no keypair for ecm:keyName - you have none in this cloud - openstack keypair " in done.stderr
    assert "or add --make-key NAME" in done.stderr


@pytest.mark.usefixtures("new")
@pytest.mark.parametrize(
    ("there", "says"),
    [
        (
            {"flavors": []},
            "there is nothing for ecm:masterFlavor - the project has no flavors - check OS_CLOUD, or ask",
        ),
        ({"images": []}, "there is nothing for ecm:image - the project has no images - check OS_CLOUD, or ask"),
        (
            {"flavors": [thing("volume", vcpus=1, ram=2048, disk=0)]},
            "of the project's flavors none serves as it is; volume: has no disk: ecm:bootVolumeGiB gives it one - add ",
        ),
    ],
)
def test_a_project_without_what_it_takes_is_told_so(ecm: Any, cloud: Any, there: dict[str, Any], says: str) -> None:
    cloud.__dict__.update(there)
    assert says in ecm("init", "fresh", "--yes").stderr


@pytest.mark.usefixtures("new")
def test_a_project_without_flavors_is_asked_for_none(ecm: Any, cloud: Any) -> None:
    cloud.flavors = []
    assert "the project has no flavors" in ecm("init", "fresh", stdin="\n" * 12).stderr


def test_a_public_key_that_is_there_is_uploaded_after_a_yes(ecm: Any, new: Any, cloud: Any, tmp_path: Path) -> None:
    cloud.keypairs = []
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA me")
    #                         master's URL, yes, name
    ecm("init", "fresh", stdin="\n\nlaptop\n" + "\n" * 9)
    assert cloud.done == ["upload key laptop: ssh-ed25519 AAAA me"]
    assert settings(new)["keyName"] == "laptop"


@pytest.mark.usefixtures("new")
def test_a_keypairs_name_has_to_be_one_of_a_file(ecm: Any, cloud: Any, tmp_path: Path) -> None:
    done = ecm("init", "fresh", "--make-key", "../evil", "--yes")
    assert "the keypair's name is '../evil' - it names a file, too - take letters, digits" in done.stderr
    cloud.keypairs = []
    assert "'../evil' - it names a file" in ecm("init", "fresh", stdin="\ny\n../evil\nmine\n" + "\n" * 9).stdout
    assert cloud.done == ["make key mine"]
    assert [file.name for file in tmp_path.rglob("*.pem")] == ["mine.pem"]


def test_the_only_stack_is_the_one_that_is_proposed(ecm: Any, pulumi: Any) -> None:
    assert "The cluster's name [mycluster]: " in ecm("init", stdin="\n" * 12).stdout
    assert pulumi.stack() == "mycluster"


def test_the_system_of_an_image_that_does_not_tell_it_is_asked_for_next(ecm: Any, new: Any, cloud: Any) -> None:
    cloud.images.append(image("golden"))
    #                    master's URL, image, system
    ecm("init", "fresh", stdin="\ngolden\n\n-\ndebian-13\n" + "\n" * 10)
    assert (settings(new)["image"], settings(new)["os"]) == ("golden", "debian-13")
    new.values = {}
    missing = ecm("init", "fresh", "--yes", "--set", "image=golden").stderr
    assert "ecm:os is not given - System of the image" in missing


def test_the_boot_volume_of_a_flavor_without_a_disk_is_asked_for_next(ecm: Any, new: Any, cloud: Any) -> None:
    cloud.flavors[1].disk = 0
    #                    master's URL, image, master, jobs, slave, volume
    ecm("init", "fresh", stdin="\n\nmedium\n\nsmall\n30\n" + "\n" * 9)
    assert (settings(new)["slaveFlavor"], settings(new)["bootVolumeGiB"]) == ("small", "30")


@pytest.mark.usefixtures("new")
def test_the_limits_are_asked_for_with_what_the_quota_has_room_for(ecm: Any, cloud: Any) -> None:
    shown = " ".join(ecm("init", "fresh", stdin="\n" * 12).stdout.split())
    assert "The quota has room for 7 slaves of this flavor beside the master. Left are: instances 8 of 10, " in shown
    assert "medium 2 VCPUs, 2048 MiB, 10 GiB: 2 jobs each, room for 7 slaves" in shown
    cloud.limits.instances = 3
    shown = " ".join(ecm("init", "other", stdin="\n" * 12).stdout.split())
    assert "The quota has no room for a slave of this flavor beside the master. Left are: instances 1 of 3" in shown


@pytest.mark.usefixtures("new")
def test_who_leaves_is_told_that_no_setting_was_written(ecm: Any, pulumi: Any, cloud: Any) -> None:
    cloud.keypairs = []
    #                                  master's URL, yes, name
    done = ecm("init", "fresh", stdin="\n\nmine\n")
    assert "No setting was written; what stays: the stack fresh, the keypair mine." in done.stdout
    assert pulumi.values == {}


def test_an_old_files_settings_are_not_asked_for(ecm: Any, new: Any, tmp_path: Path) -> None:
    (tmp_path / "ecm.conf").write_text("FLAVOR_VMS=small\nMAX_VMS=5\nKEY_NAME=mykey\n")
    done = ecm("init", "fresh", "--from", str(tmp_path / "ecm.conf"), "--set", "maxSlaves=6", stdin="\n" * 9)
    assert "slaveFlavor:" not in done.stdout
    assert {key: settings(new)[key] for key in ("slaveFlavor", "maxSlaves", "keyName")} == {
        "slaveFlavor": "small",
        "maxSlaves": "6",
        "keyName": "mykey",
    }


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
    #          master's URL, image, master, jobs, slave, key, floating, max, min, idle
    answers = [
        "",
        "",
        "99",
        "smal",
        "small",
        "0",
        "9",
        "2",
        "small",
        "",
        "",
        "xyz",
        "-",
        "many",
        "3",
        "4",
        "",
        "ten",
        "60",
    ]
    done = ecm("init", "fresh", stdin="\n".join(answers) + "\n")
    assert {k: v for k, v in settings(pulumi).items() if k != "keyName"} == {
        "image": "debian-13-condor",
        "masterFlavor": "small",
        "slaveFlavor": "medium",
        "maxSlaves": "3",
        "jobsPerSlave": "2",
        "idleTime": "60",
    }
    for said in (
        "99 isn't there",
        "smal isn't there",
        "9: no flavor has so many VCPUs",
        "small: too few VCPUs, 1, for ecm:jobsPerSlave, 2",
        "many: it should be a whole number",
        "4: more than maxSlaves, 3",
        "ten: it should be",
    ):
        assert said in done.stdout


@pytest.mark.usefixtures("new")
def test_the_choices_are_in_columns_with_what_does_not_serve_below_them(ecm: Any) -> None:
    shown = ecm("init", "fresh", stdin="\n").stdout
    assert " 1  debian-13-condor  debian-13, 1024 MiB     debian-13-condor-id\n" in shown
    assert " 2  Ubuntu 24.04 LTS  ubuntu-24.04, 1024 MiB  Ubuntu 24.04 LTS-id\n" in shown
    assert " ✗  ownbuilt  its system can't be told: ecm:os names it" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.usefixtures("new")
def test_a_long_name_leaves_the_others_their_columns_and_what_needs_its_id_has_it(ecm: Any, cloud: Any) -> None:
    long = f"ubuntu-24.04-{'x' * 60}"
    cloud.images += [image("debian-13", created_at="2026-02-03T04:05:06Z"), image("debian-13"), image(long)]
    cloud.images[-2].id, cloud.images[-1].id = "other-id", "long-id"
    shown = ecm("init", "fresh", stdin="\n").stdout
    assert " 1  debian-13         debian-13, 1024 MiB              other-id\n" in shown
    assert " 2  debian-13         debian-13, 1024 MiB, 2026-02-03  debian-13-id\n" in shown
    assert f" 5  {long}\n    ubuntu-24.04, 1024 MiB\n" in shown
    assert "its number, name or id [debian-13-condor]" in shown
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
    file = tmp_path / ".config" / "elastic-condor" / "fresh.sh"
    assert f"source {file}" in done.stdout
    assert file.read_text() == "export PULUMI_BACKEND_URL=postgres://me:hunter2@db/state\n"
    assert file.stat().st_mode & 0o777 == 0o600
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
    assert "--backend" not in done.stdout
    assert done.stdout.count(KINDS) == 1
    assert stateless.names == ["fresh"]
    assert max(map(len, KINDS.splitlines())) <= 80


@pytest.mark.parametrize("url", ["https://api.pulumi.com", "postgres://me:it's@db/state"])
def test_what_was_typed_is_kept_for_the_next_shell(
    ecm: Any, stateless: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "")
    file = tmp_path / ".config" / "elastic-condor" / "fresh.sh"
    file.parent.mkdir(parents=True)
    file.write_text("export PULUMI_BACKEND_URL=old\nexport OTHER=stays\n")
    secret = ["tok en"] if url.startswith("https:") else ["tok en", "tok en"]
    done = ecm("init", "fresh", stdin="\n".join([url, *secret]) + "\n" * 12)
    assert "tok en" not in done.output
    sourced = run(
        ["bash", "-c", f". {file}; echo $PULUMI_BACKEND_URL; env"], capture_output=True, text=True, check=True
    )
    variable = "PULUMI_ACCESS_TOKEN" if url.startswith("https:") else "PULUMI_CONFIG_PASSPHRASE"
    assert sourced.stdout.startswith(f"{url}\n")
    assert {f"{variable}=tok en", "OTHER=stays"} <= set(sourced.stdout.splitlines())
    assert stateless.names == ["fresh"]
    assert "The master's URL" not in done.stdout or not url.startswith("https:")


@pytest.mark.usefixtures("new")
def test_the_masters_place_is_tried_with_its_own_url(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_: Any) -> str:
        if "wrong" in (url := os.environ["PULUMI_BACKEND_URL"]):
            raise CommandError(f"pulumi whoami failed - no way to {url}")
        return url

    monkeypatch.setattr(type(pulumi), "backend", answer)
    places = ["postgres://m:own@wrong/a", "n", "postgres://m:own@wrong/b", "y"]
    done = ecm("init", "fresh", stdin="\n".join(places) + "\n" * 12)
    assert "no way to postgres://m:***@wrong/a" in done.stdout
    assert "own@" not in done.output
    assert settings(pulumi)["masterBackendUrl"] == "postgres://m:own@wrong/b"
    assert os.environ["PULUMI_BACKEND_URL"] == "postgres://me:hidden@db/pulumi"


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


def test_json_has_the_settings_and_what_was_checked_and_no_secret(ecm: Any, new: Any, pulumi: Any) -> None:
    new.values["ecm:masterBackendUrl"] = Value("postgres://m:own@db/pulumi", secret=True)
    done = ecm("init", "fresh", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["stack"]) == (0, "fresh")
    assert told["settings"]["image"] == "debian-13-condor"
    assert told["settings"]["masterBackendUrl"] == "***"
    assert {check["what"] for check in told["checks"]} >= {"settings", "image", "quota"}
    assert "The state is in" in done.stderr
    assert pulumi.names == ["fresh"]
    assert "own@" not in done.output
