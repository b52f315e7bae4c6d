"""The state in Swift, by its S3 API: a cluster's life, and what becomes of two updates at once.

Only runs when it is asked for: scripts/test -m on_demand tests/e2e/test_s3.py
"""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from demo.stack import temporary
from demo.user import ROOT, User, connect, wait_for

pytestmark = [pytest.mark.cloud, pytest.mark.on_demand]

STACK = "s3"
BUCKET = "state"
PORT = 8780
PATIENCE = 300
ROUNDS = 30
APART = (0.0, 0.25)
"""Seconds between two writers' starts."""
WRITER = """
import os, time, pulumi
time.sleep(2)
pulumi.export("writer", os.environ["WRITER"])
"""


def url(address: str) -> str:
    checksums = "request_checksum_calculation=when_required&response_checksum_validation=when_required"
    return f"s3://{BUCKET}?endpoint=http://{address}:{PORT}&region=RegionOne&use_path_style=true&{checksums}"


def ec2_key(project: Connection) -> tuple[str, str]:
    """A new pair, of the user's own making."""
    who: Any = project.identity
    made = who.post(
        f"/users/{project.current_user_id}/credentials/OS-EC2", json={"tenant_id": project.current_project_id}
    )
    made.raise_for_status()
    pair = made.json()["credential"]
    return pair["access"], pair["secret"]


@pytest.fixture(scope="module")
def env(cloud: dict[str, str]) -> dict[str, str]:
    """The environment of a user whose state is in Swift, with a key for the master."""
    subprocess.run([ROOT / "scripts" / "localcloud", "swift"], check=True)
    project = connect(cloud)
    project.object_store.create_container(BUCKET)
    own, masters = ec2_key(project), ec2_key(project)
    return cloud | {
        "PULUMI_BACKEND_URL": url("127.0.0.1"),
        "AWS_ACCESS_KEY_ID": own[0],
        "AWS_SECRET_ACCESS_KEY": own[1],
        "ECM_MASTER_BACKEND_URL": url("172.24.4.1"),
        "ECM_MASTER_AWS_ACCESS_KEY_ID": masters[0],
        "ECM_MASTER_AWS_SECRET_ACCESS_KEY": masters[1],
    }


@pytest.fixture
def user(env: dict[str, str]) -> Iterator[User]:
    with temporary(env, STACK) as user:
        yield user


def test_a_cluster_lives_with_its_state_in_swift_and_is_warned(user: User) -> None:
    said = user.up()
    assert "the object store 172.24.4.1 is Swift - it is only eventually consistent" in said
    assert "if AWS_ACCESS_KEY_ID is an EC2 key of Keystone" in said
    wait_for("the master", PATIENCE, user.master_is_ready)
    jobs = user.submit(2, 5)
    ended = f"condor_history {jobs} -af ExitCode"
    wait_for("the jobs", PATIENCE, lambda: user.on_master(ended).split() == ["0", "0"])


def test_of_two_updates_at_once_never_both_run(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: race\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(WRITER)
    user = User(env, "race", project=tmp_path)
    user.select()
    results: Counter[tuple[float, int]] = Counter()
    for number in range(ROUNDS):
        apart = APART[number % len(APART)]
        won = race(user, apart)
        results[apart, len(won)] += 1
        assert len(won) <= 1
        if won:
            assert user.outputs()["writer"] == won[0]
    user.pulumi("stack", "rm", "--yes", "--force")
    assert sum(count for (_, winners), count in results.items() if winners == 1) > 0, results
    print(f"winners of {ROUNDS} races, by the seconds apart: {dict(results)}")  # noqa: T201 - docs/operations.md has them


def race(user: User, apart: float) -> list[str]:
    """Starts two updates; gives the writers whose update went through."""
    command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", user.stack, "--non-interactive"]
    writers = {}
    for number, name in enumerate(("first", "second")):
        start = ["sh", "-c", 'sleep "$0"; exec "$@"', str(number * apart), *command]
        writers[name] = subprocess.Popen(
            start,
            cwd=user.project,
            env={**user.env, "WRITER": name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return [name for name, process in writers.items() if process.wait(120) == 0]
