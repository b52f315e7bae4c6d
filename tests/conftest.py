"""What the tests of more than one folder need: the local cloud, brought up once."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from demo.user import environment
from localcloud.access import CLOUDS
from localcloud.login import PROJECTS

# How fast this machine is today says nothing of the code. Examples are the same in each run, as FAULTS_SEED below has;
# `--hypothesis-profile=search` looks for new ones: docs/faults.md.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", settings.get_profile("suite"), derandomize=False, max_examples=2000)
settings.load_profile("suite")

ROOT = Path(__file__).parents[1]
FAULTS_SEED = 172_989
"""The same sample in each run, until somebody wants another: a verdict that changes is the code's doing."""
FAULTS_LIMIT = 120
USERS_CLOUDS = [name for name, user in CLOUDS.items() if user in PROJECTS]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Those of tests/faults: here, as pytest reads them before it looks into folders."""
    wish = "which fault tests: all, sample (the default), or a regular expression for their names"
    parser.addoption("--faults", default="sample", help=wish)
    parser.addoption("--faults-seed", type=int, default=FAULTS_SEED, help="chooses the sample")
    limit = "seconds from a fault's end to rest; more than the promised ones for a machine that has other work, too"
    parser.addoption("--faults-limit", type=int, default=FAULTS_LIMIT, help=limit)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The local cloud, up; gives the environment of a shell that uses it. `scripts/test` takes it down again.

    Of two workers each has an OpenStack project of its own, and may look at all that there is in it. Which stack
    Pulumi takes without a name is each worker's own, too, and not what it is for a user of this checkout.
    """
    subprocess.run([ROOT / "scripts" / "localcloud", "up"], check=True, stdin=subprocess.DEVNULL)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    env = environment()
    home = tmp_path_factory.mktemp("pulumi-home")
    (home / "plugins").symlink_to(Path(env["PULUMI_HOME"]) / "plugins")
    return {**env, "OS_CLOUD": USERS_CLOUDS[number % len(USERS_CLOUDS)], "PULUMI_HOME": str(home)}
