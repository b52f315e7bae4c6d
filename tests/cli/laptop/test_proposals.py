"""What is proposed fits: the image, the project's quota, and what was set before."""

from typing import Any

import pytest

from cli.laptop import catalog
from cli.laptop.proposals import Choice, Question, There, question
from tests.cli.conftest import image


@pytest.fixture
def there(cloud: Any) -> There:
    return There(
        catalog.images(cloud),
        catalog.flavors(cloud),
        catalog.networks(cloud),
        catalog.keys(cloud),
        catalog.quota(cloud),
    )


def asked(key: str, there: There, **answers: str) -> Question:
    made = question(key, there, answers)
    assert made
    return made


def test_only_images_that_serve_are_offered(there: There) -> None:
    made = asked("image", there)
    assert [choice.value for choice in made.choices] == ["debian-13-condor", "Ubuntu 24.04 LTS"]
    assert made.proposal == "debian-13-condor"


def test_what_is_set_is_proposed(there: There) -> None:
    assert asked("image", there, image="Ubuntu 24.04 LTS").proposal == "Ubuntu 24.04 LTS"


def test_flavors_too_small_for_the_image_are_not_offered(there: There, cloud: Any) -> None:
    cloud.images[1].min_disk = 8
    there = There(catalog.images(cloud), there.flavors, there.networks, there.keys, there.quota)
    assert [c.value for c in asked("masterFlavor", there, image="debian-13-condor").choices] == ["medium", "large"]


def test_a_flavor_is_shown_with_its_size(there: There) -> None:
    made = asked("slaveFlavor", there)
    assert Choice("medium", "2 VCPUs, 2048 MiB, 10 GiB: 2 jobs each", "medium-id") in made.choices
    assert made.proposal == "medium"


@pytest.mark.parametrize(("slave", "most"), [("small", "7"), ("large", "3")])
def test_the_maximum_fits_the_quota_beside_the_master(there: There, slave: str, most: str) -> None:
    # 8 instances and 16 cores are left; the master takes one and two.
    assert asked("maxSlaves", there, masterFlavor="medium", slaveFlavor=slave).proposal == most


def test_a_quota_without_room_proposes_no_limit_of_0(there: There, cloud: Any) -> None:
    cloud.limits.instances = 3
    there = There(there.images, there.flavors, there.networks, there.keys, catalog.quota(cloud))
    made = asked("maxSlaves", there, masterFlavor="medium", slaveFlavor="small")
    assert (made.proposal, made.note.partition(" beside")[0]) == (
        "10",
        "The quota has no room for a slave of this flavor",
    )


def test_what_is_no_images_or_flavors_matter_is_not_asked(there: There) -> None:
    assert question("os", there, {"image": "debian-13-condor"}) is None
    assert question("bootVolumeGiB", there, {"masterFlavor": "medium", "slaveFlavor": "small"}) is None


def test_known_misfits_come_before_unknown_ones(there: There) -> None:
    assert asked("image", there).misfits[0].value == "CentOS 6"


def test_the_only_network_is_not_asked_for(there: There, cloud: Any) -> None:
    assert question("network", there, {}) is None
    cloud.networks.append(cloud.networks[1])
    there = There(there.images, there.flavors, catalog.networks(cloud), there.keys, there.quota)
    assert asked("network", there).choices


def test_required_settings_are_known_as_such(there: There) -> None:
    assert asked("keyName", there).required
    assert not asked("jobsPerSlave", there).required


def test_what_does_not_serve_is_shown_with_why(there: There) -> None:
    assert (
        Choice("ownbuilt", "its system can't be told: ecm:os names it", "ownbuilt-id") in asked("image", there).misfits
    )


def test_flavors_that_cannot_run_so_many_jobs_at_once_are_misfits(there: There) -> None:
    made = asked("slaveFlavor", there, jobsPerSlave="3")
    assert [c.value for c in made.choices] == ["large"]
    assert made.proposal == "large"
    assert Choice("small", "too few VCPUs, 1, for ecm:jobsPerSlave, 3", "small-id") in made.misfits
    assert len(asked("masterFlavor", there, jobsPerSlave="3").choices) == 3


def test_a_flavor_without_a_disk_wants_a_boot_volume(there: There, cloud: Any) -> None:
    cloud.flavors[2].disk = 0
    there = There(there.images, catalog.flavors(cloud), there.networks, there.keys, there.quota)
    assert asked("masterFlavor", there).misfits == (
        Choice("medium", "has no disk: ecm:bootVolumeGiB gives it one", "medium-id"),
    )
    assert asked("masterFlavor", there, bootVolumeGiB="20").misfits == ()
    assert len(asked("masterFlavor", there, bootVolumeGiB="1", image="debian-13-condor").misfits) == 3


def test_of_two_things_with_one_name_the_id_is_set(there: There, cloud: Any) -> None:
    cloud.images += [image("debian-13-condor"), image("")]
    cloud.images[-2].id, cloud.images[-2].created_at = "other-id", "2026-02-03T04:05:06Z"
    there = There(catalog.images(cloud), there.flavors, there.networks, there.keys, there.quota)
    made = asked("image", there)
    assert {"debian-13-condor-id", "other-id"} <= {choice.value for choice in made.choices}
    assert made.proposal == "other-id", "the newest"
    assert Choice("other-id", "debian-13, 1024 MiB, 2026-02-03", "other-id", "debian-13-condor") in made.choices
    assert "-id" in [choice.value for choice in made.misfits]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("jobsPerSlave", "2", "the flavor small has 1 VCPU"),
        ("jobsPerSlave", "1", ""),
        ("minSlaves", "5", "more than maxSlaves, 3"),
        ("minSlaves", "x", "it should be a whole number"),
        ("maxSlaves", "3", ""),
    ],
)
def test_an_answer_is_checked_beside_the_others(there: There, key: str, value: str, says: str) -> None:
    before = {"image": "debian-13-condor", "masterFlavor": "medium", "slaveFlavor": "small", "keyName": "mykey"}
    assert asked(key, there, **before, maxSlaves="3").check(value) == says


def test_what_was_set_and_goes_with_the_other_answers_no_more_is_not_proposed(there: There) -> None:
    assert asked("jobsPerSlave", there, slaveFlavor="small", jobsPerSlave="4").proposal == ""
