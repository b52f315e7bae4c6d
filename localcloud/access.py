"""How a user of this machine reaches the cloud and its guests: files, environment, ssh."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import yaml

from localcloud import login
from localcloud.paths import REPO, Paths, project_cache
from localcloud.secrets import write_private
from localcloud.services import ADDRESS, ENDPOINTS, REGION

WRAPPER = REPO / "scripts" / "localcloud"
CLOUDS = {"localcloud": login.USER, "localcloud-biology": login.NEIGHBOUR, "localcloud-admin": "admin"}
"""The names in clouds.yaml, and whose logins they are."""
GUEST_USER = "debian"
PASSPHRASE = "localcloud"  # noqa: S105  # protects a stack whose owner has all of it on this machine anyway


def write_files(paths: Paths, secrets: Mapping[str, str]) -> None:
    """Write clouds.yaml and ssh_config."""
    clouds = {
        name: {"auth": login.auth(user, secrets), "region_name": REGION, "identity_api_version": "3"}
        for name, user in CLOUDS.items()
    }
    write_private(paths.clouds_yaml, yaml.safe_dump({"clouds": clouds}, sort_keys=False))
    # Guests come and go with the same addresses and new host keys; what is between is this machine's memory.
    lines = (
        "Host *",
        f"User {GUEST_USER}",
        f'IdentityFile "{paths.key}"',
        "IdentitiesOnly yes",
        f"ProxyCommand {shlex.quote(str(WRAPPER))} proxy %h %p",
        "StrictHostKeyChecking no",
        "UserKnownHostsFile /dev/null",
        "LogLevel ERROR",
        "ConnectTimeout 20",
    )
    write_private(paths.ssh_config, "\n".join(lines) + "\n")


def environment(paths: Paths, secrets: Mapping[str, str]) -> Iterator[str]:
    """The lines of `env`, for a shell's eval."""
    for name in sorted(os.environ):
        if name.startswith("OS_"):
            yield f"unset {name}"
    path = [str(REPO / ".venv" / "bin")]
    toolchain = REPO / "scripts" / "toolchain"
    if toolchain.exists():
        done = subprocess.run([str(toolchain)], stdout=subprocess.PIPE, text=True, check=False)
        path = [line for line in done.stdout.strip().splitlines()[-1:] if done.returncode == 0] + path
    exports = {
        "OS_CLIENT_CONFIG_FILE": str(paths.clouds_yaml),
        "OS_CLOUD": "localcloud",
        "PULUMI_BACKEND_URL": _state_url("laptop", "127.0.0.1", secrets),
        "ECM_MASTER_BACKEND_URL": _state_url("master", ADDRESS, secrets),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_HOME": str(project_cache() / "pulumi-home"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "ECM_SSH_CONFIG": str(paths.ssh_config),
    }
    yield from (f"export {name}={shlex.quote(value)}" for name, value in exports.items())
    already = os.environ.get("PATH", "").split(":")
    in_front = [folder for folder in path if folder not in already]
    if in_front:
        yield f"export PATH={shlex.quote(':'.join(in_front))}:$PATH"


def _state_url(role: str, address: str, secrets: Mapping[str, str]) -> str:
    password = secrets[f"postgres_{role}"]
    return f"postgres://{role}:{password}@{address}:{ENDPOINTS['postgres']}/pulumi?sslmode=disable"


def ssh(paths: Paths, host: str, command: Sequence[str]) -> int:
    """Log in to a guest, or run a command there; the exit status is ssh's."""
    sys.stdout.flush()
    return subprocess.run(["ssh", "-F", str(paths.ssh_config), host, *command], check=False).returncode
