"""The services' configuration: what the templates say about secrets, addresses and rights."""

import configparser
from collections import defaultdict
from pathlib import Path

import pytest

from localcloud import config, secrets
from localcloud.services import ADDRESS, ENDPOINTS, FAKES, PACKAGES_PORT, SERVICES, USUAL

SECRETS = {name: f"secret-of-{name}" for name in secrets.NAMES}


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return config.render(SECRETS)


def options(text: str) -> dict[str, dict[str, str]]:
    """Sections may come more than once in OpenStack's files."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    parser = configparser.ConfigParser(strict=False, interpolation=None, default_section="", allow_no_value=True)
    parser.read_string(text)
    for section in parser.sections():
        found[section] |= dict(parser[section])
    return found


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("glance-api.conf", "image"),
        ("placement.conf", "placement"),
        ("nova.conf", "compute"),
        ("neutron.conf", "network"),
    ],
)
def test_service_enforces_access_rules_of_application_credentials(
    rendered: dict[str, str], file: str, kind: str
) -> None:
    assert options(rendered[file])["keystone_authtoken"]["service_type"] == kind


def test_nova_compute_has_no_database(rendered: dict[str, str]) -> None:
    sections = options(rendered["nova-compute.conf"])
    assert not {"database", "api_database"} & sections.keys()
    assert {"database", "api_database"} <= options(rendered["nova.conf"]).keys()


def test_a_file_with_a_secret_is_readable_by_one_service(rendered: dict[str, str]) -> None:
    holders = {name for name, text in rendered.items() if "secret-of-" in text}
    assert holders
    assert not holders & config.PUBLIC
    assert {config.READERS[name] for name in holders} <= {
        "root",
        "keystone",
        "glance",
        "placement",
        "nova",
        "neutron",
        "rabbitmq",
        "swift",
    }


def test_guests_reach_the_services_of_the_catalogue_the_proxy_and_no_other(rendered: dict[str, str]) -> None:
    firewall = rendered["firewall.nft"]
    assert "policy drop" in firewall
    (accepted,) = (line for line in firewall.splitlines() if "tcp dport" in line)
    ports = accepted.partition("{")[2].partition("}")[0]
    assert [int(port) for port in ports.split(",")] == [*ENDPOINTS.values(), PACKAGES_PORT]


def test_front_listens_on_the_loopback_and_in_the_cloud_only(rendered: dict[str, str]) -> None:
    binds = [line.split()[1] for line in rendered["front.cfg"].splitlines() if line.strip().startswith("bind")]
    assert binds == [*(f"127.0.0.1:{port}" for port in ENDPOINTS.values()), f"{ADDRESS}:{PACKAGES_PORT}"]
    assert f"bind {ADDRESS}:{PACKAGES_PORT} namespace cloud\n" in rendered["front.cfg"]


def test_the_proxy_is_for_the_hosts_of_this_machines_packages_only(rendered: dict[str, str]) -> None:
    lines = rendered["squid.conf"].splitlines()
    assert f"http_port 127.0.0.1:{PACKAGES_PORT}" in lines
    assert 'acl archives dstdomain "/srv/localcloud/packages/hosts"' in lines
    rules = [line for line in lines if line.startswith("http_access")]
    assert rules == ["http_access deny CONNECT !tls", "http_access allow archives", "http_access deny all"]


def test_what_is_asked_for_only_is_no_part_of_every_cloud() -> None:
    extras = {service.name for service in SERVICES if service.extra}
    assert extras == {FAKES, "packages", "swift", "swift-object", "swift-container", "swift-account", "swift-updater"}
    assert not extras & set(USUAL)
    assert not {name for service in SERVICES if not service.extra for name in service.after} & extras


def test_databases_and_messages_stay_on_loopback_or_sockets(rendered: dict[str, str]) -> None:
    assert "listeners.tcp.1 = 127.0.0.1:5672" in rendered["rabbitmq.conf"]
    assert f"listen_addresses = '{ADDRESS}'" in rendered["postgresql.conf"]
    commands = {service.name: service.command for service in SERVICES}
    assert "--skip-networking" in commands["mysql"]
    assert "-l 127.0.0.1" in commands["memcached"]


def test_no_secret_in_a_command_line(rendered: dict[str, str]) -> None:
    lines = rendered["supervisord.conf"].splitlines()
    assert not [line for line in lines if line.startswith(("command", "environment")) and "secret-of-" in line]


def test_every_service_starts_after_services_that_exist_and_come_before_it() -> None:
    seen: set[str] = set()
    for service in SERVICES:
        assert service.name not in seen
        seen.add(service.name)
        assert set(service.after) <= {other.name for other in SERVICES}
    # No circle: some order satisfies all.
    done: set[str] = set()
    while len(done) < len(SERVICES):
        next_ones = {s.name for s in SERVICES if s.name not in done and set(s.after) <= done}
        assert next_ones
        done |= next_ones


def test_files_are_closed_to_others(tmp_path: Path) -> None:
    from localcloud.paths import Paths  # noqa: PLC0415

    paths = Paths(tmp_path)
    paths.make()
    rootfs = tmp_path / "rootfs"
    (rootfs / "etc").mkdir(parents=True)
    own = (tmp_path.stat()).st_gid
    groups = {*config.READERS.values(), "root"}
    (rootfs / "etc" / "group").write_text("".join(f"{name}:x:{own}:\n" for name in groups))
    if tmp_path.owner() != "root":
        pytest.skip("only root can give files to the services")
    config.write(paths, rootfs, SECRETS)
    for name in config.READERS:
        mode = (paths.etc / name).stat().st_mode & 0o777
        assert mode == (0o644 if name in config.PUBLIC else 0o640), name
