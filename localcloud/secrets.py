"""The cloud's passwords: random, made once, readable by their owner only."""

import json
import os
import secrets as random
import subprocess
from pathlib import Path

from localcloud.login import PROJECTS
from localcloud.paths import Paths

NAMES = (
    "admin",
    *PROJECTS,
    *(f"service_{name}" for name in ("glance", "placement", "nova", "neutron", "swift")),
    *(f"mysql_{name}" for name in ("keystone", "glance", "placement", "nova_api", "nova", "neutron")),
    "rabbit",
    "metadata",
    "postgres_laptop",
    "postgres_master",
)


def write_private(path: Path, text: str) -> None:
    """Write a file that never was readable by others, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.rename(path)


def load_or_make(paths: Paths) -> dict[str, str]:
    """The secrets by name; what is missing is made."""
    path = paths.state / "secrets.json"
    have: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: random.token_hex(20) for name in NAMES if name not in have}
    if missing:
        have |= missing
        write_private(path, json.dumps(have, indent=1))
    return have


def load(paths: Paths) -> dict[str, str]:
    """The secrets of a cloud that has been started before.

    Raises:
        FileNotFoundError: it never was.
    """
    secrets: dict[str, str] = json.loads((paths.state / "secrets.json").read_text())
    return secrets


def make_ssh_key(paths: Paths) -> None:
    """Make the key that logs in to the guests, unless there is one."""
    if paths.key.exists() and paths.key.with_suffix(".pub").exists():
        return
    new = paths.state / "new-key"
    for old in (new, new.with_suffix(".pub"), paths.key):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "localcloud", "-f", str(new)], check=True)
    new.with_suffix(".pub").rename(paths.key.with_suffix(".pub"))
    new.rename(paths.key)
