"""Writes the services' configuration files from the templates in `templates/`."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from localcloud.paths import INSIDE, Paths
from localcloud.services import (
    ADDRESS,
    DOMAIN,
    ENDPOINTS,
    HOST,
    PACKAGES_PORT,
    PUBLIC_NETWORK,
    REGION,
    SERVICES,
    SWIFT_STORES,
)

TEMPLATES = Path(__file__).resolve().parent / "templates"
PROGRAM_FOLDER = Path(__file__).resolve().parent / "inside"

# Each file and the group that may read it: files hold passwords.
READERS: Mapping[str, str] = {
    "firewall.nft": "root",
    "front.cfg": "root",
    "supervisord.conf": "root",
    "keystone.conf": "keystone",
    "glance-api.conf": "glance",
    "placement.conf": "placement",
    "nova.conf": "nova",
    "nova-compute.conf": "root",
    "nova-compute-fake.conf": "root",
    "neutron.conf": "neutron",
    "ml2.ini": "neutron",
    "linuxbridge.ini": "root",
    "dhcp.ini": "root",
    "l3.ini": "root",
    "metadata.ini": "root",
    "libvirtd.conf": "root",
    "uwsgi.ini": "nogroup",
    "rabbitmq.conf": "rabbitmq",
    "postgresql.conf": "postgres",
    "pg_hba.conf": "postgres",
    "squid.conf": "proxy",
    "swift.conf": "swift",
    "swift-proxy.conf": "swift",
    **dict.fromkeys((f"swift-{part}.conf" for part in SWIFT_STORES), "swift"),
}
PUBLIC = frozenset({"uwsgi.ini"})

# Programs that stand before the packages' own (see each file for why), and the one service of ours.
PROGRAMS: Mapping[str, str] = {
    "libvirt_lxc.sh": "bin/libvirt_lxc",
    "ebtables.sh": "bin/ebtables",
    "consoles.py": "consoles.py",
    "loops.py": "loops.py",
}


def render(secrets: Mapping[str, str]) -> dict[str, str]:
    """Every configuration file's text by name."""
    # The values are globals: macros of an imported template see no other.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # not HTML
    )
    environment.globals |= {
        "address": ADDRESS,
        "domain": DOMAIN,
        "endpoints": ENDPOINTS,
        "host": HOST,
        "inside": INSIDE,
        "keystone": f"http://{ADDRESS}:{ENDPOINTS['keystone']}/v3",
        "network": PUBLIC_NETWORK,
        "packages_port": PACKAGES_PORT,
        "ports": [*ENDPOINTS.values(), PACKAGES_PORT],
        "region": REGION,
        "secrets": secrets,
        "services": SERVICES,
        "swift_stores": SWIFT_STORES,
    }
    return {name: environment.get_template(f"{name}.j2").render() for name in READERS}


def write(paths: Paths, rootfs: Path, secrets: Mapping[str, str]) -> None:
    """Write all files, each readable by its service alone."""
    groups = ids(rootfs, "group")
    for name, text in render(secrets).items():
        path = paths.etc / name
        new = path.with_name(name + ".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(text)
        shutil.chown(new, 0, groups[READERS[name]])
        new.chmod(0o644 if name in PUBLIC else 0o640)
        new.rename(path)
    (paths.etc / "bin").mkdir(exist_ok=True)
    for source, name in PROGRAMS.items():
        shutil.copyfile(PROGRAM_FOLDER / source, paths.etc / name)
        (paths.etc / name).chmod(0o755)


def ids(rootfs: Path, kind: str) -> dict[str, int]:
    """The numbers of the root file system's own users (`kind` "passwd") or groups ("group")."""
    lines = (rootfs / "etc" / kind).read_text().splitlines()
    return {fields[0]: int(fields[2]) for fields in (line.split(":") for line in lines)}


def fingerprint() -> str:
    """Changes with every template, and with all that lays out the cloud's machine."""
    files = sorted([*TEMPLATES.glob("*.j2"), *PROGRAM_FOLDER.glob("*.sh"), *PROGRAM_FOLDER.glob("*.py")])
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()
