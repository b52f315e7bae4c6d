"""What isn't part of every cloud, and is added to a running one when it is asked for; it ends with the cloud.

- `bare`: the image `debian-13-bare`, whose first boot installs everything, and the proxy by which its guests get that.
- `swift`: Swift, with its S3 API.
- `fakes`: Nova's own fake driver instead of guests, and quotas for many.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud import guest_image, health, seed, startup
from localcloud.config import ids
from localcloud.errors import LocalCloudError
from localcloud.login import PROJECTS, connect
from localcloud.machine import Machine
from localcloud.paths import INSIDE, Paths
from localcloud.progress import step
from localcloud.services import ADDRESS, FAKES, PACKAGES_PORT, SERVICES, SWIFT_STORES
from localcloud.supervisor import Supervisor

PROXY = f"http://{ADDRESS}:{PACKAGES_PORT}"


def bare(machine: Machine, paths: Paths, rootfs: Path, secrets: Mapping[str, str]) -> None:
    """The bare image, and the way to packages.

    Raises:
        LocalCloudError: the image can't be built, or the proxy doesn't start.
    """
    image = guest_image.ensure_bare()
    _prepare_proxy(machine, paths, rootfs, image.with_name(guest_image.HOSTS))
    _start(machine, paths, ["packages"])
    admin = connect("admin", secrets)
    if not admin.image.find_image(seed.BARE_IMAGE):
        with step(f"image {seed.BARE_IMAGE}"):
            seed.upload(admin, paths, seed.BARE_IMAGE, image)


def swift(machine: Machine, paths: Paths, secrets: Mapping[str, str]) -> None:
    """Swift with one copy of everything, and its entry in the catalogue.

    Raises:
        LocalCloudError: it doesn't start.
    """
    for part, port in SWIFT_STORES.items():
        rings = f"{INSIDE}/etc/{part}.builder"
        machine.run("rm", "-f", rings)
        # 16 partitions, one copy: on one device more would be the same.
        machine.run("swift-ring-builder", rings, "create", "4", "1", "0")
        machine.run("swift-ring-builder", rings, "add", f"r1z1-127.0.0.1:{port}/one", "1")
        machine.run("swift-ring-builder", rings, "rebalance")
    seed.object_store(secrets)
    _start(machine, paths, [service.name for service in SERVICES if service.name.startswith("swift")])


def fakes(machine: Machine, paths: Paths, secrets: Mapping[str, str]) -> None:
    """From now on servers run nowhere: Nova, Neutron and Placement do all else that they do for one.

    Raises:
        LocalCloudError: there are guests, or it doesn't start.
    """
    admin = connect("admin", secrets)
    if guests := [server.name for server in admin.compute.servers(all_projects=True)]:
        raise LocalCloudError(f"the cloud has guests, which would be lost: {', '.join(guests)} - delete them first")
    supervisor = Supervisor(paths.run / "supervisor.sock")
    supervisor.stop("nova-compute")
    _start(machine, paths, [FAKES])
    health.wait_healthy(secrets, supervisor, 90, lambda: startup.check(paths, supervisor.states()))
    identity: Any = admin.identity
    for name in PROJECTS.values():
        project = identity.find_project(name)
        admin.set_compute_quotas(project.id, instances=-1, cores=-1, ram=-1)
        admin.set_network_quotas(project.id, ports=-1)


def _start(machine: Machine, paths: Paths, names: list[str]) -> None:
    with step(f"services: {', '.join(names)}"):
        startup.start(machine, Supervisor(paths.run / "supervisor.sock"), paths, names)


def _prepare_proxy(machine: Machine, paths: Paths, rootfs: Path, hosts: Path) -> None:
    """Its folder, which stays until `reset`, and how it finds the archives: as this machine does."""
    folder = paths.state / "packages"
    folder.mkdir(exist_ok=True)
    if not hosts.read_text().strip():
        raise LocalCloudError(f"{hosts} is empty - it should name the hosts of this machine's apt and pip")
    (folder / "hosts").write_text(hosts.read_text())
    (folder / "etc-hosts").write_text(Path("/etc/hosts").read_text())
    words = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    (folder / "names.conf").write_text(f"dns_nameservers {' '.join(servers)}\n" if servers else "")
    machine.run("chown", str(ids(rootfs, "passwd")["proxy"]), f"{INSIDE}/packages")
    machine.run("nsenter", "--net=/run/host-netns", "squid", "-N", "-z", "-f", f"{INSIDE}/etc/squid.conf")
