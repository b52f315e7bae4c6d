"""Which pulumi `scripts/toolchain` takes, and from where. All that it would call is a stand-in that notes its calls."""

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = "3.259.0"
PROVIDER = "5.5.3"
PLUGIN = f"pulumi-home/plugins/resource-openstack-v{PROVIDER}/pulumi-resource-openstack"

PULUMI = """#!/bin/sh
echo "pulumi $*" >>"$CALLS"
case $1 in
version) echo v%s ;;
plugin)
  for file; do :; done
  mkdir -p "$PULUMI_HOME/plugins/resource-openstack-v5.5.3"
  cp "$file" "$PULUMI_HOME/plugins/resource-openstack-v5.5.3/pulumi-resource-openstack"
  chmod +x "$PULUMI_HOME/plugins/resource-openstack-v5.5.3/pulumi-resource-openstack" ;;
esac
"""
LANGUAGE_HOST = "#!/bin/sh\n"
GO = """#!/bin/sh
echo "go $*" >>"$CALLS"
case $1 in
env) echo go%s ;;
list) echo "$SDK" ;;
build)
  while [ "$1" != -o ]; do shift; done
  case $2 in
  */) cp "$STAND_IN/pulumi" "$2/pulumi"; cp "$STAND_IN/pulumi" "$2/pulumi-language-python" ;;
  *) cp "$STAND_IN/pulumi" "$2" ;;
  esac ;;
esac
"""
CURL_WITHOUT_A_WAY_OUT = """#!/bin/sh
echo "curl $*" >>"$CALLS"
exit 6
"""
CURL = """#!/bin/sh
echo "curl $*" >>"$CALLS"
for url; do :; done
case $* in
*--head*) exit 0 ;;
*--remote-name*) cp "$RELEASE/${url##*/}" . ;;
*) cp "$RELEASE/${url##*/}" checksums ;;
esac
"""


class Site:
    """A machine's view: its PATH, its cache, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "path"
        self.cache = folder / "cache"
        self.release = folder / "release"
        self.stand_in = folder / "stand-in"
        self.sdk = folder / "sdk"
        self.log = folder / "calls"
        for made in (self.path, self.release, self.stand_in, self.sdk / "python/cmd", self.sdk / "python/dist"):
            made.mkdir(parents=True)
        self.log.touch()
        (self.sdk / "python/cmd/pulumi-language-python-exec").touch()
        (self.sdk / "python/dist/pulumi-resource-pulumi-python").touch()
        self.program(PULUMI % ENGINE, self.stand_in / "pulumi")

    def program(self, text: str, where: Path) -> None:
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)
        where.chmod(0o755)

    def on_path(self, **programs: str) -> "Site":
        for name, text in programs.items():
            self.program(text, self.path / name.replace("_", "-"))
        return self

    def with_provider(self) -> "Site":
        self.program("", self.cache / PLUGIN)
        (self.cache / "pulumi-home/openstack-provider").write_text(f"release-{PROVIDER}\n")
        return self

    def publish(self, url: str, checksums: str, names: tuple[str, ...], digest: Callable[[bytes], str]) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in names:
                content = (PULUMI % ENGINE).encode()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755
                archive.addfile(entry, io.BytesIO(content))
        (self.release / url).write_bytes(buffer.getvalue())
        (self.release / checksums).write_text(f"{'0' * 64}  other.tar.gz\n{digest(buffer.getvalue())}  ./{url}\n")

    def run(self, **environment: str) -> "subprocess.CompletedProcess[str]":
        self.log.write_text("")
        known = {
            "PATH": f"{self.path}:/usr/bin:/bin",
            "ECM_CACHE": str(self.cache),
            "CALLS": str(self.log),
            "RELEASE": str(self.release),
            "STAND_IN": str(self.stand_in),
            "SDK": str(self.sdk),
        }
        return subprocess.run(
            [ROOT / "scripts/toolchain"],
            env=known | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def calls(self, program: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(f"{program} ")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def published(site: Site) -> Site:
    site.on_path(curl=CURL, go=GO % "1.26.0")
    machine = {"x86_64": ("x64", "amd64"), "aarch64": ("arm64", "arm64")}[
        subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    ]
    site.publish(
        f"pulumi-v{ENGINE}-linux-{machine[0]}.tar.gz",
        f"pulumi-{ENGINE}-checksums.txt",
        tuple(
            f"pulumi/{name}"
            for name in (
                "pulumi",
                "pulumi-language-python",
                "pulumi-language-python-exec",
                "pulumi-resource-pulumi-python",
                "pulumi-language-go",
            )
        ),
        lambda content: hashlib.sha256(content).hexdigest(),
    )
    site.publish(
        f"pulumi-resource-openstack-v{PROVIDER}-linux-{machine[1]}.tar.gz",
        f"pulumi-openstack_{PROVIDER}_checksums.txt",
        ("pulumi-resource-openstack",),
        lambda content: hashlib.sha1(content, usedforsecurity=False).hexdigest(),
    )
    return site


def test_pulumi_of_the_pinned_version_on_path_is_used(site: Site) -> None:
    site.on_path(
        pulumi=PULUMI % ENGINE, pulumi_language_python=LANGUAGE_HOST, go=GO % "1.26.0", curl=CURL
    ).with_provider()
    result = site.run()
    assert result.stdout == f"{site.path}\n"
    assert site.calls("go") == site.calls("curl") == []


def test_pulumi_of_another_version_on_path_is_not_used(site: Site) -> None:
    site.on_path(pulumi=PULUMI % "3.200.0", pulumi_language_python=LANGUAGE_HOST)
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT).with_provider()
    result = site.run()
    assert result.stdout.startswith(f"{site.cache}/toolchain/source-"), result.stderr


def test_pulumi_on_path_is_not_used_without_its_language_host(site: Site) -> None:
    site.on_path(pulumi=PULUMI % ENGINE, go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT).with_provider()
    result = site.run()
    assert result.stdout.startswith(f"{site.cache}/toolchain/source-"), result.stderr


def test_the_command_that_a_checkout_has_is_not_taken_for_the_users_own(site: Site, tmp_path: Path) -> None:
    site.on_path(pulumi=PULUMI % ENGINE, pulumi_language_python=LANGUAGE_HOST).with_provider()
    site.program(PULUMI % ENGINE, tmp_path / "checkout/.venv/bin/pulumi")
    (tmp_path / "checkout/.venv/pyvenv.cfg").touch()
    activated = f"{tmp_path}/checkout/.venv/bin:{site.path}:/usr/bin:/bin"
    assert site.run(PATH=activated).stdout == f"{site.path}\n"
    (site.path / "pulumi").unlink()
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT)
    result = site.run(PATH=activated)
    assert result.stdout.startswith(f"{site.cache}/toolchain/source-"), result.stderr


def test_without_a_way_out_one_question_is_asked_and_both_parts_are_built(site: Site) -> None:
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT)
    result = site.run()
    assert result.returncode == 0, result.stderr
    assert len(site.calls("curl")) == 1
    assert "--connect-timeout 3" in site.calls("curl")[0]
    assert len([call for call in site.calls("go") if "build" in call]) == 2
    folder = Path(result.stdout.strip())
    assert {file.name for file in folder.iterdir()} == {
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    }
    assert (site.cache / PLUGIN).exists()


def test_builds_are_reproducible_and_read_only(site: Site) -> None:
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT).run()
    builds = [call for call in site.calls("go") if "build" in call]
    assert all("-mod=readonly -trimpath" in call for call in builds)
    assert f"Version=v{ENGINE}" in builds[0]
    assert f"main.version={PROVIDER}" in builds[1]


def test_the_second_run_only_answers(site: Site) -> None:
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT)
    first = site.run()
    second = site.run()
    assert second.stdout == first.stdout
    assert site.log.read_text() == ""


def test_source_asked_for_asks_nobody(published: Site) -> None:
    result = published.run(ECM_TOOLCHAIN="source")
    assert result.stdout.startswith(f"{published.cache}/toolchain/source-"), result.stderr
    assert published.calls("curl") == []


def test_source_asked_for_is_built_beside_a_release(published: Site) -> None:
    assert "/release-" in published.run().stdout
    assert "/source-" in published.run(ECM_TOOLCHAIN="source").stdout


def test_the_release_is_taken_when_it_can_be_reached(published: Site) -> None:
    result = published.run()
    assert result.stdout == f"{published.cache}/toolchain/release-{ENGINE}\n", result.stderr
    assert published.calls("go") == []
    assert (published.cache / PLUGIN).exists()


@pytest.mark.parametrize("archive", ["pulumi-v*", "pulumi-resource-*"])
def test_a_release_that_is_not_what_its_checksum_says_is_refused(published: Site, archive: str) -> None:
    (tampered,) = published.release.glob(archive)
    tampered.write_bytes(tampered.read_bytes() + b"!")
    result = published.run()
    assert result.returncode == 1
    assert result.stdout == ""
    assert "is not what its checksum says" in result.stderr
    assert not list(published.cache.glob(f"pulumi-home/{archive}"))


def test_an_old_go_is_passed_over_for_the_pinned_one(site: Site) -> None:
    site.on_path(go=GO % "1.19.8", curl=CURL_WITHOUT_A_WAY_OUT)
    site.program((GO % "1.26.0").replace('echo "go', 'echo "pinned-go'), site.cache / "toolchain/go/package/go/bin/go")
    result = site.run()
    assert result.returncode == 0, result.stderr
    assert site.calls("go") == ["go env GOVERSION"]
    assert site.calls("pinned-go")
    assert not (site.cache / "toolchain/go").exists(), "a compiler that nobody needs any more was kept"


def test_an_interrupted_build_leaves_nothing_that_counts(site: Site) -> None:
    site.on_path(go=GO % "1.26.0", curl=CURL_WITHOUT_A_WAY_OUT)
    (site.cache / "toolchain/new").mkdir(parents=True)
    (site.cache / "toolchain/new/half").touch()
    folder = Path(site.run().stdout.strip())
    assert not (folder / "half").exists()


def test_an_unknown_wish_is_one_clear_line(site: Site) -> None:
    result = site.run(ECM_TOOLCHAIN="binary")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "'binary'" in result.stderr
