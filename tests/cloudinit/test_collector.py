"""Who may say what to the master's collector: asked of a real one, with the product's own configuration.

With a user's beside it, who sets what he had better added to.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import cloudinit
from bench.realpool import RealPool, real_pool
from controller.tokens import slave_token

pytestmark = pytest.mark.slow

WATCH = Path(cloudinit.__file__).parent / "files/slave/usr/local/sbin/ecm-watch"
FORGED = {
    "MyType": '"Machine"',
    "Machine": '"b.pool"',
    "Name": '"slot1@b.pool"',
    "EcmSlave": '"b"',
    "State": '"Forged"',
}
OWN = {"Machine": '"a.pool"', "Name": '"slot1@a.pool"', "EcmSlave": '"a"'}
"""What slave `a` may say; the rest of FORGED is as good as any."""
LATER = {
    "Machine": 'ifThenElse(time() < 4102444800, "a.pool", "b.pool")',
    "Name": 'ifThenElse(time() < 4102444800, "slot1@a.pool", "slot1@b.pool")',
    "EcmSlave": 'ifThenElse(time() < 4102444800, "a", "b")',
}
"""Its own names now, and another one's later."""
STARTD, MASTER = "UPDATE_STARTD_AD", "UPDATE_MASTER_AD"


OF_USER = """
ALLOW_READ = bob@pool
ALLOW_WRITE = ada@pool
ALLOW_DAEMON = carol@pool
ALLOW_NEGOTIATOR = carol@pool
ALLOW_ADMINISTRATOR = carol@pool
ALLOW_ADVERTISE_STARTD = carol@pool
ALLOW_ADVERTISE_MASTER = carol@pool
ALLOW_ADVERTISE_SCHEDD = carol@pool
COLLECTOR.ALLOW_DAEMON = carol@pool
COLLECTOR.ALLOW_NEGOTIATOR = carol@pool
COLLECTOR_REQUIREMENTS = Name =!= "slot1@unwanted.pool"
JOB_TRANSFORM_NAMES = Mark
JOB_TRANSFORM_Mark = SET Marked true
ADD_SIGNIFICANT_ATTRIBUTES = Marked
SEC_TOKEN_REVOCATION_EXPR = ($(SEC_TOKEN_REVOCATION_EXPR)) || member(sub, {"leaked@slaves.pool"})
"""


@pytest.fixture(scope="module")
def condor() -> Iterator[RealPool]:
    with real_pool(guarded=True, of_user=OF_USER) as running:
        yield running


def as_slave(condor: RealPool, name: str, *command: str, stdin: str = "", key: bytes = b"") -> str:
    """Runs a command with the token of a slave; gives what it says."""
    return by_token(
        condor, slave_token(name, key or condor.key, datetime.now(UTC)) if name else "", *command, stdin=stdin
    )


def by_token(condor: RealPool, token: str, *command: str, stdin: str = "") -> str:
    """Runs a command with this token, and with nothing else that would let it in; gives what it says."""
    script = (
        'mkdir -p /tmp/tokens && printf %s "$0" >/tmp/tokens/t && chmod 600 /tmp/tokens/t && '
        "export _CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS=IDTOKENS _CONDOR_SEC_TOKEN_DIRECTORY=/tmp/tokens "
        '_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY=/tmp/tokens && exec "$@" 2>&1'
    )
    try:
        # Not as root, who has the pool's key here.
        return condor.run("sh", "-c", script, token, *command, user="ada", stdin=stdin)
    except subprocess.CalledProcessError as error:
        return f"refused: {error.stdout}"


def advertise(condor: RealPool, name: str, command: str, ad: dict[str, str], key: bytes = b"") -> str:
    text = "".join(f"{attribute} = {value}\n" for attribute, value in ad.items())
    return as_slave(condor, name, "condor_advertise", command, "-", stdin=text, key=key)


def seen(condor: RealPool, *what: str) -> list[str]:
    return condor.run("condor_status", *what).split()


@pytest.mark.parametrize(("name", "joins"), [("ecm-My_dev-2-slave-a", True), ("ecm-my.dev-slave-a", False)])
def test_a_slave_joins_whatever_the_stacks_name_unless_that_has_a_dot(condor: RealPool, name: str, joins: bool) -> None:
    machine = {"Machine": f'"{name}.pool"', "Name": f'"slot1@{name}.pool"', "EcmSlave": f'"{name}"'}
    ad = {"MyType": '"Machine"', "State": '"Unclaimed"', **machine}
    advertise(condor, name, STARTD, ad)
    assert bool(seen(condor, "-constraint", f'EcmSlave == "{name}"', "-af", "Name")) == joins


def test_a_slave_is_seen_under_its_own_name(condor: RealPool) -> None:
    a = FORGED | {"Machine": '"a.pool"', "Name": '"slot1@a.pool"', "EcmSlave": '"a"', "State": '"Unclaimed"'}
    dynamic = a | {"Name": '"slot1_1@a.pool"', "SlotType": '"Dynamic"'}
    own_master = {"MyType": '"DaemonMaster"', "Machine": '"a.pool"', "Name": '"a.pool"'}
    for command, ad in ((STARTD, a), (STARTD, dynamic), (MASTER, own_master)):
        assert "refused" not in advertise(condor, "a", command, ad)
    assert set(seen(condor, "-constraint", 'Machine == "a.pool"', "-af", "Name")) == {"slot1@a.pool", "slot1_1@a.pool"}
    assert "a.pool" in seen(condor, "-master", "-af", "Name")


@pytest.mark.parametrize(
    ("command", "forged"),
    [
        (STARTD, {}),
        (STARTD, {"MyType": '"machine"'}),
        (STARTD, {"MyType": '"Evil"'}),
        (STARTD, {"Machine": '"a.pool"'}),
        (STARTD, {"Machine": '"a.pool"', "EcmSlave": '"a"'}),
        (STARTD, {"Machine": '"a.pool"', "Name": '"slot1@a.pool"'}),
        (STARTD, {"Machine": '"a.elsewhere"', "EcmSlave": '"a"'}),
        (STARTD, {"Machine": "undefined", "Name": '"slot1@b.pool"'}),
        *((STARTD, OWN | {attribute: later}) for attribute, later in LATER.items()),
        (STARTD, OWN | {"EcmSlave": '"A"'}),
        (STARTD, {"AuthenticatedIdentity": '"b@slaves.pool"'}),
        (STARTD, {"AuthenticatedIdentity": "undefined"}),
        (MASTER, {"MyType": '"Evil"', "Name": '"master.pool"', "Machine": '"master.pool"'}),
        (MASTER, {"MyType": '"DaemonMaster"', "Name": '"master.pool"', "Machine": '"a.pool"', "EcmSlave": '"a"'}),
        (MASTER, {"MyType": '"DaemonMaster"', "Name": '"b.pool"', "Machine": '"b.pool"'}),
    ],
)
def test_a_slaves_token_serves_for_no_other_machine(condor: RealPool, command: str, forged: dict[str, str]) -> None:
    assert "Sent 1 of 1" in advertise(condor, "a", command, FORGED | forged), "it got as far as the rule"
    assert seen(condor, "-any", "-constraint", 'State =?= "Forged" || EcmSlave =?= "b"', "-af", "Name") == []
    assert seen(condor, "-schedd", "-af", "Name") == ["master.pool"], "what is in the collector is seen"


@pytest.mark.parametrize(("name", "key"), [("", b""), ("b", b"of another pool")])
def test_without_a_token_or_with_another_pools_nobody_joins_or_reads(condor: RealPool, name: str, key: bytes) -> None:
    assert "Sent 0 of 1" in advertise(condor, name, STARTD, FORGED, key)
    assert "AUTHENTICATE" in as_slave(condor, name, "condor_status", "-any", key=key)
    assert seen(condor, "-constraint", 'EcmSlave == "b"', "-af", "Name") == []
    assert "slot1@" not in as_slave(condor, name, "condor_status", "-any", "-af", "Name", key=key)
    assert "refused" not in as_slave(condor, "a", "condor_status", "-any"), "a slave's own token reads"


def test_the_controller_closes_a_slave_to_jobs_and_nobody_else_does(condor: RealPool) -> None:
    where = {"MyAddress": '"<127.0.0.1:7>"', "StartdIpAddr": '"<127.0.0.1:7>"', "Name": '"slot1@c.pool"'}
    advertise(condor, "c", STARTD, FORGED | where | {"Machine": '"c.pool"', "EcmSlave": '"c"', "State": '"Unclaimed"'})
    closed = {"MyType": '"Machine"', "State": '"Drained"', "Requirements": "False"} | where
    text = "".join(f"{attribute} = {value}\n" for attribute, value in closed.items())

    def state() -> list[str]:
        return seen(condor, "-constraint", 'EcmSlave == "c"', "-af", "State", "Requirements")

    assert "Sent 0 of 1" in advertise(condor, "c", "MERGE_STARTD_AD", closed), "a slave says so itself"
    with pytest.raises(subprocess.CalledProcessError):
        condor.run("condor_advertise", "-tcp", "MERGE_STARTD_AD", "-", user="bob", stdin=text)
    assert state() == ["Unclaimed", "undefined"]
    condor.run("condor_advertise", "-tcp", "MERGE_STARTD_AD", "-", user="ecm", stdin=text)
    assert state() == ["Drained", "false"]


def test_a_slave_cannot_forge_the_controllers_heartbeat(condor: RealPool) -> None:
    heartbeat = {"MyType": '"EcmController"', "Name": '"controller"'}
    assert "Sent 0 of 1" in advertise(condor, "a", "UPDATE_AD_GENERIC", heartbeat)
    assert seen(condor, "-subsystem", "EcmController", "-af", "Name") == []


def as_account(condor: RealPool, *command: str, stdin: str = "") -> str:
    """Runs a command as an ordinary account of the master; gives what it says."""
    try:
        return condor.run("sh", "-c", 'exec "$@" 2>&1', "sh", *command, user="bob", stdin=stdin)
    except subprocess.CalledProcessError as error:
        return f"refused: {error.stdout}"


@pytest.mark.parametrize(
    ("command", "ad"),
    [
        ("UPDATE_AD_GENERIC", {"MyType": '"EcmController"', "Name": '"controller"'}),
        (STARTD, FORGED),
        (MASTER, {"MyType": '"DaemonMaster"', "Machine": '"b.pool"', "Name": '"b.pool"', "EcmSlave": '"b"'}),
    ],
)
def test_an_ordinary_account_advertises_neither_a_controller_nor_a_slave(
    condor: RealPool, command: str, ad: dict[str, str]
) -> None:
    text = "".join(f"{attribute} = {value}\n" for attribute, value in ad.items())
    assert "Sent 0 of 1" in as_account(condor, "condor_advertise", "-tcp", command, "-", stdin=text)
    forged = 'MyType == "EcmController" || State =?= "Forged" || EcmSlave =?= "b"'
    assert seen(condor, "-any", "-constraint", forged, "-af", "Name") == []


def test_slaves_see_a_heartbeat_until_it_ends_and_no_longer(condor: RealPool) -> None:
    (alive,) = re.findall(r"^alive='(.*)'$", WATCH.read_text(), re.MULTILINE)
    heartbeat = 'MyType = "EcmController"\nName = "controller"\nClassAdLifetime = {}\n'
    for life, expected in (60, ["controller"]), (1, []):
        condor.run("condor_advertise", "UPDATE_AD_GENERIC", "-", stdin=heartbeat.format(life))
        time.sleep(3)
        assert seen(condor, "-subsystem", "EcmController", "-constraint", alive, "-af", "Name") == expected
    assert seen(condor, "-subsystem", "EcmController", "-af", "Name") == ["controller"], "it is still there"


def test_a_slave_cannot_use_the_pools_queue(condor: RealPool) -> None:
    assert "refused" in as_slave(condor, "a", "condor_submit", "-", stdin="executable = /bin/true\nqueue\n")


@pytest.mark.parametrize(
    "command", [("condor_off",), ("condor_off", "-daemon", "schedd"), ("condor_reconfig",), ("condor_restart",)]
)
def test_neither_a_slave_nor_an_ordinary_account_has_the_masters_daemons_do_anything(
    condor: RealPool, command: tuple[str, ...]
) -> None:
    for said in (as_slave(condor, "a", *command), as_account(condor, *command)):
        assert 'Received "DENIED" from server' in said
    assert seen(condor, "-schedd", "-af", "Name") == ["master.pool"]


def test_neither_another_slave_nor_an_ordinary_account_drains_a_slave() -> None:
    slot = "slot1@a@master.pool"
    with real_pool(("a",), guarded=True) as condor:
        for _ in range(60):
            if slot in seen(condor, "-af", "Name"):
                break
            time.sleep(0.5)
        for said in (as_slave(condor, "b", "condor_drain", slot), as_account(condor, "condor_drain", slot)):
            assert "Failed to start DRAIN_JOBS" in said
        assert "Sent request to drain" in condor.run("condor_drain", slot, user="ecm"), "it was there to be asked"


def test_a_leaked_token_can_be_revoked(condor: RealPool) -> None:
    """As docs/security.md says."""
    assert "refused" in as_slave(condor, "leaked", "condor_status", "-any")
    assert "refused" not in as_slave(condor, "a", "condor_status", "-any")


def test_a_token_that_an_account_fetches_serves_nowhere(condor: RealPool) -> None:
    fetched = condor.run("condor_token_fetch", user="ada").strip()
    assert "AUTHENTICATE" in by_token(condor, fetched, "condor_status", "-any") or "DENIED" in by_token(
        condor, fetched, "condor_status", "-any"
    )
    condor.submit("ada", "executable = /bin/true\nqueue\n")


def test_a_users_configuration_takes_nothing_from_what_the_controller_relies_on_and_holds_beside_it(
    condor: RealPool,
) -> None:
    job = "executable = /bin/true\nmax_job_retirement_time = 0\nhold = true\nqueue\n"
    for user in "ada", "ecm":
        condor.submit(user, job)
    jobs = condor.run("condor_q", "-all", "-af", "Owner", "Marked", "MaxJobRetirementTime", user="ecm").splitlines()
    assert sorted({line for line in jobs if "true" in line}) == ["ada true undefined", "ecm true undefined"]
    with pytest.raises(subprocess.CalledProcessError):
        condor.submit("bob", job)
    grouped_by = condor.run("condor_config_val", "ADD_SIGNIFICANT_ATTRIBUTES")
    assert {"Marked", "Owner", "RequestGPUs"} <= set(re.split(r"[,\s]+", grouped_by))
    unwanted = {"Machine": '"unwanted.pool"', "Name": '"slot1@unwanted.pool"', "EcmSlave": '"unwanted"'}
    advertise(condor, "unwanted", STARTD, FORGED | unwanted)
    assert seen(condor, "-constraint", 'EcmSlave == "unwanted"', "-af", "Name") == []
