"""The cloud's services: a table of what runs, as whom, after what, and how to tell that it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localcloud.paths import INSIDE

ADDRESS = "172.24.4.1"
PUBLIC_NETWORK = "172.24.4.0/24"
HOST = "localcloud"
REGION = "RegionOne"
DOMAIN = "localcloud.internal"

# What the host's user and the guests may connect to: the same ports on the host's loopback and on ADDRESS.
ENDPOINTS: Mapping[str, int] = {
    "keystone": 5000,
    "glance": 9292,
    "placement": 8778,
    "nova": 8774,
    "neutron": 9696,
    "postgres": 5432,
    "swift": 8780,
}
FAKES = "nova-compute-fake"
"""In the place of `nova-compute`: servers that are in Nova's books only."""
PACKAGES_PORT = 13128
"""The other way round: the archives of this machine's apt and pip, for guests, once `bare` was asked for."""


@dataclass(frozen=True)
class Http:
    """Ready when any HTTP answer below 500 comes."""

    port: int
    path: str = "/"
    address: str = ADDRESS


@dataclass(frozen=True)
class Tcp:
    """Ready when a connection is accepted."""

    port: int
    address: str = ADDRESS


@dataclass(frozen=True)
class Socket:
    """Ready when a connection to the unix socket (a path inside the cloud) is accepted."""

    path: str


@dataclass(frozen=True)
class Alive:
    """Ready when its process has stayed for a second: the services that only take part in messaging."""


@dataclass(frozen=True)
class Service:
    """One process tree under supervisord."""

    name: str
    command: str
    ready: Http | Tcp | Socket | Alive
    after: tuple[str, ...] = ()
    user: str = "root"
    home: str = "/root"
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    extra: bool = False
    """Not part of every cloud: started when it is asked for."""


def _uwsgi(name: str, script: str, processes: int) -> str:
    # One thread each, as OpenStack's own set-ups have it: with several, Keystone mixed one caller's roles into another
    # one's token (an application credential was refused for a role that its user never had).
    return (
        f"uwsgi --ini {INSIDE}/etc/uwsgi.ini --processes {processes} --threads 1"
        f" --http-socket {ADDRESS}:{ENDPOINTS[name]} --wsgi-file {script}"
    )


def _nova(part: str) -> str:
    return f"{part} --config-file {INSIDE}/etc/nova.conf"


def _neutron(agent: str, own: str) -> str:
    return f"{agent} --config-file {INSIDE}/etc/neutron.conf --config-file {INSIDE}/etc/{own}.ini"


SWIFT_STORES: Mapping[str, int] = {"object": 6200, "container": 6201, "account": 6202}


def _swift(part: str, port: int) -> Service:
    command = f"swift-{part}-server {INSIDE}/etc/swift-{part}.conf -v"
    return Service(f"swift-{part}", command, Tcp(port, "127.0.0.1"), user="swift", extra=True)


_RABBIT = {
    "ERL_EPMD_ADDRESS": "127.0.0.1",
    "RABBITMQ_NODENAME": "localcloud@localhost",
    "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    "RABBITMQ_CONFIG_FILE": f"{INSIDE}/etc/rabbitmq.conf",
    "RABBITMQ_ENABLED_PLUGINS_FILE": "/dev/null",
    "RABBITMQ_MNESIA_BASE": f"{INSIDE}/live/rabbit/mnesia",
    "RABBITMQ_LOGS": "-",
    "RABBITMQ_PID_FILE": f"{INSIDE}/live/rabbit/pid",
    # One scheduler that doesn't spin: the machine may have two cores for everything.
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
}

_MARIADBD = (
    f"mariadbd --no-defaults --user=mysql --datadir={INSIDE}/live/mysql --socket={INSIDE}/run/mysql/mysql.sock"
    f" --pid-file={INSIDE}/run/mysql/pid --skip-networking --skip-log-bin --performance-schema=off"
    # What the process has committed outlives it, not the machine: each start begins from the seed.
    " --innodb-flush-log-at-trx-commit=2 --innodb-flush-method=nosync --innodb-doublewrite=0 --sync-binlog=0"
    " --innodb-log-file-size=32M --innodb-buffer-pool-size=128M --max-connections=500 --character-set-server=utf8mb3"
)

SERVICES: tuple[Service, ...] = (
    Service("front", f"nsenter --net=/run/host-netns haproxy -db -f {INSIDE}/etc/front.cfg", Alive()),
    Service("mysql", _MARIADBD, Socket(f"{INSIDE}/run/mysql/mysql.sock"), user="mysql", stop_seconds=30),
    Service(
        "postgres",
        f"/usr/lib/postgresql/15/bin/postgres -D {INSIDE}/live/postgres -c config_file={INSIDE}/etc/postgresql.conf",
        Tcp(ENDPOINTS["postgres"]),
        user="postgres",
        stop_signal="INT",  # ends sessions; TERM would wait for them
        stop_seconds=30,
    ),
    Service("memcached", "memcached -l 127.0.0.1 -p 11211 -m 32", Tcp(11211, "127.0.0.1"), user="memcache"),
    Service(
        "rabbit",
        "/usr/lib/rabbitmq/bin/rabbitmq-server",
        Tcp(5672, "127.0.0.1"),
        user="rabbitmq",
        home=f"{INSIDE}/live/rabbit",
        environment=_RABBIT,
    ),
    Service(
        "keystone",
        _uwsgi("keystone", "/usr/bin/keystone-wsgi-public", processes=4),
        Http(ENDPOINTS["keystone"], "/v3"),
        after=("mysql", "memcached"),
        user="keystone",
        home="/var/lib/keystone",
        environment={"OS_KEYSTONE_CONFIG_FILES": f"{INSIDE}/etc/keystone.conf"},
    ),
    Service("libvirt", f"libvirtd --config {INSIDE}/etc/libvirtd.conf", Socket("/run/libvirt/libvirt-sock")),
    Service(
        "neutron",
        f"neutron-server --config-file {INSIDE}/etc/neutron.conf --config-file {INSIDE}/etc/ml2.ini",
        Http(ENDPOINTS["neutron"]),
        after=("mysql", "rabbit"),
        user="neutron",
        home="/var/lib/neutron",
    ),
    Service("nova-conductor", _nova("nova-conductor"), Alive(), after=("mysql", "rabbit"), user="nova"),
    Service(
        "nova",
        _nova("nova-api"),
        Http(ENDPOINTS["nova"]),
        after=("mysql", "rabbit"),
        user="nova",
        home="/var/lib/nova",
    ),
    Service(
        "placement",
        _uwsgi("placement", "/usr/bin/placement-api", processes=2),
        Http(ENDPOINTS["placement"]),
        after=("mysql",),
        user="placement",
        home="/var/lib/placement",
        environment={"OS_PLACEMENT_CONFIG_DIR": f"{INSIDE}/etc"},
    ),
    Service("nova-scheduler", _nova("nova-scheduler"), Alive(), after=("mysql", "rabbit"), user="nova"),
    Service(
        "glance",
        f"glance-api --config-file {INSIDE}/etc/glance-api.conf",
        Http(ENDPOINTS["glance"]),
        after=("mysql",),
        user="glance",
        home="/var/lib/glance",
    ),
    Service(
        "nova-compute",
        f"nova-compute --config-file {INSIDE}/etc/nova-compute.conf",
        Alive(),
        after=("libvirt", "keystone", "placement", "nova-conductor"),
    ),
    Service(
        FAKES,
        f"nova-compute --config-file {INSIDE}/etc/nova-compute-fake.conf",
        Alive(),
        after=("keystone", "placement", "nova-conductor"),
        extra=True,
    ),
    Service("consoles", f"python3 {INSIDE}/etc/consoles.py", Alive(), after=("libvirt",)),
    Service("loops", f"python3 {INSIDE}/etc/loops.py", Alive()),
    Service(
        "bridge-agent",
        _neutron("neutron-linuxbridge-agent", "linuxbridge"),
        Alive(),
        after=("neutron",),
        environment={"PATH": f"{INSIDE}/etc/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    ),
    Service("dhcp-agent", _neutron("neutron-dhcp-agent", "dhcp"), Alive(), after=("neutron",)),
    Service("l3-agent", _neutron("neutron-l3-agent", "l3"), Alive(), after=("neutron",)),
    Service("metadata-agent", _neutron("neutron-metadata-agent", "metadata"), Alive(), after=("neutron",)),
    Service(
        "packages",
        f"nsenter --net=/run/host-netns squid -N -f {INSIDE}/etc/squid.conf",
        Http(PACKAGES_PORT),
        extra=True,
    ),
    *(_swift(*part) for part in SWIFT_STORES.items()),
    Service(
        "swift-updater", f"swift-object-updater {INSIDE}/etc/swift-object.conf -v", Alive(), user="swift", extra=True
    ),
    Service(
        "swift",
        f"swift-proxy-server {INSIDE}/etc/swift-proxy.conf -v",
        Http(ENDPOINTS["swift"], "/healthcheck"),
        after=("keystone", "memcached", *(f"swift-{part}" for part in SWIFT_STORES)),
        user="swift",
        extra=True,
    ),
)

USUAL = tuple(service.name for service in SERVICES if not service.extra)
BY_NAME: Mapping[str, Service] = {service.name: service for service in SERVICES}
