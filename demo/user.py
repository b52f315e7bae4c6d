"""Plays the user: runs `pulumi` on the laptop's side, logs in to the master by ssh, submits jobs, looks.

Everything here goes the way a user goes: the command line, ssh, HTCondor's own tools.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from tenacity import (
    Retrying,
    retry_if_exception_message,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

ROOT = Path(__file__).parent.parent


class StepFailedError(Exception):
    """A step of the way failed: one line that says which, and why."""


def environment() -> dict[str, str]:
    """What `eval "$(scripts/localcloud env)"` makes of this process's environment.

    Raises:
        StepFailedError: the local cloud isn't up.
    """
    script = 'lines=$(scripts/localcloud env) && eval "$lines" && env -0'
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailedError(f"the local cloud has no environment: {last_line(done.stderr)}")
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


def connect(env: Mapping[str, str]) -> Connection:
    """The user's OpenStack project, by an environment other than this process's own."""
    clouds = OpenStackConfig(config_files=[env["OS_CLIENT_CONFIG_FILE"]], load_envvars=False)
    return Connection(config=clouds.get_one(env["OS_CLOUD"]))


def last_line(text: str) -> str:
    """What of a program's output tells most: the provider's or the engine's line of error, else the last one."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:") and "update failed" not in line]
    telling = [line for line in lines if line.startswith("* ")] or errors
    return (telling or lines or ["no output"])[-1]


def wait_for(what: str, seconds: float, test: Callable[[], bool]) -> float:
    """Waits until the test holds, with a second from one try to the next. Returns the seconds that it took.

    Raises:
        StepFailedError: it doesn't hold in time.
    """
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if test():
            return time.monotonic() - start
        time.sleep(1)
    raise StepFailedError(f"gave up waiting for {what} after {seconds:.0f} s")


@dataclass
class User:
    """One user with one stack. `env` is that of a shell in which the local cloud's `env` was evaluated."""

    env: Mapping[str, str]
    stack: str = "dev"
    project: Path = ROOT
    account: str = ""
    """Whom to log in to the master as; the image's own user if empty."""
    _address: str = field(default="", init=False)

    def pulumi(self, *arguments: str, seconds: float = 900, echo: bool = False) -> str:
        """Runs `pulumi` on the stack and gives its output.

        Raises:
            StepFailedError: with Pulumi's own line of error.
        """
        done = self.try_pulumi(*arguments, seconds=seconds, echo=echo)
        if done.returncode:
            raise StepFailedError(f"pulumi {arguments[0]}: {last_line(done.stdout + done.stderr)}")
        return done.stdout

    def try_pulumi(self, *arguments: str, seconds: float = 900, echo: bool = False) -> subprocess.CompletedProcess[str]:
        """The same, whatever its exit status."""
        command = ["pulumi", *arguments, "--stack", self.stack, "--color", "never", "--non-interactive"]
        if not echo:
            return subprocess.run(
                command, cwd=self.project, env=self.env, capture_output=True, text=True, timeout=seconds, check=False
            )
        with subprocess.Popen(
            command, cwd=self.project, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as running:
            lines = []
            for line in running.stdout or ():
                lines.append(line)
                if line.strip():
                    sys.stdout.write(f"   {line.rstrip()}\n")
        return subprocess.CompletedProcess(command, running.returncode, "".join(lines), "")

    def select(self) -> None:
        """Makes the stack, or takes the one that is there."""
        self.pulumi("stack", "select", "--create")

    def up(self, *, echo: bool = False) -> str:
        """Runs `pulumi up`; again, as its message says, while the controller has the lock.

        Raises:
            StepFailedError: with Pulumi's own line of error.
        """
        return str(_unless_locked(self.pulumi, "up", "--yes", "--skip-preview", echo=echo))

    def destroy(self, *, echo: bool = False) -> str:
        return self.pulumi("destroy", "--yes", "--skip-preview", echo=echo)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        loaded: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json"))
        return loaded

    def ssh(
        self, command: str, *, seconds: float = 60, stdin: str = "", host: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command on the master, or on the host that is named, as the image's ordinary user.

        Commands that follow each other share a connection: a login takes as long as a dozen of them. One that
        ends before the login has run nothing: it is tried again.
        """
        if not self._address and not host:
            self._address = self.outputs()["masterIp"]
        login = ["-l", self.account] if self.account else []
        config = Path(self.env["ECM_SSH_CONFIG"])
        shared = ["-o", f"ControlPath={config.with_name('ssh-%C')}", *_SHARED]
        arguments = ["ssh", "-F", str(config), *shared, *login, host or self._address, command]
        return _unless_cut_off(
            subprocess.run,
            arguments,
            env=self.env,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=seconds,
            check=False,
        )

    def on_master(self, command: str, *, seconds: float = 60, stdin: str = "") -> str:
        """Runs a command on the master and gives its output.

        Raises:
            StepFailedError: it failed.
        """
        done = self.ssh(command, seconds=seconds, stdin=stdin)
        if done.returncode:
            said = last_line(done.stdout + done.stderr)
            raise StepFailedError(f"on the master, {command.split(maxsplit=1)[0]}: {said}")
        return done.stdout

    def master_is_ready(self) -> bool:
        """Whether the queue answers and the controller has decided something."""
        try:
            return self.ssh("condor_q -totals && test -s /run/ecm/status.json", seconds=30).returncode == 0
        except (subprocess.TimeoutExpired, StepFailedError):
            return False

    def submit(self, count: int, seconds: int, *, extra: str = "") -> str:
        """Submits `count` jobs that sleep, each of one core and 100 MB; gives the number of their cluster."""
        description = (
            "executable = /bin/sh\ntransfer_executable = false\n"
            f"arguments = \"-c 'hostname; sleep {seconds}; echo done'\"\n"
            "output = job.$(Cluster).$(Process).out\nerror = job.$(Cluster).$(Process).err\nlog = job.$(Cluster).log\n"
            "should_transfer_files = yes\nrequest_cpus = 1\nrequest_memory = 100M\nrequest_disk = 10M\n"
            f"{extra}\nqueue {count}\n"
        )
        return self.on_master("condor_submit -terse -", stdin=description).partition(".")[0].strip()

    def look(self) -> dict[str, Any]:
        """The controller's status, with the numbers of jobs by state and of slots."""
        parts = self.on_master(
            "cat /run/ecm/status.json; echo; echo ===; condor_q -allusers -af JobStatus; echo ===;"
            " condor_status -af SlotType State"
        ).split("===\n")
        status: dict[str, Any] = json.loads(parts[0])
        states = parts[1].split()
        status["jobs"] = {"idle": states.count("1"), "running": states.count("2"), "held": states.count("5")}
        status["slots"] = parts[2].count("Dynamic")
        return status


# A guest that is gone, whose address another one may get, is noticed before that one has booted.
_SHARED = [
    f"-o{option}"
    for option in ("ControlMaster=auto", "ControlPersist=20", "ServerAliveInterval=5", "ServerAliveCountMax=4")
]
_unless_locked = Retrying(
    retry=retry_if_exception_message(match=r".*the stack is currently locked by"),
    stop=stop_after_delay(300),
    wait=wait_fixed(3),
    reraise=True,
)
_BEFORE_LOGIN = ("kex_exchange_identification", "banner exchange")
_unless_cut_off = Retrying(
    retry=retry_if_result(lambda done: done.returncode and any(sign in done.stderr for sign in _BEFORE_LOGIN)),
    stop=stop_after_attempt(5),
    wait=wait_fixed(2),
    retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
)
