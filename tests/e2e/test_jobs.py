"""What users may and may not do: accounts, kinds of jobs, how many at once, who sees what. One cluster for all."""

import json
import re
import secrets
import subprocess
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack.connection import Connection

from controller.metrics import PORT
from demo.stack import temporary
from demo.user import ROOT, User, connect, last_line, wait_for
from tests.e2e import made_up
from tests.e2e.made_up import done, job, on_slave, submit

pytestmark = pytest.mark.cloud

STACK = "jobs"
PATIENCE = 300
CLOSING = 60
"""Seconds until the doors are closed for sure."""
DOCKER = ("universe = docker", f"docker_image = {made_up.IMAGE}")
CONTAINER = ("universe = container", f"container_image = docker://{made_up.IMAGE}")
LOOK_AROUND = (
    "id -u; wget -q -T 4 -O - http://169.254.169.254/openstack/latest/user_data || echo closed;"
    " test -e /bin/busybox && test ! -e /usr/sbin/condor_master && echo inside"
)
IN_CONTAINER = (
    "executable = /bin/sh",
    "transfer_executable = false",
    f"arguments = \"-c '{LOOK_AROUND}'\"",
)
READ = "curl -s -m {} http://169.254.169.254/openstack/latest/user_data"
METADATA = f"{READ.format(4)} || echo closed"
AS_ROOT = f"sudo {READ.format(40)} | gunzip | grep -c /usr/local/sbin/ecm-first-boot"


@pytest.fixture(scope="module")
def cluster(cloud: dict[str, str]) -> Iterator[User]:
    """A cluster of slaves with four VCPUs and two jobs each, and with an account for alice."""
    key = Path(cloud["ECM_SSH_CONFIG"]).with_name("id_ed25519.pub").read_text().strip()
    settings = {
        "slaveFlavor": "large",
        "jobsPerSlave": "2",
        "maxSlaves": "4",
        "idleTime": "60",
        "slaveScript": "tests/e2e/busybox.sh",
        "users": {"alice": [key]},
    }
    # A passphrase that is nowhere by chance.
    with temporary({**cloud, "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16)}, STACK, settings) as user:
        user.up()
        wait_for("the master", PATIENCE, user.master_is_ready)
        yield user


@pytest.fixture(scope="module")
def fetching(cluster: User) -> str:
    """A job whose input is a node's user-data. HTCondor tries for minutes, in which others have their turn."""
    by_url = "transfer_input_files = http://169.254.169.254/openstack/latest/user_data"
    return submit(cluster, job("executable = /bin/ls", by_url, output="never"))


def alice(cluster: User) -> User:
    """Alice, who logs in to the same master."""
    return User(cluster.env, STACK, account="alice")


def test_root_may_not_submit_and_is_told_what_to_do(cluster: User) -> None:
    refused = cluster.ssh("sudo condor_submit -terse - <<<'queue'")
    assert refused.returncode != 0
    assert "ordinary" in last_line(refused.stdout + refused.stderr)


KNOCK = """
import pwd, socket, time
owner, seen, end = pwd.getpwnam("ecm").pw_uid, set(), time.monotonic() + 60
while len(seen) < 4 and time.monotonic() < end:
    sockets = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    for port in {int(s[1].split(":")[1], 16) for s in sockets if s[3] == "0A" and int(s[7]) == owner} - seen:
        seen.add(port)
        try:
            socket.create_connection(("127.0.0.1", port), 2).close()
            print("open", port)
        except OSError:
            pass
print(len(seen) >= 4)
"""


def test_no_account_reaches_the_ports_that_pulumi_opens_for_an_update(cluster: User) -> None:
    cluster.submit(2, 30)
    assert alice(cluster).on_master("python3 -", stdin=KNOCK, seconds=90).splitlines() == [f"open {PORT}", "True"]


def test_no_more_jobs_at_once_than_a_slave_may_have(cluster: User) -> None:
    jobs = cluster.submit(8, 300)
    most: Counter[str] = Counter()

    def all_running() -> bool:
        hosts = cluster.on_master(f"condor_q {jobs} -constraint 'JobStatus == 2' -af RemoteHost").split()
        running = Counter(host.rpartition("@")[2] for host in hosts)
        for host, count in running.items():
            most[host] = max(most[host], count)
        return running.total() == 8

    wait_for("eight running jobs", PATIENCE, all_running)
    assert sorted(most.values()) == [2, 2, 2, 2]
    cluster.on_master(f"condor_rm {jobs}")


def test_an_account_of_the_settings_submits_and_looks_into_its_job(cluster: User) -> None:
    user = alice(cluster)
    number = user.submit(1, 40)
    wait_for("alice's job", PATIENCE, lambda: user.on_master(f"condor_q {number} -af JobStatus").strip() == "2")
    assert user.on_master(f"condor_ssh_to_job -auto-retry {number} id -un").strip().startswith("slot1_")
    owner: Any = user.on_master(f"condor_q {number} -af Owner").strip()
    assert owner == "alice"


# The end-user's guide of ECM has it so: no requests, no word of files, paths of one's home on the submit node.
OF_ECM = """Universe   = vanilla
Executable = /home/alice/test.sh
Log        = test.log.$(Cluster).$(Process)
Output     = test.out.$(Cluster).$(Process)
Error      = test.err.$(Cluster).$(Process)
Queue 2
"""


def test_a_job_description_of_ecms_users_runs_as_it_is(cluster: User) -> None:
    user = alice(cluster)
    user.on_master("cat >test.sh && chmod +x test.sh", stdin="#!/bin/bash\nsleep 5\nhostname; whoami\n")
    number = submit(user, OF_ECM)
    codes = f"condor_history {number} -af ExitCode"
    wait_for("alice's jobs", PATIENCE, lambda: user.on_master(codes).split() == ["0", "0"])
    for process in (0, 1):
        host, account = user.on_master(f"cat test.out.{number}.{process}").split()
        assert host.startswith(f"ecm-{STACK}-slave-")
        assert account.startswith("slot1_")
        assert user.on_master(f"cat test.err.{number}.{process}") == ""


def test_files_that_a_job_names_come_to_it(cluster: User, fetching: str) -> None:
    assert fetching
    cluster.on_master("echo of the master >input.txt")
    cat = job("executable = /bin/cat", "arguments = input.txt", "transfer_input_files = input.txt", output="got")
    number = submit(cluster, cat)
    wait_for("the job", PATIENCE, lambda: done(cluster, number))
    assert cluster.on_master("cat got") == "of the master\n"


def test_jobs_in_containers_run_unprivileged_and_see_no_secret(cluster: User) -> None:
    """Of both universes; they run at once."""
    outputs = {"docker.out": DOCKER, "container.out": CONTAINER}
    jobs = [submit(cluster, job(*kind, *IN_CONTAINER, output=output)) for output, kind in outputs.items()]
    wait_for("the jobs in containers", PATIENCE, lambda: all(done(cluster, number) for number in jobs))
    assert set(cluster.on_master("condor_status -af HasDocker").split()) == {"true"}
    for output in outputs:
        uid, metadata, where = cluster.on_master(f"cat {output}").split()
        assert int(uid) > 0
        assert (metadata, where) == ("closed", "inside")


def test_neither_a_job_nor_an_account_reads_a_nodes_user_data(cluster: User) -> None:
    look = ("executable = /bin/sh", "transfer_executable = false", f"arguments = \"-c '{METADATA}'\"")
    number = submit(cluster, job(*look, output="metadata.out"))
    wait_for("the job", PATIENCE, lambda: done(cluster, number))
    assert cluster.on_master("cat metadata.out") == "closed\n"
    assert alice(cluster).on_master(METADATA) == "closed\n"
    assert int(cluster.on_master(AS_ROOT)) > 0, "root reads it"


def a_slave(cluster: User) -> str:
    """The name of a slave that has a job for a minute, so that it stays; made if there is none."""
    number = cluster.submit(1, 60)
    host = f"condor_q {number} -constraint 'JobStatus == 2' -af RemoteHost"
    wait_for("a slave", PATIENCE, lambda: cluster.on_master(host).strip() != "")
    return cluster.on_master(host).strip().rpartition("@")[2].partition(".")[0]


def test_a_slaves_user_data_stays_closed_when_the_firewall_is_set_up_again(cluster: User) -> None:
    slave = a_slave(cluster)
    assert int(on_slave(cluster, slave, AS_ROOT)) > 0, "root reads it"
    assert on_slave(cluster, slave, METADATA) == "closed\n"
    assert on_slave(cluster, slave, f"sudo systemctl restart nftables.service && {METADATA}") == "closed\n"


def test_the_pool_is_not_read_without_a_login(cluster: User) -> None:
    """From a slave, by a job: it has no token. Root there has the slave's own, and reads."""
    slave = a_slave(cluster)
    look = "condor_status -pool master.pool -af Name"
    assert "slot1" in on_slave(cluster, slave, f"sudo {look}"), "HTCondor and the master's name are there"
    script = f"arguments = \"-c '{look} 2>&1; true'\""
    number = submit(cluster, job("executable = /bin/sh", "transfer_executable = false", script, output="look.out"))
    wait_for("the job", PATIENCE, lambda: done(cluster, number))
    said = cluster.on_master("cat look.out")
    assert "AUTHENTICATE" in said
    assert "slot1" not in said


READABLE = """
import os, pathlib
secrets = {secrets}.items()
found = set()
def look(path):
    try:
        content = path.read_bytes() if path.stat().st_size < 2 ** 22 else b""
    except OSError:
        return
    found.update(f"{{what}} in {{path}}" for what, secret in secrets if secret.encode() in content)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if int(process.name) != os.getpid():
        look(process / "cmdline"), look(process / "environ")
for top in ("/etc", "/home", "/opt", "/run", "/tmp", "/usr/local", "/var"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                look(path)
print(*sorted(found), sep="\\n")
"""


def test_no_secret_is_in_outputs_state_journal_processes_or_files_that_accounts_read(cluster: User) -> None:
    lines = cluster.on_master("sudo cat /etc/ecm/controller.env").splitlines()
    known = {key: value.strip("'") for key, _, value in (line.partition("=") for line in lines)}
    secret = ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "OS_APPLICATION_CREDENTIAL_SECRET")
    slave = a_slave(cluster)
    hidden = {key: known[key] for key in secret} | {
        "the signing key": cluster.on_master("sudo cat /etc/condor/passwords.d/POOL").strip(),
        "a slave's token": on_slave(cluster, slave, "sudo sh -c 'cat /etc/condor/tokens.d/*'").strip(),
    }
    assert all(len(value) >= 8 for value in hidden.values())
    look = READABLE.format(secrets=hidden)
    assert alice(cluster).on_master("python3 -", stdin=look).strip() == ""
    by_mail = b64encode(look.encode()).decode()
    assert on_slave(cluster, slave, f"echo {by_mail} | base64 -d | sudo -u nobody python3 -").strip() == ""
    on_slave(cluster, slave, "sudo test ! -e /etc/condor/passwords.d/POOL")
    journal = cluster.on_master("sudo journalctl --no-pager --output=cat")
    state = cluster.pulumi("stack", "export")
    shown = cluster.pulumi("stack", "output", "--json")
    for text in (journal, state, shown):
        assert len(text) > 100
        assert [what for what, value in hidden.items() if value in text] == []
    resources = json.loads(state)["deployment"]["resources"]
    user_data = [made["inputs"]["userData"] for made in resources if "userData" in made.get("inputs", {})]
    assert len(user_data) > 1, "of the master and of a slave"
    assert all("ciphertext" in data for data in user_data), "a secret of Pulumi's, not the text"


def test_nobody_fetches_a_nodes_user_data_for_a_job(cluster: User, fetching: str) -> None:
    """What the slave fetches for a job, it fetches as the job's account."""
    why = f"condor_q {fetching} -af HoldReason"
    wait_for("the job to be held", PATIENCE, lambda: "169.254.169.254" in cluster.on_master(why))
    cluster.on_master(f"condor_rm {fetching}")


def test_the_journal_of_all_this_replays_to_the_same_decisions(cluster: User) -> None:
    assert ", 0 different, 0 lines unreadable" in cluster.on_master(
        "cd / && sudo env PYTHONPATH=/opt/ecm/current /opt/ecm/venv/bin/python -m controller replay"
    )


FORBIDDEN = """
import keystoneauth1.exceptions, openstack, openstack.exceptions
cloud = openstack.connect()
calls = {
    "keypairs": lambda: list(cloud.compute.keypairs()),
    "volumes of servers": lambda: cloud.compute.create_server_image("x", "y"),
    "security groups": lambda: list(cloud.network.security_groups()),
    "a new network": lambda: cloud.network.create_network(name="mine"),
    "credentials": lambda: cloud.identity.create_application_credential(cloud.current_user_id, "another"),
    "a server's stop": lambda: cloud.compute.stop_server("x"),
    "a keypair": lambda: cloud.compute.create_keypair(name="another"),
    "a port's end": lambda: cloud.network.delete_port("x", ignore_missing=False),
    "an image's end": lambda: cloud.image.delete_image("x", ignore_missing=False),
}
for what, call in calls.items():
    try:
        call()
    except (openstack.exceptions.HttpException, keystoneauth1.exceptions.HttpError) as error:
        print(what, getattr(error, "http_status", None) or error.status_code)
    else:
        print(what, "allowed")
print(len(list(cloud.compute.servers(details=True))) > 0)
"""


def test_the_masters_login_does_what_the_controller_does_and_nothing_else(cluster: User) -> None:
    run = "sudo sh -c 'set -a; . /etc/ecm/controller.env; exec /opt/ecm/venv/bin/python -W ignore -'"
    *answers, lists_servers = cluster.on_master(run, stdin=FORBIDDEN).splitlines()
    assert lists_servers == "True"
    assert len(answers) == 9
    assert [line for line in answers if not line.endswith((" 401", " 403"))] == []


LISTEN = """
import selectors, socket
ready = selectors.DefaultSelector()
for port in (41999, 42001, 8000):
    ready.register(socket.create_server(("", port)), selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        key.fileobj.accept()[0].close()
"""
DOORS = (22, 8000, 9618, 41999, 42001)
"""Ports on which the master listens, whatever its security group says."""
OPEN = [22, 9618, 41999]


def test_the_masters_group_opens_its_ports_and_no_others(cluster: User) -> None:
    slave, address = a_slave(cluster), cluster.outputs()["masterIp"]
    cluster.on_master("cat >doors.py; nohup python3 doors.py >/dev/null 2>&1 &", stdin=LISTEN)
    wait_for("the listeners", 30, lambda: "42001" in cluster.on_master("ss -Hltn 'sport = 42001'"))
    assert [port for port in DOORS if takes(cluster, address, port)] == OPEN, "for a stranger"
    knock = "timeout 4 bash -c '</dev/tcp/master.pool/{0}' 2>/dev/null && echo {0}"
    knocks = "; ".join(knock.format(port) for port in DOORS)
    assert on_slave(cluster, slave, f"{knocks}; true").split() == [str(port) for port in OPEN], "for a slave"


def takes(cluster: User, address: str, port: int) -> bool:
    """Whether a stranger's connection to this port is taken."""
    proxy = [str(ROOT / "scripts" / "localcloud"), "proxy", address, str(port)]
    ran = subprocess.run(proxy, env=cluster.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return ran.returncode == 0


def test_narrowed_rules_keep_strangers_out_and_slaves_in(cluster: User) -> None:
    """A job that the master submits by itself, while nobody can log in, brings what it needs and ends.

    The master tells on its console, which Nova shows. Then one address is let in.
    """
    address, own = cluster.outputs()["masterIp"], cluster.on_master("echo $SSH_CLIENT").split()[0]
    echo = ("executable = /bin/echo", "transfer_executable = false", "arguments = done", "log = closed.log")
    cluster.on_master("cat >closed.sub", stdin=job(*echo, output="closed.out"))
    cluster.pulumi("config", "set", "--path", "ecm:allowedCidrs[0]", "192.0.2.0/24")
    word = f"ended-while-closed-{secrets.token_hex(4)}"
    script = f"sleep {CLOSING}; condor_submit closed.sub; condor_wait closed.log; echo {word} | sudo tee /dev/console"
    cluster.on_master(f"nohup sh -c '{script}' >/dev/null 2>&1 &")
    began = time.monotonic()
    cluster.up()
    wait_for("closed doors", 60, lambda: not takes(cluster, address, 22))
    assert time.monotonic() - began < CLOSING, "the job comes when the doors are closed"
    compute = connect(cluster.env).compute
    (master,) = compute.servers(name=f"ecm-{STACK}-master")
    wait_for("the job", PATIENCE, lambda: word in compute.get_server_console_output(master, length=50)["output"])
    assert [port for port in DOORS if takes(cluster, address, port)] == []
    cluster.pulumi("config", "set", "--path", "ecm:allowedCidrs[0]", f"{own}/32")
    cluster.up()
    wait_for("open doors", 60, lambda: takes(cluster, address, 22))
    assert [port for port in DOORS if takes(cluster, address, port)] == OPEN, "for one address"
    assert cluster.on_master("cat closed.out") == "done\n"


def test_the_preview_shows_what_of_a_script_is_new(cluster: User, tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text((ROOT / "tests/e2e/busybox.sh").read_text() + "echo a line of mine\n")
    cluster.pulumi("config", "set", "ecm:slaveScript", str(script))
    changed = cluster.pulumi("preview", "--diff")
    cluster.pulumi("config", "set", "ecm:slaveScript", "tests/e2e/busybox.sh")
    assert re.search(r"\+ *echo a line of mine", changed)
    fragment = tmp_path / "own.conf"
    fragment.write_text("# mine\nNUM_SLOTS_TYPE_9 = 0\n")
    cluster.pulumi("config", "set", "ecm:slaveCondorConfig", str(fragment))
    new = cluster.pulumi("preview")
    cluster.pulumi("config", "rm", "ecm:slaveCondorConfig")
    assert re.search(r"new is ecm:slaveCondorConfig:\n.*\+ # mine\n.*\+ NUM_SLOTS_TYPE_9 = 0\n", new)


def test_another_generation_is_another_master_with_the_login_that_the_user_gives(cluster: User, tmp_path: Path) -> None:
    project = connect(cluster.env)
    keystone: Any = project.identity

    def credential(name: str, **more: Any) -> Any:
        return keystone.create_application_credential(project.current_user_id, f"{name}-{secrets.token_hex(4)}", **more)

    of_user = credential("of-the-user")
    of_master = credential(
        "of-the-master", access_rules=json.loads((ROOT / "cluster" / "access-rules.json").read_text())
    )
    clouds = yaml.safe_load(Path(cluster.env["OS_CLIENT_CONFIG_FILE"]).read_text())
    login = {"application_credential_id": of_user.id, "application_credential_secret": of_user.secret}
    cloud = clouds["clouds"][cluster.env["OS_CLOUD"]]
    cloud |= {"auth_type": "v3applicationcredential", "auth": {"auth_url": cloud["auth"]["auth_url"], **login}}
    file = tmp_path / "clouds.yaml"
    file.write_text(yaml.safe_dump(clouds))
    federated = User({**cluster.env, "OS_CLIENT_CONFIG_FILE": str(file)}, STACK)
    refused = federated.try_pulumi("preview")
    assert refused.returncode != 0
    assert "this login is itself an application credential" in refused.stdout + refused.stderr

    cluster.submit(1, 1200)
    wait_for("a slave", PATIENCE, lambda: cluster.look()["jobs"]["running"] == 1)
    before = ours(project)
    cluster.pulumi("config", "set", "ecm:applicationCredentialId", of_master.id)
    cluster.pulumi("config", "set", "--secret", "ecm:applicationCredentialSecret", of_master.secret)
    cluster.pulumi("config", "set", "ecm:masterGeneration", "2")
    assert "the master is replaced - ecm:masterGeneration was 1 and is 2" in cluster.up()
    assert not before & ours(project), "neither the old master nor its slaves are left"
    wait_for("the new master", PATIENCE, cluster.master_is_ready)
    number = cluster.submit(1, 1)
    wait_for("a job of the new queue", PATIENCE, lambda: done(cluster, number))
    unchanged = ("up", "--yes", "--skip-preview", "--expect-no-changes")
    wait_for("the restricted login's up", 60, lambda: federated.try_pulumi(*unchanged).returncode == 0)
    names = [made.name for made in keystone.application_credentials(project.current_user_id)]
    assert [name for name in names if name.startswith(f"ecm-{STACK}-")] == [], "the stack's own has gone"


def ours(project: Connection) -> set[str]:
    """Ids of this cluster's servers."""
    listed = project.compute.servers(details=False)
    return {server.id for server in listed if server.name.startswith(f"ecm-{STACK}-")}
