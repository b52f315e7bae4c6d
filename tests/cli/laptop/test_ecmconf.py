"""An old ECM file is taken as it is; its slips are named with their line."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.laptop.ecmconf import parse
from cluster.errors import SettingsError

OLD = """\
# our cluster
FLAVOR_VMS=cldareapd.medium
MAX_VMS=10   # as agreed
export MIN_VMS=1
JOBS_PER_VM = 4

IDLE_TIME="600"
KEY_NAME='mykey'
"""


def test_every_setting_has_its_counterpart() -> None:
    assert parse(OLD).settings == {
        "slaveFlavor": "cldareapd.medium",
        "maxSlaves": "10",
        "minSlaves": "1",
        "jobsPerSlave": "4",
        "idleTime": "600",
        "keyName": "mykey",
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("KEY_NAME==mykey", "ecm.conf line 1: KEY_NAME==mykey has more than one '=' - write KEY_NAME=mykey"),
        ("KEY_NAME==", "ecm.conf line 1: KEY_NAME== has more than one '=' - write KEY_NAME=VALUE"),
        ("KEY_NAME=mykey.pem", "line 1: KEY_NAME is a key's name in the cloud, no file - write KEY_NAME=mykey"),
        ("KEY_NAME= =k", "line 1: KEY_NAME= =k has more than one '=' - write KEY_NAME=k"),
        ("KEY_NAME = = k", "line 1: KEY_NAME= =k has more than one '=' - write KEY_NAME=k"),
        ("KEY_NAME=k=", "line 1: KEY_NAME=k= has more than one '=' - write KEY_NAME=k"),
        ("KEY_NAME=“k”", "line 1: KEY_NAME=“k” has quotes that are a text's - write KEY_NAME=k"),
        ("FLAVOR_VMS=„m.small“", "has quotes that are a text's - write FLAVOR_VMS=m.small"),
        ("KEY_NAME=$KEY", "line 1: KEY_NAME=$KEY has a variable, which isn't known here - write KEY_NAME=VALUE"),
        ("MAX_VMS=${N}", "line 1: MAX_VMS=${N} has a variable, which isn't known here - write MAX_VMS=VALUE"),
        ("KEY_NAME=~/.ssh/k", "line 1: KEY_NAME is a key's name in the cloud, no file - write KEY_NAME=k"),
        ("KEY_NAME=/home/me/k.pem", "no file - write KEY_NAME=k"),
        ("KEY_NAME=C:\\keys\\k.pem", "no file - write KEY_NAME=k"),
        ("KEY_NAME=~/.ssh/", "no file - write KEY_NAME=VALUE"),
        ("MAX_VMS=ten", "line 1: MAX_VMS is 'ten', which is no whole number - write MAX_VMS=NUMBER"),
        ("MAX_VMS=1\nMAX_VMS=2", "line 2: MAX_VMS is there twice"),
        ("MAX_VMS=٣", "line 1: MAX_VMS is '٣', which is no whole number - write MAX_VMS=NUMBER"),
        (
            "MAX_VMS=99999",
            "line 1: MAX_VMS is '99999' - it should be less than or equal to 10000 - write MAX_VMS=NUMBER",
        ),
        ("IDLE_TIME=5", "line 1: IDLE_TIME is '5' - it should be greater than or equal to 10 - write IDLE_TIME=NUMBER"),
        ("MIN_VMS=5\nMAX_VMS=2", "ecm.conf: MIN_VMS is 5 and MAX_VMS 2 - no number fits both"),
        ("MAX_VM=5", "line 1: MAX_VM is no setting of ECM's - did you mean MAX_VMS?"),
        ("max_vms=5", "line 1: max_vms is no setting of ECM's - did you mean MAX_VMS?"),
        ('KEY_NAME="my key', 'line 1: KEY_NAME="my key has a quote without its other one - write KEY_NAME=VALUE'),
        ("MAX_VMS: 10", "line 1: 'MAX_VMS: 10' is no setting - write NAME=value"),
    ],
)
def test_a_slip_is_named_with_its_line(line: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(line)
    assert says in str(raised.value)


def test_all_slips_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        parse("MAX_VMS=ten\nKEY_NAME==k\n")
    assert len(str(raised.value).splitlines()) == 2


def test_what_has_no_counterpart_is_said_and_left_out() -> None:
    imported = parse("EC2_URL=https://x\nMIN_VMS=\nMAX_VMS=3")
    assert imported.settings == {"maxSlaves": "3"}
    assert imported.remarks == (
        "ecm.conf line 1: EC2_URL has no counterpart here and is left out",
        "ecm.conf line 2: MIN_VMS is empty and is left out",
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "ecm.conf"
    made.write_text(OLD)
    return made


def test_brackets_in_a_value_are_shown_as_they_are(ecm: Any, pulumi: Any, file: Path) -> None:
    file.write_text("FLAVOR_VMS=[/red]\n")
    assert "[/red]" in ecm("import", "--yes", str(file)).stdout
    assert pulumi.values["ecm:slaveFlavor"].text == "[/red]"


def test_the_stack_gets_them_after_a_yes(ecm: Any, pulumi: Any, file: Path) -> None:
    assert ecm("import", str(file), stdin="n\n").exit_code == 0
    assert pulumi.values["ecm:maxSlaves"].text == "4"
    assert ecm("import", str(file), stdin="y\n").exit_code == 0
    assert pulumi.values["ecm:maxSlaves"].text == "10"


def test_json_only_prints(ecm: Any, pulumi: Any, file: Path) -> None:
    assert json.loads(ecm("import", str(file), "--json").stdout)["settings"]["maxSlaves"] == "10"
    assert pulumi.values["ecm:maxSlaves"].text == "4"


def test_a_file_that_is_not_there_is_wrong_usage(ecm: Any) -> None:
    assert ecm("import", "nowhere.conf").exit_code == 2


def test_a_file_that_is_no_text_is_one_line(ecm: Any, file: Path) -> None:
    file.write_bytes(b"\xff\xfeMAX_VMS=3")
    done = ecm("import", str(file))
    assert done.exit_code == 1
    assert done.stderr == f"ecm: {file} can't be read - it isn't text - name the file that ECM had\n"


def test_the_mark_that_editors_on_windows_put_first_is_passed_over(ecm: Any, pulumi: Any, file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfMAX_VMS=3\r\n")
    assert ecm("import", "--yes", str(file)).exit_code == 0
    assert pulumi.values["ecm:maxSlaves"].text == "3"
