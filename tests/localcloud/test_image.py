"""When the guests' image is built anew: the recipe as it is, with programs that make nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHER = "https://other.example.org/simple"
TOOLS = {
    "id": "echo 0",
    "strip": "",
    "unshare": "",
    "mke2fs": 'for last; do before=$file file=$last; done; touch "$before"',
    "mmdebstrap": """\
for last; do before=$root root=$last; done
printenv >"$ECM_CACHE/environment"
mkdir -p "$before"/etc/apt/apt.conf.d "$before"/etc/cloud/cloud.cfg.d "$before"/usr/sbin "$before"/var \\
  "$before"/usr/local/share/ca-certificates""",
    "apt-config": "",
    "apt-get": 'echo "Debian $MIRROR"',
    "curl": """echo '<a href="https://files.example.org/pip.whl">'""",
}


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The recipe and what it reads, with a toolchain and a Python environment that are there already."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "localcloud/image", root / "localcloud/image")
    shutil.copytree(ROOT / "scripts/lib", root / "scripts/lib")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    for name, text in TOOLS.items():
        program(tmp_path / "bin" / name, text)
    program(root / "scripts/toolchain", f"echo {tmp_path}/engine")
    program(tmp_path / "engine/pulumi", "")
    shared = ["bash", "-c", "source scripts/lib/common.sh; pinned pulumi-openstack; hash_of scripts/lib/uv.txt"]
    version, uv = subprocess.run(shared, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    cache = tmp_path / "cache"
    program(cache / f"pulumi-home/plugins/resource-openstack-v{version}/pulumi-resource-openstack", "")
    program(cache / f"uv-{uv}/bin/uv", 'while [ $# -gt 0 ]; do [ "$1" = --target ] && mkdir -p "$2"; shift; done; true')
    program(cache / f"uv-{uv}/bin/python", '[ "$1" = -m ] && echo "global.index-url=\'$INDEX\'"')
    return root


def image(
    checkout: Path, variant: str, *, index: str = "https://a.example.org/simple", mirror: str = "https://b.example.org"
) -> str:
    """The name of the image that this machine gets."""
    home = checkout.parent
    environment = {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "ECM_CACHE": f"{home}/cache",
        "INDEX": index,
        "MIRROR": mirror,
        "CONDOR_CONFIG": "/dev/null",
    }
    command = [str(checkout / "localcloud/image/build"), variant]
    return Path(
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    ).name


def test_a_bare_image_is_built_anew_when_its_way_to_packages_changes(checkout: Path) -> None:
    first = image(checkout, "bare")
    assert image(checkout, "bare") == first
    assert image(checkout, "bare", index=OTHER) != first
    assert image(checkout, "bare", mirror=OTHER) != first
    recipe = checkout / "localcloud/image/build"
    recipe.write_text(recipe.read_text().replace('sort -u >"$root.hosts"', 'sort >"$root.hosts"'))
    assert image(checkout, "bare") != first


def test_htcondors_package_is_installed_as_if_this_machine_had_none(checkout: Path) -> None:
    """It makes its folders where the configuration says that the environment names."""
    image(checkout, "full")
    environment = (checkout.parent / "cache/environment").read_text()
    assert "MIRROR=" in environment
    assert "CONDOR_CONFIG=" not in environment


def test_a_full_image_has_no_way_to_packages_that_could_change(checkout: Path) -> None:
    first = image(checkout, "full")
    assert image(checkout, "full", index=OTHER, mirror=OTHER) == first
