"""What the settings name is found, or the user is told what there is instead. The connection is a hand-written fake."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack
import pytest

from cluster import cloud
from cluster.errors import CloudError
from cluster.settings import Settings


def thing(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=f"{name}-id", name=name, **more)


def image(name: str, distro: str | None = "debian", version: str | None = "13") -> SimpleNamespace:
    return thing(name, min_ram=512, min_disk=2, os_distro=distro, os_version=version)


@dataclass
class FakeCloud:
    """As much of an openstacksdk connection as the look-up reads."""

    images: list[Any] = field(default_factory=lambda: [image("debian")])
    flavors: list[Any] = field(
        default_factory=lambda: [
            thing("small", vcpus=1, ram=1024, disk=4),
            thing("tiny", vcpus=1, ram=256, disk=1),
            thing("volume", vcpus=2, ram=2048, disk=0),
        ]
    )
    networks: list[Any] = field(
        default_factory=lambda: [
            thing("lan", is_router_external=False),
            thing("public", is_router_external=True),
        ]
    )
    catalogue: dict[str, str] = field(
        default_factory=lambda: {"public": "http://out/v3", "internal": "http://in:5000/"}
    )

    def __post_init__(self) -> None:
        self.image = SimpleNamespace(images=lambda **_: self.images)
        self.compute = SimpleNamespace(flavors=lambda: self.flavors, keypairs=lambda: [thing("mykey")])
        self.network = SimpleNamespace(
            networks=lambda is_router_external=None: [
                n for n in self.networks if is_router_external in (None, n.is_router_external)
            ],
            security_groups=lambda **_: [thing("default")],
        )
        self.session = SimpleNamespace(get_endpoint=lambda service_type, interface: self.catalogue[interface])  # noqa: ARG005
        self.config = SimpleNamespace(region_name="R", auth={"auth_url": "http://elsewhere"})
        self.current_project_id = "project"


def look_up(fake: FakeCloud | None = None, **changes: Any) -> cloud.Found:
    values = {"image": "debian", "masterFlavor": "small", "slaveFlavor": "small", "keyName": "mykey"} | changes
    connection: Any = fake or FakeCloud()
    return cloud.look_up(Settings.model_validate(values), connection)


def test_names_become_ids() -> None:
    found = look_up(slaveFlavor="volume", floatingNetwork="public")
    assert (found.image_id, found.slave_image_id, found.network_id, found.slave_group_id) == (
        "debian-id",
        "debian-id",
        "lan-id",
        "default-id",
    )
    assert found.slave_flavor == cloud.Flavor("volume-id", "volume", 2, 2048, 0)
    assert (found.auth_url, found.region) == ("http://out/v3", "R")


def test_an_id_serves_as_well_as_a_name() -> None:
    assert look_up(image="debian-id").image_id == "debian-id"


def test_the_master_is_told_the_endpoint_that_it_reaches() -> None:
    assert look_up(endpoints="internal").auth_url == "http://in:5000/v3"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": "debain"}, "ecm:image is 'debain' - there is no such image - there is: debian"),
        (
            {"slaveFlavor": "huge"},
            "ecm:slaveFlavor is 'huge' - there is no such flavor - there is: volume, small, tiny",
        ),
        ({"keyName": "yours"}, "ecm:keyName is 'yours' - there is no such keypair - there is: mykey"),
        ({"network": "public"}, "ecm:network is 'public' - there is no such network - there is: lan"),
        ({"floatingNetwork": "lan"}, "ecm:floatingNetwork is 'lan' - there is no such external network"),
        ({"slaveSecurityGroup": "web"}, "ecm:slaveSecurityGroup is 'web' - there is no such security group"),
        ({"jobsPerSlave": "2"}, "ecm:jobsPerSlave is 2 and the flavor small has 1 VCPUs"),
        ({"masterFlavor": "tiny"}, "it needs 512 MiB of RAM and 2 GiB of disk, the flavor tiny has 256 and 1"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CloudError) as raised:
        look_up(**changes)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_there_twice_is_not_guessed() -> None:
    twice = [thing("debian", min_ram=0, min_disk=0), SimpleNamespace(id="other", name="debian", min_ram=0, min_disk=0)]
    with pytest.raises(CloudError, match="the cloud has 2 of that name - set its id: debian-id, other"):
        look_up(FakeCloud(images=twice))


def test_of_several_networks_one_must_be_named() -> None:
    several = [thing("b", is_router_external=False), thing("a", is_router_external=False)]
    with pytest.raises(CloudError, match="ecm:network is not set - the project has not one network but: a, b"):
        look_up(FakeCloud(networks=several))
    assert look_up(FakeCloud(networks=several), network="b").network_id == "b-id"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (auth_errors.Unauthorized("bad"), "the cloud refuses the login"),
        (auth_errors.ConnectFailure("no route"), "the cloud is out of reach - no route"),
        (auth_errors.MissingRequiredOptions([]), "there is no usable cloud login"),
        (openstack.exceptions.SDKException("500"), "the cloud fails to answer - 500"),
    ],
)
def test_a_login_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(openstack, "connect", refuse)
    with pytest.raises(CloudError, match=says):
        cloud.connect()


def test_the_systems_are_found_from_the_images_or_taken_from_the_settings() -> None:
    unnamed = FakeCloud(images=[image("ours", None, None), image("rocky-9", None, None)])
    found = look_up(unnamed, image="ours", os="debian-12", slaveImage="rocky-9")
    assert (found.master_system.name, found.slave_system.name) == ("debian-12", "el-9")
    assert look_up(unnamed, image="ours", os="debian-12").slave_system.name == "debian-12"


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("ours", {}, "the system of the image 'ours' can't be told"),
        ("SL6", {}, "CentOS 6 and SL6 are past their end of life"),
        ("CentOS-7", {}, "ecm:image has centos-7, which can't be a master's"),
    ],
)
def test_a_system_that_will_not_do_is_refused_with_what_to_do(name: str, changes: dict[str, str], says: str) -> None:
    with pytest.raises(CloudError, match=says) as raised:
        look_up(FakeCloud(images=[image(name, None, None)]), image=name, **changes)
    assert "\n" not in str(raised.value)
