"""What the settings name is found, or the user is told what there is instead. The connection is a hand-written fake."""

from types import SimpleNamespace
from typing import Any

import pytest

from cluster import cloud as cloud_module
from cluster.cloud import Flavor, Found
from cluster.errors import CloudError
from cluster.settings import Settings


def thing(name: str, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(id=f"{name}-id", name=name, **more)


def image(name: str) -> SimpleNamespace:
    """An image that says nothing of its system but by its name."""
    says = {"min_ram": 512, "min_disk": 2, "virtual_size": None, "size": 2**30, "status": "active"}
    return thing(name, **says, os_distro=None, os_version=None, architecture=None, os_admin_user=None)


def look_up(cloud: Any, **changes: Any) -> Found:
    values = {"image": "debian", "masterFlavor": "small", "slaveFlavor": "small", "keyName": "mykey"} | changes
    return cloud_module.look_up(Settings.model_validate(values), cloud)


def test_names_become_ids(cloud: Any) -> None:
    found = look_up(cloud, slaveFlavor="volume", floatingNetwork="public-id", bootVolumeGiB="20")
    assert (found.image_id, found.slave_image_id, found.network_id, found.slave_group_id) == (
        "debian-id",
        "debian-id",
        "lan-id",
        "default-id",
    )
    assert found.slave_flavor == Flavor("volume-id", "volume", 2, 2048, 0)
    assert found.floating_network == "public"
    assert (found.auth_url, found.region) == ("http://out/v3", "R")


def test_an_id_serves_as_well_as_a_name(cloud: Any) -> None:
    assert look_up(cloud, image="debian-id").image_id == "debian-id"


@pytest.mark.parametrize(
    ("properties", "account"),
    [
        ({"os_distro": "centos", "name": "Debian-like"}, "centos"),
        ({"os_distro": "rocky", "os_admin_user": "me"}, "me"),
        ({"os_distro": None, "name": "golden-image"}, "ubuntu"),
        ({"os_distro": None, "name": "Rocky 9"}, "rocky"),
    ],
)
def test_the_masters_account_is_the_images(cloud: Any, properties: dict[str, Any], account: str) -> None:
    cloud.images[0].__dict__.update(properties)
    assert look_up(cloud, image=cloud.images[0].id, os="ubuntu-24.04").master_user == account


def test_the_master_is_told_the_endpoint_that_it_reaches(cloud: Any) -> None:
    assert look_up(cloud, endpoints="internal").auth_url == "http://in:5000/v3"


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
        (
            {"availabilityZone": "down"},
            "ecm:availabilityZone is 'down' - there is no such availability zone - there is: n",
        ),
        ({"slaveFlavor": "volume"}, "the flavor volume has no disk - a server needs one to boot from"),
        ({"bootVolumeGiB": "1"}, "it needs 512 MiB of RAM and 2 GiB of disk, the flavor small has 1024 and 1 - raise"),
        ({"jobsPerSlave": "2"}, "ecm:jobsPerSlave is 2 and the flavor small has 1 VCPUs"),
        ({"masterFlavor": "tiny"}, "it needs 512 MiB of RAM and 2 GiB of disk, the flavor tiny has 256 and 1"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_one_line(cloud: Any, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CloudError) as raised:
        look_up(cloud, **changes)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_there_twice_is_not_guessed(cloud: Any) -> None:
    cloud.images = [
        image("debian"),
        SimpleNamespace(id="other", name="debian", min_ram=0, min_disk=0, status="active"),
    ]
    with pytest.raises(CloudError, match="the cloud has 2 of that name - set its id: debian-id, other"):
        look_up(cloud)


def test_of_two_images_of_one_name_the_active_one_is_taken(cloud: Any) -> None:
    cloud.images = [image("debian-13"), image("debian-13")]
    cloud.images[0].id, cloud.images[0].status = "old-id", "deactivated"
    assert look_up(cloud, image="debian-13").image_id == "debian-13-id"
    with pytest.raises(CloudError, match="ecm:image is 'old-id' - the image is deactivated, not active"):
        look_up(cloud, image="old-id")


def unnamed(id_: str, name: str | None) -> SimpleNamespace:
    return SimpleNamespace(id=id_, name=name, is_router_external=False, is_shared=False)


@pytest.mark.parametrize(
    ("networks", "says"),
    [
        ([], "the project has none - openstack network create"),
        (
            [thing("open", is_router_external=True, is_shared=True)],
            "the project has none of its own but: open - pulumi",
        ),
        ([unnamed("x", "a"), unnamed("y", "a")], "the project has several networks: x, y - pulumi config set"),
        ([unnamed("x", ""), unnamed("y", None)], "the project has several networks: x, y - pulumi config set"),
        ([unnamed(f"{i}", f"n{i}") for i in range(10)], "several networks: n0, n1, n2, n3, n4, n5, n6, n7, … - pulumi"),
    ],
)
def test_networks_to_choose_from_are_told_by_what_names_them(cloud: Any, networks: list[Any], says: str) -> None:
    cloud.networks = networks
    with pytest.raises(CloudError) as raised:
        look_up(cloud)
    assert str(raised.value).startswith("ecm:network is not set - ")
    assert says in str(raised.value)


def test_a_network_without_a_name_is_told_by_its_id(cloud: Any) -> None:
    cloud.networks = [unnamed("x", None)]
    assert look_up(cloud).network_name == "x"


def test_of_several_networks_one_must_be_named(cloud: Any) -> None:
    cloud.networks = [thing("b", is_router_external=False), thing("a", is_router_external=False)]
    with pytest.raises(CloudError, match="ecm:network is not set - the project has several networks: a, b"):
        look_up(cloud)
    assert look_up(cloud, network="b").network_id == "b-id"


@pytest.mark.parametrize("kind", ["router_interface_distributed", "ha_router_replicated_interface"])
def test_a_router_of_any_kind_serves_for_a_floating_address(cloud: Any, kind: str) -> None:
    cloud.router_ports[0].device_owner = f"network:{kind}"
    assert look_up(cloud, floatingNetwork="public").floating_network == "public"


@pytest.mark.parametrize(
    ("gateway", "owner"),
    [
        ({"network_id": "other-id"}, "network:router_interface"),
        (None, "network:router_interface"),
        ({"network_id": "public-id"}, "compute:nova"),
    ],
)
def test_a_floating_address_that_no_router_would_lead_to_the_master_is_refused(
    cloud: Any, gateway: Any, owner: str
) -> None:
    cloud.routers[0].external_gateway_info, cloud.router_ports[0].device_owner = gateway, owner
    with pytest.raises(
        CloudError, match="ecm:floatingNetwork is 'public' - no router leads from it to the network 'lan'"
    ):
        look_up(cloud, floatingNetwork="public")
    assert look_up(cloud).floating_network is None


def test_where_an_address_of_that_network_serves_already_nobody_asks_how(cloud: Any) -> None:
    """A cluster that is up goes on, whatever networks and routers somebody has made since."""
    cloud.routers[0].external_gateway_info = None
    cloud.networks.append(thing("public", is_router_external=False, is_shared=False, project_id="operators"))
    cloud.floating = [thing("ip", port_id=cloud.router_ports[0].id)]
    assert look_up(cloud, network="lan", floatingNetwork="public-id").floating_network == "public"
    cloud.floating = [thing("ip", port_id="elsewhere-id"), thing("free", port_id=None)]
    with pytest.raises(CloudError, match="ecm:floatingNetwork is 'public-id'"):
        look_up(cloud, network="lan", floatingNetwork="public-id")


def test_routers_that_this_login_does_not_see_are_trusted(cloud: Any) -> None:
    cloud.routers = []
    assert look_up(cloud, floatingNetwork="public").floating_network == "public"
    cloud.refuses = {"routers": 403}
    assert look_up(cloud, floatingNetwork="public").floating_network == "public"
    cloud.router_ports, cloud.networks[0].project_id = [], "operators"
    assert look_up(cloud, floatingNetwork="public").floating_network == "public"


@pytest.mark.parametrize("external", [True, False])
def test_an_external_network_that_the_provider_could_take_for_another_is_refused(cloud: Any, external: bool) -> None:
    cloud.networks.append(thing("public", is_router_external=external, is_shared=False, project_id="operators"))
    cloud.networks[-1].id = "other-id"
    with pytest.raises(CloudError, match="ecm:floatingNetwork is 'public-id' - Pulumi's provider goes by its name"):
        look_up(cloud, network="lan", floatingNetwork="public-id")


@pytest.mark.parametrize("versions", [(), (6,)])
def test_a_network_that_gives_nodes_no_ipv4_address_is_refused(cloud: Any, versions: tuple[int, ...]) -> None:
    cloud.subnets = versions
    with pytest.raises(CloudError, match="the network 'lan' can't be used - it has no IPv4 subnet"):
        look_up(cloud)


def test_an_image_that_is_larger_than_it_says_needs_the_room(cloud: Any) -> None:
    cloud.images[0].virtual_size = 5 * 1024**3 + 1
    with pytest.raises(CloudError, match="6 GiB of disk, the flavor small has 1024 and 4"):
        look_up(cloud)
    assert look_up(cloud, slaveFlavor="volume", bootVolumeGiB="6").slave_volume_gib == 6


def test_an_image_that_does_not_say_how_large_it_is_needs_as_much_as_its_file(cloud: Any) -> None:
    cloud.images[0].size = 10 * 1024**3
    with pytest.raises(CloudError, match="10 GiB of disk, the flavor small has 1024 and 4"):
        look_up(cloud)
    cloud.images[0].virtual_size = 4 * 1024**3
    assert look_up(cloud).image_id == "debian-id", "a qcow2 file has its own tables beside"


def test_the_slaves_flavor_must_hold_the_image_too(cloud: Any) -> None:
    with pytest.raises(CloudError, match="2 GiB of disk, the flavor tiny has 256 and 1 - take a larger flavor or"):
        look_up(cloud, slaveFlavor="tiny")


def test_a_flavor_is_found_by_its_id_too(cloud: Any) -> None:
    found = look_up(cloud, masterFlavor="small-id", slaveFlavor="volume-id", bootVolumeGiB="20")
    assert (found.master_flavor.name, found.slave_flavor.name) == ("small", "volume")


def test_what_the_cloud_leaves_open_is_no_traceback(cloud: Any) -> None:
    cloud.compute.availability_zones = lambda: [thing("nova", state=None)]
    cloud.images[0].os_distro = 13
    assert look_up(cloud, os="debian-13", availabilityZone="nova").master_system.name == "debian-13"


def test_an_image_for_other_processors_can_be_the_slaves_and_not_the_masters(cloud: Any) -> None:
    cloud.images = [image("debian-13"), image("debian-13-arm64")]
    cloud.images[1].architecture = "aarch64"
    with pytest.raises(CloudError, match="ecm:image is 'debian-13-arm64' - it is for aarch64, and the controller's"):
        look_up(cloud, image="debian-13-arm64")
    assert look_up(cloud, image="debian-13", slaveImage="debian-13-arm64").slave_image_id == "debian-13-arm64-id"
    for ours in ("x86_64", "AMD64", "x86-64"):
        cloud.images[0].architecture = ours
        assert look_up(cloud, image="debian-13").image_id == "debian-13-id"


@pytest.mark.parametrize(
    ("name", "says", "architecture"),
    [
        ("debian-13", None, "x86_64"),
        ("debian-13", "AMD64", "x86_64"),
        ("debian-13", "aarch64", "aarch64"),
        ("debian-13-arm64", None, "aarch64"),
        ("Debian 13 (AArch64)", None, "aarch64"),
        ("debian-13-ppc64el", None, "ppc64le"),
        ("debian-13-arm64", "x86_64", "x86_64"),
        ("debian-13-charm64", None, "x86_64"),
        ("debian-13-x86_64-cross-arm64", None, "x86_64"),
        ("debian-13-amd64-i386", None, "x86_64"),
        ("debian-13-i386", None, "i686"),
    ],
)
def test_the_slaves_architecture_is_that_of_their_image(
    cloud: Any, name: str, says: str | None, architecture: str
) -> None:
    """The property isn't set on most images."""
    cloud.images = [image("debian-12"), image(name)]
    cloud.images[1].architecture = says
    assert look_up(cloud, image="debian-12", slaveImage=name).slave_architecture == architecture


@pytest.mark.parametrize("says", [None, "x86_64"])
def test_an_image_without_a_name_says_nothing_by_it(cloud: Any, says: str | None) -> None:
    cloud.images = [image("debian-12"), image("")]
    cloud.images[1].name, cloud.images[1].id, cloud.images[1].architecture = None, "nameless", says
    assert look_up(cloud, image="debian-12", slaveImage="nameless", slaveOs="debian-13").slave_architecture == "x86_64"


def test_an_image_that_is_not_active_is_said_to_be_so(cloud: Any) -> None:
    cloud.images[0].status = "queued"
    with pytest.raises(CloudError, match="the image is queued, not active"):
        look_up(cloud)


def test_an_image_that_is_not_listed_is_found_by_its_id(cloud: Any) -> None:
    id_ = "7d7bb940-1111-2222-3333-444455556666"
    hidden = image("debian-13")
    hidden.id = id_
    cloud.hidden_images = [hidden]
    assert look_up(cloud, image=id_).image_id == id_


def test_a_shared_external_network_can_be_the_clusters_when_it_is_named(cloud: Any) -> None:
    cloud.networks[1].is_shared = True
    assert look_up(cloud).network_id == "lan-id"
    assert look_up(cloud, network="public").network_id == "public-id"


def test_the_boot_volume_is_the_masters_and_that_of_slaves_without_a_disk(cloud: Any) -> None:
    found = look_up(cloud, bootVolumeGiB="20")
    assert (found.master_volume_gib, found.slave_volume_gib) == (20, None)
    assert look_up(cloud, bootVolumeGiB="20", slaveFlavor="volume").slave_volume_gib == 20


def test_the_systems_are_found_from_the_images_or_taken_from_the_settings(cloud: Any) -> None:
    cloud.images = [image("ours"), image("rocky-9")]
    found = look_up(cloud, image="ours", os="debian-12", slaveImage="rocky-9")
    assert (found.master_system.name, found.slave_system.name) == ("debian-12", "el-9")
    assert look_up(cloud, image="ours", os="debian-12").slave_system.name == "debian-12"


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("ours", {}, "the system of the image 'ours' can't be told"),
        ("SL6", {}, "CentOS 6 and SL6 are past their end of life, and have no HTCondor with tokens and no systemd"),
        ("SL6", {"os": "debian-13"}, "CentOS 6 and SL6 are past their end of life"),
        ("SL6", {"os": "custom"}, "as ecm:os custom .* needs systemd and an ecm:masterScript that installs HTCondor"),
        ("SL6", {"os": "custom", "masterScript": "ours.sh"}, "needs systemd and an ecm:slaveScript"),
        ("fedora-coreos-42", {}, "the image 'fedora-coreos-42' can't be used - no package can be added"),
        ("CentOS-7", {}, "ecm:image has centos-7, which can't be a master's"),
    ],
)
def test_a_system_that_will_not_do_is_refused_with_what_to_do(
    cloud: Any, name: str, changes: dict[str, str], says: str
) -> None:
    cloud.images = [image(name)]
    with pytest.raises(CloudError, match=says) as raised:
        look_up(cloud, image=name, **changes)
    assert "\n" not in str(raised.value)


def test_an_image_past_its_end_of_life_is_taken_with_scripts_of_the_users_own(cloud: Any) -> None:
    cloud.images = [image("SL6")]
    found = look_up(cloud, image="SL6", os="custom", masterScript="ours.sh", slaveScript="ours.sh")
    assert (found.master_system.name, found.slave_system.name) == ("custom", "custom")


def test_an_image_that_can_do_more_than_its_name_says_is_what_the_settings_say(cloud: Any) -> None:
    cloud.images = [image("windows-builder")]
    assert look_up(cloud, image="windows-builder", os="debian-13").master_system.name == "debian-13"
