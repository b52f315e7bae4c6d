"""The pulumi that `scripts/toolchain` gives: the real engine runs real programs, and finds its plugins."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("ECM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "elastic-condor")
PULUMI_HOME = CACHE.expanduser() / "pulumi-home"

PROJECT = """\
name: tiny
runtime:
  name: python
  options:
    virtualenv: .venv
backend:
  url: file://./state
"""
PROGRAM = """\
import sys
import pulumi

config = pulumi.Config()
thing = pulumi.ComponentResource("tiny:index:Thing", "thing")
pulumi.export("greeting", config.require("greeting"))
pulumi.export("word", config.require_secret("word"))
pulumi.export("python", sys.prefix)
"""


@pytest.fixture(scope="module")
def tools() -> Path:
    done = subprocess.run([ROOT / "scripts/toolchain"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


class Project:
    """A Pulumi project whose commands see neither this environment's Python nor its settings."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder = folder
        self.tools = tools
        (folder / "state").mkdir()
        (folder / ".venv").symlink_to(ROOT / ".venv")
        (folder / "Pulumi.yaml").write_text(PROJECT)
        self.write(PROGRAM)

    def write(self, program: str) -> None:
        (self.folder / "__main__.py").write_text(program)

    def pulumi(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "HOME": str(self.folder),
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_HOME": str(PULUMI_HOME),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color=never"],
            executable=self.tools / "pulumi",
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        done = self.pulumi(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.must("stack", "output", "--json"))
        return outputs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Project:
    made = Project(tmp_path_factory.mktemp("tiny"), tools)
    made.must("stack", "init", "dev")
    made.must("config", "set-all", "--plaintext", "greeting=hello", "--secret", "word=sesame")
    return made


def test_the_life_of_a_stack(project: Project) -> None:
    assert "+ 2 to create" in project.must("preview")
    project.must("up", "--yes", "--skip-preview")
    assert project.outputs() == {
        "greeting": "hello",
        "python": str(project.folder.resolve() / ".venv"),
        "word": "[secret]",
    }
    assert "2 unchanged" in project.must("up", "--yes", "--skip-preview")
    project.must("refresh", "--yes", "--skip-preview", "--run-program")
    assert "- 2 deleted" in project.must("destroy", "--yes", "--skip-preview", "--run-program")


def test_a_program_needs_no_configuration(project: Project) -> None:
    project.write("import pulumi\npulumi.export('greeting', pulumi.Config().get('greeting') or 'none')\n")
    project.must("stack", "init", "bare")
    assert "none" in project.must("preview", "--stack", "bare")
    project.must("stack", "rm", "--yes", "bare")
    project.must("stack", "select", "dev")


@pytest.mark.parametrize(
    ("failure", "shown", "hidden"),
    [
        ('raise pulumi.RunError("no such flavor")', "no such flavor", "Traceback"),
        ("1 / 0", "ZeroDivisionError: division by zero", "pulumi-language-python-exec"),
        ("raise SystemExit(3)", "exit code: 3", "Traceback"),
    ],
)
def test_a_programs_failure_is_told_as_pulumi_tells_it(project: Project, failure: str, shown: str, hidden: str) -> None:
    project.write(f"import pulumi\n{failure}\n")
    done = project.pulumi("preview")
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert shown in told
    assert hidden not in told


def test_a_missing_environment_is_told_with_its_path(project: Project) -> None:
    environment = project.folder / ".venv"
    environment.rename(project.folder / "elsewhere")
    done = project.pulumi("preview")
    (project.folder / "elsewhere").rename(environment)
    assert done.returncode != 0
    assert ".venv" in done.stdout + done.stderr


@pytest.fixture
def language_host(tools: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([tools / "pulumi-language-python"], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_the_language_host_ends_at_once_when_the_engine_says_so(language_host: "subprocess.Popen[str]") -> None:
    assert language_host.stdout is not None
    assert int(language_host.stdout.readline())
    asked = time.monotonic()
    language_host.send_signal(signal.SIGINT)
    language_host.wait(timeout=5)
    assert time.monotonic() - asked < 1, "the engine waits for its host: each command would take as much longer"


def test_the_openstack_plugin_is_installed_at_the_libraries_version(project: Project) -> None:
    plugins = json.loads(project.must("plugin", "ls", "--json"))
    library = json.loads(
        next((ROOT / ".venv").glob("lib/*/site-packages/pulumi_openstack/pulumi-plugin.json")).read_text()
    )
    assert [plugin["version"] for plugin in plugins if plugin["name"] == "openstack"] == [library["version"]]


def test_the_openstack_provider_answers() -> None:
    binary = PULUMI_HOME / "plugins/resource-openstack-v5.5.3/pulumi-resource-openstack"
    # An engine's address that nobody listens at: the provider only logs there.
    with subprocess.Popen(
        [binary, "127.0.0.1:9"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
                provider = provider_pb2_grpc.ResourceProviderStub(channel)
                assert provider.GetPluginInfo(empty_pb2.Empty()).version == "5.5.3"
                check = provider.CheckConfig(
                    provider_pb2.CheckRequest(urn="urn:pulumi:a::b::pulumi:providers:openstack::c")
                )
                assert not check.failures
        finally:
            process.kill()


def activated(command: str, home: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command in a shell that has the activated environment, and nothing else of the project's."""
    return subprocess.run(
        ["bash", "-c", f"source .venv/bin/activate && {command}"],
        cwd=ROOT,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_activated_environment_has_the_pinned_engine_its_host_and_the_provider(
    project: Project, tmp_path: Path
) -> None:
    assert activated("pulumi version", tmp_path).stdout == f"v{version('pulumi')}\n"
    plugins = json.loads(activated("pulumi plugin ls --json", tmp_path).stdout)
    assert "openstack" in [plugin["name"] for plugin in plugins]
    project.write(PROGRAM)
    preview = f"pulumi preview --cwd {project.folder} --stack dev --non-interactive --color never"
    done = activated(preview, tmp_path, PULUMI_CONFIG_PASSPHRASE="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_activated_environment_has_an_ecm_that_finds_pulumi(tmp_path: Path) -> None:
    assert "PULUMI_BACKEND_URL isn't set" in activated("ecm status", tmp_path).stderr


def test_a_login_to_the_state_is_kept_where_every_pulumi_of_the_users_has_it(tmp_path: Path) -> None:
    activated("pulumi login --local", tmp_path)
    assert (tmp_path / ".pulumi" / "credentials.json").exists()


def test_a_pulumi_home_of_the_users_is_taken(tmp_path: Path) -> None:
    assert json.loads(activated("pulumi plugin ls --json", tmp_path, PULUMI_HOME=str(tmp_path / "own")).stdout) == []


@pytest.mark.parametrize("module", ["pulumi", "provider"])
def test_the_go_modules_have_the_engine_that_the_python_library_is_for(module: str) -> None:
    required = (ROOT / "toolchain" / module / "go.mod").read_text().split()
    engine = f"v{version('pulumi')}"
    for part in ("pkg", "sdk"):
        assert required[required.index(f"github.com/pulumi/pulumi/{part}/v3") + 1] == engine
