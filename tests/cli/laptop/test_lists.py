"""What the cloud has is listed, filtered by name, and printed as JSON when asked."""

import json
from typing import Any

import pytest

from cli.errors import CommandError
from cli.laptop.pulumi import Value
from cluster.errors import CloudError
from tests.cli.conftest import image, thing


def test_supported_images_come_first_and_the_others_say_why_not(ecm: Any) -> None:
    text = ecm("images").stdout
    assert text.index("debian-13-condor") < text.index("Ubuntu 24.04 LTS") < text.index("CentOS 6")
    rows = text.splitlines()
    (row,) = [number for number, line in enumerate(rows) if line.startswith("CentOS 6 ")]
    assert rows[row + 1].startswith("  ✗ CentOS 6 and SL6 are past their end of life")


def test_a_reason_is_as_wide_as_the_screen_and_no_row(ecm: Any, cloud: Any) -> None:
    cloud.images = [image("Rocky-9-GenericCloud-Base-9.4-20240509.0.x86_64"), image("CentOS 6")]
    for one in cloud.images:
        one.id = "8d4d0f49-fa70-4c21-b543-79ca32643b1c"
    text = ecm("images").stdout
    head, *rows = text.splitlines()
    assert head.split() == ["image", "system", "MiB", "id"]
    reason = [line for line in rows if line.startswith("  ")]
    assert reason[0].startswith("  ✗ CentOS 6 and SL6 are past their end of life")
    assert len(reason[0]) > 60
    assert [line.rindex("8d4d") for line in rows if "8d4d" in line] == [head.rindex("id")] * 2
    assert max(map(len, rows)) <= 80


def test_a_filter_ignores_the_case(ecm: Any) -> None:
    assert [image["name"] for image in json.loads(ecm("images", "ubuntu", "--json").stdout)] == ["Ubuntu 24.04 LTS"]


def test_flavors_say_how_many_the_quota_admits(ecm: Any) -> None:
    assert [line.split() for line in ecm("flavors").stdout.splitlines()[1:4]] == [
        ["small", "1", "1024", "4", "8", "small-id"],
        ["medium", "2", "2048", "10", "8", "medium-id"],
        ["large", "4", "8192", "40", "4", "large-id"],
    ]


def test_flavors_that_are_too_small_for_the_stacks_slaves_are_marked(ecm: Any, pulumi: Any) -> None:
    assert "✗" not in ecm("flavors").stdout
    pulumi.values["ecm:jobsPerSlave"] = Value("2")
    rows = ecm("flavors").stdout.splitlines()
    assert [row.split()[0] for row in rows[1:5]] == ["small", "✗", "medium", "large"]
    assert rows[2] == "  ✗ for slaves: fewer VCPUs than ecm:jobsPerSlave, 2"


def test_flavors_are_listed_before_there_is_a_stack(ecm: Any, pulumi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise CommandError("no cluster is chosen")

    monkeypatch.setattr(pulumi, "config", refuse)
    assert "small-id" in ecm("flavors").stdout


def test_networks_say_which_setting_they_are_for(ecm: Any) -> None:
    assert [line.split()[:2] for line in ecm("networks").stdout.splitlines()[1:]] == [
        ["lan", "network"],
        ["public", "floatingNetwork"],
    ]


def test_without_a_keypair_the_list_says_how_to_make_one(ecm: Any, cloud: Any) -> None:
    assert "mykey" in ecm("keys").stdout
    cloud.keypairs = []
    assert "no keypair yet" in ecm("keys").stdout


def test_a_quota_without_a_limit_is_said_so(ecm: Any) -> None:
    assert ["RAM", "(MiB)", "4096", "none"] in [line.split() for line in ecm("quota").stdout.splitlines()]


def test_a_cloud_that_refuses_is_one_line_and_status_1(ecm: Any, desk: Any) -> None:
    def refuse() -> None:
        raise CloudError("the cloud refuses the login - bad password - check OS_CLOUD")

    desk.connect = refuse
    done = ecm("images")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "ecm: the cloud refuses the login - bad password - check OS_CLOUD\n"


def test_lists_fit_into_80_columns(ecm: Any) -> None:
    for command in ("images", "flavors", "networks", "keys", "quota"):
        assert max(map(len, ecm(command).stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("images", "no image of that name"),
        ("flavors", "no flavor of that name"),
        ("networks", "no network of that name"),
        ("keys", "no keypair of that name"),
    ],
)
def test_a_filter_that_nothing_meets_says_so(ecm: Any, command: str, says: str) -> None:
    assert says in ecm(command, "xyz").stdout


@pytest.mark.parametrize("what", ["image", "flavor", "network"])
def test_a_cloud_without_any_is_not_said_to_lack_a_name(ecm: Any, cloud: Any, what: str) -> None:
    setattr(cloud, f"{what}s", [])
    assert ecm(f"{what}s").stdout == f"the cloud has no {what} for this project\n"


def test_json_has_what_is_left_of_the_quota(ecm: Any) -> None:
    assert [part["left"] for part in json.loads(ecm("quota", "--json").stdout)] == [8, 16, None]


def test_a_name_is_shown_as_it_is_whatever_is_in_it(ecm: Any, cloud: Any) -> None:
    name = "debian [/old] [bold]x :bug: ümläüt 日本"
    cloud.images, cloud.keypairs = [image(name)], [thing(name, fingerprint="aa")]
    assert name in ecm("images").stdout.replace("\n", "")
    assert name in ecm("keys").stdout


def test_a_row_is_one_line_for_grep(ecm: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.images = [image("Rocky-9-GenericCloud-Base-9.4-20240509.0.x86_64-with-all-that-one-could-want")]
    monkeypatch.delenv("COLUMNS")
    (row,) = ecm("images").stdout.splitlines()[1:]
    assert row.split() == [cloud.images[0].name, "el-9", "1024", cloud.images[0].id]


def test_an_id_is_never_broken(ecm: Any, cloud: Any) -> None:
    cloud.images = [image("Rocky-9-GenericCloud-Base-9.4-20240509.0.x86_64")]
    cloud.images[0].id = "8d4d0f49-fa70-4c21-b543-79ca32643b1c"
    assert cloud.images[0].id in ecm("images").stdout
