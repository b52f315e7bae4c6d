"""A real HTCondor for a while: the local cloud's guest image as a file system, with the product's own configuration.

Its daemons have a process table, mounts and a host name of their own, listen on loopback only, and end with the
`with`. Needs root.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import htcondor2

from controller.tokens import slave_token

REPO = Path(__file__).parents[1]
CALL = "ECM_REALPOOL_CALL"
"""In the environment meanwhile: the words before a command that is to run inside, as a JSON list."""
USERS = {"ada": 2001, "bob": 2002, "ecm": 2003}
_CONFIG = (
    "cloudinit/files/common/etc/condor/config.d/10-ecm-pool.conf",
    "cloudinit/files/master/etc/condor/config.d/20-ecm-master.conf",
    "cloudinit/files/master/etc/condor/config.d/90-ecm-master.conf",
)
_SLAVES_CONFIG = (
    "cloudinit/files/slave/etc/condor/config.d/20-ecm-slave.conf",
    "cloudinit/files/slave/etc/condor/config.d/90-ecm-slave.conf",
)
_HERE = """
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
SHARED_PORT_PORT = {port}
NETWORK_INTERFACE = 127.0.0.1
ENABLE_IPV6 = False
"""
# Who says so is believed: only this machine's root and the users made up above are there.
_OPEN = """
SEC_DEFAULT_AUTHENTICATION_METHODS = CLAIMTOBE
SEC_CLIENT_AUTHENTICATION_METHODS = CLAIMTOBE
ALLOW_WRITE = *
ALLOW_READ = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADMINISTRATOR = *
ALLOW_ADVERTISE_STARTD = *
ALLOW_ADVERTISE_MASTER = *
ALLOW_ADVERTISE_SCHEDD = *
COLLECTOR.ALLOW_DAEMON = *
COLLECTOR.ALLOW_NEGOTIATOR = *
COLLECTOR_REQUIREMENTS = True
"""
# All on one host, so each with its own file of everything.
_SLAVE = """
{up} = $(STARTD)
{up}_ARGS = -local-name {name} -n {name}
STARTD.{up}.STARTD_NAME = {name}
STARTD.{up}.STARTD_LOG = $(LOG)/StartLog.{name}
STARTD.{up}.STARTD_ADDRESS_FILE = $(LOG)/.startd.{name}
STARTD.{up}.EXECUTE = /var/lib/condor/execute/{name}
DAEMON_LIST = $(DAEMON_LIST) {up}
"""
# Beside the product's own. It is the master's host too: its users are the pool's, and may submit.
_SLAVES = """
ALLOW_WRITE = *@pool
ECM_JOBS = 2
EcmSlave = "$(LOCALNAME)"
NUM_CPUS = 2
MEMORY = 2000
UID_DOMAIN = pool
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
"""
_BOOT = """
set -e
hostname master
mount -t overlay overlay -o "lowerdir=$ROOTFS,upperdir=$WORK/upper,workdir=$WORK/over" "$WORK/root"
mount --rbind /dev "$WORK/root/dev"
mount -t proc proc "$WORK/root/proc"
mount -t tmpfs -o mode=755 tmpfs "$WORK/root/run"
mkdir -p "$WORK/root/run/condor" "$WORK/root/run/lock/condor"
chroot "$WORK/root" sh -ec '
  mkdir -p /var/lib/condor/execute
  for name in $SLAVES; do mkdir -m 1777 "/var/lib/condor/execute/$name"; done
  chown -R condor:condor /run/condor /run/lock/condor /var/lib/condor/execute
  exec condor_master -f'
"""


class NoPoolError(Exception):
    """There is none, and this is why."""


@dataclass(frozen=True, slots=True)
class RealPool:
    """A running one."""

    root: Path
    first: int
    """The first of its processes, as this machine numbers it."""
    key: bytes
    """What signs tokens."""

    def call(self) -> list[str]:
        """What comes before a command that is to run inside."""
        inside = ("nsenter", "-t", str(self.first), "-m", "-p", "-u", "chroot", str(self.root))
        return [*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]

    def run(self, *command: str, user: str = "", stdin: str = "") -> str:
        """A command inside, as root or as one of `USERS`.

        Raises:
            CalledProcessError: it fails.
        """
        whose = ["runuser", "-u", user, "--"] if user else []
        done = subprocess.run([*self.call(), *whose, *command], input=stdin, capture_output=True, text=True, check=True)
        return done.stdout

    def submit(self, user: str, description: str, *options: str) -> str:
        """Submits what a submit file would say; the job's id, or its first and last job's.

        Raises:
            CalledProcessError: it is refused.
        """
        return self.run("condor_submit", "-terse", *options, "-", user=user, stdin=description).strip()


def image() -> Path:
    """The file system of the local cloud's guests, built unless it is in the cache.

    Raises:
        NoPoolError: this isn't root, or it can't be built.
    """
    if os.geteuid():
        raise NoPoolError("a real HTCondor needs root here")
    built = subprocess.run([REPO / "localcloud/image/build"], stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        raise NoPoolError("the guest image, which has HTCondor, can't be built - its build said why above")
    file = Path(built.stdout.split()[-1])
    return file.with_name(f"debian-{file.stem.split('-')[1]}")


@contextmanager
def real_pool(
    slaves: tuple[str, ...] = (), settings: str = "", *, of_user: str = "", guarded: bool = False
) -> Iterator[RealPool]:
    """Starts one, and asks with `htcondor2` go there meanwhile.

    Args:
        slaves: names of startds, of two CPUs each.
        settings: more configuration, read last.
        of_user: a user's configuration, read where the product reads it.
        guarded: whether it asks everybody who they are, as the product does, instead of believing what they say.

    Raises:
        NoPoolError: it doesn't start.
    """
    rootfs = image()
    work = Path(tempfile.mkdtemp(prefix="realpool-"))
    work.chmod(0o755)
    port = _free_port()
    here = _HERE.format(port=port) + ("" if guarded else _OPEN)
    key = base64.b64encode(os.urandom(48))
    own = work / "upper/etc/condor/config.d"
    for folder in (own, work / "over", work / "root"):
        folder.mkdir(parents=True)
    for name in (*_CONFIG, *_SLAVES_CONFIG) if slaves else _CONFIG:
        shutil.copy(REPO / name, own)
    startds = _SLAVES + "".join(_SLAVE.format(name=name, up=name.upper()) for name in slaves)
    (own / "60-ecm-user.conf").write_text(of_user)
    (own / "90-here.conf").write_text(here + (startds if slaves else "") + settings)
    accounts = "".join(f"{user}:x:{uid}:{uid}::/tmp:/bin/sh\n" for user, uid in USERS.items())
    (work / "upper/etc/passwd").write_text((rootfs / "etc/passwd").read_text() + accounts)
    (work / "upper/etc/hosts").write_text("127.0.0.1 localhost\n127.0.0.1 master.pool master\n")
    _private(work / "upper/etc/condor/passwords.d/POOL", key)
    _private(work / "tokens/probe", slave_token("probe", key, datetime.now(UTC)).encode())
    client = work / "client.conf"
    client.write_text(
        f"use security:strong\nTRUST_DOMAIN = pool\nUID_DOMAIN = pool\n{here}LOG = {work}\n"
        f"SEC_TOKEN_DIRECTORY = {work}/tokens\n"
    )
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--propagation", "private")
    daemons = subprocess.Popen(
        # If this process is killed, they end too.
        ["setpriv", "--pdeathsig", "KILL", *alone, "sh", "-c", _BOOT],
        env={"PATH": os.environ["PATH"], "ROOTFS": str(rootfs), "WORK": str(work), "SLAVES": " ".join(slaves)},
        stdout=(work / "out").open("w"),
        stderr=subprocess.STDOUT,
    )
    try:
        with _asked_there(client):
            pool = _up(work, daemons, key, len(slaves))
            os.environ[CALL] = json.dumps(pool.call())
            yield pool
    finally:
        daemons.send_signal(signal.SIGKILL)
        daemons.wait()
        shutil.rmtree(work, ignore_errors=True)


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Whether it comes to hold in that time; HTCondor does most things after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.3)
    return False


def _private(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.touch(0o600)
    path.write_bytes(content)


def _up(work: Path, daemons: "subprocess.Popen[bytes]", key: bytes, slaves: int) -> RealPool:
    end = time.monotonic() + 30
    while time.monotonic() < end and daemons.poll() is None:
        try:
            collector = htcondor2.Collector()
            schedds = collector.query(htcondor2.AdType.Schedd, None, ["Name"])
            if schedds and len(collector.query(htcondor2.AdType.Slot, None, ["Name"])) >= slaves:
                children = Path(f"/proc/{daemons.pid}/task/{daemons.pid}/children").read_text(encoding="ascii").split()
                return RealPool(work / "root", int(children[0]), key)
        except (htcondor2.HTCondorException, OSError):
            pass
        time.sleep(0.3)
    raise NoPoolError(f"HTCondor doesn't start: {(work / 'out').read_text()[-500:]}")


@contextmanager
def _asked_there(config: Path) -> Iterator[None]:
    before = os.environ.get("CONDOR_CONFIG")
    _configure({"CONDOR_CONFIG": str(config)})
    try:
        yield
    finally:
        _configure({"CONDOR_CONFIG": before or os.devnull})


def _configure(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    htcondor2.reload_config()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
