"""The folders and databases that the services live on: made empty, kept as the seed, and brought back from it.

MariaDB's and PostgreSQL's own files are kept, not dumps: copying them takes a second, reading a dump half a minute.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localcloud.config import ids
from localcloud.machine import Machine
from localcloud.paths import INSIDE, Paths
from localcloud.services import ADDRESS, ENDPOINTS, REGION

# Below `live`, with their owners.
FOLDERS: Mapping[str, str] = {
    "mysql": "mysql",
    "postgres": "postgres",
    "rabbit": "rabbitmq",
    "glance": "glance",
    "glance/images": "glance",
    "glance/staging": "glance",
    "glance/tasks": "glance",
    "glance/cache": "glance",
    "keys": "keystone",
    "keys/fernet": "keystone",
    "keys/credential": "keystone",
    "nova": "nova",
    "nova/instances": "nova",
    "nova/instances/_base": "nova",
    "neutron": "neutron",
    "swift": "swift",
    "swift/one": "swift",
    "lock": "root",
    "lock/glance": "glance",
    "lock/nova": "nova",
    "lock/neutron": "neutron",
}
PRIVATE = frozenset({"mysql", "postgres", "rabbit", "keys", "keys/fernet", "keys/credential"})
SEEDED = ("mysql", "postgres", "keys", "glance", "nova/instances/_base")
DATABASES: Mapping[str, str] = {
    "keystone": "keystone",
    "glance": "glance",
    "placement": "placement",
    "nova_api": "nova_api",
    "nova": "nova",
    "nova_cell0": "nova",
    "neutron": "neutron",
}
MANAGE_NOVA = ("nova-manage", "--config-file", f"{INSIDE}/etc/nova.conf")


def make_folders(paths: Paths, rootfs: Path) -> None:
    """Make the folders that are missing in `live`, and those of the sockets."""
    users, groups = ids(rootfs, "passwd"), ids(rootfs, "group")
    own = {paths.live / name: (user, 0o700 if name in PRIVATE else 0o755) for name, user in FOLDERS.items()}
    own |= {paths.run / name: (name, 0o755) for name in ("mysql", "postgres")}
    paths.live.mkdir(exist_ok=True)
    paths.live.chmod(0o711)
    for folder, (user, mode) in own.items():
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        os.chown(folder, users[user], groups[user])


def forget(paths: Paths) -> None:
    """Remove what the last run left: databases, disks, sockets."""
    shutil.rmtree(paths.live, ignore_errors=True)
    for folder in (paths.run / "mysql", paths.run / "postgres"):
        shutil.rmtree(folder, ignore_errors=True)


def keep_seed(paths: Paths, key: str) -> None:
    """Keep `live` as the seed; its services have been stopped in order."""
    new = paths.seed.with_name("seed.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    for name in SEEDED:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(paths.live / name, new / name)
    (new / "key").write_text(key)
    shutil.rmtree(paths.seed, ignore_errors=True)
    new.rename(paths.seed)


def seed_key(paths: Paths) -> str | None:
    """Which recipe the seed was made from; None if there is no whole one."""
    path = paths.seed / "key"
    return path.read_text() if path.exists() else None


def restore_seed(paths: Paths) -> None:
    """Put copies of the seed into `live`."""
    for name in SEEDED:
        target = paths.live / name
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(paths.seed / name, target)


def _copy(source: Path, target: Path) -> None:
    # Images are never written to, only added and removed: links do. Databases are copied.
    images = source.name in {"glance", "_base"}
    how = ["--link"] if images else ["--reflink=auto", "--sparse=auto"]
    subprocess.run(["cp", "-a", *how, "--", str(source), str(target)], check=True)


def install(machine: Machine) -> None:
    """Make the database servers' own files, in empty folders and before the servers start."""
    mariadb = ["--no-defaults", "--user=mysql", f"--datadir={INSIDE}/live/mysql", "--skip-test-db"]
    root = ["--auth-root-authentication-method=socket", "--auth-root-socket-user=root"]
    machine.run("mariadb-install-db", *mariadb, *root)
    postgres = ["-D", f"{INSIDE}/live/postgres", "--auth-local=peer", "--auth-host=scram-sha-256", "-E", "UTF8"]
    machine.run("/usr/lib/postgresql/15/bin/initdb", *postgres, "--locale=C.UTF-8", "--no-sync", user="postgres")


def create(machine: Machine, secrets: Mapping[str, str]) -> None:
    """Make the databases and their users, in running servers."""
    users = dict.fromkeys(DATABASES.values())
    sql = [f"create user '{user}'@'localhost' identified by '{secrets['mysql_' + user]}';" for user in users]
    for database, user in DATABASES.items():
        sql.append(f"create database {database} character set utf8mb3;")
        sql.append(f"grant all on {database}.* to '{user}'@'localhost';")
    machine.run("mariadb", "--no-defaults", f"--socket={INSIDE}/run/mysql/mysql.sock", stdin="\n".join(sql))
    # Pulumi makes its table at the first login, whoever that is: both logins act as the one owner.
    machine.run(
        "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", f"{INSIDE}/run/postgres", "postgres",
        user="postgres",
        stdin=f"""
create role pulumi;
create role laptop login password '{secrets["postgres_laptop"]}' in role pulumi;
create role master login password '{secrets["postgres_master"]}' in role pulumi;
alter role laptop set role pulumi;
alter role master set role pulumi;
create database pulumi owner pulumi;
revoke connect on database pulumi from public;
grant connect on database pulumi to pulumi;
""",
    )  # fmt: skip


def synchronise(machine: Machine, secrets: Mapping[str, str]) -> None:
    """Make the services' tables and the first administrator."""
    chains: Sequence[Callable[[], None]] = (
        lambda: _nova(machine),
        lambda: _neutron(machine),
        lambda: _keystone(machine, secrets),
        lambda: _others(machine),
    )
    with ThreadPoolExecutor(len(chains)) as pool:
        for done in [pool.submit(chain) for chain in chains]:
            done.result()


def forget_reports(machine: Machine) -> None:
    """Make all agents look long dead, so that none passes for alive before it has reported after the next start."""
    sql = """
update neutron.agents set heartbeat_timestamp = '2000-01-01';
update nova.services set updated_at = '2000-01-01', last_seen_up = '2000-01-01';
"""
    machine.run("mariadb", "--no-defaults", f"--socket={INSIDE}/run/mysql/mysql.sock", stdin=sql)


def _keystone(machine: Machine, secrets: Mapping[str, str]) -> None:
    manage = ("keystone-manage", "--config-file", f"{INSIDE}/etc/keystone.conf")
    owner = ("--keystone-user", "keystone", "--keystone-group", "keystone")
    machine.run(*manage, "db_sync", user="keystone")
    machine.run(*manage, "fernet_setup", *owner, user="keystone")
    machine.run(*manage, "credential_setup", *owner, user="keystone")
    public, internal = (f"http://{address}:{ENDPOINTS['keystone']}/v3" for address in ("127.0.0.1", ADDRESS))
    machine.run(
        *manage, "bootstrap", user="keystone", environment={
            "OS_BOOTSTRAP_PASSWORD": secrets["admin"],
            "OS_BOOTSTRAP_REGION_ID": REGION,
            "OS_BOOTSTRAP_PUBLIC_URL": public,
            "OS_BOOTSTRAP_INTERNAL_URL": internal,
            "OS_BOOTSTRAP_ADMIN_URL": internal,
        },
    )  # fmt: skip


def map_hosts(machine: Machine) -> None:
    """Tell Nova's schedulers of the compute service, which has to run: by themselves they look up to a minute later."""
    machine.run(*MANAGE_NOVA, "cell_v2", "discover_hosts", user="nova")


def _nova(machine: Machine) -> None:
    for what in (
        ("api_db", "sync"),
        ("cell_v2", "map_cell0"),
        ("db", "sync"),
        ("cell_v2", "create_cell", "--name", "cell1"),
    ):
        machine.run(*MANAGE_NOVA, *what, user="nova")


def _neutron(machine: Machine) -> None:
    files = [f"--config-file={INSIDE}/etc/{name}" for name in ("neutron.conf", "ml2.ini")]
    machine.run("neutron-db-manage", *files, "upgrade", "heads", user="neutron")


def _others(machine: Machine) -> None:
    machine.run("glance-manage", "--config-file", f"{INSIDE}/etc/glance-api.conf", "db_sync", user="glance")
    manage = ("placement-manage", "--config-file", f"{INSIDE}/etc/placement.conf")
    machine.run(*manage, "db", "sync", user="placement")
