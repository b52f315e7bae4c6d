"""docs/guide.md on the local cloud: its commands in its own order, with one stack, as a newcomer types them.

A command of the guide that the tables here neither run nor leave out with a reason fails the first test.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.stack import end
from demo.user import ROOT, User, wait_for

STACK = "guide"
PATIENCE = 240
GUIDE = (ROOT / "docs" / "guide.md").read_text()
IN_TEXT = re.compile(r"`((?:ecm|pulumi|openstack|condor_\w+|export) [^`]+)`")
ON_MASTER = ("condor_", "chmod ")
UP = f"pulumi up --stack {STACK} --yes --skip-preview"
ACTIVATE = "source .venv/bin/activate"
LOGIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""A new shell's PATH, as Debian has it."""
IDLE = 124
"""Exit status of `timeout` for what goes on until it is interrupted."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a command of the guide is run here; on the master when it is one of HTCondor's."""

    instead: str = ""
    """What is typed for it, with the names of this cloud; the guide's own words if empty."""
    says: str = ""
    """A regular expression that its output has to have."""
    stdin: str = ""
    status: int = 0
    before: "Callable[[Newcomer], object]" = field(default=lambda _: None)
    """What has to be so first."""


@dataclass(slots=True)
class Newcomer:
    """Who follows the guide."""

    user: User
    desk: Path
    """A folder for files that the guide takes as given."""
    stuck: str = ""
    """The command that failed: nothing that comes after it means anything."""

    def slaves(self) -> list[str]:
        return sorted(
            set(self.user.on_master("condor_status -af EcmSlave -constraint 'EcmSlave =!= undefined'").split())
        )

    def has_master(self) -> None:
        wait_for("the master", PATIENCE, self.user.master_is_ready)

    def has_slaves(self) -> None:
        wait_for("a slave", PATIENCE, lambda: len(self.slaves()) > 0)

    def has_job_file(self) -> None:
        for name in ("test.sh", "test.classad"):
            self.user.on_master(f"cat >{name}", stdin=example(name))

    def has_docker_file(self) -> None:
        text = example("test-docker.classad").replace("= debian\n", "= localhost/busybox:1\n")
        self.user.on_master("cat >test-docker.classad", stdin=text)

    def jobs_are_done(self) -> None:
        wait_for("the guide's jobs", PATIENCE, lambda: self._exit_codes() == ["0"] * 11)
        assert "ecm-guide-slave" in self.user.on_master("cat test.out.1.0")
        assert "localhost" in self.user.on_master("cat test-docker.out.*")

    def _exit_codes(self) -> list[str]:
        return self.user.on_master("condor_history -constraint 'Owner != \"ecm\"' -af ExitCode").split()

    def type(self, command: str, stdin: str) -> subprocess.CompletedProcess[str]:
        """Runs a command where the guide means it."""
        if command.startswith(ON_MASTER):
            return self.user.ssh(command, stdin=stdin)
        # What `pulumi` is, and where its provider is, has to come by .venv alone.
        env = {name: value for name, value in self.user.env.items() if name != "PULUMI_HOME"}
        limit = "" if "export" in command else "timeout 600 "
        return subprocess.run(
            ["bash", "-c", f"{ACTIVATE} && {limit}{command}"],
            cwd=ROOT,
            env={**env, "PATH": LOGIN_PATH, "NO_COLOR": "1", "COLUMNS": "80"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )


def commands() -> list[str]:
    """The guide's commands, once each: of its fenced blocks, HTCondor's of the indented ones, and those in the text."""
    found: list[str] = []
    fenced = False
    for line in GUIDE.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or (line.startswith("    ") and line.strip().startswith(ON_MASTER)):
            found.append(line.strip())
        else:
            found += IN_TEXT.findall(line)
    return list(dict.fromkeys(found))


def example(name: str) -> str:
    """The indented block that follows a file's name in the guide."""
    after = GUIDE.partition(f"`{name}`")[2]
    (block,) = re.findall(r"\A[^\n]*\n(?:\S[^\n]*\n)*\n((?:    [^\n]*\n|\n)+)", after)
    return "".join(f"{line[4:]}\n" for line in str(block).rstrip().splitlines())


NOT_RUN = {
    "git clone <this repository> && cd elastic-condor": "is how this checkout came here",
    "scripts/setup": "has run before any test can",
    ACTIVATE: "is what each of the others begins with",
    "ecm --install-completion": "changes a shell: tests/cli/test_completion.py has one of its own",
    """pulumi config set --path 'ecm:users.ada[0]' "$(cat ada.pub)" --stack mycluster""": "test_jobs.py has accounts",
    "pulumi up": "means the one above, which has --stack",
    "pulumi cancel": "is for a process that is surely gone: tests/faults has that",
}
"""Commands of the guide that aren't run here, and why."""

SETTINGS = (
    "--set image=debian-13-condor --set slaveFlavor=small --set keyName=localcloud --set maxSlaves=2 --set minSlaves=2 "
    "--set idleTime=60 --set endpoints=internal --set slaveScript=tests/e2e/busybox.sh"
)
INIT = (
    'ecm init mycluster --yes --set image="Debian 13" --set slaveFlavor=m1.large --set keyName=mykey --set maxSlaves=20'
)
RUN = {
    "ecm --help": Run(says="An HTCondor cluster on OpenStack"),
    "ecm status --help": Run(says="Example: ecm status"),
    "ecm init mycluster": Run(f"ecm init {STACK}", says="Next:   pulumi up", stdin="1\nmedium\n" + "\n" * 7),
    "ecm images debian": Run(says="debian-13-condor"),
    "ecm flavors": Run(says="small"),
    "ecm networks": Run(says="cluster-net"),
    "ecm keys": Run(says="localcloud"),
    "ecm quota": Run(says="instances"),
    INIT: (Run(f"ecm init {STACK} --yes {SETTINGS}", says="Next:   pulumi up")),
    "pulumi config set ecm:maxSlaves 50 --stack mycluster": Run(f"pulumi config set ecm:maxSlaves 3 --stack {STACK}"),
    "ecm --stack mycluster config check": Run(f"ecm --stack {STACK} config check", says="room for 3 slaves"),
    "pulumi up --stack mycluster": Run(UP, says="created"),
    "ecm recycle": Run(says="replaced when they have no job", before=Newcomer.has_master),
    "ecm simulate --trace trace.csv --set maxSlaves=50 --set maxSlaves=50,spareSlots=4 --plot whatif.html": Run(
        "ecm simulate --trace {desk}/trace.csv --set maxSlaves=5 --plot {desk}/whatif.html", says="maxSlaves=5"
    ),
    "ecm status --watch": Run("timeout 60 ecm status --watch | grep -m 1 slaves", says="slaves"),
    "ecm status": Run(says="looked"),
    "ecm ssh": Run(says="ecm-guide-master", stdin="hostname\n"),
    "chmod +x test.sh": Run(before=Newcomer.has_job_file),
    "condor_submit test.classad": Run(says="10 job"),
    "condor_q": Run(says="Total for all users"),
    "condor_status": Run(),
    "ecm explain 12.0": Run("ecm explain 1.0", says=r"^1\.0 "),
    "ecm explain --scaling": Run(says="are allowed"),
    "condor_submit test-docker.classad": Run(says="1 job", before=Newcomer.has_docker_file),
    "condor_status -af EcmSlave HasDocker": Run(says="ecm-guide-slave-.* true", before=Newcomer.has_slaves),
    "ecm images": Run(says="debian-13"),
    "ecm logs -f": Run("timeout 20 ecm logs -f", says="decided", status=IDLE),
    "ecm history": Run(says="waiting"),
    "ecm explain SLAVE": Run("ecm explain {first}", says="stays|has been"),
    "ecm drain SLAVE": Run("ecm drain {last}", says="takes no more jobs", before=Newcomer.jobs_are_done),
    "ecm ssh SLAVE": Run("ecm ssh {first}", says="{first}", stdin="hostname\n"),
    'ecm pause "why"': Run(says="paused by debian"),
    "ecm resume": Run(says="goes on"),
    "ecm replay": Run(says=" 0 would be others"),
    "ecm sweep": Run(says="server"),
    "ecm restart": Run(says="Both are up"),
    "ecm doctor": Run(says="HTCondor"),
    "ecm --version": Run(says=r"^ecm \d+\."),
    "ecm doctor --fix": Run(says="releases"),
    "export OS_CLOUD=NAME": Run("export OS_CLOUD=localcloud"),
    "ecm --host USER@ADDRESS status": Run("ecm --host debian@{address} status", says="looked"),
    "openstack console log show ecm-mycluster-master": Run("openstack console log show ecm-guide-master", says="ecm:"),
    "openstack console log show SLAVE": Run("openstack console log show {first}", says="ecm:"),
    "ecm destroy": Run(says="Nothing of the cluster guide is left", stdin="y\n"),
}
"""The others, and how."""


def test_every_command_of_the_guide_is_run_or_left_out_with_a_reason() -> None:
    assert sorted(commands()) == sorted([*RUN, *NOT_RUN])


def test_the_examples_of_the_guide_are_found() -> None:
    assert example("test.classad").startswith("universe   = vanilla\n")
    assert example("test.classad").endswith("queue 10\n")
    assert example("test-docker.classad").startswith("universe     = docker\n")
    assert example("test.sh").startswith("#!/bin/sh\n")


@pytest.fixture(scope="module")
def newcomer(cloud: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """Somebody with a cloud account and nothing else. What is there at the end is destroyed."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "trace.csv").write_text("QDate,RequestCpus,RequestMemory,RemoteWallClockTime\n0,1,500,60\n")
    yield Newcomer(user := User(cloud, STACK), desk)
    if STACK in user.pulumi("stack", "ls"):
        end(user)


@pytest.mark.cloud
@pytest.mark.parametrize("command", [command for command in commands() if command in RUN])
def test_the_guide_does_what_it_says(newcomer: Newcomer, command: str) -> None:
    if newcomer.stuck:
        pytest.skip(f"{newcomer.stuck!r} has failed before")
    newcomer.stuck = command
    run = RUN[command]
    run.before(newcomer)
    names = {"desk": str(newcomer.desk)}
    if "{first}" in run.instead or "{last}" in run.instead:
        newcomer.has_slaves()
        slaves = newcomer.slaves()
        names |= {"first": slaves[0], "last": slaves[-1]}
    if "{address}" in run.instead:
        names["address"] = newcomer.user.outputs()["masterIp"]
    done = newcomer.type((run.instead or command).format(**names), run.stdin)
    assert done.returncode == run.status, done.stdout + done.stderr
    assert re.search(run.says.format(**names), done.stdout, re.MULTILINE), done.stdout + done.stderr
    newcomer.stuck = ""
