"""A stack for a while: how the demo, the tests and the benchmarks begin with one, and how nothing stays of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from openstack.connection import Connection

from demo.user import ROOT, StepFailedError, User, connect, wait_for

PATIENCE = 600
"""Seconds until a destroy goes through; before, the controller may have the lock."""


@contextmanager
def temporary(env: Mapping[str, str], name: str, settings: Mapping[str, object] | None = None) -> Iterator[User]:
    """A user with a stack of the shipped settings, but for those given (without `ecm:`), and nothing created yet.

    Raises:
        StepFailedError: a step failed; in the end, too, when something of the stack is left.
    """
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    config["config"] |= {f"ecm:{key}": value for key, value in (settings or {}).items()}
    # It goes with one passphrase; the stack gets another for the one of `env`.
    config.pop("encryptionsalt", None)
    (ROOT / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(config))
    user = User(env, name)
    user.select()
    try:
        yield user
    finally:
        end(user)


def end(user: User) -> None:
    """Destroys what there is of the user's stack, and removes the stack with its file of settings.

    Raises:
        StepFailedError: it can't be destroyed, or something is left of it.
    """
    destroy = ("destroy", "--yes", "--skip-preview")
    wait_for("the lock, to destroy", PATIENCE, lambda: user.try_pulumi(*destroy).returncode == 0)
    left = leftovers(user)
    user.pulumi("stack", "rm", "--yes")
    (user.project / f"Pulumi.{user.stack}.yaml").unlink(missing_ok=True)
    if left:
        raise StepFailedError(f"left in the cloud after the destroy: {', '.join(left)}")


def orphans(cloud: Connection) -> list[str]:
    """The ports of servers that are no more, anybody's in the project."""
    before = list(cloud.compute.servers(details=False))
    ports = [port for port in cloud.network.ports() if str(port.device_owner).startswith("compute:")]
    # A server may come or go between two lists.
    alive = {server.id for server in (*before, *cloud.compute.servers(details=False))}
    return [f"port {port.id}" for port in ports if port.device_id not in alive]


def leftovers(user: User) -> list[str]:
    """What of the user's cluster is still in the project, or in the state: nothing, if all went well."""
    cloud = connect(user.env)
    identity: Any = cloud.identity
    prefix = f"ecm-{user.stack}-"
    left = [f"server {s.name}" for s in cloud.compute.servers(details=False) if s.name.startswith(prefix)]
    left += [f"port {port.name}" for port in cloud.network.ports() if str(port.name).startswith(prefix)]
    left += orphans(cloud)
    left += [f"floating IP {f.floating_ip_address}" for f in cloud.network.ips() if not f.port_id]
    for group in cloud.network.security_groups():
        if group.name.startswith(prefix):
            left.append(f"security group {group.name}")
        described = [rule["description"] or "" for rule in group.security_group_rules]
        left += [f"a rule of the group {group.name}" for text in described if text.startswith(f"ecm-{user.stack}:")]
    credentials = identity.application_credentials(cloud.current_user_id)
    left += [f"application credential {c.name}" for c in credentials if c.name.startswith(prefix)]
    return left + [f"resource {urn}" for urn in _urns(user.pulumi("stack", "export"))]


def _urns(export: str) -> list[str]:
    resources = json.loads(export)["deployment"].get("resources") or []
    return [r["urn"] for r in resources if r["type"] != "pulumi:pulumi:Stack"]
