"""Nothing but the user's word replaces the running master; what it doesn't get is said."""

from dataclasses import replace
from typing import Any

import pytest

from cluster import running
from cluster.errors import MasterError
from cluster.running import Master
from cluster.servers import Server
from cluster.stack import Remembered
from tests.cluster.made_up import FOUND, settings

MASTER = Master(1, "image-id", "mf", "k", "nova", None, "net-id")
SERVER = Server("id", "ecm-dev-master", "master", "ACTIVE")


def state(**master: Any) -> Remembered:
    return Remembered(
        {
            ("openstack:compute/instance:Instance", "master"): master,
            ("openstack:networking/port:Port", "master"): {"networkId": "net-id"},
        }
    )


def test_the_master_is_taken_from_the_state() -> None:
    was = state(
        imageId="image-id",
        flavorId="mf",
        keyPair="k",
        availabilityZone="nova",
        metadata={"ecm-generation": "3"},
    )
    assert Master.remembered(was) == replace(MASTER, generation=3)
    assert Master.remembered(Remembered()) is None


def test_a_master_on_a_volume_has_its_image_there() -> None:
    was = state(
        imageId="Attempt to boot from volume - no image supplied",
        blockDevices=[{"uuid": "image-id", "volumeSize": 20.0}],
    )
    master = Master.remembered(was)
    assert master
    assert (master.image_id, master.volume_gib) == ("image-id", 20)


def test_a_working_master_with_the_same_settings_is_nothing_to_speak_of() -> None:
    assert running.warnings(MASTER, [SERVER], settings(), FOUND) == ()
    assert running.warnings(MASTER, [SERVER], settings(availabilityZone="nova"), FOUND) == ()
    assert running.warnings(None, [], settings(), FOUND) == ()


@pytest.mark.parametrize(
    ("changes", "found", "named"),
    [
        ({}, {"image_id": "new"}, "ecm:image"),
        ({}, {"master_flavor": replace(FOUND.master_flavor, id="new")}, "ecm:masterFlavor"),
        ({"keyName": "new"}, {}, "ecm:keyName"),
        ({}, {"network_id": "new"}, "ecm:network"),
        ({"availabilityZone": "new"}, {}, "ecm:availabilityZone"),
        ({}, {"master_volume_gib": 20}, "ecm:bootVolumeGiB"),
    ],
)
def test_a_setting_that_the_running_master_does_not_get_is_named_with_the_word_that_replaces_it(
    changes: dict[str, Any], found: dict[str, Any], named: str
) -> None:
    (said,) = running.warnings(MASTER, [SERVER], settings(**changes), replace(FOUND, **found))
    assert f"the running master keeps what it was made with - {named} changed" in said
    assert "pulumi config set ecm:masterGeneration 2 && pulumi up makes a new one; its queue is lost" in said


def test_what_a_failed_create_did_not_leave_is_no_change() -> None:
    assert running.warnings(replace(MASTER, flavor_id="", zone=""), [SERVER], settings(), FOUND) == ()


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        (
            [replace(SERVER, status="ERROR", fault="No valid host")],
            "the master's server id is in ERROR - No valid host - pulumi config set ecm:masterGeneration 2 && ",
        ),
        ([], "the master's server is gone - the state has it, the cloud hasn't - pulumi config set"),
        ([replace(SERVER, role="slave")], "the master's server is gone"),
    ],
)
def test_a_master_that_is_of_no_use_fails_the_update(servers: list[Server], says: str) -> None:
    with pytest.raises(MasterError) as raised:
        running.warnings(MASTER, servers, settings(), FOUND)
    assert says in str(raised.value)


def test_a_master_that_stands_still_is_said_with_what_starts_it() -> None:
    (said,) = running.warnings(MASTER, [replace(SERVER, status="SHUTOFF")], settings(), FOUND)
    assert "the master's server is SHUTOFF" in said
    assert "openstack server start id" in said


def test_a_master_that_an_interrupted_update_left_is_named_with_what_removes_it() -> None:
    with pytest.raises(MasterError, match="openstack server delete --wait id, then pulumi up"):
        running.warnings(None, [SERVER], settings(), FOUND)


def test_a_master_that_a_refresh_has_taken_out_of_the_state_is_not_made_anew_without_the_word() -> None:
    """Its server was gone; the queue is lost with it, and the slaves know the old key only."""
    with pytest.raises(MasterError) as raised:
        running.warnings(None, [], settings(masterGeneration=3), FOUND, {"masterGeneration": 3.0})
    assert "the state has no master any more" in str(raised.value)
    assert "pulumi config set ecm:masterGeneration 4 && pulumi up makes a new one" in str(raised.value)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ({"masterGeneration": 1.0}, "ecm:masterGeneration was 1 and is 2"),
        ({"maxSlaves": 4.0}, "the state has no master any more"),  # an earlier version's
    ],
)
def test_with_the_word_or_where_none_is_known_a_lost_master_is_made_anew_and_the_preview_says_so(
    told: dict[str, Any], word: str
) -> None:
    (said,) = running.warnings(None, [], settings(masterGeneration=2), FOUND, told)
    assert f"the master is replaced - {word} - the jobs in its queue are lost" in said


@pytest.mark.parametrize("servers", [[SERVER], [replace(SERVER, status="ERROR")], []])
def test_the_word_replaces_the_master_whatever_it_is_like_and_the_preview_says_so(servers: list[Server]) -> None:
    (said,) = running.warnings(MASTER, servers, settings(masterGeneration=2), FOUND)
    assert "the master is replaced - ecm:masterGeneration was 1 and is 2 - the jobs in its queue are lost" in said
