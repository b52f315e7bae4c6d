"""What is proposed fits: the image, the project's quota, and what was set before."""

from typing import Any

import pytest

from cli.laptop import catalog
from cli.laptop.proposals import Choice, Question, There, question


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
    assert Choice("medium", "2 VCPUs, 2048 MiB, 10 GiB") in made.choices
    assert made.proposal == "medium"


@pytest.mark.parametrize(("slave", "most"), [("small", "7"), ("large", "3")])
def test_the_maximum_fits_the_quota_beside_the_master(there: There, slave: str, most: str) -> None:
    # 8 instances and 16 cores are left; the master takes one and two.
    assert asked("maxSlaves", there, masterFlavor="medium", slaveFlavor=slave).proposal == most


def test_the_only_network_is_not_asked_for(there: There, cloud: Any) -> None:
    assert question("network", there, {}) is None
    cloud.networks.append(cloud.networks[1])
    there = There(there.images, there.flavors, catalog.networks(cloud), there.keys, there.quota)
    assert asked("network", there).choices


def test_required_settings_are_known_as_such(there: There) -> None:
    assert asked("keyName", there).required
    assert not asked("jobsPerSlave", there).required
